//! One simulated host: its disk, its node and forwarder while they run, and its containers.

pub mod clock;
pub mod desk;
pub mod disk;
pub mod engine;
pub mod frame;
pub mod report;

use crate::trace::Summary;
use clock::{Clock, Speed};
use desk::Desk;
use disk::Disk;
use engine::Engine;
use frame::{EtherPayload, Frame, MacBytes};
use ipnet::IpNet;
use report::Report;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use weft_core::config::Config;
use weft_core::contract::Contract;
use weft_core::event::Event;
use weft_core::forward::{Forwarder, Sink};
use weft_core::id::{ContainerId, PeerId, PeerName};
use weft_core::io::{Command, RequestId, Target};
use weft_core::names::NameEntry;
use weft_core::node::Node;
use weft_core::time::{Instant, Now};

/// What runs on a host between a start and a crash.
#[derive(Debug)]
pub struct Running {
    /// The core.
    pub node: Node,
    /// The data path.
    pub forwarder: Forwarder,
    /// What was promised in this run.
    pub contract: Contract,
    /// When the run began, on the host's steady clock; the node's own clock starts here.
    pub booted_at: Instant,
    /// When the node wants `Timeout`, on the host's steady clock.
    pub deadline: Option<Instant>,
    /// The same on the world's clock.
    pub wake_at: Option<Instant>,
    /// What waits while the node cannot run.
    pub desk: Desk,
    /// Whether it has stopped in order; its process ends soon.
    pub has_stopped: bool,
    /// Commands that wait for a reply.
    pub asked: BTreeMap<RequestId, (Instant, Command)>,
    /// By the request to evict them: the peers of whom its node knew, when it took that up, that they own
    /// something.
    pub evicts: BTreeMap<RequestId, BTreeSet<PeerId>>,
    /// What the ends of the lines of a trace show.
    pub summary: Summary,
    peers: BTreeSet<PeerId>,
}

impl Running {
    /// A run that begins at `booted_at` of the host's steady clock.
    pub fn new(node: Node, forwarder: Forwarder, booted_at: Instant) -> Self {
        Self {
            node,
            forwarder,
            contract: Contract::default(),
            booted_at,
            deadline: None,
            wake_at: None,
            desk: Desk::default(),
            has_stopped: false,
            asked: BTreeMap::new(),
            evicts: BTreeMap::new(),
            summary: Summary::default(),
            peers: BTreeSet::new(),
        }
    }

    /// Counts what `event` changes.
    pub fn count(&mut self, event: &Event) {
        let s = &mut self.summary;
        match event {
            Event::ConnUp { .. } => s.conns += 1,
            Event::ConnDown { peer: Some(_), .. } => s.conns = s.conns.saturating_sub(1),
            Event::LinkUp { .. } => s.links += 1,
            Event::LinkDown { .. } => s.links = s.links.saturating_sub(1),
            Event::PeerUp { peer } => {
                self.peers.insert(*peer);
                s.peers = self.peers.len();
            }
            Event::PeerDown { peer } => {
                self.peers.remove(peer);
                s.peers = self.peers.len();
            }
            Event::Allocated { .. } => s.held += 1,
            Event::Released { .. } => s.held = s.held.saturating_sub(1),
            Event::NameAdded { .. } => s.names += 1,
            Event::NameRemoved { .. } => s.names = s.names.saturating_sub(1),
            Event::ConnDown { peer: None, .. }
            | Event::DirectUp { .. }
            | Event::DirectDown { .. }
            | Event::DirectFailed { .. }
            | Event::RecordRefused { .. }
            | Event::Founded { .. }
            | Event::Granted { .. }
            | Event::GateForced { .. }
            | Event::TwinMet
            | Event::TakenOver { .. }
            | Event::Stray { .. }
            | Event::EvictionForced { .. }
            | Event::OwnershipConflict { .. } => {}
        }
    }
}

/// A container: an interface with one address, and what it knows of its neighbours.
#[derive(Clone, Debug)]
pub struct Container {
    /// Of its interface.
    pub mac: MacBytes,
    /// Of its interface.
    pub address: IpAddr,
    /// Whom it has heard of.
    pub neighbours: BTreeMap<IpAddr, MacBytes>,
    /// Echo requests that came.
    pub echoes_in: u64,
    /// Answers to its own echo requests: (number, how often it came).
    pub answers: BTreeMap<u64, u64>,
}

impl Container {
    /// What the container sends back for `frame`.
    fn receive(&mut self, frame: &Frame) -> Option<Frame> {
        let reply = |payload| Some(Frame { source: self.mac, destination: frame.source, payload });
        match frame.payload {
            EtherPayload::WhoHas { address, from } => {
                self.neighbours.insert(from, frame.source);
                if address == self.address {
                    reply(EtherPayload::IsAt { address, to: from })
                } else {
                    None
                }
            }
            EtherPayload::IsAt { address, to } => {
                if to == self.address {
                    self.neighbours.insert(address, frame.source);
                }
                None
            }
            EtherPayload::Echo { from, to, number } if to == self.address => {
                self.echoes_in += 1;
                reply(EtherPayload::EchoReply { from: to, to: from, number })
            }
            EtherPayload::EchoReply { to, number, .. } if to == self.address => {
                *self.answers.entry(number).or_insert(0) += 1;
                None
            }
            EtherPayload::Echo { .. } | EtherPayload::EchoReply { .. } => None,
        }
    }
}

/// What the world remembers of a host, whether it runs or not.
#[derive(Debug)]
pub struct Host {
    /// Settings of its node.
    pub config: Config,
    /// Whom it is told to dial at each start.
    pub targets: Vec<Target>,
    /// Its disk.
    pub disk: Disk,
    /// What its disk held at some moments, by name.
    pub snapshots: BTreeMap<String, Disk>,
    /// Its node, while it runs.
    pub running: Option<Running>,
    /// Starts so far.
    pub boots: u64,
    /// How often its disk came to hold other than its node had it hold.
    pub losses: u64,
    /// What it reads time from.
    pub clock: Clock,
    /// How long each call of its node takes.
    pub cost: Duration,
    /// Outputs that are still carried out before it crashes.
    pub crash_after: Option<usize>,
    /// Whether a crash that is due takes the machine's power too.
    pub crash_power: bool,
    /// Whether its node was told to forget a target.
    pub has_forgotten: bool,
    /// How often its nodes were called.
    pub calls: u64,
    /// Datagrams with frames that its data path took.
    pub taken: u64,
    /// Where its containers come from, and who tells of them.
    pub engine: Engine,
    /// Its containers; they outlive the node.
    pub containers: BTreeMap<ContainerId, Container>,
    /// Addresses handed to living containers, as their runtimes know it.
    pub held: BTreeMap<ContainerId, BTreeSet<IpNet>>,
    /// Those that they had when a node was started that did not know of them.
    pub taken_up: BTreeSet<IpAddr>,
    /// Names that were confirmed and not taken back.
    pub names_sure: BTreeSet<NameEntry>,
    /// Names that were asked for, and whose removal is not confirmed.
    pub names_possible: BTreeSet<NameEntry>,
    /// What its node told of trouble, in all of its runs.
    pub reports: BTreeSet<Report>,
}

/// What a forwarder wants done, collected during its call.
#[derive(Debug, Default)]
pub struct Wishes {
    /// Datagrams to send.
    pub sent: Vec<(SocketAddr, Vec<u8>)>,
    /// Frames for the local bridge.
    pub delivered: Vec<Vec<u8>>,
    /// Probes for the node.
    pub probes: Vec<(SocketAddr, Vec<u8>)>,
    /// Peers that frames are exchanged with, for the node.
    pub wanted: Vec<PeerName>,
}

impl Sink for Wishes {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.sent.push((to, datagram.to_vec()));
    }
    fn deliver(&mut self, frame: &[u8]) {
        self.delivered.push(frame.to_vec());
    }
    fn probe(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.probes.push((from, datagram.to_vec()));
    }
    fn wants(&mut self, peer: PeerName) {
        self.wanted.push(peer);
    }
}

impl Host {
    /// A host that has never run.
    pub const fn new(config: Config, targets: Vec<Target>, wall: i64) -> Self {
        Self {
            config,
            targets,
            disk: Disk::EMPTY,
            snapshots: BTreeMap::new(),
            running: None,
            boots: 0,
            losses: 0,
            clock: Clock::new(wall),
            cost: Duration::ZERO,
            crash_after: None,
            crash_power: false,
            has_forgotten: false,
            calls: 0,
            taken: 0,
            engine: Engine::new(),
            containers: BTreeMap::new(),
            held: BTreeMap::new(),
            taken_up: BTreeSet::new(),
            names_sure: BTreeSet::new(),
            names_possible: BTreeSet::new(),
            reports: BTreeSet::new(),
        }
    }

    /// The host has another disk than a moment ago: containers and names that are not on it are gone
    /// with the old one, and a name that is on it may be answered again.
    pub fn follow_disk(&mut self) {
        let Self { disk, held, containers, engine, .. } = self;
        held.retain(|id, nets| {
            let noted = disk.held(id);
            nets.retain(|net| noted.contains(net));
            !nets.is_empty()
        });
        containers.retain(|id, container| {
            let nets = held.get(id);
            nets.is_some_and(|nets| nets.iter().any(|net| net.addr() == container.address))
        });
        engine.keep(|id| held.contains_key(id));
        self.follow_names();
    }

    /// What is on its disk is all that is known of names.
    pub fn follow_names(&mut self) {
        let names = self.disk.names();
        self.names_sure.retain(|entry| names.contains(entry));
        self.names_possible = names;
    }

    /// What its containers have and its disk does not know.
    pub fn unnoted(&self) -> Vec<(ContainerId, IpNet)> {
        let of_id = |(id, nets): (&ContainerId, &BTreeSet<IpNet>)| {
            let noted = self.disk.held(id);
            let unnoted = nets.iter().filter(|net| !noted.contains(net));
            unnoted.map(|net| (id.clone(), *net)).collect::<Vec<_>>()
        };
        self.held.iter().flat_map(of_id).collect()
    }

    /// Makes its disk a sound one.
    pub fn mend_disk(&mut self) {
        self.losses += u64::from(self.disk.mend());
    }

    /// Both clocks of the node at `at`; `None` when it does not run.
    pub fn now(&self, at: Instant) -> Option<Now> {
        let running = self.running.as_ref()?;
        let mono = Instant::ZERO + self.clock.steady(at).since(running.booted_at);
        Some(Now { mono, unix: self.clock.wall(at) })
    }

    /// Since when an answer to `command` is owed to whoever gives it at `at`, as the rules see it: neither the
    /// time in which a node cannot run counts, nor what a slow clock adds to its limits.
    pub fn owed_from(&self, at: Instant, command: &Command) -> Instant {
        let free_at = self.running.as_ref().and_then(|running| running.desk.free_at);
        free_at.map_or(at, |free_at| free_at.max(at)) + self.lag(command)
    }

    /// How much longer than elsewhere an answer to `command` may take by a clock that is slow.
    pub fn lag(&self, command: &Command) -> Duration {
        let limit = command.answer_max(self.config.allocate_max).unwrap_or_default();
        self.clock.speed().min(Speed::RIGHT).stretch(limit).saturating_sub(limit)
    }

    /// Puts `frame` onto the host's bridge, as if a container or the forwarder had sent it; what
    /// must leave the host goes through the forwarder into `wishes`.
    pub fn bridge(&mut self, now: Instant, frame: &Frame, from_here: bool, wishes: &mut Wishes) {
        // Frames that are still to be carried, each with whether it came from this host.
        let mut frames = vec![(*frame, from_here)];
        while let Some((frame, from_here)) = frames.pop() {
            let local =
                self.containers.values().any(|container| container.mac == frame.destination);
            for container in self.containers.values_mut() {
                let meant = frame.is_broadcast() || container.mac == frame.destination;
                if meant && container.mac != frame.source {
                    frames.extend(container.receive(&frame).map(|reply| (reply, true)));
                }
            }
            if from_here
                && !local
                && let Some(running) = &mut self.running
                && !running.desk.stopped
            {
                running.forwarder.frame(now, &frame.to_bytes(), wishes);
            }
        }
    }
}
