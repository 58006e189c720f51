//! How often peers that live are taken for dead: `mesh.no-false-death`.

use super::{Answers, View};
use std::time::Duration;
use weft_core::id::PeerId;
use weft_core::time::Instant;

/// The name of the rule about peers that are taken for dead.
pub const NO_FALSE_DEATH: &str = "mesh.no-false-death";

/// Nothing else than a silence of this length, or a stop of two seconds at the end of one, may have
/// a peer be taken for dead: after anything worse, so much time must pass first.
const AFTERMATH: Duration = Duration::from_secs(20);
/// Who was in reach for less than this was not yet met: a link has come up, and what is known of the
/// peers behind it is from before, or a second link takes the place of the first.
const MET_MIN: Duration = Duration::from_secs(2);
/// What happens within this time has one cause.
const EPISODE: Duration = Duration::from_secs(10);
/// Hours in which a peer may take another one for dead once.
const HOURS: f64 = 1_000.0;
/// So many hours are reckoned where fewer were watched: one or two false deaths in a short time say
/// nothing of a rate.
const HOURS_MIN: f64 = 4.0;
/// How unlikely it must be that so many false deaths come of chance.
const CHANCE: f64 = 1e-6;

/// Counts, while the network loses at most 5 % and no process stands still for more than 2 s, how
/// often peers that live are taken for dead. Less than once in 1,000 hours of a peer is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deaths {
    /// Hours of peers, in which this was watched.
    pub watched: Duration,
    /// Times at which living peers were taken for dead.
    pub count: u64,
    /// How long allocations took meanwhile.
    pub answers: Answers,
    /// Since when nothing worse has happened.
    since: Instant,
    looked_at: Instant,
    last: Option<Instant>,
}

impl Deaths {
    /// Something worse happens, and is over at `end`.
    pub fn worse(&mut self, end: Instant) {
        self.since = self.since.max(end);
    }

    /// Counts the time since the last look, of the hosts that run.
    pub fn look(&mut self, view: &View) {
        let elapsed = view.at.since(self.looked_at);
        self.looked_at = view.at;
        if self.is_over(view.at) {
            let live = u32::try_from(view.live().count()).unwrap_or(u32::MAX);
            self.watched += elapsed * live;
        }
    }

    /// Whether nothing worse has happened for a while.
    fn is_over(&self, now: Instant) -> bool {
        now.since(self.since) >= AFTERMATH
    }

    /// An allocation that was asked for at `asked_at` was met after so long, or never although it could
    /// have been.
    pub fn answered(&mut self, asked_at: Instant, took: Option<Duration>) {
        match took {
            _ if !self.is_over(asked_at) => {}
            Some(took) => self.answers.met(took),
            None => self.answers.unmet(),
        }
    }

    /// A peer takes `peer` for dead, which it had in reach for so long. Returns whether that is counted.
    pub fn down(&mut self, view: &View, peer: PeerId, in_reach: Duration) -> bool {
        let lives = view.host_of(peer).is_some_and(|host| view.peers[host].live);
        let is_new = self.last.is_none_or(|last| view.at.since(last) >= EPISODE);
        let counts = lives && is_new && in_reach >= MET_MIN && self.is_over(view.at);
        if counts {
            self.count += 1;
            self.last = Some(view.at);
        }
        counts
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let watched = self.watched + other.watched;
        let answers = self.answers.and(other.answers);
        Self { watched, count: self.count + other.count, answers, ..Self::default() }
    }

    /// Whether there are not more than chance brings about, at the rate that is allowed.
    ///
    /// # Errors
    /// Says how many there are, and in how much time.
    pub fn verdict(&self) -> Result<(), String> {
        let hours = self.watched.as_secs_f64() / 3_600.0;
        if tail(hours.max(HOURS_MIN) / HOURS, self.count) >= CHANCE {
            return Ok(());
        }
        Err(format!(
            "{} times in {hours:.1} hours, peers that live were taken for dead",
            self.count
        ))
    }
}

/// How likely `count` or more events are where `mean` are expected (Poisson).
fn tail(mean: f64, count: u64) -> f64 {
    let (mut term, mut below, mut next) = ((-mean).exp(), 0.0, 1.0);
    for _ in 0..count {
        below += term;
        term *= mean / next;
        next += 1.0;
    }
    // Where little is left, what is left of one is too coarse: the terms from here on shrink at least
    // as fast as a geometric series.
    if below > 0.999 { term / (1.0 - mean / next) } else { 1.0 - below }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, id, secs};
    use super::*;

    fn at(time: u64) -> View {
        changed(|view| view.at = secs(time))
    }

    #[test]
    fn a_peer_that_lives_and_is_taken_for_dead_is_counted_once_for_each_time() {
        let mut deaths = Deaths::default();
        deaths.down(&at(100), id(2), MET_MIN);
        deaths.down(&at(101), id(1), MET_MIN);
        assert_eq!(deaths.count, 1);
        deaths.down(&at(120), id(2), MET_MIN);
        assert_eq!(deaths.count, 2);
        // Not when they have only just met.
        deaths.down(&at(149), id(2), MET_MIN - Duration::from_millis(1));
        assert_eq!(deaths.count, 2);
        // Not after something worse, nor when it is dead or nobody's.
        deaths.worse(secs(130));
        deaths.worse(secs(125));
        deaths.down(&at(149), id(2), MET_MIN);
        deaths.down(
            &changed(|view| (view.at, view.peers[1].live) = (secs(160), false)),
            id(2),
            MET_MIN,
        );
        deaths.down(&at(170), id(9), MET_MIN);
        assert_eq!(deaths.count, 2);
    }

    #[test]
    fn only_time_in_which_nothing_worse_happened_is_counted() {
        let mut deaths = Deaths::default();
        deaths.look(&at(100));
        deaths.look(&at(110));
        let both = deaths.watched;
        assert_eq!(both, Duration::from_secs(2 * 110));
        deaths.worse(secs(110));
        deaths.look(&at(129));
        assert_eq!(deaths.watched, both);
        deaths.look(&at(131));
        assert_eq!(deaths.watched, both + Duration::from_secs(4));
    }

    #[test]
    fn the_verdict_fails_when_there_are_more_than_chance_brings_about() {
        let deaths = |hours: u64, count| {
            Deaths { watched: Duration::from_secs(hours * 3_600), count, ..Deaths::default() }
                .verdict()
        };
        assert_eq!(deaths(0, 2), Ok(()));
        assert_eq!(deaths(1, 1), Ok(()));
        assert!(deaths(0, 3).is_err());
        assert!(deaths(1, 3).is_err());
        assert_eq!(deaths(1_000, 5), Ok(()));
        assert!(deaths(1_000, 12).is_err());
        assert_eq!(deaths(10_000, 12), Ok(()));
    }
}
