//! Control streams as the boundary names them: which one, where to, and why one came to nothing.

use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// A control stream. Never reused within one run of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId(u64);

impl ConnId {
    /// The `n`th stream that the core dialed; the core counts these.
    pub const fn dialed(n: u64) -> Self {
        Self(n << 1)
    }

    /// The `n`th stream that the driver accepted; the driver counts these.
    pub const fn accepted(n: u64) -> Self {
        Self(n << 1 | 1)
    }

    /// Whether this side dialed.
    pub const fn is_dialed(self) -> bool {
        self.0 & 1 == 0
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_dialed() { "->" } else { "<-" }, self.0 >> 1)
    }
}

/// A peer to dial: a host name or address, and the port when it is not our own.
///
/// Kept as text, because a name is looked up afresh for every dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Host name, IPv4 or IPv6 address (without brackets).
    pub host: String,
    /// Control port.
    pub port: u16,
}

impl Target {
    /// Longest host name, in bytes (RFC 1035 section 2.3.4, as text).
    pub const HOST_LEN_MAX: usize = 253;

    /// Parses `HOST`, `HOST:PORT` or `[IPV6]:PORT`; without a port, `default_port` is meant.
    ///
    /// # Errors
    /// When the host is no name or address, or the port no number from 1 to 65535.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, ParseTargetError> {
        let bad = || ParseTargetError(String::from(text));
        let port = |text: &str| text.parse().ok().filter(|port| *port != 0).ok_or_else(bad);
        if let Ok(address) = IpAddr::from_str(text) {
            return Ok(Self { host: alloc::format!("{address}"), port: default_port });
        }
        if let Ok(address) = SocketAddr::from_str(text) {
            let host = alloc::format!("{}", address.ip());
            let port = address.port();
            return if port == 0 { Err(bad()) } else { Ok(Self { host, port }) };
        }
        let (host, port) = match text.split_once(':') {
            Some((host, tail)) => (host, port(tail)?),
            None => (text, default_port),
        };
        let is_name = (1..=Self::HOST_LEN_MAX).contains(&host.len())
            && !host.starts_with('-')
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if is_name { Ok(Self { host: String::from(host), port }) } else { Err(bad()) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why a text is no peer address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no peer address: expected HOST, HOST:PORT or [IPV6]:PORT, and no zone such as %eth0"
)]
pub struct ParseTargetError(pub String);

/// Why a dial came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum DialFailure {
    /// The name has no address.
    #[error("cannot find the address of '{host}': {why}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's words.
        why: String,
    },
    /// Nobody listens, no route, or no answer in time.
    #[error("cannot connect: {0}")]
    Connect(String),
}

/// Why a stream ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CloseReason {
    /// The other side ended it in order.
    #[error("closed by the other side")]
    Ended,
    /// Anything else.
    #[error("connection lost: {0}")]
    Lost(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_target_has_port_zero() {
        for text in ["n1:0", "192.0.2.1:0", "[fd00::1]:0"] {
            assert!(Target::parse(text, 6783).is_err(), "{text} was accepted");
        }
        let target = Target { host: String::from("fd00::1"), port: 7 };
        assert_eq!(Target::parse("[fd00::1]:7", 6783), Ok(target));
    }
}
