//! The files that the command of a `weft run` sees over the host's. Their folder is named after
//! the process, so that everybody can tell when it is left over.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Time between two looks for what is left over.
const SWEEP_WAIT: Duration = Duration::from_secs(5);

/// The folder of one process; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct RunFiles {
    folder: PathBuf,
}

impl RunFiles {
    /// Makes the folder of the process called `tag` by [`own_tag`].
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new(run_dir: &Path, tag: &str) -> io::Result<Self> {
        let folder = parent(run_dir).join(tag);
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder)?;
        Ok(Self { folder })
    }

    /// Writes a file; returns where it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Where they are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for RunFiles {
    fn drop(&mut self) {
        // What cannot be removed is swept up later.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders in `run_dir` of processes that have ended, and then their common folder, if
/// it is empty.
pub(crate) fn clear(run_dir: &Path) {
    sweep(run_dir);
    let _ = fs::remove_dir(parent(run_dir));
}

/// Removes the folders of processes that have ended, again and again.
pub(crate) async fn look_after(run_dir: PathBuf) {
    let mut ticks = interval(SWEEP_WAIT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        sweep(&run_dir);
    }
}

fn sweep(run_dir: &Path) {
    let Ok(entries) = fs::read_dir(parent(run_dir)) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(has_ended) {
            // It may just be going by itself.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn parent(run_dir: &Path) -> PathBuf {
    run_dir.join("run")
}

/// This process, among all since boot: its id, and when it started.
///
/// # Errors
/// When `/proc` does not say.
pub(crate) fn own_tag() -> io::Result<String> {
    let pid = std::process::id();
    start_time(pid).map(|start| format!("{pid}-{start}"))
}

/// Whether `tag` is that of a process that is there no longer.
fn has_ended(tag: &str) -> bool {
    let Some((pid, start)) = tag.split_once('-') else { return false };
    let (Ok(pid), Ok(start)) = (pid.parse(), start.parse::<u64>()) else { return false };
    !start_time(pid).is_ok_and(|there| there == start)
}

/// When a process started, in clock ticks since boot. Source: proc_pid_stat(5), field 22.
fn start_time(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Field 2, the name, may hold anything, a parenthesis too; field 3 follows its last one.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok());
    ticks.ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has no start time")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn only_folders_of_processes_that_have_ended_are_swept_up() {
        let dir = TempDir::new();
        let own = RunFiles::new(&dir, &own_tag().unwrap()).unwrap();
        own.write("hosts", "").unwrap();
        let id = std::process::id();
        // Another process has had our id before; a process that never was; no process at all.
        let [before, never, other] =
            [format!("{id}-0"), format!("{}-1", u32::MAX), "notes".to_string()];
        for folder in [&before, &never, &other] {
            fs::create_dir(parent(&dir).join(folder)).unwrap();
        }
        clear(&dir);
        assert!(own.folder().join("hosts").exists() && parent(&dir).join(&other).exists());
        assert!(!parent(&dir).join(&before).exists() && !parent(&dir).join(&never).exists());
        fs::remove_dir(parent(&dir).join(&other)).unwrap();
        drop(own);
        clear(&dir);
        assert!(!parent(&dir).exists());
    }
}
