//! Scenarios: how a world is set up and what befalls it, drawn before the run.
//!
//! A swarm first draws *which* kinds of faults a run has at all: many runs with few kinds each
//! find more than runs that have them all. Then come the faults and commands, then healing, and
//! then the mesh must settle within a bound.

use crate::check::Violation;
use crate::history::Digest;
use crate::net::Conditions;
use crate::queue::Happening;
use crate::world::{World, container, rng_for};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use weft_core::addr::{Offset, Universe};
use weft_core::config::{Config, FoundingMode, NetworkSecret};
use weft_core::io::{Command, Target};
use weft_core::time::Instant;

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

/// One thing that befalls a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Cut these off from the rest.
    Partition(BTreeSet<usize>),
    /// Cut one direction between two hosts.
    CutOneWay(usize, usize),
    /// End all cuts.
    Heal,
    /// Kill a node after so many more outputs; with power, the machine too.
    Crash {
        /// Whose.
        host: usize,
        /// Outputs carried out before.
        after: usize,
        /// Whether others hear nothing of it.
        power: bool,
    },
    /// Start it again.
    Restart(usize),
    /// Change the network.
    Conditions(Conditions),
    /// A command at a host.
    Op(usize, Op),
}

/// A command, about container number so-and-so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// An address for it.
    Allocate(u32),
    /// This address (offset in the universe) for it.
    Claim(u32, u32),
    /// All its addresses back.
    Release(u32),
    /// Its name, for an address that it holds.
    Register(u32),
    /// All its names away.
    Unregister(u32),
    /// Dial a host, by number.
    Connect(usize),
}

/// A world and its fate.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// How it begins.
    pub setup: Setup,
    /// What happens when, in order of time.
    pub steps: Vec<(Instant, Act)>,
}

/// What came of a scenario.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The rule that was broken, if any.
    pub violation: Option<Violation>,
    /// Which run it was.
    pub digest: Digest,
    /// How much time passed in the world.
    pub simulated: Duration,
    /// How often nodes were called.
    pub inputs: u64,
    /// The last lines of its history.
    pub lines: Vec<String>,
}

impl Scenario {
    /// Draws a scenario of about `len` steps.
    pub fn swarm(seed: u64, hosts: usize, len: usize) -> Self {
        let mut chance = Chance(rng_for(seed, u64::MAX));
        let mut setup = Setup::new(seed, hosts);
        // Small universes run full; large ones rarely clash.
        let block = chance.pick(&["10.32.0.0/24", "10.32.0.0/28", "10.32.0.0/26"]);
        if let Ok(block) = block.parse()
            && let Ok(universe) = Universe::new(block)
        {
            setup.universe = universe;
        }
        let [partitions, one_way, crashes, bad_network, claims] =
            [0; 5].map(|_| chance.below(2) == 1);
        if bad_network {
            setup.conditions = chance.conditions();
        }
        if hosts > 2 && chance.below(4) == 0 {
            setup.walls.push((0, hosts - 1));
        }
        let mut steps = Vec::new();
        let mut at = Instant::ZERO;
        for _ in 0..len {
            at += Duration::from_millis(chance.below(6_000));
            let host = chance.host(hosts);
            let number = u32::try_from(chance.below(12)).unwrap_or(0);
            let act = match chance.below(20) {
                0..2 if partitions => Act::Partition(chance.side(hosts)),
                2 if one_way => Act::CutOneWay(host, chance.host(hosts)),
                0..4 => Act::Heal,
                4..6 if crashes => Act::Crash {
                    host,
                    after: usize::try_from(chance.below(6)).unwrap_or(0),
                    power: chance.below(2) == 1,
                },
                4..8 => Act::Restart(host),
                8 if bad_network => Act::Conditions(chance.conditions()),
                9 if claims => {
                    let size = u64::try_from(setup.universe.size()).unwrap_or(u64::MAX);
                    let offset = u32::try_from(chance.below(size)).unwrap_or(1);
                    Act::Op(host, Op::Claim(number, offset))
                }
                8..13 => Act::Op(host, Op::Allocate(number)),
                13..15 => Act::Op(host, Op::Release(number)),
                15..17 => Act::Op(host, Op::Register(number)),
                17 => Act::Op(host, Op::Unregister(number)),
                18 => Act::Op(host, Op::Connect(chance.host(hosts))),
                _ => Act::Op(host, Op::Allocate(number)),
            };
            steps.push((at, act));
        }
        Self { setup, steps }
    }

    /// Runs it: faults and commands, then healing, then the mesh must settle and serve.
    pub fn run(&self) -> Verdict {
        let mut world = World::new(&self.setup);
        let outcome = self.play(&mut world);
        Verdict {
            violation: outcome.err(),
            digest: world.digest(),
            simulated: world.now.since(Instant::ZERO),
            inputs: world.history.inputs(),
            lines: world.history.last(12).map(str::to_owned).collect(),
        }
    }

    fn play(&self, world: &mut World) -> Result<(), Violation> {
        for host in 0..self.setup.hosts {
            let wait = Duration::from_millis(world.draw(1_500));
            world.queue.push(Instant::ZERO + wait, Happening::Act(Act::Restart(host)));
        }
        for (at, act) in &self.steps {
            world.queue.push(*at, Happening::Act(act.clone()));
        }
        let last = self.steps.last().map_or(Instant::ZERO, |(at, _)| *at);
        world.run_for(last.since(Instant::ZERO) + Duration::from_secs(2))?;

        world.heal();
        let calm = world.net.conditions.loss.min(50);
        world.conditions(Conditions { loss: calm, ..world.net.conditions });
        for host in 0..self.setup.hosts {
            world.hosts[host].crash_after = None;
            world.boot(host);
        }
        world.settle(self.setup.settle_max())?;
        for host in 0..self.setup.hosts {
            let id = container("last");
            let id = if host == 0 { id } else { container(&format!("last{host}")) };
            match world.answer(host, Command::Allocate { id, subnet: None })? {
                Ok(_) | Err(weft_core::io::CommandError::Exhausted { .. }) => {}
                Err(error) => {
                    let detail = format!("n{} does not serve a settled mesh: {error}", host + 1);
                    return Err(Violation { rule: "ipam.serves", at: world.now, detail });
                }
            }
        }
        world.settle(self.setup.settle_max()).map(|_| ())
    }
}

impl World {
    /// Carries out one step of a scenario.
    pub fn act(&mut self, act: Act) {
        match act {
            Act::Partition(side) => self.partition(&side),
            Act::CutOneWay(from, to) => self.net.cut(from, to),
            Act::Heal => self.heal(),
            Act::Crash { host, after, power } => self.crash_soon(host, after, power),
            Act::Restart(host) => self.boot(host),
            Act::Conditions(conditions) => self.conditions(conditions),
            Act::Op(host, op) => self.op(host, op),
        }
    }

    fn op(&mut self, host: usize, op: Op) {
        // Each host has containers of its own, as if ids were drawn at random.
        let id = |number: u32| container(&format!("c{number}-{}", host + 1));
        let there = &self.hosts[host];
        let waits = |id: &weft_core::id::ContainerId| {
            let asked = there.running.iter().flat_map(|running| running.asked.values());
            asked.into_iter().any(|(_, command)| match command {
                Command::Allocate { id: other, .. } | Command::Claim { id: other, .. } => {
                    other == id
                }
                Command::Connect { .. }
                | Command::Forget { .. }
                | Command::Release { .. }
                | Command::Register { .. }
                | Command::Unregister { .. }
                | Command::Prime
                | Command::Leave
                | Command::Stop => false,
            })
        };
        if there.running.is_none() {
            return;
        }
        let command = match op {
            Op::Allocate(number) => Command::Allocate { id: id(number), subnet: None },
            Op::Claim(number, offset) => {
                let universe = there.config.universe;
                let address = universe.address(Offset(offset.into()));
                let len = universe.block().prefix_len();
                let Ok(address) = ipnet::IpNet::new(address, len) else { return };
                Command::Claim { id: id(number), address }
            }
            // An engine removes a container only after its call for an address has returned.
            Op::Release(number) if waits(&id(number)) => return,
            Op::Release(number) => Command::Release { id: id(number), address: None },
            Op::Register(number) => {
                let id = id(number);
                let held = there.held.get(&id).and_then(|nets| nets.first());
                let (Some(net), Ok(name)) = (held, format!("c{number}.weft.local").parse()) else {
                    return;
                };
                Command::Register { name, address: net.addr(), id }
            }
            Op::Unregister(number) => {
                Command::Unregister { id: Some(id(number)), name: None, address: None }
            }
            Op::Connect(other) => Command::Connect {
                targets: vec![Target { host: format!("n{}", other + 1), port: crate::net::PORT }],
                replace: false,
            },
        };
        self.ask(host, command);
    }
}

/// Draws for the generator.
struct Chance(ChaCha20Rng);

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance")
    }
}

impl Chance {
    fn below(&mut self, below: u64) -> u64 {
        if below == 0 { 0 } else { self.0.next_u64() % below }
    }

    fn host(&mut self, hosts: usize) -> usize {
        usize::try_from(self.below(u64::try_from(hosts).unwrap_or(1))).unwrap_or(0)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.get(self.host(of.len())).copied().unwrap_or_default()
    }

    fn side(&mut self, hosts: usize) -> BTreeSet<usize> {
        (0..hosts).filter(|_| self.below(2) == 1).collect()
    }

    fn conditions(&mut self) -> Conditions {
        Conditions {
            latency: Duration::from_micros(100 + self.below(50_000)),
            jitter: Duration::from_micros(self.below(100_000)),
            loss: u32::try_from(self.below(300)).unwrap_or(0),
            duplication: u32::try_from(self.below(200)).unwrap_or(0),
        }
    }
}
