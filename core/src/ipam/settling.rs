//! Settling: what has just come to be ours, in a takeover or by the founding, is given to nobody for a moment.
//!
//! Containers of peers that live may have addresses there: of one that was evicted while it could not be reached, or
//! whose host lost its state folder. When a universe is divided anew because all have lost theirs, they say so in
//! their records ([`super::Part::lacks`]). They ask for those addresses as soon as they hear who the owner is
//! ([`super::regain`]), and that one must not have given one to somebody else by then. What else it owns it gives
//! meanwhile. Those must hear of it and
//! ask within that moment: one question is about 1,024 ranges ([`super::message`]), and more follow each 200 ms.
//!
//! Whoever freezes for the takeover says what its containers have, and is given that in the same call
//! ([`super::freeze::Freeze::held`]). This is for those who were not heard then, and for more than one says: for a
//! moment, and in memory alone.

use crate::addr::Range;
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;

/// All that can be reached have heard of a takeover by then, and their questions have come: a few hops and busy
/// machines. Half of what anybody waits for an address, where nothing else is free.
pub(super) const SETTLE_WAIT: Duration = Duration::from_secs(1);

/// What settles, each with when it has; the first one first.
#[derive(Clone, Debug, Default)]
pub(super) struct Settling(Vec<(Range, Instant)>);

impl Settling {
    /// `range` was taken over, or divided.
    pub(super) fn add(&mut self, now: Instant, range: Range) {
        let piece = (range, now + SETTLE_WAIT);
        if self.0.last() != Some(&piece) {
            self.0.push(piece);
        }
    }

    /// Whether some of `range` settles.
    pub(super) fn meets(&self, range: Range) -> bool {
        self.parts(range).next().is_some()
    }

    /// What settles of `range`; parts of it may be there more than once.
    pub(super) fn parts(&self, range: Range) -> impl Iterator<Item = Range> {
        self.0.iter().filter_map(move |(settling, _)| settling.intersection(range))
    }

    /// `range` without what settles of it, in order.
    pub(super) fn without(&self, range: Range) -> Vec<Range> {
        let mut left = alloc::vec![range];
        for part in self.parts(range) {
            let ends = |it: Range| {
                let before = Range { end: part.start.min(it.end), ..it };
                let after = Range { start: part.end.max(it.start), ..it };
                [before, after].into_iter().filter(|it| !it.is_empty())
            };
            left = left.into_iter().flat_map(ends).collect();
        }
        left
    }

    /// Ends what is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|(_, settled_at)| *settled_at > now);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.first().map(|(_, settled_at)| *settled_at)
    }

    /// How many ranges settle.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Offset;

    fn range(start: u128, end: u128) -> Range {
        Range { start: Offset(start), end: Offset(end) }
    }

    #[test]
    fn what_settles_is_left_out_of_a_range_and_nothing_else_is() {
        let (now, whole) = (Instant::ZERO, range(10, 20));
        for (settles, left) in [
            (&[][..], &[(10, 20)][..]),
            (&[(0, 5), (20, 25)], &[(10, 20)]),
            (&[(5, 12)], &[(12, 20)]),
            (&[(12, 15), (13, 17)], &[(10, 12), (17, 20)]),
            (&[(18, 30), (10, 11)], &[(11, 18)]),
            (&[(0, 15), (15, 40)], &[]),
        ] {
            let mut settling = Settling::default();
            settles.iter().for_each(|(start, end)| settling.add(now, range(*start, *end)));
            let left: Vec<Range> = left.iter().map(|(start, end)| range(*start, *end)).collect();
            assert_eq!(settling.without(whole), left, "{settles:?}");
            assert_eq!(settling.meets(whole), left != [whole], "{settles:?}");
        }
    }
}
