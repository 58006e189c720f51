//! `sim steady`.

use super::say;
use anyhow::{Result, bail, ensure};
use sim::check::Violation;
use sim::world::{Own, Peer, Setup, World};
use std::time::{Duration, Instant};

/// Peers that each peer is told to dial; as many dial it.
const DIALS: usize = 4;

/// Peers that found the mesh. More of them would only vote longer.
const VOTERS: usize = 3;

/// A mesh that does not know itself after this time of the world's clock never will.
const GATHER_MAX: Duration = Duration::from_secs(600);

/// How often it is looked whether all know all, on the world's clock.
const LOOK_WAIT: Duration = Duration::from_millis(100);

/// Measures how fast a large mesh gathers, and how fast it runs while nothing happens.
///
/// Each peer links with 8 others.
#[derive(Debug, clap::Args)]
pub(crate) struct Steady {
    /// How many peers
    #[arg(long, default_value_t = 1_000)]
    peers: usize,
    /// How long nothing happens, on the world's clock
    #[arg(long = "for", value_parser = humantime::parse_duration, default_value = "60s")]
    span: Duration,
    /// Where chances come from
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Steady {
    /// Whether all rules held, and no more time passed here than there.
    pub(crate) fn run(self) -> Result<bool> {
        ensure!(self.peers > 2 * DIALS, "a mesh of {} peers is not large", self.peers);
        let mut world = self.setup().start();
        let begun = Instant::now();
        while !self.is_gathered(&world) {
            if world.now.since(weft_core::time::Instant::ZERO) > GATHER_MAX {
                bail!("after {GATHER_MAX:?} not all peers know all others");
            }
            if let Err(violation) = world.run_for(LOOK_WAIT) {
                return Ok(broken(&violation));
            }
        }
        say(&format!(
            "{} peers know each other after {} ({:.1} s of real time)",
            self.peers,
            world.now,
            begun.elapsed().as_secs_f64(),
        ));
        let inputs = world.trace.inputs();
        let begun = Instant::now();
        if let Err(violation) = world.run_for(self.span) {
            return Ok(broken(&violation));
        }
        let took = begun.elapsed();
        let inputs = world.trace.inputs() - inputs;
        let rate = self.span.as_secs_f64() / took.as_secs_f64().max(f64::EPSILON);
        say(&format!(
            "{:?} in which nothing happens: {:.1} s of real time, {rate:.1} times as fast, {inputs} events",
            self.span,
            took.as_secs_f64(),
        ));
        Ok(rate >= 1.0)
    }

    /// Peers in a circle, each of which dials the next one and some far ahead, so that all are near
    /// to each other.
    fn setup(&self) -> Setup {
        let mut setup = Setup::new(self.seed, self.peers);
        (setup.discovery, setup.voters, setup.dials) = (false, VOTERS, Some(DIALS));
        let observer = || Own { observer: true, ..Own::default() };
        setup.own = (VOTERS..self.peers).map(|host| (Peer(host), observer())).collect();
        setup
    }

    fn is_gathered(&self, world: &World) -> bool {
        let mut running = world.hosts.iter().filter_map(|host| host.running.as_ref());
        running.all(|running| running.summary.peers + 1 == self.peers)
    }
}

fn broken(violation: &Violation) -> bool {
    say(&violation.to_string());
    false
}
