//! Leaving the mesh: how long it may take, and what is told when it is not over by then.

use crate::attachments::AttachError;
use crate::handle::NodeHandle;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use weft_core::io::{Command, CommandError};
use weft_core::status::IpamState;

/// Why a peer does not leave the mesh.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// The node's own reason.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Something would still answer to addresses that others may be given.
    #[error(transparent)]
    Attached(#[from] AttachError),
}

/// So long a call to leave waits for another owner to be heard.
const LEAVE_WAIT: Duration = Duration::from_millis(1900);

/// So long it waits in all, what the kernel takes not counted: about as long as any answer may take, with the time in
/// which others hear that we leave even where an owner was heard in the last moment.
const LEAVE_MAX: Duration = Duration::from_millis(2500);

/// Time between two looks whether it was.
const LEAVE_LOOK_WAIT: Duration = Duration::from_millis(100);

/// Hands our addresses to another peer, after `withdraw` has taken all containers off the network. Nothing is taken
/// off for what would be refused.
///
/// # Errors
/// As [`super::Controls::leave`].
pub(super) async fn leave(
    node: &NodeHandle,
    withdraw: impl Future<Output = Result<(), AttachError>>,
) -> Result<(), LeaveError> {
    let waited = ready(node).await?;
    withdraw.await?;
    let told = || node.command(Command::Leave);
    match timeout(LEAVE_MAX.saturating_sub(waited), told()).await {
        Ok(outcome) => outcome?,
        // It goes on, and whoever gives the same command again hears what came of it.
        Err(_) => match &node.status().await?.ipam.no_leave {
            Some(why) => return Err(why.clone().into()),
            // It has just come to its end, or was never begun.
            None => told().await?,
        },
    };
    Ok(())
}

/// Waits until an owner was heard after a start. Returns how long that took.
async fn ready(node: &NodeHandle) -> Result<Duration, LeaveError> {
    let asked_at = Instant::now();
    loop {
        let ipam = &node.status().await?.ipam;
        let waited = asked_at.elapsed();
        let has_begun = ipam.state == IpamState::Left;
        let Some(why) = ipam.no_leave.as_ref().filter(|_| !has_begun) else { return Ok(waited) };
        let may_pass = matches!(ipam.state, IpamState::Listening | IpamState::AwaitingMerge);
        if !may_pass || waited >= LEAVE_WAIT {
            return Err(why.clone().into());
        }
        sleep(LEAVE_LOOK_WAIT).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::{Picture, Request};
    use crate::names::{NameIndex, SharedIndex};
    use crate::testing::pair;
    use std::sync::{Arc, OnceLock};
    use tokio::sync::mpsc;
    use weft_core::id::PeerId;
    use weft_core::status::IpamStatus;

    fn stranded() -> CommandError {
        CommandError::Stranded { why: "nobody was heard".into(), addresses: 7 }
    }

    const SILENT: CommandError = CommandError::NotTakenOver { heir: None };

    /// A node that hears an owner only after `heard_after`, and whose heir is silent.
    fn node(heard_after: Duration) -> NodeHandle {
        let (requests, mut asked) = mpsc::channel(8);
        let names = SharedIndex::new(NameIndex::new(PeerId([1; 32])));
        let broken = Arc::new(OnceLock::new());
        let handle = NodeHandle { requests, names, broken };
        let heard_at = Instant::now() + heard_after;
        tokio::spawn(async move {
            let mut unanswered = Vec::new();
            while let Some(request) = asked.recv().await {
                match request {
                    Request::Commands(commands) => unanswered.extend(commands),
                    Request::Picture(Picture::Status(reply)) => {
                        let (state, no_leave) = if !unanswered.is_empty() {
                            (IpamState::Left, Some(SILENT))
                        } else if Instant::now() < heard_at {
                            (IpamState::AwaitingMerge, Some(stranded()))
                        } else {
                            (IpamState::Ready, None)
                        };
                        let status = pair();
                        let ipam = IpamStatus { state, no_leave, ..status.ipam };
                        let _ = reply.send(Arc::new(weft_core::status::Status { ipam, ..status }));
                    }
                    other @ (Request::HeldSoFar(..) | Request::Picture(_)) => {
                        panic!("{other:?} is no part of leaving")
                    }
                }
            }
        });
        handle
    }

    /// What comes of leaving, whether containers were taken off for it, and how long it takes.
    async fn left(heard_after: Duration) -> (CommandError, bool, Duration) {
        let (node, asked_at) = (node(heard_after), Instant::now());
        let mut withdrawn = false;
        let withdraw = async {
            withdrawn = true;
            Ok(())
        };
        let Err(LeaveError::Command(why)) = leave(&node, withdraw).await else {
            panic!("it has left")
        };
        (why, withdrawn, asked_at.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn both_waits_of_who_leaves_together_take_little_longer_than_one_answer() {
        for heard_after in [0, 1_000, 1_850] {
            let (why, withdrawn, took) = left(Duration::from_millis(heard_after)).await;
            assert_eq!((why, withdrawn), (SILENT, true), "the node says why it is not over");
            assert!(took <= LEAVE_MAX + LEAVE_LOOK_WAIT, "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_container_is_taken_off_the_network_for_a_leave_that_is_refused() {
        let (why, withdrawn, took) = left(Duration::from_secs(60)).await;
        assert_eq!((why, withdrawn), (stranded(), false));
        assert!(took <= LEAVE_WAIT + LEAVE_LOOK_WAIT, "{took:?}");
    }
}
