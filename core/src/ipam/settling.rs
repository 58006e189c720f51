//! Settling: what was taken over from a peer that is gone is given to nobody for a moment.
//!
//! Containers of peers that live may have addresses there: of one that was evicted while it could not be reached, or
//! that lost its state folder. They ask for those as soon as they hear who the owner is ([`super::regain`]), and
//! whoever took over must not have given one to somebody else by then.

use crate::addr::Range;
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;

/// All that can be reached have heard of a takeover by then, and their questions have come: a few hops and busy
/// machines. Who asks for an address meanwhile gets one in time all the same.
const SETTLE_WAIT: Duration = Duration::from_secs(1);

/// What settles, each until when; the first one first.
#[derive(Clone, Debug, Default)]
pub(super) struct Settling(Vec<(Range, Instant)>);

impl Settling {
    /// `range` was taken over.
    pub(super) fn add(&mut self, now: Instant, range: Range) {
        self.0.push((range, now + SETTLE_WAIT));
    }

    /// Whether some of `range` settles.
    pub(super) fn meets(&self, range: Range) -> bool {
        self.0.iter().any(|(settling, _)| settling.intersection(range).is_some())
    }

    /// Ends what is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|(_, until)| *until > now);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.first().map(|(_, until)| *until)
    }

    /// How many ranges settle.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}
