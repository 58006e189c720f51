//! A disk that outlives the starts of its host, and can be slow or broken.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;
use weft::store::{MemoryStore, Store, StoreError};
use weft_core::id::ContainerId;
use weft_core::saved::{Change, Saved, Slot};

/// What a host keeps its state on; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    memory: Arc<Mutex<MemoryStore>>,
    delay_ms: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
    lying: Arc<AtomicBool>,
}

impl Disk {
    /// Lets every write take `delay` from here on.
    pub(crate) fn slow(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.delay_ms.store(delay, Ordering::Relaxed);
    }

    /// Lets every write fail from here on, or work again.
    pub(crate) fn break_down(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    /// Whether writes fail.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Says that it wrote what it did not, from here on: to see that this is noticed.
    pub(crate) fn lie(&self, lying: bool) {
        self.lying.store(lying, Ordering::Relaxed);
    }

    /// Forgets everything.
    pub(crate) fn wipe(&self) {
        *super::lock(&self.memory) = MemoryStore::default();
    }

    /// Which of `addresses` is not noted as held by `id`.
    pub(super) fn lacks(
        &self,
        id: &ContainerId,
        addresses: &[ipnet::IpNet],
    ) -> Option<ipnet::IpNet> {
        let saved = super::lock(&self.memory).load().ok();
        let slot = Slot::Holding(id.clone());
        let held = saved.and_then(|saved| saved.get::<Vec<ipnet::IpNet>>(&slot).ok().flatten());
        let held = held.unwrap_or_default();
        addresses.iter().find(|address| !held.contains(address)).copied()
    }
}

impl Store for Disk {
    fn load(&mut self) -> Result<Saved, StoreError> {
        super::lock(&self.memory).load()
    }

    async fn commit(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let delay = self.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
        }
        if self.is_broken() {
            let why = "input/output error".to_owned();
            return Err(StoreError::Disk { path: PathBuf::from("weft.redb"), why });
        }
        if self.lying.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut memory = super::lock(&self.memory).clone();
        memory.commit(changes).await
    }
}
