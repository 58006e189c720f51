//! The files of a daemon.

use crate::store;
use std::path::PathBuf;

/// The two folders of a daemon, and what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Kept across starts and boots.
    pub state_dir: PathBuf,
    /// Pid file, control socket, log: gone at boot.
    pub run_dir: PathBuf,
}

impl Folders {
    /// Control socket of the daemon.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join("weft.sock")
    }

    /// Lock and process id of the daemon.
    pub fn pid_file(&self) -> PathBuf {
        self.run_dir.join("weft.pid")
    }

    /// Log of a daemon in the background.
    pub fn log_file(&self) -> PathBuf {
        self.run_dir.join("weft.log")
    }

    /// What was in the log before it had become long.
    pub fn old_log_file(&self) -> PathBuf {
        self.run_dir.join("weft.log.old")
    }

    /// Which containers have an interface, and where.
    pub fn attached_file(&self) -> PathBuf {
        self.state_dir.join("attached.json")
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.state_dir.join("weft.redb")
    }

    /// The database while a first start makes it.
    pub fn unfinished_database(&self) -> PathBuf {
        store::unfinished(&self.database())
    }
}
