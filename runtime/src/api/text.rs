//! The texts of `weft status`: Weave Net's layout, under one line that says how things stand.
//!
//! Labels are right-aligned with the colon in column 16. Source: Weave Net prog/weaver/http.go.

use super::awaited::{awaited, is_late};
use super::types::Surroundings;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use weft_core::id::PeerId;
use weft_core::status::{
    Carriage, ConnState, ConnStatus, DirectState, DirectStatus, IpamState, OwnerStatus, Status,
    StrayStatus, TargetState,
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

/// What is wrong, each in a few words; empty when all is well.
pub fn complaints(status: &Status, around: &Surroundings) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong.extend(around.trouble.iter().map(|why| format!("containers here are cut off: {why}")));
    match &status.ipam.state {
        // Whoever has no part in it may well want no address yet.
        IpamState::Idle | IpamState::Observing | IpamState::Ready => {}
        IpamState::AwaitingConsensus { needed, heard } => wrong.push(format!(
            "no addresses yet: {heard} of the {needed} peers needed to divide {} are reachable",
            status.ipam.universe
        )),
        IpamState::Listening => {
            wrong.push("no addresses for a moment: others are heard first".to_owned());
        }
        IpamState::AwaitingMerge => {
            wrong.push(
                "no addresses until another peer was heard (gone for good? see `weft help prime`)"
                    .to_owned(),
            );
        }
        IpamState::Copied => wrong.push(
            "a daemon elsewhere runs from a copy of this peer's state folder: stop the copy and run `weft reset \
             --force` there, then launch this one anew"
                .to_owned(),
        ),
        IpamState::Left => wrong.push("this peer has left the mesh".to_owned()),
    }
    for target in &status.targets {
        if let TargetState::Failed { why, .. } = &target.state {
            wrong.push(format!("no link with {}: {why}", target.target));
        }
    }
    // Those that we dial are among the targets, or were only heard of.
    for conn in status.conns.iter().filter(|conn| !conn.outbound) {
        if let (ConnState::Failed, Some(why)) = (conn.state, &conn.why) {
            wrong.push(format!("no link with {}, which dials this peer: {why}", conn.remote));
        }
    }
    for conn in status.conns.iter().filter(|conn| is_late(conn)) {
        let peer = known_as(conn);
        wrong.push(format!("no data path to {peer}: is UDP {} blocked?", status.port));
    }
    wrong.extend(around.unheld.iter().cloned());
    wrong.extend(around.nameless.clone());
    wrong.extend(around.narrow.clone());
    wrong.extend(around.dns.as_ref().and_then(|dns| dns.broken.clone()));
    let strays = status.ipam.strays.len();
    if strays > 0 {
        wrong.push(format!(
            "{strays} {have} here and {are} another peer's, since this peer was removed while it ran, or lost its state folder or has an older one: see `weft status ipam`",
            have = plural(strays, "address is a container's", "addresses are containers'"),
            are = plural(strays, "is", "are"),
        ));
    }
    let awaited = awaited(status);
    let is_lost = |it: &&OwnerStatus| !it.reachable && !awaited.contains(&it.owner);
    let lost = status.ipam.owners.iter().filter(is_lost);
    let (peers, addresses) = lost.fold((0usize, 0u128), |(n, sum), o| (n + 1, sum + o.addresses));
    if peers > 0 && may_be_gone(&status.ipam.state) {
        wrong.push(format!(
            "{peers} unreachable {owns} {addresses} addresses: start {them}, or `weft rmpeer` {them} if gone for good",
            owns = plural(peers, "peer owns", "peers own"),
            them = plural(peers, "it", "them"),
        ));
    }
    wrong
}

/// Whether owners that cannot be reached may be gone for good, as far as can be told in this state: else nobody is to be
/// advised to remove them.
pub(super) const fn may_be_gone(state: &IpamState) -> bool {
    match state {
        // Who is cut off because of a copy reaches nobody, and all others may be alive: the copy is to be mended.
        IpamState::Copied
        // They have not had the time to be heard.
        | IpamState::Listening => false,
        IpamState::Idle
        | IpamState::Observing
        | IpamState::AwaitingConsensus { .. }
        | IpamState::AwaitingMerge
        | IpamState::Ready
        | IpamState::Left => true,
    }
}

/// One line that says how things stand.
pub fn verdict(status: &Status, around: &Surroundings) -> String {
    let peers = status.peers.iter().filter(|peer| peer.reachable).count();
    let peers = format!("{peers} {}", plural(peers, "peer", "peers"));
    let wrong = complaints(status, around);
    if wrong.is_empty() {
        format!("weft: healthy, {peers}")
    } else {
        format!("weft: DEGRADED, {peers}: {}", wrong.join("; "))
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

fn known_as(conn: &ConnStatus) -> String {
    match (&conn.name, &conn.nickname) {
        (Some(name), Some(nickname)) => format!("{name}({nickname})"),
        (Some(name), None) => name.to_string(),
        (None, Some(_) | None) => "?".to_owned(),
    }
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

/// The word for how a session on demand stands.
pub const fn session_word(state: DirectState) -> &'static str {
    match state {
        DirectState::Pending => "pending",
        DirectState::Direct => "direct",
        DirectState::Silent => "silent",
        DirectState::Waiting => "waiting",
        DirectState::Idle => "idle",
    }
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

/// The word for how IPAM stands, as Weave Net's `status` prints it.
pub fn ipam_state(status: &Status) -> String {
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
pub const fn state_word(state: ConnState) -> &'static str {
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

fn line(out: &mut String, label: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{label:>15}: {value}");
}

fn named(people: &BTreeMap<PeerId, (String, &str)>, peer: &PeerId) -> String {
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

fn counted(count: usize, details: &[String]) -> String {
    if details.is_empty() { count.to_string() } else { format!("{count} ({})", details.join(", ")) }
}

const fn enabled(on: bool) -> &'static str {
    if on { "enabled" } else { "disabled" }
}

const fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

fn seconds(wait: Duration) -> String {
    format!("{:.1}s", wait.as_secs_f64())
}

fn percent(part: u128, whole: u128) -> f64 {
    // Good to a thousandth of a percent, which is more than is printed.
    let ratio = part.saturating_mul(100_000).checked_div(whole).unwrap_or(0);
    u32::try_from(ratio).map_or(100.0, |ratio| f64::from(ratio) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::report;
    use crate::api::types::Dns;
    use crate::testing::{named, pair};
    use weft_core::config::SecretKind;
    use weft_core::fault::DirectFault;

    fn around() -> Surroundings {
        Surroundings {
            version: "0.1.0".into(),
            bridge: "weft".into(),
            datapath: "sleeve (this kernel has no Open vSwitch)".into(),
            trouble: None,
            unheld: Vec::new(),
            nameless: None,
            narrow: None,
            dns: Some(Dns {
                domain: "weft.local".parse().unwrap(),
                address: Some("10.32.0.1".parse().unwrap()),
                elsewhere: None,
                ttl: 1,
                forwards: Vec::new(),
                upstream: vec!["192.0.2.53".parse().unwrap()],
                broken: None,
            }),
        }
    }

    #[test]
    fn the_status_is_weave_nets_under_a_verdict() {
        let expected = "\
weft: healthy, 2 peers

        Version: 0.1.0

        Service: router
       Protocol: weft 1
           Name: 0a:00:00:00:00:01(host1)
       Datapath: sleeve (this kernel has no Open vSwitch)
             Id: 0101010101010101010101010101010101010101010101010101010101010101
     Encryption: enabled
  PeerDiscovery: enabled
        Targets: 1
    Connections: 1 (1 established)
          Peers: 2 (with 2 established connections)
 TrustedSubnets: none

        Service: ipam
         Status: ready
          Range: 10.32.0.0/12
  DefaultSubnet: 10.32.0.0/12

        Service: dns
         Domain: weft.local.
       Upstream: 192.0.2.53
            TTL: 1
        Entries: 1

";
        assert_eq!(status(&pair(), &around()), expected);
    }

    #[test]
    fn each_part_has_weave_nets_columns() {
        let text = |of| part(of, &pair(), &around());
        assert_eq!(text(Part::Targets), "host2:6783\n");
        assert_eq!(
            text(Part::Connections),
            "-> 192.0.2.2:6783        established encrypted   sleeve 0a:00:00:00:00:02(host2) rtt=0.4ms\n"
        );
        assert_eq!(
            text(Part::Peers),
            "\
0a:00:00:00:00:01(host1)
   -> 192.0.2.2:6783        0a:00:00:00:00:02(host2)              established
0a:00:00:00:00:02(host2)
   ->                       0a:00:00:00:00:01(host1)              established
"
        );
        assert_eq!(
            text(Part::Dns),
            "db           10.40.0.1       netns:db     0a:00:00:00:00:02\n"
        );
        assert_eq!(
            text(Part::Ipam),
            "\
0a:00:00:00:00:01(host1)                524288 IPs (50.0% of total) (3 active)
0a:00:00:00:00:02(host2)                524288 IPs (50.0% of total)
"
        );
    }

    #[test]
    fn a_peer_without_a_link_is_shown_with_the_way_that_its_frames_take() {
        let mut status = pair();
        let direct = DirectStatus {
            id: PeerId([3; 32]),
            name: named(3),
            nickname: "host3".into(),
            state: DirectState::Direct,
            datagrams_to: Some("192.0.2.3:6783".parse().unwrap()),
            encrypted: true,
            up_for: Some(Duration::from_secs(9)),
            used_ago: Duration::from_secs(1),
            round_trip: Some(Duration::from_micros(350)),
            why: None,
            retry_in: None,
        };
        status.directs.push(direct.clone());
        status.directs.push(DirectStatus {
            state: DirectState::Waiting,
            datagrams_to: None,
            encrypted: false,
            round_trip: None,
            why: Some(DirectFault::Unproven),
            retry_in: Some(Duration::from_secs(20)),
            ..direct
        });
        let shown = part(Part::Connections, &status, &around());
        let expected = "\
-> 192.0.2.2:6783        established encrypted   sleeve 0a:00:00:00:00:02(host2) rtt=0.4ms
<> 192.0.2.3:6783        direct      encrypted   sleeve 0a:00:00:00:00:03(host3) rtt=0.3ms
<>                       waiting     sleeve 0a:00:00:00:00:03(host3) relayed: no datagrams come through between us, retry: not before 20.0s
";
        assert_eq!(shown, expected);
        status.peers[1].way = Some(Carriage::Relayed(named(7)));
        let shown = part(Part::Peers, &status, &around());
        assert!(shown.contains("(host2) - relayed by 0a:00:00:00:00:07\n"), "{shown}");
        status.peers[1].way = Some(Carriage::Direct);
        assert!(part(Part::Peers, &status, &around()).contains("(host2) - direct\n"));
        let report = report::report(&status, &around());
        assert_eq!(report["Router"]["Sessions"][0]["State"], "direct");
        assert_eq!(report["Router"]["Peers"][1]["Way"], "direct");
    }

    #[test]
    fn a_peer_that_dials_in_vain_degrades_the_verdict_of_the_one_that_it_dials() {
        let mut status = pair();
        let (conn, why) = (&mut status.conns[0], "founded apart");
        (conn.outbound, conn.state, conn.why) = (false, ConnState::Failed, Some(why.to_owned()));
        assert_eq!(
            verdict(&status, &around()),
            "weft: DEGRADED, 2 peers: no link with 192.0.2.2:6783, which dials this peer: founded apart"
        );
        let shown = part(Part::Connections, &status, &around());
        assert_eq!(shown, "<- 192.0.2.2:6783        failed      founded apart\n");
    }

    #[test]
    fn a_failed_target_degrades_the_verdict_and_says_why() {
        let mut status = pair();
        let (why, retry_in) = ("wrong password".to_owned(), Duration::from_secs(60));
        status.targets[0].state =
            TargetState::Failed { why, needs_operator: true, is_unknown: false, retry_in };
        assert_eq!(
            verdict(&status, &around()),
            "weft: DEGRADED, 2 peers: no link with host2:6783: wrong password"
        );
    }

    #[test]
    fn while_two_secrets_are_valid_the_status_says_who_lacks_the_new_one() {
        let mut status = pair();
        status.secrets.push(SecretKind::Key);
        assert!(super::status(&status, &around()).contains("Secrets: 2 (0 links on the old one)"));
        status.conns[0].old_secret = true;
        assert!(super::status(&status, &around()).contains("Secrets: 2 (1 link on the old one)"));
        let links = part(Part::Connections, &status, &around());
        assert!(links.contains("encrypted (old secret) sleeve"), "{links}");
        assert_eq!(report::report(&status, &around())["Router"]["SecretsInUse"], 2);
    }

    #[test]
    fn containers_that_are_cut_off_degrade_the_verdict() {
        let around = Surroundings { trouble: Some("no bridge".into()), ..around() };
        let expected = "weft: DEGRADED, 2 peers: containers here are cut off: no bridge";
        assert_eq!(verdict(&pair(), &around), expected);
        assert_eq!(report::report(&pair(), &around)["Healthy"], false);
    }

    #[test]
    fn a_data_path_that_stays_unproven_degrades_the_verdict() {
        let mut status = pair();
        status.conns[0].state = ConnState::Pending;
        assert_eq!(
            verdict(&status, &around()),
            "weft: DEGRADED, 2 peers: no data path to 0a:00:00:00:00:02(host2): is UDP 6783 blocked?"
        );
        status.conns[0].up_for = Some(Duration::from_secs(1));
        assert_eq!(verdict(&status, &around()), "weft: healthy, 2 peers");
    }

    #[test]
    fn names_that_are_not_answered_degrade_the_verdict() {
        let mut around = around();
        if let Some(dns) = &mut around.dns {
            dns.broken = Some("port 53 cannot be had".to_owned());
        }
        let verdict = verdict(&pair(), &around);
        assert_eq!(verdict, "weft: DEGRADED, 2 peers: port 53 cannot be had");
    }

    #[test]
    fn before_the_addresses_are_divided_the_status_says_what_starts_that() {
        let mut status = pair();
        (status.ipam.state, status.ipam.owners) = (IpamState::Idle, Vec::new());
        let shown = part(Part::Ipam, &status, &around());
        assert!(shown.contains("10.32.0.0/12 are not divided yet"), "{shown}");
        assert!(shown.contains("`weft prime`") && shown.lines().count() == 1, "{shown}");
    }

    #[test]
    fn an_observer_is_not_advised_to_divide_the_addresses_itself() {
        let mut status = pair();
        (status.ipam.state, status.ipam.owners) = (IpamState::Observing, Vec::new());
        let shown = part(Part::Ipam, &status, &around());
        assert!(shown.contains("waits until others do that"), "{shown}");
        assert!(!shown.contains("weft prime") && shown.lines().count() == 1, "{shown}");
        let shown = super::status(&status, &around());
        assert!(shown.starts_with("weft: healthy, 2 peers\n"), "it may well want none: {shown}");
        assert!(shown.contains("Status: observing, others divide the addresses\n"), "{shown}");
    }

    #[test]
    fn while_a_copy_runs_elsewhere_nobody_is_advised_to_remove_peers() {
        let mut status = pair();
        status.conns.clear();
        status.ipam.owners[0].reachable = false;
        assert!(verdict(&status, &around()).contains("or `weft rmpeer` it"));
        status.ipam.state = IpamState::Copied;
        let verdict = verdict(&status, &around());
        assert!(verdict.contains("stop the copy") && !verdict.contains("rmpeer"), "{verdict}");
        let shown = part(Part::Ipam, &status, &around());
        assert!(!shown.contains("rmpeer"), "{shown}");
        let report = report::report(&status, &around());
        assert_eq!(report["IPAM"]["OwnersMayBeGone"], false);
    }

    #[test]
    fn nobody_is_advised_to_remove_peers_that_had_no_time_to_be_heard() {
        let mut status = pair();
        status.conns.clear();
        status.ipam.owners[0].reachable = false;
        status.ipam.state = IpamState::Listening;
        let verdict = verdict(&status, &around());
        assert!(verdict.contains("for a moment") && !verdict.contains("rmpeer"), "{verdict}");
        assert_eq!(report::report(&status, &around())["IPAM"]["OwnersMayBeGone"], false);
        status.ipam.state = IpamState::AwaitingMerge;
        assert_eq!(report::report(&status, &around())["IPAM"]["OwnersMayBeGone"], true);
    }

    #[test]
    fn who_is_being_reached_is_not_called_unreachable_before_that_was_tried_in_vain() {
        let mut status = pair();
        status.peers[1].reachable = false;
        status.ipam.owners[0].reachable = false;
        let awaits = |status: &Status| {
            let shown = super::status(status, &around());
            let rows = part(Part::Peers, status, &around());
            let told = "1 more being reached)";
            assert_eq!(shown.contains(told), rows.contains("(host2) - being reached\n"), "{rows}");
            let owners = part(Part::Ipam, status, &around());
            assert_eq!(
                shown.contains(told),
                owners.contains("total) - being reached\n"),
                "{owners}"
            );
            assert_eq!(shown.contains(told), !shown.contains("unreachable"), "{shown}");
            shown.contains(told)
        };
        // There is a link, of which the other end has yet to tell.
        assert!(awaits(&status));
        (status.conns[0].state, status.conns[0].up_for) =
            (ConnState::Pending, Some(Duration::ZERO));
        assert!(awaits(&status));
        status.conns[0].up_for = Some(Duration::from_secs(60));
        assert!(!awaits(&status));
        (status.conns[0].state, status.conns[0].peer) = (ConnState::Retrying, None);
        assert!(!awaits(&status));
        status.targets[0].state = TargetState::Dialing;
        assert!(awaits(&status));
    }

    #[test]
    fn peers_out_of_reach_are_counted_apart_from_those_that_are_there() {
        let mut status = pair();
        status.conns.clear();
        status.peers[1].reachable = false;
        let shown = super::status(&status, &around());
        assert!(shown.starts_with("weft: healthy, 1 peer\n"), "{shown}");
        assert!(
            shown.contains("Peers: 1 (with 1 established connections, 1 more unreachable)"),
            "{shown}"
        );
    }

    #[test]
    fn the_report_keeps_the_names_that_scripts_read() {
        let report = report::report(&pair(), &around());
        let at = |path: &str| report.pointer(path).map(ToString::to_string).unwrap_or_default();
        assert_eq!(at("/Router/Name"), "\"0a:00:00:00:00:01\"");
        assert_eq!(at("/Router/Peers/1/NickName"), "\"host2\"");
        assert_eq!(at("/Router/Connections/0/State"), "\"established\"");
        assert_eq!(at("/Router/Targets"), "[\"host2:6783\"]");
        assert_eq!(at("/IPAM/DefaultSubnet"), "\"10.32.0.0/12\"");
        assert_eq!(at("/DNS/Domain"), "\"weft.local.\"");
        assert_eq!(at("/DNS/Entries/0/Hostname"), "\"db.weft.local.\"");
    }
}
