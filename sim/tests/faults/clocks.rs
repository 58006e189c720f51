//! Hosts that are slow, or whose clocks are wrong.

use crate::bed::{OrShow, act, attach, comes_back, mesh, run};
use sim::world::container;
use std::time::Duration;
use weft_core::event::Event;
use weft_core::id::ContainerId;
use weft_core::io::Command;

fn held(world: &sim::world::World, host: usize, id: &str) -> bool {
    world.hosts[host].held.contains_key(&container(id))
}

#[test]
fn a_stopped_process_is_missed_and_goes_on_where_it_was() {
    let mut world = mesh(41, 3);
    act(&mut world, "do = 'pause', peer = 'n2', for = '1m'");
    act(&mut world, "do = 'allocate', peer = 'n2', container = 'waits'");
    run(&mut world, 50);
    assert!(!held(&world, 1, "waits"), "a stopped process answered");
    assert_eq!(world.look().peers[0].reachable.len(), 2, "nobody missed it");
    run(&mut world, 20);
    assert!(held(&world, 1, "waits"), "it never answered");
    comes_back(&mut world);
}

#[test]
fn a_machine_that_slept_for_an_hour_harms_nobody() {
    let mut world = mesh(42, 3);
    act(&mut world, "do = 'pause', peer = 'n1', for = '1h'");
    for number in 0..4 {
        attach(&mut world, 1, &format!("while{number}"));
        run(&mut world, 950);
    }
    comes_back(&mut world);
}

#[test]
fn a_pause_that_nobody_notices_loses_nothing() {
    let mut world = mesh(43, 3);
    let before = world.events.len();
    for _ in 0..20 {
        act(&mut world, "do = 'pause', peer = 'n3', for = '2s'");
        run(&mut world, 4);
    }
    let lost = world.events[before..]
        .iter()
        .filter(|(_, _, event)| matches!(event, Event::ConnDown { peer: Some(_), .. }));
    assert_eq!(lost.count(), 0, "a link did not live through a short pause");
    comes_back(&mut world);
}

#[test]
fn a_starved_node_is_slow_and_nothing_worse() {
    let mut world = mesh(44, 3);
    act(&mut world, "do = 'starve', peer = 'n2', cost = '100ms'");
    let begun = world.now;
    let id = "slow".parse().unwrap();
    world.answer(1, Command::Allocate { id, subnet: None }).or_show(&world).or_show(&world);
    assert!(world.now.since(begun) >= Duration::from_millis(100));
    run(&mut world, 120);
    comes_back(&mut world);
}

#[test]
fn nothing_is_promised_before_a_slow_disk_has_it() {
    let mut world = mesh(45, 3);
    act(&mut world, "do = 'slow-disk', peer = 'n1', sync = '1500ms'");
    let begun = world.now;
    let id = "slow".parse().unwrap();
    world.answer(0, Command::Allocate { id, subnet: None }).or_show(&world).or_show(&world);
    assert!(world.now.since(begun) >= Duration::from_millis(1_500));
    act(&mut world, "do = 'allocate', peer = 'n1', container = 'lost'");
    world.run_for(Duration::from_millis(500)).or_show(&world);
    world.crash(0, true);
    let id: ContainerId = "lost".parse().unwrap();
    assert_eq!(world.hosts[0].disk.held(&id), [], "half a write was kept");
    comes_back(&mut world);
}

#[test]
fn a_wall_clock_that_jumps_years_changes_nothing() {
    let mut world = mesh(46, 3);
    let before = world.events.len();
    act(&mut world, "do = 'clock', peer = 'n1', by = '10years'");
    act(&mut world, "do = 'clock', peer = 'n2', by = '10years', back = true");
    let says = |host: usize| world.hosts[host].now(world.now).unwrap().unix.0;
    assert!(says(0) - says(1) > 15 * 365 * 24 * 3_600);
    run(&mut world, 60);
    assert_eq!(world.events.len(), before, "something happened");
    comes_back(&mut world);
}

#[test]
fn clocks_that_go_fast_and_slow_do_not_confuse_a_mesh() {
    let mut world = mesh(47, 3);
    act(&mut world, "do = 'drift', peer = 'n1', speed = '0.2x'");
    act(&mut world, "do = 'drift', peer = 'n2', speed = '5x'");
    let before = world.hosts[0].now(world.now).unwrap().mono;
    attach(&mut world, 0, "slow");
    let begun = world.now;
    run(&mut world, 300);
    let passed = world.hosts[0].now(world.now).unwrap().mono.since(before);
    assert!(passed < world.now.since(begun) / 4, "{passed:?}");
    comes_back(&mut world);
}

#[test]
fn a_name_that_is_taken_back_and_given_anew_during_a_pause_is_answered() {
    let mut world = mesh(48, 2);
    act(&mut world, "do = 'pause', peer = 'n2', for = '5s'");
    act(&mut world, "do = 'unregister', peer = 'n2', container = 'c2'");
    act(&mut world, "do = 'register', peer = 'n2', container = 'c2'");
    run(&mut world, 10);
    comes_back(&mut world);
}
