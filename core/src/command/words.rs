//! The words of errors that depend on what is in them.

use crate::addr::Universe;
use crate::id::{ContainerId, PeerLabel};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use ipnet::IpNet;

/// What to ask for instead of `address`, the network of which is more than `block`.
pub(super) fn narrower(address: IpNet, block: IpNet) -> String {
    if block.contains(&address.addr()) {
        let (least, most) = (block.prefix_len(), block.max_prefix_len());
        alloc::format!("use a prefix length of {least} to {most}")
    } else {
        alloc::format!("use a subnet inside {block}")
    }
}

/// What opens the boot gate.
pub(super) fn way_out(owners: usize, leaving: usize, targets: usize) -> String {
    if owners == 0 && leaving > 0 {
        return String::from(
            "all that are in reach are leaving the mesh: run `weft reset` there again, then try again here, or see `weft help prime`",
        );
    }
    match (owners, targets) {
        (0, 0) => String::from("one is in reach and is being asked: try again"),
        (0, 1) => String::from(
            "the 1 peer to dial was not heard: start it, or `weft forget` it if it is gone for good",
        ),
        (0, targets) => alloc::format!(
            "none of the {targets} peers to dial was heard: start one, or `weft forget` all of them if they are gone for good"
        ),
        (1, _) => String::from(
            "the 1 other peer that owns addresses cannot be reached: start it, or see `weft help prime` if it is gone for good",
        ),
        (owners, _) => alloc::format!(
            "{owners} other peers that own addresses cannot be reached: start one, or see `weft help prime` if all are gone for good"
        ),
    }
}

pub(super) fn undivided(heard: usize, needed: usize, universe: &Universe) -> String {
    if heard < needed {
        alloc::format!(
            "{heard} of the {needed} peers needed to divide {universe} are reachable. Start the others, or launch with --ipalloc-init consensus=1 if this is the first peer and no other has given out addresses"
        )
    } else {
        alloc::format!(
            "the {heard} peers in reach are agreeing on how to divide {universe}; try again"
        )
    }
}

pub(super) fn elsewhere_too(elsewhere: u128) -> String {
    match elsewhere {
        0 => String::new(),
        _ => alloc::format!(" {elsewhere} belong to other peers, which have none free either,"),
    }
}

pub(super) fn own_some(silent: usize) -> String {
    match silent {
        1 => String::from("1 peer owns some and has"),
        _ => alloc::format!("{silent} peers own some and have"),
    }
}

pub(super) fn listed(peers: &[PeerLabel]) -> String {
    let texts: Vec<String> = peers.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

pub(super) fn waited_for(silent: &[PeerLabel]) -> String {
    if silent.is_empty() { String::from("other peers") } else { listed(silent) }
}

pub(super) fn stranded(why: &str, addresses: u128) -> String {
    alloc::format!(
        "{why}, so nobody can take over what this peer owns, {addresses} addresses as far as it knows"
    )
}

pub(super) fn unheard_of(heir: &Option<PeerLabel>) -> String {
    let who = heir
        .as_ref()
        .map_or_else(|| String::from("another peer"), |it| alloc::format!("peer {it}"));
    alloc::format!("this peer has left, but {who} has not said that it has its addresses")
}

pub(super) const ALL_LEAVE: &str =
    "this peer has left, and so have all others in reach, so nobody takes over their addresses";

pub(super) fn holder(held_by: &Option<ContainerId>) -> String {
    let Some(id) = held_by else {
        return ": choose another, or detach its holder first".to_string();
    };
    if *id == ContainerId::dns() {
        " by the DNS server of this host: choose another".to_string()
    } else if *id == ContainerId::expose() {
        " by this host: choose another, or take the host off the network with `weft hide` first"
            .to_string()
    } else {
        alloc::format!(" by {id}: choose another, or detach its holder first")
    }
}
