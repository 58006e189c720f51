//! What a node keeps on disk: small values under typed keys, changed in atomic batches.

use crate::codec;
use crate::id::ContainerId;
use crate::record::Key;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Where a value is kept. The store's key is the slot in postcard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Slot {
    /// The identity's seed: `[u8; 32]`.
    Identity,
    /// The last [`crate::id::Incarnation`] used.
    Incarnation,
    /// What the rest was saved under ([`Network`]): a change of it is refused or starts afresh.
    Network,
    /// A [`crate::record::Record`] that must survive: grants, the founding, our own vote.
    Record(Key),
    /// Addresses held for a container: `Vec<IpNet>`.
    Holding(ContainerId),
    /// Our own names: [`crate::names::NamesRecord`].
    Names,
    /// Configured targets: `Vec<Target>`.
    Targets,
    /// Where neighbours were found last, by [`crate::id::PeerId`]: a map to `SocketAddr`.
    Neighbours,
}

/// The settings that saved state depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The universe that holdings and grants lie in.
    pub universe: crate::addr::Universe,
}

/// One value put, or removed with `None`. Its `Debug` shows no value: one of them is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where.
    pub slot: Slot,
    /// What; the runtime does not look inside.
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.value.as_ref().map(Vec::len);
        f.debug_struct("Change").field("slot", &self.slot).field("len", &len).finish()
    }
}

impl Change {
    /// Puts `value` into `slot`.
    pub fn put<T: Serialize + ?Sized>(slot: Slot, value: &T) -> Self {
        Self { slot, value: Some(codec::encode(value)) }
    }

    /// Empties `slot`.
    pub const fn remove(slot: Slot) -> Self {
        Self { slot, value: None }
    }
}

/// All that was durable when the node started. Its `Debug` shows no value: one of them is a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The values.
    pub slots: BTreeMap<Slot, Vec<u8>>,
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.slots.keys()).finish()
    }
}

impl Saved {
    /// Carries out `change`.
    pub fn apply(&mut self, change: Change) {
        match change.value {
            Some(value) => self.slots.insert(change.slot, value),
            None => self.slots.remove(&change.slot),
        };
    }

    /// The value in `slot`, or `None` when it is empty.
    ///
    /// # Errors
    /// When the value does not decode: the file is damaged, or of another version.
    pub fn get<T: for<'a> Deserialize<'a>>(&self, slot: &Slot) -> Result<Option<T>, Damaged> {
        let value = self.slots.get(slot).map(|bytes| codec::decode(bytes));
        value.transpose().map_err(|_| Damaged(slot.clone()))
    }
}

/// A saved value that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the saved state is damaged at {0:?}: `weft reset --force` starts afresh, or put back a copy of the state folder"
)]
pub struct Damaged(pub Slot);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_not_in_what_is_printed_for_debugging() {
        let change = Change::put(Slot::Identity, &[201u8; 32]);
        let mut saved = Saved::default();
        saved.apply(change.clone());
        let printed = std::format!("{change:?} {saved:?}");
        assert!(printed.contains("Identity") && !printed.contains("201"), "{printed}");
    }
}
