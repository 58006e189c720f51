//! `weft rmpeer`: what a peer that is gone for good owned passes to another one.

use anyhow::{Context as _, Result, ensure};
use std::time::Duration;
use weft_tests::command::signal;
use weft_tests::host::Host;
use weft_tests::lab::Lab;
use weft_tests::wait_until;

/// A peer whose streams the kernel has closed is reported within this: nothing has to run out.
const CLOSED: Duration = Duration::from_secs(3);

const PATIENCE: Duration = Duration::from_secs(10);

fn owners(host: &Host) -> Result<String> {
    host.weft(&["status", "ipam"])?.ok()
}

#[test]
fn addresses_of_a_dead_peer_are_handed_out_by_another_one_once_it_is_removed() -> Result<()> {
    let lab = Lab::full(3)?;
    let mut names = Vec::new();
    for (n, host) in lab.hosts().iter().enumerate() {
        let targets: Vec<String> = lab.hosts().iter().take(n).map(Host::address).collect();
        let args = ["--password", "three threads", "--ipalloc-range", "10.40.0.0/28"];
        let args: Vec<&str> = args.into_iter().chain(targets.iter().map(String::as_str)).collect();
        names.push(host.launch(&args)?.trim().to_owned());
    }
    for host in lab.hosts() {
        host.wait_linked(2)?;
        let container = lab.container()?;
        host.attach(&container, &[])?;
        host.weft(&["detach", &container.namespace])?.ok()?;
    }
    let (here, there, third) = (lab.host(1), lab.host(2), &names[2]);
    ensure!(owners(here)?.contains(third), "the third peer owns nothing: {}", owners(here)?);

    here.weft(&["rmpeer", third])?.complains(1, third, &["weft reset"])?;
    here.weft(&["rmpeer", "nobody"])?.complains(1, "nobody", &["weft status"])?;
    lab.host(3).kill_daemon()?;
    let is_gone = |host: &Host| owners(host).is_ok_and(|owners| owners.contains("unreachable!"));
    for host in [here, there] {
        wait_until("the third peer is missed", CLOSED, || is_gone(host))
            .with_context(|| host.log())?;
    }
    let shown = here.weft(&["ipam", "reclaim", "--dry-run"])?.ok()?;
    ensure!(shown.contains("IPs - unreachable!"), "{shown}");
    ensure!(shown.contains(&format!("weft rmpeer {third}")), "{shown}");
    ensure!(owners(here)?.contains(third), "a dry run takes nothing: {}", owners(here)?);
    let taken = here.weft(&["rmpeer", third])?.ok().with_context(|| here.log())?;
    ensure!(taken.ends_with(&format!("IPs of {third} have another owner")), "{taken}");
    ensure!(!taken.starts_with("0 "), "{taken}");
    wait_until("both know who owns it now", CLOSED, || !is_gone(here) && !is_gone(there))?;
    ensure!(!owners(there)?.contains(third), "{}", owners(there)?);

    let nothing = here.weft(&["ipam", "reclaim", "--dry-run"])?.ok()?;
    ensure!(nothing.starts_with("nothing to reclaim"), "{nothing}");

    // All that it owned can be used: what is left at the end belongs to nobody who is away.
    for count in 1.. {
        let container = lab.container()?;
        let done = here.weft(&["attach", &container.namespace])?;
        if done.code != 0 {
            ensure!(count > 8, "only {count} containers have room: {done}");
            let none = "0 belong to peers that cannot be reached";
            done.complains(1, none, &["detach a container"])?;
            break;
        }
    }
    lab.finish()
}

#[test]
fn an_attachment_that_is_to_wait_does_so_until_there_are_addresses_and_says_for_what() -> Result<()>
{
    let lab = Lab::two()?;
    let (one, two) = (lab.host(1), lab.host(2));
    one.launch(&["--ipalloc-init", "consensus=2"])?;
    let container = lab.container()?;
    let hasty = one.weft(&["attach", &container.namespace])?;
    hasty.complains(1, "1 of the 2 peers", &["start the others"])?;
    let mut command = one.weft_command(&["attach", "--wait", &container.namespace])?;
    let mut waiting = lab.background(&mut command)?;
    waiting.wait_for("waiting: no address yet: 1 of the 2 peers", PATIENCE)?;
    two.launch(&["--ipalloc-init", "consensus=2", &one.address()])?;
    ensure!(waiting.wait(PATIENCE)? == 0, "{}", waiting.text());
    ensure!(waiting.text().lines().any(|line| line.starts_with("10.")), "{}", waiting.text());
    let never = one.weft(&["attach", "--wait", "net:192.0.2.0/24", &container.namespace])?;
    never.complains(1, "192.0.2.0/24", &["10.32.0.0/12"])?;
    lab.finish()
}

#[test]
fn a_removal_that_is_to_wait_goes_on_until_all_have_agreed_and_says_whom_it_waits_for() -> Result<()>
{
    let lab = Lab::full(3)?;
    let [one, two, three] = [1, 2, 3].map(|n| lab.host(n));
    let range = ["--ipalloc-range", "10.40.0.0/28"];
    one.launch(&range)?;
    let slow = two.launch(&[&range[..], &[&one.address()]].concat())?.trim().to_owned();
    let gone = three.launch(&[&range[..], &[&one.address(), &two.address()]].concat())?;
    let gone = gone.trim();
    for host in lab.hosts() {
        host.wait_linked(2)?;
        host.attach(&lab.container()?, &[])?;
    }
    three.kill_daemon()?;
    let is_missed = || owners(one).is_ok_and(|owners| owners.contains("unreachable!"));
    wait_until("the third peer is missed", CLOSED, is_missed)?;
    let second = two.daemon_pid()?;
    signal(second, "STOP")?;
    let mut command = one.weft_command(&["rmpeer", "--wait", gone])?;
    let mut waiting = lab.background(&mut command)?;
    waiting.wait_for("waiting: nothing is taken over yet: waits for ", PATIENCE)?;
    ensure!(waiting.text().contains(&slow), "{}", waiting.text());
    signal(second, "CONT")?;
    ensure!(waiting.wait(PATIENCE)? == 0, "{}", waiting.text());
    ensure!(waiting.text().contains(" have another owner"), "{}", waiting.text());
    wait_until("both know who owns it now", CLOSED, || {
        [one, two].iter().all(|host| owners(host).is_ok_and(|owners| !owners.contains(gone)))
    })?;
    lab.finish()
}

#[test]
fn a_removal_that_is_to_wait_gives_who_was_just_cut_off_the_time_to_be_missed() -> Result<()> {
    let lab = Lab::full(3)?;
    let [one, two, three] = [1, 2, 3].map(|n| lab.host(n));
    let range = ["--ipalloc-range", "10.40.0.0/28"];
    one.launch(&range)?;
    two.launch(&[&range[..], &[&one.address()]].concat())?;
    let gone = three.launch(&[&range[..], &[&one.address(), &two.address()]].concat())?;
    let gone = gone.trim();
    for host in lab.hosts() {
        host.wait_linked(2)?;
        host.attach(&lab.container()?, &[])?;
    }
    lab.unplug(3)?;
    one.weft(&["rmpeer", gone])?.complains(1, "can be reached", &["weft reset"])?;
    let mut command = one.weft_command(&["rmpeer", "--wait", gone])?;
    let mut waiting = lab.background(&mut command)?;
    waiting.wait_for("waiting: at most 30s, until it is missed: peer ", PATIENCE)?;
    ensure!(waiting.wait(3 * PATIENCE)? == 0, "{}", waiting.text());
    ensure!(waiting.text().contains(" have another owner"), "{}", waiting.text());
    lab.finish()
}
