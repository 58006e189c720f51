//! Whom a peer has met before the founding. Where its operator gave no number, as many are to divide the
//! addresses: whom it was told to dial is not enough, for a first peer is told to dial nobody, and would divide
//! them once more when it is cut off from those that have joined it.

use crate::id::PeerId;
use crate::saved::{Change, Damaged, Saved, Slot};
use alloc::collections::BTreeSet;

/// Most that are remembered, as a founding names no more.
const MET_MAX: usize = super::founding::SEEDS_MAX;

/// Voters that were in reach before the founding, also before a restart.
#[derive(Clone, Debug, Default)]
pub(super) struct Met(BTreeSet<PeerId>);

impl Met {
    /// Those that were saved.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn load(saved: &Saved) -> Result<Self, Damaged> {
        Ok(Self(saved.get(&Slot::Met)?.unwrap_or_default()))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Remembers `voters`. Returns what is to be saved, if that is news.
    pub(super) fn add(&mut self, voters: impl Iterator<Item = PeerId>) -> Option<Change> {
        let before = self.len();
        for voter in voters {
            if self.len() < MET_MAX {
                self.0.insert(voter);
            }
        }
        (self.len() > before).then(|| self.saved())
    }

    /// Forgets `gone`, who are so for good. Returns what is to be saved, if that is news.
    pub(super) fn forget(&mut self, gone: &BTreeSet<PeerId>) -> Option<Change> {
        let before = self.len();
        self.0.retain(|voter| !gone.contains(voter));
        (self.len() < before).then(|| self.saved())
    }

    /// There is a founding: nobody need be remembered.
    pub(super) fn clear(&mut self) -> Option<Change> {
        let was_empty = self.0.is_empty();
        self.0.clear();
        (!was_empty).then(|| self.saved())
    }

    fn saved(&self) -> Change {
        if self.0.is_empty() { Change::remove(Slot::Met) } else { Change::put(Slot::Met, &self.0) }
    }
}
