//! A network namespace that stands for a container.

use crate::command::{Done, run};
use crate::tools::{inside, within};
use anyhow::Result;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A network namespace that is on no network until it is attached.
#[derive(Clone, Debug)]
pub struct Container {
    /// As `ip netns` knows it.
    pub namespace: String,
}

impl Container {
    /// `program` inside, as a command to be completed and run.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        inside(&self.namespace, program.as_ref())
    }

    /// Runs `program` inside.
    ///
    /// # Errors
    /// When it cannot be started or does not end in 20 s.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<Done> {
        run(self.command(program).args(args), PATIENCE)
    }

    /// Runs `work` on a thread that is inside: the sockets that it opens are, too.
    ///
    /// # Errors
    /// Those of `work`, and when the kernel refuses.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        within(&self.namespace, work)
    }

    /// Whether one ping to `to` is answered within a second.
    ///
    /// # Errors
    /// When ping cannot be run.
    pub fn pings(&self, to: impl Into<IpAddr>) -> Result<bool> {
        let to = to.into().to_string();
        Ok(self.run("ping", &["-n", "-c", "1", "-W", "1", &to])?.code == 0)
    }

    /// Waits until a ping to `to` is answered.
    ///
    /// # Errors
    /// When none is within 10 s.
    pub fn wait_pings(&self, to: impl Into<IpAddr>) -> Result<()> {
        let to = to.into();
        let what = format!("{} gets an answer from {to}", self.namespace);
        crate::wait_until(&what, Duration::from_secs(10), || self.pings(to).unwrap_or_default())
    }
}
