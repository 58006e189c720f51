//! The boot gate: after a start, addresses are handed out and given away only once another owner
//! confirmed what is ours, since a disk may have been put back to before we gave some away.

use super::ledger::Ledger;
use super::{Act, Ipam};
use crate::event::Event;
use crate::id::PeerId;
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
        // nobody was named, nobody need ever come, and a peer that stays alone must go on.
        self.is_confirmed || self.is_sole() && (self.other_targets == 0 || self.has_met)
    }

    /// Whether nobody else owns anything, as far as we know.
    fn is_sole(&self) -> bool {
        self.ledger().is_some_and(|ledger| ledger.entries().all(|(.., owner)| owner == self.me))
    }

    /// Who could open the gate and was not heard: other owners out of reach, or, when there are no
    /// other owners, peers that we are to dial.
    pub(super) fn missed(&self) -> (usize, usize) {
        if self.is_sole() {
            return (0, self.other_targets);
        }
        let owners = self.ledger().map(Ledger::owners).unwrap_or_default();
        let missed = |owner: &PeerId| *owner != self.me && !self.reachable.contains(owner);
        (owners.into_iter().filter(missed).count(), 0)
    }

    /// The operator vouches for what our disk says, since nobody else can. A disk that was put back
    /// may make us hand out what we gave away since.
    pub(super) fn force_gate(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if self.founded.is_some() && !self.is_open() && !self.has_left {
            let (owners, targets) = self.missed();
            acts.push(Act::Event(Event::GateForced { unheard: owners + targets }));
            self.is_confirmed = true;
            self.schedule(now);
        }
        self.settle(now, acts);
    }

    /// As [`Ipam::is_open`], for whom an address is wanted.
    pub(super) fn has_opened(&self) -> bool {
        let is_open = self.is_open();
        if !is_open {
            mark(Mark::GateClosed);
        } else if !self.is_confirmed {
            mark(Mark::GateSole);
        }
        is_open
    }

    /// All records of the neighbour `with` are now ours too: opens the boot gate when all addresses
    /// are ours.
    pub fn merged(&mut self, now: Instant, with: PeerId, acts: &mut Vec<Act>) {
        self.has_met |= with != self.me;
        self.settle(now, acts);
    }
}
