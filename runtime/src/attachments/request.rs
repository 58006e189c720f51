//! Addresses as people ask for them.

use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use weft_core::addr::{parse_net, wanted};

/// An address as people ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressRequest {
    /// `net:default`, or `net:CIDR`: any free address of that subnet.
    Any(Option<IpNet>),
    /// `ip:CIDR`, or plain `CIDR`: just this one.
    This(IpNet),
    /// `ip:ADDRESS`, or plain `ADDRESS`: just this one, in the default subnet.
    InDefault(IpAddr),
}

/// Why a text is no address request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{given}' is no address: {expected}",
    given = .0,
    expected = wanted(bare(.0), "net:default, net:SUBNET/LEN, ADDRESS or ADDRESS/LEN")
)]
pub struct ParseAddressRequestError(pub String);

/// `text` without what it may begin with.
fn bare(text: &str) -> &str {
    ["net:", "ip:"].iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or(text)
}

impl fmt::Display for AddressRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(None) => f.write_str("net:default"),
            Self::Any(Some(subnet)) => write!(f, "net:{subnet}"),
            Self::This(address) => write!(f, "{address}"),
            Self::InDefault(address) => write!(f, "{address}"),
        }
    }
}

impl FromStr for AddressRequest {
    type Err = ParseAddressRequestError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let net =
            |part: &str| parse_net(part).ok_or_else(|| ParseAddressRequestError(text.to_string()));
        let this = |part: &str| match part.parse() {
            Ok(address) => Ok(Self::InDefault(address)),
            Err(_) => net(part).map(Self::This),
        };
        match text.split_once(':') {
            Some(("net", "default")) => Ok(Self::Any(None)),
            Some(("net", subnet)) => Ok(Self::Any(Some(net(subnet)?))),
            Some(("ip", address)) => this(address),
            Some(_) | None => this(text),
        }
    }
}
