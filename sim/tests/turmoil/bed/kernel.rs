//! The kernel of one host, as far as containers are concerned: it notes what it is told.

use super::disk::Disk;
use super::judge::Judge;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;
use weft::host::{Host, HostError, Wish};
use weft_core::forward::Mac;
use weft_core::id::ContainerId;

/// The bridge of one host and the containers on it; it outlives the node.
#[derive(Debug)]
pub(crate) struct Kernel {
    host: usize,
    disk: Disk,
    judge: Arc<Mutex<Judge>>,
    attached: Mutex<BTreeSet<ContainerId>>,
    delay_ms: AtomicU64,
    refuses: AtomicBool,
}

impl Kernel {
    pub(super) fn new(host: usize, disk: Disk, judge: Arc<Mutex<Judge>>) -> Self {
        Self {
            host,
            disk,
            judge,
            attached: Mutex::default(),
            delay_ms: AtomicU64::new(0),
            refuses: AtomicBool::new(false),
        }
    }

    /// Lets every change of the bridge take `delay` from here on.
    pub(crate) fn slow(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.delay_ms.store(delay, Ordering::Relaxed);
    }

    /// Refuses all attachments from here on, or not any longer.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    /// The container ends, and its interface with it; nobody tells the node.
    pub(crate) fn kill(&self, id: &ContainerId) {
        super::lock(&self.attached).remove(id);
        super::lock(&self.judge).let_go(self.host, id, None);
    }

    /// Containers with an interface.
    pub(crate) fn attached(&self) -> Vec<ContainerId> {
        super::lock(&self.attached).iter().cloned().collect()
    }

    async fn delay(&self) {
        let delay = self.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
        }
    }

    fn hold(&self, id: &ContainerId, addresses: &[IpNet]) {
        super::lock(&self.judge).hold(self.host, id, addresses, &self.disk);
    }
}

#[async_trait::async_trait]
impl Host for Kernel {
    async fn attach(&self, wish: &Wish) -> Result<Mac, HostError> {
        self.delay().await;
        if self.refuses.load(Ordering::Relaxed) {
            return Err(HostError::Netlink(std::io::Error::other("no memory")));
        }
        super::lock(&self.attached).insert(wish.id.clone());
        self.hold(&wish.id, &wish.addresses);
        Ok(Mac([2, 0, 0, 0, 0, 1]))
    }
    async fn take(&self, wish: &Wish) -> Result<(), HostError> {
        self.delay().await;
        for address in &wish.addresses {
            super::lock(&self.judge).let_go(self.host, &wish.id, Some(*address));
        }
        Ok(())
    }
    async fn detach(&self, id: &ContainerId) -> Result<(), HostError> {
        self.delay().await;
        self.kill(id);
        Ok(())
    }
    async fn is_attached(&self, id: &ContainerId) -> Result<bool, HostError> {
        Ok(super::lock(&self.attached).contains(id))
    }
    async fn replug(&self, _id: &ContainerId) -> Result<(), HostError> {
        Ok(())
    }
    async fn add(&self, address: IpNet) -> Result<(), HostError> {
        self.hold(&ContainerId::expose(), &[address]);
        Ok(())
    }
    async fn remove(&self, address: IpNet) -> Result<(), HostError> {
        super::lock(&self.judge).let_go(self.host, &ContainerId::expose(), Some(address));
        Ok(())
    }
    async fn add_dns(&self, _address: IpAddr) -> Result<(), HostError> {
        Ok(())
    }
}
