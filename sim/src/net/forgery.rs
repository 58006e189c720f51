//! What a stranger does with datagrams: records them, makes some up, and sends them.

use super::tape::Tape;
use super::{Arrival, Datagram, MessageId, Mishap, Net, PORT, STRANGER};
use std::net::SocketAddr;
use weft_core::time::Instant;

impl Net {
    /// Records datagrams from here on.
    pub fn record_tape(&mut self) {
        self.tape = Tape::begun();
    }

    /// Whether anything was recorded.
    pub fn has_recorded(&self) -> bool {
        !self.tape.heard().is_empty()
    }

    /// Forgets what was recorded, and records no more.
    pub fn forget_tape(&mut self) {
        self.tape = Tape::new();
    }

    /// Sends all that was recorded to whom it was for, or back to who sent it, as if it came from
    /// the other end.
    pub fn replay(&mut self, now: Instant, reflect: bool) {
        let tape = self.tape.heard();
        for (from, Datagram { host, source, bytes }) in tape {
            let (host, source) = if reflect {
                (from, SocketAddr::new(self.address(host), PORT))
            } else {
                (host, source)
            };
            self.forge(now, host, source, bytes);
        }
    }

    /// A stranger sends a datagram to `host` that seems to come from `source`.
    pub fn forge(&mut self, now: Instant, host: usize, source: SocketAddr, bytes: Vec<u8>) {
        self.tally.count(Mishap::Forged);
        let wait = self.paths.trip(STRANGER, host);
        let datagram = Datagram { host, source, bytes };
        let id = MessageId::default();
        self.arrivals.push(now + wait, Arrival::Datagram { from: STRANGER, id, datagram });
    }
}
