//! Hosts behind routers, and hosts that move.

use crate::bed::{OrShow, act, comes_back, mesh, ping, run};
use sim::net::Mishap;
use sim::world::Setup;

#[test]
fn a_host_behind_a_router_cannot_be_dialed_and_reaches_all_the_same() {
    for (seed, kind) in [(61, "cone"), (62, "symmetric")] {
        let mut world = mesh(seed, 3);
        act(&mut world, &format!("do = 'nat', peer = 'n3', kind = '{kind}'"));
        world.crash(2, false);
        run(&mut world, 5);
        world.boot(2);
        world.settle(Setup::new(0, 3).settle_max()).or_show(&world);
        assert!(world.net.tally.of(Mishap::DialedHidden) > 0, "{:?}", world.net.tally);
        ping(&mut world, 2, 0);
        ping(&mut world, 1, 2);
        comes_back(&mut world);
    }
}

#[test]
fn frames_find_a_host_again_whose_router_gives_other_ports() {
    for (seed, kind) in [(63, "cone"), (64, "symmetric")] {
        let mut world = mesh(seed, 3);
        act(&mut world, &format!("do = 'nat', peer = 'n3', kind = '{kind}'"));
        run(&mut world, 20);
        for _ in 0..4 {
            act(&mut world, "do = 'rebind', peer = 'n3'");
            run(&mut world, 15);
            ping(&mut world, 0, 2);
            ping(&mut world, 2, 1);
        }
        assert_eq!(world.net.tally.of(Mishap::Rebound), 4);
        comes_back(&mut world);
    }
}

#[test]
fn hosts_behind_one_router_dial_each_other_if_it_sends_their_packets_back() {
    for (seed, hairpin) in [(69, true), (70, false)] {
        let mut world = mesh(seed, 3);
        let more = "kind = 'cone', forwards = true";
        act(&mut world, &format!("do = 'nat', peer = 'n1', {more}, hairpin = {hairpin}"));
        act(&mut world, &format!("do = 'nat', peer = 'n2', {more}, behind = 'n1'"));
        for host in [0, 1] {
            world.crash(host, false);
        }
        run(&mut world, 5);
        world.boot(0);
        world.boot(1);
        run(&mut world, 30);
        let view = world.look();
        let (one, two) = (view.peers[0].id.unwrap(), view.peers[1].id.unwrap());
        assert_eq!(view.peers[0].conns.contains_key(&two), hairpin);
        assert!(view.peers[0].reachable.contains_key(&two), "over n3");
        // Who is outside dials them either way.
        assert!(view.peers[2].conns.contains_key(&one));
        assert_eq!(world.net.tally.of(Mishap::NoHairpin) == 0, hairpin, "{:?}", world.net.tally);
        assert_eq!(world.net.tally.of(Mishap::DialedHidden), 0);
        ping(&mut world, 0, 1);
        comes_back(&mut world);
    }
}

#[test]
fn a_host_that_got_another_address_is_found_there() {
    let mut world = mesh(65, 3);
    for moves in 1..4 {
        let before = world.net.address(1);
        act(&mut world, "do = 'move', peer = 'n2'");
        assert_ne!(world.net.address(1), before);
        run(&mut world, 5);
        world.settle(Setup::new(0, 3).settle_max()).or_show(&world);
        ping(&mut world, 0, 1);
        ping(&mut world, 1, 2);
        assert_eq!(world.net.tally.of(Mishap::Moved), moves);
    }
    comes_back(&mut world);
}

#[test]
fn hosts_that_change_places_are_found_where_the_other_was() {
    let mut world = mesh(68, 3);
    let (one, two) = (world.net.address(0), world.net.address(1));
    act(&mut world, "do = 'move', peer = 'n1', to = 'n2'");
    assert_eq!((world.net.address(0), world.net.address(1)), (two, one));
    assert_eq!((world.net.host_at(one), world.net.host_at(two)), (Some(1), Some(0)));
    run(&mut world, 5);
    world.settle(Setup::new(0, 3).settle_max()).or_show(&world);
    ping(&mut world, 0, 1);
    ping(&mut world, 2, 0);
    comes_back(&mut world);
}
