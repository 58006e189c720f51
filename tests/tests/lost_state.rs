//! All hosts lose their state folders while their containers run on.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;
use weft_tests::lab::Lab;

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
