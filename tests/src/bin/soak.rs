//! `soak SECONDS [SEED]`: real daemons under faults, judged by what their clients were told.

use anyhow::{Context as _, Result};
use std::io::{Write as _, stdout};
use std::time::Duration;
use weft_tests::soak::{judge, soak};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().context("expected: soak SECONDS [SEED]")?.parse()?;
    let seed = args.next().map_or(Ok(1), |seed| seed.parse())?;
    let mut out = stdout();
    writeln!(out, "seed {seed}, {seconds} s, and then until all is settled")?;
    let soaked =
        soak(seed, Duration::from_secs(seconds)).with_context(|| format!("seed {seed}"))?;
    write!(out, "{}", judge(seed, &soaked)?)?;
    Ok(())
}
