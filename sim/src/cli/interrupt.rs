//! Ctrl-C in a search that takes long: what it came to until then is still said.

use anyhow::{Context as _, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// What a process ends with that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;

static WANTED: AtomicBool = AtomicBool::new(false);

/// Listens from here on. The first one is taken note of, the second one ends all at once.
///
/// # Errors
/// Says why nobody can listen.
pub(super) fn listen() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let listening = {
        let _inside = runtime.enter();
        signal(SignalKind::interrupt())
    };
    let mut signals = listening.context("cannot listen for Ctrl-C")?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            signals.recv().await;
            WANTED.store(true, Ordering::Relaxed);
            eprintln!("sim: ends with the worlds that run; Ctrl-C again ends it at once");
            signals.recv().await;
            exit();
        });
    });
    Ok(())
}

/// Whether somebody has had enough.
pub(super) fn is_wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}

/// Ends as one that was interrupted.
pub(super) fn exit() -> ! {
    std::process::exit(INTERRUPTED)
}
