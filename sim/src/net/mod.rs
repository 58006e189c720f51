//! The simulated network: streams that stall, break and are cut anywhere, datagrams that get lost.
//!
//! It has a future of its own ([`Net::next_at`], [`Net::step`]) and knows nothing of nodes: it says
//! what arrives at which host, and the world sees to it.

mod breaks;
mod conditions;
mod datagram;
mod forgery;
mod nat;
mod parcel;
mod paths;
mod router;
mod sighting;
mod stream;
mod tally;
mod tape;
mod tcp;

pub use conditions::{BadShare, Conditions, Share};
pub use parcel::Datagram;
pub use paths::Paths;
pub use router::Rules;
pub use sighting::{Carrier, MessageId, Seen, Sighting, Sightings, Way};
pub use tally::{Mishap, Tally};

use crate::queue::Queue;
use rand_chacha::ChaCha20Rng;
use router::Router;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use stream::{EndIndex, Stream, StreamId};
use tape::Tape;
use weft_core::config::Versions;
use weft_core::io::{ConnId, Input};
use weft_core::time::Instant;

/// Control and sleeve port of every simulated host.
pub const PORT: u16 = 6783;

/// The host of all that are no part of the mesh; its index is above that of every other.
pub const STRANGER: usize = 60_000;

/// Where nobody is: the host at an address that none has.
pub const NOBODY: usize = STRANGER + 1;

/// The underlay address of host `host`, until it moves.
pub fn address_of(host: usize) -> IpAddr {
    let low = u32::try_from(host).unwrap_or(u32::MAX >> 16) + 1;
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 16, 0, 0)) + low))
}

/// The host that has or had the underlay address `address` at first; `None` when that is none.
pub fn host_of(address: IpAddr) -> Option<usize> {
    let IpAddr::V4(v4) = address else { return None };
    let low = u32::from(v4).checked_sub(u32::from(Ipv4Addr::new(172, 16, 0, 0)))?;
    usize::try_from((low % 0x1_0000).checked_sub(1)?).ok()
}

/// One end of a stream. A run of a node counts its conns anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// On which host.
    pub host: usize,
    /// In which run of its node.
    pub boot: u64,
    /// What that run calls the stream.
    pub conn: ConnId,
}

/// What the network brings to a host.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// News of a stream, for run number `boot` of the host's node, if that still knows the conn.
    Input {
        /// Whom.
        host: usize,
        /// In which of its runs.
        boot: u64,
        /// What.
        input: Input,
    },
    /// A datagram, for the data path.
    Datagram(Datagram),
}

/// What will happen in the network.
#[derive(Debug)]
enum Arrival {
    /// A node is to be told something.
    Input { host: usize, boot: u64, input: Input },
    /// A dial arrives.
    Syn { stream: StreamId },
    /// The next piece of a stream arrives at an end.
    Pump { stream: StreamId, end: EndIndex },
    /// Whoever sends to `end` stops trying, if it is stalled since `since`.
    Abandon { stream: StreamId, end: EndIndex, since: Instant },
    /// A datagram arrives.
    Datagram { from: usize, id: MessageId, datagram: Datagram },
}

/// A node that accepts streams.
#[derive(Clone, Copy, Debug)]
struct Listener {
    boot: u64,
    accepted: u64,
}

/// All of the network.
#[derive(Debug)]
pub struct Net {
    /// Which ways work, and how well.
    pub paths: Paths,
    arrivals: Queue<Arrival>,
    listeners: BTreeMap<usize, Listener>,
    streams: BTreeMap<StreamId, Stream>,
    conns: BTreeMap<(usize, ConnId), (StreamId, EndIndex)>,
    streams_made: u64,
    /// Routers, by the host behind them.
    nats: BTreeMap<usize, Router>,
    tape: Tape,
    /// How often each place got another address.
    moves: BTreeMap<usize, u32>,
    /// Where hosts are that took another's place: the host whose place it was at first.
    places: BTreeMap<usize, usize>,
    /// Datagrams with frames that were on their way to a host whole, each counted once.
    brought: BTreeMap<usize, u64>,
    /// What nodes speak.
    spoken: BTreeMap<usize, Versions>,
    /// What an observer saw, while there is one.
    pub sightings: Sightings,
    /// What went wrong.
    pub tally: Tally,
}

impl Net {
    /// A network without streams or cuts, whose chances come from `rng`.
    pub const fn new(conditions: Conditions, rng: ChaCha20Rng) -> Self {
        Self {
            paths: Paths::new(conditions, rng),
            arrivals: Queue::new(),
            listeners: BTreeMap::new(),
            streams: BTreeMap::new(),
            conns: BTreeMap::new(),
            streams_made: 0,
            nats: BTreeMap::new(),
            tape: Tape::new(),
            moves: BTreeMap::new(),
            places: BTreeMap::new(),
            brought: BTreeMap::new(),
            spoken: BTreeMap::new(),
            sightings: Sightings::new(),
            tally: Tally::new(),
        }
    }

    /// When something happens here next.
    pub fn next_at(&self) -> Option<Instant> {
        self.arrivals.next_at()
    }

    /// Lets the next thing happen. Returns when it was, and what it brings to a host, if anything.
    pub fn step(&mut self) -> Option<(Instant, Option<Delivery>)> {
        let (at, arrival) = self.arrivals.pop()?;
        let delivery = match arrival {
            Arrival::Input { host, boot, input } => Some(Delivery::Input { host, boot, input }),
            Arrival::Syn { stream } => self.syn(at, stream),
            Arrival::Pump { stream, end } => self.pump(at, stream, end),
            Arrival::Abandon { stream, end, since } => self.abandon(at, stream, end, since),
            Arrival::Datagram { from, id, datagram } => {
                let passes = !self.paths.blocked(from, datagram.host);
                let way = Way { from, to: datagram.host, carrier: Carrier::Datagram };
                match self.listeners.contains_key(&way.to) {
                    true if passes => self.sightings.arrived(at, id, way),
                    true => self.sightings.lost(at, id, way, "the way is cut"),
                    false => self.sightings.lost(at, id, way, "nobody runs there"),
                }
                passes.then_some(Delivery::Datagram(datagram))
            }
        };
        Some((at, delivery))
    }

    /// Run number `boot` of the node of `host` listens.
    pub fn boot(&mut self, now: Instant, host: usize, boot: u64) {
        self.listeners.insert(host, Listener { boot, accepted: 0 });
        if self.paths.light(host) {
            self.resume(now);
        }
    }

    /// Ends one cut; what waited in streams moves again.
    pub fn mend(&mut self, now: Instant, from: usize, to: usize) {
        self.paths.mend(from, to);
        self.resume(now);
    }

    /// Ends all cuts; what waited in streams moves again.
    pub fn heal(&mut self, now: Instant) {
        self.paths.heal();
        self.resume(now);
    }

    /// Ends every fault that lasts; hosts stay where they are.
    pub fn calm(&mut self, now: Instant) {
        self.paths.calm();
        self.unhide();
        self.resume(now);
    }

    /// From here on nothing is lost by chance.
    pub fn lose_nothing(&mut self) {
        self.paths.lose_nothing();
    }

    /// Whether both directions between `a` and `b` work, and they speak a version in common.
    pub fn connected(&self, a: usize, b: usize) -> bool {
        !self.paths.blocked(a, b) && !self.paths.blocked(b, a) && self.understand(a, b)
    }

    /// How many different datagrams with frames came through to `host` so far, or will, if no way is cut
    /// meanwhile: of copies one counts, and none that is damaged.
    pub fn brought(&self, host: usize) -> u64 {
        self.brought.get(&host).copied().unwrap_or(0)
    }

    /// The node that `host` starts speaks `versions`.
    pub fn speaks(&mut self, host: usize, versions: Versions) {
        self.spoken.insert(host, versions);
    }

    /// Whether the nodes that `a` and `b` started last can speak with each other.
    fn understand(&self, a: usize, b: usize) -> bool {
        let spoken = |host: usize| self.spoken.get(&host).copied().unwrap_or_default();
        spoken(a).common(spoken(b)).is_some()
    }

    /// The node of `host` is gone. With `power`, its kernel too: the others hear nothing.
    pub fn crash(&mut self, now: Instant, host: usize, power: bool) {
        self.listeners.remove(&host);
        if power {
            self.paths.darken(host);
        }
        let all = (host, ConnId::dialed(0))..=(host, ConnId::accepted(u64::MAX >> 1));
        let gone: Vec<_> = self.conns.range(all).map(|(key, at)| (*key, *at)).collect();
        for (key, (id, end)) in gone {
            self.conns.remove(&key);
            self.desert(now, id, end, power);
        }
    }

    /// The other end of `conn` of `host`, whose node may run no more; `None` when nobody accepted it.
    pub fn other_end(&self, host: usize, conn: ConnId) -> Option<Endpoint> {
        let (id, end) = self.conns.get(&(host, conn))?;
        let other = &self.streams.get(id)?.ends[1 - *end];
        Some(Endpoint { host: other.host, boot: other.boot, conn: other.conn? })
    }

    /// Whether `conn` of `host` may still be named towards its node.
    pub fn knows(&self, host: usize, conn: ConnId) -> bool {
        self.conns.contains_key(&(host, conn))
    }
}
