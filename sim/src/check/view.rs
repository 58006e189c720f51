//! What the oracle sees: plain data about each host, small enough to be made up in a test.

use super::evictions::Taken;
use super::papers::{self, Paper, is_paper};
use crate::host::Host;
use crate::host::report::Report;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use weft_core::addr::{Offset, Range, Universe};
use weft_core::config::{Config, FoundingMode, NetworkSecret};
use weft_core::event::Event;
use weft_core::forward::{Forwarder, ForwarderSizes};
use weft_core::gossip::{Prefix, Print};
use weft_core::id::{ContainerId, Incarnation, PeerId, PeerName};
use weft_core::io::{Command, CommandError, ConnId};
use weft_core::ipam::freeze::Stance;
use weft_core::names::{KnownName, NameEntry};
use weft_core::node::Node;
use weft_core::record::{Fingerprint, Key, Record, Version};
use weft_core::status::{ConnState, IpamState, Sizes};
use weft_core::time::{Instant, Now};

/// One interval of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Which addresses.
    pub range: Range,
    /// Raised by takeovers.
    pub epoch: u64,
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

/// What of a record tells it from every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Glimpse {
    /// What it is about.
    pub key: Key,
    /// Which version.
    pub version: Version,
    /// The first bytes of its signature: other content has another one.
    pub sign: u64,
}

impl Glimpse {
    fn of(record: &Record) -> Self {
        Self { key: record.key, version: record.version, sign: papers::sign(record) }
    }
}

/// What the operator of a host told it, as far as rules depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What the mesh divides.
    pub universe: Option<Universe>,
    /// Of the network, the newest first; two while one takes the place of the other.
    pub secrets: Vec<NetworkSecret>,
    /// With whom alone it is to have to do; with everybody when `None`.
    pub allowed: Option<BTreeSet<PeerId>>,
    /// That it had such a list at some time in this life.
    pub was_listed: bool,
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
    /// Longest that an allocation waits.
    pub allocate_max: Duration,
    /// How often a frame may be relayed.
    pub hops_max: u8,
    /// Most names of its own.
    pub names_max: usize,
    /// Most peers with which it has data sessions besides those of links.
    pub sessions_max: usize,
    /// The oldest and the newest version of the protocol that it speaks.
    pub versions: (u8, u8),
}

/// So many records, and the names among them, are looked through whenever a host is read.
const READ_MAX: usize = 256;

impl Told {
    /// What `config` says.
    pub fn of(config: &Config) -> Self {
        let mut told = Self {
            universe: Some(config.universe),
            secrets: Vec::new(),
            allowed: None,
            was_listed: false,
            observes: match config.founding {
                FoundingMode::Seeds(_) | FoundingMode::Observer => true,
                FoundingMode::Consensus { .. } => false,
            },
            discovers: config.discovery,
            conns_max: config.conns_max,
            records_max: config.records_max,
            records_len_max: config.records_len_max,
            waiting_max: config.waiting_max,
            allocate_max: config.allocate_max,
            hops_max: config.hops_max,
            names_max: config.names_max,
            sessions_max: config.sessions_max,
            versions: (config.versions.oldest(), config.versions.newest()),
        };
        told.trusts(config);
        told
    }

    /// Is to trust whom `config` says.
    pub fn trusts(&mut self, config: &Config) {
        self.secrets = config.secret.iter().chain(&config.old_secret).cloned().collect();
        self.allowed.clone_from(&config.allowed);
        self.was_listed |= self.allowed.is_some();
    }

    /// Whether it has a secret in common with `other`, or both have none.
    pub fn shares_secret(&self, other: &Self) -> bool {
        let both_none = self.secrets.is_empty() && other.secrets.is_empty();
        both_none || self.secrets.iter().any(|secret| other.secrets.contains(secret))
    }

    /// Whether it is to have to do with `peer`.
    pub fn allows(&self, peer: PeerId) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&peer))
    }
}

/// One host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerView {
    /// Whether its node runs.
    pub live: bool,
    /// Who it is; `None` before its first start.
    pub id: Option<PeerId>,
    /// Who it was before, when its disk was lost since.
    pub former: BTreeSet<PeerId>,
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
    /// All of these, as they were when they were last read.
    pub seen: Vec<Glimpse>,
    /// How often they were found to be others than before.
    pub reads: u64,
    /// The sum that its node has made of them.
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
    /// Neighbours to which it believes that its data path works.
    pub proven: BTreeSet<PeerId>,
    /// Peers to which frames go straight though no link leads there, as it has said.
    pub direct: BTreeSet<PeerId>,
    /// Peers that it has said to be in reach, and not to be out of it since: when that was, by its own
    /// clock.
    pub up: BTreeMap<PeerId, Instant>,
    /// How full its tables are.
    pub sizes: Sizes,
    /// How full those of its forwarder are.
    pub forwarder: ForwarderSizes,
    /// Whether its clocks go right, and nothing keeps it from running or makes it slow.
    pub is_sound: bool,
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
    /// Those of them of which its node says that they are another peer's.
    pub strays: BTreeSet<IpAddr>,
    /// What its containers had when its node was started without knowing of them.
    pub taken_up: BTreeSet<IpAddr>,
    /// How many addresses its node says are free of those that it owns; `None` before there is a ledger.
    pub free: Option<u128>,
    /// What its living containers have, whether its node runs or not.
    pub held: BTreeMap<ContainerId, BTreeSet<ipnet::IpNet>>,
    /// Commands without a reply.
    pub waiting: Vec<Waiting>,
    /// Commands that were refused since the rules were last judged: since when an answer was owed, and
    /// the answer.
    pub refused: Vec<(Instant, CommandError)>,
    /// Whether it was told since the rules were last judged that it has left.
    pub left: bool,
    /// Evictions that it was told to be over, in this life and before.
    pub taken: Vec<Taken>,
    /// What it says of evictions, by victim.
    pub stances: BTreeMap<PeerId, Stance>,
    /// When it was last seen not to be sound, on the world's clock.
    pub troubled_at: Instant,
    /// Peers it believes in reach, itself included: (which start, neighbours).
    pub reachable: BTreeMap<PeerId, (Incarnation, BTreeSet<PeerId>)>,
    /// Control links that are authenticated, by peer.
    pub conns: BTreeMap<PeerId, usize>,
    /// Next hops, as its data path was told.
    pub unicast: BTreeMap<PeerName, PeerName>,
    /// Next hops of broadcasts, by source, as its data path was told.
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
    /// Calls of its nodes so far, when what it holds was last looked through.
    pub calls_read: u64,
}

/// Addresses of an evicted peer have another owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Takeover {
    /// Which.
    pub range: Range,
    /// Whose they were.
    pub victim: PeerId,
    /// In which epoch they passed.
    pub epoch: u64,
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
    /// Whether nothing is wrong with the network but what every network does.
    pub is_sound: bool,
    /// When that was last seen not to be so.
    pub troubled_at: Instant,
    /// When anything last befell the world for which peers may be slow to answer, or not answer at all.
    pub disturbed_at: Instant,
    /// What was taken over from evicted peers so far, as some node has said.
    pub taken_over: BTreeSet<Takeover>,
    /// Hosts that have ways to each other, and to which nothing has happened for so long that they
    /// must know the same; while that is judged.
    pub steady: Vec<BTreeSet<usize>>,
}

impl View {
    /// All of `peers`, each just read.
    pub fn new(at: Instant, universe: Universe, peers: Vec<PeerView>) -> Self {
        let changed = (0..peers.len()).collect();
        Self {
            at,
            universe,
            peers,
            changed,
            calm_at: None,
            asked: 0,
            is_sound: true,
            troubled_at: Instant::ZERO,
            disturbed_at: Instant::ZERO,
            taken_over: BTreeSet::new(),
            steady: Vec::new(),
        }
    }

    /// Whether `at` was taken over from `peer`, who lives, and is not its own again by what it knows. An
    /// operator who evicts the living has addresses held twice: what such a peer has does not count. Nor
    /// does what was given to one that nobody could know of.
    pub fn is_lost(&self, peer: &PeerView, at: Offset) -> bool {
        let taken = self.taken_over.iter().filter(|taken| taken.range.contains(at));
        let epoch = taken.filter(|it| Some(it.victim) == peer.id).map(|it| it.epoch).max();
        let entry = peer.ledger.iter().flatten().find(|entry| entry.range.contains(at));
        let own = entry.filter(|entry| Some(entry.owner) == peer.id).map(|entry| entry.epoch);
        epoch.is_some_and(|epoch| own.is_none_or(|own| own < epoch))
    }

    /// Who loses by what `heir` takes over though nobody evicted it: whoever was given its first addresses
    /// by the victim, and has met nobody since of whom the heir could know that.
    pub fn unheard(&self, heir: PeerId, taken: Takeover) -> Vec<PeerId> {
        let Some(heir) = self.host_of(heir).and_then(|host| self.peers.get(host)) else {
            return Vec::new();
        };
        let owners: BTreeSet<PeerId> = heir.ledger.iter().flatten().map(|it| it.owner).collect();
        let is_unheard = |id: &PeerId| !owners.contains(id) && !heir.up.contains_key(id);
        let given = |peer: &PeerView| {
            let own = peer.ledger.iter().flatten().filter(|it| Some(it.owner) == peer.id);
            own.filter(|it| it.epoch < taken.epoch)
                .any(|it| it.range.intersection(taken.range).is_some())
        };
        let losers = self.peers.iter().filter(|peer| given(peer)).filter_map(|peer| peer.id);
        losers.filter(is_unheard).collect()
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
        self.taken_up.clone_from(&host.taken_up);
        self.names_sure.clone_from(&host.names_sure);
        self.names_possible.clone_from(&host.names_possible);
        self.reports.clone_from(&host.reports);
        self.live = host.running.is_some();
        self.waiting.clear();
        self.losses = host.losses;
        // One that never started; what is told holds from the next start on.
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
        self.forwarder = running.forwarder.sizes();
    }

    /// Life number `boots` of its node begins.
    pub fn begin(&mut self, boots: u64) {
        self.boots = boots;
        self.met.clear();
        self.linked.clear();
        self.proven.clear();
        self.direct.clear();
        self.up.clear();
        self.asked_founding = false;
        self.vouched = false;
        // What its next life owns it has not left.
        self.left = false;
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
            Event::LinkUp { peer } => {
                self.proven.insert(*peer);
            }
            Event::LinkDown { peer } => {
                self.proven.remove(peer);
            }
            Event::PeerUp { peer } => {
                self.up.insert(*peer, mono);
            }
            Event::PeerDown { peer } => {
                self.up.remove(peer);
            }
            Event::DirectUp { peer } => {
                self.direct.insert(*peer);
            }
            Event::DirectDown { peer, .. } => {
                self.direct.remove(peer);
            }
            Event::DirectFailed { .. }
            | Event::RecordRefused { .. }
            | Event::Founded { .. }
            | Event::Granted { .. }
            | Event::Allocated { .. }
            | Event::Released { .. }
            | Event::NameAdded { .. }
            | Event::NameRemoved { .. }
            | Event::TakenOver { .. }
            | Event::Stray { .. }
            | Event::TwinMet
            | Event::EvictionForced { .. }
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

    /// Whether the node holds other records than when it was last read, or answers other names. Each
    /// record is looked at: a sum of the node's own would be believed in vain if it were wrong.
    pub fn has_news(&self, node: &Node) -> bool {
        !self.has_seen(node.records().iter()) || !node.names().iter().eq(self.names.iter())
    }

    /// Has all that the node holds be read anew the next time that it is.
    pub fn forget_records(&mut self) {
        self.seen.clear();
    }

    /// Whether these are the records that were read last.
    fn has_seen<'a>(&self, records: impl Iterator<Item = &'a Record>) -> bool {
        records.map(Glimpse::of).eq(self.seen.iter().copied())
    }

    /// Reads which `records` there are, when these are others than before; `print` is the node's sum of
    /// them.
    fn read_records<'a, I: Iterator<Item = &'a Record>>(
        &mut self,
        records: impl Fn() -> I,
        print: Print,
    ) -> bool {
        // In a large mesh a sum that has changed is reason to read at once; that of others is left to
        // whoever asks whether there are news.
        let is_same = self.print.replace(print) == Some(print);
        if (is_same && self.seen.len() > READ_MAX) || self.has_seen(records()) {
            return false;
        }
        self.reads += 1;
        self.seen = records().map(Glimpse::of).collect();
        self.records = self.seen.iter().map(|one| (one.key, one.version)).collect();
        let papers = records().take_while(|record| is_paper(&record.key));
        let _ = papers::read(&mut self.papers, papers);
        true
    }

    /// It starts as `id`, if only for this moment, and was `told` so much.
    pub fn starts_as(&mut self, id: PeerId, told: Told) {
        self.is_known_as(id);
        self.told = told;
    }

    fn is_known_as(&mut self, id: PeerId) {
        let before = self.id.replace(id).filter(|before| *before != id);
        self.former.extend(before);
    }

    /// Reads what the node says of addresses.
    pub fn read_ipam(&mut self, node: &Node) {
        self.is_known_as(node.id());
        self.name = node.name();
        let ipam = node.ipam();
        (self.gate_open, self.quorum) = match ipam.status().state {
            IpamState::Ready => (true, None),
            IpamState::AwaitingConsensus { needed, heard } => (false, Some((needed, heard))),
            IpamState::Idle
            | IpamState::Observing
            | IpamState::Listening
            | IpamState::AwaitingMerge
            | IpamState::Copied
            | IpamState::Left => (false, None),
        };
        self.version = node.last_version();
        self.incarnation = self.version.incarnation;
        let records = node.records();
        let is_read = self.read_records(|| records.iter(), records.sum(Prefix::ROOT).1);
        if is_read || self.seen.len() <= READ_MAX {
            self.read_names(node);
        }
        self.sizes = node.sizes();
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
        self.stances = ipam.freeze().map(|own| own.stances.clone()).unwrap_or_default();
        self.free = self.ledger.is_some().then(|| ipam.free());
        self.strays = ipam.status().strays.iter().map(|stray| stray.address).collect();
        self.noted = ipam
            .held()
            .map(|(id, addresses)| (id.clone(), addresses.iter().copied().collect()))
            .collect();
    }

    /// Whether it has refused a record for want of room.
    pub fn lacks_room(&self) -> bool {
        self.reports.contains(&Report::RecordFull)
    }

    /// Reads which names it answers.
    pub fn read_names(&mut self, node: &Node) {
        self.names = node.names().into_iter().collect();
    }

    /// Reads what each peer in reach says of itself.
    pub fn read_peers(&mut self, node: &Node) {
        let in_reach = |id: &PeerId| Some(*id) == self.id || self.up.contains_key(id);
        let peers = node.peers().filter(|(id, _)| in_reach(id));
        self.reachable = peers
            .map(|(id, says)| (id, (says.incarnation, says.links.iter().copied().collect())))
            .collect();
    }

    /// Reads the rest, for the rules of a settled world.
    pub fn read_mesh(&mut self, node: &Node, now: Now) {
        let status = node.status(now);
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
        self.kept = node.records().len();
    }

    /// Reads by which ways frames leave: those that its data path was told, whatever its node believes.
    pub fn read_ways(&mut self, forwarder: &Forwarder) {
        self.unicast = forwarder.unicast_hops().collect();
        self.broadcast = forwarder.broadcast_hops().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_core::gossip::Records;
    use weft_core::id::Identity;

    fn record(sequence: u64, body: u8) -> Record {
        let identity = Identity::from_seed([1; 32]);
        let version = Version { incarnation: Incarnation(1), sequence };
        Record::sign(&identity, Key::Names(identity.id(), 0), version, vec![body])
    }

    #[test]
    fn other_records_are_read_though_the_sum_of_the_node_stays_the_same() {
        let sum = Records::new(1, 1_000).sum(Prefix::ROOT).1;
        let (mut peer, first) = (PeerView::default(), [record(1, 0)]);
        assert!(peer.read_records(|| first.iter(), sum));
        assert!(!peer.read_records(|| first.iter(), sum));
        // A later version, other content under one version, one more and one less.
        let two = [record(2, 0), Record { key: Key::Space(PeerId([2; 32])), ..record(2, 0) }];
        for records in [&[record(2, 0)][..], &[record(2, 1)], &two, &[]] {
            assert!(peer.read_records(|| records.iter(), sum), "{records:?}");
            let versions: BTreeMap<Key, Version> =
                records.iter().map(|record| (record.key, record.version)).collect();
            assert_eq!(peer.records, versions);
        }
        assert_eq!(peer.reads, 5);
    }
}
