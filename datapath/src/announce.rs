//! Telling a network where addresses are now: gratuitous ARP and unsolicited neighbour advertisements.
//!
//! The kernel would send the same when a MAC is set anew, but forgets all neighbours of the interface
//! then, and the packets that wait for one.

use crate::address;
use crate::link::LinkError;
use crate::netns::NamespaceFd;
use ipnet::IpNet;
use nix::libc;
use rtnetlink::Handle;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use weft_core::forward::Mac;

/// Announces the addresses of one interface, whenever asked to.
#[derive(Debug)]
pub struct Announcer {
    /// The MAC of the interface.
    pub mac: Mac,
    /// Not the name: whoever has that later is another.
    index: u32,
    /// Packets without their Ethernet header; receives nothing.
    socket: Socket,
}

impl Announcer {
    /// For the interface `index` of `namespace`, whose MAC is `mac`. The namespace lives as long as the
    /// result.
    ///
    /// # Errors
    /// [`LinkError::Kernel`].
    pub fn open(namespace: &NamespaceFd, index: u32, mac: Mac) -> Result<Self, LinkError> {
        // Protocol 0: no packet is for us.
        let socket = namespace.run(|| Socket::new(Domain::PACKET, Type::DGRAM, None));
        let socket = socket.flatten().map_err(|why| LinkError::Kernel {
            doing: "open a packet socket in the container".to_string(),
            why,
        })?;
        Ok(Self { mac, index, socket })
    }

    /// Announces the addresses that the interface has now, and returns them: none when it is gone.
    /// `inside` was opened in its namespace.
    ///
    /// # Errors
    /// [`LinkError::Kernel`].
    pub async fn send(&self, inside: &Handle) -> Result<Vec<IpNet>, LinkError> {
        let addresses = address::of(inside, self.index).await?;
        for address in &addresses {
            let sent = match address {
                IpNet::V4(net) => {
                    self.send_to(libc::ETH_P_ARP, BROADCAST, &gratuitous_arp(self.mac, net.addr()))
                }
                IpNet::V6(net) => {
                    self.send_to(libc::ETH_P_IPV6, ALL_NODES, &advertisement(self.mac, net.addr()))
                }
            };
            sent.map_err(|why| LinkError::Kernel { doing: format!("announce {address}"), why })?;
        }
        Ok(addresses)
    }

    #[expect(clippy::cast_possible_truncation, reason = "EtherTypes and families have 16 bits")]
    fn send_to(&self, protocol: i32, to: Mac, packet: &[u8]) -> io::Result<()> {
        let [a, b, c, d, e, f] = to.0;
        let interface = i32::try_from(self.index).map_err(io::Error::other)?;
        let to = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (protocol as u16).to_be(),
            sll_ifindex: interface,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [a, b, c, d, e, f, 0, 0],
        };
        #[expect(unsafe_code, reason = "socket2 has no addresses of packet sockets")]
        // SAFETY: `storage` has room for every kind of address (`sockaddr_storage`, all zeros at first)
        // and its alignment; what is written is a whole `sockaddr_ll`, whose length is set.
        let (_, to) = unsafe {
            SockAddr::try_init(|storage, len| {
                storage.cast::<libc::sockaddr_ll>().write(to);
                *len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
                Ok(())
            })
        }?;
        self.socket.send_to(packet, &to).map(|_| ())
    }
}

const BROADCAST: Mac = Mac([0xff; 6]);
/// The group of all IPv6 nodes (RFC 4291 section 2.7.1), as a MAC (RFC 2464 section 7).
const ALL_NODES: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

/// An ARP announcement (RFC 5227 section 3; format: RFC 826): a request for one's own address.
fn gratuitous_arp(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    // Ethernet, IPv4, lengths of their addresses, request.
    let head = [0, 1, 8, 0, 6, 4, 0, 1];
    [&head[..], &mac.0, &address.octets(), &[0; 6], &address.octets()].concat()
}

/// An unsolicited neighbour advertisement (RFC 4861 sections 4.4 and 7.2.6) that overrides what others
/// remember, in an IPv6 packet.
fn advertisement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    const ICMPV6: u8 = 58;
    const OVERRIDE: u8 = 1 << 5;
    const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).octets();
    let from_and_to = [address.octets(), all_nodes].concat();
    let message = |checksum: u16| {
        let [high, low] = checksum.to_be_bytes();
        let head = [136, 0, high, low, OVERRIDE, 0, 0, 0];
        let option = [TARGET_LINK_LAYER_ADDRESS, 1];
        [&head[..], &address.octets(), &option, &mac.0].concat()
    };
    let unchecked = message(0);
    #[expect(clippy::cast_possible_truncation, reason = "32 bytes")]
    let len = unchecked.len() as u8;
    // What the checksum covers (RFC 8200 section 8.1).
    let pseudo_header = [&from_and_to[..], &[0, 0, 0, len, 0, 0, 0, ICMPV6]].concat();
    let head = [6 << 4, 0, 0, 0, 0, len, ICMPV6, 255];
    let checked = message(checksum(&[pseudo_header, unchecked].concat()));
    [&head[..], &from_and_to, &checked].concat()
}

/// The Internet checksum (RFC 1071) of an even number of bytes, few enough not to overflow.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.as_chunks().0.iter().map(|pair| u32::from(u16::from_be_bytes(*pair)));
    let mut sum: u32 = words.sum();
    while let (high @ 1.., low) = (sum >> 16, sum & 0xffff) {
        sum = high + low;
    }
    #[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits")]
    let folded = sum as u16;
    !folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        // The example of RFC 1071 section 3: the sum is ddf2.
        assert_eq!(checksum(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
