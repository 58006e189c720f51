//! Streams that others opened and that have proven nothing yet: a small budget of their own, so
//! that however many come, peers find a place and links keep theirs.

use super::Node;
use super::paces::source;
use crate::io::{ConnId, Outbox};
use crate::mark::{Mark, mark};
use crate::mesh::{ConnFault, Phase, Way};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Most of them at once. A handshake takes a few round trips, so this lets in some hundred peers
/// a second however far away they are.
const STRANGERS_MAX: usize = 64;

/// Most of them from one source: a few peers may share one address.
const STRANGERS_OF_SOURCE_MAX: usize = 16;

impl Node {
    /// Makes room for a stream from `remote`: the oldest stranger of the same source goes when that
    /// has its share, and the oldest of whichever source has most when all places are taken.
    pub(super) fn make_room(&mut self, at: Instant, remote: IpAddr, out: &mut Outbox) {
        // In the order in which they came: the driver counts them.
        let mut strangers: BTreeMap<IpAddr, Vec<ConnId>> = BTreeMap::new();
        for (id, conn) in self.conns.iter().filter(|(id, _)| !id.is_dialed()) {
            match &conn.phase {
                Phase::Shaking(shaking) => {
                    strangers.entry(source(shaking.ends.remote.ip())).or_default().push(*id);
                }
                // Those that end have had their last word written, or are about to be cut off.
                Phase::Dialing | Phase::Up(_) | Phase::Ending { .. } => {}
            }
        }
        let own = strangers.get(&source(remote)).filter(|own| own.len() >= STRANGERS_OF_SOURCE_MAX);
        let is_full = strangers.values().map(Vec::len).sum::<usize>() >= STRANGERS_MAX;
        let most = || strangers.values().rev().max_by_key(|ids| ids.len()).filter(|_| is_full);
        if let Some(oldest) = own.or_else(most).and_then(|ids| ids.first()) {
            mark(Mark::ConnCrowded);
            self.end(at, *oldest, ConnFault::Crowded, Way::Ours(Vec::new()), out);
        }
    }
}
