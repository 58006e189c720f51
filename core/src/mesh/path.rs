//! The data path of a link, as far as control goes: is it there, where to, how long is the way.
//!
//! Probes with an even sequence are questions and are answered at once by one with an odd sequence,
//! which is not answered; so two sides never answer each other for ever. A side whose own path is
//! not proven answers with a question instead, and both are proven after one and a half round trips.
//!
//! A path outlives its keys. Where it leads and whether it works stay as they are when another session
//! takes the place of the one in use:
//!
//! ```text
//!   side that dialed                          other side
//!                      ── offer (stream) ──►  takes in by both
//!   takes in by both  ◄── answer (stream) ──
//!   sends by the new   ── probe ───────────►  sends by the new; the old one ends
//!   the old one ends  ◄─────────── probe ──
//! ```
//! So whoever sends by a session knows that the other side takes it in, and what was sent by the one
//! before is taken for a while after the other side has been heard by the new one. No probe has to
//! come through in time for that, and none is missed.

use crate::config::Config;
use crate::io::{Outbox, Output};
use crate::mark::{Mark, mark};
use crate::sleeve::{Probe, Session, SessionIndex, SleeveFault};
use crate::time::Instant;
use core::net::SocketAddr;
use core::time::Duration;

/// A session that has ended takes in datagrams for this much longer: those that are under way.
pub(crate) const ENDING_MAX: Duration = Duration::from_secs(6);

/// How often a path is probed, and how long it may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The longest wait between two probes while the path is not proven; the first ones are shorter.
    pub(crate) unproven: Duration,
    /// The wait once it is.
    pub(crate) proven: Duration,
    /// A path that answered no probe for this long is down.
    pub(crate) silence_max: Duration,
}

impl Pace {
    /// That of the links.
    pub(crate) const fn of_links(config: &Config) -> Self {
        Self {
            unproven: config.probe_wait.unproven,
            proven: config.probe_wait.proven,
            silence_max: config.probe_silence_max,
        }
    }
}

/// One data session, as control sees it.
#[derive(Debug)]
pub(crate) struct Path {
    /// Our index of the session that we send by.
    pub(crate) index: SessionIndex,
    pub(crate) pace: Pace,
    session: Session,
    /// To be used as soon as the other side does.
    next: Option<(SessionIndex, Session)>,
    /// Used before.
    last: Option<Last>,
    /// Where datagrams go; `None` until the first probe of a neighbour that dialed us.
    pub(crate) to: Option<SocketAddr>,
    /// Last sequence sent.
    sent: u64,
    /// The last question and when it was sent, until it is reported heard.
    asked: Option<(u64, Instant)>,
    /// Highest sequence that came.
    heard: Option<u64>,
    /// Highest sequence of ours that was reported heard.
    reported: u64,
    /// When that was, while the path is proven: both directions work.
    proven_at: Option<Instant>,
    probe_at: Instant,
    /// Waits since the path began to be unproven, as far as they still grow.
    waits: u32,
    /// Of the last question.
    pub(crate) round_trip: Option<Duration>,
}

/// A session that another one has taken the place of.
#[derive(Debug)]
struct Last {
    index: SessionIndex,
    session: Session,
    /// When it ends; `None` while the other side may send by it.
    until: Option<Instant>,
}

/// How often the wait for an answer doubles before it is the longest. The first probe of a path often
/// overtakes the last message of the handshake, which goes by another socket and without which the
/// neighbour cannot read it: so the second one follows soon.
const DOUBLINGS: u32 = 4;

/// What changed with a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// It came to be proven, or no longer is.
    pub(crate) proven: Option<bool>,
    /// The neighbour is elsewhere.
    pub(crate) moved: Option<SocketAddr>,
    /// We send by another session from here on; our index of the one before.
    pub(crate) renewed: Option<SessionIndex>,
    /// Our index of a session that takes in no more.
    pub(crate) ended: Option<SessionIndex>,
}

impl Path {
    /// A path to `to` that is to be probed at once.
    pub(crate) const fn new(
        now: Instant,
        index: SessionIndex,
        session: Session,
        to: Option<SocketAddr>,
        pace: Pace,
    ) -> Self {
        Self {
            index,
            pace,
            session,
            next: None,
            last: None,
            to,
            sent: 0,
            asked: None,
            heard: None,
            reported: 0,
            proven_at: None,
            probe_at: now,
            waits: 0,
            round_trip: None,
        }
    }

    /// Whether both directions work.
    pub(crate) const fn is_proven(&self) -> bool {
        self.proven_at.is_some()
    }

    /// Our indices: of the session in use, of the one to come, and of the one that ends.
    pub(crate) fn indices(&self) -> impl Iterator<Item = SessionIndex> {
        let next = self.next.as_ref().map(|(index, _)| *index);
        let last = self.last.as_ref().map(|last| last.index);
        [Some(self.index), next, last].into_iter().flatten()
    }

    /// Whether another session is to be used as soon as the other side does.
    pub(crate) const fn has_next(&self) -> bool {
        self.next.is_some()
    }

    /// Whether another session is taking the place of the one before: none may follow until that is
    /// over.
    pub(crate) const fn is_renewing(&self) -> bool {
        self.next.is_some() || self.last.is_some()
    }

    /// Takes in datagrams for `index` too, and uses `session` once the other side does. There must be
    /// none yet that it is to use.
    pub(crate) fn prepare(&mut self, index: SessionIndex, session: Session) {
        self.next = Some((index, session));
    }

    /// Uses `session` from here on, which the other side takes in; says so by the next probe, which is
    /// due at once. Returns our index of one that takes in no more.
    pub(crate) fn renew(
        &mut self,
        now: Instant,
        index: SessionIndex,
        session: Session,
    ) -> Option<SessionIndex> {
        let session = core::mem::replace(&mut self.session, session);
        let index = core::mem::replace(&mut self.index, index);
        self.probe_at = now;
        self.last.replace(Last { index, session, until: None }).map(|last| last.index)
    }

    /// The session with our `index`.
    fn session_mut(&mut self, index: SessionIndex) -> Option<&mut Session> {
        let next = self.next.as_mut().map(|(index, session)| (*index, session));
        let last = self.last.as_mut().map(|last| (last.index, &mut last.session));
        let all = [Some((self.index, &mut self.session)), next, last];
        all.into_iter().flatten().find(|(its, _)| *its == index).map(|(_, session)| session)
    }

    /// The other side was heard by the session with our `index`.
    fn heard_by(&mut self, now: Instant, index: SessionIndex) -> Turn {
        let mut turn = Turn::default();
        if let Some((index, session)) = self.next.take_if(|(next, _)| *next == index) {
            turn.renewed = Some(self.index);
            turn.ended = self.renew(now, index, session);
        }
        match &mut self.last {
            Some(last) if last.index == index => mark(Mark::PathBefore),
            // By the one before it sends nothing more.
            Some(last) => _ = last.until.get_or_insert(now + ENDING_MAX),
            None => {}
        }
        turn
    }

    /// Takes in a datagram from `from` that was sent to our `index`.
    ///
    /// # Errors
    /// When it does not open or is no probe; nothing is changed but the window of counters.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        (index, from, datagram): (SessionIndex, SocketAddr, &[u8]),
        out: &mut Outbox,
    ) -> Result<Turn, SleeveFault> {
        let session = self.session_mut(index).ok_or(SleeveFault::NoSession)?;
        let payload = session.open(datagram)?;
        let probe = Probe::decode(&payload).map_err(|_| SleeveFault::Malformed)?;
        let mut turn = self.heard_by(now, index);
        // Late probes report what is known, and must not move the path back.
        if self.heard.is_none_or(|heard| probe.sequence > heard) {
            self.heard = Some(probe.sequence);
            if self.to != Some(from) {
                self.to = Some(from);
                turn.moved = Some(from);
            }
        } else {
            mark(Mark::PathLate);
        }
        if let Some(heard) =
            probe.heard.filter(|heard| (self.reported + 1..=self.sent).contains(heard))
        {
            self.reported = heard;
            if let Some((_, asked_at)) = self.asked.take_if(|(sequence, _)| *sequence == heard) {
                self.round_trip = Some(now - asked_at);
            }
            if self.proven_at.replace(now).is_none() {
                mark(Mark::PathProven);
                turn.proven = Some(true);
                // An answer to an earlier probe than the last does not tell how long the way is.
                let wait = self.pace;
                self.probe_at =
                    now + if self.round_trip.is_some() { wait.proven } else { wait.unproven };
            }
        }
        if probe.sequence.is_multiple_of(2) {
            self.probe(now, self.is_proven(), out);
        }
        Ok(turn)
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, now: Instant, out: &mut Outbox) -> Turn {
        let mut turn = Turn::default();
        let is_over = |last: &mut Last| last.until.is_some_and(|until| until <= now);
        turn.ended = self.last.take_if(is_over).map(|last| last.index);
        if self.silent_at().is_some_and(|at| at <= now) {
            (self.proven_at, self.round_trip) = (None, None);
            mark(Mark::PathSilent);
            turn.proven = Some(false);
            (self.probe_at, self.waits) = (now, 0);
        }
        if self.probe_at <= now {
            self.probe(now, false, out);
            let wait = self.pace;
            self.probe_at =
                now + if self.is_proven() { wait.proven } else { self.wait(wait.unproven) };
        }
        turn
    }

    /// The next wait for an answer, of at most `longest`.
    fn wait(&mut self, longest: Duration) -> Duration {
        let doublings = DOUBLINGS.saturating_sub(self.waits);
        self.waits += u32::from(doublings > 0);
        (longest / 2u32.pow(doublings)).max(Duration::from_millis(1)).min(longest)
    }

    /// Probes `to` next, at once, unless somebody was heard already.
    ///
    /// Returns whether it does.
    pub(crate) fn try_at(&mut self, now: Instant, to: SocketAddr) -> bool {
        if self.heard.is_some() {
            return false;
        }
        self.to = Some(to);
        (self.probe_at, self.waits) = (now, 0);
        true
    }

    /// Makes the next probe due now, if it would be within `span` and the path works.
    pub(crate) fn hasten(&mut self, now: Instant, span: Duration) {
        if self.is_proven() && self.probe_at <= now + span {
            self.probe_at = now;
        }
    }

    /// When [`Path::timeout`] is wanted.
    pub(crate) fn deadline(&self) -> Instant {
        let ends_at = self.last.as_ref().and_then(|last| last.until);
        [self.silent_at(), ends_at].into_iter().flatten().fold(self.probe_at, Instant::min)
    }

    fn silent_at(&self) -> Option<Instant> {
        self.proven_at.map(|at| at + self.pace.silence_max)
    }

    fn probe(&mut self, now: Instant, is_answer: bool, out: &mut Outbox) {
        let Some(to) = self.to else { return };
        let sequence = if is_answer { (self.sent + 1) | 1 } else { (self.sent + 2) & !1 };
        // Keys are used up after 2^60 datagrams: silence then ends the path.
        let Ok(bytes) = self.session.seal(&Probe { sequence, heard: self.heard }.encode()) else {
            return;
        };
        self.sent = sequence;
        if !is_answer {
            self.asked = Some((sequence, now));
        }
        out.push(Output::Datagram { to, bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sleeve::{Kind, SessionKeys};

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, n], 6783))
    }

    fn pace() -> Pace {
        Pace::of_links(&Config::default())
    }

    /// The paths of the side that dialed, at address 1, and of the other, at address 2.
    fn pair() -> (Path, Path) {
        let [(ours, session), (theirs, other)] = sessions(0);
        (
            Path::new(at(0), ours, session, Some(address(2)), pace()),
            Path::new(at(0), theirs, other, None, pace()),
        )
    }

    /// The same, proven, and the other side prepared for another session; that of the side that dialed.
    fn renewing() -> (Path, Path, (SessionIndex, Session)) {
        let (mut dialer, mut listener) = pair();
        let mut out = Outbox::default();
        dialer.timeout(at(0), &mut out);
        deliver(at(0), [&mut dialer, &mut listener], 0, out);
        let [ours, (theirs, other)] = sessions(1);
        listener.prepare(theirs, other);
        (dialer, listener, ours)
    }

    /// Both ends of session number `n`, each with its index; that of the side that dialed first.
    fn sessions(n: u8) -> [(SessionIndex, Session); 2] {
        let secrets = [[7 + 2 * n; 32], [8 + 2 * n; 32]].map(x25519_dalek::StaticSecret::from);
        let publics = [0, 1].map(|n| x25519_dalek::PublicKey::from(&secrets[n]).to_bytes());
        let index = |side: u32| SessionIndex(u32::from(n) * 2 + side);
        [0, 1].map(|me: usize| {
            let keys = SessionKeys {
                ours: secrets[me].to_bytes(),
                theirs: publics[1 - me],
                dialed: me == 0,
                sealed: true,
            };
            let side = u32::try_from(me).unwrap();
            (index(side), Session::new(Kind::Probe, &keys, index(1 - side)).unwrap())
        })
    }

    /// What `path` sends when it is due, none of it delivered.
    fn sends(path: &mut Path, now: Instant) -> (Turn, alloc::vec::Vec<u32>) {
        let mut out = Outbox::default();
        let turn = path.timeout(now, &mut out);
        let sent = out.drain().filter_map(|output| {
            let Output::Datagram { bytes, .. } = output else { return None };
            Some(Session::peek(&bytes).unwrap().1.0)
        });
        (turn, sent.collect())
    }

    fn indices(path: &Path) -> alloc::vec::Vec<u32> {
        path.indices().map(|index| index.0).collect()
    }

    /// Delivers what is in `out`, sent from `from`, and what that brings about; counts datagrams.
    fn deliver(now: Instant, paths: [&mut Path; 2], mut from: usize, mut out: Outbox) -> usize {
        let mut count = 0;
        loop {
            let mut answers = Outbox::default();
            for output in out.drain() {
                let Output::Datagram { bytes, .. } = output else { continue };
                let source = address(u8::try_from(from).unwrap() + 1);
                let (_, index) = Session::peek(&bytes).unwrap();
                paths[1 - from].receive(now, (index, source, &bytes), &mut answers).unwrap();
                count += 1;
            }
            if answers.outputs().is_empty() {
                return count;
            }
            (out, from) = (answers, 1 - from);
        }
    }

    #[test]
    fn three_probes_prove_both_directions_and_then_there_is_quiet() {
        let (mut dialer, mut listener) = pair();
        let mut out = Outbox::default();
        listener.timeout(at(0), &mut out);
        assert!(out.outputs().is_empty(), "nobody to probe yet");
        dialer.timeout(at(0), &mut out);
        assert_eq!(deliver(at(9), [&mut dialer, &mut listener], 0, out), 3);
        assert!(dialer.is_proven() && listener.is_proven());
        assert_eq!(listener.to, Some(address(1)));
        assert_eq!(dialer.round_trip, Some(Duration::from_millis(9)));
    }

    #[test]
    fn a_first_probe_that_is_lost_is_soon_followed_by_another_and_later_ones_keep_their_distance() {
        let mut out = Outbox::default();
        let (mut dialer, mut listener) = pair();
        let mut times = alloc::vec![at(0)];
        for _ in 0..8 {
            dialer.timeout(*times.last().unwrap(), &mut out);
            times.push(dialer.deadline());
        }
        let waits: alloc::vec::Vec<u128> =
            times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
        assert_eq!(waits, [15, 31, 62, 125, 250, 250, 250, 250]);
        // So it is again when a path that worked has fallen silent.
        dialer.timeout(times[8], &mut out);
        deliver(times[8], [&mut dialer, &mut listener], 0, out);
        assert!(dialer.is_proven());
        while dialer.is_proven() {
            let now = dialer.deadline();
            dialer.timeout(now, &mut Outbox::default());
            times.push(now);
        }
        let wait = dialer.deadline() - *times.last().unwrap();
        assert_eq!(wait.as_millis(), 15);
    }

    #[test]
    fn a_path_whose_probes_are_not_answered_is_no_longer_proven() {
        let (mut dialer, mut listener) = pair();
        let mut out = Outbox::default();
        dialer.timeout(at(0), &mut out);
        deliver(at(0), [&mut dialer, &mut listener], 0, out);
        let mut now = at(0);
        while dialer.is_proven() {
            now = dialer.deadline();
            let turn = dialer.timeout(now, &mut Outbox::default());
            assert!(dialer.deadline() > now);
            assert_eq!(turn.proven, (!dialer.is_proven()).then_some(false));
        }
        assert_eq!(now, at(0) + pace().silence_max);
        let mut out = Outbox::default();
        now += pace().unproven;
        dialer.timeout(now, &mut out);
        deliver(now, [&mut dialer, &mut listener], 0, out);
        assert!(dialer.is_proven());
    }

    #[test]
    fn another_session_takes_the_place_of_one_and_the_path_stays_proven() {
        let (mut dialer, mut listener, (ours, session)) = renewing();
        assert!(listener.has_next() && !dialer.is_renewing());
        assert_eq!(indices(&listener), [1, 3]);
        assert_eq!(dialer.renew(at(1000), ours, session), None);
        assert_eq!(indices(&dialer), [2, 0]);
        // What it says at once is lost. The other side sends by the session before, and is heard.
        assert_eq!(sends(&mut dialer, at(1000)).1, [3]);
        let mut out = Outbox::default();
        let now = listener.deadline();
        assert!(listener.timeout(now, &mut out).proven.is_none());
        assert_eq!(listener.index, SessionIndex(1));
        let probes: alloc::vec::Vec<Output> = out.drain().collect();
        let [Output::Datagram { bytes, .. }] = &probes[..] else { panic!("{probes:?}") };
        let came = (SessionIndex(0), address(2), bytes.as_slice());
        let mut out = Outbox::default();
        assert_eq!(dialer.receive(now, came, &mut out), Ok(Turn::default()));
        // The answer goes by the one in use, and so does everything from then on.
        deliver(now, [&mut dialer, &mut listener], 0, out);
        assert_eq!(indices(&listener), [3, 1]);
        assert_eq!(sends(&mut listener, now).1, [2]);
        assert!(dialer.is_proven() && listener.is_proven());
    }

    #[test]
    fn the_session_before_ends_a_while_after_the_other_side_was_heard_by_the_one_in_use() {
        let (mut dialer, mut listener, (ours, session)) = renewing();
        dialer.renew(at(1000), ours, session);
        // Not heard, it ends never.
        for secs in 1..=60 {
            assert_eq!(sends(&mut dialer, at(secs * 1000)).0.ended, None);
        }
        let now = at(60_000);
        let mut out = Outbox::default();
        dialer.probe(now, false, &mut out);
        deliver(now, [&mut dialer, &mut listener], 0, out);
        let (soon, end) = (now + ENDING_MAX / 2, now + ENDING_MAX);
        for (path, before) in [(&mut dialer, 0), (&mut listener, 1)] {
            assert!(path.is_renewing() && path.deadline() <= end);
            assert_eq!(sends(path, soon).0.ended, None);
            assert_eq!(sends(path, end).0.ended, Some(SessionIndex(before)));
            assert!(!path.is_renewing());
            let bytes = [0x11; 40];
            let late = (SessionIndex(before), address(9), &bytes[..]);
            let refused = path.receive(end, late, &mut Outbox::default());
            assert_eq!(refused, Err(SleeveFault::NoSession));
        }
    }

    #[test]
    fn a_session_to_come_is_not_used_for_what_does_not_open_or_is_no_probe() {
        let (_, mut listener) = pair();
        let [(_, mut session), (theirs, other)] = sessions(1);
        listener.prepare(theirs, other);
        let mut forged = session.seal(&[1, 0]).unwrap();
        forged[14] ^= 1;
        let no_probe = session.seal(&[9; 40]).unwrap();
        for (bytes, why) in
            [(forged, SleeveFault::NotAuthentic), (no_probe, SleeveFault::Malformed)]
        {
            let came = (theirs, address(1), bytes.as_slice());
            assert_eq!(listener.receive(at(0), came, &mut Outbox::default()), Err(why));
            assert_eq!(indices(&listener), [1, 3]);
        }
    }

    #[test]
    fn the_newest_probe_says_where_the_neighbour_is() {
        let (mut dialer, mut listener) = pair();
        let mut probes = Outbox::default();
        for millis in [0, 250, 500] {
            dialer.timeout(at(millis), &mut probes);
        }
        let probes: alloc::vec::Vec<Output> = probes.drain().collect();
        let mut moves = alloc::vec::Vec::new();
        for (probe, source) in [(0, 1), (2, 3), (1, 1)] {
            let Output::Datagram { bytes, .. } = &probes[probe] else { panic!("no probe") };
            let came = (SessionIndex(1), address(source), bytes.as_slice());
            let turn = listener.receive(at(600), came, &mut Outbox::default()).unwrap();
            moves.push(turn.moved);
        }
        assert_eq!(moves, [Some(address(1)), Some(address(3)), None]);
    }
}
