//! Ghosts: records of ours that this run did not write.
//!
//! Either our disk was put back to before they were written, or a *twin* wrote them: another daemon that runs
//! from a copy of our state folder. Both look the same at first, and are outlived. But the records that a
//! daemon writes of itself name its run, and the other one that it heard of last. Nobody but who runs at this
//! moment can name ours, which was drawn when it began: who does is a twin. Then both would hand out the same
//! addresses, and stop doing so.

use super::Node;
use crate::id::Incarnation;
use crate::io::Outbox;
use crate::ipam::TWIN_WAIT;
use crate::mark::{Mark, mark};
use crate::record::{Key, Record, Version};
use crate::saved::{Change, Slot};
use crate::time::Instant;
use crate::topology::PeerRecord;
use alloc::vec::Vec;

impl Node {
    /// A record came, which may be what another run said of itself, in whichever life: of one before, or of a
    /// twin that we have outlived meanwhile.
    pub(super) fn look_for_twin(&mut self, at: Instant, record: &Record, out: &mut Outbox) {
        if record.key != Key::Peer(self.me) || self.records.get(&record.key) == Some(record) {
            return;
        }
        let Ok(said) = record.decode::<PeerRecord>() else { return };
        let last = Version { incarnation: self.incarnation, sequence: self.sequence };
        // What has our run and is no word of ours comes from a copy of the running machine.
        let is_ours = said.run == self.run.id;
        if is_ours && record.version <= last || record.check().is_err() {
            return;
        }
        if !is_ours && self.run.rival != Some(said.run) {
            self.run.rival = Some(said.run);
            self.turn.links_changed = true;
        }
        if is_ours || said.rival == Some(self.run.id) {
            self.meet_twin(at, out);
        }
    }

    /// A record of ours came that we did not write, of the life `ghost`. A twin's is let be when the last was
    /// outlived just now: both know enough.
    pub(super) fn meet_ghost(&mut self, at: Instant, ghost: Incarnation) {
        let is_soon = |last: Instant| at < last + TWIN_WAIT;
        if self.ipam.has_twin() && self.run.outlived_at.is_some_and(is_soon) {
            return;
        }
        mark(Mark::GossipGhost);
        self.run.outlived_at = Some(at);
        self.ipam.doubt(at);
        self.outlive(ghost);
    }

    /// Another daemon runs as this peer.
    pub(super) fn meet_twin(&mut self, at: Instant, out: &mut Outbox) {
        let mut acts = Vec::new();
        self.ipam.meet_twin(at, &mut acts);
        self.act(acts, out);
    }

    /// Starts over in an incarnation that outdates `ghost`.
    fn outlive(&mut self, ghost: Incarnation) {
        self.incarnation = Incarnation(ghost.0.saturating_add(1));
        self.sequence = 0;
        self.turn.changes.push(Change::put(Slot::Incarnation, &self.incarnation));
        self.turn.links_changed = true;
        self.publish_names();
        for key in [Key::Voter(self.me), Key::Freeze(self.me), Key::Space(self.me)] {
            if let Some(record) = self.records.get(&key) {
                let body = record.body.clone();
                self.publish(key, body);
            }
        }
    }
}
