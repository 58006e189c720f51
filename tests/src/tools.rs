//! Programs that tests run: `ip`, and what was built with them.

use crate::command::run;
use crate::outcome;
use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// `program` in the namespace `name`, with that namespace's /sys, as `ip netns exec` does it.
pub(crate) fn inside(name: &str, program: &Path) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name]).arg(program);
    command
}

/// Runs `work` on a thread that is in the namespace `name`: the sockets that it opens are, too.
///
/// # Errors
/// Those of `work`, and when the kernel refuses.
pub(crate) fn within<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let namespace = File::open(format!("/run/netns/{name}"))?;
    let inside = || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).context("cannot enter the namespace")?;
        work()
    };
    outcome(thread::scope(|scope| scope.spawn(inside).join()))
}

/// Runs `ip` with `words`, separated by spaces.
///
/// # Errors
/// When it does not end with 0.
pub fn ip(words: &str) -> Result<String> {
    run(Command::new("ip").args(words.split_whitespace()), PATIENCE)?.ok()
}

/// The binary `name` that was built together with this test.
///
/// # Errors
/// When it is not there; says how to build it.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    // target/debug/deps/TEST or target/debug/BINARY.
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let found = found.into_iter().find(|path| path.is_file());
    let package = if name == "weft" { "weft" } else { "weft-tests" };
    found.with_context(|| format!("{name} is missing, build it first: cargo build -p {package}"))
}

/// Checks that programs are there, each given with the Debian package that brings it.
///
/// # Errors
/// When some are missing; says how to install them.
pub fn installed(tools: &[(&str, &str)]) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let missing = |tool: &str| !path.split(':').any(|folder| Path::new(folder).join(tool).exists());
    let packages: BTreeSet<_> =
        tools.iter().filter(|(tool, _)| missing(tool)).map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = packages.into_iter().collect();
    bail!("programs are missing, install: apt-get install {}", packages.join(" "))
}
