//! Addresses, names and containers as people type them.

use super::common::Failure;
use crate::api::client::Client;
use crate::attachments::{AddressRequest, ParseAddressRequestError};
use crate::namespace::{Namespace, ParseNamespaceError};
use weft_core::id::ContainerId;
use weft_core::names::Name;

/// Checks an address in Weave Net's grammar and keeps it as it was written.
pub(crate) fn address_arg(text: &str) -> Result<String, ParseAddressRequestError> {
    text.parse::<AddressRequest>().map(|_| text.to_owned())
}

/// `text` as a full name: one without a dot is meant to lie in the domain.
pub(crate) async fn qualified(client: &Client, text: &str) -> Result<Name, Failure> {
    let full = if text.trim_end_matches('.').contains('.') {
        text.to_owned()
    } else {
        format!("{}.{}", text.trim_end_matches('.'), client.get("/domain").await?.trim())
    };
    full.parse().map_err(Failure::usage)
}

/// The id that a namespace is attached under: `pid:4711`, `netns:NAME`, or the text itself when it
/// is an id already.
pub(crate) fn container_id(text: &str) -> Result<ContainerId, Failure> {
    if text.contains(':') && !text.contains('/') {
        return text.parse().map_err(Failure::usage);
    }
    // Every /proc/PID/ns/net has the same last part; what tells them apart is the process.
    let pid = text.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/ns/net"));
    let namespace = pid.unwrap_or(text).parse::<Namespace>().map_err(Failure::usage)?;
    namespace.default_id().ok_or_else(|| Failure::usage(ParseNamespaceError(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_name_a_namespace_gives_an_id_of_its_own() {
        let id = |text: &str| container_id(text).unwrap().to_string();
        assert_eq!(id("4711"), "pid:4711");
        assert_eq!(id("/proc/4711/ns/net"), "pid:4711");
        assert_eq!(id("web"), "netns:web");
        assert_eq!(id("/run/netns/web"), "netns:web");
        assert_eq!(id("run:12-345"), "run:12-345");
        for bad in ["", ".", "..", "a b", "/"] {
            assert!(container_id(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
