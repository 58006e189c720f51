//! Routes: those that a block of addresses would get in the way of, and those that we make.

use crate::link::{self, Doing, LinkError, forgive};
use futures_util::TryStreamExt;
use ipnet::IpNet;
use nix::libc::{EEXIST, EHOSTUNREACH, ENETUNREACH, ENOENT};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleMessage};
use rtnetlink::{Handle, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Routing table, and priority of the rule that leads to it, for answers of the DNS server: "wf" in
/// ASCII hex, read as a decimal number. Above 255, so no table of the system's; below the main
/// table's priority of 32766, so that it is asked first.
pub const DNS_TABLE: u32 = 7766;

/// Routes of this host into `block`, or around it, with their interface. The default route and
/// those over the interfaces `ours` do not count.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn overlapping(
    handle: &Handle,
    block: IpNet,
    ours: &[String],
) -> Result<Vec<(IpNet, String)>, LinkError> {
    let links = link::all(handle).await?;
    let name =
        |index: u32| links.iter().find(|link| link.header.index == index).and_then(link::name);
    let any = match block {
        IpNet::V4(_) => RouteMessageBuilder::<Ipv4Addr>::new().build(),
        IpNet::V6(_) => RouteMessageBuilder::<Ipv6Addr>::new().build(),
    };
    let routes: Vec<RouteMessage> = handle
        .route()
        .get(any)
        .execute()
        .try_collect()
        .await
        .doing(|| "list the routes of this host".to_string())?;
    let mut found = Vec::new();
    for route in routes.iter().filter(|route| route.header.table == RouteHeader::RT_TABLE_MAIN) {
        let Some(destination) = destination(route) else { continue };
        let dev = interface(route).and_then(name).unwrap_or_else(|| "no interface".to_string());
        let overlaps = destination.contains(&block) || block.contains(&destination);
        if overlaps && destination.prefix_len() > 0 && !ours.contains(&dev) {
            found.push((destination, dev));
        }
    }
    Ok(found)
}

/// By which way packets leave this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The interface.
    pub dev: String,
    /// Largest IP packet that it takes in one piece, in bytes.
    pub mtu: u32,
}

/// The way that packets to `to` take; `None` when there is none.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn way(handle: &Handle, to: IpAddr) -> Result<Option<Way>, LinkError> {
    let question = match to {
        IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, 32).build(),
        IpAddr::V6(to) => {
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to, 128).build()
        }
    };
    let route = match handle.route().get(question).execute().try_next().await {
        Ok(route) => route,
        Err(rtnetlink::Error::NetlinkError(why))
            if [EHOSTUNREACH, ENETUNREACH].contains(&why.raw_code().abs()) =>
        {
            return Ok(None);
        }
        Err(why) => return Err(why).doing(|| format!("look for the route to {to}")),
    };
    let Some(route) = route else { return Ok(None) };
    let links = link::all(handle).await?;
    let link = links.iter().find(|link| Some(link.header.index) == interface(&route));
    let of_link = link.and_then(|link| Some((link::name(link)?, link::mtu(link)?)));
    Ok(of_link.map(|(dev, mtu)| Way { dev, mtu: mtu_of(&route).map_or(mtu, |own| own.min(mtu)) }))
}

/// What the route itself says, or the kernel has learned of those behind it.
fn mtu_of(route: &RouteMessage) -> Option<u32> {
    let metrics = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Metrics(metrics) = attribute { Some(metrics) } else { None }
    })?;
    metrics.iter().find_map(|metric| {
        if let RouteMetric::Mtu(mtu) = metric { Some(*mtu).filter(|mtu| *mtu > 0) } else { None }
    })
}

fn destination(route: &RouteMessage) -> Option<IpNet> {
    route.attributes.iter().find_map(|attribute| {
        let RouteAttribute::Destination(to) = attribute else { return None };
        let address = if let RouteAddress::Inet(v4) = to {
            IpAddr::V4(*v4)
        } else if let RouteAddress::Inet6(v6) = to {
            IpAddr::V6(*v6)
        } else {
            return None;
        };
        IpNet::new(address, route.header.destination_prefix_length).ok()
    })
}

fn interface(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Oif(index) = attribute {
            Some(*index)
        } else if let RouteAttribute::MultiPath(hops) = attribute {
            hops.first().map(|hop| hop.interface_index)
        } else {
            None
        }
    })
}

/// Sends everything for `to` out of the interface `dev`. A route to the same block that is already
/// there stays as it is.
///
/// # Errors
/// [`LinkError::Missing`], [`LinkError::Kernel`].
pub async fn add(handle: &Handle, dev: &str, to: IpNet) -> Result<(), LinkError> {
    let index = link::index(handle, dev).await?;
    let message = route(index, to, RouteHeader::RT_TABLE_MAIN.into());
    let answer = handle.route().add(message).execute().await;
    forgive(answer, &[EEXIST]).doing(|| format!("route {to} through '{dev}'"))
}

fn route(index: u32, to: IpNet, table: u32) -> RouteMessage {
    // One builder per family: that of `IpAddr` can only fail at run time.
    match to {
        IpNet::V4(net) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(net.network(), net.prefix_len())
            .output_interface(index)
            .scope(RouteScope::Link)
            .kind(RouteType::Unicast)
            .table_id(table)
            .build(),
        IpNet::V6(net) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(net.network(), net.prefix_len())
            .output_interface(index)
            .kind(RouteType::Unicast)
            .table_id(table)
            .build(),
    }
}

/// Lets this host answer from `dns` to all of `universe` over `bridge`, without an address there
/// that would make the whole block a neighbour of the host. Repeating it is no error.
///
/// # Errors
/// [`LinkError::Missing`], [`LinkError::Kernel`].
pub async fn ensure_dns(
    handle: &Handle,
    dns: IpAddr,
    universe: IpNet,
    bridge: &str,
) -> Result<(), LinkError> {
    let index = link::index(handle, bridge).await?;
    let answers = route(index, universe, DNS_TABLE);
    let doing = || format!("route answers from {dns} to '{bridge}'");
    handle.route().add(answers).replace().execute().await.doing(doing)?;
    let rule =
        handle.rule().add().table_id(DNS_TABLE).priority(DNS_TABLE).action(RuleAction::ToTable);
    let answer = match dns {
        IpAddr::V4(dns) => rule.v4().source_prefix(dns, 32).execute().await,
        IpAddr::V6(dns) => rule.v6().source_prefix(dns, 128).execute().await,
    };
    forgive(answer, &[EEXIST]).doing(doing)
}

/// Takes back what [`ensure_dns`] did, but for the route, which goes with the bridge. No error when
/// it is not there.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn remove_dns(handle: &Handle, dns: IpAddr) -> Result<(), LinkError> {
    let doing = || format!("stop routing answers from {dns}");
    let rule =
        handle.rule().add().table_id(DNS_TABLE).priority(DNS_TABLE).action(RuleAction::ToTable);
    let rule: RuleMessage = match dns {
        IpAddr::V4(dns) => rule.v4().source_prefix(dns, 32).message_mut().clone(),
        IpAddr::V6(dns) => rule.v6().source_prefix(dns, 128).message_mut().clone(),
    };
    forgive(handle.rule().del(rule).execute().await, &[ENOENT]).doing(doing)
}
