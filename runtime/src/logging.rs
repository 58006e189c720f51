//! Where log lines go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The DNS library tells of every question at `info`.
const QUIET_DNS: &str = "hickory_server=warn";

/// A log longer than this, in bytes, becomes the old one, and a new one is begun. Both are in a
/// folder that is memory on many hosts.
const LOG_LEN_MAX: u64 = 4 << 20;

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard error: a daemon in the foreground.
    Stderr,
    /// A file, appended to: a daemon in the background. What was in it before is kept as `FILE.old`
    /// when it has become long.
    File(PathBuf),
}

/// Sends all log lines of at least `level` (a filter such as `info` or `weft=debug`) to `target`.
///
/// # Errors
/// When the filter is malformed, the file cannot be opened, or logs already go somewhere.
pub fn init(target: &Target, level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level)?.add_directive(QUIET_DNS.parse()?);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    let started = match target {
        Target::Stderr => {
            let is_terminal = io::stderr().is_terminal();
            lines.with_ansi(is_terminal).with_writer(io::stderr).try_init()
        }
        Target::File(path) => {
            let file = LogFile::open(path, LOG_LEN_MAX)?;
            lines.with_ansi(false).with_writer(Mutex::new(file)).try_init()
        }
    };
    started.map_err(|why| anyhow::anyhow!("cannot set up logging: {why}"))
}

/// Checks a filter and keeps it as it was written. A word alone must be a level: the library would
/// take it for the name of a module, and log nothing.
///
/// # Errors
/// What is wrong with it.
pub fn level(text: &str) -> Result<String, String> {
    for part in text.split(',').filter(|part| !part.contains(['=', '['])) {
        // To the library, nothing at all is a level too.
        let level = part.trim().parse::<LevelFilter>().ok().filter(|_| !part.trim().is_empty());
        if level.is_none() {
            return Err(format!(
                "'{part}' is no level: expected error, warn, info, debug or trace"
            ));
        }
    }
    EnvFilter::try_new(text).map_err(|why| why.to_string())?;
    Ok(text.to_owned())
}

/// A file that is put aside when it has become long.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    len: u64,
    len_max: u64,
}

impl LogFile {
    fn open(path: &Path, len_max: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { path: path.into(), file, len, len_max })
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.len >= self.len_max {
            let mut old = self.path.clone().into_os_string();
            old.push(".old");
            fs::rename(&self.path, old)?;
            *self = Self::open(&self.path, self.len_max)?;
        }
        let written = self.file.write(bytes)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_log_that_has_become_long_is_put_aside_once() {
        let dir = TempDir::new();
        let path = dir.join("weft.log");
        let mut log = LogFile::open(&path, 100).unwrap();
        for n in 0..1_000 {
            writeln!(log, "line {n}").unwrap();
        }
        let sizes =
            ["weft.log", "weft.log.old"].map(|name| fs::metadata(dir.join(name)).unwrap().len());
        assert!(sizes.into_iter().all(|len| len < 120), "{sizes:?}");
        assert_eq!(fs::read_dir(&*dir).unwrap().count(), 2);
        assert!(fs::read_to_string(&path).unwrap().ends_with("line 999\n"));
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in ["info", "WARN", "weft=debug", "info,weft_core=trace", "off"] {
            assert_eq!(level(good).as_deref(), Ok(good));
        }
        for bad in ["nonsense", "", "info,loom", "weft=loom"] {
            assert!(level(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
