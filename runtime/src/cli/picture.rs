//! `weft status`, `report`, `prime` and `version`: how things stand.

use super::common::{Common, Failure, Outcome, complain, print, say, say_json};
use crate::api::client::{Client, ClientError};
use crate::api::text::Part;
use crate::api::types::Surroundings;
use crate::daemon;
use clap::Args;
use hyper::Method;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;

/// Time after which people wonder what `weft prime` waits for, and between two looks at that.
const PRIME_TELL_WAIT: Duration = Duration::from_secs(2);

/// Say how things stand, in one line and then in detail
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  weft status\n  weft status connections --json")]
pub(super) struct StatusArgs {
    /// Only this part
    part: Option<Part>,
}

pub(super) async fn status(common: &Common, args: &StatusArgs) -> Outcome {
    let path = match (args.part, common.json) {
        (None, false) => "/status".to_owned(),
        (None, true) => "/report".to_owned(),
        (Some(part), false) => format!("/status/{}", part.as_str()),
        (Some(part), true) => format!("/status/{}?format=json", part.as_str()),
    };
    print(&common.client().get(&path).await?)
}

pub(super) async fn report(common: &Common) -> Outcome {
    print(&common.client().get("/report").await?)
}

/// Wait until the addresses are divided among the peers, however long that takes
///
/// It gives up only when the daemon ends: whoever cannot wait for ever sets a limit, as `timeout 60 weft prime` does.
/// After two seconds it says on standard error what it waits for, and again when that changes.
///
/// With --force, also go on although no other peer was heard since the start. After a start a peer
/// waits for one, because the state folder of this host may be older than what others know: put back
/// from a backup or a snapshot. If it is, addresses that this peer gave away since are handed out a
/// second time. If the folder is as the last run left it, also after a crash, nothing is risked.
/// Meant for when those others are gone for good.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  \
    weft launch host1 && weft prime && weft expose\n  \
    timeout 60 weft prime\n  \
    weft prime --force")]
pub(super) struct PrimeArgs {
    /// Hand out addresses although no other owner was heard; only with an unchanged state folder
    #[arg(long)]
    force: bool,
}

pub(super) async fn prime(common: &Common, args: &PrimeArgs) -> Outcome {
    if args.force {
        common.client().form(Method::POST, "/gate", &[]).await?;
        complain(
            "warning: addresses are handed out on this host's word alone; if its state folder was put back from a copy, some are given twice",
        );
    }
    let client = common.client();
    tokio::select! {
        divided = client.get_patiently("/ring") => divided.map(drop).map_err(Failure::from),
        never = tell_of_wait(&client) => match never {},
    }
}

/// Says on stderr what keeps the addresses from being divided, once that takes long, and whenever it changes.
async fn tell_of_wait(client: &Client) -> Infallible {
    let mut told = None;
    loop {
        tokio::time::sleep(PRIME_TELL_WAIT).await;
        // Whatever is wrong, who waits for the addresses is told.
        let Ok(report) = client.get_json::<Value>("/report").await else { continue };
        let why = report["IPAM"]["Status"].as_str().map(str::to_owned);
        if let Some(why) = &why
            && told.as_ref() != Some(why)
        {
            complain(&format!(
                "waiting until the addresses are divided: {why}; see `weft status ipam` and `weft status connections`"
            ));
            told = Some(why.clone());
        }
    }
}

pub(super) async fn id(common: &Common) -> Outcome {
    let id = match common.client().get_json::<Value>("/report").await {
        Ok(report) => report["Router"]["Id"].as_str().map(str::to_owned),
        Err(ClientError::NotRunning(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let id = match id {
        Some(id) => id,
        None => daemon::identity(&common.folders()).await.map_err(Failure::new)?.hex(),
    };
    if common.json { say_json(&json!({ "Id": id })) } else { say(id) }
}

pub(super) async fn version(common: &Common) -> Outcome {
    let ours = env!("CARGO_PKG_VERSION");
    let daemon = match common.client().get_json::<Surroundings>("/surroundings").await {
        Ok(around) => Some(around.version),
        Err(ClientError::NotRunning(_) | ClientError::Forbidden(_)) => None,
        Err(error @ (ClientError::Refused { .. } | ClientError::Broken { .. })) => {
            return Err(Failure::from(error));
        }
    };
    if common.json {
        return say_json(&json!({ "Version": ours, "Daemon": daemon }));
    }
    say(format_args!("weft {ours}"))?;
    match daemon {
        Some(version) if version != ours => say(format_args!("weft daemon {version}")),
        Some(_) | None => Ok(()),
    }
}
