//! What befalls datagrams.

use crate::bed::{act, comes_back, mesh, run};
use sim::net::Mishap;
use sim::world::World;

/// A mesh of three that lives with `conditions` for two minutes, and then comes back.
fn after(conditions: &str) -> World {
    let mut world = mesh(21, 3);
    act(&mut world, &format!("do = 'network', conditions = {{ {conditions} }}"));
    for round in 0..12 {
        run(&mut world, 10);
        let host = round % 3;
        let (from, to) = (format!("c{}", host + 1), format!("c{}", (host + 1) % 3 + 1));
        let number = world.new_ping();
        for _ in 0..3 {
            world.try_ping(host, &from, &to, number);
        }
    }
    comes_back(&mut world);
    world
}

#[test]
fn a_mesh_comes_through_bursts_of_loss() {
    let world = after("bursts = '5%', burst = '20s'");
    let (begun, lost) = (world.net.tally.of(Mishap::LostInBurst), world.net.tally.of(Mishap::Lost));
    assert!(begun > 20 && lost == 0, "{begun} lost in bursts, {lost} alone");
}

#[test]
fn a_mesh_comes_through_copies_that_arrive_minutes_later() {
    let world = after("duplication = '50%', echo = '3m'");
    assert!(world.net.tally.of(Mishap::Doubled) > 50, "{:?}", world.net.tally);
    let refused: u64 = world
        .hosts
        .iter()
        .filter_map(|host| host.running.as_ref())
        .map(|running| running.forwarder.counters().refused)
        .sum();
    assert!(refused > 0, "no copy was told from its original");
}

#[test]
fn a_mesh_comes_through_datagrams_that_are_held_up() {
    let world = after("held-up = '20%', hold-up = '2m'");
    assert!(world.net.tally.of(Mishap::HeldUp) > 20, "{:?}", world.net.tally);
}

#[test]
fn a_mesh_comes_through_wrong_bits_and_cut_datagrams() {
    let world = after("corruption = '20%'");
    assert!(world.net.tally.of(Mishap::Corrupted) > 20, "{:?}", world.net.tally);
}

#[test]
fn a_mesh_comes_through_a_narrow_way_with_a_short_queue() {
    let world = after("rate = 100, queue = 50");
    assert!(world.net.tally.of(Mishap::QueueFull) > 20, "{:?}", world.net.tally);
}

#[test]
fn a_mesh_comes_through_a_way_that_swallows_long_packets() {
    let world = after("mtu = 100");
    assert!(world.net.tally.of(Mishap::TooLong) > 5, "{:?}", world.net.tally);
}

#[test]
fn one_direction_between_two_hosts_can_be_worse_than_all_others() {
    let mut world = mesh(22, 3);
    act(&mut world, "do = 'path', from = 'n1', to = 'n2', conditions = { mtu = 40 }");
    run(&mut world, 60);
    assert!(world.net.tally.of(Mishap::TooLong) > 5, "{:?}", world.net.tally);
    comes_back(&mut world);
}
