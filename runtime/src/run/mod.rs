//! `weft run`: a command in a network namespace of its own, on the network, under a name; no
//! container engine.
//!
//! One thread leaves the host's namespaces and starts the command, which inherits the thread's;
//! the main thread talks to the daemon, which stays where it was.

mod cell;
mod init;

use crate::api::client::{Client, ClientError};
use crate::api::types::{AttachRequest, Container, DetachRequest, Surroundings};
use crate::cli::common::{Common, Failure, complain, patiently};
use crate::cli::words::{address_arg, qualified};
use crate::run_files::{self, RunFiles};
use cell::{Cell, Mount};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use weft_core::id::ContainerId;
use weft_core::names::Name;

/// What is handed on to the command: all that would end us or that mean something to others, but
/// not those that stop us, which a terminal sends to the command as well. SIGKILL cannot be handed
/// on; then the kernel kills the command, and the daemon clears up. Source: signal(7).
const FORWARDED: [Signal; 17] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGURG,
    Signal::SIGIO,
    Signal::SIGPWR,
    Signal::SIGXCPU,
    Signal::SIGXFSZ,
    Signal::SIGSTKFLT,
];

/// Longest name of a host, in bytes. Source: linux/utsname.h, `__NEW_UTS_LEN`.
const HOST_LEN_MAX: usize = 64;

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
    /// Wait for as long as it takes until there are addresses, and say what for
    #[arg(long)]
    wait: bool,
    /// Host name inside [default: the name, or its first label if it is too long for that]
    #[arg(long, value_name = "HOST", value_parser = host_name)]
    hostname: Option<String>,
    /// What to run
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// Checks the name of a host: of what the kernel takes, what programs can show.
fn host_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=HOST_LEN_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("expected 1 to {HOST_LEN_MAX} letters, digits, '-', '_' or '.'"))
    }
}

/// The host that is called `name` on the network: all of it, if the kernel has room for that.
fn host_of(name: &str) -> String {
    let label = || name.split('.').next().unwrap_or(name);
    (if name.len() <= HOST_LEN_MAX { name } else { label() }).to_owned()
}

pub(crate) fn run(common: &Common, args: &RunArgs) -> Result<ExitCode, Failure> {
    if let Some(parent) = common.command_of {
        return init::run(parent, &args.command);
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
    let own = run_files::own_tag().map_err(Failure::new)?;
    let id: ContainerId = format!("run:{own}").parse().map_err(Failure::new)?;
    let hostname = args.hostname.clone().or_else(|| args.name.as_deref().map(host_of));
    let (mut cell, namespace) = Cell::enter(hostname).await.map_err(Failure::new)?;
    let files = RunFiles::new(&common.run_dir, &own).map_err(|e| {
        Failure::new(format!("cannot make a folder in {}: {e}", common.run_dir.display()))
    })?;
    let request = AttachRequest {
        namespace: namespace.to_string_lossy().into_owned(),
        id: id.clone(),
        addresses: args.ip.clone(),
        name: name.clone(),
        interface: None,
    };
    let asked = async || client.post_json::<Container>("/attach", &request).await;
    let attached = tokio::select! {
        attached = patiently(args.wait, asked) => attached,
        // Nothing of ours stands while it waits.
        signal = end(&mut signals), if args.wait => {
            let code = u8::try_from(128 + signal as i32).unwrap_or(1);
            let _ = detach(&client, id).await;
            return Ok(ExitCode::from(code));
        }
    };
    let attached = match attached {
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
        let mounts = mounts(&files, &attached, name.as_ref(), &around)?;
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

/// The next signal that ends us.
async fn end(signals: &mut mpsc::Receiver<Signal>) -> Signal {
    loop {
        match signals.recv().await {
            Some(
                signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT),
            ) => return signal,
            Some(_) => {}
            None => return std::future::pending().await,
        }
    }
}

/// Waits for the end of the command, and hands signals on to it until then.
async fn watch(cell: &mut Cell, pid: Pid, signals: &mut mpsc::Receiver<Signal>) -> ExitCode {
    loop {
        tokio::select! {
            biased;
            // The first process is not reaped before we end, so its id stays its own. It hands
            // signals on to the command, and ends as that does.
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
    matches!(signal, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGWINCH)
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

/// Writes `hosts` and, if names are served, `resolv.conf`, for the command to see over the host's.
fn mounts(
    files: &RunFiles,
    own: &Container,
    name: Option<&Name>,
    around: &Surroundings,
) -> Result<Vec<Mount>, Failure> {
    let file = |name: &str, text: &str| {
        let from = files.write(name, text).map_err(|e| {
            Failure::new(format!("cannot write in {}: {e}", files.folder().display()))
        })?;
        Ok::<_, Failure>(Mount { from, over: Path::new("/etc").join(name) })
    };
    let mut mounts = vec![file("hosts", &hosts(own, name))?];
    if let Some(dns) = &around.dns
        && let Some(server) = dns.address
    {
        let text = format!("nameserver {server}\nsearch {}\n", dns.domain);
        mounts.push(file("resolv.conf", &text)?);
    }
    Ok(mounts)
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
    fn a_host_has_a_name_that_the_kernel_takes_and_programs_can_show() {
        assert!(host_name("a-b_c.d").is_ok() && host_name(&"a".repeat(64)).is_ok());
        for bad in ["", "x y", "a\nb", "h\u{f6}st", &"a".repeat(65)] {
            assert!(host_name(bad).is_err(), "{bad:?} was accepted");
        }
        let label = "a".repeat(60);
        assert_eq!(host_of(&format!("{label}.b")), format!("{label}.b"));
        assert_eq!(host_of(&format!("{label}.weft.local")), label);
    }

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
}
