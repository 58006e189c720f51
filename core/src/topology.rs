//! The mesh as its peers describe it: who is linked with whom, who can be reached, and by which way.

use crate::id::{Incarnation, PeerId, PeerName};
use alloc::collections::BTreeSet;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Body of [`crate::record::Key::Peer`]: a peer and its links, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// 48-bit name.
    pub name: PeerName,
    /// Label for people.
    pub nickname: String,
    /// Which start.
    pub incarnation: Incarnation,
    /// Neighbours with a working data path. A link counts where both ends report it.
    pub links: BTreeSet<PeerId>,
    /// Addresses at which others may dial it, as its neighbours see them; at most 8.
    pub addresses: BTreeSet<core::net::SocketAddr>,
}
