//! How fast addresses are handed out for good: each is on the disk before it is answered.
//!
//! Asked for through the API of two daemons, of which one holds next to nothing and the other one
//! 100,000 addresses, by one caller and by 64 at once. Beside it, in the same rounds, what the disk
//! takes for a few hundred bytes by themselves: no address can be had for less. And, without a disk,
//! what it takes to learn who owns what.

use anyhow::{Context as _, Result};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use std::fs::File;
use std::io::{Seek as _, Write as _, stdout};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use weft_core::addr::{Offset, Range, Universe};
use weft_core::config::Config;
use weft_core::id::Identity;
use weft_core::ipam::{Act, Ballot, Founding, Ipam, Ledger};
use weft_core::record::{Fingerprint, Key, Record, Version};
use weft_core::saved::Saved;
use weft_core::time::Instant as NodeInstant;
use weft_tests::client::Client;
use weft_tests::figures::{Goal, median, shown};
use weft_tests::lab::Lab;
use weft_tests::outcome;

/// Enough for a median, few enough for a minute or two.
const ROUNDS: usize = 5;

/// Callers at once.
const CALLERS: usize = 64;

/// What one caller asks for in a round: of so many, the 99th hundredth is more than the worst.
const ALONE: usize = 300;

/// What each of [`CALLERS`] asks for in a round.
const TOGETHER: usize = 100;

/// Addresses that one of the daemons holds.
const HELD: usize = 100_000;

/// About what is written for one address.
const WRITTEN: [u8; 300] = [0x5a; 300];

/// Intervals that a ledger is told of.
const INTERVALS: u32 = 10_000;

/// No call takes nearly so long.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let lab = Lab::full(2)?;
    let sockets: Vec<PathBuf> =
        lab.hosts().iter().map(|host| host.run_dir.join("weft.sock")).collect();
    for host in lab.hosts() {
        host.launch(&["--ipalloc-init", "consensus=1"])?;
    }
    let [few, many] = &sockets[..] else { anyhow::bail!("two hosts have two sockets") };
    allocate(few, "held", 1, 10)?;
    let start = Instant::now();
    let filled = allocate(many, "held", CALLERS, HELD.div_ceil(CALLERS))?;
    let filled = Times { took: start.elapsed(), ..filled };

    let mut disk = Series::default();
    let mut daemons = [(); 4].map(|()| Series::default());
    for _ in 0..ROUNDS {
        disk.push(synced(lab.dir())?);
        for (at, socket) in [few, many].into_iter().enumerate() {
            daemons[at].push(given(socket, 1, ALONE)?);
            daemons[at + 2].push(given(socket, CALLERS, TOGETHER)?);
        }
    }
    let host = lab.host(2);
    host.kill_daemon()?;
    let start = Instant::now();
    host.launch(&["--ipalloc-init", "consensus=1"])?;
    let again = start.elapsed();
    lab.finish()?;

    let mut out = stdout();
    writeln!(out, "{ROUNDS} rounds: median (least to most)")?;
    writeln!(out, "{:<30}{:>26}{:>24}{:>24}", "", "per second", "p50, ms", "p99, ms")?;
    let [few_alone, many_alone, few_together, many_together] = &daemons;
    for (what, series) in [
        ("write and sync 300 bytes", &disk),
        ("1 caller", few_alone),
        ("1 caller, 100,000 held", many_alone),
        ("64 callers", few_together),
        ("64 callers, 100,000 held", many_together),
    ] {
        writeln!(
            out,
            "{what:<30}{:>26}{:>24}{:>24}",
            shown(&series.rates, 0),
            shown(&series.p50, 2),
            shown(&series.p99, 2)
        )?;
    }
    writeln!(out, "the first 100,000, 64 callers: {:.0} a second\n", filled.rate())?;
    writeln!(out, "launched again after it was killed, 100,000 held: {:.0} ms\n", millis(again))?;
    let ratio = |a: &[f64], b: &[f64]| median(a) / median(b);
    for (what, value, goal) in [
        ("1 caller, p99, ms", median(&few_alone.p99), Some(Goal::AtMost(2.0))),
        ("  p50, of that of a sync", ratio(&few_alone.p50, &disk.p50), None),
        (
            "  p50, 100,000 held or 10",
            ratio(&many_alone.p50, &few_alone.p50),
            Some(Goal::AtMost(1.2)),
        ),
        ("64 callers, a second", median(&few_together.rates), Some(Goal::AtLeast(5000.0))),
        ("  of syncs a second", ratio(&few_together.rates, &disk.rates), None),
        (
            "  100,000 held or 10",
            ratio(&many_together.rates, &few_together.rates),
            Some(Goal::AtLeast(0.8)),
        ),
    ] {
        let verdict = goal.map(|goal| goal.verdict(value)).unwrap_or_default();
        writeln!(out, "{what:<30}{value:>12.2}{verdict}")?;
    }
    learned(&mut out)
}

/// What calls took.
#[derive(Debug)]
struct Times {
    /// All of them, from the first to the last.
    took: Duration,
    each: Vec<Duration>,
}

impl Times {
    fn rate(&self) -> f64 {
        count(self.each.len()) / self.took.as_secs_f64()
    }
}

/// What several rounds of the same took.
#[derive(Debug, Default)]
struct Series {
    rates: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Series {
    fn push(&mut self, times: Times) {
        self.rates.push(times.rate());
        let mut each: Vec<_> = times.each.iter().copied().map(millis).collect();
        each.sort_by(f64::total_cmp);
        let at = |share: usize| each.get(each.len() * share / 100).copied();
        self.p50.push(at(50).unwrap_or(f64::NAN));
        self.p99.push(at(99).unwrap_or(f64::NAN));
    }
}

/// Has each of `callers` ask for `calls` addresses, each for another container whose id begins with
/// `name`.
fn allocate(socket: &Path, name: &str, callers: usize, calls: usize) -> Result<Times> {
    all(socket, ("POST", name), callers, calls)
}

/// The same, and gives them back, which is not measured.
fn given(socket: &Path, callers: usize, calls: usize) -> Result<Times> {
    let times = allocate(socket, "more", callers, calls)?;
    all(socket, ("DELETE", "more"), CALLERS.min(callers), calls)?;
    Ok(times)
}

fn all(socket: &Path, ask: (&str, &str), callers: usize, calls: usize) -> Result<Times> {
    let (method, name) = ask;
    let one = |caller: usize| {
        let mut client = Client::new(socket.to_owned(), PATIENCE);
        // Its first request opens the stream.
        client.get_done("GET", "/ipinfo/defaultsubnet")?;
        let begin = Instant::now();
        let mut each = Vec::new();
        for call in 0..calls {
            let start = Instant::now();
            client.get_done(method, &format!("/ip/{name}-{caller}-{call}"))?;
            each.push(start.elapsed());
        }
        Ok((begin, Instant::now(), each))
    };
    let callers = std::thread::scope(|scope| {
        let started: Vec<_> = (0..callers).map(|caller| scope.spawn(move || one(caller))).collect();
        started.into_iter().map(|caller| outcome(caller.join())).collect::<Result<Vec<_>>>()
    })?;
    let begin = callers.iter().map(|caller| caller.0).min().context("no callers")?;
    let end = callers.iter().map(|caller| caller.1).max().context("no callers")?;
    let each = callers.into_iter().flat_map(|caller| caller.2).collect();
    Ok(Times { took: end - begin, each })
}

/// What the disk takes to keep some bytes, in a file that has its room already, as the daemon's: one that
/// grows has to be noted as longer each time.
fn synced(folder: &Path) -> Result<Times> {
    let path = folder.join("synced");
    let mut file = File::create(&path)?;
    file.write_all(&vec![0; ALONE * WRITTEN.len()])?;
    file.sync_all()?;
    file.rewind()?;
    let begin = Instant::now();
    let mut each = Vec::new();
    for _ in 0..ALONE {
        let start = Instant::now();
        file.write_all(&WRITTEN)?;
        file.sync_data()?;
        each.push(start.elapsed());
    }
    let took = begin.elapsed();
    std::fs::remove_file(path)?;
    Ok(Times { took, each })
}

/// What it takes to learn of 10,000 intervals that have changed owner: for the map alone, and for the
/// machine of a node that takes them as records, whose signatures are somebody else's to check.
fn learned(out: &mut impl std::io::Write) -> Result<()> {
    let giver = Identity::from_seed([1; 32]);
    let universe = Universe::DEFAULT;
    let ballot = Ballot { round: 1, proposer: giver.id() };
    let founding = Founding { universe, seeds: [giver.id()].into(), ballot, lacks: false };
    let body = weft_core::codec::encode(&founding);
    let lineage = Fingerprint::of(&body);
    let root = Record::sign(&giver, Key::Founding(lineage), Version::default(), body);
    let mut given = Ledger::found(&founding).context("a founding without seeds")?;
    let mut grants = Vec::new();
    let mut records = Vec::new();
    for at in 0..INTERVALS {
        // Every other piece, so that no two of them join.
        let start = u128::from(at) * 64;
        let range = Range { start: Offset(start), end: Offset(start + 32) };
        let to = Identity::from_seed([u8::try_from(at % 100)? + 2; 32]).id();
        let grant = given.grant(lineage, range, giver.id(), to).context("a grant that fails")?;
        given.apply(&grant);
        let body = weft_core::codec::encode(&grant);
        let key = Key::Grant(Fingerprint::by(&giver.id(), &body));
        records.push(Record::sign(&giver, key, Version::default(), body));
        grants.push(grant);
    }
    let (mut map, mut machine) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut ledger = Ledger::found(&founding).context("a founding without seeds")?;
        let start = Instant::now();
        for grant in &grants {
            ledger.apply(grant);
        }
        map.push(per_interval(start.elapsed()));
        anyhow::ensure!(ledger == given, "the map is another one");
        let reader = Identity::from_seed([255; 32]).id();
        let rng = ChaCha20Rng::from_seed([1; 32]);
        let mut ipam = Ipam::new(&Config::default(), reader, &Saved::default(), rng)?;
        let mut acts: Vec<Act> = Vec::new();
        ipam.record(NodeInstant::ZERO, &root, &mut acts);
        let start = Instant::now();
        for record in &records {
            ipam.record(NodeInstant::ZERO, record, &mut acts);
        }
        machine.push(per_interval(start.elapsed()));
        anyhow::ensure!(ipam.ledger() == Some(&given), "the machine has another map");
    }
    writeln!(out, "\nlearning of {INTERVALS} intervals, µs each: median (least to most)")?;
    writeln!(out, "{:<30}{:>26}", "the map alone", shown(&map, 2))?;
    writeln!(out, "{:<30}{:>26}", "as records, signatures apart", shown(&machine, 2))?;
    Ok(())
}

fn per_interval(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6 / f64::from(INTERVALS)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Of so few that nothing is lost.
fn count(calls: usize) -> f64 {
    u32::try_from(calls).map_or(f64::NAN, f64::from)
}
