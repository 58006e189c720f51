//! What is wrong, if anything: the first line of `weft status`.

use super::awaited::{awaited, is_late};
use super::types::Surroundings;
use super::words::{known_as, plural};
use weft_core::status::{ConnState, IpamState, OwnerStatus, Status, TargetState};

/// What is wrong, each in a few words; empty when all is well.
pub(super) fn complaints(status: &Status, around: &Surroundings) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong.extend(around.trouble.iter().map(|why| format!("containers here are cut off: {why}")));
    match &status.ipam.state {
        // Whoever has no part in it may well want no address yet.
        IpamState::Idle | IpamState::Observing | IpamState::Ready => {}
        IpamState::AwaitingConsensus { needed, heard } if heard >= needed => {
            wrong.push(format!("no addresses for a moment: {} is being divided", status.ipam.universe));
        }
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
pub(super) fn verdict(status: &Status, around: &Surroundings) -> String {
    let peers = status.peers.iter().filter(|peer| peer.reachable).count();
    let peers = format!("{peers} {}", plural(peers, "peer", "peers"));
    let wrong = complaints(status, around);
    if wrong.is_empty() {
        format!("weft: healthy, {peers}")
    } else {
        format!("weft: DEGRADED, {peers}: {}", wrong.join("; "))
    }
}
