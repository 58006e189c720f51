//! What runs on after its daemon has lost what it knew: the addresses on its interface are nobody else's.

use anyhow::{Result, ensure};
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;
use weft_tests::container::Container;
use weft_tests::host::Host;
use weft_tests::lab::Lab;
use weft_tests::{tools, wait_until};

/// Few enough that an address that is free is given again at once.
const ARGS: [&str; 3] = ["--no-dns", "--ipalloc-range", "10.32.0.0/29"];

fn has(container: &Container, address: Ipv4Addr) -> Result<bool> {
    Ok(container
        .run("ip", &["-brief", "addr", "show", "ethwe"])?
        .stdout
        .contains(&format!("{address}/")))
}

fn shows(host: &Host, address: Ipv4Addr) -> Result<bool> {
    Ok(host.weft(&["ps"])?.ok()?.contains(&format!("{address}/")))
}

/// Attaches until nothing is left, and checks that nobody is given one of `taken`.
fn fill(lab: &Lab, host: &Host, taken: &[Ipv4Addr]) -> Result<usize> {
    for count in 0.. {
        let Ok(address) = host.attach(&lab.container()?, &[]) else { return Ok(count) };
        ensure!(!taken.contains(&address), "{address} was given twice; {}", host.log());
    }
    Ok(0)
}

#[test]
fn a_daemon_that_lost_its_state_gives_nobody_what_its_containers_and_its_host_have() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&ARGS)?;
    let container = lab.container()?;
    let address = host.attach(&container, &[])?;
    let exposed = host.weft(&["expose"])?.ok()?;
    let exposed: Ipv4Addr = exposed.split('/').next().unwrap_or_default().parse()?;
    host.kill_daemon()?;
    fs::remove_dir_all(&host.state_dir)?;
    host.launch(&ARGS)?;
    let shown = host.weft(&["ps"])?.stdout;
    ensure!(shows(host, address)? && shows(host, exposed)?, "{shown}");
    ensure!(has(&container, address)?, "the container was cut off; {}", host.log());
    let mac = container.run("cat", &["/sys/class/net/ethwe/address"])?.stdout;
    ensure!(shown.contains(mac.trim()), "{shown}");
    ensure!(fill(&lab, host, &[address, exposed])? == 4, "{}", host.log());
    // It is the daemon's again, as if nothing had happened.
    host.weft(&["detach", &container.namespace])?.ok()?;
    ensure!(!has(&container, address)?);
    host.weft(&["hide"])?.ok()?;
    let bridge = tools::ip(&format!("-n {} -brief addr show weft", host.namespace))?;
    ensure!(!bridge.contains(&exposed.to_string()), "{bridge}");
    lab.finish()
}

#[test]
fn a_container_with_many_addresses_keeps_them_all_when_the_state_is_lost() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let args = ["--no-dns", "--ipalloc-range", "10.32.0.0/26"];
    host.launch(&args)?;
    let container = lab.container()?;
    let addresses: Vec<Ipv4Addr> = (1..=40).map(|n| Ipv4Addr::new(10, 32, 0, n)).collect();
    let asked: Vec<String> = addresses.iter().map(|address| format!("{address}/26")).collect();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    host.attach(&container, &asked)?;
    host.kill_daemon()?;
    fs::remove_dir_all(&host.state_dir)?;
    host.launch(&args)?;
    for address in &addresses {
        ensure!(has(&container, *address)?, "{address} was cut off; {}", host.log());
        ensure!(shows(host, *address)?, "{address} is not held; {}", host.log());
    }
    ensure!(fill(&lab, host, &addresses)? == 22, "{}", host.log());
    // What is taken off is not held again, nor is the rest lost.
    host.weft(&["detach", "10.32.0.7", &container.namespace])?.ok()?;
    host.kill_daemon()?;
    fs::remove_dir_all(&host.state_dir)?;
    host.launch(&args)?;
    ensure!(!shows(host, addresses[6])? && shows(host, addresses[39])?, "{}", host.log());
    lab.finish()
}

#[test]
fn names_are_answered_where_they_were_after_the_state_was_lost() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let range = ["--ipalloc-range", "10.32.0.0/29"];
    host.launch(&range)?;
    let [first, second] = [lab.container()?, lab.container()?];
    host.attach(&first, &[])?;
    host.attach(&second, &[])?;
    // A daemon that knows nothing would take this address, which is the first one, for its server.
    host.weft(&["detach", &first.namespace])?.ok()?;
    let server = host.get("/dns-address")?;
    host.kill_daemon()?;
    fs::remove_dir_all(&host.state_dir)?;
    host.launch(&range)?;
    ensure!(host.get("/dns-address")? == server, "it was {server}; {}", host.log());
    let asked = ["+time=2", "+tries=1", &format!("@{server}"), "weft.local", "SOA"];
    let answer = second.run("dig", &asked)?;
    ensure!(answer.stdout.contains("status: NOERROR"), "{answer}");
    lab.finish()
}

#[test]
fn the_names_of_a_container_are_answered_after_the_state_was_lost_and_it_is_told_which_are_not()
-> Result<()> {
    let lab = Lab::two()?;
    let [host, other] = [lab.host(1), lab.host(2)];
    host.launch(&[])?;
    other.launch(&[&host.address()])?;
    let [named, served, bare] = [lab.container()?, lab.container()?, lab.container()?];
    host.named(&named, "db")?;
    host.weft(&["dns-add", &named.namespace, "-h", "second"])?.ok()?;
    host.weft(&["dns-add", &named.namespace, "-h", "third"])?.ok()?;
    host.weft(&["dns-remove", &named.namespace, "-h", "third"])?.ok()?;
    host.named(&served, "web")?;
    host.weft(&["dns-add", &served.namespace, "-h", "web", "--txt", "version=3"])?.ok()?;
    host.attach(&bare, &[])?;
    host.kill_daemon()?;
    fs::remove_dir_all(&host.state_dir)?;
    host.launch(&[&other.address()])?;
    host.wait_linked(1)?;
    for name in ["db", "second", "web"] {
        other.wait_name(name)?;
    }
    ensure!(!host.knows("third"), "a name that was removed is back");
    let told = format!("names of netns:{} here were lost", served.namespace);
    let status = host.weft(&["status"])?.stdout;
    ensure!(status.contains(&told) && status.contains("`weft dns-add`"), "{status}");
    host.weft(&["dns-add", &served.namespace, "-h", "web", "--txt", "version=3"])?.ok()?;
    let status = host.weft(&["status"])?.stdout;
    ensure!(!status.contains("were lost"), "{status}");
    host.weft(&["detach", &named.namespace])?.ok()?;
    ensure!(!host.knows("db") && !host.knows("second"));
    lab.finish()
}

#[test]
fn a_daemon_whose_state_was_put_back_gives_nobody_what_was_given_since() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let copy = lab.dir().join("copy");
    host.launch(&ARGS)?;
    host.attach(&lab.container()?, &[])?;
    host.kill_daemon()?;
    host.copy_state(&copy)?;
    host.launch(&ARGS)?;
    let container = lab.container()?;
    let later = host.attach(&container, &[])?;
    host.kill_daemon()?;
    fs::remove_dir_all(&host.state_dir)?;
    fs::rename(&copy, &host.state_dir)?;
    host.launch(&ARGS)?;
    ensure!(shows(host, later)? && has(&container, later)?, "{}", host.log());
    ensure!(fill(&lab, host, &[later])? == 4, "{}", host.log());
    lab.finish()
}

#[test]
fn what_a_container_has_is_nobody_elses_once_the_peer_is_removed_that_its_host_was_before()
-> Result<()> {
    let lab = Lab::two()?;
    let [here, there] = [lab.host(1), lab.host(2)];
    let named = [&ARGS[..], &["--nickname", "first"]].concat();
    here.launch(&named)?;
    let container = lab.container()?;
    let address = here.attach(&container, &[])?;
    there.launch(&[&ARGS[..], &[&here.address()]].concat())?;
    there.wait_linked(1)?;
    here.kill_daemon()?;
    fs::remove_dir_all(&here.state_dir)?;
    here.launch(&[&named[..], &[&there.address()]].concat())?;
    here.wait_linked(1)?;
    let told = format!("{address} of netns:{} here is ", container.namespace);
    let shown = || Ok::<String, anyhow::Error>(here.weft(&["status", "ipam"])?.stdout);
    wait_until("whose it is is told", Duration::from_secs(5), || {
        shown().is_ok_and(|shown| shown.contains(&told))
    })?;
    let text = shown()?;
    ensure!(text.contains("who cannot be reached") && text.contains("`weft rmpeer`"), "{text}");
    let status = here.weft(&["status"])?;
    ensure!(status.stdout.contains("1 address is a container's here and is another"), "{status}");
    // Two have that name; meant is the one that is gone.
    there.weft(&["rmpeer", "first"])?.ok()?;
    ensure!(fill(&lab, there, &[address])? == 5, "{}", there.log());
    let text = shown()?;
    ensure!(!text.contains(&told), "{text}; {}", here.log());
    ensure!(shows(here, address)? && has(&container, address)?, "{}", here.log());
    lab.finish()
}

#[test]
fn what_cannot_be_held_is_told_in_the_status_until_it_can_be() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&ARGS)?;
    let container = lab.container()?;
    let address = host.attach(&container, &[])?;
    host.kill_daemon()?;
    let own_too = format!("{address}/29");
    tools::ip(&format!("-n {} addr add {own_too} dev weft", host.namespace))?;
    host.launch(&ARGS)?;
    let told =
        format!("weft:expose has {own_too}, which is not held here: address {address} is taken");
    let status = host.weft(&["status"])?.stdout;
    ensure!(status.contains(&told), "{status}; {}", host.log());
    host.weft(&["detach", &container.namespace])?.ok()?;
    wait_until("the address is held", Duration::from_secs(15), || {
        host.weft(&["status"]).is_ok_and(|done| !done.stdout.contains(&told))
    })?;
    ensure!(shows(host, address)?, "{}", host.log());
    host.weft(&["hide"])?.ok()?;
    lab.finish()
}

#[test]
fn what_is_not_held_is_taken_off_when_it_is_named_and_then_alone() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&ARGS)?;
    let container = lab.container()?;
    let (old, id) = (host.attach(&container, &[])?, container.namespace.clone());
    host.kill_daemon()?;
    fs::remove_dir_all(&host.state_dir)?;
    host.launch(&["--no-dns", "--ipalloc-range", "10.99.0.0/24"])?;
    host.weft(&["detach", "10.99.0.77", &id])?.complains(1, "none of these", &["weft ps"])?;
    ensure!(has(&container, old)? && shows(host, old)?, "{}", host.log());
    let new = host.attach(&container, &[])?;
    host.weft(&["detach", &new.to_string(), &id])?.ok()?;
    ensure!(has(&container, old)? && !has(&container, new)?, "{}", host.log());
    host.weft(&["detach", &old.to_string(), &id])?.ok()?;
    ensure!(!shows(host, old)?, "{}", host.log());
    host.weft(&["status"])?.ok()?;
    lab.finish()
}
