//! What befalls containers, and what their engines tell of it.

use crate::bed::{OrShow, PATIENCE, act, comes_back, mesh, run};
use sim::world::{World, container};

/// Whether `id` has an address on `host`, as the engine and as the node see it.
fn held(world: &World, host: usize, id: &str) -> (bool, bool) {
    let there = &world.hosts[host];
    let id = container(id);
    let mut noted = there.running.iter().flat_map(|running| running.node.ipam().held());
    (there.held.contains_key(&id), noted.any(|(noted, _)| *noted == id))
}

fn answers(world: &mut World, host: usize, name: &str) -> bool {
    let names = world.look().peers[host].names.iter();
    names.map(|known| known.entry.name.as_str()).any(|known| known == name)
}

#[test]
fn what_an_engine_never_tells_is_found_out_by_asking() {
    let mut world = mesh(81, 2);
    act(&mut world, "do = 'events', peer = 'n1', lost = '100%'");
    act(&mut world, "do = 'born', peer = 'n1', container = 'quiet'");
    run(&mut world, 20);
    assert_eq!(held(&world, 0, "quiet"), (false, false));
    run(&mut world, 20);
    assert_eq!(held(&world, 0, "quiet"), (true, true));
    assert!(answers(&mut world, 1, "quiet.weft.local"));
    act(&mut world, "do = 'die', peer = 'n1', container = 'quiet'");
    assert_eq!(held(&world, 0, "quiet"), (false, true));
    run(&mut world, 40);
    assert_eq!(held(&world, 0, "quiet"), (false, false));
    assert!(!answers(&mut world, 1, "quiet.weft.local"));
    comes_back(&mut world);
}

#[test]
fn news_of_a_death_that_comes_after_a_new_birth_takes_no_address_away() {
    let mut world = mesh(82, 2);
    act(&mut world, "do = 'born', peer = 'n1', container = 'again'");
    run(&mut world, 1);
    act(&mut world, "do = 'events', peer = 'n1', late = '20s', twice = '100%'");
    for _ in 0..10 {
        act(&mut world, "do = 'die', peer = 'n1', container = 'again'");
        act(&mut world, "do = 'born', peer = 'n1', container = 'again'");
        run(&mut world, 3);
    }
    run(&mut world, 25);
    assert_eq!(held(&world, 0, "again"), (true, true));
    world.settle(PATIENCE).or_show(&world);
}

#[test]
fn what_died_while_its_node_was_down_is_detached_at_the_start() {
    let mut world = mesh(83, 2);
    act(&mut world, "do = 'born', peer = 'n1', container = 'brief'");
    run(&mut world, 1);
    act(&mut world, "do = 'crash', peer = 'n1'");
    act(&mut world, "do = 'die', peer = 'n1', container = 'brief'");
    act(&mut world, "do = 'start', peer = 'n1'");
    run(&mut world, 1);
    assert_eq!(held(&world, 0, "brief"), (false, false));
    comes_back(&mut world);
}

#[test]
fn who_leaves_takes_its_containers_off_the_network() {
    let mut world = mesh(84, 2);
    assert_eq!(held(&world, 0, "c1"), (true, true));
    act(&mut world, "do = 'leave', peer = 'n1'");
    assert_eq!(held(&world, 0, "c1"), (false, false));
    world.settle(PATIENCE).or_show(&world);
    assert!(!answers(&mut world, 1, "c1.weft.local"));
}

#[test]
fn the_process_of_a_stopped_node_ends_and_another_may_begin_before() {
    let mut world = mesh(85, 2);
    act(&mut world, "do = 'stop', peer = 'n1'");
    act(&mut world, "do = 'start', peer = 'n1'");
    run(&mut world, 2);
    assert!(world.hosts[0].running.is_some());
    act(&mut world, "do = 'stop', peer = 'n1'");
    run(&mut world, 1);
    assert!(world.hosts[0].running.is_none());
    comes_back(&mut world);
}

#[test]
fn a_container_moves_with_its_address() {
    let mut world = mesh(86, 2);
    let address = *world.hosts[0].held[&container("c1")].first().unwrap();
    act(&mut world, "do = 'migrate', container = 'c1', from = 'n1', to = 'n2'");
    run(&mut world, 3);
    assert_eq!(held(&world, 0, "c1"), (false, false));
    assert!(world.hosts[1].held[&container("c1")].contains(&address));
}

#[test]
fn a_name_that_was_registered_and_removed_while_its_node_slept_is_gone() {
    let mut world = mesh(87, 2);
    act(&mut world, "do = 'pause', peer = 'n1', for = '5s'");
    act(&mut world, "do = 'register', peer = 'n1', container = 'c1', name = 'brief.weft.local'");
    act(&mut world, "do = 'unregister', peer = 'n1', name = 'brief.weft.local'");
    run(&mut world, 6);
    world.settle(PATIENCE).or_show(&world);
    assert!(!answers(&mut world, 1, "brief.weft.local"));
}
