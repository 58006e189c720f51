//! Our part in the founding: when we propose, how we vote, and what is done once it is decided. The
//! rules of the vote itself are [`super::founding`].

use super::founding::{self, Ballot, Founding, Proposal, Voter};
use super::ledger::Ledger;
use super::titles::Titles;
use super::{Act, Ipam};
use crate::codec;
use crate::config::FoundingMode;
use crate::event::Event;
use crate::id::PeerId;
use crate::mark::{Mark, mark};
use crate::record::{Fingerprint, Key};
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;
use rand_core::RngCore;

/// Shortest wait between two proposals of one peer.
const PROPOSE_WAIT_MIN: Duration = Duration::from_millis(200);

/// Longest wait between two proposals. Weave Net: 5 s, the same for all, so that rivals may go on
/// overtaking each other; here drawn at random between the shortest and a bound that doubles. Who proposes
/// again before a ballot of its own could be over only overtakes itself, and a ballot is two round trips.
const PROPOSE_WAIT_MAX: Duration = Duration::from_secs(8);

impl Ipam {
    pub(super) fn quorum(&self) -> usize {
        let peers = match self.mode {
            FoundingMode::Consensus { peers: Some(peers) } => peers,
            FoundingMode::Consensus { peers: None }
            | FoundingMode::Seeds(_)
            | FoundingMode::Observer => self.targets.max(self.met.len()).saturating_add(1),
        };
        peers / 2 + 1
    }

    /// How many could vote: those in reach who do, and ourselves.
    pub(super) fn heard(&self) -> usize {
        let others = self.reachable.values().filter(|part| part.votes);
        others.count() + usize::from(self.votes())
    }

    pub(super) const fn votes(&self) -> bool {
        match self.mode {
            FoundingMode::Consensus { .. } => true,
            FoundingMode::Seeds(_) | FoundingMode::Observer => false,
        }
    }

    /// Somebody here needs the founding.
    pub(super) fn start(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if self.founded.is_none()
            && let FoundingMode::Seeds(seeds) = &self.mode
            && let Some(&proposer) = seeds.first()
        {
            // No ballot has round zero: votes and this never make the same founding.
            let ballot = Ballot { round: 0, proposer };
            let seeds = seeds.clone();
            // All of them write the same, whatever each knows.
            return self.publish_founding(
                now,
                Proposal { origin: ballot, seeds, lacks: false },
                acts,
            );
        }
        if self.founded.is_some() || self.started || !self.votes() {
            return;
        }
        self.started = true;
        if self.votes.values().any(|vote| vote.promised.is_some()) {
            mark(Mark::FoundingJoined);
            // A ballot is under way: another one would only get into its way.
            self.resume_proposing(now);
            self.vote(now, acts);
        } else {
            self.propose(now, acts);
        }
    }

    /// Opens a ballot of our own, and plans the next one.
    pub(super) fn propose(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if self.founded.is_some() || !self.started {
            return;
        }
        if let Some(mut vote) = founding::propose(self.me, &self.votes) {
            vote.lacks |= self.part().lacks;
            mark(if self.proposals == 0 {
                Mark::FoundingOpened
            } else {
                Mark::FoundingOpenedAgain
            });
            self.votes.insert(self.me, vote);
            self.proposals = self.proposals.saturating_add(1);
            let vote = founding::step(self.me, self.quorum(), &self.votes);
            self.publish_vote(now, vote, acts);
        }
        self.resume_proposing(now);
    }

    /// Plans the next ballot, when one is wanted and a quorum could hear it.
    pub(super) fn resume_proposing(&mut self, now: Instant) {
        let is_wanted = self.founded.is_none() && self.started && self.heard() >= self.quorum();
        if !is_wanted {
            if self.propose_at.take().is_some() {
                mark(Mark::FoundingSuspended);
            }
        } else if self.propose_at.is_none() {
            let doubled = PROPOSE_WAIT_MIN * (2 << self.proposals.min(5));
            let span = doubled.min(PROPOSE_WAIT_MAX) - PROPOSE_WAIT_MIN;
            let drawn = span / 1024 * (self.rng.next_u32() >> 22);
            self.propose_at = Some(now + PROPOSE_WAIT_MIN + drawn);
        }
    }

    /// Whether the round of `vote` is one that could have been reached. When it is not, the next one
    /// may be further off by one leap: so a peer that missed what led there catches up in the end.
    pub fn admits(&mut self, vote: &Voter) -> bool {
        let round = |vote: &Voter| vote.promised.map_or(0, |ballot| ballot.round);
        let top = self.votes.values().map(round).max().unwrap_or(0);
        let most = top.saturating_add(self.votes_lead).saturating_add(founding::ROUND_LEAP_MAX);
        let admits = self.founded.is_some() || round(vote) <= most;
        if !admits {
            self.votes_lead = self.votes_lead.saturating_add(founding::ROUND_LEAP_MAX);
        }
        admits
    }

    pub(super) fn take_vote(
        &mut self,
        now: Instant,
        peer: PeerId,
        vote: Voter,
        acts: &mut Vec<Act>,
    ) {
        if self.founded.is_some() {
            mark(Mark::FoundingLateVote);
            self.bury(Key::Voter(peer));
            return;
        }
        let has_room = self.votes.contains_key(&peer) || self.votes.len() < self.records_max;
        if !vote.is_sound() || !has_room {
            // Kept, it would outlast the founding, which drops only what was counted.
            self.bury(Key::Voter(peer));
            return mark(Mark::FoundingBadVote);
        }
        self.votes.entry(peer).or_default().join(vote);
        if peer != self.me {
            self.vote(now, acts);
        }
    }

    /// Our own vote came from elsewhere: whatever it promises and accepted binds us, also when our
    /// disk knows nothing of it.
    pub fn recall(&mut self, now: Instant, vote: Voter, acts: &mut Vec<Act>) {
        if self.founded.is_some() || !vote.is_sound() {
            return;
        }
        let ours = self.votes.get(&self.me).cloned().unwrap_or_default();
        let mut joined = ours.clone();
        joined.join(vote);
        if joined != ours {
            mark(Mark::FoundingRecalled);
            self.publish_vote(now, Some(joined), acts);
        }
    }

    /// Votes as the rules say, when they say that the vote should change.
    fn vote(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if !self.votes() {
            return mark(Mark::FoundingObserver);
        }
        if let Some(vote) = founding::step(self.me, self.quorum(), &self.votes) {
            self.publish_vote(now, Some(vote), acts);
        } else {
            self.decide(now, acts);
        }
    }

    /// Publishes our vote: `vote`, or the one that stands.
    fn publish_vote(&mut self, now: Instant, vote: Option<Voter>, acts: &mut Vec<Act>) {
        if let Some(vote) = vote {
            self.votes.insert(self.me, vote);
        }
        let lacks = self.part().lacks;
        let vote = self.votes.entry(self.me).or_default();
        vote.lacks |= lacks;
        acts.push(Act::Publish { key: Key::Voter(self.me), body: codec::encode(vote) });
        self.decide(now, acts);
    }

    fn decide(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if let Some(value) = founding::decided(self.quorum(), &self.votes) {
            mark(Mark::FoundingDecided);
            self.publish_founding(now, value, acts);
        }
    }

    fn publish_founding(
        &mut self,
        now: Instant,
        Proposal { origin: ballot, seeds, lacks }: Proposal,
        acts: &mut Vec<Act>,
    ) {
        let founding = Founding { universe: self.universe, seeds, ballot, lacks };
        let body = codec::encode(&founding);
        let print = Fingerprint::of(&body);
        acts.push(Act::Publish { key: Key::Founding(print), body });
        self.found(now, print, &founding, acts);
    }

    /// Adopts a founding, if there is none yet and it is one of our universe.
    pub(super) fn found(
        &mut self,
        now: Instant,
        lineage: Fingerprint,
        founding: &Founding,
        acts: &mut Vec<Act>,
    ) {
        if self.founded.is_some() || founding.universe != self.universe {
            return;
        }
        let Some(ledger) = Ledger::found(founding) else { return };
        self.titles = Titles::found(&ledger);
        self.founded = Some((lineage, ledger));
        if founding.lacks && !self.is_restoring {
            mark(Mark::FoundingSettles);
            self.settling.add(now, self.universe.range());
        }
        self.look_at_gate(now);
        self.propose_at = None;
        acts.extend(self.met.clear().map(Act::Persist));
        for peer in core::mem::take(&mut self.votes).into_keys() {
            self.bury(Key::Voter(peer));
        }
        let are_others =
            matches!(&self.mode, FoundingMode::Seeds(seeds) if *seeds != founding.seeds);
        acts.push(Act::Event(Event::Founded { lineage, are_others }));
        for (print, signed) in core::mem::take(&mut self.early) {
            mark(Mark::GrantEarlyTaken);
            self.take_grant(now, print, signed, acts);
        }
        // What containers have here may be older than this founding.
        if !self.is_restoring {
            self.look_for_strays(now, self.universe.range(), acts);
        }
        self.schedule(now);
    }
}
