//! What the daemon does to the kernel of its host: links, addresses and routes.

use crate::namespace::Namespace;
use ipnet::IpNet;
use rtnetlink::Handle;
use std::net::IpAddr;
use weft_core::addr::Universe;
use weft_core::forward::Mac;
use weft_core::id::{ContainerId, PeerName};
use weft_datapath::container::{self, Attachment};
use weft_datapath::link::LinkError;
use weft_datapath::netns::{self, NamespaceError, NamespaceFd};
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
    /// The DNS server, when it lies in another subnet than all of `addresses`.
    pub dns_route: Option<IpAddr>,
}

/// The kernel, as attachments need it; tests put one of their own in its place.
#[async_trait::async_trait]
pub trait Host: Send + Sync + std::fmt::Debug + 'static {
    /// Gives a namespace an interface on the bridge; where it has one, adds what is missing.
    /// Returns its MAC.
    async fn attach(&self, wish: &Wish) -> Result<Mac, HostError>;
    /// Takes addresses from an interface.
    async fn take(&self, wish: &Wish) -> Result<(), HostError>;
    /// Removes the interface of `id`; no error when there is none.
    async fn detach(&self, id: &ContainerId) -> Result<(), HostError>;
    /// Whether `id` has an interface.
    async fn is_attached(&self, id: &ContainerId) -> Result<bool, HostError>;
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
}

impl Kernel {
    /// The network of the namespace that this process is in.
    ///
    /// # Errors
    /// [`HostError::Netlink`].
    pub fn open(bridge: String, mtu: u32, range: Universe) -> Result<Self, HostError> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Self { handle, bridge, mtu, range })
    }

    /// Routes of the host, other than ours, that overlap the range.
    ///
    /// # Errors
    /// When the kernel does not list them.
    pub async fn overlapping(&self) -> Result<Vec<(IpNet, String)>, HostError> {
        Ok(route::overlapping(&self.handle, self.range.block(), &self.bridge).await?)
    }

    /// Makes the bridge unless it is there. Its MAC is the peer's name.
    ///
    /// # Errors
    /// When the name is in use for something else, or the kernel refuses.
    pub async fn ensure_bridge(&self, name: PeerName) -> Result<(), HostError> {
        Ok(bridge::ensure(&self.handle, &self.bridge, Mac(name.0), self.mtu).await?)
    }

    /// Whether the bridge is there.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub async fn has_bridge(&self) -> Result<bool, HostError> {
        Ok(self.has(&self.bridge).await?)
    }

    /// Puts the TAP device on the bridge.
    ///
    /// # Errors
    /// When either is missing, or the kernel refuses.
    pub async fn plug(&self, tap: &str) -> Result<(), HostError> {
        Ok(bridge::attach_port(&self.handle, &self.bridge, tap, self.mtu).await?)
    }

    /// Removes the bridge and the route of the DNS server; no error when there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn remove_bridge(&self) -> Result<(), HostError> {
        if self.has_bridge().await? {
            for address in address::list(&self.handle, &self.bridge).await? {
                route::remove_dns(&self.handle, address.addr(), self.range.block(), &self.bridge)
                    .await?;
            }
        }
        bridge::remove(&self.handle, &self.bridge).await?;
        Ok(())
    }

    /// Removes the bridge as [`Kernel::remove_bridge`] does, unless something is on it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn remove_idle_bridge(&self) -> Result<(), HostError> {
        if self.has_bridge().await? && !bridge::has_ports(&self.handle, &self.bridge).await? {
            self.remove_bridge().await?;
        }
        Ok(())
    }

    /// Removes the bridge, all that is on it, and the route of the DNS server.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn clear(&self) -> Result<(), HostError> {
        for name in link::names_with_prefix(&self.handle, container::HOST_PREFIX).await? {
            link::remove(&self.handle, &name).await?;
        }
        self.remove_bridge().await
    }

    async fn has(&self, name: &str) -> Result<bool, LinkError> {
        match link::index(&self.handle, name).await {
            Ok(_) => Ok(true),
            Err(LinkError::Missing(_)) => Ok(false),
            Err(why) => Err(why),
        }
    }
}

/// A socket inside a namespace, and the namespace.
async fn enter(namespace: &Namespace) -> Result<(NamespaceFd, Handle), HostError> {
    let namespace = match namespace {
        Namespace::Pid(pid) => netns::Namespace::Pid(*pid),
        Namespace::Path(path) => netns::Namespace::at(path.clone()),
    };
    let fd = namespace.open()?;
    if fd.is_same(&NamespaceFd::current()?) {
        return Err(HostError::OwnNamespace(namespace.to_string()));
    }
    let runtime = tokio::runtime::Handle::current();
    let (connection, handle, _) = fd.run(|| {
        let _entered = runtime.enter();
        rtnetlink::new_connection()
    })??;
    tokio::spawn(connection);
    Ok((fd, handle))
}

#[async_trait::async_trait]
impl Host for Kernel {
    async fn attach(&self, wish: &Wish) -> Result<Mac, HostError> {
        let (fd, inside) = enter(&wish.namespace).await?;
        let first = wish.addresses.first().map_or_else(|| IpAddr::from([0; 4]), IpNet::addr);
        let spec = Attachment {
            host_if: container::host_interface_name(&wish.id),
            if_name: wish.interface.clone(),
            mac: container::container_mac(first),
            mtu: self.mtu,
            bridge: self.bridge.clone(),
            addresses: wish.addresses.clone(),
            dns_route: wish.dns_route,
            multicast_route: true,
            default_route: None,
        };
        container::attach(&self.handle, &fd, &inside, &spec).await?;
        Ok(spec.mac)
    }

    async fn take(&self, wish: &Wish) -> Result<(), HostError> {
        let (_fd, inside) = enter(&wish.namespace).await?;
        for taken in &wish.addresses {
            address::remove(&inside, &wish.interface, *taken).await?;
        }
        Ok(())
    }

    async fn detach(&self, id: &ContainerId) -> Result<(), HostError> {
        container::detach(&self.handle, &container::host_interface_name(id)).await?;
        Ok(())
    }

    async fn is_attached(&self, id: &ContainerId) -> Result<bool, HostError> {
        Ok(self.has(&container::host_interface_name(id)).await?)
    }

    async fn add(&self, address: IpNet) -> Result<(), HostError> {
        address::add(&self.handle, &self.bridge, address).await?;
        Ok(())
    }

    async fn remove(&self, address: IpNet) -> Result<(), HostError> {
        Ok(address::remove(&self.handle, &self.bridge, address).await?)
    }

    async fn add_dns(&self, dns: IpAddr) -> Result<(), HostError> {
        address::add(&self.handle, &self.bridge, IpNet::from(dns)).await?;
        Ok(route::ensure_dns(&self.handle, dns, self.range.block(), &self.bridge).await?)
    }
}
