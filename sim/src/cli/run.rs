//! `sim run`.

use super::pick::{self, Size};
use super::{say, verdict};
use anyhow::{Context as _, Result, ensure};
use sim::scenario::{Scenario, Verdict};
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Instant;

/// Runs a world, with one seed or with many.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// A scenario file, or a seed.
    world: String,
    /// First seed [default: that of the file]
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds from there on; stops at the first that breaks a rule
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Prints one JSON object for each run
    #[arg(long)]
    json: bool,
    /// Prints what happens as it happens, on standard error
    #[arg(long)]
    echo: bool,
    /// Writes everything that happens to a file, for `show`, `html` and `diff`
    #[arg(long, value_name = "FILE.jsonl")]
    record: Option<PathBuf>,
    #[command(flatten)]
    size: Size,
}

impl Run {
    /// Whether all rules held.
    pub(crate) fn run(self) -> Result<bool> {
        if let Some(path) = &self.record {
            ensure!(self.seeds == 1, "only a single run can be recorded");
            ensure!(
                pick::is_recording(path),
                "{} would not be known for a recording: let its name end in .jsonl",
                path.display()
            );
            // A run may take long: that it was for nothing is said before it.
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
            file.with_context(|| path.display().to_string())?;
        }
        let first = pick::scenario(&self.world, self.seed, self.size)?;
        if let Some(waits) = &first.waits {
            say(&format!("{} waits for {waits}", first.title));
        }
        let begin = first.setup.seed;
        for number in 0..self.seeds {
            let seed = begin.wrapping_add(number);
            let mut scenario = match self.world.parse::<u64>() {
                // What is drawn differs with the seed; what a file says does not.
                Ok(_) if seed != begin => self.size.scenario(seed),
                Ok(_) | Err(_) => first.clone().with_seed(seed),
            };
            scenario.setup.echo = self.echo;
            if !self.one(&scenario)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn one(&self, scenario: &Scenario) -> Result<bool> {
        let begun = Instant::now();
        let verdict = self.verdict(scenario)?;
        let took = begun.elapsed();
        if self.json {
            say(&verdict::as_json(scenario, &verdict, took).to_string());
        } else if verdict.violation.is_some() {
            let seed = scenario.setup.seed;
            let again = match self.world.parse::<u64>() {
                Ok(_) => format!("{seed}{}", self.size.options()),
                Err(_) => format!("{} --seed {seed}", pick::as_argument(&self.world)),
            };
            say(&verdict::failure(scenario, &verdict, &again));
        } else {
            say(&verdict::success(scenario, &verdict, took));
        }
        Ok(verdict.violation.is_none())
    }

    fn verdict(&self, scenario: &Scenario) -> Result<Verdict> {
        let Some(path) = &self.record else { return Ok(scenario.run()) };
        let (verdict, recording) = scenario.run_recorded();
        let lines = recording.to_lines()?;
        std::fs::write(path, lines).with_context(|| path.display().to_string())?;
        Ok(verdict)
    }
}
