//! How fast names are answered, beside dnsmasq and unbound with the same names on the same host.
//!
//! The names are those of a mesh of five peers. Asked is the daemon of one of them. Rounds are interleaved, so that a busy machine slows all. What an answer costs is the processor
//! time of the server, and it tells more than the rate: who asks shares the processors with it.

use anyhow::Result;
use std::io::{Write as _, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use weft_tests::client::Client;
use weft_tests::command::{Background, run};
use weft_tests::dnsperf::{Answered, Load, STEADY};
use weft_tests::figures::{Goal, median, shown};
use weft_tests::host::Host;
use weft_tests::lab::Lab;
use weft_tests::process;
use weft_tests::rivals::{Named, Rival};
use weft_tests::tools::installed;
use weft_tests::wait_until;

const PEERS: u8 = 5;

/// Names of each.
const NAMES: u16 = 2_000;

/// What names end with.
const DOMAIN: &str = "weft.local";

/// Enough for a median, few enough for two minutes.
const ROUNDS: usize = 5;

/// How long each server is asked in a round, at full load and at a steady one.
const FULL_TIME: Duration = Duration::from_secs(4);
const STEADY_TIME: Duration = Duration::from_secs(1);

/// No call takes nearly so long.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    installed(&[("dnsperf", "dnsperf")])?;
    let lab = Lab::full(PEERS)?;
    let names: Vec<Named> = (0..u32::from(PEERS) * u32::from(NAMES)).map(named).collect();
    let [ours, of_dnsmasq, of_unbound] =
        [5301, 5302, 5303].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let daemon = launch(&lab, ours, &names)?;
    let rivals = [
        Rival::dnsmasq(&lab, of_dnsmasq, DOMAIN, &names)?,
        Rival::unbound(&lab, of_unbound, DOMAIN, &names)?,
    ];
    let host = lab.host(1);
    known(host, ours, &names)?;
    for rival in &rivals {
        rival.complaint(known(host, rival.at, &names))?;
    }

    let questions = lab.dir().join("questions");
    let text: String = names.iter().map(|(name, _)| format!("{name} A\n")).collect();
    std::fs::write(&questions, text)?;
    let servers = [("weft", ours, daemon.pid())]
        .into_iter()
        .chain(rivals.iter().map(|rival| (rival.name, rival.at, rival.pid())))
        .collect::<Vec<_>>();
    let mut all: Vec<Series> = servers.iter().map(|_| Series::default()).collect();
    for _ in 0..ROUNDS {
        for ((_, at, pid), series) in servers.iter().zip(&mut all) {
            let before = process::worked(*pid)?;
            let full = Answered::of(host, *at, Load::Full(&questions), FULL_TIME)?;
            let worked = process::worked(*pid)?.saturating_sub(before);
            series.rate.push(full.rate);
            series.rate_worked.push(f64::from(full.count) / worked.as_secs_f64());
            let steady = Answered::of(host, *at, Load::Steady(&questions), STEADY_TIME)?;
            series.p50.push(steady.percentile(50));
            series.p99.push(steady.percentile(99));
        }
    }
    drop(rivals);
    lab.finish()?;

    let mut out = stdout();
    writeln!(out, "{} names, {ROUNDS} rounds: median (least to most)", names.len())?;
    let [second, worked] = ["a second", "a second of processor"];
    let [p50, p99] = [&format!("at {STEADY} a second: p50, ms"), "p99, ms"];
    writeln!(out, "{:<9}{second:>28}{worked:>28}{p50:>28}{p99:>28}", "")?;
    for ((name, _, _), series) in servers.iter().zip(&all) {
        let [rate, worked] = [&series.rate, &series.rate_worked].map(|it| shown(it, 0));
        let [p50, p99] = [&series.p50, &series.p99].map(|it| shown(it, 3));
        writeln!(out, "{name:<9}{rate:>28}{worked:>28}{p50:>28}{p99:>28}")?;
    }
    let Some((ours, theirs)) = all.split_first() else { return Ok(()) };
    writeln!(out)?;
    for ((name, _, _), series) in servers.iter().skip(1).zip(theirs) {
        let ratio = median(&ours.rate_worked) / median(&series.rate_worked);
        let verdict = Goal::AtLeast(1.0).verdict(ratio);
        writeln!(out, "a second of processor, of {name:<9}{ratio:>8.2}{verdict}")?;
        let ratio = median(&ours.p99) / median(&series.p99);
        let verdict = Goal::AtMost(1.0).verdict(ratio);
        writeln!(out, "p99, of that of {name:<19}{ratio:>8.2}{verdict}")?;
    }
    Ok(())
}

/// What several rounds of one server came to.
#[derive(Debug, Default)]
struct Series {
    /// Answers a second, and for each second of the server's processor time.
    rate: Vec<f64>,
    rate_worked: Vec<f64>,
    /// What a question takes at a steady load, in milliseconds.
    p50: Vec<f64>,
    p99: Vec<f64>,
}

/// One name of many.
fn named(n: u32) -> Named {
    (format!("n{n}.{DOMAIN}"), IpAddr::from(Ipv4Addr::from_bits(FIRST.to_bits() + n)))
}

/// The address of the first name; those of the others follow. Source: RFC 2544 section C.2.2, for benchmarks.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// Launches all daemons and tells each its share of `names`. Gives that of the first host, which answers at `at`.
fn launch(lab: &Lab, at: SocketAddr, names: &[Named]) -> Result<Background> {
    let first = lab.host(1);
    // In the session that the other servers and who asks are in: a busy kernel shares its time out by sessions.
    let args = ["launch", "--foreground", "--dns-listen-address", &at.to_string()];
    let daemon = lab.background(&mut first.weft_command(&args)?)?;
    wait_until("the first daemon is ready", PATIENCE, || first.get("/domain").is_ok())?;
    for host in &lab.hosts()[1..] {
        host.launch(&[&first.address()])?;
    }
    for (host, share) in lab.hosts().iter().zip(names.chunks(NAMES.into())) {
        let mut client = Client::new(host.run_dir.join("weft.sock"), PATIENCE);
        for (name, address) in share {
            client.get_done("PUT", &format!("/name/weft:extern/{address}?fqdn={name}"))?;
        }
    }
    Ok(daemon)
}

/// Waits until the server at `at` answers the last name of each peer: what a peer says comes as one.
fn known(host: &Host, at: SocketAddr, names: &[Named]) -> Result<()> {
    for share in names.chunks(NAMES.into()) {
        let Some((name, address)) = share.last() else { continue };
        let mut dig = host.command("dig");
        let (server, port) = (format!("@{}", at.ip()), at.port().to_string());
        dig.args(["+short", "+tries=1", "+time=1", &server, "-p", &port, name, "A"]);
        let wanted = address.to_string();
        wait_until(&format!("{at} answers {name}"), PATIENCE, || {
            run(&mut dig, PATIENCE).is_ok_and(|done| done.stdout == wanted)
        })?;
    }
    Ok(())
}
