//! The tree down which news flow: which links are part of it.

use super::Node;
use crate::gossip::{TreeMessage, is_urgent};
use crate::id::PeerId;
use crate::io::{ConnId, Outbox};
use crate::mark::{Mark, mark};
use crate::mesh::Conn;
use crate::record::{Key, Record};
use crate::time::Instant;
use alloc::vec::Vec;

impl Node {
    /// A neighbour pushes `records`.
    pub(super) fn pushed(
        &mut self,
        at: Instant,
        (conn, peer): (ConnId, PeerId),
        records: Vec<Record>,
        out: &mut Outbox,
    ) {
        let is_introduced = records.iter().any(|record| record.key == Key::Peer(peer));
        let is_redundant = self.is_redundant(peer, &records);
        self.accept_all(at, (conn, peer), records, out);
        let Some(link) = self.conns.get_mut(&conn).and_then(Conn::link_mut) else { return };
        if is_introduced && !core::mem::replace(&mut link.is_introduced, true) {
            self.turn.links_changed = true;
        }
        // What a comparison has found a moment ago says nothing about the tree.
        if is_redundant && link.pull.is_none() {
            mark(Mark::TreeRedundant);
            link.news.prune();
        }
    }

    /// Whether `peer` relays all of `records`, and they came by another way before. What it says of
    /// itself it pushes along every link, with what that rests on; so it does with what is urgent.
    fn is_redundant(&self, peer: PeerId, records: &[Record]) -> bool {
        let is_relayed = |record: &Record| record.writer != peer && !is_urgent(&record.key);
        let is_held = |record: &Record| self.records.get(&record.key) == Some(record);
        !records.is_empty() && records.iter().all(|record| is_relayed(record) && is_held(record))
    }

    /// A neighbour says something about the tree, which is sound.
    pub(super) fn tree_message(
        &mut self,
        at: Instant,
        (conn, peer): (ConnId, PeerId),
        message: TreeMessage,
    ) {
        let Some(link) = self.conns.get_mut(&conn).and_then(Conn::link_mut) else { return };
        match message {
            TreeMessage::Have(all) => {
                for have in all {
                    if self.records.holds(have) {
                        let held =
                            self.records.keys(have.key).filter_map(|key| self.records.get(&key));
                        let same = held.filter(|held| held.version == have.version);
                        same.for_each(|held| link.news.knows(&held.key));
                    } else {
                        mark(Mark::TreeAnnounced);
                        self.lacking.heard(at, peer, have);
                    }
                }
            }
            TreeMessage::Graft(keys) => link.news.grafted(&keys, &self.records),
            TreeMessage::Prune => link.news.pruned(),
        }
    }

    /// Asks for what was announced and has not come.
    pub(super) fn mend_tree(&mut self, at: Instant) {
        let (records, neighbours) = (&self.records, &self.neighbours);
        let is_held = |have| records.holds(have);
        let asked = self.lacking.take(at, is_held, |peer| neighbours.contains_key(peer));
        for (peer, key) in asked {
            let conn = neighbours.get(&peer).and_then(|conn| self.conns.get_mut(conn));
            if let Some(link) = conn.and_then(Conn::link_mut) {
                link.news.graft(key);
            }
        }
    }
}
