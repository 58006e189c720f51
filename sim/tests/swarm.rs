//! Drawn worlds: every rule, under whatever faults the seed brings.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sim::scenario::Scenario;

fn run(seed: u64, hosts: usize, len: usize) -> Result<(), TestCaseError> {
    let verdict = Scenario::swarm(seed, hosts, len).run();
    match verdict.violation {
        None => Ok(()),
        Some(violation) => Err(TestCaseError::fail(format!(
            "{violation}\n  seed {seed}, {hosts} hosts, {len} steps\n  {}",
            verdict.lines.join("\n  ")
        ))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "proptest-regressions/swarm.txt",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_rule_is_broken_whatever_befalls_the_mesh(seed: u64, hosts in 1_usize..=5, len in 0_usize..60) {
        run(seed, hosts, len)?;
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..20 {
        let run = || Scenario::swarm(seed, 3, 25).run();
        let (first, second) = (run(), run());
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert_eq!(first.inputs, second.inputs);
    }
}

#[test]
fn another_seed_gives_another_history() {
    let digest = |seed| Scenario::swarm(seed, 3, 10).run().digest;
    assert_ne!(digest(1), digest(2));
}
