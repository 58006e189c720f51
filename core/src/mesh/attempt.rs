//! One whom we dial: how it stands with it, and when it is dialed next.

use super::ConnFault;
use crate::handshake::HandshakeFault;
use crate::id::PeerId;
use crate::io::{ConnId, DialFailure, Target};
use crate::mark::{Mark, mark};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

/// A link that stood this long and broke is dialed again at once: the failure is news.
pub(super) const STOOD_MIN: Duration = Duration::from_secs(10);

/// A dead address is dialed so often by all in reach together: each of us waits as many times as long
/// as there are of us. So the end of an outage is noticed soon, however long it was. From the longest
/// wait on, which 15 of us come to, it is dialed more often, the more there are.
const DIAL_EVERY: Duration = Duration::from_secs(4);

/// Who has a link with us by its own account, and none by ours, has it with another daemon that runs as this
/// peer. That is to be found out at once: the first few waits are this part of the shortest one.
const SHUT_OUT_PART: u32 = 10;

/// Such waits come until the usual one is so many times the shortest: four or five of them.
const SHUT_OUT_MAX: u32 = 16;

/// Of two that hear of each other, the one with the higher id waits so many of the shortest waits for
/// the other to dial.
pub(super) const SECOND_WAITS: u32 = 4;

/// On whose account a dial is made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whom {
    /// An operator gave it.
    Target(Target),
    /// It was heard of.
    Peer(PeerId),
}

impl Whom {
    pub(super) const fn is_target(&self) -> bool {
        match self {
            Self::Target(_) => true,
            Self::Peer(_) => false,
        }
    }
}

/// How it stands with one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// To be dialed then.
    Waiting {
        /// When.
        dial_at: Instant,
    },
    /// Being dialed, or shaking hands.
    Dialing(ConnId),
    /// A link of this dial stands.
    Linked(ConnId, PeerId),
    /// The peer behind it has a link that came about otherwise, or is reached over others.
    Elsewhere(PeerId),
}

/// What is known of one of them.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) state: State,
    /// Wait after the next failure, before it is drawn.
    pub(super) base: Duration,
    /// The peer that answered last time.
    pub(super) peer: Option<PeerId>,
    /// Where to dial it, when it was only heard of.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) failures: usize,
    /// Whether it was a neighbour of the run before, and has not been heard of in this one.
    pub(super) is_recalled: bool,
    /// Whether it was ourselves that answered.
    pub(crate) is_self: bool,
    /// How the last attempt ended.
    pub(crate) last: Option<LastFault>,
}

/// Why the last attempt failed.
#[derive(Clone, Debug)]
pub(crate) struct LastFault {
    pub(crate) why: String,
    pub(crate) needs_operator: bool,
    pub(crate) is_unknown: bool,
}

/// How a dial ended, or the link that it led to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    /// Its conn.
    pub(crate) conn: ConnId,
    /// Why.
    pub(crate) fault: &'a ConnFault,
    /// How long the link stood, if there was one.
    pub(crate) stood: Option<Duration>,
    /// The peer that answered, if it has another link now.
    pub(crate) by: Option<PeerId>,
}

/// The shortest and the longest wait for a dial.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Waits {
    /// 0.5 to 1.5 times `base`, but no more than the longest.
    pub(super) fn draw(self, base: Duration, rng: &mut ChaCha20Rng) -> Duration {
        let nanos = |wait: Duration| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 2);
        let (base, max) = (nanos(base), nanos(self.max));
        let least = base / 2;
        let most = least.saturating_add(base).min(max);
        let spread = most.saturating_sub(least).saturating_add(1);
        Duration::from_nanos(least.saturating_add(rng.next_u64() % spread).max(1))
    }
}

impl Attempt {
    pub(super) const fn new(dial_at: Instant, base: Duration) -> Self {
        Self {
            state: State::Waiting { dial_at },
            base,
            peer: None,
            addresses: Vec::new(),
            failures: 0,
            is_recalled: false,
            is_self: false,
            last: None,
        }
    }

    /// When it is dialed next, if it waits for that.
    pub(crate) const fn dial_at(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { dial_at } => Some(dial_at),
            State::Dialing(_) | State::Linked(..) | State::Elsewhere(_) => None,
        }
    }

    /// Each failure turns to the next address.
    pub(super) fn address(&self) -> SocketAddr {
        let turn = self.failures % self.addresses.len().max(1);
        let address = self.addresses.get(turn).copied();
        address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Whether dials lead nowhere until an operator has changed something.
    fn needs_operator(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.needs_operator)
    }

    /// How long it may wait while these others are in reach. A neighbour of the run before is a guess,
    /// which may be wrong for good; but who is alone has nothing better.
    pub(super) fn waits(&self, waits: Waits, in_reach: &BTreeMap<PeerId, PeerId>) -> Waits {
        if self.needs_operator() || self.is_recalled && !in_reach.is_empty() {
            return waits;
        }
        let all = u32::try_from(in_reach.len()).unwrap_or(u32::MAX).saturating_add(1);
        Waits { max: waits.max.min(DIAL_EVERY.saturating_mul(all)), ..waits }
    }

    /// It failed, or its link ended. It is dialed again at once after a link that stood for long, and
    /// else after a wait that doubles.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        End { fault, stood, .. }: End<'_>,
        (waits, in_reach): (Waits, &BTreeMap<PeerId, PeerId>),
        rng: &mut ChaCha20Rng,
    ) {
        let needs_operator = fault.needs_operator();
        let is_unknown = matches!(fault, ConnFault::Dial(DialFailure::Resolve { .. }));
        self.is_self = *fault == ConnFault::Handshake(HandshakeFault::Myself);
        self.last = Some(LastFault { why: fault.to_string(), needs_operator, is_unknown });
        self.failures = self.failures.wrapping_add(1);
        if stood.is_some_and(|stood| stood >= STOOD_MIN) && !needs_operator {
            mark(Mark::DialAtOnce);
            self.base = waits.min;
            self.state = State::Waiting { dial_at: now };
            return;
        }
        mark(if needs_operator { Mark::DialOperator } else { Mark::DialBacksOff });
        let waits = self.waits(waits, in_reach);
        let base = if needs_operator { waits.max } else { self.base.min(waits.max) };
        self.base = base.saturating_mul(2).min(waits.max);
        self.state = State::Waiting { dial_at: now + waits.draw(base, rng) };
    }

    /// Its peer has no link with us and says that it has: the first few times it is dialed sooner.
    pub(super) fn shut_out(&mut self, now: Instant, waits: Waits) {
        let soon = now + waits.min / SHUT_OUT_PART;
        if let State::Waiting { dial_at } = &mut self.state
            && self.base < waits.min.saturating_mul(SHUT_OUT_MAX)
        {
            self.base = self.base.saturating_mul(2);
            *dial_at = soon.min(*dial_at);
        }
    }

    /// Others came in reach or went: with fewer of us left, each dials more often those that failed,
    /// and whoever `came` can surely be dialed, by the one with the lower id first.
    pub(super) fn reach_changed(
        &mut self,
        now: Instant,
        (me, came): (PeerId, &BTreeSet<PeerId>),
        (waits, in_reach): (Waits, &BTreeMap<PeerId, PeerId>),
        rng: &mut ChaCha20Rng,
    ) {
        let State::Waiting { dial_at } = self.state else { return };
        if self.needs_operator() {
            return;
        }
        let waits = self.waits(waits, in_reach);
        // One that was not dialed yet waits for no failure.
        let came = self.peer.filter(|peer| self.failures > 0 && came.contains(peer));
        let latest = match came {
            Some(peer) if me < peer => waits.min,
            Some(_) => waits.min.saturating_mul(SECOND_WAITS),
            None => waits.max,
        };
        if dial_at > now + latest {
            mark(Mark::DialSooner);
            self.base = self.base.min(latest);
            self.state = State::Waiting { dial_at: now + waits.draw(latest, rng) };
        }
    }
}
