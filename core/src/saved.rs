//! What a node keeps on disk: small values under typed keys, changed in atomic batches.
//!
//! ```text
//! value  check (16) ‖ slot ‖ what was put, both in postcard
//! ```
//! The check is the fingerprint of all behind it. So a value that lost a bit or its end is known as
//! damaged, and one that a disk wrote to another place than its own is known by its slot.

use crate::codec;
use crate::id::ContainerId;
use crate::record::{Fingerprint, Key};
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
    /// A [`crate::record::Record`] that must survive: grants, the founding, our own vote and freeze.
    Record(Key),
    /// Addresses held for a container: `Vec<IpNet>`.
    Holding(ContainerId),
    /// One page of our own names: [`crate::names::NamesRecord`].
    Names(u8),
    /// Configured targets: `Vec<Target>`.
    Targets,
    /// Where neighbours were found last, by [`crate::id::PeerId`]: a map to `SocketAddr`.
    Neighbours,
    /// Addresses that were given back last, the last one at the end: `Vec<u128>` of offsets.
    Resting,
    /// Voters that were met before the founding: `BTreeSet<PeerId>`.
    Met,
}

/// What lies there, for people.
impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("the identity"),
            Self::Incarnation => f.write_str("the count of starts"),
            Self::Network => f.write_str("the range"),
            Self::Record(Key::Founding(print)) => write!(f, "the first division {print}"),
            Self::Record(Key::Grant(print)) => write!(f, "the grant {print}"),
            Self::Record(Key::Voter(peer)) => write!(f, "the vote of {peer}"),
            Self::Record(Key::Freeze(peer)) => write!(f, "what {peer} said of evictions"),
            Self::Record(Key::Peer(peer)) => write!(f, "the links of {peer}"),
            Self::Record(Key::Names(peer, page)) => write!(f, "page {page} of the names of {peer}"),
            Self::Record(Key::Space(peer)) => write!(f, "the free space of {peer}"),
            Self::Holding(id) => write!(f, "the addresses of {id}"),
            Self::Names(page) => write!(f, "page {page} of the names"),
            Self::Targets => f.write_str("the peers to dial"),
            Self::Neighbours => f.write_str("the peers that were linked last"),
            Self::Resting => f.write_str("the addresses that were given back"),
            Self::Met => f.write_str("the peers that were met"),
        }
    }
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
        let value = Some(labelled(&slot, &codec::encode(value)));
        Self { slot, value }
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
        let Some(bytes) = self.slots.get(slot) else { return Ok(None) };
        let value = read(bytes).filter(|(place, _)| place == slot);
        let value = value.and_then(|(_, value)| codec::decode(value).ok());
        value.map(Some).ok_or_else(|| Damaged(slot.clone()))
    }

    /// Looks for values that are whole, and not where they belong: then the slot that such a one was
    /// meant for lacks it, which nothing there shows.
    ///
    /// # Errors
    /// Names the slot that has the value of another.
    pub fn check_places(&self) -> Result<(), Damaged> {
        let is_astray = |(slot, bytes): &(&Slot, &Vec<u8>)| {
            read(bytes).is_some_and(|(place, _)| place != **slot)
        };
        match self.slots.iter().find(is_astray) {
            None => Ok(()),
            Some((slot, _)) => Err(Damaged(slot.clone())),
        }
    }
}

/// `value` as it lies in `slot`.
pub(crate) fn labelled(slot: &Slot, value: &[u8]) -> Vec<u8> {
    let body = [codec::encode(slot).as_slice(), value].concat();
    [Fingerprint::of(&body).0.as_slice(), &body].concat()
}

/// Where `bytes` belong, and the value; `None` when they are not as they were written.
fn read(bytes: &[u8]) -> Option<(Slot, &[u8])> {
    let (check, body) = bytes.split_first_chunk()?;
    let is_whole = Fingerprint::of(body).0 == *check;
    is_whole.then(|| postcard::take_from_bytes(body).ok()).flatten()
}

/// A saved value that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the saved state is damaged at {0}: put back a copy of the state folder, or start afresh with `weft reset --force`; what this peer owned then stays unused until another peer runs `weft rmpeer` for its old id, which `weft status ipam` lists there"
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

    #[test]
    fn what_is_damaged_is_said_in_words() {
        let said = |slot| std::format!("{}", Damaged(slot));
        let grant = said(Slot::Record(Key::Grant(Fingerprint([0xab; 16]))));
        assert!(grant.starts_with("the saved state is damaged at the grant abababab: "), "{grant}");
        assert!(grant.contains("until another peer runs `weft rmpeer` for its old id"), "{grant}");
        let held = said(Slot::Holding("c1".parse().unwrap()));
        assert!(held.starts_with("the saved state is damaged at the addresses of c1: "), "{held}");
    }

    fn kept() -> Saved {
        let mut saved = Saved::default();
        saved.apply(Change::put(Slot::Names(0), "names"));
        saved.apply(Change::put(Slot::Incarnation, &7_u64));
        saved
    }

    #[test]
    fn a_value_with_a_wrong_bit_or_without_its_end_is_damaged() {
        assert_eq!(kept().get(&Slot::Incarnation), Ok(Some(7_u64)));
        let len = kept().slots[&Slot::Incarnation].len();
        for at in 0..len {
            let (mut flipped, mut short) = (kept(), kept());
            flipped.slots.get_mut(&Slot::Incarnation).unwrap()[at] ^= 1;
            short.slots.get_mut(&Slot::Incarnation).unwrap().truncate(at);
            for saved in [flipped, short] {
                assert_eq!(saved.get::<u64>(&Slot::Incarnation), Err(Damaged(Slot::Incarnation)));
                assert_eq!(saved.check_places(), Ok(()), "it is where it belongs");
            }
        }
    }

    #[test]
    fn a_value_in_the_place_of_another_is_found_whether_that_one_is_read_or_not() {
        let mut saved = kept();
        assert_eq!(saved.check_places(), Ok(()));
        let astray = saved.slots.remove(&Slot::Incarnation).unwrap();
        saved.slots.insert(Slot::Names(0), astray);
        assert_eq!(saved.check_places(), Err(Damaged(Slot::Names(0))));
        assert_eq!(saved.get::<u64>(&Slot::Names(0)), Err(Damaged(Slot::Names(0))));
        assert_eq!(saved.get::<u64>(&Slot::Incarnation), Ok(None));
    }
}
