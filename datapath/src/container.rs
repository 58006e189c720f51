//! A container's interface: a veth pair, one end in the container, the other on the bridge.
//!
//! The pair is made by one request, its far end already inside the container under its final
//! name, so there is no moment at which half of it lies about.

use crate::announce::Announcer;
use crate::link::{self, Doing, LinkError, NAME_LEN_MAX, Owner, find, peer_index};
use crate::netns::NamespaceFd;
use crate::{address, bridge, route};
use ipnet::{IpNet, Ipv4Net};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkMessage};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth};
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};
use weft_core::forward::Mac;
use weft_core::id::{ContainerId, PeerName};
use weft_core::record::Fingerprint;

/// The interface that a container finds. Source: Weave Net.
pub const IF_NAME: &str = "ethwe";

/// How host ends are named. Source: Weave Net.
pub const HOST_PREFIX: &str = "vethwe";

/// All IPv4 groups (RFC 5771).
const MULTICAST: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4);

/// How a container is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The host's end, such as [`host_interface_name`] gives.
    pub host_if: String,
    /// The container's end, usually [`IF_NAME`].
    pub if_name: String,
    /// MAC of the container's end where it has to be made, such as [`container_mac`] gives. One that
    /// is there keeps its own: others remember it.
    pub mac: Mac,
    /// MTU of both ends, in bytes.
    pub mtu: u32,
    /// The bridge of the host.
    pub bridge: String,
    /// Whose interface it is.
    pub owner: Owner,
    /// What is noted on the host's end.
    pub note: String,
    /// Addresses with their prefix.
    pub addresses: Vec<IpNet>,
    /// The DNS server, when a route to it is needed.
    pub dns_route: Option<IpAddr>,
    /// Whether IPv4 groups are sent out of this interface.
    pub multicast_route: bool,
}

/// Name of the host's end for `id`: derived, so that nobody has to remember it.
pub fn host_interface_name(id: &ContainerId) -> String {
    let print = Fingerprint::of(id.as_str().as_bytes());
    let hex: String = print.0.iter().map(|byte| format!("{byte:02x}")).collect();
    HOST_PREFIX.chars().chain(hex.chars()).take(NAME_LEN_MAX).collect()
}

/// A locally administered MAC for the interface of `id` on the host of `peer`: no other interface
/// of the mesh has it, whatever addresses come and go. Who takes an address over from another
/// interface announces that ([`attach`]).
pub fn container_mac(peer: PeerName, id: &ContainerId) -> Mac {
    let [a, b, c, d, e, f, ..] = Fingerprint::of(&[&peer.0, id.as_str().as_bytes()].concat()).0;
    // Of the first byte's lowest bits, the second says local, the first would say multicast.
    Mac([a & !0b11 | 0b10, b, c, d, e, f])
}

/// Attaches `container` as `spec` says and announces its addresses to the network. Where it is
/// attached already, adds what is missing and sets the MTU; addresses that are not in `spec` stay.
/// Returns what announces the addresses again: who missed the first time goes on sending to where they
/// were before.
///
/// `host` and `inside` were opened in the host's and in the container's namespace.
///
/// # Errors
/// [`LinkError::Taken`] when the container has another interface of that name,
/// [`LinkError::Attached`] when that is one of ours; otherwise [`LinkError::Missing`] or
/// [`LinkError::Kernel`]. What this call did is undone.
pub async fn attach(
    host: &Handle,
    container: &NamespaceFd,
    inside: &Handle,
    spec: &Attachment,
) -> Result<Announcer, LinkError> {
    let there = ensure_pair(host, container, inside, spec).await?;
    let mac = there.unwrap_or(spec.mac);
    let mut added = Vec::new();
    let why = match configure(host, container, inside, spec, mac, &mut added).await {
        Ok(announcer) => return Ok(announcer),
        Err(why) => why,
    };
    let undone = if there.is_none() {
        link::remove(host, &spec.host_if).await.map(|_| ())
    } else {
        remove_all(inside, spec, &added).await
    };
    if let Err(undo) = undone {
        tracing::warn!(interface = spec.host_if, %undo, "left behind by a failed attachment");
    }
    Err(why)
}

/// Gives both ends of an interface, `host_if` and `if_name`, an MTU (bytes), and returns the MAC of the
/// container's end. Nothing happens when they are not the two ends of one.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn resize(
    host: &Handle,
    inside: &Handle,
    (host_if, if_name): (&str, &str),
    mtu: u32,
) -> Result<Option<Mac>, LinkError> {
    let (ours, theirs) = (find(host, host_if).await?, find(inside, if_name).await?);
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return Ok(None) };
    if !is_pair(&ours, &theirs) {
        return Ok(None);
    }
    link::resize(inside, &theirs, mtu).await?;
    link::resize(host, &ours, mtu).await?;
    Ok(link::mac(&theirs))
}

/// Removes the interface whose host end is `host_if`; says whether there was one. Routes and
/// addresses go with it.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn detach(host: &Handle, host_if: &str) -> Result<bool, LinkError> {
    link::remove(host, host_if).await
}

/// Makes the pair unless it is there; then returns the MAC of the container's end.
async fn ensure_pair(
    host: &Handle,
    container: &NamespaceFd,
    inside: &Handle,
    spec: &Attachment,
) -> Result<Option<Mac>, LinkError> {
    let ours = find(host, &spec.host_if).await?;
    let theirs = find(inside, &spec.if_name).await?;
    match (&ours, &theirs) {
        (Some(ours), Some(theirs)) if is_pair(ours, theirs) => {
            // The host's end gets it where it is put on the bridge.
            link::resize(inside, theirs, spec.mtu).await?;
            return Ok(Some(link::mac(theirs).unwrap_or(spec.mac)));
        }
        (_, Some(theirs)) => return Err(taken(host, spec, theirs).await?),
        // The container was started again, in another namespace.
        (Some(_), None) => {
            link::remove(host, &spec.host_if).await?;
        }
        (None, None) => {}
    }
    let far_end = LinkMessageBuilder::<LinkUnspec>::new()
        .name(spec.if_name.clone())
        .address(spec.mac.0.to_vec())
        .mtu(spec.mtu)
        .setns_by_fd(container.as_fd().as_raw_fd())
        .build();
    let pair = LinkMessageBuilder::<LinkVeth>::new(&spec.host_if, &spec.if_name)
        .mtu(spec.mtu)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(far_end)))
        .build();
    let made = host.link().add(pair).execute().await;
    made.doing(|| format!("make '{}' in the container", spec.if_name))?;
    Ok(None)
}

/// Why the name is not free for us: what `theirs` is.
async fn taken(
    host: &Handle,
    spec: &Attachment,
    theirs: &LinkMessage,
) -> Result<LinkError, LinkError> {
    let all = link::all(host).await?;
    let end = all.iter().find(|end| is_pair(end, theirs) && spec.owner.owns(end));
    let if_name = spec.if_name.clone();
    Ok(match end.and_then(link::name) {
        Some(host_if) => LinkError::Attached { if_name, host_if },
        None => {
            let found = "another network's".to_string();
            LinkError::Taken { name: if_name, found, wanted: "ours" }
        }
    })
}

fn is_pair(ours: &LinkMessage, theirs: &LinkMessage) -> bool {
    peer_index(ours) == Some(theirs.header.index) && peer_index(theirs) == Some(ours.header.index)
}

async fn configure(
    host: &Handle,
    container: &NamespaceFd,
    inside: &Handle,
    spec: &Attachment,
    mac: Mac,
    added: &mut Vec<IpNet>,
) -> Result<Announcer, LinkError> {
    let dev = &spec.if_name;
    container.run(|| set_sysctls(dev)).map_err(|why| LinkError::Kernel {
        doing: "enter the network namespace of the container".to_string(),
        why,
    })?;
    link::up(inside, "lo").await?;
    // Ahead of the addresses: it must say of none that it is not there.
    link::note(host, &spec.host_if, &spec.owner, &spec.note).await?;
    // Listed once: a container may have a thousand, and gets one more.
    let there: HashSet<IpNet> = address::list(inside, dev).await?.into_iter().collect();
    for address in spec.addresses.iter().filter(|address| !there.contains(address)) {
        if address::add(inside, dev, *address).await? {
            added.push(*address);
        }
    }
    bridge::attach_port(host, &spec.bridge, &spec.host_if, spec.mtu, &spec.owner).await?;
    link::up(inside, dev).await?;
    if spec.multicast_route {
        route::add(inside, dev, IpNet::V4(MULTICAST)).await?;
    }
    if let Some(dns) = spec.dns_route {
        route::add(inside, dev, IpNet::from(dns)).await?;
    }
    // Asking for a link waits until the bridge has noticed that its port came up; before that,
    // it would drop the announcement.
    link::index(host, &spec.host_if).await?;
    let announcer = Announcer::open(container, link::index(inside, dev).await?, mac)?;
    announcer.send(inside).await?;
    Ok(announcer)
}

async fn remove_all(inside: &Handle, spec: &Attachment, added: &[IpNet]) -> Result<(), LinkError> {
    for address in added {
        address::remove(inside, &spec.if_name, *address).await?;
    }
    Ok(())
}

/// A container lives without them, only less well; hence no error.
fn set_sysctls(dev: &str) {
    for (path, value) in [
        // Say so also when the interface comes up again or gets another MAC, which is not our doing.
        ("ipv4/conf", ("arp_notify", "1")),
        ("ipv6/conf", ("ndisc_notify", "1")),
        // Addresses are unique by allocation, and usable at once.
        ("ipv6/conf", ("accept_dad", "0")),
        // No container may make itself the router of all others.
        ("ipv6/conf", ("accept_ra", "0")),
    ] {
        let (knob, value) = value;
        match std::fs::write(format!("/proc/sys/net/{path}/{dev}/{knob}"), value) {
            Ok(()) => {}
            // A kernel without IPv6.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => tracing::warn!(dev, knob, %why, "cannot set up the container's interface"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_end_has_a_short_name_that_follows_from_the_container() {
        let name = |id: &str| host_interface_name(&id.parse().unwrap());
        assert_eq!(name("c1").len(), NAME_LEN_MAX);
        assert!(name("c1").starts_with(HOST_PREFIX));
        assert_eq!(name("c1"), name("c1"));
        assert_ne!(name("c1"), name("c2"));
    }

    #[test]
    fn a_mac_is_a_local_unicast_one_and_differs_from_host_to_host_and_from_container_to_container()
    {
        let mac =
            |peer, id: &str| container_mac(PeerName([2, 0, 0, 0, 0, peer]), &id.parse().unwrap());
        let macs = [(1, "c1"), (1, "c2"), (2, "c1"), (2, "c2")].map(|(peer, id)| mac(peer, id));
        for (n, mac) in macs.iter().enumerate() {
            assert_eq!(mac.0[0] & 3, 2);
            assert!(!macs[..n].contains(mac), "{macs:?}");
        }
        assert_eq!(mac(1, "c1"), macs[0]);
    }
}
