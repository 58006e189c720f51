//! Overlay addresses: the universe that peers divide among themselves, and offsets inside it.

use core::fmt;
use core::net::IpAddr;
use core::net::{Ipv4Addr, Ipv6Addr};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The block of addresses that a mesh divides among its peers; the same on all of them.
///
/// IPv4 and IPv6 are one code: an address is its offset from the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "IpNet", into = "IpNet")]
pub struct Universe(IpNet);

/// Why a block cannot be a universe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UniverseError {
    /// Fewer than four addresses.
    #[error("the range {0} is too small: it must hold at least 4 addresses (/30 or larger)")]
    TooSmall(IpNet),
    /// Larger than offsets are meant for.
    #[error("the range {0} is too large: use a prefix of /64 or longer")]
    TooLarge(IpNet),
    /// Some of it can never be an address of a container.
    #[error(
        "the range {0} meets {1}, which no host can use as addresses of its own: choose another"
    )]
    Unusable(IpNet, IpNet),
    /// Bits set below the prefix.
    #[error("the range {given} has bits set below its prefix: did you mean {meant}?")]
    HostBits {
        /// As given.
        given: IpNet,
        /// With the bits cleared.
        meant: IpNet,
    },
}

/// Blocks that hold no unicast addresses that packets between hosts may bear: this network,
/// loopback, multicast and broadcast, and in IPv6 also link-local ones, of which each interface has
/// its own. Source: RFC 6890.
const UNUSABLE: [IpNet; 7] = [
    IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8)),
    IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4)),
    IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(255, 0, 0, 0), 8)),
    IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 127)),
    IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
    IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8)),
];

impl Universe {
    /// Weave Net's default, 10.32.0.0/12.
    pub const DEFAULT: Self =
        Self(IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(10, 32, 0, 0), 12)));

    /// The universe of `block`.
    ///
    /// # Errors
    /// When `block` is smaller than four addresses, larger than 2^64, has bits below its prefix, or
    /// holds addresses that no host can have.
    pub fn new(block: IpNet) -> Result<Self, UniverseError> {
        let host_bits = block.max_prefix_len() - block.prefix_len();
        if block.trunc() != block {
            return Err(UniverseError::HostBits { given: block, meant: block.trunc() });
        }
        let meets = |other: &&IpNet| other.contains(&block) || block.contains(*other);
        if let Some(unusable) = UNUSABLE.iter().find(meets) {
            return Err(UniverseError::Unusable(block, *unusable));
        }
        match host_bits {
            0 | 1 => Err(UniverseError::TooSmall(block)),
            65.. => Err(UniverseError::TooLarge(block)),
            _ => Ok(Self(block)),
        }
    }

    /// The block in CIDR form.
    pub const fn block(&self) -> IpNet {
        self.0
    }

    /// Number of addresses, network and broadcast address included.
    pub fn size(&self) -> u128 {
        1 << (self.0.max_prefix_len() - self.0.prefix_len())
    }

    /// The whole universe as a range.
    pub fn range(&self) -> Range {
        Range { start: Offset(0), end: Offset(self.size()) }
    }

    /// Where `address` lies, or `None` when it is outside.
    pub fn offset(&self, address: IpAddr) -> Option<Offset> {
        self.0.contains(&address).then(|| Offset(bits(address) - bits(self.0.network())))
    }

    /// The address at `offset`, which must lie inside; offsets beyond the end wrap to the end.
    pub fn address(&self, offset: Offset) -> IpAddr {
        let raw = bits(self.0.network()) + offset.0.min(self.size() - 1);
        match self.0 {
            IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(raw).unwrap_or(u32::MAX))),
            IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from(raw)),
        }
    }

    /// Where `subnet` lies, or `None` unless all of it is inside: an interface in a wider one would
    /// take networks for its neighbours that are not of this mesh.
    pub fn subrange(&self, subnet: IpNet) -> Option<Range> {
        if !self.0.contains(&subnet) {
            return None;
        }
        let start = self.offset(subnet.network())?;
        let size = 1u128 << (subnet.max_prefix_len() - subnet.prefix_len());
        Some(Range { start, end: Offset(start.0 + size) })
    }
}

const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits() as u128,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl TryFrom<IpNet> for Universe {
    type Error = UniverseError;
    fn try_from(block: IpNet) -> Result<Self, Self::Error> {
        Self::new(block)
    }
}

impl From<Universe> for IpNet {
    fn from(universe: Universe) -> Self {
        universe.0
    }
}

impl fmt::Display for Universe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An address as its distance from the first address of the universe.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Offset(pub u128);

/// Addresses from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Range {
    /// First address.
    pub start: Offset,
    /// One past the last address.
    pub end: Offset,
}

impl Range {
    /// Number of addresses; zero when `end` is not above `start`.
    pub const fn size(&self) -> u128 {
        self.end.0.saturating_sub(self.start.0)
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// Whether `offset` lies in it.
    pub const fn contains(&self, offset: Offset) -> bool {
        self.start.0 <= offset.0 && offset.0 < self.end.0
    }

    /// What both have in common, or `None`.
    pub fn intersection(&self, other: Self) -> Option<Self> {
        let both = Self { start: self.start.max(other.start), end: self.end.min(other.end) };
        (!both.is_empty()).then_some(both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_and_address_are_inverse_in_both_families() {
        for block in ["10.32.0.0/12", "fd00:7765:6674::/64", "192.0.2.0/30"] {
            let universe = Universe::new(block.parse().unwrap()).unwrap();
            for offset in [0, 1, universe.size() - 1].map(Offset) {
                assert_eq!(universe.offset(universe.address(offset)), Some(offset));
            }
        }
    }

    #[test]
    fn a_block_of_the_wrong_size_or_with_host_bits_is_refused() {
        let new = |block: &str| Universe::new(block.parse().unwrap());
        assert!(matches!(new("10.0.0.0/31"), Err(UniverseError::TooSmall(_))));
        assert!(matches!(new("fd00::/63"), Err(UniverseError::TooLarge(_))));
        assert!(matches!(new("10.0.0.1/24"), Err(UniverseError::HostBits { .. })));
    }

    #[test]
    fn a_block_that_holds_no_addresses_for_hosts_is_refused() {
        for block in [
            "0.0.0.0/12",
            "127.0.0.0/16",
            "224.0.0.0/8",
            "192.0.0.0/2",
            "255.1.0.0/16",
            "::/64",
            "fe80::/64",
            "ff02::/64",
        ] {
            let refused = Universe::new(block.parse().unwrap());
            assert!(matches!(refused, Err(UniverseError::Unusable(..))), "{block}: {refused:?}");
        }
        for block in ["1.0.0.0/8", "169.254.0.0/16", "240.0.0.0/8", "fd00::/64", "2001:db8::/64"] {
            assert!(Universe::new(block.parse().unwrap()).is_ok(), "{block}");
        }
    }
}
