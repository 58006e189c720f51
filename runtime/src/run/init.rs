//! The first process of the command's PID namespace, and the second, which becomes the command.
//!
//! The kernel lets a first process ignore signals that it does not handle, so the command itself
//! would not end on SIGTERM in its place. And when the first process ends, by itself or because
//! `weft run` was killed, the kernel ends all others, however far they have gone into the
//! background.

use crate::cli::common::Failure;
use nix::mount::{MsFlags, mount};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The first process of every PID namespace.
const FIRST: u32 = 1;

/// Goes on as what `parent` has started this process for. All signals are blocked.
pub(super) fn run(parent: i32, command: &[String]) -> Result<ExitCode, Failure> {
    if std::process::id() == FIRST {
        look_after(parent, command)
    } else {
        Err(become_command(command))
    }
}

/// Starts `command`, hands signals on to it, and ends as it ends. Dies with its parent: nobody
/// else would take it off the network.
fn look_after(parent: i32, command: &[String]) -> Result<ExitCode, Failure> {
    let failed = |what: &str, why: &dyn std::fmt::Display| Failure {
        message: format!("cannot {what} for the command: {why}"),
        code: 126,
    };
    set_pdeathsig(Signal::SIGKILL).map_err(|e| failed("make sure of the end", &e))?;
    // It may have ended before that. /proc is still that of its namespace, where it has this id.
    if own_parent() != Some(parent) {
        return Err(failed("stay", &"`weft run` is gone"));
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
        .map_err(|e| failed("mount /proc", &e))?;
    let signals = SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC);
    let signals = signals.map_err(|e| failed("wait for signals", &e))?;
    let own = ["--command-of", "1", "run", "--"];
    let child = Command::new("/proc/self/exe").arg0("weft").args(own).args(command).spawn();
    let child = child.map_err(|e| failed("start a process", &e))?.id();
    let child = Pid::from_raw(i32::try_from(child).map_err(|e| failed("start a process", &e))?);
    loop {
        let Ok(Some(signal)) = signals.read_signal() else { continue };
        match i32::try_from(signal.ssi_signo).map(Signal::try_from) {
            Ok(Ok(Signal::SIGCHLD)) => {
                if let Some(code) = reap(child) {
                    return Ok(ExitCode::from(code));
                }
            }
            // What the kernel sends comes from a terminal, which sends it to the command as well.
            Ok(Ok(other)) if signal.ssi_code <= 0 => {
                // Fails only when it has just ended, which the next turn sees.
                let _ = kill(child, other);
            }
            Ok(Ok(_) | Err(_)) | Err(_) => {}
        }
    }
}

/// Buries all that have ended; returns how `child` did, as a shell counts, if it is among them.
fn reap(child: Pid) -> Option<u8> {
    let mut end = None;
    loop {
        let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, code),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
            Ok(_) | Err(_) => return end,
        };
        if pid == child {
            end = Some(u8::try_from(code).unwrap_or(1));
        }
    }
}

/// Our parent, by the ids of the namespace that /proc is of.
fn own_parent() -> Option<i32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

/// Turns this process into `command`; returns why that failed.
fn become_command(command: &[String]) -> Failure {
    let failed = |code: u8, why: &str| {
        let command = command.first().map_or("", String::as_str);
        Failure { message: format!("cannot run '{command}': {why}"), code }
    };
    let Some((program, args)) = command.split_first() else {
        return failed(127, "not found");
    };
    if let Err(why) = SigSet::all().thread_unblock() {
        return failed(126, &why.to_string());
    }
    let error = Command::new(program).args(args).exec();
    if error.kind() == io::ErrorKind::NotFound {
        failed(127, "not found")
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        failed(126, "it may not be executed")
    } else {
        failed(126, &error.to_string())
    }
}
