//! What is free of what a peer owns, since nothing holds it: to be counted, handed out and given away.

use super::super::ledger::Ledger;
use super::super::settling::Settling;
use super::Holdings;
use crate::addr::{Offset, Range};
use crate::id::PeerId;
use crate::mark::{Mark, mark};
use crate::time::Instant;
use alloc::vec::Vec;

/// Most subnets whose last allocation is remembered; beyond it, one is forgotten.
const CURSORS_MAX: usize = 1024;

impl Holdings {
    /// Number of held addresses in `range`. Counts those inside or those outside, whichever are fewer.
    pub(in super::super) fn held_count(&self, range: Range) -> u128 {
        if range.is_empty() {
            return 0;
        }
        let (start, end) = (range.start.0, range.end.0);
        let mut inside = self.inside.range(start..end);
        let mut outside = self.inside.range(..start).chain(self.inside.range(end..));
        let mut counted = 0;
        loop {
            if inside.next().is_none() {
                return counted;
            }
            if outside.next().is_none() {
                return self.inside.len() as u128 - counted;
            }
            counted += 1;
        }
    }

    /// Free addresses among those of `owner` inside `within`. When it is we who own, nearly all that is held
    /// lies in what is owned: so what is held in the gaps is counted, and the rest follows.
    pub(in super::super) fn free_count(
        &self,
        ledger: &Ledger,
        owner: PeerId,
        within: Range,
    ) -> u128 {
        let (mut owned, mut elsewhere) = (0, 0);
        let mut gap_start = within.start;
        for (range, _) in ledger.owners_in(within).filter(|(_, found)| *found == owner) {
            owned += range.size();
            elsewhere += self.held_count(Range { start: gap_start, end: range.start });
            gap_start = range.end;
        }
        elsewhere += self.held_count(Range { start: gap_start, end: within.end });
        owned + elsewhere - self.held_count(within)
    }

    /// The next free address of `owner` inside `within`, after the last one given there, but none that settles;
    /// one that rests only when all do, and then that which has rested for longest.
    pub(in super::super) fn next_free(
        &mut self,
        now: Instant,
        ledger: &Ledger,
        owner: PeerId,
        within: Range,
        settling: &Settling,
    ) -> Option<Offset> {
        let last_held = || {
            let mut held = self.inside.range(within.start.0..within.end.0.max(within.start.0));
            held.next_back().map_or(within.start.0, |(at, _)| at + 1)
        };
        let cursor = Offset(self.cursors.get(&within).copied().unwrap_or_else(last_held));
        let parts =
            [Range { start: cursor.max(within.start), ..within }, Range { end: cursor, ..within }];
        let found = parts
            .into_iter()
            .flat_map(|part| settling.without(part))
            .find_map(|part| self.first_free(now, ledger, owner, part))
            .or_else(|| self.longest_rested(ledger, owner, within, settling))?;
        if self.cursors.len() >= CURSORS_MAX && !self.cursors.contains_key(&within) {
            self.cursors.pop_first();
        }
        if found < cursor {
            mark(Mark::AllocateWrapped);
        }
        self.cursors.insert(within, found.0 + 1);
        Some(found)
    }

    fn first_free(
        &self,
        now: Instant,
        ledger: &Ledger,
        owner: PeerId,
        within: Range,
    ) -> Option<Offset> {
        let own = ledger.owners_in(within).filter(|(_, found)| *found == owner);
        own.into_iter().find_map(|(range, _)| {
            let mut free = range.start.0;
            let mut held =
                self.inside.range(range.start.0..range.end.0).map(|(at, _)| *at).peekable();
            while free < range.end.0 {
                if held.next_if_eq(&free).is_none() && !self.resting.has(now, Offset(free)) {
                    return Some(Offset(free));
                }
                free += 1;
            }
            None
        })
    }

    fn longest_rested(
        &self,
        ledger: &Ledger,
        owner: PeerId,
        within: Range,
        settling: &Settling,
    ) -> Option<Offset> {
        let is_own = |at| ledger.owner(at) == Some(owner);
        let settles = |at: Offset| settling.meets(Range { start: at, end: Offset(at.0 + 1) });
        let resting = self.resting.inside(within);
        let resting = resting.filter(|(at, _)| is_own(*at) && !self.is_held(*at) && !settles(*at));
        let (at, _) = resting.min_by_key(|(_, rested_at)| *rested_at)?;
        mark(Mark::AllocateRested);
        Some(at)
    }

    /// What `owner` gives to somebody who asks for addresses inside `within`: the largest free
    /// CIDR block (of equals the last), or its upper half when it is over half of all that is free
    /// there. Of what rests only when there is nothing else, of what settles nothing. `None` when nothing is free.
    /// Source: Weave Net ipam/space/space.go `Donate`.
    pub(in super::super) fn to_give(
        &self,
        now: Instant,
        ledger: &Ledger,
        owner: PeerId,
        within: Range,
        settling: &Settling,
    ) -> Option<Range> {
        let largest = |keeps: &dyn Fn(Offset) -> bool| {
            let stretches = self.stretches(ledger, owner, within, keeps).into_iter();
            stretches
                .flat_map(|stretch| settling.without(stretch))
                .map(largest_block)
                .max_by_key(Range::size)
        };
        let rests = |at| self.resting.has(now, at);
        let block = largest(&rests).or_else(|| largest(&|_| false))?;
        if block.size() > 1 && block.size() * 2 > self.free_count(ledger, owner, within) {
            mark(Mark::DonateHalf);
            return Some(Range { start: Offset(block.start.0 + block.size() / 2), ..block });
        }
        mark(Mark::DonateBlock);
        Some(block)
    }

    /// Runs of free addresses of `owner` inside `within`, of one epoch each, without those that it `keeps`.
    pub(in super::super) fn stretches(
        &self,
        ledger: &Ledger,
        owner: PeerId,
        within: Range,
        keeps: &dyn Fn(Offset) -> bool,
    ) -> Vec<Range> {
        let mut stretches: Vec<Range> = Vec::new();
        let mut add = |start: u128, end: u128| {
            if start < end {
                stretches.push(Range { start: Offset(start), end: Offset(end) });
            }
        };
        for range in ledger.runs(owner, within) {
            let mut start = range.start.0;
            let inside = range.start.0..range.end.0;
            let kept = self.resting.inside(range).map(|(at, _)| at).filter(|at| keeps(*at));
            let kept = kept.map(|at| at.0);
            let mut taken: Vec<u128> =
                self.inside.range(inside).map(|(at, _)| *at).chain(kept).collect();
            taken.sort_unstable();
            for at in taken {
                add(start, at);
                start = at.saturating_add(1).max(start);
            }
            add(start, range.end.0);
        }
        stretches
    }
}

/// The largest block of `stretch` (not empty) whose start is a multiple of its size, a power of
/// two; of equals the last.
fn largest_block(stretch: Range) -> Range {
    let mut power = stretch.size().max(1).ilog2();
    loop {
        let start = ((stretch.end.0 >> power).saturating_sub(1)) << power;
        if start >= stretch.start.0 || power == 0 {
            return Range { start: Offset(start), end: Offset(start + (1 << power)) };
        }
        power -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Universe;
    use crate::id::ContainerId;
    use crate::ipam::Grant;
    use crate::ipam::founding::{Ballot, Founding};
    use crate::record::Fingerprint;
    use crate::saved::Saved;
    use proptest::prelude::*;

    const ME: PeerId = PeerId([1; 32]);
    const OTHER: PeerId = PeerId([2; 32]);

    fn range((a, b): (u8, u8)) -> Range {
        Range { start: Offset(u128::from(a.min(b))), end: Offset(u128::from(a.max(b))) }
    }

    proptest! {
        #[test]
        fn counts_are_those_that_one_gets_by_looking_at_each_address(
            held in proptest::collection::btree_set(any::<u8>(), 0..200),
            given in proptest::collection::vec(any::<(u8, u8)>(), 0..6),
            within: (u8, u8),
        ) {
            let universe: Universe = Universe::new("10.32.0.0/24".parse().unwrap()).unwrap();
            let ballot = Ballot { round: 1, proposer: ME };
            let founding = Founding { universe, seeds: [ME].into(), ballot, lacks: false };
            let mut ledger = Ledger::found(&founding).unwrap();
            for (at, given) in given.into_iter().enumerate() {
                let (lineage, version) = (Fingerprint([0; 16]), at as u64 + 1);
                let owner = if at % 2 == 0 { OTHER } else { ME };
                let grant =
                    Grant { lineage, range: range(given), epoch: 0, version, owner, victim: None };
                ledger.apply(&grant);
            }
            let mut holdings = Holdings::load(universe, &Saved::default()).unwrap();
            for offset in &held {
                let net = universe.address(Offset(u128::from(*offset))).into();
                holdings.hold(&ContainerId::external(), net);
            }
            let within = range(within);
            let offsets = || (within.start.0..within.end.0).map(Offset);
            let in_it = offsets().filter(|offset| holdings.is_held(*offset)).count();
            prop_assert_eq!(holdings.held_count(within), in_it as u128);
            for owner in [ME, OTHER] {
                let is_free = |offset: &Offset| {
                    ledger.owner(*offset) == Some(owner) && !holdings.is_held(*offset)
                };
                let free = offsets().filter(is_free).count();
                prop_assert_eq!(holdings.free_count(&ledger, owner, within), free as u128);
            }
        }
    }
}
