//! Peers that leave the mesh with `weft reset`.

use anyhow::{Context, Result, ensure};
use std::thread;
use weft_tests::lab::Lab;

/// Ranges that a daemon may give away while it leaves: its own, and what it was left by each of two others.
const GIVEN_MAX: usize = 8;

#[test]
fn peers_that_all_leave_at_once_are_told_so_and_hand_nothing_to_and_fro() -> Result<()> {
    let lab = Lab::full(3)?;
    let [first, others @ ..] = lab.hosts() else { anyhow::bail!("no host") };
    first.launch(&["--ipalloc-init=consensus=3"])?;
    for other in others {
        other.launch(&["--ipalloc-init=consensus=3", &first.address()])?;
    }
    first.wait_linked(2)?;
    for host in lab.hosts() {
        host.attach(&lab.container()?, &["--wait"])?;
    }
    let done = thread::scope(|scope| {
        let resets: Vec<_> =
            lab.hosts().iter().map(|host| scope.spawn(|| host.weft(&["reset"]))).collect();
        resets.into_iter().map(|it| it.join().expect("a reset panicked")).collect::<Vec<_>>()
    });
    let mut refused = 0;
    for (host, done) in lab.hosts().iter().zip(done) {
        let done = done?;
        if done.code == 0 {
            ensure!(!host.is_running(), "it has left and runs");
            continue;
        }
        refused += 1;
        let given = host.log().matches("addresses given away").count();
        ensure!(given <= GIVEN_MAX, "addresses went to and fro {given} times");
        done.complains(1, "addresses", &["weft reset --force"])?;
    }
    ensure!(refused > 0, "nobody was left to leave anything to, and nobody was told so");
    // As advised.
    for host in lab.hosts().iter().filter(|host| host.is_running()) {
        host.weft(&["reset", "--force"])?.ok().context("by force")?;
    }
    ensure!(lab.hosts().iter().all(|host| !host.is_running()));
    lab.finish()
}
