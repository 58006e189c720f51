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

/// How long a neighbour has for pushing what it announced, before the next one is asked.
const GRAFT_WAIT: Duration = Duration::from_secs(1);

/// Most keys that are remembered; what is announced beyond is found when stores are compared.
const KEYS_MAX: usize = 4_096;

/// Most neighbours that are remembered to have one record.
const HOLDERS_MAX: usize = 8;

/// What neighbours have announced and we lack.
#[derive(Debug, Default)]
pub(crate) struct Lacking {
    keys: BTreeMap<KeyHash, Lack>,
    due: BTreeSet<(Instant, KeyHash)>,
}

#[derive(Debug)]
struct Lack {
    version: Version,
    /// Who announced that version and was not asked for it.
    holders: VecDeque<PeerId>,
    due: Instant,
}

impl Lacking {
    /// `peer` has announced a record that is not held here.
    pub(crate) fn heard(&mut self, now: Instant, peer: PeerId, have: Have) {
        if let Some(lack) = self.keys.get_mut(&have.key) {
            if have.version > lack.version {
                lack.version = have.version;
                lack.holders.clear();
            }
            let is_new = have.version == lack.version && !lack.holders.contains(&peer);
            if is_new && lack.holders.len() < HOLDERS_MAX {
                lack.holders.push_back(peer);
            }
        } else if self.keys.len() < KEYS_MAX {
            let due = now + TREE_WAIT;
            self.due.insert((due, have.key));
            let holders = VecDeque::from([peer]);
            self.keys.insert(have.key, Lack { version: have.version, holders, due });
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
            if is_held(Have { key, version: lack.version }) {
                continue;
            }
            lack.holders.retain(&is_neighbour);
            let Some(peer) = lack.holders.pop_front() else { continue };
            asked.push((peer, key));
            lack.due = now + GRAFT_WAIT;
            self.due.insert((lack.due, key));
            self.keys.insert(key, lack);
        }
        asked
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
    fn a_newer_version_counts_and_an_older_one_does_not() {
        let mut lacking = Lacking::default();
        lacking.heard(NOW, ONE, have(7, 2));
        lacking.heard(NOW, TWO, have(7, 1));
        let then = NOW + TREE_WAIT;
        assert_eq!(lacking.take(then, |_| false, |peer| *peer == TWO), []);
        lacking.heard(NOW, ONE, have(7, 2));
        lacking.heard(NOW, TWO, have(7, 3));
        assert_eq!(lacking.take(then, |_| false, |_| true), [(TWO, 7)]);
    }

    #[test]
    fn a_flood_of_announcements_takes_bounded_room() {
        let mut lacking = Lacking::default();
        for key in 0..2 * KEYS_MAX as u64 {
            lacking.heard(NOW, ONE, have(key, 1));
        }
        for n in 0..=255 {
            lacking.heard(NOW, PeerId([n; 32]), have(0, 1));
        }
        assert_eq!((lacking.len(), lacking.due.len()), (KEYS_MAX, KEYS_MAX));
        assert_eq!(lacking.keys[&0].holders.len(), HOLDERS_MAX);
        assert_eq!(lacking.take(NOW + TREE_WAIT, |_| false, |_| true).len(), KEYS_MAX);
    }
}
