//! Real daemons under faults, for a short while; `make soak` does it for longer.

use anyhow::{Context as _, Result};
use std::time::Duration;
use weft_tests::soak::{judge, soak};

#[test]
fn no_address_is_held_twice_or_lost_whatever_befalls_daemons_and_network() -> Result<()> {
    let seed = 1;
    let soaked = soak(seed, Duration::from_secs(20)).with_context(|| format!("seed {seed}"))?;
    judge(seed, &soaked).map(drop)
}
