//! Messages that take long.

use super::*;
use crate::bed::{linked, names_at};

#[test]
fn a_peer_that_is_half_a_second_away_is_never_given_up() -> Outcome {
    let mut bed = settled(plan(501, 3))?;
    let ended = bed.status(1)?.conns_ended;
    bed.slow(0, millis(500));
    for _ in 0..12 {
        bed.run_for(secs(5))?;
        assert_eq!(names_at(&bed.view(), 1), all_names(3));
        assert_eq!(names_at(&bed.view(), 0), all_names(3));
    }
    assert_eq!(bed.status(1)?.conns_ended, ended);
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn peers_that_are_800_ms_apart_link_and_tell_each_other_everything() -> Outcome {
    let latency = (millis(800), millis(801));
    let mut bed = Bed::new(Plan { latency, ..plan(502, 4) }).unwrap();
    bed.settle(secs(60))?;
    bed.register(0, "far")?;
    bed.until(secs(4), "the name is everywhere", |view| {
        (0..4).all(|host| names_at(view, host) == ["far"])
    })?;
    Ok(())
}

#[test]
fn seven_daemons_that_dial_each_other_at_once_keep_one_link_for_each_pair() -> Outcome {
    let mut bed = Bed::new(plan(503, 7)).unwrap();
    bed.until(secs(5), "every pair has one link", |view| {
        (0..7).all(|a| {
            let one = view.peers[a].conns.values().all(|count| *count == 1);
            one && (0..7).all(|b| a == b || linked(view, a, b))
        })
    })?;
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn a_slow_peer_delays_no_allocation_of_the_others() -> Outcome {
    let mut bed = settled(plan(504, 5))?;
    bed.slow(4, millis(900));
    for number in 0..20 {
        let id = bed::container(&format!("x{number}"));
        let job = bed.start(number % 4, async move |inside| inside.allocate(id).await);
        let (answer, took) = bed.finish(&job, secs(3))?;
        assert!(answer.is_ok() && took <= millis(500), "{answer:?} after {took:?}");
    }
    Ok(())
}

#[test]
fn messages_that_overtake_each_other_leave_one_history() -> Outcome {
    let latency = (millis(1), millis(700));
    let mut bed = settled(Plan { latency, ..plan(505, 5) })?;
    for round in 0..6 {
        for host in 0..5 {
            bed.register(host, &format!("r{round}h{host}"))?;
        }
        for host in 0..5 {
            let id = bed::container(&format!("r{round}h{host}"));
            if round % 2 == 1 {
                bed.ask(host, async move |inside| inside.release(id).await)?.unwrap_err();
            }
        }
    }
    bed.settle(secs(20))?;
    assert_eq!(names_at(&bed.view(), 2).len(), 5 + 3 * 5);
    Ok(())
}

#[test]
fn links_that_break_at_random_give_no_address_twice_and_come_back() -> Outcome {
    let mut bed = settled(plan(506, 5))?;
    bed.fail_rate(0.02);
    for round in 0..10 {
        for host in 0..5 {
            // Some are refused for want of peers; none clash, or the run has failed.
            let _ = bed.allocate(host, &format!("r{round}h{host}"))?;
        }
        bed.run_for(secs(3))?;
    }
    bed.fail_rate(0.0);
    bed.mend_all();
    bed.settle(secs(100))?;
    assert_eq!(names_at(&bed.view(), 0), all_names(5));
    Ok(())
}
