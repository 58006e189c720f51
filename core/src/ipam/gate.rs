//! The boot gate: after a start, addresses are handed out and given away only once another owner
//! confirmed what is ours, since a disk may have been put back to before we gave some away, and what a
//! founding says is ours may have been taken over since.

use super::ledger::Ledger;
use super::requests::Want;
use super::witness::Witnessed;
use super::{Act, Ipam, IpamMessage};
use crate::event::Event;
use crate::id::PeerId;
use crate::io::{CommandError, Reply};
use crate::mark::{Mark, mark};
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;

/// Whoever runs from a copy of our disk has answered by then: it hears within this that we outlive it, and we
/// that it outlives us.
const DOUBT_WAIT: Duration = Duration::from_secs(5);

/// Nor is the gate opened sooner than this after others were met: calls that wait for it come with the start of a
/// machine, which may be a copy, and the other one is to be heard before they are answered.
const ECHO_WAIT: Duration = Duration::from_secs(1);

/// Neighbours that run have answered by then. Less than an answer may take: who asks for an address meanwhile
/// gets one.
const NEIGHBOURS_WAIT: Duration = Duration::from_millis(1500);

/// The boot gate of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    /// Open in the first start of a peer, when nothing can have been given away, or taken over because it
    /// was gone; else closed until another owner confirmed what is ours.
    pub(super) is_confirmed: bool,
    /// Whether all that some neighbour knows was taken in since the start.
    has_met: bool,
    /// Neighbours of the run before may answer until then.
    neighbours_until: Option<Instant>,
    bar: Bar,
}

/// What keeps it closed whatever others confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bar {
    Nothing,
    /// A copy of us may answer until then.
    Doubt(Instant),
    /// A copy has answered, and may go on where we cannot hear it: only an operator knows when it is gone.
    Twin,
}

impl Gate {
    pub(super) const fn new(is_confirmed: bool) -> Self {
        Self { is_confirmed, has_met: false, neighbours_until: None, bar: Bar::Nothing }
    }

    /// Others were met: whoever runs from a copy of our disk hears of us from here on, and we of it.
    fn meet(&mut self, now: Instant) {
        if !core::mem::replace(&mut self.has_met, true) && self.bar == Bar::Nothing {
            self.bar = Bar::Doubt(now + ECHO_WAIT);
        }
    }

    /// When [`Gate::expire`] is wanted.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let doubt = if let Bar::Doubt(until) = self.bar { Some(until) } else { None };
        doubt.into_iter().chain(self.neighbours_until).min()
    }

    /// Ends the waits that are over.
    pub(super) fn expire(&mut self, now: Instant) {
        let _ = self.neighbours_until.take_if(|until| *until <= now);
        if let Bar::Doubt(until) = self.bar
            && until <= now
        {
            self.bar = Bar::Nothing;
        }
    }
}

impl Ipam {
    /// Whether addresses may be handed out and given away: after a start only once another owner
    /// confirmed what is ours, or when there is none.
    pub(super) fn is_open(&self) -> bool {
        // That there is no other owner is what our disk says, and one that was put back says it of
        // times before we gave anything away. Any other peer would know better, whether it owns
        // anything or not. So where the operator named one, it is heard first; `weft forget` is the
        // way out when it is gone for good, and `weft prime --force` when other owners are. Where
        // nobody was named, nobody need ever come, and a peer that stays alone must go on: it gives
        // those that it had for neighbours a moment.
        let Gate { is_confirmed, has_met, neighbours_until, bar } = self.gate;
        let may_be_alone = has_met || self.other_targets == 0 && neighbours_until.is_none();
        bar == Bar::Nothing && (is_confirmed || self.is_sole() && may_be_alone)
    }

    /// Neighbours of the run before are dialed.
    pub fn await_neighbours(&mut self, now: Instant) {
        self.gate.neighbours_until = Some(now + NEIGHBOURS_WAIT);
    }

    /// Records of ours are about that our disk does not know. What it says of our addresses may be as old,
    /// and whoever wrote them may still run.
    pub fn doubt(&mut self, now: Instant) {
        mark(Mark::GateDoubted);
        self.gate.is_confirmed = false;
        if self.gate.bar != Bar::Twin {
            self.gate.bar = Bar::Doubt(now + DOUBT_WAIT);
        }
    }

    /// Another daemon runs from a copy of our disk. It hands out what is ours, as we would.
    pub fn meet_twin(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if self.gate.bar != Bar::Twin {
            mark(Mark::GateCopied);
            self.gate.bar = Bar::Twin;
            acts.push(Act::Event(Event::TwinMet));
            self.settle(now, acts);
        }
    }

    /// Whether another daemon was met that runs from a copy of our disk, and no operator has vouched for us
    /// since.
    pub fn has_twin(&self) -> bool {
        self.gate.bar == Bar::Twin
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
    /// may make us hand out what we gave away since. Before a founding there is nothing to vouch for.
    pub(super) fn force_gate(
        &mut self,
        now: Instant,
        acts: &mut Vec<Act>,
    ) -> Result<Reply, CommandError> {
        if !self.is_stopping {
            self.start(now, acts);
        }
        if self.founded.is_some() && !self.is_open() && !self.has_left {
            let (owners, targets) = self.missed();
            acts.push(Act::Event(Event::GateForced { unheard: owners + targets }));
            self.gate.is_confirmed = true;
            self.gate.bar = Bar::Nothing;
            self.schedule(now);
        }
        self.settle(now, acts);
        match self.founded {
            Some(_) => Ok(Reply::Done),
            None => Err(self.reason(&Want::Founding)),
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
        self.settle(now, acts);
    }

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
        self.settle(now, acts);
    }
}
