//! One run of a daemon, and others as the same peer.

use crate::time::Instant;
use core::num::NonZeroU32;

/// Which run of a daemon this is, and what it knows of others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Drawn at the start.
    pub(super) id: NonZeroU32,
    /// Another run as the same peer, of which was heard last.
    pub(super) rival: Option<NonZeroU32>,
    /// When it last outlived one.
    pub(super) outlived_at: Option<Instant>,
}

impl Run {
    pub(super) const fn new(id: NonZeroU32) -> Self {
        Self { id, rival: None, outlived_at: None }
    }
}
