//! A state folder that is copied to another host while its daemon runs, as with an image of a machine.

use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use weft_tests::lab::Lab;

const PATIENCE: Duration = Duration::from_secs(30);

/// What is said of it, wherever it is said.
const COPIED: &str = "runs from a copy of this peer's state folder";

#[test]
fn two_daemons_with_one_identity_that_never_meet_learn_it_from_others_and_hand_nothing_out()
-> Result<()> {
    let lab = Lab::line(3)?;
    let [original, between, copy] = [1, 2, 3].map(|n| lab.host(n));
    let number = "--ipalloc-init=consensus=1";
    original.launch(&[number])?;
    between.launch(&[number, &original.address()])?;
    original.wait_linked(1)?;
    let mut given = BTreeSet::new();
    for host in [original, between] {
        given.insert(host.attach(&lab.container()?, &[])?);
    }
    original.copy_state(&copy.state_dir)?;
    // Of which the copy knows nothing.
    for _ in 0..3 {
        given.insert(original.attach(&lab.container()?, &[])?);
    }
    copy.launch(&[number, &between.addresses[1].to_string()])?;
    let began = Instant::now();
    let mut told = BTreeSet::new();
    while told.len() < 2 {
        ensure!(began.elapsed() < PATIENCE, "{told:?} know, of hosts 1 and 3: {}", copy.log());
        for (n, host) in [(3, copy), (1, original)] {
            let container = lab.container()?;
            match host.attach(&container, &[]) {
                Ok(address) => ensure!(given.insert(address), "{address} again, by host {n}"),
                Err(why) if format!("{why:#}").contains(COPIED) => _ = told.insert(n),
                Err(_) => {}
            }
        }
    }
    for host in [original, copy] {
        let refused = host.weft(&["attach", &lab.container()?.namespace])?;
        refused.complains(1, COPIED, &["stop the copy"])?;
        ensure!(host.weft(&["status"])?.ok()?.contains(COPIED));
        ensure!(host.log().contains(COPIED));
    }
    // What it owns is not its own to give away.
    copy.weft(&["reset"])?.complains(1, COPIED, &["stop the copy"])?;
    given.insert(between.attach(&lab.container()?, &[])?);
    // As advised.
    copy.weft(&["reset", "--force"])?.ok()?;
    original.weft(&["stop"])?.ok()?;
    original.launch(&[number])?;
    copy.launch(&[number, &between.addresses[1].to_string()])?;
    for host in [original, between, copy] {
        let address = host.attach(&lab.container()?, &["--wait"])?;
        ensure!(given.insert(address), "{address} was given twice");
    }
    lab.finish()
}
