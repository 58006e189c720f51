//! Removing all traces of weft from a host.

use super::lock::{self, PidLock};
use super::{Folders, StartError};
use crate::attachments::Ledger;
use crate::host;
use crate::run_files;
use std::io;
use std::path::Path;

/// Removes every bridge that we made, the containers' interfaces, routes, rules, saved state and run files. The
/// daemon must have stopped; its addresses are handed over by [`super::Controls::leave`].
///
/// # Errors
/// What could not be removed, or that weft is still running.
pub async fn reset(folders: &Folders) -> Result<(), StartError> {
    super::start::require_root()?;
    if folders.run_dir.exists() {
        // Held until the end: nobody may launch into the middle of this.
        let lock = PidLock::take(&folders.pid_file())?;
        clear(folders).await?;
        drop(lock);
        // Files of a `weft run` that still runs, or of others, stay.
        run_files::clear(&folders.run_dir);
        let _ = std::fs::remove_dir(&folders.run_dir);
    } else {
        clear(folders).await?;
    }
    debug_assert!(lock::holder(&folders.pid_file()).is_none(), "the lock was ours");
    Ok(())
}

async fn clear(folders: &Folders) -> Result<(), StartError> {
    // A damaged list is a reason for a reset, not against it.
    let ids = Ledger::open(folders.attached_file()).map(|ledger| ledger.ids()).unwrap_or_default();
    let cleared = host::clear(&folders.state_dir, &ids).await;
    cleared.map_err(|why| StartError(why.to_string()))?;
    for path in [
        folders.database(),
        folders.unfinished_database(),
        folders.attached_file(),
        folders.socket(),
        folders.log_file(),
        folders.old_log_file(),
    ] {
        remove(&path)?;
    }
    // Others may keep files of their own there; then it stays.
    let _ = std::fs::remove_dir(&folders.state_dir);
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
