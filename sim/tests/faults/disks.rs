//! What befalls disks.

use crate::bed::{OrShow, PATIENCE, act, attach, comes_back, mesh, run};
use sim::check;
use sim::world::container;
use weft_core::event::Event;

#[test]
fn a_host_that_lost_its_disk_joins_as_a_stranger() {
    let mut world = mesh(31, 3);
    let before = world.look().peers[1].id;
    act(&mut world, "do = 'lose-disk', peer = 'n2'");
    assert!(world.hosts[1].running.is_none() && world.hosts[1].held.is_empty());
    run(&mut world, 20);
    act(&mut world, "do = 'start', peer = 'n2'");
    comes_back(&mut world);
    assert_ne!(world.look().peers[1].id, before);
}

#[test]
fn a_host_that_was_put_back_gives_no_address_away_twice() {
    let mut world = mesh(32, 3);
    act(&mut world, "do = 'snapshot', peer = 'n2', name = 'before'");
    for number in 0..5 {
        attach(&mut world, 1, &format!("later{number}"));
    }
    world.settle(PATIENCE).or_show(&world);
    act(&mut world, "do = 'restore', peer = 'n2', name = 'before'");
    assert!(world.hosts[1].containers.contains_key(&container("c2")));
    assert!(!world.hosts[1].containers.contains_key(&container("later3")));
    comes_back(&mut world);
}

#[test]
fn a_copy_of_a_disk_is_told_apart_and_a_new_one_ends_it() {
    let mut world = mesh(33, 3);
    // Of two that are one, each may believe that it is the owner; that is why they are told apart.
    let (ones, rules) =
        check::all().into_iter().partition(|rule| rule.name().starts_with("ipam.one-"));
    world.judge_by(rules);
    // They have to see who took part in the founding before one of them is no more, and look when
    // something happens: a heartbeat at the latest.
    run(&mut world, 5);
    act(&mut world, "do = 'clone-disk', from = 'n1', to = 'n2'");
    act(&mut world, "do = 'start', peer = 'n2'");
    run(&mut world, 20);
    let view = world.look();
    assert_eq!(view.peers[0].id, view.peers[1].id);
    let told = |event: &Event| {
        let Event::ConnDown { why, .. } = event else { return false };
        why.to_string().contains("this peer's identity")
    };
    assert!(world.events.iter().any(|(_, host, event)| *host == 1 && told(event)));
    // The operator reads it, installs the copy anew, and starts the other one again.
    act(&mut world, "do = 'lose-disk', peer = 'n2'");
    act(&mut world, "do = 'crash', peer = 'n1'");
    act(&mut world, "do = 'start', peer = 'n1'");
    // It listens whether a copy is still heard.
    run(&mut world, 10);
    world.judge_also_by(ones);
    comes_back(&mut world);
}

#[test]
fn what_a_lying_disk_forgot_is_found_out_by_the_others() {
    let mut world = mesh(34, 3);
    act(&mut world, "do = 'lying-disk', peer = 'n3'");
    attach(&mut world, 2, "forgotten");
    world.settle(PATIENCE).or_show(&world);
    act(&mut world, "do = 'crash', peer = 'n3', power = true");
    world.crash(2, true);
    assert!(!world.hosts[2].containers.contains_key(&container("forgotten")));
    assert!(world.hosts[2].containers.contains_key(&container("c3")));
    comes_back(&mut world);
}

#[test]
fn a_node_whose_disk_fails_stops_before_it_promises_anything() {
    let mut world = mesh(35, 3);
    act(&mut world, "do = 'fail-disk', peer = 'n1', after = 2");
    attach(&mut world, 0, "first");
    act(&mut world, "do = 'allocate', peer = 'n1', container = 'second'");
    run(&mut world, 1);
    assert!(world.hosts[0].running.is_none());
    let given =
        |event: &Event| matches!(event, Event::Allocated { id, .. } if *id == container("second"));
    assert!(!world.events.iter().any(|(_, _, event)| given(event)));
    act(&mut world, "do = 'start', peer = 'n1'");
    assert!(world.hosts[0].running.is_none(), "it runs though it cannot note that it starts");
    act(&mut world, "do = 'mend-disk', peer = 'n1'");
    comes_back(&mut world);
}

#[test]
fn a_node_refuses_to_start_from_what_it_cannot_believe() {
    let places = ["identity", "incarnation", "range", "record", "holding", "names"];
    for (seed, what) in (34..).zip(places) {
        for how in ["bits", "short", "elsewhere"] {
            let mut world = mesh(seed, 3);
            // The last write is to none of these places.
            act(&mut world, "do = 'connect', peer = 'n2', to = 'n2'");
            act(&mut world, "do = 'crash', peer = 'n2'");
            act(
                &mut world,
                &format!("do = 'rot-disk', peer = 'n2', what = '{what}', how = '{how}'"),
            );
            act(&mut world, "do = 'start', peer = 'n2', refuses = 'damaged'");
            run(&mut world, 5);
            assert!(world.hosts[1].running.is_none(), "{what}, {how}");
            act(&mut world, "do = 'mend-disk', peer = 'n2'");
            comes_back(&mut world);
        }
    }
}

#[test]
fn a_write_that_went_to_a_place_that_is_not_read_is_found_all_the_same() {
    // What it is told to dial is read only by a node that is to resume.
    for (seed, how, refuses) in [(42, "bits", false), (43, "short", false), (44, "elsewhere", true)]
    {
        let mut world = mesh(seed, 3);
        let before = world.hosts[1].held.clone();
        act(&mut world, "do = 'crash', peer = 'n2'");
        act(&mut world, &format!("do = 'rot-disk', peer = 'n2', what = 'targets', how = '{how}'"));
        act(&mut world, "do = 'start', peer = 'n2'");
        assert_eq!(world.hosts[1].running.is_none(), refuses, "{how}");
        comes_back(&mut world);
        assert!(before.iter().all(|(id, nets)| world.hosts[1].held.get(id) == Some(nets)));
    }
}

#[test]
fn a_node_that_refuses_for_no_reason_that_was_told_breaks_a_rule() {
    let mut world = mesh(41, 2);
    act(&mut world, "do = 'crash', peer = 'n2'");
    act(&mut world, "do = 'start', peer = 'n2', refuses = 'damaged'");
    let broken = world.run_for(PATIENCE).unwrap_err();
    assert_eq!(broken.rule, "sim.starts");
}
