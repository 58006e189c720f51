//! What unit tests share.

use crate::store::{MemoryStore, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::sync::watch;
use weft_core::saved::{Change, Saved};

/// A folder of one test's own, removed with it.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("weft-test-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl std::ops::Deref for TempDir {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A disk that counts, can be told to take nothing more, and can be held up.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestStore {
    store: MemoryStore,
    /// Takes nothing more.
    pub(crate) is_full: Arc<AtomicBool>,
    /// While it holds `true`, a commit waits.
    pub(crate) is_held_up: Arc<watch::Sender<bool>>,
    begun: Arc<AtomicU32>,
}

impl TestStore {
    /// How many commits have begun.
    pub(crate) fn commits(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }
}

impl Store for TestStore {
    fn load(&mut self) -> Result<Saved, StoreError> {
        self.store.load()
    }

    async fn commit(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.is_held_up.subscribe().wait_for(|is_held_up| !is_held_up).await.unwrap();
        if self.is_full.load(Ordering::Relaxed) {
            return Err(StoreError::Disk { path: "weft.redb".into(), why: "no space".to_string() });
        }
        self.store.commit(changes).await
    }
}
