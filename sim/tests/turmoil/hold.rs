//! Messages that are kept back, and delivered late.

use super::*;
use crate::bed::{container, linked, names_at};
use weft_core::io::CommandError;

#[test]
fn a_stall_of_5_s_ends_no_link_and_what_was_said_meanwhile_arrives() -> Outcome {
    let mut bed = settled(plan(301, 3))?;
    let mut before = Vec::new();
    for host in 0..3 {
        before.push(bed.status(host)?.conns_ended);
    }
    bed.hold_all(0);
    bed.register(0, "late")?;
    bed.run_for(secs(5))?;
    assert!(!names_at(&bed.view(), 1).contains(&"late".to_owned()));
    bed.heal();
    bed.until(TOLD, "the name is everywhere", |view| {
        (0..3).all(|host| names_at(view, host).contains(&"late".to_owned()))
    })?;
    for (host, before) in before.into_iter().enumerate() {
        assert_eq!(bed.status(host)?.conns_ended, before);
    }
    bed.settle(secs(5))?;
    Ok(())
}

#[test]
fn late_bytes_of_links_that_were_given_up_confuse_nobody() -> Outcome {
    let mut bed = settled(plan(302, 4))?;
    bed.hold_all(0);
    bed.until(SILENCE, "n1 is given up", |view| (1..4).all(|host| !linked(view, host, 0)))?;
    bed.run_for(secs(15))?;
    bed.heal();
    bed.until(secs(30), "all names everywhere", |view| {
        (0..4).all(|host| names_at(view, host) == all_names(4))
    })?;
    bed.settle(secs(30))?;
    assert_eq!(bed.status(1)?.records_refused, 0);
    Ok(())
}

#[test]
fn an_allocation_during_a_stalled_founding_is_answered_with_the_reason_and_later_with_an_address()
-> Outcome {
    let mut bed = Bed::new(plan(303, 5)).unwrap();
    bed.run_for(secs(3))?;
    for host in [0, 1, 2] {
        bed.hold_all(host);
    }
    let job = bed.start(0, async |inside| inside.allocate(container("x")).await);
    let (answer, took) = bed.finish(&job, secs(4))?;
    assert!(matches!(answer, Err(CommandError::NoQuorum { .. })), "{answer:?}");
    assert!(took <= secs(3), "{took:?}");
    bed.heal();
    let (answer, took) = {
        let job = bed.start(0, async |inside| inside.allocate(container("x")).await);
        bed.finish(&job, secs(4))?
    };
    assert!(answer.is_ok(), "{answer:?}");
    assert!(took <= secs(3), "{took:?}");
    bed.settle(secs(30))?;
    Ok(())
}

#[test]
fn a_grant_that_arrives_after_its_asker_gave_up_is_kept_and_clashes_with_nothing() -> Outcome {
    let configure = |_, config: &mut weft_core::config::Config| {
        config.universe = weft_core::addr::Universe::new("10.32.0.0/28".parse().unwrap()).unwrap();
    };
    let latency = (millis(10), millis(20));
    let mut bed = settled(Plan { configure, latency, ..plan(304, 3) })?;
    // n1 has given out all that it owns and has to ask.
    bed.partition(&[0]);
    bed.run_for(SILENCE)?;
    let mut held = 0;
    while bed.allocate(0, &format!("x{held}"))?.is_ok() {
        held += 1;
    }
    bed.heal();
    bed.settle(secs(30))?;
    let job = bed.start(0, async |inside| inside.allocate(container("more")).await);
    bed.run_for(millis(6))?;
    bed.hold_all(0);
    let (answer, took) = bed.finish(&job, secs(4))?;
    assert!(answer.is_err() && took <= secs(3), "{answer:?} after {took:?}");
    bed.run_for(secs(2))?;
    bed.heal();
    bed.settle(secs(30))?;
    bed.allocate(0, "more")?.unwrap();
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn links_that_are_held_and_released_in_another_order_all_stand_again() -> Outcome {
    let mut bed = settled(plan(305, 6))?;
    let pairs: Vec<(usize, usize)> = (0..6).flat_map(|a| (a + 1..6).map(move |b| (a, b))).collect();
    for (a, b) in &pairs {
        bed.hold(*a, *b);
        bed.run_for(millis(800))?;
    }
    bed.register(0, "late")?;
    bed.run_for(secs(5))?;
    for step in 0..pairs.len() {
        let (a, b) = pairs[(step * 7 + 3) % pairs.len()];
        bed.release(a, b);
        bed.run_for(millis(800))?;
    }
    bed.until(secs(30), "the name is everywhere", |view| {
        (0..6).all(|host| names_at(view, host).contains(&"late".to_owned()))
    })?;
    bed.settle(secs(60))?;
    Ok(())
}

#[test]
fn a_host_that_stalls_for_4_s_again_and_again_is_never_given_up() -> Outcome {
    let mut bed = settled(plan(306, 3))?;
    for _ in 0..8 {
        bed.hold_all(0);
        bed.run_for(secs(4))?;
        bed.heal();
        bed.run_for(secs(1))?;
        assert_eq!(names_at(&bed.view(), 1), all_names(3));
    }
    assert_eq!(bed.status(1)?.peers.iter().filter(|peer| peer.reachable).count(), 3);
    Ok(())
}
