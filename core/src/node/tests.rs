//! Stories: a few nodes joined by streams and datagrams that arrive at once.

mod freezes;
mod ghosts;
mod renewals;
mod sessions;
mod trust;

use super::*;
use crate::addr::Offset;
use crate::config::FoundingMode;
use crate::event::Event;
use crate::id::PeerLabel;
use crate::io::{CloseReason, Command, DialFailure, Reply, RequestId};
use crate::mesh::ConnFault;
use crate::status::ConnState;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use core::net::SocketAddr;
use core::time::Duration;
use ipnet::IpNet;
use proptest::prelude::*;
use std::format;

/// One node and its world: disk, clock, replies, events.
struct Host {
    node: Node,
    saved: Saved,
    accepted: u64,
    events: Vec<Event>,
    replies: Vec<Result<Reply, CommandError>>,
    routes: Routes,
    /// Which session frames for a peer take, in place of the routes.
    direct: BTreeMap<PeerName, SessionIndex>,
    /// Sessions that the forwarder knows, each with whether a link brought it.
    sessions: BTreeMap<SessionIndex, bool>,
}

/// Hosts, streams between them, and what is on its way.
struct World {
    hosts: Vec<Option<Host>>,
    /// Each end of a stream with the other one.
    streams: BTreeMap<(usize, ConnId), (usize, ConnId)>,
    /// Pairs of hosts that cannot reach each other.
    cut: BTreeSet<(usize, usize)>,
    /// Pairs of hosts between which datagrams are lost.
    deaf: BTreeSet<(usize, usize)>,
    queue: VecDeque<(usize, Input)>,
    now: Instant,
    config: fn(usize) -> Config,
}

fn address(host: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(host).unwrap() + 1], 6783))
}

fn target(host: usize) -> Target {
    Target { host: address(host).ip().to_string(), port: 6783 }
}

fn config(host: usize) -> Config {
    Config {
        nickname: format!("n{host}"),
        founding: FoundingMode::Consensus { peers: Some(2) },
        targets: (0..host).map(target).collect(),
        secret: Some(NetworkSecret::Password([5; 32])),
        ..Config::default()
    }
}

impl Host {
    /// As a forwarder takes it in.
    fn forward(&mut self, change: ForwardingChange) {
        match change {
            ForwardingChange::SessionUp { session, is_link, .. } => {
                self.sessions.insert(session, is_link);
            }
            ForwardingChange::SessionMoved { session, .. } => {
                assert!(self.sessions.contains_key(&session), "a session that is not there moves");
            }
            ForwardingChange::SessionDown { session } => {
                assert!(self.sessions.remove(&session).is_some(), "it was not there");
                assert!(self.direct.values().all(|used| *used != session), "it is in use");
            }
            ForwardingChange::Routes(routes) => self.routes = routes,
            ForwardingChange::Direct { peer, session: Some(session) } => {
                assert!(self.sessions.contains_key(&session), "it is not there");
                self.direct.insert(peer, session);
            }
            ForwardingChange::Direct { peer, session: None } => {
                assert!(self.direct.remove(&peer).is_some(), "there was none");
            }
        }
    }
}

impl World {
    /// `count` hosts that are set up by `config`.
    fn new(count: usize, config: fn(usize) -> Config) -> Self {
        let mut world = Self {
            hosts: (0..count).map(|_| None).collect(),
            streams: BTreeMap::new(),
            cut: BTreeSet::new(),
            deaf: BTreeSet::new(),
            queue: VecDeque::new(),
            now: Instant::ZERO,
            config,
        };
        for host in 0..count {
            world.start(host, Saved::default());
        }
        world
    }

    fn start(&mut self, host: usize, saved: Saved) {
        let mut out = Outbox::default();
        let mut seed = [u8::try_from(host).unwrap(); 32];
        seed[1..9].copy_from_slice(&self.now.as_nanos().to_be_bytes());
        let node =
            Node::new((self.config)(host), saved.clone(), Seed(seed), self.clock(), &mut out);
        let node = node.unwrap();
        self.hosts[host] = Some(Host {
            node,
            saved,
            accepted: 0,
            events: Vec::new(),
            replies: Vec::new(),
            routes: Routes::default(),
            direct: BTreeMap::new(),
            sessions: BTreeMap::new(),
        });
        self.carry_out(host, out);
    }

    /// Kills a host; its streams break. Returns its disk.
    fn kill(&mut self, host: usize) -> Saved {
        let saved = self.hosts[host].take().unwrap().saved;
        let ends: Vec<ConnId> =
            self.streams.keys().filter(|end| end.0 == host).map(|end| end.1).collect();
        for conn in ends {
            self.close(host, conn, CloseReason::Lost(String::from("reset")));
        }
        saved
    }

    /// Ends one end of a stream; the other one is told after what was written before.
    fn close(&mut self, host: usize, conn: ConnId, why: CloseReason) {
        if let Some(other) = self.streams.remove(&(host, conn))
            && self.streams.contains_key(&other)
        {
            self.queue.push_back((other.0, Input::Closed { conn: other.1, why }));
        }
    }

    fn clock(&self) -> Now {
        Now { mono: self.now, ..Now::default() }
    }

    fn node(&self, host: usize) -> &Node {
        &self.hosts[host].as_ref().unwrap().node
    }

    fn input(&mut self, host: usize, input: Input) {
        let now = self.clock();
        let Some(at) = &mut self.hosts[host] else { return };
        let mut out = Outbox::default();
        at.node.handle(now, input, &mut out);
        let deadline = at.node.deadline();
        assert!(deadline.is_none_or(|due| due.at > now.mono), "left due: {deadline:?}");
        self.carry_out(host, out);
    }

    fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cut.contains(&(one.min(other), one.max(other))) || self.hosts[other].is_none()
    }

    fn carry_out(&mut self, host: usize, mut out: Outbox) {
        for (index, output) in out.drain().enumerate() {
            match output {
                Output::Persist(changes) => {
                    assert_eq!(index, 0, "what must be durable goes first");
                    let saved = &mut self.hosts[host].as_mut().unwrap().saved;
                    changes.into_iter().for_each(|change| saved.apply(change));
                }
                Output::Dial { conn, target } => {
                    let other = (0..self.hosts.len())
                        .find(|other| address(*other).ip().to_string() == target.host)
                        .filter(|other| !self.is_cut(host, *other));
                    let Some(other) = other else {
                        let why = DialFailure::Connect(String::from("refused"));
                        self.queue.push_back((host, Input::DialFailed { conn, why }));
                        continue;
                    };
                    let there = self.hosts[other].as_mut().unwrap();
                    there.accepted += 1;
                    let end = ConnId::accepted(there.accepted);
                    self.streams.insert((host, conn), (other, end));
                    self.streams.insert((other, end), (host, conn));
                    let mut from = address(host);
                    from.set_port(40_000);
                    let (local, remote) = (from, address(other));
                    self.queue.push_back((host, Input::Opened { conn, local, remote }));
                    let (local, remote) = (remote, local);
                    self.queue.push_back((other, Input::Opened { conn: end, local, remote }));
                }
                Output::Write { conn, bytes } => {
                    assert!(!bytes.is_empty());
                    self.queue.push_back((host, Input::Written { conn }));
                    if let Some((other, end)) = self.streams.get(&(host, conn)).copied()
                        && !self.is_cut(host, other)
                    {
                        self.queue.push_back((other, Input::Received { conn: end, bytes }));
                    }
                }
                Output::Close { conn } => {
                    self.close(host, conn, CloseReason::Ended);
                }
                Output::Datagram { to, bytes } => {
                    let other = (0..self.hosts.len()).find(|other| address(*other) == to);
                    let is_deaf =
                        |other: &usize| self.deaf.contains(&(host.min(*other), host.max(*other)));
                    let other = other.filter(|other| !is_deaf(other));
                    if let Some(other) = other.filter(|other| !self.is_cut(host, *other)) {
                        let from = address(host);
                        self.queue.push_back((other, Input::Datagram { from, bytes }));
                    }
                }
                Output::Forwarding(change) => {
                    self.hosts[host].as_mut().unwrap().forward(change);
                }
                Output::Reply { result, .. } => {
                    self.hosts[host].as_mut().unwrap().replies.push(result);
                }
                Output::Event(event) => {
                    self.hosts[host].as_mut().unwrap().events.push(event);
                }
            }
        }
    }

    /// Lets `length` pass.
    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        loop {
            while let Some((host, input)) = self.queue.pop_front() {
                // A stream that one end closed is not named again there.
                let is_stale = match &input {
                    Input::Received { conn, .. } | Input::Written { conn } => {
                        !self.streams.contains_key(&(host, *conn))
                    }
                    Input::Closed { conn, .. } => self.streams.remove(&(host, *conn)).is_none(),
                    Input::Timeout
                    | Input::Opened { .. }
                    | Input::DialFailed { .. }
                    | Input::Datagram { .. }
                    | Input::Wanted { .. }
                    | Input::Command { .. } => false,
                };
                if !is_stale {
                    self.input(host, input);
                }
            }
            let next = (0..self.hosts.len())
                .filter_map(|host| Some((self.hosts[host].as_ref()?.node.deadline()?.at, host)))
                .min();
            match next {
                Some((at, host)) if at <= end => {
                    self.now = self.now.max(at);
                    self.input(host, Input::Timeout);
                }
                Some(_) | None => break,
            }
        }
        self.now = end;
    }

    fn command(&mut self, host: usize, command: Command) -> Result<Reply, CommandError> {
        let replies = self.hosts[host].as_ref().unwrap().replies.len();
        self.input(host, Input::Command { request: RequestId(0), command });
        self.run(Duration::from_secs(3));
        let host = self.hosts[host].as_ref().unwrap();
        assert_eq!(host.replies.len(), replies + 1, "one reply for one command");
        host.replies.last().unwrap().clone()
    }

    /// Numbers of the hosts that `host` reaches.
    fn reached(&self, host: usize) -> Vec<usize> {
        let reached = |other: &usize| {
            let id = self.hosts[*other].as_ref().map(|other| other.node.id());
            *other != host && id.is_some_and(|id| self.node(host).topology.is_reachable(id))
        };
        (0..self.hosts.len()).filter(reached).collect()
    }

    fn faults(&self, host: usize) -> Vec<ConnFault> {
        let events = self.hosts[host].as_ref().unwrap().events.iter();
        let faults = events.filter_map(|event| {
            if let Event::ConnDown { why, .. } = event { Some(why.clone()) } else { None }
        });
        faults.collect()
    }

    fn assert_same_view(&self) {
        for host in 0..self.hosts.len() {
            let others: Vec<usize> = (0..self.hosts.len()).filter(|o| *o != host).collect();
            assert_eq!(self.reached(host), others, "from host {host}");
            let views = [self.node(host), self.node(0)];
            assert!(views[0].peers().eq(views[1].peers()), "hosts {host} and 0 differ");
            assert_eq!(views[0].names(), views[1].names());
            assert!(views[0].records().iter().eq(views[1].records().iter()));
        }
    }
}

fn allocate(id: &str) -> Command {
    Command::Allocate { id: id.parse().unwrap(), subnet: None }
}

fn register(name: &str) -> Command {
    let value = crate::names::NameValue::V4([10, 32, 0, 1].into());
    Command::Register { id: "c1".parse().unwrap(), name: name.parse().unwrap(), value }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn three_peers_link_and_agree_and_share_addresses_and_names() {
    let mut world = World::new(3, config);
    world.run(SECOND * 3);
    world.assert_same_view();
    assert_eq!(world.node(0).neighbours.len(), 2);
    let mut given = BTreeSet::new();
    for host in 0..3 {
        for id in ["a", "b"] {
            let Ok(Reply::Addresses(addresses)) = world.command(host, allocate(id)) else {
                panic!("no address on host {host}");
            };
            assert!(given.insert(addresses), "given twice");
        }
    }
    assert_eq!(world.command(1, register("web.weft.local")), Ok(Reply::Done));
    world.run(SECOND);
    world.assert_same_view();
    assert_eq!(world.node(2).names().len(), 1);
    assert_eq!(world.hosts[0].as_ref().unwrap().routes.unicast.len(), 2);
}

#[test]
fn the_ends_of_a_line_reach_each_other_through_the_middle() {
    let line = |host| Config {
        targets: host_before(host),
        discovery: false,
        founding: FoundingMode::Consensus { peers: Some(3) },
        ..config(host)
    };
    let mut world = World::new(3, line);
    world.run(SECOND * 3);
    world.assert_same_view();
    assert_eq!(world.node(0).neighbours.len(), 1);
    for host in 0..3 {
        assert!(world.command(host, allocate("a")).is_ok(), "host {host}");
    }
    let names = [0, 1, 2].map(|host| world.node(host).name());
    let routes = &world.hosts[0].as_ref().unwrap().routes;
    assert_eq!(routes.unicast[&names[1]], routes.unicast[&names[2]]);
    assert_eq!(world.hosts[1].as_ref().unwrap().routes.broadcast[&names[0]].len(), 1);
}

fn host_before(host: usize) -> Vec<Target> {
    host.checked_sub(1).map(target).into_iter().collect()
}

#[test]
fn peers_that_only_heard_of_each_other_link_too() {
    let line = |host| Config { targets: host_before(host), ..config(host) };
    let mut world = World::new(4, line);
    world.run(SECOND * 10);
    world.assert_same_view();
    for host in 0..4 {
        assert_eq!(world.node(host).neighbours.len(), 3, "host {host}");
    }
}

#[test]
fn crossed_dials_leave_one_link() {
    let both = |host| Config { targets: [target(0), target(1)].to_vec(), ..config(host) };
    let mut world = World::new(2, both);
    world.run(SECOND * 10);
    world.assert_same_view();
    assert_eq!(world.streams.len(), 2);
}

#[test]
fn a_peer_that_restarts_is_back_with_its_names_and_the_old_link_is_gone() {
    let mut world = World::new(2, config);
    world.run(SECOND * 3);
    assert_eq!(world.command(1, register("web.weft.local")), Ok(Reply::Done));
    let given = world.command(1, allocate("a")).unwrap();
    let saved = world.kill(1);
    world.run(SECOND);
    assert_eq!(world.reached(0), []);
    assert!(world.node(0).names().is_empty());
    world.start(1, saved);
    world.run(SECOND * 3);
    world.assert_same_view();
    assert_eq!(world.node(0).names().len(), 1);
    assert_eq!(world.command(1, allocate("a")), Ok(given));
}

#[test]
fn a_refusal_names_a_peer_as_its_operator_does_and_one_of_which_nothing_was_heard_by_its_id() {
    fn chosen(host: usize) -> PeerName {
        PeerName([2, 0, 0, 0, 0, u8::try_from(host).unwrap()])
    }
    let named = |host| Config { name: Some(chosen(host)), ..config(host) };
    let mut world = World::new(2, named);
    world.run(SECOND * 3);
    assert_eq!(world.command(0, Command::Prime), Ok(Reply::Done));
    let id = world.node(1).id();
    let label = PeerLabel { id, name: chosen(1), nickname: "n1".to_string() };
    let evict = Command::Evict { peers: [id].into(), force: false, wait: false };
    assert_eq!(world.command(0, evict), Err(CommandError::StillInReach { peer: label.clone() }));
    let theirs = world.node(0).ipam().ledger().unwrap().owned_by(id)[0];
    let address = world.node(0).config.universe.address(Offset(theirs.start.0 + 1));
    let claim = |id: &str| {
        let address = IpNet::new(address, 12).unwrap();
        Command::Claim { id: id.parse().unwrap(), address }
    };
    let away = |owner| {
        let why = "is not reachable: start that peer".to_string();
        Err(CommandError::OwnerSilent { address, owner, why })
    };
    world.kill(1);
    world.run(SECOND);
    assert_eq!(world.command(0, claim("a")), away(label));
    // What a peer says of itself is not kept over a restart, but what it owns is.
    let saved = world.kill(0);
    world.start(0, saved);
    assert_eq!(world.command(0, Command::OpenGate), Ok(Reply::Done));
    assert_eq!(world.command(0, claim("a")), away(PeerLabel::unheard(id)));
}

#[test]
fn a_disk_that_was_put_back_starts_over_beyond_its_later_lives() {
    let mut world = World::new(2, config);
    world.run(SECOND * 3);
    let old = world.kill(1);
    for _ in 0..3 {
        let last = world.hosts[1].take().map_or_else(|| old.clone(), |host| host.saved);
        world.start(1, last);
        world.run(SECOND * 3);
        let last = world.kill(1);
        world.run(SECOND);
        world.start(1, last);
        world.run(SECOND * 3);
    }
    world.kill(1);
    world.run(SECOND);
    world.start(1, old);
    world.run(SECOND * 15);
    world.assert_same_view();
}

#[test]
fn a_lone_change_is_told_at_once_and_those_that_follow_it_go_together() {
    let mut world = World::new(2, config);
    world.run(SECOND * 3);
    for name in ["a", "b", "c"] {
        let command = register(&format!("{name}.weft.local"));
        world.input(0, Input::Command { request: RequestId(0), command });
        world.run(Duration::ZERO);
        assert_eq!(world.node(1).names().len(), 1, "after {name}");
    }
    world.run(Duration::from_millis(10));
    assert_eq!(world.node(1).names().len(), 3);
}

#[test]
fn what_a_neighbour_has_sent_is_not_sent_back_to_it() {
    let mut world = World::new(2, config);
    world.run(SECOND * 3);
    let now = world.now;
    let node = &mut world.hosts[0].as_mut().unwrap().node;
    node.publish_names();
    let record = node.records.get(&Key::Names(node.me, 0)).unwrap().clone();
    let (peer, conn) =
        node.neighbours.first_key_value().map(|(peer, conn)| (*peer, *conn)).unwrap();
    let waits = |node: &Node| node.conns[&conn].link().unwrap().news.len() == 1;
    assert!(waits(node));
    node.accept_all(now, (conn, peer), std::vec![record.clone()], &mut Outbox::default());
    assert!(!waits(node));
}

#[test]
fn links_at_rest_share_their_wake_ups() {
    let mut world = World::new(6, config);
    world.run(SECOND * 60);
    let node = world.node(0);
    let links = || node.conns.values().filter_map(Conn::link);
    let probes: BTreeSet<Instant> = links().map(|link| link.path.deadline()).collect();
    let beats: BTreeSet<Instant> = links().map(|link| link.beat_at).collect();
    assert!(links().count() == 5 && probes.len() == 1 && beats.len() == 1, "{probes:?} {beats:?}");
}

#[test]
fn a_peer_tells_of_its_addresses_with_its_first_link() {
    let mut world = World::new(2, config);
    world.run(Duration::from_millis(50));
    let node = world.node(0);
    let own = node.topology.get(node.me).unwrap();
    assert!(own.links.len() == 1 && own.addresses.len() == 1, "{own:?}");
    assert_eq!(node.records.get(&Key::Peer(node.me)).unwrap().version.sequence, 3);
}

#[test]
fn a_partition_is_noticed_and_heals() {
    let mut world = World::new(2, config);
    world.run(SECOND * 3);
    world.cut.insert((0, 1));
    world.run(SECOND * 15);
    assert_eq!((world.reached(0), world.reached(1)), (Vec::new(), Vec::new()));
    world.cut.clear();
    world.run(SECOND * 60);
    world.assert_same_view();
}

#[test]
fn a_peer_that_takes_our_name_by_gossip_changes_none_of_our_routes() {
    for (victim, liar) in [(0, 1), (1, 0)] {
        let mut world = World::new(2, config);
        world.run(SECOND * 3);
        let name = world.node(victim).name;
        let before = world.hosts[victim].as_ref().unwrap().routes.broadcast[&name].clone();
        assert_eq!(before.len(), 1);
        let there = &mut world.hosts[liar].as_mut().unwrap().node;
        there.name = name;
        there.turn.links_changed = true;
        world.input(liar, Input::Timeout);
        world.run(SECOND);
        assert!(world.node(victim).peers().all(|(_, record)| record.name == name));
        let after = &world.hosts[victim].as_ref().unwrap().routes;
        assert!(after.unicast.is_empty(), "{after:?}");
        assert_eq!(after.broadcast, BTreeMap::from([(name, before)]));
        assert_eq!(world.faults(victim), []);
    }
}

#[test]
fn whoever_chooses_the_name_of_another_peer_takes_none_of_its_frames_and_keeps_it_out_of_nothing() {
    for (victim, liar) in [(1, 2), (2, 1)] {
        let mut world = World::new(3, config);
        world.run(SECOND * 3);
        let name = world.node(victim).name;
        let there = &mut world.hosts[liar].as_mut().unwrap().node;
        there.name = name;
        there.turn.links_changed = true;
        world.input(liar, Input::Timeout);
        world.run(SECOND);
        let is_served = |world: &World| {
            let node = world.node(0);
            let conn = node.neighbours[&world.node(victim).me];
            let session = node.conns[&conn].link().unwrap().path.index;
            world.hosts[0].as_ref().unwrap().routes.unicast == BTreeMap::from([(name, session)])
        };
        assert!(is_served(&world), "{victim} {liar}");
        // Nor when the liar was there first.
        let saved = world.kill(victim);
        world.run(SECOND * 20);
        world.start(victim, saved);
        world.run(SECOND * 3);
        assert!(is_served(&world), "{victim} {liar}");
    }
}

#[test]
fn a_lone_peer_that_is_its_own_target_allocates_after_a_restart() {
    let itself = |host| Config {
        founding: FoundingMode::Consensus { peers: Some(1) },
        targets: Vec::from([target(0)]),
        ..config(host)
    };
    let mut world = World::new(1, itself);
    let allocate = |id: &str| Command::Allocate { id: id.parse().unwrap(), subnet: None };
    world.command(0, allocate("a")).unwrap();
    let saved = world.kill(0);
    world.start(0, saved);
    world.command(0, allocate("b")).unwrap();
}

#[test]
fn both_sides_are_told_why_a_link_is_refused() {
    let same_name = |host| Config { name: Some(PeerName([2; 6])), ..config(host) };
    let mut world = World::new(2, same_name);
    world.run(SECOND * 3);
    for host in 0..2 {
        let faults = world.faults(host);
        // Whom it is told of is the other one, and not itself.
        let other = format!("n{}", 1 - host);
        assert!(
            faults.iter().any(|fault| matches!(fault, ConnFault::NameTaken { .. })),
            "host {host}: {faults:?}"
        );
        let all_name_it = faults
            .iter()
            .all(|fault| !matches!(fault, ConnFault::NameTaken { by, .. } if *by != other));
        assert!(all_name_it, "host {host}: {faults:?}");
        assert!(world.reached(host).is_empty());
    }
    let other_range = |host| {
        let block = if host == 0 { "10.32.0.0/12" } else { "10.0.0.0/16" };
        let universe = crate::addr::Universe::new(block.parse().unwrap()).unwrap();
        Config { universe, ..config(host) }
    };
    let mut world = World::new(2, other_range);
    world.run(SECOND * 3);
    for host in 0..2 {
        assert!(world.faults(host).iter().any(|f| matches!(f, ConnFault::Universe { .. })));
    }
}

#[test]
fn meshes_that_were_founded_apart_refuse_each_other() {
    let alone = |host| Config {
        targets: Vec::new(),
        founding: FoundingMode::Consensus { peers: Some(1) },
        ..config(host)
    };
    let mut world = World::new(2, alone);
    for host in 0..2 {
        assert!(world.command(host, allocate("a")).is_ok());
    }
    let connect = Command::Connect { targets: [target(0)].to_vec(), replace: false };
    assert_eq!(world.command(1, connect), Ok(Reply::Done));
    for host in 0..2 {
        assert!(world.faults(host).contains(&ConnFault::Lineage), "host {host}");
    }
    // The one that dialed, and the one that was dialed.
    for host in [1, 0] {
        let [conn] = &world.node(host).status(world.clock()).conns[..] else { panic!("{host}") };
        assert!(conn.why.as_ref().is_some_and(|why| why.contains("founded apart")), "{host}");
        assert_eq!((conn.state, conn.outbound), (ConnState::Failed, host == 1));
    }
    let forget = Command::Forget { targets: [target(0)].to_vec() };
    assert_eq!(world.command(1, forget), Ok(Reply::Done));
    world.run(Config::default().dial_wait_max * 3);
    assert_eq!(world.node(0).status(world.clock()).conns, [], "nobody comes any more");
}

#[test]
fn dialing_oneself_is_no_copy() {
    let itself = |host| Config { targets: [target(host)].to_vec(), ..config(host) };
    let mut world = World::new(1, itself);
    world.run(SECOND);
    assert!(world.faults(0).iter().all(|f| matches!(f, ConnFault::Handshake(_))));
}

#[test]
fn however_many_strangers_come_a_peer_gets_in_and_a_link_stays() {
    let sources: [fn(u16) -> SocketAddr; 3] = [
        |n| SocketAddr::from(([203, 0, 113, 7], n)),
        |n| SocketAddr::from(([203, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]], 7)),
        // All of one /64.
        |n| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, n], 7)),
    ];
    for source in sources {
        let mut world = World::new(3, |host| Config { conns_max: 2, ..config(host) });
        world.cut.extend([(0, 2), (1, 2)]);
        world.run(Duration::from_secs(30));
        assert_eq!(world.reached(0), [1]);
        let (local, now) = (address(0), world.now);
        for n in 1..=1000 {
            let there = world.hosts[0].as_mut().unwrap();
            there.accepted += 1;
            let conn = ConnId::accepted(there.accepted);
            world.input(0, Input::Opened { conn, local, remote: source(n) });
            let open = world.node(0).conns.len();
            assert!(open <= 2 + 64 + 1, "{open} streams after {n}");
        }
        world.cut.clear();
        world
            .command(2, Command::Connect { targets: std::vec![target(0)], replace: false })
            .unwrap();
        assert!(world.now - now < world.node(0).config.handshake_max);
        assert_eq!(world.reached(0), [1, 2]);
    }
}

#[test]
fn a_stopped_node_answers_everything_and_wants_nothing() {
    let mut world = World::new(2, config);
    world.run(SECOND * 3);
    assert_eq!(world.command(0, Command::Stop), Ok(Reply::Done));
    assert_eq!(world.command(0, allocate("a")), Err(CommandError::Stopping));
    assert_eq!(world.node(0).deadline(), None);
    assert!(world.streams.is_empty());
}

#[test]
fn equal_runs_end_alike() {
    let run = || {
        let mut world = World::new(3, config);
        world.run(SECOND * 30);
        let events: Vec<_> = world.hosts.iter().flatten().map(|h| h.events.clone()).collect();
        (events, format!("{:?}", world.node(0).status(world.clock())))
    };
    assert_eq!(run(), run());
}

fn any_input() -> impl Strategy<Value = Input> {
    let conn = || {
        (0u64..6, any::<bool>())
            .prop_map(|(n, dialed)| if dialed { ConnId::dialed(n) } else { ConnId::accepted(n) })
    };
    let bytes = || proptest::collection::vec(any::<u8>(), 0..80);
    prop_oneof![
        Just(Input::Timeout),
        conn().prop_map(|conn| Input::Opened { conn, local: address(0), remote: address(1) }),
        conn().prop_map(|conn| Input::Written { conn }),
        conn().prop_map(|conn| Input::Closed { conn, why: CloseReason::Ended }),
        (conn(), bytes()).prop_map(|(conn, bytes)| Input::Received { conn, bytes }),
        bytes().prop_map(|bytes| Input::Datagram { from: address(1), bytes }),
        any::<u8>().prop_map(|byte| Input::Wanted { peer: PeerName([byte; 6]) }),
        conn().prop_map(|conn| {
            Input::DialFailed { conn, why: DialFailure::Connect(String::from("refused")) }
        }),
        prop_oneof![
            Just(allocate("a")),
            Just(register("a.weft.local")),
            Just(Command::Prime),
            Just(Command::OpenGate),
            Just(Command::Leave),
            Just(Command::Stop),
            Just(Command::Connect { targets: [target(2)].to_vec(), replace: true }),
            Just(Command::Forget { targets: [target(2)].to_vec() }),
        ]
        .prop_map(|command| Input::Command { request: RequestId(0), command }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_comes_in_nothing_is_left_due_and_every_command_is_answered(
        steps in proptest::collection::vec((any_input(), 0u64..4_000), 0..40),
    ) {
        let mut out = Outbox::default();
        let start = Now::default();
        let mut node =
            Node::new(config(1), Saved::default(), Seed([3; 32]), start, &mut out).unwrap();
        let mut now = start;
        let mut asked = 0;
        let last = Input::Command { request: RequestId(0), command: Command::Stop };
        for (input, millis) in steps.into_iter().chain([(last, 0)]) {
            now.mono += Duration::from_millis(millis);
            asked += usize::from(matches!(input, Input::Command { .. }));
            node.handle(now, input, &mut out);
            let deadline = node.deadline();
            prop_assert!(deadline.is_none_or(|due| due.at > now.mono), "{:?}", deadline);
        }
        let replies = out.drain().filter(|output| matches!(output, Output::Reply { .. })).count();
        prop_assert_eq!(replies, asked);
    }
}
