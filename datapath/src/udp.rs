//! The sleeve's UDP socket.

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Room for datagrams in the kernel, each way, in bytes: a burst of 2,800 full datagrams. The
/// default of about 200 KiB loses frames whenever the thread is not on a processor for 1 ms at
/// 2 Gbit/s.
const BUFFER_LEN: usize = 4 << 20;

/// Opens `port` (any free one when zero) for IPv4 and IPv6, or for IPv4 alone where the host has no
/// IPv6. Reads and writes do not wait.
///
/// # Errors
/// Says what to do when the port is in use.
pub fn bind(port: u16) -> io::Result<UdpSocket> {
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let bound = open(both).or_else(|why| {
        if why.kind() == io::ErrorKind::AddrInUse {
            return Err(why);
        }
        open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    });
    bound.map_err(|why| {
        let what = if why.kind() == io::ErrorKind::AddrInUse {
            format!("UDP port {port} is in use: stop the program that uses it, or choose another port with --port")
        } else {
            format!("cannot open UDP port {port}: {why}")
        };
        io::Error::new(why.kind(), what)
    })
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Root may exceed the host's limit; others get as much as it allows.
    if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_LEN).is_err() {
        socket.set_recv_buffer_size(BUFFER_LEN)?;
    }
    if setsockopt(&socket, sockopt::SndBufForce, &BUFFER_LEN).is_err() {
        socket.set_send_buffer_size(BUFFER_LEN)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_what_to_do() {
        let first = bind(0).unwrap();
        let port = first.local_addr().unwrap().port();
        let why = bind(port).unwrap_err().to_string();
        assert!(why.contains(&port.to_string()) && why.contains("--port"), "{why}");
    }
}
