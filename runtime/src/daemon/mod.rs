//! The daemon: everything that one host runs, started in order and undone in reverse.

mod lock;
mod options;
mod reset;
mod running;
mod signals;
mod sleeve;
mod start;

pub use lock::Holder;
pub use options::Options;
pub use reset::reset;
pub use running::Running;

use crate::attachments::Attachments;
use crate::dns::DnsService;
use crate::handle::NodeHandle;
use crate::host::Kernel;
use lock::PidLock;
use signals::Signals;
use sleeve::Sleeve;
use start::RemovedFile;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::watch;
use weft_core::forward::Counters;
use weft_core::io::{Command, CommandError};
use weft_datapath::engine::Losses;

/// What the API may do with the daemon; clones share it.
#[derive(Clone, Debug)]
pub struct Controls {
    /// The node.
    pub node: NodeHandle,
    /// Containers.
    pub attachments: Attachments,
    /// As started; the password is gone from it.
    pub options: Arc<Options>,
    /// What carries frames, and why: `sleeve (this kernel has no Open vSwitch)`.
    pub carrier: Arc<str>,
    stop: Arc<watch::Sender<bool>>,
    sleeve: Sleeve,
    dns: Option<Arc<DnsService>>,
}

impl Controls {
    /// Controls of a node that has neither data path nor DNS server around it, as in a simulation.
    pub fn of_node(node: NodeHandle, attachments: Attachments, options: Options) -> Self {
        Self {
            node,
            attachments,
            options: Arc::new(options),
            carrier: "none".into(),
            stop: Arc::default(),
            sleeve: Sleeve::default(),
            dns: None,
        }
    }

    /// Lets [`Daemon::run`] return; it answers this call's own request first.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Resolves after [`Controls::stop`].
    pub async fn stopped(&self) {
        // Never an error: the sender lives as long as we do.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Hands our addresses to another peer, then stops: the running half of `weft reset`.
    ///
    /// # Errors
    /// When the node is stopping already.
    pub async fn leave(&self) -> Result<(), CommandError> {
        self.node.command(Command::Leave).await?;
        self.stop();
        Ok(())
    }

    /// What the sleeve has counted.
    pub fn counters(&self) -> Counters {
        self.sleeve.counters()
    }

    /// What the sleeve could not hand to the kernel.
    pub fn losses(&self) -> Losses {
        self.sleeve.losses()
    }

    /// Where the DNS server answers; `None` when it is off or nothing is attached yet.
    pub fn dns_address(&self) -> Option<IpAddr> {
        self.dns.as_ref()?.address()
    }

    /// Host name servers that other names are forwarded to.
    pub fn dns_upstreams(&self) -> Vec<IpAddr> {
        self.dns.as_ref().map_or_else(Vec::new, |dns| dns.upstreams())
    }
}

/// Why the daemon did not start: one line that says what to do. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    running: Running,
    controls: Controls,
    warnings: Vec<String>,
    signals: Signals,
    kernel: Kernel,
    _socket: RemovedFile,
    // Last: nobody may start another one before all else is undone.
    _lock: PidLock,
}

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
        start::start(options, api).await
    }

    /// What to tell the operator although it started: targets that did not answer yet, …
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Works until SIGTERM, SIGINT or [`Controls::stop`]. A bridge with containers on it stays, so
    /// that they can go on talking; the next daemon makes a bridge that went anew.
    ///
    /// # Errors
    /// When the state could not be written any more, or a part broke.
    pub async fn run(mut self) -> Result<(), StartError> {
        let told = async {
            tokio::select! {
                biased;
                () = self.signals.came() => {}
                () = self.controls.stopped() => {}
            }
        };
        let ended = self.running.run(told).await;
        self.controls.sleeve.stop();
        if let Err(why) = self.kernel.remove_idle_bridge().await {
            tracing::warn!(%why, "left behind");
        }
        ended
    }
}

/// The daemon of `run_dir`, if one is running.
pub fn running(run_dir: &Path) -> Option<Holder> {
    lock::holder(&run_dir.join(options::PID_FILE))
}
