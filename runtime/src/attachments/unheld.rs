//! Addresses that something on this host answers to, and that the node does not hold for it, and why not.

use ipnet::IpNet;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use weft_core::id::ContainerId;
use weft_core::io::CommandError;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Unheld(Mutex<BTreeMap<(ContainerId, IpNet), CommandError>>);

impl Unheld {
    /// `id` answers to `address`; what the node said to that.
    pub(super) fn note(&self, id: &ContainerId, address: IpNet, outcome: Result<(), CommandError>) {
        let whose = (id.clone(), address);
        self.all(|all| match outcome {
            Ok(()) => {
                if all.remove(&whose).is_some() {
                    tracing::info!(%id, %address, "an address that is in use here is held again");
                }
            }
            Err(why) => {
                if all.get(&whose) != Some(&why) {
                    tracing::warn!(%id, %address, %why, "an address is in use here, and not held");
                    all.insert(whose, why);
                }
            }
        });
    }

    /// Nothing of `id` answers to any address any longer, or to this one.
    pub(super) fn forget(&self, id: &ContainerId, address: Option<IpNet>) {
        let is_meant = |(whose, net): &(ContainerId, IpNet)| {
            whose == id && address.is_none_or(|address| *net == address)
        };
        self.all(|all| all.retain(|whose, _| !is_meant(whose)));
    }

    /// What `id` answers to and does not hold.
    pub(super) fn of(&self, id: &ContainerId) -> Vec<IpNet> {
        let of_id = |all: &mut BTreeMap<(ContainerId, IpNet), CommandError>| {
            all.keys().filter(|(whose, _)| whose == id).map(|(_, net)| *net).collect()
        };
        self.all(of_id)
    }

    /// Whose they are, and why each of them is not held.
    pub(super) fn list(&self) -> Vec<(ContainerId, IpNet, CommandError)> {
        self.all(|all| all.iter().map(|((id, net), why)| (id.clone(), *net, why.clone())).collect())
    }

    fn all<T>(
        &self,
        look: impl FnOnce(&mut BTreeMap<(ContainerId, IpNet), CommandError>) -> T,
    ) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
