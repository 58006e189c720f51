//! What a node reports of those who break rules, by the names that scenario files use.

use serde::{Deserialize, Serialize};
use std::fmt;
use weft_core::event::Event;
use weft_core::fault::ConnFault;
use weft_core::handshake::HandshakeFault;
use weft_core::record::RecordFault;

/// A kind of trouble that a node has told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// A dial came to nothing.
    Dial,
    /// A stream ended from the other side.
    Closed,
    /// Another password.
    WrongPassword,
    /// They have a password and this one has none.
    PasswordMissing,
    /// This one has a password and they have none.
    PasswordUnexpected,
    /// No common version.
    Version,
    /// It dialed itself.
    Myself,
    /// No handshake of weft.
    Malformed,
    /// A handshake took too long.
    HandshakeTimeout,
    /// A stranger gave way to newer ones.
    Crowded,
    /// Sealed bytes that do not open, or a message over the limit.
    Channel,
    /// A neighbour broke the protocol.
    Protocol,
    /// A link was silent or stuck for too long.
    Silent,
    /// A second link.
    Duplicate,
    /// Not needed in a mesh of its size.
    Unneeded,
    /// Too many links.
    Limit,
    /// A name that is taken.
    NameTaken,
    /// A copy of its own disk.
    Clone,
    /// Another range.
    Universe,
    /// Another founding.
    Lineage,
    /// A link that proves a secret which is valid no longer.
    OldSecret,
    /// A peer that is not on the list of one of the two.
    NotAllowed,
    /// A record by whom it does not belong to.
    RecordForeign,
    /// A record with a wrong signature.
    RecordForged,
    /// A record that is too long.
    RecordTooLong,
    /// A record that says what it may not.
    RecordMalformed,
    /// A record that counts too far ahead.
    RecordLeap,
    /// A record for which there is no room.
    RecordFull,
    /// A grant of a peer that is being evicted.
    RecordFrozen,
    /// What a peer that is not on the list says of itself.
    RecordNotAllowed,
    /// Two claim the same addresses.
    Conflict,
}

impl fmt::Display for Report {
    /// As in a scenario file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Report {
    /// What `event` tells of trouble.
    pub const fn of(event: &Event) -> Option<Self> {
        match event {
            Event::ConnDown { why, .. } => Some(Self::of_conn(why)),
            Event::RecordRefused { why, .. } => Some(match why {
                RecordFault::BodyTooLong(_) => Self::RecordTooLong,
                RecordFault::ForeignKey(..) => Self::RecordForeign,
                RecordFault::BadSignature(_) => Self::RecordForged,
                RecordFault::Malformed(_) => Self::RecordMalformed,
                RecordFault::Leap(_) => Self::RecordLeap,
                RecordFault::Full(_) => Self::RecordFull,
                RecordFault::Frozen(_) => Self::RecordFrozen,
                RecordFault::NotAllowed(_) => Self::RecordNotAllowed,
            }),
            Event::OwnershipConflict { .. } => Some(Self::Conflict),
            Event::ConnUp { .. }
            | Event::LinkUp { .. }
            | Event::LinkDown { .. }
            | Event::DirectUp { .. }
            | Event::DirectDown { .. }
            | Event::DirectFailed { .. }
            | Event::PeerUp { .. }
            | Event::PeerDown { .. }
            | Event::Founded { .. }
            | Event::Granted { .. }
            | Event::Allocated { .. }
            | Event::Released { .. }
            | Event::NameAdded { .. }
            | Event::NameRemoved { .. }
            | Event::GateForced { .. }
            | Event::TwinMet
            | Event::TakenOver { .. }
            | Event::Stray { .. }
            | Event::EvictionForced { .. } => None,
        }
    }

    const fn of_conn(why: &ConnFault) -> Self {
        match why {
            ConnFault::Dial(_) => Self::Dial,
            ConnFault::Closed(_) => Self::Closed,
            ConnFault::Handshake(fault) => match fault {
                HandshakeFault::WrongPassword | HandshakeFault::WrongKey => Self::WrongPassword,
                HandshakeFault::Kinds { ours: None, .. } => Self::PasswordMissing,
                HandshakeFault::Kinds { .. } => Self::PasswordUnexpected,
                HandshakeFault::Version(..) => Self::Version,
                HandshakeFault::Myself | HandshakeFault::Clone => Self::Myself,
                HandshakeFault::Malformed(_) => Self::Malformed,
            },
            ConnFault::HandshakeTimeout => Self::HandshakeTimeout,
            ConnFault::Crowded | ConnFault::Paced => Self::Crowded,
            ConnFault::Channel(_) => Self::Channel,
            ConnFault::Secret => Self::OldSecret,
            ConnFault::NotAllowed(_) | ConnFault::NotAllowedThere => Self::NotAllowed,
            ConnFault::Protocol(_) => Self::Protocol,
            ConnFault::Silent => Self::Silent,
            ConnFault::Duplicate => Self::Duplicate,
            ConnFault::Unneeded => Self::Unneeded,
            ConnFault::Limit(_) => Self::Limit,
            ConnFault::NameTaken { .. } => Self::NameTaken,
            ConnFault::Clone => Self::Clone,
            ConnFault::Universe { .. } => Self::Universe,
            ConnFault::Lineage => Self::Lineage,
        }
    }
}
