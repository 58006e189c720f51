//! Witnesses: after a start, an owner in reach, however many links away, confirms what is ours.
//!
//! A disk that was put back shows a peer as the owner of addresses that it has given away since. Who
//! was given them knows, and so does everyone whom the news reached. So a peer asks other owners
//! whether they know the same of what it owns. The question names that knowledge by a fingerprint,
//! so it is as short in a fragmented ledger as in a new one.

use super::ledger::Ledger;
use crate::addr::Range;
use crate::codec;
use crate::id::PeerId;
use crate::record::Fingerprint;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// First wait for an answer before the next owner is asked. An owner that has yet to hear something
/// does not answer, so the first ones come quickly.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// Longest such wait, to which it doubles.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What is to be confirmed, and has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witnessed {
    /// Drawn once for each start of who asks: an answer to an earlier one counts for nothing.
    pub nonce: u64,
    /// Of the founding and of all that the asker owns, with versions.
    pub owned: Fingerprint,
}

impl Witnessed {
    /// What `ledger`, which grew from the founding `lineage`, says that `peer` owns.
    pub(super) fn by(ledger: &Ledger, lineage: Fingerprint, peer: PeerId, nonce: u64) -> Self {
        let own = ledger.entries().filter(|(.., owner)| *owner == peer);
        let own: Vec<_> = own.map(|(range, epoch, version, _)| (range, epoch, version)).collect();
        Self { nonce, owned: Fingerprint::of(&codec::encode(&(lineage, own))) }
    }

    /// What it says of all that each of `peers` owns who owns anything, in one walk.
    pub(super) fn of_each(
        ledger: &Ledger,
        lineage: Fingerprint,
        peers: &BTreeSet<PeerId>,
    ) -> BTreeMap<PeerId, Fingerprint> {
        let mut owned: BTreeMap<PeerId, Vec<(Range, u64, u64)>> = BTreeMap::new();
        for (range, epoch, version, owner) in ledger.entries() {
            if peers.contains(&owner) {
                owned.entry(owner).or_default().push((range, epoch, version));
            }
        }
        let view = |(peer, own)| (peer, Fingerprint::of(&codec::encode(&(lineage, own))));
        owned.into_iter().map(view).collect()
    }
}

/// Whom to ask, and when.
#[derive(Clone, Debug)]
pub(super) struct Witnesses {
    pub(super) nonce: u64,
    /// Who was asked last: the next one is the owner after it.
    last: Option<PeerId>,
    /// When somebody is asked again.
    ask_at: Option<Instant>,
    wait: Duration,
}

impl Witnesses {
    pub(super) const fn new(nonce: u64) -> Self {
        Self { nonce, last: None, ask_at: None, wait: WAIT_MIN }
    }

    /// Others may be in reach now: the next question does not wait.
    pub(super) const fn hurry(&mut self) {
        self.ask_at = None;
        self.wait = WAIT_MIN;
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.ask_at
    }

    /// Nobody needs to be asked.
    pub(super) const fn rest(&mut self) {
        self.ask_at = None;
    }

    /// Whether somebody is to be asked by now.
    pub(super) fn are_due(&self, now: Instant) -> bool {
        self.ask_at.is_none_or(|at| at <= now)
    }

    /// The next of `owners` in turn.
    pub(super) fn turn(&mut self, now: Instant, owners: &BTreeSet<PeerId>) -> Option<PeerId> {
        let after = (self.last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        // Where there is nobody, whoever comes into reach is asked at once.
        let next = owners.range(after).next().or_else(|| owners.first()).copied();
        self.ask_at = next.map(|_| now + self.wait);
        let next = next?;
        self.wait = WAIT_MAX.min(self.wait * 2);
        self.last = Some(next);
        Some(next)
    }
}
