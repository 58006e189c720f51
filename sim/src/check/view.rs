//! What the oracle sees: plain data about each host, small enough to be made up in a test.

use crate::host::Host;
use crate::host::report::Report;
use std::collections::{BTreeMap, BTreeSet};
use weft_core::addr::{Range, Universe};
use weft_core::id::{ContainerId, Incarnation, PeerId, PeerName};
use weft_core::io::Command;
use weft_core::names::{KnownName, NameEntry};
use weft_core::node::Node;
use weft_core::record::Fingerprint;
use weft_core::status::{ConnState, IpamState};
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
    /// Hosts that the network lets it reach, itself and ways over others included.
    pub island: BTreeSet<usize>,
    /// Whether it would hand out addresses that it owns.
    pub gate_open: bool,
    /// Its ledger, once there is one.
    pub ledger: Option<Vec<Owned>>,
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
    pub records: usize,
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
}

impl View {
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
        let host = self.peers.iter().position(|peer| peer.id == Some(id));
        host.map_or_else(|| id.to_string(), |host| format!("n{}", host + 1))
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
        let Some(running) = &host.running else { return };
        self.waiting.extend(
            running
                .asked
                .values()
                .map(|(since, command)| Waiting { since: *since, command: command.clone() }),
        );
        self.read_ipam(&running.node);
    }

    /// Reads what the node says of addresses.
    pub fn read_ipam(&mut self, node: &Node) {
        self.id = Some(node.id());
        self.name = node.name();
        let ipam = node.ipam();
        self.gate_open = match ipam.status().state {
            IpamState::Ready => true,
            IpamState::Idle
            | IpamState::AwaitingConsensus { .. }
            | IpamState::AwaitingMerge
            | IpamState::Left => false,
        };
        self.lineage = ipam.lineage();
        self.ledger = ipam.ledger().map(|ledger| {
            let entries = ledger.entries();
            entries
                .map(|(range, epoch, version, owner)| Owned { range, epoch, version, owner })
                .collect()
        });
        self.noted = ipam
            .held()
            .map(|(id, addresses)| (id.clone(), addresses.iter().copied().collect()))
            .collect();
    }

    /// Reads the rest, for the rules of a settled world.
    pub fn read_mesh(&mut self, node: &Node, now: Now) {
        let status = node.status(now);
        self.incarnation = status.incarnation;
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
        self.records = node.records().len();
    }
}
