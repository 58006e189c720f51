//! Words and numbers as people read them in a status.

use ipnet::IpNet;
use std::collections::BTreeMap;
use std::time::Duration;
use weft_core::id::PeerId;
use weft_core::status::{ConnState, ConnStatus, DirectState, IpamState, Status};

/// The word for how a session on demand stands.
pub(super) const fn session_word(state: DirectState) -> &'static str {
    match state {
        DirectState::Pending => "pending",
        DirectState::Direct => "direct",
        DirectState::Silent => "silent",
        DirectState::Waiting => "waiting",
        DirectState::Idle => "idle",
    }
}

/// The word for how IPAM stands, as Weave Net's `status` prints it.
pub(super) fn ipam_state(status: &Status) -> String {
    match &status.ipam.state {
        IpamState::Idle => "idle".to_owned(),
        IpamState::Observing => "observing, others divide the addresses".to_owned(),
        IpamState::AwaitingConsensus { needed, heard } => {
            format!("awaiting consensus (quorum: {needed}, known: {heard})")
        }
        IpamState::Listening => "listening to others for a moment".to_owned(),
        IpamState::AwaitingMerge => "waiting for another owner to be reached".to_owned(),
        IpamState::Ready if status.ipam.waiting > 0 => {
            "waiting for IP(s) to become available".to_owned()
        }
        IpamState::Ready => "ready".to_owned(),
        IpamState::Copied => "a copy of this peer runs elsewhere".to_owned(),
        IpamState::Left => "left the mesh".to_owned(),
    }
}

/// The word for a link's state.
pub(super) const fn state_word(state: ConnState) -> &'static str {
    match state {
        ConnState::Connecting => "connecting",
        ConnState::Pending => "pending",
        ConnState::Established => "established",
        ConnState::Retrying => "retrying",
        ConnState::Failed => "failed",
    }
}

/// Name and label of each known peer.
pub(super) fn people(status: &Status) -> BTreeMap<PeerId, (String, &str)> {
    status.peers.iter().map(|p| (p.id, (p.name.to_string(), p.nickname.as_str()))).collect()
}

pub(super) fn named(people: &BTreeMap<PeerId, (String, &str)>, peer: &PeerId) -> String {
    match people.get(peer) {
        Some((name, nickname)) => format!("{name}({nickname})"),
        None => peer.default_name().to_string(),
    }
}

/// Subnets, as they may be given too.
pub(super) fn listed(subnets: &[IpNet]) -> String {
    let texts: Vec<String> = subnets.iter().map(ToString::to_string).collect();
    texts.join(",")
}

pub(super) fn counted(count: usize, details: &[String]) -> String {
    if details.is_empty() { count.to_string() } else { format!("{count} ({})", details.join(", ")) }
}

pub(super) const fn enabled(on: bool) -> &'static str {
    if on { "enabled" } else { "disabled" }
}

pub(super) const fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

pub(super) fn seconds(wait: Duration) -> String {
    format!("{:.1}s", wait.as_secs_f64())
}

pub(super) fn percent(part: u128, whole: u128) -> f64 {
    // Good to a thousandth of a percent, which is more than is printed.
    let ratio = part.saturating_mul(100_000).checked_div(whole).unwrap_or(0);
    u32::try_from(ratio).map_or(100.0, |ratio| f64::from(ratio) / 1000.0)
}

pub(super) fn known_as(conn: &ConnStatus) -> String {
    match (&conn.name, &conn.nickname) {
        (Some(name), Some(nickname)) => format!("{name}({nickname})"),
        (Some(name), None) => name.to_string(),
        (None, Some(_) | None) => "?".to_owned(),
    }
}
