//! The data path of a link, as far as control goes: is it there, where to, how long is the way.
//!
//! Probes with an even sequence are questions and are answered at once by one with an odd sequence,
//! which is not answered; so two sides never answer each other for ever. A side whose own path is
//! not proven answers with a question instead, and both are proven after one and a half round trips.

use crate::config::Config;
use crate::io::{Outbox, Output};
use crate::mark::{Mark, mark};
use crate::sleeve::{Probe, Session, SessionIndex, SleeveFault};
use crate::time::Instant;
use core::net::SocketAddr;
use core::time::Duration;

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
    /// Our index.
    pub(crate) index: SessionIndex,
    pub(crate) pace: Pace,
    session: Session,
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

    /// Takes in a datagram from `from` that was sent to our index.
    ///
    /// # Errors
    /// When it does not open or is no probe; nothing is changed but the window of counters.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        (from, datagram): (SocketAddr, &[u8]),
        out: &mut Outbox,
    ) -> Result<Turn, SleeveFault> {
        let payload = self.session.open(datagram)?;
        let probe = Probe::decode(&payload).map_err(|_| SleeveFault::Malformed)?;
        let mut turn = Turn::default();
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
        self.silent_at().map_or(self.probe_at, |at| at.min(self.probe_at))
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
        let secrets = [[7; 32], [8; 32]].map(x25519_dalek::StaticSecret::from);
        let publics = [0, 1].map(|n| x25519_dalek::PublicKey::from(&secrets[n]).to_bytes());
        let session = |me: usize| {
            let keys = SessionKeys {
                ours: secrets[me].to_bytes(),
                theirs: publics[1 - me],
                dialed: me == 0,
                sealed: true,
            };
            Session::new(Kind::Probe, &keys, SessionIndex(1 - u32::try_from(me).unwrap())).unwrap()
        };
        (
            Path::new(at(0), SessionIndex(0), session(0), Some(address(2)), pace()),
            Path::new(at(0), SessionIndex(1), session(1), None, pace()),
        )
    }

    /// Delivers what is in `out`, sent from `from`, and what that brings about; counts datagrams.
    fn deliver(now: Instant, paths: [&mut Path; 2], mut from: usize, mut out: Outbox) -> usize {
        let mut count = 0;
        loop {
            let mut answers = Outbox::default();
            for output in out.drain() {
                let Output::Datagram { bytes, .. } = output else { continue };
                let source = address(u8::try_from(from).unwrap() + 1);
                paths[1 - from].receive(now, (source, &bytes), &mut answers).unwrap();
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
            let came = (address(source), bytes.as_slice());
            let turn = listener.receive(at(600), came, &mut Outbox::default()).unwrap();
            moves.push(turn.moved);
        }
        assert_eq!(moves, [Some(address(1)), Some(address(3)), None]);
    }
}
