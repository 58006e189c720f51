//! The daemon as the API sees it.

use super::sleeve::Sleeve;
use super::{LeaveError, Options, leaving, underlay};
use crate::attachments::Attachments;
use crate::dns::DnsService;
use crate::handle::NodeHandle;
use crate::host::Kernel;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::sync::watch;
use weft_core::forward::Counters;
use weft_core::id::ContainerId;
use weft_core::io::CommandError;
use weft_core::status::Status;
use weft_datapath::engine::Losses;

/// What the API may do with the daemon; clones share it.
#[derive(Clone, Debug)]
pub struct Controls {
    /// The node.
    pub node: NodeHandle,
    /// Containers.
    pub attachments: Attachments,
    /// As started; the secrets are gone from it.
    pub options: Arc<Options>,
    /// What carries frames, and why: `sleeve (this kernel has no Open vSwitch)`.
    pub carrier: Arc<str>,
    pub(super) stop: Arc<watch::Sender<bool>>,
    pub(super) sleeve: Sleeve,
    pub(super) trouble: Arc<watch::Sender<Option<String>>>,
    pub(super) dns: Option<Arc<DnsService>>,
    /// Of the host, where it has one.
    pub(super) kernel: Option<Kernel>,
}

impl Controls {
    /// Controls of a node that has neither data path nor DNS server around it, as in a simulation.
    pub fn of_node(node: NodeHandle, attachments: Attachments, options: Options) -> Self {
        Self {
            node,
            attachments,
            options: Arc::new(options),
            carrier: "none".into(),
            stop: Arc::default(),
            sleeve: Sleeve::default(),
            trouble: Arc::default(),
            dns: None,
            kernel: None,
        }
    }

    /// Lets [`Controls::stopped`] resolve; it answers this call's own request first.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Resolves after [`Controls::stop`].
    pub async fn stopped(&self) {
        // Never an error: the sender lives as long as we do.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Takes all containers off the network, hands our addresses to another peer, then stops, once that one
    /// has said that it has them: the running half of `weft reset`.
    ///
    /// # Errors
    /// When there is nobody to hand them to, whoever was given them does not say so in time, the kernel
    /// refuses, or the node is stopping already. All but the last leave a daemon that can be told again.
    pub async fn leave(&self) -> Result<(), LeaveError> {
        leaving::leave(&self.node, self.attachments.withdraw()).await?;
        self.stop();
        Ok(())
    }

    /// Why containers of this host are cut off, while they are.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Which addresses are in use on this host and not held here, and why.
    pub fn unheld(&self) -> Vec<String> {
        let told = |(id, address, why): (ContainerId, IpNet, CommandError)| {
            format!("{id} has {address}, which is not held here: {why}")
        };
        self.attachments.unheld().into_iter().map(told).collect()
    }

    /// Of which containers names are lost, and what to do, if that is so.
    pub fn nameless(&self) -> Option<String> {
        let ids = self.attachments.nameless();
        let first = ids.first()?;
        let others = match ids.len() - 1 {
            0 => String::new(),
            1 => " and 1 other container".to_owned(),
            others => format!(" and {others} other containers"),
        };
        Some(format!(
            "names of {first}{others} here were lost with the state folder: give them again with `weft attach --name` or `weft dns-add`"
        ))
    }

    /// Why full packets do not reach a peer in one piece that there is a link with in `status`.
    pub async fn narrow(&self, status: &Status) -> Option<String> {
        let kernel = self.kernel.as_ref()?;
        let seen = underlay::narrow(kernel, self.options.mtu, status).await;
        // Worth no failure: all else can be told.
        seen.inspect_err(|why| tracing::debug!(%why, "cannot see how long packets may be")).ok()?
    }

    /// What the sleeve has counted.
    pub fn counters(&self) -> Counters {
        self.sleeve.counters()
    }

    /// What the sleeve could not hand to the kernel.
    pub fn losses(&self) -> Losses {
        self.sleeve.losses()
    }

    /// Where the DNS server answers on the bridge; `None` when it is off or nothing is attached yet.
    pub fn dns_address(&self) -> Option<IpAddr> {
        self.dns.as_ref()?.address()
    }

    /// Where it answers too, if the operator wants that.
    pub fn dns_elsewhere(&self) -> Option<SocketAddr> {
        self.dns.as_ref()?.elsewhere()
    }

    /// Why the DNS server does not answer, when that was tried in vain.
    pub fn dns_broken(&self) -> Option<String> {
        self.dns.as_ref()?.broken()
    }

    /// Host name servers that other names are forwarded to.
    pub fn dns_upstreams(&self) -> Vec<IpAddr> {
        self.dns.as_ref().map_or_else(Vec::new, |dns| dns.upstreams())
    }
}
