//! Drawn worlds: every rule, under whatever faults the seed brings. Seeds are new in every run; one
//! that fails is printed and kept.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sim::choices::Choices;
use sim::scenario::Scenario;

fn judge(scenario: &Scenario) -> Result<(), TestCaseError> {
    let verdict = scenario.run();
    match verdict.violation {
        None => Ok(()),
        Some(violation) => Err(TestCaseError::fail(format!(
            "{violation}\n{}\n{}",
            verdict.lines.join("\n"),
            scenario.to_text()
        ))),
    }
}

/// So many worlds, with failures kept in a file of their own.
fn cases(cases: u32, file: &'static str) -> ProptestConfig {
    let kept = FileFailurePersistence::Direct(file);
    ProptestConfig { cases, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

// Two tests of the same kind, so that two cores are at work.
proptest! {
    #![proptest_config(cases(1_000, "proptest-regressions/swarm.txt"))]

    #[test]
    fn no_rule_is_broken_whatever_befalls_the_mesh(
        seed: u64, hosts in 1_usize..=5, len in 0_usize..60
    ) {
        judge(&Scenario::swarm(seed, hosts, len))?;
    }
}

proptest! {
    #![proptest_config(cases(1_000, "proptest-regressions/bytes.txt"))]

    #[test]
    fn no_rule_is_broken_whatever_bytes_decide(
        seed: u64, hosts in 1_usize..=5, bytes in proptest::collection::vec(any::<u8>(), 0..400)
    ) {
        judge(&Scenario::drawn(&mut Choices::from_bytes(&bytes), seed, hosts, 30))?;
    }
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
