//! Values and results kept once. Millions of worlds are made of a few thousand different peers, and
//! what a peer does next depends on nothing but itself and what it hears.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::RwLock;

/// A value out of a [`Pool`]; the same one as another when the values are equal.
pub(crate) struct Shared<T: 'static> {
    id: u32,
    value: &'static T,
}

/// All values seen so far. They stay until the process ends, so that a state is copied without a
/// look at any count that the threads of a search would share.
#[derive(Debug)]
pub(crate) struct Pool<T: 'static>(RwLock<All<T>>);

#[derive(Debug)]
struct All<T: 'static> {
    ids: BTreeMap<&'static T, u32>,
    /// By id.
    values: Vec<&'static T>,
}

/// All results so far, of one function without side effects. In shards, so that the threads of a
/// search seldom meet and each look is a short one.
#[derive(Debug)]
pub(crate) struct Memo<K, V>(Box<[RwLock<BTreeMap<K, V>>]>);

/// Has values of `$type` be equal, and ordered, as what is `$by` of each.
macro_rules! ordered_by {
    ($type:ty, |$value:ident| $by:expr) => {
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other).is_eq()
            }
        }
        impl Eq for $type {}
        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $type {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                let ($value, than) = (self, other);
                let by = $by;
                let $value = than;
                by.cmp(&$by)
            }
        }
    };
}
pub(crate) use ordered_by;

/// About one for each peer that the models know.
const SHARDS: usize = 1 << 16;

impl<T: Ord> Pool<T> {
    pub(crate) fn share(&self, value: T) -> Shared<T> {
        if let Some(shared) = self.0.read().unwrap().find(&value) {
            return shared;
        }
        let mut all = self.0.write().unwrap();
        if let Some(shared) = all.find(&value) {
            return shared;
        }
        let (id, value) = (u32::try_from(all.values.len()).unwrap(), &*Box::leak(Box::new(value)));
        all.ids.insert(value, id);
        all.values.push(value);
        Shared { id, value }
    }

    /// The values with these numbers.
    pub(crate) fn with(&self, ids: impl Iterator<Item = u32>) -> Vec<Shared<T>> {
        let all = self.0.read().unwrap();
        ids.map(|id| Shared { id, value: all.values[usize::try_from(id).unwrap()] }).collect()
    }
}

impl<T: Ord> All<T> {
    fn find(&self, value: &T) -> Option<Shared<T>> {
        let (value, id) = self.ids.get_key_value(value)?;
        Some(Shared { id: *id, value })
    }
}

impl<K: Ord, V> Memo<K, V> {
    /// Looks at the result for `key`, which is found by `shard`; from `make` when it is the first
    /// time.
    pub(crate) fn look<R>(
        &self,
        shard: u32,
        key: K,
        make: impl FnOnce() -> V,
        look: impl FnOnce(&V) -> R,
    ) -> R {
        let shard = &self.0[usize::try_from(shard).unwrap() % SHARDS];
        if let Some(value) = shard.read().unwrap().get(&key) {
            return look(value);
        }
        let value = make();
        let seen = look(&value);
        shard.write().unwrap().insert(key, value);
        seen
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(RwLock::new(All { ids: BTreeMap::new(), values: Vec::new() }))
    }
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| RwLock::default()).collect())
    }
}

impl<T> Shared<T> {
    /// Its number; another one in each run, so good for equality only.
    pub(crate) const fn id(this: &Self) -> u32 {
        this.id
    }
}

impl<T: Debug> Debug for Shared<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<T> Eq for Shared<T> {}

impl<T> PartialOrd for Shared<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Shared<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.id.cmp(&other.id)
    }
}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}
