//! A small disk, which a test fills up.

use anyhow::{Context as _, Result, bail};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

/// Bytes that the kernel gives to a file at once. Source: tmpfs(5).
const PAGE: usize = 4096;

/// A file system in memory, with room for little. [`crate::lab::Lab`] takes it away.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Where it is mounted.
    pub folder: PathBuf,
}

impl Disk {
    /// Fills it up so far that `pages` of 4 KiB are free.
    ///
    /// # Errors
    /// When less than that is free already.
    pub fn fill(&self, pages: usize) -> Result<()> {
        let path = self.filler();
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        loop {
            match file.write(&[0x5a; PAGE]) {
                Ok(_) => {}
                Err(why) if why.kind() == ErrorKind::StorageFull => break,
                Err(why) => bail!("cannot fill {}: {why}", path.display()),
            }
        }
        let free = u64::try_from(pages * PAGE)?;
        let kept = file.metadata()?.len().checked_sub(free).context("the disk is too full")?;
        Ok(File::set_len(&file, kept)?)
    }

    /// Takes away what [`Disk::fill`] put there.
    ///
    /// # Errors
    /// When there is nothing.
    pub fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}
