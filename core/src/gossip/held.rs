//! Records in two orders, each of them held once: the orders compare what they point to.

use super::prefix::{KeyHash, hash_of, item_of};
use crate::record::{Key, Record};
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::cmp::Ordering;

/// A record, and where its key lies.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) hash: KeyHash,
    pub(super) record: Record,
}

impl Held {
    pub(super) fn new(record: Record) -> Self {
        Self { hash: hash_of(&record.key), record }
    }

    /// Names its version. Stores are compared seldom: it is not kept.
    pub(super) fn item(&self) -> u128 {
        item_of(&self.record)
    }
}

/// In the order of keys; found by one.
#[derive(Clone, Debug)]
pub(super) struct ByKey(pub(super) Arc<Held>);

/// In the order of hashes, and of keys where hashes are equal; found by both.
#[derive(Clone, Debug)]
pub(super) struct ByHash(pub(super) Arc<Held>);

/// Where a [`ByHash`] stands, or where one would.
pub(super) trait Place {
    fn place(&self) -> (KeyHash, &Key);
}

impl Place for ByHash {
    fn place(&self) -> (KeyHash, &Key) {
        (self.0.hash, &self.0.record.key)
    }
}

impl Place for (KeyHash, Key) {
    fn place(&self) -> (KeyHash, &Key) {
        (self.0, &self.1)
    }
}

impl Borrow<Key> for ByKey {
    fn borrow(&self) -> &Key {
        &self.0.record.key
    }
}

impl<'a> Borrow<dyn Place + 'a> for ByHash {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.record.key.cmp(&other.0.record.key)
    }
}

impl Ord for ByHash {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

/// All else follows from the order.
macro_rules! ordered {
    ($($type:ty),*) => {$(
        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other).is_eq()
            }
        }

        impl Eq for $type {}
    )*};
}

ordered!(ByKey, ByHash, dyn Place + '_);

#[cfg(test)]
mod tests {
    use super::super::store::tests::record;
    use super::*;
    use alloc::collections::BTreeSet;
    use core::ops::Bound;
    use std::vec::Vec;

    #[test]
    fn keys_that_hash_alike_are_found_apart_and_together() {
        const HASH: KeyHash = 7;
        let held = |writer| Arc::new(Held { hash: HASH, record: record(writer, 0, 1) });
        let (one, other) = (held(1), held(2));
        let mut all = BTreeSet::from([ByHash(Arc::clone(&one)), ByHash(Arc::clone(&other))]);
        let (first, last) =
            if one.record.key < other.record.key { (one, other) } else { (other, one) };
        let from = (HASH, first.record.key);
        let from: Bound<&dyn Place> = Bound::Included(&from);
        let found: Vec<Key> = all
            .range::<dyn Place, _>((from, Bound::Unbounded))
            .map(|ByHash(held)| held.record.key)
            .collect();
        assert_eq!(found, [first.record.key, last.record.key]);
        assert!(all.remove(&(HASH, last.record.key) as &dyn Place));
        assert!(all.contains(&(HASH, first.record.key) as &dyn Place) && all.len() == 1);
    }
}
