//! How thirty peers on one machine do: how fast they find each other, what each takes when nothing
//! happens, and how long a fault is felt.

use anyhow::{Result, ensure};
use std::io::{Write as _, stdout};
use std::thread::sleep;
use std::time::{Duration, Instant};
use weft_tests::crowd::Crowd;
use weft_tests::process;

/// Below this, every peer has a link with each other one.
const PEERS: u8 = 30;

/// Until the first news are told, records compared and caches filled.
const SETTLED: Duration = Duration::from_secs(15);

/// Long enough for each of the periodic works many times, the longest of which but for fresh keys is
/// 10 s apart: and for 0.02 % of a processor to be seen in steps of 10 ms.
const WATCHED: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let mut out = stdout();
    let (crowd, gathered) = Crowd::gather(PEERS)?;
    writeln!(out, "{PEERS} peers, s{:>40}", "from the first launch on")?;
    for (what, time, goal) in [
        ("all launched", gathered.launched, None),
        ("every peer sees all others", gathered.converged, Some(5.0)),
        ("every peer is linked with each other", gathered.linked, None),
    ] {
        row(&mut out, what, &[time.as_secs_f64()], goal)?;
    }

    let pids =
        crowd.lab.hosts().iter().map(|host| host.daemon_pid()).collect::<Result<Vec<_>>>()?;
    sleep(SETTLED);
    let worked = |pid: &u32| process::worked(*pid);
    let before = pids.iter().map(worked).collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    sleep(WATCHED);
    let took = start.elapsed();
    let after = pids.iter().map(worked).collect::<Result<Vec<_>>>()?;
    let shares = before.iter().zip(&after).map(|(before, after)| {
        after.saturating_sub(*before).as_secs_f64() / took.as_secs_f64() * 100.0
    });
    let memory = pids.iter().map(|pid| {
        // Megabytes; what a process has is far below the limit of exact numbers.
        Ok(u32::try_from(process::resident(*pid)? >> 10).map(f64::from)? / 1024.0)
    });
    writeln!(
        out,
        "\neach, idle for {} s{:>27}{:>9}{:>9}",
        WATCHED.as_secs(),
        "median",
        "min",
        "max"
    )?;
    row(&mut out, "resident memory, MiB", &summary(memory.collect::<Result<_>>()?), Some(15.0))?;
    row(&mut out, "share of a processor, %", &summary(shares.collect()), Some(0.2))?;

    writeln!(out, "\nfaults, s{:>37}{:>9}", "noticed", "healed")?;
    let frozen = crowd.freeze(7)?;
    let split = crowd.split()?;
    for (what, mended) in [("a frozen daemon", frozen), ("two halves apart", split)] {
        row(&mut out, what, &[mended.noticed, mended.healed].map(|it| it.as_secs_f64()), None)?;
    }
    for host in crowd.lab.hosts() {
        ensure!(!host.log().contains("panicked"), "{}", host.log());
    }
    crowd.lab.finish()
}

/// One line of the table; the first figure is held to `goal`.
fn row(
    out: &mut impl std::io::Write,
    what: &str,
    figures: &[f64],
    goal: Option<f64>,
) -> Result<()> {
    write!(out, "{what:<37}")?;
    for figure in figures {
        write!(out, "{figure:>9.2}")?;
    }
    if let (Some(goal), Some(first)) = (goal, figures.first()) {
        write!(out, "  goal < {goal}: {}", if *first < goal { "met" } else { "MISSED" })?;
    }
    Ok(writeln!(out)?)
}

/// Median, least and most.
fn summary(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    let at = |n: usize| figures.get(n).copied().unwrap_or(f64::NAN);
    [at(figures.len() / 2), at(0), at(figures.len().saturating_sub(1))]
}
