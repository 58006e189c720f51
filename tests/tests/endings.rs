//! How daemons end: while they start, in the foreground, on a full disk, when they are reset.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::time::Duration;
use weft_tests::host::Host;
use weft_tests::lab::Lab;
use weft_tests::{holds_within, trace, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);

/// Links, rules, processes and run folder of a host; the log may stay, since it explains
/// the end.
fn state(host: &Host) -> Result<BTreeSet<String>> {
    let mut state: BTreeSet<_> = host.links()?.into_iter().collect();
    let rules = weft_tests::lab::ip(&format!("-n {} rule", host.namespace))?;
    state.extend(rules.lines().map(str::to_owned));
    let own = host.run_dir.to_string_lossy().into_owned();
    state.extend(trace::processes(&own).into_iter().map(|(pid, line)| format!("{pid} {line}")));
    let files = trace::entries(&host.run_dir).into_iter();
    state.extend(files.filter(|name| !name.ends_with(".log")));
    Ok(state)
}

/// Waits until `host` is as `before`.
fn undone(host: &Host, before: &BTreeSet<String>) -> Result<()> {
    let mut after = BTreeSet::new();
    let undone = holds_within(PATIENCE, || {
        after = state(host).unwrap_or_default();
        after == *before
    });
    ensure!(undone, "left {:?}; {}", after.difference(before).collect::<Vec<_>>(), host.log());
    Ok(())
}

/// Launches with `args`, sends `signal` to what was typed after `delay`, and checks that either a
/// whole daemon runs, which is stopped, or that nothing is left.
fn interrupted(lab: &Lab, args: &[&str], signal: &str, delay: Duration) -> Result<()> {
    let host = lab.host(1);
    let before = state(host)?;
    let mut launch = lab.background(&mut host.weft_command(args)?)?;
    // It is the moment that counts: nothing could be waited for.
    std::thread::sleep(delay);
    // It may have ended.
    let _ = launch.signal(signal);
    let code = launch.wait(PATIENCE)?;
    let mut answers = false;
    let settled = holds_within(PATIENCE, || {
        // Killed outright, what was typed cannot wait for the end of what it started.
        let runs = host.is_running();
        answers = runs && host.weft(&["status"]).is_ok_and(|done| done.code == 0);
        answers || !runs || signal != "KILL"
    });
    ensure!(settled, "SIG{signal} after {delay:?}: half a daemon runs; {}", host.log());
    if answers {
        host.weft(&["stop"])?.ok()?;
    }
    undone(host, &before).with_context(|| {
        format!("SIG{signal} after {delay:?}, exit code {code}: {}", launch.text())
    })
}

#[test]
fn an_interrupted_launch_leaves_a_whole_daemon_or_nothing() -> Result<()> {
    let lab = Lab::two()?;
    // Nobody answers there, so that the start takes long.
    for args in [&["launch", "192.168.50.77"][..], &["launch"], &["launch", "--foreground"]] {
        for delay in [2, 5, 10, 15, 20, 30, 45, 60, 90, 150, 400] {
            for signal in ["INT", "TERM"] {
                interrupted(&lab, args, signal, Duration::from_millis(delay))
                    .with_context(|| format!("weft {}", args.join(" ")))?;
            }
        }
    }
    lab.finish()
}

#[test]
fn a_launch_that_is_killed_outright_leaves_a_whole_daemon_or_nothing() -> Result<()> {
    let lab = Lab::two()?;
    for delay in [2, 5, 10, 15, 20, 30, 45, 60, 90, 150, 400] {
        let args = ["launch", "--password", "never in the clear", "192.168.50.77"];
        interrupted(&lab, &args, "KILL", Duration::from_millis(delay))?;
    }
    lab.finish()
}

#[test]
fn a_daemon_in_the_foreground_leaves_nothing_after_sigint_and_sigterm() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let before = state(host)?;
    for signal in ["INT", "TERM"] {
        let args = ["launch", "--foreground", "--password", "up front"];
        let mut daemon = lab.background(&mut host.weft_command(&args)?)?;
        wait_until("the daemon answers", PATIENCE, || {
            host.weft(&["status"]).is_ok_and(|done| done.code == 0)
        })
        .with_context(|| daemon.text())?;
        // So that there is a name server, its address and its rule.
        host.weft(&["run", "--", "true"])?.ok()?;
        daemon.signal(signal)?;
        let code = daemon.wait(PATIENCE)?;
        ensure!(code == 0, "SIG{signal}: exit code {code}: {}", daemon.text());
        ensure!(state(host)? == before, "SIG{signal}: was {before:?}, is {:?}", state(host)?);
        ensure!(!host.run_dir.exists(), "SIG{signal}: an empty run folder is left");
    }
    lab.finish()
}

#[test]
fn further_signals_do_not_cut_the_end_of_a_daemon_in_the_foreground_short() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let before = state(host)?;
    for (signals, wait) in [
        (["INT", "INT", "INT"], 0),
        (["TERM", "INT", "TERM"], 0),
        (["INT", "TERM", "INT"], 15),
        (["TERM", "TERM", "TERM"], 30),
    ] {
        let mut daemon = lab.background(&mut host.weft_command(&["launch", "--foreground"])?)?;
        wait_until("the daemon answers", PATIENCE, || {
            host.weft(&["status"]).is_ok_and(|done| done.code == 0)
        })
        .with_context(|| daemon.text())?;
        for signal in signals {
            // The later ones may find that it has ended.
            let _ = daemon.signal(signal);
            std::thread::sleep(Duration::from_millis(wait));
        }
        let code = daemon.wait(PATIENCE)?;
        ensure!(code == 0, "{signals:?}: exit code {code}: {}", daemon.text());
        ensure!(state(host)? == before, "{signals:?}: was {before:?}, is {:?}", state(host)?);
        ensure!(!host.run_dir.exists(), "{signals:?}: an empty run folder is left");
    }
    lab.finish()
}

#[test]
fn a_stop_leaves_the_log_and_nothing_else_when_no_container_is_attached() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let before = state(host)?;
    host.launch(&["--password", "for a while"])?;
    host.weft(&["run", "--name", "brief", "--", "true"])?.ok()?;
    let container = lab.container()?;
    host.attach(&container, &[])?;
    host.weft(&["detach", &container.namespace])?.ok()?;
    host.weft(&["stop"])?.ok()?;
    ensure!(state(host)? == before, "was {before:?}, is {:?}", state(host)?);
    let files = trace::entries(&host.run_dir);
    ensure!(files.iter().eq(["weft.log"]), "left in the run folder: {files:?}");
    lab.finish()
}
