//! Containers on the bridge: addresses, veth pairs and names, put on and taken off together.

use crate::dns::{DnsService, ServeError};
use crate::handle::{NodeHandle, addresses_of};
use crate::host::{Host, HostError, Wish};
use crate::namespace::Namespace;
use crate::resident::NotedNames;
use crate::store::advised;
use ipnet::IpNet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use weft_core::id::ContainerId;
use weft_core::io::{Command, CommandError};
use weft_core::names::Name;
use weft_datapath::container::host_interface_name;
use weft_datapath::link::{InterfaceName, LinkError};

mod exposure;
mod nameless;
mod noting;
mod places;
mod recovery;
mod request;
mod turns;
mod unheld;

use nameless::Nameless;
use places::Place;
pub use places::Places;
pub use request::{AddressRequest, ParseAddressRequestError};
pub(crate) use turns::ALONE_MAX;
pub use turns::TurnError;
use turns::{Asker, Turns};
use unheld::Unheld;

/// What to attach, and how.
#[derive(Clone, Debug)]
pub struct Attach {
    /// Where the interface goes.
    pub namespace: Namespace,
    /// On whose behalf addresses and names are held.
    pub id: ContainerId,
    /// Addresses wanted; one from the default subnet when empty.
    pub addresses: Vec<AddressRequest>,
    /// Names for every address.
    pub names: Vec<Name>,
    /// Name of the interface inside; `ethwe` by default.
    pub interface: InterfaceName,
}

impl Attach {
    /// That nothing be changed at its interface, yet.
    fn wish(&self) -> Wish {
        Wish {
            id: self.id.clone(),
            namespace: self.namespace.clone(),
            interface: self.interface.to_string(),
            addresses: Vec::new(),
            names: NotedNames::default(),
            dns_route: None,
        }
    }
}

/// What an attachment finds.
#[derive(Debug)]
struct Before {
    held: Vec<IpNet>,
    place: Option<Place>,
}

/// A container on the bridge.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attached {
    /// Whose.
    pub id: ContainerId,
    /// MAC of the interface inside, `xx:xx:xx:xx:xx:xx`; `None` when there is no interface.
    pub mac: Option<String>,
    /// Addresses with the prefix length of their subnet.
    pub addresses: Vec<IpNet>,
}

/// Why something could not be attached or detached. What had been done was undone.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The node said no.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The kernel said no.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Not attached.
    #[error("{0} is not attached: `weft ps` lists what is")]
    NotAttached(ContainerId),
    /// What is ours is not put on and taken off as containers are.
    #[error(
        "{0} is weft's own, and no container: `weft expose` puts this host on the network, `weft hide` takes it off"
    )]
    Reserved(ContainerId),
    /// Its interface has another name.
    #[error(
        "{id} is attached already, by its interface '{there}': leave --interface out, or detach it first"
    )]
    OtherInterface {
        /// Whose.
        id: ContainerId,
        /// The name.
        there: String,
    },
    /// The namespace has an interface of ours, for another id.
    #[error(
        "this network namespace is attached already, as {0}: use that instead, or detach it first"
    )]
    AttachedAs(ContainerId),
    /// An address without an interface is no use to what has one.
    #[error(
        "{0} is attached: `weft attach` with an address gives its interface that one too, `weft detach` takes it off"
    )]
    OnInterface(ContainerId),
    /// An interface still has the address.
    #[error("{0} is attached: `weft detach` takes its addresses off its interface first")]
    InUse(ContainerId),
    /// The host would have an address and no network.
    #[error(
        "with {0} the host would reach no container: give the prefix length of their subnet, as in {example}",
        example = IpNet::new(.0.addr(), if .0.addr().is_ipv4() { 24 } else { 120 }).unwrap_or(*.0)
    )]
    ExposedAlone(IpNet),
    /// The host has no address here.
    #[error("the host is not exposed")]
    NotExposed,
    /// The host has other addresses here, if any.
    #[error("the host is not exposed with {0}: `weft ps weft:expose` shows what it has")]
    NotExposedWith(AddressRequest),
    /// What was asked to go is not there.
    #[error("{0} has none of these addresses: `weft ps {0}` lists those it has")]
    NoSuchAddress(ContainerId),
    /// What was asked to go is somebody else's.
    #[error(
        "{address} is held by {holder}, and not by {id}: `weft ps {holder}` lists what that one has"
    )]
    HeldByAnother {
        /// As given.
        address: IpAddr,
        /// Who was said to have it.
        id: ContainerId,
        /// Who has it.
        holder: ContainerId,
    },
    /// An address without a prefix length is none of the default subnet.
    #[error(
        "{address} is not in the default subnet {}: expected one inside it, or {address}/LEN",
        .defaults.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    )]
    NotInDefault {
        /// As given.
        address: IpAddr,
        /// The subnets.
        defaults: Vec<IpNet>,
    },
    /// There is no address for the server of names, without which nothing is attached.
    #[error(
        "no address for weft's own DNS server, which needs one beside those of containers: {0}; or launch with --no-dns"
    )]
    NoDnsAddress(CommandError),
    /// It took too long.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// The record of what is attached cannot be kept.
    #[error("cannot note what is attached in {}: {why}, and try again", .path.display())]
    Places {
        /// The file.
        path: PathBuf,
        /// The system's words, and what to do.
        why: String,
    },
}

impl From<ServeError> for AttachError {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Command(error) => Self::NoDnsAddress(error),
            ServeError::Host(error) => error.into(),
        }
    }
}

/// What puts containers on the bridge and takes them off; clones share one.
#[derive(Clone, Debug)]
pub struct Attachments {
    node: NodeHandle,
    host: Arc<dyn Host>,
    dns: Option<Arc<DnsService>>,
    places: Arc<Places>,
    turns: Turns,
    unheld: Arc<Unheld>,
    nameless: Arc<Nameless>,
}

impl Attachments {
    /// Containers of `node`, on the bridge of `host`; `places` says which were there before.
    pub fn new(
        node: NodeHandle,
        host: Arc<dyn Host>,
        dns: Option<Arc<DnsService>>,
        places: Places,
    ) -> Self {
        let (places, turns) = (Arc::new(places), Turns::default());
        let (unheld, nameless) = (Arc::default(), Arc::default());
        Self { node, host, dns, places, turns, unheld, nameless }
    }

    /// Gives a namespace an interface on the bridge, with addresses and names. Returns what it
    /// has. Repeating it adds what is missing.
    ///
    /// # Errors
    /// The first step that failed; the steps before it were undone.
    pub async fn attach(&self, attach: Attach) -> Result<Attached, AttachError> {
        not_reserved(&attach.id)?;
        let this = self.clone();
        let turn = self.turns.take(&attach.id).await?;
        turn.run(|asker| async move { this.attach_now(&attach, asker).await }).await
    }

    async fn attach_now(&self, attach: &Attach, asker: Asker<Attached, AttachError>) {
        let before = match self.before(attach).await {
            Ok(before) => before,
            Err(why) => return asker.refuse(why),
        };
        let mut is_on = false;
        let outcome = self.try_attach(attach, &before, &asker, &mut is_on).await;
        asker.settle(outcome, self.undo(attach, before, is_on)).await;
    }

    /// What `attach` finds.
    async fn before(&self, attach: &Attach) -> Result<Before, AttachError> {
        let id = &attach.id;
        // Ahead of all else: where nothing can be attached, no address must be given, which could be given to nobody
        // for a while afterwards, and no founding begin.
        self.host.find(&attach.namespace).await?;
        let place = self.places.place(id);
        if let Some(Place { interface: there, .. }) = &place
            && there != attach.interface.as_str()
            && self.host.is_attached(id).await?
        {
            return Err(AttachError::OtherInterface { id: id.clone(), there: there.clone() });
        }
        Ok(Before { held: self.held(id).await?, place })
    }

    /// Sets `is_on` once the interface may have the addresses.
    async fn try_attach(
        &self,
        attach: &Attach,
        Before { held: before, place }: &Before,
        asker: &Asker<Attached, AttachError>,
        is_on: &mut bool,
    ) -> Result<Attached, AttachError> {
        let id = &attach.id;
        let place = Place {
            namespace: attach.namespace.clone(),
            interface: attach.interface.to_string(),
            mac: place.as_ref().and_then(|place| place.mac.clone()),
            before: before.to_vec(),
        };
        // Ahead of the addresses: else nobody would know, after a crash, that nothing bears them.
        self.note(id, Some(place.clone()))?;
        let asked = self.obtain(id, &attach.addresses, before).await?;
        let dns = match &self.dns {
            Some(dns) => dns.ensure(&self.node, &*self.host).await?,
            None => None,
        };
        if !asker.is_waiting() {
            return Err(TurnError::Busy(id.clone()).into());
        }
        let mut addresses = asked.clone();
        addresses.extend(before.iter().filter(|address| !asked.contains(address)));
        let wish = Wish {
            addresses: addresses.clone(),
            names: self.names_after(attach, &asked, &addresses),
            dns_route: dns.filter(|dns| !addresses.iter().any(|net| net.contains(dns))),
            ..attach.wish()
        };
        let mac = self.host.attach(&wish).await.map_err(|why| self.attached_as(why))?.to_string();
        *is_on = true;
        let there = Place { mac: Some(mac.clone()), before: Vec::new(), ..place };
        self.note(id, Some(there))?;
        for address in &asked {
            for name in attach.names.clone() {
                let (id, value) = (id.clone(), address.addr().into());
                self.node.command(Command::Register { id, name, value }).await?;
            }
        }
        if !attach.names.is_empty() {
            self.nameless.forget(id);
        }
        Ok(Attached { id: id.clone(), mac: Some(mac), addresses })
    }

    /// Whose the interface is that stands in the way, if it is one of ours.
    fn attached_as(&self, why: HostError) -> AttachError {
        if let HostError::Link(LinkError::Attached { host_if, .. }) = &why {
            let mut ids = self.places.ids().into_iter();
            if let Some(id) = ids.find(|id| host_interface_name(id) == *host_if) {
                return AttachError::AttachedAs(id);
            }
        }
        why.into()
    }

    /// Takes back what a failed attachment did: the interface, unless it was there `before`, and the
    /// addresses that were not held before; off the interface first, when it `is_on`.
    async fn undo(&self, attach: &Attach, before: Before, is_on: bool) {
        let id = &attach.id;
        let undone = async {
            let mut given = self.held(id).await?;
            given.retain(|address| !before.held.contains(address));
            match (&before.place, &before.held[..]) {
                (None, []) => return self.remove(id).await,
                (None, [..]) => self.host.detach(id).await?,
                (Some(_), _) if is_on && !given.is_empty() => {
                    self.host.take(&Wish { addresses: given.clone(), ..attach.wish() }).await?;
                }
                (Some(_), _) => {}
            }
            for address in given {
                self.release(id, address).await?;
            }
            if is_on && before.place.is_some() {
                self.note_names(id).await;
            }
            self.note(id, before.place)
        };
        if let Err(why) = undone.await {
            tracing::warn!(%id, %why, "left behind by a failed attachment");
        }
    }

    /// Gives `id` an address without an interface: one of `subnet`, or of the default subnets. What is attached
    /// is told those that it has, and given no other.
    ///
    /// # Errors
    /// The node's own, and [`AttachError::OnInterface`]; nothing was given then.
    pub async fn allocate(
        &self,
        id: ContainerId,
        subnet: Option<IpNet>,
    ) -> Result<Vec<IpNet>, AttachError> {
        self.give(id.clone(), subnet, Command::Allocate { id, subnet }).await
    }

    /// Gives `id` just this `address` without an interface.
    ///
    /// # Errors
    /// As [`Attachments::allocate`].
    pub async fn claim(&self, id: ContainerId, address: IpNet) -> Result<Vec<IpNet>, AttachError> {
        let wanted = Some(address.addr().into());
        self.give(id.clone(), wanted, Command::Claim { id, address }).await
    }

    /// Gives `id` what `command` asks for: an address inside `wanted`, or one of each default subnet.
    async fn give(
        &self,
        id: ContainerId,
        wanted: Option<IpNet>,
        command: Command,
    ) -> Result<Vec<IpNet>, AttachError> {
        not_reserved(&id)?;
        let this = self.clone();
        let turn = self.turns.take(&id).await?;
        turn.run(|asker| async move {
            if let Err(why) = this.may_give(&id, wanted).await {
                return asker.refuse(why);
            }
            let (before, outcome) = this.node.command_of(&id, command).await;
            let outcome = outcome.map(addresses_of).map_err(AttachError::from);
            asker.settle(outcome, this.take_back(&id, &before)).await;
        })
        .await
    }

    /// Refuses to give an address inside `wanted` to what has an interface: that would not have it, so nothing would
    /// answer to it, and [`Attachments::give_back`] not take it. What `id` holds already can be asked for again.
    async fn may_give(&self, id: &ContainerId, wanted: Option<IpNet>) -> Result<(), AttachError> {
        if self.places.place(id).is_none() {
            return Ok(());
        }
        let held = self.held(id).await?;
        let is_held = |subnet: &IpNet| held.iter().any(|address| subnet.contains(&address.addr()));
        let is_had = match wanted {
            Some(wanted) => is_held(&wanted),
            None => self.node.status().await?.ipam.default_subnets.iter().all(is_held),
        };
        if is_had { Ok(()) } else { Err(AttachError::OnInterface(id.clone())) }
    }

    /// Gives back what `id` was given since it held what was held `before`.
    async fn take_back(&self, id: &ContainerId, before: &[IpNet]) {
        let taken = async {
            for address in self.held(id).await? {
                if !before.contains(&address) {
                    self.release(id, address).await?;
                }
            }
            Ok::<(), AttachError>(())
        };
        if let Err(why) = taken.await {
            tracing::warn!(%id, %why, "an address is held that nobody was told of");
        }
    }

    /// Takes `addresses` (all when empty) from a container; with its last one go its interface and
    /// its names. Returns the addresses taken.
    ///
    /// # Errors
    /// When nothing is attached under `id`, or the kernel refuses.
    pub async fn detach(
        &self,
        id: ContainerId,
        addresses: Vec<AddressRequest>,
    ) -> Result<Vec<IpNet>, AttachError> {
        not_reserved(&id)?;
        let this = self.clone();
        let turn = self.turns.take(&id).await?;
        turn.run(|asker| async move { asker.commit(this.detach_now(id, addresses)).await }).await
    }

    async fn detach_now(
        &self,
        id: ContainerId,
        addresses: Vec<AddressRequest>,
    ) -> Result<Vec<IpNet>, AttachError> {
        let held = self.held(&id).await?;
        let place = self.places.place(&id);
        if held.is_empty() && place.is_none() {
            return Err(AttachError::NotAttached(id));
        }
        let mut has = held.clone();
        has.extend(self.unheld.of(&id));
        let taken = self.meant(&has, &addresses).await?;
        if taken.is_empty() && !addresses.is_empty() {
            return Err(AttachError::NoSuchAddress(id));
        }
        if taken.len() == has.len() {
            self.remove(&id).await?;
            return Ok(taken);
        }
        if let Some(Place { namespace, interface, .. }) = place {
            let addresses = taken.clone();
            let (id, names) = (id.clone(), NotedNames::default());
            let wish = Wish { id, namespace, interface, addresses, names, dns_route: None };
            self.host.take(&wish).await?;
        }
        for address in &taken {
            self.unheld.forget(&id, Some(*address));
            if held.contains(address) {
                self.release(&id, *address).await?;
            }
        }
        self.note_names(&id).await;
        Ok(taken)
    }

    /// Gives back addresses (all without one) that `id` holds without an interface.
    ///
    /// # Errors
    /// When they are weft's own, something still answers to them, or they are not held.
    pub async fn give_back(
        &self,
        id: ContainerId,
        address: Option<IpAddr>,
    ) -> Result<(), AttachError> {
        not_reserved(&id)?;
        let this = self.clone();
        let turn = self.turns.take(&id).await?;
        turn.run(|asker| async move {
            let given_back = async {
                if this.places.place(&id).is_some() {
                    return Err(AttachError::InUse(id));
                }
                let release = Command::Release { id: id.clone(), address };
                match (this.node.command(release).await, address) {
                    (Err(CommandError::NotHeld(_)), Some(address)) => {
                        Err(this.why_not_held(id, address).await?)
                    }
                    (outcome, _) => Ok(outcome.map(drop)?),
                }
            };
            asker.commit(given_back).await;
        })
        .await
    }

    /// Why `id` cannot give `address` back.
    async fn why_not_held(
        &self,
        id: ContainerId,
        address: IpAddr,
    ) -> Result<AttachError, AttachError> {
        let held = self.node.held().await?;
        let has = |addresses: &Vec<IpNet>| addresses.iter().any(|held| held.addr() == address);
        let holder = held.iter().find(|(_, addresses)| has(addresses)).map(|(holder, _)| holder);
        Ok(match holder {
            Some(holder) => AttachError::HeldByAnother { address, id, holder: holder.clone() },
            None if held.contains_key(&id) => AttachError::NoSuchAddress(id),
            None => CommandError::NotHeld(id).into(),
        })
    }

    /// Takes all containers and the host itself off the bridge: what answers to an address must go
    /// before the address does.
    ///
    /// # Errors
    /// The first thing that could not be taken off.
    pub async fn withdraw(&self) -> Result<(), AttachError> {
        for id in self.places.ids() {
            let _busy = self.turns.wait(&id).await;
            self.remove(&id).await?;
        }
        match self.hide(Vec::new()).await {
            Ok(_) | Err(AttachError::NotExposed) => Ok(()),
            Err(why) => Err(why),
        }
    }

    /// All that hold an address here, with `weft:expose` when the host is exposed. The DNS server
    /// is ours, and nobody's to detach: `weft status` shows it.
    ///
    /// # Errors
    /// When the node is stopping.
    pub async fn list(&self) -> Result<Vec<Attached>, AttachError> {
        let mut held = self.node.held().await?;
        held.remove(&ContainerId::dns());
        for (id, address, _) in self.unheld() {
            held.entry(id).or_default().push(address);
        }
        let attached = |(id, addresses)| {
            let mac = self.places.place(&id).and_then(|place| place.mac);
            Attached { id, mac, addresses }
        };
        Ok(held.into_iter().map(attached).collect())
    }

    /// Addresses for `id` as asked; one of the default subnet, unless it has some, when nothing is.
    async fn obtain(
        &self,
        id: &ContainerId,
        asked: &[AddressRequest],
        before: &[IpNet],
    ) -> Result<Vec<IpNet>, AttachError> {
        if asked.is_empty() && !before.is_empty() {
            return Ok(before.to_vec());
        }
        let default = [AddressRequest::Any(None)];
        let asked = if asked.is_empty() { &default[..] } else { asked };
        let mut commands = Vec::new();
        for request in asked {
            let id = id.clone();
            commands.push(match request {
                AddressRequest::Any(subnet) => Command::Allocate { id, subnet: *subnet },
                AddressRequest::This(address) => Command::Claim { id, address: *address },
                AddressRequest::InDefault(address) => {
                    Command::Claim { id, address: self.in_default(*address).await? }
                }
            });
        }
        let mut obtained = Vec::new();
        // All of them are over when this returns, so what they gave can be taken back if one failed.
        for outcome in self.node.commands(commands).await {
            // Two requests may be met by one address.
            for address in addresses_of(outcome?) {
                if !obtained.contains(&address) {
                    obtained.push(address);
                }
            }
        }
        Ok(obtained)
    }

    /// `address` with the prefix length of the default subnet in which it must lie: who gives no
    /// length means an address of this mesh.
    async fn in_default(&self, address: IpAddr) -> Result<IpNet, AttachError> {
        let defaults = self.node.status().await?.ipam.default_subnets.clone();
        let default = defaults.iter().find(|default| default.contains(&address));
        default
            .and_then(|default| IpNet::new(address, default.prefix_len()).ok())
            .ok_or(AttachError::NotInDefault { address, defaults })
    }

    /// Those of `held` that are asked for; all when nothing is.
    async fn meant(
        &self,
        held: &[IpNet],
        asked: &[AddressRequest],
    ) -> Result<Vec<IpNet>, AttachError> {
        if asked.is_empty() {
            return Ok(held.to_vec());
        }
        let defaults = &self.node.status().await?.ipam.default_subnets;
        let is_meant = |address: &IpNet| {
            asked.iter().any(|request| match request {
                AddressRequest::Any(Some(subnet)) => subnet.contains(&address.addr()),
                AddressRequest::Any(None) => {
                    defaults.iter().any(|default| default.contains(&address.addr()))
                }
                AddressRequest::This(this) => this.addr() == address.addr(),
                AddressRequest::InDefault(this) => *this == address.addr(),
            })
        };
        Ok(held.iter().filter(|address| is_meant(address)).copied().collect())
    }

    /// Interface, names and addresses of `id`, in this order: nobody may get an address that
    /// something still answers to.
    async fn remove(&self, id: &ContainerId) -> Result<(), AttachError> {
        self.host.detach(id).await?;
        self.unheld.forget(id, None);
        self.nameless.forget(id);
        let whose = Some(id.clone());
        self.node.command(Command::Unregister { id: whose, name: None, value: None }).await?;
        if !self.held(id).await?.is_empty() {
            self.node.command(Command::Release { id: id.clone(), address: None }).await?;
        }
        self.note(id, None)
    }

    async fn release(&self, id: &ContainerId, address: IpNet) -> Result<(), AttachError> {
        let (whose, address) = (Some(id.clone()), address.addr());
        let value = Some(address.into());
        self.node.command(Command::Unregister { id: whose, name: None, value }).await?;
        self.node.command(Command::Release { id: id.clone(), address: Some(address) }).await?;
        Ok(())
    }

    async fn held(&self, id: &ContainerId) -> Result<Vec<IpNet>, AttachError> {
        Ok(self.node.held_by(id).await?)
    }

    fn note(&self, id: &ContainerId, place: Option<Place>) -> Result<(), AttachError> {
        self.places.note(id, place).map_err(|why| AttachError::Places {
            path: self.places.path().into(),
            why: advised(&why),
        })
    }
}

/// Refuses ids under which weft holds what is on the bridge itself.
pub(crate) fn not_reserved(id: &ContainerId) -> Result<(), AttachError> {
    if id.is_reserved() { Err(AttachError::Reserved(id.clone())) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
