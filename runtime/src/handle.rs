//! How the rest of the process talks to the node: commands in, pictures out.

use crate::names::SharedIndex;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot};
use weft_core::id::ContainerId;
use weft_core::io::{Command, CommandError, Reply};
use weft_core::status::Status;

/// Where the outcome of a command goes.
pub(crate) type Answer = oneshot::Sender<Result<Reply, CommandError>>;

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Request {
    /// Things for the node to do, one after the other.
    Commands(Vec<(Command, Answer)>),
    /// Which addresses are held for this one before anything is done that is asked for later.
    HeldSoFar(ContainerId, oneshot::Sender<Vec<IpNet>>),
    /// To see something of the node as it is.
    Picture(Picture),
}

/// What can be seen of the node, drawn when it is asked for: most inputs are seen by nobody.
#[derive(Debug)]
pub(crate) enum Picture {
    /// Everything that people may want to know.
    Status(oneshot::Sender<Arc<Status>>),
    /// Which addresses are held for whom.
    Held(oneshot::Sender<Held>),
    /// Which addresses are held for this one.
    HeldBy(ContainerId, oneshot::Sender<Vec<IpNet>>),
}

/// Addresses by their holder.
pub type Held = BTreeMap<ContainerId, Vec<IpNet>>;

/// A way to a running node; clones lead to the same one.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) names: SharedIndex,
    /// Why the driver could not go on, once that is so.
    pub(crate) broken: Arc<OnceLock<String>>,
}

impl NodeHandle {
    /// Has the node carry out `command` and waits for what it comes to.
    ///
    /// # Errors
    /// The node's own, and those of [`NodeHandle::status`].
    pub async fn command(&self, command: Command) -> Result<Reply, CommandError> {
        let outcomes = self.commands(vec![command]).await;
        outcomes.into_iter().next().unwrap_or_else(|| Err(self.ended()))
    }

    /// Has the node carry out `commands` in order, and waits for what each of them comes to. What they
    /// change becomes durable at once, so they take little longer than one of them. That one comes to
    /// nothing does not keep those after it from being carried out.
    ///
    /// Returns one outcome for each command, in order; errors are as for [`NodeHandle::command`].
    pub async fn commands(&self, commands: Vec<Command>) -> Vec<Result<Reply, CommandError>> {
        let (mut asked, mut answers) = (Vec::new(), Vec::new());
        for command in commands {
            let (reply, answer) = oneshot::channel();
            asked.push((command, reply));
            answers.push(answer);
        }
        // When nobody takes it, those who were to answer go with it.
        let _ = self.requests.send(Request::Commands(asked)).await;
        let mut outcomes = Vec::new();
        for answer in answers {
            outcomes.push(answer.await.unwrap_or_else(|_| Err(self.ended())));
        }
        outcomes
    }

    /// As [`NodeHandle::command`], and what was held for `id` just before. The answer to that costs no wait
    /// of its own, as a picture would, which is drawn after all that is done meanwhile.
    pub(crate) async fn command_of(
        &self,
        id: &ContainerId,
        command: Command,
    ) -> (Vec<IpNet>, Result<Reply, CommandError>) {
        let (reply, before) = oneshot::channel();
        let _ = self.requests.send(Request::HeldSoFar(id.clone(), reply)).await;
        let outcome = self.command(command).await;
        (before.await.unwrap_or_default(), outcome)
    }

    /// A picture of the node as it is now.
    ///
    /// # Errors
    /// [`CommandError::Stopping`] when it was stopped, [`CommandError::Broken`] when it had to.
    pub async fn status(&self) -> Result<Arc<Status>, CommandError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Picture(Picture::Status(reply));
        self.requests.send(request).await.map_err(|_| self.ended())?;
        answer.await.map_err(|_| self.ended())
    }

    /// Which addresses are held here, and for whom.
    ///
    /// # Errors
    /// As [`NodeHandle::status`].
    pub async fn held(&self) -> Result<Held, CommandError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Picture(Picture::Held(reply));
        self.requests.send(request).await.map_err(|_| self.ended())?;
        answer.await.map_err(|_| self.ended())
    }

    /// Which addresses are held here for `id`. Costs the same however many others are held.
    ///
    /// # Errors
    /// As [`NodeHandle::status`].
    pub async fn held_by(&self, id: &ContainerId) -> Result<Vec<IpNet>, CommandError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Picture(Picture::HeldBy(id.clone(), reply));
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

    /// All names that are answered.
    pub const fn names(&self) -> &SharedIndex {
        &self.names
    }
}

/// The addresses that a command was answered with, if any.
pub(crate) fn addresses_of(reply: Reply) -> Vec<IpNet> {
    match reply {
        Reply::Addresses(addresses) => addresses,
        Reply::Done | Reply::Removed(_) | Reply::TakenOver(_) => Vec::new(),
    }
}
