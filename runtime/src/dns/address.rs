//! Where DNS servers are asked.

use std::net::{IpAddr, SocketAddr};

/// The port that DNS servers are asked at (RFC 1035 section 4.2).
pub const PORT: u16 = 53;

/// An address, with [`PORT`] where `text` names none; `None` when that is no address.
pub(crate) fn socket_address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    let without_port = bare.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT));
    without_port.or_else(|_| text.parse()).ok()
}
