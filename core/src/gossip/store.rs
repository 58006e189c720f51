//! All records that a peer holds, with sums over ranges of their hashes.

use super::prefix::{Item, KeyHash, Prefix, Print, hash_of, item_of};
use crate::record::{Key, Record, RecordFault};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// All records that a peer holds: of each key the newest.
#[derive(Clone, Debug)]
pub struct Records {
    by_key: BTreeMap<Key, Record>,
    by_hash: BTreeMap<(KeyHash, Key), u128>,
    /// Number and sum of the items under every prefix of up to [`SUMS_DEPTH`] nibbles that has any.
    sums: BTreeMap<Prefix, (usize, u128)>,
    /// How many there are besides those about ownership.
    ordinary: usize,
    max: usize,
}

/// Of the room, this part is kept for records about ownership: whoever floods the mesh with others
/// must not keep out who owns which addresses.
const RESERVED_PART: usize = 4;

/// Sums are kept for prefixes up to this deep (4,096 leaves, 24 of 100,000 records in each); below
/// it they are added up when asked for.
const SUMS_DEPTH: u8 = 3;

impl Records {
    /// An empty store for at most `max` records of others.
    pub const fn new(max: usize) -> Self {
        Self {
            by_key: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            sums: BTreeMap::new(),
            ordinary: 0,
            max,
        }
    }

    /// Whether `record` would replace what is held under its key.
    pub fn is_news(&self, record: &Record) -> bool {
        self.by_key.get(&record.key).is_none_or(|held| record.supersedes(held))
    }

    /// Takes in a record of anybody. Returns whether it was news; if not, its signature was not
    /// looked at.
    ///
    /// # Errors
    /// When it cannot be believed, or the store is full. Nothing is changed.
    pub fn accept(&mut self, record: Record) -> Result<bool, RecordFault> {
        if !self.is_news(&record) {
            return Ok(false);
        }
        record.check()?;
        if !self.by_key.contains_key(&record.key) && !self.has_room(&record.key) {
            return Err(RecordFault::Full(record.key));
        }
        Ok(self.put(record))
    }

    fn has_room(&self, key: &Key) -> bool {
        let ordinary_max = self.max - self.max / RESERVED_PART;
        self.by_key.len() < self.max && (is_ownership(key) || self.ordinary < ordinary_max)
    }

    /// Takes in a record of our own, for which there is always room. Returns whether it was news.
    pub fn put(&mut self, record: Record) -> bool {
        let is_news = self.is_news(&record);
        if is_news {
            self.remove(&record.key);
            let (hash, item) = (hash_of(&record.key), item_of(&record));
            self.by_hash.insert((hash, record.key), item);
            self.count(hash, |(count, sum)| (count + 1, sum.wrapping_add(item)));
            self.ordinary += usize::from(!is_ownership(&record.key));
            self.by_key.insert(record.key, record);
        }
        is_news
    }

    /// Forgets the record of `key`.
    pub fn remove(&mut self, key: &Key) {
        let hash = hash_of(key);
        if self.by_key.remove(key).is_some()
            && let Some(item) = self.by_hash.remove(&(hash, *key))
        {
            self.count(hash, |(count, sum)| (count.saturating_sub(1), sum.wrapping_sub(item)));
            self.ordinary -= usize::from(!is_ownership(key));
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
        self.by_key.get(key)
    }

    /// All records, most urgent kind first.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.by_key.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
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
            if let Some(record) = self.by_key.get(&key) {
                len += record.body.len() + RECORD_OVERHEAD;
                if len > len_max && !batch.is_empty() {
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
            self.range(prefix)
                .fold((0, 0u128), |(count, sum), (_, item)| (count + 1, sum.wrapping_add(*item)))
        };
        (count, Print(sum))
    }

    /// What is held under `prefix`.
    pub fn items(&self, prefix: Prefix) -> impl Iterator<Item = Item> {
        self.range(prefix).map(|((hash, _), item)| Item::new(*hash, *item))
    }

    /// The keys that hash to `hash`: one, unless somebody worked for a collision.
    pub fn keys(&self, hash: KeyHash) -> impl Iterator<Item = Key> {
        self.range(Prefix::of(hash, Prefix::DEPTH_MAX)).map(|((_, key), _)| *key)
    }

    fn range(&self, prefix: Prefix) -> impl Iterator<Item = (&(KeyHash, Key), &u128)> {
        let (first, last) = prefix.bounds();
        self.by_hash.range((first, FIRST_KEY)..).take_while(move |((hash, _), _)| *hash <= last)
    }
}

/// Whether it says who owns addresses: such records are few and must not be missed.
const fn is_ownership(key: &Key) -> bool {
    match key {
        Key::Founding(_) | Key::Grant(_) => true,
        Key::Voter(_) | Key::Peer(_) | Key::Names(_) | Key::Space(_) => false,
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
            0 => Record::sign(&identity, Key::Names(identity.id()), version, body),
            1 => Record::sign(&identity, Key::Peer(identity.id()), version, body),
            _ => {
                let body = sequence.to_be_bytes().to_vec();
                let key = Key::Grant(Fingerprint::by(&identity.id(), &body));
                Record::sign(&identity, key, Version::default(), body)
            }
        }
    }

    fn held(records: &Records) -> Vec<Record> {
        records.iter().cloned().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_order_and_number_of_arrivals_do_not_matter(
            made in proptest::collection::vec((0u8..6, 0u8..3, 0u64..4), 1..24),
            again in proptest::collection::vec(any::<prop::sample::Index>(), 0..24),
        ) {
            let made: Vec<Record> = made.into_iter().map(|(w, k, s)| record(w, k, s)).collect();
            let (mut one, mut two) = (Records::new(100), Records::new(100));
            for record in &made {
                one.accept(record.clone()).unwrap();
            }
            let twice = again.iter().map(|index| index.get(&made));
            for record in twice.chain(made.iter().rev()) {
                two.accept(record.clone()).unwrap();
            }
            prop_assert_eq!(held(&one), held(&two));
            prop_assert_eq!(one.sum(Prefix::ROOT), two.sum(Prefix::ROOT));
            // The sums are those that one gets by adding up.
            for prefix in Prefix::ROOT.parts().flat_map(Prefix::parts) {
                let sum = one.range(prefix).fold(0u128, |sum, (_, item)| sum.wrapping_add(*item));
                prop_assert_eq!(one.sum(prefix), (one.range(prefix).count(), Print(sum)));
            }
        }
    }

    #[test]
    fn beyond_the_limit_only_keys_that_are_held_are_renewed() {
        let mut records = Records::new(1);
        assert_eq!(records.accept(record(1, 0, 1)), Ok(true));
        assert!(matches!(records.accept(record(2, 0, 1)), Err(RecordFault::Full(_))));
        assert_eq!(records.accept(record(1, 0, 2)), Ok(true));
    }

    #[test]
    fn a_flood_of_other_records_leaves_room_for_grants() {
        let mut records = Records::new(8);
        let flood = |records: &mut Records| {
            (10..30).filter(|n| records.accept(record(*n, 0, 1)).is_ok()).count()
        };
        assert_eq!(flood(&mut records), 6);
        for n in 0..2 {
            assert_eq!(records.accept(record(1, 2, n)), Ok(true));
        }
        assert!(matches!(records.accept(record(1, 2, 2)), Err(RecordFault::Full(_))));
        records.remove(&record(10, 0, 1).key);
        assert_eq!(records.accept(record(1, 2, 2)), Ok(true));
        assert_eq!(flood(&mut records), 5);
    }

    #[test]
    fn the_signature_of_what_is_not_news_is_not_looked_at() {
        let mut records = Records::new(9);
        assert_eq!(records.accept(record(1, 0, 2)), Ok(true));
        let mut forged = record(1, 0, 1);
        forged.signature = record(1, 0, 3).signature;
        assert_eq!(records.accept(forged.clone()), Ok(false));
        forged.version.sequence = 4;
        assert!(matches!(records.accept(forged), Err(RecordFault::BadSignature(_))));
    }
}
