//! The words of errors that depend on what is in them.

use super::CommandError;
use crate::addr::Universe;
use crate::id::{ContainerId, PeerLabel};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use ipnet::IpNet;

impl CommandError {
    /// What to tell an operator who leaves by force, and so need not be advised to.
    pub fn when_forced(&self) -> String {
        let unused = "they stay unused until another peer runs `weft rmpeer`";
        match self {
            Self::Stranded { why, addresses } => {
                alloc::format!("{}; {unused}", stranded(why, *addresses))
            }
            Self::NotTakenOver { heir } => alloc::format!(
                "{}; they may stay unused until another peer runs `weft rmpeer`",
                unheard_of(heir)
            ),
            Self::AllLeave => alloc::format!("{ALL_LEAVE}; {unused}"),
            Self::Copied => String::from(
                "a daemon elsewhere runs from a copy of this peer's state folder, and goes on with its addresses",
            ),
            Self::OwnerSilent { .. }
            | Self::OwnersSilent { .. }
            | Self::NoQuorum { .. }
            | Self::Observing { .. }
            | Self::NotMerged { .. }
            | Self::Doubted
            | Self::Exhausted { .. }
            | Self::EvictionUnderWay { .. }
            | Self::TooManyEvictions(_)
            | Self::TooManyWaiting(_)
            | Self::AddressTaken { .. }
            | Self::OutOfRange { .. }
            | Self::TooWide { .. }
            | Self::Edge { .. }
            | Self::HeldOtherwise { .. }
            | Self::NotHeld(_)
            | Self::StillInReach { .. }
            | Self::OwnersAway { .. }
            | Self::EvictsItself
            | Self::TooManyVictims(_)
            | Self::TooManyProposers(_)
            | Self::RoundsUsedUp { .. }
            | Self::TooManyNames(_)
            | Self::Trust(_)
            | Self::Left
            | Self::Stopping
            | Self::Broken { .. } => self.to_string(),
        }
    }
}

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
    held_by.as_ref().map_or_else(String::new, |id| alloc::format!(" by {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PeerId;

    fn exhausted(elsewhere: u128, unreachable: u128) -> String {
        let subnet = "10.32.0.0/24".parse().unwrap();
        CommandError::Exhausted { subnet, owned: 8, elsewhere, unreachable }.to_string()
    }

    #[test]
    fn who_finds_no_free_address_is_told_whose_they_are_and_what_would_help() {
        assert_eq!(
            exhausted(0, 0),
            "no free address in 10.32.0.0/24: 8 belong to this peer and are in use, 0 belong to peers that cannot be reached; detach a container or use another subnet"
        );
        assert_eq!(
            exhausted(200, 46),
            "no free address in 10.32.0.0/24: 8 belong to this peer and are in use, 200 belong to other peers, which have none free either, 46 belong to peers that cannot be reached; detach a container, start those peers, or use another subnet"
        );
    }

    #[test]
    fn who_has_left_to_an_heir_that_is_silent_is_told_what_to_do_if_that_one_is_gone() {
        let told = |heir| CommandError::NotTakenOver { heir }.to_string();
        let heir = PeerLabel::unheard(PeerId([2; 32]));
        let why = told(Some(heir.clone()));
        assert!(why.contains(&alloc::format!("but peer {heir} has not said")), "{why}");
        assert!(why.contains("first run `weft rmpeer` for it on a peer that stays"), "{why}");
        assert!(told(None).contains("but another peer has not said"));
    }

    #[test]
    fn who_leaves_by_force_is_not_advised_to() {
        let stranded =
            CommandError::Stranded { why: "no other peer is reachable".into(), addresses: 7 };
        let heir = Some(PeerLabel::unheard(PeerId([2; 32])));
        for why in [stranded, CommandError::NotTakenOver { heir }, CommandError::AllLeave] {
            let (said, forced) = (why.to_string(), why.when_forced());
            assert!(said.contains("--force") && !forced.contains("weft reset"), "{forced}");
            assert!(forced.contains("until another peer runs `weft rmpeer`"), "{forced}");
        }
        let copied = CommandError::Copied.when_forced();
        assert!(copied.ends_with("goes on with its addresses"), "{copied}");
        assert_eq!(CommandError::Stopping.when_forced(), "weft is stopping");
    }
}
