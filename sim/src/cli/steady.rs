//! `sim steady` and `sim scale`: what a mesh costs, by its size.

use super::say;
use anyhow::{Result, bail, ensure};
use sim::check::Violation;
use sim::world::{Counted, Own, Peer, Setup, World};
use std::time::{Duration, Instant};

/// Peers that found the mesh. More of them would only vote longer.
const VOTERS: usize = 3;

/// A mesh that does not know itself after this time of the world's clock never will.
const GATHER_MAX: Duration = Duration::from_secs(600);

/// How often it is looked whether all know all, on the world's clock.
const LOOK_WAIT: Duration = Duration::from_millis(100);

/// Links that came about while the mesh gathered are given up in this time, when others took their place.
const SETTLE: Duration = Duration::from_secs(90);

/// Measures how fast a large mesh gathers, and how fast it runs while nothing happens.
///
/// Each peer is told of one other, and finds its neighbours by itself.
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
        let begun = Instant::now();
        let mut mesh = match Mesh::gather(self.peers, self.seed)? {
            Ok(mesh) => mesh,
            Err(violation) => return Ok(broken(&violation)),
        };
        say(&format!(
            "{} peers know each other after {} ({:.1} s of real time)",
            self.peers,
            mesh.world.now,
            begun.elapsed().as_secs_f64(),
        ));
        if let Err(violation) = mesh.world.run_for(SETTLE) {
            return Ok(broken(&violation));
        }
        let inputs = mesh.world.trace.inputs();
        let bytes = mesh.total(Counted::Bytes);
        let begun = Instant::now();
        if let Err(violation) = mesh.world.run_for(self.span) {
            return Ok(broken(&violation));
        }
        let took = begun.elapsed();
        let inputs = mesh.world.trace.inputs() - inputs;
        let bytes = mesh.total(Counted::Bytes) - bytes;
        let rate = self.span.as_secs_f64() / took.as_secs_f64().max(f64::EPSILON);
        say(&format!(
            "{:?} in which nothing happens: {:.1} s of real time, {rate:.1} times as fast, {inputs} events",
            self.span,
            took.as_secs_f64(),
        ));
        let span = self.span.as_secs_f64();
        say(&format!(
            "each peer: {:.1} links, {:.0} bytes sent in a second",
            mesh.per_peer(mesh.total(Counted::Links)),
            mesh.per_peer(bytes) / span
        ));
        Ok(rate >= 1.0)
    }
}

/// A mesh whose peers all know each other.
struct Mesh {
    world: World,
}

impl Mesh {
    /// Starts `peers` peers, each of which is told of one that has a lower number.
    fn gather(peers: usize, seed: u64) -> Result<Result<Self, Violation>> {
        ensure!(peers > VOTERS, "a mesh of {peers} peers is not large");
        let mut setup = Setup::new(seed, peers);
        setup.voters = VOTERS;
        for host in 0..peers {
            let dials = host.checked_sub(1).map(|before| Peer(before / 2));
            let dials = Some(dials.into_iter().collect());
            let own = Own { dials, observer: host >= VOTERS, ..Own::default() };
            setup.own.insert(Peer(host), own);
        }
        let mut mesh = Self { world: setup.start() };
        while !mesh.is_gathered() {
            if mesh.world.now.since(weft_core::time::Instant::ZERO) > GATHER_MAX {
                bail!("after {GATHER_MAX:?} not all peers know all others");
            }
            if let Err(violation) = mesh.world.run_for(LOOK_WAIT) {
                return Ok(Err(violation));
            }
        }
        Ok(Ok(mesh))
    }

    fn is_gathered(&self) -> bool {
        let peers = self.world.hosts.len();
        let mut running = self.world.hosts.iter().filter_map(|host| host.running.as_ref());
        running.all(|running| running.summary.peers + 1 == peers)
    }

    /// Of all peers together.
    fn total(&self, counted: Counted) -> u64 {
        (0..self.world.hosts.len()).map(|host| self.world.count(host, counted)).sum()
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn per_peer(&self, total: u64) -> f64 {
        total as f64 / self.world.hosts.len().max(1) as f64
    }
}

fn broken(violation: &Violation) -> bool {
    say(&violation.to_string());
    false
}
