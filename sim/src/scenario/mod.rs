//! Scenarios: how a world is set up and what befalls it, made before the run.

mod random;

use crate::check::Violation;
use crate::net::Share;
use crate::trace::{Digest, Head, Recording};
use crate::world::{Act, Peer, Setup, World, container};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use weft_core::io::{Command, CommandError};
use weft_core::time::Instant;

/// Datagrams that a healed network may still lose.
const CALM_LOSS: Share = Share::per_thousand(50);

/// A world and its fate.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// How it begins.
    pub setup: Setup,
    /// What happens when, in order of time.
    pub steps: Vec<(Instant, Act)>,
}

/// What came of a scenario.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The rule that was broken, if any.
    pub violation: Option<Violation>,
    /// Which run it was.
    pub digest: Digest,
    /// How much time passed in the world.
    pub simulated: Duration,
    /// How often nodes were called.
    pub inputs: u64,
    /// The last state changes, below a line that names the columns.
    pub lines: Vec<String>,
}

impl Scenario {
    /// Runs it: faults and commands, then healing, then the mesh must settle and serve.
    pub fn run(&self) -> Verdict {
        let mut world = World::new(&self.setup);
        let outcome = self.play(&mut world);
        conclude(&mut world, outcome)
    }

    /// Runs it as [`Scenario::run`] does, and keeps everything that happens. A panic of the core is
    /// a broken rule here.
    pub fn run_recorded(&self, title: String) -> (Verdict, Recording) {
        let mut world = World::new(&self.setup);
        world.record();
        let played = catch_unwind(AssertUnwindSafe(|| self.play(&mut world)));
        let outcome = played.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let detail = text.unwrap_or("the core panicked").to_owned();
            Err(Violation { rule: "sim.panic", at: world.now, detail })
        });
        let verdict = conclude(&mut world, outcome);
        let Setup { seed, hosts, .. } = self.setup;
        let head = Head::new(title, seed, hosts, verdict.digest, verdict.simulated);
        (verdict, Recording { head, entries: world.trace.into_entries() })
    }

    fn play(&self, world: &mut World) -> Result<(), Violation> {
        for host in 0..self.setup.hosts {
            let wait = Duration::from_millis(world.draw(1_500));
            world.plan(Instant::ZERO + wait, Act::Start { peer: Peer(host) });
        }
        for (at, act) in &self.steps {
            world.plan(*at, act.clone());
        }
        let last = self.steps.last().map_or(Instant::ZERO, |(at, _)| *at);
        world.run_for(last.since(Instant::ZERO) + Duration::from_secs(2))?;

        world.heal();
        world.net.paths.adjust(|conditions| conditions.loss = conditions.loss.min(CALM_LOSS));
        for host in 0..self.setup.hosts {
            world.hosts[host].crash_after = None;
            world.boot(host);
        }
        world.settle(self.setup.settle_max())?;
        for host in 0..self.setup.hosts {
            let id = container("last");
            let id = if host == 0 { id } else { container(&format!("last{host}")) };
            match world.answer(host, Command::Allocate { id, subnet: None })? {
                Ok(_) | Err(CommandError::Exhausted { .. }) => {}
                Err(error) => {
                    let detail = format!("n{} does not serve a settled mesh: {error}", host + 1);
                    return Err(Violation { rule: "ipam.serves", at: world.now, detail });
                }
            }
        }
        world.settle(self.setup.settle_max()).map(|_| ())
    }
}

fn conclude(world: &mut World, outcome: Result<(), Violation>) -> Verdict {
    if let Err(violation) = &outcome {
        world.tell_broken(violation);
    }
    Verdict {
        violation: outcome.err(),
        digest: world.digest(),
        simulated: world.now.since(Instant::ZERO),
        inputs: world.trace.inputs(),
        lines: world.trace.last(12),
    }
}
