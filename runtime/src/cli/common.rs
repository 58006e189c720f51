//! What all commands share: their common options, how they fail, and how they print.

use crate::api::client::{Client, ClientError};
use crate::daemon::Folders;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What every command understands.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Folder for what is kept across starts and boots
    #[arg(
        long,
        global = true,
        display_order = 900,
        value_name = "DIR",
        env = "WEFT_STATE_DIR",
        default_value = "/var/lib/weft"
    )]
    pub(crate) state_dir: PathBuf,
    /// Folder for the control socket and the log
    #[arg(
        long,
        global = true,
        display_order = 901,
        value_name = "DIR",
        env = "WEFT_RUN_DIR",
        default_value = "/run/weft"
    )]
    pub(crate) run_dir: PathBuf,
    /// Print JSON
    #[arg(long, global = true, display_order = 902)]
    pub(crate) json: bool,
    /// Set by `launch`, with its own process id, for the process that stays
    #[arg(long, global = true, hide = true)]
    pub(crate) daemon_of: Option<i32>,
    /// Set by `run`, with its own process id, for the process that becomes the command
    #[arg(long, global = true, hide = true)]
    pub(crate) command_of: Option<i32>,
}

impl Common {
    /// Where the files of the daemon are.
    pub(crate) fn folders(&self) -> Folders {
        Folders { state_dir: self.state_dir.clone(), run_dir: self.run_dir.clone() }
    }

    /// A way to the daemon of our run folder.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.folders().socket())
    }
}

/// Why a command failed: one line for the operator, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) code: u8,
}

impl Failure {
    pub(crate) fn new(message: impl ToString) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    pub(crate) fn usage(message: impl ToString) -> Self {
        Self { message: message.to_string(), code: 2 }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match error {
            ClientError::NotRunning(_) => 3,
            ClientError::Forbidden(_)
            | ClientError::Refused { .. }
            | ClientError::Broken { .. } => 1,
        };
        Self { message: error.to_string(), code }
    }
}

/// Time between two attempts at what may be met later; a daemon waits for others itself, for longer.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// What `ask` comes to: with `wait` only once it is met, or can never be. Says on stderr what it waits for.
pub(crate) async fn patiently<T>(
    wait: bool,
    ask: impl AsyncFn() -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let mut told = None;
    loop {
        match ask().await {
            Err(ClientError::Refused { message, may_pass: true, .. }) if wait => {
                if told.as_ref() != Some(&message) {
                    complain(&format!("waiting: {message}"));
                    told = Some(message);
                }
                tokio::time::sleep(RETRY_WAIT).await;
            }
            answer => return answer,
        }
    }
}

pub(crate) type Outcome = Result<(), Failure>;

/// Prints `text` as it is.
pub(crate) fn print(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read us has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|e| Failure::new(format!("cannot write to stdout: {e}"))),
    }
}

/// Prints one line.
pub(crate) fn say(line: impl std::fmt::Display) -> Outcome {
    print(&format!("{line}\n"))
}

/// Prints a value as JSON.
pub(crate) fn say_json(value: &impl serde::Serialize) -> Outcome {
    say(serde_json::to_string_pretty(value).map_err(Failure::new)?)
}

/// Prints one line on stderr, with our name in front.
pub(crate) fn complain(message: &str) {
    // Nobody is left to be told when stderr is closed.
    let _ = writeln!(std::io::stderr(), "weft: {}", message.trim_end().replace('\n', "; "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::client::Absence;

    #[test]
    fn no_daemon_is_told_apart_from_other_failures() {
        let socket = PathBuf::from("/run/weft/weft.sock");
        let error = ClientError::NotRunning(Absence::NoSocket(socket));
        assert_eq!(Failure::from(error).code, 3);
    }
}
