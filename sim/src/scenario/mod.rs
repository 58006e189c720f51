//! Scenarios: how a world is set up and what befalls it, made before the run.

mod down;
mod file;
mod play;
mod random;
mod removal;
mod sight;
mod sound;
mod spread;
mod step;
mod swarm;
mod table;
mod trust;
mod void;
mod watch;

pub use file::{BadScenario, PEERS_MAX};
pub use play::Verdict;
pub use random::{Block, Class};
pub use sight::Sight;
pub use step::{BadOutcome, Deed, Expected, Outcome, Step};
pub use watch::EXPECTED;

use crate::choices::Choices;
use crate::peer::Peer;
use crate::world::Setup;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::Duration;

/// A world and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What people call it.
    pub title: String,
    /// What must be built before it can pass, if anything.
    pub waits: Option<String>,
    /// How long a run of it takes, if that is too long for the tests.
    pub takes: Option<String>,
    /// How it begins.
    pub setup: Setup,
    /// What happens when, in order of time.
    pub steps: Vec<Step>,
    /// Times for which steps are drawn.
    pub blocks: Vec<Block>,
    /// How it ends.
    pub end: End,
}

/// How a scenario ends: faults are over, all hosts run, and the mesh must settle and serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct End {
    /// Whether it has to settle at all.
    pub settle: bool,
    /// Whether every host must then hand out an address, or say that none is left.
    pub serve: bool,
    /// Hosts that are not started again.
    pub gone: BTreeSet<Peer>,
    /// Whether these, and whoever hosts were before they lost their disks, are removed by an operator before
    /// any host must hand out an address.
    pub removes: bool,
    /// Rules that are not judged in this scenario.
    pub except: BTreeSet<String>,
    /// Time to settle in; else the longest that a healthy mesh may take.
    #[serde(with = "crate::duration::optional", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

impl Default for End {
    fn default() -> Self {
        Self {
            settle: true,
            serve: true,
            gone: BTreeSet::new(),
            removes: false,
            except: BTreeSet::new(),
            within: None,
        }
    }
}

impl Scenario {
    /// Whether tests run it: it waits for nothing, and takes no long time.
    pub const fn is_for_tests(&self) -> bool {
        self.waits.is_none() && self.takes.is_none()
    }

    /// The same with another seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.setup.seed = seed;
        self
    }

    /// The same without `gone`: its steps are dropped, and later peers move up by one. `None` when
    /// it would have no peer at all.
    pub fn without(&self, gone: Peer) -> Option<Self> {
        let mut all = self.clone();
        let hosts = self.setup.hosts.checked_sub(1).filter(|left| *left > 0)?;
        let moved = |peer: Peer| match peer.0.cmp(&gone.0) {
            Ordering::Less => Some(peer),
            Ordering::Equal => None,
            Ordering::Greater => Some(Peer(peer.0 - 1)),
        };
        if all.setup.voters == all.setup.hosts {
            all.setup.voters = hosts;
        }
        all.setup.hosts = hosts;
        let walls = all.setup.walls.iter();
        all.setup.walls = walls.filter_map(|(a, b)| Some((moved(*a)?, moved(*b)?))).collect();
        let own = std::mem::take(&mut all.setup.own).into_iter();
        all.setup.own = own.filter_map(|(peer, own)| Some((moved(peer)?, own))).collect();
        for own in all.setup.own.values_mut() {
            if let Some(dials) = &mut own.dials {
                *dials = dials.iter().filter_map(|peer| moved(*peer)).collect();
            }
        }
        all.end.gone = all.end.gone.iter().filter_map(|peer| moved(*peer)).collect();
        all.steps = self.steps.iter().filter_map(|step| table::moved(step, moved)).collect();
        Some(all)
    }

    /// The same with the steps of its blocks drawn, as its seed has it.
    #[must_use]
    pub fn unfolded(mut self) -> Self {
        let mut choices = Choices::seeded(self.setup.seed);
        for block in std::mem::take(&mut self.blocks) {
            self.steps.extend(block.draw(&mut choices, &self.setup));
        }
        self.steps.sort_by_key(|step| step.at);
        self.without_void_steps()
    }
}
