//! The signals that end a daemon.

use super::failure::StartError;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT and SIGHUP (the end of the terminal), caught from when this is made to the end of the process: one that comes
/// while the daemon starts must lead to an orderly end too, and not past it.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn catch() -> Result<Self, StartError> {
        let caught = |kind| {
            signal(kind).map_err(|why| StartError(format!("cannot wait for signals: {why}")))
        };
        Ok(Self {
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
            hangup: caught(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn came(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// Whether a signal has come that nobody waited for.
    pub(crate) async fn has_come(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.came() => true,
            () = std::future::ready(()) => false,
        }
    }
}
