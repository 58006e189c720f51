//! Why links end: whose mistake it was, and what to do.

use crate::addr::Universe;
use crate::conn::{CloseReason, DialFailure};
use crate::handshake::{ChannelFault, HandshakeFault};
use crate::id::PeerId;
use crate::mesh::Decline;
use alloc::string::String;

/// Why a control link, or the attempt at one, ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
pub enum ConnFault {
    /// Nobody there.
    #[error(transparent)]
    Dial(#[from] DialFailure),
    /// The stream ended.
    #[error(transparent)]
    Closed(#[from] CloseReason),
    /// The peers could not agree who they are.
    #[error(transparent)]
    Handshake(#[from] HandshakeFault),
    /// The handshake took too long.
    #[error("the other side did not finish the handshake in time")]
    HandshakeTimeout,
    /// Too many others came after it.
    #[error("gave way to newer connections before its handshake was done")]
    Crowded,
    /// Its address has begun too many handshakes, or has not ended them.
    #[error("too many handshakes from its address in a short time, or unfinished ones")]
    Paced,
    /// Sealed bytes did not open.
    #[error(transparent)]
    Channel(#[from] ChannelFault),
    /// The neighbour broke the protocol.
    #[error("the other peer broke the protocol: {0}")]
    Protocol(&'static str),
    /// Nothing heard for too long.
    #[error("nothing heard for too long")]
    Silent,
    /// A second link to the same peer; the other one is kept.
    #[error("there is another link with that peer")]
    Duplicate,
    /// In a large mesh each peer is linked with a few others only.
    #[error("not needed: in a mesh of this size the two peers reach each other over others")]
    Unneeded,
    /// The network secret that the link proves was retired at one end.
    #[error(
        "the secret of this link is no longer valid: give both peers the same new one (`weft secret add`)"
    )]
    Secret,
    /// The other peer is not on our list.
    #[error("the peer with the id {} is not allowed here: `weft allow` changes the list", .0.hex())]
    NotAllowed(PeerId),
    /// We are not on the other peer's list.
    #[error(
        "the other peer does not allow this one: add the id of this one (`weft status`) to its list, with `weft allow` there"
    )]
    NotAllowedThere,
    /// The limit of links.
    #[error("the limit of {0} links is reached: see --conn-limit")]
    Limit(usize),
    /// Two peers with one name.
    #[error("the name {name} is taken by peer {by}: launch with another --name")]
    NameTaken {
        /// The name.
        name: String,
        /// Nickname of the peer that has it.
        by: String,
    },
    /// A copy of this peer's disk is running elsewhere.
    #[error(
        "the other peer has this peer's identity: one state folder is a copy of the other: stop the copy and run `weft reset --force` there"
    )]
    Clone,
    /// The meshes divide different blocks.
    #[error(
        "the other peer's range is {theirs}, this one's is {ours}: launch both with the same --ipalloc-range"
    )]
    Universe {
        /// Ours.
        ours: Universe,
        /// Theirs.
        theirs: Universe,
    },
    /// Two meshes that were founded apart.
    #[error(
        "the other peer's mesh was founded apart from this one, so both own the same addresses: run `weft reset --force` on the peers of one of the two, then connect them"
    )]
    Lineage,
}

impl ConnFault {
    /// Whether trying again without an operator's help is pointless.
    pub const fn needs_operator(&self) -> bool {
        match self {
            Self::Handshake(HandshakeFault::Malformed(_))
            | Self::Dial(_)
            | Self::Closed(_)
            | Self::HandshakeTimeout
            | Self::Crowded
            | Self::Paced
            | Self::Channel(_)
            | Self::Protocol(_)
            | Self::Silent
            | Self::Duplicate
            | Self::Unneeded
            | Self::Limit(_) => false,
            Self::Handshake(_)
            | Self::Secret
            | Self::NotAllowed(_)
            | Self::NotAllowedThere
            | Self::NameTaken { .. }
            | Self::Clone
            | Self::Universe { .. }
            | Self::Lineage => true,
        }
    }
}

/// Why there is no data session with a peer besides those of links, or no longer.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, thiserror::Error,
)]
pub enum DirectFault {
    /// It did not answer our offer.
    #[error("it did not answer our offer of a session")]
    Unanswered,
    /// It declined our offer.
    #[error("it declined a session: {0}")]
    Declined(Decline),
    /// No probe came through at any of its addresses.
    #[error("no datagrams come through between us")]
    Unproven,
    /// Its key is of low order.
    #[error("its session key is of low order")]
    LowOrder,
    /// The path worked, and no longer does.
    #[error("datagrams no longer come through between us")]
    Silent,
    /// Nobody wanted it for some time.
    #[error("no frames for some time")]
    Idle,
    /// The other side ended it.
    #[error("the other side ended it")]
    Ended,
    /// A link leads to the peer.
    #[error("there is a link instead")]
    Linked,
    /// The peer cannot be reached any more, or was started again.
    #[error("the peer is gone")]
    Gone,
    /// There were too many others.
    #[error("gave way to a session with another peer")]
    GaveWay,
}
