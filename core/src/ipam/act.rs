//! What [`super::Ipam`] wants done.

use super::IpamMessage;
use crate::event::Event;
use crate::id::PeerId;
use crate::io::{CommandError, Reply, RequestId};
use crate::record::Key;
use crate::saved::Change;
use alloc::vec::Vec;

/// What IPAM wants its node to do, in order. The node makes every `Persist` of one call durable
/// before anything else of that call happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Sign and spread a record. The node picks the version (default for content-addressed keys),
    /// persists it when it is a founding, a grant, or our own vote or freeze, and does *not* hand it back.
    Publish {
        /// Its key.
        key: Key,
        /// Its body.
        body: Vec<u8>,
    },
    /// Send a message to a peer, relayed if need be.
    Tell {
        /// To whom.
        peer: PeerId,
        /// What.
        message: IpamMessage,
    },
    /// Change what is on disk.
    Persist(Change),
    /// Answer a command.
    Reply {
        /// Which.
        request: RequestId,
        /// What it came to.
        result: Result<Reply, CommandError>,
    },
    /// Tell the world.
    Event(Event),
}
