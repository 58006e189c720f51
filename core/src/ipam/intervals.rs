//! A value for each of many offsets in a row, kept once for each piece in which it stays the same.
//!
//! An update cuts at most two pieces, and takes time linear in those that it meets; all others cost
//! it the logarithm of their number.

use crate::addr::{Offset, Range};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A value for each offset from 0 up to a size. Two are equal when they say the same of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Intervals<T> {
    /// By first offset; each runs up to the next. Neighbours differ.
    starts: BTreeMap<u128, T>,
    /// The end of the last piece.
    size: u128,
}

impl<T: Clone + PartialEq> Intervals<T> {
    /// `value` for all offsets below `size`.
    pub(super) fn new(size: u128, value: T) -> Self {
        core::iter::once((size, value)).collect()
    }

    /// How many offsets have a value.
    pub(super) const fn size(&self) -> u128 {
        self.size
    }

    /// How many pieces there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The value at `at`, or `None` when that is beyond the last.
    pub(super) fn get(&self, at: Offset) -> Option<&T> {
        let (_, value) = self.starts.range(..=at.0).next_back()?;
        (at.0 < self.size).then_some(value)
    }

    /// What tiles `within`, in order: the longest pieces of one value each, cut to it.
    pub(super) fn pieces(&self, within: Range) -> impl Iterator<Item = (Range, &T)> {
        let none = Range { start: Offset(0), end: Offset(0) };
        let Range { start, end } = self.clip(within).unwrap_or(none);
        let first = self.starts.range(..=start.0).next_back().map_or(0, |(&at, _)| at);
        let mut starts = self.starts.range(first..end.0.max(first)).peekable();
        core::iter::from_fn(move || {
            let (&at, value) = starts.next()?;
            let next = starts.peek().map_or(end.0, |(next, _)| **next);
            Some((Range { start: start.max(Offset(at)), end: Offset(next) }, value))
        })
    }

    /// Has `change` change the values of `within`, piece by piece from the last to the first.
    pub(super) fn update(&mut self, within: Range, mut change: impl FnMut(Range, &mut T)) {
        let Some(Range { start, end }) = self.clip(within) else { return };
        self.split(start.0);
        self.split(end.0);
        let mut piece_end = end;
        for (&at, value) in self.starts.range_mut(start.0..end.0).rev() {
            let piece = Range { start: Offset(at), end: piece_end };
            change(piece, value);
            piece_end = piece.start;
        }
        self.join(start.0, end.0);
    }

    /// What of `within` has values; `None` when that is nothing.
    fn clip(&self, within: Range) -> Option<Range> {
        within.intersection(Range { start: Offset(0), end: Offset(self.size) })
    }

    /// Cuts the piece that `at` lies in, so that one starts there.
    fn split(&mut self, at: u128) {
        if at < self.size
            && let Some((&start, value)) = self.starts.range(..=at).next_back()
            && start != at
        {
            let value = value.clone();
            self.starts.insert(at, value);
        }
    }

    /// Removes cuts from `start` to `end` that separate equals.
    fn join(&mut self, start: u128, end: u128) {
        let mut before = self.starts.range(..start).next_back().map(|(_, value)| value);
        let cuts = self.starts.range(start..=end);
        let needless = cuts.filter(|&(_, value)| before.replace(value) == Some(value));
        for at in needless.map(|(&at, _)| at).collect::<Vec<_>>() {
            self.starts.remove(&at);
        }
    }
}

/// From values in order, each with the number of offsets in a row that have it.
impl<T: PartialEq> FromIterator<(u128, T)> for Intervals<T> {
    fn from_iter<I: IntoIterator<Item = (u128, T)>>(runs: I) -> Self {
        let mut all = Self::default();
        for (size, value) in runs {
            let last = all.starts.last_key_value();
            if size > 0 && last.is_none_or(|(_, last)| *last != value) {
                all.starts.insert(all.size, value);
            }
            all.size += size;
        }
        all
    }
}

/// Of no offsets at all.
impl<T> Default for Intervals<T> {
    fn default() -> Self {
        Self { starts: BTreeMap::new(), size: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Offsets and a few beyond the last, so that some updates are cut.
    const SIZE: u128 = 24;

    fn any_range() -> impl Strategy<Value = Range> {
        // Some of them empty, and some the wrong way round.
        (0..SIZE + 4, 0..SIZE + 4)
            .prop_map(|(start, end)| Range { start: Offset(start), end: Offset(end) })
    }

    fn runs() -> impl Strategy<Value = Vec<(u128, u8)>> {
        proptest::collection::vec((0u128..6, 0u8..3), 0..9)
    }

    /// The value of each offset.
    fn values(runs: &[(u128, u8)]) -> Vec<u8> {
        runs.iter().flat_map(|&(size, value)| (0..size).map(move |_| value)).collect()
    }

    /// The offsets below `size` that lie in `within`.
    fn offsets(within: Range, size: usize) -> impl Iterator<Item = usize> {
        (0..size).filter(move |at| within.contains(Offset(u128::try_from(*at).unwrap())))
    }

    /// One for each offset of `pieces`, which must be longest ones in order.
    fn unrolled<'a>(pieces: impl Iterator<Item = (Range, &'a u8)>) -> Vec<(usize, u8)> {
        let mut all: Vec<(usize, u8)> = Vec::new();
        for (range, value) in pieces {
            let is_cut = all.last().is_none_or(|&(at, last)| {
                range.start != Offset(u128::try_from(at + 1).unwrap()) || last != *value
            });
            assert!(is_cut && !range.is_empty(), "{range:?} is no piece");
            all.extend(
                (range.start.0..range.end.0).map(|at| (usize::try_from(at).unwrap(), *value)),
            );
        }
        all
    }

    proptest! {
        #[test]
        fn what_it_says_of_each_offset_is_what_a_plain_list_says(
            runs in runs(),
            changes in proptest::collection::vec((any_range(), 0u8..3, any::<bool>()), 0..12),
            within in any_range(),
        ) {
            let mut list = values(&runs);
            let mut map: Intervals<u8> = runs.into_iter().collect();
            for (range, value, is_most) in changes {
                let change = |held: &mut u8| *held = if is_most { value.max(*held) } else { value };
                let mut seen = Vec::new();
                map.update(range, |piece, held| {
                    seen.push((piece, *held));
                    change(held);
                });
                let seen = unrolled(seen.iter().rev().map(|(piece, held)| (*piece, held)));
                let held = offsets(range, list.len()).map(|at| (at, list[at]));
                prop_assert_eq!(seen, held.collect::<Vec<_>>());
                offsets(range, list.len()).for_each(|at| change(&mut list[at]));
            }
            for at in 0..list.len() + 2 {
                let offset = Offset(u128::try_from(at).unwrap());
                prop_assert_eq!(map.get(offset), list.get(at));
            }
            let there = offsets(within, list.len()).map(|at| (at, list[at])).collect::<Vec<_>>();
            prop_assert_eq!(unrolled(map.pieces(within)), there);
            // As few pieces as can be, so that equal ones are kept alike.
            let again: Intervals<u8> = list.iter().map(|value| (1, *value)).collect();
            prop_assert_eq!(map.len(), list.chunk_by(|one, two| one == two).count());
            prop_assert_eq!(map, again);
        }
    }
}
