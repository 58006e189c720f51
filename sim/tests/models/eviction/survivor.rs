//! One survivor, as its node would keep it, and what is under way between two.

use super::super::shared::Shared;
use super::Rules;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Formatter};
use weft_core::addr::{Offset, Universe};
use weft_core::config::{Config, FoundingMode};
use weft_core::event::Event;
use weft_core::id::{Incarnation, PeerId};
use weft_core::ipam::freeze::{Phase, Stance};
use weft_core::ipam::{Act, Freeze, Grant, Ipam, IpamMessage, Ledger};
use weft_core::record::{Key, Record, Signature, Version};
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

/// A record under way; records are equal when their keys and versions are, and what they say.
pub(super) struct Letter(pub(super) Record);

/// Some grants, a bit for the number of each.
pub(super) type Letters = u128;

pub(super) const NOW: Instant = Instant::ZERO;
/// After the last moment at which a command is answered.
pub(super) const LATE: Instant = Instant::from_nanos(1 << 60);

pub(super) fn config() -> Config {
    Config {
        universe: Universe::new("10.0.0.0/29".parse().unwrap()).unwrap(),
        founding: FoundingMode::Consensus { peers: Some(1) },
        ..Config::default()
    }
}

/// Nobody here checks signatures: that is done before a record gets to IPAM.
pub(super) fn record(writer: PeerId, key: Key, sequence: u64, body: Vec<u8>) -> Record {
    let signature = Signature([0; 32], [0; 32]);
    let version = Version { incarnation: Incarnation(0), sequence };
    Record { key, version, body, writer, signature }
}

/// What is said in `acts` to another peer.
pub(super) fn told(acts: Vec<Act>) -> Option<IpamMessage> {
    acts.into_iter().find_map(|act| match act {
        Act::Tell { message, .. } => Some(message),
        Act::Publish { .. } | Act::Persist(_) | Act::Reply { .. } | Act::Event(_) => None,
    })
}

pub(super) fn bit(letter: &Shared<Letter>) -> Letters {
    1_u128.checked_shl(Shared::id(letter)).unwrap()
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

    /// What it answers to `question` of `by`, if anything.
    pub(super) fn answer(&self, by: PeerId, question: &IpamMessage) -> Option<IpamMessage> {
        let mut acts = Vec::new();
        self.ipam.clone().message(NOW, by, question, &mut acts);
        told(acts)
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
        let owned = (0..config().universe.size()).filter(|at| self.ipam.acts_as_owner(Offset(*at)));
        self.owns = owned.map(|at| 1 << at).sum();
        self.ledger = self.ipam.ledger().cloned();
        let own = self.saved.get::<Record>(&Slot::Record(Key::Freeze(self.me))).unwrap();
        let own: Freeze = own.map(|own| own.decode().unwrap()).unwrap_or_default();
        self.stance = own.stances.get(&victim).copied();
        let status = self.ipam.status();
        self.is_closed = status.state == IpamState::AwaitingMerge;
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

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for Peer {}
impl PartialOrd for Peer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Peer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl Letter {
    fn order(&self) -> impl Ord {
        (self.0.key, self.0.version, &self.0.body)
    }
}

impl Debug for Letter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let writer = self.0.writer.0[0];
        if let Ok(Freeze { stances, .. }) = self.0.decode() {
            let said = stances.values().map(|Stance { eviction, phase, view }| {
                let (round, by) = (eviction.round, eviction.proposer.0[0]);
                format!("{phase:?} for {by} in round {round} with {:02x}", view.0[0])
            });
            return write!(f, "{writer} says {:?}", said.collect::<Vec<_>>());
        }
        let Ok(grant) = self.0.decode::<Grant>() else { return write!(f, "founding") };
        let (to, range, number) = (grant.owner.0[0], grant.range, (grant.epoch, grant.version));
        write!(f, "{writer} gave {}..{} to {to}, {number:?}", range.start.0, range.end.0)
    }
}

impl PartialEq for Letter {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Letter {}
impl PartialOrd for Letter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Letter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}
