//! Which addresses are held here, and by whom; and what is free of what we own.

use super::ledger::Ledger;
use super::settling::Settling;
use crate::addr::{Offset, Range, Universe};
use crate::id::{ContainerId, PeerId};
use crate::mark::{Mark, mark};
use crate::saved::{Change, Damaged, Saved, Slot};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use ipnet::IpNet;

/// An address that was given back is handed out or given away again only after this, while there are
/// others: caches of its neighbours may still lead to who had it. As long as Linux takes to look whether
/// a neighbour is still there, at most (`base_reachable_time` times 1.5).
pub(super) const REST: Duration = Duration::from_secs(45);

/// Most addresses that rest at once; beyond it, those that have rested for longest do so no more.
const RESTING_MAX: usize = 4096;

/// Most addresses of which a restart is survived by that they were given back: they are written with each
/// one that is. After a restart within [`REST`] more than that were given back by few hosts.
const SAVED_MAX: usize = 64;

/// Most subnets whose last allocation is remembered; beyond it, one is forgotten.
const CURSORS_MAX: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct Holdings {
    universe: Universe,
    by_id: BTreeMap<ContainerId, Vec<IpNet>>,
    holders: BTreeMap<IpAddr, ContainerId>,
    /// Held addresses of the universe.
    inside: BTreeMap<u128, ContainerId>,
    /// Where the search for a free address of a range goes on: not lowest first, because an
    /// address that was just given back may still live in caches of its neighbours.
    cursors: BTreeMap<Range, u128>,
    /// When each address that was given back of late has rested.
    resting: BTreeMap<u128, Instant>,
    /// The last ones that were given back, whenever that was; the last one at the end.
    given_back: Vec<u128>,
    /// These are from the life before, and it is not known yet what time it is: no clock is common to
    /// both lives, so all of them rest anew.
    is_waking: bool,
}

impl Holdings {
    pub(super) fn load(universe: Universe, saved: &Saved) -> Result<Self, Damaged> {
        let mut holdings = Self {
            universe,
            by_id: BTreeMap::new(),
            holders: BTreeMap::new(),
            inside: BTreeMap::new(),
            cursors: BTreeMap::new(),
            resting: BTreeMap::new(),
            given_back: saved.get(&Slot::Resting)?.unwrap_or_default(),
            is_waking: true,
        };
        for slot in saved.slots.keys() {
            if let Slot::Holding(id) = slot
                && let Some(nets) = saved.get::<Vec<IpNet>>(slot)?
            {
                for net in nets {
                    holdings.hold(id, net);
                }
            }
        }
        Ok(holdings)
    }

    /// Notes that `id` holds `net`, whose address nobody else holds.
    pub(super) fn hold(&mut self, id: &ContainerId, net: IpNet) -> Change {
        let nets = self.by_id.entry(id.clone()).or_default();
        if !nets.iter().any(|held| held.addr() == net.addr()) {
            nets.push(net);
        }
        let change = Change::put(Slot::Holding(id.clone()), nets);
        self.holders.insert(net.addr(), id.clone());
        if let Some(offset) = self.universe.offset(net.addr()) {
            self.inside.insert(offset.0, id.clone());
        }
        change
    }

    /// How many addresses are held, and of how many ranges it is known where to look first.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let Self {
            universe: _,
            by_id: _,
            holders,
            inside: _,
            cursors,
            resting: _,
            given_back: _,
            is_waking: _,
        } = self;
        (holders.len(), cursors.len())
    }

    /// Gives back one address of `id`, or all; `None` when it holds none such.
    pub(super) fn release(
        &mut self,
        now: Instant,
        id: &ContainerId,
        address: Option<IpAddr>,
    ) -> Option<(Vec<IpNet>, Change)> {
        let nets = self.by_id.get_mut(id)?;
        let is_meant = |net: &IpNet| address.is_none_or(|address| net.addr() == address);
        let given: Vec<IpNet> = nets.iter().copied().filter(is_meant).collect();
        if given.is_empty() {
            return None;
        }
        nets.retain(|net| !is_meant(net));
        let slot = Slot::Holding(id.clone());
        let change = if nets.is_empty() { Change::remove(slot) } else { Change::put(slot, nets) };
        if nets.is_empty() {
            self.by_id.remove(id);
        }
        for net in &given {
            self.holders.remove(&net.addr());
            if let Some(offset) = self.universe.offset(net.addr()) {
                self.inside.remove(&offset.0);
                self.rest(now, offset);
            }
        }
        Some((given, change))
    }

    /// What is to be written once something was given back.
    pub(super) fn given_back(&self) -> Change {
        Change::put(Slot::Resting, &self.given_back)
    }

    /// It is `now`: what was given back in the life before rests from here on.
    pub(super) fn wake(&mut self, now: Instant) {
        if core::mem::take(&mut self.is_waking) {
            self.resting.extend(self.given_back.iter().map(|at| (*at, now + REST)));
        }
    }

    fn rest(&mut self, now: Instant, at: Offset) {
        self.given_back.retain(|before| *before != at.0);
        self.given_back.push(at.0);
        let needless = self.given_back.len().saturating_sub(SAVED_MAX);
        self.given_back.drain(..needless);
        self.resting.insert(at.0, now + REST);
        if self.resting.len() > RESTING_MAX {
            self.resting.retain(|_, rested_at| *rested_at > now);
        }
        // Half of them at once, so that not each release has to look at all.
        if self.resting.len() > RESTING_MAX {
            let mut times: Vec<Instant> = self.resting.values().copied().collect();
            let (_, middle, _) = times.select_nth_unstable(RESTING_MAX / 2);
            let middle = *middle;
            self.resting.retain(|_, rested_at| *rested_at > middle);
        }
    }

    /// Whether the address at `at` was given back of late.
    fn rests(&self, now: Instant, at: Offset) -> bool {
        self.resting.get(&at.0).is_some_and(|rested_at| *rested_at > now)
    }

    pub(super) fn holder(&self, address: IpAddr) -> Option<&ContainerId> {
        self.holders.get(&address)
    }

    /// What `id` holds under `address`, with its prefix.
    pub(super) fn held_as(&self, id: &ContainerId, address: IpAddr) -> Option<IpNet> {
        self.by_id.get(id)?.iter().copied().find(|net| net.addr() == address)
    }

    /// What `id` holds inside `range`.
    pub(super) fn held_in(&self, id: &ContainerId, range: Range) -> Option<IpNet> {
        let is_in =
            |net: &IpNet| self.universe.offset(net.addr()).is_some_and(|o| range.contains(o));
        self.by_id.get(id)?.iter().copied().find(is_in)
    }

    /// What `id` holds.
    pub(super) fn of(&self, id: &ContainerId) -> &[IpNet] {
        self.by_id.get(id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ContainerId, &[IpNet])> {
        self.by_id.iter().map(|(id, nets)| (id, nets.as_slice()))
    }

    /// Held addresses.
    pub(super) fn len(&self) -> usize {
        self.holders.len()
    }

    /// Held addresses of the universe.
    pub(super) fn len_inside(&self) -> usize {
        self.inside.len()
    }

    pub(super) fn is_held(&self, offset: Offset) -> bool {
        self.inside.contains_key(&offset.0)
    }

    /// What is held in `range`, in order, and by whom.
    pub(super) fn held_inside(&self, range: Range) -> impl Iterator<Item = (Offset, &ContainerId)> {
        let (start, end) = (range.start.0, range.end.0.max(range.start.0));
        self.inside.range(start..end).map(|(at, id)| (Offset(*at), id))
    }

    /// Runs of held addresses in `range`, in order.
    pub(super) fn runs(&self, range: Range) -> Vec<Range> {
        let mut runs: Vec<Range> = Vec::new();
        for (at, _) in self.held_inside(range) {
            let end = Offset(at.0 + 1);
            match runs.last_mut() {
                Some(last) if last.end == at => last.end = end,
                Some(_) | None => runs.push(Range { start: at, end }),
            }
        }
        runs
    }

    /// Number of held addresses in `range`. Counts those inside or those outside, whichever are fewer.
    pub(super) fn held_count(&self, range: Range) -> u128 {
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
    pub(super) fn free_count(&self, ledger: &Ledger, owner: PeerId, within: Range) -> u128 {
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
    pub(super) fn next_free(
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
                if held.next_if_eq(&free).is_none() && !self.rests(now, Offset(free)) {
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
        let is_own =
            |at: &&u128| within.contains(Offset(**at)) && ledger.owner(Offset(**at)) == Some(owner);
        let settles = |at: u128| settling.meets(Range { start: Offset(at), end: Offset(at + 1) });
        let resting =
            self.resting.iter().filter(|(at, _)| is_own(at) && !self.is_held(Offset(**at)));
        let resting = resting.filter(|(at, _)| !settles(**at));
        let (at, _) = resting.min_by_key(|(_, rested_at)| **rested_at)?;
        mark(Mark::AllocateRested);
        Some(Offset(*at))
    }

    /// What `owner` gives to somebody who asks for addresses inside `within`: the largest free
    /// CIDR block (of equals the last), or its upper half when it is over half of all that is free
    /// there. Of what rests only when there is nothing else, of what settles nothing. `None` when nothing is free.
    /// Source: Weave Net ipam/space/space.go `Donate`.
    pub(super) fn to_give(
        &self,
        now: Instant,
        ledger: &Ledger,
        owner: PeerId,
        within: Range,
        settling: &Settling,
    ) -> Option<Range> {
        let largest = |keeps: &dyn Fn(u128) -> bool| {
            let stretches = self.stretches(ledger, owner, within, keeps).into_iter();
            stretches
                .flat_map(|stretch| settling.without(stretch))
                .map(largest_block)
                .max_by_key(Range::size)
        };
        let rests = |at| self.rests(now, Offset(at));
        let block = largest(&rests).or_else(|| largest(&|_| false))?;
        if block.size() > 1 && block.size() * 2 > self.free_count(ledger, owner, within) {
            mark(Mark::DonateHalf);
            return Some(Range { start: Offset(block.start.0 + block.size() / 2), ..block });
        }
        mark(Mark::DonateBlock);
        Some(block)
    }

    /// Runs of free addresses of `owner` inside `within`, of one epoch each, without those that it `keeps`.
    pub(super) fn stretches(
        &self,
        ledger: &Ledger,
        owner: PeerId,
        within: Range,
        keeps: &dyn Fn(u128) -> bool,
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
            let kept =
                self.resting.range(inside.clone()).map(|(at, _)| *at).filter(|at| keeps(*at));
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
    use crate::ipam::Grant;
    use crate::ipam::founding::{Ballot, Founding};
    use crate::record::Fingerprint;
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
            let founding = Founding { universe, seeds: [ME].into(), ballot };
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
