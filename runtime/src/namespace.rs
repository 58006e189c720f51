//! Network namespaces as people name them.

use std::path::PathBuf;
use std::str::FromStr;
use weft_core::id::ContainerId;

/// A network namespace to attach.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
