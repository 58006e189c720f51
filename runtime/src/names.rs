//! The names that are answered, looked up from either side.
//!
//! A mesh may have a hundred thousand of them, and one changes whenever a container starts somewhere:
//! the index takes in what changed, and is never built anew.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use weft_core::id::{ContainerId, PeerId};
use weft_core::names::{Name, NameEntry, NameValue, NamesPage, PageKey};

/// Names and addresses of all peers.
#[derive(Debug)]
pub struct NameIndex {
    /// The peer whose index it is.
    me: PeerId,
    /// What the rest is made of.
    pages: Pages,
    by_name: HashMap<Name, Vec<Claimed<NameValue>>>,
    by_address: HashMap<IpAddr, Vec<Claimed<Name>>>,
    /// How many names lie below each of these: below `b.c` and `c`, for `a.b.c`.
    parents: HashMap<Box<str>, usize>,
}

/// All names, by the peer whose word they are, and the page on which they stand.
type Pages = BTreeMap<PageKey, NamesPage>;

/// What somebody says a name, or an address, stands for. Several may say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed<T> {
    /// What it is.
    pub value: T,
    /// How many of its claims are of containers on this host.
    here: usize,
    /// How many are of others.
    elsewhere: usize,
}

impl<T> Claimed<T> {
    /// Whether it is on this host.
    pub const fn is_here(&self) -> bool {
        self.here > 0
    }
}

impl NameIndex {
    /// Without names; `me` is the peer of this host.
    pub fn new(me: PeerId) -> Self {
        Self {
            me,
            pages: BTreeMap::new(),
            by_name: HashMap::new(),
            by_address: HashMap::new(),
            parents: HashMap::new(),
        }
    }

    /// What `name` stands for, in order: addresses first. It is in lower case, without the final dot.
    pub fn values(&self, name: &str) -> &[Claimed<NameValue>] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The addresses among them.
    pub fn addresses(&self, name: &str) -> impl Iterator<Item = IpAddr> {
        self.values(name).iter().map_while(|it| it.value.address())
    }

    /// The names of `address`, in order.
    pub fn names(&self, address: IpAddr) -> &[Claimed<Name>] {
        self.by_address.get(&address).map_or(&[], Vec::as_slice)
    }

    /// What this peer says, on behalf of `id`.
    pub fn own<'a>(&'a self, id: &'a ContainerId) -> impl Iterator<Item = &'a NameEntry> {
        let own = self.pages.range((self.me, 0)..=(self.me, u8::MAX));
        own.flat_map(|(_, entries)| entries.iter()).filter(move |entry| entry.id == *id)
    }

    /// Whether names lie below `name`, which is in lower case, without the final dot.
    pub fn is_parent(&self, name: &str) -> bool {
        self.parents.contains_key(name)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// From now on the names are those of `pages`. Costs as much as there are pages, and what stands on those
    /// that have changed.
    pub fn update(&mut self, pages: impl IntoIterator<Item = (PageKey, NamesPage)>) {
        let pages: Pages = pages.into_iter().collect();
        let before = std::mem::replace(&mut self.pages, pages.clone());
        for (peer, entry) in missing(&before, &pages) {
            self.remove(peer, entry);
        }
        for (peer, entry) in missing(&pages, &before) {
            self.insert(peer, entry);
        }
    }

    fn insert(&mut self, peer: PeerId, entry: &NameEntry) {
        let is_here = peer == self.me;
        if !self.by_name.contains_key(&entry.name) {
            for parent in parents(entry.name.as_str()) {
                *self.parents.entry(parent.into()).or_default() += 1;
            }
        }
        claim(self.by_name.entry(entry.name.clone()).or_default(), &entry.value, is_here);
        if let Some(address) = entry.value.address() {
            claim(self.by_address.entry(address).or_default(), &entry.name, is_here);
        }
    }

    fn remove(&mut self, peer: PeerId, entry: &NameEntry) {
        let is_here = peer == self.me;
        let values = self.by_name.get_mut(&entry.name);
        if values.is_some_and(|all| unclaim(all, &entry.value, is_here)) {
            self.by_name.remove(&entry.name);
            for parent in parents(entry.name.as_str()) {
                if let Some(count) = self.parents.get_mut(parent) {
                    *count -= 1;
                    if *count == 0 {
                        self.parents.remove(parent);
                    }
                }
            }
        }
        let Some(address) = entry.value.address() else { return };
        let names = self.by_address.get_mut(&address);
        if names.is_some_and(|all| unclaim(all, &entry.name, is_here)) {
            self.by_address.remove(&address);
        }
    }
}

/// What is in `these` and not in `those`.
fn missing<'a>(
    these: &'a Pages,
    those: &'a Pages,
) -> impl Iterator<Item = (PeerId, &'a NameEntry)> {
    these.iter().flat_map(|(page, entries)| {
        let other = those.get(page);
        let changed = other.is_none_or(|other| !Arc::ptr_eq(entries, other));
        let entries = if changed { &entries[..] } else { &[] };
        let is_there = move |entry| other.is_some_and(|it| it.binary_search(entry).is_ok());
        entries.iter().filter(move |entry| !is_there(entry)).map(|entry| (page.0, entry))
    })
}

/// `b.c` and `c`, for `a.b.c`.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    fn parent(name: &str) -> Option<&str> {
        name.split_once('.').map(|(_, parent)| parent)
    }
    std::iter::successors(parent(name), |name| parent(name))
}

/// One more says so.
fn claim<T: Ord + Clone>(all: &mut Vec<Claimed<T>>, value: &T, is_here: bool) {
    let at = match all.binary_search_by(|it| it.value.cmp(value)) {
        Ok(at) => at,
        Err(at) => {
            all.insert(at, Claimed { value: value.clone(), here: 0, elsewhere: 0 });
            at
        }
    };
    if let Some(claimed) = all.get_mut(at) {
        *if is_here { &mut claimed.here } else { &mut claimed.elsewhere } += 1;
    }
}

/// One less says so; whether nothing is left.
fn unclaim<T: Ord>(all: &mut Vec<Claimed<T>>, value: &T, is_here: bool) -> bool {
    if let Ok(at) = all.binary_search_by(|it| it.value.cmp(value))
        && let Some(claimed) = all.get_mut(at)
    {
        *if is_here { &mut claimed.here } else { &mut claimed.elsewhere } -= 1;
        if claimed.here + claimed.elsewhere == 0 {
            all.remove(at);
        }
    }
    all.is_empty()
}

/// An index that the driver keeps up to date, and others read.
#[derive(Clone, Debug)]
pub struct SharedIndex(Arc<RwLock<NameIndex>>);

impl SharedIndex {
    /// Shares `index`.
    pub fn new(index: NameIndex) -> Self {
        Self(Arc::new(RwLock::new(index)))
    }

    /// The index as it is. Whoever reads keeps it from being brought up to date.
    pub fn read(&self) -> RwLockReadGuard<'_, NameIndex> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings it up to date ([`NameIndex::update`]).
    pub fn update(&self, pages: impl IntoIterator<Item = (PageKey, NamesPage)>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).update(pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const ME: PeerId = PeerId([0; 32]);

    /// Hosts from 100 on are strings of text.
    fn entry(name: &str, host: u8) -> NameEntry {
        let value = match host {
            ..100 => NameValue::V4([10, 32, 0, host].into()),
            100.. => NameValue::Text(vec![host.to_string()].try_into().unwrap()),
        };
        NameEntry { name: name.parse().unwrap(), value, id: "c".parse().unwrap() }
    }

    /// Of two peers, by the page.
    fn pages(all: &BTreeMap<u8, BTreeSet<(u8, u8)>>) -> Vec<(PageKey, NamesPage)> {
        let names = ["a.weft.local", "b.weft.local", "x.a.weft.local", "c"];
        let entries = |all: &BTreeSet<(u8, u8)>| {
            let entry = |(name, host): &(u8, u8)| entry(names[usize::from(*name)], *host);
            let in_order: BTreeSet<NameEntry> = all.iter().map(entry).collect();
            in_order.into_iter().collect()
        };
        let key = |page: &u8| (PeerId([page % 2; 32]), page / 2);
        all.iter().map(|(page, wrote)| (key(page), entries(wrote))).collect()
    }

    #[test]
    fn what_two_peers_say_is_gone_when_both_take_it_back() {
        let mut index = NameIndex::new(ME);
        let one = || vec![entry("a.weft.local", 1)].into();
        index.update([((ME, 0), one()), ((PeerId([1; 32]), 0), one())]);
        let [claimed] = index.values("a.weft.local") else { panic!("{index:?}") };
        assert!(claimed.is_here());
        index.update([((PeerId([1; 32]), 0), one())]);
        let [claimed] = index.values("a.weft.local") else { panic!("{index:?}") };
        assert!(!claimed.is_here());
        assert!(index.is_parent("weft.local") && index.is_parent("local"));
        assert!(!index.is_parent("a.weft.local"));
        index.update([]);
        assert!(index.is_empty() && index.by_address.is_empty() && index.parents.is_empty());
    }

    proptest! {
        /// However it came to be, it is what would be made of what the peers say last.
        #[test]
        fn it_follows_what_changes(
            steps in proptest::collection::vec(
                proptest::collection::btree_map(
                    0_u8..4,
                    proptest::collection::btree_set((0_u8..4, 98_u8..102), 0..6),
                    0..4,
                ),
                1..6,
            )
        ) {
            let mut index = NameIndex::new(ME);
            for step in &steps {
                index.update(pages(step));
            }
            let mut anew = NameIndex::new(ME);
            anew.update(pages(steps.last().unwrap()));
            prop_assert_eq!(index.by_name, anew.by_name);
            prop_assert_eq!(index.by_address, anew.by_address);
            prop_assert_eq!(index.parents, anew.parents);
        }
    }
}
