//! Drawn worlds: every rule, under whatever faults the seed brings. Seeds are new in every run; one
//! that fails is printed and kept.

#![expect(
    clippy::disallowed_methods,
    reason = "says how fast the runs were; worlds never see this clock"
)]

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use sim::check::{Deaths, NO_FALSE_DEATH, SERVED_IN_TIME};
use sim::choices::Choices;
use sim::scenario::Scenario;
use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Worlds of each of the two ways to draw them, which are two tests, so that two cores are at work.
const WORLDS: u32 = 1_000;

#[test]
fn no_rule_is_broken_whatever_befalls_the_mesh() {
    let drawn = (any::<u64>(), 1_usize..=5, 0_usize..60);
    hold("swarm.txt", &drawn, |(seed, hosts, len)| Scenario::swarm(seed, hosts, len));
}

#[test]
fn no_rule_is_broken_whatever_bytes_decide() {
    let drawn = (any::<u64>(), 1_usize..=5, proptest::collection::vec(any::<u8>(), 0..400));
    hold("bytes.txt", &drawn, |(seed, hosts, bytes)| {
        Scenario::drawn(&mut Choices::from_bytes(&bytes), seed, hosts, 30)
    });
}

/// Runs [`WORLDS`] worlds made of what `drawn` brings, and says how much time passed in them.
/// Failures are kept in `file`.
fn hold<S: Strategy>(file: &str, drawn: &S, world: impl Fn(S::Value) -> Scenario) {
    let path = format!("{}/proptest-regressions/{file}", env!("CARGO_MANIFEST_DIR"));
    let kept = FileFailurePersistence::Direct(String::leak(path));
    let config = ProptestConfig {
        cases: WORLDS,
        failure_persistence: Some(Box::new(kept)),
        ..ProptestConfig::default()
    };
    let (simulated, begun) = (Cell::new(Duration::ZERO), Instant::now());
    let deaths = Cell::new(Deaths::default());
    let with_deaths = RefCell::new(Vec::new());
    let outcome = TestRunner::new(config).run(drawn, |it| {
        let drawn = format!("{it:?}");
        let scenario = world(it);
        let verdict = scenario.run();
        simulated.set(simulated.get() + verdict.simulated);
        deaths.set(deaths.get().and(verdict.deaths));
        if verdict.deaths.count > 0 {
            with_deaths.borrow_mut().push(drawn);
        }
        let Some(violation) = verdict.violation else { return Ok(()) };
        let (lines, text) = (verdict.lines.join("\n"), scenario.to_text());
        Err(TestCaseError::fail(format!("{violation}\n{lines}\n{text}")))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let with_deaths = with_deaths.into_inner();
    assert_eq!(deaths.get().verdict(), Ok(()), "{NO_FALSE_DEATH} in the worlds {with_deaths:#?}");
    let answers = deaths.get().answers;
    assert_eq!(answers.verdict(), Ok(()), "{SERVED_IN_TIME}");
    let (simulated, took) = (simulated.get().as_secs_f64(), begun.elapsed().as_secs_f64());
    // Not by a macro, so that it is seen although the test passes.
    let _ = writeln!(
        std::io::stderr(),
        "{file}: {WORLDS} worlds, {:.0} simulated hours, {:.0} times as fast as real time; {answers}",
        simulated / 3_600.0,
        simulated / took
    );
}

#[test]
fn one_seed_gives_one_run() {
    for seed in 0..50 {
        let run = || Scenario::swarm(seed, 3, 25).run();
        let (first, second) = (run(), run());
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert_eq!(first.inputs, second.inputs);
    }
}

#[test]
fn another_seed_gives_another_run() {
    let digest = |seed| Scenario::swarm(seed, 3, 10).run().digest;
    assert_ne!(digest(1), digest(2));
}
