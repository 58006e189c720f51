//! All hosts lose their state folders while their containers run on.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;
use weft_tests::lab::Lab;
use weft_tests::wait_until;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn what_containers_have_is_not_given_to_who_waits_for_the_new_division() -> Result<()> {
    let lab = Lab::two()?;
    let hosts = lab.hosts();
    let launch =
        |n: usize| hosts[n].launch(&["--ipalloc-range=10.32.0.0/27", &hosts[1 - n].address()]);
    launch(0)?;
    launch(1)?;
    let mut had = BTreeSet::new();
    for host in hosts {
        host.wait_linked(1)?;
        for _ in 0..4 {
            ensure!(had.insert(host.attach(&lab.container()?, &["--wait"])?), "given twice");
        }
    }
    for host in hosts {
        host.kill_daemon()?;
    }
    for host in hosts {
        fs::remove_dir_all(&host.state_dir).context("the state folder")?;
    }

    // Alone, the first one cannot divide anything; it does so the moment it has the other's vote.
    launch(0)?;
    let late = [(); 4].map(|()| lab.container());
    let given = thread::scope(|scope| {
        let waiting: Vec<_> = late
            .into_iter()
            .map(|container| scope.spawn(|| hosts[0].attach(&container?, &["--wait"])))
            .collect();
        thread::sleep(Duration::from_millis(300));
        let launched = launch(1);
        let given = waiting.into_iter().map(|it| it.join().expect("an attach panicked"));
        let given: Result<Vec<_>> = given.collect();
        launched.and(given)
    })?;
    for address in given {
        ensure!(had.insert(address), "{address} has been a container's all along");
    }
    for host in hosts {
        let owners = host.get("/status/ipam")?;
        ensure!(!owners.contains("handed it out"), "{owners}");
    }
    lab.finish()
}

#[test]
fn what_one_container_has_in_many_places_comes_back_whole() -> Result<()> {
    const PLACES: u16 = 900;
    let lab = Lab::two()?;
    let hosts = lab.hosts();
    let launch =
        |n: usize| hosts[n].launch(&["--ipalloc-range=10.32.0.0/20", &hosts[1 - n].address()]);
    launch(0)?;
    launch(1)?;
    hosts.iter().try_for_each(|host| host.wait_linked(1))?;
    // Every fourth one of both halves, whoever comes to own which; neither the first one of a half, nor the one behind
    // any, which the DNS server may take.
    let first = Ipv4Addr::new(10, 32, 1, 1).to_bits();
    let place = |n: u16| Ipv4Addr::from_bits(first + 4 * u32::from(n));
    let had: BTreeSet<Ipv4Addr> = (0..PLACES).map(place).collect();
    let container = lab.container()?;
    for some in had.iter().collect::<Vec<_>>().chunks(100) {
        let mut args: Vec<String> = some.iter().map(|address| format!("{address}/20")).collect();
        args.insert(0, "attach".to_owned());
        args.extend(["--wait".to_owned(), container.namespace.clone()]);
        hosts[0].weft(&args.iter().map(String::as_str).collect::<Vec<_>>())?.ok()?;
    }
    for host in hosts {
        host.kill_daemon()?;
    }
    for host in hosts {
        fs::remove_dir_all(&host.state_dir).context("the state folder")?;
    }
    launch(0)?;
    launch(1)?;
    for _ in 0..20 {
        let address = hosts[1].attach(&lab.container()?, &["--wait"])?;
        ensure!(!had.contains(&address), "{address} has been a container's all along");
    }
    wait_until("all is its own again", PATIENCE, || {
        hosts[0].get("/status/ipam").is_ok_and(|owners| !owners.contains(" here is "))
    })?;
    for host in hosts {
        let owners = host.get("/status/ipam")?;
        ensure!(!owners.contains("handed it out"), "{owners}");
    }
    lab.finish()
}
