//! The Linux bridge that the containers of a host share, and its ports.

use crate::link::{self, Doing, LinkError, find, kind};
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgeStpState, In6AddrGenMode, LinkAttribute,
};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec};
use weft_core::forward::Mac;

/// Makes the bridge `name` if there is none, and sets its MAC, its MTU (bytes) and it up.
///
/// # Errors
/// [`LinkError::Taken`] when `name` is something else, [`LinkError::Kernel`].
pub async fn ensure(handle: &Handle, name: &str, mac: Mac, mtu: u32) -> Result<(), LinkError> {
    let existing = find(handle, name).await?;
    if let Some(link) = &existing
        && kind(link).as_deref() != Some("bridge")
    {
        let found = kind(link).map_or_else(|| "a device".to_string(), |kind| format!("a {kind}"));
        return Err(LinkError::Taken { name: name.to_string(), found, wanted: "a bridge" });
    }
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
        Some(link) => link::change(handle, bridge.index(link.header.index).build()).await,
    };
    done.doing(|| format!("set up the bridge '{name}'"))
}

/// Puts the interface `port` on `bridge`, with the bridge's MTU (bytes), and sets it up. Frames
/// are not sent back to the port they came from.
///
/// # Errors
/// [`LinkError::Missing`] for either, [`LinkError::Kernel`].
pub async fn attach_port(
    handle: &Handle,
    bridge: &str,
    port: &str,
    mtu: u32,
) -> Result<(), LinkError> {
    let master = link::index(handle, bridge).await?;
    let index = link::index(handle, port).await?;
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
    link::change(handle, on.build()).await.doing(doing)?;
    let straight = LinkBridgePort::new(index).hairpin(false).build();
    handle.link().set_port(straight).execute().await.doing(doing)
}

/// Whether any interface is on the bridge `name`.
///
/// # Errors
/// [`LinkError::Missing`], [`LinkError::Kernel`].
pub async fn has_ports(handle: &Handle, name: &str) -> Result<bool, LinkError> {
    let bridge = LinkAttribute::Controller(link::index(handle, name).await?);
    Ok(link::all(handle).await?.iter().any(|port| port.attributes.contains(&bridge)))
}

/// Removes the bridge `name`; says whether there was one.
///
/// # Errors
/// [`LinkError::Taken`] when `name` is something else, [`LinkError::Kernel`].
pub async fn remove(handle: &Handle, name: &str) -> Result<bool, LinkError> {
    let Some(link) = find(handle, name).await? else { return Ok(false) };
    if kind(&link).as_deref() != Some("bridge") {
        let found = kind(&link).map_or_else(|| "a device".to_string(), |kind| format!("a {kind}"));
        return Err(LinkError::Taken { name: name.to_string(), found, wanted: "a bridge" });
    }
    link::remove(handle, name).await
}
