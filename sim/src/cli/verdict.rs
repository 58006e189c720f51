//! What came of a run, for people and for programs.

use serde_json::{Value, json};
use sim::scenario::{Scenario, Verdict};
use sim::trace::Digest;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use weft_core::mark::Mark;

/// Which scenario it is, whatever its seed.
fn fingerprint(scenario: &Scenario) -> Digest {
    let mut digest = Digest::EMPTY;
    digest.take(scenario.clone().with_seed(0).to_text().as_bytes());
    digest
}

/// The revision of the sources that lie here, as git calls it.
fn revision() -> &'static str {
    static REVISION: OnceLock<String> = OnceLock::new();
    REVISION.get_or_init(|| {
        let git = Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])
            .output();
        let said = git.ok().filter(|git| git.status.success());
        said.map_or_else(
            || "unknown".to_owned(),
            |git| String::from_utf8_lossy(&git.stdout).trim().to_owned(),
        )
    })
}

/// One JSON object.
pub(crate) fn as_json(scenario: &Scenario, verdict: &Verdict, took: Duration) -> Value {
    let violation = verdict.violation.as_ref();
    json!({
        "title": scenario.title,
        "waits": scenario.waits,
        "seed": scenario.setup.seed,
        "revision": revision(),
        "scenario": fingerprint(scenario).to_string(),
        "peers": scenario.setup.hosts,
        "passed": violation.is_none(),
        "rule": violation.map(|violation| violation.rule),
        "detail": violation.map(|violation| &violation.detail),
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
         {}: event {}, trace {}, revision {}\n\n  \
         again    {sim} run {again}\n  \
         lines    {sim} show {again}\n  \
         picture  {sim} html {again} -o run.html\n  \
         smaller  {sim} shrink {again} -o small.toml\n\n{}",
        scenario.title,
        verdict.inputs,
        verdict.digest,
        revision(),
        verdict.lines.join("\n")
    )
}

/// A success in one line. What waits for something has not passed, whatever came of it.
pub(crate) fn success(scenario: &Scenario, verdict: &Verdict, took: Duration) -> String {
    let word = if scenario.waits.is_some() { "waits, no rule was broken" } else { "passed" };
    format!(
        "{word}: {}, seed {}: {:.0?} in {took:.0?}, {} events, trace {}",
        scenario.title, scenario.setup.seed, verdict.simulated, verdict.inputs, verdict.digest
    )
}
