//! Network interfaces of any kind: finding, changing and removing them.

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::{fmt, io};
use weft_core::forward::Mac;

/// Longest name of an interface, in bytes (`IFNAMSIZ` less the final zero).
pub const NAME_LEN_MAX: usize = 15;

/// A name that an interface may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no name of an interface that can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseInterfaceNameError {
    /// The kernel would not take it, or others could not write it.
    #[error(
        "{0:?} is no name of an interface: expected 1 to {NAME_LEN_MAX} letters, digits and signs, without '/', ':', '%' or spaces"
    )]
    Malformed(String),
    /// Each network namespace has it from its beginning.
    #[error("every network namespace has an interface 'lo' of its own: choose another name")]
    Loopback,
}

/// Source: Linux net/core/dev.c, `dev_valid_name`; `%` makes a pattern there.
impl FromStr for InterfaceName {
    type Err = ParseInterfaceNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=NAME_LEN_MAX).contains(&text.len()) && !matches!(text, "." | "..");
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/:%".contains(&byte);
        match text {
            "lo" => Err(ParseInterfaceNameError::Loopback),
            _ if fits && text.bytes().all(is_plain) => Ok(Self(text.to_string())),
            _ => Err(ParseInterfaceNameError::Malformed(text.to_string())),
        }
    }
}

/// Why an interface, address or route is not as asked for.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No such interface.
    #[error("there is no network interface '{0}'")]
    Missing(String),
    /// The name belongs to something else.
    #[error(
        "the network interface '{name}' exists but is {found}, not {wanted}: choose another name, or remove it if it is of no use"
    )]
    Taken {
        /// Whose name.
        name: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A bridge of that name belongs to somebody else.
    #[error(
        "the bridge '{0}' was not made by weft, which leaves it alone: choose another name with --bridge, or remove it with `ip link del {0}`"
    )]
    Foreign(String),
    /// The namespace is on our bridge already, by another interface of the host.
    #[error("the interface '{if_name}' is attached already: its other end is '{host_if}'")]
    Attached {
        /// The end in the namespace.
        if_name: String,
        /// The end on the host.
        host_if: String,
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

/// Names of all interfaces of one kind (`bridge`, `veth`, …) that `owner` made, in order.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn owned(handle: &Handle, wanted: &str, owner: &Owner) -> Result<Vec<String>, LinkError> {
    let all = all(handle).await?;
    let is_meant = |link: &&LinkMessage| kind(link).as_deref() == Some(wanted) && owner.owns(link);
    let mut names: Vec<_> = all.iter().filter(is_meant).filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// The other end of a veth, in another network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarEnd {
    /// The number by which ours knows that namespace.
    pub(crate) namespace: i32,
    /// The number of the interface there.
    pub(crate) index: u32,
}

/// What is noted on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Nothing on most.
    pub text: String,
    /// Its other end, if that is in another namespace.
    pub far_end: Option<FarEnd>,
}

/// What is noted on each interface of one kind (`bridge`, `veth`, …) that `owner` made, by its name.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn notes(
    handle: &Handle,
    wanted: &str,
    owner: &Owner,
) -> Result<BTreeMap<String, Noted>, LinkError> {
    let all = all(handle).await?;
    let meant = all.iter().filter(|link| kind(link).as_deref() == Some(wanted));
    let noted = |link| {
        let noted = Noted { text: owner.noted(link)?.to_string(), far_end: far_end(link) };
        Some((name(link)?, noted))
    };
    Ok(meant.filter_map(noted).collect())
}

/// Notes something else on the interface `name`; no error when it is gone.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn note(handle: &Handle, name: &str, owner: &Owner, text: &str) -> Result<(), LinkError> {
    let Some(link) = find(handle, name).await? else { return Ok(()) };
    let noted = LinkMessageBuilder::<LinkUnspec>::new().index(link.header.index);
    let noted = noted.append_extra_attribute(owner.mark_with(text)).build();
    change(handle, noted).await.doing(|| format!("note on '{name}' what it has"))
}

/// Whether `name` is a veth that is on no bridge and bears nobody's mark.
///
/// # Errors
/// [`LinkError::Kernel`].
pub async fn is_loose_veth(handle: &Handle, name: &str) -> Result<bool, LinkError> {
    let is_bound = |attribute: &LinkAttribute| {
        matches!(attribute, LinkAttribute::Controller(_) | LinkAttribute::IfAlias(_))
    };
    let link = find(handle, name).await?;
    Ok(link.is_some_and(|link| {
        kind(&link).as_deref() == Some("veth") && !link.attributes.iter().any(is_bound)
    }))
}

/// Who made an interface. It is written on the interface, as its alias, so that it is known for as
/// long as the interface is there, whatever becomes of our files; and after it there may be a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// Longest text with its note, in bytes. Source: linux/if.h, `IFALIASZ`, less the final zero.
    const ALIAS_LEN_MAX: usize = 255;

    /// Longest text, in bytes. Leaves most of an alias to the note.
    const LEN_MAX: usize = 80;

    /// Where a note begins. No path has it that a person would choose.
    const NOTE: char = '\t';

    /// The weft whose state is at `place`. A place that is too long is told apart by its end.
    pub fn new(place: &str) -> Self {
        const PREFIX: &str = "weft ";
        let over = place.len().saturating_sub(Self::LEN_MAX - PREFIX.len());
        let start = place.ceil_char_boundary(over);
        Self(format!("{PREFIX}{}", place.get(start..).unwrap_or_default()))
    }

    /// Longest note that there is room for, in bytes.
    pub const fn note_len_max(&self) -> usize {
        Self::ALIAS_LEN_MAX - self.0.len() - 1
    }

    /// Whether `link` bears our mark.
    pub(crate) fn owns(&self, link: &LinkMessage) -> bool {
        self.noted(link).is_some()
    }

    /// What is noted on `link`, which may be nothing; `None` when it does not bear our mark.
    pub(crate) fn noted<'a>(&self, link: &'a LinkMessage) -> Option<&'a str> {
        link.attributes.iter().find_map(|attribute| {
            let LinkAttribute::IfAlias(alias) = attribute else { return None };
            let rest = alias.strip_prefix(self.0.as_str())?;
            if rest.is_empty() { Some("") } else { rest.strip_prefix(Self::NOTE) }
        })
    }

    /// What makes an interface ours, and a note. One that is too long is left out: half of it would say
    /// something else.
    pub(crate) fn mark_with(&self, note: &str) -> LinkAttribute {
        let alias = format!("{}{}{note}", self.0, Self::NOTE);
        let is_note = !note.is_empty() && alias.len() <= Self::ALIAS_LEN_MAX;
        if is_note { LinkAttribute::IfAlias(alias) } else { self.mark() }
    }

    /// What makes an interface ours.
    pub(crate) fn mark(&self) -> LinkAttribute {
        LinkAttribute::IfAlias(self.0.clone())
    }
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

/// Gives `link` an MTU (bytes), unless it has it.
///
/// # Errors
/// [`LinkError::Kernel`].
pub(crate) async fn resize(
    handle: &Handle,
    link: &LinkMessage,
    size: u32,
) -> Result<(), LinkError> {
    if mtu(link) == Some(size) {
        return Ok(());
    }
    let resized = LinkMessageBuilder::<LinkUnspec>::new().index(link.header.index).mtu(size);
    let name = name(link).unwrap_or_default();
    change(handle, resized.build()).await.doing(|| format!("set the MTU of '{name}' to {size}"))
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

/// The other end of a veth, unless it is in the same namespace.
fn far_end(link: &LinkMessage) -> Option<FarEnd> {
    let namespace = link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::LinkNetNsId(namespace) = attribute { Some(*namespace) } else { None }
    });
    Some(FarEnd { namespace: namespace?, index: peer_index(link)? })
}

/// Its MAC address, if it has one of six bytes.
pub(crate) fn mac(link: &LinkMessage) -> Option<Mac> {
    link.attributes.iter().find_map(|attribute| {
        let LinkAttribute::Address(bytes) = attribute else { return None };
        bytes.as_slice().try_into().ok().map(Mac)
    })
}

/// Its MTU, in bytes.
pub(crate) fn mtu(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::Mtu(mtu) = attribute { Some(*mtu) } else { None }
    })
}

/// Whether somebody has set it up.
pub(crate) fn is_up(link: &LinkMessage) -> bool {
    link.header.flags.contains(LinkFlags::Up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_a_name_that_the_kernel_takes_and_a_shell_can_write() {
        for good in ["ethwe", "e", "br-0.1_x", "abcdefghijklmno"] {
            assert_eq!(good.parse::<InterfaceName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "x/y", "x y", "x\ty", "x:1", "x%d", "höst", "abcdefghijklmnop"]
        {
            let why = bad.parse::<InterfaceName>().unwrap_err().to_string();
            assert!(why.contains("expected 1 to 15"), "{why}");
        }
        assert_eq!("lo".parse::<InterfaceName>(), Err(ParseInterfaceNameError::Loopback));
    }

    #[test]
    fn owners_are_told_apart_by_the_end_of_their_place_and_fit_an_alias() {
        let deep = "/höhle".repeat(100);
        let [one, two] = ["a", "b"].map(|end| Owner::new(&format!("{deep}/{end}")));
        assert_ne!(one, two);
        assert!(one.0.len() <= Owner::LEN_MAX, "{}", one.0.len());
        assert_eq!(Owner::new("/var/lib/weft").0, "weft /var/lib/weft");
    }

    #[test]
    fn a_note_is_read_by_its_owner_alone_and_left_out_whole_when_it_is_too_long() {
        let [one, other, longer] = ["/a", "/b", "/a/c"].map(Owner::new);
        let link =
            |alias| LinkMessageBuilder::<LinkUnspec>::new().append_extra_attribute(alias).build();
        let noted = link(one.mark_with("db 10.32.0.1/12"));
        assert_eq!(one.noted(&noted), Some("db 10.32.0.1/12"));
        assert_eq!((other.noted(&noted), longer.noted(&noted)), (None, None));
        assert_eq!(one.noted(&link(longer.mark())), None);
        assert_eq!(one.noted(&link(one.mark())), Some(""));
        let longest = "x".repeat(one.note_len_max());
        assert_eq!("weft /a\t".len() + longest.len(), 255);
        assert_eq!(one.noted(&link(one.mark_with(&longest))), Some(longest.as_str()));
        assert_eq!(one.noted(&link(one.mark_with(&format!("{longest}x")))), Some(""));
    }
}
