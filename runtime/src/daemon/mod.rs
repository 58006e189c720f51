//! The daemon: everything that one host runs, started in order and undone in reverse.

mod controls;
mod failure;
mod folders;
mod identity;
mod leaving;
mod lock;
mod options;
mod reset;
mod running;
mod signals;
mod sleeve;
mod start;
mod underlay;
mod upkeep;

pub use controls::Controls;
pub use failure::StartError;
pub use folders::Folders;
pub use identity::identity;
pub use leaving::LeaveError;
pub use lock::Holder;
pub use options::{Options, Secrets};
pub use reset::reset;
pub use running::Running;
pub use signals::hold as hold_signals;

use start::Started;
use tokio::net::UnixListener;

/// A running daemon.
#[derive(Debug)]
pub struct Daemon(Started);

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
        start::start(options, api).await.map(Self)
    }

    /// What to tell the operator although it started: targets that did not answer yet, …
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// Works until SIGTERM, SIGINT, SIGHUP or [`Controls::stop`]. A bridge with containers on it stays, so
    /// that they can go on talking; the next daemon makes a bridge that went anew.
    ///
    /// # Errors
    /// When the state could not be written any more, or a part broke.
    pub async fn run(self) -> Result<(), StartError> {
        let Started { running, controls, mut signals, kernel, .. } = self.0;
        let told = async {
            tokio::select! {
                biased;
                () = signals.came() => {}
                () = controls.stopped() => {}
            }
        };
        let ended = running.run(told).await;
        controls.sleeve.stop();
        if let Err(why) = kernel.remove_idle_bridge().await {
            tracing::warn!(%why, "left behind");
        }
        ended
    }
}

/// The daemon of `folders`, if one is running.
pub fn running(folders: &Folders) -> Option<Holder> {
    lock::holder(&folders.pid_file())
}

/// As [`running`], unless that daemon is gone within a moment, as one is that was just killed.
pub fn lasting(folders: &Folders) -> Option<Holder> {
    lock::lasting_holder(&folders.pid_file())
}
