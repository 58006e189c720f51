//! Rules about who reaches whom: `mesh.*`.

use super::{PeerView, View};
use std::collections::{BTreeMap, BTreeSet};
use weft_core::id::{PeerId, PeerName};

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

/// Each peer sends what is for another one in reach to a neighbour that is nearer to it: so all arrives,
/// along shortest ways.
pub(super) fn unicast_arrives(view: &View) -> Result<(), String> {
    let links = links(view);
    for (target, goal) in view.live() {
        let far = distances(&links, target);
        let in_reach =
            |(host, peer): &(usize, &PeerView)| *host != target && peer.island.contains(&target);
        for (host, peer) in view.live().filter(in_reach) {
            let (from, to) = (host + 1, target + 1);
            let Some(next) = peer.unicast.get(&goal.name) else {
                return Err(format!("n{from} knows no way to n{to}"));
            };
            let mut near = links.get(&host).into_iter().flatten();
            let Some(hop) = near.find(|near| view.peers[**near].name == *next) else {
                return Err(format!(
                    "n{from} sends what is for n{to} to {next}, which it has no link with"
                ));
            };
            let left = far.get(hop).map(|left| left + 1);
            if left.is_none() || left != far.get(&host).copied() {
                return Err(format!(
                    "n{from} sends what is for n{to} to n{}, which is no nearer to it",
                    hop + 1
                ));
            }
        }
    }
    Ok(())
}

/// Links between running hosts which both ends say that they have.
fn links(view: &View) -> BTreeMap<usize, BTreeSet<usize>> {
    let says: BTreeMap<PeerId, (usize, &BTreeSet<PeerId>)> = view
        .live()
        .filter_map(|(host, peer)| {
            let id = peer.id?;
            let (_, links) = peer.reachable.get(&id)?;
            Some((id, (host, links)))
        })
        .collect();
    let mutual = |(id, (host, links)): (&PeerId, &(usize, &BTreeSet<PeerId>))| {
        let others = links.iter().filter_map(|other| says.get(other));
        let both = others.filter(|(_, theirs)| theirs.contains(id));
        (*host, both.map(|(other, _)| *other).collect())
    };
    says.iter().map(mutual).collect()
}

/// How many links each host is away from `from`, where `links` lead to it.
fn distances(links: &BTreeMap<usize, BTreeSet<usize>>, from: usize) -> BTreeMap<usize, usize> {
    let mut distances = BTreeMap::from([(from, 0)]);
    let mut wave = BTreeSet::from([from]);
    for distance in 1..=links.len() {
        let next = wave.iter().filter_map(|at| links.get(at)).flatten().copied();
        wave = next.filter(|host| !distances.contains_key(host)).collect();
        distances.extend(wave.iter().map(|host| (*host, distance)));
    }
    distances
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
pub(super) mod tests {
    use super::*;
    use weft_core::addr::Universe;
    use weft_core::id::Incarnation;
    use weft_core::time::Instant;

    fn id(host: u8) -> PeerId {
        PeerId([host + 1; 32])
    }

    fn name(host: u8) -> PeerName {
        PeerName([2, 0, 0, 0, 0, host + 1])
    }

    /// Three peers in a line.
    pub(in super::super) fn good() -> View {
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

    pub(in super::super) fn broken(change: impl FnOnce(&mut View)) -> View {
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
    fn unicast_arrives_fails_on_a_missing_hop_and_on_one_that_is_no_nearer_or_no_neighbour() {
        let by = |host: usize, to: u8, hop: u8| {
            broken(|view| {
                view.peers[host].unicast.insert(name(to), name(hop));
            })
        };
        let circle = Err("n2 sends what is for n3 to n1, which is no nearer to it".to_owned());
        assert_eq!(unicast_arrives(&by(1, 2, 0)), circle);
        assert!(unicast_arrives(&by(0, 2, 2)).is_err());
        let lost = broken(|view| {
            view.peers[1].unicast.remove(&name(2));
        });
        assert_eq!(unicast_arrives(&lost), Err("n2 knows no way to n3".to_owned()));
    }

    #[test]
    fn unicast_arrives_fails_on_a_way_longer_than_the_shortest() {
        let closed = |both: bool| {
            broken(|view| {
                let ends: &[(usize, u8)] = if both { &[(0, 2), (2, 0)] } else { &[(0, 2)] };
                for (host, other) in ends {
                    let own = view.peers[*host].id.unwrap();
                    view.peers[*host].reachable.get_mut(&own).unwrap().1.insert(id(*other));
                }
            })
        };
        assert!(unicast_arrives(&closed(true)).is_err());
        // A link that one end does not have is no way.
        assert_eq!(unicast_arrives(&closed(false)), Ok(()));
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
