//! The harness itself: without these, a green run of the others would prove little.

use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;
use weft_tests::command::run;
use weft_tests::lab::{Container, Lab, assert_no_trace, binary, ip};
use weft_tests::{holds_within, trace};

/// A host, seen as the place to ping from.
fn at(lab: &Lab, n: usize) -> Container {
    Container { namespace: lab.host(n).namespace.clone() }
}

#[test]
fn hosts_on_one_switch_reach_each_other() -> Result<()> {
    for count in [2, 3] {
        let lab = Lab::full(count)?;
        for from in 1..=usize::from(count) {
            for to in lab.hosts() {
                ensure!(at(&lab, from).pings(to.addresses[0])?, "{from} does not reach {to:?}");
            }
        }
        lab.finish()?;
    }
    Ok(())
}

#[test]
fn the_ends_of_a_line_do_not_reach_each_other() -> Result<()> {
    let lab = Lab::line(3)?;
    let [left, middle, right] = [1, 2, 3].map(|n| lab.host(n));
    ensure!(middle.addresses.len() == 2);
    ensure!(at(&lab, 1).pings(middle.addresses[0])?);
    ensure!(at(&lab, 3).pings(middle.addresses[1])?);
    ensure!(!at(&lab, 1).pings(right.addresses[0])?);
    ensure!(!at(&lab, 3).pings(left.addresses[0])?);
    lab.finish()
}

#[test]
fn a_lab_is_gone_after_a_panic_with_programs_still_running_in_it() -> Result<()> {
    let before = trace::links();
    let (sender, receiver) = std::sync::mpsc::channel();
    let panicked = std::thread::spawn(move || {
        let lab = Lab::two().map_err(|error| sender.send(Err(error)));
        let Ok(mut lab) = lab else { return };
        let disk = lab.small_disk(1).and_then(|disk| disk.fill(0));
        let container = lab.container();
        let sleeper = container.map(|c| lab.background(c.command("sleep").arg("600")));
        // As a daemon would be: nobody's child any more.
        let orphan = lab.host(1).command("sh").args(["-c", "sleep 600 & exit"]).spawn();
        let _ = sender.send(disk.map(|()| lab.mark().to_owned()));
        std::mem::forget((sleeper, orphan));
        panic!("on purpose");
    });
    let mark = receiver.recv()??;
    ensure!(panicked.join().is_err());
    assert_no_trace(&mark, &before)
}

#[test]
fn a_lab_is_gone_soon_after_its_process_was_killed() -> Result<()> {
    let mut bench = Command::new(binary("bench")?).stdout(Stdio::null()).spawn()?;
    let mark = format!("weft-{}-", bench.id());
    let runs = || trace::processes(&mark).iter().any(|(_, line)| line.contains("launch"));
    let has_begun = holds_within(Duration::from_secs(20), runs);
    bench.kill()?;
    bench.wait()?;
    ensure!(has_begun, "no daemon was launched by it: {:?}", trace::of(&mark));
    let is_gone = holds_within(Duration::from_secs(20), || trace::of(&mark).is_empty());
    ensure!(is_gone, "left: {:?}", trace::of(&mark));
    Ok(())
}

#[test]
fn what_is_left_behind_is_noticed() -> Result<()> {
    let lab = Lab::full(1)?;
    let seen = trace::of(lab.mark());
    let kinds: BTreeSet<_> = seen.iter().filter_map(|line| line.split(' ').next()).collect();
    for kind in ["namespace", "folder"] {
        ensure!(kinds.contains(kind), "{kind} was not seen in {seen:?}");
    }
    let sleeper = lab.background(lab.host(1).command("sleep").arg("600"))?;
    let seen = trace::processes(lab.mark());
    ensure!(seen.iter().any(|(pid, _)| *pid == sleeper.pid()), "{seen:?}");
    ensure!(assert_no_trace(lab.mark(), &trace::links()).is_err());
    ensure!(assert_no_trace("weft-no-such-mark", &BTreeSet::new()).is_err(), "no link was seen");
    ensure!(lab.finish().is_err(), "a program that still ran was not noticed");
    Ok(())
}

#[test]
fn a_program_that_does_not_end_is_killed_and_reported() -> Result<()> {
    let error = run(Command::new("sleep").arg("600"), Duration::from_millis(50));
    ensure!(error.is_err_and(|error| error.to_string().contains("did not end within")));
    let mut daemon = Command::new("sh");
    let held = run(daemon.args(["-c", "sleep 1 & exit 0"]), Duration::from_millis(300));
    ensure!(held.is_err_and(|error| error.to_string().contains("holds its output open")));
    Ok(())
}

#[test]
fn exit_codes_are_counted_as_a_shell_does() -> Result<()> {
    for (script, code) in [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143)] {
        let done = run(Command::new("sh").args(["-c", script]), Duration::from_secs(5))?;
        ensure!(done.code == code, "{done}");
    }
    ip("link show no-such-link").map_or(Ok(()), |text| anyhow::bail!("{text}"))
}
