//! Grants: taking them in, and who owns what by them.

use super::ledger::{Conflict, Grant};
use super::titles::{SignedGrant, Taken};
use super::{Act, Ipam};
use crate::addr::{Offset, Range};
use crate::event::Event;
use crate::id::PeerId;
use crate::mark::{Mark, mark};
use crate::record::{Fingerprint, Key};
use crate::time::Instant;
use alloc::vec::Vec;

/// Most keys kept for [`Ipam::superseded`]; the rest is named when it is handed in again.
const DEAD_MAX: usize = 65_536;

/// Of the records that may be kept, this part may be grants that wait for others to prove them.
/// Anybody can make those up, and they must not take the room of those that count.
const WAITING_PART: usize = 8;

impl Ipam {
    /// Whether a grant may be taken in: one that counts always, and as many that wait as there may be.
    pub fn has_room(&self, grant: &Grant, writer: PeerId) -> bool {
        let waiting_max = self.records_max / WAITING_PART;
        match &self.founded {
            None => self.early.len() < waiting_max,
            Some(_) => {
                let signed = SignedGrant::by(writer, grant.clone());
                self.titles.waiting() < waiting_max || self.titles.proves(&signed)
            }
        }
    }

    /// Joins a grant into the ledger once its giver is known to have owned what it gives; before
    /// the founding it is set aside.
    pub(super) fn take_grant(
        &mut self,
        now: Instant,
        print: Fingerprint,
        signed: SignedGrant,
        acts: &mut Vec<Act>,
    ) {
        let Some((lineage, ledger)) = &mut self.founded else {
            mark(Mark::GrantEarly);
            self.early.insert(print, signed);
            return;
        };
        let fits = signed.grant.fits(self.universe);
        if signed.grant.lineage != *lineage || !fits {
            mark(Mark::GrantMisfit);
            self.bury(Key::Grant(print));
            return;
        }
        let mut conflicts = Vec::new();
        let mut changed = Vec::new();
        let mut is_refused = false;
        match self.titles.take(print, signed) {
            Taken::Proven(grants) => {
                mark(if grants.len() > 1 { Mark::GrantProvesOthers } else { Mark::GrantCounts });
                for grant in grants {
                    conflicts.extend(ledger.apply(&grant));
                    // What is on disk comes in any order: what we gave away before what came back.
                    if !self.is_restoring && (grant.owner != self.me || !self.strays.is_empty()) {
                        changed.push(grant.range);
                    }
                    if let Grant { range, victim: Some(victim), owner: heir, epoch, .. } = grant {
                        mark(Mark::GrantTakeover);
                        acts.push(Act::Event(Event::TakenOver { range, victim, heir, epoch }));
                    }
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
        for range in changed {
            self.look_for_strays(now, range, acts);
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

    /// Addresses inside `range` whose owners are neither we nor in reach.
    pub(super) fn out_of_reach(&self, range: Range) -> u128 {
        let parts = self.ledger().into_iter().flat_map(|ledger| ledger.owners_in(range));
        let away = parts.filter(|(_, peer)| *peer != self.me && !self.reachable.contains_key(peer));
        away.map(|(range, _)| range.size()).sum()
    }

    /// Who owns `offset`.
    pub(super) fn owner_of(&self, offset: Offset) -> Option<PeerId> {
        self.ledger().and_then(|ledger| ledger.owner(offset))
    }

    /// Whether we own any address.
    pub(super) fn is_owner(&self) -> bool {
        self.ledger().is_some_and(|ledger| ledger.owns_any(self.me))
    }
}
