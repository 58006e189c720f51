//! The switch and what is around it: where each frame goes.
//!
//! A [`Forwarder`] is the second machine of the core, beside the node: it sees every frame and
//! datagram, and the node only tells it what changed ([`ForwardingChange`]).

mod ethernet;
mod switch;

pub use ethernet::{Frame, Mac};
pub use switch::{Place, Switch};

use crate::id::PeerName;
use crate::sleeve::{SessionIndex, SessionKeys};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// What a node tells the forwarder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardingChange {
    /// Datagrams of `session` are ours to open, and frames can go to `peer`.
    SessionUp {
        /// Our index.
        session: SessionIndex,
        /// Their index.
        remote: SessionIndex,
        /// The neighbour.
        peer: PeerName,
        /// The keys.
        keys: SessionKeys,
        /// Where to send; `None` until a probe came from there.
        to: Option<SocketAddr>,
    },
    /// The neighbour of `session` is now at `to`.
    SessionMoved {
        /// Our index.
        session: SessionIndex,
        /// Where to send.
        to: SocketAddr,
    },
    /// `session` is over; it will not be named again.
    SessionDown {
        /// Our index.
        session: SessionIndex,
    },
    /// All routes, in place of those before.
    Routes(Routes),
}

/// Through which neighbour each peer is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Next hop to each reachable peer.
    pub unicast: BTreeMap<PeerName, SessionIndex>,
    /// Next hops for broadcasts of each source, ourselves included. A source that is missing is
    /// not relayed.
    pub broadcast: BTreeMap<PeerName, Vec<SessionIndex>>,
}

/// Carries out what a forwarder decides; called in order, during the call.
pub trait Sink {
    /// Send `datagram` from the sleeve's socket.
    fn send(&mut self, to: SocketAddr, datagram: &[u8]);
    /// Put `frame` onto the local bridge.
    fn deliver(&mut self, frame: &[u8]);
    /// Hand a probe to the node ([`crate::io::Input::Datagram`]).
    fn probe(&mut self, from: SocketAddr, datagram: &[u8]);
}

/// How many frames and bytes went where, and what was dropped why. Counts up from start.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Frames taken from the bridge.
    pub frames_in: u64,
    /// Frames put onto the bridge.
    pub frames_out: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams received.
    pub received: u64,
    /// Frames relayed for others.
    pub relayed: u64,
    /// Frames dropped for want of a route or a known address.
    pub no_route: u64,
    /// Frames dropped because they had been relayed too often.
    pub hops_exceeded: u64,
    /// Datagrams that did not open, were replayed, or belong to no session.
    pub refused: u64,
    /// Frames or payloads that are not well formed.
    pub malformed: u64,
}

/// Decides about each frame and datagram.
#[derive(Debug)]
pub struct Forwarder {}

impl Forwarder {
    /// A forwarder for the peer `me`, relaying frames at most `hops_max` times.
    pub fn new(me: PeerName, hops_max: u8) -> Self {
        let _ = (me, hops_max);
        todo!()
    }

    /// Carries out a change from the node.
    pub fn apply(&mut self, change: ForwardingChange) {
        let _ = change;
        todo!()
    }

    /// A frame came from the local bridge.
    pub fn frame(&mut self, now: Instant, frame: &[u8], sink: &mut impl Sink) {
        let _ = (now, frame, sink);
        todo!()
    }

    /// A datagram came to the sleeve's socket.
    pub fn datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        sink: &mut impl Sink,
    ) {
        let _ = (now, from, datagram, sink);
        todo!()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        todo!()
    }

    /// Where each known MAC is and when it was last seen, in order.
    pub fn macs(&self) -> impl Iterator<Item = (Mac, Place, Instant)> + '_ {
        core::iter::empty()
    }
}
