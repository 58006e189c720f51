//! The router in front of a host, as far as datagrams go.

use std::collections::BTreeMap;
use std::time::Duration;
use weft_core::time::Instant;

/// A way through that was not used for this long is closed. Source: what home routers do; RFC 4787
/// asks for two minutes and finds that many keep to less.
const MAPPING_MAX: Duration = Duration::from_secs(30);

/// First port that a router gives, far from those of dials.
const FIRST_PORT: u16 = 20_000;

/// The router in front of one host. From outside, the host cannot be dialed, and a datagram reaches
/// it only from a host that it has sent one to a short while ago.
#[derive(Debug)]
pub(super) struct Router {
    /// Whether each destination sees a port of its own.
    symmetric: bool,
    ports: BTreeMap<Option<usize>, u16>,
    open_until: BTreeMap<usize, Instant>,
    given: u16,
}

impl Router {
    /// One that knows nothing yet.
    pub(super) const fn new(symmetric: bool) -> Self {
        Self { symmetric, ports: BTreeMap::new(), open_until: BTreeMap::new(), given: 0 }
    }

    /// Forgets all that it knows.
    pub(super) fn forget(&mut self) {
        self.ports.clear();
        self.open_until.clear();
    }

    const fn key(&self, other: usize) -> Option<usize> {
        if self.symmetric { Some(other) } else { None }
    }

    /// The port that `to` sees when something is sent to it at `now`.
    pub(super) fn send(&mut self, now: Instant, to: usize) -> u16 {
        self.open_until.insert(to, now + MAPPING_MAX);
        let given = &mut self.given;
        *self.ports.entry(self.symmetric.then_some(to)).or_insert_with(|| {
            *given = (*given + 1) % FIRST_PORT;
            FIRST_PORT + *given
        })
    }

    /// Whether what `from` sends to `port` at `now` gets through.
    pub(super) fn admits(&self, now: Instant, from: usize, port: u16) -> bool {
        self.ports.get(&self.key(from)) == Some(&port)
            && self.open_until.get(&from).is_some_and(|until| now < *until)
    }
}
