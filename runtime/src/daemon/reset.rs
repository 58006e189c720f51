//! Removing all traces of weft from a host.

use super::lock::{self, PidLock};
use super::{Options, StartError};
use crate::attachments::Ledger;
use crate::host::Kernel;
use crate::run_files;
use std::io;
use std::path::Path;

/// Removes every bridge that we made, the containers' interfaces, routes, rules, saved state and run files. The
/// daemon must have stopped; its addresses are handed over by [`super::Controls::leave`].
///
/// # Errors
/// What could not be removed, or that weft is still running.
pub async fn reset(options: &Options) -> Result<(), StartError> {
    super::start::require_root()?;
    if options.run_dir.exists() {
        // Held until the end: nobody may launch into the middle of this.
        let lock = PidLock::take(&options.pid_file())?;
        clear(options).await?;
        drop(lock);
        // Files of a `weft run` that still runs, or of others, stay.
        run_files::clear(&options.run_dir);
        let _ = std::fs::remove_dir(&options.run_dir);
    } else {
        clear(options).await?;
    }
    debug_assert!(lock::holder(&options.pid_file()).is_none(), "the lock was ours");
    Ok(())
}

async fn clear(options: &Options) -> Result<(), StartError> {
    let bridge = options.bridge.clone();
    let kernel = Kernel::open(bridge, options.mtu, options.range, &options.state_dir)
        .map_err(|why| StartError(why.to_string()))?;
    // A damaged list is a reason for a reset, not against it.
    let ids = Ledger::open(options.attached_file()).map(|ledger| ledger.ids()).unwrap_or_default();
    kernel.clear(&ids).await.map_err(|why| StartError(why.to_string()))?;
    for path in [
        options.database(),
        options.attached_file(),
        options.socket(),
        options.log_file(),
        options.old_log_file(),
    ] {
        remove(&path)?;
    }
    // Others may keep files of their own there; then it stays.
    let _ = std::fs::remove_dir(&options.state_dir);
    Ok(())
}

fn remove(path: &Path) -> Result<(), StartError> {
    match std::fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            Err(StartError(format!("cannot remove {}: {why}", path.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
