//! The mesh as its peers describe it: who is linked with whom, who can be reached, and by which way.

mod overlay;
mod routes;

pub use overlay::Overlay;
pub use routes::{Graph, NextHops};

use crate::config::is_nickname;
use crate::id::{Incarnation, PeerId, PeerName};
use crate::ipam::Part;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::num::NonZeroU32;
use serde::{Deserialize, Serialize};

/// Body of [`crate::record::Key::Peer`]: a peer and its links, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// 48-bit name.
    pub name: PeerName,
    /// Label for people.
    pub nickname: String,
    /// Which start.
    pub incarnation: Incarnation,
    /// Neighbours with a working data path, in order. A link counts where both ends report it.
    pub links: Vec<PeerId>,
    /// Addresses at which others may dial it, in order: those of its ends of its control links, with
    /// its control port; at most 8.
    pub addresses: Vec<SocketAddr>,
    /// What it has to do with who owns which addresses.
    pub part: Part,
    /// Drawn at the start of the daemon that wrote this.
    pub run: NonZeroU32,
    /// The run of another daemon that wrote as the same peer, of which it heard last: one before, or one that
    /// goes on from a copy of its state folder.
    pub rival: Option<NonZeroU32>,
}

impl PeerRecord {
    /// Most addresses in one record.
    pub const ADDRESSES_MAX: usize = 8;
    /// Most links in one record: they fit into a record's body.
    pub const LINKS_MAX: usize = 4096;

    /// Whether it says that it has a link with `peer`.
    pub fn has_link(&self, peer: PeerId) -> bool {
        self.links.binary_search(&peer).is_ok()
    }

    /// Whether it keeps to its limits, and to the order in which a peer is found soon.
    pub fn is_sound(&self) -> bool {
        is_nickname(&self.nickname)
            && self.name != PeerName::default()
            && self.links.len() <= Self::LINKS_MAX
            && self.addresses.len() <= Self::ADDRESSES_MAX
            && is_ascending(&self.links)
            && is_ascending(&self.addresses)
    }
}

/// Whether nothing stands out of order or twice.
fn is_ascending<T: Ord>(items: &[T]) -> bool {
    items.windows(2).all(|pair| pair.first() < pair.last())
}

/// What each known peer says of itself, and what follows from it for us.
#[derive(Clone, Debug)]
pub struct Topology {
    me: PeerId,
    peers: BTreeMap<PeerId, PeerRecord>,
    hops: BTreeMap<PeerId, PeerId>,
}

impl Topology {
    /// As seen from `me`, who knows nobody yet.
    pub const fn new(me: PeerId) -> Self {
        Self { me, peers: BTreeMap::new(), hops: BTreeMap::new() }
    }

    /// Takes in what `peer` says of itself.
    pub fn put(&mut self, peer: PeerId, record: PeerRecord) {
        self.peers.insert(peer, record);
    }

    /// Forgets what `peer` said of itself.
    pub fn remove(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    /// What `peer` says of itself.
    pub fn get(&self, peer: PeerId) -> Option<&PeerRecord> {
        self.peers.get(&peer)
    }

    /// What each known peer says of itself.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, &PeerRecord)> {
        self.peers.iter().map(|(peer, record)| (*peer, record))
    }

    /// How many peers are known, ourselves included.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Whether there is a way to `peer`, as of the last [`Topology::update`]; to ourselves always.
    pub fn is_reachable(&self, peer: PeerId) -> bool {
        peer == self.me || self.hops.contains_key(&peer)
    }

    /// The peers that can be reached, without ourselves, each with the neighbour on the way.
    pub const fn hops(&self) -> &BTreeMap<PeerId, PeerId> {
        &self.hops
    }

    /// Whom `overlay` wants links with, as of the last [`Topology::update`].
    pub fn wanted(&self, overlay: Overlay) -> BTreeSet<PeerId> {
        let known = self.peers.keys().map(|peer| (*peer, self.is_reachable(*peer)));
        overlay.wanted(&known.collect::<Vec<_>>())
    }

    /// Those of [`Topology::wanted`] that `overlay` wants soon.
    pub fn soon(&self, overlay: Overlay) -> BTreeSet<PeerId> {
        overlay.soon(&self.peers.keys().map(|peer| (*peer, true)).collect::<Vec<_>>())
    }

    /// Those of [`Topology::wanted`] that `overlay` wants among the peers in reach alone.
    pub fn near(&self, overlay: Overlay) -> BTreeSet<PeerId> {
        let near = self.hops.keys().chain([&self.me]).map(|peer| (*peer, true));
        overlay.wanted(&near.collect::<Vec<_>>())
    }

    /// Whether both `one` and `other` report a link between them.
    pub fn is_mutual(&self, one: PeerId, other: PeerId) -> bool {
        let reports = |by, of| self.get(by).is_some_and(|record| record.has_link(of));
        reports(one, other) && reports(other, one)
    }

    /// Finds out again who can be reached; returns who came and who went.
    pub fn update(&mut self) -> (BTreeSet<PeerId>, BTreeSet<PeerId>) {
        let hops = self.graph().unicast();
        let came = hops.keys().filter(|peer| !self.hops.contains_key(peer)).copied().collect();
        let went = self.hops.keys().filter(|peer| !hops.contains_key(peer)).copied().collect();
        self.hops = hops;
        (came, went)
    }

    /// The part of the mesh that we are in, as a graph of mutual links.
    pub fn graph(&self) -> Graph {
        let links = self.peers.iter().map(|(peer, record)| (*peer, &*record.links));
        Graph::new(self.me, links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    fn record(n: u8, links: &[u8]) -> PeerRecord {
        PeerRecord {
            name: PeerName([n; 6]),
            nickname: String::from("n"),
            incarnation: Incarnation(1),
            links: links.iter().map(|n| peer(*n)).collect(),
            addresses: Vec::new(),
            part: Part::FULL,
            run: NonZeroU32::MIN,
            rival: None,
        }
    }

    fn says(topology: &mut Topology, n: u8, links: &[u8]) {
        topology.put(peer(n), record(n, links));
    }

    #[test]
    fn a_record_with_links_out_of_order_or_twice_is_refused() {
        assert!(record(1, &[2, 3]).is_sound() && record(1, &[]).is_sound());
        assert!(!record(1, &[3, 2]).is_sound() && !record(1, &[2, 2]).is_sound());
    }

    #[test]
    fn a_link_that_one_end_denies_carries_nothing() {
        let mut topology = Topology::new(peer(1));
        says(&mut topology, 1, &[2]);
        says(&mut topology, 2, &[1, 3]);
        says(&mut topology, 3, &[]);
        assert_eq!(topology.update(), (BTreeSet::from([peer(2)]), BTreeSet::new()));
        assert!(!topology.is_reachable(peer(3)));
        says(&mut topology, 3, &[2]);
        assert_eq!(topology.update(), (BTreeSet::from([peer(3)]), BTreeSet::new()));
        assert_eq!(topology.hops().get(&peer(3)), Some(&peer(2)));
        says(&mut topology, 2, &[3]);
        assert_eq!(topology.update().1, BTreeSet::from([peer(2), peer(3)]));
    }
}
