//! What an insider knows: all that gossip would have told it.

use crate::check::Owned;
use weft_core::addr::Universe;
use weft_core::id::{Incarnation, PeerId, PeerName};
use weft_core::node::Node;
use weft_core::record::{Fingerprint, Key};

/// A host and its mesh, as the host sees it.
#[derive(Clone, Debug)]
pub(in crate::world) struct Facts {
    pub(super) host: PeerId,
    pub(super) name: PeerName,
    /// Which life the host is in.
    pub(super) incarnation: Incarnation,
    /// Other peers that the host knows of.
    pub(super) others: Vec<(PeerId, PeerName)>,
    pub(super) universe: Universe,
    pub(super) lineage: Option<Fingerprint>,
    pub(super) owned: Vec<Owned>,
    /// Peers that the host has links with.
    pub(super) neighbours: Vec<PeerId>,
    /// Of all records.
    pub(super) keys: Vec<Key>,
}

impl Facts {
    /// As `node` sees it, whose mesh divides `universe`.
    pub(in crate::world) fn of(node: &Node, universe: Universe) -> Self {
        let peers = node.peers().filter(|(id, _)| *id != node.id());
        let entries = node.ipam().ledger().into_iter().flat_map(|ledger| ledger.entries());
        Self {
            host: node.id(),
            name: node.name(),
            incarnation: node.last_version().incarnation,
            others: peers.map(|(id, record)| (id, record.name)).collect(),
            universe,
            lineage: node.ipam().lineage(),
            owned: entries
                .map(|(range, epoch, version, owner)| Owned { range, epoch, version, owner })
                .collect(),
            neighbours: node
                .peers()
                .filter(|(id, _)| *id == node.id())
                .flat_map(|(_, record)| record.links.iter().copied())
                .collect(),
            keys: node.records().iter().map(|record| record.key).collect(),
        }
    }

    /// Its name.
    pub(super) fn another_name(&self) -> PeerName {
        self.others.first().map_or(self.name, |(_, name)| *name)
    }

    /// Another peer that the host knows of, or the host itself.
    pub(super) fn another(&self) -> PeerId {
        self.others.first().map_or(self.host, |(id, _)| *id)
    }
}
