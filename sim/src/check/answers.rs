//! How long allocations take: `ipam.served-in-time`.

use super::{PeerView, View, addresses};
use ipnet::IpNet;
use std::fmt;
use std::time::Duration;
use weft_core::io::CommandError;

/// The name of the rule about how long allocations take.
pub const SERVED_IN_TIME: &str = "ipam.served-in-time";

/// Of all allocations that could be met, 99 in 100 are met in this time.
const SERVED_MAX: Duration = Duration::from_secs(2);

/// With fewer answers than this, one or two of them would decide. A thousand drawn worlds have about 800
/// at times when nothing worse than little loss and short stops befalls them.
const LEAST: u64 = 300;

/// Upper ends of the spans by which times are counted, in milliseconds; what takes longer than the last is
/// counted apart.
const ENDS: [u64; 15] = [1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 700, 1_000, 1_500, 2_000, 3_000];

/// How long allocations took that were met, and how many were not although they could have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// By the span in which they fall.
    spans: [u64; ENDS.len() + 1],
    /// The longest that one took which was met.
    longest: Duration,
    /// Those that were refused although somebody in reach had an address.
    unmet: u64,
}

impl Answers {
    /// One was met after so long.
    pub fn met(&mut self, took: Duration) {
        let span = ENDS.iter().position(|end| took <= Duration::from_millis(*end));
        if let Some(count) = self.spans.get_mut(span.unwrap_or(ENDS.len())) {
            *count += 1;
        }
        self.longest = self.longest.max(took);
    }

    /// One was not met.
    pub fn unmet(&mut self) {
        self.unmet += 1;
    }

    /// Those of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (count, more) in self.spans.iter_mut().zip(other.spans) {
            *count += more;
        }
        self.longest = self.longest.max(other.longest);
        self.unmet += other.unmet;
        self
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.spans.iter().sum::<u64>() + self.unmet
    }

    /// The end of the span in which `percent` of all were met; `None` when fewer were met in any span
    /// that has an end.
    pub fn within(&self, percent: u64) -> Option<Duration> {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut met = 0;
        let mut spans = ENDS.iter().zip(self.spans);
        let (end, _) = spans.find(|(_, count)| {
            met += count;
            met >= wanted
        })?;
        Some(Duration::from_millis(*end))
    }

    /// Whether 99 in 100 were met in time, if there were enough to tell.
    ///
    /// # Errors
    /// Says how long they took.
    pub fn verdict(&self) -> Result<(), String> {
        let in_time = self.within(99).is_some_and(|end| end <= SERVED_MAX);
        if in_time || self.count() < LEAST { Ok(()) } else { Err(self.to_string()) }
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = |percent| {
            let end: Option<Duration> = self.within(percent);
            end.map_or_else(|| "more than 3s".to_owned(), |end| format!("{end:?}"))
        };
        write!(
            f,
            "of {} allocations that could be met, half were within {}, 99 in 100 within {}, and all that were \
             within {:.0?}; {} never",
            self.count(),
            within(50),
            within(99),
            self.longest,
            self.unmet
        )
    }
}

/// Whether `why` says that an allocation out of `subnet` cannot be met, while a peer that `host` has in
/// reach, or itself, would hand out an address.
pub fn could_be_met(view: &View, host: usize, subnet: IpNet, why: &CommandError) -> bool {
    let says_so = match why {
        CommandError::OwnersSilent { .. }
        | CommandError::Settling { .. }
        | CommandError::Exhausted { .. }
        | CommandError::NotMerged { .. }
        | CommandError::Copied
        | CommandError::Doubted
        | CommandError::NoQuorum { .. }
        | CommandError::Observing { .. } => true,
        CommandError::AddressTaken { .. }
        | CommandError::OwnerSilent { .. }
        | CommandError::OutOfRange { .. }
        | CommandError::TooWide { .. }
        | CommandError::Edge { .. }
        | CommandError::HeldOtherwise { .. }
        | CommandError::NotHeld(_)
        | CommandError::StillInReach { .. }
        | CommandError::OwnersAway { .. }
        | CommandError::EvictionUnderWay { .. }
        | CommandError::Stranded { .. }
        | CommandError::NotTakenOver { .. }
        | CommandError::AllLeave
        | CommandError::EvictsItself
        | CommandError::TooManyVictims(_)
        | CommandError::TooManyEvictions(_)
        | CommandError::TooManyProposers(_)
        | CommandError::RoundsUsedUp { .. }
        | CommandError::TooManyNames(_)
        | CommandError::TooManyWaiting(_)
        | CommandError::Trust(_)
        | CommandError::Left
        | CommandError::Stopping
        | CommandError::Broken { .. } => false,
    };
    let Some(here) = view.peers.get(host).filter(|_| says_so) else { return false };
    let in_reach = |peer: &PeerView| peer.id.is_some_and(|id| here.up.contains_key(&id));
    let mut peers = view.live().filter(|(other, peer)| *other == host || in_reach(peer));
    peers.any(|(_, peer)| addresses::free_at(view, peer, subnet).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::changed;
    use super::*;

    fn answers(quick: u64, slow: u64, never: u64) -> Answers {
        let mut answers = Answers::default();
        (0..quick).for_each(|_| answers.met(Duration::from_millis(2)));
        (0..slow).for_each(|_| answers.met(SERVED_MAX + Duration::from_nanos(1)));
        (0..never).for_each(|_| answers.unmet());
        answers
    }

    #[test]
    fn served_in_time_fails_when_more_than_one_in_a_hundred_takes_longer_or_is_never_met() {
        assert_eq!(answers(990, 10, 0).verdict(), Ok(()));
        assert_eq!(answers(990, 0, 10).verdict(), Ok(()));
        assert!(answers(989, 11, 0).verdict().is_err());
        assert!(answers(989, 0, 11).verdict().is_err());
        // Of so few nothing is said.
        assert_eq!(answers(0, LEAST - 1, 0).verdict(), Ok(()));
        assert!(answers(0, LEAST, 0).verdict().is_err());
        assert!(answers(0, 500, 0).and(answers(0, 0, 500)).verdict().is_err());
    }

    #[test]
    fn what_was_counted_is_told_by_spans() {
        let mut all = answers(98, 1, 1);
        assert_eq!((all.count(), all.within(50)), (100, Some(Duration::from_millis(2))));
        assert_eq!(all.within(99), Some(Duration::from_secs(3)));
        assert_eq!(all.within(100), None);
        all.met(Duration::from_secs(9));
        assert!(all.to_string().contains("all that were within 9s; 1 never"), "{all}");
        assert_eq!(Answers::default().within(99), Some(Duration::from_millis(1)));
    }

    #[test]
    fn an_allocation_could_be_met_while_somebody_in_reach_has_an_address() {
        let subnet: IpNet = "10.0.0.0/28".parse().unwrap();
        let exhausted = CommandError::Exhausted { subnet, owned: 8, elsewhere: 0, unreachable: 0 };
        let has = |change: fn(&mut View)| {
            let view = changed(|view| {
                view.peers[1].gate_open = true;
                change(view);
            });
            could_be_met(&view, 0, subnet, &exhausted)
        };
        assert!(has(|_| {}));
        assert!(!has(|view| view.peers[0].up.clear()));
        assert!(!has(|view| view.peers[1].live = false));
        assert!(!has(|view| view.peers[1].gate_open = false));
        assert!(!could_be_met(&changed(|_| {}), 0, subnet, &CommandError::Left));
    }
}
