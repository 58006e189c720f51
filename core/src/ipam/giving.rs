//! Giving addresses away: to others that ask, and to ourselves, to write many ranges as one.

use super::ledger::Ledger;
use super::message::{RANGES_MAX, is_regain};
use super::titles::SignedGrant;
use super::{Act, Ipam, IpamMessage};
use crate::addr::{Offset, Range};
use crate::codec;
use crate::event::Event;
use crate::id::PeerId;
use crate::mark::{Mark, mark};
use crate::record::{Fingerprint, Key};
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;

/// Intervals that one peer owns before it writes touching ones as one: keeps the ledger at a few
/// entries per peer, whatever was granted to and fro.
const FRAGMENTS_MAX: usize = 8;

/// Own fragments are joined this much after the ledger has changed.
const ABSORB_WAIT: Duration = Duration::from_secs(1);

impl Ipam {
    /// Publishes that `range`, all ours, is `to`'s from here on. Returns whether it could.
    pub(super) fn give(
        &mut self,
        now: Instant,
        range: Range,
        to: PeerId,
        acts: &mut Vec<Act>,
    ) -> bool {
        let Some((lineage, ledger)) = &self.founded else { return false };
        let Some(grant) = ledger.grant(*lineage, range, self.me, to) else { return false };
        let body = codec::encode(&grant);
        let print = Fingerprint::by(&self.me, &body);
        let signed = SignedGrant { grant, giver: self.me };
        if !self.titles.proves(&signed) {
            return false;
        }
        acts.push(Act::Publish { key: Key::Grant(print), body });
        if to != self.me {
            acts.push(Act::Event(Event::Granted { range, to }));
            // Only an open gate lets anything be given. One that was open because all was ours must
            // not close behind the gift: what the other owner has, it has from this very process,
            // so meeting it could teach us nothing. (Were our disk an old one, its mistake was to
            // open the gate; closing it afterwards takes back no address that was handed out.)
            if !core::mem::replace(&mut self.gate.is_confirmed, true) {
                mark(Mark::GateGiven);
            }
        } else {
            mark(Mark::GrantSelf);
        }
        self.take_grant(now, print, signed, acts);
        true
    }

    /// Answers another peer's request for addresses inside `range`, of which it gets nothing of what settles.
    ///
    /// Silent while it cannot know, or cannot reach the asker (nobody may be given addresses whom
    /// nobody can ask for them): the asker then turns to the next owner, and comes back.
    pub(super) fn donate(&mut self, now: Instant, from: PeerId, range: Range, acts: &mut Vec<Act>) {
        let Some(ledger) = self.ledger_for(from) else { return };
        if range.size() == 1 && !self.owns_some(range) {
            return mark(Mark::DonateNotOwner);
        }
        let found = self.holdings.to_give(now, ledger, self.me, range, &self.settling);
        if found.is_none() && self.settling.meets(range) && self.settles_free(range) {
            return mark(Mark::DonateSettling);
        }
        if !found.is_some_and(|range| self.give(now, range, from, acts)) {
            mark(Mark::DonateDenied);
            acts.push(Act::Tell { peer: from, message: IpamMessage::Denied { range } });
        }
    }

    /// Answers another peer whose containers have all of `ranges`: it gets what is ours of that and free, also what
    /// settles, and is told what containers here have. What does not fit into one answer it asks for again, since
    /// nothing is said of it. Silent as [`Ipam::donate`].
    pub(super) fn give_back(
        &mut self,
        now: Instant,
        from: PeerId,
        ranges: &[Range],
        acts: &mut Vec<Act>,
    ) {
        if self.ledger_for(from).is_none() {
            return;
        }
        if !is_regain(ranges) || !ranges.iter().any(|range| self.owns_some(*range)) {
            return mark(Mark::DonateNotOwner);
        }
        let free = ranges.iter().flat_map(|range| self.free_inside(*range));
        for piece in free.take(RANGES_MAX).collect::<Vec<_>>() {
            mark(Mark::DonateBack);
            self.give(now, piece, from, acts);
        }
        let ranges = self.taken_inside(ranges);
        if !ranges.is_empty() {
            mark(Mark::DonateTaken);
            acts.push(Act::Tell { peer: from, message: IpamMessage::Taken { ranges } });
        }
    }

    /// What we own of `ranges` and containers here have, [`RANGES_MAX`] of it.
    fn taken_inside(&self, ranges: &[Range]) -> Vec<Range> {
        let mut taken: Vec<Range> = Vec::new();
        for (at, _) in ranges.iter().flat_map(|range| self.holdings.held_inside(*range)) {
            if self.owner_of(at) != Some(self.me) {
                continue;
            }
            let next = Offset(at.0 + 1);
            if let Some(last) = taken.last_mut().filter(|last| last.end == at) {
                last.end = next;
            } else if taken.len() < RANGES_MAX {
                taken.push(Range { start: at, end: next });
            } else {
                break;
            }
        }
        taken
    }

    /// The ledger, when `from` may be given something by it.
    fn ledger_for(&self, from: PeerId) -> Option<&Ledger> {
        let Some((_, ledger)) = &self.founded else {
            mark(Mark::DonateUnfounded);
            return None;
        };
        let obstacle = if !self.reachable.contains_key(&from) {
            Mark::DonateUnreachable
        } else if self.has_left {
            Mark::DonateLeft
        } else if !self.is_open() {
            Mark::DonateGateClosed
        } else {
            return Some(ledger);
        };
        mark(obstacle);
        None
    }

    /// Whether some of `range` is ours.
    fn owns_some(&self, range: Range) -> bool {
        let mut owned = self.ledger().into_iter().flat_map(|ledger| ledger.owners_in(range));
        owned.any(|(_, owner)| owner == self.me)
    }

    /// What we own of `range` and have not given to a container or to another peer.
    pub(super) fn free_inside(&self, range: Range) -> Vec<Range> {
        let Some((_, ledger)) = &self.founded else { return Vec::new() };
        self.holdings.stretches(ledger, self.me, range, &|_| false)
    }

    /// Free space or the ledger has changed: plans what follows from that.
    pub(super) fn schedule(&mut self, now: Instant) {
        if self.has_left || self.founded.is_none() {
            return;
        }
        self.plan_hint(now);
        self.absorb_at.get_or_insert(now + ABSORB_WAIT);
    }

    /// Writes touching own intervals as one each, when there are many.
    pub(super) fn absorb(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let Some((_, ledger)) = &self.founded else { return };
        let own = ledger.entries().filter(|(.., owner)| *owner == self.me).count();
        if own > FRAGMENTS_MAX && self.is_open() {
            for range in ledger.fragments(self.me) {
                self.give(now, range, self.me, acts);
            }
        }
        // Our own grants have planned another look, which would find nothing to do.
        self.absorb_at = None;
    }
}
