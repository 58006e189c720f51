//! Removing all traces of weft from a host.

use super::lock::{self, Holder, LockError, PidLock};
use super::{Folders, StartError};
use crate::attachments::Places;
use crate::host;
use crate::run_files;
use std::io;
use std::path::Path;

/// Removes every bridge that we made, the containers' interfaces, routes, rules, saved state and run files. The
/// daemon must have stopped; its addresses are handed over by [`super::Controls::leave`]. Returns whether there was any.
///
/// # Errors
/// What could not be removed, or that weft is still running.
pub async fn reset(folders: &Folders) -> Result<bool, StartError> {
    super::start::require_root()?;
    // Held until the end: nobody may launch into the middle of this.
    let had_any = match PidLock::take(&folders.pid_file()) {
        Ok(lock) => {
            let had_any = clear(folders).await?;
            drop(lock);
            // Files of a `weft run` that still runs, or of others, stay.
            run_files::clear(&folders.run_dir);
            let _ = std::fs::remove_dir(&folders.run_dir);
            had_any
        }
        // Nothing runs here, or another reset has just come to its end.
        Err(LockError::Gone(_)) => clear(folders).await?,
        Err(LockError::Held(holder)) => return Err(busy(folders, &holder)),
        Err(why @ LockError::Cannot(..)) => return Err(why.into()),
    };
    debug_assert!(lock::holder(&folders.pid_file()).is_none(), "the lock was ours");
    Ok(had_any)
}

/// That another command is at work: no daemon, since that was told to end, or there was none.
fn busy(folders: &Folders, holder: &Holder) -> StartError {
    let pid = holder.pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
    StartError(format!(
        "another weft command{pid} resets or launches weft in {}: let it end, then try again if anything is left",
        folders.run_dir.display()
    ))
}

async fn clear(folders: &Folders) -> Result<bool, StartError> {
    // A damaged list is a reason for a reset, not against it.
    let ids = Places::open(folders.attached_file()).map(|places| places.ids()).unwrap_or_default();
    let cleared = host::clear(&folders.state_dir, &ids).await;
    let mut had_any = cleared.map_err(|why| StartError(why.to_string()))?;
    for path in [
        folders.database(),
        folders.unfinished_database(),
        folders.attached_file(),
        folders.socket(),
        folders.log_file(),
        folders.old_log_file(),
    ] {
        had_any |= remove(&path)?;
    }
    // Others may keep files of their own there; then it stays.
    let _ = std::fs::remove_dir(&folders.state_dir);
    Ok(had_any)
}

/// Returns whether it was there.
fn remove(path: &Path) -> Result<bool, StartError> {
    match std::fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            Err(StartError(format!("cannot remove {}: {why}", path.display())))
        }
        removed => Ok(removed.is_ok()),
    }
}
