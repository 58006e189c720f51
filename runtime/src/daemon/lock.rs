//! One daemon for each run folder: a locked file with its process id.

use super::StartError;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The lock; it is given up, and the file removed, when this is dropped.
#[derive(Debug)]
pub(crate) struct PidLock {
    path: PathBuf,
    _file: Flock<File>,
}

impl PidLock {
    /// Takes the lock of `path` and writes this process's id into it.
    ///
    /// # Errors
    /// When another process has it, or the file cannot be made.
    pub(crate) fn take(path: &Path) -> Result<Self, StartError> {
        let cannot = |why: io::Error| {
            StartError(format!("cannot make {}: {why}; choose another --run-dir", path.display()))
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
                    let pid =
                        read(&mut file).map_or_else(String::new, |pid| format!(" (pid {pid})"));
                    return Err(StartError(format!(
                        "weft is already running{pid}: `weft status` shows it, `weft stop` stops it"
                    )));
                }
                Err((_, why)) => return Err(cannot(why.into())),
            };
            // Its last holder may have removed it between our opening and locking it.
            let ours = file.metadata().map_err(cannot)?.ino();
            if std::fs::metadata(path).is_ok_and(|there| there.ino() == ours) {
                file.set_len(0).map_err(cannot)?;
                writeln!(file, "{}", std::process::id()).map_err(cannot)?;
                return Ok(Self { path: path.into(), _file: file });
            }
        }
    }
}

impl Drop for PidLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Process id of the daemon that holds the lock of `path`, if one does.
pub(crate) fn holder(path: &Path) -> Option<u32> {
    let file = File::open(path).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Err((mut file, Errno::EWOULDBLOCK)) => Some(read(&mut file).unwrap_or(0)),
        Ok(_) | Err(_) => None,
    }
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
        assert_eq!(holder(&path), None);
        let first = PidLock::take(&path).unwrap();
        assert_eq!(holder(&path), Some(std::process::id()));
        let refused = PidLock::take(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("(pid {})", std::process::id())), "{refused}");
        drop(first);
        assert!(!path.exists());
        PidLock::take(&path).unwrap();
    }
}
