//! Streams between hosts, real or simulated.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Where control streams come from. The simulator has one of its own.
pub trait Net: Send + Sync + 'static {
    /// A control stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// What accepts them.
    type Listener: Send + 'static;

    /// Starts to listen; a port of 0 means any free one.
    fn listen(&self, at: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// The next stream, and its other end.
    fn accept(
        on: &mut Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Where a listener listens.
    ///
    /// # Errors
    /// The socket's.
    fn listens_at(on: &Self::Listener) -> io::Result<SocketAddr>;

    /// Opens a stream; takes as long as the network likes.
    fn dial(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Our end of a stream.
    ///
    /// # Errors
    /// The socket's.
    fn local_addr(stream: &Self::Stream) -> io::Result<SocketAddr>;

    /// All addresses of a host name; an address is its own.
    fn resolve(&self, host: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;
}

/// The host's TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioNet;

impl TokioNet {
    /// Listens on `port` for both address families, or for IPv4 alone on a host without IPv6.
    ///
    /// # Errors
    /// The socket's, chiefly that the port is in use.
    pub async fn listen_everywhere(self, port: u16) -> io::Result<TcpListener> {
        match self.listen((Ipv6Addr::UNSPECIFIED, port).into()).await {
            Err(why) if why.kind() != io::ErrorKind::AddrInUse => {
                self.listen((Ipv4Addr::UNSPECIFIED, port).into()).await
            }
            other => other,
        }
    }
}

impl Net for TokioNet {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(at).await
    }

    async fn accept(on: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, remote) = on.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, canonical(remote)))
    }

    fn listens_at(on: &TcpListener) -> io::Result<SocketAddr> {
        on.local_addr()
    }

    async fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn local_addr(stream: &TcpStream) -> io::Result<SocketAddr> {
        Ok(canonical(stream.local_addr()?))
    }

    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut found: Vec<IpAddr> = Vec::new();
        for address in tokio::net::lookup_host((host, 0)).await? {
            if !found.contains(&address.ip()) {
                found.push(address.ip());
            }
        }
        Ok(found)
    }
}

/// IPv4 addresses that a dual-stack socket shows as IPv6 become IPv4 again.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
