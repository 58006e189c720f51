//! Which world is meant.

use anyhow::{Context as _, Result, ensure};
use clap::builder::RangedU64ValueParser;
use sim::scenario::{PEERS_MAX, Scenario};
use sim::trace::Recording;
use std::path::Path;

/// Most steps of a drawn world, as of a block of a scenario file.
const STEPS_MAX: u64 = 1_000_000;

/// Steps of a drawn world when nothing else is said.
const STEPS: usize = 40;

/// How the names of recordings end.
const RECORDING: &str = "jsonl";

/// How large drawn worlds are.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Size {
    /// Hosts of a drawn world [default: 1 to 5, by the seed]
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=PEERS_MAX as u64))]
    peers: Option<usize>,
    /// Faults and commands of a drawn world before it heals [default: 40]
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(..=STEPS_MAX))]
    steps: Option<usize>,
}

impl Size {
    /// The world of a seed.
    pub(crate) fn scenario(self, seed: u64) -> Scenario {
        let drawn = usize::try_from(seed % 5).unwrap_or(0) + 1;
        Scenario::swarm(seed, self.peers.unwrap_or(drawn), self.steps.unwrap_or(STEPS))
    }

    /// The options that give the same again, with a space in front of each.
    pub(crate) fn options(self) -> String {
        let peers = self.peers.map_or_else(String::new, |peers| format!(" --peers {peers}"));
        let steps = self.steps.map_or_else(String::new, |steps| format!(" --steps {steps}"));
        peers + &steps
    }

    /// Whether anything is said of the size.
    const fn is_given(self) -> bool {
        self.peers.is_some() || self.steps.is_some()
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

/// Whether `path` is named as a recording is.
pub(crate) fn is_recording(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == RECORDING)
}

/// The scenario of a file.
pub(crate) fn read(path: &Path) -> Result<Scenario> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Scenario::from_text(&text).with_context(|| path.display().to_string())
}

/// The scenario that `world` names, as a file or as a seed; with `seed`, under that one.
pub(crate) fn scenario(world: &str, seed: Option<u64>, size: Size) -> Result<Scenario> {
    if let Ok(of_world) = world.parse() {
        ensure!(
            seed.is_none(),
            "`{world}` is a seed already: leave `--seed` out, or name a scenario file"
        );
        return Ok(size.scenario(of_world));
    }
    let path = Path::new(world);
    ensure!(
        path.exists(),
        "there is no file `{world}`, and it is no seed either: seeds are 0 to {}",
        u64::MAX
    );
    ensure!(!path.is_dir(), "{world} is a folder: name a file in it, which `sim list` shows");
    ensure!(
        !is_recording(path),
        "{world} is a recording, which `show`, `html` and `diff` read: name the scenario that it is of"
    );
    ensure!(
        !size.is_given(),
        "`--peers` and `--steps` are for drawn worlds: {world} says itself what it has"
    );
    let scenario = read(path)?;
    Ok(match seed {
        None => scenario,
        Some(seed) => scenario.with_seed(seed),
    })
}

/// All that happens in the world that `world` names: a recording is read, all else is run again.
pub(crate) fn recording(world: &str, seed: Option<u64>, size: Size) -> Result<Recording> {
    let path = Path::new(world);
    if !is_recording(path) {
        return Ok(scenario(world, seed, size)?.run_recorded().1);
    }
    ensure!(
        seed.is_none() && !size.is_given(),
        "{world} is a recording: its seed and its size are what they were"
    );
    let text = std::fs::read_to_string(path).with_context(|| world.to_owned())?;
    Recording::from_lines(&text).with_context(|| world.to_owned())
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
