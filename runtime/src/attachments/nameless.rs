//! Containers that were found again, and not all of their names.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use weft_core::id::ContainerId;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Nameless(Mutex<BTreeSet<ContainerId>>);

impl Nameless {
    /// Some of its names are lost.
    pub(super) fn note(&self, id: &ContainerId) {
        self.all(|all| all.insert(id.clone()));
    }

    /// It was named again, or is gone.
    pub(super) fn forget(&self, id: &ContainerId) {
        self.all(|all| all.remove(id));
    }

    /// Which they are.
    pub(super) fn list(&self) -> BTreeSet<ContainerId> {
        self.all(|all| all.clone())
    }

    fn all<T>(&self, look: impl FnOnce(&mut BTreeSet<ContainerId>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
