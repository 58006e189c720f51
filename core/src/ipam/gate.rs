//! The state of the boot gate: after a start, addresses are handed out and given away only once another owner
//! confirmed what is ours, since a disk may have been put back to before we gave some away, and what a
//! founding says is ours may have been taken over since. What opens it is in [`super::opening`].

use crate::time::Instant;
use core::time::Duration;

/// Whoever runs from a copy of our disk has answered by then: it hears within this that we outlive it, and we
/// that it outlives us. It answers no later than [`TWIN_WAIT`] after it has last outlived another, and the rest
/// is for a way that may be long.
const DOUBT_WAIT: Duration = Duration::from_secs(5);

/// A twin is outlived no more often than this, as it outlives us: each time all peers hear of it. Well below the
/// doubt of a third that begins meanwhile.
pub(crate) const TWIN_WAIT: Duration = Duration::from_secs(2);
const _: () = assert!(TWIN_WAIT.as_millis() * 2 < DOUBT_WAIT.as_millis());

/// Nor is the gate opened sooner than this after others were met: calls that wait for it come with the start of a
/// machine, which may be a copy, and the other one is to be heard before they are answered.
const ECHO_WAIT: Duration = Duration::from_secs(1);

/// Neighbours of the run before, and others that dial us, have answered by then. Less than an answer may take:
/// who asks for an address meanwhile gets one.
const NEIGHBOURS_WAIT: Duration = Duration::from_millis(1500);

/// The boot gate of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    /// Open in the first start of a peer, when nothing can have been given away, or taken over because it
    /// was gone; else closed until another owner confirmed what is ours.
    pub(super) is_confirmed: bool,
    /// Whether all that some neighbour knows was taken in since the start.
    pub(super) has_met: bool,
    /// Others may be heard until then.
    pub(super) neighbours_until: Option<Instant>,
    pub(super) bar: Bar,
    /// Whether it was open when that was last looked at.
    pub(super) was_open: bool,
}

/// What keeps it closed whatever others confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bar {
    Nothing,
    /// Others hear of us for the first time since the start, and a copy may answer until then.
    Echo(Instant),
    /// Records of ours are about that we do not know, and whoever wrote them may answer until then.
    Doubt(Instant),
    /// A copy has answered, and may go on where we cannot hear it: only an operator knows when it is gone.
    Twin,
}

impl Gate {
    pub(super) const fn new(is_confirmed: bool) -> Self {
        let (has_met, neighbours_until, bar) = (false, None, Bar::Nothing);
        Self { is_confirmed, has_met, neighbours_until, bar, was_open: false }
    }

    /// Others were met: whoever runs from a copy of our disk hears of us from here on, and we of it.
    pub(super) fn meet(&mut self, now: Instant) {
        if !core::mem::replace(&mut self.has_met, true) && self.bar == Bar::Nothing {
            self.bar = Bar::Echo(now + ECHO_WAIT);
        }
    }

    /// Others may be heard that know more than our disk.
    pub(super) fn await_neighbours(&mut self, now: Instant) {
        self.neighbours_until = Some(now + NEIGHBOURS_WAIT);
    }

    /// What our disk says of our addresses may be old, and a copy of it may be in use.
    pub(super) fn doubt(&mut self, now: Instant) {
        self.is_confirmed = false;
        if self.bar != Bar::Twin {
            self.bar = Bar::Doubt(now + DOUBT_WAIT);
        }
    }

    /// Whether records of ours are about that our disk does not know.
    pub(super) const fn is_in_doubt(&self) -> bool {
        matches!(self.bar, Bar::Doubt(_))
    }

    /// When [`Gate::expire`] is wanted.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.bar.until().into_iter().chain(self.neighbours_until).min()
    }

    /// Ends the waits that are over.
    pub(super) fn expire(&mut self, now: Instant) {
        let _ = self.neighbours_until.take_if(|until| *until <= now);
        if self.bar.until().is_some_and(|until| until <= now) {
            self.bar = Bar::Nothing;
        }
    }
}

impl Bar {
    /// When it ends by itself.
    const fn until(self) -> Option<Instant> {
        match self {
            Self::Echo(until) | Self::Doubt(until) => Some(until),
            Self::Nothing | Self::Twin => None,
        }
    }
}
