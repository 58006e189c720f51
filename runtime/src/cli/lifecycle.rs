//! `weft stop` and `weft reset`: how it ends.

use super::common::{Common, Failure, Outcome, complain, say};
use crate::api::client::{Client, ClientError};
use crate::api::types::Surroundings;
use crate::daemon::{self, Holder};
use clap::Args;
use hyper::Method;
use std::path::Path;
use std::time::Duration;

/// Longest wait for a daemon that was told to stop.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Time between two looks whether it is gone: its end sends nothing that could be waited for.
const LOOK_WAIT: Duration = Duration::from_millis(20);

/// Hand our addresses to another peer, stop, and remove all traces from this host
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  weft reset\n  weft reset --force")]
pub(super) struct ResetArgs {
    /// Go on although the daemon is not running or no peer takes the addresses
    #[arg(long)]
    force: bool,
}

pub(super) async fn stop(common: &Common) -> Outcome {
    let running = daemon::running(&common.folders());
    let told = common.client().form(Method::POST, "/stop", &[]).await;
    told.map_err(|error| unanswered(error, running.as_ref()))?;
    gone(running, &common.run_dir).await
}

/// `error`, with the process to kill when that is why `daemon` does not answer.
fn unanswered(error: ClientError, daemon: Option<&Holder>) -> Failure {
    let is_silent = match &error {
        ClientError::Broken { .. } => true,
        ClientError::NotRunning(_) | ClientError::Forbidden(_) | ClientError::Refused { .. } => {
            false
        }
    };
    let mut failure = Failure::from(error);
    if is_silent && let Some(pid) = daemon.and_then(|daemon| daemon.pid) {
        failure.message.push_str(&format!(", or kill process {pid}"));
    }
    failure
}

pub(super) async fn reset(common: &Common, args: &ResetArgs) -> Outcome {
    let client = common.client();
    let folders = common.folders();
    match client.get_json::<Surroundings>("/surroundings").await {
        Ok(_) => {
            let running = daemon::running(&common.folders());
            leave(&client, args.force).await?;
            gone(running, &common.run_dir).await?;
        }
        Err(ClientError::NotRunning(_)) if args.force || !folders.database().exists() => {}
        Err(ClientError::NotRunning(_)) => {
            return Err(Failure::new(
                "weft is not running here, so its addresses cannot be handed over: `weft launch` it first, or use `weft reset --force`, which leaves them unused until another peer runs `weft rmpeer`",
            ));
        }
        Err(error) => {
            return Err(unanswered(error, daemon::running(&common.folders()).as_ref()));
        }
    }
    if daemon::reset(&folders).await.map_err(Failure::new)? {
        return Ok(());
    }
    say(format_args!(
        "nothing to reset: weft does not run here, and nothing of it is in {} or on this host",
        folders.state_dir.display()
    ))
}

/// Hands the addresses over and stops the daemon.
async fn leave(client: &Client, force: bool) -> Outcome {
    let fields: &[_] = if force { &[("force", "true")] } else { &[] };
    match client.form(Method::DELETE, "/peer", fields).await {
        Ok(_) => {}
        Err(error) if force => complain(&format!("addresses were not handed over: {error}")),
        Err(error) => return Err(error.into()),
    }
    match client.form(Method::POST, "/stop", &[]).await {
        // It stops by itself after leaving.
        Ok(_) | Err(ClientError::NotRunning(_) | ClientError::Broken { .. }) => Ok(()),
        Err(error @ (ClientError::Forbidden(_) | ClientError::Refused { .. })) => Err(error.into()),
    }
}

/// Returns once `daemon`, which was told to stop, has ended.
async fn gone(daemon: Option<Holder>, run_dir: &Path) -> Outcome {
    let Some(daemon) = daemon else { return Ok(()) };
    let wait = async {
        while !daemon.is_gone() {
            tokio::time::sleep(LOOK_WAIT).await;
        }
    };
    tokio::time::timeout(STOP_MAX, wait).await.map_err(|_| {
        let pid = daemon.pid.map_or_else(String::new, |pid| format!(" {pid}"));
        Failure::new(format!(
            "weft did not stop within {STOP_MAX:?}: see {}/weft.log, or kill process{pid}",
            run_dir.display()
        ))
    })
}
