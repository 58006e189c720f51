//! What a known peer costs in memory: the heap of a node and its forwarder that are told of many, by
//! one neighbour. `cargo test -p weft-core --test memory -- --nocapture` prints it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;
use weft_core::addr::Universe;
use weft_core::codec;
use weft_core::config::{Config, Versions};
use weft_core::forward::Forwarder;
use weft_core::handshake::{Channel, Handshake, Hello, Local, Step};
use weft_core::id::{ContainerId, Identity, Incarnation, PeerId};
use weft_core::io::{ConnId, Input, Outbox, Output};
use weft_core::ipam::{Part, Space};
use weft_core::mesh::Message;
use weft_core::names::{NameEntry, NamesRecord};
use weft_core::node::{Node, Seed};
use weft_core::record::{Key, Record, Version};
use weft_core::saved::Saved;
use weft_core::sleeve::{Kind, Probe, SessionIndex};
use weft_core::time::Now;
use weft_core::topology::PeerRecord;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The most that a known peer may take, with eight links, two addresses, a container that has a name, and a
/// hint how much free space it has.
const PEER_LEN_MAX: usize = 2_600;

#[test]
fn a_known_peer_takes_little_memory_however_many_there_are() {
    let mut most = 0;
    for count in [1_000, 10_000] {
        let mut one = Knowing::new();
        let before = in_use();
        one.hear_of(count);
        let each = (in_use() - before) / count;
        eprintln!("{count:6} known peers: {each} bytes of heap for each");
        most = most.max(each);
    }
    assert!(most <= PEER_LEN_MAX, "a known peer takes {most} bytes");
}

/// Bytes that are allocated and not freed.
fn in_use() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 6783);
const THERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 6783);
const CONN: ConnId = ConnId::accepted(1);
const LIFE: Incarnation = Incarnation(1);

/// Peers in one message.
const BATCH: usize = 50;

/// How far away, on a circle of all others, those are with whom a peer has links.
const STRIDES: [usize; 4] = [1, 7, 61, 433];

/// A node without a password that is linked with one other peer.
struct Knowing {
    node: Node,
    forwarder: Forwarder,
    now: Now,
    channel: Option<Channel>,
    session: SessionIndex,
    unread: Vec<u8>,
    is_writing: bool,
}

impl Knowing {
    fn new() -> Self {
        let config = Config { nickname: "host".to_owned(), ..Config::default() };
        let (mut out, now) = (Outbox::default(), Now::default());
        let forwarder_hops = config.hops_max;
        let node = Node::new(config, Saved::default(), Seed([7; 32]), now, &mut out).unwrap();
        let forwarder = Forwarder::new(node.name(), forwarder_hops);
        let mut one = Self {
            node,
            forwarder,
            now,
            channel: None,
            session: SessionIndex(0),
            unread: Vec::new(),
            is_writing: false,
        };
        one.carry_out(&mut out);
        one.link();
        one
    }

    /// The neighbour dials and shakes hands, and its data path is proven.
    fn link(&mut self) {
        let neighbour = identity(0);
        let hello = Hello {
            id: neighbour.id(),
            name: neighbour.id().default_name(),
            nickname: nickname(0),
            incarnation: LIFE,
            universe: Universe::DEFAULT,
            lineage: None,
            sleeve_port: THERE.port(),
            session: SessionIndex(1),
            session_key: [9; 32],
            seals: false,
        };
        let local = Local { identity: &neighbour, secrets: &[], versions: Versions::KNOWN, hello };
        let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::from_seed([5; 32]);
        let (dialer, first) = Handshake::initiate(local, &mut rng);
        self.input(Input::Opened { conn: CONN, local: HERE, remote: THERE });
        self.input(Input::Received { conn: CONN, bytes: first });
        let second = std::mem::take(&mut self.unread);
        let Ok((_, Step::Done { send, channel, hello })) = dialer.receive(&second) else {
            panic!("no link");
        };
        (self.channel, self.session) = (Some(channel), hello.session);
        self.input(Input::Received { conn: CONN, bytes: send });
        for (sequence, heard) in [(2, None), (3, Some(2))] {
            let SessionIndex(index) = self.session;
            let number = u64::from(heard.is_some()) + 1;
            let head = [&[Kind::Probe as u8][..], &index.to_be_bytes(), &number.to_be_bytes()];
            let bytes = [&head.concat()[..], &Probe { sequence, heard }.encode()].concat();
            self.input(Input::Datagram { from: THERE, bytes });
        }
    }

    /// Hears of `count` peers, the neighbour among them, and finds its ways to all.
    fn hear_of(&mut self, count: usize) {
        let ids: Vec<PeerId> = (0..count).map(|n| identity(n).id()).collect();
        let me = self.node.id();
        for first in (0..count).step_by(BATCH) {
            let batch = (first..count.min(first + BATCH)).flat_map(|n| records(n, &ids, me));
            let message = Message::Records(batch.collect()).encode();
            let channel = self.channel.as_mut().unwrap();
            let bytes = channel.seal(&message).unwrap();
            self.input(Input::Received { conn: CONN, bytes });
        }
        // Routes are calculated once for all news, and the dials that they want go nowhere.
        let end = self.now.mono + Duration::from_secs(3);
        while let Some(due) = self.node.deadline().filter(|due| due.at <= end) {
            self.now.mono = due.at;
            self.input(Input::Timeout);
        }
        let sizes = self.node.sizes();
        assert_eq!((sizes.peers, sizes.holders), (count + 1, count + 1));
        assert!(sizes.routes >= 2 * count && sizes.name_pages == count, "{sizes:?}");
    }

    fn input(&mut self, input: Input) {
        let mut out = Outbox::default();
        self.node.handle(self.now, input, &mut out);
        self.carry_out(&mut out);
        if std::mem::take(&mut self.is_writing) {
            self.input(Input::Written { conn: CONN });
        }
    }

    fn carry_out(&mut self, out: &mut Outbox) {
        for output in out.drain() {
            match output {
                Output::Write { bytes, .. } => (self.unread, self.is_writing) = (bytes, true),
                Output::Forwarding(change) => self.forwarder.apply(change),
                Output::Close { conn } => assert_ne!(conn, CONN, "the link has ended"),
                Output::Dial { .. }
                | Output::Datagram { .. }
                | Output::Persist(_)
                | Output::Reply { .. }
                | Output::Event(_) => {}
            }
        }
    }
}

fn identity(n: usize) -> Identity {
    let mut seed = [1; 32];
    seed.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
    Identity::from_seed(seed)
}

fn nickname(n: usize) -> String {
    format!("host-{n:05}")
}

/// What peer `n` of `ids` has said of itself; the first of them is `me`'s neighbour.
fn records(n: usize, ids: &[PeerId], me: PeerId) -> Vec<Record> {
    let identity = identity(n);
    let others = STRIDES.map(|stride| stride % ids.len());
    let mut links: Vec<PeerId> = others
        .into_iter()
        .flat_map(|stride| [n + stride, n + ids.len() - stride])
        .map(|other| ids[other % ids.len()])
        .chain((n == 0).then_some(me))
        .filter(|peer| *peer != identity.id())
        .collect();
    links.sort();
    links.dedup();
    let number = u16::try_from(n).unwrap().to_be_bytes();
    let address = |net| SocketAddr::from(([net, 1, number[0], number[1]], 6783));
    let peer = PeerRecord {
        name: identity.id().default_name(),
        nickname: nickname(n),
        incarnation: LIFE,
        links,
        addresses: vec![address(10), address(192)],
        part: Part::FULL,
        run: NonZeroU32::MAX,
        rival: Some(NonZeroU32::MAX),
    };
    let entry = NameEntry {
        name: format!("web-{n}.weft.local").parse().unwrap(),
        value: address(10).ip().into(),
        id: format!("{n:064x}").parse::<ContainerId>().unwrap(),
    };
    let names = NamesRecord { entries: [entry].into() };
    let bodies = [
        (Key::Peer(identity.id()), codec::encode(&peer)),
        (Key::Names(identity.id(), 0), codec::encode(&names)),
        (Key::Space(identity.id()), codec::encode(&Space { free_log2: [12, 0] })),
    ];
    let version = |sequence| Version { incarnation: LIFE, sequence };
    let sign = |(sequence, (key, body))| Record::sign(&identity, key, version(sequence), body);
    (1..).zip(bodies).map(sign).collect()
}
