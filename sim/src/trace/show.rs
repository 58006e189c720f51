//! A run as text: one line of fixed width per state change.
//!
//! ```text
//!       time  n1 n2 n3  part   what                              conn link peer held name
//!    12.004s  |  n2     ipam   allocated 10.32.0.7/24 to c4         2    2    3    5    5
//! ```
//! Each host has a column: its name where it acts, a bar while it runs, nothing while it does not.
//! Where there are more hosts than fit on a line, one column names the one that acts.

use super::entry::{Entry, Summary, What};
use super::recording::Recording;
use crate::peer::Peer;
use std::collections::BTreeSet;
use weft_core::time::Instant;

/// Letters for what happened, of a host and of the network; longer ones are cut.
const WHAT_LEN: usize = 64;
const WHAT_LEN_WIDE: usize = WHAT_LEN + SUMMARY_LEN;
const SUMMARY_LEN: usize = 25;

/// Most hosts that have a column each: with more, lines are longer than a screen is wide.
const COLUMNS_MAX: usize = 9;

/// Whether a terminal is to paint it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Text alone.
    Plain,
    /// With the escape sequences of a terminal.
    Colour,
}

/// Which lines to show.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What happened at these hosts, and in the network; all when empty.
    pub hosts: BTreeSet<Peer>,
    /// These parts only; all when empty. Upper and lower case are one.
    pub parts: BTreeSet<String>,
    /// Not before.
    pub from: Option<Instant>,
    /// Not after.
    pub to: Option<Instant>,
    /// Only lines that have this text in them. Upper and lower case are one.
    pub text: Option<String>,
    /// Messages too.
    pub messages: bool,
}

impl Filter {
    /// Whether `entry` is to be shown.
    pub fn passes(&self, entry: &Entry) -> bool {
        let part = entry.what.part();
        let here = |host| self.hosts.is_empty() || self.hosts.contains(&host);
        (self.messages || entry.what.is_change())
            && entry.host.is_none_or(here)
            && (self.parts.is_empty()
                || self.parts.iter().any(|wanted| wanted.eq_ignore_ascii_case(part)))
            && self.from.is_none_or(|from| entry.at >= from)
            && self.to.is_none_or(|to| entry.at <= to)
            && self.text.as_ref().is_none_or(|wanted| {
                entry.what.text().to_lowercase().contains(&wanted.to_lowercase())
            })
    }
}

/// A column per host, and whether its node runs.
#[derive(Clone, Debug)]
pub struct Columns {
    runs: Vec<bool>,
}

impl Columns {
    /// So many hosts, none of which runs.
    pub fn new(hosts: usize) -> Self {
        Self { runs: vec![false; hosts] }
    }

    /// The names of the columns.
    pub fn head(&self) -> String {
        let names: String = if self.is_crowd() {
            wide_cell("host")
        } else {
            (0..self.runs.len()).map(|host| cell(&Peer(host).to_string())).collect()
        };
        format!("{:>10}  {names} part   {:<WHAT_LEN$} conn link peer held name", "time", "what")
    }

    const fn is_crowd(&self) -> bool {
        self.runs.len() > COLUMNS_MAX
    }

    /// Goes past `entry` without a line.
    pub fn pass(&mut self, entry: &Entry) {
        let runs = match &entry.what {
            What::Start { .. } => true,
            What::Crash { .. } => false,
            What::Fault { .. }
            | What::Heal { .. }
            | What::Note { .. }
            | What::Ask { .. }
            | What::Reply { .. }
            | What::Event { .. }
            | What::Broken { .. }
            | What::Ways { .. }
            | What::Sent { .. }
            | What::Arrived { .. }
            | What::Lost { .. } => return,
        };
        if let Some(column) = entry.host.and_then(|host| self.runs.get_mut(host.0)) {
            *column = runs;
        }
    }

    /// The line of `entry`, without an end.
    pub fn line(&mut self, entry: &Entry, paint: Paint) -> String {
        self.pass(entry);
        let (style, faint, plain) = match paint {
            Paint::Plain => ("", "", ""),
            Paint::Colour => (style(entry), "\x1b[2m", "\x1b[0m"),
        };
        let acts = |peer: Peer, cell: fn(&str) -> String| {
            format!("{style}{}{plain}", cell(&peer.to_string()))
        };
        let column = |(host, runs): (usize, &bool)| match entry.host {
            Some(peer) if peer.0 == host => acts(peer, cell),
            Some(_) | None if *runs => format!("{faint}{}{plain}", cell("|")),
            Some(_) | None => cell(""),
        };
        let columns: String = if self.is_crowd() {
            entry.host.map_or_else(|| wide_cell(""), |peer| acts(peer, wide_cell))
        } else {
            self.runs.iter().enumerate().map(column).collect()
        };
        let len = if entry.summary.is_some() { WHAT_LEN } else { WHAT_LEN_WIDE };
        let (part, what) = (entry.what.part(), cut(&entry.what.text(), len));
        let time = entry.at.to_string();
        let counts = entry.summary.map_or_else(String::new, |summary| counts(&summary));
        let line = format!("{time:>10}  {columns} {style}{part:<6} {what}{plain}");
        if counts.is_empty() {
            return line;
        }
        let pad = len.saturating_sub(what.chars().count());
        format!("{line}{:pad$}{faint}{counts}{plain}", "")
    }
}

fn cell(text: &str) -> String {
    format!("{text:<3}")
}

/// A cell in which the names of all hosts of any scenario find room.
fn wide_cell(text: &str) -> String {
    format!("{text:<7}")
}

fn counts(summary: &Summary) -> String {
    let Summary { conns, links, peers, held, names } = summary;
    format!("{conns:>5}{links:>5}{peers:>5}{held:>5}{names:>5}")
}

/// `text` in one line of at most `len` letters.
fn cut(text: &str, len: usize) -> String {
    let mut letters = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut line: String = letters.by_ref().take(len).collect();
    if letters.next().is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// How a terminal paints what happened: red breaks, green heals, and each part has its own.
fn style(entry: &Entry) -> &'static str {
    match entry.what.part() {
        "BROKEN" => "\x1b[1;97;41m",
        "FAULT" => "\x1b[1;31m",
        "HEAL" => "\x1b[1;32m",
        "lost" => "\x1b[31m",
        "ipam" => "\x1b[33m",
        "dns" => "\x1b[35m",
        "mesh" => "\x1b[32m",
        "link" => "\x1b[36m",
        "conn" => "\x1b[34m",
        "gossip" => "\x1b[31m",
        "ask" | "reply" => "\x1b[1m",
        _ => "",
    }
}

/// The state changes of a run that `filter` lets through, one a line, below a line that names the
/// columns.
pub fn show(recording: &Recording, filter: &Filter, paint: Paint) -> String {
    let mut columns = Columns::new(recording.head.hosts);
    let mut text = columns.head();
    text.push('\n');
    for entry in &recording.entries {
        if filter.passes(entry) {
            text.push_str(columns.line(entry, paint).trim_end());
            text.push('\n');
        } else {
            columns.pass(entry);
        }
    }
    text
}
