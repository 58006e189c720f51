//! Strays: addresses that containers have here, and that are another peer's. What is done about them is
//! [`super::regain`].

use crate::id::PeerId;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use core::time::Duration;

/// By offset.
pub(super) type Strays = BTreeMap<u128, Stray>;

/// One address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stray {
    /// When its owner is asked.
    pub(super) ask_at: Instant,
    /// How long its owner may be silent before it is asked again.
    pub(super) patience: Duration,
    /// By whom it was handed out, as that peer said.
    pub(super) denied_by: Option<PeerId>,
}
