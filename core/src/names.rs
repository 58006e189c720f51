//! Names: what a name stands for, and whose word that is.
//!
//! Each peer writes one record with all its own names. Nothing is ever marked deleted: a name is
//! gone when its peer's newest record lacks it, or when its peer cannot be reached.

mod value;

pub use value::{NameValue, ParsePlaceError, Place, Service, Text, TextError};

use crate::codec;
use crate::id::{ContainerId, Incarnation, PeerId};
use crate::mark::{Mark, mark};
use crate::record::Record;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// A fully qualified host name: lower case, without the final dot (RFC 1035 section 2.3.1, with
/// underscores and digits anywhere, as container engines allow them).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Longest name, in bytes.
    pub const LEN_MAX: usize = 253;

    /// The name as text, without the final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it lies in `domain` (`weft.local`) and is not the domain itself.
    pub fn is_within(&self, domain: &Self) -> bool {
        self.0
            .strip_suffix(domain.as_str())
            .is_some_and(|head| head.len() > 1 && head.ends_with('.'))
    }
}

/// Why a text is no host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no host name: expected labels of 1 to 63 letters, digits, '_' or '-' (neither first nor last), joined by dots, 253 in all"
)]
pub struct ParseNameError(pub String);

impl FromStr for Name {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label_ok = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if name.len() <= Self::LEN_MAX && name.split('.').all(label_ok) {
            Ok(Self(name))
        } else {
            Err(ParseNameError(text.to_string()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = ParseNameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        // From the wire or the disk: only the one form that we write.
        let name: Self = text.parse()?;
        if name.0 == text { Ok(name) } else { Err(ParseNameError(text)) }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// Names are looked up by what a question says.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing that one name stands for, on behalf of one container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NameEntry {
    /// The name.
    pub name: Name,
    /// What it stands for.
    pub value: NameValue,
    /// On whose behalf.
    pub id: ContainerId,
}

/// Body of [`crate::record::Key::Names`]: all names of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesRecord {
    /// In order, each once.
    pub entries: BTreeSet<NameEntry>,
}

/// An entry and the peer whose word it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KnownName {
    /// The entry.
    pub entry: NameEntry,
    /// Its writer.
    pub origin: PeerId,
}

/// All names of one peer, in order. Who kept it sees at once, by [`Arc::ptr_eq`], that they are the same.
pub type NamesOfPeer = Arc<[NameEntry]>;

/// Most names that one peer may write; fewer when they are so long that they outgrow a record.
pub const NAMES_MAX: usize = 2_000;

/// No room for another name; holds how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyNames(pub(crate) usize);

/// Our own names, and what other peers wrote.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    own: NamesRecord,
    /// The same, once somebody has asked since it changed.
    own_shared: Option<NamesOfPeer>,
    own_max: usize,
    /// In order, as in their records: a list of one takes a tenth of the memory of a set of one.
    others: BTreeMap<PeerId, (Incarnation, NamesOfPeer)>,
}

impl Names {
    /// With our own names as they were saved, and room for `own_max` of them.
    pub(crate) fn new(own: NamesRecord, own_max: usize) -> Self {
        Self { own, own_shared: None, own_max: own_max.min(NAMES_MAX), others: BTreeMap::new() }
    }

    /// How many are our own, and how many other peers have some.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let Self { own, own_shared: _, own_max: _, others } = self;
        (own.entries.len(), others.len())
    }

    pub(crate) const fn own(&self) -> &NamesRecord {
        &self.own
    }

    /// Adds one of our own; returns whether that changed anything.
    pub(crate) fn register(&mut self, entry: NameEntry) -> Result<bool, TooManyNames> {
        if self.own.entries.contains(&entry) {
            return Ok(false);
        }
        let count = self.own.entries.len();
        self.own.entries.insert(entry.clone());
        if count >= self.own_max || codec::encode(&self.own).len() > Record::BODY_LEN_MAX {
            self.own.entries.remove(&entry);
            mark(Mark::NamesFull);
            return Err(TooManyNames(count));
        }
        self.own_shared = None;
        Ok(true)
    }

    /// Removes those of our own that `gone` says; returns them.
    pub(crate) fn remove(&mut self, gone: impl Fn(&NameEntry) -> bool) -> Vec<NameEntry> {
        let removed: Vec<NameEntry> =
            self.own.entries.iter().filter(|entry| gone(entry)).cloned().collect();
        for entry in &removed {
            self.own.entries.remove(entry);
        }
        if !removed.is_empty() {
            self.own_shared = None;
        }
        removed
    }

    /// Takes in what `peer` wrote in its start `incarnation`.
    pub(crate) fn put(&mut self, peer: PeerId, incarnation: Incarnation, record: NamesRecord) {
        mark(Mark::NamesTakenIn);
        let before = self.others.remove(&peer).map(|(_, entries)| entries);
        let same = before.filter(|before| before.iter().eq(&record.entries));
        let entries = same.unwrap_or_else(|| record.entries.into_iter().collect());
        self.others.insert(peer, (incarnation, entries));
    }

    /// Forgets what `peer` wrote.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        self.others.remove(&peer);
    }

    /// Our own, and those of the peers that `lives` says live, in that incarnation; by peer, but for those
    /// who have none.
    pub(crate) fn by_peer(
        &mut self,
        me: PeerId,
        lives: impl Fn(PeerId, Incarnation) -> bool,
    ) -> Vec<(PeerId, NamesOfPeer)> {
        let own = &self.own.entries;
        let own = self.own_shared.get_or_insert_with(|| own.iter().cloned().collect());
        let own = (me, Arc::clone(own));
        let others = self.living(lives).map(|(peer, entries)| (peer, Arc::clone(entries)));
        others.chain([own]).filter(|(_, entries)| !entries.is_empty()).collect()
    }

    /// Our own, and those of the peers that `lives` says live, in that incarnation; by name.
    pub(crate) fn known(
        &self,
        me: PeerId,
        lives: impl Fn(PeerId, Incarnation) -> bool,
    ) -> Vec<KnownName> {
        let others = self.living(lives);
        let others = others.flat_map(|(peer, entries)| entries.iter().map(move |it| (peer, it)));
        let own = self.own.entries.iter().map(|entry| (me, entry));
        let known = others.chain(own);
        let mut known: Vec<KnownName> =
            known.map(|(origin, entry)| KnownName { entry: entry.clone(), origin }).collect();
        known.sort();
        known
    }

    /// What the other peers wrote that live.
    fn living(
        &self,
        lives: impl Fn(PeerId, Incarnation) -> bool,
    ) -> impl Iterator<Item = (PeerId, &NamesOfPeer)> {
        let living = self.others.iter().filter(move |(peer, (start, _))| lives(**peer, *start));
        living.map(|(peer, (_, entries))| (*peer, entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> NameEntry {
        NameEntry {
            name: name.parse().unwrap(),
            value: NameValue::V4([10, 32, 0, 1].into()),
            id: ContainerId::external(),
        }
    }

    #[test]
    fn names_of_peers_that_do_not_live_are_not_known() {
        let (me, other) = (PeerId([1; 32]), PeerId([2; 32]));
        let mut names = Names::new(NamesRecord::default(), usize::MAX);
        names.register(entry("a.weft.local")).unwrap();
        names.put(other, Incarnation(3), NamesRecord { entries: [entry("b.weft.local")].into() });
        let known = |start| names.known(me, |_, incarnation| incarnation == Incarnation(start));
        assert_eq!(known(3).len(), 2);
        assert_eq!(known(4), [KnownName { entry: entry("a.weft.local"), origin: me }]);
    }

    #[test]
    fn what_has_not_changed_is_shared() {
        let (me, other) = (PeerId([1; 32]), PeerId([2; 32]));
        let mut names = Names::new(NamesRecord::default(), usize::MAX);
        let wrote = |name| NamesRecord { entries: [entry(name)].into() };
        names.put(other, Incarnation(3), wrote("b"));
        let all = |names: &mut Names| names.by_peer(me, |_, _| true);
        let first = all(&mut names);
        assert!(
            matches!(&first[..], [(peer, entries)] if *peer == other && **entries == [entry("b")])
        );
        names.put(other, Incarnation(4), wrote("b"));
        names.register(entry("a")).unwrap();
        let second = all(&mut names);
        assert_eq!(second.len(), 2);
        assert!(Arc::ptr_eq(&first[0].1, &second[0].1));
        names.put(other, Incarnation(4), wrote("c"));
        let third = all(&mut names);
        assert!(!Arc::ptr_eq(&second[0].1, &third[0].1) && Arc::ptr_eq(&second[1].1, &third[1].1));
        names.remove(|_| true);
        assert_eq!(all(&mut names).len(), 1);
    }

    #[test]
    fn there_is_no_room_for_more_names_than_the_limit() {
        let mut names = Names::new(NamesRecord::default(), usize::MAX);
        for n in 0..NAMES_MAX {
            assert_eq!(names.register(entry(&std::format!("n{n}"))), Ok(true));
        }
        assert_eq!(names.register(entry("n0")), Ok(false));
        assert_eq!(names.register(entry("more")), Err(TooManyNames(NAMES_MAX)));
        assert_eq!(names.remove(|entry| entry.name.as_str() == "n1").len(), 1);
        assert_eq!(names.register(entry("more")), Ok(true));
    }
}
