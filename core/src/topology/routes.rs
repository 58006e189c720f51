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
    /// The graph around `me` of what each peer reports, in the order of their ids.
    pub fn new<'a>(me: PeerId, reported: impl Iterator<Item = (PeerId, &'a [PeerId])>) -> Self {
        let (known, reports): (Vec<PeerId>, Vec<_>) = reported.unzip();
        let number = |peer: &PeerId| known.binary_search(peer).ok();
        let claims: Vec<Vec<usize>> =
            reports.iter().map(|links| links.iter().filter_map(number).collect()).collect();
        let claims = |peer: usize| claims.get(peer).map_or(&[][..], Vec::as_slice);
        let mutual = |peer: usize| {
            let links = claims(peer).iter().copied();
            links.filter(move |other| *other != peer && claims(*other).binary_search(&peer).is_ok())
        };
        let Some(start) = number(&me) else {
            return Self { me: 0, ids: alloc::vec![me], links: alloc::vec![Vec::new()] };
        };
        let mut is_found = alloc::vec![false; known.len()];
        let mut next = VecDeque::from([start]);
        let mut find = |peer: usize| {
            is_found.get_mut(peer).is_some_and(|found| !core::mem::replace(found, true))
        };
        find(start);
        while let Some(peer) = next.pop_front() {
            next.extend(mutual(peer).filter(|other| find(*other)));
        }
        // Those that are found are numbered anew, in the same order.
        let mut count = 0;
        let numbers: Vec<Option<usize>> = is_found
            .iter()
            .map(|found| {
                count += usize::from(*found);
                found.then(|| count - 1)
            })
            .collect();
        let renumber = |peer: usize| numbers.get(peer).copied().flatten();
        let found = || (0..known.len()).filter(|peer| renumber(*peer).is_some());
        Self {
            me: renumber(start).unwrap_or(0),
            ids: found().filter_map(|peer| known.get(peer).copied()).collect(),
            links: found().map(|peer| mutual(peer).filter_map(renumber).collect()).collect(),
        }
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

    /// All next hops from `me`. A broadcast goes down a tree of shortest ways from its source, in
    /// which the parent of a peer is, of its neighbours that are nearer to the source, the one with
    /// the lowest id: each peer passes it to its children in that tree, so each gets it once.
    pub fn next_hops(&self) -> NextHops {
        let neighbours = self.links.get(self.me).map_or(&[][..], Vec::as_slice);
        // By peer; empty for those that do not matter.
        let mut near: Vec<Vec<usize>> = alloc::vec![Vec::new(); self.ids.len()];
        for peer in self.near() {
            if let Some(distances) = near.get_mut(peer) {
                *distances = self.distances(peer);
            }
        }
        let distance = |peer: usize, source: usize| near.get(peer)?.get(source).copied();
        let is_child = |child: usize, source: usize| {
            let (Some(ours), Some(its)) = (distance(self.me, source), distance(child, source))
            else {
                return false;
            };
            let mut rivals = self.rivals(child);
            its == ours + 1 && !rivals.any(|peer| distance(peer, source) == Some(ours))
        };
        let children = |source| {
            let ours = neighbours.iter().filter(|child| is_child(**child, source));
            ours.filter_map(|child| self.id(*child)).collect()
        };
        let sources = self.ids.iter().enumerate();
        let broadcast = sources.map(|(number, id)| (*id, children(number))).collect();
        NextHops { unicast: self.unicast(), broadcast }
    }

    /// The peers whose distances from all sources decide about our children: ourselves, our
    /// neighbours, and those that could be their parents instead. So there is one search for each
    /// peer in reach of two links, and not one for each source.
    fn near(&self) -> BTreeSet<usize> {
        let neighbours = self.links.get(self.me).into_iter().flatten().copied();
        let with_rivals = neighbours.flat_map(|peer| self.rivals(peer).chain([peer]));
        with_rivals.chain([self.me]).collect()
    }

    /// Neighbours of `child` that come before us as its parents.
    fn rivals(&self, child: usize) -> impl Iterator<Item = usize> {
        let all = self.links.get(child).into_iter().flatten().copied();
        all.filter(|peer| *peer < self.me)
    }

    /// How many links each peer is away from `peer`.
    fn distances(&self, peer: usize) -> Vec<usize> {
        let mut distances = alloc::vec![0; self.ids.len()];
        for (peer, parent) in self.tree(peer) {
            let far = distances.get(parent).map_or(0, |near| near + 1);
            if let Some(distance) = distances.get_mut(peer) {
                *distance = far;
            }
        }
        distances
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
        id[..2].copy_from_slice(&u16::try_from(n).unwrap().to_be_bytes());
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

    fn graph(me: PeerId, mesh: &Reports) -> Graph {
        let reports = mesh.iter().map(|(peer, links)| (*peer, links.iter().copied().collect()));
        let reports: Vec<(PeerId, Vec<PeerId>)> = reports.collect();
        Graph::new(me, reports.iter().map(|(peer, links)| (*peer, &**links)))
    }

    fn hops(mesh: &Reports) -> BTreeMap<PeerId, NextHops> {
        mesh.keys().map(|me| (*me, graph(*me, mesh).next_hops())).collect()
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
    fn the_work_for_broadcasts_follows_the_neighbourhood_and_not_the_size_of_the_mesh() {
        let near = |count: usize| {
            let links: Vec<(usize, usize)> =
                (0..count).flat_map(|n| [(n, n + 1), (n, n + 2), (n, n + 7)]).collect();
            let mesh = mesh(count, &links);
            graph(peer(count / 2), &mesh).near().len()
        };
        assert_eq!(near(2_000), near(200));
    }

    #[test]
    fn what_a_peer_reports_alone_is_no_link() {
        let mut mesh = mesh(3, &[(0, 1)]);
        mesh.get_mut(&peer(1)).unwrap().insert(peer(2));
        mesh.get_mut(&peer(1)).unwrap().insert(peer(1));
        assert_eq!(hops(&mesh)[&peer(0)].unicast, BTreeMap::from([(peer(1), peer(1))]));
    }
}
