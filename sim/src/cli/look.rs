//! `sim show`, `sim html`, `sim diff`.

use super::pick::{self, Size};
use super::say;
use anyhow::{Context as _, Result, bail};
use sim::trace::{self, Filter, Paint};
use sim::world::Peer;
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;
use weft_core::time::Instant;

/// Shows what happens in a world, one line for each change of state.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// A scenario file, a recording, or a seed.
    world: String,
    /// The seed to run a scenario file with [default: that of the file]
    #[arg(long)]
    seed: Option<u64>,
    /// Only what happens at these hosts, such as n1, and to the network
    #[arg(long)]
    host: Vec<Peer>,
    /// Only these parts, such as ipam, dns, mesh, conn, link, FAULT
    #[arg(long)]
    part: Vec<String>,
    /// Not before this time, such as 12s
    #[arg(long, value_parser = humantime::parse_duration)]
    from: Option<Duration>,
    /// Not after this time
    #[arg(long, value_parser = humantime::parse_duration)]
    to: Option<Duration>,
    /// Only lines with this text
    #[arg(long)]
    text: Option<String>,
    /// Messages too
    #[arg(long)]
    messages: bool,
    #[command(flatten)]
    size: Size,
}

impl Show {
    /// Whether all rules held.
    pub(crate) fn run(self) -> Result<bool> {
        let recording = pick::recording(&self.world, self.seed, self.size)?;
        let filter = Filter {
            hosts: self.host.into_iter().collect(),
            parts: self.part.into_iter().collect(),
            from: self.from.map(|from| Instant::ZERO + from),
            to: self.to.map(|to| Instant::ZERO + to),
            text: self.text,
            messages: self.messages,
        };
        let hosts = recording.head.hosts;
        if let Some(stranger) = filter.hosts.iter().find(|host| host.0 >= hosts) {
            bail!("there is no {stranger}: there are {hosts} hosts");
        }
        let paint = if std::io::stdout().is_terminal() { Paint::Colour } else { Paint::Plain };
        say(trace::show(&recording, &filter, paint).trim_end());
        if !recording.entries.iter().any(|entry| filter.passes(entry)) {
            let parts: BTreeSet<&str> =
                recording.entries.iter().map(|entry| entry.what.part()).collect();
            let parts: Vec<&str> = parts.into_iter().collect();
            eprintln!("no line fits; the parts of this run are {}", parts.join(", "));
        }
        Ok(recording.broken().is_none())
    }
}

/// Draws what happens in a world: time downwards, a line for each host, messages as arrows.
#[derive(Debug, clap::Args)]
pub(crate) struct Html {
    /// A scenario file, a recording, or a seed.
    world: String,
    /// The seed to run a scenario file with [default: that of the file]
    #[arg(long)]
    seed: Option<u64>,
    /// Where the page goes; it needs no other file
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    size: Size,
}

impl Html {
    /// Whether all rules held.
    pub(crate) fn run(self) -> Result<bool> {
        let recording = pick::recording(&self.world, self.seed, self.size)?;
        let page = trace::html(&recording)?;
        std::fs::write(&self.output, page).with_context(|| self.output.display().to_string())?;
        Ok(recording.broken().is_none())
    }
}

/// Says where two worlds part.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// A scenario file, a recording, or a seed.
    one: String,
    /// Another.
    other: String,
    /// Seed of the first
    #[arg(long)]
    seed: Option<u64>,
    /// Seed of the other
    #[arg(long)]
    other_seed: Option<u64>,
    /// Entries shown before and after
    #[arg(long, default_value_t = 5)]
    context: usize,
    #[command(flatten)]
    size: Size,
}

impl Diff {
    /// Whether they are the same.
    pub(crate) fn run(self) -> Result<bool> {
        let one = pick::recording(&self.one, self.seed, self.size)?;
        let other = pick::recording(&self.other, self.other_seed, self.size)?;
        say(trace::diff(&one, &other, self.context).trim_end());
        Ok(one.entries == other.entries)
    }
}
