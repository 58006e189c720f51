//! The thread that lives in namespaces of its own and starts the command there.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::SigSet;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, gettid, sethostname};
use rtnetlink::LinkUnspec;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use tokio::sync::oneshot;

/// Index of the loopback interface in every network namespace.
const LOOPBACK: u32 = 1;

/// A file that is to be seen in the place of another.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) from: PathBuf,
    pub(super) over: PathBuf,
}

/// What to start, and where to say what came of it.
struct Start {
    command: Vec<String>,
    mounts: Vec<Mount>,
    started: oneshot::Sender<io::Result<Pid>>,
    ended: oneshot::Sender<WaitStatus>,
}

/// The thread as seen from outside. Dropped before the start, it ends, and its namespaces with it.
pub(super) struct Cell {
    orders: mpsc::Sender<Start>,
    ended: Option<oneshot::Receiver<WaitStatus>>,
}

impl Cell {
    /// Starts the thread; returns once it has namespaces of its own, with the path of its network.
    pub(super) async fn enter(hostname: Option<String>) -> Result<(Self, PathBuf), String> {
        let (orders, inbox) = mpsc::channel();
        let (entered, path) = oneshot::channel();
        let thread = std::thread::Builder::new().name("cell".to_owned());
        let spawned = thread.spawn(move || match leave_host(hostname.as_deref()) {
            Ok(path) => {
                if entered.send(Ok(path)).is_ok()
                    && let Ok(start) = inbox.recv()
                {
                    work(start);
                }
            }
            Err(why) => drop(entered.send(Err(why))),
        });
        spawned.map_err(|e| e.to_string())?;
        let path =
            path.await.unwrap_or_else(|_| Err("the thread of `weft run` ended".to_owned()))?;
        Ok((Self { orders, ended: None }, path))
    }

    /// Lays `mounts` over the host's files and starts `command`.
    pub(super) async fn start(
        &mut self,
        command: Vec<String>,
        mounts: Vec<Mount>,
    ) -> io::Result<Pid> {
        let (started, answer) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        self.ended = Some(end);
        let gone = || io::Error::other("the thread of `weft run` ended");
        self.orders.send(Start { command, mounts, started, ended }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// How the command ended, once it has; `None` when that cannot be known.
    pub(super) async fn ended(&mut self) -> Option<WaitStatus> {
        self.ended.as_mut()?.await.ok()
    }
}

/// Gives this thread a network, mounts and, with `hostname`, a host name of its own.
fn leave_host(hostname: Option<&str>) -> Result<PathBuf, String> {
    let mut flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    flags.set(CloneFlags::CLONE_NEWUTS, hostname.is_some());
    unshare(flags).map_err(|e| {
        if e == nix::Error::EPERM {
            "weft run needs root (or CAP_SYS_ADMIN): try sudo".to_owned()
        } else {
            format!("cannot make namespaces: {e}")
        }
    })?;
    // What the host mounts later is to appear here; what is mounted here stays here.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .map_err(|e| format!("cannot keep mounts to ourselves: {e}"))?;
    if let Some(hostname) = hostname {
        sethostname(hostname).map_err(|e| format!("cannot use '{hostname}' as host name: {e}"))?;
    }
    loopback_up().map_err(|e| format!("cannot bring the loopback interface up: {e}"))?;
    Ok(format!("/proc/{}/task/{}/ns/net", std::process::id(), gettid()).into())
}

fn loopback_up() -> Result<(), Box<dyn std::error::Error>> {
    // A socket belongs to the network of the thread that opens it: ours.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let connection = tokio::spawn(connection);
        let up = LinkUnspec::new_with_index(LOOPBACK).up().build();
        let done = handle.link().change(up).execute().await;
        connection.abort();
        Ok(done?)
    })
}

fn work(Start { command, mounts, started, ended }: Start) {
    let pid = match spawn(&command, &mounts) {
        Ok(pid) => pid,
        Err(error) => return drop(started.send(Err(error))),
    };
    if started.send(Ok(pid)).is_err() {
        return;
    }
    loop {
        // Not reaped: the id must not be given to another process while signals are sent to it.
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Ok(status) => {
                let _ = ended.send(status);
                return;
            }
            Err(nix::Error::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// Starts another `weft`, which is the first process of a PID namespace ([`super::init`]): with it,
/// the kernel ends all that the command has started.
fn spawn(command: &[String], mounts: &[Mount]) -> io::Result<Pid> {
    for Mount { from, over } in mounts {
        // Often a link; a host without the file gets by without it, and so does the command.
        let Ok(over) = over.canonicalize() else { continue };
        mount(Some(from), &over, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|e| io::Error::other(format!("cannot replace {}: {e}", over.display())))?;
    }
    // Late: a thread whose children go elsewhere can have no other threads start.
    unshare(CloneFlags::CLONE_NEWPID)?;
    // Handed down: what comes before the other one can take it must wait for it.
    SigSet::all().thread_block()?;
    let parent = std::process::id().to_string();
    let own = ["--command-of", &parent, "run", "--"].map(str::to_owned);
    let mut child = Command::new("/proc/self/exe");
    // The secret of the mesh is not for its containers.
    child.arg0("weft").args(own).args(command).env_remove("WEFT_PASSWORD");
    i32::try_from(child.spawn()?.id()).map(Pid::from_raw).map_err(io::Error::other)
}
