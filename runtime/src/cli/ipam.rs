//! `weft ipam`: what belongs to peers that are gone, and taking it over.

use super::common::{Common, Failure, Outcome, say, say_json};
use super::peers;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weft_core::id::PeerId;

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
    #[arg(value_name = "PEER")]
    peers: Vec<String>,
}

/// An owner that cannot be reached.
struct Away {
    name: String,
    nickname: String,
    addresses: String,
}

impl Away {
    /// Whether that is its label, name or id.
    fn is_called(&self, peer: &str) -> bool {
        let by_id = || peer.parse::<PeerId>().map(|id| id.default_name().to_string());
        peer == self.name || peer == self.nickname || by_id().is_ok_and(|name| name == self.name)
    }
}

pub(super) async fn ipam(common: &Common, args: &IpamArgs) -> Outcome {
    let IpamCommand::Reclaim(args) = &args.command;
    if !args.all && !args.dry_run && args.peers.is_empty() {
        return Err(Failure::new(
            "say whose addresses: PEER…, or --all that cannot be reached; --dry-run shows who that is",
        ));
    }
    let report: Value = common.client().get_json("/report").await?;
    let away = away(&report);
    let is_meant = |owner: &&Away| {
        args.peers.is_empty() || args.peers.iter().any(|peer| owner.is_called(peer))
    };
    let meant: Vec<&Away> = away.iter().filter(is_meant).collect();
    if args.dry_run {
        let is_none = |peer: &&String| !away.iter().any(|owner| owner.is_called(peer));
        if let Some(peer) = args.peers.iter().find(is_none) {
            return Err(Failure::new(format!(
                "no owner that cannot be reached is called {peer}: `weft status ipam` lists owners"
            )));
        }
        return show(common, &meant, away.len());
    }
    if !args.peers.is_empty() {
        return peers::take_over(common, &args.peers, false, args.wait).await;
    }
    if away.is_empty() {
        return say("0 IPs: all that own addresses can be reached");
    }
    let names: Vec<String> = away.into_iter().map(|owner| owner.name).collect();
    peers::take_over(common, &names, false, args.wait).await
}

fn away(report: &Value) -> Vec<Away> {
    let entries = report["IPAM"]["Entries"].as_array().into_iter().flatten();
    let away = entries.filter(|entry| entry["IsKnownPeer"] == false);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    away.map(|entry| Away {
        name: text(&entry["Peer"]),
        nickname: entry["Nickname"].as_str().unwrap_or_default().to_owned(),
        addresses: text(&entry["Size"]),
    })
    .collect()
}

fn show(common: &Common, meant: &[&Away], all: usize) -> Outcome {
    if common.json {
        let rows = meant.iter().map(|owner| {
            let Away { name, nickname, addresses } = owner;
            json!({ "Peer": name, "Nickname": nickname, "Size": addresses })
        });
        return say_json(&rows.collect::<Vec<_>>());
    }
    if meant.is_empty() {
        return say("nothing to reclaim: all that own addresses can be reached");
    }
    for Away { name, nickname, addresses } in meant {
        say(format_args!(
            "{:<37} {addresses:>8} IPs - unreachable!",
            format!("{name}({nickname})")
        ))?;
    }
    let names: Vec<&str> = meant.iter().map(|owner| owner.name.as_str()).collect();
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
