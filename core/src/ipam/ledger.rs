//! Who owns which addresses: a map from address to (epoch, version, owner), kept as intervals.

use crate::addr::Range;
use crate::id::PeerId;
use crate::record::Fingerprint;
use serde::{Deserialize, Serialize};

/// Body of [`crate::record::Key::Grant`]: addresses change owner. Written by the owner before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The founding that it builds on.
    pub lineage: Fingerprint,
    /// Which addresses.
    pub range: Range,
    /// Raised only by a decided takeover.
    pub epoch: u32,
    /// One more than the highest version of the range before.
    pub version: u64,
    /// To whom.
    pub owner: PeerId,
}

/// The map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {}
