//! A run can be repeated, and a broken rule is noticed.

use super::*;
use weft::api::client::{Content, Method};

/// A story with a bit of everything. Returns what identifies it.
fn story(seed: u64) -> Result<sim::trace::Digest, Failure> {
    let mut bed = settled(plan(seed, 4))?;
    bed.partition(&[0, 1]);
    bed.attach(0, "x")?;
    bed.api(2, Method::GET, "/report", Content::Nothing)?;
    bed.run_for(secs(12))?;
    bed.power_off(3);
    bed.heal();
    bed.hold(0, 2);
    bed.run_for(secs(12))?;
    bed.boot(3);
    bed.heal();
    bed.settle(secs(60))?;
    bed.api(1, Method::POST, "/stop", Content::Nothing)?;
    bed.settle(secs(20))?;
    Ok(bed.digest())
}

#[test]
fn one_seed_gives_one_history_and_another_seed_another() -> Outcome {
    let first = story(801)?;
    assert_eq!(first, story(801)?);
    assert_ne!(first, story(802)?);
    Ok(())
}

#[test]
fn an_answer_that_is_not_on_the_disk_fails_the_run() -> Outcome {
    let mut bed = settled(plan(803, 3))?;
    bed.disk(0).lie(true);
    let failure = bed.allocate(0, "x").unwrap_err();
    assert_eq!(failure.violation.rule, "persist-before-reply");
    Ok(())
}

#[test]
fn an_address_that_a_daemon_forgot_in_a_crash_fails_the_run() -> Outcome {
    let mut bed = settled(plan(804, 3))?;
    bed.crash(0);
    // The disk is another one, and the container is still there.
    bed.disk(0).wipe();
    bed.boot(0);
    let failure = bed.settle(secs(30)).unwrap_err();
    assert_eq!(failure.violation.rule, "ipam.reserved");
    Ok(())
}

#[test]
fn an_error_in_the_log_of_any_host_fails_the_run() -> Outcome {
    let mut bed = settled(plan(805, 3))?;
    let log = async |_| tracing::error!(target: "weft::driver", "broken");
    let failure = bed.ask(1, log).unwrap_err();
    assert_eq!(failure.violation.rule, sim::logs::NO_ERROR);
    Ok(())
}

#[test]
fn a_daemon_that_cannot_start_fails_the_run() -> Outcome {
    let configure = |host, config: &mut weft_core::config::Config| {
        if host == 2 {
            config.nickname.clear();
        }
    };
    let mut bed = Bed::new(Plan { configure, ..plan(806, 3) }).unwrap();
    let failure = bed.run_for(secs(1)).unwrap_err();
    assert_eq!(failure.violation.rule, "turmoil.daemon");
    Ok(())
}
