//! A run is the same run on every machine and in every profile, however much is kept of it.

use sim::scenario::Scenario;

/// Of a drawn run with crashes and cuts. Changes with the core's decisions and messages and with
/// the simulator's: whoever changes those on purpose writes down what the failure prints, and
/// checks that a debug and a release build agree on it.
const DIGEST: &str = "7fc774ef4725b0a7";

#[test]
fn the_digest_of_a_small_run_is_what_it_was_in_whichever_profile() {
    assert_eq!(small().run().digest.to_string(), DIGEST);
}

#[test]
fn a_recorded_run_is_the_same_run() {
    let (verdict, recording) = small().run_recorded("small".to_owned());
    assert_eq!(verdict.digest, small().run().digest);
    assert_eq!(recording.head.digest, verdict.digest);
    assert!(recording.entries.iter().any(|entry| !entry.what.is_change()), "no message was kept");
}

fn small() -> Scenario {
    Scenario::swarm(7, 3, 12)
}
