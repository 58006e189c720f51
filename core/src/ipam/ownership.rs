//! Ownership: voting on the founding, taking in grants, and giving addresses to others.

use super::founding::{self, Founding, Voter};
use super::ledger::{Conflict, Grant, Ledger};
use super::titles::{Deed, Taken, Titles};
use super::{Act, Ipam, IpamMessage, Space};
use crate::addr::{Offset, Range};
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
/// overtaking each other; here drawn at random between the shortest and a bound that doubles.
const PROPOSE_WAIT_MAX: Duration = Duration::from_secs(2);

/// At least this long between two hints of free space: they are statistics, not news.
const HINT_WAIT: Duration = Duration::from_secs(1);

/// A change of free space is told this much later, so that a burst makes one hint.
const HINT_DELAY: Duration = Duration::from_millis(100);

/// Intervals that one peer owns before it writes touching ones as one: keeps the ledger at a few
/// entries per peer, whatever was granted to and fro.
const FRAGMENTS_MAX: usize = 8;

/// Own fragments are joined this much after the ledger has changed.
const ABSORB_WAIT: Duration = Duration::from_secs(1);

/// Most keys kept for [`Ipam::superseded`]; the rest is named when it is handed in again.
const DEAD_MAX: usize = 65_536;

/// Of the records that may be kept, this part may be grants that wait for others to prove them.
/// Anybody can make those up, and they must not take the room of those that count.
const WAITING_PART: usize = 8;

impl Ipam {
    pub(super) const fn quorum(&self) -> usize {
        let peers = match self.mode {
            FoundingMode::Consensus { peers: Some(peers) } => peers,
            FoundingMode::Consensus { peers: None } | FoundingMode::Observer => {
                self.targets.saturating_add(1)
            }
        };
        peers / 2 + 1
    }

    /// Peers that could vote: those in reach, and ourselves.
    pub(super) fn heard(&self) -> usize {
        self.reachable.len() + usize::from(self.votes())
    }

    const fn votes(&self) -> bool {
        match self.mode {
            FoundingMode::Consensus { .. } => true,
            FoundingMode::Observer => false,
        }
    }

    /// Whether addresses may be handed out and given away: after a start only once another owner
    /// was met, or when there is none.
    pub(super) fn is_open(&self) -> bool {
        // That there is no other owner is what our disk says, and one that was put back says it of
        // times before we gave anything away. Any other peer would know better, whether it owns
        // anything or not. So where the operator named one, it is heard first; `weft forget` is the
        // way out when it is gone for good, and `weft prime --force` when other owners are. Where nobody was named, nobody need ever come, and a
        // peer that stays alone must go on.
        self.is_merged || self.is_sole() && (self.other_targets == 0 || self.has_met)
    }

    /// Whether nobody else owns anything, as far as we know.
    fn is_sole(&self) -> bool {
        self.ledger().is_some_and(|ledger| ledger.entries().all(|(.., owner)| owner == self.me))
    }

    /// Who could open the gate and was not heard: other owners out of reach, or, when there are no
    /// other owners, peers that we are to dial.
    pub(super) fn missed(&self) -> (usize, usize) {
        if self.is_sole() {
            return (0, self.other_targets);
        }
        let owners = self.ledger().map(Ledger::owners).unwrap_or_default();
        let missed = |owner: &PeerId| *owner != self.me && !self.reachable.contains(owner);
        (owners.into_iter().filter(missed).count(), 0)
    }

    /// The operator vouches for what our disk says, since nobody else can. A disk that was put back
    /// may make us hand out what we gave away since.
    pub(super) fn force_gate(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if self.founded.is_some() && !self.is_open() && !self.has_left {
            let (owners, targets) = self.missed();
            acts.push(Act::Event(Event::GateForced { unheard: owners + targets }));
            self.is_merged = true;
            self.schedule(now);
        }
        self.settle(now, acts);
    }

    /// Somebody here needs the founding.
    pub(super) fn start(&mut self, now: Instant, acts: &mut Vec<Act>) {
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
        if let Some(vote) = founding::propose(self.me, &self.votes) {
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
            let doubled = PROPOSE_WAIT_MIN * (2 << self.proposals.min(4));
            let span = doubled.min(PROPOSE_WAIT_MAX) - PROPOSE_WAIT_MIN;
            let drawn = span / 1024 * (self.rng.next_u32() >> 22);
            self.propose_at = Some(now + PROPOSE_WAIT_MIN + drawn);
        }
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
        let vote = self.votes.entry(self.me).or_default();
        acts.push(Act::Publish { key: Key::Voter(self.me), body: codec::encode(vote) });
        self.decide(now, acts);
    }

    fn decide(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if let Some(value) = founding::decided(self.quorum(), &self.votes) {
            mark(Mark::FoundingDecided);
            let (seeds, ballot) = (value.seeds, value.origin);
            let founding = Founding { universe: self.universe, seeds, ballot };
            let body = codec::encode(&founding);
            let print = Fingerprint::of(&body);
            acts.push(Act::Publish { key: Key::Founding(print), body });
            self.found(now, print, &founding, acts);
        }
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
        self.propose_at = None;
        for peer in core::mem::take(&mut self.votes).into_keys() {
            self.bury(Key::Voter(peer));
        }
        acts.push(Act::Event(Event::Founded { lineage }));
        for (print, deed) in core::mem::take(&mut self.early) {
            mark(Mark::GrantEarlyTaken);
            self.take_grant(now, print, deed, acts);
        }
        self.schedule(now);
    }

    /// Whether a grant may be taken in: one that counts always, and as many that wait as there may be.
    pub fn has_room(&self, grant: &Grant, giver: PeerId) -> bool {
        let waiting_max = self.records_max / WAITING_PART;
        match &self.founded {
            None => self.early.len() < waiting_max,
            Some(_) => {
                let deed = Deed { grant: grant.clone(), giver };
                self.titles.waiting() < waiting_max || self.titles.proves(&deed)
            }
        }
    }

    /// Joins a grant into the ledger once its giver is known to have owned what it gives; before
    /// the founding it is set aside.
    pub(super) fn take_grant(
        &mut self,
        now: Instant,
        print: Fingerprint,
        deed: Deed,
        acts: &mut Vec<Act>,
    ) {
        let Some((lineage, ledger)) = &mut self.founded else {
            mark(Mark::GrantEarly);
            self.early.insert(print, deed);
            return;
        };
        // Nothing decides a takeover yet, which alone may raise the epoch.
        let fits = deed.grant.fits(self.universe) && deed.grant.epoch == 0;
        if deed.grant.lineage != *lineage || !fits {
            mark(Mark::GrantMisfit);
            self.bury(Key::Grant(print));
            return;
        }
        let mut conflicts = Vec::new();
        let mut is_refused = false;
        match self.titles.take(print, deed) {
            Taken::Proven(grants) => {
                mark(if grants.len() > 1 { Mark::GrantProvesOthers } else { Mark::GrantCounts });
                for grant in grants {
                    conflicts.extend(ledger.apply(&grant));
                    if grant.owner == self.me {
                        mark(Mark::GrantReceived);
                        self.asks.given(grant.range);
                    }
                }
            }
            Taken::Waits(lie) => {
                mark(if lie.is_some() { Mark::GrantCalledOut } else { Mark::GrantWaits });
                conflicts.extend(lie);
            }
            Taken::Never(lie) => {
                mark(Mark::GrantNever);
                conflicts.push(lie);
                is_refused = true;
            }
        }
        for Conflict { range, kept, lost } in conflicts {
            acts.push(Act::Event(Event::OwnershipConflict { range, kept, lost }));
        }
        let dead = self.titles.dead();
        if !dead.is_empty() {
            mark(Mark::GrantSuperseded);
        }
        for print in dead.into_iter().chain(is_refused.then_some(print)) {
            self.bury(Key::Grant(print));
        }
        self.schedule(now);
    }

    /// Notes that the record under `key` matters no more.
    pub(super) fn bury(&mut self, key: Key) {
        if self.dead.len() < DEAD_MAX {
            self.dead.push(key);
        }
    }

    /// Publishes that `range`, all ours, is `to`'s from here on. Returns whether it could.
    fn give(&mut self, now: Instant, range: Range, to: PeerId, acts: &mut Vec<Act>) -> bool {
        let Some((lineage, ledger)) = &self.founded else { return false };
        let Some(grant) = ledger.grant(*lineage, range, self.me, to) else { return false };
        let body = codec::encode(&grant);
        let print = Fingerprint::by(&self.me, &body);
        let deed = Deed { grant, giver: self.me };
        if !self.titles.proves(&deed) {
            return false;
        }
        acts.push(Act::Publish { key: Key::Grant(print), body });
        if to != self.me {
            acts.push(Act::Event(Event::Granted { range, to }));
            // Only an open gate lets anything be given. One that was open because all was ours must
            // not close behind the gift: what the other owner has, it has from this very process,
            // so meeting it could teach us nothing. (Were our disk an old one, its mistake was to
            // open the gate; closing it afterwards takes back no address that was handed out.)
            if !core::mem::replace(&mut self.is_merged, true) {
                mark(Mark::GateGiven);
            }
        } else {
            mark(Mark::GrantSelf);
        }
        self.take_grant(now, print, deed, acts);
        true
    }

    /// Answers another peer's request for addresses inside `range`.
    ///
    /// Silent while it cannot know, or cannot reach the asker (nobody may be given addresses whom
    /// nobody can ask for them): the asker then turns to the next owner, and comes back.
    pub(super) fn donate(&mut self, now: Instant, from: PeerId, range: Range, acts: &mut Vec<Act>) {
        let Some((_, ledger)) = &self.founded else { return mark(Mark::DonateUnfounded) };
        let obstacle = if !self.reachable.contains(&from) {
            Some(Mark::DonateUnreachable)
        } else if self.has_left {
            Some(Mark::DonateLeft)
        } else {
            (!self.is_open()).then_some(Mark::DonateGateClosed)
        };
        if let Some(obstacle) = obstacle {
            return mark(obstacle);
        }
        let owns_part = ledger.owners_in(range).any(|(_, owner)| owner == self.me);
        if range.size() == 1 && !owns_part {
            return mark(Mark::DonateNotOwner);
        }
        let found = self.holdings.to_give(ledger, self.me, range);
        if !found.is_some_and(|range| self.give(now, range, from, acts)) {
            mark(Mark::DonateDenied);
            acts.push(Act::Tell { peer: from, message: IpamMessage::Denied { range } });
        }
    }

    /// Hands all own ranges to another owner in reach, or else to any peer in reach, and gives up
    /// the addresses held. Behind a closed boot gate nothing is handed over, for it may not be ours.
    pub(super) fn leave(&mut self, now: Instant, acts: &mut Vec<Act>) {
        for id in self.holdings.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            if let Some((nets, change)) = self.holdings.release(&id, None) {
                mark(Mark::LeaveHolding);
                acts.push(Act::Persist(change));
                let released =
                    nets.into_iter().map(|address| Event::Released { address, id: id.clone() });
                acts.extend(released.map(Act::Event));
            }
        }
        if self.founded.is_some() && !self.is_open() {
            mark(Mark::LeaveGateClosed);
        } else if let Some((_, ledger)) = &self.founded {
            let owners = ledger.owners();
            let heir = self.reachable.iter().find(|peer| owners.contains(peer));
            mark(match heir {
                Some(_) => Mark::LeaveToOwner,
                None if self.reachable.is_empty() => Mark::LeaveNobody,
                None => Mark::LeaveToPeer,
            });
            if let Some(&heir) = heir.or_else(|| self.reachable.first()) {
                for range in ledger.owned_by(self.me) {
                    self.give(now, range, heir, acts);
                }
            }
        }
        self.has_left = true;
        self.propose_at = None;
        self.hint_at = None;
        self.absorb_at = None;
        self.settle(now, acts);
    }

    /// Free space or the ledger has changed: plans what follows from that.
    pub(super) fn schedule(&mut self, now: Instant) {
        if self.has_left || self.founded.is_none() {
            return;
        }
        let hint_at = (now + HINT_DELAY).max(self.hint_not_before);
        self.hint_at.get_or_insert(hint_at);
        self.absorb_at.get_or_insert(now + ABSORB_WAIT);
    }

    /// Writes touching own intervals as one each, when there are many.
    pub(super) fn absorb(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let Some((_, ledger)) = &self.founded else { return };
        let own = ledger.entries().filter(|(.., owner)| *owner == self.me).count();
        if own > FRAGMENTS_MAX && self.is_open() {
            for range in ledger.fragments(self.me) {
                self.give(now, range, self.me, acts);
            }
        }
        // Our own grants have planned another look, which would find nothing to do.
        self.absorb_at = None;
    }

    /// Publishes how much is free here, when the published figure is no longer true.
    pub(super) fn hint(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let free_log2 = u8::try_from((self.free() + 1).ilog2()).unwrap_or(u8::MAX);
        if self.own_hint == Some(free_log2) {
            mark(Mark::HintSame);
        } else {
            mark(Mark::HintPublished);
            self.own_hint = Some(free_log2);
            self.hint_not_before = now + HINT_WAIT;
            let body = codec::encode(&Space { free_log2 });
            acts.push(Act::Publish { key: Key::Space(self.me), body });
        }
        self.hint_at = None;
    }

    /// How much `peer` has to give inside `range`, as a logarithm: what it says, else what it owns.
    pub(super) fn space_of(&self, peer: PeerId, owned: u128) -> u8 {
        let guess = || u8::try_from((owned + 1).ilog2()).unwrap_or(u8::MAX);
        let Some(hint) = self.hints.get(&peer).copied() else { return guess() };
        mark(Mark::AskHinted);
        hint
    }

    /// Addresses inside `range` whose owners are neither we nor in reach.
    pub(super) fn out_of_reach(&self, range: Range) -> u128 {
        let parts = self.ledger().into_iter().flat_map(|ledger| ledger.owners_in(range));
        let away = parts.filter(|(_, peer)| *peer != self.me && !self.reachable.contains(peer));
        away.map(|(range, _)| range.size()).sum()
    }

    /// Who owns `offset`.
    pub(super) fn owner_of(&self, offset: Offset) -> Option<PeerId> {
        self.ledger().and_then(|ledger| ledger.owner(offset))
    }
}
