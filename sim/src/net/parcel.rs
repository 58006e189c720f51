//! A datagram as it arrives.

use std::net::SocketAddr;

/// A datagram that has arrived.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// At which host.
    pub host: usize,
    /// Where it seems to come from.
    pub source: SocketAddr,
    /// All of it.
    pub bytes: Vec<u8>,
}
