//! turmoil's sockets as the runtime wants them.

use axum::serve::Listener;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::time::sleep;
use turmoil::net::{TcpListener, TcpStream};
use weft::net::Net;

/// Control port and sleeve port of every host.
pub(crate) const PORT: u16 = 6783;

/// Where every host serves its API. A unix socket in production, which turmoil does not have.
pub(crate) const API_PORT: u16 = 6784;

/// Time before a listener that failed is asked again.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// Any address of a host, and `port`.
pub(super) const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// turmoil's TCP as the driver wants it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TurmoilNet;

impl Net for TurmoilNet {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(at).await
    }

    async fn accept(on: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        on.accept().await
    }

    fn listens_at(on: &TcpListener) -> io::Result<SocketAddr> {
        on.local_addr()
    }

    async fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(to).await
    }

    fn local_addr(stream: &TcpStream) -> io::Result<SocketAddr> {
        stream.local_addr()
    }

    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![host.parse().unwrap_or_else(|_| turmoil::lookup(host))])
    }
}

/// turmoil's TCP as the API's server wants it.
pub(super) struct ApiListener(pub(super) TcpListener);

impl Listener for ApiListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                Err(_) => sleep(ACCEPT_WAIT).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
