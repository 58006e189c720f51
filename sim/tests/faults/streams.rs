//! What befalls streams while the ways below them work.

use crate::bed::{OrShow, act, comes_back, mesh, run};
use sim::net::Mishap;
use std::time::Duration;
use weft_core::event::Event;

#[test]
fn a_stream_that_stands_still_is_given_up_and_replaced() {
    let mut world = mesh(51, 3);
    act(&mut world, "do = 'stall', from = 'n1', to = 'n2'");
    run(&mut world, 60);
    assert!(world.net.tally.of(Mishap::Stalled) > 0);
    assert_eq!(world.look().peers[0].conns.len(), 1, "nobody noticed");
    comes_back(&mut world);
}

#[test]
fn streams_that_are_reset_are_opened_again() {
    let mut world = mesh(52, 3);
    for _ in 0..5 {
        act(&mut world, "do = 'reset', peer = 'n1', with = 'n3'");
        run(&mut world, 20);
    }
    assert!(world.net.tally.of(Mishap::Broken) >= 10, "{:?}", world.net.tally);
    comes_back(&mut world);
}

#[test]
fn a_stream_that_only_one_side_believes_in_is_found_out() {
    let mut world = mesh(53, 2);
    let before = world.events.len();
    act(&mut world, "do = 'half-open', peer = 'n2', with = 'n1'");
    run(&mut world, 30);
    assert_eq!(world.net.tally.of(Mishap::Broken), 1);
    let lost = |host| {
        let mut events = world.events[before..].iter();
        events.any(|(_, at, event)| {
            *at == host && matches!(event, Event::ConnDown { peer: Some(_), .. })
        })
    };
    assert!(lost(0) && lost(1));
    comes_back(&mut world);
}

#[test]
fn a_slow_reader_is_served_slowly() {
    let mut world = mesh(54, 3);
    act(&mut world, "do = 'slow-reader', peer = 'n2', rate = 100");
    for number in 0..10 {
        act(&mut world, &format!("do = 'allocate', peer = 'n1', container = 'x{number}'"));
        act(&mut world, &format!("do = 'register', peer = 'n1', container = 'x{number}'"));
        run(&mut world, 10);
    }
    assert!(world.net.tally.of(Mishap::ReadSlowly) > 5, "{:?}", world.net.tally);
    comes_back(&mut world);
}

#[test]
fn a_stream_that_is_reset_before_its_dialer_knows_of_it_ends_in_order() {
    let mut world = mesh(55, 2);
    act(&mut world, "do = 'network', conditions = { latency = '400ms' }");
    for _ in 0..40 {
        act(&mut world, "do = 'reset', peer = 'n1', with = 'n2'");
        world.run_for(Duration::from_millis(450)).or_show(&world);
    }
    comes_back(&mut world);
}
