//! Hosts behind a router that translates addresses, and hosts that move to another address.

use super::{Mishap, Net, PORT, address_of, host_of};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use weft_core::time::Instant;

/// A way through that was not used for this long is closed. Source: what home routers do; RFC 4787
/// asks for two minutes and finds that many keep to less.
const MAPPING_MAX: Duration = Duration::from_secs(30);

/// First port that a router gives, far from those of dials.
const FIRST_PORT: u16 = 20_000;

/// Addresses of hosts that have moved lie this far apart.
const GENERATION: u32 = 0x1_0000;

/// The router in front of one host. From outside, the host cannot be dialed, and a datagram reaches
/// it only from a host that it has sent one to a short while ago.
#[derive(Debug)]
pub(super) struct Nat {
    /// Whether each destination sees a port of its own.
    symmetric: bool,
    ports: BTreeMap<Option<usize>, u16>,
    open_until: BTreeMap<usize, Instant>,
    given: u16,
}

impl Nat {
    const fn key(&self, other: usize) -> Option<usize> {
        if self.symmetric { Some(other) } else { None }
    }

    /// The port that `to` sees when something is sent to it at `now`.
    fn send(&mut self, now: Instant, to: usize) -> u16 {
        self.open_until.insert(to, now + MAPPING_MAX);
        let given = &mut self.given;
        *self.ports.entry(self.symmetric.then_some(to)).or_insert_with(|| {
            *given = (*given + 1) % FIRST_PORT;
            FIRST_PORT + *given
        })
    }

    /// Whether what `from` sends to `port` at `now` gets through.
    fn admits(&self, now: Instant, from: usize, port: u16) -> bool {
        self.ports.get(&self.key(from)) == Some(&port)
            && self.open_until.get(&from).is_some_and(|until| now < *until)
    }
}

impl Net {
    /// Puts `host` behind a router.
    pub fn hide(&mut self, host: usize, symmetric: bool) {
        let (ports, open_until) = (BTreeMap::new(), BTreeMap::new());
        self.nats.insert(host, Nat { symmetric, ports, open_until, given: 0 });
    }

    /// The router in front of `host` forgets all that it knows, and gives other ports.
    pub fn rebind(&mut self, host: usize) {
        if let Some(nat) = self.nats.get_mut(&host) {
            nat.ports.clear();
            nat.open_until.clear();
            self.tally.count(Mishap::Rebound);
        }
    }

    /// Takes all routers away.
    pub(super) fn unhide(&mut self) {
        self.nats.clear();
    }

    /// Gives `host` another address. Its streams are over; the other ends find out for themselves.
    pub fn change_address(&mut self, now: Instant, host: usize) {
        *self.moves.entry(host).or_insert(0) += 1;
        self.tally.count(Mishap::Moved);
        self.end_streams(now, host, None, "network is unreachable");
    }

    /// Where `host` is.
    pub fn address(&self, host: usize) -> IpAddr {
        let IpAddr::V4(first) = address_of(host) else { return address_of(host) };
        let moves = self.moves.get(&host).copied().unwrap_or(0);
        IpAddr::V4(Ipv4Addr::from(u32::from(first) + (moves % 16) * GENERATION))
    }

    /// Who is at `address`.
    pub fn host_at(&self, address: IpAddr) -> Option<usize> {
        host_of(address).filter(|host| self.address(*host) == address)
    }

    /// The host that a datagram for `to` gets to, and where it seems to come from.
    pub(super) fn translate(
        &mut self,
        now: Instant,
        from: usize,
        to: SocketAddr,
    ) -> Option<(usize, SocketAddr)> {
        let Some(host) = self.host_at(to.ip()) else {
            self.tally.count(Mishap::NobodyThere);
            return None;
        };
        let port = self.nats.get_mut(&from).map_or(PORT, |nat| nat.send(now, host));
        let admitted = match self.nats.get(&host) {
            Some(nat) => nat.admits(now, from, to.port()),
            None => to.port() == PORT || host == from,
        };
        if !admitted {
            self.tally.count(Mishap::NotAdmitted);
            return None;
        }
        Some((host, SocketAddr::new(self.address(from), port)))
    }
}
