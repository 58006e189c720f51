//! What the daemon does to the kernel of its host: links, addresses and routes.

use crate::namespace::Namespace;
use crate::resident::{Note, NotedNames, Resident};
use ipnet::IpNet;
use rtnetlink::Handle;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use weft_core::addr::Universe;
use weft_core::forward::Mac;
use weft_core::id::{ContainerId, PeerName};
use weft_datapath::announce::Announcer;
use weft_datapath::bridge::Standing;
use weft_datapath::container::{self, Attachment};
use weft_datapath::link::{FarEnd, LinkError, Owner};
use weft_datapath::netns::{self, NamespaceError, NamespaceFd};
use weft_datapath::tap::Tap;
use weft_datapath::{address, bridge, link, route};

/// Name of the TAP device for a bridge of that name.
pub fn tap_name(bridge: &str) -> String {
    let head: String = bridge.chars().take(link::NAME_LEN_MAX - 4).collect();
    format!("{head}-tap")
}

/// Why the kernel was not changed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A link, an address or a route.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A socket to the kernel cannot be had.
    #[error("cannot talk to the kernel about its network: {0}")]
    Netlink(#[from] std::io::Error),
    /// A container asks for the namespace that the bridge is in.
    #[error(
        "{0} is the host's own network namespace: use `weft expose` to give the host an address"
    )]
    OwnNamespace(String),
}

impl HostError {
    /// Whether what was asked for cannot be, however well all goes here.
    pub const fn is_askers(&self) -> bool {
        match self {
            Self::Namespace(why) => match why {
                NamespaceError::NoProcess(_)
                | NamespaceError::NameNotProcess(_)
                | NamespaceError::NoName(_)
                | NamespaceError::NoPath(_)
                | NamespaceError::NotANamespace(_) => true,
                NamespaceError::Io(..) => false,
            },
            Self::Link(why) => match why {
                LinkError::Taken { .. } | LinkError::Attached { .. } => true,
                LinkError::Missing(_) | LinkError::Foreign(_) | LinkError::Kernel { .. } => false,
            },
            Self::OwnNamespace(_) => true,
            Self::Netlink(_) => false,
        }
    }
}

/// Where an interface goes, and what for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Whose.
    pub id: ContainerId,
    /// Where to.
    pub namespace: Namespace,
    /// Its name there.
    pub interface: String,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Its names.
    pub names: NotedNames,
    /// The DNS server, when it lies in another subnet than all of `addresses`.
    pub dns_route: Option<IpAddr>,
}

impl Wish {
    /// What is written on the interface.
    fn resident(&self) -> Resident {
        Resident {
            id: self.id.clone(),
            interface: self.interface.clone(),
            addresses: self.addresses.clone(),
            names: self.names.clone(),
            namespace: Some(self.namespace.clone()),
        }
    }
}

/// The kernel, as attachments need it; tests put one of their own in its place.
#[async_trait::async_trait]
pub trait Host: Send + Sync + std::fmt::Debug + 'static {
    /// Whether containers can be attached in this namespace: it is there, and is not the host's own. Hosts
    /// without a kernel have them all.
    async fn find(&self, _namespace: &Namespace) -> Result<(), HostError> {
        Ok(())
    }
    /// Gives a namespace an interface on the bridge; where it has one, adds what is missing.
    /// Returns its MAC.
    async fn attach(&self, wish: &Wish) -> Result<Mac, HostError>;
    /// Takes addresses from an interface.
    async fn take(&self, wish: &Wish) -> Result<(), HostError>;
    /// Removes the interface of `id`; no error when there is none.
    async fn detach(&self, id: &ContainerId) -> Result<(), HostError>;
    /// Whether `id` has an interface.
    async fn is_attached(&self, id: &ContainerId) -> Result<bool, HostError>;
    /// Puts the interface of `id` on the bridge, unless it is there; no error when it has none.
    async fn replug(&self, id: &ContainerId) -> Result<(), HostError>;
    /// Gives both ends of the interface of `id`, which is called `interface` in `namespace`, the MTU
    /// of the bridge, and returns the MAC of the container's end; no error when there is none. Hosts without
    /// MTUs have nothing to do.
    async fn resize(
        &self,
        _id: &ContainerId,
        _namespace: &Namespace,
        _interface: &str,
    ) -> Result<Option<Mac>, HostError> {
        Ok(None)
    }
    /// The containers' interfaces that were made for this daemon's state folder, by the name of the host's
    /// end; `None` where it is not written who has it. Hosts without a kernel know of none.
    async fn residents(&self) -> Result<BTreeMap<String, Option<Resident>>, HostError> {
        Ok(BTreeMap::new())
    }
    /// Writes on the interface of `id` which names it has; no error when it has none. Hosts without a kernel
    /// remember nothing.
    async fn name(&self, _id: &ContainerId, _names: NotedNames) -> Result<(), HostError> {
        Ok(())
    }
    /// Removes an interface by the name of the host's end.
    async fn evict(&self, _host_if: &str) -> Result<(), HostError> {
        Ok(())
    }
    /// Addresses of the bridge; where one is all of its subnet, it is the DNS server's.
    async fn exposed(&self) -> Result<Vec<IpNet>, HostError> {
        Ok(Vec::new())
    }
    /// Gives the bridge an address.
    async fn add(&self, address: IpNet) -> Result<(), HostError>;
    /// Takes an address from the bridge; no error when it is not there.
    async fn remove(&self, address: IpNet) -> Result<(), HostError>;
    /// Gives the bridge an address for the DNS server alone, and the route by which it answers.
    async fn add_dns(&self, address: IpAddr) -> Result<(), HostError>;
}

/// The host's kernel, over netlink.
#[derive(Clone, Debug)]
pub struct Kernel {
    handle: Handle,
    bridge: String,
    mtu: u32,
    range: Universe,
    owner: Owner,
}

impl Kernel {
    /// The network of the namespace that this process is in. What is made there is known by
    /// `state_dir` as ours.
    ///
    /// # Errors
    /// [`HostError::Netlink`].
    pub fn open(
        bridge: String,
        mtu: u32,
        range: Universe,
        state_dir: &Path,
    ) -> Result<Self, HostError> {
        let (handle, owner) = (handle()?, owner(state_dir));
        Ok(Self { handle, bridge, mtu, range, owner })
    }

    /// Routes of the host, other than ours, that overlap the range.
    ///
    /// # Errors
    /// When the kernel does not list them.
    pub async fn overlapping(&self) -> Result<Vec<(IpNet, String)>, HostError> {
        let ours = self.bridges().await?;
        let mut all = Vec::new();
        for block in self.range.blocks() {
            all.extend(route::overlapping(&self.handle, block, &ours).await?);
        }
        Ok(all)
    }

    /// The way that packets to `to` take; `None` when there is none.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub async fn way(&self, to: IpAddr) -> Result<Option<route::Way>, HostError> {
        Ok(route::way(&self.handle, to).await?)
    }

    /// As the host of the peer `name`.
    pub fn of_peer(self, name: PeerName) -> PeerKernel {
        PeerKernel { kernel: self, name }
    }

    /// Removes the bridge and the route of the DNS server, unless something is on it or somebody
    /// else made it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn remove_idle_bridge(&self) -> Result<(), HostError> {
        if self.bridges().await?.contains(&self.bridge)
            && !bridge::has_ports(&self.handle, &self.bridge).await?
        {
            remove_bridge(&self.handle, &self.bridge).await?;
        }
        Ok(())
    }

    /// Bridges that we made.
    async fn bridges(&self) -> Result<Vec<String>, HostError> {
        Ok(link::owned(&self.handle, "bridge", &self.owner).await?)
    }
}

/// The kernel of a host whose peer is known.
#[derive(Clone, Debug)]
pub struct PeerKernel {
    kernel: Kernel,
    name: PeerName,
}

impl PeerKernel {
    /// Makes the bridge unless it is there. Its MAC is the peer's name.
    ///
    /// # Errors
    /// When the name is in use for something else, or the kernel refuses.
    pub async fn ensure_bridge(&self) -> Result<(), HostError> {
        let Kernel { handle, bridge, mtu, owner, .. } = &self.kernel;
        Ok(bridge::ensure(handle, bridge, Mac(self.name.0), *mtu, owner).await?)
    }

    /// Whether the bridge is there and up.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub async fn has_bridge(&self) -> Result<bool, HostError> {
        let Kernel { handle, bridge, owner, .. } = &self.kernel;
        Ok(bridge::is_ready(handle, bridge, owner).await?)
    }

    /// Makes the TAP device, which is on no bridge yet.
    ///
    /// # Errors
    /// As [`Tap::open`].
    pub fn open_tap(&self) -> Result<Tap, HostError> {
        Ok(Tap::open(&tap_name(&self.kernel.bridge))?)
    }

    /// How the TAP device stands to the bridge.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub async fn tap(&self) -> Result<Standing, HostError> {
        let Kernel { handle, bridge, .. } = &self.kernel;
        Ok(bridge::standing(handle, bridge, &tap_name(bridge)).await?)
    }

    /// Puts the TAP device on the bridge.
    ///
    /// # Errors
    /// When either is missing, or the kernel refuses.
    pub async fn plug_tap(&self) -> Result<(), HostError> {
        self.plug(&tap_name(&self.kernel.bridge)).await
    }

    /// Removes bridges of ours that go by other names, once nothing is on them: those of launches
    /// before this one.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn retire_bridges(&self) -> Result<(), HostError> {
        let Kernel { handle, bridge, .. } = &self.kernel;
        let kept = address::list(handle, bridge).await?;
        for name in self.kernel.bridges().await?.iter().filter(|name| *name != bridge) {
            if bridge::has_ports(handle, name).await? {
                tracing::warn!(bridge = name, "the bridge of before stays: something is on it");
                continue;
            }
            for address in address::list(handle, name).await? {
                if !kept.contains(&address) {
                    route::remove_dns(handle, address.addr()).await?;
                }
            }
            link::remove(handle, name).await?;
        }
        Ok(())
    }

    /// Writes `resident` on the host's end of its interface.
    async fn write(&self, host_if: &str, resident: &Resident) -> Result<(), HostError> {
        let Kernel { handle, owner, .. } = &self.kernel;
        Ok(link::note(handle, host_if, owner, &resident.text(owner.note_len_max())).await?)
    }

    async fn plug(&self, port: &str) -> Result<(), HostError> {
        let Kernel { handle, bridge, mtu, owner, .. } = &self.kernel;
        Ok(bridge::attach_port(handle, bridge, port, *mtu, owner).await?)
    }
}

/// Removes all that was made for `state_dir`: containers' interfaces, bridges of whatever name, and
/// the routes of the DNS server. `ids` are those that were being attached. Returns whether there was any of it.
///
/// # Errors
/// What could not be removed.
pub async fn clear(state_dir: &Path, ids: &[ContainerId]) -> Result<bool, HostError> {
    let (handle, owner) = (handle()?, owner(state_dir));
    let mut had_any = false;
    for name in link::owned(&handle, "veth", &owner).await? {
        had_any |= link::remove(&handle, &name).await?;
    }
    // Made by a daemon that was killed before it could put its mark there.
    for name in ids.iter().map(container::host_interface_name) {
        if link::is_loose_veth(&handle, &name).await? {
            had_any |= link::remove(&handle, &name).await?;
        }
    }
    for name in link::owned(&handle, "bridge", &owner).await? {
        remove_bridge(&handle, &name).await?;
        had_any = true;
    }
    Ok(had_any)
}

async fn remove_bridge(handle: &Handle, name: &str) -> Result<(), HostError> {
    for address in address::list(handle, name).await? {
        route::remove_dns(handle, address.addr()).await?;
    }
    link::remove(handle, name).await?;
    Ok(())
}

/// Whose interface it is of which this is noted, and the other end of which is this one.
async fn resident(note: Note, far_end: Option<FarEnd>) -> Result<Resident, HostError> {
    let addresses = match far_end {
        Some(end) if note.addresses.is_none() => {
            let (connection, strict, _) = rtnetlink::new_connection_with_strict_check()?;
            tokio::spawn(connection);
            address::beyond(&strict, end).await?
        }
        Some(_) | None => Vec::new(),
    };
    Ok(note.resident(addresses))
}

/// A socket in the namespace that this process is in.
fn handle() -> Result<Handle, HostError> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

/// By whom what is made for `state_dir` is known.
fn owner(state_dir: &Path) -> Owner {
    Owner::new(&state_dir.to_string_lossy())
}

/// A namespace other than that of the bridge.
fn opened(namespace: &Namespace) -> Result<NamespaceFd, HostError> {
    let namespace = match namespace {
        Namespace::Pid(pid) => netns::Namespace::Pid(*pid),
        Namespace::Path(path) => netns::Namespace::at(path.clone()),
    };
    let fd = namespace.open()?;
    if fd.is_same(&NamespaceFd::current()?) {
        return Err(HostError::OwnNamespace(namespace.to_string()));
    }
    Ok(fd)
}

/// A socket inside a namespace, and the namespace.
async fn enter(namespace: &Namespace) -> Result<(NamespaceFd, Handle), HostError> {
    let fd = opened(namespace)?;
    let runtime = tokio::runtime::Handle::current();
    let (connection, handle, _) = fd.run(|| {
        let _entered = runtime.enter();
        rtnetlink::new_connection()
    })??;
    tokio::spawn(connection);
    Ok((fd, handle))
}

/// An announcement is a broadcast, which any host may miss: it is repeated after these waits. For as
/// long, the namespace is held open.
const ANNOUNCE_WAITS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(1)];

/// Announces again what addresses a container has by then.
async fn announce_again(announcer: Announcer, inside: Handle) {
    for wait in ANNOUNCE_WAITS {
        tokio::time::sleep(wait).await;
        if let Err(why) = announcer.send(&inside).await {
            return tracing::debug!(%why, "a container was not announced again");
        }
    }
}

#[async_trait::async_trait]
impl Host for PeerKernel {
    async fn find(&self, namespace: &Namespace) -> Result<(), HostError> {
        opened(namespace).map(drop)
    }

    async fn attach(&self, wish: &Wish) -> Result<Mac, HostError> {
        let Kernel { handle, bridge, mtu, owner, .. } = &self.kernel;
        let (fd, inside) = enter(&wish.namespace).await?;
        let spec = Attachment {
            host_if: container::host_interface_name(&wish.id),
            if_name: wish.interface.clone(),
            mac: container::container_mac(self.name, &wish.id),
            mtu: *mtu,
            bridge: bridge.clone(),
            owner: owner.clone(),
            note: wish.resident().text(owner.note_len_max()),
            addresses: wish.addresses.clone(),
            dns_route: wish.dns_route,
            multicast_route: true,
        };
        let announcer = container::attach(handle, &fd, &inside, &spec).await?;
        let mac = announcer.mac;
        tokio::spawn(announce_again(announcer, inside));
        Ok(mac)
    }

    async fn take(&self, wish: &Wish) -> Result<(), HostError> {
        let (_fd, inside) = enter(&wish.namespace).await?;
        for taken in &wish.addresses {
            address::remove(&inside, &wish.interface, *taken).await?;
        }
        let host_if = container::host_interface_name(&wish.id);
        if let Some(Some(mut resident)) = self.residents().await?.remove(&host_if) {
            resident.addresses.retain(|address| !wish.addresses.contains(address));
            self.write(&host_if, &resident).await?;
        }
        Ok(())
    }

    async fn detach(&self, id: &ContainerId) -> Result<(), HostError> {
        container::detach(&self.kernel.handle, &container::host_interface_name(id)).await?;
        Ok(())
    }

    async fn is_attached(&self, id: &ContainerId) -> Result<bool, HostError> {
        let Kernel { handle, bridge, .. } = &self.kernel;
        let port = container::host_interface_name(id);
        Ok(bridge::standing(handle, bridge, &port).await? != Standing::Gone)
    }

    async fn replug(&self, id: &ContainerId) -> Result<(), HostError> {
        let Kernel { handle, bridge, .. } = &self.kernel;
        let port = container::host_interface_name(id);
        match bridge::standing(handle, bridge, &port).await? {
            Standing::Gone | Standing::Plugged => Ok(()),
            Standing::Unplugged => {
                tracing::info!(%id, bridge, "putting the container back on the bridge");
                self.plug(&port).await
            }
        }
    }

    async fn resize(
        &self,
        id: &ContainerId,
        namespace: &Namespace,
        interface: &str,
    ) -> Result<Option<Mac>, HostError> {
        if !self.is_attached(id).await? {
            return Ok(None);
        }
        let Kernel { handle, mtu, .. } = &self.kernel;
        let (_fd, inside) = enter(namespace).await?;
        let port = container::host_interface_name(id);
        Ok(container::resize(handle, &inside, (&port, interface), *mtu).await?)
    }

    async fn residents(&self) -> Result<BTreeMap<String, Option<Resident>>, HostError> {
        let Kernel { handle, owner, .. } = &self.kernel;
        let mut residents = BTreeMap::new();
        for (name, noted) in link::notes(handle, "veth", owner).await? {
            let resident = match Note::parse(&noted.text) {
                Some(note) => Some(resident(note, noted.far_end).await?),
                None => None,
            };
            residents.insert(name, resident);
        }
        Ok(residents)
    }

    async fn name(&self, id: &ContainerId, names: NotedNames) -> Result<(), HostError> {
        let host_if = container::host_interface_name(id);
        match self.residents().await?.remove(&host_if) {
            Some(Some(resident)) if resident.names != names => {
                self.write(&host_if, &Resident { names, ..resident }).await
            }
            Some(Some(_) | None) | None => Ok(()),
        }
    }

    async fn evict(&self, host_if: &str) -> Result<(), HostError> {
        container::detach(&self.kernel.handle, host_if).await?;
        Ok(())
    }

    async fn exposed(&self) -> Result<Vec<IpNet>, HostError> {
        Ok(address::list(&self.kernel.handle, &self.kernel.bridge).await?)
    }

    async fn add(&self, address: IpNet) -> Result<(), HostError> {
        address::add(&self.kernel.handle, &self.kernel.bridge, address).await?;
        Ok(())
    }

    async fn remove(&self, address: IpNet) -> Result<(), HostError> {
        Ok(address::remove(&self.kernel.handle, &self.kernel.bridge, address).await?)
    }

    async fn add_dns(&self, dns: IpAddr) -> Result<(), HostError> {
        let Kernel { handle, bridge, range, .. } = &self.kernel;
        address::add(handle, bridge, IpNet::from(dns)).await?;
        let Some(block) = range.block_of(dns) else { return Ok(()) };
        Ok(route::ensure_dns(handle, dns, block, bridge).await?)
    }
}
