//! The daemon: everything that one host runs, started in order and undone in reverse.

mod options;

pub use options::Options;

use crate::attachments::Attachments;
use crate::handle::NodeHandle;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::watch;
use weft_core::forward::Counters;
use weft_core::io::CommandError;

/// What the API may do with the daemon; clones share it.
#[derive(Clone, Debug)]
pub struct Controls {
    /// The node.
    pub node: NodeHandle,
    /// Containers.
    pub attachments: Attachments,
    /// As started; the password is gone from it.
    pub options: Arc<Options>,
    stop: Arc<watch::Sender<bool>>,
}

impl Controls {
    /// Lets [`Daemon::run`] return; it answers this call's own request first.
    pub fn stop(&self) {
        let _ = self.stop.send(true);
    }

    /// Hands our addresses to another peer, then stops: the running half of `weft reset`.
    ///
    /// # Errors
    /// When the node is stopping already.
    pub async fn leave(&self) -> Result<(), CommandError> {
        todo!()
    }

    /// What the sleeve has counted.
    pub fn counters(&self) -> Counters {
        todo!()
    }

    /// The MAC table: (MAC, place, seconds since it was seen), in order.
    pub fn macs(&self) -> Vec<(String, String, u64)> {
        todo!()
    }

    /// Where the DNS server answers; `None` when it is off or nothing is attached yet.
    pub fn dns_address(&self) -> Option<IpAddr> {
        todo!()
    }

    /// Host name servers that other names are forwarded to.
    pub fn dns_upstreams(&self) -> Vec<IpAddr> {
        todo!()
    }
}

/// Why the daemon did not start: one line that says what to do. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {}

impl Daemon {
    /// Starts all parts in order. `api` serves the control socket: pass the API's `serve`.
    ///
    /// # Errors
    /// What stood in the way and what to do about it; what was done was undone.
    pub async fn start<A, F>(options: Options, api: A) -> Result<Self, StartError>
    where
        A: FnOnce(Controls, UnixListener) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let _ = (options, api);
        todo!()
    }

    /// What to tell the operator although it started: targets that did not answer yet, …
    pub fn warnings(&self) -> &[String] {
        todo!()
    }

    /// Works until SIGTERM, SIGINT or [`Controls::stop`]; the bridge and the containers on it stay.
    pub async fn run(self) {
        todo!()
    }
}

/// Removes all traces of weft from this host. The daemon must have stopped (`POST /reset` first).
///
/// # Errors
/// What could not be removed, or that weft is still running.
pub async fn reset(options: &Options) -> Result<(), StartError> {
    let _ = options;
    todo!()
}

/// Process id of the daemon that holds `run_dir`, if one is running.
pub fn running(run_dir: &Path) -> Option<u32> {
    let _ = run_dir;
    todo!()
}
