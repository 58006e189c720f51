//! Three hosts, hosts that fail, and containers that move.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use weft_tests::command::Background;
use weft_tests::lab::{Container, Lab};
use weft_tests::wait_until;

/// Launches every host with a password; each one dials those before it that `dials` allows.
fn launch(lab: &Lab, dials: impl Fn(usize, usize) -> Option<String>) -> Result<()> {
    for (n, host) in lab.hosts().iter().enumerate() {
        let targets: Vec<_> = (0..n).filter_map(|before| dials(n, before)).collect();
        let targets = targets.iter().map(String::as_str);
        let args: Vec<_> = ["--password", "three threads"].into_iter().chain(targets).collect();
        host.launch(&args)?;
    }
    Ok(())
}

fn full(lab: &Lab) -> Result<()> {
    launch(lab, |_, before| Some(lab.hosts()[before].address()))
}

/// Ten pings a second to `to`, with time stamps.
fn pinging(lab: &Lab, from: &Container, to: &str) -> Result<Background> {
    lab.background(from.command("ping").args(["-n", "-i", "0.1", to]))
}

/// How long it takes from `start` until `pings` gets one more answer than `had`.
fn next_answer(pings: &Background, had: usize, start: Instant) -> Result<Duration> {
    wait_until("the ping is answered again", Duration::from_secs(10), || {
        pings.count("bytes from") > had
    })
    .with_context(|| pings.text())?;
    Ok(start.elapsed())
}

#[test]
fn containers_on_three_hosts_all_reach_each_other() -> Result<()> {
    let lab = Lab::full(3)?;
    full(&lab)?;
    let mut members = Vec::new();
    for host in lab.hosts() {
        let container = lab.container()?;
        let address = host.attach(&container, &[])?;
        members.push((container, address));
    }
    let distinct: BTreeSet<_> = members.iter().map(|(_, address)| address).collect();
    ensure!(distinct.len() == 3, "an address was given out twice: {members:?}");
    for (from, _) in &members {
        for (_, to) in &members {
            from.wait_pings(*to)?;
        }
    }
    for host in lab.hosts() {
        host.wait_linked(2)?;
    }
    lab.finish()
}

#[test]
fn containers_at_the_ends_of_a_line_reach_each_other_through_the_middle() -> Result<()> {
    let lab = Lab::line(3)?;
    // A host dials its neighbour at the address on their common wire.
    launch(&lab, |n, before| {
        (before + 1 == n).then(|| lab.hosts()[before].addresses.last().map(ToString::to_string))?
    })?;
    let [left, right] = [lab.container()?, lab.container()?];
    let [from, to] = [lab.host(1).attach(&left, &[])?, lab.host(3).attach(&right, &[])?];
    let end = Container { namespace: lab.host(1).namespace.clone() };
    ensure!(!end.pings(lab.host(3).addresses[0])?, "the ends have a way around the middle");
    left.wait_pings(to)?;
    right.wait_pings(from)?;
    lab.host(2).wait_linked(2)?;
    lab.finish()
}

#[test]
fn a_container_that_moves_with_its_address_is_reachable_within_a_second() -> Result<()> {
    let lab = Lab::full(3)?;
    full(&lab)?;
    let [watcher, mover] = [lab.container()?, lab.container()?];
    lab.host(1).attach(&watcher, &[])?;
    let address = lab.host(2).attach(&mover, &[])?;
    watcher.wait_pings(address)?;
    let pings = pinging(&lab, &watcher, &address.to_string())?;
    pings.wait_for("bytes from", Duration::from_secs(5))?;
    lab.host(2).weft(&["detach", &mover.namespace])?.ok()?;
    let had = pings.count("bytes from");
    let wanted = format!("ip:{address}/12");
    ensure!(lab.host(3).attach(&mover, &[&wanted])? == address);
    let took = next_answer(&pings, had, Instant::now())?;
    ensure!(took < Duration::from_secs(1), "first answer only after {took:?}");
    drop(pings);
    lab.finish()
}

#[test]
fn a_killed_daemon_comes_back_as_it_was_and_traffic_resumes_within_a_second() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&["--password", "x y z"])?;
    let again = ["--password", "x y z", &one.address()];
    let name = two.launch(&again)?;
    let [far, near, beside] = [lab.container()?, lab.container()?, lab.container()?];
    one.attach(&far, &[])?;
    let address = two.named(&near, "near")?;
    two.named(&beside, "beside")?;
    one.wait_name("near")?;
    far.wait_pings(address)?;
    let held = two.weft(&["ps"])?.ok()?;

    two.kill_daemon()?;
    ensure!(beside.pings(address)?, "containers of one host need no daemon to talk");
    let pings = pinging(&lab, &far, &address.to_string())?;

    ensure!(two.launch(&again)? == name, "it came back as another peer");
    let took = next_answer(&pings, pings.count("bytes from"), Instant::now())?;
    ensure!(took < Duration::from_secs(1), "first answer only after {took:?}");
    ensure!(two.weft(&["ps"])?.ok()? == held, "it holds other addresses than before");
    ensure!(two.knows("near") && two.knows("beside"), "it lost names");
    one.wait_name("near")?;
    let newcomer = lab.container()?;
    ensure!(two.attach(&newcomer, &[])? != address, "{address} was given out twice");
    drop(pings);
    lab.finish()
}

#[test]
fn a_killed_daemon_that_names_nobody_is_found_by_the_others() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&[])?;
    let name = two.launch(&[&one.address()])?;
    let [far, near] = [lab.container()?, lab.container()?];
    one.attach(&far, &[])?;
    let address = two.attach(&near, &[])?;
    far.wait_pings(address)?;
    two.kill_daemon()?;
    ensure!(two.launch(&[])? == name, "it came back as another peer");
    ensure!(
        two.weft(&["status", "targets"])?.ok()?.is_empty(),
        "it dials, so the test shows nothing"
    );
    far.wait_pings(address)?;
    lab.finish()
}

#[test]
fn a_stopped_daemon_leaves_its_containers_talking_and_finds_them_again() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let name = host.launch(&[])?;
    let [a, b] = [lab.container()?, lab.container()?];
    let address = host.attach(&a, &[])?;
    host.attach(&b, &[])?;
    let held = host.weft(&["ps"])?.ok()?;
    host.weft(&["stop"])?.ok()?;
    ensure!(!host.is_running());
    b.wait_pings(address)?;
    ensure!(host.launch(&[])? == name);
    ensure!(host.weft(&["ps"])?.ok()? == held);
    lab.finish()
}
