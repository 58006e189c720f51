//! How the universe is first divided: single-decree Paxos over gossiped votes.
//!
//! Each peer writes one [`Voter`]: what it promised and what it accepted, both only ever rising.
//! [`step`] and [`propose`] are pure functions from the votes that a peer knows to the vote it
//! writes next; the machine around them decides when to propose.
//!
//! A value is decided once a quorum accepted it under *one* ballot. (Weave Net decided when a
//! quorum had accepted anything at all, which lets two peers decide differently.) A later ballot may
//! decide the same value again, so the value itself carries the ballot that it was made under:
//! whoever decides, by whichever ballot, writes the same [`Founding`].
//!
//! All this rests on voters that remember. A vote is durable before it is sent, on the disk that also
//! holds the identity it is cast under, so whoever loses one loses both and comes back as a stranger.
//! If it votes then, with others that have not heard of the first founding either, a second majority
//! that shares no voter with the first may decide otherwise. No rule of voting prevents that: to them
//! the stranger is the peer that has yet to come. So a peer that lost its disk starts as an observer
//! ([`FoundingMode::Observer`](crate::config::FoundingMode::Observer)), which is safe; of two meshes
//! that were founded apart all the same, each refuses the other when they meet
//! ([`ConnFault::Lineage`](crate::fault::ConnFault::Lineage)).

use crate::addr::Universe;
use crate::id::PeerId;
use crate::mark::{Mark, mark};
use alloc::collections::{BTreeMap, BTreeSet};
use serde::{Deserialize, Serialize};

/// A proposal's number: higher rounds win, peers break ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// Counts up.
    pub round: u64,
    /// Who proposes.
    pub proposer: PeerId,
}

/// What is voted on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Proposal {
    /// Under which ballot it was made; later ballots take it over as it is.
    pub origin: Ballot,
    /// The peers it would divide the universe among.
    pub seeds: BTreeSet<PeerId>,
    /// Whether one of them lacks what its containers have ([`super::Part::lacks`]).
    pub lacks: bool,
}

impl Proposal {
    fn is_sound(&self) -> bool {
        are_sound(&self.seeds, self.origin.proposer)
    }
}

/// Body of [`crate::record::Key::Voter`]: what one peer promised and accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Voter {
    /// Will accept nothing below this.
    pub promised: Option<Ballot>,
    /// Accepted last: what, and under which ballot.
    pub accepted: Option<(Ballot, Proposal)>,
    /// Whether it lacks what its containers have. A vote is heard before its writer is in reach.
    pub lacks: bool,
}

impl Voter {
    /// Takes in another state of the same voter. All parts only rise, so the result is the later
    /// of the two.
    pub fn join(&mut self, other: Self) {
        self.promised = self.promised.max(other.promised);
        self.lacks |= other.lacks;
        if other.accepted_ballot() > self.accepted_ballot() {
            self.accepted = other.accepted;
        }
    }

    /// Whether a voter that keeps the rules could have written it.
    pub fn is_sound(&self) -> bool {
        self.promised.is_some()
            && self.accepted_ballot() <= self.promised
            && self.accepted.as_ref().is_none_or(|(_, value)| value.is_sound())
    }

    fn accepted_ballot(&self) -> Option<Ballot> {
        self.accepted.as_ref().map(|(ballot, _)| *ballot)
    }
}

/// Body of [`crate::record::Key::Founding`]: what was decided. The same at every peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// What is divided.
    pub universe: Universe,
    /// Among whom.
    pub seeds: BTreeSet<PeerId>,
    /// Under which ballot that was first proposed.
    pub ballot: Ballot,
    /// Whether one of them lacked what its containers have: all of it settles first ([`super::settling`]).
    pub lacks: bool,
}

/// How far the round of one vote may lie above all known ones. Rounds go up by one, a few times in a
/// second at most, so this is days of rivalry unseen; a liar that jumps so far with each vote needs
/// 2^44 of them to use up all rounds, after which nobody could propose.
pub const ROUND_LEAP_MAX: u64 = 1 << 20;

/// Most peers that the universe is first divided among. With this many a vote is about half as long as a
/// record may be; all others are given some when they ask.
pub const SEEDS_MAX: usize = 4096;

/// Whether a universe may be divided among `seeds` by a value that `proposer` made.
pub fn are_sound(seeds: &BTreeSet<PeerId>, proposer: PeerId) -> bool {
    seeds.contains(&proposer) && seeds.len() <= SEEDS_MAX
}

/// The votes that one peer knows, its own included.
pub type Votes = BTreeMap<PeerId, Voter>;

/// The vote of `me` that opens a ballot above all known ones, or `None` when rounds are used up.
pub fn propose(me: PeerId, votes: &Votes) -> Option<Voter> {
    let top = votes.values().filter_map(|vote| vote.promised).map(|ballot| ballot.round).max();
    let round = top.unwrap_or(0).checked_add(1)?;
    let mut vote = votes.get(&me).cloned().unwrap_or_default();
    vote.promised = Some(Ballot { round, proposer: me });
    Some(vote)
}

/// Among whom `me` would divide the universe: itself and, of the others whose votes it knows, those with the
/// lowest ids, as many as there may be.
fn founders(me: PeerId, votes: &Votes) -> BTreeSet<PeerId> {
    let others = votes.keys().copied().filter(|peer| *peer != me).take(SEEDS_MAX - 1);
    others.chain(core::iter::once(me)).collect()
}

/// The vote that `me` writes next, given all it knows, or `None` when its vote stands.
///
/// It promises the highest ballot seen, accepts what was accepted under a ballot not below its
/// promise, and, once a quorum promised its own ballot, accepts a value for it: the one of the
/// highest ballot accepted among those who promised, else the voters that it knows.
pub fn step(me: PeerId, quorum: usize, votes: &Votes) -> Option<Voter> {
    let before = votes.get(&me).cloned().unwrap_or_default();
    let mut vote = before.clone();
    vote.promised = votes.values().filter_map(|vote| vote.promised).max().max(vote.promised);
    if vote.promised > before.promised {
        mark(Mark::FoundingPromised);
    }
    let top = votes.values().filter_map(|vote| vote.accepted.as_ref());
    if let Some((ballot, value)) = top.max_by_key(|(ballot, _)| *ballot)
        && Some(*ballot) > vote.accepted_ballot()
    {
        if Some(*ballot) < vote.promised {
            mark(Mark::FoundingOutbid);
        } else {
            mark(Mark::FoundingAccepted);
            vote.promised = Some(*ballot);
            vote.accepted = Some((*ballot, value.clone()));
        }
    }
    if let Some(ballot) = vote.promised
        && ballot.proposer == me
        && vote.accepted_ballot() < Some(ballot)
    {
        let others = votes.iter().filter(|(peer, _)| **peer != me).map(|(_, vote)| vote);
        let promises = || {
            let all = others.clone().chain(core::iter::once(&vote));
            all.filter(|vote| vote.promised == Some(ballot))
        };
        if promises().count() >= quorum {
            let top = promises().filter_map(|vote| vote.accepted.as_ref());
            let value = top.max_by_key(|(ballot, _)| *ballot).map_or_else(
                || {
                    mark(Mark::FoundingValueOwn);
                    let lacks = vote.lacks || votes.values().any(|vote| vote.lacks);
                    Proposal { origin: ballot, seeds: founders(me, votes), lacks }
                },
                |(_, value)| {
                    mark(Mark::FoundingValueTakenOver);
                    value.clone()
                },
            );
            vote.accepted = Some((ballot, value));
        }
    }
    (vote != before).then_some(vote)
}

/// The value that `quorum` voters accepted under one ballot.
pub fn decided(quorum: usize, votes: &Votes) -> Option<Proposal> {
    let mut counts: BTreeMap<&(Ballot, Proposal), usize> = BTreeMap::new();
    for accepted in votes.values().filter_map(|vote| vote.accepted.as_ref()) {
        *counts.entry(accepted).or_default() += 1;
    }
    counts.into_iter().find(|(_, count)| *count >= quorum).map(|((_, value), _)| value.clone())
}
