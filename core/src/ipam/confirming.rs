//! Owners confirm to each other what is theirs: whom we ask, what we answer, and what we make of an answer. It opens
//! the boot gate ([`super::opening`]), and lets go who leaves.

use super::witness::Witnessed;
use super::{Act, Ipam, IpamMessage};
use crate::id::PeerId;
use crate::mark::{Mark, mark};
use crate::time::Instant;
use alloc::vec::Vec;

impl Ipam {
    /// While the boot gate is closed, asks the next owner in reach to confirm what is ours; and who leaves
    /// asks those who were given it.
    pub(super) fn ask_witness(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let is_gate_closed = !self.gate.is_confirmed && !self.is_stopping;
        let asked = match &self.founded {
            Some(_) if self.has_left => Some(self.heirs()).filter(|heirs| !heirs.is_empty()),
            Some((_, ledger)) => is_gate_closed.then(|| ledger.owners()),
            None => None,
        };
        let Some(mut owners) = asked else {
            self.witnesses.rest();
            return;
        };
        if !self.witnesses.are_due(now) {
            return;
        }
        owners.retain(|owner| self.reachable.contains_key(owner));
        if let Some(peer) = self.witnesses.turn(now, &owners)
            && let Some(witnessed) = self.witnessed(self.me, self.witnesses.nonce)
        {
            acts.push(Act::Tell { peer, message: IpamMessage::Confirm(witnessed) });
        }
    }

    /// What we know of what `peer` owns.
    fn witnessed(&self, peer: PeerId, nonce: u64) -> Option<Witnessed> {
        let (lineage, ledger) = self.founded.as_ref()?;
        Some(Witnessed::by(ledger, *lineage, peer, nonce))
    }

    /// Answers `from`, who asks whether we know the same of what it owns. Our own gate may be closed:
    /// after all peers started again, somebody has to speak first.
    pub(super) fn confirm(&self, from: PeerId, asked: Witnessed, acts: &mut Vec<Act>) {
        // What is ours after we have left is about to be somebody else's, who then speaks for it.
        let same =
            self.is_owner() && !self.has_left && self.witnessed(from, asked.nonce) == Some(asked);
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
        if self.has_left && from != self.me && is_owner && holds {
            return self.left_to(now, from, acts);
        }
        if self.gate.is_confirmed || from == self.me || !is_owner || !holds {
            return mark(Mark::WitnessIgnored);
        }
        mark(Mark::GateOpened);
        self.gate.meet(now);
        self.gate.is_confirmed = true;
        self.schedule(now);
        self.conclude(now, acts);
    }
}
