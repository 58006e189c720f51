//! Answers names: those of the mesh from what the node knows, all others by asking the host's
//! name servers.

mod address;
mod cache;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handler;
mod payload;
mod service;
mod tcp;
mod udp;
mod upstream;
mod zone;

pub use address::PORT;
pub use forward::{Forward, ParseForwardError};
pub use service::{DnsService, ServeError};
pub use upstream::Upstreams;
pub use zone::{Answer, TTL, Zone, ZoneOptions};

pub(crate) use address::socket_address;

use handler::Handler;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::AbortHandle;

/// Where questions come in over UDP and TCP.
pub type Sockets = (UdpSocket, TcpListener);

/// Both sockets, bound to `at`.
///
/// # Errors
/// The kernel's.
pub async fn bind(at: SocketAddr) -> std::io::Result<Sockets> {
    Ok((UdpSocket::bind(at).await?, TcpListener::bind(at).await?))
}

/// A running DNS server; it stops when it is dropped.
pub struct DnsServer {
    udp: AbortHandle,
    tcp: AbortHandle,
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.udp.abort();
        self.tcp.abort();
    }
}

impl std::fmt::Debug for DnsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DnsServer")
    }
}

impl DnsServer {
    /// Answers what comes to `udp` and `tcp`, bound to the same address, by what `handler` says.
    fn start((udp, tcp): Sockets, handler: Arc<Handler>) -> Self {
        let udp = tokio::spawn(udp::serve(udp, Arc::clone(&handler))).abort_handle();
        let tcp = tokio::spawn(tcp::serve(tcp, handler)).abort_handle();
        Self { udp, tcp }
    }
}

#[cfg(test)]
mod tests;
