//! Addresses of interfaces.

use crate::link::{self, Doing, FarEnd, LinkError, forgive};
use futures_util::TryStreamExt;
use ipnet::IpNet;
use nix::libc::{EADDRNOTAVAIL, EEXIST, ENODEV};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::{AddressMessageBuilder, Handle};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Gives `address` to the interface `name`; says whether it had to be added.
///
/// # Errors
/// [`LinkError::Missing`], [`LinkError::Kernel`].
pub async fn add(handle: &Handle, name: &str, address: IpNet) -> Result<bool, LinkError> {
    let index = link::index(handle, name).await?;
    let mut request = handle.address().add(index, address.addr(), address.prefix_len());
    if address.addr().is_ipv6() {
        // Unique by allocation: while the kernel looked for another holder, nobody could listen there.
        request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
    }
    let given = request.execute().await.doing(|| format!("give {address} to '{name}'"));
    match given {
        // Of IPv6 the kernel says so also of an address that is there with another prefix.
        Err(LinkError::Kernel { why, .. })
            if why.raw_os_error() == Some(EEXIST)
                && of(handle, index).await?.contains(&address) =>
        {
            Ok(false)
        }
        given => given.map(|()| true),
    }
}

/// Takes `address` from the interface `name`. No error when either is not there.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn remove(handle: &Handle, name: &str, address: IpNet) -> Result<(), LinkError> {
    let Some(link) = link::find(handle, name).await? else { return Ok(()) };
    let index = link.header.index;
    let message = match address {
        IpNet::V4(net) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(net.addr(), net.prefix_len())
            .build(),
        IpNet::V6(net) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(index)
            .address(net.addr(), net.prefix_len())
            .build(),
    };
    let answer = handle.address().del(message).execute().await;
    forgive(answer, &[EADDRNOTAVAIL, ENODEV]).doing(|| format!("take {address} from '{name}'"))
}

/// Addresses of the interface `name`, link-local IPv6 ones left out.
///
/// # Errors
/// [`LinkError::Missing`], [`LinkError::Kernel`].
pub async fn list(handle: &Handle, name: &str) -> Result<Vec<IpNet>, LinkError> {
    of(handle, link::index(handle, name).await?).await
}

/// Addresses of the interface `index`, link-local IPv6 ones left out; none when it is gone.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn of(handle: &Handle, index: u32) -> Result<Vec<IpNet>, LinkError> {
    let request = handle.address().get().set_link_index_filter(index).execute();
    let answer: Result<Vec<AddressMessage>, _> = request.try_collect().await;
    let all = answer.doing(|| format!("list the addresses of interface {index}"))?;
    Ok(all.iter().filter_map(own).collect())
}

/// Addresses of an interface in another network namespace, whatever that is called and whether it can be entered;
/// link-local IPv6 ones left out, and none when it is gone. `strict` is a socket of
/// [`rtnetlink::new_connection_with_strict_check`]: any other would list the addresses of this namespace.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn beyond(strict: &Handle, end: FarEnd) -> Result<Vec<IpNet>, LinkError> {
    let mut addresses = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = strict.address().get();
        let message = request.message_mut();
        message.header.family = family;
        message.header.index = end.index;
        message.attributes.push(AddressAttribute::TargetNetNsId(end.namespace));
        let answer: Result<Vec<AddressMessage>, _> = request.execute().try_collect().await;
        let all = match answer {
            Err(rtnetlink::Error::NetlinkError(why)) if why.raw_code().abs() == ENODEV => continue,
            answer => answer.doing(|| format!("list the addresses of interface {}", end.index))?,
        };
        addresses.extend(all.iter().filter_map(own));
    }
    Ok(addresses)
}

fn own(message: &AddressMessage) -> Option<IpNet> {
    let local = |wanted_local: bool| {
        message.attributes.iter().find_map(|attribute| match (attribute, wanted_local) {
            (AddressAttribute::Local(address), true)
            | (AddressAttribute::Address(address), false) => Some(*address),
            // The list of attributes is the kernel's and grows.
            (_, true | false) => None,
        })
    };
    // On a point-to-point link `Address` is the other end; IPv6 has no `Local` otherwise.
    let address = local(true).or_else(|| local(false))?;
    let is_link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let is_inet = matches!(message.header.family, AddressFamily::Inet | AddressFamily::Inet6);
    if is_link_local || !is_inet {
        return None;
    }
    IpNet::new(address, message.header.prefix_len).ok()
}
