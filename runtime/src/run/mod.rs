//! `weft run`: a command in a network namespace of its own, on the network, under a name; no
//! container engine.
//!
//! One thread leaves the host's namespaces and starts the command, which inherits the thread's;
//! the main thread talks to the daemon, which stays where it was.

mod cell;

use crate::api::client::{Client, ClientError};
use crate::api::types::{AttachRequest, Container, DetachRequest, Surroundings};
use crate::cli::common::{Common, Failure, complain};
use crate::cli::words::{address_arg, qualified};
use cell::{Cell, Mount};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use weft_core::id::ContainerId;
use weft_core::names::Name;

/// What is handed on to the command. SIGKILL cannot be; then the kernel kills the command, and the
/// daemon clears up.
const FORWARDED: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// Run a command in a network namespace of its own, on the network
///
/// Ends as the command ends: with its status, or 128 and the number of the signal that killed it;
/// 127 when it was not found, 126 when it cannot be run.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  \
    weft run --name web -- python3 -m http.server 80\n  \
    weft run -- curl http://web/\n  \
    weft run --ip 10.32.0.9/12 bash")]
pub(crate) struct RunArgs {
    /// Name of its addresses (without a dot, the domain is added), and host name inside
    #[arg(long)]
    name: Option<String>,
    /// Address wanted: ADDR, ADDR/LEN, net:CIDR or net:default; may be repeated
    #[arg(long, value_name = "ADDR", value_parser = address_arg)]
    ip: Vec<String>,
    /// Host name inside [default: the name]
    #[arg(long, value_name = "HOST")]
    hostname: Option<String>,
    /// What to run
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

pub(crate) fn run(common: &Common, args: &RunArgs) -> Result<ExitCode, Failure> {
    if let Some(parent) = common.command_of {
        return Err(cell::become_command(Pid::from_raw(parent), &args.command));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::new)?.block_on(live(common, args))
}

async fn live(common: &Common, args: &RunArgs) -> Result<ExitCode, Failure> {
    // First of all, so that a signal at any moment leads to the end below and not past it.
    let mut signals = signals()?;
    let client = common.client();
    client.get_json::<Surroundings>("/surroundings").await?;
    let name = match &args.name {
        Some(name) => Some(qualified(&client, name).await?),
        None => None,
    };
    let own = format!("{}-{}", std::process::id(), start_time()?);
    let id: ContainerId = format!("run:{own}").parse().map_err(Failure::new)?;
    let hostname = args.hostname.clone().or_else(|| args.name.clone());
    let (mut cell, namespace) = Cell::enter(hostname).await.map_err(Failure::new)?;
    let files = Files::new(common.run_dir.join("run").join(own))?;
    let request = AttachRequest {
        namespace: namespace.to_string_lossy().into_owned(),
        id: id.clone(),
        addresses: args.ip.clone(),
        name: name.clone(),
        interface: None,
    };
    let attached = match client.post_json::<Container>("/attach", &request).await {
        Ok(attached) => attached,
        Err(error @ (ClientError::Refused { status: 400, .. } | ClientError::NotRunning(_))) => {
            return Err(error.into());
        }
        Err(error) => {
            // It may have been done all the same.
            let _ = detach(&client, id).await;
            return Err(error.into());
        }
    };
    let result = async {
        let around = client.get_json::<Surroundings>("/surroundings").await?;
        let mounts = files.write(&attached, name.as_ref(), &around)?;
        let pid = cell.start(args.command.clone(), mounts).await.map_err(|e| Failure {
            message: format!("cannot start a process for the command: {e}"),
            code: 126,
        })?;
        Ok(watch(&mut cell, pid, &mut signals).await)
    }
    .await;
    if let Err(error) = detach(&client, id).await {
        complain(&format!("the address stays taken until the daemon clears up: {error}"));
    }
    drop(files);
    result
}

/// Waits for the end of the command, and hands signals on to it until then.
async fn watch(cell: &mut Cell, pid: Pid, signals: &mut mpsc::Receiver<Signal>) -> ExitCode {
    loop {
        tokio::select! {
            biased;
            // The command is not reaped before we end, so its id stays its own.
            end = cell.ended() => return match end {
                Some(WaitStatus::Exited(_, code)) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
                Some(WaitStatus::Signaled(_, signal, _)) => {
                    ExitCode::from(u8::try_from(128 + signal as i32).unwrap_or(1))
                }
                Some(_) | None => ExitCode::FAILURE,
            },
            Some(signal) = signals.recv() => {
                if !terminal_sent(signal) {
                    // Fails only when it has just ended, which the next turn sees.
                    let _ = kill(pid, signal);
                }
            }
        }
    }
}

/// Whether the command has had `signal` already: a terminal sends it to its whole foreground group.
fn terminal_sent(signal: Signal) -> bool {
    matches!(signal, Signal::SIGINT | Signal::SIGQUIT)
        && tcgetpgrp(std::io::stdin()).is_ok_and(|group| group == getpgrp())
}

/// All signals that are handed on, in the order in which they come.
fn signals() -> Result<mpsc::Receiver<Signal>, Failure> {
    let (send, receive) = mpsc::channel(16);
    for kind in FORWARDED {
        let mut stream = signal(SignalKind::from_raw(kind as i32)).map_err(Failure::new)?;
        let send = send.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if send.send(kind).await.is_err() {
                    break;
                }
            }
        });
    }
    Ok(receive)
}

async fn detach(client: &Client, id: ContainerId) -> Result<(), ClientError> {
    let request = DetachRequest { id, addresses: Vec::new() };
    client.post_json::<serde_json::Value>("/detach", &request).await.map(drop)
}

/// When this process started, in clock ticks since boot: with the process id, unique until the
/// next boot. Source: proc_pid_stat(5), field 22.
fn start_time() -> Result<u64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat").map_err(Failure::new)?;
    // Field 2, the name, may hold anything, a parenthesis too; field 3 follows its last one.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok());
    ticks.ok_or_else(|| Failure::new("cannot read the start time in /proc/self/stat"))
}

/// The files that the command sees over the host's; gone when this is dropped.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn new(folder: PathBuf) -> Result<Self, Failure> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder);
        made.map_err(|e| Failure::new(format!("cannot make {}: {e}", folder.display())))?;
        Ok(Self { folder })
    }

    /// Writes `hosts` and, if names are served, `resolv.conf`.
    fn write(
        &self,
        own: &Container,
        name: Option<&Name>,
        around: &Surroundings,
    ) -> Result<Vec<Mount>, Failure> {
        let mut mounts = vec![self.file("hosts", "/etc/hosts", &hosts(own, name))?];
        if let Some(dns) = &around.dns
            && let Some(server) = dns.address
        {
            let text = format!("nameserver {server}\nsearch {}\n", dns.domain);
            mounts.push(self.file("resolv.conf", "/etc/resolv.conf", &text)?);
        }
        Ok(mounts)
    }

    fn file(&self, name: &str, over: &str, text: &str) -> Result<Mount, Failure> {
        let from = self.folder.join(name);
        fs::write(&from, text)
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", from.display())))?;
        Ok(Mount { from, over: Path::new(over).to_owned() })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What cannot be removed lies in a folder that is gone at the next boot.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn hosts(own: &Container, name: Option<&Name>) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n".to_owned();
    if let Some(name) = name.map(Name::as_str) {
        let short = name.split('.').next().unwrap_or(name);
        for address in &own.addresses {
            text.push_str(&format!("{} {name} {short}\n", address.addr()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_has_our_own_name() {
        let own = Container {
            id: "run:1-2".parse().unwrap(),
            mac: None,
            addresses: vec!["10.32.0.9/12".parse().unwrap()],
        };
        let text = hosts(&own, Some(&"db.weft.local".parse().unwrap()));
        assert!(text.ends_with("\n10.32.0.9 db.weft.local db\n"), "{text}");
        assert_eq!(hosts(&own, None).lines().count(), 2);
    }

    #[test]
    fn a_process_knows_when_it_started() {
        assert!(start_time().unwrap() > 0);
    }
}
