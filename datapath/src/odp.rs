//! Whether the kernel could switch frames itself: the datapath of Open vSwitch, asked for over
//! generic netlink.

use neli::consts::socket::NlFamily;
use neli::err::RouterError;
use neli::router::synchronous::NlRouter;
use neli::utils::Groups;

/// Generic netlink family of the datapath. Source: linux/openvswitch.h, `OVS_DATAPATH_FAMILY`.
pub const FAMILY: &str = "ovs_datapath";

/// Why the kernel did not say.
#[derive(Debug, thiserror::Error)]
pub enum OdpError {
    /// No socket.
    #[error("cannot open a generic netlink socket: {0}")]
    Socket(String),
    /// No sensible answer.
    #[error("cannot ask generic netlink for the family '{family}': {why}")]
    Ask {
        /// Of which family.
        family: String,
        /// The library's words.
        why: String,
    },
}

/// The number of the generic netlink family `name`; `None` when this kernel does not have it.
///
/// Blocks until the kernel has answered. The kernel loads the family's module first, where there is
/// one and the caller may load it.
///
/// # Errors
/// [`OdpError`].
pub fn family(name: &str) -> Result<Option<u16>, OdpError> {
    let (router, _) = NlRouter::connect(NlFamily::Generic, None, Groups::empty())
        .map_err(|why| OdpError::Socket(why.to_string()))?;
    match router.resolve_genl_family(name) {
        Ok(id) => Ok(Some(id)),
        Err(RouterError::Nlmsgerr(why)) if why.error().abs() == nix::libc::ENOENT => Ok(None),
        Err(why) => Err(OdpError::Ask { family: name.to_string(), why: why.to_string() }),
    }
}

/// Whether this kernel has the datapath of Open vSwitch.
///
/// # Errors
/// [`OdpError`].
pub fn is_there() -> Result<bool, OdpError> {
    Ok(family(FAMILY)?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the controller itself. Source: linux/genetlink.h, `GENL_ID_CTRL`.
    const CONTROLLER: u16 = 0x10;

    #[test]
    fn a_family_that_every_kernel_has_is_found_and_one_that_none_has_is_not() {
        assert_eq!(family("nlctrl").unwrap(), Some(CONTROLLER));
        assert_eq!(family("no_such_family").unwrap(), None);
    }

    #[test]
    fn open_vswitch_is_there_where_the_kernel_shows_its_module_and_only_there() {
        // Asking comes first: it may load the module.
        let is_there = is_there().unwrap();
        assert_eq!(is_there, std::path::Path::new("/sys/module/openvswitch").exists());
    }
}
