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

/// Why a text is no network namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no network namespace: give a process id, a name of `ip netns`, or a path")]
pub struct ParseNamespaceError(pub String);

/// `PID`, `NAME` (of `ip netns`) or `/path`.
impl FromStr for Namespace {
    type Err = ParseNamespaceError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(pid) => Ok(Self::Pid(pid)),
            Err(_) if text.contains('/') => Ok(Self::Path(PathBuf::from(text))),
            Err(_) if matches!(text, "" | "." | "..") => Err(ParseNamespaceError(text.to_string())),
            Err(_) => Ok(Self::Path(PathBuf::from("/run/netns").join(text))),
        }
    }
}
