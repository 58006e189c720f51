//! Questions to other owners for addresses: who is asked next, and who need not be.

use super::wants::Waiting;
use crate::addr::Range;
use crate::id::PeerId;
use crate::mark::{Mark, mark};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

/// A donor that has not answered for this long is passed over for the next one: longer than a round trip around
/// the world over a few hops, and short enough that within the 2 s of a call five can be asked.
const ANSWER_MAX: Duration = Duration::from_millis(400);

/// So long a donor that has said no is not asked again: addresses are given back at any time, and one who waits
/// may follow the other without end. No shorter than anybody waits, who would else be told that this donor
/// has not answered.
const DENIED_MAX: Duration = Duration::from_secs(2);

/// Questions to other owners, by the range asked for; one at a time for each range.
#[derive(Clone, Debug, Default)]
pub(super) struct Asks(BTreeMap<Range, Ask>);

#[derive(Clone, Debug, Default)]
struct Ask {
    /// Who was asked, and when that counts as silence.
    open: Option<(PeerId, Instant)>,
    /// Who has said no, and was not silent since; and when that counts no more, unless it has passed.
    denied: BTreeMap<PeerId, Option<Instant>>,
    silent: BTreeSet<PeerId>,
}

impl Ask {
    /// Whether it need not be asked: it has just said no.
    fn denies(&self, peer: PeerId) -> bool {
        self.denied.get(&peer).is_some_and(Option::is_some)
    }
}

/// What asking came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Ask this peer.
    Tell(PeerId),
    /// An answer may still come.
    Waiting,
    /// All said no.
    Denied,
    /// There is nobody to ask.
    Nobody,
}

impl Asks {
    /// Picks whom to ask for `range` among `donors`, who can be reached and own part of it, each
    /// with the logarithm of its free space: at random, those with more space sooner. Those who
    /// were silent are asked again once all others are through.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        range: Range,
        donors: &BTreeMap<PeerId, u8>,
        rng: &mut ChaCha20Rng,
    ) -> Asked {
        let ask = self.0.entry(range).or_default();
        if ask.open.is_some_and(|(peer, _)| donors.contains_key(&peer)) {
            return Asked::Waiting;
        }
        if ask.open.is_some() {
            mark(Mark::AskDonorGone);
        }
        if donors.is_empty() {
            self.0.remove(&range);
            return Asked::Nobody;
        }
        if donors.keys().all(|peer| ask.denies(*peer)) {
            return Asked::Denied;
        }
        if donors.keys().all(|peer| ask.denies(*peer) || ask.silent.contains(peer)) {
            mark(Mark::AskSilentAgain);
            ask.silent.clear();
        }
        let left =
            donors.iter().filter(|(peer, _)| !ask.denies(**peer) && !ask.silent.contains(*peer));
        let draw = left.map(|(peer, log2)| {
            let weight = (1u64 << (*log2).min(31)) - 1;
            (weight * u64::from(rng.next_u32()), *peer)
        });
        let Some((_, peer)) = draw.max() else { return Asked::Nobody };
        ask.open = Some((peer, now + ANSWER_MAX));
        Asked::Tell(peer)
    }

    /// How many ranges are asked for.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// `from` has nothing in `range`.
    pub(super) fn denied(&mut self, now: Instant, range: Range, from: PeerId) {
        if let Some(ask) = self.0.get_mut(&range)
            && ask.open.is_some_and(|(peer, _)| peer == from)
        {
            mark(Mark::AskDenied);
            ask.open = None;
            ask.denied.insert(from, Some(now + DENIED_MAX));
        } else {
            mark(Mark::AskLateDenial);
        }
    }

    /// Whether `peer` has said that it has nothing in `range`, since somebody waits for that, and has not
    /// kept us waiting since.
    pub(super) fn has_denied(&self, range: Range, peer: PeerId) -> bool {
        self.0.get(&range).is_some_and(|ask| ask.denied.contains_key(&peer))
    }

    /// `peer` says how much it has to give: what it said before may be so no more.
    pub(super) fn hinted(&mut self, peer: PeerId) {
        let denials = self.0.values_mut().filter_map(|ask| ask.denied.get_mut(&peer));
        denials.for_each(|until| *until = None);
    }

    /// We came to own `given`: whatever was asked about it starts over.
    pub(super) fn given(&mut self, given: Range) {
        self.0.retain(|range, _| range.intersection(given).is_none());
    }

    /// Passes over those who have not answered in time, and comes back to those who said no a while ago.
    pub(super) fn expire(&mut self, now: Instant) {
        for ask in self.0.values_mut() {
            for until in ask.denied.values_mut() {
                if until.take_if(|until| *until <= now).is_some() {
                    mark(Mark::AskDenialPassed);
                }
            }
            if let Some((peer, _)) = ask.open.take_if(|(_, silent_at)| *silent_at <= now) {
                mark(Mark::AskSilent);
                ask.denied.remove(&peer);
                ask.silent.insert(peer);
            }
        }
    }

    /// Forgets what nobody waits for.
    pub(super) fn keep(&mut self, waiting: &[Waiting]) {
        let wanted: BTreeSet<Range> = waiting.iter().flat_map(|w| w.want.ranges()).collect();
        self.0.retain(|range, _| wanted.contains(range));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let silent = self.0.values().filter_map(|ask| ask.open).map(|(_, silent_at)| silent_at);
        let denied = self.0.values().flat_map(|ask| ask.denied.values().copied().flatten());
        silent.chain(denied).min()
    }
}
