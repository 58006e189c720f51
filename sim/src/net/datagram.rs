//! Datagrams: lost, delivered, or delivered twice, and in any order.

use super::{Arrival, Carrier, Net, PORT, Way, address_of, host_of};
use std::net::SocketAddr;
use weft_core::time::Instant;

/// A datagram that has arrived.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// At which host.
    pub host: usize,
    /// Where it seems to come from.
    pub source: SocketAddr,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Net {
    /// Sends a datagram from `from`.
    pub fn datagram(&mut self, now: Instant, from: usize, to: SocketAddr, bytes: &[u8]) {
        let Some(host) = host_of(to.ip()).filter(|_| to.port() == PORT) else { return };
        let there = self.paths.conditions(from, host);
        let copies = 1 + usize::from(self.paths.chance(there.duplication));
        let way = Way { from, to: host, carrier: Carrier::Datagram };
        for _ in 0..copies {
            let id = self.sightings.sent(now, way, bytes);
            if !self.paths.chance(there.loss) {
                let wait = self.paths.trip(from, host);
                let source = SocketAddr::new(address_of(from), PORT);
                let datagram = Datagram { host, source, bytes: bytes.to_vec() };
                self.arrivals.push(now + wait, Arrival::Datagram { from, id, datagram });
            } else {
                self.sightings.lost(now + there.latency / 2, id, way, "lost on the way");
            }
        }
    }
}
