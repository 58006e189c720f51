//! However much is kept of a run, it is the same run.

use sim::scenario::Scenario;

#[test]
fn a_recorded_run_is_the_same_run() {
    let (verdict, recording) = small().run_recorded();
    assert_eq!(verdict.digest, small().run().digest);
    assert_eq!(recording.head.digest, verdict.digest);
    assert!(recording.entries.iter().any(|entry| !entry.what.is_change()), "no message was kept");
}

fn small() -> Scenario {
    Scenario::swarm(7, 3, 12)
}
