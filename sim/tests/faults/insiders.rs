//! Somebody who knows the password and keeps no rules.

use crate::bed::{act, comes_back, mesh, ping, run};
use sim::net::STRANGER;
use sim::world::{Act, Lie, Peer, World};

/// Addresses that the hosts of a world own, as its first host sees it.
fn owned(world: &mut World) -> u128 {
    let peers = &world.look().peers;
    let ours = |owner| peers.iter().any(|peer| peer.id == Some(owner));
    let ledger = peers[0].ledger.iter().flatten();
    ledger.filter(|owned| ours(owned.owner)).map(|owned| owned.range.size()).sum()
}

/// Control links of a host.
fn links(world: &mut World, host: usize) -> usize {
    world.look().peers[host].conns.len()
}

#[test]
fn a_mesh_comes_through_all_lies_that_are_bounded_and_gives_nothing_away() {
    let mut world = mesh(81, 3);
    let before = owned(&mut world);
    for (number, says) in Lie::BOUNDED.into_iter().enumerate() {
        world.act(&Act::Insider { peer: Peer(number % 3), says, count: 20 });
        run(&mut world, 2);
    }
    ping(&mut world, 0, 1);
    assert_eq!(owned(&mut world), before);
    comes_back(&mut world);
    assert_eq!(world.strangers(), 0);
}

#[test]
fn an_insider_that_breaks_the_protocol_is_shown_out_and_one_that_only_gossips_may_stay() {
    let mut world = mesh(82, 2);
    for (says, count) in [("no-message", 1), ("babble", 1), ("mirror", 1), ("many-records", 2)] {
        act(&mut world, &format!("do = 'insider', peer = 'n1', says = '{says}'"));
        run(&mut world, 20);
        assert_eq!(links(&mut world, 0), count, "{says}");
    }
    // Nobody hears its records twice, and it is a neighbour like any other.
    assert_eq!(world.strangers(), 1);
    comes_back(&mut world);
}

#[test]
fn one_that_comes_back_and_reads_nothing_fills_the_places_for_streams_and_only_for_a_while() {
    let mut world = mesh(83, 2);
    act(&mut world, "do = 'insider', peer = 'n1', says = 'long-records', count = 3");
    run(&mut world, 5);
    act(&mut world, "do = 'insider', peer = 'n1', says = 'revenant', count = 20");
    let streams = |world: &World| world.net.streams_between().get(&(0, STRANGER)).copied();
    run(&mut world, 1);
    assert!(streams(&world) > Some(20), "{:?}", streams(&world));
    run(&mut world, 30);
    assert!(streams(&world) < Some(4), "{:?}", streams(&world));
    assert!(links(&mut world, 0) >= 1);
    ping(&mut world, 0, 1);
    comes_back(&mut world);
}
