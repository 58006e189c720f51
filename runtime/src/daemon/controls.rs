//! The daemon as the API sees it.

use super::Options;
use super::sleeve::Sleeve;
use crate::attachments::Attachments;
use crate::dns::DnsService;
use crate::handle::NodeHandle;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;
use weft_core::forward::Counters;
use weft_core::io::{Command, CommandError};
use weft_datapath::engine::Losses;

/// What the API may do with the daemon; clones share it.
#[derive(Clone, Debug)]
pub struct Controls {
    /// The node.
    pub node: NodeHandle,
    /// Containers.
    pub attachments: Attachments,
    /// As started; the password is gone from it.
    pub options: Arc<Options>,
    /// What carries frames, and why: `sleeve (this kernel has no Open vSwitch)`.
    pub carrier: Arc<str>,
    pub(super) stop: Arc<watch::Sender<bool>>,
    pub(super) sleeve: Sleeve,
    pub(super) trouble: Arc<watch::Sender<Option<String>>>,
    pub(super) dns: Option<Arc<DnsService>>,
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

    /// Hands our addresses to another peer, then stops: the running half of `weft reset`.
    ///
    /// # Errors
    /// When the node is stopping already.
    pub async fn leave(&self) -> Result<(), CommandError> {
        self.node.command(Command::Leave).await?;
        self.stop();
        Ok(())
    }

    /// Why containers of this host are cut off, while they are.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// What the sleeve has counted.
    pub fn counters(&self) -> Counters {
        self.sleeve.counters()
    }

    /// What the sleeve could not hand to the kernel.
    pub fn losses(&self) -> Losses {
        self.sleeve.losses()
    }

    /// Where the DNS server answers; `None` when it is off or nothing is attached yet.
    pub fn dns_address(&self) -> Option<IpAddr> {
        self.dns.as_ref()?.address()
    }

    /// Host name servers that other names are forwarded to.
    pub fn dns_upstreams(&self) -> Vec<IpAddr> {
        self.dns.as_ref().map_or_else(Vec::new, |dns| dns.upstreams())
    }
}
