//! What a hundred thousand names of a hundred peers cost the one that is asked: memory, and the time of an answer.
//!
//! Each peer is told its names while it is alone, and then dials one or two others. What the first one takes and how
//! fast it answers is looked at before and after that, with its own names and with those of all.

use anyhow::{Context as _, Result};
use std::io::{Write as _, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use weft_tests::client::Client;
use weft_tests::dnsperf::{Answered, Load, STEADY};
use weft_tests::figures::{median, shown};
use weft_tests::host::Host;
use weft_tests::lab::Lab;
use weft_tests::process;
use weft_tests::tools::installed;
use weft_tests::{outcome, wait_until};

const PEERS: u8 = 100;

/// Names of each.
const NAMES: u16 = 1_000;

/// The address of the first name; those of the others follow. Source: RFC 2544 section C.2.2, for benchmarks.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// Where the first one answers.
const AT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5301);

/// Enough for a median, few enough for two minutes in all.
const ROUNDS: usize = 5;

/// How long it is asked in a round, at full load and at a steady one.
const FULL_TIME: Duration = Duration::from_secs(2);
const STEADY_TIME: Duration = Duration::from_secs(1);

/// No call takes nearly so long, nor until all know all names.
const PATIENCE: Duration = Duration::from_secs(120);

/// Until the first has no more to do than to answer.
const SETTLED: Duration = Duration::from_secs(15);

fn main() -> Result<()> {
    installed(&[("dnsperf", "dnsperf")])?;
    let lab = Lab::full(PEERS)?;
    let first = lab.host(1);
    let mut out = stdout();
    first.launch(&["--dns-listen-address", &AT.to_string()])?;
    for host in others(&lab) {
        host.launch(&[])?;
    }
    let begun = Instant::now();
    thread::scope(|scope| {
        let shares = lab.hosts().chunks(usize::from(PEERS).div_ceil(2)).enumerate();
        let half = usize::from(PEERS).div_ceil(2);
        let tellers: Vec<_> =
            shares.map(|(at, hosts)| scope.spawn(move || tell(hosts, at * half))).collect();
        tellers.into_iter().try_for_each(|teller| outcome(teller.join()))
    })?;
    let took = begun.elapsed();
    let count = u32::from(PEERS) * u32::from(NAMES);
    let rate = f64::from(count) / took.as_secs_f64();
    writeln!(out, "{count} names told to {PEERS} peers, two at a time: {rate:.0} a second")?;

    let alone = Answers::of(first, &questions(&lab, "own", 0..u32::from(NAMES))?)?;
    let begun = Instant::now();
    for (n, host) in others(&lab).enumerate() {
        let near = lab.host(n + 1).address();
        let far = lab.host(n / 2 + 1).address();
        host.weft(&["connect", &near, &far])?.ok()?;
    }
    for host in lab.hosts() {
        wait_until("all know all names", PATIENCE, || entries(host).is_ok_and(|it| it == count))?;
    }
    writeln!(
        out,
        "from the first `weft connect` until all know all: {:.1} s",
        begun.elapsed().as_secs_f64()
    )?;
    thread::sleep(SETTLED);
    let together = Answers::of(first, &questions(&lab, "all", 0..count)?)?;

    writeln!(out, "\n{ROUNDS} rounds: median (least to most)")?;
    let [worked, p50, p99] =
        ["a second of processor", &format!("at {STEADY} a second: p50, ms"), "p99, ms"];
    writeln!(out, "{:<16}{:>12}{worked:>28}{p50:>30}{p99:>28}", "", "memory, MiB")?;
    for (what, it) in [("its own names", &alone), ("those of all", &together)] {
        let [p50, p99] = [&it.p50, &it.p99].map(|it| shown(it, 3));
        let (memory, worked) = (it.memory, shown(&it.worked, 0));
        writeln!(out, "{what:<16}{memory:>12.1}{worked:>28}{p50:>30}{p99:>28}")?;
    }
    let more = (together.memory - alone.memory) * 1_048_576.0 / f64::from(count - u32::from(NAMES));
    writeln!(out, "\neach further name: {more:.0} bytes, with the peers that they are of")?;
    writeln!(
        out,
        "processor time of an answer, of that before: {:.2}",
        median(&alone.worked) / median(&together.worked)
    )?;
    lab.finish()
}

/// All hosts but the first.
fn others(lab: &Lab) -> impl Iterator<Item = &Host> {
    lab.hosts().iter().skip(1)
}

/// Tells each of `hosts`, the first of which is the `first` of all, its names.
fn tell(hosts: &[Host], first: usize) -> Result<()> {
    for (host, at) in hosts.iter().zip(first..) {
        let mut client = Client::new(host.run_dir.join("weft.sock"), PATIENCE);
        let begin = u32::try_from(at)? * u32::from(NAMES);
        for n in begin..begin + u32::from(NAMES) {
            let (name, address) = named(n);
            client.get_done("PUT", &format!("/name/weft:extern/{address}?fqdn={name}"))?;
        }
    }
    Ok(())
}

/// One name of many.
fn named(n: u32) -> (String, IpAddr) {
    (format!("n{n}.weft.local"), IpAddr::from(Ipv4Addr::from_bits(FIRST.to_bits() + n)))
}

/// A file with a question for each of these names.
fn questions(lab: &Lab, what: &str, numbers: std::ops::Range<u32>) -> Result<PathBuf> {
    let file = lab.dir().join(what);
    let text: String = numbers.map(|n| format!("{} A\n", named(n).0)).collect();
    std::fs::write(&file, text)?;
    Ok(file)
}

/// How many names `host` answers.
fn entries(host: &Host) -> Result<u32> {
    let status = host.get("/status")?;
    let line = status.lines().find_map(|line| line.trim_start().strip_prefix("Entries:"));
    Ok(line.context("no entries in the status")?.trim().parse()?)
}

/// What the first one takes, and how it answers.
struct Answers {
    /// MiB in use.
    memory: f64,
    /// Answers for each second of its processor time.
    worked: Vec<f64>,
    /// What a question takes at a steady load, in milliseconds.
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Answers {
    fn of(host: &Host, questions: &Path) -> Result<Self> {
        let pid = host.daemon_pid()?;
        let memory = f64::from(u32::try_from(process::resident(pid)? >> 10)?) / 1024.0;
        let mut answers = Self { memory, worked: Vec::new(), p50: Vec::new(), p99: Vec::new() };
        for _ in 0..ROUNDS {
            let before = process::worked(pid)?;
            let full = Answered::of(host, AT, Load::Full(questions), FULL_TIME)?;
            let worked = process::worked(pid)?.saturating_sub(before);
            answers.worked.push(f64::from(full.count) / worked.as_secs_f64());
            let steady = Answered::of(host, AT, Load::Steady(questions), STEADY_TIME)?;
            answers.p50.push(steady.percentile(50));
            answers.p99.push(steady.percentile(99));
        }
        Ok(answers)
    }
}
