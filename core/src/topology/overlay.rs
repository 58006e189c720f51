//! Whom a peer links with, where a mesh is too large for everybody to link with everybody.
//!
//! Peers stand on several rings, on each in another order, and each peer is linked with the one
//! before and the one after it. Ids are keys, and so as good as random: four rings are four random
//! circles through all peers, which together have a short way between any two and many ways round a
//! peer that dies. Who is next to whom follows from who is known, so peers that know the same agree on
//! it without a word, and who comes or goes moves a handful of links, whatever the size of the mesh.
//!
//! Source: Law and Siu, "Distributed construction of random expander networks", INFOCOM 2003.

use crate::id::PeerId;
use alloc::collections::BTreeSet;

/// In so small a mesh nobody waits for those next to it to be linked first.
const SOON_MAX: usize = 8;

/// Links that no ring asks for are kept up to so many peers: as many more than [`Overlay::FULL_MAX`], that a
/// mesh about as large does not take down and put up links with every peer that goes and comes.
const KEPT_MAX: usize = 48;

/// Most rings: one for each eight bytes of an id.
const RINGS: usize = 4;

/// Links that no ring asks for: there must be room for peers that know only whom to ask.
const SPARE_MIN: usize = 2;

/// The choice of neighbours of one peer.
#[derive(Clone, Copy, Debug)]
pub struct Overlay {
    me: PeerId,
    links_max: usize,
}

impl Overlay {
    /// Up to so many peers, everybody links with everybody.
    pub const FULL_MAX: usize = 32;

    /// Of `me`, which may have `links_max` links.
    pub const fn new(me: PeerId, links_max: usize) -> Self {
        Self { me, links_max }
    }

    /// Whom to link with among `known` peers: (who, whether there is a way to it).
    ///
    /// On each ring that is the nearest peer on either side to which there is a way, and the nearest
    /// of all, if that is another one: when a mesh has split, it is such links that heal it.
    pub fn wanted(&self, known: &[(PeerId, bool)]) -> BTreeSet<PeerId> {
        let others = || known.iter().filter(|(peer, _)| *peer != self.me);
        let mut wanted = self.among(others().map(|(peer, _)| *peer), self.full_max());
        let near = others().filter(|(_, near)| *near).map(|(peer, _)| *peer);
        wanted.extend(self.among(near, self.full_max()));
        wanted
    }

    /// Those of all wanted among `known` with whom a link is wanted however many more there may turn
    /// out to be. Where thousands start at once, everybody knows a few others at first: it would link
    /// with all of these, and a moment later need none of them.
    pub fn soon(&self, known: &[(PeerId, bool)]) -> BTreeSet<PeerId> {
        let others = known.iter().map(|(peer, _)| *peer).filter(|peer| *peer != self.me);
        self.among(others, SOON_MAX)
    }

    /// Whether links that are not wanted may end in a mesh of so many peers.
    pub const fn prunes(&self, peers: usize) -> bool {
        peers > KEPT_MAX || peers > self.full_max()
    }

    /// Up to how many peers this one links with all.
    const fn full_max(&self) -> usize {
        // Ourselves are one of them.
        let most = self.links_max.saturating_sub(SPARE_MIN) + 1;
        if most < Self::FULL_MAX { most } else { Self::FULL_MAX }
    }

    /// All of `others` when there are less than `full_max`, else those next to us.
    fn among(
        &self,
        others: impl Iterator<Item = PeerId> + Clone,
        full_max: usize,
    ) -> BTreeSet<PeerId> {
        if others.clone().count() < full_max {
            return others.collect();
        }
        let rings = RINGS.min(self.links_max.saturating_sub(SPARE_MIN) / 2).max(1);
        let sides = (0..rings).flat_map(|ring| {
            let at = move |peer: &PeerId| place(*peer, ring).wrapping_sub(place(self.me, ring));
            [others.clone().min_by_key(at), others.clone().max_by_key(at)]
        });
        sides.flatten().collect()
    }
}

/// Where `peer` stands on the ring of this number.
fn place(peer: PeerId, ring: usize) -> u64 {
    let (words, _) = peer.0.as_chunks();
    words.get(ring).map_or(0, |word| u64::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Identity;
    use alloc::collections::{BTreeMap, VecDeque};
    use alloc::vec::Vec;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{RngCore, SeedableRng};

    /// As random as keys are.
    fn peers(count: usize, seed: u64) -> Vec<PeerId> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut draw = || {
            let mut id = [0; 32];
            rng.fill_bytes(&mut id);
            PeerId(id)
        };
        (0..count).map(|_| draw()).collect()
    }

    type Mesh = BTreeMap<PeerId, BTreeSet<PeerId>>;

    /// Who is linked with whom, when everybody knows and reaches all of `peers`.
    fn mesh(peers: &[PeerId], links_max: usize) -> Mesh {
        let known: Vec<_> = peers.iter().map(|peer| (*peer, true)).collect();
        peers.iter().map(|me| (*me, Overlay::new(*me, links_max).wanted(&known))).collect()
    }

    /// Links on the way from the first of `mesh` to the last that is found, and how many are found.
    fn spread(mesh: &Mesh) -> (usize, usize) {
        spread_from(*mesh.keys().next().unwrap(), mesh)
    }

    fn spread_from(first: PeerId, mesh: &Mesh) -> (usize, usize) {
        let mut far = BTreeMap::from([(first, 0)]);
        let mut next = VecDeque::from([first]);
        while let Some(peer) = next.pop_front() {
            for other in mesh[&peer].iter().filter(|other| mesh.contains_key(other)) {
                if !far.contains_key(other) {
                    far.insert(*other, far[&peer] + 1);
                    next.push_back(*other);
                }
            }
        }
        (far.values().copied().max().unwrap(), far.len())
    }

    #[test]
    fn small_meshes_are_full_and_large_ones_have_eight_links_each() {
        for (count, links) in [(2, 1), (32, 31), (33, 8), (400, 8)] {
            let mesh = mesh(&peers(count, 1), 200);
            // Who stands next to one on two rings has a link less.
            let most = mesh.values().map(BTreeSet::len).max().unwrap();
            let all: usize = mesh.values().map(BTreeSet::len).sum();
            assert_eq!(most, links, "{count}");
            assert!(all * 8 >= count * links * 7, "{all} for {count}");
        }
    }

    #[test]
    fn both_ends_want_a_link_and_all_reach_all_in_a_few() {
        for (count, longest) in [(33, 4), (300, 5), (3_000, 6)] {
            let mesh = mesh(&peers(count, 2), 200);
            for (peer, links) in &mesh {
                assert!(links.iter().all(|other| mesh[other].contains(peer)));
            }
            let (far, found) = spread(&mesh);
            assert_eq!(found, count);
            assert!(far <= longest, "{far} links between two of {count}");
        }
    }

    #[test]
    fn few_links_are_enough_for_all_and_leave_room_for_those_who_come() {
        let mesh = mesh(&peers(60, 3), 6);
        assert!(mesh.values().all(|links| links.len() <= 4));
        let (far, found) = spread(&mesh);
        assert!(found == 60 && far <= 5, "{far} links between two of {found}");
    }

    #[test]
    fn who_comes_or_goes_moves_a_handful_of_links() {
        let all = peers(500, 4);
        let (before, after) = (mesh(&all[1..], 200), mesh(&all, 200));
        let moved: usize = before
            .iter()
            .map(|(peer, links)| after[peer].symmetric_difference(links).count())
            .sum();
        assert!((8..=24).contains(&moved), "{moved} ends of links moved");
    }

    #[test]
    fn a_link_is_wanted_across_a_split_and_another_one_on_this_side() {
        let all = peers(200, 5);
        let known: Vec<_> = all.iter().enumerate().map(|(n, peer)| (*peer, n < 100)).collect();
        let side: Vec<_> = known.iter().filter(|(_, near)| *near).copied().collect();
        let mut across = 0;
        for me in &all[..100] {
            let overlay = Overlay::new(*me, 200);
            let wanted = overlay.wanted(&known);
            assert!(wanted.is_superset(&overlay.wanted(&side)));
            across += wanted.iter().filter(|peer| !side.contains(&(**peer, true))).count();
        }
        assert!(across > 100, "{across}");
    }

    #[test]
    fn keys_stand_on_four_different_rings() {
        let key = |seed| Identity::from_seed([seed; 32]).id();
        let order = |ring| {
            let mut keys: Vec<u8> = (0..40).collect();
            keys.sort_by_key(|seed| place(key(*seed), ring));
            keys
        };
        let orders: BTreeSet<_> = (0..RINGS).map(order).collect();
        assert_eq!(orders.len(), RINGS);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_half_of_a_mesh_that_dies_leaves_the_others_one_mesh(seed in 0u64..1_000) {
            let all = peers(120, seed);
            let mesh = mesh(&all, 200);
            let left: BTreeSet<_> = all[60..].iter().copied().collect();
            let known: Vec<_> = all.iter().map(|peer| (*peer, left.contains(peer))).collect();
            let wanted = |me: &PeerId| Overlay::new(*me, 200).wanted(&known);
            let healed: Mesh = left.iter().map(|me| (*me, wanted(me))).collect();
            prop_assert_eq!(spread(&healed).1, 60);
            // And nearly all of them without a single new link: of 256 peers one has lost all its eight.
            let torn: Mesh = mesh.into_iter().filter(|(peer, _)| left.contains(peer)).collect();
            let most = torn.keys().map(|first| spread_from(*first, &torn).1).max();
            prop_assert!(most >= Some(50), "{most:?} of 60");
        }
    }
}
