//! Questions for a DNS server, as `dnsperf` asks them, and what it says of the answers.

use crate::command::run;
use crate::host::Host;
use anyhow::{Context as _, Result, ensure};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// How a server is asked.
#[derive(Clone, Copy, Debug)]
pub enum Load<'a> {
    /// With so many questions under way that it never waits for one.
    Full(&'a Path),
    /// At [`STEADY`], which leaves the server idle for most of the time. Of these it is noted what each takes.
    Steady(&'a Path),
}

/// Most questions under way, and the sockets that they come from. Source: dnsperf(1), whose defaults they
/// are but for the one socket: usual servers have many clients.
const UNDER_WAY: u32 = 100;
const SOCKETS: u32 = 8;

/// Questions a second of a steady load: enough for a 99th hundredth within a second. `dnsperf` sends a handful at
/// once, and with a single one under way far fewer.
pub const STEADY: u32 = 10_000;

/// What a server did with questions, each of which it had to answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// How many it answered.
    pub count: u32,
    /// How many a second.
    pub rate: f64,
    /// What each took, in milliseconds, the shortest first. Empty at full load: to note each would slow down
    /// who asks.
    pub each: Vec<f64>,
}

impl Answered {
    /// Has `host` ask the server at `at` for `time`. The load names a file with the questions, which are asked in
    /// turn.
    ///
    /// # Errors
    /// When `dnsperf` fails, or a question is not answered with NOERROR.
    pub fn of(host: &Host, at: SocketAddr, load: Load<'_>, time: Duration) -> Result<Self> {
        let mut command = host.command("dnsperf");
        command.args(["-s", &at.ip().to_string(), "-p", &at.port().to_string()]);
        command.args(["-l", &time.as_secs().to_string()]);
        command.args(["-q", &UNDER_WAY.to_string(), "-c", &SOCKETS.to_string(), "-d"]);
        match load {
            Load::Full(file) => command.arg(file),
            Load::Steady(file) => command.arg(file).args(["-v", "-Q", &STEADY.to_string()]),
        };
        let printed = run(&mut command, time + PATIENCE)?.ok()?;
        parse(&printed)
    }

    /// What so many hundredths of all questions took at most, in milliseconds.
    pub fn percentile(&self, share: usize) -> f64 {
        self.each.get(self.each.len() * share / 100).copied().unwrap_or(f64::NAN)
    }
}

/// Until what is under way is answered or given up.
const PATIENCE: Duration = Duration::from_secs(20);

fn parse(printed: &str) -> Result<Answered> {
    let field = |name: &str| {
        let value = printed.lines().find_map(|line| line.trim_start().strip_prefix(name));
        value.map(str::trim).with_context(|| format!("no `{name}` in what dnsperf printed"))
    };
    let codes = field("Response codes:")?;
    let count = codes.strip_prefix("NOERROR ").and_then(|rest| rest.strip_suffix(" (100.00%)"));
    let lost = field("Queries lost:")?;
    let all_answered = count.filter(|_| lost == "0 (0.00%)");
    let count = all_answered.with_context(|| format!("lost: {lost}; response codes: {codes}"))?;
    let rate = field("Queries per second:")?.parse()?;
    let each = printed.lines().filter_map(|line| line.strip_prefix("> ")?.rsplit(' ').next());
    let each: Result<Vec<f64>, _> = each.map(|seconds| seconds.parse::<f64>()).collect();
    let mut each: Vec<_> = each?.into_iter().map(|seconds| seconds * 1e3).collect();
    each.sort_by(f64::total_cmp);
    let count = count.parse()?;
    ensure!(count > 0, "nothing was asked");
    Ok(Answered { count, rate, each })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
> NOERROR n1.weft.local A 0.000500
> NOERROR n0.weft.local A 0.000250
[Status] Testing complete (time limit)

Statistics:

  Queries sent:         2
  Queries completed:    2 (100.00%)
  Queries lost:         0 (0.00%)

  Response codes:       NOERROR 2 (100.00%)
  Average packet size:  request 31, response 47
  Run time (s):         1.000167
  Queries per second:   1999.666056
";

    #[test]
    fn what_dnsperf_prints_is_read() {
        let answered = parse(PRINTED).unwrap();
        assert_eq!(answered, Answered { count: 2, rate: 1999.666056, each: vec![0.25, 0.5] });
        assert_eq!((answered.percentile(0), answered.percentile(99)), (0.25, 0.5));
    }

    #[test]
    fn an_answer_that_is_lost_or_another_one_is_an_error() {
        for (part, other) in [
            ("lost:         0 (0.00%)", "lost:         1 (0.05%)"),
            ("NOERROR 2 (100.00%)", "NOERROR 1 (50.00%), SERVFAIL 1 (50.00%)"),
            ("NOERROR 2 (100.00%)", "NXDOMAIN 2 (100.00%)"),
            ("NOERROR 2 (100.00%)", ""),
        ] {
            let printed = PRINTED.replace(part, other);
            assert_ne!(printed, PRINTED);
            assert!(parse(&printed).is_err(), "{printed}");
        }
    }
}
