//! Who can know whom where operators have told hosts whom to trust. No rule: what others ask.

use super::{PeerView, View};
use std::collections::{BTreeMap, BTreeSet};
use weft_core::id::PeerId;

/// Whether nothing that their operators said keeps two hosts from a link.
pub fn trust_each_other(one: &PeerView, two: &PeerView) -> bool {
    let allows = |peer: &PeerView, other: &PeerView| other.id.is_none_or(|id| peer.told.allows(id));
    one.told.shares_secret(&two.told) && allows(one, two) && allows(two, one)
}

/// Whom a host of a part of the mesh knows, where lists may differ.
#[derive(Debug)]
pub(super) struct Known {
    /// Whom it must reach: each of them tells of itself over hosts that all allow it.
    pub must: BTreeSet<PeerId>,
    /// Whom it may reach besides: all that it allows, where the word of some peer no longer comes
    /// through to it.
    pub may: BTreeSet<PeerId>,
}

/// For each host of `part`, whom it knows. `hosts` says who is who.
///
/// A peer with a list drops what others say of themselves that are not on it, and hands none of it on.
/// So a host knows of whom every host on some way to it allows, and reaches whom it is linked with over
/// those that it knows.
pub(super) fn known(
    view: &View,
    hosts: &BTreeMap<PeerId, usize>,
    part: &BTreeSet<usize>,
) -> BTreeMap<usize, Known> {
    let members = || part.iter().filter_map(|host| Some((*host, view.peers.get(*host)?)));
    let ids: BTreeSet<PeerId> = members().filter_map(|(_, peer)| peer.id).collect();
    if members().all(|(_, peer)| peer.told.allowed.is_none()) {
        let known = |(host, _)| (host, Known { must: ids.clone(), may: ids.clone() });
        return members().map(known).collect();
    }
    let near = |host: usize| {
        let near = view.peers.get(host).into_iter().flat_map(|peer| &peer.proven);
        near.filter_map(|id| hosts.get(id)).copied().filter(|host| part.contains(host))
    };
    // Those that are linked with `from` over hosts that are all `good`.
    let spread = |from: usize, good: &dyn Fn(usize) -> bool| {
        let mut seen = BTreeSet::from([from]);
        let mut edge = vec![from];
        while let Some(at) = edge.pop() {
            for next in near(at).filter(|next| good(*next)) {
                if seen.insert(next) {
                    edge.push(next);
                }
            }
        }
        seen
    };
    let id = |host: usize| view.peers.get(host).and_then(|peer| peer.id);
    let allows = |host: usize, other: usize| {
        let (peer, other) = (view.peers.get(host), id(other));
        host_allows(peer, other)
    };
    // By host: where what it says of itself comes.
    let told: BTreeMap<usize, BTreeSet<usize>> =
        part.iter().map(|from| (*from, spread(*from, &|host| allows(host, *from)))).collect();
    let hears = |host: usize, of: usize| told.get(&of).is_some_and(|told| told.contains(&host));
    let ids = |hosts: BTreeSet<usize>| hosts.into_iter().filter_map(id).collect();
    let known = |host: &usize| {
        let must: BTreeSet<PeerId> = ids(spread(*host, &|other| hears(*host, other)));
        // By what a peer said when its word still came through, others may be reached for ever.
        let is_deaf = part.iter().any(|of| allows(*host, *of) && !hears(*host, *of));
        let allowed = hosts.values().copied().filter(|other| allows(*host, *other));
        let may = if is_deaf { ids(allowed.collect()) } else { must.clone() };
        (*host, Known { must, may })
    };
    part.iter().map(known).collect()
}

fn host_allows(peer: Option<&PeerView>, other: Option<PeerId>) -> bool {
    let (Some(peer), Some(other)) = (peer, other) else { return false };
    peer.id == Some(other) || peer.told.allows(other)
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, id, pair};
    use super::*;
    use weft_core::addr::Universe;
    use weft_core::config::NetworkSecret;
    use weft_core::time::Instant;

    /// Four hosts in a row; each of `lists` is one of theirs.
    fn row(lists: &[(usize, &[u8])]) -> View {
        let links: [&[u8]; 4] = [&[2], &[1, 3], &[2, 4], &[3]];
        let peer = |(links, number): (&[u8], u8)| PeerView {
            live: true,
            id: Some(id(number)),
            proven: links.iter().map(|of| id(*of)).collect(),
            ..PeerView::default()
        };
        let mut peers: Vec<PeerView> = links.into_iter().zip(1..).map(peer).collect();
        for (host, list) in lists {
            peers[*host].told.allowed = Some(list.iter().map(|of| id(*of)).collect());
        }
        View::new(Instant::ZERO, Universe::DEFAULT, peers)
    }

    /// Whom each must know, and whom it may know besides.
    fn all(lists: &[(usize, &[u8])]) -> [(Vec<u8>, Vec<u8>); 4] {
        let hosts = (1..=4).map(id).zip(0..).collect();
        let known = known(&row(lists), &hosts, &[0, 1, 2, 3].into());
        let numbers = |ids: &BTreeSet<PeerId>| ids.iter().map(|id| id.0[0]).collect::<Vec<u8>>();
        [0, 1, 2, 3].map(|host| {
            let Known { must, may } = &known[&host];
            (numbers(must), numbers(&may.difference(must).copied().collect()))
        })
    }

    #[test]
    fn without_lists_and_with_equal_ones_all_know_all() {
        let everybody = || (vec![1, 2, 3, 4], Vec::new());
        assert_eq!(all(&[]), [(); 4].map(|()| everybody()));
        let list = [1, 2, 3, 4];
        let lists = [(0, &list[..]), (1, &list), (2, &list), (3, &list)];
        assert_eq!(all(&lists), [(); 4].map(|()| everybody()));
    }

    #[test]
    fn a_list_ends_what_a_host_knows_and_what_it_hands_on() {
        // The first has to do with the second alone, which hands on all that it says.
        let first = (vec![1, 2], vec![]);
        let others = (vec![1, 2, 3, 4], vec![]);
        assert_eq!(all(&[(0, &[1, 2])]), [first, others.clone(), others.clone(), others]);
        // The third does not hand on what the first says, of which the fourth may know from before.
        let [first, second, third, fourth] = all(&[(2, &[2, 3, 4])]);
        let all_others = (vec![1, 2, 3, 4], vec![]);
        assert_eq!([first, second], [all_others.clone(), all_others]);
        assert_eq!(third, (vec![2, 3, 4], vec![]));
        assert_eq!(fourth, (vec![2, 3, 4], vec![1]));
    }

    #[test]
    fn hosts_trust_each_other_with_a_secret_in_common_and_on_both_lists() {
        let trust = |change: fn(&mut View)| {
            let view = changed(change);
            trust_each_other(&view.peers[0], &view.peers[1])
        };
        assert!(trust_each_other(&pair().peers[0], &pair().peers[1]));
        let secret = |view: &mut View| {
            view.peers[0].told.secrets = vec![NetworkSecret::Password([1; 32])];
        };
        assert!(!trust(secret));
        assert!(trust(|view| view.peers[1].told.allowed = Some([id(1)].into())));
        assert!(!trust(|view| view.peers[1].told.allowed = Some([id(2)].into())));
    }
}
