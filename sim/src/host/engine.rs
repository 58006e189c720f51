//! The container engine of one host: which containers live, and how it tells of them.

use crate::net::Share;
use std::collections::BTreeMap;
use std::time::Duration;
use weft_core::id::ContainerId;

/// How well an engine tells what becomes of containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Telling {
    /// Share of what it never tells.
    pub lost: Share,
    /// Longest time after which it tells.
    pub late: Duration,
    /// Share of what it tells twice.
    pub twice: Share,
}

/// Every container that it ever had, and whether it lives.
#[derive(Debug, Default)]
pub struct Engine {
    containers: BTreeMap<ContainerId, bool>,
    /// How it tells of them.
    pub telling: Telling,
}

impl Engine {
    /// An engine without containers, which tells all at once.
    pub const fn new() -> Self {
        Self {
            containers: BTreeMap::new(),
            telling: Telling { lost: Share::NONE, late: Duration::ZERO, twice: Share::NONE },
        }
    }

    /// `id` begins or ends. Returns whether that changes anything.
    pub fn set(&mut self, id: &ContainerId, lives: bool) -> bool {
        self.containers.insert(id.clone(), lives).unwrap_or(false) != lives
    }

    /// Whether `id` lives; `None` when it is none of this engine.
    pub fn lives(&self, id: &ContainerId) -> Option<bool> {
        self.containers.get(id).copied()
    }

    /// Every container that there ever was.
    pub fn ids(&self) -> impl Iterator<Item = &ContainerId> {
        self.containers.keys()
    }

    /// Ends all that do not pass.
    pub fn keep(&mut self, passes: impl Fn(&ContainerId) -> bool) {
        for (id, lives) in &mut self.containers {
            *lives &= passes(id);
        }
    }
}
