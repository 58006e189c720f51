//! What the oracle sees: plain data about each host, small enough to be made up in a test.

use super::papers::{self, Paper, is_paper};
use crate::host::Host;
use crate::host::report::Report;
use std::collections::{BTreeMap, BTreeSet};
use weft_core::addr::{Range, Universe};
use weft_core::config::{Config, FoundingMode, NetworkSecret};
use weft_core::event::Event;
use weft_core::gossip::{Prefix, Print};
use weft_core::id::{ContainerId, Incarnation, PeerId, PeerName};
use weft_core::io::{Command, ConnId};
use weft_core::names::{KnownName, NameEntry};
use weft_core::node::Node;
use weft_core::record::{Fingerprint, Key, Version};
use weft_core::status::{ConnState, IpamState, Sizes};
use weft_core::time::{Instant, Now};

/// One interval of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Which addresses.
    pub range: Range,
    /// Raised by takeovers.
    pub epoch: u32,
    /// Raised by grants.
    pub version: u64,
    /// Whose.
    pub owner: PeerId,
}

/// A command without a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Since when.
    pub since: Instant,
    /// For what.
    pub command: Command,
}

/// A control link that its node believes to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// With whom.
    pub peer: PeerId,
    /// When it last brought anything, on the node's own clock.
    pub heard_at: Instant,
}

/// What the operator of a host told it, as far as rules depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What the mesh divides.
    pub universe: Option<Universe>,
    /// Of the network.
    pub secret: Option<NetworkSecret>,
    /// That it neither proposes nor votes.
    pub observes: bool,
    /// That it dials peers that it only heard of.
    pub discovers: bool,
    /// Most links.
    pub conns_max: usize,
    /// Most records.
    pub records_max: usize,
    /// Most bytes of records.
    pub records_len_max: usize,
    /// Most commands that wait.
    pub waiting_max: usize,
    /// How often a frame may be relayed.
    pub hops_max: u8,
}

impl Told {
    /// What `config` says.
    pub fn of(config: &Config) -> Self {
        Self {
            universe: Some(config.universe),
            secret: config.secret.clone(),
            observes: match config.founding {
                FoundingMode::Observer => true,
                FoundingMode::Consensus { .. } => false,
            },
            discovers: config.discovery,
            conns_max: config.conns_max,
            records_max: config.records_max,
            records_len_max: config.records_len_max,
            waiting_max: config.waiting_max,
            hops_max: config.hops_max,
        }
    }
}

/// One host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerView {
    /// Whether its node runs.
    pub live: bool,
    /// Who it is; `None` before its first start.
    pub id: Option<PeerId>,
    /// Its 48-bit name.
    pub name: PeerName,
    /// Which start.
    pub incarnation: Incarnation,
    /// Starts so far.
    pub boots: u64,
    /// Whether an operator had its node open the boot gate in this life.
    pub vouched: bool,
    /// The start that was last looked into.
    pub read_boots: u64,
    /// How often its disk came to hold other than its node had it hold: lost, put back, forgetful.
    pub losses: u64,
    /// What its operator told it.
    pub told: Told,
    /// Time since its start, on its own clock.
    pub mono: Instant,
    /// Whether it cannot run just now, or has outputs that wait.
    pub busy: bool,
    /// The last version that it gave to a record of its own.
    pub version: Version,
    /// The versions of all records that it holds.
    pub records: BTreeMap<Key, Version>,
    /// Sum of all records that it holds: with it, all of them are the same.
    pub print: Option<Print>,
    /// Those of them that are about ownership or votes.
    pub papers: BTreeMap<Key, Paper>,
    /// What its disk holds of such; `None` where nobody can look into it.
    pub stored: Option<BTreeMap<Key, Paper>>,
    /// What was written to it of such since the rules were last judged, gone again or not.
    pub written: Vec<(Key, Version)>,
    /// Writes and losses of the disk when it was last read.
    pub stored_at: (u64, u64),
    /// With whom a link has come up in this life.
    pub met: BTreeSet<PeerId>,
    /// Links that it believes to stand.
    pub linked: BTreeMap<ConnId, Linked>,
    /// How full its tables are.
    pub sizes: Sizes,
    /// Whether somebody has asked it for the founding in this life.
    pub asked_founding: bool,
    /// How many peers it needs for the founding and how many it reaches, while it waits for that.
    pub quorum: Option<(usize, usize)>,
    /// Bytes that it has sent, on streams and in datagrams.
    pub spent: u64,
    /// Hosts with which the network connects it directly, in both directions.
    pub near: BTreeSet<usize>,
    /// Hosts that the network lets it reach, itself and ways over others included.
    pub island: BTreeSet<usize>,
    /// Whether it would hand out addresses that it owns.
    pub gate_open: bool,
    /// Its ledger, once there is one.
    pub ledger: Option<Vec<Owned>>,
    /// The same as it was when none of its outputs waited: a crash cannot undo this.
    pub sure_ledger: Option<Vec<Owned>>,
    /// Which founding the ledger grew from.
    pub lineage: Option<Fingerprint>,
    /// What its node says is held.
    pub noted: BTreeMap<ContainerId, BTreeSet<ipnet::IpNet>>,
    /// What its living containers have, whether its node runs or not.
    pub held: BTreeMap<ContainerId, BTreeSet<ipnet::IpNet>>,
    /// Commands without a reply.
    pub waiting: Vec<Waiting>,
    /// Peers it believes in reach, itself included: (which start, neighbours).
    pub reachable: BTreeMap<PeerId, (Incarnation, BTreeSet<PeerId>)>,
    /// Control links that are authenticated, by peer.
    pub conns: BTreeMap<PeerId, usize>,
    /// Next hops.
    pub unicast: BTreeMap<PeerName, PeerName>,
    /// Next hops of broadcasts, by source.
    pub broadcast: BTreeMap<PeerName, Vec<PeerName>>,
    /// Names that it answers.
    pub names: BTreeSet<KnownName>,
    /// Names that were registered here and confirmed.
    pub names_sure: BTreeSet<NameEntry>,
    /// Names that may be registered here.
    pub names_possible: BTreeSet<NameEntry>,
    /// What it told of trouble so far.
    pub reports: BTreeSet<Report>,
    /// How many records it keeps.
    pub kept: usize,
}

/// All hosts at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// When, on the world's clock.
    pub at: Instant,
    /// What the mesh divides.
    pub universe: Universe,
    /// By host.
    pub peers: Vec<PeerView>,
    /// Hosts that were read since the rules were last judged.
    pub changed: BTreeSet<usize>,
    /// Since when there are no faults, and all hosts that are to run do.
    pub calm_at: Option<Instant>,
    /// Commands that were given so far.
    pub asked: u64,
}

impl View {
    /// All of `peers`, each just read.
    pub fn new(at: Instant, universe: Universe, peers: Vec<PeerView>) -> Self {
        let changed = (0..peers.len()).collect();
        Self { at, universe, peers, changed, calm_at: None, asked: 0 }
    }

    /// Hosts that were read since the rules were last judged, as (host, view).
    pub fn changed(&self) -> impl Iterator<Item = (usize, &PeerView)> {
        self.changed.iter().filter_map(|host| Some((*host, self.peers.get(*host)?)))
    }

    /// The host that is or was the peer with this id.
    pub fn host_of(&self, id: PeerId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.id == Some(id))
    }

    /// Hosts whose nodes run, as (host, view).
    pub fn live(&self) -> impl Iterator<Item = (usize, &PeerView)> {
        self.peers.iter().enumerate().filter(|(_, peer)| peer.live)
    }

    /// The running host that has `name`.
    pub fn named(&self, name: PeerName) -> Option<usize> {
        self.live().find(|(_, peer)| peer.name == name).map(|(host, _)| host)
    }

    /// `n3` for the peer with this id, or its id.
    pub fn label(&self, id: PeerId) -> String {
        self.host_of(id).map_or_else(|| id.to_string(), |host| format!("n{}", host + 1))
    }

    /// Ids of the running hosts that `peer` can be connected with, itself included.
    pub fn island_ids(&self, peer: &PeerView) -> BTreeSet<PeerId> {
        let hosts = peer.island.iter().filter_map(|host| self.peers.get(*host));
        hosts.filter(|other| other.live).filter_map(|other| other.id).collect()
    }
}

impl PeerView {
    /// Reads the part that the rules for every event need.
    pub fn read_addresses(&mut self, host: &Host) {
        self.held.clone_from(&host.held);
        self.names_sure.clone_from(&host.names_sure);
        self.names_possible.clone_from(&host.names_possible);
        self.reports.clone_from(&host.reports);
        self.live = host.running.is_some();
        self.waiting.clear();
        self.losses = host.losses;
        if self.told.universe.is_none() {
            self.told = Told::of(&host.config);
        }
        self.read_disk(host);
        if self.boots != host.boots {
            self.begin(host.boots);
        }
        let Some(running) = &host.running else {
            self.linked.clear();
            return;
        };
        self.busy = running.desk.free_at.is_some();
        self.waiting.extend(
            running
                .asked
                .values()
                .map(|(since, command)| Waiting { since: *since, command: command.clone() }),
        );
        // What a node has decided counts once it comes out. Until then a crash makes that undone, and
        // a life that has said nothing has not begun.
        if !running.desk.rest.is_empty() {
            self.live = self.read_boots == host.boots;
            return;
        }
        self.read_boots = host.boots;
        self.read_ipam(&running.node);
    }

    /// Life number `boots` of its node begins.
    pub fn begin(&mut self, boots: u64) {
        self.boots = boots;
        self.met.clear();
        self.linked.clear();
        self.asked_founding = false;
        self.vouched = false;
    }

    /// Takes in what its node says has happened to its links, at `mono` of its own clock.
    pub fn heard(&mut self, mono: Instant, event: &Event) {
        match event {
            Event::ConnUp { conn, peer } => {
                self.met.insert(*peer);
                self.linked.insert(*conn, Linked { peer: *peer, heard_at: mono });
            }
            Event::ConnDown { conn, .. } => {
                self.linked.remove(conn);
            }
            Event::LinkUp { .. }
            | Event::LinkDown { .. }
            | Event::PeerUp { .. }
            | Event::PeerDown { .. }
            | Event::RecordRefused { .. }
            | Event::Founded { .. }
            | Event::Granted { .. }
            | Event::Allocated { .. }
            | Event::Released { .. }
            | Event::NameAdded { .. }
            | Event::NameRemoved { .. }
            | Event::OwnershipConflict { .. } => {}
            Event::GateForced { .. } => self.vouched = true,
        }
    }

    /// Reads what the disk holds about ownership, when it was written since.
    pub fn read_disk(&mut self, host: &Host) {
        let at = (host.disk.writes, host.losses);
        if self.stored.is_none() || self.stored_at != at {
            self.stored_at = at;
            let records = host.disk.papers(is_paper);
            let fresh = papers::read(self.stored.get_or_insert_default(), records.iter());
            self.written.extend(fresh);
        }
    }

    /// Whether the node holds other records than when it was last read.
    pub fn has_news(&self, node: &Node) -> bool {
        self.print != Some(node.records().sum(Prefix::ROOT).1)
    }

    /// Reads which records the node holds, when that has changed.
    fn read_records(&mut self, node: &Node) {
        let records = node.records();
        let (_, print) = records.sum(Prefix::ROOT);
        if self.print.replace(print) == Some(print) {
            return;
        }
        self.records = records.iter().map(|record| (record.key, record.version)).collect();
        let papers = records.iter().take_while(|record| is_paper(&record.key));
        let _ = papers::read(&mut self.papers, papers);
    }

    /// Reads what the node says of addresses.
    pub fn read_ipam(&mut self, node: &Node) {
        self.id = Some(node.id());
        self.name = node.name();
        let ipam = node.ipam();
        (self.gate_open, self.quorum) = match ipam.status().state {
            IpamState::Ready => (true, None),
            IpamState::AwaitingConsensus { needed, heard } => (false, Some((needed, heard))),
            IpamState::Idle | IpamState::AwaitingMerge | IpamState::Left => (false, None),
        };
        self.version = node.last_version();
        self.incarnation = self.version.incarnation;
        self.read_records(node);
        self.lineage = ipam.lineage();
        self.ledger = ipam.ledger().map(|ledger| {
            let entries = ledger.entries();
            entries
                .map(|(range, epoch, version, owner)| Owned { range, epoch, version, owner })
                .collect()
        });
        if !self.busy {
            self.sure_ledger.clone_from(&self.ledger);
        }
        self.noted = ipam
            .held()
            .map(|(id, addresses)| (id.clone(), addresses.iter().copied().collect()))
            .collect();
    }

    /// Reads the rest, for the rules of a settled world.
    pub fn read_mesh(&mut self, node: &Node, now: Now) {
        let status = node.status(now);
        self.sizes = node.sizes();
        self.mono = now.mono;
        self.reachable = status
            .peers
            .iter()
            .filter(|peer| peer.reachable)
            .map(|peer| {
                let links = peer.links.iter().map(|link| link.id).collect();
                (peer.id, (peer.incarnation, links))
            })
            .collect();
        self.conns.clear();
        for conn in &status.conns {
            let stands = match conn.state {
                ConnState::Pending | ConnState::Established => true,
                ConnState::Connecting | ConnState::Retrying | ConnState::Failed => false,
            };
            if let Some(peer) = conn.peer
                && stands
            {
                *self.conns.entry(peer).or_insert(0) += 1;
            }
        }
        self.unicast = status.unicast.into_iter().collect();
        self.broadcast = status.broadcast.into_iter().collect();
        self.names = status.names.into_iter().collect();
        self.kept = node.records().len();
    }
}
