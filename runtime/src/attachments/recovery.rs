//! What a life before this one left on the host, and what has died since.

use super::places::Place;
use super::{AttachError, Attachments};
use crate::namespace::Namespace;
use crate::resident::Resident;
use ipnet::IpNet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use weft_core::id::ContainerId;
use weft_core::io::{Command, CommandError};
use weft_datapath::container::host_interface_name;

/// Time between two looks for containers that have died.
const RECONCILE_WAIT: Duration = Duration::from_secs(5);

impl Attachments {
    /// Has the node hold what answers on this host and is not held, as after the state folder was removed or an
    /// older one put in its place, before others can be given it. What it refuses is told in the status, and tried
    /// again.
    ///
    /// # Errors
    /// When the node is stopping or the kernel refuses.
    pub async fn reserve(&self) -> Result<(), AttachError> {
        let held = self.node.held().await?;
        let is_held = |id: &ContainerId, address: &IpNet| {
            let of_id = held.get(id).into_iter().flatten();
            of_id.into_iter().any(|held| held.addr() == address.addr())
        };
        let (mut found, mut noted) = (Vec::new(), Vec::new());
        for Resident { id, addresses, names, .. } in
            self.host.residents().await?.into_values().flatten()
        {
            for address in addresses.into_iter().filter(|address| !is_held(&id, address)) {
                found.push((id.clone(), address));
            }
            noted.push((id, names));
        }
        let has_dns = held.contains_key(&ContainerId::dns());
        for address in self.host.exposed().await? {
            let is_dns = address.prefix_len() == address.max_prefix_len();
            let id = if is_dns { ContainerId::dns() } else { ContainerId::expose() };
            if is_held(&id, &address) {
                continue;
            }
            if !is_dns {
                found.push((id, address));
            } else if has_dns || !self.hold_dns(address.addr()).await? {
                // Nobody's but ours: it gets another one.
                self.host.remove(address).await?;
            }
        }
        let found = self.hold(found).await;
        for (id, names) in noted {
            let addresses = found.iter().filter(|(whose, _)| *whose == id);
            let addresses: Vec<IpNet> = addresses.map(|(_, address)| *address).collect();
            if !addresses.is_empty() {
                self.name_again(&id, names, &addresses).await;
            }
        }
        Ok(())
    }

    /// Has the node hold `address` for the server of names, if that is to have one: containers that run ask there.
    /// Returns whether it does.
    async fn hold_dns(&self, address: IpAddr) -> Result<bool, AttachError> {
        // As it is given one: of the first default subnet.
        let subnet = self.node.status().await?.ipam.default_subnets.first().copied();
        let net = subnet.filter(|subnet| self.dns.is_some() && subnet.contains(&address));
        let Some(net) = net.and_then(|net| IpNet::new(address, net.prefix_len()).ok()) else {
            return Ok(false);
        };
        let hold = Command::Hold { id: ContainerId::dns(), address: net };
        Ok(self.node.command(hold).await.is_ok())
    }

    /// Has the node hold what is in use here. Returns what it holds.
    async fn hold(&self, found: Vec<(ContainerId, IpNet)>) -> Vec<(ContainerId, IpNet)> {
        let hold = |(id, address): &(ContainerId, IpNet)| Command::Hold {
            id: id.clone(),
            address: *address,
        };
        let outcomes = self.node.commands(found.iter().map(hold).collect()).await;
        let mut held = Vec::new();
        for ((id, address), outcome) in found.into_iter().zip(outcomes) {
            self.unheld.note(&id, address, outcome.clone().map(|_| ()));
            if outcome.is_ok() {
                held.push((id, address));
            }
        }
        held
    }

    /// Has the node asked again to hold what it would not hold.
    async fn hold_again(&self) {
        for (id, address, _) in self.unheld() {
            let Some(_busy) = self.turns.free(&id) else { continue };
            // Whoever had a turn meanwhile may have taken it off.
            if self.unheld.of(&id).contains(&address) {
                self.hold(vec![(id, address)]).await;
            }
        }
    }

    /// Which addresses are in use on this host and not held here, and why.
    pub fn unheld(&self) -> Vec<(ContainerId, IpNet, CommandError)> {
        self.unheld.list()
    }

    /// Takes up what a life before this one left: lists containers that have an interface here, gives up those
    /// that have none, and puts the others back on the bridge.
    ///
    /// # Errors
    /// When the node is stopping or the kernel refuses.
    pub async fn begin(&self) -> Result<(), AttachError> {
        for (host_if, resident) in self.host.residents().await? {
            let Some(Resident { id, interface, namespace, .. }) = resident else {
                let mut ids = self.places.ids().into_iter();
                if !ids.any(|id| host_interface_name(&id) == host_if) {
                    tracing::warn!(host_if, "a container is cut off: it is not known what it has");
                    self.host.evict(&host_if).await?;
                }
                continue;
            };
            if self.places.place(&id).is_none() {
                // Where that is not known, its interface can be taken off as a whole.
                let namespace = namespace.unwrap_or(Namespace::Path(PathBuf::new()));
                self.note(
                    &id,
                    Some(Place { namespace, interface, mac: None, before: Vec::new() }),
                )?;
            }
        }
        if let Err(why) = self.reconcile().await {
            tracing::warn!(%why, "cannot look after the containers");
        }
        self.restore().await
    }

    /// Puts back what a new bridge lacks: containers, with the MTU it has, exposed addresses, and
    /// the DNS server.
    ///
    /// # Errors
    /// When the node is stopping or the kernel refuses.
    pub async fn restore(&self) -> Result<(), AttachError> {
        for id in self.places.ids() {
            self.host.replug(&id).await?;
            let Some(place) = self.places.place(&id) else { continue };
            match self.host.resize(&id, &place.namespace, &place.interface).await {
                Ok(Some(mac)) if place.mac.is_none() && place.before.is_empty() => {
                    self.note(&id, Some(Place { mac: Some(mac.to_string()), ..place }))?;
                }
                Ok(_) => {}
                // Its namespace may be gone, or have lost its name: no reason not to start.
                Err(why) => tracing::warn!(%id, %why, "the container keeps the MTU that it has"),
            }
        }
        for address in self.held(&ContainerId::expose()).await? {
            self.host.add(address).await?;
        }
        let Some(dns) = &self.dns else { return Ok(()) };
        if let Some(address) = dns.address() {
            self.host.add_dns(address).await?;
        } else if !self.held(&ContainerId::dns()).await?.is_empty() {
            dns.ensure(&self.node, &*self.host).await?;
        }
        Ok(())
    }

    /// Looks for containers that have died, again and again.
    pub async fn look_after(self) {
        let mut ticks = interval(RECONCILE_WAIT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(why) = self.reconcile().await {
                tracing::warn!(%why, "cannot look after the containers");
            }
        }
    }

    /// Releases what is held for containers that were attached and whose interface is gone: their
    /// namespace has died. What was only allocated is its allocator's to give back. Interfaces that
    /// somebody took off the bridge are put back; those of containers that hold nothing here are
    /// removed, since their addresses may be given to others: the database is not the one of before.
    ///
    /// # Errors
    /// When the node is stopping, the kernel does not answer or the disk is full: the first of all
    /// the failures.
    pub(crate) async fn reconcile(&self) -> Result<(), AttachError> {
        let mut outcome = Ok(());
        self.hold_again().await;
        for id in self.places.ids() {
            let Some(_busy) = self.turns.free(&id) else { continue };
            let Some(Place { mac, before, .. }) = self.places.place(&id) else { continue };
            let is_attached = self.host.is_attached(&id).await?;
            // What it has and does not hold may yet be held for it.
            let holds_any = !self.unheld.of(&id).is_empty() || !self.held(&id).await?.is_empty();
            // One that cannot be struck out must not keep the others' addresses.
            outcome = outcome.and(match (is_attached, holds_any) {
                (true, true) => self.host.replug(&id).await.map_err(AttachError::from),
                (true, false) => {
                    tracing::warn!(%id, "the container is cut off: this peer holds no address for it");
                    self.remove(&id).await
                }
                (false, true | false) if mac.is_none() && !before.is_empty() => {
                    tracing::info!(%id, "the container has never been attached to the end");
                    self.take_back(&id, &before).await;
                    self.note(&id, None)
                }
                (false, true | false) => {
                    tracing::info!(%id, "the container is gone");
                    self.remove(&id).await
                }
            });
        }
        outcome
    }
}
