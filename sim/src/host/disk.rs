//! A simulated disk: what was persisted survives, and nothing else does.
//!
//! A crash falls between two outputs of one outbox ([`crate::host::Host::crash_after`]); since a
//! `Persist` is one output and atomic, every prefix of an outbox is a state a real disk can be in.

use weft_core::io::RequestId;
use weft_core::saved::{Change, Saved, Slot};

/// The disk of one host.
#[derive(Clone, Debug)]
pub struct Disk {
    saved: Saved,
    /// Batches written since the run began.
    pub writes: u64,
}

impl Disk {
    /// A disk that was never written.
    pub const EMPTY: Self =
        Self { saved: Saved { slots: std::collections::BTreeMap::new() }, writes: 0 };

    /// Makes all of `changes` durable.
    pub fn persist(&mut self, changes: Vec<Change>) {
        self.writes += 1;
        for change in changes {
            self.saved.apply(change);
        }
    }

    /// What a node finds when it starts.
    pub fn saved(&self) -> Saved {
        self.saved.clone()
    }

    /// Whether all of `addresses` are noted as held for `id`.
    ///
    /// # Errors
    /// Says what is missing, for the rule that nothing is handed out before it is durable.
    pub fn holds(
        &self,
        request: RequestId,
        id: &weft_core::id::ContainerId,
        addresses: &[ipnet::IpNet],
    ) -> Result<(), String> {
        let held: Vec<ipnet::IpNet> =
            self.saved.get(&Slot::Holding(id.clone())).ok().flatten().unwrap_or_default();
        match addresses.iter().find(|address| !held.contains(address)) {
            None => Ok(()),
            Some(lost) => Err(format!(
                "request {} gave {lost} to {id} before that was durable (disk has {held:?})",
                request.0
            )),
        }
    }
}
