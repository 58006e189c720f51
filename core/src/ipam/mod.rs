//! Addresses: who owns which part of the universe, and who holds which address.
//!
//! [`Ipam`] is a machine of its own inside the node. It sees records as they are accepted, sends
//! and receives [`IpamMessage`]s, and says what it wants in [`Act`]s, which the node carries out
//! before its own call returns.

mod founding;
mod ledger;

pub use founding::{Ballot, Founding, Voter};
pub use ledger::{Grant, Ledger};

use crate::addr::Range;
use crate::config::Config;
use crate::event::Event;
use crate::id::PeerId;
use crate::io::{Command, CommandError, Reply, RequestId};
use crate::record::{Fingerprint, Key, Record};
use crate::saved::{Change, Damaged, Saved};
use crate::status::IpamStatus;
use crate::time::Instant;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use ipnet::IpNet;
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};

/// Body of [`Key::Space`]: a hint whom to ask for addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Floor of the binary logarithm of (free addresses + 1): changes seldom.
    pub free_log2: u8,
}

/// What one IPAM says to another, over any number of hops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpamMessage {
    /// Please give me addresses inside `range` (just that one, when it has size one). Answered by
    /// a [`Grant`] record, or by `Denied`.
    Request {
        /// Where.
        range: Range,
    },
    /// Nothing to give inside `range`.
    Denied {
        /// As asked.
        range: Range,
    },
}

/// What IPAM wants its node to do, in order. The node makes every `Persist` of one call durable
/// before anything else of that call happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Sign and spread a record. The node picks the version (default for content-addressed keys),
    /// persists it when it is a founding, a grant or our own vote, and does *not* hand it back.
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

/// The IPAM of one node.
#[derive(Debug)]
pub struct Ipam {}

impl Ipam {
    /// From what was saved. Records of [`crate::saved::Slot::Record`] are handed in by the node
    /// afterwards, through [`Ipam::record`] with an `acts` that must stay empty of publications.
    ///
    /// # Errors
    /// When what was saved cannot be read.
    pub fn new(
        config: &Config,
        me: PeerId,
        saved: &Saved,
        rng: ChaCha20Rng,
    ) -> Result<Self, Damaged> {
        let _ = (config, me, saved, rng);
        todo!()
    }

    /// Any of `Allocate`, `Claim`, `Release`, `Prime`, `Leave`, `Stop`; others are not for IPAM.
    /// Answers at once or later; each exactly once.
    pub fn command(
        &mut self,
        now: Instant,
        request: RequestId,
        command: Command,
        acts: &mut Vec<Act>,
    ) {
        let _ = (now, request, command, acts);
        todo!()
    }

    /// A record of kind Founding, Grant, Voter or Space was accepted from a peer or from disk.
    pub fn record(&mut self, now: Instant, record: &Record, acts: &mut Vec<Act>) {
        let _ = (now, record, acts);
        todo!()
    }

    /// A message came from `from`.
    pub fn message(
        &mut self,
        now: Instant,
        from: PeerId,
        message: &IpamMessage,
        acts: &mut Vec<Act>,
    ) {
        let _ = (now, from, message, acts);
        todo!()
    }

    /// The peers that can be reached have changed; `me` is never among them.
    pub fn reachable(&mut self, now: Instant, peers: &BTreeSet<PeerId>, acts: &mut Vec<Act>) {
        let _ = (now, peers, acts);
        todo!()
    }

    /// All records of the neighbour `with` are now ours too: opens the boot gate when it owns
    /// addresses.
    pub fn merged(&mut self, now: Instant, with: PeerId, acts: &mut Vec<Act>) {
        let _ = (now, with, acts);
        todo!()
    }

    /// How many targets the operator configured: with no explicit count they make the quorum.
    pub fn targets(&mut self, count: usize) {
        let _ = count;
        todo!()
    }

    /// Does what is due.
    pub fn timeout(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let _ = (now, acts);
        todo!()
    }

    /// When [`Ipam::timeout`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// Which founding our ledger grew from, once there is one.
    pub fn lineage(&self) -> Option<Fingerprint> {
        todo!()
    }

    /// The ledger, for status and for judges.
    pub fn ledger(&self) -> Option<&Ledger> {
        todo!()
    }

    /// Addresses held here, in order of their holders.
    pub fn held(&self) -> impl Iterator<Item = (&crate::id::ContainerId, &[IpNet])> {
        core::iter::empty()
    }

    /// Records that matter no more, because everything they say is superseded: the node drops them.
    pub fn superseded(&self) -> Vec<Key> {
        todo!()
    }

    /// A snapshot for people.
    pub fn status(&self) -> IpamStatus {
        todo!()
    }
}
