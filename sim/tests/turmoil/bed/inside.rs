//! What scripts do inside a host: commands through the node's handle, requests to any host's API.

use super::disk::Disk;
use super::judge::Judge;
use super::net::API_PORT;
use ipnet::IpNet;
use std::cell::RefCell;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use turmoil::net::TcpStream;
use weft::api::client::{Answer, Content, Method, exchange};
use weft::api::types::{AttachRequest, Container};
use weft::handle::NodeHandle;
use weft_core::id::ContainerId;
use weft_core::io::{Command, CommandError, Reply};

/// Something that runs inside a host.
pub(super) type Work = Box<dyn FnOnce(Inside) -> Pin<Box<dyn Future<Output = ()>>>>;

/// A host that runs, from within.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    /// Which.
    pub(crate) host: usize,
    /// Its node.
    pub(crate) node: NodeHandle,
    pub(super) disk: Disk,
    pub(super) judge: Arc<Mutex<Judge>>,
}

/// Something that runs inside a host, and what comes of it.
#[derive(Debug)]
pub(crate) struct Job<T> {
    pub(super) host: usize,
    pub(super) since: Duration,
    pub(super) done: Rc<RefCell<Option<(Duration, T)>>>,
}

impl<T> Job<T> {
    /// Whether it has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.done.borrow().is_some()
    }

    /// Whether it will never end: its host is gone.
    pub(crate) fn is_lost(&self) -> bool {
        !self.is_done() && Rc::strong_count(&self.done) == 1
    }

    /// What came of it, if it has ended.
    pub(crate) fn result(&self) -> Option<T> {
        self.take().map(|(result, _)| result)
    }

    /// What came of it, and how long that took.
    pub(super) fn take(&self) -> Option<(T, Duration)> {
        let since = self.since;
        self.done.borrow_mut().take().map(|(at, result)| (result, at.saturating_sub(since)))
    }
}

impl Inside {
    /// Gets an address of the default subnet for a container.
    ///
    /// # Errors
    /// The node's own.
    pub(crate) async fn allocate(&self, id: ContainerId) -> Result<IpNet, CommandError> {
        self.address(id.clone(), Command::Allocate { id, subnet: None }).await
    }

    /// Gets just this address for a container.
    ///
    /// # Errors
    /// The node's own.
    pub(crate) async fn claim(
        &self,
        id: ContainerId,
        address: IpNet,
    ) -> Result<IpNet, CommandError> {
        self.address(id.clone(), Command::Claim { id, address }).await
    }

    async fn address(&self, id: ContainerId, command: Command) -> Result<IpNet, CommandError> {
        match self.node.command(command).await? {
            Reply::Addresses(addresses) => {
                super::lock(&self.judge).hold(self.host, &id, &addresses, &self.disk);
                addresses.first().copied().ok_or(CommandError::NotHeld(id))
            }
            Reply::Done | Reply::Removed(_) | Reply::TakenOver(_) => Err(CommandError::NotHeld(id)),
        }
    }

    /// A container ends: its names and addresses are given back.
    ///
    /// # Errors
    /// The node's own.
    pub(crate) async fn release(&self, id: ContainerId) -> Result<(), CommandError> {
        super::lock(&self.judge).let_go(self.host, &id, None);
        let whose = Some(id.clone());
        self.node.command(Command::Unregister { id: whose, name: None, value: None }).await?;
        self.node.command(Command::Release { id, address: None }).await.map(|_| ())
    }

    /// Has `NAME.weft.local` answered with `address`.
    ///
    /// # Errors
    /// The node's own.
    pub(crate) async fn register(&self, name: &str, address: IpAddr) -> Result<(), CommandError> {
        let (id, name) = (super::container(name), super::domain_name(name));
        self.node.command(Command::Register { id, name, value: address.into() }).await.map(|_| ())
    }

    /// Asks the API of `host`, over the network unless that is this host.
    ///
    /// # Errors
    /// Why there was no answer.
    pub(crate) async fn api(
        &self,
        host: usize,
        method: Method,
        path: &str,
        content: Content,
    ) -> Result<Answer, String> {
        let stream = self.api_stream(host).await.map_err(|why| why.to_string())?;
        exchange(stream, method, path, content).await.map_err(|why| why.to_string())
    }

    /// A stream to the API of `host`.
    ///
    /// # Errors
    /// The network's.
    pub(crate) async fn api_stream(&self, host: usize) -> std::io::Result<TcpStream> {
        if host == self.host {
            TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, API_PORT)).await
        } else {
            TcpStream::connect((super::name_of(host), API_PORT)).await
        }
    }

    /// Attaches a container through the API of this host, named `ID.weft.local`.
    ///
    /// # Errors
    /// What the API said, or why it said nothing.
    pub(crate) async fn attach(&self, id: ContainerId) -> Result<Container, String> {
        let request = AttachRequest {
            namespace: id.to_string(),
            name: Some(super::domain_name(id.as_str())),
            id,
            addresses: Vec::new(),
            interface: None,
        };
        let body = serde_json::to_string(&request).map_err(|why| why.to_string())?;
        let answer = self.api(self.host, Method::POST, "/attach", Content::Json(body)).await?;
        match answer.status {
            200 => serde_json::from_str(&answer.text).map_err(|why| why.to_string()),
            status => Err(format!("{status}: {}", answer.text)),
        }
    }
}
