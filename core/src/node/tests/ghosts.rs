//! A disk that was put back, and one that was copied.

use super::*;
use crate::status::IpamState;

fn state(world: &World, host: usize) -> IpamState {
    world.node(host).ipam.status().state
}

/// Hosts 0 to 2, founded, the last of which is to be a copy of the first: it is never heard by it.
fn founded() -> World {
    let mut world = World::new(3, config);
    world.cut.insert((0, 2));
    world.run(SECOND * 3);
    assert!(matches!(world.command(0, allocate("a")), Ok(Reply::Addresses(_))));
    assert_eq!(state(&world, 0), IpamState::Ready);
    world
}

#[test]
fn of_two_that_run_from_one_disk_both_learn_it_from_others_and_hand_nothing_out() {
    for is_running in [true, false] {
        let mut world = founded();
        let saved = if is_running {
            world.hosts[0].as_ref().unwrap().saved.clone()
        } else {
            let saved = world.kill(0);
            world.start(0, saved.clone());
            saved
        };
        world.kill(2);
        world.start(2, saved);
        world.run(SECOND * 60);
        for host in [0, 2] {
            let events = &world.hosts[host].as_ref().unwrap().events;
            let met = events.iter().filter(|event| **event == Event::TwinMet).count();
            assert_eq!((met, state(&world, host)), (1, IpamState::Copied), "host {host}");
            assert_eq!(world.command(host, allocate("b")), Err(CommandError::Copied));
            assert_eq!(world.command(host, Command::Leave), Err(CommandError::Copied));
            let peers = [PeerId([9; 32])].into();
            let evict = Command::Evict { peers, force: false, wait: false };
            assert_eq!(world.command(host, evict), Err(CommandError::Copied));
        }
        // They outlive each other for as long as both run, but seldom.
        let life = world.node(1).topology.get(world.node(0).me).unwrap().incarnation;
        world.run(SECOND * 60);
        let later = world.node(1).topology.get(world.node(0).me).unwrap().incarnation;
        assert!(later.0 - life.0 <= 30, "{life:?} to {later:?}");
        // Once the copy is gone, the other one starts anew and goes on.
        world.kill(2);
        let saved = world.kill(0);
        world.start(0, saved);
        world.run(SECOND * 90);
        assert_eq!(state(&world, 0), IpamState::Ready);
        assert!(matches!(world.command(0, allocate("b")), Ok(Reply::Addresses(_))));
    }
}

#[test]
fn a_copy_that_is_dialed_is_known_at_once() {
    let mut world = World::new(2, config);
    let saved = world.kill(0);
    world.kill(1);
    world.queue.clear();
    world.start(0, saved.clone());
    world.start(1, saved);
    world.run(SECOND);
    for host in 0..2 {
        let faults = world.faults(host);
        assert!(faults.contains(&ConnFault::Clone), "host {host}: {faults:?}");
    }
    // Host 1 dials host 0, which is told so by a word that anybody could say.
    assert_eq!(state(&world, 1), IpamState::Copied);
    assert_ne!(state(&world, 0), IpamState::Copied);
}

#[test]
fn a_disk_that_was_put_back_closes_the_gate_for_a_moment_and_is_no_copy() {
    let mut world = founded();
    let before = world.hosts[0].as_ref().unwrap().saved.clone();
    for _ in 0..5 {
        let saved = world.kill(0);
        world.start(0, saved);
        world.run(SECOND * 3);
    }
    world.kill(0);
    world.start(0, before);
    world.run(SECOND * 3);
    assert_eq!(state(&world, 0), IpamState::Listening);
    // Nor does an operator's word end the wait in which a copy would answer.
    assert_eq!(world.command(0, Command::OpenGate), Err(CommandError::Doubted));
    world.run(SECOND * 5);
    assert_eq!(state(&world, 0), IpamState::Ready);
    let events = &world.hosts[0].as_ref().unwrap().events;
    assert!(!events.contains(&Event::TwinMet));
}

#[test]
fn no_word_of_an_operator_makes_two_one() {
    let mut world = founded();
    let saved = world.hosts[0].as_ref().unwrap().saved.clone();
    world.kill(2);
    world.start(2, saved);
    world.run(SECOND * 60);
    assert_eq!(world.command(0, Command::OpenGate), Err(CommandError::Copied));
    assert_eq!(state(&world, 0), IpamState::Copied);
}

#[test]
fn a_sole_owner_that_nobody_told_of_others_hears_its_neighbours_first() {
    let mut world = World::new(2, |host| {
        let founding = FoundingMode::Consensus { peers: Some(1) };
        Config { founding, ..config(host) }
    });
    world.run(SECOND * 3);
    assert!(matches!(world.command(0, allocate("a")), Ok(Reply::Addresses(_))));
    world.run(SECOND * 3);
    let before = world.kill(0);
    world.kill(1);
    world.start(0, before);
    // Host 1 does not come back, and host 0 has no targets: it goes on alone after a moment.
    world.run(SECOND);
    assert_eq!(state(&world, 0), IpamState::Listening);
    world.run(SECOND);
    assert_eq!(state(&world, 0), IpamState::Ready);
}
