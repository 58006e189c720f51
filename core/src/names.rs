//! Names: what a name stands for, and whose word that is.
//!
//! Each peer writes its own names on pages, a record each: so a change is told in one short record, however many
//! names there are. A name stays on the page where it was put first, so that no change of another moves it, and
//! nobody misses it in between. Nothing is ever marked deleted: a name is gone when the newest version of its page
//! lacks it, or when its peer cannot be reached.

mod value;

pub use value::{NameValue, ParsePlaceError, Place, Service, Text, TextError};

use crate::codec;
use crate::id::{ContainerId, Incarnation, PeerId};
use crate::mark::{Mark, mark};
use crate::record::Record;
use crate::saved::{Damaged, Saved, Slot};
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

/// Body of [`crate::record::Key::Names`]: what stands on one page of one peer.
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

/// What stands on one page, in order. Who kept it sees at once, by [`Arc::ptr_eq`], that it is the same.
pub type NamesPage = Arc<[NameEntry]>;

/// Whose page it is, and which of them.
pub type PageKey = (PeerId, u8);

/// Most names on one page. With each change all of them are signed and sent again, some 3 kB; each page takes a
/// record's overhead at every peer.
pub const PAGE_LEN_MAX: usize = 64;

/// Most pages of one peer.
const PAGES_MAX: usize = u8::MAX as usize + 1;

/// Most names that one peer may write.
pub const NAMES_MAX: usize = PAGES_MAX * PAGE_LEN_MAX;

/// No room for another name; holds how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyNames(pub(crate) usize);

/// Limits of our own names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamesLimits {
    /// Of all of them.
    pub(crate) names: usize,
    /// Of those on one page.
    pub(crate) page: usize,
}

/// Our own names, and what other peers wrote.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Each page that there ever was: one on which nothing stands any more says so. The first is always there.
    own: BTreeMap<u8, NamesPage>,
    max: NamesLimits,
    /// A list of one takes a tenth of the memory of a set of one.
    others: BTreeMap<PageKey, (Incarnation, NamesPage)>,
}

impl Names {
    /// With our own names as they were saved, and room for so many.
    pub(crate) fn load(saved: &Saved, max: NamesLimits) -> Result<Self, Damaged> {
        let mut own = BTreeMap::from([(0, NamesPage::default())]);
        for slot in saved.slots.keys() {
            if let Slot::Names(page) = slot
                && let Some(NamesRecord { entries }) = saved.get(slot)?
            {
                own.insert(*page, entries.into_iter().collect());
            }
        }
        let max =
            NamesLimits { names: max.names.min(NAMES_MAX), page: max.page.clamp(1, PAGE_LEN_MAX) };
        Ok(Self { own, max, others: BTreeMap::new() })
    }

    /// How many are our own, and how many pages other peers have.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let Self { own: _, max: _, others } = self;
        (self.len(), others.len())
    }

    /// How many are our own.
    fn len(&self) -> usize {
        self.own.values().map(|page| page.len()).sum()
    }

    /// Our own pages, as they are written.
    pub(crate) fn pages(&self) -> impl Iterator<Item = u8> {
        self.own.keys().copied()
    }

    /// What stands on our own `page`, which may be one that there never was.
    pub(crate) fn page(&self, page: u8) -> NamesRecord {
        let entries = self.own.get(&page).into_iter().flat_map(|entries| entries.iter());
        NamesRecord { entries: entries.cloned().collect() }
    }

    /// Adds one of our own; returns the page that it was put on, if it was not there.
    pub(crate) fn register(&mut self, entry: NameEntry) -> Result<Option<u8>, TooManyNames> {
        if self.own.values().any(|page| page.binary_search(&entry).is_ok()) {
            return Ok(None);
        }
        let count = self.len();
        let has_room =
            |number: &u8| self.own.get(number).map_or(0, |entries| entries.len()) < self.max.page;
        let with_it = |number| {
            let mut page = self.page(number);
            page.entries.insert(entry.clone());
            (codec::encode(&page).len() <= Record::BODY_LEN_MAX).then_some((number, page))
        };
        let found = (0..=u8::MAX).filter(has_room).find_map(with_it);
        let Some((number, page)) = found.filter(|_| count < self.max.names) else {
            mark(Mark::NamesFull);
            return Err(TooManyNames(count));
        };
        if number > 0 && page.entries.len() == 1 {
            mark(Mark::NamesNewPage);
        }
        self.own.insert(number, page.entries.into_iter().collect());
        Ok(Some(number))
    }

    /// Removes those of our own that `gone` says; returns them, and the pages that they stood on.
    pub(crate) fn remove(
        &mut self,
        gone: impl Fn(&NameEntry) -> bool,
    ) -> (Vec<NameEntry>, BTreeSet<u8>) {
        let (mut removed, mut changed) = (Vec::new(), BTreeSet::new());
        for (number, page) in &mut self.own {
            // Mostly none of a page is, and there may be many.
            if !page.iter().any(&gone) {
                continue;
            }
            let (out, left): (Vec<NameEntry>, Vec<NameEntry>) =
                page.iter().cloned().partition(|entry| gone(entry));
            *page = left.into();
            removed.extend(out);
            changed.insert(*number);
        }
        (removed, changed)
    }

    /// Takes in what stands on `page`, which its peer wrote in its start `incarnation`.
    pub(crate) fn put(&mut self, page: PageKey, incarnation: Incarnation, record: NamesRecord) {
        mark(Mark::NamesTakenIn);
        let before = self.others.remove(&page).map(|(_, entries)| entries);
        let same = before.filter(|before| before.iter().eq(&record.entries));
        let entries = same.unwrap_or_else(|| record.entries.into_iter().collect());
        self.others.insert(page, (incarnation, entries));
    }

    /// Forgets what `peer` wrote.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        self.others.retain(|(writer, _), _| *writer != peer);
    }

    /// Our own, and those of the peers that `lives` says live, in that incarnation; by page, but for those
    /// on which nothing stands.
    pub(crate) fn by_page(
        &self,
        me: PeerId,
        lives: impl Fn(PeerId, Incarnation) -> bool,
    ) -> Vec<(PageKey, NamesPage)> {
        let own = self.own.iter().map(|(page, entries)| ((me, *page), entries));
        let all = self.living(lives).chain(own).filter(|(_, entries)| !entries.is_empty());
        all.map(|(page, entries)| (page, Arc::clone(entries))).collect()
    }

    /// Our own, and those of the peers that `lives` says live, in that incarnation; by name.
    pub(crate) fn known(
        &self,
        me: PeerId,
        lives: impl Fn(PeerId, Incarnation) -> bool,
    ) -> Vec<KnownName> {
        let pages = self.by_page(me, lives).into_iter();
        let known = pages.flat_map(|((origin, _), entries)| {
            let entries: Vec<NameEntry> = entries.to_vec();
            entries.into_iter().map(move |entry| KnownName { entry, origin })
        });
        let mut known: Vec<KnownName> = known.collect();
        known.sort();
        known
    }

    /// What the other peers wrote that live.
    fn living(
        &self,
        lives: impl Fn(PeerId, Incarnation) -> bool,
    ) -> impl Iterator<Item = (PageKey, &NamesPage)> {
        let others = self.others.iter();
        let living = others.filter(move |((peer, _), (start, _))| lives(*peer, *start));
        living.map(|(page, (_, entries))| (*page, entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Names {
        let max = NamesLimits { names: usize::MAX, page: usize::MAX };
        Names::load(&Saved::default(), max).unwrap()
    }

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
        let mut names = empty();
        names.register(entry("a.weft.local")).unwrap();
        names.put(
            (other, 0),
            Incarnation(3),
            NamesRecord { entries: [entry("b.weft.local")].into() },
        );
        let known = |start| names.known(me, |_, incarnation| incarnation == Incarnation(start));
        assert_eq!(known(3).len(), 2);
        assert_eq!(known(4), [KnownName { entry: entry("a.weft.local"), origin: me }]);
    }

    #[test]
    fn what_has_not_changed_is_shared() {
        let (me, other) = (PeerId([1; 32]), PeerId([2; 32]));
        let mut names = empty();
        let wrote = |name| NamesRecord { entries: [entry(name)].into() };
        let theirs = (other, 7);
        names.put(theirs, Incarnation(3), wrote("b"));
        let all = |names: &Names| names.by_page(me, |_, _| true);
        let first = all(&names);
        assert!(
            matches!(&first[..], [(page, entries)] if *page == theirs && **entries == [entry("b")])
        );
        names.put(theirs, Incarnation(4), wrote("b"));
        names.register(entry("a")).unwrap();
        let second = all(&names);
        assert_eq!(second.len(), 2);
        assert!(Arc::ptr_eq(&first[0].1, &second[0].1));
        names.put(theirs, Incarnation(4), wrote("c"));
        let third = all(&names);
        assert!(!Arc::ptr_eq(&second[0].1, &third[0].1) && Arc::ptr_eq(&second[1].1, &third[1].1));
        names.remove(|_| true);
        assert_eq!(all(&names).len(), 1);
        names.put((other, 8), Incarnation(4), wrote("d"));
        names.forget(other);
        assert_eq!(all(&names).len(), 0);
    }

    #[test]
    fn a_change_touches_one_page_and_no_name_moves() {
        let max = NamesLimits { names: 6, page: 2 };
        let mut names = Names::load(&Saved::default(), max).unwrap();
        let name = |n: u8| entry(&std::format!("n{n}"));
        for (n, page) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)] {
            assert_eq!(names.register(name(n)), Ok(Some(page)));
        }
        assert_eq!(names.register(name(3)), Ok(None));
        let (removed, changed) = names.remove(|entry| [name(1), name(2)].contains(entry));
        assert_eq!((removed, changed), ([name(1), name(2)].into(), [0, 1].into()));
        assert_eq!(names.page(1).entries, [name(3)].into());
        assert_eq!(
            [5, 6, 7].map(|n| names.register(name(n))),
            [Ok(Some(0)), Ok(Some(1)), Ok(Some(2))]
        );
        assert_eq!(names.register(name(8)), Err(TooManyNames(6)));
        names.remove(|_| true);
        assert!(names.pages().eq([0, 1, 2]), "others must hear that nothing stands there");
    }

    #[test]
    fn there_is_no_room_for_more_names_than_all_pages_have() {
        let mut names = empty();
        for n in 0..NAMES_MAX {
            assert!(matches!(names.register(entry(&std::format!("n{n}"))), Ok(Some(_))));
        }
        assert_eq!(names.register(entry("n0")), Ok(None));
        assert_eq!(names.register(entry("more")), Err(TooManyNames(NAMES_MAX)));
        assert_eq!(names.remove(|entry| entry.name.as_str() == "n1").0.len(), 1);
        assert_eq!(names.register(entry("more")), Ok(Some(0)));
    }
}
