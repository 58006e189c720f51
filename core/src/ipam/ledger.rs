//! Who owns which addresses: a map from address to (epoch, version, owner), kept as intervals.
//!
//! The map is a function of a founding and a *set* of grants: each address belongs to the highest
//! mark that covers it. Marks are totally ordered, so the map is a join: order, repetition and
//! grouping of grants do not matter.

use super::founding::Founding;
use super::intervals::Intervals;
use crate::addr::{Offset, Range, Universe};
use crate::id::PeerId;
use crate::record::Fingerprint;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Reverse;
use serde::{Deserialize, Serialize};

/// Body of [`crate::record::Key::Grant`]: addresses change owner. Written by the owner before, the
/// giver; or, when that one was evicted, by the owner after.
///
/// It counts only if its giver is known to have owned all of it before, at a lower version.
/// A giver that owned it and gave it away could still give it a second time: what would show that
/// are the grants in between, and those are dropped when they are superseded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The founding that it builds on.
    pub lineage: Fingerprint,
    /// Which addresses.
    pub range: Range,
    /// Raised only by an eviction, by its round ([`super::freeze`]).
    pub epoch: u64,
    /// One more than the highest version of the range before.
    pub version: u64,
    /// To whom.
    pub owner: PeerId,
    /// The peer whose they were, when it was evicted: then it is `owner` who wrote this.
    pub victim: Option<PeerId>,
}

impl Grant {
    /// Whether it can be part of the ledger of `universe`: some addresses, all inside, and a
    /// version that a founding does not have.
    pub fn fits(&self, universe: Universe) -> bool {
        let is_raised = self.victim.is_none() || self.epoch > 0 && self.victim != Some(self.owner);
        let is_inside = !self.range.is_empty() && self.range.end <= universe.range().end;
        is_inside && self.version > 0 && is_raised
    }

    const fn mark(&self) -> Mark {
        Mark { epoch: self.epoch, version: self.version, owner: Reverse(self.owner) }
    }
}

/// What is known of an address. The greater one holds; of two owners with equal numbers the lower
/// id, at every peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    epoch: u64,
    version: u64,
    owner: Reverse<PeerId>,
}

/// Two owners claimed `range` with equal epoch and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Which addresses.
    pub range: Range,
    /// The lower id.
    pub kept: PeerId,
    /// The other one.
    pub lost: PeerId,
}

/// The map. Two ledgers are equal when they say the same of each address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    universe: Universe,
    marks: Intervals<Mark>,
}

impl Ledger {
    /// The first division: each block of the universe is halved over and over, and the sorted seeds with
    /// it, so that each share is one CIDR block. With more seeds than addresses the last seeds get none.
    ///
    /// Returns `None` when there is no seed.
    /// Source: Weave Net ipam/ring/ring.go `ClaimForPeers`.
    pub fn found(founding: &Founding) -> Option<Self> {
        let seeds: Vec<PeerId> = founding.seeds.iter().copied().collect();
        let mut shares = Vec::new();
        for (_, range) in founding.universe.shares() {
            divide(range, &seeds, &mut shares)?;
        }
        // Who is given the end of the first block and the start of the second one has one interval.
        Some(Self { universe: founding.universe, marks: shares.into_iter().collect() })
    }

    /// Joins `grant` in; says where it met an equal claim of another owner. A grant that does not
    /// fit the universe changes nothing.
    pub fn apply(&mut self, grant: &Grant) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        if !grant.fits(self.universe) {
            return conflicts;
        }
        let theirs = grant.mark();
        self.marks.update(grant.range, |range, mark| {
            if (mark.epoch, mark.version) == (theirs.epoch, theirs.version)
                && mark.owner != theirs.owner
            {
                let (kept, lost) = (mark.owner.0.min(grant.owner), mark.owner.0.max(grant.owner));
                crate::mark::mark(crate::mark::Mark::GrantConflict);
                conflicts.push(Conflict { range, kept, lost });
            }
            if theirs < *mark {
                crate::mark::mark(crate::mark::Mark::GrantOutdated);
            }
            *mark = theirs.max(*mark);
        });
        conflicts
    }

    /// The grant by which the owner of `range` gives it to `to`, or `None` when `by` does not own
    /// all of it in one epoch, or the version cannot be raised any more.
    pub fn grant(
        &self,
        lineage: Fingerprint,
        range: Range,
        by: PeerId,
        to: PeerId,
    ) -> Option<Grant> {
        let top = self.marks.pieces(range).map(|(_, mark)| mark).max()?;
        // An owner that has yet to hear of its eviction must not raise what it lost above that.
        if !self.marks.pieces(range).all(|(_, mark)| (mark.owner.0, mark.epoch) == (by, top.epoch))
        {
            return None;
        }
        // The highest version of a mixed range is raised: above every part of it.
        let version = top.version.checked_add(1)?;
        let grant = Grant { lineage, range, epoch: top.epoch, version, owner: to, victim: None };
        grant.fits(self.universe).then_some(grant)
    }

    /// The grant by which `range` of the evicted `victim` passes to `owner` in this round, or `None` when
    /// the victim does not own all of it in one epoch, or epoch or version cannot be raised so.
    pub fn takeover(
        &self,
        lineage: Fingerprint,
        range: Range,
        victim: PeerId,
        (round, owner): (u64, PeerId),
    ) -> Option<Grant> {
        let marks = || self.marks.pieces(range).map(|(_, mark)| mark);
        let top = marks().max()?;
        let is_theirs = marks().all(|mark| (mark.owner.0, mark.epoch) == (victim, top.epoch));
        let (epoch, version) = (top.epoch.checked_add(round)?, top.version.checked_add(1)?);
        let grant = Grant { lineage, range, epoch, version, owner, victim: Some(victim) };
        (is_theirs && round > 0 && grant.fits(self.universe)).then_some(grant)
    }

    /// Runs of two or more touching intervals of `owner` and of one epoch, each as one range.
    pub fn fragments(&self, owner: PeerId) -> Vec<Range> {
        self.runs(owner, self.universe.range())
            .into_iter()
            .filter(|run| self.marks.pieces(*run).count() > 1)
            .collect()
    }

    /// What `owner` owns inside `within`, in order, as few ranges of one epoch each as can be.
    pub fn runs(&self, owner: PeerId, within: Range) -> Vec<Range> {
        let mut runs: Vec<(Range, u64)> = Vec::new();
        for (range, mark) in self.marks.pieces(within).filter(|(_, mark)| mark.owner.0 == owner) {
            match runs.last_mut() {
                Some((run, epoch)) if run.end == range.start && *epoch == mark.epoch => {
                    run.end = range.end;
                }
                Some(_) | None => runs.push((range, mark.epoch)),
            }
        }
        runs.into_iter().map(|(run, _)| run).collect()
    }

    /// The universe that is divided.
    pub const fn universe(&self) -> Universe {
        self.universe
    }

    /// Who owns `offset`, or `None` outside the universe.
    pub fn owner(&self, offset: Offset) -> Option<PeerId> {
        self.marks.get(offset).map(|mark| mark.owner.0)
    }

    /// All intervals in order, as (range, epoch, version, owner); they tile the universe.
    pub fn entries(&self) -> impl Iterator<Item = (Range, u64, u64, PeerId)> + '_ {
        self.marks
            .pieces(self.universe.range())
            .map(|(range, mark)| (range, mark.epoch, mark.version, mark.owner.0))
    }

    /// The intervals that meet `within`, cut to it, with their owners.
    pub fn owners_in(&self, within: Range) -> impl Iterator<Item = (Range, PeerId)> + '_ {
        self.marks.pieces(within).map(|(range, mark)| (range, mark.owner.0))
    }

    /// What `owner` owns, in order, as few ranges as can be.
    pub fn owned_by(&self, owner: PeerId) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::new();
        for (range, ..) in self.entries().filter(|entry| entry.3 == owner) {
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                Some(_) | None => ranges.push(range),
            }
        }
        ranges
    }

    /// Everyone who owns at least one address.
    pub fn owners(&self) -> BTreeSet<PeerId> {
        self.entries().map(|(.., owner)| owner).collect()
    }

    /// Whether `peer` owns at least one address.
    pub fn owns_any(&self, peer: PeerId) -> bool {
        self.entries().any(|(.., owner)| owner == peer)
    }
}

/// Gives each of `seeds` its block of `range`. `None` when there is no seed.
fn divide(range: Range, seeds: &[PeerId], shares: &mut Vec<(u128, Mark)>) -> Option<()> {
    let first = seeds.first()?;
    if seeds.len() == 1 || range.size() == 1 {
        let mark = Mark { epoch: 0, version: 0, owner: Reverse(*first) };
        shares.push((range.size(), mark));
        return Some(());
    }
    let middle = Offset(range.start.0 + range.size() / 2);
    let (low, high) = seeds.split_at(seeds.len() / 2);
    divide(Range { end: middle, ..range }, low, shares)?;
    divide(Range { start: middle, ..range }, high, shares)
}
