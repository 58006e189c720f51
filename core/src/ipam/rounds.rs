//! How evictions are numbered, and how far their numbers may leap.
//!
//! Each peer's evictions are counted by themselves, from one. What is said of another peer, and in which
//! epochs others own their addresses, is of no account: nobody can use up all numbers by naming some peer.

use super::Ipam;
use super::freeze::{Freeze, ROUND_MAX};
use crate::id::PeerId;
use alloc::collections::BTreeMap;

/// How far a round may lie above all that are known of the same victim. Rounds go up by one with each
/// eviction that is begun, so that one every other second for weeks, and none of them heard of, is within. A
/// liar that jumps so far each time needs 2^22 records to use up the rounds of one peer.
pub(super) const ROUND_LEAP_MAX: u64 = 1 << 20;

impl Ipam {
    /// Whether the rounds of `freeze` are such as could have been reached. When one is not, it may lie
    /// further off by one leap the next time: so a peer that missed what led there catches up in the end.
    pub fn admits_rounds(&mut self, freeze: &Freeze) -> bool {
        let most = ROUND_LEAP_MAX.saturating_add(self.evictions_lead);
        let mut tops: BTreeMap<PeerId, u64> =
            freeze.stances.keys().map(|victim| (*victim, 0)).collect();
        for (victim, stance) in self.freezes.values().flat_map(|said| &said.stances) {
            if let Some(top) = tops.get_mut(victim) {
                *top = stance.eviction.round.max(*top);
            }
        }
        let top = |victim| tops.get(victim).copied().unwrap_or_default();
        let mut stances = freeze.stances.iter();
        let admits = stances
            .all(|(victim, stance)| stance.eviction.round <= top(victim).saturating_add(most));
        if !admits {
            self.evictions_lead = self.evictions_lead.saturating_add(ROUND_LEAP_MAX);
        }
        admits
    }

    /// The round of the next eviction of `victim`, above all that are known; `None` when they are used up.
    pub(super) fn next_round(&self, victim: PeerId) -> Option<u64> {
        let said = self.freezes.values().filter_map(|freeze| freeze.stances.get(&victim));
        let top = said.map(|stance| stance.eviction.round).max().unwrap_or(0);
        top.checked_add(1).filter(|next| *next <= ROUND_MAX)
    }
}
