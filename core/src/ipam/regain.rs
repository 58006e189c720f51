//! What becomes of strays: addresses that containers have here, and that are another peer's.
//!
//! A host may lose its state folder while its containers run on. Its daemon comes back as another peer, which
//! finds the containers, and what they have is not its own. Whoever takes over from the peer that it was gives
//! it that at once where it took part in the takeover ([`super::freeze::Freeze::held`]); else it asks, as follows.
//!
//! An operator may evict a peer that lives and only could not be reached. When it hears of that, it owns
//! nothing of what it had, and hands out nothing more of it. Its containers keep what they have, and of
//! each such address it asks the owner: while the owner has it free it gives it, and all is well again.
//! An address that the owner has handed out itself is held twice. Nothing but the end of one of the two
//! containers helps then, so it is listed, and asked for again from time to time.

use super::commands::Outcome;
use super::message::{RANGES_MAX, REGAINED_MAX};
use super::settling::SETTLE_WAIT;
use super::strays::Stray;
use super::{Act, Ipam, IpamMessage};
use crate::addr::{Offset, Range};
use crate::event::Event;
use crate::id::{ContainerId, PeerId};
use crate::io::Reply;
use crate::mark::{Mark, mark};
use crate::status::StrayStatus;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;
use core::time::Duration;
use ipnet::IpNet;

/// What does not fit into one question to an owner is asked this much later: some round trips of a busy network.
const PACE: Duration = Duration::from_millis(200);

/// Who does not answer is asked again after this, and each time after twice as long: its gate may be closed, or it has
/// yet to see that we can be reached.
const PATIENCE: Duration = Duration::from_millis(200);

/// But after no longer than this.
const PATIENCE_MAX: Duration = Duration::from_millis(500);

/// Whoever cannot be reached is looked for after this.
const AWAY_WAIT: Duration = Duration::from_secs(2);

// Whoever has just taken over, or opened its gate, is asked before it gives the address to others.
const _: () = assert!(PATIENCE_MAX.as_millis() * 2 <= SETTLE_WAIT.as_millis());

/// Who has handed the address out is asked again after this.
const DENIED_WAIT: Duration = Duration::from_secs(30);

impl Stray {
    /// One of which the owner is asked `ask_at`.
    const fn new(ask_at: Instant) -> Self {
        Self { ask_at, patience: PATIENCE, denied_by: None }
    }
}

/// What one owner is asked for.
#[derive(Default)]
struct Question {
    ranges: Vec<Range>,
    /// Of all of them.
    size: u128,
}

impl Question {
    /// Adds the address `at`, which lies behind all others, unless that is more than one question may be about.
    fn add(&mut self, at: Offset) -> bool {
        let next = Offset(at.0.saturating_add(1));
        if self.size >= REGAINED_MAX {
            return false;
        }
        if let Some(last) = self.ranges.last_mut().filter(|last| last.end == at) {
            last.end = next;
        } else if self.ranges.len() < RANGES_MAX {
            self.ranges.push(Range { start: at, end: next });
        } else {
            return false;
        }
        self.size += 1;
        true
    }
}

impl Ipam {
    /// The ledger says something new of `range`: looks whose what we hold there is.
    pub(super) fn look_for_strays(&mut self, now: Instant, range: Range, acts: &mut Vec<Act>) {
        let Some((_, ledger)) = &self.founded else { return };
        for (at, id) in self.holdings.held_inside(range) {
            let Some(owner) = ledger.owner(at) else { continue };
            match self.strays.entry(at.0) {
                Entry::Occupied(entry) if owner == self.me => {
                    mark(Mark::StrayRegained);
                    entry.remove();
                }
                Entry::Vacant(_) if owner == self.me => {}
                // Who has taken it over waits for us but for a moment.
                Entry::Occupied(mut entry) if entry.get().denied_by != Some(owner) => {
                    mark(Mark::StrayPassedOn);
                    *entry.get_mut() = Stray::new(now);
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(entry) => {
                    mark(Mark::StrayFound);
                    entry.insert(Stray::new(now));
                    let address = self.universe.address(at);
                    acts.push(Act::Event(Event::Stray { address, id: id.clone(), owner }));
                }
            }
        }
    }

    /// `id` has `address` already, whosever it is.
    pub(super) fn take_up(
        &mut self,
        now: Instant,
        id: &ContainerId,
        address: IpNet,
        acts: &mut Vec<Act>,
    ) -> Outcome {
        let offset = self.place_of(id, address)?;
        if self.holdings.is_held(offset) {
            self.held_already(id, address)?;
        } else {
            mark(Mark::CommandHeld);
            self.hold(id, address, acts);
            self.look_for_strays(now, Range { start: offset, end: Offset(offset.0 + 1) }, acts);
            self.schedule(now);
        }
        Ok(Reply::Done)
    }

    /// Asks owners for what containers have here.
    pub(super) fn ask_for_strays(&mut self, now: Instant, acts: &mut Vec<Act>) {
        self.strays.retain(|at, _| self.holdings.is_held(Offset(*at)));
        if self.strays.is_empty() || !self.may_ask_for_strays() {
            return;
        }
        let Some((_, ledger)) = &self.founded else { return };
        let mut asked: BTreeMap<PeerId, Question> = BTreeMap::new();
        for (at, stray) in self.strays.iter_mut().filter(|(_, stray)| stray.ask_at <= now) {
            let owner = ledger.owner(Offset(*at));
            stray.ask_at = now + AWAY_WAIT;
            let Some(owner) = owner.filter(|owner| self.reachable.contains_key(owner)) else {
                continue;
            };
            if !asked.entry(owner).or_default().add(Offset(*at)) {
                stray.ask_at = now + PACE;
                continue;
            }
            stray.ask_at = now + stray.patience;
            stray.patience = (stray.patience * 2).min(PATIENCE_MAX);
        }
        for (peer, Question { ranges, .. }) in asked {
            mark(Mark::StrayAsked);
            acts.push(Act::Tell { peer, message: IpamMessage::Regain { ranges } });
        }
    }

    /// Containers of `from` have `ranges` too.
    pub(super) fn strays_taken(&mut self, now: Instant, from: PeerId, ranges: &[Range]) {
        let Some((_, ledger)) = &self.founded else { return };
        for range in ranges.iter().take(RANGES_MAX).filter(|range| !range.is_empty()) {
            for (at, stray) in self.strays.range_mut(range.start.0..range.end.0) {
                if ledger.owner(Offset(*at)) == Some(from) {
                    mark(Mark::StrayDenied);
                    *stray = Stray { denied_by: Some(from), ..Stray::new(now + DENIED_WAIT) };
                }
            }
        }
    }

    /// Others may be in reach now: they are asked at once.
    pub(super) fn hurry_strays(&mut self, now: Instant) {
        let silent = self.strays.values_mut().filter(|stray| stray.denied_by.is_none());
        silent.for_each(|stray| *stray = Stray::new(now));
    }

    /// Whether there are owners in reach who have yet to answer.
    pub(super) fn asks_for_strays(&self) -> bool {
        let ends = self.strays.keys().next().zip(self.strays.keys().next_back());
        let Some(((first, last), (_, ledger))) = ends.zip(self.founded.as_ref()) else {
            return false;
        };
        let is_asked = |range: Range| {
            let mut strays = self.strays.range(range.start.0..range.end.0);
            strays.any(|(_, stray)| stray.denied_by.is_none())
        };
        // By what is owned, not by each stray: this is looked at in each call, and there may be thousands.
        let span = Range { start: Offset(*first), end: Offset(last + 1) };
        let mut owned = ledger.owners_in(span);
        owned.any(|(range, owner)| self.reachable.contains_key(&owner) && is_asked(range))
    }

    /// When an owner is asked next.
    pub(super) fn strays_deadline(&self) -> Option<Instant> {
        let next = self.strays.values().map(|stray| stray.ask_at).min();
        next.filter(|_| self.may_ask_for_strays())
    }

    /// Behind a closed gate nothing is handed out, and nothing is asked for.
    fn may_ask_for_strays(&self) -> bool {
        !self.is_restoring && !self.has_left && !self.is_stopping && self.is_open()
    }

    /// All of them, for people.
    pub(super) fn strays_status(&self) -> Vec<StrayStatus> {
        let stray = |(at, stray): (&u128, &Stray)| {
            let address = self.universe.address(Offset(*at));
            let (id, owner) = (self.holdings.holder(address)?.clone(), self.owner_of(Offset(*at))?);
            Some(StrayStatus { address, id, owner, denied: stray.denied_by == Some(owner) })
        };
        self.strays.iter().filter_map(stray).collect()
    }
}
