//! Network namespaces as people name them.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use weft_core::id::ContainerId;
use weft_datapath::netns::NAMED;

/// A network namespace to attach.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Namespace {
    /// That of a process.
    Pid(u32),
    /// A file: `/run/netns/NAME`, `/proc/PID/ns/net`, …
    Path(PathBuf),
}

impl Namespace {
    /// The id that it is attached under when none is given: `pid:1234`, `netns:NAME` for a name of
    /// `ip netns`, `netns:/PATH` for any other file. Each reads back as the same namespace.
    ///
    /// # Errors
    /// When its path cannot be part of an id.
    pub fn default_id(&self) -> Result<ContainerId, NamespaceIdError> {
        let text = match self {
            Self::Pid(pid) => format!("pid:{pid}"),
            Self::Path(path) => {
                let text = path.to_str().ok_or_else(|| NamespaceIdError(path.clone()))?;
                match (process_of(text), name_of(text)) {
                    (Some(pid), _) => format!("pid:{pid}"),
                    (None, Some(name)) => format!("netns:{name}"),
                    (None, None) => format!("netns:{text}"),
                }
            }
        };
        text.parse().map_err(|_| NamespaceIdError(text.into()))
    }
}

/// The process of `/proc/PID/ns/net`.
fn process_of(path: &str) -> Option<u32> {
    path.strip_prefix("/proc/")?.strip_suffix("/ns/net")?.parse().ok()
}

/// The name in `/run/netns/NAME`.
fn name_of(path: &str) -> Option<&str> {
    let name = NAMED.iter().find_map(|folder| path.strip_prefix(folder)?.strip_prefix('/'))?;
    (!name.contains('/')).then_some(name)
}

/// `path` without `.` and `..`, so that one file is not written in two ways.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

/// Why a text is no network namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no network namespace: give a process id, a name of `ip netns`, or a path")]
pub struct ParseNamespaceError(pub String);

/// Why no id can be made for a network namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no id can be made of {0:?}: expected at most {max} visible ASCII characters in all; give the process id instead",
    max = ContainerId::LEN_MAX
)]
pub struct NamespaceIdError(pub PathBuf);

/// `PID`, `NAME` (of `ip netns`), a path, or what [`Namespace::default_id`] made of one of them. A
/// path that does not begin at the root is taken from the working directory.
impl FromStr for Namespace {
    type Err = ParseNamespaceError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseNamespaceError(text.to_string());
        if let Some(pid) = text.strip_prefix("pid:") {
            return pid.parse().map(Self::Pid).map_err(|_| bad());
        }
        if let Ok(pid) = text.parse() {
            return Ok(Self::Pid(pid));
        }
        match text.strip_prefix("netns:").unwrap_or(text) {
            "" | "." | ".." => Err(bad()),
            path if path.contains('/') => {
                let path = std::path::absolute(path).map_err(|_| bad())?;
                Ok(Self::Path(plain(&path)))
            }
            name => Ok(Self::Path(Path::new(NAMED[0]).join(name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> String {
        text.parse::<Namespace>().unwrap().default_id().unwrap().to_string()
    }

    #[test]
    fn no_two_network_namespaces_have_one_id() {
        let texts = ["web", "/tmp/web", "/tmp/other/web", "/run/netns/other/web", "/run/netns/7"];
        let mut ids: Vec<_> = texts.into_iter().chain(["7", "/run/netns/pid:7"]).map(id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 7, "{ids:?}");
    }

    #[test]
    fn one_network_namespace_has_one_id_however_it_is_written() {
        for web in ["web", "/run/netns/web", "/var/run/netns/web", "/run/netns/../netns/./web"] {
            assert_eq!(id(web), "netns:web", "{web}");
        }
        for process in ["4711", "/proc/4711/ns/net"] {
            assert_eq!(id(process), "pid:4711", "{process}");
        }
        assert_eq!(id("/tmp//a/../web"), "netns:/tmp/web");
    }

    #[test]
    fn an_id_stands_for_the_namespace_that_it_was_made_of() {
        for text in ["4711", "web", "/run/netns/4711", "/tmp/web", "/run/netns/pid:7", "a:b"] {
            let namespace: Namespace = text.parse().unwrap();
            let id = namespace.default_id().unwrap();
            assert_eq!(id.as_str().parse::<Namespace>(), Ok(namespace), "{id}");
        }
    }

    #[test]
    fn what_cannot_be_part_of_an_id_is_named_with_what_to_do() {
        for text in ["ünï", "a b", &format!("/tmp/{}", "a".repeat(120))] {
            let why = text.parse::<Namespace>().unwrap().default_id().unwrap_err().to_string();
            assert!(why.contains(text) && why.contains("give the process id"), "{why}");
        }
        for bad in ["", ".", "..", "netns:", "pid:x", "pid:"] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad:?} was accepted");
        }
    }
}
