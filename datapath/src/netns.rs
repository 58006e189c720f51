//! Network namespaces: how people name them, and running something inside one.

use nix::sched::{CloneFlags, setns};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fmt, thread};

/// Where `ip netns` keeps its names; the second is the same place on older systems.
pub const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// A network namespace as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// A file, such as `/proc/1234/ns/net`.
    Path(PathBuf),
    /// That of a running process.
    Pid(u32),
    /// A name that `ip netns list` shows.
    Name(String),
}

/// Why a namespace cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// No such process.
    #[error("process {0} is not running: its container may have stopped, check the id")]
    NoProcess(u32),
    /// No such process, but a name that reads like one.
    #[error(
        "process {0} is not running, but there is a network namespace of that name: give it as netns:{0}"
    )]
    NameNotProcess(u32),
    /// No such name.
    #[error("there is no network namespace '{0}': `ip netns list` shows those there are")]
    NoName(String),
    /// No such file.
    #[error("there is no network namespace at {0}: its container may have stopped")]
    NoPath(PathBuf),
    /// Something else lives there.
    #[error("{0} is not a network namespace")]
    NotANamespace(Namespace),
    /// The kernel refused.
    #[error("cannot enter the network namespace {0}: {1}")]
    Io(Namespace, io::Error),
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Pid(pid) => write!(f, "of process {pid}"),
            Self::Name(name) => write!(f, "'{name}'"),
        }
    }
}

impl Namespace {
    /// The one whose file is at `path`: a name, where that is in the folder of names.
    pub fn at(path: PathBuf) -> Self {
        let name = NAMED.iter().find_map(|folder| path.strip_prefix(folder).ok());
        match name.and_then(Path::to_str) {
            Some(name) if !name.is_empty() && !name.contains('/') => Self::Name(name.to_string()),
            Some(_) | None => Self::Path(path),
        }
    }

    /// Opens it; it stays alive as long as the result.
    ///
    /// # Errors
    /// When there is none, it is something else, or the kernel does not let us enter.
    pub fn open(&self) -> Result<NamespaceFd, NamespaceError> {
        let opened = match self {
            Self::Path(path) => open(path),
            Self::Pid(pid) => open(Path::new(&format!("/proc/{pid}/ns/net"))),
            Self::Name(name) => {
                let [first, second] = NAMED.map(|folder| Path::new(folder).join(name));
                open(&first).or_else(|_| open(&second))
            }
        };
        let fd = opened.map_err(|why| match (why.kind(), self) {
            (io::ErrorKind::NotFound, Self::Path(path)) => NamespaceError::NoPath(path.clone()),
            (io::ErrorKind::NotFound, Self::Pid(pid)) => {
                let is_name = NAMED.iter().any(|at| Path::new(at).join(pid.to_string()).exists());
                let why = if is_name {
                    NamespaceError::NameNotProcess
                } else {
                    NamespaceError::NoProcess
                };
                why(*pid)
            }
            (io::ErrorKind::NotFound, Self::Name(name)) => NamespaceError::NoName(name.clone()),
            (_, Self::Path(_) | Self::Pid(_) | Self::Name(_)) => {
                NamespaceError::Io(self.clone(), why)
            }
        })?;
        // The kernel itself says whether this is a network namespace: setns(2) answers EINVAL
        // when the descriptor is of another kind.
        match fd.run(|| ()) {
            Ok(()) => Ok(fd),
            Err(why) if why.kind() == io::ErrorKind::InvalidInput => {
                Err(NamespaceError::NotANamespace(self.clone()))
            }
            Err(why) => Err(NamespaceError::Io(self.clone(), why)),
        }
    }
}

/// An open network namespace.
#[derive(Debug)]
pub struct NamespaceFd {
    file: File,
    /// Device and inode: what makes a namespace the same one.
    identity: (u64, u64),
}

fn open(path: &Path) -> io::Result<NamespaceFd> {
    // Without O_NONBLOCK, a FIFO in place of a namespace would hold us up for ever.
    let flags = nix::libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    Ok(NamespaceFd { file, identity: (meta.dev(), meta.ino()) })
}

impl NamespaceFd {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// When `/proc` is missing.
    pub fn current() -> io::Result<Self> {
        open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Whether both are one namespace.
    pub fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Runs `work` inside, on a thread of its own, and waits for it. A netlink socket opened by
    /// `work` stays in this namespace wherever it is used afterwards.
    ///
    /// # Errors
    /// When no thread can be had or the kernel does not let it in; then `work` is not run.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let inside = thread::Builder::new().name("weft-netns".into()).spawn_scoped(
                scope,
                || -> io::Result<T> {
                    setns(&self.file, CloneFlags::CLONE_NEWNET)?;
                    Ok(work())
                },
            )?;
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl AsFd for NamespaceFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_something_else_is_named_in_the_error() {
        let reason = |namespace: Namespace| namespace.open().unwrap_err().to_string();
        let why = |path: &str| reason(Namespace::at(path.into()));
        let dead = reason(Namespace::Pid(u32::MAX));
        assert!(dead.starts_with("process 4294967295 is not running: "), "{dead}");
        assert!(why("/run/netns/no-such-namespace").contains("`ip netns list`"));
        assert!(why("/run/no-such-folder/netns").contains("/run/no-such-folder/netns"));
        assert_eq!(why("/dev/null"), "/dev/null is not a network namespace");
        assert!(why("/proc/self/ns/mnt").ends_with("is not a network namespace"));
    }

    #[test]
    fn the_namespace_of_this_process_is_the_current_one() {
        let own = Namespace::Pid(std::process::id()).open().unwrap();
        assert!(own.is_same(&NamespaceFd::current().unwrap()));
    }
}
