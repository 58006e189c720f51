//! Datagrams: lost, held up, damaged, delivered, or delivered twice, and in any order.

use super::conditions::Conditions;
use super::tally::Mishap;
use super::{Arrival, Carrier, Datagram, Net, Way};
use std::net::SocketAddr;
use std::time::Duration;
use weft_core::sleeve::Kind;
use weft_core::time::Instant;

/// Bytes of the headers in front of a datagram: IPv4 without options (RFC 791) and UDP (RFC 768).
const HEADERS_LEN: usize = 28;

/// A datagram that is held up for long is this much rarer than one that is held up shortly.
const HOLD_UP_STEPS: u64 = 256;

/// Most bits that are wrong in a damaged datagram.
const WRONG_BITS_MAX: u64 = 8;

impl Net {
    /// Sends a datagram from `from`.
    pub fn datagram(&mut self, now: Instant, from: usize, to: SocketAddr, bytes: &[u8]) {
        let Some((host, source)) = self.translate(now, from, to) else { return };
        let there = self.paths.conditions(from, host);
        let copies = 1 + usize::from(self.paths.chance(there.duplication));
        let way = Way { from, to: host, carrier: Carrier::Datagram };
        let mut is_whole = false;
        for copy in 0..copies {
            let id = self.sightings.sent(now, way, bytes);
            if let Some((mishap, why)) = self.drops(now, way, there, bytes.len()) {
                self.tally.count(mishap);
                self.sightings.lost(now + there.latency / 2, id, way, why);
                continue;
            }
            let mut wait = self.paths.trip(from, host);
            wait += self.paths.occupy(now, from, host, bytes.len());
            wait += self.holds_up(there);
            if copy > 0 {
                self.tally.count(Mishap::Doubled);
                wait += self.paths.up_to(there.echo);
            }
            let mut bytes = bytes.to_vec();
            if self.paths.happens(there.corruption) {
                self.damage(&mut bytes);
            } else {
                is_whole = true;
            }
            let datagram = Datagram { host, source, bytes };
            self.tape.hear(from, &datagram);
            self.arrivals.push(now + wait, Arrival::Datagram { from, id, datagram });
        }
        if is_whole && bytes.first() == Some(&(Kind::Data as u8)) {
            *self.brought.entry(host).or_insert(0) += 1;
        }
    }

    /// Why a datagram of `len` bytes does not get onto its way.
    fn drops(
        &mut self,
        now: Instant,
        way: Way,
        there: Conditions,
        len: usize,
    ) -> Option<(Mishap, &'static str)> {
        if there.mtu.is_some_and(|mtu| len + HEADERS_LEN > usize::from(mtu)) {
            return Some((Mishap::TooLong, "longer than the way lets through"));
        }
        if self.paths.chance(there.loss) {
            return Some((Mishap::Lost, "lost on the way"));
        }
        if self.paths.in_burst(now, way.from, way.to, there) {
            return Some((Mishap::LostInBurst, "lost with all others of its time"));
        }
        if self.paths.is_full(now, way.from, way.to) {
            return Some((Mishap::QueueFull, "the queue is full"));
        }
        None
    }

    /// By how much a datagram is held up this time.
    fn holds_up(&mut self, there: Conditions) -> Duration {
        if there.hold_up.is_zero() || !self.paths.happens(there.held_up) {
            return Duration::ZERO;
        }
        self.tally.count(Mishap::HeldUp);
        // That it is longer than a part of the longest time is as likely as that part is small.
        let part = u32::try_from(1 + self.paths.draw(HOLD_UP_STEPS)).unwrap_or(1);
        there.hold_up / part
    }

    /// Gives `bytes` some wrong bits, or cuts them short.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        self.tally.count(Mishap::Corrupted);
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.paths.draw(2) == 0 {
            bytes.truncate(usize::try_from(self.paths.draw(len)).unwrap_or(0));
            return;
        }
        for _ in 0..=self.paths.draw(WRONG_BITS_MAX) {
            let at = usize::try_from(self.paths.draw(len)).unwrap_or(0);
            let bit = 1 << self.paths.draw(8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bit;
            }
        }
    }
}
