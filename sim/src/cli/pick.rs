//! Which world is meant.

use anyhow::{Context as _, Result, bail};
use sim::scenario::Scenario;
use sim::trace::Recording;
use std::path::Path;

/// How large drawn worlds are.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Size {
    /// Hosts of a drawn world [default: 1 to 5, by the seed]
    #[arg(long)]
    peers: Option<usize>,
    /// Faults and commands of a drawn world before it heals
    #[arg(long, default_value_t = 40)]
    steps: usize,
}

impl Size {
    /// The world of a seed.
    pub(crate) fn scenario(self, seed: u64) -> Scenario {
        let drawn = usize::try_from(seed % 5).unwrap_or(0) + 1;
        Scenario::swarm(seed, self.peers.unwrap_or(drawn), self.steps)
    }

    /// The options that give the same again, with a space in front of each.
    pub(crate) fn options(self) -> String {
        let peers = self.peers.map_or_else(String::new, |peers| format!(" --peers {peers}"));
        let steps =
            if self.steps == 40 { String::new() } else { format!(" --steps {}", self.steps) };
        peers + &steps
    }
}

/// The scenario of a file.
pub(crate) fn read(path: &Path) -> Result<Scenario> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Scenario::from_text(&text).with_context(|| path.display().to_string())
}

/// The scenario that `world` names, as a file or as a seed; with `seed`, under that one.
pub(crate) fn scenario(world: &str, seed: Option<u64>, size: Size) -> Result<Scenario> {
    let scenario = match world.parse() {
        Ok(of_world) => size.scenario(of_world),
        Err(_) => read(Path::new(world))?,
    };
    Ok(match seed {
        None => scenario,
        Some(seed) => scenario.with_seed(seed),
    })
}

/// All that happens in the world that `world` names: a recording is read, all else is run again.
pub(crate) fn recording(world: &str, seed: Option<u64>, size: Size) -> Result<Recording> {
    let path = Path::new(world);
    if path.extension().is_some_and(|ending| ending == "jsonl") {
        if seed.is_some() {
            bail!("{world} is a recording: it has its seed already");
        }
        let text = std::fs::read_to_string(path).with_context(|| world.to_owned())?;
        return Recording::from_lines(&text).with_context(|| world.to_owned());
    }
    Ok(scenario(world, seed, size)?.run_recorded().1)
}
