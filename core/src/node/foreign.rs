//! A foreign peer: who dialed us and is of a mesh that was founded apart from ours. Only who dials has an attempt to
//! show, so it is kept here for those who look at the side that was dialed.

use crate::id::PeerId;
use crate::mesh::ConnFault;
use crate::status::{ConnState, ConnStatus};
use crate::time::Instant;
use alloc::string::{String, ToString};
use core::time::Duration;

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

impl Foreign {
    /// How it is shown, unless it has stayed away for long, where we would wait for no longer than `dial_wait_max`
    /// between two dials.
    pub(super) fn status(&self, now: Instant, dial_wait_max: Duration) -> Option<ConnStatus> {
        if now - self.met_at > dial_wait_max.saturating_mul(SHOWN_DIALS) {
            return None;
        }
        Some(ConnStatus {
            remote: self.remote.clone(),
            outbound: false,
            state: ConnState::Failed,
            peer: self.peer,
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
