//! Which way from host to host works, and how well: cuts, walls, hosts without power.

use super::conditions::{Conditions, Share};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weft_core::time::Instant;

/// What is going on in one direction between two hosts.
#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    /// Nothing gets through before.
    burst_until: Instant,
    /// When the last byte that waits for its turn will have left.
    busy_until: Instant,
}

/// All ways from host to host.
#[derive(Debug)]
pub struct Paths {
    /// Of every way that has none of its own.
    usual: Conditions,
    special: BTreeMap<(usize, usize), Conditions>,
    cuts: BTreeSet<(usize, usize)>,
    walls: BTreeSet<(usize, usize)>,
    dark: BTreeSet<usize>,
    stands: BTreeSet<(usize, usize)>,
    reads: BTreeMap<usize, u64>,
    lanes: BTreeMap<(usize, usize), Lane>,
    rng: ChaCha20Rng,
}

impl Paths {
    /// Ways that all work under `usual` conditions; chances come from `rng`.
    pub const fn new(usual: Conditions, rng: ChaCha20Rng) -> Self {
        Self {
            usual,
            special: BTreeMap::new(),
            cuts: BTreeSet::new(),
            walls: BTreeSet::new(),
            dark: BTreeSet::new(),
            stands: BTreeSet::new(),
            reads: BTreeMap::new(),
            lanes: BTreeMap::new(),
            rng,
        }
    }

    /// Of every way that has none of its own.
    pub const fn usual(&self) -> Conditions {
        self.usual
    }

    /// Changes every way that has no conditions of its own.
    pub const fn set_usual(&mut self, conditions: Conditions) {
        self.usual = conditions;
    }

    /// Gives the way `from` → `to` conditions of its own.
    pub fn set(&mut self, from: usize, to: usize, conditions: Conditions) {
        self.special.insert((from, to), conditions);
    }

    /// How well the way `from` → `to` works.
    pub fn conditions(&self, from: usize, to: usize) -> Conditions {
        self.special.get(&(from, to)).copied().unwrap_or(self.usual)
    }

    /// Whether nothing is wrong with any way but what every network does. Walls are none, nor is a host
    /// without power.
    pub fn are_sound(&self) -> bool {
        self.cuts.is_empty()
            && self.stands.is_empty()
            && self.reads.is_empty()
            && self.usual.are_usual()
            && self.special.values().all(Conditions::are_usual)
    }

    /// Changes the conditions of all ways.
    pub fn adjust(&mut self, change: impl Fn(&mut Conditions)) {
        change(&mut self.usual);
        self.special.values_mut().for_each(change);
        self.lanes.clear();
    }

    /// Cuts `from` off from `to`, in this direction, until [`Paths::heal`]. Nothing comes between a
    /// host and itself.
    pub fn cut(&mut self, from: usize, to: usize) {
        if from != to {
            self.cuts.insert((from, to));
        }
    }

    /// Ends the cut of `from` from `to`.
    pub fn mend(&mut self, from: usize, to: usize) {
        self.cuts.remove(&(from, to));
    }

    /// Whether this direction is cut.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// Whether any is.
    pub fn has_cuts(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// Ends all cuts.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Has what streams carry from `from` to `to` stand still, until [`Paths::calm`]. Datagrams and
    /// dials get through.
    pub fn stall(&mut self, from: usize, to: usize) {
        self.stands.insert((from, to));
    }

    /// Whether what streams carry from `from` to `to` stands still.
    pub fn stands(&self, from: usize, to: usize) -> bool {
        self.stands.contains(&(from, to))
    }

    /// Has `host` read only so many bytes of each stream in a second, until [`Paths::calm`].
    pub fn slow_reader(&mut self, host: usize, rate: u64) {
        self.reads.insert(host, rate);
    }

    /// How many bytes of each stream `host` reads in a second; any number if none is told.
    pub fn reads(&self, host: usize) -> Option<u64> {
        self.reads.get(&host).copied()
    }

    /// Ends all that keeps hosts apart, except walls and what has no power.
    pub fn calm(&mut self) {
        self.heal();
        self.stands.clear();
        self.reads.clear();
        self.adjust(|conditions| *conditions = conditions.calm());
    }

    /// From here on nothing is lost by chance.
    pub fn lose_nothing(&mut self) {
        self.adjust(|conditions| conditions.loss = Share::NONE);
    }

    /// Separates two hosts for the whole run.
    pub fn wall(&mut self, a: usize, b: usize) {
        self.walls.extend([(a, b), (b, a)]);
    }

    /// Takes the power of a host away: nothing gets out or in.
    pub fn darken(&mut self, host: usize) {
        self.dark.insert(host);
    }

    /// Gives it back. Returns whether it was away.
    pub fn light(&mut self, host: usize) -> bool {
        self.dark.remove(&host)
    }

    /// Whether nothing that leaves `from` arrives at `to`.
    pub fn blocked(&self, from: usize, to: usize) -> bool {
        self.cuts.contains(&(from, to))
            || self.walls.contains(&(from, to))
            || self.dark.contains(&from)
            || self.dark.contains(&to)
    }

    /// A number below `below`; 0 when that is 0.
    pub fn draw(&mut self, below: u64) -> u64 {
        if below == 0 { 0 } else { self.rng.next_u64() % below }
    }

    /// Whether something that happens this often happens this time.
    pub fn chance(&mut self, share: Share) -> bool {
        self.draw(Share::ALL.millionths().into()) < u64::from(share.millionths())
    }

    /// A length between two others.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_nanos()).unwrap_or(u64::MAX);
        low + Duration::from_nanos(self.draw(span.saturating_add(1)))
    }

    /// As [`Paths::chance`], without a draw where it never happens.
    pub fn happens(&mut self, share: Share) -> bool {
        !share.is_none() && self.chance(share)
    }

    /// A length up to `most`, without a draw where that is none.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        if most.is_zero() { most } else { self.between(Duration::ZERO, most) }
    }

    /// Whether what sets out at `now` is lost with all others of its time.
    pub fn in_burst(&mut self, now: Instant, from: usize, to: usize, there: Conditions) -> bool {
        if there.burst.is_zero() || there.bursts.is_none() {
            return false;
        }
        let within = |lane: &Lane| now < lane.burst_until;
        if self.lanes.get(&(from, to)).is_some_and(within) {
            return true;
        }
        let begins = self.chance(there.bursts);
        if begins {
            let length = self.up_to(there.burst);
            self.lanes.entry((from, to)).or_default().burst_until = now + length;
        }
        begins
    }

    /// Whether more bytes wait for their turn than may.
    pub fn is_full(&self, now: Instant, from: usize, to: usize) -> bool {
        let there = self.conditions(from, to);
        let (Some(rate), Some(lane)) = (there.rate, self.lanes.get(&(from, to))) else {
            return false;
        };
        lane.busy_until.since(now)
            > time_for(usize::try_from(there.queue).unwrap_or(usize::MAX), rate)
    }

    /// Has `len` bytes wait for their turn. Returns how long it takes until the last one has left.
    pub fn occupy(&mut self, now: Instant, from: usize, to: usize, len: usize) -> Duration {
        let Some(rate) = self.conditions(from, to).rate else { return Duration::ZERO };
        let lane = self.lanes.entry((from, to)).or_default();
        lane.busy_until = lane.busy_until.max(now) + time_for(len, rate);
        lane.busy_until.since(now)
    }

    /// How long something takes from `from` to `to` this time.
    pub fn trip(&mut self, from: usize, to: usize) -> Duration {
        let there = self.conditions(from, to);
        self.between(there.latency, there.latency + there.jitter)
    }
}

/// How long `len` bytes take at `rate` bytes a second.
pub(super) fn time_for(len: usize, rate: u64) -> Duration {
    let nanos = u128::try_from(len).unwrap_or(u128::MAX / 1_000_000_000) * 1_000_000_000
        / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
