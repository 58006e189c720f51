//! How often those who have proven nothing may begin a handshake.

use crate::time::Instant;
use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

/// What a handshake that begins costs its source: 100 a second may begin. A mesh behind one address
/// is to start at once, and a handshake takes less than a millisecond of work.
const BEGIN_COST: Duration = Duration::from_millis(10);

/// What each round of a handshake costs that was not finished, and may have been a guess of a
/// secret: an attacker does not say that it guessed wrong, but just goes.
const GUESS_COST: Duration = Duration::from_secs(1);

/// A source that owes more than this begins no handshake: 200 may begin at once.
const DEBT_MAX: Duration = Duration::from_secs(2);

/// Most sources whose debts are known.
const SOURCES_MAX: usize = 1024;

/// Since handshakes cost work and can be guesses, each source has only so many in a time. Only its
/// own: that nobody gets in because somebody guesses would be worse than the guesses.
#[derive(Debug, Default)]
pub(super) struct Paces(BTreeMap<IpAddr, Instant>);

impl Paces {
    /// Whether a handshake from `remote` may begin; if so, that is counted.
    pub(super) fn begins(&mut self, now: Instant, remote: IpAddr) -> bool {
        let free_at = self.0.get(&source(remote)).copied().unwrap_or(now).max(now);
        let may = free_at <= now + DEBT_MAX;
        if may {
            self.charge(now, remote, BEGIN_COST);
        }
        may
    }

    /// A handshake from `remote` came to nothing after so many rounds.
    pub(super) fn unfinished(&mut self, now: Instant, remote: IpAddr, rounds: u8) {
        if rounds > 0 {
            self.charge(now, remote, GUESS_COST * u32::from(rounds));
        }
    }

    /// Sources whose debts are known.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn charge(&mut self, now: Instant, remote: IpAddr, cost: Duration) {
        let source = source(remote);
        if !self.0.contains_key(&source) && self.0.len() >= SOURCES_MAX {
            self.0.retain(|_, free_at| *free_at > now);
            if self.0.len() >= SOURCES_MAX
                && let Some(least) = self.0.iter().min_by_key(|(_, at)| **at).map(|(who, _)| *who)
            {
                self.0.remove(&least);
            }
        }
        let free_at = self.0.entry(source).or_insert(now);
        *free_at = (*free_at).max(now) + cost;
    }
}

/// Who is behind an address: an IPv6 host has a whole /64 to choose addresses from.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(n)
    }

    #[test]
    fn a_source_may_begin_two_hundred_handshakes_at_once_and_a_hundred_a_second() {
        let (mut paces, source) = (Paces::default(), IpAddr::from([203, 0, 113, 7]));
        let begun = |paces: &mut Paces, at| (0..999).filter(|_| paces.begins(at, source)).count();
        assert_eq!(begun(&mut paces, secs(1)), 201);
        assert_eq!(begun(&mut paces, secs(2)), 100);
        assert!(paces.begins(secs(2), IpAddr::from([203, 0, 113, 8])));
    }

    #[test]
    fn a_source_gets_in_the_long_run_one_guess_a_second_however_many_streams_it_opens() {
        let (mut paces, source) = (Paces::default(), IpAddr::from([203, 0, 113, 7]));
        let mut guesses = 0;
        for second in 0..100 {
            // All that may begin does, and is left.
            let begun = (0..16).take_while(|_| paces.begins(secs(second), source)).count();
            (0..begun).for_each(|_| paces.unfinished(secs(second), source, 1));
            guesses += begun;
        }
        assert!((50..=116).contains(&guesses), "{guesses} guesses in 100 s");
        // A silent stream is none.
        paces.unfinished(secs(500), source, 0);
        assert!(paces.begins(secs(500), source));
    }

    #[test]
    fn however_many_sources_there_are_few_are_remembered() {
        let mut paces = Paces::default();
        for n in 0..10_000u32 {
            let [_, _, high, low] = n.to_be_bytes();
            assert!(paces.begins(secs(1), IpAddr::from([198, 51, high, low])));
            // All of one /64.
            let host = u128::from(n) + 1;
            paces.begins(secs(1), IpAddr::from((0x2001_0db8_u128 << 96 | host).to_be_bytes()));
        }
        assert!(paces.len() <= SOURCES_MAX);
    }
}
