//! `weft connect` and `weft forget`: whom to dial. `weft rmpeer`: who is gone for good.

use super::common::{Common, Outcome, complain, patiently, say};
use crate::api::client::ClientError;
use crate::api::types::IN_REACH;
use clap::Args;
use core::cell::Cell;
use hyper::Method;
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait, with `--wait`, until a peer that is believed in reach is missed. Each link with it is given up after
/// [`weft_core::config::Config::silence_max`] of silence, 10 s, and others tell of theirs later; one that is not
/// missed by then lives.
const MISSED_MAX: Duration = Duration::from_secs(30);

/// Dial more peers, or others
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  weft connect host2\n  weft connect --replace host2 [fd00::3]:6783"
)]
pub(super) struct ConnectArgs {
    /// Forget all peers that are not named here
    #[arg(long)]
    replace: bool,
    /// Host name or address, and the port if it is not the usual one
    #[arg(required = true, value_name = "PEER")]
    peers: Vec<String>,
}

/// Stop dialing peers; links that stand are left alone
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  weft forget host2 host3:6790")]
pub(super) struct ForgetArgs {
    /// As given to `launch` or `connect`
    #[arg(required = true, value_name = "PEER")]
    peers: Vec<String>,
}

/// Take over the addresses of peers that are gone for good
///
/// All peers that can be reached, and all others that own addresses, have to agree, for they may have
/// been given some by the dead one. If some of those cannot be reached either, start them, or name
/// them too if they are gone as well.
///
/// Containers that still run on its host keep their addresses, which others may be given now: end them
/// first, or launch weft there again first, which holds them even if its state folder was lost.
///
/// A peer that was cut off or frozen is missed after some ten seconds, and cannot be removed before. With
/// --wait that is waited for, for at most 30 seconds.
///
/// With --force only those in reach have to agree. If another peer that owns addresses lives where it
/// cannot be reached, what it was given by the dead one since is given a second time.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  weft rmpeer host3\n  weft rmpeer host3 0a:1b:2c:3d:4e:5f\n  weft rmpeer --force host3"
)]
pub(super) struct RmPeerArgs {
    /// Do not wait for owners that cannot be reached
    #[arg(long)]
    force: bool,
    /// Wait until it is over, or can never be; otherwise at most two seconds
    #[arg(long)]
    wait: bool,
    /// Label, name or id of a peer, as `weft status ipam` prints them
    #[arg(required = true, value_name = "PEER", value_parser = called)]
    peers: Vec<String>,
}

/// Checks what a peer is called by, and keeps it as it was written: a variable of a script that is empty
/// is its mistake, and no peer's label.
pub(super) fn called(text: &str) -> Result<String, &'static str> {
    let is_blank = text.trim().is_empty();
    if is_blank {
        Err("expected a label, name or id of a peer, as `weft status ipam` prints them")
    } else {
        Ok(text.to_owned())
    }
}

pub(super) async fn remove(common: &Common, args: &RmPeerArgs) -> Outcome {
    take_over(common, &args.peers, args.force, args.wait).await
}

/// Takes over what `peers` own; with `force` without the owners that cannot be reached.
pub(super) async fn take_over(
    common: &Common,
    peers: &[String],
    force: bool,
    wait: bool,
) -> Outcome {
    let mut fields = form(peers);
    if force {
        fields.push(("force", "true"));
        complain(
            "warning: owners that cannot be reached are not asked; what they were given may be given twice",
        );
    }
    let (client, is_told) = (common.client(), Cell::new(false));
    let missed_at = Instant::now() + MISSED_MAX;
    let count = patiently(wait, async || {
        let mut fields = fields.clone();
        // Why it has to wait is told soon, and then it is given the time that it needs.
        if is_told.replace(true) {
            fields.push(("wait", "true"));
        }
        let answer = client.form(Method::POST, "/evict", &fields).await;
        let may_be_missed = wait && Instant::now() < missed_at;
        answer.map_err(|why| if may_be_missed { until_missed(why) } else { why })
    });
    let count = count.await?;
    // By this command, or by one that was given at the same time: either is told of all of them.
    let peers = peers.join(", ");
    match count.trim() {
        "0" => say(format_args!("0 IPs: by what is known here, {peers} owned none")),
        count => say(format_args!("{count} IPs of {peers} have another owner")),
    }
}

/// `why`, as what may pass when a peer is believed in reach: it may have died just then.
fn until_missed(why: ClientError) -> ClientError {
    match why {
        ClientError::Refused { status: IN_REACH, message, .. } => ClientError::Refused {
            status: IN_REACH,
            message: format!("at most {MISSED_MAX:?}, until it is missed: {message}"),
            may_pass: true,
        },
        ClientError::Refused { .. }
        | ClientError::NotRunning(_)
        | ClientError::Forbidden(_)
        | ClientError::Broken { .. } => why,
    }
}

pub(super) async fn connect(common: &Common, args: &ConnectArgs) -> Outcome {
    let mut fields = form(&args.peers);
    if args.replace {
        fields.push(("replace", "true"));
    }
    common.client().form(Method::POST, "/connect", &fields).await?;
    Ok(())
}

pub(super) async fn forget(common: &Common, args: &ForgetArgs) -> Outcome {
    common.client().form(Method::POST, "/forget", &form(&args.peers)).await?;
    Ok(())
}

fn form(peers: &[String]) -> Vec<(&str, &str)> {
    peers.iter().map(|peer| ("peer", peer.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_peer_is_in_reach_may_pass_and_no_other_refusal_for_that() {
        let refused = |status| {
            let message = "peer host3 can be reached".to_owned();
            until_missed(ClientError::Refused { status, message, may_pass: false })
        };
        let why = refused(IN_REACH);
        assert!(matches!(why, ClientError::Refused { may_pass: true, .. }), "{why:?}");
        assert!(why.to_string().starts_with("at most 30s, until it is missed: peer host3"));
        let why = refused(400);
        assert!(matches!(why, ClientError::Refused { may_pass: false, .. }), "{why:?}");
        assert_eq!(why.to_string(), "peer host3 can be reached");
    }
}
