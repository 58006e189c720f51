//! Overlay addresses: the universe that peers divide among themselves, and offsets inside it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The addresses that a mesh divides among its peers; the same on all of them: one block, or one of
/// each family.
///
/// IPv4 and IPv6 are one code: an address is its offset, counted over both blocks. The larger one comes
/// first (of equals that of IPv4), so that each block begins at a multiple of its size, and parts of it whose
/// sizes are powers of two are subnets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Blocks", into = "Blocks")]
pub struct Universe {
    larger: IpNet,
    smaller: Option<IpNet>,
}

/// As it is written: IPv4 before IPv6.
type Blocks = (IpNet, Option<IpNet>);

/// Why blocks cannot be a universe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UniverseError {
    /// Not in CIDR form.
    #[error("'{given}' is no range: {expected}", given = .0, expected = wanted(.0, "ADDRESS/LEN such as 10.32.0.0/12"))]
    NoBlock(String),
    /// None, or more than one of a family.
    #[error("expected one range, or one of IPv4 and one of IPv6, and not {0}")]
    Families(String),
    /// Fewer than four addresses.
    #[error(
        "the range {0} is too small: it must hold at least 4 addresses (/30 of IPv4, /126 of IPv6, or larger)"
    )]
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
/// its own, and those that stand for IPv4 addresses in programs and never on a wire. Source: RFC 6890.
const UNUSABLE: [IpNet; 8] = [
    IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8)),
    IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4)),
    IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(255, 0, 0, 0), 8)),
    IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 127)),
    IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96)),
    IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
    IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8)),
];

impl Universe {
    /// Weave Net's default, 10.32.0.0/12.
    pub const DEFAULT: Self = Self {
        larger: IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(10, 32, 0, 0), 12)),
        smaller: None,
    };

    /// The universe of one `block`.
    ///
    /// # Errors
    /// When `block` is smaller than four addresses, larger than 2^64, has bits below its prefix, or
    /// holds addresses that no host can have.
    pub fn new(block: IpNet) -> Result<Self, UniverseError> {
        check(block)?;
        Ok(Self { larger: block, smaller: None })
    }

    /// The universe of `blocks`: one, or one of each family.
    ///
    /// # Errors
    /// When there are none, or others of one family, and for each as [`Universe::new`].
    pub fn of(blocks: &[IpNet]) -> Result<Self, UniverseError> {
        match *blocks {
            [block] => Self::new(block),
            [one, two] if one.max_prefix_len() != two.max_prefix_len() => {
                check(one)?;
                check(two)?;
                let is_in_order =
                    (len(one), two.max_prefix_len()) > (len(two), one.max_prefix_len());
                let (larger, smaller) = if is_in_order { (one, two) } else { (two, one) };
                Ok(Self { larger, smaller: Some(smaller) })
            }
            _ => Err(UniverseError::Families(listed(blocks))),
        }
    }

    /// The blocks in CIDR form, IPv4 before IPv6.
    pub fn blocks(&self) -> impl Iterator<Item = IpNet> + use<> {
        let (first, second) = Blocks::from(*self);
        core::iter::once(first).chain(second)
    }

    /// The block that `address` is in the family of, whether it contains it or not.
    pub fn block_of(&self, address: IpAddr) -> Option<IpNet> {
        self.blocks().find(|block| block.addr().is_ipv4() == address.is_ipv4())
    }

    /// The blocks with where they lie, in order of that.
    pub fn shares(&self) -> impl Iterator<Item = (IpNet, Range)> + use<> {
        let middle = len(self.larger);
        let first = Range { start: Offset(0), end: Offset(middle) };
        let second =
            self.smaller.map(|it| (it, Range { start: first.end, end: Offset(middle + len(it)) }));
        core::iter::once((self.larger, first)).chain(second)
    }

    /// Number of addresses, network and broadcast addresses included.
    pub fn size(&self) -> u128 {
        len(self.larger) + self.smaller.map_or(0, len)
    }

    /// The whole universe as a range.
    pub fn range(&self) -> Range {
        Range { start: Offset(0), end: Offset(self.size()) }
    }

    /// Where `address` lies, or `None` when it is outside.
    pub fn offset(&self, address: IpAddr) -> Option<Offset> {
        let (block, range) = self.shares().find(|(block, _)| block.contains(&address))?;
        Some(Offset(range.start.0 + (bits(address) - bits(block.network()))))
    }

    /// The address at `offset`, which must lie inside; offsets beyond the end wrap to the end.
    pub fn address(&self, offset: Offset) -> IpAddr {
        let offset = offset.0.min(self.size() - 1);
        let (block, at) = match offset.checked_sub(len(self.larger)).zip(self.smaller) {
            Some((at, smaller)) => (smaller, at),
            None => (self.larger, offset),
        };
        let raw = bits(block.network()) + at;
        match block {
            IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(raw).unwrap_or(u32::MAX))),
            IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from(raw)),
        }
    }

    /// Where `subnet` lies, or `None` unless all of it is inside: an interface in a wider one would
    /// take networks for its neighbours that are not of this mesh.
    pub fn subrange(&self, subnet: IpNet) -> Option<Range> {
        self.shares().find(|(block, _)| block.contains(&subnet))?;
        let start = self.offset(subnet.network())?;
        Some(Range { start, end: Offset(start.0 + len(subnet)) })
    }
}

fn check(block: IpNet) -> Result<(), UniverseError> {
    if block.trunc() != block {
        return Err(UniverseError::HostBits { given: block, meant: block.trunc() });
    }
    let meets = |other: &&IpNet| other.contains(&block) || block.contains(*other);
    if let Some(unusable) = UNUSABLE.iter().find(meets) {
        return Err(UniverseError::Unusable(block, *unusable));
    }
    match block.max_prefix_len() - block.prefix_len() {
        0 | 1 => Err(UniverseError::TooSmall(block)),
        65.. => Err(UniverseError::TooLarge(block)),
        _ => Ok(()),
    }
}

/// Number of addresses of a block that is not all of IPv6.
fn len(block: IpNet) -> u128 {
    1 << (block.max_prefix_len() - block.prefix_len())
}

fn listed(blocks: &[IpNet]) -> String {
    let texts: Vec<String> = blocks.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "none".to_string() } else { texts.join(",") }
}

const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits() as u128,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl TryFrom<Blocks> for Universe {
    type Error = UniverseError;
    fn try_from((first, second): Blocks) -> Result<Self, Self::Error> {
        match second {
            None => Self::new(first),
            Some(second) if first.addr().is_ipv4() => Self::of(&[first, second]),
            // One universe is written in one way.
            Some(second) => Err(UniverseError::Families(listed(&[first, second]))),
        }
    }
}

impl From<Universe> for Blocks {
    fn from(Universe { larger, smaller }: Universe) -> Self {
        match smaller {
            Some(smaller) if smaller.addr().is_ipv4() => (smaller, Some(larger)),
            Some(_) | None => (larger, smaller),
        }
    }
}

impl FromStr for Universe {
    type Err = UniverseError;
    /// One block, or two with a comma between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let block =
            |text: &str| parse_net(text).ok_or_else(|| UniverseError::NoBlock(text.to_string()));
        Self::of(&text.split(',').map(block).collect::<Result<Vec<IpNet>, _>>()?)
    }
}

/// `ADDRESS/LEN`, as people write it. A number with leading zeros is none: to some tools 010 is eight, and the
/// standard library refuses it in an address (RFC 6943, section 3.1.1).
pub fn parse_net(text: &str) -> Option<IpNet> {
    let (address, len) = text.split_once('/')?;
    let is_plain = len == "0" || !len.starts_with(['0', '+']);
    IpNet::new(address.parse().ok()?, len.parse().ok().filter(|_| is_plain)?).ok()
}

/// What is expected in place of `text`, which [`parse_net`] does not take: its prefix length is too long, or else it
/// should look like `usual`.
pub fn wanted(text: &str, usual: &str) -> String {
    match longest_len(text) {
        Some(len_max) => alloc::format!("expected a prefix length of {len_max} at most"),
        None => alloc::format!("expected {usual}"),
    }
}

/// The longest prefix length of the address in `text`, where that is followed by one that is longer.
fn longest_len(text: &str) -> Option<u8> {
    let (address, len) = text.split_once('/')?;
    let len_max = IpNet::from(address.parse::<IpAddr>().ok()?).max_prefix_len();
    let is_number = !len.starts_with('0') && len.bytes().all(|byte| byte.is_ascii_digit());
    let is_longer =
        is_number && !len.is_empty() && len.parse().map_or(true, |len: u8| len > len_max);
    is_longer.then_some(len_max)
}

impl fmt::Display for Universe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&listed(&self.blocks().collect::<Vec<_>>()))
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
        for blocks in [
            "10.32.0.0/12",
            "fd00:7765:6674::/64",
            "192.0.2.0/30",
            "10.32.0.0/12,fd00:7765:6674::/64",
            "10.0.0.0/8,fd00::/112",
        ] {
            let universe: Universe = blocks.parse().unwrap();
            let middle = universe.shares().next().unwrap().1.end.0;
            let offsets = [0, 1, middle - 1, middle, universe.size() - 1];
            for offset in offsets.map(|at| Offset(at.min(universe.size() - 1))) {
                assert_eq!(universe.offset(universe.address(offset)), Some(offset), "{blocks}");
            }
        }
    }

    #[test]
    fn two_blocks_lie_one_after_the_other_the_larger_one_first_however_they_are_given() {
        let [v4, v6]: [IpNet; 2] = ["10.32.0.0/12", "fd00::/112"].map(|it| it.parse().unwrap());
        let universe = Universe::of(&[v6, v4]).unwrap();
        assert_eq!(Universe::of(&[v4, v6]), Ok(universe));
        assert_eq!(universe.to_string(), "10.32.0.0/12,fd00::/112");
        assert_eq!(universe.address(Offset(0)), v4.network());
        assert_eq!(universe.address(Offset(1 << 20)), v6.network());
        assert_eq!(universe.size(), (1 << 20) + (1 << 16));
        let subnet = universe.subrange("fd00::100/120".parse().unwrap()).unwrap();
        assert_eq!(subnet.start, Offset((1 << 20) + 0x100));
        assert_eq!(universe.subrange("fd00::/64".parse().unwrap()), None);
        let equal: Universe = "fd00::/104,10.0.0.0/8".parse().unwrap();
        assert_eq!(equal.address(Offset(0)), "10.0.0.0".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_universe_is_written_in_one_way() {
        let universe: Universe = "10.32.0.0/12,fd00::/64".parse().unwrap();
        let bytes = crate::codec::encode(&universe);
        assert_eq!(crate::codec::decode::<Universe>(&bytes).unwrap(), universe);
        let [v4, v6]: [IpNet; 2] = ["10.32.0.0/12", "fd00::/64"].map(|it| it.parse().unwrap());
        for bad in [(v6, Some(v4)), (v4, Some(v4)), (v6, Some(v6))] {
            assert!(crate::codec::decode::<Universe>(&crate::codec::encode(&bad)).is_err());
        }
    }

    #[test]
    fn blocks_that_are_not_one_of_each_family_are_refused() {
        for bad in ["10.0.0.0/8,10.32.0.0/12", "fd00::/64,fd01::/64", "10.0.0.0/8,fd00::/64,::/0"] {
            assert!(matches!(bad.parse::<Universe>(), Err(UniverseError::Families(_))), "{bad}");
        }
        assert!(matches!(Universe::of(&[]), Err(UniverseError::Families(_))));
        assert!(matches!("10.0.0.0".parse::<Universe>(), Err(UniverseError::NoBlock(_))));
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
            "::ffff:10.9.0.0/112",
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
