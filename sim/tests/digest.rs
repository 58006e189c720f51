//! However much is kept of a run, it is the same run.

use sim::scenario::Scenario;
use sim::trace::What;

#[test]
fn a_recorded_run_is_the_same_run() {
    let (verdict, recording) = small().run_recorded();
    assert_eq!(verdict.digest, small().run().digest);
    assert_eq!(recording.head.digest, verdict.digest);
    assert!(recording.entries.iter().any(|entry| !entry.what.is_change()), "no message was kept");
}

/// What is a heartbeat is told by its length alone, which follows from the core's layout.
#[test]
fn what_keeps_links_up_is_told_from_all_else_that_is_sealed() {
    let text = "title = 't'\npeers = 2\nstep = [{ at = '30s', do = 'prime', peer = 'n1' }]";
    let (_, recording) = Scenario::from_text(text).unwrap().run_recorded();
    let count = |wanted: &str| {
        let is = |what: &What| matches!(what, What::Sent { gist, .. } if gist == wanted);
        recording.entries.iter().filter(|entry| is(&entry.what)).count()
    };
    assert!(count("heartbeat") > 10, "{} heartbeats", count("heartbeat"));
    assert!(count("sealed") > 10, "{} other records", count("sealed"));
}

fn small() -> Scenario {
    Scenario::swarm(7, 3, 12)
}
