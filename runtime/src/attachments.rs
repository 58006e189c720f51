//! Containers on the bridge: addresses, veth pairs and names, put on and taken off together.

use crate::handle::NodeHandle;
use ipnet::IpNet;
use std::path::PathBuf;
use std::str::FromStr;
use weft_core::id::ContainerId;
use weft_core::io::CommandError;
use weft_core::names::Name;

/// A network namespace to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// That of a process.
    Pid(u32),
    /// A file: `/run/netns/NAME`, `/proc/PID/ns/net`, …
    Path(PathBuf),
}

impl Namespace {
    /// The id that it is attached under when none is given: `pid:1234`, `netns:NAME`.
    pub fn default_id(&self) -> Option<ContainerId> {
        match self {
            Self::Pid(pid) => format!("pid:{pid}").parse().ok(),
            Self::Path(path) => {
                format!("netns:{}", path.file_name()?.to_string_lossy()).parse().ok()
            }
        }
    }
}

/// `PID`, `NAME` (of `ip netns`) or `/path`.
impl FromStr for Namespace {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.parse() {
            Ok(pid) => Self::Pid(pid),
            Err(_) if text.contains('/') => Self::Path(PathBuf::from(text)),
            Err(_) => Self::Path(PathBuf::from("/run/netns").join(text)),
        })
    }
}

/// An address as people ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressRequest {
    /// `net:default`, or `net:CIDR`: any free address of that subnet.
    Any(Option<IpNet>),
    /// `ip:CIDR`, or plain `CIDR`: just this one.
    This(IpNet),
}

/// Why a text is no address request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no address: expected net:default, net:SUBNET/LEN, ip:ADDRESS/LEN or ADDRESS/LEN")]
pub struct ParseAddressRequestError(pub String);

impl FromStr for AddressRequest {
    type Err = ParseAddressRequestError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let net = |part: &str| {
            part.parse::<IpNet>().map_err(|_| ParseAddressRequestError(text.to_string()))
        };
        match text.split_once(':') {
            Some(("net", "default")) => Ok(Self::Any(None)),
            Some(("net", subnet)) => Ok(Self::Any(Some(net(subnet)?))),
            Some(("ip", address)) => Ok(Self::This(net(address)?)),
            Some(_) | None => Ok(Self::This(net(text)?)),
        }
    }
}

/// What to attach, and how.
#[derive(Clone, Debug)]
pub struct Attach {
    /// Where the interface goes.
    pub namespace: Namespace,
    /// On whose behalf addresses and names are held.
    pub id: ContainerId,
    /// Addresses wanted; one from the default subnet when empty.
    pub addresses: Vec<AddressRequest>,
    /// Names for every address.
    pub names: Vec<Name>,
    /// Name of the interface inside; `ethwe` by default.
    pub interface: String,
}

/// A container on the bridge.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attached {
    /// Whose.
    pub id: ContainerId,
    /// MAC of the interface inside, `xx:xx:xx:xx:xx:xx`; `None` when there is no interface.
    pub mac: Option<String>,
    /// Addresses with the prefix length of their subnet.
    pub addresses: Vec<IpNet>,
}

/// Why something could not be attached or detached. What had been done was undone.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The node said no.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The kernel said no.
    #[error("{0}")]
    Datapath(String),
    /// Not attached.
    #[error("{0} is not attached: `weft ps` lists what is")]
    NotAttached(ContainerId),
}

/// What puts containers on the bridge and takes them off; clones share one.
#[derive(Clone, Debug)]
pub struct Attachments {
    pub(crate) node: NodeHandle,
}

impl Attachments {
    /// Gives a namespace an interface on the bridge, with addresses and names. Returns what it
    /// has. Repeating it adds what is missing.
    ///
    /// # Errors
    /// The first step that failed; the steps before it were undone.
    pub async fn attach(&self, attach: Attach) -> Result<Attached, AttachError> {
        let _ = attach;
        todo!()
    }

    /// Takes `addresses` (all when empty) from a container; with its last one go its interface and
    /// its names. Returns the addresses taken.
    ///
    /// # Errors
    /// When nothing is attached under `id`, or the kernel refuses.
    pub async fn detach(
        &self,
        id: ContainerId,
        addresses: Vec<AddressRequest>,
    ) -> Result<Vec<IpNet>, AttachError> {
        let _ = (id, addresses);
        todo!()
    }

    /// Gives the host addresses on the bridge (one of the default subnet when empty). Returns them.
    ///
    /// # Errors
    /// The first step that failed; the steps before it were undone.
    pub async fn expose(&self, addresses: Vec<AddressRequest>) -> Result<Vec<IpNet>, AttachError> {
        let _ = addresses;
        todo!()
    }

    /// Takes exposed addresses (all when empty) from the bridge. Returns those taken.
    ///
    /// # Errors
    /// When none is exposed, or the kernel refuses.
    pub async fn hide(&self, addresses: Vec<AddressRequest>) -> Result<Vec<IpNet>, AttachError> {
        let _ = addresses;
        todo!()
    }

    /// All that hold an address here, with `weft:expose` when the host is exposed.
    ///
    /// # Errors
    /// When the node is stopping.
    pub async fn list(&self) -> Result<Vec<Attached>, AttachError> {
        todo!()
    }
}
