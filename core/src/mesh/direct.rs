//! Data sessions on demand: what there is with each peer that frames are exchanged with and that no
//! link leads to. Until a session's path is proven, and whenever it is not, frames are relayed.
//!
//! ```text
//!            wanted                  accepted                 proven
//!   nothing ───────► offer made ────────────────► rising ─────────────► standing ──► ending
//!      │                 │     an offer accepted     ▲ │                   │ idle, ended, linked
//!      └─────────────────┼───────────────────────────┘ │ not proven        │
//!      ▲                 │ declined, no answer         │                   │ silent for long
//!      └── a wait that grows ◄─────────────────────────┴───────────────────┘
//! ```
//! A session that rises leaves the one that stands alone until it is proven itself, and one that ends
//! still takes in what is under way: so frames are lost by neither. In the same way a session that is
//! in use gets fresh keys: by another one that takes its place.

use super::offer::Half;
use super::path::{ENDING_MAX, Pace, Path};
use crate::fault::DirectFault;
use crate::id::{Incarnation, PeerName};
use crate::io::Outbox;
use crate::mark::{Mark, mark};
use crate::sleeve::{Session, SessionIndex};
use crate::time::Instant;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use zeroize::Zeroizing;

/// Who has the higher id offers this much later: frames mostly go both ways, so both sides want a
/// session at once, and one offer does.
const SECOND_WAIT: Duration = Duration::from_secs(1);

/// An offer that was not answered for this long is given up. On its way and back it may wait, at each
/// peer that relays it, for a write that is under way.
const OFFER_MAX: Duration = Duration::from_secs(10);

/// A session whose path is not proven after this long is given up. Each address of the peer has its
/// second, and who answers an offer probes for as long as the answer is on its way.
const RISING_MAX: Duration = Duration::from_secs(20);

/// An address that brings no answer for this long is left for the next one.
const ADDRESS_WAIT: Duration = Duration::from_secs(1);

/// A session that stood and is silent is given up after this long.
const SILENT_MAX: Duration = Duration::from_secs(30);

/// The wait after a first failure; it doubles with each that follows.
const RETRY_WAIT_MIN: Duration = Duration::from_secs(10);
/// The longest of them.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// Offers of one peer are answered no more often than this.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// While a path is not proven for the first time.
const RISING: Pace = Pace {
    unproven: Duration::from_millis(250),
    proven: Duration::from_secs(1),
    silence_max: Duration::from_secs(4),
};

/// Once it was. Sooner silent than a link's, since frames have another way at once; few peers are
/// talked with at one time, so the probes may be many. When it is silent, it is probed less and less.
const STANDING: Pace = Pace { unproven: Duration::from_secs(4), ..RISING };

/// What there is with one peer.
#[derive(Debug)]
pub(crate) struct Direct {
    /// What its frames are addressed to.
    pub(crate) name: PeerName,
    /// When either side last let us know that it wants a session.
    pub(crate) wanted_at: Instant,
    /// When our own forwarder did.
    pub(super) used_at: Option<Instant>,
    /// When to offer one.
    offer_at: Option<Instant>,
    /// No offer before this.
    pub(crate) retry_at: Instant,
    failures: u32,
    /// Ours, that waits for its answer.
    pub(crate) offer: Option<OfferMade>,
    /// Agreed, and not proven.
    pub(crate) rising: Option<DirectPath>,
    /// Was proven, and is in use unless it is silent.
    pub(crate) standing: Option<DirectPath>,
    /// Whether the forwarder was told to use that.
    pub(crate) is_used: bool,
    /// Over but for datagrams that are under way, and until when.
    ending: Option<(SessionIndex, Instant)>,
    /// The newest half that came: the peer's life, and the number in it.
    heard: Option<(Incarnation, u64)>,
    /// When an offer was answered last.
    answered_at: Option<Instant>,
    /// Why there is none, or was none before this one.
    pub(crate) why: Option<DirectFault>,
}

/// An offer of ours.
pub(crate) struct OfferMade {
    /// Our index.
    pub(crate) session: SessionIndex,
    pub(crate) secret: Zeroizing<[u8; 32]>,
    /// The life of the peer that it was made to.
    pub(crate) life: Incarnation,
    until: Instant,
}

// By hand: `Zeroizing` would print the secret.
impl core::fmt::Debug for OfferMade {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OfferMade")
            .field("session", &self.session)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// A session and the addresses that may lead to its other end.
#[derive(Debug)]
pub(crate) struct DirectPath {
    pub(crate) path: Path,
    /// Their index.
    pub(crate) remote: SessionIndex,
    /// The life of the peer that has the other end.
    pub(crate) life: Incarnation,
    pub(crate) sealed: bool,
    /// Whether we offered it.
    is_ours: bool,
    /// Since when it stands.
    pub(crate) up_at: Option<Instant>,
    addresses: Vec<SocketAddr>,
    tried: usize,
    next_at: Instant,
    /// When it is given up, unless it is proven.
    until: Instant,
}

/// What is due with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// An offer is to be made.
    Offer,
    /// Our offer was not answered.
    Unanswered,
    /// A session that rises is given up.
    Unproven,
    /// A session that stands has fallen silent.
    Silent,
    /// A session that stood was silent for too long.
    Lost,
    /// Nobody wants a session any more.
    Idle,
    /// A session that ended takes in no more.
    Ended(SessionIndex),
}

impl Direct {
    /// Nothing yet, with a peer called `name`.
    pub(crate) const fn new(now: Instant, name: PeerName) -> Self {
        Self {
            name,
            wanted_at: now,
            used_at: None,
            offer_at: None,
            retry_at: now,
            failures: 0,
            offer: None,
            rising: None,
            standing: None,
            is_used: false,
            ending: None,
            heard: None,
            answered_at: None,
            why: None,
        }
    }

    /// Frames are exchanged with the peer: a session is to be, or to stay, or to be followed by one with
    /// fresh keys when it has stood for `keys_max`. Who `is_first` offers one at once.
    pub(crate) fn wanted(&mut self, now: Instant, is_first: bool, keys_max: Duration) {
        (self.wanted_at, self.used_at) = (now, Some(now));
        let is_old = |standing: &DirectPath| standing.up_at.is_some_and(|at| at + keys_max <= now);
        if self.offer.is_none()
            && self.rising.is_none()
            && self.standing.as_ref().is_none_or(is_old)
        {
            let at = (if is_first { now } else { now + SECOND_WAIT }).max(self.retry_at);
            self.offer_at.get_or_insert(at);
        }
    }

    /// An offer was made.
    pub(crate) fn offered(
        &mut self,
        now: Instant,
        session: SessionIndex,
        secret: Zeroizing<[u8; 32]>,
        life: Incarnation,
    ) {
        self.offer_at = None;
        self.offer = Some(OfferMade { session, secret, life, until: now + OFFER_MAX });
    }

    /// No offer is made, for now.
    pub(crate) const fn offer_later(&mut self) {
        self.offer_at = None;
    }

    /// Whether `half` of the peer's `life` is newer than all that came, and no offer was answered just
    /// before.
    pub(crate) fn is_news(&self, now: Instant, life: Incarnation, half: &Half) -> bool {
        self.heard.is_none_or(|heard| (life, half.number) > heard)
            && self.answered_at.is_none_or(|at| at + ANSWER_WAIT <= now)
    }

    /// `half` came, of the peer's `life`.
    pub(crate) fn heard(&mut self, life: Incarnation, half: &Half) {
        self.heard = self.heard.max(Some((life, half.number)));
    }

    /// Its offer is answered.
    pub(crate) const fn answered(&mut self, now: Instant) {
        self.answered_at = Some(now);
        self.wanted_at = now;
        self.offer_at = None;
    }

    /// What was tried came to nothing: nothing is tried for a while. Returns whether that is missed:
    /// beside a session that works it is not.
    pub(crate) fn failed(&mut self, now: Instant, why: DirectFault) -> bool {
        let doublings = self.failures.min(8);
        self.failures += 1;
        self.retry_at = now + RETRY_WAIT_MIN.saturating_mul(1 << doublings).min(RETRY_WAIT_MAX);
        self.offer_at = None;
        if !self.is_used {
            self.why = Some(why);
        }
        !self.is_used
    }

    /// The session that rises is proven. Returns the one that stood before.
    pub(crate) fn rise(&mut self, now: Instant) -> Option<DirectPath> {
        let mut risen = self.rising.take()?;
        risen.path.pace = STANDING;
        risen.up_at = Some(now);
        self.failures = 0;
        (self.why, self.offer_at) = (None, None);
        self.standing.replace(risen)
    }

    /// A session with our `index` takes in what is under way, and nothing more. It answers no probes, so
    /// the other side goes back to relaying within `silence_max` even if nothing told it. Returns one
    /// that took in until then.
    pub(crate) fn ends(&mut self, now: Instant, index: SessionIndex) -> Option<SessionIndex> {
        self.ending.replace((index, now + ENDING_MAX)).map(|(index, _)| index)
    }

    /// Our indices of all sessions that the forwarder was told of.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionIndex> {
        let paths = [&self.rising, &self.standing].into_iter().flatten();
        paths.map(|path| path.path.index).chain(self.ending.map(|(index, _)| index))
    }

    /// Whether anything was agreed with, or offered to, a life of the peer before `life`.
    pub(crate) fn is_outlived(&self, life: Incarnation) -> bool {
        let paths = [&self.rising, &self.standing].into_iter().flatten().map(|path| path.life);
        paths.chain(self.offer.iter().map(|offer| offer.life)).any(|its| its < life)
    }

    /// The session with our `index`, unless it ends.
    pub(crate) fn path_mut(&mut self, index: SessionIndex) -> Option<&mut DirectPath> {
        let mut paths = [&mut self.rising, &mut self.standing].into_iter().flatten();
        paths.find(|path| path.path.index == index)
    }

    /// Does one thing that is due, if anything is, and says what follows from it.
    pub(crate) fn timeout(
        &mut self,
        now: Instant,
        idle_max: Duration,
        out: &mut Outbox,
    ) -> Option<Due> {
        if let Some((index, _)) = self.ending.take_if(|(_, until)| *until <= now) {
            return Some(Due::Ended(index));
        }
        if self.has_any() && self.wanted_at + idle_max <= now {
            return Some(Due::Idle);
        }
        if self.offer.as_ref().is_some_and(|offer| offer.until <= now) {
            return Some(Due::Unanswered);
        }
        if let Some(rising) = &mut self.rising {
            if rising.until <= now {
                return Some(Due::Unproven);
            }
            rising.timeout(now, out);
        }
        if let Some(standing) = &mut self.standing {
            if !standing.path.is_proven() && standing.until <= now {
                return Some(Due::Lost);
            }
            if standing.path.deadline() <= now && standing.path.timeout(now, out).proven.is_some() {
                standing.until = now + SILENT_MAX;
                return Some(Due::Silent);
            }
        }
        self.offer_at.filter(|at| *at <= now).map(|_| Due::Offer)
    }

    /// Whether there is anything that somebody has to want.
    fn has_any(&self) -> bool {
        self.offer.is_some()
            || self.rising.is_some()
            || self.standing.is_some()
            || self.offer_at.is_some()
    }

    /// Whether nothing is left but the memory of it.
    pub(super) fn is_over(&self) -> bool {
        !self.has_any() && self.ending.is_none()
    }

    pub(super) fn under_way(&self) -> [usize; 2] {
        let is = |ours: bool| self.rising.as_ref().is_some_and(|it| it.is_ours == ours);
        [usize::from(self.offer.is_some()) + usize::from(is(true)), usize::from(is(false))]
    }

    pub(super) fn deadline(&self, idle_max: Duration) -> Instant {
        let idle_at = self.wanted_at + idle_max;
        // That it failed is remembered as long as it matters.
        let last = if self.has_any() {
            idle_at
        } else {
            let over_at = idle_at.max(self.retry_at);
            self.ending.map_or(over_at, |(_, until)| over_at.max(until))
        };
        let rising = self.rising.as_ref().map(DirectPath::rises_until);
        let standing = self.standing.as_ref().map(|standing| {
            let path = standing.path.deadline();
            if standing.path.is_proven() { path } else { path.min(standing.until) }
        });
        let others = [
            self.offer_at,
            self.offer.as_ref().map(|offer| offer.until),
            rising,
            standing,
            self.ending.map(|(_, until)| until),
        ];
        others.into_iter().flatten().fold(last, Instant::min)
    }
}

impl DirectPath {
    /// A session that rises: `addresses` are tried one after the other, until a probe comes from
    /// somewhere.
    pub(crate) fn new(
        now: Instant,
        index: SessionIndex,
        (session, sealed, is_ours): (Session, bool, bool),
        (remote, life): (SessionIndex, Incarnation),
        addresses: Vec<SocketAddr>,
    ) -> Self {
        Self {
            path: Path::new(now, index, session, addresses.first().copied(), RISING),
            remote,
            life,
            sealed,
            is_ours,
            up_at: None,
            addresses,
            tried: 0,
            next_at: now + ADDRESS_WAIT,
            until: now + RISING_MAX,
        }
    }

    /// While it rises.
    fn timeout(&mut self, now: Instant, out: &mut Outbox) {
        if self.next_at <= now {
            self.next_at = now + ADDRESS_WAIT;
            self.tried += 1;
            let index = self.tried.checked_rem(self.addresses.len());
            let next = index.and_then(|index| self.addresses.get(index)).copied();
            if let Some(to) = next.filter(|to| self.path.to != Some(*to))
                && self.path.try_at(now, to)
            {
                mark(Mark::SessionNextAddress);
            }
        }
        if self.path.deadline() <= now {
            // It was never proven, so it cannot come to be silent.
            self.path.timeout(now, out);
        }
    }

    fn rises_until(&self) -> Instant {
        self.path.deadline().min(self.next_at).min(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sleeve::{Kind, SessionKeys};

    const KEYS: Duration = Duration::from_secs(300);
    const NAME: PeerName = PeerName([2; 6]);

    fn secs(n: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(n)
    }

    #[test]
    fn a_failure_is_followed_by_a_wait_that_grows_to_minutes() {
        let mut direct = Direct::new(secs(0), NAME);
        let waits: Vec<u64> = (0..7)
            .map(|_| {
                direct.failed(secs(0), DirectFault::Unanswered);
                (direct.retry_at - secs(0)).as_secs()
            })
            .collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        direct.wanted(secs(7), true, KEYS);
        assert_eq!(direct.offer_at, Some(secs(300)), "wanted in vain meanwhile");
    }

    /// A session that rises.
    fn rising(now: Instant, index: u32) -> DirectPath {
        let theirs = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from([8; 32]));
        let keys =
            SessionKeys { ours: [7; 32], theirs: theirs.to_bytes(), dialed: true, sealed: true };
        let session = Session::new(Kind::Probe, &keys, SessionIndex(9)).unwrap();
        let there = (SessionIndex(9), Incarnation(1));
        DirectPath::new(now, SessionIndex(index), (session, true, true), there, Vec::new())
    }

    #[test]
    fn a_session_in_use_is_followed_by_another_when_its_keys_are_old() {
        let mut direct = Direct::new(secs(0), NAME);
        direct.rising = Some(rising(secs(0), 1));
        assert!(direct.rise(secs(1)).is_none());
        direct.is_used = true;
        direct.wanted(secs(300), true, KEYS);
        assert_eq!(direct.offer_at, None);
        direct.wanted(secs(301), true, KEYS);
        assert_eq!(direct.offer_at, Some(secs(301)));
        // Nobody misses it while the one with the old keys works, and it is tried again.
        assert!(!direct.failed(secs(305), DirectFault::Unanswered));
        assert_eq!(direct.why, None);
        direct.wanted(secs(306), true, KEYS);
        assert_eq!(direct.offer_at, Some(secs(315)));
        direct.rising = Some(rising(secs(316), 2));
        let before = direct.rise(secs(317)).unwrap();
        assert_eq!(before.path.index, SessionIndex(1));
        direct.wanted(secs(320), true, KEYS);
        assert_eq!(direct.offer_at, None);
    }

    #[test]
    fn who_has_the_higher_id_offers_a_second_later() {
        for (is_first, offered) in [(true, secs(3)), (false, secs(4))] {
            let mut direct = Direct::new(secs(3), NAME);
            direct.wanted(secs(3), is_first, KEYS);
            assert_eq!(direct.offer_at, Some(offered));
        }
    }

    #[test]
    fn a_half_that_came_before_is_no_news_nor_is_one_of_an_earlier_life() {
        let half = |number| Half { session: SessionIndex(1), key: [1; 32], seals: true, number };
        let mut direct = Direct::new(secs(0), NAME);
        direct.heard(Incarnation(2), &half(5));
        let news = |life, number| direct.is_news(secs(9), Incarnation(life), &half(number));
        assert!(news(2, 6) && news(3, 1));
        assert!(!news(2, 5) && !news(2, 4) && !news(1, 9));
    }

    #[test]
    fn offers_of_one_peer_are_answered_once_a_second() {
        let half = Half { session: SessionIndex(1), key: [1; 32], seals: true, number: 7 };
        let mut direct = Direct::new(secs(0), NAME);
        direct.answered(secs(5));
        assert!(!direct.is_news(secs(5), Incarnation(1), &half));
        assert!(direct.is_news(secs(6), Incarnation(1), &half));
    }
}
