//! How daemons end: while they start, in the foreground, on a full disk, when they are reset.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::process::Command;
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
    let code = launch.wait(PATIENCE).with_context(|| format!("SIG{signal} after {delay:?}"))?;
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
fn a_daemon_in_the_foreground_leaves_nothing_after_sigint_sigterm_and_sighup() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let before = state(host)?;
    for signal in ["INT", "TERM", "HUP"] {
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
fn a_daemon_in_the_foreground_outlives_its_terminal_when_it_is_told_to_ignore_that() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let before = state(host)?;
    let weft = host.weft_command(&["launch", "--foreground"])?;
    // As nohup(1) does.
    let mut ignoring = Command::new("env");
    ignoring.arg("--ignore-signal=HUP").arg(weft.get_program()).args(weft.get_args());
    ignoring.envs(weft.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut daemon = lab.background(&mut ignoring)?;
    let answers = || host.weft(&["status"]).is_ok_and(|done| done.code == 0);
    wait_until("the daemon answers", PATIENCE, answers).with_context(|| daemon.text())?;
    daemon.signal("HUP")?;
    ensure!(answers(), "it ended: {}", daemon.text());
    daemon.signal("TERM")?;
    let code = daemon.wait(PATIENCE)?;
    ensure!(code == 0, "exit code {code}: {}", daemon.text());
    ensure!(state(host)? == before, "was {before:?}, is {:?}", state(host)?);
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
fn a_daemon_that_does_not_answer_is_named_with_its_process() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    let pids = host.daemon_pids();
    let [pid] = pids.as_slice() else { anyhow::bail!("not one daemon: {pids:?}") };
    let container = lab.container()?;
    weft_tests::command::signal(*pid, "STOP")?;
    let mut attach = lab.background(&mut host.weft_command(&["attach", &container.namespace])?)?;
    let kill = format!("kill process {pid}");
    host.weft(&["stop"])?.complains(1, "does not answer", &[&kill])?;
    ensure!(attach.wait(PATIENCE)? == 1, "{}", attach.text());
    ensure!(attach.text().contains("nothing was asked"), "{}", attach.text());
    host.kill_daemon()?;
    host.launch(&[])?;
    lab.finish()
}

#[test]
fn a_launch_right_after_the_daemon_was_killed_needs_no_second_try() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    for _ in 0..5 {
        for pid in host.daemon_pids() {
            weft_tests::command::signal(pid, "KILL")?;
        }
        host.launch(&[])?;
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

#[test]
fn a_launch_on_a_full_disk_says_so_and_leaves_nothing_until_there_is_space() -> Result<()> {
    let mut lab = Lab::full(1)?;
    let disk = lab.small_disk(1)?;
    let host = lab.host(1);
    let before = state(host)?;
    let mut refusals = 0;
    // At each of these it is another step that finds no space.
    for pages in 0..12 {
        disk.fill(pages)?;
        let done = host.weft(&["launch"])?;
        if done.code == 0 {
            host.weft(&["stop"])?.ok()?;
            host.weft(&["reset", "--force"])?.ok()?;
        } else {
            refusals += 1;
            let folder = host.state_dir.to_string_lossy();
            done.complains(1, &folder, &["free some space"])
                .and_then(|()| undone(host, &before))
                .with_context(|| format!("{pages} pages of 4 KiB are free"))?;
        }
        let left = trace::entries(&disk.folder);
        ensure!(left.iter().eq(["filler"]), "{pages} pages: left on the disk: {left:?}");
        disk.empty()?;
    }
    ensure!(refusals > 1, "the disk was never full, so the test shows nothing");
    host.launch(&[])?;
    lab.finish()
}

#[test]
fn a_full_disk_lets_nothing_be_attached_and_is_forgotten_once_there_is_space() -> Result<()> {
    let mut lab = Lab::full(1)?;
    let disk = lab.small_disk(1)?;
    let host = lab.host(1);
    let name = host.launch(&[])?;
    let [first, late, last] = [lab.container()?, lab.container()?, lab.container()?];
    let address = host.named(&first, "first")?;
    let (held, links) = (host.weft(&["ps"])?.ok()?, host.links()?);

    disk.fill(0)?;
    let folder = host.state_dir.to_string_lossy();
    for args in [&["attach", "--name", "late", &late.namespace][..], &["run", "--", "true"]] {
        host.weft(args)?.complains(1, &folder, &["free some space"])?;
        ensure!(host.weft(&["ps"])?.ok()? == held, "{args:?} left an address taken");
        ensure!(host.links()? == links, "{args:?} left {:?}", host.links()?);
        ensure!(!host.knows("late") && host.knows("first"));
    }
    let files = trace::entries(&host.state_dir);
    ensure!(files.iter().eq(["attached.json", "weft.redb"]), "{files:?}");

    disk.empty()?;
    let second = host.named(&late, "late")?;
    late.wait_pings(address)?;
    host.weft(&["run", "--", "true"])?.ok()?;
    let held = host.weft(&["ps"])?.ok()?;
    host.kill_daemon()?;
    ensure!(host.launch(&[])? == name, "it came back as another peer");
    ensure!(host.weft(&["ps"])?.ok()? == held, "it holds other addresses than before");
    ensure!(host.knows("first") && host.knows("late"), "it lost names");
    let third = host.attach(&last, &[])?;
    ensure!(third != address && third != second, "{third} was given out twice");
    lab.finish()
}

#[test]
fn a_daemon_that_cannot_keep_its_state_stops_in_order_and_comes_back_with_all_it_confirmed()
-> Result<()> {
    let mut lab = Lab::two()?;
    let disk = lab.small_disk(1)?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let name = one.launch(&[])?;
    two.launch(&[&one.address()])?;
    let [a, b, far] = [lab.container()?, lab.container()?, lab.container()?];
    let address = one.named(&a, "a")?;
    one.attach(&b, &[])?;
    two.attach(&far, &[])?;
    far.wait_pings(address)?;
    two.wait_name("a")?;
    let held = one.weft(&["ps"])?.ok()?;

    disk.fill(1)?;
    let mut confirmed = Vec::new();
    let refused = loop {
        let name = format!("n{}", confirmed.len());
        let done = one.weft(&["dns-add", "192.0.2.7", "-h", &name])?;
        if done.code != 0 {
            break (name, done);
        }
        confirmed.push(name);
        ensure!(confirmed.len() < 2000, "the disk never fills up");
    };
    let folder = one.state_dir.to_string_lossy();
    refused.1.complains(1, &folder, &["free some space"])?;
    wait_until("the daemon has stopped", PATIENCE, || !one.is_running())?;
    ensure!(one.log().contains("free some space"), "the log does not say why: {}", one.log());
    let left = trace::entries(&one.run_dir);
    ensure!(left.iter().eq(["weft.log"]), "left in the run folder: {left:?}");
    ensure!(!two.knows(&refused.0), "{} was told, but not kept", refused.0);
    b.wait_pings(address)?;

    disk.empty()?;
    ensure!(one.launch(&[&two.address()])? == name, "it came back as another peer");
    ensure!(one.weft(&["ps"])?.ok()? == held, "it holds other addresses than before");
    for name in &confirmed {
        ensure!(one.knows(name), "{name} was confirmed and is lost");
    }
    far.wait_pings(address)?;
    two.wait_name("a")?;
    if let Some(last) = confirmed.last() {
        two.wait_name(last)?;
    }
    one.weft(&["dns-add", "192.0.2.7", "-h", &refused.0])?.ok()?;
    two.wait_name(&refused.0)?;
    lab.finish()
}

#[test]
fn of_several_resets_at_once_each_ends_well_or_says_that_another_is_at_work() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let before = state(host)?;
    for _ in 0..3 {
        host.launch(&[])?;
        host.attach(&lab.container()?, &[])?;
        host.kill_daemon()?;
        let done: Vec<_> = std::thread::scope(|scope| {
            let reset = || host.weft(&["reset", "--force"]);
            let all: Vec<_> = (0..6).map(|_| scope.spawn(reset)).collect();
            all.into_iter().filter_map(|one| one.join().ok()).collect::<Result<_>>()
        })?;
        ensure!(done.len() == 6 && done.iter().any(|done| done.code == 0), "{done:?}");
        for done in done.iter().filter(|done| done.code != 0) {
            done.complains(1, "another weft command", &["try again"])?;
        }
        host.weft(&["reset", "--force"])?.ok()?;
        ensure!(!host.state_dir.exists() && !host.run_dir.exists());
        undone(host, &before)?;
    }
    lab.finish()
}
