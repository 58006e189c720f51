//! The picture of addresses for people.

use super::{Ipam, Ledger};
use crate::config::FoundingMode;
use crate::id::PeerId;
use crate::status::{IpamState, IpamStatus, OwnerStatus};
use alloc::collections::BTreeMap;

impl Ipam {
    /// A snapshot for people.
    pub fn status(&self) -> IpamStatus {
        let state = if self.has_left {
            IpamState::Left
        } else if self.has_twin() {
            IpamState::Copied
        } else if self.founded.is_some() {
            match self.is_open() {
                true => IpamState::Ready,
                false if self.gate.deadline().is_some() => IpamState::Listening,
                false => IpamState::AwaitingMerge,
            }
        } else if self.mode == FoundingMode::Observer {
            IpamState::Observing
        } else if self.started || !self.votes.is_empty() {
            IpamState::AwaitingConsensus { needed: self.quorum(), heard: self.heard() }
        } else {
            IpamState::Idle
        };
        let mut addresses: BTreeMap<PeerId, u128> = BTreeMap::new();
        for (range, _, _, owner) in self.ledger().into_iter().flat_map(Ledger::entries) {
            *addresses.entry(owner).or_default() += range.size();
        }
        let is_reachable = |owner| owner == self.me || self.reachable.contains_key(&owner);
        let owners = addresses.into_iter().map(|(owner, addresses)| OwnerStatus {
            owner,
            addresses,
            reachable: is_reachable(owner),
        });
        IpamStatus {
            state,
            universe: self.universe,
            default_subnets: self.default_subnets.clone(),
            owners: owners.collect(),
            held: self.holdings.len_inside(),
            strays: self.strays_status(),
            waiting: self.waiting.len() + self.primes.len(),
            no_leave: self.no_leave(),
        }
    }
}
