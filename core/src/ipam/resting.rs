//! Resting: what was given back is handed out or given away again only after a while.

use crate::addr::{Offset, Range};
use crate::saved::{Change, Damaged, Saved, Slot};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// An address that was given back is handed out or given away again only after this, while there are
/// others: caches of its neighbours may still lead to who had it. As long as Linux takes to look whether
/// a neighbour is still there, at most (`base_reachable_time` times 1.5).
pub(super) const REST: Duration = Duration::from_secs(45);

/// Most addresses that rest at once; beyond it, those that have rested for longest do so no more.
const RESTING_MAX: usize = 4096;

/// Most addresses of which a restart is survived by that they were given back: they are written with each
/// one that is. After a restart within [`REST`] more than that were given back by few hosts.
const SAVED_MAX: usize = 64;

/// The addresses that were given back of late.
#[derive(Clone, Debug)]
pub(super) struct Resting {
    /// When each of them has rested, by offset.
    until: BTreeMap<u128, Instant>,
    /// The last ones that were given back, whenever that was; the last one at the end.
    last: Vec<u128>,
    /// These are from the life before, and it is not known yet what time it is: no clock is common to
    /// both lives, so all of them rest anew.
    is_waking: bool,
}

impl Resting {
    pub(super) fn load(saved: &Saved) -> Result<Self, Damaged> {
        let last = saved.get(&Slot::Resting)?.unwrap_or_default();
        Ok(Self { until: BTreeMap::new(), last, is_waking: true })
    }

    /// What is to be written once something was given back.
    pub(super) fn saved(&self) -> Change {
        Change::put(Slot::Resting, &self.last)
    }

    /// It is `now`: what was given back in the life before rests from here on.
    pub(super) fn wake(&mut self, now: Instant) {
        if core::mem::take(&mut self.is_waking) {
            self.until.extend(self.last.iter().map(|at| (*at, now + REST)));
        }
    }

    /// The address at `at` was given back.
    pub(super) fn add(&mut self, now: Instant, at: Offset) {
        self.last.retain(|before| *before != at.0);
        self.last.push(at.0);
        let needless = self.last.len().saturating_sub(SAVED_MAX);
        self.last.drain(..needless);
        self.until.insert(at.0, now + REST);
        if self.until.len() > RESTING_MAX {
            self.until.retain(|_, rested_at| *rested_at > now);
        }
        // Half of them at once, so that not each release has to look at all.
        if self.until.len() > RESTING_MAX {
            let mut times: Vec<Instant> = self.until.values().copied().collect();
            let (_, middle, _) = times.select_nth_unstable(RESTING_MAX / 2);
            let middle = *middle;
            self.until.retain(|_, rested_at| *rested_at > middle);
        }
    }

    /// Whether the address at `at` rests.
    pub(super) fn has(&self, now: Instant, at: Offset) -> bool {
        self.until.get(&at.0).is_some_and(|rested_at| *rested_at > now)
    }

    /// Those inside `range`, in order, each with when it has rested; some have.
    pub(super) fn inside(&self, range: Range) -> impl Iterator<Item = (Offset, Instant)> {
        let (start, end) = (range.start.0, range.end.0.max(range.start.0));
        self.until.range(start..end).map(|(at, rested_at)| (Offset(*at), *rested_at))
    }
}
