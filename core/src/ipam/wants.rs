//! What commands want that cannot be answered yet.

use crate::addr::{Offset, Range};
use crate::id::{ContainerId, PeerId};
use crate::io::{EVICTION_MAX, RequestId};
use crate::time::Instant;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;
use ipnet::IpNet;

/// A command that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) request: RequestId,
    pub(super) want: Want,
    /// When it is answered with the reason.
    pub(super) give_up_at: Instant,
}

#[derive(Clone, Debug)]
pub(super) enum Want {
    /// An address out of each of these.
    Any { id: ContainerId, pools: Vec<Pool> },
    /// Just this address, which lies at `offset`.
    This { id: ContainerId, address: IpNet, offset: Offset },
    /// That others have all that was ours.
    Leave,
    /// That dead peers, who owned so many `addresses`, own nothing any more.
    Eviction { victims: BTreeSet<PeerId>, addresses: u128, is_forced: bool, is_patient: bool },
}

/// A subnet of which some address is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    /// Whose prefix the address gets.
    pub(super) subnet: IpNet,
    /// Without its first and last address.
    pub(super) usable: Range,
}

impl Want {
    /// How long it waits, when most wait for `usual`.
    pub(super) fn patience(&self, usual: Duration) -> Duration {
        match self {
            Self::Eviction { is_patient: true, .. } => usual.max(EVICTION_MAX),
            Self::Eviction { is_patient: false, .. }
            | Self::Any { .. }
            | Self::This { .. }
            | Self::Leave => usual,
        }
    }

    /// Out of which ranges something is wanted.
    pub(super) fn ranges(&self) -> Vec<Range> {
        match self {
            Self::Any { pools, .. } => pools.iter().map(|pool| pool.usable).collect(),
            Self::This { offset, .. } => {
                alloc::vec![Range { start: *offset, end: Offset(offset.0 + 1) }]
            }
            Self::Leave | Self::Eviction { .. } => Vec::new(),
        }
    }
}

/// The earliest moment at which one of `waiting` is given up.
pub(super) fn give_up_at(waiting: &[Waiting]) -> Option<Instant> {
    waiting.iter().map(|waiting| waiting.give_up_at).min()
}
