//! Which marks of the core a run reached.
//!
//! The core tells one observer for the whole process; here it writes into a set of the thread, and
//! a world runs on one thread, so runs side by side do not mix.

use std::cell::Cell;
use std::fmt;
use weft_core::mark::{self, Mark};

/// 64 marks in each word.
const WORDS: usize = Mark::ALL.len().div_ceil(64);

thread_local! {
    static REACHED: Cell<Marks> = const { Cell::new(Marks::NONE) };
}

/// How the core tells us.
static OBSERVER: fn(Mark) = reached;

fn reached(mark: Mark) {
    REACHED.set(REACHED.get().with(mark));
}

/// A set of marks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Marks([u64; WORDS]);

impl Marks {
    /// None of them.
    pub const NONE: Self = Self([0; WORDS]);

    /// Does `work` on this thread; also returns the marks that it reached.
    pub fn during<T>(work: impl FnOnce() -> T) -> (T, Self) {
        mark::observe(&OBSERVER);
        let outer = REACHED.replace(Self::NONE);
        let done = work();
        let inner = REACHED.get();
        REACHED.set(outer.and(inner));
        (done, inner)
    }

    /// Those of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        self
    }

    #[must_use]
    fn with(mut self, mark: Mark) -> Self {
        let number = mark as usize;
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
        self
    }

    /// Whether `mark` is among them.
    pub fn has(&self, mark: Mark) -> bool {
        let number = mark as usize;
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Those that are there, in order.
    pub fn iter(&self) -> impl Iterator<Item = Mark> + '_ {
        Mark::ALL.iter().copied().filter(|mark| self.has(*mark))
    }

    /// Those that are not, in order.
    pub fn missing(&self) -> impl Iterator<Item = Mark> + '_ {
        Mark::ALL.iter().copied().filter(|mark| !self.has(*mark))
    }
}

impl Default for Marks {
    fn default() -> Self {
        Self::NONE
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Mark::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reached_inside_is_reached_outside_too_and_not_the_other_way_round() {
        let ((_, inner), outer) = Marks::during(|| {
            reached(Mark::StartFirst);
            Marks::during(|| reached(Mark::NamesTakenIn))
        });
        assert_eq!(inner.iter().collect::<Vec<_>>(), [Mark::NamesTakenIn]);
        assert_eq!(outer.iter().collect::<Vec<_>>(), [Mark::StartFirst, Mark::NamesTakenIn]);
        assert_eq!(outer.missing().count(), Mark::ALL.len() - 2);
    }
}
