//! What neighbours have announced and we lack: the tree does not bring it, and is mended.

use super::prefix::{Have, KeyHash};
use crate::id::PeerId;
use crate::record::Version;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

/// How long the tree has for bringing what was announced. Who announces has waited already.
const TREE_WAIT: Duration = Duration::from_millis(50);

/// How long a neighbour has for pushing what it announced, before the next one is asked too. An answer
/// that takes longer comes twice; one that never comes keeps nobody waiting.
const GRAFT_WAIT: Duration = Duration::from_millis(500);

/// Most keys that are remembered of one neighbour; what it announces beyond is found when stores are
/// compared. So one that announces what there is not keeps nobody else's word out.
const KEYS_MAX: usize = 1_024;

/// What neighbours have announced and we lack.
#[derive(Debug, Default)]
pub(crate) struct Lacking {
    keys: BTreeMap<KeyHash, Lack>,
    due: BTreeSet<(Instant, KeyHash)>,
    /// By neighbour, how many keys it is a holder of.
    counts: BTreeMap<PeerId, usize>,
}

#[derive(Debug)]
struct Lack {
    /// Who announced which version, and was not asked for it.
    holders: VecDeque<(PeerId, Version)>,
    due: Instant,
}

impl Lacking {
    /// `peer` has announced a record that is not held here.
    pub(crate) fn heard(&mut self, now: Instant, peer: PeerId, have: Have) {
        let count = self.counts.get(&peer).copied().unwrap_or_default();
        if let Some(lack) = self.keys.get_mut(&have.key)
            && let Some((_, version)) = lack.holders.iter_mut().find(|(holder, _)| *holder == peer)
        {
            *version = have.version.max(*version);
        } else if count < KEYS_MAX {
            self.counts.insert(peer, count + 1);
            let lack = self.keys.entry(have.key).or_insert_with(|| {
                let due = now + TREE_WAIT;
                self.due.insert((due, have.key));
                Lack { holders: VecDeque::new(), due }
            });
            lack.holders.push_back((peer, have.version));
        }
    }

    /// When somebody is to be asked, if nothing comes.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Whom to ask for what, of all that `is_held` does not find; who is no neighbour any more is
    /// passed over.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        is_held: impl Fn(Have) -> bool,
        is_neighbour: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, KeyHash)> {
        let mut asked = Vec::new();
        while let Some((due, key)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, key));
            let Some(mut lack) = self.keys.remove(&key) else { continue };
            while let Some((peer, version)) = lack.holders.pop_front() {
                self.uncount(peer);
                if is_neighbour(&peer) && !is_held(Have { key, version }) {
                    asked.push((peer, key));
                    lack.due = now + GRAFT_WAIT;
                    self.due.insert((lack.due, key));
                    self.keys.insert(key, lack);
                    break;
                }
            }
        }
        asked
    }

    fn uncount(&mut self, peer: PeerId) {
        if let Some(count) = self.counts.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&peer);
            }
        }
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;

    const NOW: Instant = Instant::ZERO;
    const ONE: PeerId = PeerId([1; 32]);
    const TWO: PeerId = PeerId([2; 32]);

    fn have(key: KeyHash, sequence: u64) -> Have {
        Have { key, version: Version { incarnation: Incarnation(1), sequence } }
    }

    #[test]
    fn who_announced_it_is_asked_in_turn_until_it_comes() {
        let mut lacking = Lacking::default();
        lacking.heard(NOW, ONE, have(7, 1));
        lacking.heard(NOW, TWO, have(7, 1));
        lacking.heard(NOW, TWO, have(7, 1));
        let then = lacking.due_at().unwrap();
        assert_eq!(then, NOW + TREE_WAIT);
        assert_eq!(lacking.take(then, |_| false, |_| true), [(ONE, 7)]);
        let then = then + GRAFT_WAIT;
        assert_eq!(lacking.due_at(), Some(then));
        assert_eq!(lacking.take(then, |_| false, |_| true), [(TWO, 7)]);
        // Nobody is left: what is lacking is found when stores are compared.
        let then = then + GRAFT_WAIT;
        assert!(lacking.take(then, |_| false, |_| true).is_empty());
        assert_eq!((lacking.due_at(), lacking.len()), (None, 0));
    }

    #[test]
    fn what_has_come_is_not_asked_for_and_neither_is_who_is_gone() {
        let mut lacking = Lacking::default();
        lacking.heard(NOW, ONE, have(7, 1));
        let then = NOW + TREE_WAIT;
        assert!(lacking.take(then, |it| it == have(7, 1), |_| true).is_empty());
        assert_eq!(lacking.len(), 0);
        lacking.heard(NOW, ONE, have(7, 1));
        lacking.heard(NOW, TWO, have(7, 1));
        assert_eq!(lacking.take(then, |_| false, |peer| *peer == TWO), [(TWO, 7)]);
    }

    #[test]
    fn a_version_that_one_makes_up_hides_none_that_others_announce() {
        let mut lacking = Lacking::default();
        lacking.heard(NOW, ONE, have(7, u64::MAX));
        lacking.heard(NOW, TWO, have(7, 3));
        let then = NOW + TREE_WAIT;
        assert_eq!(lacking.take(then, |_| false, |_| true), [(ONE, 7)]);
        lacking.heard(then, ONE, have(7, u64::MAX));
        assert_eq!(lacking.take(then + GRAFT_WAIT, |_| false, |_| true), [(TWO, 7)]);
        // What TWO holds has come meanwhile.
        let is_held = |it: Have| it.version <= have(7, 3).version;
        lacking.heard(then, TWO, have(7, 3));
        let then = then + GRAFT_WAIT * 2;
        assert_eq!(lacking.take(then, is_held, |peer| *peer == TWO), []);
    }

    #[test]
    fn a_flood_of_announcements_takes_bounded_room_and_none_of_that_for_others() {
        let mut lacking = Lacking::default();
        for key in 0..2 * KEYS_MAX as u64 {
            lacking.heard(NOW, ONE, have(key, 1));
        }
        assert_eq!((lacking.len(), lacking.due.len()), (KEYS_MAX, KEYS_MAX));
        lacking.heard(NOW, TWO, have(u64::MAX, 1));
        let asked = lacking.take(NOW + TREE_WAIT, |_| false, |_| true);
        assert!(asked.len() == KEYS_MAX + 1 && asked.contains(&(TWO, u64::MAX)));
        assert!(lacking.counts.is_empty());
        assert!(lacking.take(NOW + TREE_WAIT + GRAFT_WAIT, |_| false, |_| true).is_empty());
        assert_eq!((lacking.len(), lacking.due.len()), (0, 0));
    }
}
