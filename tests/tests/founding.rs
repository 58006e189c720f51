//! Who divides the addresses, where each peer was launched as the README has it: with the first one to dial.

use anyhow::{Context as _, Result, ensure};
use std::time::Duration;
use weft_tests::lab::Lab;
use weft_tests::wait_until;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_first_peer_that_is_cut_off_from_those_that_joined_it_does_not_divide_the_addresses_alone()
-> Result<()> {
    let lab = Lab::full(3)?;
    let [one, two, three] = [1, 2, 3].map(|n| lab.host(n));
    one.launch(&[])?;
    two.launch(&[&one.address()])?;
    three.launch(&[&one.address()])?;
    for host in lab.hosts() {
        host.wait_linked(2)?;
    }
    lab.unplug(1)?;
    let container = lab.container()?;
    let alone = |why: &str| {
        let refused = one.weft(&["attach", &container.namespace])?;
        refused.complains(1, why, &["start the others", "try again"])
    };
    // Before it is noticed that they are away, they do not answer; after it, they are missed.
    alone("to divide 10.32.0.0/12")?;
    let theirs = [two, three].map(|host| host.attach(&lab.container()?, &[]));
    let theirs = theirs.into_iter().collect::<Result<Vec<_>>>()?;
    one.kill_daemon()?;
    one.launch(&[])?;
    alone("1 of the 2 peers")?;
    let mut command = one.weft_command(&["attach", "--wait", &container.namespace])?;
    let mut waiting = lab.background(&mut command)?;
    waiting.wait_for("waiting: no address yet: 1 of the 2 peers", PATIENCE)?;
    lab.plug(1)?;
    ensure!(waiting.wait(PATIENCE)? == 0, "{}", waiting.text());
    ensure!(!theirs.iter().any(|address| waiting.text().contains(&format!("{address}/"))));
    lab.finish()
}

#[test]
fn who_waits_for_the_addresses_is_told_after_a_while_what_for() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let peers = "--ipalloc-init=consensus=2";
    one.launch(&[peers])?;
    let mut prime = lab.background(&mut one.weft_command(&["prime"])?)?;
    prime
        .wait_for("weft: waiting until the addresses are divided: awaiting consensus", PATIENCE)?;
    two.launch(&[peers, &one.address()])?;
    ensure!(prime.wait(PATIENCE)? == 0, "{}", prime.text());
    let done = one.weft(&["prime"])?;
    ensure!(done.stderr.is_empty() && done.ok()?.is_empty(), "what is done needs no word");
    lab.finish()
}

#[test]
fn of_two_meshes_that_were_founded_apart_both_sides_say_so_with_what_to_do() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    for host in [one, two] {
        host.launch(&["--password", "S3cret"])?;
        host.weft(&["prime"])?.ok()?;
    }
    // The one that dials, and the one that is dialed.
    two.weft(&["connect", &one.address()])?.ok()?;
    let reason =
        "was founded apart from this one, so both own the same addresses: run `weft reset --force`";
    for host in [one, two] {
        let is_told =
            || host.log().lines().any(|line| line.contains("WARN") && line.contains(reason));
        wait_until("the log says why", PATIENCE, is_told).with_context(|| host.log())?;
    }
    for host in [one, two] {
        for part in [&["status", "connections"][..], &["status"]] {
            let shown = host.weft(part)?.ok()?;
            ensure!(shown.contains(reason), "{shown}");
        }
    }
    lab.finish()
}

#[test]
fn a_first_launch_that_fails_after_it_has_voted_keeps_what_others_count_on() -> Result<()> {
    let lab = Lab::two()?;
    let [first, second] = [1, 2].map(|n| lab.host(n));
    let number = "--ipalloc-init=consensus=2";
    first.launch(&[number])?;
    let mut prime = lab.background(&mut first.weft_command(&["prime"])?)?;
    // Nobody answers at the second address, so that the start goes on after the first one has linked.
    let args = ["launch", number, &first.address(), "192.168.50.77"];
    let mut launch = lab.background(&mut second.weft_command(&args)?)?;
    ensure!(prime.wait(PATIENCE)? == 0, "{}", prime.text());
    launch.signal("TERM")?;
    if launch.wait(PATIENCE)? == 0 {
        // Too late: it has started.
        second.weft(&["stop"])?.ok()?;
    } else {
        let said = launch.text();
        ensure!(said.contains("what others count on already"), "{said}");
        let database = second.state_dir.join("weft.redb");
        ensure!(
            database.exists() && second.log().contains("is kept for the next launch"),
            "{said}"
        );
    }
    // It is the same one again, and what is its own is its own.
    second.launch(&[number, &first.address()])?;
    second.attach(&lab.container()?, &["--wait"])?;
    let known = first.weft(&["status", "ipam"])?.ok()?;
    ensure!(!known.contains("unreachable"), "{known}");
    lab.finish()
}
