//! `weft run`: a command on the network without any container engine.

use anyhow::{Result, ensure};
use std::time::Duration;
use weft_tests::command::{Background, run};
use weft_tests::host::Host;
use weft_tests::lab::Lab;
use weft_tests::{holds_within, trace, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);

/// Names, addresses and links on `host`, to be compared before and after.
fn state(host: &Host) -> Result<(String, Vec<String>)> {
    Ok((host.weft(&["ps"])?.ok()?, host.links()?))
}

/// Starts `weft run --name NAME` with a command that sleeps, and waits until that runs and has its name.
fn sleeper(lab: &Lab, name: &str) -> Result<Background> {
    let host = lab.host(1);
    let run = ["run", "--name", name, "--", "sh", "-c", "echo up; exec sleep 600"];
    let sleeper = lab.background(&mut host.weft_command(&run)?)?;
    host.wait_name(name)?;
    // Its name is there a moment before it is.
    sleeper.wait_for("up", PATIENCE)?;
    Ok(sleeper)
}

#[test]
fn the_exit_status_of_the_command_is_passed_on() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    for (command, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 3"], 3),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["no-such-command-anywhere"], 127),
    ] {
        let args = [&["run", "--"], command].concat();
        let done = host.weft(&args)?;
        ensure!(done.code == code, "expected {code}: {done}");
    }
    let lost = host.weft(&["run", "--", "no-such-command-anywhere"])?;
    ensure!(lost.stderr.lines().count() == 1, "{lost}");
    ensure!(lost.stderr.starts_with("weft: ") && lost.stderr.contains("no-such-command-anywhere"));
    lab.finish()
}

#[test]
fn the_commands_output_and_arguments_are_left_alone() -> Result<()> {
    let lab = Lab::full(1)?;
    lab.host(1).launch(&[])?;
    let script = ["run", "--", "sh", "-c", "echo \"$1\"; echo wrong >&2", "sh", "two  words"];
    let done = lab.host(1).weft(&script)?;
    ensure!(done.stdout == "two  words" && done.stderr == "wrong", "{done}");
    lab.finish()
}

#[test]
fn everything_is_undone_when_the_command_ends() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    // The first run may make what all share, such as the bridge or the address of the name server.
    host.weft(&["run", "--", "true"])?.ok()?;
    let before = state(host)?;
    for command in [&["true"][..], &["false"], &["sh", "-c", "kill -KILL $$"]] {
        host.weft(&[&["run", "--name", "brief", "--"], command].concat())?;
        ensure!(state(host)? == before, "{command:?} left {:?}, had {before:?}", state(host)?);
        ensure!(!host.knows("brief"), "{command:?} left its name");
    }
    lab.finish()
}

#[test]
fn everything_is_undone_after_sigterm_and_sigint() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    host.weft(&["run", "--", "true"])?.ok()?;
    let before = state(host)?;
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let mut sleeper = sleeper(&lab, "brief")?;
        ensure!(state(host)? != before);
        sleeper.signal(signal)?;
        let ended = sleeper.wait(PATIENCE)?;
        ensure!(ended == code, "SIG{signal}: expected {code}, not {ended}: {}", sleeper.text());
        ensure!(state(host)? == before, "SIG{signal} left {:?}", state(host)?);
        ensure!(!host.knows("brief"), "SIG{signal} left the name");
    }
    lab.finish()
}

#[test]
fn every_signal_that_would_end_a_run_reaches_its_command_instead() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    let signals = ["HUP", "USR1", "USR2", "ALRM", "QUIT", "PROF", "VTALRM", "XCPU", "PWR", "WINCH"];
    let traps: String =
        signals.iter().map(|name| format!("trap 'echo got {name}' {name}; ")).collect();
    let script = format!("{traps} echo ready; while true; do sleep 0.05; done");
    let run = ["run", "--", "bash", "-c", &script];
    let mut command = lab.background(&mut host.weft_command(&run)?)?;
    command.wait_for("ready", PATIENCE)?;
    for name in signals {
        command.signal(name)?;
        command.wait_for(&format!("got {name}"), PATIENCE)?;
    }
    command.signal("TERM")?;
    ensure!(command.wait(PATIENCE)? == 143, "{}", command.text());
    // One that the command does not handle ends it, and the run is over in order.
    let mut sleeper = sleeper(&lab, "brief")?;
    sleeper.signal("USR1")?;
    let ended = sleeper.wait(PATIENCE)?;
    ensure!(ended == 138, "expected 128 and SIGUSR1, not {ended}: {}", sleeper.text());
    ensure!(!host.knows("brief") && host.weft(&["ps"])?.ok()?.is_empty());
    lab.finish()
}

/// Processes of `host` whose arguments contain `part`.
fn processes(host: &Host, part: &str) -> usize {
    let marked = trace::processes(&host.run_dir.to_string_lossy()).into_iter();
    marked.filter(|(_, line)| line.starts_with(part)).count()
}

#[test]
fn what_the_command_left_in_the_background_ends_with_it_and_with_a_killed_run() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    let script = |then: &str| {
        format!("(setsid sleep 604 >/dev/null 2>&1 &) ; sleep 0.2; echo started; {then}")
    };
    let brief = script("exit 5");
    let done = host.weft(&["run", "--", "sh", "-c", &brief])?;
    ensure!(done.code == 5 && done.stdout == "started", "{done}");
    ensure!(processes(host, "sleep 604") == 0, "the command's child lives on");
    let long = script("sleep 600");
    let mut run = lab.background(&mut host.weft_command(&["run", "--", "sh", "-c", &long])?)?;
    run.wait_for("started", PATIENCE)?;
    ensure!(processes(host, "sleep 604") == 1);
    run.signal("KILL")?;
    run.wait(PATIENCE)?;
    wait_until("all that it started is gone", PATIENCE, || processes(host, "sleep 60") == 0)?;
    lab.finish()
}

#[test]
fn the_command_sees_its_own_processes_and_not_the_password_of_the_mesh() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    let script = "cat /proc/[0-9]*/environ | tr '\\0' '\\n'; ls -d /proc/[0-9]* | wc -l";
    let mut command = host.weft_command(&["run", "--", "sh", "-c", script])?;
    let seen = run(command.env("WEFT_PASSWORD", "for the mesh only"), PATIENCE)?.ok()?;
    ensure!(seen.contains("WEFT_RUN_DIR=") && !seen.contains("for the mesh only"), "{seen}");
    let count: u32 = seen.lines().last().unwrap_or_default().trim().parse()?;
    ensure!(count < 8, "it sees {count} processes");
    lab.finish()
}

#[test]
fn the_files_of_a_run_that_was_killed_are_removed() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let files = || trace::entries(host.run_dir.join("run"));
    host.launch(&[])?;
    // By the daemon that runs, and by the next one.
    for dead in [false, true] {
        let mut killed = sleeper(&lab, "brief")?;
        ensure!(files().len() == 1, "{:?}", files());
        if dead {
            host.kill_daemon()?;
        }
        killed.signal("KILL")?;
        killed.wait(PATIENCE)?;
        if dead {
            host.launch(&[])?;
        }
        wait_until("its files are gone", PATIENCE, || files().is_empty())?;
    }
    let mut killed = sleeper(&lab, "brief")?;
    killed.signal("KILL")?;
    killed.wait(PATIENCE)?;
    host.weft(&["stop"])?.ok()?;
    ensure!(trace::entries(&host.run_dir).iter().eq(["weft.log"]), "left: {:?}", files());
    lab.finish()
}

#[test]
fn a_name_is_registered_where_none_are_answered() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&["--no-dns"])?;
    two.launch(&[&one.address()])?;
    let args = ["run", "--name", "web", "--", "sleep", "600"];
    let web = lab.background(&mut one.weft_command(&args)?)?;
    two.wait_name("web")?;
    let container = lab.container()?;
    one.named(&container, "db")?;
    two.wait_name("db")?;
    drop(web);
    lab.finish()
}

#[test]
fn a_run_that_was_killed_outright_is_tidied_up_by_the_daemon() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    host.weft(&["run", "--", "true"])?.ok()?;
    let before = state(host)?;
    let mut killed = sleeper(&lab, "brief")?;
    killed.signal("KILL")?;
    killed.wait(PATIENCE)?;
    let tidy = holds_within(PATIENCE, || {
        !host.knows("brief") && state(host).is_ok_and(|state| state == before)
    });
    ensure!(tidy, "left {:?}, had {before:?}", state(host)?);
    lab.finish()
}

#[test]
fn a_command_reaches_others_by_name() -> Result<()> {
    let lab = Lab::two()?;
    lab.host(1).launch(&["--password", "by name"])?;
    lab.host(2).launch(&["--password", "by name", &lab.host(1).address()])?;
    let web = sleeper(&lab, "web")?;
    let host = lab.host(2);
    host.wait_name("web")?;
    let address = host.weft(&["dns-lookup", "web"])?.ok()?;
    for name in ["web", "web.weft.local"] {
        let found = host.weft(&["run", "--", "getent", "hosts", name])?.ok()?;
        ensure!(found.starts_with(&address), "getent hosts {name}: {found:?}");
        host.weft(&["run", "--", "ping", "-c", "2", "-W", "2", name])?.ok()?;
    }
    drop(web);
    lab.finish()
}

#[test]
fn a_command_gets_the_address_that_was_asked_for() -> Result<()> {
    let lab = Lab::full(1)?;
    lab.host(1).launch(&[])?;
    let run = ["run", "--ip", "10.40.1.2/12", "--", "ip", "-4", "-brief", "address"];
    let shown = lab.host(1).weft(&run)?.ok()?;
    ensure!(shown.contains("10.40.1.2/12"), "{shown}");
    lab.finish()
}

#[test]
fn a_command_keeps_running_while_the_daemon_is_gone() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    let mut kept = sleeper(&lab, "kept")?;
    host.kill_daemon()?;
    host.launch(&[])?;
    host.wait_name("kept")?;
    kept.signal("TERM")?;
    ensure!(kept.wait(PATIENCE)? == 143);
    wait_until("the name is gone", PATIENCE, || !host.knows("kept"))?;
    lab.finish()
}
