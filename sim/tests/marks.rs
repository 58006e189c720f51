//! Marks of the core: the catalogue reaches all of them.

use anyhow::{Result, ensure};
use sim::marks::Marks;
use sim::scenario::Scenario;
use std::path::Path;

/// Seeds that each scenario is run with, as in `scenarios.rs`: what depends on chance must not hang
/// on one of them.
const SEEDS: u64 = 3;

/// Scenarios with more hosts than this are run with their own seed only.
const MANY: usize = 8;

/// What all scenarios in `folder` reach, in order of nothing.
fn reached_in(folder: &Path) -> Result<Marks> {
    let mut marks = Marks::NONE;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            marks = marks.and(reached_in(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            let scenario = Scenario::from_text(&std::fs::read_to_string(&path)?);
            let scenario = scenario.map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
            if !scenario.is_for_tests() {
                continue;
            }
            let first = scenario.setup.seed;
            let seeds = if scenario.setup.hosts > MANY { 1 } else { SEEDS };
            for seed in first..first + seeds {
                marks = marks.and(scenario.clone().with_seed(seed).run().marks);
            }
        }
    }
    Ok(marks)
}

#[test]
fn the_catalogue_reaches_every_mark() -> Result<()> {
    let marks = reached_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios"))?;
    let missing: Vec<String> =
        marks.missing().map(|mark| format!("{mark}: {}", mark.meaning())).collect();
    ensure!(
        missing.is_empty(),
        "{} marks were never reached:\n{}",
        missing.len(),
        missing.join("\n")
    );
    Ok(())
}
