//! All records that a peer holds, with sums over ranges of their hashes.

use super::held::{ByHash, ByKey, Held, Place};
use super::prefix::{Have, Item, KeyHash, Prefix, Print};
use crate::mark::{Mark, mark};
use crate::record::{Key, Record, RecordFault};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

/// All records that a peer holds: of each key the newest.
#[derive(Clone, Debug)]
pub struct Records {
    by_key: BTreeSet<ByKey>,
    by_hash: BTreeSet<ByHash>,
    /// Number and sum of the items under every prefix of up to [`SUMS_DEPTH`] nibbles that has any.
    sums: BTreeMap<Prefix, (usize, u128)>,
    all: Size,
    /// Of all, those that are not about ownership.
    ordinary: Size,
    max: Size,
}

/// How much some records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    count: usize,
    /// In bytes, as they are sent.
    len: usize,
}

impl Size {
    const fn of(record: &Record) -> Self {
        Self { count: 1, len: record.body.len() + RECORD_OVERHEAD }
    }

    const fn plus(self, other: Self) -> Self {
        let len = self.len.saturating_add(other.len);
        Self { count: self.count.saturating_add(other.count), len }
    }

    const fn less(self, other: Self) -> Self {
        let len = self.len.saturating_sub(other.len);
        Self { count: self.count.saturating_sub(other.count), len }
    }

    const fn fits(self, max: Self) -> bool {
        self.count <= max.count && self.len <= max.len
    }
}

/// Of the room, this part is kept for records about ownership: whoever floods the mesh with others
/// must not keep out who owns which addresses.
const RESERVED_PART: usize = 4;

/// Of that part, one half may be taken by what neighbours say of themselves: whoever invents peers must
/// not keep the others from knowing those whom they meet.
const NEIGHBOURS_PART: usize = 2;

/// Sums are kept for prefixes up to this deep (4,096 leaves, 24 of 100,000 records in each); below
/// it they are added up when asked for.
const SUMS_DEPTH: u8 = 3;

impl Records {
    /// An empty store for others' records until there are `count_max`, of `len_max` bytes together.
    pub const fn new(count_max: usize, len_max: usize) -> Self {
        let none = Size { count: 0, len: 0 };
        Self {
            by_key: BTreeSet::new(),
            by_hash: BTreeSet::new(),
            sums: BTreeMap::new(),
            all: none,
            ordinary: none,
            max: Size { count: count_max, len: len_max },
        }
    }

    /// Whether `record` would replace what is held under its key.
    pub fn is_news(&self, record: &Record) -> bool {
        self.get(&record.key).is_none_or(|held| record.supersedes(held))
    }

    /// Takes in a record of anybody; for one that a neighbour wrote there is some more room. Returns
    /// whether it was news; if not, its signature was not looked at.
    ///
    /// # Errors
    /// When it cannot be believed, or the store is full. Nothing is changed.
    pub fn accept(&mut self, record: Record, is_neighbours: bool) -> Result<bool, RecordFault> {
        if !self.is_news(&record) {
            return Ok(false);
        }
        // First: to look at a signature is far more work, which nobody should get for records that
        // are not kept.
        if !self.has_room(&record, is_neighbours) {
            return Err(RecordFault::Full(record.key));
        }
        record.check()?;
        Ok(self.put(record))
    }

    /// Whether `record` fits in, in place of what is held under its key. One that makes nothing
    /// larger always does.
    fn has_room(&self, record: &Record, is_neighbours: bool) -> bool {
        let before = self.get(&record.key).map(Size::of).unwrap_or_default();
        let after = Size::of(record);
        let max = self.max;
        let part = RESERVED_PART * if is_neighbours { NEIGHBOURS_PART } else { 1 };
        let reserved = Size { count: max.count / part, len: max.len / part };
        let fits = |size: Size, max| size.less(before).plus(after).fits(max);
        after.fits(before)
            || fits(self.all, max)
                && (is_ownership(&record.key) || fits(self.ordinary, max.less(reserved)))
    }

    /// Takes in a record of our own, for which there is always room. Returns whether it was news.
    pub fn put(&mut self, record: Record) -> bool {
        let is_news = self.is_news(&record);
        if is_news {
            self.remove(&record.key);
            let held = Arc::new(Held::new(record));
            let item = held.item();
            self.count(held.hash, |(count, sum)| (count + 1, sum.wrapping_add(item)));
            let size = Size::of(&held.record);
            self.all = self.all.plus(size);
            if !is_ownership(&held.record.key) {
                self.ordinary = self.ordinary.plus(size);
            }
            self.by_hash.insert(ByHash(Arc::clone(&held)));
            self.by_key.insert(ByKey(held));
        }
        is_news
    }

    /// Forgets the record of `key`.
    pub fn remove(&mut self, key: &Key) {
        if let Some(ByKey(held)) = self.by_key.take(key) {
            let (hash, item) = (held.hash, held.item());
            self.count(hash, |(count, sum)| (count.saturating_sub(1), sum.wrapping_sub(item)));
            self.by_hash.remove(&(hash, *key) as &dyn Place);
            let size = Size::of(&held.record);
            self.all = self.all.less(size);
            if !is_ownership(key) {
                self.ordinary = self.ordinary.less(size);
            }
        }
    }

    fn count(&mut self, hash: KeyHash, change: impl Fn((usize, u128)) -> (usize, u128)) {
        for depth in 0..=SUMS_DEPTH {
            let prefix = Prefix::of(hash, depth);
            let sum = change(self.sums.get(&prefix).copied().unwrap_or_default());
            if sum.0 == 0 {
                self.sums.remove(&prefix);
            } else {
                self.sums.insert(prefix, sum);
            }
        }
    }

    /// The record of `key`.
    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.by_key.get(key).map(|ByKey(held)| &held.record)
    }

    /// Whether what `have` names is held, or a newer version of it.
    pub fn holds(&self, have: Have) -> bool {
        self.keyed(have.key).any(|held| held.record.version >= have.version)
    }

    /// All records, most urgent kind first.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.by_key.iter().map(|ByKey(held)| &held.record)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many bytes they are, as they are sent.
    pub const fn len_bytes(&self) -> usize {
        self.all.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Takes from `dirty`, in order, the keys of as many records as fit into `len_max` bytes of
    /// bodies, but at least one, and returns the records; keys without a record are dropped.
    pub fn batch(&self, dirty: &mut BTreeSet<Key>, len_max: usize) -> Vec<Record> {
        let mut batch = Vec::new();
        let mut len = 0;
        while let Some(key) = dirty.first().copied() {
            if let Some(record) = self.get(&key) {
                len += Size::of(record).len;
                if len > len_max && !batch.is_empty() {
                    mark(Mark::GossipSplit);
                    break;
                }
                batch.push(record.clone());
            }
            dirty.remove(&key);
        }
        batch
    }

    /// Number of records under `prefix`, and the sum of their hashes.
    pub fn sum(&self, prefix: Prefix) -> (usize, Print) {
        let (count, sum) = if prefix.depth <= SUMS_DEPTH {
            self.sums.get(&prefix).copied().unwrap_or_default()
        } else {
            let items = self.range(prefix).map(Held::item);
            items.fold((0, 0u128), |(count, sum), item| (count + 1, sum.wrapping_add(item)))
        };
        (count, Print(sum))
    }

    /// What is held under `prefix`.
    pub fn items(&self, prefix: Prefix) -> impl Iterator<Item = Item> {
        self.range(prefix).map(|held| Item::new(held.hash, held.item()))
    }

    /// The keys that hash to `hash`: one, unless somebody worked for a collision.
    pub fn keys(&self, hash: KeyHash) -> impl Iterator<Item = Key> {
        self.keyed(hash).map(|held| held.record.key)
    }

    fn keyed(&self, hash: KeyHash) -> impl Iterator<Item = &Held> {
        self.range(Prefix::of(hash, Prefix::DEPTH_MAX))
    }

    fn range(&self, prefix: Prefix) -> impl Iterator<Item = &Held> {
        let (first, last) = prefix.bounds();
        let from = (first, FIRST_KEY);
        let from: Bound<&dyn Place> = Bound::Included(&from);
        let held = self.by_hash.range::<dyn Place, _>((from, Bound::Unbounded));
        held.map(|ByHash(held)| &**held).take_while(move |held| held.hash <= last)
    }
}

/// Whether it says who owns addresses: such records are few and must not be missed.
const fn is_ownership(key: &Key) -> bool {
    match key {
        Key::Founding(_) | Key::Grant(_) => true,
        Key::Voter(_) | Key::Freeze(_) | Key::Peer(_) | Key::Names(..) | Key::Space(_) => false,
    }
}

/// The key before all others.
const FIRST_KEY: Key = Key::Founding(crate::record::Fingerprint([0; 16]));

/// About how many bytes a record takes besides its body: key, version, writer, signature.
const RECORD_OVERHEAD: usize = 144;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::id::{Identity, Incarnation};
    use crate::record::{Fingerprint, Version};
    use proptest::prelude::*;

    /// A valid record; the same numbers make the same record.
    pub(in crate::gossip) fn record(writer: u8, kind: u8, sequence: u64) -> Record {
        let identity = Identity::from_seed([writer; 32]);
        let version = Version { incarnation: Incarnation(1), sequence };
        let body = std::vec![writer, kind];
        match kind % 3 {
            0 => Record::sign(&identity, Key::Names(identity.id(), 0), version, body),
            1 => Record::sign(&identity, Key::Peer(identity.id()), version, body),
            _ => {
                let body = sequence.to_be_bytes().to_vec();
                let key = Key::Grant(Fingerprint::by(&identity.id(), &body));
                Record::sign(&identity, key, Version::default(), body)
            }
        }
    }

    /// A store for so many records, of whatever length.
    pub(in crate::gossip) fn with_room(count: usize) -> Records {
        Records::new(count, usize::MAX)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sums_are_those_that_one_gets_by_adding_up(
            made in proptest::collection::vec((0u8..6, 0u8..3, 0u64..4), 1..24),
        ) {
            let mut one = with_room(100);
            for (writer, kind, sequence) in made {
                one.accept(record(writer, kind, sequence), false).unwrap();
            }
            for prefix in Prefix::ROOT.parts().flat_map(Prefix::parts) {
                let items = one.range(prefix).map(Held::item);
                let sum = items.fold(0u128, u128::wrapping_add);
                prop_assert_eq!(one.sum(prefix), (one.range(prefix).count(), Print(sum)));
            }
        }
    }

    #[test]
    fn beyond_the_limit_only_keys_that_are_held_are_renewed() {
        let mut records = with_room(1);
        assert_eq!(records.accept(record(1, 0, 1), false), Ok(true));
        assert!(matches!(records.accept(record(2, 0, 1), false), Err(RecordFault::Full(_))));
        assert_eq!(records.accept(record(1, 0, 2), false), Ok(true));
    }

    #[test]
    fn a_flood_of_other_records_leaves_room_for_grants() {
        let mut records = with_room(8);
        let flood = |records: &mut Records| {
            (10..30).filter(|n| records.accept(record(*n, 0, 1), false).is_ok()).count()
        };
        assert_eq!(flood(&mut records), 6);
        for n in 0..2 {
            assert_eq!(records.accept(record(1, 2, n), false), Ok(true));
        }
        assert!(matches!(records.accept(record(1, 2, 2), false), Err(RecordFault::Full(_))));
        records.remove(&record(10, 0, 1).key);
        assert_eq!(records.accept(record(1, 2, 2), false), Ok(true));
        assert_eq!(flood(&mut records), 5);
    }

    #[test]
    fn a_flood_of_other_records_leaves_room_for_neighbours_and_those_for_grants() {
        let mut records = with_room(16);
        let mut taken = |writers: core::ops::Range<u8>, kind, is_neighbours| {
            let all = writers.map(|writer| record(writer, kind, 1));
            all.filter(|record| records.accept(record.clone(), is_neighbours).is_ok()).count()
        };
        assert_eq!(taken(10..40, 0, false), 12);
        assert_eq!(taken(40..60, 0, true), 2);
        assert_eq!(taken(60..80, 2, false), 2);
    }

    #[test]
    fn long_records_fill_the_store_before_there_are_many() {
        let long = |writer: u8, sequence, len| {
            let identity = Identity::from_seed([writer; 32]);
            let version = Version { incarnation: Incarnation(1), sequence };
            Record::sign(&identity, Key::Names(identity.id(), 0), version, std::vec![0; len])
        };
        let mut records = Records::new(1_000, 8_000);
        let full = |result| matches!(result, Err(RecordFault::Full(_)));
        assert_eq!(records.accept(long(1, 1, 2_500), false), Ok(true));
        assert_eq!(records.accept(long(2, 1, 2_500), false), Ok(true));
        assert!(full(records.accept(long(3, 1, 2_500), false)));
        assert!(full(records.accept(long(2, 2, 4_000), false)));
        assert_eq!(records.accept(record(1, 2, 1), false), Ok(true));
        // What makes room is taken, and the room is there for others.
        assert_eq!(records.accept(long(2, 3, 100), false), Ok(true));
        assert_eq!(records.accept(long(3, 1, 2_500), false), Ok(true));
        // Our own record always fits; after it, others only become shorter.
        records.put(long(4, 1, 9_000));
        assert!(full(records.accept(record(1, 2, 2), false)));
        assert_eq!(records.accept(long(3, 2, 2_500), false), Ok(true));
    }

    #[test]
    fn the_signature_of_what_is_not_news_is_not_looked_at() {
        let mut records = with_room(9);
        assert_eq!(records.accept(record(1, 0, 2), false), Ok(true));
        let mut forged = record(1, 0, 1);
        forged.signature = record(1, 0, 3).signature;
        assert_eq!(records.accept(forged.clone(), false), Ok(false));
        forged.version.sequence = 4;
        assert!(matches!(records.accept(forged, false), Err(RecordFault::BadSignature(_))));
    }
}
