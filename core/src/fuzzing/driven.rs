//! A real node, driven by bytes: the world around it says and does what they choose, within the
//! contract; the node is held to its part of it after each call.

use super::parties::{identity, local, rng};
use crate::codec;
use crate::config::{Config, FoundingMode};
use crate::contract::Contract;
use crate::handshake::{Channel, Handshake, Step};
use crate::id::{Identity, Incarnation};
use crate::io::Target;
use crate::io::{CloseReason, Command, ConnId, DialFailure, Input, Outbox, Output, RequestId};
use crate::ipam::Part;
use crate::mesh::{Message, Unicast, UnicastBody};
use crate::node::{Node, Seed};
use crate::record::{Fingerprint, Key, Record, Version};
use crate::saved::{Saved, Slot, labelled};
use crate::sleeve::{Kind, Probe, SessionIndex};
use crate::time::Now;
use crate::topology::PeerRecord;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};
use core::num::NonZeroU32;
use core::time::Duration;

/// Where the node listens, and where others seem to be.
const HERE: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 6783);
const THERE: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 6783);
/// Longest run of steps: a shorter one is easier to understand.
const STEPS_MAX: usize = 200;

/// What happens next. In postcard, so that what the fuzzer learns of one step it uses in others.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Act {
    /// Time passes, in hundredths of a second, at most until the deadline.
    Wait(u16),
    /// A stream is accepted.
    Accept,
    /// A dial comes to something, or to nothing.
    Dialed { which: u8, well: bool },
    /// Bytes of a stream.
    Receive { which: u8, bytes: Vec<u8> },
    /// The outstanding write has left.
    Written { which: u8 },
    /// A stream breaks.
    Break { which: u8 },
    /// A probe, or what looks like one.
    Datagram(Vec<u8>),
    /// Somebody wants something.
    Ask(Command),
    /// A peer dials the node and shakes hands.
    Link { peer: u8 },
    /// A linked peer says a message, or what looks like one.
    Say { which: u8, bytes: Vec<u8> },
    /// A linked peer hands on a record that `writer` signed.
    Tell { which: u8, writer: u8, kind: u8, version: Version, body: Vec<u8> },
    /// A linked peer sends a sound probe: its data path may come to be proven.
    Probe { which: u8, probe: Probe },
    /// A linked peer says of itself that it has links with the node and with another peer, which says
    /// so too.
    Meet { which: u8, beyond: u8 },
    /// The forwarder exchanges frames with a peer.
    Want { peer: u8 },
    /// A linked peer hands on what `from` says to the node.
    Relay { which: u8, from: u8, body: UnicastBody },
}

/// `bytes` as what happens around a node.
pub fn node_inputs(bytes: &[u8]) {
    let mut world = World::new();
    let mut left = bytes;
    for _ in 0..STEPS_MAX {
        let Ok((act, rest)) = postcard::take_from_bytes(left) else { break };
        left = rest;
        world.step(act);
    }
    world.input(Input::Command { request: RequestId(world.asked), command: Command::Stop });
    assert_eq!(world.contract.unanswered(), 0, "a command was never answered");
    while let Some(due) = world.node.deadline() {
        world.now.mono = due.at;
        world.input(Input::Timeout);
    }
}

struct World {
    node: Node,
    now: Now,
    contract: Contract,
    dialing: BTreeSet<ConnId>,
    /// Open, each with what was written and not said to have left.
    open: BTreeMap<ConnId, Option<Vec<u8>>>,
    links: BTreeMap<ConnId, Linked>,
    probes: u64,
    accepted: u64,
    asked: u64,
}

/// A peer that shook hands.
struct Linked {
    seed: u8,
    channel: Channel,
    /// The node's index of the data session.
    session: SessionIndex,
}

impl World {
    fn new() -> Self {
        let config = Config {
            nickname: "host".to_string(),
            founding: FoundingMode::Consensus { peers: Some(2) },
            targets: [Target { host: THERE.ip().to_string(), port: THERE.port() }].to_vec(),
            conns_max: 3,
            records_max: 8,
            ..Config::default()
        };
        let (mut out, now) = (Outbox::default(), Now::default());
        let saved = Saved::default();
        let Ok(node) = Node::new(config, saved, Seed([3; 32]), now, &mut out) else {
            unreachable!("nothing was saved, and the settings are sound");
        };
        let mut world = Self {
            node,
            now,
            contract: Contract::default(),
            dialing: BTreeSet::new(),
            open: BTreeMap::new(),
            links: BTreeMap::new(),
            probes: 0,
            accepted: 0,
            asked: 0,
        };
        world.rest(&mut out);
        world
    }

    fn step(&mut self, act: Act) {
        match act {
            Act::Wait(hundredths) => {
                let due = self.node.deadline().map(|deadline| deadline.at);
                let to = self.now.mono + Duration::from_millis(u64::from(hundredths) * 10);
                self.now.mono = due.map_or(to, |due| due.min(to));
                self.input(Input::Timeout);
            }
            Act::Accept => {
                self.accept();
            }
            Act::Dialed { which, well } => {
                let Some(conn) = pick(self.dialing.iter(), which) else { return };
                self.dialing.remove(&conn);
                if well {
                    self.open.insert(conn, None);
                    self.input(Input::Opened { conn, local: HERE, remote: THERE });
                } else {
                    let why = DialFailure::Connect(String::from("refused"));
                    self.input(Input::DialFailed { conn, why });
                }
            }
            Act::Receive { which, bytes } => {
                if let Some(conn) = pick(self.open.keys(), which) {
                    self.receive(conn, bytes);
                }
            }
            Act::Written { which } => {
                if let Some(conn) = pick(self.open.keys(), which) {
                    self.written(conn);
                }
            }
            Act::Break { which } => {
                let Some(conn) = pick(self.open.keys(), which) else { return };
                self.forget(conn);
                self.input(Input::Closed { conn, why: CloseReason::Ended });
            }
            Act::Datagram(bytes) => self.input(Input::Datagram { from: THERE, bytes }),
            Act::Ask(command) => {
                self.input(Input::Command { request: RequestId(self.asked), command });
            }
            Act::Link { peer } => self.link(peer),
            Act::Say { which, bytes } => self.say(which, &bytes),
            Act::Tell { which, writer, kind, version, body } => {
                let record = signed(&identity(writer), kind, version, body);
                self.say(which, &Message::Records([record].to_vec()).encode());
            }
            Act::Probe { which, probe } => self.probe(which, probe),
            Act::Meet { which, beyond } => self.meet(which, beyond),
            Act::Want { peer } => {
                self.input(Input::Wanted { peer: identity(peer).id().default_name() });
            }
            Act::Relay { which, from, body } => {
                let unicast = Unicast::sign(&identity(from), self.node.id(), 9, body);
                self.say(which, &Message::Unicast(unicast).encode());
            }
        }
    }

    /// In the clear, as in a mesh without a secret.
    fn probe(&mut self, which: u8, probe: Probe) {
        let Some(conn) = pick(self.links.keys(), which) else { return };
        let Some(SessionIndex(index)) = self.links.get(&conn).map(|link| link.session) else {
            return;
        };
        self.probes += 1;
        let header = [&[Kind::Probe as u8][..], &index.to_be_bytes(), &self.probes.to_be_bytes()];
        let bytes = [&header.concat()[..], &probe.encode()].concat();
        self.input(Input::Datagram { from: THERE, bytes });
    }

    fn meet(&mut self, which: u8, beyond: u8) {
        let Some(conn) = pick(self.links.keys(), which) else { return };
        let Some(seed) = self.links.get(&conn).map(|link| link.seed) else { return };
        let (peer, other) = (identity(seed), identity(beyond));
        let says = |who: &Identity, links: BTreeSet<_>| {
            let body = PeerRecord {
                name: who.id().default_name(),
                nickname: "host".to_string(),
                incarnation: Incarnation(1),
                links: links.into_iter().collect(),
                addresses: [THERE].into(),
                part: Part::FULL,
                run: NonZeroU32::MIN,
                rival: None,
            };
            let version = Version { incarnation: Incarnation(1), sequence: self.probes };
            signed(who, 3, version, codec::encode(&body))
        };
        let both =
            [says(&peer, [self.node.id(), other.id()].into()), says(&other, [peer.id()].into())];
        self.say(which, &Message::Records(both.to_vec()).encode());
    }

    fn accept(&mut self) -> ConnId {
        self.accepted += 1;
        let conn = ConnId::accepted(self.accepted);
        self.open.insert(conn, None);
        self.input(Input::Opened { conn, local: HERE, remote: THERE });
        conn
    }

    /// As a peer that keeps all rules: up to a link, unless the node does not want it.
    fn link(&mut self, seed: u8) {
        let peer = identity(seed);
        let (dialer, first) = Handshake::initiate(local(&peer, None), &mut rng(7));
        let conn = self.accept();
        self.receive(conn, first);
        let Some(second) = self.written(conn) else { return };
        if let Ok((_, Step::Done { send, channel, hello })) = dialer.receive(&second) {
            self.receive(conn, send);
            if self.open.contains_key(&conn) {
                let session = hello.session;
                self.links.insert(conn, Linked { seed, channel, session });
            }
        }
    }

    fn say(&mut self, which: u8, message: &[u8]) {
        let Some(conn) = pick(self.links.keys(), which) else { return };
        let sealed = self.links.get_mut(&conn).map(|link| link.channel.seal(message));
        if let Some(Ok(sealed)) = sealed {
            self.receive(conn, sealed);
        }
    }

    fn receive(&mut self, conn: ConnId, bytes: Vec<u8>) {
        if !bytes.is_empty() && self.open.contains_key(&conn) {
            self.input(Input::Received { conn, bytes });
        }
    }

    /// Returns what was written.
    fn written(&mut self, conn: ConnId) -> Option<Vec<u8>> {
        let bytes = self.open.get_mut(&conn)?.take()?;
        self.input(Input::Written { conn });
        Some(bytes)
    }

    fn forget(&mut self, conn: ConnId) {
        self.dialing.remove(&conn);
        self.open.remove(&conn);
        self.links.remove(&conn);
    }

    fn input(&mut self, input: Input) {
        self.asked += u64::from(matches!(input, Input::Command { .. }));
        assert_eq!(self.contract.input(&input), Ok(()), "by the world itself");
        let mut out = Outbox::default();
        self.node.handle(self.now, input, &mut out);
        self.rest(&mut out);
    }

    /// Judges what a call wants and what it leaves.
    fn rest(&mut self, out: &mut Outbox) {
        for (index, output) in out.drain().enumerate() {
            assert_eq!(self.contract.output(&output), Ok(()));
            match output {
                Output::Persist(_) => assert_eq!(index, 0, "what must be durable goes first"),
                Output::Dial { conn, .. } => {
                    self.dialing.insert(conn);
                }
                Output::Write { conn, bytes } => {
                    self.open.insert(conn, Some(bytes));
                }
                Output::Close { conn } => self.forget(conn),
                Output::Datagram { .. }
                | Output::Forwarding(_)
                | Output::Reply { .. }
                | Output::Event(_) => {}
            }
        }
        assert_eq!(self.contract.rest(self.now.mono, self.node.deadline()), Ok(()));
        assert_eq!(self.node.ipam().check(), Ok(()));
    }
}

fn pick<'a>(mut from: impl ExactSizeIterator<Item = &'a ConnId>, which: u8) -> Option<ConnId> {
    let count = from.len().max(1);
    from.nth(usize::from(which) % count).copied()
}

/// A record under a key that `writer` may write.
pub(super) fn signed(writer: &Identity, kind: u8, version: Version, body: Vec<u8>) -> Record {
    let (key, version) = match kind % 7 {
        0 => (Key::Founding(Fingerprint::of(&body)), Version::default()),
        1 => (Key::Grant(Fingerprint::by(&writer.id(), &body)), Version::default()),
        2 => (Key::Voter(writer.id()), version),
        3 => (Key::Peer(writer.id()), version),
        4 => (Key::Names(writer.id(), 0), version),
        5 => (Key::Space(writer.id()), version),
        _ => (Key::Freeze(writer.id()), version),
    };
    Record::sign(writer, key, version, body)
}

/// `bytes` as what is on the disk, and what is not a record there as the body of one that was
/// accepted from a peer: a node starts or says why not, and starts again from what it wrote.
pub fn saved(bytes: &[u8]) {
    let mut saved = Saved::default();
    let mut left = bytes;
    while let Ok((value, rest)) = postcard::take_from_bytes::<(Slot, Vec<u8>)>(left) {
        let (slot, bytes) = signed_slot(value.0, value.1);
        let bytes = labelled(&slot, &bytes);
        saved.slots.insert(slot, bytes);
        left = rest;
    }
    let config = Config { nickname: "host".to_string(), resume: true, ..Config::default() };
    let mut now = Now::default();
    for start in 0..2 {
        let mut out = Outbox::default();
        let node = Node::new(config.clone(), saved.clone(), Seed([3; 32]), now, &mut out);
        let Ok(mut node) = node else {
            assert_eq!(start, 0, "what a node wrote itself is damaged: {:?}", node.err());
            return;
        };
        let mut input = Input::Command { request: RequestId(0), command: Command::Prime };
        for _ in 0..20 {
            node.handle(now, input, &mut out);
            assert_eq!(node.ipam().check(), Ok(()));
            let Some(due) = node.deadline() else { break };
            assert!(due.at > now.mono, "left due: {due:?}");
            now.mono = due.at;
            input = Input::Timeout;
        }
        for output in out.drain() {
            if let Output::Persist(changes) = output {
                changes.into_iter().for_each(|change| saved.apply(change));
            }
        }
    }
}

fn signed_slot(slot: Slot, bytes: Vec<u8>) -> (Slot, Vec<u8>) {
    let kind = match slot {
        Slot::Record(Key::Founding(_)) => 0,
        Slot::Record(Key::Grant(_)) => 1,
        Slot::Record(Key::Voter(_)) => 2,
        Slot::Record(Key::Peer(_)) => 3,
        Slot::Record(Key::Names(..)) => 4,
        Slot::Record(Key::Space(_)) => 5,
        Slot::Record(Key::Freeze(_)) => 6,
        Slot::Identity
        | Slot::Incarnation
        | Slot::Network
        | Slot::Holding(_)
        | Slot::Names(_)
        | Slot::Targets
        | Slot::Neighbours
        | Slot::Resting
        | Slot::Met => return (slot, bytes),
    };
    if codec::decode::<Record>(&bytes).is_ok() {
        return (slot, bytes);
    }
    let record = signed(&identity(1), kind, Version::default(), bytes);
    (Slot::Record(record.key), codec::encode(&record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::{Half, SessionMessage};

    /// What leads to a session with peer 2, behind peer 1.
    fn to_a_session() -> Vec<Act> {
        let probe = |sequence, heard| Act::Probe { which: 0, probe: Probe { sequence, heard } };
        let half = Half { session: SessionIndex(7), key: [8; 32], seals: false, number: 1 };
        let (life, to) = (Incarnation(1), Incarnation(1));
        let offer = UnicastBody::Session(SessionMessage::Offer { half, life, to });
        let wait = || Act::Wait(20);
        Vec::from([
            Act::Link { peer: 1 },
            probe(2, None),
            probe(3, Some(2)),
            Act::Meet { which: 0, beyond: 2 },
            wait(),
            wait(),
            Act::Want { peer: 2 },
            Act::Relay { which: 0, from: 2, body: offer },
        ])
    }

    #[test]
    fn the_world_can_bring_a_node_to_a_session_on_demand() {
        let mut world = World::new();
        let mut bytes = Vec::new();
        for act in to_a_session() {
            bytes.extend(codec::encode(&act));
            world.step(act);
        }
        assert_eq!(world.node.sizes().directs, 1, "{:?}", world.node.sizes());
        assert_eq!(world.node.sizes().sessions_under_way, 1);
        node_inputs(&bytes);
    }
}
