//! `sim shrink`.

use super::pick::{self, Size};
use super::{say, verdict};
use anyhow::{Context as _, Result};
use sim::shrink::{Effort, shrink};
use std::path::PathBuf;

/// Makes a world that breaks a rule small, and writes it as a scenario file.
#[derive(Debug, clap::Args)]
pub(crate) struct Shrink {
    /// A scenario file, or a seed.
    world: String,
    /// The seed that breaks the rule [default: that of the file]
    #[arg(long)]
    seed: Option<u64>,
    /// Where the scenario goes [default: standard output]
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Most runs
    #[arg(long, default_value_t = Effort::default().runs)]
    runs: usize,
    #[command(flatten)]
    size: Size,
}

impl Shrink {
    /// False, since a rule was broken; true when none is.
    pub(crate) fn run(self) -> Result<bool> {
        let scenario = pick::scenario(&self.world, self.seed, self.size)?;
        let effort = Effort { runs: self.runs, ..Effort::default() };
        let shrunk = shrink(&scenario, effort, |best| {
            eprint!("\r{} steps, {} peers   ", best.steps.len(), best.setup.hosts);
        });
        let Some(shrunk) = shrunk else {
            say(&format!("{} breaks no rule", scenario.title));
            return Ok(true);
        };
        eprintln!("\r{} runs: {} steps left", shrunk.runs, shrunk.scenario.steps.len());
        let text = shrunk.scenario.to_text();
        match &self.output {
            None => say(text.trim_end()),
            Some(path) => {
                std::fs::write(path, text).with_context(|| path.display().to_string())?;
                let verdict = shrunk.scenario.run();
                let again = pick::as_argument(&path.display().to_string());
                say(&verdict::failure(&shrunk.scenario, &verdict, &again));
            }
        }
        Ok(false)
    }
}
