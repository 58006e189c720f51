//! One daemon for each run folder: a locked file with its process id.

use super::StartError;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Taken to see whether another has the lock, and given up at once.
const LOCK_SEEN: FlockArg = FlockArg::LockSharedNonblock;

/// How long a process that was killed may take until the system has closed all that it had. Not longer: where one
/// lives, this is how long people wait to hear of it.
const CLOSING_MAX: Duration = Duration::from_millis(500);

/// How often is looked whether it has: its end sends nothing that could be waited for.
const LOOK_WAIT: Duration = Duration::from_millis(5);

/// The lock; the file is removed when this is dropped, so that another process may take its place.
///
/// The lock on the removed file is left to the end of the process: who has it open sees by that
/// when the process is gone, whatever it still does after this is dropped.
#[derive(Debug)]
pub(crate) struct PidLock {
    path: PathBuf,
    _file: ManuallyDrop<Flock<File>>,
}

impl PidLock {
    /// Takes the lock of `path` and writes this process's id into it.
    ///
    /// # Errors
    /// When another process has it, the folder is gone, or the file cannot be made.
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let cannot = |why: io::Error| {
            let is_gone = why.kind() == io::ErrorKind::NotFound;
            if is_gone { LockError::Gone(path.into()) } else { LockError::Cannot(path.into(), why) }
        };
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(cannot)?;
            let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => file,
                Err((mut file, Errno::EWOULDBLOCK)) => {
                    let pid = read(&mut file);
                    return Err(LockError::Held(Holder { pid, file }));
                }
                Err((_, why)) => return Err(cannot(why.into())),
            };
            // Its last holder may have removed it between our opening and locking it.
            let ours = file.metadata().map_err(cannot)?.ino();
            if std::fs::metadata(path).is_ok_and(|there| there.ino() == ours) {
                file.set_len(0).map_err(cannot)?;
                writeln!(file, "{}", std::process::id()).map_err(cannot)?;
                return Ok(Self { path: path.into(), _file: ManuallyDrop::new(file) });
            }
        }
    }
}

impl Drop for PidLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Why a lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another process has it.
    #[error("{0}")]
    Held(Holder),
    /// Its folder was there, and another command has removed it meanwhile, as `weft reset` does.
    #[error("another weft command has just removed the folder of {}: try again", .0.display())]
    Gone(PathBuf),
    /// The system does not let us.
    #[error("cannot make {}: {}; choose another --run-dir", .0.display(), .1)]
    Cannot(PathBuf, io::Error),
}

impl From<LockError> for StartError {
    fn from(error: LockError) -> Self {
        Self(error.to_string())
    }
}

/// A process that holds a lock.
#[derive(Debug)]
pub struct Holder {
    /// Its id; `None` before it has written that.
    pub pid: Option<u32>,
    file: File,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("weft is already running here")?;
        if let Some(pid) = self.pid {
            write!(f, " (process {pid})")?;
        }
        f.write_str(": `weft stop` ends it, `weft connect` adds peers")
    }
}

impl Holder {
    /// Whether the process has ended; it is asked of the lock, so no other process with its id is
    /// taken for it.
    pub fn is_gone(&self) -> bool {
        let asked = self.file.try_clone().map(|file| Flock::lock(file, LOCK_SEEN));
        !matches!(asked, Ok(Err((_, Errno::EWOULDBLOCK))))
    }
}

/// The daemon that holds the lock of `path`, if one does.
pub(crate) fn holder(path: &Path) -> Option<Holder> {
    let mut holder = Holder { pid: None, file: File::open(path).ok()? };
    if holder.is_gone() {
        return None;
    }
    holder.pid = read(&mut holder.file);
    Some(holder)
}

/// As [`holder`], unless that is gone within a moment: it may have been killed.
pub(crate) fn lasting_holder(path: &Path) -> Option<Holder> {
    let asked_at = Instant::now();
    while let Some(holder) = holder(path) {
        if asked_at.elapsed() > CLOSING_MAX {
            return Some(holder);
        }
        thread::sleep(LOOK_WAIT);
    }
    None
}

fn read(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_lock_is_refused_while_another_holds_it_and_free_again_afterwards() {
        let dir = TempDir::new();
        let path = dir.join("weft.pid");
        assert!(holder(&path).is_none());
        let first = PidLock::take(&path).unwrap();
        let held = holder(&path).unwrap();
        assert_eq!(held.pid, Some(std::process::id()));
        let refused = PidLock::take(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        drop(first);
        assert!(!path.exists());
        PidLock::take(&path).unwrap();
        assert!(!held.is_gone(), "this process has not ended");
        let gone = PidLock::take(&dir.join("gone").join("weft.pid")).unwrap_err();
        assert!(matches!(gone, LockError::Gone(_)), "{gone}");
    }
}
