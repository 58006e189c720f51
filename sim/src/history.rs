//! What happened in a run: one line per state change, and the digest that identifies the run.
//!
//! ```text
//!   12.004s      n2          ipam   allocated 10.32.0.7/24 to c4   links 2 peers 2 held 5 names 5
//!   time         host        part   what                           summary of that host
//! ```
//! The host stands in its own column, so that the eye can follow it down the page. Lines come from
//! inputs, outputs, events and faults, never from logs. The digest also covers every input that a
//! node was given, so two runs with one digest were the same to the last byte.

use std::collections::VecDeque;
use std::fmt;
use weft_core::codec;
use weft_core::io::Input;
use weft_core::time::Instant;

/// Lines kept for a failure report.
const LINES_KEPT: usize = 400;

/// FNV-1a, 64 bit (Fowler, Noll, Vo): fast, and stable over releases of Rust.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Which run it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The counts at the end of each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Control links that stand.
    pub conns: usize,
    /// Data paths that work.
    pub links: usize,
    /// Peers in reach.
    pub peers: usize,
    /// Addresses held.
    pub held: usize,
    /// Own names.
    pub names: usize,
}

/// The record of a run.
#[derive(Debug)]
pub struct History {
    lines: VecDeque<String>,
    digest: u64,
    inputs: u64,
    echo: bool,
}

impl History {
    /// An empty history; with `echo`, lines are also printed as they come.
    pub const fn new(echo: bool) -> Self {
        Self { lines: VecDeque::new(), digest: FNV_BASIS, inputs: 0, echo }
    }

    /// Notes a line; `host` is `None` for what happens to the network or the run.
    pub fn line(
        &mut self,
        at: Instant,
        host: Option<(usize, Summary)>,
        part: &str,
        what: fmt::Arguments<'_>,
    ) {
        let line = match host {
            Some((host, s)) => {
                let column = format!("{:indent$}n{}", "", host + 1, indent = 2 * host.min(6));
                let time = at.to_string();
                format!(
                    "{time:>10} {column:<15} {part:<6} {:<58} conns {} links {} peers {} held {} names {}",
                    what.to_string(),
                    s.conns,
                    s.links,
                    s.peers,
                    s.held,
                    s.names
                )
            }
            None => {
                format!("{:>10} {:<15} {part:<6} {what}", at.to_string(), "--")
            }
        };
        self.take(line.as_bytes());
        if self.echo {
            use std::io::Write as _;
            // A closed terminal is no reason to stop a run.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Takes an input into the digest.
    pub fn input(&mut self, at: Instant, host: usize, input: &Input) {
        self.inputs += 1;
        self.take(&codec::encode(&(at, host, input)));
    }

    /// The identity of the run so far.
    pub const fn digest(&self) -> Digest {
        Digest(self.digest)
    }

    /// How many inputs nodes were given.
    pub const fn inputs(&self) -> u64 {
        self.inputs
    }

    /// The last `count` lines, oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = &str> {
        self.lines.iter().skip(self.lines.len().saturating_sub(count)).map(String::as_str)
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_different_input_makes_another_digest() {
        let mut histories = [History::new(false), History::new(false), History::new(false)];
        for (history, input) in histories.iter_mut().zip([
            Input::Timeout,
            Input::Timeout,
            Input::Written { conn: weft_core::io::ConnId::dialed(0) },
        ]) {
            history.input(Instant::ZERO, 0, &input);
        }
        let [a, b, c] = histories.map(|history| history.digest());
        assert_eq!(a, b);
        assert_ne!(a, c);
    }
}
