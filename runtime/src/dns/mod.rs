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
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use udp::Answering;

/// Where questions come in over UDP, for a thread that waits for them, and TCP.
pub type Sockets = (UdpSocket, TcpListener);

/// Both sockets, bound to `at`.
///
/// # Errors
/// The kernel's.
pub async fn bind(at: SocketAddr) -> io::Result<Sockets> {
    Ok((UdpSocket::bind(at)?, TcpListener::bind(at).await?))
}

/// A running DNS server; it stops when it is dropped.
#[derive(Debug)]
pub struct DnsServer {
    _udp: Answering,
    tcp: AbortHandle,
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.tcp.abort();
    }
}

impl DnsServer {
    /// Answers what comes to `udp` and `tcp`, bound to the same address, by what `handler` says.
    ///
    /// # Errors
    /// When there can be no thread.
    fn start((udp, tcp): Sockets, handler: Arc<Handler>) -> io::Result<Self> {
        let _udp = Answering::start(udp, Arc::clone(&handler))?;
        let tcp = tokio::spawn(tcp::serve(tcp, handler)).abort_handle();
        Ok(Self { _udp, tcp })
    }
}

#[cfg(test)]
mod tests;
