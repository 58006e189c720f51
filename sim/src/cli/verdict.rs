//! What came of a run, for people and for programs.

use serde_json::{Value, json};
use sim::scenario::{Scenario, Verdict};
use sim::trace::Digest;
use std::time::Duration;
use weft_core::mark::Mark;

/// Which scenario it is, whatever its seed.
fn fingerprint(scenario: &Scenario) -> Digest {
    let mut digest = Digest::EMPTY;
    digest.take(scenario.clone().with_seed(0).to_text().as_bytes());
    digest
}

/// The revision of the sources that this program was built from: `build.rs` says what that means.
const REVISION: &str = env!("SIM_REVISION");

/// One JSON object.
pub(crate) fn as_json(scenario: &Scenario, verdict: &Verdict, took: Duration) -> Value {
    let violation = verdict.violation.as_ref();
    json!({
        "title": scenario.title,
        "waits": scenario.waits,
        "takes": scenario.takes,
        "seed": scenario.setup.seed,
        "revision": REVISION,
        "scenario": fingerprint(scenario).to_string(),
        "peers": scenario.setup.hosts,
        "passed": violation.is_none(),
        "rule": violation.map(|violation| violation.rule),
        "detail": violation.map(|violation| &violation.detail),
        "failed_step": verdict.failed_step,
        "void_steps": verdict.void_steps,
        "at_seconds": violation.map(|it| it.at.as_nanos() as f64 / 1e9),
        "events": verdict.inputs,
        "false_deaths": verdict.deaths.count,
        "gentle_peer_seconds": verdict.deaths.watched.as_secs_f64(),
        "marks": verdict.marks.iter().map(Mark::name).collect::<Vec<_>>(),
        "trace": verdict.digest.to_string(),
        "simulated_seconds": verdict.simulated.as_secs_f64(),
        "wall_seconds": took.as_secs_f64(),
    })
}

/// A failure on one screen: what, where, how to see it again, and the last lines.
pub(crate) fn failure(scenario: &Scenario, verdict: &Verdict, again: &str) -> String {
    let Some(violation) = &verdict.violation else { return String::new() };
    let sim = "cargo run --release -p sim --";
    format!(
        "{violation}\n  \
         {}: event {}, trace {}, revision {REVISION}\n\n  \
         again    {sim} run {again}\n  \
         lines    {sim} show {again}\n  \
         picture  {sim} html {again} -o run.html\n  \
         smaller  {sim} shrink {again} -o small.toml\n\n{}",
        scenario.title,
        verdict.inputs,
        verdict.digest,
        verdict.lines.join("\n")
    )
}

/// A success in one line. What waits for something has not passed, whatever came of it.
pub(crate) fn success(scenario: &Scenario, verdict: &Verdict, took: Duration) -> String {
    let word = if scenario.waits.is_some() { "waits, no rule was broken" } else { "passed" };
    let void = match verdict.void_steps {
        0 => String::new(),
        1 => ", 1 step did nothing".to_owned(),
        count => format!(", {count} steps did nothing"),
    };
    format!(
        "{word}: {}, seed {}: {:.0?} in {took:.0?}, {} events{void}, trace {}",
        scenario.title, scenario.setup.seed, verdict.simulated, verdict.inputs, verdict.digest
    )
}
