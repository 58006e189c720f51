//! What people type: `sim COMMAND`.

mod explore;
mod gathered;
mod interrupt;
mod list;
mod look;
mod pick;
mod replay;
mod run;
mod scale;
mod shrink;
mod steady;
mod verdict;

use anyhow::Result;
use clap::{Parser, Subcommand};
use sim::check::Violation;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

/// How a command ends that could not say what it came to.
const UNSAID: i32 = 2;

/// Simulated meshes under faults.
///
/// Exits with 0 when all rules held, 1 when one was broken, 2 when there is nothing to run, 130 when a
/// search was interrupted.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
A world is named by a scenario file (sim/SCENARIOS.md says what can stand in it), by a recording
(`sim run --record`), or by the number of a seed, from which everything is drawn.

  sim explore --for 60s            search drawn worlds for a broken rule
  sim run sim/scenarios/founding/noisy-quorum.toml --seeds 200
  sim show 17 --part ipam          what happened in the world of seed 17
  sim shrink 17 -o small.toml      a small scenario that breaks the same rule
  sim html small.toml -o small.html"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Explore(explore::Explore),
    Replay(replay::Replay),
    Shrink(shrink::Shrink),
    Show(look::Show),
    Html(look::Html),
    Diff(look::Diff),
    List(list::List),
    Steady(steady::Steady),
    Scale(scale::Scale),
}

/// What all commands come to.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let held = match held(args.command) {
        Ok(held) => held,
        Err(error) => {
            say(&error.downcast::<Violation>()?.to_string());
            false
        }
    };
    Ok(ExitCode::from(u8::from(!held)))
}

/// Whether all rules held.
fn held(command: Command) -> Result<bool> {
    Ok(match command {
        Command::Run(run) => run.run()?,
        Command::Explore(explore) => explore.run()?,
        Command::Replay(replay) => replay.run()?,
        Command::Shrink(shrink) => shrink.run()?,
        Command::Show(show) => show.run()?,
        Command::Html(html) => html.run()?,
        Command::Diff(diff) => diff.run()?,
        Command::List(list) => list.run()?,
        Command::Steady(steady) => steady.run()?,
        Command::Scale(scale) => scale.run()?,
    })
}

/// A line on standard output. When nobody reads it any more (`sim explore | head -1`), or it cannot be
/// written, there is nothing left to do.
fn say(text: &str) {
    if let Err(why) = writeln!(std::io::stdout(), "{text}") {
        if why.kind() != ErrorKind::BrokenPipe {
            eprintln!("sim: standard output: {why}");
        }
        std::process::exit(UNSAID);
    }
}
