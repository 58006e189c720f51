//! What an eavesdropper does with datagrams: records them, and sends them again.

use super::{Arrival, Datagram, MessageId, Mishap, Net, PORT, STRANGER};
use std::net::SocketAddr;
use weft_core::time::Instant;

/// Datagrams that a tape holds; what comes later is not recorded.
const TAPE_LEN: usize = 512;

/// A datagram on a tape: its sender, and as it would have arrived.
type Recorded = (usize, Datagram);

/// What was recorded, once somebody records.
#[derive(Debug, Default)]
pub(super) struct Tape(Option<Vec<Recorded>>);

impl Tape {
    /// Nobody records.
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Keeps a datagram that sets out.
    pub(super) fn hear(&mut self, from: usize, datagram: &Datagram) {
        if let Some(tape) = &mut self.0
            && tape.len() < TAPE_LEN
        {
            tape.push((from, datagram.clone()));
        }
    }
}

impl Net {
    /// Records datagrams from here on.
    pub fn record_tape(&mut self) {
        self.tape = Tape(Some(Vec::new()));
    }

    /// Forgets what was recorded, and records no more.
    pub fn forget_tape(&mut self) {
        self.tape = Tape::new();
    }

    /// Sends all that was recorded to whom it was for, or back to who sent it, as if it came from
    /// the other end.
    pub fn replay(&mut self, now: Instant, reflect: bool) {
        let tape = self.tape.0.clone().unwrap_or_default();
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
