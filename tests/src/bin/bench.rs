//! How long an operator waits: until a host is ready, and until a container is on the network.
//!
//! Both are measured around the command as typed. Beside them, to judge the machine by, what the
//! same things take when they are made by hand with `ip`; each of its commands is a process.

use anyhow::{Result, ensure};
use std::io::{Write as _, stdout};
use std::process::Command;
use std::time::Duration;
use weft_tests::command::{Done, run};
use weft_tests::lab::Lab;

/// Enough for a median that does not jump, few enough for half a minute.
const ROUNDS: usize = 20;

fn main() -> Result<()> {
    let mut launches = Series::default();
    for _ in 0..ROUNDS {
        launches.weft.push(launch(&["--password", "wool"])?);
        launches.hand.push(by_hand("ip netns add \"$0x\"; ip netns delete \"$0x\"")?);
    }
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&["--password", "wool"])?;
    // The first one also makes what all share, and waits for the founding.
    host.attach(&lab.container()?, &[])?;
    let mut attaches = Series::default();
    for _ in 0..ROUNDS {
        let container = lab.container()?;
        let mut command = host.weft_command(&["attach", &container.namespace])?;
        attaches.weft.push(took(run(&mut command, Duration::from_secs(20))?)?);
        attaches.hand.push(by_hand(
            "ip netns add \"$0x\"; ip link add eth0 netns \"$0x\" type veth peer name br0 netns $0; \
             ip -n \"$0x\" address add 10.32.0.9/12 dev eth0; ip -n \"$0x\" link set eth0 up; \
             ip -n $0 link set br0 up; ip -n $0 link delete br0; ip netns delete \"$0x\"",
        )?);
    }
    lab.finish()?;

    let mut out = stdout();
    writeln!(out, "{ROUNDS} rounds, ms{:>21}{:>9}{:>9}", "median", "min", "max")?;
    for (what, goal, times) in [
        ("weft launch until ready", Some(300), &launches.weft),
        ("  netns by hand", None, &launches.hand),
        ("weft attach", Some(50), &attaches.weft),
        ("  netns and veth by hand", None, &attaches.hand),
    ] {
        let [median, min, max] = summary(times);
        let verdict = goal.map(|goal: u32| {
            let met = if median < f64::from(goal) { "met" } else { "MISSED" };
            format!("  goal < {goal} ms: {met}")
        });
        writeln!(
            out,
            "{what:<32}{median:>9.1}{min:>9.1}{max:>9.1}{}",
            verdict.unwrap_or_default()
        )?;
    }
    Ok(())
}

/// What weft took and what work by hand took, in turn, so that a busy machine slows both.
#[derive(Debug, Default)]
struct Series {
    weft: Vec<Duration>,
    hand: Vec<Duration>,
}

/// A first launch on a fresh host.
fn launch(options: &[&str]) -> Result<Duration> {
    let lab = Lab::full(1)?;
    let mut command = lab.host(1).weft_command(&[&["launch"], options].concat())?;
    let launched = took(run(&mut command, Duration::from_secs(20))?)?;
    lab.finish()?;
    Ok(launched)
}

/// `script` with the name of a fresh namespace as `$0`.
fn by_hand(script: &str) -> Result<Duration> {
    let lab = Lab::full(1)?;
    let namespace = &lab.host(1).namespace;
    let script = format!("set -e; {script}");
    let mut command = Command::new("sh");
    let time = took(run(command.args(["-c", &script, namespace]), Duration::from_secs(20))?)?;
    lab.finish()?;
    Ok(time)
}

fn took(done: Done) -> Result<Duration> {
    ensure!(done.code == 0, "{done}");
    Ok(done.took)
}

/// Median, least and most, in milliseconds.
fn summary(times: &[Duration]) -> [f64; 3] {
    let mut millis: Vec<_> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    millis.sort_by(f64::total_cmp);
    let at = |n: usize| millis.get(n).copied().unwrap_or(f64::NAN);
    [at(millis.len() / 2), at(0), at(millis.len().saturating_sub(1))]
}
