//! `sim`: runs drawn worlds and says whether every rule held.

#![expect(
    clippy::disallowed_methods,
    reason = "the time that people wait is real; worlds never see it"
)]

use clap::{Parser, Subcommand};
use sim::scenario::{Scenario, Verdict};
use sim::trace::{self, Paint};
use std::io::{IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Simulated meshes under faults. Exits with 0 when all rules held, 1 when one was broken, 2 on
/// bad usage.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs given seeds.
    Run {
        /// First seed.
        #[arg(long)]
        seed: u64,
        /// How many seeds from there on.
        #[arg(long, default_value_t = 1)]
        seeds: u64,
        #[command(flatten)]
        size: Size,
        /// Prints one JSON object for each run.
        #[arg(long)]
        json: bool,
        /// Prints history as it happens.
        #[arg(long)]
        trace: bool,
    },
    /// Runs seed after seed, until one fails or time is up.
    Explore {
        /// For so many seconds.
        #[arg(long = "for", value_name = "SECONDS")]
        seconds: u64,
        /// First seed; by default drawn from the clock, and printed.
        #[arg(long)]
        seed: Option<u64>,
        #[command(flatten)]
        size: Size,
    },
    /// Prints one line per state change of a run.
    Show {
        #[arg(long)]
        seed: u64,
        #[command(flatten)]
        size: Size,
        /// Messages too.
        #[arg(long)]
        messages: bool,
        /// Only lines with this text.
        #[arg(long)]
        text: Option<String>,
    },
    /// Draws a run: time downwards, a line per host, messages as arrows.
    Html {
        #[arg(long)]
        seed: u64,
        #[command(flatten)]
        size: Size,
        /// Where to.
        #[arg(short, long)]
        output: std::path::PathBuf,
    },
    /// Says where the runs of two seeds part.
    Diff {
        seeds: Vec<u64>,
        #[command(flatten)]
        size: Size,
    },
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Size {
    /// Hosts; by default 1 to 5, drawn from the seed.
    #[arg(long)]
    peers: Option<usize>,
    /// Faults and commands before healing.
    #[arg(long, default_value_t = 40)]
    steps: usize,
}

impl Size {
    fn scenario(self, seed: u64) -> Scenario {
        let drawn = usize::try_from(seed % 5).unwrap_or(0) + 1;
        Scenario::swarm(seed, self.peers.unwrap_or(drawn), self.steps)
    }
}

fn main() -> ExitCode {
    let held = match Args::parse().command {
        Command::Run { seed, seeds, size, json, trace } => {
            (seed..seed.saturating_add(seeds)).all(|seed| {
                let mut scenario = size.scenario(seed);
                scenario.setup.echo = trace;
                one(&scenario, json, true)
            })
        }
        Command::Explore { seconds, seed, size } => explore(seconds, seed, size),
        Command::Show { seed, size, messages, text } => {
            let paint = if std::io::stdout().is_terminal() { Paint::Colour } else { Paint::Plain };
            let filter = trace::Filter { messages, text, ..Default::default() };
            say(trace::show(&recorded(seed, size), &filter, paint).trim_end());
            true
        }
        Command::Html { seed, size, output } => {
            let page = trace::html(&recorded(seed, size)).map_err(std::io::Error::from);
            match page.and_then(|page| std::fs::write(&output, page)) {
                Ok(()) => true,
                Err(error) => {
                    say(&format!("{}: {error}", output.display()));
                    return ExitCode::from(2);
                }
            }
        }
        Command::Diff { seeds, size } => {
            let [a, b] = seeds.as_slice() else { return ExitCode::from(2) };
            say(trace::diff(&recorded(*a, size), &recorded(*b, size), 5).trim_end());
            true
        }
    };
    ExitCode::from(u8::from(!held))
}

fn recorded(seed: u64, size: Size) -> trace::Recording {
    let scenario = size.scenario(seed);
    let (hosts, steps) = (scenario.setup.hosts, scenario.steps.len());
    scenario.run_recorded(format!("seed {seed}, {hosts} hosts, {steps} steps")).1
}

fn explore(seconds: u64, seed: Option<u64>, size: Size) -> bool {
    let clock = || {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(0)
    };
    let first = seed.unwrap_or_else(clock);
    say(&format!("exploring from seed {first}"));
    let (begun, mut count, mut simulated) = (Instant::now(), 0, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let scenario = size.scenario(first.wrapping_add(count));
        if !one(&scenario, false, false) {
            return false;
        }
        simulated += scenario
            .steps
            .last()
            .map_or(Duration::ZERO, |(at, _)| at.since(weft_core::time::Instant::ZERO));
        count += 1;
    }
    say(&format!(
        "{count} runs, over {} simulated hours, no rule broken",
        simulated.as_secs() / 3600
    ));
    true
}

/// Runs one scenario and tells of it. Returns whether all rules held.
fn one(scenario: &Scenario, json: bool, tell: bool) -> bool {
    let begun = Instant::now();
    let (seed, hosts, steps) = (scenario.setup.seed, scenario.setup.hosts, scenario.steps.len());
    let again =
        format!("cargo run -p sim --release -- run --seed {seed} --peers {hosts} --steps {steps}");
    // A panic of the core is a finding like any other; its message is on standard error already.
    let Ok(verdict) = catch_unwind(AssertUnwindSafe(|| scenario.run())) else {
        say(&format!("FAIL sim.panic   seed {seed}\n  again: {again} --trace"));
        return false;
    };
    if json {
        say(&as_json(scenario, &verdict, begun.elapsed()).to_string());
    } else if let Some(violation) = &verdict.violation {
        say(&format!(
            "{violation}   seed {seed}\n  again: {again} --trace\n  last lines:\n  {}",
            verdict.lines.join("\n  ")
        ));
    } else if tell {
        say(&format!(
            "seed {seed}: {hosts} hosts, {:.0?} simulated in {:.0?}, {} inputs, history {}",
            verdict.simulated,
            begun.elapsed(),
            verdict.inputs,
            verdict.digest
        ));
    }
    verdict.violation.is_none()
}

fn as_json(scenario: &Scenario, verdict: &Verdict, took: Duration) -> serde_json::Value {
    serde_json::json!({
        "seed": scenario.setup.seed,
        "hosts": scenario.setup.hosts,
        "steps": scenario.steps.len(),
        "passed": verdict.violation.is_none(),
        "rule": verdict.violation.as_ref().map(|violation| violation.rule),
        "detail": verdict.violation.as_ref().map(|violation| &violation.detail),
        "at_seconds": verdict.violation.as_ref().map(|v| v.at.as_nanos() as f64 / 1e9),
        "history": verdict.digest.to_string(),
        "simulated_seconds": verdict.simulated.as_secs_f64(),
        "wall_seconds": took.as_secs_f64(),
        "inputs": verdict.inputs,
        "last_lines": verdict.lines,
    })
}

fn say(text: &str) {
    // A closed pipe is no reason to panic, and there is nobody left to tell.
    let _ = writeln!(std::io::stdout(), "{text}");
}
