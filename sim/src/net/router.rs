//! The router in front of a host, as far as datagrams go.

use super::PORT;
use std::collections::BTreeMap;
use std::time::Duration;
use weft_core::time::Instant;

/// A way through that was not used for this long is closed. Source: what home routers do; RFC 4787
/// asks for two minutes and finds that many keep to less.
const MAPPING_MAX: Duration = Duration::from_secs(30);

/// First port that a router gives, far from those of dials.
const FIRST_PORT: u16 = 20_000;

/// What whoever put a router there told it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Lets in who dials the host behind it, and any datagram to its port.
    pub forwards: bool,
    /// Lets hosts behind it reach each other by their outer addresses.
    pub hairpin: bool,
    /// It is the router of this host.
    pub shared: Option<usize>,
}

/// What a router does for one host behind it. From outside, the host cannot be dialed, and a datagram
/// reaches it only from a host that it has sent one to a short while ago, unless its port is
/// forwarded. Each host behind a router has an outer address of its own.
#[derive(Debug)]
pub(super) struct Router {
    /// The host that was behind it first: who else is has the same.
    pub(super) id: usize,
    /// Whether the host's own port is the outer one, for anybody.
    pub(super) forwards: bool,
    /// Whether what comes from inside for an outer address of its own turns around.
    pub(super) hairpin: bool,
    /// Whether each destination sees a port of its own.
    symmetric: bool,
    ports: BTreeMap<Option<usize>, u16>,
    open_until: BTreeMap<usize, Instant>,
    given: u16,
}

impl Router {
    /// One that knows nothing yet.
    pub(super) const fn new(id: usize, symmetric: bool, forwards: bool, hairpin: bool) -> Self {
        Self {
            id,
            forwards,
            hairpin,
            symmetric,
            ports: BTreeMap::new(),
            open_until: BTreeMap::new(),
            given: 0,
        }
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
        if self.forwards {
            return PORT;
        }
        self.open_until.insert(to, now + MAPPING_MAX);
        let given = &mut self.given;
        *self.ports.entry(self.symmetric.then_some(to)).or_insert_with(|| {
            *given = (*given + 1) % FIRST_PORT;
            FIRST_PORT + *given
        })
    }

    /// Whether what `from` sends to `port` at `now` gets through.
    pub(super) fn admits(&self, now: Instant, from: usize, port: u16) -> bool {
        if self.forwards {
            return port == PORT;
        }
        self.ports.get(&self.key(from)) == Some(&port)
            && self.open_until.get(&from).is_some_and(|until| now < *until)
    }
}
