//! When the boot gate ([`super::gate`]) is open, what closes it again, and what is told behind it.

use super::gate::{Bar, Gate};
use super::ledger::Ledger;
use super::{Act, Ipam};
use crate::event::Event;
use crate::id::PeerId;
use crate::io::{CommandError, Reply};
use crate::mark::{Mark, mark};
use crate::time::Instant;
use alloc::vec::Vec;

impl Ipam {
    /// Whether addresses may be handed out and given away: after a start only once another owner
    /// confirmed what is ours, or when there is none.
    pub(super) fn is_open(&self) -> bool {
        // That there is no other owner is what our disk says, and one that was put back says it of
        // times before we gave anything away. Any other peer would know better, whether it owns
        // anything or not. So where the operator named one, it is heard first; `weft forget` is the
        // way out when it is gone for good, and `weft prime --force` when other owners are. Where
        // nobody was named, nobody need ever come, and a peer that stays alone must go on: it gives
        // others a moment, those that it had for neighbours and those that may dial it.
        let Gate { is_confirmed, has_met, neighbours_until, bar, was_open: _ } = self.gate;
        let may_be_alone = has_met || self.other_targets == 0 && neighbours_until.is_none();
        bar == Bar::Nothing && (is_confirmed || self.is_sole() && may_be_alone)
    }

    /// This is not the first start: others may be heard that know more than our disk.
    pub fn await_neighbours(&mut self, now: Instant) {
        self.gate.await_neighbours(now);
    }

    /// Records of ours are about that our disk does not know. What it says of our addresses may be as old,
    /// and whoever wrote them may still run.
    pub fn doubt(&mut self, now: Instant) {
        mark(Mark::GateDoubted);
        self.gate.doubt(now);
    }

    /// Another daemon runs from a copy of our disk. It hands out what is ours, as we would.
    pub fn meet_twin(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if self.gate.bar != Bar::Twin {
            mark(Mark::GateCopied);
            self.gate.bar = Bar::Twin;
            acts.push(Act::Event(Event::TwinMet));
            self.conclude(now, acts);
        }
    }

    /// Whether another daemon was met that runs from a copy of our disk.
    pub fn has_twin(&self) -> bool {
        self.gate.bar == Bar::Twin
    }

    /// Whether nobody else owns anything, as far as we know.
    fn is_sole(&self) -> bool {
        self.ledger().is_some_and(|ledger| ledger.entries().all(|(.., owner)| owner == self.me))
    }

    /// How many could open the gate and were not heard: other owners out of reach, or, when there are no
    /// other owners, peers that we are to dial.
    fn missed(&self) -> (usize, usize) {
        if self.is_sole() {
            return (0, self.other_targets);
        }
        let owners = self.ledger().map(Ledger::owners).unwrap_or_default();
        let missed = |owner: &PeerId| *owner != self.me && !self.reachable.contains_key(owner);
        (owners.into_iter().filter(missed).count(), 0)
    }

    /// Why the gate is closed.
    pub(super) fn unmerged(&self) -> CommandError {
        let (owners, targets) = self.missed();
        let all = self.ledger().map(Ledger::owners).unwrap_or_default();
        let in_reach: Vec<_> = all.iter().filter_map(|owner| self.reachable.get(owner)).collect();
        let all_leave = in_reach.iter().all(|part| part.leaves);
        let leaving = if all_leave { in_reach.len() } else { 0 };
        CommandError::NotMerged { owners, leaving, targets }
    }

    /// The operator vouches for what our disk says, since nobody else can. A disk that was put back
    /// may make us hand out what we gave away since. Before a founding there is nothing to vouch for.
    pub(super) fn force_gate(
        &mut self,
        now: Instant,
        acts: &mut Vec<Act>,
    ) -> Result<Reply, CommandError> {
        // No word of an operator makes two daemons one, or says sooner whether there are two.
        if self.has_twin() {
            return Err(CommandError::Copied);
        }
        if self.gate.is_in_doubt() {
            mark(Mark::RefusedDoubted);
            return Err(CommandError::Doubted);
        }
        if !self.is_stopping {
            self.start(now, acts);
        }
        if self.founded.is_some() && !self.is_open() && !self.has_left {
            let (owners, targets) = self.missed();
            acts.push(Act::Event(Event::GateForced { unheard: owners + targets }));
            self.gate.is_confirmed = true;
            self.schedule(now);
        }
        self.conclude(now, acts);
        match self.founded {
            Some(_) => Ok(Reply::Done),
            None => Err(self.unfounded()),
        }
    }

    /// Looks whether the gate has opened, by a founding too. What others in reach asked us for in vain until then,
    /// or will, since their containers have it, comes first.
    pub(super) fn look_at_gate(&mut self, now: Instant) {
        let is_open = self.founded.is_some() && self.is_open();
        let has_opened = !core::mem::replace(&mut self.gate.was_open, is_open) && is_open;
        if has_opened && self.reachable.values().any(|part| part.lacks) {
            mark(Mark::GateSettles);
            self.settling.add(now, self.universe.range());
        }
    }

    /// As [`Ipam::is_open`], for whom an address is wanted.
    pub(super) fn has_opened(&self) -> bool {
        let is_open = self.is_open();
        if !is_open && self.gate.neighbours_until.is_some() {
            mark(Mark::GateNeighbours);
        } else if !is_open {
            mark(Mark::GateClosed);
        } else if !self.gate.is_confirmed {
            mark(Mark::GateSole);
        }
        is_open
    }

    /// All records of the neighbour `with` are now ours too: counts as having heard somebody, which opens
    /// the boot gate when all addresses are ours.
    pub fn merged(&mut self, now: Instant, with: PeerId, acts: &mut Vec<Act>) {
        if with != self.me && !self.gate.is_confirmed {
            self.gate.meet(now);
        }
        self.conclude(now, acts);
    }
}
