//! Strangers.

use crate::bed::{act, attach, comes_back, mesh, ping, run};
use sim::net::Mishap;
use sim::world::World;

/// Datagrams that the data path of `host` would not take.
fn refused(world: &World, host: usize) -> u64 {
    let running = world.hosts[host].running.as_ref();
    running.map_or(0, |running| {
        let counters = running.forwarder.counters();
        counters.refused + counters.malformed
    })
}

#[test]
fn datagrams_that_mean_nothing_are_counted_and_dropped() {
    let mut world = mesh(71, 3);
    let events = world.events.len();
    act(&mut world, "do = 'spray', peer = 'n1', count = 1000");
    run(&mut world, 10);
    assert_eq!(world.net.tally.of(Mishap::Forged), 1_000);
    assert!(refused(&world, 0) >= 990, "{}", refused(&world, 0));
    assert_eq!(world.events.len(), events, "somebody believed a stranger");
    comes_back(&mut world);
}

#[test]
fn strangers_who_never_speak_are_shown_out_and_keep_no_peer_away() {
    let mut world = mesh(72, 3);
    act(&mut world, "do = 'mute', peer = 'n1', count = 300");
    run(&mut world, 2);
    assert!(world.strangers() > 0);
    world.crash(1, false);
    world.boot(1);
    run(&mut world, 20);
    assert_eq!(world.strangers(), 0, "somebody is still there");
    ping(&mut world, 0, 1);
    comes_back(&mut world);
}

#[test]
fn strangers_who_babble_are_shown_out() {
    let mut world = mesh(73, 3);
    act(&mut world, "do = 'babble', peer = 'n2', count = 300");
    run(&mut world, 20);
    assert_eq!(world.strangers(), 0);
    comes_back(&mut world);
}

#[test]
fn datagrams_that_are_sent_again_or_back_change_nothing() {
    let mut world = mesh(74, 3);
    act(&mut world, "do = 'record'");
    attach(&mut world, 0, "more");
    ping(&mut world, 0, 1);
    ping(&mut world, 1, 2);
    run(&mut world, 20);
    let (events, before) = (world.events.len(), refused(&world, 1));
    act(&mut world, "do = 'replay'");
    act(&mut world, "do = 'replay', reflect = true");
    run(&mut world, 5);
    assert!(world.net.tally.of(Mishap::Forged) > 20);
    assert!(refused(&world, 1) > before + 5);
    assert_eq!(world.events.len(), events, "somebody believed a stranger");
    // Nor later, when the sessions are others.
    world.crash(2, false);
    world.boot(2);
    run(&mut world, 20);
    act(&mut world, "do = 'replay'");
    comes_back(&mut world);
}
