//! The signals that end a daemon.

use super::failure::StartError;
use nix::sys::signal::{SigSet, Signal as Number};
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a daemon.
const ENDS: [Number; 3] = [Number::SIGTERM, Number::SIGINT, Number::SIGHUP];

/// Keeps them waiting, in this thread and in those that it starts from here on, until [`Signals::catch`].
/// To be called before there is a tokio runtime: that installs a handler a moment before it listens, and
/// what another of its threads takes in that moment is lost.
///
/// # Errors
/// When the kernel refuses.
pub fn hold() -> io::Result<()> {
    Ok(SigSet::from_iter(ENDS).thread_block()?)
}

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
        let signals = Self {
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
            hangup: caught(SignalKind::hangup())?,
        };
        // Those that were held come now, to this thread.
        let freed = SigSet::from_iter(ENDS).thread_unblock();
        freed.map_err(|why| StartError(format!("cannot take signals: {why}")))?;
        Ok(signals)
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
