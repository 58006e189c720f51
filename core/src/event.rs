//! What happened, as data: the source of history, logs and metrics.

use crate::addr::Range;
use crate::conn::ConnId;
use crate::fault::{ConnFault, DirectFault};
use crate::id::{ContainerId, PeerId};
use crate::names::{Name, NameValue};
use crate::record::{Fingerprint, RecordFault};
use alloc::string::String;
use core::net::IpAddr;
use ipnet::IpNet;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Event {
    /// A control link stands.
    ConnUp {
        /// Which.
        conn: ConnId,
        /// With whom.
        peer: PeerId,
    },
    /// A control link, or the attempt at one, ended.
    ConnDown {
        /// Which.
        conn: ConnId,
        /// With whom, when that was known.
        peer: Option<PeerId>,
        /// Where to, or where from.
        remote: String,
        /// Why.
        why: ConnFault,
    },
    /// The data path to a neighbour works.
    LinkUp {
        /// The neighbour.
        peer: PeerId,
    },
    /// The data path to a neighbour no longer works.
    LinkDown {
        /// The neighbour.
        peer: PeerId,
    },
    /// Frames for a peer without a link go straight to it.
    DirectUp {
        /// The peer.
        peer: PeerId,
    },
    /// They are relayed again.
    DirectDown {
        /// The peer.
        peer: PeerId,
        /// Why.
        why: DirectFault,
    },
    /// The attempt to have them go straight came to nothing; they are still relayed.
    DirectFailed {
        /// The peer.
        peer: PeerId,
        /// Why.
        why: DirectFault,
    },
    /// A peer can be reached, directly or not.
    PeerUp {
        /// Which.
        peer: PeerId,
    },
    /// A peer can no longer be reached.
    PeerDown {
        /// Which.
        peer: PeerId,
    },
    /// A record was not believed.
    RecordRefused {
        /// The neighbour who sent it.
        from: PeerId,
        /// Why.
        why: RecordFault,
    },
    /// Ownership of the universe is decided.
    Founded {
        /// The decision's content.
        lineage: Fingerprint,
        /// Whether our operator named the owners, and they are others.
        are_others: bool,
    },
    /// We gave addresses away.
    Granted {
        /// Which.
        range: Range,
        /// To whom.
        to: PeerId,
    },
    /// An address was handed out.
    Allocated {
        /// Which.
        address: IpNet,
        /// To whom.
        id: ContainerId,
    },
    /// An address came back.
    Released {
        /// Which.
        address: IpNet,
        /// From whom.
        id: ContainerId,
    },
    /// One of our names.
    NameAdded {
        /// Which.
        name: Name,
        /// What it stands for.
        value: NameValue,
    },
    /// One of our names is gone.
    NameRemoved {
        /// Which.
        name: Name,
        /// What it stood for.
        value: NameValue,
    },
    /// An operator has opened the boot gate, though other owners cannot be reached.
    GateForced {
        /// How many could have opened it: other owners, or peers to dial when there are none.
        unheard: usize,
    },
    /// Another daemon runs from a copy of our state folder: nothing is handed out any more.
    TwinMet,
    /// Addresses of an evicted peer have another owner.
    TakenOver {
        /// Which.
        range: Range,
        /// Whose they were.
        victim: PeerId,
        /// Whose they are.
        heir: PeerId,
        /// In which epoch.
        epoch: u64,
    },
    /// A container has an address here that is another peer's from here on: we were evicted.
    Stray {
        /// Which.
        address: IpAddr,
        /// Who has it.
        id: ContainerId,
        /// Whose it is.
        owner: PeerId,
    },
    /// An operator had peers evicted, though other owners cannot be reached.
    EvictionForced {
        /// How many.
        unheard: usize,
    },
    /// One address, two owners of the same version, or given away by a peer that was not its owner:
    /// only a disk put back or a liar can do this.
    OwnershipConflict {
        /// Which addresses.
        range: Range,
        /// Who keeps them.
        kept: PeerId,
        /// Who loses them.
        lost: PeerId,
    },
}
