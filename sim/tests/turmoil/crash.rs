//! Daemons and machines that die, and return.

use super::*;
use crate::bed::{container, domain_name, linked, names_at};
use weft_core::io::CommandError;

#[test]
fn a_daemon_that_dies_is_noticed_at_once_and_returns_with_its_names() -> Outcome {
    let mut bed = settled(plan(401, 4))?;
    bed.crash(3);
    bed.until(TOLD, "its name is gone", |view| {
        (0..3).all(|host| names_at(view, host) == ["c1", "c2", "c3"])
    })?;
    bed.settle(secs(5))?;
    bed.boot(3);
    bed.until(secs(10), "its name is back", |view| {
        (0..4).all(|host| names_at(view, host) == all_names(4))
    })?;
    let view = bed.view();
    assert!(view.peers[3].incarnation > view.peers[0].incarnation);
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn a_machine_that_loses_its_power_is_given_up_within_15_s() -> Outcome {
    let mut bed = settled(plan(402, 4))?;
    bed.power_off(3);
    bed.run_for(secs(2))?;
    assert!(linked(&bed.view(), 0, 3), "nobody can know yet");
    bed.until(SILENCE, "its name is gone", |view| {
        (0..3).all(|host| names_at(view, host) == ["c1", "c2", "c3"])
    })?;
    bed.boot(3);
    bed.settle(secs(60))?;
    assert_eq!(names_at(&bed.view(), 0), all_names(4));
    Ok(())
}

#[test]
fn a_power_cut_of_a_moment_leaves_no_link_with_the_start_before_it() -> Outcome {
    let mut bed = settled(plan(403, 4))?;
    let before = bed.view().peers[3].incarnation;
    bed.power_off(3);
    bed.boot(3);
    bed.until(secs(10), "everybody knows the new start", |view| {
        let Some(id) = view.peers[3].id else { return false };
        let knows = |host: usize| {
            let seen = view.peers[host].reachable.get(&id);
            seen.is_some_and(|(incarnation, _)| *incarnation > before)
        };
        (0..4).all(knows)
    })?;
    bed.settle(secs(30))?;
    assert_eq!(names_at(&bed.view(), 0), all_names(4));
    Ok(())
}

#[test]
fn containers_keep_their_addresses_over_a_crash_and_nobody_else_gets_them() -> Outcome {
    let mut bed = settled(plan(404, 3))?;
    let mut before = Vec::new();
    for number in 0..5 {
        before.push(bed.allocate(2, &format!("x{number}"))?.unwrap());
    }
    bed.crash(2);
    for number in 0..20 {
        let other = bed.allocate(number % 2, &format!("y{number}"))?.unwrap();
        assert!(!before.contains(&other), "{other} is in use on n3");
    }
    bed.boot(2);
    bed.settle(secs(30))?;
    for (number, before) in before.into_iter().enumerate() {
        assert_eq!(bed.allocate(2, &format!("x{number}"))?, Ok(before));
    }
    Ok(())
}

#[test]
fn a_mesh_that_dies_as_a_whole_is_the_same_when_it_returns_one_by_one() -> Outcome {
    let mut bed = settled(plan(405, 5))?;
    let before = bed.view();
    for host in 0..5 {
        bed.power_off(host);
    }
    bed.run_for(secs(10))?;
    for host in [3, 0, 4, 1, 2] {
        bed.boot(host);
        bed.run_for(secs(4))?;
    }
    bed.settle(secs(60))?;
    let after = bed.view();
    for (before, after) in before.peers.iter().zip(&after.peers) {
        assert_eq!((&before.held, before.lineage), (&after.noted, after.lineage));
    }
    assert_eq!(names_at(&after, 0), all_names(5));
    Ok(())
}

#[test]
fn a_host_that_returns_alone_gives_out_nothing_before_it_has_met_another() -> Outcome {
    let mut bed = settled(plan(406, 3))?;
    bed.crash(0);
    bed.partition(&[0]);
    bed.boot(0);
    let job = bed.start(0, async |inside| inside.allocate(container("x")).await);
    let (answer, took) = bed.finish(&job, secs(4))?;
    assert!(matches!(answer, Err(CommandError::NotMerged { .. })), "{answer:?}");
    assert!(took <= secs(3), "{took:?}");
    bed.mend(0, 2);
    bed.settle(secs(30))?;
    bed.allocate(0, "x")?.unwrap();
    Ok(())
}

#[test]
fn a_crash_in_the_middle_of_an_allocation_leaves_it_done_or_undone() -> Outcome {
    let mut bed = settled(plan(407, 3))?;
    for round in 0..5 {
        bed.disk(0).slow(millis(40));
        let id = format!("x{round}");
        let wanted = container(&id);
        let job = bed.start(0, async move |inside| inside.allocate(wanted).await);
        bed.run_for(millis(20 + 10 * round))?;
        bed.crash(0);
        assert!(job.is_done() || job.is_lost());
        bed.disk(0).slow(Duration::ZERO);
        bed.boot(0);
        bed.settle(secs(30))?;
        bed.allocate(0, &id)?.unwrap();
    }
    Ok(())
}

#[test]
fn a_host_whose_disk_was_lost_joins_as_another_peer_and_gets_other_addresses() -> Outcome {
    let mut bed = settled(plan(408, 4))?;
    let before = bed.view();
    bed.crash(3);
    bed.wipe(3);
    bed.boot(3);
    bed.settle(secs(60))?;
    let address = bed.allocate(3, "x")?.unwrap();
    let after = bed.view();
    assert_ne!(before.peers[3].id, after.peers[3].id);
    assert_eq!(before.peers[0].lineage, after.peers[3].lineage);
    let used = before.peers.iter().flat_map(|peer| peer.held.values().flatten());
    assert!(used.into_iter().all(|net| net.addr() != address), "{address}");
    Ok(())
}

#[test]
fn a_daemon_whose_disk_fails_ends_with_the_reason_and_the_others_go_on() -> Outcome {
    let mut bed = settled(plan(409, 4))?;
    bed.disk(0).break_down(true);
    let job = bed.start(0, async |inside| inside.allocate(container("x")).await);
    bed.run_for(secs(1))?;
    let why = bed.exit(0).cloned().expect("n1 ended").unwrap_err();
    assert!(why.contains("cannot keep state"), "{why}");
    // What could not be written was promised to nobody.
    assert!(job.is_lost() || matches!(job.result(), Some(Err(CommandError::Broken { .. }))));
    bed.until(TOLD, "its name is gone", |view| {
        (1..4).all(|host| names_at(view, host) == ["c2", "c3", "c4"])
    })?;
    bed.allocate(1, "y")?.unwrap();
    bed.disk(0).break_down(false);
    bed.boot(0);
    bed.settle(secs(30))?;
    bed.allocate(0, "x")?.unwrap();
    Ok(())
}

#[test]
fn with_a_slow_disk_answers_wait_for_it_and_links_stand() -> Outcome {
    let mut bed = settled(plan(410, 3))?;
    let ended = bed.status(1)?.conns_ended;
    bed.disk(0).slow(millis(700));
    for number in 0..4 {
        let id = container(&format!("x{number}"));
        let job = bed.start(0, async move |inside| inside.allocate(id).await);
        let (answer, took) = bed.finish(&job, secs(3))?;
        assert!(answer.is_ok() && took >= millis(700), "{answer:?} after {took:?}");
    }
    assert_eq!(bed.status(1)?.conns_ended, ended);
    bed.disk(0).slow(Duration::ZERO);
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn a_daemon_that_dies_eight_times_running_leaves_its_peers_as_they_were() -> Outcome {
    let mut bed = settled(plan(411, 3))?;
    let before = bed.status(1)?;
    for round in 0..8 {
        bed.crash(0);
        bed.run_for(millis(300 * round))?;
        bed.boot(0);
        bed.run_for(millis(700))?;
    }
    bed.settle(secs(60))?;
    // The last attempts at it were to wait at most this long.
    bed.run_for(secs(30))?;
    let after = bed.status(1)?;
    assert_eq!(before.conns.len(), after.conns.len());
    // One more at most: its vote of long ago, if that had not been told here.
    assert!(after.records <= before.records + 1, "{} records", after.records);
    assert_eq!(names_at(&bed.view(), 1), all_names(3));
    Ok(())
}

#[test]
fn a_name_that_was_taken_back_before_a_crash_does_not_return_with_the_daemon() -> Outcome {
    let mut bed = settled(plan(412, 3))?;
    bed.partition(&[2]);
    let name = domain_name("c3");
    let command = weft_core::io::Command::Unregister { id: None, name: Some(name), value: None };
    bed.ask(2, async move |inside| inside.node.command(command).await)?.unwrap();
    bed.power_off(2);
    bed.boot(2);
    bed.run_for(secs(3))?;
    bed.heal();
    bed.settle(secs(60))?;
    for host in 0..3 {
        assert_eq!(names_at(&bed.view(), host), ["c1", "c2"]);
    }
    Ok(())
}
