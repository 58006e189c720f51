//! The texts of `weft status`: Weave Net's layout, under one line that says how things stand.
//!
//! Labels are right-aligned with the colon in column 16. Source: Weave Net prog/weaver/http.go.

#[cfg(test)]
mod tests;

use super::awaited::{awaited, is_late};
use super::types::Surroundings;
use super::verdict::verdict;
use super::words::{
    counted, enabled, ipam_state, known_as, listed, named, people, percent, plural, seconds,
    session_word, state_word,
};
use std::fmt::Write as _;
use weft_core::status::{
    Carriage, ConnState, ConnStatus, DirectState, DirectStatus, IpamState, Status, StrayStatus,
};

/// The parts of a status that can be asked for alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Part {
    /// Configured targets, one a line.
    Targets,
    /// Links, and attempts at links.
    Connections,
    /// All known peers and their links.
    Peers,
    /// All names that are answered.
    Dns,
    /// Who owns how many addresses.
    Ipam,
}

impl Part {
    /// The part as it is spelled in commands and paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Targets => "targets",
            Self::Connections => "connections",
            Self::Peers => "peers",
            Self::Dns => "dns",
            Self::Ipam => "ipam",
        }
    }
}

/// The whole of `weft status`.
pub fn status(status: &Status, around: &Surroundings) -> String {
    let mut out = verdict(status, around) + "\n\n";
    line(&mut out, "Version", &around.version);
    out.push('\n');
    router(&mut out, status, around);
    out.push('\n');
    line(&mut out, "Service", "ipam");
    line(&mut out, "Status", ipam_state(status));
    line(&mut out, "Range", status.ipam.universe);
    line(&mut out, "DefaultSubnet", listed(&status.ipam.default_subnets));
    if let Some(service) = &around.dns {
        let upstream: Vec<_> = service.upstream.iter().map(ToString::to_string).collect();
        out.push('\n');
        line(&mut out, "Service", "dns");
        line(&mut out, "Domain", format_args!("{}.", service.domain));
        if let Some(at) = service.elsewhere {
            line(&mut out, "ListenAddress", at);
        }
        line(
            &mut out,
            "Upstream",
            if upstream.is_empty() { "none".into() } else { upstream.join(", ") },
        );
        if !service.forwards.is_empty() {
            line(&mut out, "Forward", service.forwards.join(", "));
        }
        line(&mut out, "TTL", service.ttl);
        line(&mut out, "Entries", status.names.len());
    }
    out.push('\n');
    out
}

fn router(out: &mut String, status: &Status, around: &Surroundings) {
    line(out, "Service", "router");
    line(out, "Protocol", "weft 1");
    line(out, "Name", format_args!("{}({})", status.name, status.nickname));
    line(out, "Datapath", &around.datapath);
    line(out, "Id", status.id.hex());
    line(out, "Encryption", enabled(status.encryption));
    if status.secrets.len() > 1 {
        let old = status.conns.iter().filter(|conn| conn.old_secret).count();
        let links = plural(old, "link", "links");
        line(out, "Secrets", format_args!("2 ({old} {links} on the old one)"));
    }
    if let Some(peers) = status.allowed {
        line(out, "AllowedPeers", peers);
    }
    line(out, "PeerDiscovery", enabled(status.discovery));
    line(out, "Targets", status.targets.len());
    let order = [
        ConnState::Established,
        ConnState::Pending,
        ConnState::Retrying,
        ConnState::Failed,
        ConnState::Connecting,
    ];
    let counts: Vec<String> = order
        .into_iter()
        .map(|state| (status.conns.iter().filter(|conn| conn.state == state).count(), state))
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {}", state_word(state)))
        .collect();
    line(out, "Connections", counted(status.conns.len(), &counts));
    // Those out of reach may be gone for good, and what they said of their links is old.
    let reachable = || status.peers.iter().filter(|peer| peer.reachable);
    let links = || reachable().flat_map(|peer| &peer.links);
    let counts: Vec<String> = [
        (links().filter(|l| l.mutual).count(), "established"),
        (links().filter(|l| !l.mutual).count(), "pending"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    let mut with: Vec<String> = match counts.as_slice() {
        [] => Vec::new(),
        counts => vec![format!("with {} connections", counts.join(", "))],
    };
    let (count, awaited) = (reachable().count(), awaited(status).len());
    if awaited > 0 {
        with.push(format!("{awaited} more being reached"));
    }
    let away = status.peers.len() - count - awaited;
    if away > 0 {
        with.push(format!("{away} more unreachable"));
    }
    line(out, "Peers", counted(count, &with));
    line(out, "TrustedSubnets", "none");
}

/// One part of the status, as `weft status PART` prints it.
pub fn part(part: Part, status: &Status, around: &Surroundings) -> String {
    let mut out = String::new();
    match part {
        Part::Targets => {
            for target in &status.targets {
                let _ = writeln!(out, "{}", target.target);
            }
        }
        Part::Connections => {
            for conn in &status.conns {
                let _ = writeln!(out, "{}", connection(conn, status));
            }
            for direct in &status.directs {
                let _ = writeln!(out, "{}", session(direct, status));
            }
        }
        Part::Peers => peers(&mut out, status),
        Part::Dns => {
            let people = people(status);
            for known in &status.names {
                let name = known.entry.name.as_str();
                let host = around
                    .dns
                    .as_ref()
                    .and_then(|dns| name.strip_suffix(dns.domain.as_str())?.strip_suffix('.'));
                let origin = people.get(&known.origin).map_or_else(
                    || known.origin.default_name().to_string(),
                    |(name, _)| name.clone(),
                );
                let (value, id) = (&known.entry.value, known.entry.id.as_str());
                let _ = writeln!(out, "{:<12} {value:<15} {id:<12} {origin}", host.unwrap_or(name));
            }
        }
        Part::Ipam => ipam(&mut out, status),
    }
    out
}

fn connection(conn: &ConnStatus, status: &Status) -> String {
    let arrow = if conn.outbound { "->" } else { "<-" };
    let info = match conn.state {
        ConnState::Established | ConnState::Pending => {
            let sealed = match (status.encryption, conn.encrypted) {
                (false, _) => "",
                (true, true) if conn.old_secret => "encrypted (old secret) ",
                (true, true) => "encrypted   ",
                (true, false) => "unencrypted ",
            };
            let peer = known_as(conn);
            let trip = conn
                .round_trip
                .map_or_else(String::new, |trip| format!(" rtt={:.1}ms", trip.as_secs_f64() * 1e3));
            let doubt = if is_late(conn) {
                format!(" no data path: is UDP {} blocked?", status.port)
            } else {
                String::new()
            };
            format!("{sealed}{:<6} {peer}{trip}{doubt}", "sleeve")
        }
        ConnState::Retrying | ConnState::Failed => {
            let why = conn.why.as_deref().unwrap_or("no reason known");
            if !conn.outbound {
                // It is the other side that tries again.
                return format!("{arrow} {:<21} {:<11} {why}", conn.remote, state_word(conn.state));
            }
            let retry = conn
                .retry_in
                .map_or_else(|| "never".to_owned(), |wait| format!("in {}", seconds(wait)));
            format!("{why}, retry: {retry}")
        }
        ConnState::Connecting => conn.why.clone().unwrap_or_default(),
    };
    let row = format!("{arrow} {:<21} {:<11} {info}", conn.remote, state_word(conn.state));
    row.trim_end().to_owned()
}

/// A session on demand, in the columns of links.
fn session(direct: &DirectStatus, status: &Status) -> String {
    let sealed = match (status.encryption, direct.encrypted) {
        (false, _) | (true, false) => "",
        (true, true) => "encrypted   ",
    };
    let peer = format!("{}({})", direct.name, direct.nickname);
    let trip = direct
        .round_trip
        .map_or_else(String::new, |trip| format!(" rtt={:.1}ms", trip.as_secs_f64() * 1e3));
    let why = match (direct.state, direct.why) {
        (DirectState::Direct, _) | (_, None) => String::new(),
        (
            DirectState::Pending | DirectState::Silent | DirectState::Waiting | DirectState::Idle,
            Some(why),
        ) => format!(" relayed: {why}"),
    };
    let retry = direct
        .retry_in
        .map_or_else(String::new, |wait| format!(", retry: not before {}", seconds(wait)));
    let to = direct.datagrams_to.map_or_else(String::new, |to| to.to_string());
    let state = session_word(direct.state);
    let row = format!("<> {to:<21} {state:<11} {sealed}{:<6} {peer}{trip}{why}{retry}", "sleeve");
    row.trim_end().to_owned()
}

/// Which way frames for a peer take, behind its name.
fn way(way: Option<Carriage>) -> String {
    match way {
        // As it mostly is.
        None | Some(Carriage::Link) => String::new(),
        Some(Carriage::Direct) => " - direct".to_owned(),
        Some(Carriage::Relayed(by)) => format!(" - relayed by {by}"),
    }
}

fn peers(out: &mut String, status: &Status) {
    let awaited = awaited(status);
    for peer in &status.peers {
        let gone = match (peer.reachable, peer.leaves) {
            (false, _) if awaited.contains(&peer.id) => " - being reached",
            (false, _) => " - unreachable!",
            (true, true) => " - leaving",
            (true, false) => "",
        };
        let way = way(peer.way);
        let _ = writeln!(out, "{}({}){gone}{way}", peer.name, peer.nickname);
        for link in &peer.links {
            // Only our own links have an address and a direction that we know.
            let own = (peer.id == status.id)
                .then(|| status.conns.iter().find(|conn| conn.peer == Some(link.id)))
                .flatten();
            let arrow = if own.is_some_and(|conn| !conn.outbound) { "<-" } else { "->" };
            let address = own.map_or("", |conn| conn.remote.as_str());
            let other = format!("{}({})", link.name, link.nickname);
            let state = if link.mutual { "established" } else { "pending" };
            let _ = writeln!(out, "   {arrow} {address:<21} {other:<37} {state}");
        }
    }
}

fn ipam(out: &mut String, status: &Status) {
    let people = people(status);
    let total = status.ipam.universe.size();
    match status.ipam.state {
        IpamState::Idle => {
            let range = status.ipam.universe;
            let _ = writeln!(
                out,
                "the addresses of {range} are not divided yet: `weft prime` or the first `weft attach` starts that"
            );
        }
        IpamState::Observing => {
            let range = status.ipam.universe;
            let _ = writeln!(
                out,
                "the addresses of {range} are not divided yet, and this peer (--ipalloc-init observer) waits until others do that: connect it to one of them"
            );
        }
        IpamState::Ready => {}
        IpamState::AwaitingConsensus { .. }
        | IpamState::Listening
        | IpamState::AwaitingMerge
        | IpamState::Copied
        | IpamState::Left => {
            let _ = writeln!(out, "no addresses here: {}", ipam_state(status));
        }
    }
    // Our own line first; `false` sorts before `true`.
    let mut owners: Vec<_> = status.ipam.owners.iter().collect();
    owners.sort_by_key(|owner| owner.owner != status.id);
    let awaited = awaited(status);
    for owner in owners {
        let who = named(&people, &owner.owner);
        let tail = if owner.owner == status.id {
            format!("({} active)", status.ipam.held)
        } else if owner.reachable {
            String::new()
        } else if awaited.contains(&owner.owner) {
            "- being reached".to_owned()
        } else {
            "- unreachable!".to_owned()
        };
        let row = format!(
            "{who:<37} {:>8} IPs ({:04.1}% of total) {tail}",
            owner.addresses,
            percent(owner.addresses, total)
        );
        let _ = writeln!(out, "{}", row.trim_end());
    }
    for stray in &status.ipam.strays {
        let owner = named(&people, &stray.owner);
        let StrayStatus { address, id, denied, .. } = stray;
        let is_here = status.ipam.owners.iter().any(|it| it.owner == stray.owner && it.reachable);
        let how = match (*denied, is_here) {
            (true, _) => "who has handed it out too: end one of the two containers",
            (false, true) => "who is asked for it",
            (false, false) if awaited.contains(&stray.owner) => "who is being reached",
            (false, false) => {
                "who cannot be reached: `weft rmpeer` it if it is gone for good, as when this host lost its state folder"
            }
        };
        let _ = writeln!(out, "{address} of {id} here is {owner}'s, {how}");
    }
}

fn line(out: &mut String, label: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{label:>15}: {value}");
}
