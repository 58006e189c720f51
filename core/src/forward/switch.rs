//! Where each MAC address was last seen.

use crate::id::PeerName;

/// Where a MAC address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On the local bridge.
    Here,
    /// Behind a peer.
    Peer(PeerName),
}

/// The table of learned addresses.
#[derive(Debug)]
pub struct Switch {}
