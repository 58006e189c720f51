//! Our part in evictions: what we say of those of others, and the pursuit of our own. The rules are
//! [`super::freeze`].

use super::freeze::{self, Eviction, Freeze, Phase, Stage, Stance, Step};
use super::ledger::{Grant, Ledger};
use super::titles::SignedGrant;
use super::wants::Want;
use super::witness::Witnessed;
use super::{Act, Ipam};
use crate::addr::Range;
use crate::codec;
use crate::event::Event;
use crate::id::{PeerId, PeerLabel};
use crate::io::{CommandError, Reply};
use crate::mark::{Mark, mark};
use crate::record::{Fingerprint, Key};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use rand_core::RngCore;

/// Most steps that an eviction makes at once: proposed, frozen, taken over, answered.
const STEPS: usize = 4;

impl Ipam {
    /// What we say of evictions, for judges.
    pub fn freeze(&self) -> Option<&Freeze> {
        self.freezes.get(&self.me)
    }

    /// Whether `grant` comes too late: its writer is being evicted.
    pub fn has_frozen(&self, grant: &Grant, writer: PeerId) -> bool {
        grant.victim.is_none() && self.freezes.get(&self.me).is_some_and(|own| own.holds(writer))
    }

    /// What those of `peers` own by what we know who own anything.
    fn views_of(&self, peers: &BTreeSet<PeerId>) -> BTreeMap<PeerId, Fingerprint> {
        let founded = self.founded.as_ref();
        founded.map_or_else(BTreeMap::new, |(lineage, ledger)| {
            Witnessed::of_each(ledger, *lineage, peers)
        })
    }

    /// A peer says what it does about evictions. What we said ourselves before a restart comes from the
    /// disk, and binds us.
    pub(super) fn take_freeze(&mut self, peer: PeerId, freeze: Freeze) {
        let is_known = self.freezes.contains_key(&peer);
        if (peer != self.me || self.is_restoring)
            && (is_known || self.freezes.len() < self.records_max)
        {
            self.freezes.insert(peer, freeze);
        }
    }

    /// What we said of evictions ourselves came from elsewhere, in a version that we do not know: it binds us,
    /// also when our disk knows nothing of it. Others may have taken over what we had frozen. It is the last we
    /// said, unless we `said` something since.
    pub fn recall_freeze(
        &mut self,
        now: Instant,
        freeze: &Freeze,
        said: bool,
        acts: &mut Vec<Act>,
    ) {
        let before = self.freezes.get(&self.me).cloned().unwrap_or_default();
        let mut next = if said { before.clone() } else { Freeze::default() };
        next.recall(freeze);
        if next.stances != before.stances && next.is_sound(self.me) {
            mark(Mark::EvictionRecalled);
            self.say(next, acts);
            self.conclude(now, acts);
        }
    }

    /// Says what there is to say of evictions, if that has changed.
    pub(super) fn follow_evictions(&mut self, acts: &mut Vec<Act>) {
        if self.freezes.is_empty() || self.is_restoring {
            return;
        }
        let victims = self.freezes.values().flat_map(|said| said.stances.keys().copied()).collect();
        let views = self.views_of(&victims);
        let is_alive = |peer| self.reachable.contains_key(&peer);
        let view = |peer| views.get(&peer).copied();
        let next = freeze::follow(self.me, &self.freezes, view, is_alive);
        self.say(next, acts);
    }

    fn say(&mut self, next: Freeze, acts: &mut Vec<Act>) {
        let held = self.held_of(next.stances.keys());
        let next = Freeze { held, ..next };
        let before = self.freezes.get(&self.me);
        if before.map_or_else(|| next.stances.is_empty(), |before| *before == next) {
            return;
        }
        acts.push(Act::Publish { key: Key::Freeze(self.me), body: codec::encode(&next) });
        self.freezes.insert(self.me, next);
    }

    /// What containers have here of what `victims` own, as far as it is said.
    fn held_of<'a>(&self, victims: impl Iterator<Item = &'a PeerId>) -> Vec<Range> {
        let Some((_, ledger)) = &self.founded else { return Vec::new() };
        let owned = victims.flat_map(|victim| ledger.runs(*victim, ledger.universe().range()));
        let mut held: Vec<Range> = owned.flat_map(|run| self.holdings.runs(run)).collect();
        held.sort_unstable_by_key(|range| range.start);
        held.truncate(freeze::HELD_MAX);
        held
    }

    /// What the command to evict `victims` wants.
    pub(super) fn want_eviction(
        &self,
        victims: BTreeSet<PeerId>,
        is_forced: bool,
        is_patient: bool,
    ) -> Result<Want, CommandError> {
        self.serves()?;
        if victims.contains(&self.me) {
            return Err(CommandError::EvictsItself);
        }
        if victims.len() > freeze::VICTIMS_MAX {
            return Err(CommandError::TooManyVictims(freeze::VICTIMS_MAX));
        }
        let entries = self.ledger().into_iter().flat_map(Ledger::entries);
        let theirs = entries.filter(|(.., owner)| victims.contains(owner));
        let addresses = theirs.map(|(range, ..)| range.size()).sum();
        Ok(Want::Eviction { victims, addresses, is_forced, is_patient })
    }

    /// Goes on with the eviction of `victims`, who owned so many `addresses`; `None` while it is not over.
    pub(super) fn evict(
        &mut self,
        now: Instant,
        (victims, addresses): (&BTreeSet<PeerId>, u128),
        is_forced: bool,
        acts: &mut Vec<Act>,
    ) -> Option<Result<Reply, CommandError>> {
        if let Some(alive) = victims.iter().find(|victim| self.reachable.contains_key(victim)) {
            mark(Mark::EvictionOfTheLiving);
            return Some(Err(CommandError::StillInReach { peer: PeerLabel::unheard(*alive) }));
        }
        // Behind a closed gate it is not known whether they own anything; before a founding nobody does, by
        // all that was heard.
        if self.founded.is_some() && !self.has_opened() {
            return None;
        }
        if self.founded.is_none() {
            acts.extend(self.met.forget(victims).map(Act::Persist));
        }
        // It is proposed, frozen and taken over at once by who is alone.
        for _ in 0..STEPS {
            let left = self.views_of(victims);
            if left.is_empty() {
                return Some(Ok(Reply::TakenOver(addresses)));
            }
            match self.step(now, (victims, &left), is_forced, acts) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(why) => return Some(Err(why)),
            }
        }
        None
    }

    /// Makes the next step in the eviction of those of `victims` that have something `left`. Returns whether
    /// there was one to make.
    fn step(
        &mut self,
        now: Instant,
        (victims, left): (&BTreeSet<PeerId>, &BTreeMap<PeerId, Fingerprint>),
        is_forced: bool,
        acts: &mut Vec<Act>,
    ) -> Result<bool, CommandError> {
        let (required, away) = self.electorate(victims, is_forced);
        self.give_up_on(left, victims, &required, acts)?;
        let ours = left.iter().filter(|(victim, _)| !self.has_yielded(**victim));
        let ours: BTreeMap<PeerId, Fingerprint> = ours.map(|(who, view)| (*who, *view)).collect();
        let named: BTreeSet<PeerId> = ours.keys().copied().collect();
        // What came to be theirs after we froze was not agreed on: it may have been given away as well.
        let stands = |(who, view): (&PeerId, &Fingerprint)| {
            self.pursues(*who) && !self.has_frozen_else(*who, *view)
        };
        let next = if ours.iter().all(stands) {
            freeze::step(self.me, &named, &required, &self.freezes)
        } else {
            Step::Propose
        };
        match next {
            Step::Wait => return Ok(false),
            Step::Propose => self.propose_eviction(&ours, acts)?,
            Step::Freeze => {
                mark(Mark::EvictionAgreed);
                self.put_phase(&named, Phase::Frozen, acts);
            }
            Step::TakeOver => {
                let grants = self.takeovers(&named)?;
                if !away.is_empty() {
                    mark(Mark::EvictionForced);
                    acts.push(Act::Event(Event::EvictionForced { unheard: away.len() }));
                }
                self.take_over(now, &named, grants, acts);
            }
        }
        Ok(true)
    }

    /// Who has to agree to the eviction of `victims`: all who may have been given something by them.
    /// Returns also the owners that are not heard; when it is forced, nobody waits for those.
    fn electorate(
        &self,
        victims: &BTreeSet<PeerId>,
        is_forced: bool,
    ) -> (BTreeSet<PeerId>, BTreeSet<PeerId>) {
        let mut required = self.ledger().map(Ledger::owners).unwrap_or_default();
        // Who may have taken over from a victim has to be heard as well, whether it owned anything or not.
        required.extend(self.takers(victims.iter()));
        required.retain(|owner| *owner != self.me && !victims.contains(owner));
        let is_away = |owner: &&PeerId| !self.reachable.contains_key(*owner);
        let away: BTreeSet<PeerId> = required.iter().filter(is_away).copied().collect();
        if is_forced {
            required.retain(|owner| !away.contains(owner));
        }
        required.extend(self.reachable.keys().filter(|peer| !victims.contains(peer)));
        (required, away)
    }

    /// Whether an eviction of `victim` is under way that is ours, and that nobody keeps others from
    /// following: a later one that is called off, or whose proposer is gone.
    fn pursues(&self, victim: PeerId) -> bool {
        let Some(own) = self.stance(victim) else { return false };
        let said =
            |peer: &PeerId| self.freezes.get(peer).and_then(|said| said.stances.get(&victim));
        let is_pursued = |later: Eviction| {
            let own = said(&later.proposer).filter(|stance| stance.eviction == later);
            self.reachable.contains_key(&later.proposer)
                && own.is_none_or(|stance| stance.phase != Phase::CalledOff)
        };
        let stances = self.freezes.keys().filter_map(said);
        let mut later = stances.map(|it| it.eviction).filter(|it| *it > own.eviction);
        own.eviction.proposer == self.me && own.phase != Phase::CalledOff && later.all(is_pursued)
    }

    /// Whether we follow somebody else's eviction of `victim`, who goes on with it, or for whom we have
    /// frozen: it may have taken over, unless our operator says that it is gone.
    fn has_yielded(&self, victim: PeerId) -> bool {
        let is_gone =
            |peer: PeerId| self.freezes.get(&self.me).is_some_and(|own| own.gone.contains(&peer));
        self.stance(victim).is_some_and(
            |Stance { eviction: Eviction { proposer, .. }, phase, .. }| {
                let may_own = phase == Phase::Frozen && proposer != self.me && !is_gone(proposer);
                self.reachable.contains_key(&proposer) || may_own
            },
        )
    }

    /// Whether we have frozen something else than `view`, what `victim` owns by what we know.
    fn has_frozen_else(&self, victim: PeerId, view: Fingerprint) -> bool {
        let stance = self.stance(victim).filter(|stance| stance.phase == Phase::Frozen);
        stance.is_some_and(|stance| stance.view != view)
    }

    /// Who may take over from one of `victims`, or has.
    fn takers<'a>(&self, victims: impl Iterator<Item = &'a PeerId>) -> BTreeSet<PeerId> {
        victims.flat_map(|victim| freeze::takers(self.me, *victim, &self.freezes)).collect()
    }

    /// Says of those who may have taken over from one of `left` that they are gone for good, when they are
    /// among the `victims` themselves or, in an eviction that is forced, not among those who are `required`.
    fn give_up_on(
        &mut self,
        left: &BTreeMap<PeerId, Fingerprint>,
        victims: &BTreeSet<PeerId>,
        required: &BTreeSet<PeerId>,
        acts: &mut Vec<Act>,
    ) -> Result<(), CommandError> {
        let mut next = self.freezes.get(&self.me).cloned().unwrap_or_default();
        let gone = self.takers(left.keys());
        next.gone.extend(gone.iter().filter(|it| victims.contains(it) || !required.contains(it)));
        if next.gone.len() > freeze::VICTIMS_MAX {
            return Err(CommandError::TooManyProposers(freeze::VICTIMS_MAX));
        }
        self.say(next, acts);
        Ok(())
    }

    fn stance(&self, victim: PeerId) -> Option<Stance> {
        self.freezes.get(&self.me).and_then(|own| own.stances.get(&victim)).copied()
    }

    /// Begins evictions of `victims`, who own this by what we know.
    fn propose_eviction(
        &mut self,
        victims: &BTreeMap<PeerId, Fingerprint>,
        acts: &mut Vec<Act>,
    ) -> Result<(), CommandError> {
        let mut next = self.freezes.get(&self.me).cloned().unwrap_or_default();
        let nonce = self.rng.next_u64();
        for (victim, view) in victims {
            let round = self.next_round(*victim).ok_or_else(|| rounds_used_up(victim))?;
            let eviction = Eviction { round, proposer: self.me, nonce };
            next.stances.insert(*victim, Stance { eviction, phase: Phase::Gathering, view: *view });
        }
        // Others would not believe more.
        if next.stances.len() > freeze::VICTIMS_MAX {
            return Err(CommandError::TooManyEvictions(freeze::VICTIMS_MAX));
        }
        mark(Mark::EvictionProposed);
        self.say(next, acts);
        Ok(())
    }

    /// Ends what we pursue and nobody here waits for, any more or since a restart: others are free of
    /// it then.
    pub(super) fn call_off(&mut self, acts: &mut Vec<Act>) {
        if self.is_restoring {
            return;
        }
        let own = self.freezes.get(&self.me).into_iter().flat_map(|own| &own.stances);
        let pursued = own.filter(|(_, stance)| {
            stance.eviction.proposer == self.me && stance.phase != Phase::CalledOff
        });
        let pursued: BTreeSet<PeerId> = pursued.map(|(victim, _)| *victim).collect();
        let wanted = |victim: &PeerId| {
            self.waiting.iter().any(|waiting| match &waiting.want {
                Want::Eviction { victims, .. } => victims.contains(victim),
                Want::Any { .. } | Want::This { .. } | Want::Leave => false,
            })
        };
        let idle: BTreeSet<PeerId> = pursued.into_iter().filter(|victim| !wanted(victim)).collect();
        if !idle.is_empty() {
            mark(Mark::EvictionCalledOff);
            self.put_phase(&idle, Phase::CalledOff, acts);
        }
    }

    fn put_phase(&mut self, victims: &BTreeSet<PeerId>, phase: Phase, acts: &mut Vec<Act>) {
        let mut next = self.freezes.get(&self.me).cloned().unwrap_or_default();
        let stances = next.stances.iter_mut().filter(|(victim, _)| victims.contains(victim));
        stances.for_each(|(_, stance)| stance.phase = phase);
        self.say(next, acts);
    }

    /// The grants by which all that `victims` own becomes ours, each of which counts.
    fn takeovers(&self, victims: &BTreeSet<PeerId>) -> Result<Vec<SignedGrant>, CommandError> {
        let Some((lineage, ledger)) = &self.founded else { return Ok(Vec::new()) };
        let mut grants = Vec::new();
        for victim in victims {
            let Some(Stance { eviction, .. }) = self.stance(*victim) else { continue };
            let by = (eviction.round, self.me);
            let grant = |range| {
                let grant = ledger.takeover(*lineage, range, *victim, by)?;
                let signed = SignedGrant { grant, giver: *victim };
                self.titles.proves(&signed).then_some(signed)
            };
            for run in ledger.runs(*victim, ledger.universe().range()) {
                if let Some(whole) = grant(run) {
                    grants.push(whole);
                    continue;
                }
                // Versions in it lie too far apart for one.
                for (piece, _) in ledger.owners_in(run) {
                    grants.push(grant(piece).ok_or_else(|| rounds_used_up(victim))?);
                }
            }
        }
        Ok(grants)
    }

    /// Becomes the owner of all that the victims own: everybody has frozen that. What containers elsewhere have
    /// of it goes on to the peers there in the same breath, so that nothing can come between.
    fn take_over(
        &mut self,
        now: Instant,
        victims: &BTreeSet<PeerId>,
        grants: Vec<SignedGrant>,
        acts: &mut Vec<Act>,
    ) {
        mark(Mark::EvictionSettled);
        let held = self.held_elsewhere(victims);
        for signed in grants {
            let body = codec::encode(&signed.grant);
            let print = Fingerprint::by(&self.me, &body);
            acts.push(Act::Publish { key: Key::Grant(print), body });
            if !self.reachable.is_empty() {
                self.settling.add(now, signed.grant.range);
            }
            self.take_grant(now, print, signed, acts);
        }
        for (peer, range) in held {
            for part in self.free_inside(range) {
                if self.give(now, part, peer, acts) {
                    mark(Mark::EvictionGivesBack);
                }
            }
        }
        self.follow_evictions(acts);
    }

    /// What the containers of each peer that follows our eviction of `victims` have of what those own.
    fn held_elsewhere(&self, victims: &BTreeSet<PeerId>) -> Vec<(PeerId, Range)> {
        let ours = |(victim, stance): (&PeerId, &Stance)| {
            let own = self.stance(*victim).filter(|_| victims.contains(victim));
            own.is_some_and(|own| own.eviction == stance.eviction)
        };
        let follows = |said: &Freeze| said.stances.iter().any(ours);
        let others = self.freezes.iter().filter(|(peer, said)| **peer != self.me && follows(said));
        others.flat_map(|(peer, said)| said.held.iter().map(|range| (*peer, *range))).collect()
    }

    /// Why the eviction of `victims` is not over.
    pub(super) fn eviction_reason(
        &self,
        victims: &BTreeSet<PeerId>,
        is_forced: bool,
    ) -> CommandError {
        let (required, away) = self.electorate(victims, is_forced);
        if !is_forced && !away.is_empty() {
            mark(Mark::EvictionNeedsOthers);
            return CommandError::OwnersAway { peers: unheard(&away) };
        }
        mark(Mark::EvictionLate);
        let silent: BTreeSet<PeerId> = victims
            .iter()
            .flat_map(|victim| match freeze::stage(self.me, *victim, &required, &self.freezes) {
                Stage::Silent(peers) => peers,
                Stage::Differ | Stage::Agreed | Stage::Freezing | Stage::Torn | Stage::Frozen => {
                    BTreeSet::new()
                }
            })
            .collect();
        CommandError::EvictionUnderWay { silent: unheard(&silent) }
    }
}

/// No eviction of `victim` can be numbered any more, or none by which it could be taken over from.
fn rounds_used_up(victim: &PeerId) -> CommandError {
    CommandError::RoundsUsedUp { peer: PeerLabel::unheard(*victim) }
}

fn unheard(peers: &BTreeSet<PeerId>) -> Vec<PeerLabel> {
    peers.iter().copied().map(PeerLabel::unheard).collect()
}
