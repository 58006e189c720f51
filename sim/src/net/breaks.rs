//! What befalls single streams while the ways below them work.

use super::stream::{End, Stream};
use super::{Arrival, Mishap, Net};
use weft_core::io::{CloseReason, ConnId, Input};
use weft_core::time::Instant;

impl Net {
    /// Resets all streams between two hosts, as a firewall between them might.
    pub fn reset(&mut self, now: Instant, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            self.end_streams(now, from, Some(to), "connection reset");
        }
    }

    /// Whether `host` knows of a stream with `other`.
    pub fn has_stream(&self, host: usize, other: usize) -> bool {
        let knows = |near: &End, far: &End| {
            near.live && near.host == host && far.host == other && far.conn.is_some()
        };
        self.streams.values().any(|Stream { ends: [a, b], .. }| knows(a, b) || knows(b, a))
    }

    /// `host` reads nothing more of `conn`.
    pub fn deafen(&mut self, host: usize, conn: ConnId) {
        let Some(&(id, end)) = self.conns.get(&(host, conn)) else { return };
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.ends[end].deaf = true;
        }
    }

    /// The kernel of `host` forgets its streams with `other`, who hears nothing of it.
    pub fn half_open(&mut self, now: Instant, host: usize, other: usize) {
        self.end_streams(now, host, Some(other), "connection timed out");
    }

    /// The streams of `host`, with one host or with all, are over for its node; the other ends find
    /// out for themselves.
    pub(super) fn end_streams(
        &mut self,
        now: Instant,
        host: usize,
        with: Option<usize>,
        why: &str,
    ) {
        for stream in self.streams.values_mut() {
            for end in [0, 1] {
                let far = &stream.ends[1 - end];
                let (other, stands) = (far.host, far.conn.is_some());
                let near = &mut stream.ends[end];
                let meant = near.host == host && with.is_none_or(|with| with == other);
                let (true, true, true, Some(conn)) = (meant, stands, near.live, near.conn) else {
                    continue;
                };
                near.lose(now, other, "the stream is over", &mut self.sightings);
                near.live = false;
                self.tally.count(Mishap::Broken);
                let input = Input::Closed { conn, why: CloseReason::Lost(why.to_owned()) };
                // Not before it has heard that the stream is open.
                let at = near.last_arrival.max(now);
                self.arrivals.push(at, Arrival::Input { host, boot: near.boot, input });
            }
        }
    }
}
