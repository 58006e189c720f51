//! Where log lines go.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;

/// The DNS library tells of every question at `info`.
const QUIET_DNS: &str = "hickory_server=warn";

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard error: a daemon in the foreground.
    Stderr,
    /// A file, appended to: a daemon in the background.
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
            let is_terminal = std::io::stderr().is_terminal();
            lines.with_ansi(is_terminal).with_writer(std::io::stderr).try_init()
        }
        Target::File(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            lines.with_ansi(false).with_writer(Mutex::new(file)).try_init()
        }
    };
    started.map_err(|why| anyhow::anyhow!("cannot set up logging: {why}"))
}
