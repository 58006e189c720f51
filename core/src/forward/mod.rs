//! The switch and what is around it: where each frame goes.
//!
//! A [`Forwarder`] is the second machine of the core, beside the node: it sees every frame and
//! datagram, and the node only tells it what changed ([`ForwardingChange`]).

mod ethernet;
mod parcel;
mod switch;
#[cfg(test)]
mod tests;

pub use ethernet::{Frame, FrameFault, Mac};
pub use parcel::{ENVELOPE_LEN, Parcel};
pub use switch::{Place, Switch};

use crate::id::PeerName;
use crate::mark::{Mark, mark};
use crate::sleeve::{Kind, Session, SessionIndex, SessionKeys};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// What a node tells the forwarder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardingChange {
    /// Datagrams of `session` are ours to open.
    SessionUp {
        /// Our index.
        session: SessionIndex,
        /// Their index.
        remote: SessionIndex,
        /// Who has the other end.
        peer: PeerName,
        /// Whether a link brings it; else it is one on demand.
        is_link: bool,
        /// The keys.
        keys: SessionKeys,
        /// Where to send; `None` until a probe came from there.
        to: Option<SocketAddr>,
    },
    /// The other end of `session` is now at `to`.
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
    /// Our own frames for `peer` take `session`, whatever the routes say; `None` for the routes again.
    /// What we relay for others keeps to the routes.
    Direct {
        /// Whom the frames are for.
        peer: PeerName,
        /// Our index.
        session: Option<SessionIndex>,
    },
}

/// Through which neighbour each peer is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Routes {
    /// Next hop to each reachable peer.
    pub unicast: BTreeMap<PeerName, SessionIndex>,
    /// Next hops for broadcasts of each source, ourselves included. A source that is missing is
    /// not relayed.
    pub broadcast: BTreeMap<PeerName, Vec<SessionIndex>>,
}

impl Routes {
    /// How many ways there are.
    pub fn len(&self) -> usize {
        let Self { unicast, broadcast } = self;
        unicast.len() + broadcast.values().map(|next| 1 + next.len()).sum::<usize>()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Carries out what a forwarder decides; called in order, during the call.
pub trait Sink {
    /// Send `datagram` from the sleeve's socket.
    fn send(&mut self, to: SocketAddr, datagram: &[u8]);
    /// Put `frame` onto the local bridge.
    fn deliver(&mut self, frame: &[u8]);
    /// Hand a probe to the node ([`crate::io::Input::Datagram`]).
    fn probe(&mut self, from: SocketAddr, datagram: &[u8]);
    /// Tell the node that frames are exchanged with `peer`, to which no link leads
    /// ([`crate::io::Input::Wanted`]). For one peer once in [`WANTED_WAIT`] at most.
    fn wants(&mut self, peer: PeerName);
}

/// The node is told no more often than this that frames are exchanged with a peer. A small part of the
/// time that a session is kept for without being wanted.
pub const WANTED_WAIT: Duration = Duration::from_secs(10);

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
    /// Copies of frames dropped because there is no route, or the next hop has no address yet or
    /// can be sealed nothing more.
    pub no_route: u64,
    /// Frames dropped because they had been relayed too often, or came back to where they started.
    pub hops_exceeded: u64,
    /// Datagrams that did not open, were replayed, or belong to no session.
    pub refused: u64,
    /// Frames or payloads that are not well formed.
    pub malformed: u64,
}

/// How full the tables of a forwarder are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ForwarderSizes {
    /// Data sessions.
    pub sessions: usize,
    /// Ways to peers, of frames for one and of broadcasts.
    pub routes: usize,
    /// Peers that frames go straight to without a link.
    pub direct: usize,
    /// Peers that the node was told of, since frames are exchanged with them.
    pub wanted: usize,
    /// Addresses whose place is known.
    pub macs: usize,
    /// Bytes that are kept as room for one datagram each way.
    pub room: usize,
}

/// Decides about each frame and datagram.
#[derive(Debug)]
pub struct Forwarder {
    me: PeerName,
    hops_max: u8,
    sessions: BTreeMap<SessionIndex, Neighbour>,
    routes: Routes,
    /// By which session our own frames for a peer go, in place of its route.
    direct: BTreeMap<PeerName, SessionIndex>,
    /// When the node was last told that frames are exchanged with a peer.
    wanted: BTreeMap<PeerName, Instant>,
    switch: Switch,
    counters: Counters,
    /// Kept between calls for its room: what the last datagram opened to.
    opened: Vec<u8>,
    /// Kept between calls for its room: the last datagram sent.
    sealed: Vec<u8>,
}

/// The other end of a data session.
#[derive(Debug)]
struct Neighbour {
    session: Session,
    peer: PeerName,
    is_link: bool,
    to: Option<SocketAddr>,
}

impl Forwarder {
    /// A forwarder for the peer `me`, relaying frames at most `hops_max` times.
    pub fn new(me: PeerName, hops_max: u8) -> Self {
        Self {
            me,
            hops_max,
            sessions: BTreeMap::new(),
            routes: Routes::default(),
            direct: BTreeMap::new(),
            wanted: BTreeMap::new(),
            switch: Switch::default(),
            counters: Counters::default(),
            opened: Vec::new(),
            sealed: Vec::new(),
        }
    }

    /// Carries out a change from the node. A session whose other key is of low order stays unknown.
    pub fn apply(&mut self, change: ForwardingChange) {
        match change {
            ForwardingChange::SessionUp { session: index, remote, peer, is_link, keys, to } => {
                if let Ok(session) = Session::new(Kind::Data, &keys, remote) {
                    self.sessions.insert(index, Neighbour { session, peer, is_link, to });
                }
            }
            ForwardingChange::SessionMoved { session, to } => {
                if let Some(neighbour) = self.sessions.get_mut(&session) {
                    neighbour.to = Some(to);
                }
            }
            ForwardingChange::SessionDown { session } => {
                self.sessions.remove(&session);
            }
            ForwardingChange::Routes(routes) => {
                self.wanted.retain(|peer, _| routes.unicast.contains_key(peer));
                self.routes = routes;
            }
            ForwardingChange::Direct { peer, session: Some(session) } => {
                self.direct.insert(peer, session);
            }
            ForwardingChange::Direct { peer, session: None } => {
                self.direct.remove(&peer);
            }
        }
    }

    /// A frame came from the local bridge.
    pub fn frame(&mut self, now: Instant, frame: &[u8], sink: &mut impl Sink) {
        self.counters.frames_in += 1;
        let Ok(frame) = Frame::parse(frame) else {
            mark(Mark::ForwardMalformed);
            self.counters.malformed += 1;
            return;
        };
        self.switch.saw(now, frame.source(), Place::Here);
        let destination = match self.switch.place(now, frame.destination()) {
            _ if frame.destination().is_link_local() => return mark(Mark::ForwardLinkLocal),
            _ if frame.is_multicast() => {
                mark(Mark::ForwardMulticast);
                None
            }
            // The bridge has brought it there already.
            Some(Place::Here) => return mark(Mark::ForwardLocal),
            Some(Place::Peer(peer)) => {
                mark(Mark::ForwardUnicast);
                Some(peer)
            }
            None => {
                mark(Mark::ForwardFlooded);
                None
            }
        };
        let parcel = Parcel { source: self.me, destination, hops: self.hops_max, frame };
        if self.send_on(&parcel, None, sink)
            && let Some(peer) = destination
        {
            self.talks(now, peer, sink);
        }
    }

    /// A datagram came to the sleeve's socket.
    pub fn datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        sink: &mut impl Sink,
    ) {
        self.counters.received += 1;
        let mut opened = core::mem::take(&mut self.opened);
        match self.open(datagram, &mut opened) {
            Some((Kind::Probe, _)) => sink.probe(from, datagram),
            Some((Kind::Data, session)) => self.parcels(now, session, &opened, sink),
            None => {
                mark(Mark::ForwardRefused);
                self.counters.refused += 1;
            }
        }
        self.opened = opened;
    }

    /// How full its tables are, for judges.
    pub fn sizes(&self) -> ForwarderSizes {
        let Self {
            me: _,
            hops_max: _,
            sessions,
            routes,
            direct,
            wanted,
            switch,
            counters: _,
            opened,
            sealed,
        } = self;
        ForwarderSizes {
            sessions: sessions.len(),
            routes: routes.len(),
            direct: direct.len(),
            wanted: wanted.len(),
            macs: switch.len(),
            room: opened.capacity() + sealed.capacity(),
        }
    }

    /// By which neighbour frames for each peer leave, for judges.
    pub fn unicast_hops(&self) -> impl Iterator<Item = (PeerName, PeerName)> + '_ {
        let hop = |index: &SessionIndex| Some(self.sessions.get(index)?.peer);
        self.routes.unicast.iter().filter_map(move |(to, index)| Some((*to, hop(index)?)))
    }

    /// To which neighbours broadcasts of each source go on, for judges.
    pub fn broadcast_hops(&self) -> impl Iterator<Item = (PeerName, Vec<PeerName>)> + '_ {
        let hop = |index: &SessionIndex| Some(self.sessions.get(index)?.peer);
        let next = move |next: &Vec<SessionIndex>| next.iter().filter_map(hop).collect();
        self.routes.broadcast.iter().map(move |(source, hops)| (*source, next(hops)))
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Where each known MAC is and when it was last seen (to the second), in order.
    pub fn macs(&self) -> impl Iterator<Item = (Mac, Place, Instant)> + '_ {
        self.switch.iter()
    }

    /// Kind and session of a datagram that is for us; frames are opened, a probe is the node's to
    /// open.
    fn open(&mut self, datagram: &[u8], opened: &mut Vec<u8>) -> Option<(Kind, SessionIndex)> {
        let (kind, index) = Session::peek(datagram).ok()?;
        let neighbour = self.sessions.get_mut(&index)?;
        match kind {
            Kind::Probe => {}
            Kind::Data => neighbour.session.open_into(datagram, opened).ok()?,
        }
        Some((kind, index))
    }

    fn parcels(&mut self, now: Instant, from: SessionIndex, payload: &[u8], sink: &mut impl Sink) {
        let mut left = payload;
        loop {
            let Ok((parcel, rest)) = Parcel::read(left) else {
                mark(Mark::ForwardMalformed);
                self.counters.malformed += 1;
                return;
            };
            self.parcel(now, from, &parcel, sink);
            if rest.is_empty() {
                return;
            }
            left = rest;
        }
    }

    fn parcel(
        &mut self,
        now: Instant,
        from: SessionIndex,
        parcel: &Parcel<'_>,
        sink: &mut impl Sink,
    ) {
        if parcel.source == self.me {
            mark(Mark::ForwardCameBack);
            self.counters.hops_exceeded += 1;
            return;
        }
        let frame = &parcel.frame;
        if frame.destination().is_link_local() {
            return;
        }
        if parcel.destination.is_none_or(|peer| peer == self.me) {
            self.switch.saw(now, frame.source(), Place::Peer(parcel.source));
            mark(Mark::ForwardDelivered);
            self.counters.frames_out += 1;
            sink.deliver(frame.bytes());
        }
        if parcel.destination == Some(self.me) {
            self.talks(now, parcel.source, sink);
        }
        if parcel.destination != Some(self.me) {
            self.relay(from, parcel, sink);
        }
    }

    /// Frames for one peer are exchanged with `peer`: has the node told, unless a link leads there or
    /// it was told lately. Of peers that nothing leads to, nothing is remembered.
    fn talks(&mut self, now: Instant, peer: PeerName, sink: &mut impl Sink) {
        let Some(next) = self.routes.unicast.get(&peer) else { return };
        let next = self.sessions.get(next);
        if next.is_some_and(|next| next.is_link && next.peer == peer) {
            return;
        }
        let told_at = self.wanted.get(&peer);
        if told_at.is_none_or(|told_at| now.since(*told_at) >= WANTED_WAIT) {
            mark(Mark::ForwardWanted);
            self.wanted.insert(peer, now);
            sink.wants(peer);
        }
    }

    fn relay(&mut self, from: SessionIndex, parcel: &Parcel<'_>, sink: &mut impl Sink) {
        // A neighbour may have several sessions for a while: one takes the place of another.
        let Some(from) = self.peer_of(from) else { return };
        // However far its source, or a liar on the way, would let it go.
        let Some(hops) = parcel.hops.min(self.hops_max).checked_sub(1) else {
            // A broadcast that ends here has lost nothing if nobody is behind us.
            let next = |hop: &Vec<_>| hop.iter().any(|index| self.peer_of(*index) != Some(from));
            let routes = &self.routes.broadcast;
            if parcel.destination.is_some() || routes.get(&parcel.source).is_some_and(next) {
                mark(Mark::ForwardHopLimit);
                self.counters.hops_exceeded += 1;
            }
            return;
        };
        if self.send_on(&Parcel { hops, ..*parcel }, Some(from), sink) {
            mark(Mark::ForwardRelayed);
            self.counters.relayed += 1;
        }
    }

    /// Who has the other end of a session.
    fn peer_of(&self, session: SessionIndex) -> Option<PeerName> {
        self.sessions.get(&session).map(|neighbour| neighbour.peer)
    }

    /// Sends `parcel` to its next hops, but not back to `from`; whether any copy left.
    fn send_on(
        &mut self,
        parcel: &Parcel<'_>,
        from: Option<PeerName>,
        sink: &mut impl Sink,
    ) -> bool {
        let next = match parcel.destination {
            Some(peer) => {
                let direct = self.direct.get(&peer).filter(|_| from.is_none());
                if direct.is_some() {
                    mark(Mark::ForwardDirect);
                }
                direct.or_else(|| self.routes.unicast.get(&peer)).map(core::slice::from_ref)
            }
            None => Some(self.routes.broadcast.get(&parcel.source).map_or(&[][..], Vec::as_slice)),
        };
        let Some(next) = next else {
            mark(Mark::ForwardNoRoute);
            self.counters.no_route += 1;
            return false;
        };
        let mut sent = false;
        for index in next {
            let neighbour = self.sessions.get_mut(index);
            if from.is_some() && neighbour.as_ref().map(|neighbour| neighbour.peer) == from {
                if parcel.destination.is_some() {
                    mark(Mark::ForwardCircle);
                }
                // For a broadcast that is no loss; a frame for one peer would go round in circles.
                self.counters.no_route += u64::from(parcel.destination.is_some());
                continue;
            }
            let to = neighbour.and_then(|neighbour| {
                let to = neighbour.to?;
                let parts = [&parcel.header()[..], parcel.frame.bytes()];
                neighbour.session.seal_into(&parts, &mut self.sealed).ok()?;
                Some(to)
            });
            match to {
                Some(to) => {
                    self.counters.sent += 1;
                    sent = true;
                    sink.send(to, &self.sealed);
                }
                None => {
                    mark(Mark::ForwardNoAddress);
                    self.counters.no_route += 1;
                }
            }
        }
        sent
    }
}
