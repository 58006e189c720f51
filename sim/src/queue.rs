//! What will happen, ordered by time and, at one time, by when it was decided.

use std::collections::BTreeMap;
use weft_core::time::Instant;

/// Things of kind `T` that will happen.
#[derive(Clone, Debug)]
pub struct Queue<T> {
    things: BTreeMap<(Instant, u64), T>,
    sequence: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Queue<T> {
    /// Nothing will happen.
    pub const fn new() -> Self {
        Self { things: BTreeMap::new(), sequence: 0 }
    }

    /// Adds what happens at `at`, behind all that happens then already.
    pub fn push(&mut self, at: Instant, thing: T) {
        self.things.insert((at, self.sequence), thing);
        self.sequence += 1;
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Instant> {
        self.things.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next thing.
    pub fn pop(&mut self) -> Option<(Instant, T)> {
        self.things.pop_first().map(|((at, _), thing)| (at, thing))
    }
}
