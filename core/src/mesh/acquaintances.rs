//! Where neighbours were found last: dialed after a restart without anybody naming them.

use crate::id::PeerId;
use crate::saved::{Change, Damaged, Saved, Slot};
use alloc::collections::BTreeMap;
use core::net::SocketAddr;

/// Most neighbours that are remembered: a few that live are enough to hear of all others.
const ACQUAINTANCES_MAX: usize = 64;

/// The neighbours that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acquaintances(BTreeMap<PeerId, SocketAddr>);

impl Acquaintances {
    /// Those that were saved.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn load(saved: &Saved) -> Result<Self, Damaged> {
        Ok(Self(saved.get(&Slot::Neighbours)?.unwrap_or_default()))
    }

    /// Who they are, and where each listens.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, SocketAddr)> {
        self.0.iter().map(|(peer, at)| (*peer, *at))
    }

    /// A link with `peer`, which listens `at`, stands. Returns what is to be saved, if anything is
    /// news. Who lived there before is forgotten, and for want of room one that `is_linked` does
    /// not hold for.
    pub(crate) fn note(
        &mut self,
        peer: PeerId,
        at: SocketAddr,
        is_linked: impl Fn(PeerId) -> bool,
    ) -> Option<Change> {
        if self.0.get(&peer) == Some(&at) {
            return None;
        }
        self.0.retain(|_, other| *other != at);
        self.0.insert(peer, at);
        if self.0.len() > ACQUAINTANCES_MAX {
            let away = self.0.keys().copied().find(|other| *other != peer && !is_linked(*other));
            self.0.remove(&away.unwrap_or(peer));
        }
        Some(Change::put(Slot::Neighbours, &self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], 6783))
    }

    #[test]
    fn the_newest_inhabitant_of_an_address_is_remembered_across_a_restart() {
        let mut known = Acquaintances::default();
        let mut saved = Saved::default();
        for peer in [1, 2] {
            saved.apply(known.note(PeerId([peer; 32]), at(1), |_| true).unwrap());
        }
        assert_eq!(known.note(PeerId([2; 32]), at(1), |_| true), None);
        let loaded = Acquaintances::load(&saved).unwrap();
        assert!(loaded.iter().eq([(PeerId([2; 32]), at(1))]));
    }

    #[test]
    fn among_more_than_can_be_remembered_those_that_are_linked_stay() {
        let mut known = Acquaintances::default();
        let linked = |peer: PeerId| peer.0[0] > 100;
        for peer in (1..=40).chain(101..=150) {
            known.note(PeerId([peer; 32]), at(peer), linked);
        }
        assert_eq!(known.iter().count(), ACQUAINTANCES_MAX);
        assert_eq!(known.iter().filter(|(peer, _)| linked(*peer)).count(), 50);
    }
}
