//! What strangers on the network may do to a daemon: little.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::time::{Duration, Instant};
use weft_tests::lab::{Lab, binary};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_thousand_silent_connections_keep_no_peer_out_and_fill_no_log() -> Result<()> {
    let lab = Lab::full(4)?;
    let [one, two, three, four] = [1, 2, 3, 4].map(|n| lab.host(n));
    let first = one.address();
    let join = ["--password", "behind doors", &first];
    one.launch(&join[..2])?;
    two.launch(&join)?;
    one.wait_linked(1)?;
    let mut flood = three.command(binary("probe")?);
    let flood = lab.background(flood.args(["flood", "192.168.50.1:6783", "1000"]))?;
    flood.wait_for("ready", PATIENCE)?;
    // From a host that takes no part in it, and from the very address that it comes from.
    for (links, newcomer) in [(2, four), (3, three)] {
        let start = Instant::now();
        newcomer.launch(&join)?;
        one.wait_linked(links).with_context(|| flood.text())?;
        let took = start.elapsed();
        ensure!(took < Duration::from_secs(3), "linked only after {took:?}");
    }
    let log = fs::read_to_string(one.run_dir.join("weft.log"))?;
    ensure!(log.lines().count() < 60, "{} lines of log: {log:.5000}", log.lines().count());
    ensure!(!log.contains("nothing heard"), "a link was given up: {log}");
    drop(flood);
    one.weft(&["stop"])?.ok()?;
    let log = fs::read_to_string(one.run_dir.join("weft.log"))?;
    ensure!(log.contains("more in the last minute"), "{log}");
    lab.finish()
}
