//! Leaving: our addresses go to another peer, and it is over once that one has said that it has them.
//!
//! What only its giver knows is lost with the giver's disk, and who leaves loses its disk on purpose. The
//! heir may have died without anybody having noticed yet, or it may be that nothing gets through to it.
//! So whoever leaves asks the owners of what it gave whether they, too, know that it owns nothing any
//! more, in the same words as behind a boot gate ([`super::witness`]). An owner has that on its disk before
//! it says so. Until then the command waits, and after that it is refused: with all of it said once more
//! to whoever comes into reach, and the same command to be given again.

use super::commands::stopping;
use super::wants::Want;
use super::{Act, Ipam};
use crate::event::Event;
use crate::id::{PeerId, PeerLabel};
use crate::io::{CommandError, Reply};
use crate::mark::{Mark, mark};
use crate::time::Instant;
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;
use rand_core::RngCore;

/// Others have heard by then that we leave, and what they left to us before has come: a few hops and a busy
/// machine, and no more than an operator waits for without asking why. Who goes sooner takes their gifts along.
const HEARD_WAIT: Duration = Duration::from_millis(500);

/// What comes to who leaves goes on this much later: two that do not know yet that the other one leaves, too, would
/// else hand the same addresses to and fro as fast as they can.
const HAND_ON_WAIT: Duration = Duration::from_millis(200);

impl Ipam {
    /// Whether this peer has given up all that it owned and held, or began to.
    pub const fn has_left(&self) -> bool {
        self.has_left
    }

    /// Begins to leave: gives up the addresses held, and from here on hands out nothing. What `Leave` wants;
    /// or why nothing is begun, when nobody could have our addresses.
    pub(super) fn want_leave(
        &mut self,
        now: Instant,
        acts: &mut Vec<Act>,
    ) -> Result<Want, CommandError> {
        if self.is_stopping {
            return Err(stopping());
        }
        if self.has_left {
            mark(Mark::LeaveTwice);
            self.hand_over(now, acts);
            self.witnesses.hurry();
            return Ok(Want::Leave);
        }
        if let Some((met, why)) = self.stays() {
            mark(met);
            return Err(why);
        }
        if self.titles.names(self.me) && !self.is_owner() {
            // Perhaps by leaving, and nobody was heard before we had to start again.
            self.estate.given.push(self.universe.range());
        }
        self.give_up_held(now, acts);
        self.has_left = true;
        if self.founded.is_some() && !self.reachable.is_empty() {
            self.estate.unheard_until = Some(now + HEARD_WAIT);
        }
        self.propose_at = None;
        self.hint_at = None;
        self.absorb_at = None;
        self.hand_over(now, acts);
        self.conclude(now, acts);
        Ok(Want::Leave)
    }

    /// Why a command to leave would come to nothing just now, for status: nothing is begun for that, or it was begun
    /// and is not over.
    pub(super) fn no_leave(&self) -> Option<CommandError> {
        let why = if self.has_left {
            self.left().is_none().then(|| self.unfinished())
        } else {
            self.stays()
        };
        why.map(|(_, why)| why)
    }

    /// Why we cannot leave.
    fn stays(&self) -> Option<(Mark, CommandError)> {
        if self.has_twin() {
            // It lives from the same addresses.
            return Some((Mark::LeaveCopied, CommandError::Copied));
        }
        self.stranded()
    }

    /// Why our addresses would be nobody's if we left. Who never owned any takes none along.
    fn stranded(&self) -> Option<(Mark, CommandError)> {
        if !self.titles.names(self.me) {
            return None;
        }
        let (met, why) = if !self.is_open() {
            // What we would give may not be ours.
            (Mark::LeaveGateClosed, "no other owner was heard since the start")
        } else if self.reachable.is_empty() {
            (Mark::LeaveNobody, "no other peer is reachable")
        } else if self.staying().next().is_none() {
            (Mark::LeaveAmongLeaving, "all other peers in reach are leaving too")
        } else {
            return None;
        };
        let own = self.ledger().into_iter().flat_map(|ledger| ledger.owned_by(self.me));
        let addresses = own.map(|range| range.size()).sum();
        Some((met, CommandError::Stranded { why: why.to_string(), addresses }))
    }

    fn give_up_held(&mut self, now: Instant, acts: &mut Vec<Act>) {
        for id in self.holdings.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            if let Some((nets, change)) = self.holdings.release(now, &id, None) {
                mark(Mark::LeaveHolding);
                acts.push(Act::Persist(change));
                let released =
                    nets.into_iter().map(|address| Event::Released { address, id: id.clone() });
                acts.extend(released.map(Act::Event));
            }
        }
    }

    /// What leaving came to; `None` while those who were given something have not said that they have it, or
    /// others may yet give us something.
    pub(super) fn left(&self) -> Option<Result<Reply, CommandError>> {
        let is_heard = self.estate.unheard_until.is_none();
        let is_over = is_heard && !self.is_owner() && self.unconfirmed().next().is_none();
        is_over.then_some(Ok(Reply::Done))
    }

    /// While somebody waits for us to have left: plans to hand on what others gave us since, who had been asked for
    /// addresses before, or left theirs to us.
    pub(super) fn plan_handing_on(&mut self, now: Instant) {
        if self.is_leaving() && self.is_owner() {
            self.estate.hand_on_at.get_or_insert(now + HAND_ON_WAIT);
        }
    }

    /// Does what is due with the estate.
    pub(super) fn hand_on(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let _ = self.estate.unheard_until.take_if(|until| *until <= now);
        if self.estate.hand_on_at.take_if(|at| *at <= now).is_some() && self.is_leaving() {
            self.hand_over(now, acts);
        }
    }

    fn is_leaving(&self) -> bool {
        self.waiting.iter().any(|waiting| matches!(waiting.want, Want::Leave))
    }

    /// Who may inherit: peers in reach that do not leave themselves.
    fn staying(&self) -> impl Iterator<Item = PeerId> {
        self.reachable.iter().filter(|(_, part)| !part.leaves).map(|(peer, _)| *peer)
    }

    /// Gives all that is ours to another owner in reach, or else to any peer in reach, unless it leaves too.
    fn hand_over(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let Some((_, ledger)) = &self.founded else { return };
        let own = ledger.runs(self.me, self.universe.range());
        let owners = ledger.owners();
        let owner = self.staying().find(|peer| owners.contains(peer));
        let Some(heir) = owner.or_else(|| self.staying().next()) else { return };
        if own.is_empty() {
            return;
        }
        mark(if owners.contains(&heir) { Mark::LeaveToOwner } else { Mark::LeaveToPeer });
        for range in own {
            if self.give(now, range, heir, acts) {
                self.estate.given.push(range);
            }
        }
        // What was said before was said of less.
        self.estate.confirmed.clear();
        self.witnesses.nonce = self.rng.next_u64();
        self.witnesses.hurry();
    }

    /// The owners of what was given, range by range, of which none has said that it has it.
    fn unconfirmed(&self) -> impl Iterator<Item = BTreeSet<PeerId>> {
        let ledger = self.ledger();
        let given = self.estate.given.iter();
        let owners = given.filter_map(move |range| {
            let owners = ledger?.owners_in(*range).map(|(_, owner)| owner);
            Some(owners.collect::<BTreeSet<PeerId>>())
        });
        owners.filter(|owners| owners.is_disjoint(&self.estate.confirmed))
    }

    /// Those whose word is wanted before we may go: none while nobody waits for that.
    pub(super) fn heirs(&self) -> BTreeSet<PeerId> {
        let heirs = self.is_leaving().then(|| self.unconfirmed().flatten());
        heirs.into_iter().flatten().filter(|heir| *heir != self.me).collect()
    }

    /// `from` knows, too, that we own nothing.
    pub(super) fn left_to(&mut self, now: Instant, from: PeerId, acts: &mut Vec<Act>) {
        if self.estate.confirmed.insert(from) {
            mark(Mark::LeaveConfirmed);
        }
        self.conclude(now, acts);
    }

    /// Why leaving is not over.
    pub(super) fn leaving_reason(&self) -> CommandError {
        let (met, why) = self.unfinished();
        mark(met);
        why
    }

    fn unfinished(&self) -> (Mark, CommandError) {
        let heirs: BTreeSet<PeerId> = self.unconfirmed().flatten().collect();
        let leaves = |heir: &PeerId| {
            *heir == self.me || self.reachable.get(heir).is_some_and(|part| part.leaves)
        };
        if self.staying().next().is_none() && heirs.iter().all(leaves) {
            return (Mark::LeaveTogether, CommandError::AllLeave);
        }
        let only = heirs.first().filter(|_| heirs.len() == 1);
        let heir = only.copied().map(PeerLabel::unheard);
        (Mark::LeaveUnconfirmed, CommandError::NotTakenOver { heir })
    }
}
