//! A simulated disk: what was persisted survives, unless the disk itself fails or lies.
//!
//! A crash falls between two outputs of one outbox ([`crate::host::Host::crash_after`]); since a
//! `Persist` is one output and atomic, every prefix of an outbox is a state a real disk can be in.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use weft_core::names::{NameEntry, NamesRecord};
use weft_core::record::{Key, Record};
use weft_core::saved::{Change, Saved, Slot};

/// The disk cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk cannot be written")]
pub struct DiskError;

/// What a disk cannot read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rot {
    /// Who the peer is.
    Identity,
    /// How often it started.
    Incarnation,
    /// What the mesh divides.
    Range,
    /// One of the records that must survive.
    Record,
    /// What one container holds.
    Holding,
    /// Its own names.
    Names,
    /// Whom it dials.
    Targets,
    /// Whom it was linked with.
    Neighbours,
}

/// What is wrong with a damaged place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// One bit is wrong.
    #[default]
    Bits,
    /// Only the first half of it is read.
    Short,
    /// The last write came here instead of to its own place, which has what it had before.
    Elsewhere,
}

impl Flaw {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Bits, Self::Short, Self::Elsewhere];

    /// Whether it is the one that is meant where none is named.
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Rot {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Identity,
        Self::Incarnation,
        Self::Range,
        Self::Record,
        Self::Holding,
        Self::Names,
        Self::Targets,
        Self::Neighbours,
    ];

    const fn befalls(self, slot: &Slot) -> bool {
        match (self, slot) {
            (Self::Identity, Slot::Identity)
            | (Self::Incarnation, Slot::Incarnation)
            | (Self::Range, Slot::Network)
            | (Self::Record, Slot::Record(_))
            | (Self::Holding, Slot::Holding(_) | Slot::Resting)
            | (Self::Names, Slot::Names(_))
            | (Self::Targets, Slot::Targets)
            | (Self::Neighbours, Slot::Neighbours | Slot::Met) => true,
            (
                _,
                Slot::Identity
                | Slot::Incarnation
                | Slot::Network
                | Slot::Record(_)
                | Slot::Holding(_)
                | Slot::Names(_)
                | Slot::Targets
                | Slot::Neighbours
                | Slot::Resting
                | Slot::Met,
            ) => false,
        }
    }
}

/// The disk of one host.
#[derive(Clone, Debug)]
pub struct Disk {
    saved: Saved,
    /// What is left when the power goes, while the disk says that it has written what it has not.
    safe: Option<Saved>,
    /// What a damaged disk should hold.
    whole: Option<Saved>,
    /// Where the last value was put, and what was there before.
    last: Option<(Slot, Option<Vec<u8>>)>,
    /// Batches that can still be written; any number while it is sound.
    left: Option<u64>,
    /// How long each write takes.
    pub sync: Duration,
    /// Batches written since the run began.
    pub writes: u64,
}

impl Disk {
    /// A disk that was never written.
    pub const EMPTY: Self = Self {
        saved: Saved { slots: std::collections::BTreeMap::new() },
        safe: None,
        whole: None,
        last: None,
        left: None,
        sync: Duration::ZERO,
        writes: 0,
    };

    /// Makes all of `changes` durable, or says so.
    ///
    /// # Errors
    /// When the disk cannot be written; nothing was.
    pub fn persist(&mut self, changes: Vec<Change>) -> Result<(), DiskError> {
        match &mut self.left {
            Some(0) => return Err(DiskError),
            Some(left) => *left -= 1,
            None => {}
        }
        self.writes += 1;
        for change in changes {
            if change.value.is_some() {
                let before = self.saved.slots.get(&change.slot).cloned();
                self.last = Some((change.slot.clone(), before));
            }
            if let Some(whole) = &mut self.whole {
                whole.apply(change.clone());
            }
            self.saved.apply(change);
        }
        Ok(())
    }

    /// Damages the first value of a kind. Returns whether it does: there must be one, and a last write
    /// to another place if that is what is to come there. A disk that is damaged already is left alone:
    /// a second flaw may hide the first, which nobody could come through.
    pub fn rot(&mut self, what: Rot, how: Flaw) -> bool {
        if self.is_damaged() {
            return false;
        }
        let mut damaged = self.saved.clone();
        let slots = &mut damaged.slots;
        let Some(at) = slots.keys().find(|slot| what.befalls(slot)).cloned() else { return false };
        match how {
            Flaw::Bits => {
                let last = slots.get_mut(&at).and_then(|value| value.last_mut());
                last.into_iter().for_each(|last| *last ^= 1);
            }
            Flaw::Short => {
                slots.entry(at).and_modify(|value| value.truncate(value.len() / 2));
            }
            Flaw::Elsewhere => {
                let Some((own, before)) = self.last.clone().filter(|(own, _)| *own != at) else {
                    return false;
                };
                let Some(value) = slots.remove(&own) else { return false };
                slots.extend(before.map(|before| (own, before)));
                slots.insert(at, value);
            }
        }
        self.whole = Some(std::mem::replace(&mut self.saved, damaged));
        true
    }

    /// Whether it holds other than it was given.
    pub const fn is_damaged(&self) -> bool {
        self.whole.is_some()
    }

    /// Fails every write after `more` of them.
    pub const fn fail(&mut self, more: u64) {
        self.left = Some(more);
    }

    /// Keeps nothing of what is written from here on when the power goes, and says that it does.
    pub fn lie(&mut self) {
        self.safe.get_or_insert_with(|| self.saved.clone());
    }

    /// Is a sound and fast disk again: what it has said is written is written, and what was damaged
    /// is as it was given, from a mirror. Returns whether it holds other than a moment ago.
    pub fn mend(&mut self) -> bool {
        self.safe = None;
        self.left = None;
        self.sync = Duration::ZERO;
        match self.whole.take() {
            None => false,
            Some(whole) => {
                self.saved = whole;
                true
            }
        }
    }

    /// Whether nothing is wrong with it.
    pub const fn is_sound(&self) -> bool {
        let writes = self.safe.is_none() && self.left.is_none() && self.sync.is_zero();
        writes && self.whole.is_none()
    }

    /// The power goes. Returns whether anything is lost.
    pub fn lose_power(&mut self) -> bool {
        let Some(safe) = &self.safe else { return false };
        let lost = *safe != self.saved;
        self.saved = safe.clone();
        (self.whole, self.last) = (None, None);
        lost
    }

    /// Holds what `other` holds.
    pub fn copy_of(&mut self, other: &Self) {
        self.saved = other.saved.clone();
        (self.whole, self.last) = (other.whole.clone(), other.last.clone());
        self.safe = self.safe.as_ref().map(|_| other.saved.clone());
    }

    /// What a node finds when it starts.
    pub fn saved(&self) -> Saved {
        self.saved.clone()
    }

    /// Addresses noted as held for `id`.
    pub fn held(&self, id: &weft_core::id::ContainerId) -> Vec<ipnet::IpNet> {
        self.saved.get(&Slot::Holding(id.clone())).ok().flatten().unwrap_or_default()
    }

    /// Names that the node keeps.
    pub fn names(&self) -> BTreeSet<NameEntry> {
        let pages = self.saved.slots.keys().filter(|slot| matches!(slot, Slot::Names(_)));
        let pages = pages.filter_map(|slot| self.saved.get::<NamesRecord>(slot).ok().flatten());
        pages.flat_map(|page| page.entries).collect()
    }

    /// Records on it whose keys are of the kind that `is_meant` says.
    pub fn papers(&self, is_meant: fn(&Key) -> bool) -> Vec<Record> {
        let slots = self.saved.slots.keys().filter(|slot| match slot {
            Slot::Record(key) => is_meant(key),
            Slot::Identity
            | Slot::Incarnation
            | Slot::Network
            | Slot::Holding(_)
            | Slot::Names(_)
            | Slot::Targets
            | Slot::Neighbours
            | Slot::Resting
            | Slot::Met => false,
        });
        slots.filter_map(|slot| self.saved.get(slot).ok().flatten()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(disk: &mut Disk, value: &str) -> Result<(), DiskError> {
        disk.persist(vec![Change::put(Slot::Targets, value)])
    }

    fn found(disk: &Disk) -> Option<String> {
        disk.saved().get(&Slot::Targets).unwrap()
    }

    #[test]
    fn a_failing_disk_keeps_what_it_has_and_takes_no_more() {
        let mut disk = Disk::EMPTY;
        disk.fail(1);
        assert_eq!(written(&mut disk, "first"), Ok(()));
        assert_eq!(written(&mut disk, "second"), Err(DiskError));
        assert_eq!(found(&disk), Some("first".to_owned()));
        disk.mend();
        assert_eq!(written(&mut disk, "third"), Ok(()));
    }

    #[test]
    fn what_rots_cannot_be_read_and_all_else_can() {
        let mut disk = Disk::EMPTY;
        written(&mut disk, "target").unwrap();
        for how in [Flaw::Bits, Flaw::Short] {
            assert!(!disk.rot(Rot::Names, how));
            assert_eq!(found(&disk), Some("target".to_owned()));
            assert!(disk.rot(Rot::Targets, how));
            assert!(disk.saved().get::<String>(&Slot::Targets).is_err());
            assert!(disk.is_damaged() && disk.mend());
            assert_eq!(found(&disk), Some("target".to_owned()));
        }
    }

    #[test]
    fn the_last_write_lands_elsewhere_and_its_own_place_has_what_it_had() {
        let mut disk = Disk::EMPTY;
        assert!(!disk.rot(Rot::Targets, Flaw::Elsewhere), "there is nothing");
        disk.persist(vec![Change::put(Slot::Names(0), "name")]).unwrap();
        written(&mut disk, "before").unwrap();
        assert!(!disk.rot(Rot::Targets, Flaw::Elsewhere), "it was written last");
        written(&mut disk, "after").unwrap();
        assert!(disk.rot(Rot::Names, Flaw::Elsewhere));
        assert_eq!(found(&disk), Some("before".to_owned()));
        assert!(disk.saved().get::<String>(&Slot::Names(0)).is_err());
        written(&mut disk, "later").unwrap();
        assert!(disk.mend());
        assert_eq!(found(&disk), Some("later".to_owned()));
        assert_eq!(disk.saved().get(&Slot::Names(0)), Ok(Some("name".to_owned())));
    }

    #[test]
    fn a_lying_disk_shows_what_it_was_given_until_the_power_goes() {
        let mut disk = Disk::EMPTY;
        written(&mut disk, "before").unwrap();
        disk.lie();
        written(&mut disk, "after").unwrap();
        assert_eq!(found(&disk), Some("after".to_owned()));
        assert!(disk.lose_power());
        assert_eq!(found(&disk), Some("before".to_owned()));
    }
}
