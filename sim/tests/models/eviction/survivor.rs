//! One survivor, as its node would keep it.

use super::super::letter::{self, Letter, Letters, bit, record};
use super::super::shared::{Shared, ordered_by};
use super::Rules;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Formatter};
use weft_core::config::Config;
use weft_core::event::Event;
use weft_core::id::PeerId;
use weft_core::ipam::freeze::{Phase, Stance};
use weft_core::ipam::{Act, Freeze, Grant, Ipam, Ledger};
use weft_core::record::{Key, Record};
use weft_core::saved::{Change, Saved, Slot};
use weft_core::status::IpamState;
use weft_core::time::Instant;

/// One survivor.
#[derive(Clone)]
pub(super) struct Peer {
    /// Everything else in words: peers are equal when this is.
    pub(super) key: String,
    pub(super) me: PeerId,
    pub(super) ipam: Ipam,
    pub(super) saved: Saved,
    /// Whom it sees.
    pub(super) sight: BTreeSet<PeerId>,
    /// The grants that it heard and wrote.
    pub(super) heard: Letters,
    /// Of each other peer, the number of the last that it heard it say of evictions; its own last one.
    pub(super) last: BTreeMap<PeerId, u64>,
    pub(super) told: u8,
    pub(super) lives: u8,
    /// The addresses that it would hand out, one bit each.
    pub(super) owns: u32,
    pub(super) ledger: Option<Ledger>,
    /// What it says of the victim.
    pub(super) stance: Option<Stance>,
    /// Whether it waits for an eviction.
    pub(super) waits: bool,
    /// Whether its boot gate is closed.
    pub(super) is_closed: bool,
    pub(super) faults: BTreeSet<&'static str>,
}

/// After the last moment at which a command is answered.
pub(super) const LATE: Instant = Instant::from_nanos(1 << 60);

/// Of all survivors.
pub(super) fn config() -> Config {
    letter::config("10.0.0.0/29")
}

impl Peer {
    /// Whether it would take in the grant.
    pub(super) fn is_news(&self, rules: Rules, letter: &Shared<Letter>) -> bool {
        let grant: Grant = letter.0.decode().unwrap();
        let takes = rules == Rules::Thaw || !self.ipam.has_frozen(&grant, letter.0.writer);
        self.heard & bit(letter) == 0 && takes
    }

    /// Whether it has yet to hear it, or something later.
    pub(super) fn is_later(&self, letter: &Letter) -> bool {
        let last = self.last.get(&letter.0.writer).copied().unwrap_or(0);
        letter.0.writer != self.me && last < letter.0.version.sequence
    }

    /// Calls IPAM and does what it wants. Returns what it publishes.
    pub(super) fn call(&mut self, f: impl FnOnce(&mut Ipam, &mut Vec<Act>)) -> Vec<Record> {
        let mut acts = Vec::new();
        let mut sent = Vec::new();
        f(&mut self.ipam, &mut acts);
        for act in acts {
            match act {
                Act::Publish { key: Key::Space(_), .. } => {}
                Act::Publish { key, body } => {
                    let mut sequence = 0;
                    if matches!(key, Key::Freeze(_)) {
                        let last = self.last.entry(self.me).or_default();
                        *last += 1;
                        sequence = *last;
                    }
                    let record = record(self.me, key, sequence, body);
                    self.saved.apply(Change::put(Slot::Record(key), &record));
                    sent.push(record);
                }
                Act::Persist(change) => self.saved.apply(change),
                Act::Event(Event::OwnershipConflict { .. }) => {
                    self.faults.insert("honest peers are in conflict");
                }
                Act::Event(_) | Act::Tell { .. } | Act::Reply { .. } => {}
            }
        }
        for key in self.ipam.superseded() {
            self.saved.apply(Change::remove(Slot::Record(key)));
        }
        sent
    }

    pub(super) fn judged(mut self, victim: PeerId) -> Self {
        if let Err(fault) = self.ipam.check() {
            self.faults.insert(fault);
        }
        self.owns = letter::owned(&self.ipam, config().universe);
        self.ledger = self.ipam.ledger().cloned();
        let own = self.saved.get::<Record>(&Slot::Record(Key::Freeze(self.me))).unwrap();
        let own: Freeze = own.map(|own| own.decode().unwrap()).unwrap_or_default();
        self.stance = own.stances.get(&victim).copied();
        let status = self.ipam.status();
        self.is_closed = matches!(status.state, IpamState::Listening | IpamState::AwaitingMerge);
        self.waits = status.waiting > 0;
        self.key = format!(
            "{:?} {:?} {:?} {:?} {:?} {:?}",
            self.ipam, self.saved, self.heard, self.last, self.told, self.faults
        );
        self
    }

    /// Whether it keeps others waiting, or is kept.
    pub(super) fn is_busy(&self) -> bool {
        self.waits || self.stance.is_some_and(|stance| stance.phase != Phase::CalledOff)
    }
}

impl Debug for Peer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.me, self.stance)
    }
}

ordered_by!(Peer, |peer| &peer.key);
