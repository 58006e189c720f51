//! Network interfaces of any kind: finding, changing and removing them.

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec};
use std::io;

/// Longest name of an interface, in bytes (`IFNAMSIZ` less the final zero).
pub const NAME_LEN_MAX: usize = 15;

/// Why an interface, address or route is not as asked for.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No such interface.
    #[error("there is no network interface '{0}'")]
    Missing(String),
    /// The name belongs to something else.
    #[error(
        "the network interface '{name}' exists but is {found}, not {wanted}: remove it with `ip link del {name}`, or choose another name"
    )]
    Taken {
        /// Whose name.
        name: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The kernel refused.
    #[error("cannot {doing}: {why}")]
    Kernel {
        /// What was tried.
        doing: String,
        /// The kernel's answer.
        why: io::Error,
    },
}

/// Turns what netlink answered into an error that says what was tried.
pub(crate) trait Doing<T> {
    /// Adds what was tried.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, LinkError>;
}

impl<T> Doing<T> for Result<T, rtnetlink::Error> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, LinkError> {
        self.map_err(|why| LinkError::Kernel { doing: what(), why: io_error(why) })
    }
}

/// Forgives the answers in `codes`: what was asked for is already so.
pub(crate) fn forgive(
    answer: Result<(), rtnetlink::Error>,
    codes: &[i32],
) -> Result<(), rtnetlink::Error> {
    match answer {
        Err(rtnetlink::Error::NetlinkError(why)) if codes.contains(&why.raw_code().abs()) => Ok(()),
        other => other,
    }
}

fn io_error(why: rtnetlink::Error) -> io::Error {
    if let rtnetlink::Error::NetlinkError(why) = why { why.to_io() } else { io::Error::other(why) }
}

/// The interface `name`, or `None`.
///
/// # Errors
/// [`LinkError::Kernel`].
pub(crate) async fn find(handle: &Handle, name: &str) -> Result<Option<LinkMessage>, LinkError> {
    match handle.link().get().match_name(name.to_string()).execute().try_next().await {
        Ok(found) => Ok(found),
        Err(rtnetlink::Error::NetlinkError(why)) if why.raw_code().abs() == nix::libc::ENODEV => {
            Ok(None)
        }
        Err(why) => Err(why).doing(|| format!("look for the network interface '{name}'")),
    }
}

/// The number that the kernel gave to the interface `name`.
///
/// # Errors
/// [`LinkError::Missing`], [`LinkError::Kernel`].
pub async fn index(handle: &Handle, name: &str) -> Result<u32, LinkError> {
    let found = find(handle, name).await?;
    found.map(|link| link.header.index).ok_or_else(|| LinkError::Missing(name.to_string()))
}

/// Names of all interfaces that start with `prefix`, in order.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn names_with_prefix(handle: &Handle, prefix: &str) -> Result<Vec<String>, LinkError> {
    let all = all(handle).await?;
    let mut names: Vec<_> =
        all.iter().filter_map(name).filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    Ok(names)
}

/// Removes the interface `name`; says whether there was one.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn remove(handle: &Handle, name: &str) -> Result<bool, LinkError> {
    let Some(link) = find(handle, name).await? else { return Ok(false) };
    let answer = handle.link().del(link.header.index).execute().await;
    forgive(answer, &[nix::libc::ENODEV])
        .doing(|| format!("remove the network interface '{name}'"))?;
    Ok(true)
}

/// Sets the interface `name` up.
///
/// # Errors
/// [`LinkError::Missing`], [`LinkError::Kernel`].
pub async fn up(handle: &Handle, name: &str) -> Result<(), LinkError> {
    let index = index(handle, name).await?;
    change(handle, LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build())
        .await
        .doing(|| format!("set the network interface '{name}' up"))
}

pub(crate) async fn change(handle: &Handle, message: LinkMessage) -> Result<(), rtnetlink::Error> {
    handle.link().change(message).execute().await
}

pub(crate) async fn all(handle: &Handle) -> Result<Vec<LinkMessage>, LinkError> {
    let links = handle.link().get().execute().try_collect().await;
    links.doing(|| "list the network interfaces".to_string())
}

pub(crate) fn name(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::IfName(name) = attribute { Some(name.clone()) } else { None }
    })
}

/// The driver's kind, such as `bridge`; `None` for hardware.
pub(crate) fn kind(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| {
        let LinkAttribute::LinkInfo(infos) = attribute else { return None };
        infos.iter().find_map(|info| {
            if let LinkInfo::Kind(kind) = info { Some(kind.to_string()) } else { None }
        })
    })
}

/// The number of the other end of a veth.
pub(crate) fn peer_index(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::Link(index) = attribute { Some(*index) } else { None }
    })
}
