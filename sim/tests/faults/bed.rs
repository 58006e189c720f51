//! Worlds with a mesh that works, and what must still work afterwards.

use sim::world::{Act, Peer, Setup, World};
use std::net::IpAddr;
use std::time::Duration;

/// How long anything may take on a network that is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The world, or a panic that shows how it came to this.
pub(crate) trait OrShow<T> {
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

/// A settled mesh with a container `cN` on each host `nN`.
pub(crate) fn mesh(seed: u64, hosts: usize) -> World {
    let setup = Setup::new(seed, hosts);
    let mut world = setup.start();
    world.settle(setup.settle_max()).or_show(&world);
    for host in 0..hosts {
        attach(&mut world, host, &format!("c{}", host + 1));
    }
    world.settle(PATIENCE).or_show(&world);
    world
}

pub(crate) fn attach(world: &mut World, host: usize, id: &str) -> IpAddr {
    world.attach(host, id).or_show(world)
}

pub(crate) fn ping(world: &mut World, from: usize, to: usize) {
    world.ping(from, &format!("c{}", from + 1), &format!("c{}", to + 1), PATIENCE).or_show(world);
}

pub(crate) fn run(world: &mut World, seconds: u64) {
    world.run_for(Duration::from_secs(seconds)).or_show(world);
}

/// Does what a line of a scenario says, such as `do = "lose-disk", peer = "n1"`.
pub(crate) fn act(world: &mut World, line: &str) {
    let table: Result<toml::Table, _> = toml::from_str(&format!("it = {{ {line} }}"));
    let act = table.and_then(|mut table| match table.remove("it") {
        Some(it) => it.try_into::<Act>(),
        None => panic!("`{line}` is empty"),
    });
    let act = act.unwrap_or_else(|why| panic!("`{line}`: {why}"));
    world.act(&act);
}

/// Ends all faults, starts whoever stands still, and has the mesh settle, serve and carry frames.
pub(crate) fn comes_back(world: &mut World) {
    world.calm();
    let hosts = world.hosts.len();
    for host in 0..hosts {
        world.act(&Act::Start { peer: Peer(host), refuses: None });
    }
    world.settle(Setup::new(0, hosts).settle_max()).or_show(world);
    for host in 0..hosts {
        attach(world, host, &format!("c{}", host + 1));
        attach(world, host, &format!("late{}", host + 1));
    }
    world.settle(PATIENCE).or_show(world);
    for host in 0..hosts {
        ping(world, host, (host + 1) % hosts);
    }
}
