//! `sim steady`: how fast a large mesh runs here.

use super::gathered::{Mesh, sizes};
use super::say;
use anyhow::Result;
use sim::world::Counted;
use std::time::{Duration, Instant};

/// Measures how fast a large mesh gathers, and how fast it runs while nothing happens.
///
/// Each peer is told of one other, and finds its neighbours by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Steady {
    /// How many peers
    #[arg(long, default_value_t = 1_000, value_parser = sizes())]
    peers: usize,
    /// How long nothing happens, on the world's clock
    #[arg(long = "for", value_parser = humantime::parse_duration, default_value = "60s")]
    span: Duration,
    /// Where chances come from
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Steady {
    /// Whether no more time passed here than there.
    pub(crate) fn run(self) -> Result<bool> {
        let begun = Instant::now();
        let mut mesh = Mesh::gather(self.peers, self.seed)?;
        say(&format!(
            "{} peers know each other after {} ({:.1} s of real time)",
            self.peers,
            mesh.world.now,
            begun.elapsed().as_secs_f64(),
        ));
        mesh.found()?;
        let inputs = mesh.world.trace.inputs();
        let bytes = mesh.total(Counted::Bytes);
        let begun = Instant::now();
        mesh.world.run_for(self.span)?;
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
