//! Witnesses: after a start, an owner in reach, however many links away, confirms what is ours.
//!
//! A disk that was put back shows a peer as the owner of addresses that it has given away since. Who
//! was given them knows, and so does everyone whom the news reached. So a peer asks other owners
//! whether they know the same of what it owns. The question names that knowledge by a fingerprint,
//! so it is as short in a fragmented ledger as in a new one.

use super::ledger::Ledger;
use super::{Act, Ipam, IpamMessage};
use crate::codec;
use crate::id::PeerId;
use crate::mark::{Mark, mark};
use crate::record::Fingerprint;
use crate::time::Instant;
use alloc::collections::BTreeSet;
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

/// Whom to ask, and when.
#[derive(Clone, Debug)]
pub(super) struct Witnesses {
    nonce: u64,
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

    /// Whether somebody is to be asked by now.
    fn are_due(&self, now: Instant) -> bool {
        self.ask_at.is_none_or(|at| at <= now)
    }

    /// The next of `owners` in turn.
    fn turn(&mut self, now: Instant, owners: &BTreeSet<PeerId>) -> Option<PeerId> {
        let after = (self.last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let next = owners.range(after).next().or_else(|| owners.first()).copied();
        // Nobody there: whoever comes into reach is asked at once.
        self.ask_at = next.map(|_| now + self.wait);
        self.wait = WAIT_MAX.min(self.wait * 2);
        self.last = next.or(self.last);
        next
    }
}

impl Ipam {
    /// While the boot gate is closed, asks the next owner in reach to confirm what is ours.
    pub(super) fn ask_witness(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let is_wanted = !self.is_confirmed && !self.has_left && !self.is_stopping;
        let Some((_, ledger)) = self.founded.as_ref().filter(|_| is_wanted) else {
            self.witnesses.ask_at = None;
            return;
        };
        if !self.witnesses.are_due(now) {
            return;
        }
        let mut owners = ledger.owners();
        owners.retain(|owner| self.reachable.contains(owner));
        if let Some(peer) = self.witnesses.turn(now, &owners)
            && let Some(witnessed) = self.witnessed(self.me, self.witnesses.nonce)
        {
            acts.push(Act::Tell { peer, message: IpamMessage::Confirm(witnessed) });
        }
    }

    /// What we know of what `peer` owns.
    fn witnessed(&self, peer: PeerId, nonce: u64) -> Option<Witnessed> {
        let (lineage, ledger) = self.founded.as_ref()?;
        Some(Witnessed { nonce, owned: print(*lineage, ledger, peer) })
    }

    /// Answers `from`, who asks whether we know the same of what it owns. Our own gate may be closed:
    /// after all peers started again, somebody has to speak first.
    pub(super) fn confirm(&self, from: PeerId, asked: Witnessed, acts: &mut Vec<Act>) {
        let is_owner = self.ledger().is_some_and(|ledger| ledger.owns_any(self.me));
        let same = is_owner && self.witnessed(from, asked.nonce) == Some(asked);
        mark(if same { Mark::WitnessAgrees } else { Mark::WitnessSilent });
        if same {
            acts.push(Act::Tell { peer: from, message: IpamMessage::Confirmed(asked) });
        }
    }

    /// `from` confirms what is ours. That counts if it owns something, so that it is one of those to
    /// whom we may have given, and if we have heard nothing newer since we asked.
    pub(super) fn confirmed(
        &mut self,
        now: Instant,
        from: PeerId,
        answer: Witnessed,
        acts: &mut Vec<Act>,
    ) {
        let is_owner = self.ledger().is_some_and(|ledger| ledger.owns_any(from));
        let holds = self.witnessed(self.me, self.witnesses.nonce) == Some(answer);
        if self.is_confirmed || from == self.me || !is_owner || !holds {
            return mark(Mark::WitnessIgnored);
        }
        mark(Mark::GateOpened);
        self.is_confirmed = true;
        self.schedule(now);
        self.settle(now, acts);
    }
}

fn print(lineage: Fingerprint, ledger: &Ledger, peer: PeerId) -> Fingerprint {
    let own = ledger.entries().filter(|(.., owner)| *owner == peer);
    let own: Vec<_> = own.map(|(range, epoch, version, _)| (range, epoch, version)).collect();
    Fingerprint::of(&codec::encode(&(lineage, own)))
}
