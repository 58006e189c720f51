//! Addresses, names and containers as people type them.

use super::common::Failure;
use crate::api::client::Client;
use crate::attachments::{AddressRequest, ParseAddressRequestError};
use crate::namespace::Namespace;
use weft_core::id::ContainerId;
use weft_core::names::Name;

/// Checks an address in Weave Net's grammar and keeps it as it was written.
pub(crate) fn address_arg(text: &str) -> Result<String, ParseAddressRequestError> {
    text.parse::<AddressRequest>().map(|_| text.to_owned())
}

/// `text` as a full name: one without a dot is meant to lie in the domain.
pub(crate) async fn qualified(client: &Client, text: &str) -> Result<Name, Failure> {
    // Ahead of the domain: what is wrong must be told as it was typed.
    let name: Name = text.parse().map_err(Failure::usage)?;
    if name.as_str().contains('.') {
        return Ok(name);
    }
    let domain = client.get("/domain").await?;
    format!("{name}.{}", domain.trim()).parse().map_err(Failure::usage)
}

/// The id that a namespace is attached under, or the text itself when it is such an id already.
pub(crate) fn container_id(text: &str) -> Result<ContainerId, Failure> {
    match text.split_once(':') {
        // Of these no namespace is known here: the daemon says what they are.
        Some(("run" | "weft", _)) => text.parse().map_err(Failure::usage),
        Some(_) | None => {
            let namespace = text.parse::<Namespace>().map_err(Failure::usage)?;
            namespace.default_id().map_err(Failure::usage)
        }
    }
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
        assert_eq!(id("/tmp/web"), "netns:/tmp/web");
        for text in ["run:12-345", "weft:expose", "pid:4711", "netns:web", "netns:/tmp/web"] {
            assert_eq!(id(text), text);
        }
        for bad in ["", ".", "..", "a b"] {
            assert!(container_id(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
