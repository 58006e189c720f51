//! Which links we keep, of those that there could be: all in a small mesh, a few in a large one.

use super::Node;
use crate::id::PeerId;
use crate::io::{ConnId, Outbox};
use crate::mark::{Mark, mark};
use crate::mesh::{Conn, ConnFault, Message};
use crate::record::Key;
use crate::time::Instant;
use crate::topology::Overlay;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use rand_core::RngCore;

/// A link that is not needed stands at least this long: whoever came by it hears of all others in that
/// time, and is linked with those it needs.
const UNNEEDED_MIN: Duration = Duration::from_secs(20);

/// So many peers are named to one for whom there is no room here.
const REFERRALS: usize = 8;

impl Node {
    const fn overlay(&self, peer: PeerId) -> Overlay {
        Overlay::new(peer, self.config.conns_max)
    }

    /// Tells the dialer of peers that were only heard of and are to be linked with.
    pub(super) fn discover(&mut self, at: Instant) {
        if !self.config.discovery {
            return;
        }
        let mut heard_of = BTreeMap::new();
        let soon = self.topology.soon(self.overlay(self.me));
        for peer in self.topology.wanted(self.overlay(self.me)) {
            if self.neighbours.contains_key(&peer) {
                continue;
            }
            // The mesh may have been larger, and the peer a spare one.
            self.dialer.dial_again(at, peer);
            let addresses = self.topology.get(peer).map(|record| &*record.addresses);
            if let Some(addresses) = addresses.filter(|addresses| !addresses.is_empty()) {
                heard_of.insert(peer, (addresses, soon.contains(&peer)));
            }
        }
        self.dialer.discover(at, self.me, &heard_of);
    }

    /// Whether there need be no link with `peer`: the mesh is large, there is a way to it, and it is
    /// not one of those next to us. Both ends see that alike, since it follows from who is known.
    pub(super) fn is_spare(&self, peer: PeerId) -> bool {
        self.config.discovery
            && self.overlay(self.me).prunes(self.topology.hops().len() + 1)
            && self.topology.is_reachable(peer)
            && !self.topology.wanted(self.overlay(self.me)).contains(&peer)
    }

    /// Whether `peer` has all the links that it needs, of those with peers in reach.
    fn is_settled(&self, peer: PeerId) -> bool {
        let near = self.topology.near(self.overlay(peer));
        self.topology.get(peer).is_some_and(|record| near.iter().all(|peer| record.has_link(*peer)))
    }

    /// Ends the link `id` if neither end needs it any more.
    pub(super) fn prune(&mut self, at: Instant, id: ConnId, out: &mut Outbox) {
        let Some(link) = self.conns.get(&id).and_then(Conn::link) else { return };
        let peer = link.hello.id;
        if at - link.up_at >= UNNEEDED_MIN
            && self.is_spare(peer)
            && self.is_settled(self.me)
            && self.is_settled(peer)
        {
            mark(Mark::LinkUnneeded);
            self.end_link(at, id, ConnFault::Unneeded, out);
        }
    }

    /// Makes room for one more link, by ending one that we do not need.
    pub(super) fn spare_link(&mut self, at: Instant, is_needed: bool, out: &mut Outbox) -> bool {
        let oldest = self.oldest_spare(is_needed);
        if let Some(conn) = oldest {
            mark(Mark::LinkGivesWay);
            self.end_link(at, conn, ConnFault::Unneeded, out);
        }
        oldest.is_some()
    }

    /// Of the links that we do not need the one that has stood longest: with a peer that has all it
    /// needs, or when one that we do need is to take its place, with any.
    pub(super) fn oldest_spare(&self, is_needed: bool) -> Option<ConnId> {
        let spare = self.neighbours.iter().filter(|(peer, _)| self.is_spare(**peer));
        let spare = spare.filter(|(peer, _)| is_needed || self.is_settled(**peer));
        let up_at = |conn: &ConnId| self.conns.get(conn)?.link().map(|link| link.up_at);
        spare.map(|(_, conn)| *conn).min_by_key(|conn| up_at(conn))
    }

    /// Who else could be asked, for one whom we have no room for: the records of a few peers.
    pub(super) fn referral(&mut self) -> Message {
        let mut peers: Vec<PeerId> = self.topology.hops().keys().copied().collect();
        let mut records = Vec::new();
        while records.len() < REFERRALS && !peers.is_empty() {
            let drawn = usize::try_from(self.referral_rng.next_u32()).unwrap_or(0) % peers.len();
            let peer = peers.swap_remove(drawn);
            records.extend(self.records.get(&Key::Peer(peer)).cloned());
        }
        mark(Mark::LinkReferral);
        Message::Records(records)
    }
}
