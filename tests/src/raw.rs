//! IPv4 packets from whatever address they claim to be.

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Longest payload of a UDP packet that is not cut on an Ethernet, in bytes.
pub const UDP_LEN_MAX: usize = 1472;

/// Protocol numbers in the header of IPv4.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Flag in the header of TCP: a stream is to be opened.
const SYN: u8 = 1 << 1;

/// A socket that sends whole packets as they are.
#[derive(Debug)]
pub struct RawSocket(OwnedFd);

impl RawSocket {
    /// One in the network namespace of this thread.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn open() -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        Ok(Self(socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Raw)?))
    }

    /// Sends `packet` to `to`, or drops it when the kernel has no room.
    ///
    /// # Errors
    /// When there is no way to that address.
    pub fn send(&self, to: Ipv4Addr, packet: &[u8]) -> Result<()> {
        let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
        match sendto(self.0.as_raw_fd(), packet, &to, MsgFlags::empty()) {
            Ok(_) | Err(Errno::ENOBUFS | Errno::EAGAIN) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }
}

/// A packet with the datagram `payload`.
pub fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut udp = Vec::with_capacity(usize::from(len));
    udp.extend(from.port().to_be_bytes());
    udp.extend(to.port().to_be_bytes());
    udp.extend(len.to_be_bytes());
    // No checksum, which IPv4 allows.
    udp.extend([0, 0]);
    udp.extend(payload);
    packet(UDP, from, to, &udp)
}

/// A packet that asks for a stream, and no more.
pub fn syn(from: SocketAddrV4, to: SocketAddrV4, sequence: u32) -> Vec<u8> {
    let mut tcp = Vec::new();
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    tcp.extend(sequence.to_be_bytes());
    tcp.extend([0; 4]);
    // A header of five words; a window; checksum and urgent pointer.
    tcp.extend([5 << 4, SYN, 0xff, 0xff, 0, 0, 0, 0]);
    let len = u16::try_from(tcp.len()).unwrap_or(u16::MAX);
    // The pseudo header (RFC 9293 section 3.1), then the segment.
    let mut summed = [from.ip().octets(), to.ip().octets()].concat();
    summed.extend([0, TCP]);
    summed.extend(len.to_be_bytes());
    summed.extend(&tcp);
    for (to, from) in tcp.iter_mut().skip(16).zip(checksum(&summed).to_be_bytes()) {
        *to = from;
    }
    packet(TCP, from, to, &tcp)
}

/// The kernel fills in the header's checksum. Source: raw(7).
fn packet(protocol: u8, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    // Not to be cut; 64 hops.
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(payload);
    packet
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_the_example_in_rfc_1071() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn a_datagram_is_these_bytes() {
        let [from, to] = [1, 2].map(|n| SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, n), 6783));
        let header = [0x45, 0, 0, 30, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        let udp = [0x1a, 0x7f, 0x1a, 0x7f, 0, 10, 0, 0, b'h', b'i'];
        assert_eq!(datagram(from, to, b"hi"), [&header[..], &udp].concat());
    }
}
