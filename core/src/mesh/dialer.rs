//! Whom to dial and when: configured targets, and peers that were only heard of.

use super::Acquaintances;
use super::attempt::{Attempt, End, SECOND_WAITS, State, Waits, Whom};
use crate::config::Config;
use crate::id::PeerId;
use crate::io::{ConnId, Target};
use crate::mark::{Mark, mark};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use core::net::SocketAddr;
use core::time::Duration;
use rand_chacha::ChaCha20Rng;

/// A peer whose link broke is dialed at once by the one of us with the lower id, and after this
/// part of the shortest wait by the other: it may have come back without anybody to dial.
const REDIAL_PART: u32 = 2;

/// Those that are not wanted soon wait so many of the shortest waits more, in which time the links that
/// are wanted soon have brought news of all others.
const PATIENCE: u32 = 2;

/// A neighbour of the run before is dialed this long after the start: those that were named for this
/// run go first, and seldom two dials lead to one peer.
const RECALL_WAIT: Duration = Duration::from_millis(50);

/// A neighbour of the run before that was dialed so often to no avail, for some minutes, is dialed no
/// more until it is heard of, once there is anybody to hear it from.
const RECALLS_MAX: usize = 12;

/// Most dials under way to configured targets, and as many again to peers that were heard of: both
/// together half of the conns that may be unproven, so that those who dial us have room. Without a
/// limit, one who makes up peers makes us dial them all at once; with one limit for both kinds, it
/// would keep the targets waiting.
const DIALS_MAX: usize = 16;

/// All of them.
#[derive(Debug)]
pub(crate) struct Dialer {
    attempts: BTreeMap<Whom, Attempt>,
    /// Their last link ended since [`Dialer::discover`] was last called.
    lost: BTreeSet<PeerId>,
    discovers: bool,
    waits: Waits,
    rng: ChaCha20Rng,
}

impl Dialer {
    pub(crate) const fn new(config: &Config, rng: ChaCha20Rng) -> Self {
        Self {
            attempts: BTreeMap::new(),
            lost: BTreeSet::new(),
            discovers: config.discovery,
            waits: Waits { min: config.dial_wait_min, max: config.dial_wait_max },
            rng,
        }
    }

    /// How many there are to dial, how many of them wait for it, and how many links were lost since
    /// the last look at whom to dial.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let Self { attempts, lost, discovers: _, waits: _, rng: _ } = self;
        let postponed = attempts.values().filter(|attempt| attempt.dial_at().is_some());
        (attempts.len(), postponed.count(), lost.len())
    }

    /// Configured targets, in order.
    pub(crate) fn targets(&self) -> impl Iterator<Item = (&Target, &Attempt)> {
        self.attempts.iter().filter_map(|(whom, attempt)| match whom {
            Whom::Target(target) => Some((target, attempt)),
            Whom::Peer(_) => None,
        })
    }

    /// Everybody who is dialed, with what to call them.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = (String, &Attempt)> {
        self.attempts.iter().map(|(whom, attempt)| match whom {
            Whom::Target(target) => (target.to_string(), attempt),
            Whom::Peer(_) => (attempt.address().to_string(), attempt),
        })
    }

    /// Dials `targets` at once; with `replace`, forgets all others.
    pub(crate) fn connect(&mut self, now: Instant, targets: &[Target], replace: bool) {
        if replace {
            mark(Mark::DialReplaced);
            self.attempts.retain(|whom, _| match whom {
                Whom::Target(target) => targets.contains(target),
                Whom::Peer(_) => true,
            });
        }
        for target in targets {
            let fresh = || Attempt::new(now, self.waits.min);
            let attempt = self.attempts.entry(Whom::Target(target.clone())).or_insert_with(fresh);
            if let State::Waiting { dial_at } = &mut attempt.state {
                *dial_at = now;
                attempt.base = self.waits.min;
            }
        }
    }

    /// Dials the neighbours of the run before, which nobody has named or told of yet.
    pub(crate) fn recall(&mut self, now: Instant, neighbours: &Acquaintances) {
        if !self.discovers {
            return;
        }
        for (peer, address) in neighbours.iter() {
            let mut attempt = Attempt::new(now + RECALL_WAIT, self.waits.min);
            attempt.peer = Some(peer);
            attempt.addresses = alloc::vec![address];
            attempt.is_recalled = true;
            self.attempts.insert(Whom::Peer(peer), attempt);
        }
    }

    /// Stops dialing `targets`.
    pub(crate) fn forget(&mut self, targets: &[Target]) {
        for target in targets {
            if self.attempts.remove(&Whom::Target(target.clone())).is_some() {
                mark(Mark::DialForgotten);
            }
        }
    }

    /// These were heard of and have no link: each is dialed at its addresses, by the one of us with the
    /// lower id first, so that two dials seldom cross; and those first that are wanted soon.
    pub(crate) fn discover(
        &mut self,
        now: Instant,
        me: PeerId,
        heard_of: &BTreeMap<PeerId, (&[SocketAddr], bool)>,
    ) {
        self.attempts.retain(|whom, attempt| match (whom, attempt.state) {
            (Whom::Target(_), _) | (Whom::Peer(_), State::Dialing(_) | State::Linked(..)) => true,
            (Whom::Peer(peer), State::Waiting { .. } | State::Elsewhere(_)) => {
                let is_kept = heard_of.contains_key(peer) || attempt.is_recalled;
                if !is_kept {
                    mark(Mark::DialUnheard);
                }
                is_kept
            }
        });
        let lost = core::mem::take(&mut self.lost);
        let known: BTreeSet<PeerId> =
            self.attempts.values().filter_map(|attempt| attempt.peer).collect();
        for (peer, (addresses, is_soon)) in heard_of {
            let whom = Whom::Peer(*peer);
            if !known.contains(peer) && !self.attempts.contains_key(&whom) {
                let delay = match (me < *peer, lost.contains(peer)) {
                    (true, _) => {
                        mark(Mark::DialFirst);
                        Duration::ZERO
                    }
                    (false, true) => {
                        mark(Mark::DialLost);
                        self.waits.min / REDIAL_PART
                    }
                    (false, false) => {
                        mark(Mark::DialSecond);
                        self.waits.min.saturating_mul(SECOND_WAITS)
                    }
                };
                let patience =
                    if *is_soon { Duration::ZERO } else { self.waits.min.saturating_mul(PATIENCE) };
                let mut attempt = Attempt::new(now + delay + patience, self.waits.min);
                attempt.peer = Some(*peer);
                self.attempts.insert(whom.clone(), attempt);
            }
            if let Some(attempt) = self.attempts.get_mut(&whom) {
                attempt.is_recalled = false;
                if attempt.addresses != *addresses {
                    attempt.addresses = addresses.to_vec();
                }
            }
        }
    }

    /// The peers that are to be dialed by now, as far as it is known who they are.
    pub(crate) fn due_peers(&self, now: Instant) -> impl Iterator<Item = PeerId> {
        let due = move |attempt: &&Attempt| attempt.dial_at().is_some_and(|at| at <= now);
        self.attempts.values().filter(due).filter_map(|attempt| attempt.peer)
    }

    /// Those of `peers` that are due need no dial, being linked otherwise or reached in another way,
    /// until that ends.
    pub(crate) fn pass_over(&mut self, now: Instant, peers: &BTreeSet<PeerId>) {
        for attempt in self.attempts.values_mut() {
            if attempt.dial_at().is_some_and(|at| at <= now)
                && let Some(peer) = attempt.peer.filter(|peer| peers.contains(peer))
            {
                attempt.state = State::Elsewhere(peer);
            }
        }
    }

    /// Whom to dial next, and where; the caller says which conn that is with [`Dialer::dialing`].
    /// Targets go first, then who has waited longest. `None` also when there are as many dials under
    /// way as there may be.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(Whom, Target)> {
        let next = self.allowed().filter(|(.., at)| *at <= now);
        let (whom, attempt, _) = next.min_by_key(|(whom, _, at)| (!whom.is_target(), *at))?;
        let target = match whom {
            Whom::Target(target) => target.clone(),
            Whom::Peer(_) => {
                let address = attempt.address();
                Target { host: address.ip().to_string(), port: address.port() }
            }
        };
        Some((whom.clone(), target))
    }

    /// Those that wait and may be dialed when their time comes: of a kind with too many dials under
    /// way none, until one of those ends.
    fn allowed(&self) -> impl Iterator<Item = (&Whom, &Attempt, Instant)> {
        let is_free = |targets: bool| {
            let dials = self.attempts.iter().filter(|(whom, attempt)| {
                whom.is_target() == targets && matches!(attempt.state, State::Dialing(_))
            });
            dials.count() < DIALS_MAX
        };
        let (targets, peers) = (is_free(true), is_free(false));
        self.attempts.iter().filter_map(move |(whom, attempt)| {
            let is_free = if whom.is_target() { targets } else { peers };
            attempt.dial_at().filter(|_| is_free).map(|at| (whom, attempt, at))
        })
    }

    /// No more links are allowed: what is due waits.
    pub(crate) fn postpone(&mut self, now: Instant, in_reach: &BTreeMap<PeerId, PeerId>) {
        for attempt in self.attempts.values_mut() {
            if attempt.dial_at().is_some_and(|at| at <= now) {
                mark(Mark::DialPostponed);
                let longest = attempt.waits(self.waits, in_reach).max;
                attempt.state = State::Waiting { dial_at: now + longest };
            }
        }
    }

    /// `whom` is being dialed.
    pub(crate) fn dialing(&mut self, whom: &Whom, conn: ConnId) {
        if let Some(attempt) = self.attempts.get_mut(whom) {
            attempt.state = State::Dialing(conn);
        }
    }

    /// The dial `conn` of `whom` came to a link with `peer`. Returns false when another peer
    /// answers where one was heard of.
    pub(crate) fn linked(&mut self, whom: &Whom, conn: ConnId, peer: PeerId) -> bool {
        let Some(attempt) = self.attempts.get_mut(whom) else { return true };
        let is_expected = match whom {
            Whom::Target(_) => true,
            Whom::Peer(expected) => *expected == peer,
        };
        if !is_expected && attempt.is_recalled {
            // Who lived there has moved, or begun anew under another identity.
            self.attempts.remove(whom);
            return false;
        }
        if is_expected && attempt.state == State::Dialing(conn) {
            (attempt.state, attempt.peer, attempt.last) =
                (State::Linked(conn, peer), Some(peer), None);
            attempt.failures = 0;
            attempt.is_self = false;
        }
        is_expected
    }

    /// The conn of `whom` ended, while the peers `in_reach` can be reached.
    pub(crate) fn ended(
        &mut self,
        now: Instant,
        whom: &Whom,
        end: End<'_>,
        in_reach: &BTreeMap<PeerId, PeerId>,
    ) {
        let Some(attempt) = self.attempts.get_mut(whom) else { return };
        let ours = match attempt.state {
            State::Dialing(dialed) | State::Linked(dialed, _) => dialed == end.conn,
            State::Waiting { .. } | State::Elsewhere(_) => false,
        };
        if !ours {
            return mark(Mark::DialMeanwhile);
        }
        if let Some(peer) = end.by {
            mark(Mark::DialElsewhere);
            (attempt.state, attempt.peer, attempt.last) =
                (State::Elsewhere(peer), Some(peer), None);
            return;
        }
        attempt.failed(now, end, (self.waits, in_reach), &mut self.rng);
        if attempt.is_recalled && attempt.failures >= RECALLS_MAX && !in_reach.is_empty() {
            self.attempts.remove(whom);
        }
    }

    /// These `came` in reach of `me`, or others went, so that now those `in_reach` are.
    pub(crate) fn reach_changed(
        &mut self,
        now: Instant,
        (me, came): (PeerId, &BTreeSet<PeerId>),
        in_reach: &BTreeMap<PeerId, PeerId>,
    ) {
        for attempt in self.attempts.values_mut() {
            attempt.reach_changed(now, (me, came), (self.waits, in_reach), &mut self.rng);
        }
    }

    /// The last link with `peer` ended: those that leaned on it are dialed again.
    pub(crate) fn unlinked(&mut self, now: Instant, peer: PeerId) {
        if self.discovers {
            self.lost.insert(peer);
        }
        self.dial_again(now, peer);
    }

    /// There is no way to `peer`, or no link with it, or one is wanted now: those that were passed over
    /// because of that are dialed again.
    pub(crate) fn dial_again(&mut self, now: Instant, peer: PeerId) {
        for attempt in self.attempts.values_mut() {
            if attempt.state == State::Elsewhere(peer) {
                mark(Mark::DialBack);
                attempt.base = self.waits.min;
                let wait = self.waits.draw(self.waits.min, &mut self.rng);
                attempt.state = State::Waiting { dial_at: now + wait };
            }
        }
    }

    /// `peer` says that it has another link with us, and it has none: it is dialed soon.
    pub(crate) fn shut_out(&mut self, now: Instant, peer: PeerId) {
        let theirs = self.attempts.values_mut().filter(|attempt| attempt.peer == Some(peer));
        theirs.for_each(|attempt| attempt.shut_out(now, self.waits));
    }

    /// When the next dial is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.allowed().map(|(.., at)| at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ConnFault;
    use super::super::attempt::STOOD_MIN;
    use super::*;
    use crate::handshake::HandshakeFault;
    use crate::io::CloseReason;
    use alloc::vec::Vec;
    use rand_core::SeedableRng;

    const LOST: End<'_> = End {
        conn: ConnId::dialed(0),
        fault: &ConnFault::Closed(CloseReason::Ended),
        stood: None,
        by: None,
    };

    fn dialer() -> Dialer {
        Dialer::new(&Config::default(), ChaCha20Rng::from_seed([1; 32]))
    }

    fn target() -> Target {
        Target { host: String::from("a"), port: 6783 }
    }

    fn secs(n: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(n)
    }

    /// Dials what is due; whom, if anybody.
    fn dial(dialer: &mut Dialer, now: Instant, n: u64) -> Option<Whom> {
        let (whom, _) = dialer.due(now)?;
        dialer.dialing(&whom, ConnId::dialed(n));
        Some(whom)
    }

    /// So many peers in reach.
    fn crowd(count: u8) -> BTreeMap<PeerId, PeerId> {
        (0..count).map(|n| (PeerId([100 + n; 32]), PeerId([100; 32]))).collect()
    }

    /// A dialer whose target failed so often that it waits longest, and when it dials again.
    fn worn(in_reach: &BTreeMap<PeerId, PeerId>, peer: Option<PeerId>) -> (Dialer, Duration) {
        let mut dialer = dialer();
        dialer.connect(Instant::ZERO, &[target()], false);
        for n in 0..12 {
            let now = dialer.deadline().unwrap();
            let whom = dial(&mut dialer, now, n).unwrap();
            if let Some(peer) = peer {
                dialer.linked(&whom, ConnId::dialed(n), peer);
            }
            dialer.ended(now, &whom, End { conn: ConnId::dialed(n), ..LOST }, in_reach);
            if n == 11 {
                let wait = dialer.deadline().unwrap() - now;
                return (dialer, wait);
            }
        }
        unreachable!("the last one returned")
    }

    #[test]
    fn who_is_alone_dials_a_lost_peer_often_and_many_together_as_often() {
        let waits = |others| worn(&crowd(others), None).1;
        assert!((2_000..=4_000).contains(&waits(0).as_millis()), "{:?}", waits(0));
        assert!((6_000..=12_000).contains(&waits(2).as_millis()), "{:?}", waits(2));
        assert!((30_000..=60_000).contains(&waits(30).as_millis()), "{:?}", waits(30));
    }

    #[test]
    fn a_lost_peer_is_dialed_soon_once_others_reach_it_or_we_are_left_alone() {
        let (me, peer) = (PeerId([1; 32]), PeerId([2; 32]));
        let now = secs(1_000);
        for (me, came, most) in [
            (me, BTreeSet::from([peer]), Duration::from_millis(750)),
            (PeerId([3; 32]), BTreeSet::from([peer]), Duration::from_secs(3)),
            (me, BTreeSet::new(), Duration::from_secs(4)),
        ] {
            let (mut dialer, _) = worn(&crowd(30), Some(peer));
            dialer.postpone(now, &crowd(30));
            assert_eq!(dialer.deadline(), Some(now + Config::default().dial_wait_max));
            dialer.reach_changed(now, (me, &BTreeSet::new()), &crowd(30));
            assert_eq!(dialer.deadline(), Some(now + Config::default().dial_wait_max));
            dialer.reach_changed(now, (me, &came), &BTreeMap::new());
            assert!(dialer.deadline().unwrap() - now <= most, "{came:?}");
        }
    }

    #[test]
    fn waits_double_up_to_the_largest_and_connect_ends_them() {
        let many = crowd(20);
        let config = Config::default();
        let mut dialer = dialer();
        dialer.connect(Instant::ZERO, &[target()], false);
        let mut now = Instant::ZERO;
        let mut base = config.dial_wait_min;
        for n in 0..12 {
            let whom = dial(&mut dialer, now, n).unwrap();
            dialer.ended(now, &whom, End { conn: ConnId::dialed(n), ..LOST }, &many);
            let next = dialer.deadline().unwrap();
            let wait = next - now;
            let most = (base * 3 / 2).min(config.dial_wait_max);
            assert!(wait >= base / 2 && wait <= most, "{wait:?} for {base:?}");
            base = (base * 2).min(config.dial_wait_max);
            now = next;
        }
        let now = Instant::from_nanos(now.as_nanos() - 1);
        assert_eq!(dial(&mut dialer, now, 90), None);
        dialer.connect(now, &[target()], false);
        assert!(dial(&mut dialer, now, 91).is_some());
    }

    #[test]
    fn a_link_that_stood_is_dialed_again_at_once_and_a_wrong_password_seldom() {
        let mut dialer = dialer();
        dialer.connect(Instant::ZERO, &[target()], false);
        let whom = dial(&mut dialer, Instant::ZERO, 0).unwrap();
        assert!(dialer.linked(&whom, ConnId::dialed(0), PeerId([2; 32])));
        dialer.ended(
            secs(20),
            &whom,
            End { conn: ConnId::dialed(0), stood: Some(STOOD_MIN), ..LOST },
            &BTreeMap::new(),
        );
        assert_eq!(dialer.deadline(), Some(secs(20)));
        let whom = dial(&mut dialer, secs(20), 1).unwrap();
        let wrong = ConnFault::Handshake(HandshakeFault::WrongPassword);
        dialer.ended(
            secs(20),
            &whom,
            End { conn: ConnId::dialed(1), fault: &wrong, ..LOST },
            &BTreeMap::new(),
        );
        assert!(dialer.deadline() >= Some(secs(50)));
    }

    #[test]
    fn a_target_whose_peer_is_linked_otherwise_waits_for_the_end_of_that_link() {
        let peer = PeerId([2; 32]);
        let mut dialer = dialer();
        dialer.connect(Instant::ZERO, &[target()], false);
        let whom = dial(&mut dialer, Instant::ZERO, 0).unwrap();
        let end = End {
            conn: ConnId::dialed(0),
            fault: &ConnFault::Duplicate,
            by: Some(peer),
            stood: None,
        };
        dialer.ended(secs(1), &whom, end, &BTreeMap::new());
        assert_eq!(dialer.deadline(), None);
        dialer.unlinked(secs(9), peer);
        assert!(dialer.deadline() < Some(secs(10)));
    }

    #[test]
    fn of_two_that_hear_of_each_other_the_lower_dials_first() {
        let (low, high) = (PeerId([1; 32]), PeerId([2; 32]));
        let addresses = [SocketAddr::from(([192, 0, 2, 1], 6783))];
        let mut dialers = [(low, high, dialer()), (high, low, dialer())];
        for (me, other, dialer) in &mut dialers {
            dialer.discover(secs(1), *me, &BTreeMap::from([(*other, (&addresses[..], true))]));
        }
        let [(.., first), (.., second)] = &mut dialers;
        assert_eq!(dial(first, secs(1), 0), Some(Whom::Peer(high)));
        assert_eq!(dial(second, secs(1), 0), None);
        assert!(second.deadline().is_some());
        second.discover(secs(1), high, &BTreeMap::new());
        assert_eq!(second.deadline(), None);
    }

    #[test]
    fn made_up_peers_are_dialed_a_few_at_a_time_and_keep_no_target_waiting() {
        let made_up: Vec<PeerId> = (1..=100).map(|n| PeerId([n; 32])).collect();
        let addresses = [SocketAddr::from(([192, 0, 2, 1], 6783))];
        let mut dialer = dialer();
        let heard_of = made_up.iter().map(|peer| (*peer, (&addresses[..], true))).collect();
        dialer.discover(secs(1), PeerId([0; 32]), &heard_of);
        let all = |dialer: &mut Dialer, from: u64| {
            (from..).map_while(|n| dial(dialer, secs(1), n)).collect::<Vec<_>>()
        };
        let first = all(&mut dialer, 0);
        assert_eq!(first.len(), DIALS_MAX);
        // Nothing is due until one of them ends.
        assert_eq!(dialer.deadline(), None);
        dialer.connect(secs(1), &[target()], false);
        assert_eq!(all(&mut dialer, 100), [Whom::Target(target())]);
        dialer.ended(secs(1), &first[0], End { conn: ConnId::dialed(0), ..LOST }, &BTreeMap::new());
        // The next one is one that was not dialed yet, though the first has a lower id.
        assert_eq!(all(&mut dialer, 200), [Whom::Peer(made_up[DIALS_MAX])]);
    }

    #[test]
    fn the_longest_wait_of_all_can_be_configured() {
        let config = Config {
            dial_wait_min: Duration::MAX,
            dial_wait_max: Duration::MAX,
            ..Config::default()
        };
        let mut dialer = Dialer::new(&config, ChaCha20Rng::from_seed([1; 32]));
        let addresses = [SocketAddr::from(([192, 0, 2, 1], 6783))];
        let low = PeerId([1; 32]);
        dialer.discover(secs(1), PeerId([2; 32]), &BTreeMap::from([(low, (&addresses[..], true))]));
        assert!(dialer.deadline() > Some(secs(1)));
    }

    #[test]
    fn a_neighbour_of_the_run_before_is_dialed_at_once_and_given_up_after_some_minutes() {
        let (peer, address) = (PeerId([9; 32]), SocketAddr::from(([192, 0, 2, 9], 6783)));
        let mut known = Acquaintances::default();
        known.note(peer, address, |_| true);
        let mut dialer = dialer();
        dialer.recall(Instant::ZERO, &known);
        let mut now = dialer.deadline().unwrap();
        assert!(now - Instant::ZERO < Duration::from_millis(100));
        // Nobody has told of it yet, which is no reason not to dial it.
        dialer.discover(Instant::ZERO, PeerId([1; 32]), &BTreeMap::new());
        let mut dials = 0;
        while let Some(due) = dialer.deadline() {
            now = due;
            let whom = dial(&mut dialer, now, dials).unwrap();
            assert_eq!(whom, Whom::Peer(peer));
            dialer.ended(now, &whom, End { conn: ConnId::dialed(dials), ..LOST }, &crowd(1));
            dials += 1;
        }
        assert_eq!(dials, 12);
        assert!((secs(60)..secs(600)).contains(&now), "{now:?}");
    }

    #[test]
    fn who_is_alone_does_not_give_up_a_neighbour_of_the_run_before() {
        let mut known = Acquaintances::default();
        known.note(PeerId([9; 32]), SocketAddr::from(([192, 0, 2, 9], 6783)), |_| true);
        let mut dialer = dialer();
        dialer.recall(Instant::ZERO, &known);
        for n in 0..100 {
            let now = dialer.deadline().unwrap();
            let whom = dial(&mut dialer, now, n).unwrap();
            dialer.ended(now, &whom, End { conn: ConnId::dialed(n), ..LOST }, &BTreeMap::new());
            assert!(dialer.deadline().unwrap() - now <= Duration::from_secs(4));
        }
    }

    #[test]
    fn a_neighbour_of_the_run_before_that_another_peer_answers_for_is_dialed_no_more() {
        let mut known = Acquaintances::default();
        let address = SocketAddr::from(([192, 0, 2, 9], 6783));
        known.note(PeerId([9; 32]), address, |_| true);
        let mut dialer = dialer();
        dialer.recall(Instant::ZERO, &known);
        let whom = dial(&mut dialer, secs(1), 0).unwrap();
        assert!(!dialer.linked(&whom, ConnId::dialed(0), PeerId([8; 32])));
        assert_eq!(dialer.deadline(), None);
    }

    #[test]
    fn without_discovery_a_neighbour_of_the_run_before_is_not_dialed() {
        let mut known = Acquaintances::default();
        known.note(PeerId([9; 32]), SocketAddr::from(([192, 0, 2, 9], 6783)), |_| true);
        let config = Config { discovery: false, ..Config::default() };
        let mut dialer = Dialer::new(&config, ChaCha20Rng::from_seed([1; 32]));
        dialer.recall(Instant::ZERO, &known);
        assert_eq!(dialer.deadline(), None);
    }

    #[test]
    fn a_peer_whose_link_broke_is_dialed_sooner_than_one_that_was_only_heard_of() {
        let (low, high) = (PeerId([1; 32]), PeerId([2; 32]));
        let addresses = [SocketAddr::from(([192, 0, 2, 1], 6783))];
        let wait = |was_linked: bool, is_soon: bool| {
            let heard_of = BTreeMap::from([(low, (&addresses[..], is_soon))]);
            let mut dialer = dialer();
            if was_linked {
                dialer.unlinked(secs(1), low);
            }
            dialer.discover(secs(1), high, &heard_of);
            dialer.deadline().unwrap() - secs(1)
        };
        let wait_min = Config::default().dial_wait_min;
        assert!(wait(true, true) < wait_min && wait(false, true) > wait_min);
        assert_eq!(wait(true, false) - wait(true, true), wait_min * PATIENCE);
    }
}
