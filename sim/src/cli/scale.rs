//! `sim scale`: what a mesh costs each of its peers, by the size of the mesh.

use super::gathered::{Mesh, sizes};
use super::say;
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use sim::world::{Counted, World};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use weft_core::record::Key;

/// How long nothing happens while the cost of that is counted.
const REST: Duration = Duration::from_secs(60);

/// What comes of a start is over in this time.
const JOIN: Duration = Duration::from_secs(20);

/// How often it is looked who knows of a change, and after which time nobody else will.
const LOOK_WAIT: Duration = Duration::from_millis(10);
const SPREAD_MAX: Duration = Duration::from_secs(60);

/// A change has arrived when so many of a thousand peers know of it.
const SPREAD_PARTS: usize = 999;

/// The most that costs may grow with the size N of the mesh: as N to this power.
const REST_EXPONENT_MAX: f64 = 0.15;
const JOIN_EXPONENT_MAX: f64 = 1.1;

/// The most bytes that a peer may send in a second while nothing happens.
const REST_BYTES_MAX: f64 = 4_000.0;

/// The longest that a change may take to its last peer but one of a thousand, in seconds.
const SPREAD_SECS_MAX: f64 = 2.0;

/// Counts what meshes of several sizes cost: bytes and calls, which are the same on every machine.
///
/// Exits with 1 when a cost grows faster with the size than is promised.
#[derive(Debug, clap::Args)]
pub(crate) struct Scale {
    /// How many peers; a mesh for each of these numbers
    #[arg(long, value_delimiter = ',', default_value = "50,100,200,400,800", value_parser = sizes())]
    peers: Vec<usize>,
    /// Where chances come from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Prints one JSON object for each mesh, and nothing else
    #[arg(long)]
    json: bool,
}

/// What one mesh costs.
#[derive(Debug, Serialize, Deserialize)]
struct Cost {
    peers: usize,
    /// Links that a peer has.
    links: f64,
    /// Until all know all, seconds of the world's clock.
    gather_secs: f64,
    /// That a peer sends until then.
    gather_bytes: f64,
    /// That a peer sends in a second while nothing happens.
    rest_bytes: f64,
    /// Calls of a peer's node in such a second.
    rest_calls: f64,
    /// That all together send because one more comes.
    join_bytes: f64,
    /// Until it knows all and all know it.
    join_secs: f64,
    /// Until nearly all know of a change.
    spread_secs: f64,
    /// The most memory of the whole world, for each peer.
    peak_bytes: f64,
    /// Seconds here.
    real_secs: f64,
}

impl Scale {
    /// Whether every cost is within what is promised.
    pub(crate) fn run(self) -> Result<bool> {
        if let ([peers], true) = (&self.peers[..], self.json) {
            say(&serde_json::to_string(&measure(*peers, self.seed)?)?);
            return Ok(true);
        }
        if !self.json {
            say(HEAD);
        }
        let mut costs = Vec::new();
        for peers in &self.peers {
            let cost = self.apart(*peers)?;
            say(&if self.json { serde_json::to_string(&cost)? } else { cost.row() });
            costs.push(cost);
        }
        Ok(self.json || is_as_promised(&costs))
    }

    /// Measures in a process of its own, so that its memory is that of one mesh.
    fn apart(&self, peers: usize) -> Result<Cost> {
        let myself = std::env::current_exe().context("cannot find this program")?;
        let done = Command::new(myself)
            .args(["scale", "--json", "--peers", &peers.to_string()])
            .args(["--seed", &self.seed.to_string()])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start this program again")?;
        let printed = String::from_utf8_lossy(&done.stdout);
        if !done.status.success() {
            bail!("with {peers} peers: {} ({})", printed.trim(), done.status);
        }
        serde_json::from_str(&printed).with_context(|| format!("with {peers} peers: {printed}"))
    }
}

const HEAD: &str = concat!(
    "               gather                  at rest        one more joins     a change  memory     real\n",
    " peers links   time   B/peer B/s/peer calls/s/peer     bytes   time  to 99.9 %   /peer     time",
);

impl Cost {
    fn row(&self) -> String {
        format!(
            "{:6} {:5.1} {:5.1}s {:8.0} {:8.0} {:12.1} {:9.0} {:5.1}s {:9.2}s {:5.0}kB {:7.1}s",
            self.peers,
            self.links,
            self.gather_secs,
            self.gather_bytes,
            self.rest_bytes,
            self.rest_calls,
            self.join_bytes,
            self.join_secs,
            self.spread_secs,
            self.peak_bytes / 1e3,
            self.real_secs,
        )
    }
}

/// Says how costs grow, and whether that is little enough.
fn is_as_promised(costs: &[Cost]) -> bool {
    let mut is_kept = true;
    let mut promise = |what: &str, is: Option<f64>, most: f64| {
        let Some(is) = is else { return };
        let verdict = if is <= most { "ok" } else { "TOO MUCH" };
        is_kept &= is <= most;
        say(&format!("{what:52} {is:8.2}, at most {most}: {verdict}"));
    };
    let largest = |cost: fn(&Cost) -> f64| costs.iter().map(cost).reduce(f64::max);
    let of = |cost: fn(&Cost) -> f64| exponent(costs.iter().map(|one| (one.size(), cost(one))));
    promise(
        "bytes at rest grow as N to the power of",
        of(|cost| cost.rest_bytes),
        REST_EXPONENT_MAX,
    );
    promise(
        "calls at rest grow as N to the power of",
        of(|cost| cost.rest_calls),
        REST_EXPONENT_MAX,
    );
    promise(
        "bytes of a join grow as N to the power of",
        of(|cost| cost.join_bytes),
        JOIN_EXPONENT_MAX,
    );
    promise("most bytes at rest", largest(|cost| cost.rest_bytes), REST_BYTES_MAX);
    promise("longest time of a change, seconds", largest(|cost| cost.spread_secs), SPREAD_SECS_MAX);
    is_kept
}

impl Cost {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    const fn size(&self) -> f64 {
        self.peers as f64
    }
}

/// The power of x that the y of all `points` follow best: the slope of their logarithms, by least squares.
/// `None` for less than two different x.
fn exponent(points: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points.map(|(x, y)| (x.ln(), y.max(1.0).ln())).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| {
        let (sum, count) = logs.iter().fold((0.0, 0.0), |(sum, n), log| (sum + of(log), n + 1.0));
        sum / count
    };
    let (x, y) = (mean(|log| log.0), mean(|log| log.1));
    let spread: f64 = logs.iter().map(|log| (log.0 - x).powi(2)).sum();
    let both: f64 = logs.iter().map(|log| (log.0 - x) * (log.1 - y)).sum();
    (spread > 0.0).then(|| both / spread)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn measure(peers: usize, seed: u64) -> Result<Cost> {
    let begun = Instant::now();
    let mut mesh = Mesh::gather(peers, seed)?;
    let gather_secs = mesh.world.now.since(weft_core::time::Instant::ZERO).as_secs_f64();
    let gather_bytes = mesh.per_peer(mesh.total(Counted::Bytes));
    mesh.found()?;
    let links = mesh.per_peer(mesh.total(Counted::Links));
    let before = (mesh.total(Counted::Bytes), mesh.total(Counted::Calls));
    mesh.world.run_for(REST)?;
    let bytes_at_rest = mesh.total(Counted::Bytes) - before.0;
    let rest = |total: u64| mesh.per_peer(total) / REST.as_secs_f64();
    let (rest_bytes, rest_calls) =
        (rest(bytes_at_rest), rest(mesh.total(Counted::Calls) - before.1));
    let spread_secs = spread(&mut mesh)?;
    let (begin, before) = (mesh.world.now, mesh.total(Counted::Bytes));
    mesh.join()?;
    let join_secs = mesh.world.now.since(begin).as_secs_f64();
    mesh.world.run_for(JOIN.saturating_sub(mesh.world.now.since(begin)))?;
    let span = mesh.world.now.since(begin).as_secs_f64();
    let all_at_rest = bytes_at_rest as f64 / REST.as_secs_f64() * span;
    let join_bytes = (mesh.total(Counted::Bytes) - before) as f64 - all_at_rest;
    Ok(Cost {
        peers,
        links,
        gather_secs,
        gather_bytes,
        rest_bytes,
        rest_calls,
        join_bytes,
        join_secs,
        spread_secs,
        peak_bytes: mesh.per_peer(peak_bytes()?),
        real_secs: begun.elapsed().as_secs_f64(),
    })
}

/// How long it takes until nearly all know of a name that one peer is given, in seconds.
fn spread(mesh: &mut Mesh) -> Result<f64> {
    mesh.world.attach(0, "second")?;
    let Some(running) = &mesh.world.hosts[0].running else { bail!("the first peer has died") };
    let key = Key::Names(running.node.id(), 0);
    let version = running.node.records().get(&key).map(|record| record.version);
    let begin = mesh.world.now;
    let know = |world: &World| {
        let running = world.hosts.iter().filter_map(|host| host.running.as_ref());
        running
            .filter(|one| one.node.records().get(&key).map(|record| record.version) == version)
            .count()
    };
    while know(&mesh.world) < (mesh.peers * SPREAD_PARTS).div_ceil(1000) {
        if mesh.world.now.since(begin) > SPREAD_MAX {
            bail!(
                "after {SPREAD_MAX:?} only {} of {} peers know of a name",
                know(&mesh.world),
                mesh.peers
            );
        }
        mesh.world.run_for(LOOK_WAIT)?;
    }
    Ok(mesh.world.now.since(begin).as_secs_f64())
}

/// The most memory that this process had, in bytes (proc(5), `VmHWM`).
fn peak_bytes() -> Result<u64> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let kilobytes = status.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    kilobytes.map(|kilobytes| kilobytes * 1024).context("/proc/self/status does not tell VmHWM")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_is_that_of_the_power_that_all_points_follow() {
        let points = |power: i32| [50.0f64, 100.0, 800.0].map(|x| (x, 7.0 * x.powi(power)));
        for power in [0, 1, 2] {
            let fitted = exponent(points(power).into_iter()).unwrap();
            assert!((fitted - f64::from(power)).abs() < 1e-9, "{fitted} for {power}");
        }
        assert_eq!(exponent([(50.0, 1.0)].into_iter()), None);
    }
}
