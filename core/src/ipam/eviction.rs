//! Our part in evictions: what we say of those of others, and the pursuit of our own. The rules are
//! [`super::freeze`].

use super::freeze::{self, Eviction, Freeze, Phase, Stage, Stance};
use super::ledger::{Grant, Ledger};
use super::requests::Want;
use super::titles::SignedGrant;
use super::witness::Witnessed;
use super::{Act, Ipam};
use crate::codec;
use crate::event::Event;
use crate::id::PeerId;
use crate::io::{CommandError, Reply};
use crate::mark::{Mark, mark};
use crate::record::{Fingerprint, Key};
use crate::time::Instant;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use rand_core::RngCore;

/// How far a round may lie above all that is known of rounds and epochs: a liar that jumps so far each
/// time needs 2^12 jumps to use up all of them.
const ROUND_LEAP_MAX: u32 = 1 << 20;

/// Most steps that an eviction makes at once: proposed, frozen, taken over, answered.
const STAGES: usize = 4;

impl Ipam {
    /// What we say of evictions, for judges.
    pub fn freeze(&self) -> Option<&Freeze> {
        self.freezes.get(&self.me)
    }

    /// Whether the rounds of `freeze` are such as could have been reached.
    pub fn admits_round(&self, freeze: &Freeze) -> bool {
        freeze.round() <= self.top_round().saturating_add(ROUND_LEAP_MAX)
    }

    /// Whether `grant` comes too late: its writer is being evicted.
    pub fn has_frozen(&self, grant: &Grant, writer: PeerId) -> bool {
        grant.victim.is_none() && self.freezes.get(&self.me).is_some_and(|own| own.holds(writer))
    }

    /// The highest round and epoch that is known.
    fn top_round(&self) -> u32 {
        let rounds = self.freezes.values().map(Freeze::round);
        let epochs = self.ledger().into_iter().flat_map(|ledger| ledger.entries());
        rounds.chain(epochs.map(|(_, epoch, ..)| epoch)).max().unwrap_or(0)
    }

    /// What `peer` owns by what we know, when that is anything.
    fn view_of(&self, peer: PeerId) -> Option<Fingerprint> {
        let (lineage, ledger) = self.founded.as_ref()?;
        ledger.owns_any(peer).then(|| Witnessed::by(ledger, *lineage, peer, 0).owned)
    }

    /// A peer says what it does about evictions. What we said ourselves before a restart comes from the
    /// disk, and binds us.
    pub(super) fn take_freeze(&mut self, peer: PeerId, freeze: Freeze) {
        if self.freezes.contains_key(&peer) || self.freezes.len() < self.records_max {
            self.freezes.insert(peer, freeze);
        }
    }

    /// Says what there is to say of evictions, if that has changed.
    pub(super) fn follow_evictions(&mut self, acts: &mut Vec<Act>) {
        if self.freezes.is_empty() || self.is_restoring {
            return;
        }
        let is_alive = |peer| self.reachable.contains(&peer);
        let next = freeze::follow(self.me, &self.freezes, |peer| self.view_of(peer), is_alive);
        self.say(next, acts);
    }

    fn say(&mut self, next: Freeze, acts: &mut Vec<Act>) {
        let before = self.freezes.get(&self.me);
        if before.map_or_else(|| next.stances.is_empty(), |before| *before == next) {
            return;
        }
        acts.push(Act::Publish { key: Key::Freeze(self.me), body: codec::encode(&next) });
        self.freezes.insert(self.me, next);
    }

    /// What the command to evict `victims` wants; or its outcome, when there is nothing to agree on.
    pub(super) fn want_eviction(
        &self,
        victims: BTreeSet<PeerId>,
        is_forced: bool,
    ) -> Result<Want, Result<Reply, CommandError>> {
        if self.is_stopping || self.has_left {
            // Answered by that, whatever is wanted.
            return Ok(Want::Founding);
        }
        if victims.contains(&self.me) {
            return Err(Err(CommandError::EvictsItself));
        }
        if victims.len() > freeze::VICTIMS_MAX {
            return Err(Err(CommandError::TooManyVictims(freeze::VICTIMS_MAX)));
        }
        let entries = self.ledger().into_iter().flat_map(Ledger::entries);
        let theirs = entries.filter(|(.., owner)| victims.contains(owner));
        let addresses = theirs.map(|(range, ..)| range.size()).sum();
        Ok(Want::Eviction { victims, addresses, is_forced })
    }

    /// Goes on with the eviction of `victims`, who owned so many `addresses`; `None` while it is not over.
    pub(super) fn evict(
        &mut self,
        now: Instant,
        (victims, addresses): (&BTreeSet<PeerId>, u128),
        is_forced: bool,
        acts: &mut Vec<Act>,
    ) -> Option<Result<Reply, CommandError>> {
        if let Some(alive) = victims.iter().find(|victim| self.reachable.contains(victim)) {
            mark(Mark::EvictionOfTheLiving);
            return Some(Err(CommandError::StillInReach { peer: named(alive) }));
        }
        // Before, it is not known whether they own anything.
        if self.founded.is_none() || !self.has_opened() {
            return None;
        }
        let (required, away) = self.electorate(victims, is_forced);
        // It is proposed, frozen and taken over at once by who is alone.
        for _ in 0..STAGES {
            let left: BTreeSet<PeerId> =
                victims.iter().copied().filter(|victim| self.view_of(*victim).is_some()).collect();
            if left.is_empty() {
                return Some(Ok(Reply::TakenOver(addresses)));
            }
            self.give_up_on(&left, victims, &required, acts);
            let ours: BTreeSet<PeerId> =
                left.iter().copied().filter(|victim| !self.has_yielded(*victim)).collect();
            let is_pursued = ours.iter().all(|victim| self.pursues(*victim));
            let mut stages =
                ours.iter().map(|victim| freeze::stage(self.me, *victim, &required, &self.freezes));
            // What came to be theirs after we froze was not agreed on: it may have been given away as well.
            let has_grown = ours.iter().any(|victim| self.knows_more(*victim));
            if !is_pursued || has_grown || stages.clone().any(|stage| stage == Stage::Torn) {
                self.propose_eviction(&ours, acts);
            } else if ours.is_empty() || stages.clone().any(|stage| stage.is_early()) {
                return None;
            } else if stages.clone().any(|stage| stage == Stage::Agreed) {
                self.refuse_gifts(&ours, acts);
            } else if stages.all(|stage| stage == Stage::Settled) {
                if !away.is_empty() {
                    mark(Mark::EvictionForced);
                    acts.push(Act::Event(Event::EvictionForced { unheard: away.len() }));
                }
                self.take_over(now, &ours, acts);
            } else {
                return None;
            }
        }
        None
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
        required.extend(self.settlers(victims));
        required.retain(|owner| *owner != self.me && !victims.contains(owner));
        let away: BTreeSet<PeerId> = required.difference(&self.reachable).copied().collect();
        if is_forced {
            required.retain(|owner| !away.contains(owner));
        }
        required.extend(self.reachable.iter().filter(|peer| !victims.contains(peer)));
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
            self.reachable.contains(&later.proposer)
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
                self.reachable.contains(&proposer) || may_own
            },
        )
    }

    /// Whether we have frozen something else than what `victim` owns by what we know.
    fn knows_more(&self, victim: PeerId) -> bool {
        let stance = self.stance(victim).filter(|stance| stance.phase == Phase::Frozen);
        stance.is_some_and(|stance| self.view_of(victim) != Some(stance.view))
    }

    /// Who may take over from one of `victims`, or has.
    fn settlers(&self, victims: &BTreeSet<PeerId>) -> BTreeSet<PeerId> {
        let of = |victim: &PeerId| freeze::settlers(self.me, *victim, &self.freezes);
        victims.iter().flat_map(of).collect()
    }

    /// Says of those who may have taken over from one of `left` that they are gone for good, when they are
    /// among the `victims` themselves or, in an eviction that is forced, not among those who are `required`.
    fn give_up_on(
        &mut self,
        left: &BTreeSet<PeerId>,
        victims: &BTreeSet<PeerId>,
        required: &BTreeSet<PeerId>,
        acts: &mut Vec<Act>,
    ) {
        let mut next = self.freezes.get(&self.me).cloned().unwrap_or_default();
        let gone = self.settlers(left);
        next.gone.extend(gone.iter().filter(|it| victims.contains(it) || !required.contains(it)));
        if next.gone.len() <= freeze::VICTIMS_MAX {
            self.say(next, acts);
        }
    }

    fn stance(&self, victim: PeerId) -> Option<Stance> {
        self.freezes.get(&self.me).and_then(|own| own.stances.get(&victim)).copied()
    }

    /// Begins an eviction of `victims`.
    fn propose_eviction(&mut self, victims: &BTreeSet<PeerId>, acts: &mut Vec<Act>) {
        let Some(round) = self.top_round().checked_add(1) else { return };
        mark(Mark::EvictionProposed);
        let eviction = Eviction { round, proposer: self.me, nonce: self.rng.next_u64() };
        let stances = victims.iter().filter_map(|victim| {
            let view = self.view_of(*victim)?;
            Some((*victim, Stance { eviction, phase: Phase::Gathering, view }))
        });
        let stances: Vec<_> = stances.collect();
        self.say_also(stances, acts);
    }

    /// All know the same of `victims` as we: none of their further grants is taken.
    fn refuse_gifts(&mut self, victims: &BTreeSet<PeerId>, acts: &mut Vec<Act>) {
        mark(Mark::EvictionAgreed);
        self.put_phase(victims, Phase::Frozen, acts);
    }

    /// Ends what we pursue and nobody here waits for, any more or since a restart: others are free of
    /// it then.
    pub(super) fn call_off(&mut self, acts: &mut Vec<Act>) {
        if self.is_restoring {
            return;
        }
        let wanted = |victim: &PeerId| {
            self.waiting.iter().any(|waiting| match &waiting.want {
                Want::Eviction { victims, .. } => victims.contains(victim),
                Want::Any { .. } | Want::This { .. } | Want::Founding | Want::Leave => false,
            })
        };
        let own =
            self.freezes.get(&self.me).into_iter().flat_map(|own| own.stances.keys().copied());
        let idle: BTreeSet<PeerId> = own
            .filter(|victim| !wanted(victim))
            .filter(|victim| {
                self.stance(*victim).is_some_and(|stance| {
                    stance.eviction.proposer == self.me && stance.phase != Phase::CalledOff
                })
            })
            .collect();
        if !idle.is_empty() {
            mark(Mark::EvictionCalledOff);
            self.put_phase(&idle, Phase::CalledOff, acts);
        }
    }

    fn put_phase(&mut self, victims: &BTreeSet<PeerId>, phase: Phase, acts: &mut Vec<Act>) {
        let stance = |victim: &PeerId| Some((*victim, Stance { phase, ..self.stance(*victim)? }));
        let stances: Vec<_> = victims.iter().filter_map(stance).collect();
        self.say_also(stances, acts);
    }

    fn say_also(&mut self, stances: Vec<(PeerId, Stance)>, acts: &mut Vec<Act>) {
        let mut next = self.freezes.get(&self.me).cloned().unwrap_or_default();
        next.stances.extend(stances);
        // Others would not believe more. Whoever waits for it is told that it is not over.
        if next.stances.len() <= freeze::VICTIMS_MAX {
            self.say(next, acts);
        }
    }

    /// Becomes the owner of all that `victims` own: everybody has frozen that.
    fn take_over(&mut self, now: Instant, victims: &BTreeSet<PeerId>, acts: &mut Vec<Act>) {
        mark(Mark::EvictionSettled);
        for victim in victims {
            let Some((lineage, ledger)) = &self.founded else { return };
            let Some(Stance { eviction, .. }) = self.stance(*victim) else { return };
            let taken = ledger.owned_by(*victim).into_iter();
            let grants: Vec<Grant> = taken
                .filter_map(|range| {
                    ledger.takeover(*lineage, range, *victim, (eviction.round, self.me))
                })
                .collect();
            for grant in grants {
                let body = codec::encode(&grant);
                let print = Fingerprint::by(&self.me, &body);
                acts.push(Act::Publish { key: Key::Grant(print), body });
                self.take_grant(now, print, SignedGrant { grant, giver: *victim }, acts);
            }
        }
        self.follow_evictions(acts);
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
            return CommandError::OwnersAway { peers: all_named(&away) };
        }
        mark(Mark::EvictionLate);
        let silent: BTreeSet<PeerId> = victims
            .iter()
            .flat_map(|victim| match freeze::stage(self.me, *victim, &required, &self.freezes) {
                Stage::Silent(peers) => peers,
                Stage::Differ | Stage::Agreed | Stage::Freezing | Stage::Torn | Stage::Settled => {
                    BTreeSet::new()
                }
            })
            .collect();
        CommandError::EvictionUnderWay { silent: all_named(&silent) }
    }
}

/// A peer as people know it.
fn named(peer: &PeerId) -> String {
    peer.default_name().to_string()
}

fn all_named(peers: &BTreeSet<PeerId>) -> String {
    let names: Vec<String> = peers.iter().map(named).collect();
    names.join(", ")
}
