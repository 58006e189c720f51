//! What an operator may choose.

use super::Folders;
use crate::dns::Forward;
use crate::secret::Secret;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use weft_core::addr::Universe;
use weft_core::config::FoundingMode;
use weft_core::id::{PeerId, PeerName};
use weft_core::io::Target;
use weft_core::names::Name;

/// Secrets of a mesh, as given.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Secrets {
    /// The one, or the new one of two.
    pub secret: Option<Secret>,
    /// The one before, which is valid too.
    pub old: Option<Secret>,
}

/// What an operator may choose for one daemon.
#[derive(Clone)]
pub struct Options {
    /// 48-bit name; from the identity when `None`.
    pub name: Option<PeerName>,
    /// Label for people.
    pub nickname: String,
    /// TCP control port and UDP sleeve port.
    pub port: u16,
    /// Secrets of the mesh, as given.
    pub secrets: Secrets,
    /// Peers to have to do with; all that have the secret when `None`.
    pub allowed: Option<BTreeSet<PeerId>>,
    /// Addresses that the mesh divides.
    pub range: Universe,
    /// Where allocations without a subnet come from; the whole block where none is given.
    pub default_subnets: Vec<IpNet>,
    /// How the range is first divided.
    pub founding: FoundingMode,
    /// Peers to dial.
    pub targets: Vec<Target>,
    /// Dial those known from the last run as well.
    pub resume: bool,
    /// Dial peers that were only heard of.
    pub discovery: bool,
    /// Most control links at once.
    pub conns_max: usize,
    /// Kept across starts and boots.
    pub state_dir: PathBuf,
    /// Pid file, control socket, log: gone at boot.
    pub run_dir: PathBuf,
    /// Name of the bridge.
    pub bridge: String,
    /// Largest IP packet of containers, in bytes.
    pub mtu: u32,
    /// Whether names are answered.
    pub dns: bool,
    /// Where names are answered beside the bridge, if anywhere.
    pub dns_listen: Option<SocketAddr>,
    /// Domain of names.
    pub dns_domain: Name,
    /// How long what is answered of them may be kept, in seconds.
    pub dns_ttl: u32,
    /// Whether containers on this host are answered first.
    pub dns_prefers_here: bool,
    /// Domains whose names are asked of servers of their own.
    pub dns_forwards: Vec<Forward>,
    /// Where the host's name servers are listed.
    pub resolv_conf: PathBuf,
    /// Where all that the node is told is written down, if anywhere, and at most how many bytes.
    pub record: Option<(PathBuf, usize)>,
}

impl Options {
    /// Where its files are.
    pub fn folders(&self) -> Folders {
        Folders { state_dir: self.state_dir.clone(), run_dir: self.run_dir.clone() }
    }

    /// Which containers have an interface, and where.
    pub fn attached_file(&self) -> PathBuf {
        self.folders().attached_file()
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("nickname", &self.nickname)
            .field("port", &self.port)
            .field("range", &self.range)
            .field("state_dir", &self.state_dir)
            .finish_non_exhaustive()
    }
}
