//! Routes: a pure function of who is linked with whom, the same at all peers that agree on it.

use crate::id::PeerId;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

/// Mutual links among the peers that can be reached from one of them.
///
/// Peers are numbered in the order of their ids, so that equal meshes make equal trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    me: usize,
    ids: Vec<PeerId>,
    links: Vec<Vec<usize>>,
}

/// Where frames go next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextHops {
    /// To each reachable peer, through which neighbour.
    pub unicast: BTreeMap<PeerId, PeerId>,
    /// Broadcasts of each source, ourselves included, to which neighbours.
    pub broadcast: BTreeMap<PeerId, Vec<PeerId>>,
}

impl Graph {
    /// The graph around `me` of what each peer reports.
    pub fn new<'a>(
        me: PeerId,
        reported: impl Iterator<Item = (PeerId, &'a BTreeSet<PeerId>)>,
    ) -> Self {
        let reported: BTreeMap<PeerId, &BTreeSet<PeerId>> = reported.collect();
        let reported = &reported;
        let mutual = |peer: PeerId| {
            let links = reported.get(&peer).into_iter().flat_map(|links| links.iter().copied());
            links.filter(move |other| {
                *other != peer && reported.get(other).is_some_and(|back| back.contains(&peer))
            })
        };
        let mut found = BTreeSet::from([me]);
        let mut next = VecDeque::from([me]);
        while let Some(peer) = next.pop_front() {
            next.extend(mutual(peer).filter(|other| found.insert(*other)));
        }
        let ids: Vec<PeerId> = found.into_iter().collect();
        let number = |peer: PeerId| ids.binary_search(&peer).ok();
        let links = ids.iter().map(|id| mutual(*id).filter_map(&number).collect()).collect();
        Self { me: number(me).unwrap_or(0), links, ids }
    }

    /// Next hops from `me` to everybody else, along a shortest way.
    pub fn unicast(&self) -> BTreeMap<PeerId, PeerId> {
        let mut hops: Vec<Option<usize>> = alloc::vec![None; self.ids.len()];
        let mut unicast = BTreeMap::new();
        // Parents are found before their children.
        for (peer, parent) in self.tree(self.me) {
            let hop =
                if parent == self.me { Some(peer) } else { hops.get(parent).copied().flatten() };
            if let Some(slot) = hops.get_mut(peer) {
                *slot = hop;
            }
            if let (Some(to), Some(by)) = (self.id(peer), hop.and_then(|hop| self.id(hop))) {
                unicast.insert(to, by);
            }
        }
        unicast
    }

    /// All next hops from `me`. A broadcast goes down the tree that a breadth-first search from its
    /// source makes: each peer passes it to its children in that tree, so each gets it once.
    pub fn next_hops(&self) -> NextHops {
        let children = |source| {
            let tree = self.tree(source);
            let ours = tree.iter().filter(|(_, parent)| *parent == self.me);
            ours.filter_map(|(peer, _)| self.id(*peer)).collect()
        };
        let sources = self.ids.iter().enumerate();
        let broadcast = sources.map(|(number, id)| (*id, children(number))).collect();
        NextHops { unicast: self.unicast(), broadcast }
    }

    /// Every peer but `source` with its parent, as breadth-first search finds them.
    fn tree(&self, source: usize) -> Vec<(usize, usize)> {
        let mut tree = Vec::with_capacity(self.ids.len());
        let mut seen = alloc::vec![false; self.ids.len()];
        let mut see =
            |peer: usize| seen.get_mut(peer).is_some_and(|seen| !core::mem::replace(seen, true));
        see(source);
        let mut at = source;
        let mut done = 0;
        loop {
            for peer in self.links.get(at).into_iter().flatten() {
                if see(*peer) {
                    tree.push((*peer, at));
                }
            }
            let Some((next, _)) = tree.get(done) else { return tree };
            (at, done) = (*next, done + 1);
        }
    }

    fn id(&self, number: usize) -> Option<PeerId> {
        self.ids.get(number).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Reports = BTreeMap<PeerId, BTreeSet<PeerId>>;

    fn peer(n: usize) -> PeerId {
        let mut id = [0; 32];
        id[0] = u8::try_from(n).unwrap();
        PeerId(id)
    }

    fn mesh(count: usize, links: &[(usize, usize)]) -> Reports {
        let mut mesh: Reports = (0..count).map(|n| (peer(n), BTreeSet::new())).collect();
        for (one, other) in links {
            let (one, other) = (peer(one % count), peer(other % count));
            mesh.get_mut(&one).unwrap().insert(other);
            mesh.get_mut(&other).unwrap().insert(one);
        }
        mesh
    }

    fn hops(mesh: &Reports) -> BTreeMap<PeerId, NextHops> {
        let graph = |me| Graph::new(me, mesh.iter().map(|(peer, links)| (*peer, links)));
        mesh.keys().map(|me| (*me, graph(*me).next_hops())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn following_next_hops_arrives_and_a_broadcast_reaches_each_peer_once(
            count in 1usize..14,
            links in proptest::collection::vec((0usize..14, 0usize..14), 0..40),
        ) {
            let mesh = mesh(count, &links);
            let hops = hops(&mesh);
            for (source, routes) in &hops {
                let reachable: BTreeSet<PeerId> = routes.unicast.keys().copied().collect();
                for target in &reachable {
                    let (mut at, mut steps) = (*source, 0);
                    while at != *target {
                        at = hops[&at].unicast[target];
                        steps += 1;
                        prop_assert!(steps < count, "a way in circles");
                    }
                }
                let mut reached: Vec<PeerId> = Vec::new();
                let mut waves = std::vec![*source];
                while let Some(at) = waves.pop() {
                    prop_assert!(reached.len() <= count);
                    let next = &hops[&at].broadcast[source];
                    reached.extend(next);
                    waves.extend(next);
                }
                reached.sort();
                prop_assert!(reached.into_iter().eq(reachable), "not each peer once");
            }
        }
    }

    #[test]
    fn what_a_peer_reports_alone_is_no_link() {
        let mut mesh = mesh(3, &[(0, 1)]);
        mesh.get_mut(&peer(1)).unwrap().insert(peer(2));
        mesh.get_mut(&peer(1)).unwrap().insert(peer(1));
        assert_eq!(hops(&mesh)[&peer(0)].unicast, BTreeMap::from([(peer(1), peer(1))]));
    }
}
