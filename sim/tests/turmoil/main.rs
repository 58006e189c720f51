//! The runtime on turmoil's network, under the same rules as the simulated world.
//!
//! Each story has a seed of its own; `TURMOIL_SEED=N` gives all of them others.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a story ends with a broken rule as a value, and with a surprise by panicking"
)]

mod api;
mod bed;
mod crash;
mod hold;
mod one_way;
mod partition;
mod repeat;
mod shutdown;
mod slow;

use bed::{Bed, Failure, Plan};
use std::time::Duration;

type Outcome = Result<(), Failure>;

/// A peer that fell silent is given up within this time: `silence_max` and a heartbeat.
const SILENCE: Duration = Duration::from_secs(15);

/// What a healthy mesh is told, all of it knows within this time.
const TOLD: Duration = Duration::from_secs(2);

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Hosts that dial each other, with this story's seed.
fn plan(seed: u64, hosts: usize) -> Plan {
    let shift: u64 = std::env::var("TURMOIL_SEED").map_or(0, |text| text.parse().unwrap());
    Plan::new(seed + 1_000 * shift, hosts)
}

/// Hosts in a line, with this story's seed.
fn line(seed: u64, hosts: usize) -> Plan {
    Plan { seed: plan(seed, hosts).seed, ..Plan::line(seed, hosts) }
}

/// A bed of linked hosts, each with a container that has an address and a name: `c1`, `c2`, …
fn settled(plan: Plan) -> Result<Bed, Failure> {
    let mut bed = Bed::new(plan).unwrap();
    bed.settle(secs(30))?;
    for host in 0..plan.hosts {
        bed.attach(host, &format!("c{}", host + 1))?;
    }
    bed.settle(secs(30))?;
    Ok(bed)
}

/// `c1`, `c2`, …
fn all_names(hosts: usize) -> Vec<String> {
    (1..=hosts).map(|host| format!("c{host}")).collect()
}
