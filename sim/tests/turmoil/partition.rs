//! Hosts that cannot reach each other, and can again.

use super::*;
use crate::bed::{container, linked, names_at};
use std::collections::BTreeSet;
use std::net::IpAddr;
use weft_core::config::Config;
use weft_core::io::CommandError;

#[test]
fn links_across_a_partition_end_by_silence_and_are_back_within_10_s_of_the_repair() -> Outcome {
    let mut bed = settled(plan(101, 4))?;
    bed.partition(&[0, 1]);
    bed.until(SILENCE, "no link crosses the cut", |view| {
        (0..2).all(|a| (2..4).all(|b| !linked(view, a, b) && !linked(view, b, a)))
    })?;
    bed.settle(secs(5))?;
    bed.heal();
    bed.until(secs(10), "every pair is linked", |view| {
        (0..4).all(|a| (0..4).all(|b| a == b || linked(view, a, b)))
    })?;
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn names_of_a_host_that_is_cut_off_are_gone_within_15_s_and_back_within_10_s_of_the_repair()
-> Outcome {
    let mut bed = settled(plan(102, 4))?;
    bed.partition(&[3]);
    bed.until(SILENCE, "c4 is gone elsewhere and alone at home", |view| {
        (0..3).all(|host| names_at(view, host) == ["c1", "c2", "c3"]) && names_at(view, 3) == ["c4"]
    })?;
    bed.heal();
    bed.until(secs(10), "all names everywhere", |view| {
        (0..4).all(|host| names_at(view, host) == all_names(4))
    })?;
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn both_sides_of_a_partition_give_out_addresses_and_none_of_them_twice() -> Outcome {
    let mut bed = settled(plan(103, 5))?;
    bed.partition(&[0, 1]);
    let mut given = BTreeSet::<IpAddr>::new();
    for round in 0..3 {
        for host in 0..5 {
            let address = bed.allocate(host, &format!("r{round}h{host}"))?.unwrap();
            assert!(given.insert(address), "{address} was given twice");
        }
        bed.run_for(secs(4))?;
    }
    bed.heal();
    bed.settle(secs(30))?;
    let held: usize = bed.view().peers.iter().map(|peer| peer.noted.len()).sum();
    assert_eq!(held, 3 * 5 + 5);
    Ok(())
}

#[test]
fn a_name_that_is_taken_back_during_a_partition_is_gone_everywhere_after_it() -> Outcome {
    let mut bed = settled(plan(104, 4))?;
    bed.partition(&[3]);
    bed.ask(3, async |inside| inside.release(container("c4")).await)?.unwrap();
    bed.register(3, "fresh")?;
    bed.run_for(secs(20))?;
    bed.heal();
    bed.until(secs(10), "the news is everywhere", |view| {
        (0..4).all(|host| names_at(view, host) == ["c1", "c2", "c3", "fresh"])
    })?;
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn a_line_that_is_cut_in_the_middle_is_two_meshes_until_it_is_mended() -> Outcome {
    let mut bed = settled(line(105, 5))?;
    assert_eq!(names_at(&bed.view(), 0), all_names(5));
    bed.cut(1, 2);
    bed.until(SILENCE, "each part knows its own names only", |view| {
        (0..2).all(|host| names_at(view, host) == ["c1", "c2"])
            && (2..5).all(|host| names_at(view, host) == ["c3", "c4", "c5"])
    })?;
    bed.settle(secs(5))?;
    bed.mend(1, 2);
    bed.until(secs(15), "the line is whole", |view| {
        (0..5).all(|host| names_at(view, host) == all_names(5))
    })?;
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn two_cliques_that_lose_their_only_bridge_are_joined_again_by_it() -> Outcome {
    let targets = |host: usize, _| match host {
        0..3 => (0..3).filter(|other| *other != host).chain([6]).collect(),
        3..6 => (3..6).filter(|other| *other != host).chain([6]).collect(),
        _ => Vec::new(),
    };
    let configure = |_, config: &mut Config| config.discovery = false;
    let mut bed = settled(Plan { targets, configure, ..plan(106, 7) })?;
    bed.partition(&[6]);
    bed.until(SILENCE, "each clique is alone", |view| {
        (0..3).all(|host| names_at(view, host) == ["c1", "c2", "c3"])
            && (3..6).all(|host| names_at(view, host) == ["c4", "c5", "c6"])
    })?;
    bed.heal();
    bed.until(secs(15), "all names everywhere", |view| {
        (0..7).all(|host| names_at(view, host) == all_names(7))
    })?;
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn a_minority_cannot_found_says_so_in_time_and_joins_what_the_majority_founded() -> Outcome {
    let mut bed = Bed::new(plan(107, 5)).unwrap();
    bed.partition(&[0, 1]);
    bed.run_for(secs(3))?;
    let job = bed.start(0, async |inside| inside.allocate(container("few")).await);
    let (answer, took) = bed.finish(&job, secs(4))?;
    let few = answer.unwrap_err();
    assert!(matches!(few, CommandError::NoQuorum { heard: 2, needed: 3, .. }), "{few}");
    assert!(took <= secs(3), "{took:?}");
    bed.allocate(4, "many")?.unwrap();
    bed.run_for(secs(10))?;
    bed.heal();
    bed.settle(secs(30))?;
    bed.allocate(0, "few")?.unwrap();
    Ok(())
}

#[test]
fn an_address_that_belongs_beyond_the_cut_is_refused_in_time_with_its_owner() -> Outcome {
    let mut bed = settled(plan(108, 3))?;
    let theirs = bed.allocate(2, "theirs")?.unwrap();
    bed.ask(2, async |inside| inside.release(container("theirs")).await)?.unwrap();
    bed.partition(&[0]);
    let net = ipnet::IpNet::new(theirs, 24).unwrap();
    let claim = async move |inside: bed::Inside| inside.claim(container("x"), net).await;
    // At first its link still seems to stand; later it is known to be out of reach.
    for reason in ["did not answer within 2s: try again", "is not reachable: start that peer"] {
        let job = bed.start(0, claim);
        let (answer, took) = bed.finish(&job, secs(4))?;
        let Err(CommandError::OwnerSilent { why, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(why, reason);
        assert!(took <= secs(3), "{took:?}");
        bed.run_for(SILENCE)?;
    }
    bed.heal();
    bed.settle(secs(30))?;
    assert_eq!(bed.ask(0, claim)?, Ok(net));
    Ok(())
}

#[test]
fn a_host_that_has_given_out_its_share_says_what_lies_beyond_the_cut_and_gets_it_later() -> Outcome
{
    let configure = |_, config: &mut Config| {
        config.universe = weft_core::addr::Universe::new("10.32.0.0/28".parse().unwrap()).unwrap();
    };
    let mut bed = settled(Plan { configure, ..plan(109, 3) })?;
    bed.partition(&[0]);
    bed.run_for(SILENCE)?;
    let mut given = 0;
    let why = loop {
        match bed.allocate(0, &format!("x{given}"))? {
            Ok(_) => given += 1,
            Err(why) => break why,
        }
    };
    assert!(given >= 2, "{given} were given");
    let beyond = matches!(why, CommandError::Exhausted { unreachable, .. } if unreachable > 0);
    assert!(beyond, "{why}");
    bed.heal();
    bed.settle(secs(30))?;
    bed.allocate(0, "again")?.unwrap();
    Ok(())
}

#[test]
fn a_pair_that_is_cut_and_mended_twice_a_second_disturbs_no_link_of_others() -> Outcome {
    let mut bed = settled(plan(110, 4))?;
    let before = (bed.status(2)?.conns_ended, bed.status(3)?.conns_ended);
    for _ in 0..20 {
        bed.cut(0, 1);
        bed.run_for(millis(500))?;
        bed.mend(0, 1);
        bed.run_for(millis(500))?;
    }
    assert_eq!((bed.status(2)?.conns_ended, bed.status(3)?.conns_ended), before);
    assert_eq!(names_at(&bed.view(), 2), all_names(4));
    bed.settle(secs(30))?;
    Ok(())
}

#[test]
fn two_hosts_that_cannot_reach_each_other_are_joined_by_a_third() -> Outcome {
    let mut bed = settled(plan(111, 3))?;
    bed.cut(0, 1);
    bed.until(SILENCE, "the link between both is gone", |view| !linked(view, 0, 1))?;
    bed.settle(secs(5))?;
    assert_eq!(names_at(&bed.view(), 0), all_names(3));
    let theirs = bed.allocate(1, "theirs")?.unwrap();
    bed.ask(1, async |inside| inside.release(container("theirs")).await)?.unwrap();
    // The owner is asked over the third.
    let net = ipnet::IpNet::new(theirs, 24).unwrap();
    let claimed = bed.ask(0, async move |inside| inside.claim(container("x"), net).await)?;
    assert_eq!(claimed, Ok(net));
    bed.mend(0, 1);
    bed.until(secs(90), "the link is back", |view| linked(view, 0, 1))?;
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn a_mesh_whose_links_go_one_by_one_and_return_in_another_order_is_whole_again() -> Outcome {
    let mut bed = settled(plan(112, 7))?;
    let pairs: Vec<(usize, usize)> = (0..7).flat_map(|a| (a + 1..7).map(move |b| (a, b))).collect();
    for (a, b) in &pairs {
        bed.cut(*a, *b);
        bed.run_for(millis(700))?;
    }
    bed.until(SILENCE, "every host is alone", |view| {
        (0..7).all(|host| names_at(view, host) == [format!("c{}", host + 1)])
    })?;
    for step in 0..pairs.len() {
        let (a, b) = pairs[(step * 8 + 5) % pairs.len()];
        bed.mend(a, b);
        bed.run_for(millis(300))?;
    }
    bed.until(secs(15), "all names everywhere", |view| {
        (0..7).all(|host| names_at(view, host) == all_names(7))
    })?;
    bed.settle(secs(60))?;
    Ok(())
}

#[test]
fn after_a_long_partition_a_link_is_back_within_the_longest_wait_between_dials() -> Outcome {
    let mut bed = settled(plan(113, 3))?;
    bed.partition(&[0]);
    bed.run_for(secs(180))?;
    bed.heal();
    // Drawn up to half as long again; of four dialers the first one decides.
    let longest = Config::default().dial_wait_max * 3 / 2;
    bed.until(longest, "n1 is linked with somebody", |view| {
        linked(view, 0, 1) || linked(view, 0, 2)
    })?;
    bed.settle(secs(90))?;
    Ok(())
}

#[test]
fn three_islands_that_merge_one_after_another_agree_at_each_step() -> Outcome {
    let mut bed = settled(plan(114, 6))?;
    bed.partition(&[0, 1]);
    bed.partition(&[2, 3]);
    bed.settle(secs(25))?;
    for host in 0..6 {
        bed.allocate(host, &format!("apart{host}"))?.unwrap();
    }
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        bed.mend(a, b);
    }
    bed.settle(secs(40))?;
    assert_eq!(names_at(&bed.view(), 0), ["c1", "c2", "c3", "c4"]);
    bed.heal();
    bed.settle(secs(40))?;
    assert_eq!(names_at(&bed.view(), 0), all_names(6));
    Ok(())
}
