//! Messages that pass in one direction only.

use super::*;
use crate::bed::{linked, names_at};

/// Whether neither of two hosts believes in a link with the other.
fn apart(view: &sim::check::View, a: usize, b: usize) -> bool {
    !linked(view, a, b) && !linked(view, b, a)
}

#[test]
fn a_host_that_hears_nobody_is_given_up_on_both_sides_within_15_s() -> Outcome {
    let mut bed = settled(plan(201, 4))?;
    bed.deafen(0);
    bed.until(SILENCE, "n1 is alone on both sides", |view| {
        (1..4).all(|host| apart(view, 0, host) && names_at(view, host) == ["c2", "c3", "c4"])
            && names_at(view, 0) == ["c1"]
    })?;
    bed.settle(secs(5))?;
    bed.heal();
    bed.until(secs(30), "all names everywhere", |view| {
        (0..4).all(|host| names_at(view, host) == all_names(4))
    })?;
    bed.settle(secs(30))?;
    Ok(())
}

#[test]
fn a_host_that_nobody_hears_is_given_up_on_both_sides_within_15_s() -> Outcome {
    let mut bed = settled(plan(202, 4))?;
    bed.mute(0);
    bed.until(SILENCE, "n1 is alone on both sides", |view| {
        (1..4).all(|host| apart(view, 0, host) && names_at(view, host) == ["c2", "c3", "c4"])
    })?;
    bed.until(SILENCE, "n1 knows it", |view| names_at(view, 0) == ["c1"])?;
    bed.settle(secs(5))?;
    bed.heal();
    bed.until(secs(30), "all names everywhere", |view| {
        (0..4).all(|host| names_at(view, host) == all_names(4))
    })?;
    bed.settle(secs(30))?;
    Ok(())
}

#[test]
fn a_pair_that_hears_each_other_one_way_is_joined_by_a_third() -> Outcome {
    let mut bed = settled(plan(203, 3))?;
    bed.cut_one_way(0, 1);
    bed.until(2 * SILENCE, "the link between both is gone", |view| apart(view, 0, 1))?;
    bed.settle(secs(10))?;
    assert_eq!(names_at(&bed.view(), 0), all_names(3));
    assert_eq!(names_at(&bed.view(), 1), all_names(3));
    Ok(())
}

#[test]
fn half_open_handshakes_do_not_pile_up_on_the_side_that_hears() -> Outcome {
    let mut bed = settled(plan(204, 3))?;
    bed.cut_one_way(1, 0);
    bed.run_for(secs(30))?;
    for _ in 0..30 {
        bed.run_for(secs(1))?;
        // One link with the third host, and at most one attempt each way.
        let (ours, theirs) = (bed.status(0)?.conns.len(), bed.status(1)?.conns.len());
        assert!(ours <= 4 && theirs <= 4, "{ours} and {theirs} conns");
    }
    // Attempts become rare: no more than a dozen a minute on either side.
    let before = bed.status(1)?.conns_ended;
    bed.run_for(secs(60))?;
    let ended = bed.status(1)?.conns_ended - before;
    assert!(ended <= 12, "{ended} attempts in a minute");
    Ok(())
}

#[test]
fn addresses_given_on_both_sides_of_a_one_way_cut_never_clash() -> Outcome {
    let mut bed = settled(plan(205, 5))?;
    for (from, to) in [(0, 3), (0, 4), (1, 3), (1, 4), (2, 3), (2, 4)] {
        bed.cut_one_way(from, to);
    }
    let mut given = std::collections::BTreeSet::new();
    for round in 0..5 {
        for host in 0..5 {
            let address = bed.allocate(host, &format!("r{round}h{host}"))?.unwrap();
            assert!(given.insert(address), "{address} was given twice");
        }
        bed.run_for(secs(3))?;
    }
    bed.heal();
    bed.settle(secs(40))?;
    Ok(())
}

#[test]
fn a_name_that_can_be_told_one_way_only_arrives_over_a_third() -> Outcome {
    let mut bed = settled(plan(206, 3))?;
    bed.cut_one_way(0, 1);
    bed.register(0, "fresh")?;
    // The direct stream has lost the news; the third hears of it and tells.
    bed.until(TOLD, "the name is at n2", |view| names_at(view, 1).contains(&"fresh".to_owned()))?;
    Ok(())
}
