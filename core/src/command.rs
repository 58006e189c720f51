//! What operators and the runtime can ask of a node, and what comes of it.

mod words;

use crate::addr::Universe;
use crate::conn::Target;
use crate::id::{ContainerId, PeerId, PeerLabel};
use crate::names::{Name, NameValue};
use crate::trust::{Trust, TrustError};
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use words::{
    ALL_LEAVE, elsewhere_too, holder, listed, narrower, own_some, stranded, undivided, unheard_of,
    waited_for, way_out,
};

/// What an operator, a container or a plugin wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Dial `targets` from here on, at once; with `replace`, forget all others. Reply: `Done`.
    Connect {
        /// To whom.
        targets: Vec<Target>,
        /// Forget those not named.
        replace: bool,
    },
    /// Stop dialing `targets`; links that stand are left alone. Reply: `Done`.
    Forget {
        /// Whom.
        targets: Vec<Target>,
    },
    /// An address in `subnet`, or one in each default subnet when `None`. The same id asking again gets the
    /// same. Reply: `Addresses` with all of them.
    Allocate {
        /// For whom.
        id: ContainerId,
        /// Where from.
        subnet: Option<IpNet>,
    },
    /// Just this address of the universe, with its prefix. Repeating it for the same id is no error.
    /// Reply: `Addresses` with one.
    Claim {
        /// For whom.
        id: ContainerId,
        /// Which.
        address: IpNet,
    },
    /// A container of this host has this address of the universe already, as after the state folder was lost:
    /// it is held from here on, whosever it is, and asked for where it is another peer's. Reply: `Done`.
    Hold {
        /// Whose.
        id: ContainerId,
        /// Which.
        address: IpNet,
    },
    /// Gives back one address of `id`, or all. Reply: `Addresses` with those given back.
    Release {
        /// Whose.
        id: ContainerId,
        /// Which; all when `None`.
        address: Option<IpAddr>,
    },
    /// Adds a name. Repeating it is no error. Reply: `Done`.
    Register {
        /// Whose name.
        id: ContainerId,
        /// The name.
        name: Name,
        /// What it stands for.
        value: NameValue,
    },
    /// Removes own names that match all that is given. Reply: `Removed`.
    Unregister {
        /// Whose.
        id: Option<ContainerId>,
        /// Which name.
        name: Option<Name>,
        /// What it stands for.
        value: Option<NameValue>,
    },
    /// Answers once ownership of the universe is decided. Reply: `Done`.
    Prime,
    /// Gives up the addresses held, and hands all own ranges to another peer. Reply: `Done`, once that one
    /// has them on its disk: ours may be lost then. Given again, it goes on where it was. Nothing can be
    /// allocated afterwards.
    Leave,
    /// Answers every open request with [`CommandError::Stopping`] and closes all conns. Reply: `Done`.
    Stop,
    /// Changes whom to trust, as [`Trust`] says. Reply: `Done`.
    Trust(Trust),
    /// Opens the boot gate although no other owner was heard since the start: the operator vouches
    /// that this disk is as the last run left it. Reply: `Done`, also when the gate stands open, or why the
    /// addresses are not divided yet.
    OpenGate,
    /// Takes over what these peers own, which are gone for good and cannot be reached: all other owners
    /// and all who can be reached have to agree, or, with `force`, only the latter. Reply: `TakenOver`.
    Evict {
        /// Whose addresses.
        peers: BTreeSet<PeerId>,
        /// Do not wait for owners that cannot be reached: what those were given by these peers is lost
        /// to them.
        force: bool,
        /// Answer later that it is not over: all who have to agree are heard twice, and that takes longer
        /// than any other command over links of a second or more.
        wait: bool,
    },
}

/// So long an eviction goes on for an operator who would rather wait: enough for round trips of three
/// seconds. Meanwhile nobody else can evict the same peer.
pub const EVICTION_MAX: Duration = Duration::from_secs(8);

impl Command {
    /// The longest until it is answered, where most are after `usual`
    /// ([`crate::config::Config::allocate_max`]); `None` if that can take for ever.
    pub fn answer_max(&self, usual: Duration) -> Option<Duration> {
        match self {
            Self::Prime => None,
            Self::Evict { wait: true, .. } => Some(usual.max(EVICTION_MAX)),
            Self::Connect { .. }
            | Self::Forget { .. }
            | Self::Allocate { .. }
            | Self::Claim { .. }
            | Self::Hold { .. }
            | Self::Release { .. }
            | Self::Register { .. }
            | Self::Unregister { .. }
            | Self::OpenGate
            | Self::Evict { wait: false, .. }
            | Self::Trust(_)
            | Self::Leave
            | Self::Stop => Some(usual),
        }
    }
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Nothing to report.
    Done,
    /// Addresses with their prefix lengths.
    Addresses(Vec<IpNet>),
    /// How many were removed.
    Removed(usize),
    /// So many addresses that the evicted peers owned have another owner.
    TakenOver(u128),
}

/// Why a command came to nothing. None of these changed anything, but [`CommandError::NotTakenOver`] and
/// [`CommandError::AllLeave`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CommandError {
    /// Held here or elsewhere.
    #[error("address {address} is taken{}", holder(.held_by))]
    AddressTaken {
        /// Which.
        address: IpAddr,
        /// By which container, when it is known.
        held_by: Option<ContainerId>,
    },
    /// The address belongs to a peer that cannot be asked or did not answer in time.
    #[error("address {address} belongs to peer {owner}, which {why}, or choose another address")]
    OwnerSilent {
        /// Which.
        address: IpAddr,
        /// Whose.
        owner: PeerLabel,
        /// And what to do: "is not reachable: start that peer", or "did not answer within 2s: try again".
        why: String,
    },
    /// The subnet or the address does not lie in the universe, or nothing is left of it for containers.
    #[error(
        "{what} cannot be used: this mesh gives the addresses inside {universe}, but for the first and the last one of a subnet"
    )]
    OutOfRange {
        /// Subnet or address as given.
        what: String,
        /// The universe.
        universe: Universe,
    },
    /// A given address or subnet comes with a prefix so short that its network is more than this mesh.
    #[error(
        "{address} would send all of {} to containers, and of that this mesh has {block} alone: {}",
        .address.trunc(), narrower(*.address, *.block)
    )]
    TooWide {
        /// As given.
        address: IpNet,
        /// The block of the universe that lies in its network.
        block: IpNet,
    },
    /// A given address, or the only one of a given subnet, is the first or the last one of its subnet, or of this
    /// mesh.
    #[error(
        "{address} is no address for a container: the first and the last one of {subnet} stand for the subnet itself and for all in it; use one between them"
    )]
    Edge {
        /// As given.
        address: IpAddr,
        /// Its subnet, or all of this mesh.
        subnet: IpNet,
    },
    /// The container has the address already, with another prefix length.
    #[error(
        "{address} is held by that container already, as {held}: ask for that, or detach it first"
    )]
    HeldOtherwise {
        /// As given.
        address: IpNet,
        /// As it is held.
        held: IpNet,
    },
    /// Ownership is not decided, for want of peers.
    #[error(
        "no address yet: {}",
        undivided(*.heard, *.needed, .universe)
    )]
    NoQuorum {
        /// Reachable voters, ourselves included.
        heard: usize,
        /// Quorum.
        needed: usize,
        /// The universe.
        universe: Universe,
    },
    /// Ownership is not decided, and this peer has no part in deciding it.
    #[error(
        "no address yet: this peer was launched with --ipalloc-init observer and waits until others have divided {universe}; connect it to one of them"
    )]
    Observing {
        /// The universe.
        universe: Universe,
    },
    /// Started, but no other peer has confirmed what we own.
    #[error(
        "no address yet: after a restart a peer hands out addresses only once it has heard another one, so that none is given twice; {}",
        way_out(*.owners, *.leaving, *.targets)
    )]
    NotMerged {
        /// Other owners that cannot be reached.
        owners: usize,
        /// Other owners in reach that are leaving: they confirm nothing any more.
        leaving: usize,
        /// Peers to dial, one of which must be heard when nobody else owns anything.
        targets: usize,
    },
    /// Records of this peer are about that its disk does not know.
    #[error(
        "no address yet: others know things that this peer said and its state folder does not, as after an older folder was put back or while a copy of it is in use elsewhere. It listens some seconds for a copy: try again"
    )]
    Doubted,
    /// Another daemon runs as this peer.
    #[error(
        "a daemon elsewhere runs from a copy of this peer's state folder, and both would give the same addresses: so this one gives none, and leaves none to others. Stop the copy and run `weft reset --force` there, then launch this one anew"
    )]
    Copied,
    /// Nothing was free here, and peers that own some did not answer in time.
    #[error(
        "no address of {subnet} yet: {} not answered; try again, and see in `weft status` what keeps them",
        own_some(*.silent)
    )]
    OwnersSilent {
        /// Where from.
        subnet: IpNet,
        /// How many of those in reach have not said that they have nothing.
        silent: usize,
    },
    /// All that is free has just come to be this peer's, and containers elsewhere may have it.
    #[error(
        "no address of {subnet} yet: what is free there came to be this peer's a moment ago, and containers on other hosts may have it, which are heard first; try again"
    )]
    Settling {
        /// Where from; of one address, itself.
        subnet: IpNet,
    },
    /// Nothing left here or at any peer in reach.
    #[error(
        "no free address in {subnet}: {owned} belong to this peer and are in use,{} {unreachable} belong to peers that cannot be reached; detach a container{} or use another subnet",
        elsewhere_too(*.elsewhere),
        if *.unreachable > 0 { ", start those peers," } else { "" }
    )]
    Exhausted {
        /// Where from.
        subnet: IpNet,
        /// Addresses of the subnet that this peer owns.
        owned: u128,
        /// Addresses of the subnet whose owners can be reached, and are others.
        elsewhere: u128,
        /// Addresses of the subnet whose owners cannot be reached.
        unreachable: u128,
    },
    /// A peer that is to be evicted lives.
    #[error(
        "peer {peer} can be reached, so it is not gone: to take it out of the mesh, run `weft reset` there"
    )]
    StillInReach {
        /// Which.
        peer: PeerLabel,
    },
    /// Other owners than those to be evicted are away, and may have been given something by them, or
    /// peers that may have taken over from them already.
    #[error(
        "nothing is taken over: of all that own addresses, or began to remove the same peers, {} cannot be reached, so what was given away is not known. Start them, name them too if they are gone for good, or see `weft help rmpeer` about --force",
        listed(.peers)
    )]
    OwnersAway {
        /// Which.
        peers: Vec<PeerLabel>,
    },
    /// Peers in reach have not agreed in time.
    #[error(
        "nothing is taken over yet: waits for {}, where it is not agreed to yet, or a peer that is to be removed is still heard; try again with --wait",
        waited_for(.silent)
    )]
    EvictionUnderWay {
        /// Which; none, when an eviction that another peer began is not over.
        silent: Vec<PeerLabel>,
    },
    /// A peer was told to evict itself.
    #[error("this peer cannot remove itself: run `weft reset` to leave the mesh")]
    EvictsItself,
    /// More victims than one eviction may have.
    #[error("too many peers to remove at once: {0} at most")]
    TooManyVictims(usize),
    /// A peer would leave, and nobody could take over what it owns.
    #[error(
        "{}: start another peer first, or use `weft reset --force`, which leaves them unused until another peer runs `weft rmpeer`",
        stranded(.why, *.addresses)
    )]
    Stranded {
        /// Who is missing.
        why: String,
        /// How many are ours.
        addresses: u128,
    },
    /// A peer has left, and who was given its addresses has not said in time that it has them. Other than
    /// after all other errors, nothing can be allocated any more.
    #[error(
        "{}: run `weft reset` again once that one can be reached; if it is gone for good, first run `weft rmpeer` for it on a peer that stays (see `weft help rmpeer`), or use `weft reset --force`, which may leave them unused until another peer runs `weft rmpeer`",
        unheard_of(.heir)
    )]
    NotTakenOver {
        /// Who, when it is one peer.
        heir: Option<PeerLabel>,
    },
    /// A peer has left, and so have all others in reach: nobody has its addresses. As after
    /// [`CommandError::NotTakenOver`], nothing can be allocated any more.
    #[error(
        "{ALL_LEAVE}: to end the whole mesh, run `weft reset --force` on each; to keep it, launch another peer, then run `weft reset` again on each"
    )]
    AllLeave,
    /// With the victims of evictions that this peer has to follow, these are more than may be.
    #[error(
        "nothing is taken over: with those that other peers are removing, these are over {0} at once; try again when they are done, or remove fewer at a time"
    )]
    TooManyEvictions(usize),
    /// More peers that are gone than may be may have taken over from the victims.
    #[error(
        "nothing is taken over: over {0} peers that are gone began to remove the same ones; remove fewer at a time"
    )]
    TooManyProposers(usize),
    /// No eviction of a victim can count any more.
    #[error(
        "nothing is taken over: by what some peer says or said, {peer} has been removed more often than can be. No peer does that by itself: find out whose it is, and keep it out with `weft allow`; if this stays, only a new mesh has the addresses of {peer} again"
    )]
    RoundsUsedUp {
        /// The victim.
        peer: PeerLabel,
    },
    /// The id holds nothing.
    #[error("{0} holds no address here: `weft ps` lists what is attached")]
    NotHeld(ContainerId),
    /// A limit of names per peer.
    #[error("no room for another name: this peer already has {0}")]
    TooManyNames(usize),
    /// Whom to trust could not be changed so.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The peer has left the mesh.
    #[error("this peer has left the mesh: `weft reset`, then launch again")]
    Left,
    /// The node is stopping.
    #[error("weft is stopping")]
    Stopping,
    /// A limit of commands that wait.
    #[error(
        "{0} commands wait for addresses already, and this one would have to wait too: try again later"
    )]
    TooManyWaiting(usize),
    /// What runs the node cannot go on; a node never says this itself.
    #[error("the daemon had to stop: {why}, then `weft launch` again")]
    Broken {
        /// What was wrong, and what to do.
        why: String,
    },
}

impl CommandError {
    /// Whether the same command may come to something later, though whoever gives it changes nothing:
    /// others may come into reach, agree, or give addresses back.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::OwnerSilent { .. }
            | Self::OwnersSilent { .. }
            | Self::Settling { .. }
            | Self::NoQuorum { .. }
            | Self::Observing { .. }
            | Self::NotMerged { .. }
            | Self::Doubted
            | Self::Exhausted { .. }
            | Self::EvictionUnderWay { .. }
            | Self::Stranded { .. }
            | Self::NotTakenOver { .. }
            | Self::AllLeave
            | Self::TooManyEvictions(_)
            | Self::TooManyWaiting(_) => true,
            Self::AddressTaken { .. }
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
            | Self::Copied
            | Self::Left
            | Self::Stopping
            | Self::Broken { .. } => false,
        }
    }

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
            | Self::Settling { .. }
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

    /// The peers that it names. IPAM knows their ids alone; who hands the error on says what people call them.
    pub fn peers_mut(&mut self) -> &mut [PeerLabel] {
        match self {
            Self::OwnerSilent { owner: peer, .. }
            | Self::StillInReach { peer }
            | Self::RoundsUsedUp { peer } => core::slice::from_mut(peer),
            Self::OwnersAway { peers } | Self::EvictionUnderWay { silent: peers } => peers,
            Self::NotTakenOver { heir } => heir.as_mut_slice(),
            Self::AddressTaken { .. }
            | Self::OutOfRange { .. }
            | Self::TooWide { .. }
            | Self::Edge { .. }
            | Self::HeldOtherwise { .. }
            | Self::NoQuorum { .. }
            | Self::Observing { .. }
            | Self::NotMerged { .. }
            | Self::OwnersSilent { .. }
            | Self::Settling { .. }
            | Self::Exhausted { .. }
            | Self::EvictsItself
            | Self::TooManyVictims(_)
            | Self::Stranded { .. }
            | Self::TooManyEvictions(_)
            | Self::AllLeave
            | Self::TooManyProposers(_)
            | Self::NotHeld(_)
            | Self::TooManyNames(_)
            | Self::Trust(_)
            | Self::Copied
            | Self::Doubted
            | Self::Left
            | Self::Stopping
            | Self::TooManyWaiting(_)
            | Self::Broken { .. } => &mut [],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
