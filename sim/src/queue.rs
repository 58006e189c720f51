//! What will happen, ordered by time and, at one time, by when it was decided.

use crate::net::{EndIndex, StreamId};
use crate::scenario::Act;
use std::collections::BTreeMap;
use weft_core::io::Input;
use weft_core::time::Instant;

/// One thing that will happen.
#[derive(Debug)]
pub enum Happening {
    /// A node is told something, if it still runs and the conn, if any, is still its own.
    Input {
        /// Whom.
        host: usize,
        /// In which of its runs.
        boot: u64,
        /// What.
        input: Input,
    },
    /// A dial arrives.
    Syn {
        /// Of which stream.
        stream: StreamId,
    },
    /// The next piece of a stream arrives.
    Pump {
        /// Of which stream.
        stream: StreamId,
        /// At which end.
        end: EndIndex,
    },
    /// Whoever sends to `end` stops trying, if it is stalled since `since`.
    Abandon {
        /// On which stream.
        stream: StreamId,
        /// Towards which end.
        end: EndIndex,
        /// Since when.
        since: Instant,
    },
    /// A datagram arrives.
    Datagram {
        /// From which host.
        from: usize,
        /// At which host.
        to: usize,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// A step of the plan.
    Act(Act),
}

/// The future.
#[derive(Debug, Default)]
pub struct Queue {
    happenings: BTreeMap<(Instant, u64), Happening>,
    sequence: u64,
}

impl Queue {
    /// Adds what happens at `at`, behind all that happens then already.
    pub fn push(&mut self, at: Instant, happening: Happening) {
        self.happenings.insert((at, self.sequence), happening);
        self.sequence += 1;
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Instant> {
        self.happenings.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next thing.
    pub fn pop(&mut self) -> Option<(Instant, Happening)> {
        self.happenings.pop_first().map(|((at, _), happening)| (at, happening))
    }
}
