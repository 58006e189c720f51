//! `sim replay`.

use super::say;
use anyhow::{Context as _, Result};
use sim::replay::replay;
use std::ffi::OsString;
use std::path::PathBuf;
use weft_core::flight::{End, Flight, FlightKey};

/// Runs what a daemon recorded again (`weft launch --record FILE`), and compares.
///
/// Exits with 0 when the node does the same, 1 when it does not, 2 when the recording cannot be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// The recording
    file: PathBuf,
    /// Its key, without which nobody can run it [default: FILE.key]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Replay {
    /// Whether it did the same.
    pub(crate) fn run(self) -> Result<bool> {
        let key = self.key.unwrap_or_else(|| {
            let mut name = OsString::from(&self.file);
            name.push(".key");
            name.into()
        });
        let bytes = std::fs::read(&self.file).with_context(|| self.file.display().to_string())?;
        let secret = std::fs::read(&key).with_context(|| {
            format!(
                "cannot read the key {}: the launch that made the recording wrote it beside it; put it there, or say where it is with --key",
                key.display()
            )
        })?;
        let secret = <[u8; 32]>::try_from(secret).ok().with_context(|| {
            format!("{} is no key: expected 32 bytes, as weft writes them", key.display())
        })?;
        let flight = Flight::read(&bytes, &FlightKey(secret));
        let flight = flight.with_context(|| self.file.display().to_string())?;
        let (by, until) =
            (flight.takeoff.version.clone(), flight.calls.last().map(|call| call.now));
        let same = match replay(flight) {
            Ok(same) => same,
            Err(difference) => {
                say(&format!("{difference}\n  recorded by weft {by}"));
                return Ok(false);
            }
        };
        let until = until.unwrap_or_default().mono;
        say(&format!("the same: {} calls until {until}, recorded by weft {by}", same.calls));
        match same.end {
            End::Whole => {}
            End::Cut => say("the recording ends in the middle of an entry: its writer was cut off"),
            End::Full => say("the recording was full then; the daemon went on"),
        }
        if let Some(last) = same.last {
            say(&format!("the recording ends inside this call: {last}"));
        }
        Ok(true)
    }
}
