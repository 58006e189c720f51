//! Hosts behind a router that translates addresses, and hosts that move to another address.

use super::router::{Router, Rules};
use super::{Mishap, Net, PORT, address_of, host_of};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use weft_core::time::Instant;

/// Addresses of hosts that have moved lie this far apart.
const GENERATION: u32 = 0x1_0000;

impl Net {
    /// Puts `host` behind a router: one of its own, or that of another host, if that has one.
    pub fn hide(&mut self, host: usize, symmetric: bool, rules: Rules) {
        let shared = rules.shared.and_then(|other| self.nats.get(&other));
        let (id, hairpin) = shared.map_or((host, rules.hairpin), |other| (other.id, other.hairpin));
        self.nats.insert(host, Router::new(id, symmetric, rules.forwards, hairpin));
    }

    /// Whether `host` is behind a router.
    pub fn is_hidden(&self, host: usize) -> bool {
        self.nats.contains_key(&host)
    }

    /// The router in front of `host` forgets all that it knows, and gives other ports.
    pub fn rebind(&mut self, host: usize) {
        let Some(id) = self.nats.get(&host).map(|nat| nat.id) else { return };
        self.nats.values_mut().filter(|nat| nat.id == id).for_each(Router::forget);
        self.tally.count(Mishap::Rebound);
    }

    /// Why nobody at `from` can dial the outer address of `to`; `None` where that can be done.
    pub(super) fn hides(&self, from: usize, to: usize) -> Option<Mishap> {
        let there = self.nats.get(&to)?;
        if self.turns_back(from, there) {
            Some(Mishap::NoHairpin)
        } else {
            (!there.forwards).then_some(Mishap::DialedHidden)
        }
    }

    /// Whether what `from` sends to `there` would have to turn around at its own router, which does
    /// not do that.
    fn turns_back(&self, from: usize, there: &Router) -> bool {
        let same = self.nats.get(&from).is_some_and(|here| here.id == there.id);
        same && !there.hairpin
    }

    /// Takes all routers away.
    pub(super) fn unhide(&mut self) {
        self.nats.clear();
    }

    /// Gives `host` another address. Its streams are over; the other ends find out for themselves.
    pub fn change_address(&mut self, now: Instant, host: usize) {
        *self.moves.entry(self.place(host)).or_insert(0) += 1;
        self.tally.count(Mishap::Moved);
        self.end_streams(now, host, None, "network is unreachable");
    }

    /// Gives `host` the address of `other`, which gets its own. The streams of both are over.
    pub fn swap_addresses(&mut self, now: Instant, host: usize, other: usize) {
        let (here, there) = (self.place(host), self.place(other));
        self.places.extend([(host, there), (other, here)]);
        self.tally.count(Mishap::Moved);
        for moved in [host, other] {
            self.end_streams(now, moved, None, "network is unreachable");
        }
    }

    fn place(&self, host: usize) -> usize {
        self.places.get(&host).copied().unwrap_or(host)
    }

    /// Where `host` is.
    pub fn address(&self, host: usize) -> IpAddr {
        let place = self.place(host);
        let IpAddr::V4(first) = address_of(place) else { return address_of(place) };
        let moves = self.moves.get(&place).copied().unwrap_or(0);
        IpAddr::V4(Ipv4Addr::from(u32::from(first) + (moves % 16) * GENERATION))
    }

    /// Who is at `address`.
    pub fn host_at(&self, address: IpAddr) -> Option<usize> {
        let place = host_of(address)?;
        let moved = self.places.iter().find(|(_, at)| **at == place).map(|(host, _)| *host);
        Some(moved.unwrap_or(place)).filter(|host| self.address(*host) == address)
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
        let refused = match self.nats.get(&host) {
            Some(nat) if self.turns_back(from, nat) => Some(Mishap::NoHairpin),
            Some(nat) => (!nat.admits(now, from, to.port())).then_some(Mishap::NotAdmitted),
            None => (to.port() != PORT && host != from).then_some(Mishap::NotAdmitted),
        };
        if let Some(why) = refused {
            self.tally.count(why);
            return None;
        }
        Some((host, SocketAddr::new(self.address(from), port)))
    }
}
