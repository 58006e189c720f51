//! How a world is set up.

use super::World;
use crate::net::Conditions;
use std::time::Duration;
use weft_core::addr::Universe;
use weft_core::config::{Config, FoundingMode, NetworkSecret};

/// How a world is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where all chances come from.
    pub seed: u64,
    /// How many hosts.
    pub hosts: usize,
    /// What the mesh divides.
    pub universe: Universe,
    /// How it is divided.
    pub founding: FoundingMode,
    /// Whether peers dial those they only heard of.
    pub discovery: bool,
    /// Pairs that never reach each other.
    pub walls: Vec<(usize, usize)>,
    /// By host; those missing have none.
    pub secret: Vec<Option<NetworkSecret>>,
    /// How well the network works at first.
    pub conditions: Conditions,
    /// Whether history is printed as it happens.
    pub echo: bool,
}

impl Setup {
    /// `hosts` hosts that all know each other and share a /24, on a good network.
    pub fn new(seed: u64, hosts: usize) -> Self {
        Self {
            seed,
            hosts,
            universe: "10.32.0.0/24"
                .parse()
                .ok()
                .and_then(|block| Universe::new(block).ok())
                .unwrap_or(Universe::DEFAULT),
            founding: FoundingMode::Consensus { peers: Some(hosts) },
            discovery: true,
            walls: Vec::new(),
            secret: vec![Some(NetworkSecret([7; 32])); hosts],
            conditions: Conditions::default(),
            echo: false,
        }
    }

    /// Whom `host` is told to dial: all others that it can reach.
    pub fn targets(&self, host: usize) -> Vec<usize> {
        let walled = |a, b| self.walls.contains(&(a, b)) || self.walls.contains(&(b, a));
        (0..self.hosts).filter(|other| *other != host && !walled(host, *other)).collect()
    }

    /// A world in which all hosts have been started, one after the other.
    pub fn start(&self) -> World {
        let mut world = World::new(self);
        for host in 0..self.hosts {
            world.boot(host);
        }
        world
    }

    /// Longest time a healed mesh may take to settle: the longest wait for a dial that can be
    /// drawn, noticing a dead link, and a comparison of records for each hop.
    pub fn settle_max(&self) -> Duration {
        let config = Config::default();
        let hops = u32::try_from(self.hosts).unwrap_or(1).min(4);
        config.dial_wait_max.mul_f64(1.5)
            + config.silence_max * 2
            + config.reconcile_wait * hops
            + Duration::from_secs(20)
    }
}
