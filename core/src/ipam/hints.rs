//! Hints: how much is free at each owner, as the owner says, so that the right one is asked.

use super::{Act, Ipam, Space};
use crate::addr::Range;
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
        let mut space = Space::default();
        for (figure, (_, range)) in space.free_log2.iter_mut().zip(self.universe.shares()) {
            *figure = log2(self.free_in(range));
        }
        let is_known = self.own_hint == Some(space);
        // Most peers of a large mesh own nothing, and nobody asks those.
        if is_known || self.own_hint.is_none() && !self.is_owner() {
            mark(Mark::HintSame);
        } else {
            mark(Mark::HintPublished);
            self.own_hint = Some(space);
            self.hint_not_before = now + HINT_WAIT;
            let body = codec::encode(&space);
            acts.push(Act::Publish { key: Key::Space(self.me), body });
        }
        self.hint_at = None;
    }

    /// How much `peer`, who owns `owned` addresses inside `range`, has to give there, as a logarithm: what
    /// it says, else what it owns.
    pub(super) fn space_of(&self, peer: PeerId, range: Range, owned: u128) -> u8 {
        let Some(hint) = self.hints.get(&peer) else { return log2(owned) };
        mark(Mark::AskHinted);
        let figures = hint.free_log2.iter().zip(self.universe.shares());
        let meant = figures.filter(|(_, (_, share))| share.intersection(range).is_some());
        meant.map(|(figure, _)| *figure).max().unwrap_or(0)
    }
}

/// The floor of the binary logarithm of one more than `count`.
fn log2(count: u128) -> u8 {
    u8::try_from(count.saturating_add(1).ilog2()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, FoundingMode};
    use crate::id::ContainerId;
    use crate::io::{Command, RequestId};
    use crate::saved::Saved;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    /// Whether a hint is published once all is founded that can be.
    fn hints(founding: FoundingMode) -> bool {
        let config = Config { founding, ..Config::default() };
        let (me, rng) = (PeerId([1; 32]), ChaCha20Rng::from_seed([1; 32]));
        let mut ipam = Ipam::new(&config, me, &Saved::default(), rng).unwrap();
        let mut acts = Vec::new();
        let command = Command::Allocate { id: ContainerId::external(), subnet: None };
        ipam.command(Instant::ZERO, RequestId(1), command, &mut acts);
        ipam.plan_hint(Instant::ZERO);
        ipam.timeout(Instant::ZERO + HINT_DELAY, &mut acts);
        acts.iter().any(|act| matches!(act, Act::Publish { key: Key::Space(_), .. }))
    }

    #[test]
    fn owners_alone_say_how_much_is_free() {
        assert!(hints(FoundingMode::Consensus { peers: Some(1) }));
        assert!(!hints(FoundingMode::Observer));
    }
}
