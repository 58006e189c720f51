//! Which world is meant.

use anyhow::{Context as _, Result, bail};
use clap::builder::RangedU64ValueParser;
use sim::scenario::{PEERS_MAX, Scenario};
use sim::trace::Recording;
use std::path::Path;

/// Most steps of a drawn world, as of a block of a scenario file.
const STEPS_MAX: u64 = 1_000_000;

/// How large drawn worlds are.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Size {
    /// Hosts of a drawn world [default: 1 to 5, by the seed]
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=PEERS_MAX as u64))]
    peers: Option<usize>,
    /// Faults and commands of a drawn world before it heals
    #[arg(long, default_value_t = 40, value_parser = RangedU64ValueParser::<usize>::new().range(..=STEPS_MAX))]
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

/// `text` as one argument of a shell, so that what is printed can be pasted.
pub(crate) fn as_argument(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=,:@".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_that_a_shell_would_take_apart_is_quoted() {
        assert_eq!(as_argument("sim/scenarios/mesh/frames.toml"), "sim/scenarios/mesh/frames.toml");
        assert_eq!(as_argument("two words.toml"), "'two words.toml'");
        assert_eq!(as_argument("it's;$x"), r"'it'\''s;$x'");
    }
}
