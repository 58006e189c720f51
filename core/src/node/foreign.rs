//! A foreign peer: who dialed us and is of a mesh that was founded apart from ours. Only who dials has an attempt to
//! show, so it is kept here for those who look at the side that was dialed.

use super::Node;
use crate::id::PeerId;
use crate::mesh::ConnFault;
use crate::status::{ConnState, ConnStatus};
use crate::time::Instant;
use alloc::string::{String, ToString};

/// It is shown for so many times the longest wait between two dials: whoever still dials us has done so again by then,
/// if it waits as long as we would.
const SHOWN_DIALS: u32 = 2;

/// Who it was.
#[derive(Clone, Debug)]
pub(super) struct Foreign {
    /// Its identity, if it came to tell.
    pub(super) peer: Option<PeerId>,
    /// From where it dialed.
    pub(super) remote: String,
    /// When it was refused.
    pub(super) met_at: Instant,
}

impl Node {
    /// The last foreign peer, unless it is one no longer, or has stayed away.
    pub(super) fn foreign_status(&self, now: Instant) -> Option<ConnStatus> {
        let Foreign { peer, remote, met_at } = self.foreign.as_ref()?;
        let is_linked = peer.is_some_and(|peer| self.neighbours.contains_key(&peer));
        if is_linked || now - *met_at > self.config.dial_wait_max.saturating_mul(SHOWN_DIALS) {
            return None;
        }
        Some(ConnStatus {
            remote: remote.clone(),
            outbound: false,
            state: ConnState::Failed,
            peer: *peer,
            name: None,
            nickname: None,
            datagrams_to: None,
            encrypted: false,
            old_secret: false,
            up_for: None,
            round_trip: None,
            why: Some(ConnFault::Lineage.to_string()),
            retry_in: None,
        })
    }
}
