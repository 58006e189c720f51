//! How the rest of the process talks to the node: commands in, pictures out.

use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot, watch};
use weft_core::id::ContainerId;
use weft_core::io::{Command, CommandError, Reply};
use weft_core::names::{KnownName, Name};
use weft_core::status::Status;

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Request {
    /// Something for the node to do.
    Command(Command, oneshot::Sender<Result<Reply, CommandError>>),
    /// A picture of the node, drawn when it is asked for: most inputs are seen by nobody.
    Status(oneshot::Sender<Arc<Status>>),
    /// Which addresses are held for whom.
    Held(oneshot::Sender<Held>),
}

/// Addresses by their holder.
pub type Held = BTreeMap<ContainerId, Vec<IpNet>>;

/// A way to a running node; clones lead to the same one.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) names: watch::Receiver<Arc<NamesView>>,
    /// Why the driver could not go on, once that is so.
    pub(crate) broken: Arc<OnceLock<String>>,
}

impl NodeHandle {
    /// Has the node carry out `command` and waits for what it comes to.
    ///
    /// # Errors
    /// The node's own, and those of [`NodeHandle::status`].
    pub async fn command(&self, command: Command) -> Result<Reply, CommandError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Command(command, reply);
        self.requests.send(request).await.map_err(|_| self.ended())?;
        answer.await.unwrap_or_else(|_| Err(self.ended()))
    }

    /// A picture of the node as it is now.
    ///
    /// # Errors
    /// [`CommandError::Stopping`] when it was stopped, [`CommandError::Broken`] when it had to.
    pub async fn status(&self) -> Result<Arc<Status>, CommandError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Status(reply);
        self.requests.send(request).await.map_err(|_| self.ended())?;
        answer.await.map_err(|_| self.ended())
    }

    /// Which addresses are held here, and for whom.
    ///
    /// # Errors
    /// As [`NodeHandle::status`].
    pub async fn held(&self) -> Result<Held, CommandError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Held(reply);
        self.requests.send(request).await.map_err(|_| self.ended())?;
        answer.await.map_err(|_| self.ended())
    }

    /// Why nobody answers.
    fn ended(&self) -> CommandError {
        match self.broken.get() {
            Some(why) => CommandError::Broken { why: why.clone() },
            None => CommandError::Stopping,
        }
    }

    /// All names that are answered. Cheap: a shared copy that is renewed when names change.
    pub fn names(&self) -> Arc<NamesView> {
        Arc::clone(&self.names.borrow())
    }
}

/// Names and addresses, looked up from either side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamesView {
    /// What names lie below: `b.c` and `c` for `a.b.c`, whether they are names themselves or not.
    pub parents: BTreeSet<String>,
    /// Addresses of each name, in order, each once.
    pub by_name: BTreeMap<Name, Vec<IpAddr>>,
    /// Names of each address, in order, each once.
    pub by_address: BTreeMap<IpAddr, Vec<Name>>,
}

impl NamesView {
    /// The view of `names`, in whatever order.
    pub fn new(names: Vec<KnownName>) -> Self {
        let mut view = Self::default();
        for KnownName { entry, .. } in names {
            let mut rest = entry.name.as_str();
            while let Some((_, parent)) = rest.split_once('.') {
                if !view.parents.insert(parent.to_owned()) {
                    break;
                }
                rest = parent;
            }
            view.by_name.entry(entry.name.clone()).or_default().push(entry.address);
            view.by_address.entry(entry.address).or_default().push(entry.name);
        }
        for addresses in view.by_name.values_mut() {
            addresses.sort_unstable();
            addresses.dedup();
        }
        for names in view.by_address.values_mut() {
            names.sort_unstable();
            names.dedup();
        }
        view
    }
}
