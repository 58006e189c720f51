//! The network under ours: whether it takes our datagrams in one piece.

use crate::host::{HostError, Kernel};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use weft_core::forward::ENVELOPE_LEN;
use weft_core::status::{ConnState, Status};

/// Nobody's address, to ask for the way to everybody: nothing is sent there. Source: RFC 5737.
const ANYBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Bytes of the headers of IP and UDP. Source: RFC 791, RFC 8200, RFC 768.
const fn header_len(is_v6: bool) -> u32 {
    if is_v6 { 40 + 8 } else { 20 + 8 }
}

/// Largest packet of a container that fits datagrams on a way of `mtu` bytes.
fn room(mtu: u32, is_v6: bool) -> u32 {
    let envelope = u32::try_from(ENVELOPE_LEN).unwrap_or(u32::MAX);
    mtu.saturating_sub(header_len(is_v6)).saturating_sub(envelope)
}

/// What the operator should know when packets of `mtu` bytes are too long for the way to a peer in
/// `status`, or, while none is known, to everybody.
///
/// # Errors
/// When the kernel does not say which way packets take.
pub(super) async fn foresee(
    kernel: &Kernel,
    mtu: u32,
    status: &Status,
) -> Result<Option<String>, HostError> {
    let mut peers = peers(status, |_| true);
    if peers.is_empty() {
        peers.insert(ANYBODY);
    }
    narrowest(kernel, mtu, peers).await
}

/// The same for those peers alone that there is a link with.
///
/// # Errors
/// As [`foresee`].
pub(super) async fn narrow(
    kernel: &Kernel,
    mtu: u32,
    status: &Status,
) -> Result<Option<String>, HostError> {
    let is_link = |state| matches!(state, ConnState::Established | ConnState::Pending);
    narrowest(kernel, mtu, peers(status, is_link)).await
}

/// Where the data of the conns goes whose state is wanted.
fn peers(status: &Status, is_wanted: impl Fn(ConnState) -> bool) -> BTreeSet<IpAddr> {
    let conns = status.conns.iter().filter(|conn| is_wanted(conn.state));
    conns
        .filter_map(|conn| conn.datagrams_to.or_else(|| conn.remote.parse().ok()))
        .map(|at: SocketAddr| at.ip().to_canonical())
        .collect()
}

async fn narrowest(
    kernel: &Kernel,
    mtu: u32,
    peers: BTreeSet<IpAddr>,
) -> Result<Option<String>, HostError> {
    let mut tightest = None;
    for peer in peers {
        let Some(way) = kernel.way(peer).await? else { continue };
        let fits = room(way.mtu, peer.is_ipv6());
        if fits < mtu && tightest.as_ref().is_none_or(|(least, _)| fits < *least) {
            tightest = Some((fits, way));
        }
    }
    Ok(tightest.map(|(fits, way)| {
        format!(
            "packets of {mtu} bytes do not fit the {} of '{}' and will be sent in pieces, which is slow and often blocked: launch all hosts with --mtu {fits} or less",
            way.mtu, way.dev
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_fits_when_its_datagram_is_no_longer_than_the_way_allows() {
        assert_eq!(room(1500, false), 1500 - 28 - 58);
        assert_eq!(room(1500, true), 1500 - 48 - 58);
        assert_eq!(room(60, true), 0);
    }
}
