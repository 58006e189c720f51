//! A whole run, kept: what is shown, drawn and compared. Written as JSON lines: a head, and then
//! one entry a line.

use super::digest::Digest;
use super::entry::{Entry, What};
use crate::scenario::PEERS_MAX;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use weft_core::time::Instant;

/// The form of recordings.
const VERSION: u32 = 1;

/// Everything that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Which run.
    pub head: Head,
    /// What happened, in order of its telling; times may differ a little from that order.
    pub entries: Vec<Entry>,
}

/// Which run it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Head {
    /// The form of the recording.
    recording: u32,
    /// What people call the run.
    pub title: String,
    /// Where its chances came from.
    pub seed: u64,
    /// How many hosts it has.
    pub hosts: usize,
    /// Its identity.
    pub digest: Digest,
    /// How much time passed in the world.
    #[serde(with = "crate::duration")]
    pub simulated: Duration,
}

/// Lines that are no recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecording {
    /// Nothing there.
    #[error("the recording is empty")]
    Empty,
    /// A line cannot be read.
    #[error("line {line} of the recording: {why}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// More hosts than any run has.
    #[error("line 1 of the recording: {hosts} hosts, expected {PEERS_MAX} at most")]
    Hosts {
        /// How many.
        hosts: usize,
    },
    /// Of another release.
    #[error("the recording has form {theirs}, expected {VERSION}: record it again")]
    Version {
        /// Its form.
        theirs: u32,
    },
}

impl Head {
    /// Of a run that is kept in the form of this release.
    pub const fn new(
        title: String,
        seed: u64,
        hosts: usize,
        digest: Digest,
        simulated: Duration,
    ) -> Self {
        Self { recording: VERSION, title, seed, hosts, digest, simulated }
    }
}

impl Recording {
    /// The rule that was broken, what about it, and when it was told.
    pub fn broken(&self) -> Option<(&str, &str, Instant)> {
        self.entries.iter().find_map(|entry| {
            let What::Broken { rule, detail } = &entry.what else { return None };
            Some((rule.as_str(), detail.as_str(), entry.at))
        })
    }

    /// The recording as JSON lines.
    ///
    /// # Errors
    /// None in practice: everything in it has a form in JSON.
    pub fn to_lines(&self) -> Result<String, serde_json::Error> {
        let mut lines = serde_json::to_string(&self.head)?;
        lines.push('\n');
        for entry in &self.entries {
            lines.push_str(&serde_json::to_string(entry)?);
            lines.push('\n');
        }
        Ok(lines)
    }

    /// Reads what [`Recording::to_lines`] wrote.
    ///
    /// # Errors
    /// Says which line cannot be read.
    pub fn from_lines(text: &str) -> Result<Self, BadRecording> {
        let bad = |line, why: &serde_json::Error| BadRecording::Line { line, why: why.to_string() };
        let mut lines = text.lines();
        let head = lines.next().ok_or(BadRecording::Empty)?;
        let head: Head = serde_json::from_str(head).map_err(|why| bad(1, &why))?;
        if head.recording != VERSION {
            return Err(BadRecording::Version { theirs: head.recording });
        }
        if head.hosts > PEERS_MAX {
            return Err(BadRecording::Hosts { hosts: head.hosts });
        }
        let entry =
            |(index, line)| serde_json::from_str::<Entry>(line).map_err(|why| bad(index + 2, &why));
        let entries = lines.enumerate().map(entry).collect::<Result<_, _>>()?;
        Ok(Self { head, entries })
    }
}
