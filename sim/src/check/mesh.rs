//! Rules about who reaches whom: `mesh.*`.

use super::View;
use std::collections::BTreeMap;
use weft_core::id::PeerName;

/// Peers that can be connected believe in exactly each other, and describe each other alike.
pub(super) fn same_view(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        let expected = view.island_ids(peer);
        if let Some(id) = expected.iter().find(|id| !peer.reachable.contains_key(id)) {
            return Err(format!("n{} does not reach {}", host + 1, view.label(*id)));
        }
        if let Some(id) = peer.reachable.keys().find(|id| !expected.contains(id)) {
            return Err(format!("n{} believes that it reaches {}", host + 1, view.label(*id)));
        }
        for (other_host, other) in view.live().filter(|(other, _)| peer.island.contains(other)) {
            let differs = peer.reachable.iter().find(|(id, seen)| {
                other.reachable.get(id).is_some_and(|other_seen| other_seen != *seen)
            });
            if let Some((id, _)) = differs {
                return Err(format!(
                    "n{} and n{} describe {} differently",
                    host + 1,
                    other_host + 1,
                    view.label(*id)
                ));
            }
        }
        if let Some(id) = peer.id
            && peer
                .reachable
                .get(&id)
                .is_some_and(|(incarnation, _)| *incarnation != peer.incarnation)
        {
            return Err(format!("n{} describes an earlier start of itself", host + 1));
        }
    }
    Ok(())
}

/// At most one control link stands between two peers.
pub(super) fn one_conn(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        if let Some((id, count)) = peer.conns.iter().find(|(_, count)| **count > 1) {
            return Err(format!("n{} keeps {count} links with {}", host + 1, view.label(*id)));
        }
    }
    Ok(())
}

/// Following next hops from any peer leads to each peer in reach, without a circle.
pub(super) fn unicast_arrives(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        for target in peer.island.iter().filter(|target| **target != host) {
            let Some(goal) = view.peers.get(*target).filter(|goal| goal.live) else { continue };
            let mut at = host;
            for _ in 0..=view.peers.len() {
                if at == *target {
                    break;
                }
                let next = view.peers[at].unicast.get(&goal.name);
                let Some(next) = next.and_then(|next| view.named(*next)) else {
                    return Err(format!(
                        "n{} knows no way to n{}, on the way from n{}",
                        at + 1,
                        target + 1,
                        host + 1
                    ));
                };
                at = next;
            }
            if at != *target {
                return Err(format!("frames from n{} to n{} go in circles", host + 1, target + 1));
            }
        }
    }
    Ok(())
}

/// A broadcast reaches each peer in reach exactly once.
pub(super) fn broadcast_once(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        let arrivals = flood(view, peer.name, host);
        for target in peer.island.iter().filter(|target| view.peers[**target].live) {
            let expected = usize::from(*target != host);
            let count = arrivals.get(target).copied().unwrap_or(0);
            if count != expected {
                return Err(format!(
                    "a broadcast of n{} reaches n{} {count} times instead of {expected}",
                    host + 1,
                    target + 1
                ));
            }
        }
    }
    Ok(())
}

/// How often each host gets a broadcast of `source`, which is `start`.
fn flood(view: &View, source: PeerName, start: usize) -> BTreeMap<usize, usize> {
    let mut arrivals = BTreeMap::new();
    let mut wave = vec![start];
    // A broadcast that is still under way after so many hops is caught in a circle.
    for _ in 0..view.peers.len() {
        let hops = wave.iter().flat_map(|at| view.peers[*at].broadcast.get(&source));
        let next: Vec<usize> = hops.flatten().filter_map(|name| view.named(*name)).collect();
        for host in &next {
            *arrivals.entry(*host).or_insert(0) += 1;
        }
        wave = next;
        wave.truncate(view.peers.len() * view.peers.len());
    }
    arrivals
}

#[cfg(test)]
mod tests {
    use super::super::PeerView;
    use super::*;
    use std::collections::BTreeSet;
    use weft_core::addr::Universe;
    use weft_core::id::{Incarnation, PeerId};
    use weft_core::time::Instant;

    fn id(host: u8) -> PeerId {
        PeerId([host + 1; 32])
    }

    fn name(host: u8) -> PeerName {
        PeerName([2, 0, 0, 0, 0, host + 1])
    }

    /// Three peers in a line.
    fn good() -> View {
        let line: [&[u8]; 3] = [&[1], &[0, 2], &[1]];
        let links = |host: u8| -> BTreeSet<PeerId> {
            line[usize::from(host)].iter().map(|other| id(*other)).collect()
        };
        let reachable: BTreeMap<_, _> =
            (0..3).map(|host| (id(host), (Incarnation(1), links(host)))).collect();
        let peer = |host: u8, unicast: [(u8, u8); 2], broadcast: [&[u8]; 3]| PeerView {
            live: true,
            id: Some(id(host)),
            name: name(host),
            incarnation: Incarnation(1),
            island: [0, 1, 2].into(),
            reachable: reachable.clone(),
            conns: links(host).into_iter().map(|peer| (peer, 1)).collect(),
            unicast: unicast.map(|(to, via)| (name(to), name(via))).into(),
            broadcast: (0..3)
                .zip(broadcast)
                .map(|(source, hops)| (name(source), hops.iter().map(|hop| name(*hop)).collect()))
                .collect(),
            ..PeerView::default()
        };
        let peers = vec![
            peer(0, [(1, 1), (2, 1)], [&[1], &[], &[]]),
            peer(1, [(0, 0), (2, 2)], [&[2], &[0, 2], &[0]]),
            peer(2, [(0, 1), (1, 1)], [&[], &[], &[1]]),
        ];
        View::new(Instant::ZERO, Universe::DEFAULT, peers)
    }

    fn broken(change: impl FnOnce(&mut View)) -> View {
        let mut view = good();
        change(&mut view);
        view
    }

    #[test]
    fn rules_about_the_mesh_hold_in_a_sound_world() {
        for rule in [same_view, one_conn, unicast_arrives, broadcast_once] {
            assert_eq!(rule(&good()), Ok(()));
        }
    }

    #[test]
    fn same_view_fails_on_a_missing_an_extra_and_an_outdated_peer() {
        let missing = broken(|view| {
            view.peers[0].reachable.remove(&id(2));
        });
        assert_eq!(same_view(&missing), Err("n1 does not reach n3".to_owned()));
        assert!(same_view(&broken(|view| view.peers[2].live = false)).is_err());
        let outdated = broken(|view| {
            view.peers[0].reachable.insert(id(2), (Incarnation(0), BTreeSet::new()));
        });
        assert!(same_view(&outdated).is_err());
    }

    #[test]
    fn one_conn_fails_when_two_stand() {
        let view = broken(|view| {
            view.peers[0].conns.insert(id(1), 2);
        });
        assert_eq!(one_conn(&view), Err("n1 keeps 2 links with n2".to_owned()));
    }

    #[test]
    fn unicast_arrives_fails_in_a_circle_and_on_a_missing_hop() {
        let circle = broken(|view| {
            view.peers[1].unicast.insert(name(2), name(0));
        });
        assert!(unicast_arrives(&circle).is_err());
        let lost = broken(|view| {
            view.peers[1].unicast.remove(&name(2));
        });
        assert!(unicast_arrives(&lost).is_err());
    }

    #[test]
    fn broadcast_once_fails_when_a_peer_is_left_out_or_served_twice() {
        let lost = broken(|view| {
            view.peers[1].broadcast.remove(&name(0));
        });
        assert!(broadcast_once(&lost).is_err());
        let twice = broken(|view| {
            view.peers[0].broadcast.insert(name(0), vec![name(1), name(2)]);
        });
        assert!(broadcast_once(&twice).is_err());
    }
}
