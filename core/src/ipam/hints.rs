//! Hints: how much is free at each owner, as the owner says, so that the right one is asked.

use super::{Act, Ipam, Space};
use crate::codec;
use crate::id::PeerId;
use crate::mark::{Mark, mark};
use crate::record::Key;
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;

/// At least this long between two hints of free space: they are statistics, not news.
const HINT_WAIT: Duration = Duration::from_secs(1);

/// A change of free space is told this much later, so that a burst makes one hint.
const HINT_DELAY: Duration = Duration::from_millis(100);

impl Ipam {
    /// Free space has changed: plans to tell.
    pub(super) fn plan_hint(&mut self, now: Instant) {
        let hint_at = (now + HINT_DELAY).max(self.hint_not_before);
        self.hint_at.get_or_insert(hint_at);
    }

    /// Publishes how much is free here, when the published figure is no longer true.
    pub(super) fn hint(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let free_log2 = u8::try_from((self.free() + 1).ilog2()).unwrap_or(u8::MAX);
        if self.own_hint == Some(free_log2) {
            mark(Mark::HintSame);
        } else {
            mark(Mark::HintPublished);
            self.own_hint = Some(free_log2);
            self.hint_not_before = now + HINT_WAIT;
            let body = codec::encode(&Space { free_log2 });
            acts.push(Act::Publish { key: Key::Space(self.me), body });
        }
        self.hint_at = None;
    }

    /// How much `peer` has to give inside `range`, as a logarithm: what it says, else what it owns.
    pub(super) fn space_of(&self, peer: PeerId, owned: u128) -> u8 {
        let guess = || u8::try_from((owned + 1).ilog2()).unwrap_or(u8::MAX);
        let Some(hint) = self.hints.get(&peer).copied() else { return guess() };
        mark(Mark::AskHinted);
        hint
    }
}
