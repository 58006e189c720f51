//! How the universe is first divided: single-decree Paxos over gossiped votes.

use crate::addr::Universe;
use crate::id::PeerId;
use alloc::collections::BTreeSet;
use serde::{Deserialize, Serialize};

/// A proposal's number: higher rounds win, peers break ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// Counts up.
    pub round: u64,
    /// Who proposes.
    pub proposer: PeerId,
}

/// Body of [`crate::record::Key::Voter`]: what one peer promised and accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// Will accept nothing below this.
    pub promised: Option<Ballot>,
    /// Accepted last: the ballot and the peers it would divide the universe among.
    pub accepted: Option<(Ballot, BTreeSet<PeerId>)>,
}

/// Body of [`crate::record::Key::Founding`]: what was decided. The same at every peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// What is divided.
    pub universe: Universe,
    /// Among whom.
    pub seeds: BTreeSet<PeerId>,
    /// By which ballot.
    pub ballot: Ballot,
}
