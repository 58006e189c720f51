//! Hand-made worlds: what users rely on, one sentence each.

use sim::net::{Conditions, Share};
use sim::world::{Peer, Setup, World, container};
use std::time::Duration;
use weft_core::addr::Universe;
use weft_core::event::Event;
use weft_core::handshake::HandshakeFault;
use weft_core::io::{Command, CommandError, Reply};
use weft_core::mesh::ConnFault;

const PATIENCE: Duration = Duration::from_secs(10);

/// The world, or a panic that shows how it came to this.
trait OrShow<T> {
    fn or_show(self, world: &World) -> T;
}

impl<T, E: std::fmt::Display> OrShow<T> for Result<T, E> {
    fn or_show(self, world: &World) -> T {
        self.unwrap_or_else(|error| {
            let lines = world.trace.last(40);
            panic!("{error}\n{}", lines.join("\n"))
        })
    }
}

fn settled(setup: &Setup) -> World {
    let mut world = setup.start();
    world.settle(setup.settle_max()).or_show(&world);
    world
}

fn attach(world: &mut World, host: usize, id: &str) -> std::net::IpAddr {
    world.attach(host, id).or_show(world)
}

fn ping(world: &mut World, host: usize, from: &str, to: &str) {
    world.ping(host, from, to, PATIENCE).or_show(world);
}

#[test]
fn two_three_and_five_peers_settle_and_ping_by_name() {
    for hosts in [2, 3, 5] {
        let mut world = settled(&Setup::new(1, hosts));
        for host in 0..hosts {
            attach(&mut world, host, &format!("c{host}"));
        }
        world.settle(Duration::from_secs(30)).or_show(&world);
        for from in 0..hosts {
            for to in (0..hosts).filter(|to| *to != from) {
                ping(&mut world, from, &format!("c{from}"), &format!("c{to}"));
            }
        }
    }
}

#[test]
fn both_sides_of_a_partition_allocate_without_a_clash_and_join_again() {
    let setup = Setup::new(2, 4);
    let mut world = settled(&setup);
    attach(&mut world, 0, "before");
    world.partition(&[0, 1].into());
    world.run_for(Duration::from_secs(30)).or_show(&world);
    for host in 0..4 {
        for number in 0..10 {
            attach(&mut world, host, &format!("c{host}-{number}"));
        }
    }
    world.settle(Duration::from_secs(60)).or_show(&world);
    ping(&mut world, 1, "c1-3", "c0-3");
    world.heal();
    world.settle(setup.settle_max()).or_show(&world);
    ping(&mut world, 0, "before", "c3-9");
}

#[test]
fn peers_that_cannot_reach_each_other_talk_through_one_that_can() {
    let mut setup = Setup::new(3, 3);
    setup.walls = vec![(Peer(0), Peer(2))];
    let mut world = settled(&setup);
    attach(&mut world, 0, "left");
    attach(&mut world, 2, "right");
    world.settle(Duration::from_secs(30)).or_show(&world);
    ping(&mut world, 0, "left", "right");
    ping(&mut world, 2, "right", "left");
    let relay = world.hosts[1].running.as_ref().unwrap();
    assert!(relay.forwarder.counters().relayed > 0);
}

#[test]
fn a_peer_that_crashed_comes_back_with_its_addresses_and_names() {
    for power in [false, true] {
        let setup = Setup::new(4, 3);
        let mut world = settled(&setup);
        let address = attach(&mut world, 1, "db");
        attach(&mut world, 0, "web");
        world.settle(Duration::from_secs(30)).or_show(&world);
        world.crash(1, power);
        world.run_for(Duration::from_secs(40)).or_show(&world);
        world.settle(Duration::from_secs(60)).or_show(&world);
        world.boot(1);
        world.settle(setup.settle_max()).or_show(&world);
        ping(&mut world, 0, "web", "db");
        let again = world.attach(1, "db").or_show(&world);
        assert_eq!(again, address);
    }
}

#[test]
fn a_sole_owner_that_came_back_and_shared_allocates_at_once() {
    let mut setup = Setup::new(11, 2);
    setup.voters = 1;
    let mut world = World::new(&setup);
    world.boot(0);
    attach(&mut world, 0, "first");
    world.boot(1);
    world.settle(setup.settle_max()).or_show(&world);
    world.crash(0, false);
    world.run_for(Duration::from_secs(1)).or_show(&world);
    world.boot(0);
    // Well before the next comparison of records that could open a closed gate.
    let up = |event: &Event| matches!(event, Event::LinkUp { .. });
    let before = world.events.len();
    for _ in 0..500 {
        if world.events.iter().skip(before).any(|(_, host, event)| *host == 1 && up(event)) {
            break;
        }
        world.run_for(Duration::from_millis(20)).or_show(&world);
    }
    attach(&mut world, 1, "asks");
    let granted = |event: &Event| matches!(event, Event::Granted { .. });
    assert!(world.events.iter().any(|(_, host, event)| *host == 0 && granted(event)));
    attach(&mut world, 0, "second");
}

#[test]
fn a_container_moves_to_another_host_with_its_address() {
    let mut world = settled(&Setup::new(5, 3));
    let address = attach(&mut world, 0, "db");
    attach(&mut world, 2, "web");
    world.settle(Duration::from_secs(30)).or_show(&world);
    ping(&mut world, 2, "web", "db");
    let id = container("db");
    let gone = Command::Unregister { id: Some(id.clone()), name: None, value: None };
    world.answer(0, gone).or_show(&world).or_show(&world);
    let release = Command::Release { id: id.clone(), address: None };
    world.answer(0, release).or_show(&world).or_show(&world);
    let net = ipnet::IpNet::new(address, 24).unwrap();
    let claim = Command::Claim { id: id.clone(), address: net };
    let reply = world.answer(1, claim).or_show(&world);
    assert_eq!(reply, Ok(Reply::Addresses(vec![net])));
    world.register(1, &id, address).or_show(&world);
    world.settle(Duration::from_secs(30)).or_show(&world);
    ping(&mut world, 2, "web", "db");
}

#[test]
fn a_claim_of_an_address_that_another_host_uses_is_refused() {
    let mut world = settled(&Setup::new(6, 2));
    let address = attach(&mut world, 0, "db");
    let address = ipnet::IpNet::new(address, 24).unwrap();
    let reply = world.answer(1, Command::Claim { id: container("thief"), address });
    let reply = reply.or_show(&world);
    assert!(matches!(reply, Err(CommandError::AddressTaken { .. })), "{reply:?}");
}

#[test]
fn loss_and_duplication_do_not_keep_peers_apart() {
    let mut setup = Setup::new(7, 3);
    setup.conditions = Conditions {
        latency: Duration::from_millis(5),
        jitter: Duration::from_millis(40),
        loss: Share::per_thousand(200),
        duplication: Share::per_thousand(200),
        ..Conditions::default()
    };
    let mut world = settled(&setup);
    for host in 0..3 {
        attach(&mut world, host, &format!("c{host}"));
    }
    world.settle(Duration::from_secs(60)).or_show(&world);
    for host in 0..3 {
        let to = format!("c{}", (host + 1) % 3);
        world.ping(host, &format!("c{host}"), &to, Duration::from_secs(30)).or_show(&world);
    }
}

/// Faults of control links at `host`, in order.
fn faults(world: &World, host: usize) -> Vec<ConnFault> {
    let down = |(_, at, event): &(_, usize, Event)| {
        if let Event::ConnDown { why, .. } = event
            && *at == host
        {
            Some(why.clone())
        } else {
            None
        }
    };
    world.events.iter().filter_map(down).collect()
}

/// Dials that two hosts may spend on each other in ten minutes of refusals.
const REFUSALS_MAX: usize = 60;

#[test]
fn a_wrong_password_is_named_on_both_sides_without_a_storm_of_retries() {
    let mut setup = Setup::new(8, 2);
    setup.own.entry(Peer(1)).or_default().password = Some("another".to_owned());
    let mut world = setup.start();
    world.run_for(Duration::from_secs(600)).or_show(&world);
    for host in 0..2 {
        let faults = faults(&world, host);
        let wrong = |fault: &&ConnFault| {
            matches!(fault, ConnFault::Handshake(HandshakeFault::WrongPassword))
        };
        assert!(faults.iter().any(|fault| wrong(&fault)), "n{}: {faults:?}", host + 1);
        assert!(faults.len() < REFUSALS_MAX, "{} attempts in ten minutes", faults.len());
    }
}

#[test]
fn meshes_founded_apart_refuse_each_other_and_say_why() {
    let mut setup = Setup::new(9, 2);
    setup.voters = 1;
    let mut world = World::new(&setup);
    world.judge_by(Vec::new());
    world.partition(&[0].into());
    for host in 0..2 {
        world.boot(host);
        world.attach(host, "first").or_show(&world);
    }
    world.heal();
    world.run_for(Duration::from_secs(600)).or_show(&world);
    for host in 0..2 {
        let faults = faults(&world, host);
        assert!(faults.contains(&ConnFault::Lineage), "n{}: {faults:?}", host + 1);
        assert!(faults.len() < REFUSALS_MAX, "{} attempts in ten minutes", faults.len());
    }
}

#[test]
fn different_ranges_are_refused_with_both_ranges_named() {
    let setup = Setup::new(10, 2);
    let mut world = World::new(&setup);
    world.judge_by(Vec::new());
    world.hosts[1].config.universe = Universe::new("10.40.0.0/24".parse().unwrap()).unwrap();
    world.boot(0);
    world.boot(1);
    world.run_for(Duration::from_secs(60)).or_show(&world);
    for host in 0..2 {
        let faults = faults(&world, host);
        let named = |fault: &ConnFault| matches!(fault, ConnFault::Universe { .. });
        assert!(faults.iter().any(named), "n{}: {faults:?}", host + 1);
    }
}
