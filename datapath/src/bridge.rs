//! The Linux bridge that the containers of a host share, and its ports.

use crate::link::{self, Doing, LinkError, Owner, find, kind};
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgeStpState, In6AddrGenMode, LinkAttribute, LinkMessage,
};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec};
use weft_core::forward::Mac;

/// Makes the bridge `name` if there is none, and sets its MAC, its MTU (bytes) and it up.
///
/// # Errors
/// [`LinkError::Taken`] when `name` is something else, [`LinkError::Foreign`] when it is a bridge
/// that neither `owner` nor anybody with that MAC made, [`LinkError::Kernel`].
pub async fn ensure(
    handle: &Handle,
    name: &str,
    mac: Mac,
    mtu: u32,
    owner: &Owner,
) -> Result<(), LinkError> {
    let existing = find(handle, name).await?;
    if let Some(link) = &existing {
        is_bridge(link, name)?;
        // The MAC is set as the bridge is made, the owner only after that.
        if !owner.owns(link) && link::mac(link) != Some(mac) {
            return Err(LinkError::Foreign(name.to_string()));
        }
    }
    let doing = || format!("set up the bridge '{name}'");
    let bridge = LinkMessageBuilder::<LinkBridge>::new(name)
        .address(mac.0.to_vec())
        .mtu(mtu)
        .up()
        // Our own spanning trees keep the mesh free of loops; a port that waits to forward would
        // only hold up containers that just started.
        .stp_state(BridgeStpState::Disabled)
        .forward_delay(0)
        // Groups span hosts and the mesh floods them; a bridge that heard no report would not.
        .mcast_snooping(false);
    let done = match existing {
        None => handle.link().add(bridge.build()).execute().await,
        Some(link) => {
            // While spanning trees are on, the kernel takes no forward delay of zero.
            let off = LinkMessageBuilder::<LinkBridge>::new(name).index(link.header.index);
            let off = off.stp_state(BridgeStpState::Disabled).build();
            link::change(handle, off).await.doing(doing)?;
            link::change(handle, bridge.index(link.header.index).build()).await
        }
    };
    done.doing(doing)?;
    // The kernel takes no alias with a request that makes something.
    let index = link::index(handle, name).await?;
    let ours = LinkMessageBuilder::<LinkUnspec>::new().index(index);
    let ours = ours.append_extra_attribute(owner.mark()).build();
    link::change(handle, ours).await.doing(doing)
}

fn is_bridge(link: &LinkMessage, name: &str) -> Result<(), LinkError> {
    match kind(link).as_deref() {
        Some("bridge") => Ok(()),
        other => Err(LinkError::Taken {
            name: name.to_string(),
            found: other.map_or_else(|| "a device".to_string(), |kind| format!("a {kind}")),
            wanted: "a bridge",
        }),
    }
}

/// Puts the interface `port` on `bridge`, with the bridge's MTU (bytes), as one of `owner`'s, and
/// sets it up. What is noted on it stays. Frames are not sent back to the port they came from.
///
/// # Errors
/// [`LinkError::Missing`] for either, [`LinkError::Kernel`].
pub async fn attach_port(
    handle: &Handle,
    bridge: &str,
    port: &str,
    mtu: u32,
    owner: &Owner,
) -> Result<(), LinkError> {
    let master = link::index(handle, bridge).await?;
    let there = find(handle, port).await?.ok_or_else(|| LinkError::Missing(port.to_string()))?;
    let index = there.header.index;
    let mark = owner.noted(&there).map_or_else(|| owner.mark(), |noted| owner.mark_with(noted));
    let doing = || format!("put '{port}' on the bridge '{bridge}'");
    // A port is no host: without an address of its own it sends no router solicitations.
    let quiet = LinkMessageBuilder::<LinkUnspec>::new()
        .index(index)
        .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![
            AfSpecInet6::AddrGenMode(In6AddrGenMode::None),
        ])]))
        .build();
    if let Err(why) = handle.link().set(quiet).execute().await {
        tracing::debug!(port, %why, "the port keeps its own IPv6 address");
    }
    let on = LinkMessageBuilder::<LinkUnspec>::new().index(index).mtu(mtu).controller(master).up();
    let on = on.append_extra_attribute(mark);
    link::change(handle, on.build()).await.doing(doing)?;
    let straight = LinkBridgePort::new(index).hairpin(false).build();
    handle.link().set_port(straight).execute().await.doing(doing)
}

/// How an interface stands to a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no such interface.
    Gone,
    /// It is down, or on no bridge or another one.
    Unplugged,
    /// It is up and on the bridge.
    Plugged,
}

/// How `port` stands to `bridge`.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn standing(handle: &Handle, bridge: &str, port: &str) -> Result<Standing, LinkError> {
    let Some(port) = find(handle, port).await? else { return Ok(Standing::Gone) };
    let Some(bridge) = find(handle, bridge).await? else { return Ok(Standing::Unplugged) };
    let master = LinkAttribute::Controller(bridge.header.index);
    let is_plugged = link::is_up(&port) && port.attributes.contains(&master);
    Ok(if is_plugged { Standing::Plugged } else { Standing::Unplugged })
}

/// Whether the bridge `name` of `owner` is there and up.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn is_ready(handle: &Handle, name: &str, owner: &Owner) -> Result<bool, LinkError> {
    let bridge = find(handle, name).await?;
    Ok(bridge.is_some_and(|link| {
        is_bridge(&link, name).is_ok() && owner.owns(&link) && link::is_up(&link)
    }))
}

/// Whether any interface is on the bridge `name`.
///
/// # Errors
/// [`LinkError::Missing`], [`LinkError::Kernel`].
pub async fn has_ports(handle: &Handle, name: &str) -> Result<bool, LinkError> {
    let bridge = LinkAttribute::Controller(link::index(handle, name).await?);
    Ok(link::all(handle).await?.iter().any(|port| port.attributes.contains(&bridge)))
}
