//! The signals that end a daemon.

use super::failure::StartError;
use nix::sys::signal::{SigSet, Signal as Number};
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a daemon.
const ENDS: [Number; 3] = [Number::SIGTERM, Number::SIGINT, Number::SIGHUP];

/// Where the kernel says what a process ignores, as a mask in hex. Source: proc_pid_status(5).
const STATUS: &str = "/proc/self/status";

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
/// while the daemon starts must lead to an orderly end too, and not past it. What was ignored when the
/// process began stays so: that is what `nohup`, and a shell that starts it in the background, ask for.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    hangup: Option<Signal>,
}

impl Signals {
    pub(crate) fn catch() -> Result<Self, StartError> {
        let cannot = |why: io::Error| StartError(format!("cannot wait for signals: {why}"));
        let ignored = ignored(&std::fs::read_to_string(STATUS).map_err(cannot)?);
        let caught = |kind: SignalKind| {
            let is_ignored = ignored & (1 << (kind.as_raw_value() - 1)) != 0;
            (!is_ignored).then(|| signal(kind)).transpose().map_err(cannot)
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
            () = next(&mut self.terminate) => {}
            () = next(&mut self.interrupt) => {}
            () = next(&mut self.hangup) => {}
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

/// The next signal; never, of one that is ignored.
async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The signals that a process with this status ignores: signal N is bit N - 1.
fn ignored(status: &str) -> u64 {
    let mut masks = status.lines().filter_map(|line| line.strip_prefix("SigIgn:"));
    masks.next().and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_status() {
        let status = "SigBlk:\t0000000000000002\nSigIgn:\t0000000000001003\n";
        assert_eq!(ignored(status), 0b1_0000_0000_0011);
        assert_eq!(ignored("Name:\tweft\n"), 0);
    }
}
