//! `weft ipam`: what belongs to peers that are gone, and taking it over.

use super::common::{Common, Failure, Outcome, say, say_json};
use super::peers;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weft_core::id::PeerLabel;

/// Look after the addresses of the mesh
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  weft ipam reclaim --dry-run\n  weft ipam reclaim --all")]
pub(super) struct IpamArgs {
    #[command(subcommand)]
    command: IpamCommand,
}

#[derive(Debug, Subcommand)]
enum IpamCommand {
    Reclaim(ReclaimArgs),
}

/// Take over the addresses of peers that cannot be reached
///
/// As `weft rmpeer` does, for peers that are gone for good. With --dry-run it only shows which these
/// could be, how many addresses they own, and what would take them over.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  \
    weft ipam reclaim --dry-run\n  \
    weft ipam reclaim host3\n  \
    weft ipam reclaim --all")]
struct ReclaimArgs {
    /// Change nothing
    #[arg(long)]
    dry_run: bool,
    /// Of all owners that cannot be reached; only when none of them just lies behind a broken network
    #[arg(long, conflicts_with = "peers")]
    all: bool,
    /// Wait until it is over, or can never be; otherwise at most two seconds
    #[arg(long)]
    wait: bool,
    /// Label, name or id of a peer, as `weft status ipam` prints them
    #[arg(value_name = "PEER", value_parser = peers::called)]
    peers: Vec<String>,
}

/// An owner that cannot be reached.
struct Away {
    peer: PeerLabel,
    addresses: String,
}

pub(super) async fn ipam(common: &Common, args: &IpamArgs) -> Outcome {
    let IpamCommand::Reclaim(args) = &args.command;
    if !args.all && !args.dry_run && args.peers.is_empty() {
        return Err(Failure::new(
            "say whose addresses: PEER…, or --all that cannot be reached; --dry-run shows who that is",
        ));
    }
    let report: Value = common.client().get_json("/report").await?;
    let away = away(&report).ok_or_else(|| {
        Failure::new("the daemon is of another version of weft: `weft stop`, then launch this one")
    })?;
    let blocked = not_gone(&report);
    let is_meant = |owner: &&Away| {
        args.peers.is_empty() || args.peers.iter().any(|text| owner.peer.is_called(text))
    };
    let meant: Vec<&Away> = away.iter().filter(is_meant).collect();
    if args.dry_run {
        let is_none = |text: &&String| !away.iter().any(|owner| owner.peer.is_called(text));
        if let Some(text) = args.peers.iter().find(is_none) {
            return Err(Failure::new(format!(
                "no owner that cannot be reached is called {text}: `weft status ipam` lists owners"
            )));
        }
        return show(common, &meant, away.len(), blocked.as_deref());
    }
    if !args.peers.is_empty() {
        return peers::take_over(common, &args.peers, false, args.wait).await;
    }
    if away.is_empty() {
        return say("0 IPs: all that own addresses can be reached");
    }
    // Whoever names peers knows of them; those that are away for a moment nobody has vouched for.
    if let Some(why) = blocked {
        return Err(Failure::new(format!("nothing is taken over: {why}")));
    }
    let names: Vec<String> = away.iter().map(|owner| owner.peer.name.to_string()).collect();
    peers::take_over(common, &names, false, args.wait).await
}

/// Why the owners of a report that cannot be reached may well be alive, if so.
fn not_gone(report: &Value) -> Option<String> {
    let state = report["IPAM"]["Status"].as_str().unwrap_or_default();
    let blocked = report["IPAM"]["OwnersMayBeGone"] == false;
    blocked.then(|| {
        format!("owners that cannot be reached may be alive ({state}): see `weft status` for what to do first")
    })
}

/// The owners of a report that cannot be reached; `None` when it says of one not who that is.
fn away(report: &Value) -> Option<Vec<Away>> {
    let entries = report["IPAM"]["Entries"].as_array().into_iter().flatten();
    let away = entries.filter(|entry| entry["IsKnownPeer"] == false);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    away.map(|entry| {
        let (id, name) = (entry["Id"].as_str()?.parse(), entry["Peer"].as_str()?.parse());
        let nickname = entry["Nickname"].as_str().unwrap_or_default().to_owned();
        let peer = PeerLabel { id: id.ok()?, name: name.ok()?, nickname };
        Some(Away { peer, addresses: text(&entry["Size"]) })
    })
    .collect()
}

fn show(common: &Common, meant: &[&Away], all: usize, blocked: Option<&str>) -> Outcome {
    if common.json {
        let rows = meant.iter().map(|owner| {
            let Away { peer: PeerLabel { id, name, nickname }, addresses } = owner;
            let (id, name) = (id.hex(), name.to_string());
            json!({ "Peer": name, "Id": id, "Nickname": nickname, "Size": addresses })
        });
        return say_json(&rows.collect::<Vec<_>>());
    }
    if meant.is_empty() {
        return say("nothing to reclaim: all that own addresses can be reached");
    }
    for Away { peer, addresses } in meant {
        say(format_args!("{:<37} {addresses:>8} IPs - unreachable!", peer.to_string()))?;
    }
    if let Some(why) = blocked {
        return say(why);
    }
    let names: Vec<String> = meant.iter().map(|owner| owner.peer.name.to_string()).collect();
    let left = all - meant.len();
    if left > 0 {
        say(format_args!(
            "{left} more cannot be reached and would have to agree: start them, or reclaim theirs too"
        ))?;
    }
    say(format_args!(
        "if they are gone for good, and not behind a broken network: weft rmpeer {}",
        names.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_not_taken_for_gone_where_the_daemon_says_that_they_may_be_alive() {
        let report = |may_be_gone: Value| json!({ "IPAM": { "Status": "a copy of this peer runs elsewhere", "OwnersMayBeGone": may_be_gone } });
        let why = not_gone(&report(json!(false))).unwrap();
        assert!(why.contains("a copy of this peer runs elsewhere"), "{why}");
        assert!(why.contains("`weft status`") && !why.contains("rmpeer"), "{why}");
        assert_eq!(not_gone(&report(json!(true))), None);
        assert_eq!(not_gone(&report(Value::Null)), None, "an earlier daemon does not say");
    }
}
