//! `sim explore`.

use super::pick::Size;
use super::{interrupt, say, verdict};
use anyhow::{Result, ensure};
use clap::builder::RangedU64ValueParser;
use sim::check::{Deaths, NO_FALSE_DEATH, SERVED_IN_TIME};
use sim::marks::Marks;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use weft_core::mark::Mark;

/// Most worlds side by side: a system that gives no more threads would end the search.
const JOBS_MAX: u64 = 1_024;

/// So many seeds are named when a rule over all runs is broken.
const NAMED_MAX: usize = 20;

/// Runs drawn worlds, seed after seed, until a rule is broken or time is up.
#[derive(Debug, clap::Args)]
pub(crate) struct Explore {
    /// For so long [default: 60s, or until all --seeds are done]
    #[arg(long = "for", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// So many seeds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// First seed [default: drawn from the clock, and printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Worlds that run side by side [default: one per core]
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=JOBS_MAX))]
    jobs: Option<usize>,
    /// Prints one JSON object for each run, and nothing else
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    size: Size,
}

/// What all runs came to so far.
#[derive(Debug, Default)]
struct Sum {
    runs: u64,
    events: u64,
    simulated: Duration,
    /// Of all jobs together.
    busy: Duration,
    /// Peers taken for dead that live, and how long allocations took.
    deaths: Deaths,
    /// Some of the seeds whose worlds had one.
    with_deaths: BTreeSet<u64>,
    /// Reached by any of them.
    marks: Marks,
}

impl Explore {
    /// Whether all rules held.
    pub(crate) fn run(self) -> Result<bool> {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let clock = u64::try_from(since.as_millis()).unwrap_or(0);
        let first = self.seed.unwrap_or(clock);
        interrupt::listen()?;
        if !self.json {
            say(&format!("exploring from seed {first}"));
        }
        let time = self.time.or_else(|| self.seeds.is_none().then_some(Duration::from_secs(60)));
        // What lies beyond the end of the clock never comes.
        let end = time.and_then(|time| Instant::now().checked_add(time));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
        let sum = Mutex::new(Sum::default());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.unwrap_or(cores) {
                scope.spawn(|| {
                    while !failed.load(Ordering::Relaxed)
                        && !interrupt::is_wanted()
                        && end.is_none_or(|end| Instant::now() < end)
                    {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if self.seeds.is_some_and(|seeds| number >= seeds) {
                            return;
                        }
                        if !self.one(first.wrapping_add(number), &sum) {
                            failed.store(true, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let failed = failed.into_inner();
        let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        if sum.runs == 0 && interrupt::is_wanted() {
            interrupt::exit();
        }
        ensure!(sum.runs > 0, "there was no time for a single run");
        if !self.json {
            let rate = sum.simulated.as_secs_f64() / sum.busy.as_secs_f64().max(f64::EPSILON);
            say(&format!(
                "{} runs, {:.1} simulated hours, {} events, {rate:.0} times as fast as real time \
                 on each core: {}",
                sum.runs,
                sum.simulated.as_secs_f64() / 3600.0,
                sum.events,
                match (failed, interrupt::is_wanted()) {
                    (true, _) => "A RULE WAS BROKEN, see above",
                    (false, true) => "interrupted, and no rule was broken until then",
                    (false, false) => "no rule was broken",
                }
            ));
            say(&format!(
                "{} times in {:.1} hours of gentle faults, a peer that lives was taken for dead",
                sum.deaths.count,
                sum.deaths.watched.as_secs_f64() / 3600.0
            ));
            say(&format!("meanwhile, {}", sum.deaths.answers));
            say(&never_reached(&sum.marks));
        }
        let broken = sum.broken();
        for failure in &broken {
            // Of no run, so it has no object of its own.
            if self.json { eprintln!("{failure}") } else { say(failure) }
        }
        if !broken.is_empty() {
            return Ok(false);
        }
        if !failed && interrupt::is_wanted() {
            interrupt::exit();
        }
        Ok(!failed)
    }

    /// Whether all rules held in the world of `seed`.
    fn one(&self, seed: u64, sum: &Mutex<Sum>) -> bool {
        let scenario = self.size.scenario(seed);
        let begun = Instant::now();
        let verdict = scenario.run();
        let took = begun.elapsed();
        // Only one job speaks at a time.
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.runs += 1;
        sum.events += verdict.inputs;
        sum.simulated += verdict.simulated;
        sum.busy += took;
        sum.deaths = sum.deaths.and(verdict.deaths);
        if verdict.deaths.count > 0 && sum.with_deaths.len() < NAMED_MAX {
            sum.with_deaths.insert(seed);
        }
        sum.marks = sum.marks.and(verdict.marks);
        if self.json {
            say(&verdict::as_json(&scenario, &verdict, took).to_string());
        } else if verdict.violation.is_some() {
            let again = format!("{seed}{}", self.size.options());
            say(&verdict::failure(&scenario, &verdict, &again));
        }
        verdict.violation.is_none()
    }
}

impl Sum {
    /// Which rules over all runs are broken, and how.
    fn broken(&self) -> Vec<String> {
        let seeds: Vec<String> = self.with_deaths.iter().map(u64::to_string).collect();
        let deaths = self.deaths.verdict().err().map(|why| {
            format!("FAIL {NO_FALSE_DEATH} over all runs: {why} (seeds {})", seeds.join(", "))
        });
        let answers = self.deaths.answers.verdict().err();
        let answers = answers.map(|why| format!("FAIL {SERVED_IN_TIME} over all runs: {why}"));
        deaths.into_iter().chain(answers).collect()
    }
}

/// A line for each mark of the core that none of the runs reached.
fn never_reached(marks: &Marks) -> String {
    let missing: Vec<String> =
        marks.missing().map(|mark| format!("\n  {:<28} {}", mark.name(), mark.meaning())).collect();
    let (all, count) = (Mark::ALL.len(), missing.len());
    format!("{} of {all} marks reached, {count} never:{}", all - count, missing.concat())
}
