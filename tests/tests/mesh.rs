//! Three hosts, hosts that fail, and containers that move.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use weft_tests::command::Background;
use weft_tests::host::Host;
use weft_tests::lab::{Container, Lab, ip};
use weft_tests::wait_until;

/// A peer whose streams the kernel has closed is reported within this: nothing has to run out.
const CLOSED: Duration = Duration::from_secs(3);

/// A peer that says nothing any more is reported within this. Source: `silence_max` of
/// `weft_core::config`.
const NOTICED: Duration = Duration::from_secs(15);

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

/// Launches host `n` of a line, dialing the one before it.
fn launch_in_line(lab: &Lab, n: usize) -> Result<String> {
    let before = (n > 1).then(|| lab.host(n - 1).addresses.last().map(ToString::to_string));
    let before = before.flatten();
    let args = ["--password", "three threads"].into_iter().chain(before.as_deref());
    lab.host(n).launch(&args.collect::<Vec<_>>())
}

/// Three hosts in a line, with a container each, all of which know each other by name.
fn line() -> Result<(Lab, Vec<(Container, Ipv4Addr)>)> {
    let lab = Lab::line(3)?;
    let mut members = Vec::new();
    for n in 1..=3 {
        launch_in_line(&lab, n)?;
    }
    for host in lab.hosts() {
        let container = lab.container()?;
        let name = format!("c{}", members.len() + 1);
        let address = host.named(&container, &name)?;
        members.push((container, address));
    }
    whole(&lab, &members)?;
    Ok((lab, members))
}

/// Waits until the ends of a line have a link each, know all names and reach each other.
fn whole(lab: &Lab, members: &[(Container, Ipv4Addr)]) -> Result<()> {
    for host in [lab.host(1), lab.host(3)] {
        host.wait_linked(1)?;
        for name in ["c1", "c2", "c3"] {
            host.wait_name(name)?;
        }
        // A link that was there for a moment may still give way to another one.
        let is_away =
            |peers: String| ["unreachable", "being reached"].iter().any(|it| peers.contains(it));
        let all = || shown(host, "peers").is_ok_and(|peers| !is_away(peers));
        wait_until("all peers are in reach", Duration::from_secs(10), all)
            .with_context(|| shown(host, "peers").unwrap_or_default() + &host.log())?;
    }
    members[0].0.wait_pings(members[2].1)?;
    members[2].0.wait_pings(members[1].1)
}

fn shown(host: &Host, part: &str) -> Result<String> {
    host.weft(&["status", part])?.ok()
}

/// Waits until an end of a line whose middle is gone says so, and checks that it does its own work
/// as fast as ever.
fn end_alone(lab: &Lab, n: usize, within: Duration) -> Result<()> {
    let host = lab.host(n);
    let reports = || {
        let peers = shown(host, "peers")?;
        let connections = shown(host, "connections")?;
        let far = (1..=3).filter(|far| *far != n);
        Ok::<bool, anyhow::Error>(
            peers.matches("unreachable").count() == 2
                && !connections.contains(" established ")
                && far.into_iter().all(|far| !host.knows(&format!("c{far}"))),
        )
    };
    wait_until("the end reports that it is alone", within, || reports().unwrap_or_default())
        .with_context(|| shown(host, "peers").unwrap_or_default() + &host.log())?;
    ensure!(host.knows(&format!("c{n}")), "it lost its own name");
    let container = lab.container()?;
    for args in [
        &["attach", "--name", "extra", &container.namespace][..],
        &["dns-lookup", "extra"],
        &["run", "--", "true"],
        &["ps"],
        &["status"],
        &["report"],
        &["detach", &container.namespace],
    ] {
        let done = host.weft(args)?;
        let took = done.took;
        done.ok().with_context(|| host.log())?;
        ensure!(took < Duration::from_secs(1), "`weft {}` took {took:?}", args.join(" "));
    }
    Ok(())
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
    for n in 1..=3 {
        launch_in_line(&lab, n)?;
    }
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
fn frames_between_hosts_without_a_link_go_straight_after_a_moment_and_none_is_missed() -> Result<()>
{
    let lab = Lab::full(3)?;
    let dials = |n: usize| (n != 2).then(|| lab.host(2).address());
    for n in [2, 1, 3] {
        let target = dials(n);
        let args = ["--password", "three threads", "--no-discovery"].into_iter();
        lab.host(n).launch(&args.chain(target.as_deref()).collect::<Vec<_>>())?;
    }
    let [one, middle, three] = [lab.host(1), lab.host(2), lab.host(3)];
    middle.wait_linked(2)?;
    let [near, far] = [lab.container()?, lab.container()?];
    one.attach(&near, &[])?;
    let address = three.attach(&far, &[])?;
    wait_until("the far peer is in reach", NOTICED, || {
        shown(one, "peers").is_ok_and(|peers| peers.contains(" - relayed by "))
    })
    .with_context(|| shown(one, "peers").unwrap_or_default())?;
    let pings = pinging(&lab, &near, &address.to_string())?;
    pings.wait_for("bytes from", Duration::from_secs(5))?;
    let begun = answered(&pings.text());
    for host in [one, three] {
        wait_until("frames go straight", Duration::from_secs(10), || {
            shown(host, "connections").is_ok_and(|shown| shown.contains(" direct "))
                && shown(host, "peers").is_ok_and(|peers| peers.contains(" - direct"))
        })
        .with_context(|| shown(host, "connections").unwrap_or_default() + &host.log())?;
        ensure!(host.log().contains("frames go straight"), "{}", host.log());
    }
    // They pass the host in the middle by, which hears nothing any more.
    ip(&format!("-n {} link set eth0 down", middle.namespace))?;
    let had = pings.count("bytes from");
    std::thread::sleep(Duration::from_secs(2));
    ip(&format!("-n {} link set eth0 up", middle.namespace))?;
    ensure!(pings.count("bytes from") > had + 15, "{}", pings.text());
    let answers = answered(&pings.text());
    let first = begun.first().context("nothing was answered")?;
    let last = answers.last().context("nothing was answered")?;
    ensure!(usize::try_from(last + 1 - first)? == answers.len(), "{answers:?}");
    drop(pings);
    lab.finish()
}

/// The numbers of all pings in `text` that were answered.
fn answered(text: &str) -> BTreeSet<u32> {
    let numbers = text.lines().filter(|line| line.contains("bytes from"));
    let numbers = numbers.filter_map(|line| line.split_once("icmp_seq=")?.1.split(' ').next());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn the_ends_of_a_line_report_a_killed_middle_work_on_and_are_joined_again_when_it_is_back()
-> Result<()> {
    let (lab, members) = line()?;
    let lost = Instant::now();
    lab.host(2).kill_daemon()?;
    for n in [1, 3] {
        end_alone(&lab, n, CLOSED.saturating_sub(lost.elapsed()))?;
    }
    ensure!(!members[0].0.pings(members[2].1)?, "the ends have a way around the middle");
    launch_in_line(&lab, 2)?;
    whole(&lab, &members)?;
    lab.finish()
}

#[test]
fn the_ends_of_a_line_report_a_middle_that_falls_silent_and_are_joined_again_when_it_speaks()
-> Result<()> {
    let (lab, members) = line()?;
    let wires = |state: &str| {
        for wire in ["eth0", "eth1"] {
            ip(&format!("-n {} link set {wire} {state}", lab.host(2).namespace))?;
        }
        Ok::<(), anyhow::Error>(())
    };
    let lost = Instant::now();
    wires("down")?;
    for n in [1, 3] {
        end_alone(&lab, n, NOTICED.saturating_sub(lost.elapsed()))?;
    }
    wires("up")?;
    whole(&lab, &members)?;
    lab.finish()
}

#[test]
fn a_data_path_that_is_blocked_while_the_control_link_stands_is_a_complaint_until_it_opens()
-> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    for family in ["0.0.0.0/0", "::/0"] {
        let all = format!("src {family} dst {family} proto udp dport 6783");
        ip(&format!("-n {} xfrm policy add dir in {all} action block", one.namespace))?;
    }
    full(&lab)?;
    for host in lab.hosts() {
        wait_until("the status names what is blocked", NOTICED, || {
            let status = host.weft(&["status"]).map(|done| done.stdout).unwrap_or_default();
            let first = status.lines().next().unwrap_or_default();
            let links = shown(host, "connections").unwrap_or_default();
            first.contains("DEGRADED")
                && first.contains("is UDP 6783 blocked?")
                && links.contains(" pending ")
                && links.contains("is UDP 6783 blocked?")
        })
        .with_context(|| shown(host, "connections").unwrap_or_default())?;
    }
    ip(&format!("-n {} xfrm policy flush", one.namespace))?;
    let [a, b] = [lab.container()?, lab.container()?];
    for host in lab.hosts() {
        host.wait_linked(1)?;
        ensure!(!shown(host, "connections")?.contains("blocked"));
    }
    one.attach(&a, &[])?;
    a.wait_pings(two.attach(&b, &[])?)?;
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
fn a_killed_daemon_that_only_others_dial_is_linked_again_within_a_second_of_its_return()
-> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    // It names nobody, neither at first nor later.
    one.launch(&["--password", "x y z"])?;
    two.launch(&["--password", "x y z", &one.address()])?;
    let [far, near] = [lab.container()?, lab.container()?];
    two.attach(&far, &[])?;
    let address = one.attach(&near, &[])?;
    far.wait_pings(address)?;
    one.kill_daemon()?;
    // So long that the others wait for many seconds between two dials.
    std::thread::sleep(Duration::from_secs(10));
    let pings = pinging(&lab, &far, &address.to_string())?;
    one.launch(&["--password", "x y z"])?;
    let took = next_answer(&pings, pings.count("bytes from"), Instant::now())?;
    ensure!(took < Duration::from_secs(1), "first answer only after {took:?}: {}", one.log());
    drop(pings);
    lab.finish()
}

#[test]
fn a_peer_whose_other_owner_is_gone_for_good_goes_on_when_the_operator_says_so() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&["--ipalloc-init", "consensus=2"])?;
    two.launch(&["--ipalloc-init", "consensus=2", &one.address()])?;
    let [before, after] = [lab.container()?, lab.container()?];
    one.attach(&before, &[])?;
    let lost = two.attach(&after, &[])?;
    two.weft(&["stop"])?.ok()?;
    one.weft(&["stop"])?.ok()?;
    one.launch(&[])?;
    let done = one.weft(&["attach", &lab.container()?.namespace])?;
    done.complains(1, "1 other peer that owns addresses", &["weft help prime"])?;
    let verdict = one.weft(&["status"])?.ok()?;
    ensure!(verdict.lines().next().is_some_and(|line| line.contains("weft help prime")));
    let forced = one.weft(&["prime", "--force"])?;
    ensure!(forced.code == 0 && forced.stderr.contains("warning"), "{forced}");
    let given = one.attach(&lab.container()?, &[])?;
    ensure!(given != lost, "{lost} was given out twice");
    ensure!(one.log().contains("an operator vouched"), "{}", one.log());
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
    // Else it would dial its neighbours of before, and the test would show nothing.
    ensure!(two.launch(&["--no-discovery"])? == name, "it came back as another peer");
    ensure!(two.weft(&["status", "targets"])?.ok()?.is_empty(), "it dials");
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
