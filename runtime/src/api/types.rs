//! The JSON bodies of the API. Addresses travel as people write them
//! ([`crate::attachments::AddressRequest`]) and are parsed on both sides.

use axum::http::StatusCode;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use weft_core::id::ContainerId;
use weft_core::names::Name;

/// HTTP status of a refusal to remove a peer that can be reached (409): once that one is missed, it may be.
pub const IN_REACH: u16 = StatusCode::CONFLICT.as_u16();

/// Body of `POST /attach`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// The network namespace: a process id, a name of `ip netns`, or a path.
    pub namespace: String,
    /// What the addresses are held for.
    pub id: ContainerId,
    /// Which addresses; one of the default subnet when empty.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// A name for each address.
    #[serde(default)]
    pub name: Option<Name>,
    /// What the interface is called in the namespace; `ethwe` when `None`.
    #[serde(default)]
    pub interface: Option<String>,
}

/// Body of `POST /detach`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetachRequest {
    /// What the addresses are held for.
    pub id: ContainerId,
    /// Which addresses; all when empty.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// Body of `POST /expose` and, without a name, of `POST /hide`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExposeRequest {
    /// Which addresses; when empty, one of the default subnet (expose) or all (hide).
    #[serde(default)]
    pub addresses: Vec<String>,
    /// A name for each address.
    #[serde(default)]
    pub name: Option<Name>,
}

/// One container: answer to attach, and one line of `weft ps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// What the addresses are held for.
    pub id: ContainerId,
    /// The interface's MAC, if there is an interface.
    pub mac: Option<String>,
    /// With the prefix lengths of their subnets.
    pub addresses: Vec<IpNet>,
}

/// What a running node serves, beside the core's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Version of the program.
    pub version: String,
    /// The bridge that containers are on.
    pub bridge: String,
    /// What carries frames, and why.
    pub datapath: String,
    /// Why containers of this host are cut off, while they are.
    pub trouble: Option<String>,
    /// Which addresses are in use on this host and not held here, and why.
    #[serde(default)]
    pub unheld: Vec<String>,
    /// Of which containers names are lost, and what to do.
    #[serde(default)]
    pub nameless: Option<String>,
    /// Why full packets are sent in pieces to some peer, if they are; told with a status alone.
    pub narrow: Option<String>,
    /// How names are served; `None` with `--no-dns`.
    pub dns: Option<Dns>,
}

/// How names are served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// The domain.
    pub domain: Name,
    /// Where containers ask, on port 53; `None` before the first container needs it.
    pub address: Option<IpAddr>,
    /// Where names are answered too, for whoever can ask there.
    pub elsewhere: Option<SocketAddr>,
    /// How long an answer may be kept, in seconds.
    pub ttl: u32,
    /// Whom other names are asked of.
    pub upstream: Vec<IpAddr>,
    /// Domains whose names are asked of others, as `DOMAIN=SERVER:PORT`.
    pub forwards: Vec<String>,
    /// Why no names are answered, although they should be.
    pub broken: Option<String>,
}

/// Body of `POST /allow`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowRequest {
    /// Ids of peers, 64 hex digits each; all that have the secret when `None`.
    pub peers: Option<Vec<String>>,
}

/// Body of every error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What was wrong, and what to do.
    pub error: String,
    /// Whether the same request may be met later, though the caller changes nothing.
    #[serde(default, rename = "mayPass")]
    pub may_pass: bool,
}
