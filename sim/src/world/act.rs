//! What can befall a world: faults, repairs and commands, as data.

use super::World;
use super::operator::container;
use super::stranger::Stranger;
use super::ways::Nat;
use crate::choices::rng_for;
use crate::host::Running;
use crate::host::clock::Speed;
use crate::net::{Conditions, PORT};
use crate::peer::Peer;
use crate::trace::What;
use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use weft_core::forward::Forwarder;
use weft_core::id::ContainerId;
use weft_core::io::{Command, Outbox, RequestId, Target};
use weft_core::node::{Node, Seed};
use weft_core::time::{Instant, Now};

/// One thing that befalls a world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// Cut these off from the rest, in both directions.
    Partition {
        /// One side.
        side: BTreeSet<Peer>,
    },
    /// Cut one direction between two hosts.
    Cut {
        /// Nothing that leaves here…
        from: Peer,
        /// …arrives here.
        to: Peer,
    },
    /// End all cuts.
    Heal,
    /// Change every way that has no conditions of its own.
    Network {
        /// To these.
        conditions: Conditions,
    },
    /// Give the way between two hosts, in one direction, conditions of its own.
    Path {
        /// From here…
        from: Peer,
        /// …to here.
        to: Peer,
        /// These.
        conditions: Conditions,
    },
    /// Kill a node.
    Crash {
        /// Whose.
        peer: Peer,
        /// In the middle of what it does: so many outputs later, 0 being before its next one. At
        /// once, if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<usize>,
        /// The machine loses its power, so the others hear nothing.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        power: bool,
    },
    /// Start a node, if it does not run.
    Start {
        /// Whose.
        peer: Peer,
    },
    /// A host is installed anew: its disk is empty, and its containers are gone.
    LoseDisk {
        /// Which; it stands still until it is started.
        peer: Peer,
    },
    /// Remember what is on a disk.
    Snapshot {
        /// Whose.
        peer: Peer,
        /// What to call it.
        name: String,
    },
    /// Put a disk back to what it was, with its containers.
    Restore {
        /// Whose; it stands still until it is started.
        peer: Peer,
        /// As in [`Act::Snapshot`]; nothing happens when there is none.
        name: String,
    },
    /// Give one host a copy of another's disk in place of its own.
    CloneDisk {
        /// Whose.
        from: Peer,
        /// To whom; it stands still until it is started.
        to: Peer,
    },
    /// What a disk is given from here on is lost when the power goes, though it says otherwise.
    LyingDisk {
        /// Whose.
        peer: Peer,
    },
    /// A disk cannot be written any more, so that its node stops.
    FailDisk {
        /// Whose.
        peer: Peer,
        /// So many writes later.
        #[serde(default, skip_serializing_if = "is_zero")]
        after: u64,
    },
    /// A disk neither lies nor fails any more.
    MendDisk {
        /// Whose.
        peer: Peer,
    },
    /// Have each write of a disk take long; what hangs on it waits.
    SlowDisk {
        /// Whose.
        peer: Peer,
        /// So long.
        #[serde(with = "crate::duration")]
        sync: Duration,
    },
    /// Stop a process for a time: it sees and does nothing, and its conns stand.
    Pause {
        /// Whose.
        peer: Peer,
        /// So long.
        #[serde(rename = "for", with = "crate::duration")]
        length: Duration,
    },
    /// Have each step of a node take long.
    Starve {
        /// Whose.
        peer: Peer,
        /// So long; none ends it.
        #[serde(with = "crate::duration")]
        cost: Duration,
    },
    /// A wall clock jumps.
    Clock {
        /// Whose.
        peer: Peer,
        /// So far.
        #[serde(with = "crate::duration")]
        by: Duration,
        /// Towards the past.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        back: bool,
    },
    /// All clocks of a host go fast or slow.
    Drift {
        /// Whose.
        peer: Peer,
        /// So fast; `1x` is right.
        speed: Speed,
    },
    /// Have what streams carry in one direction stand still; datagrams and dials get through.
    Stall {
        /// From here…
        from: Peer,
        /// …to here.
        to: Peer,
    },
    /// Reset all streams between two hosts.
    Reset {
        /// One.
        peer: Peer,
        /// The other.
        with: Peer,
    },
    /// Have the kernel of one host forget its streams with another, which hears nothing of it.
    HalfOpen {
        /// Who forgets.
        peer: Peer,
        /// Whose streams.
        with: Peer,
    },
    /// Have a host read its streams slowly.
    SlowReader {
        /// Which.
        peer: Peer,
        /// Bytes of each stream in a second.
        rate: u64,
    },
    /// Put a host behind a router: nobody can dial it, and a datagram reaches it only from whom it
    /// has sent one to in the last 30 s. Streams that stand go on.
    Nat {
        /// Which.
        peer: Peer,
        /// What others see of its port.
        kind: Nat,
    },
    /// The router in front of a host forgets all it knows, and gives other ports.
    Rebind {
        /// Whose.
        peer: Peer,
    },
    /// A host gets another address. Its streams are over, and the others hear nothing of it.
    Move {
        /// Which.
        peer: Peer,
    },
    /// A stranger sends datagrams that mean nothing.
    Spray {
        /// To whom.
        peer: Peer,
        /// How many.
        count: u32,
    },
    /// Strangers open streams and never say a word.
    Mute {
        /// To whom.
        peer: Peer,
        /// How many.
        count: u32,
    },
    /// Strangers open streams and say what means nothing.
    Babble {
        /// To whom.
        peer: Peer,
        /// How many.
        count: u32,
    },
    /// A stranger records datagrams from here on, 512 at most.
    Record,
    /// A stranger sends again what was recorded.
    Replay {
        /// Not to whom it was for, but back to its sender.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reflect: bool,
    },
    /// Ask for an address.
    Allocate {
        /// At this peer.
        peer: Peer,
        /// For this container.
        container: String,
    },
    /// Ask for just this address.
    Claim {
        /// At this peer.
        peer: Peer,
        /// For this container.
        container: String,
        /// Which.
        address: IpAddr,
    },
    /// Give all addresses of a container back.
    Release {
        /// At this peer.
        peer: Peer,
        /// Whose.
        container: String,
    },
    /// Register `CONTAINER.weft.local` for the first address that it holds.
    Register {
        /// At this peer.
        peer: Peer,
        /// Whose.
        container: String,
    },
    /// Remove all names of a container.
    Unregister {
        /// At this peer.
        peer: Peer,
        /// Whose.
        container: String,
    },
    /// Dial another peer from here on.
    Connect {
        /// At this peer.
        peer: Peer,
        /// Whom.
        to: Peer,
    },
    /// Stop dialing another peer.
    Forget {
        /// At this peer.
        peer: Peer,
        /// Whom.
        to: Peer,
    },
    /// Ask to be told when addresses can be given out.
    Prime {
        /// At this peer.
        peer: Peer,
    },
    /// Hand all addresses to another peer.
    Leave {
        /// At this peer.
        peer: Peer,
    },
    /// Stop in order.
    Stop {
        /// At this peer.
        peer: Peer,
    },
}
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl World {
    /// Carries out one step of a plan. Returns the request when it is a command that was given.
    pub fn act(&mut self, act: &Act) -> Option<RequestId> {
        match act {
            Act::Partition { side } => self.partition(&side.iter().map(|peer| peer.0).collect()),
            Act::Cut { from, to } => {
                self.net.paths.cut(from.0, to.0);
                self.note(None, "FAULT", format_args!("cut {from} to {to}"));
            }
            Act::Heal => self.heal(),
            Act::Network { conditions } => self.conditions(*conditions),
            Act::Path { from, to, conditions } => {
                self.net.paths.set(from.0, to.0, *conditions);
                self.note(None, "net", format_args!("{from} to {to}: {conditions:?}"));
            }
            Act::Crash { peer, after: None, power } => self.crash(peer.0, *power),
            Act::Crash { peer, after: Some(after), power } => {
                self.crash_soon(peer.0, *after, *power);
            }
            Act::Start { peer } => self.boot(peer.0),
            Act::LoseDisk { peer } => self.lose_disk(peer.0),
            Act::Snapshot { peer, name } => self.snapshot(peer.0, name),
            Act::Restore { peer, name } => self.restore(peer.0, name),
            Act::CloneDisk { from, to } => self.clone_disk(from.0, to.0),
            Act::LyingDisk { peer } => self.lying_disk(peer.0),
            Act::FailDisk { peer, after } => self.fail_disk(peer.0, *after),
            Act::MendDisk { peer } => self.mend_disk(peer.0),
            Act::Spray { peer, count } => self.spray(peer.0, *count),
            Act::Mute { peer, count } => self.visit(peer.0, *count, Stranger::Mute),
            Act::Babble { peer, count } => self.visit(peer.0, *count, Stranger::Babbler),
            Act::Record => self.net.record_tape(),
            Act::Replay { reflect } => self.replay(*reflect),
            Act::Stall { from, to } => self.stall(from.0, to.0),
            Act::Reset { peer, with } => self.reset(peer.0, with.0),
            Act::HalfOpen { peer, with } => self.half_open(peer.0, with.0),
            Act::SlowReader { peer, rate } => self.slow_reader(peer.0, *rate),
            Act::Nat { peer, kind } => self.hide(peer.0, *kind),
            Act::Rebind { peer } => self.rebind(peer.0),
            Act::Move { peer } => self.change_address(peer.0),
            Act::SlowDisk { peer, sync } => self.slow_disk(peer.0, *sync),
            Act::Pause { peer, length } => self.pause(peer.0, *length),
            Act::Starve { peer, cost } => self.starve(peer.0, *cost),
            Act::Clock { peer, by, back } => self.jump_clock(peer.0, *by, *back),
            Act::Drift { peer, speed } => self.drift(peer.0, *speed),
            Act::Allocate { peer, .. }
            | Act::Claim { peer, .. }
            | Act::Release { peer, .. }
            | Act::Register { peer, .. }
            | Act::Unregister { peer, .. }
            | Act::Connect { peer, .. }
            | Act::Forget { peer, .. }
            | Act::Prime { peer }
            | Act::Leave { peer }
            | Act::Stop { peer } => {
                let command = self.command(act)?;
                return Some(self.ask(peer.0, command));
            }
        }
        None
    }

    /// The command that `act` stands for; `None` when it is none, or when nobody would give it at
    /// this moment.
    pub fn command(&self, act: &Act) -> Option<Command> {
        let target = |peer: &Peer| vec![Target { host: peer.to_string(), port: PORT }];
        match act {
            Act::Partition { .. }
            | Act::Cut { .. }
            | Act::Heal
            | Act::Network { .. }
            | Act::Path { .. }
            | Act::Crash { .. }
            | Act::Start { .. }
            | Act::LoseDisk { .. }
            | Act::Snapshot { .. }
            | Act::Restore { .. }
            | Act::CloneDisk { .. }
            | Act::LyingDisk { .. }
            | Act::FailDisk { .. }
            | Act::MendDisk { .. }
            | Act::SlowDisk { .. }
            | Act::Spray { .. }
            | Act::Mute { .. }
            | Act::Babble { .. }
            | Act::Record
            | Act::Replay { .. }
            | Act::Stall { .. }
            | Act::Reset { .. }
            | Act::HalfOpen { .. }
            | Act::SlowReader { .. }
            | Act::Nat { .. }
            | Act::Rebind { .. }
            | Act::Move { .. }
            | Act::Pause { .. }
            | Act::Starve { .. }
            | Act::Clock { .. }
            | Act::Drift { .. } => None,
            Act::Allocate { container: id, .. } => {
                Some(Command::Allocate { id: container(id), subnet: None })
            }
            Act::Claim { peer, container: id, address } => {
                let len = self.hosts.get(peer.0)?.config.universe.block().prefix_len();
                let address = ipnet::IpNet::new(*address, len).ok()?;
                Some(Command::Claim { id: container(id), address })
            }
            Act::Release { peer, container: id } => {
                let id = container(id);
                // An engine removes a container only after its call for an address has returned.
                let waits = self.waits_for_address(peer.0, &id);
                (!waits).then_some(Command::Release { id, address: None })
            }
            Act::Register { peer, container: id } => {
                let (id, name) = (container(id), format!("{id}.weft.local").parse().ok()?);
                let address = self.hosts.get(peer.0)?.held.get(&id)?.first()?.addr();
                Some(Command::Register { id, name, address })
            }
            Act::Unregister { container: id, .. } => {
                Some(Command::Unregister { id: Some(container(id)), name: None, address: None })
            }
            Act::Connect { to, .. } => {
                Some(Command::Connect { targets: target(to), replace: false })
            }
            Act::Forget { to, .. } => Some(Command::Forget { targets: target(to) }),
            Act::Prime { .. } => Some(Command::Prime),
            Act::Leave { .. } => Some(Command::Leave),
            Act::Stop { .. } => Some(Command::Stop),
        }
    }

    fn waits_for_address(&self, host: usize, id: &ContainerId) -> bool {
        let running = self.hosts.get(host).and_then(|host| host.running.as_ref());
        let mut asked = running.iter().flat_map(|running| running.asked.values());
        asked.any(|(_, command)| match command {
            Command::Allocate { id: other, .. } | Command::Claim { id: other, .. } => other == id,
            Command::Connect { .. }
            | Command::Forget { .. }
            | Command::Release { .. }
            | Command::Register { .. }
            | Command::Unregister { .. }
            | Command::Prime
            | Command::OpenGate
            | Command::Leave
            | Command::Stop => false,
        })
    }

    /// How well the network works from here on.
    pub fn conditions(&mut self, conditions: Conditions) {
        self.net.paths.set_usual(conditions);
        self.note(None, "net", format_args!("{conditions:?}"));
    }

    /// Starts the node of `host`, if it does not run, and has it dial its targets.
    pub fn boot(&mut self, host: usize) {
        if self.hosts[host].running.is_some() {
            return;
        }
        let boots = self.hosts[host].boots + 1;
        self.hosts[host].boots = boots;
        self.net.boot(self.now, host, boots);
        let mut seed = [0; 32];
        let purpose = 2 + u64::try_from(host).unwrap_or(0) + (boots << 32);
        rng_for(self.seed, purpose).fill_bytes(&mut seed);
        let mut out = Outbox::default();
        let (config, saved) = (self.hosts[host].config.clone(), self.hosts[host].disk.saved());
        let now = Now { mono: Instant::ZERO, unix: self.hosts[host].clock.first_wall() };
        let hops_max = config.hops_max;
        let node = match Node::new(config, saved, Seed(seed), now, &mut out) {
            Ok(node) => node,
            Err(error) => return self.breach("sim.starts", format!("n{}: {error}", host + 1)),
        };
        self.trace.names.know(node.id(), Peer(host));
        let forwarder = Forwarder::new(node.name(), hops_max);
        let booted_at = self.hosts[host].clock.steady(self.now);
        self.hosts[host].running = Some(Running::new(node, forwarder, booted_at));
        self.tell(Some(host), What::Start { boot: boots });
        self.finish_call(host, &mut out);
        if self.hosts[host].running.is_some() {
            let targets = self.hosts[host].targets.clone();
            self.ask(host, Command::Connect { targets, replace: false });
        }
    }

    /// Kills the node of `host` at once; with `power`, the machine under it too.
    pub fn crash(&mut self, host: usize, power: bool) {
        let Some(running) = self.hosts[host].running.take() else { return };
        if let Some(wake_at) = running.wake_at {
            self.wakes.remove(&(wake_at, host));
        }
        if let Some(free_at) = running.desk.free_at {
            self.frees.remove(&(free_at, host));
        }
        self.hosts[host].crash_after = None;
        self.net.crash(self.now, host, power);
        if power && self.hosts[host].disk.lose_power() {
            self.hosts[host].follow_disk();
        }
        self.tell(Some(host), What::Crash { power });
        self.touched.insert(host);
    }

    /// Kills the node of `host` once it has had `outputs` more of its outputs carried out.
    pub fn crash_soon(&mut self, host: usize, outputs: usize, power: bool) {
        self.hosts[host].crash_after = Some(outputs);
        self.hosts[host].crash_power = power;
    }

    /// Cuts all hosts in `side` off from all others.
    pub fn partition(&mut self, side: &BTreeSet<usize>) {
        for a in 0..self.hosts.len() {
            for b in 0..self.hosts.len() {
                if side.contains(&a) != side.contains(&b) {
                    self.net.paths.cut(a, b);
                }
            }
        }
        let names: Vec<String> = side.iter().map(|host| Peer(*host).to_string()).collect();
        self.note(None, "FAULT", format_args!("partition {} | rest", names.join(" ")));
    }

    /// Ends every fault that lasts. Nodes that stand still are not started.
    pub fn calm(&mut self) {
        self.strangers_leave();
        self.net.calm(self.now);
        self.note(None, "HEAL", format_args!("all cuts"));
        for host in &mut self.hosts {
            host.crash_after = None;
            host.disk.mend();
            host.cost = Duration::ZERO;
        }
        for host in 0..self.hosts.len() {
            if self.hosts[host].clock.speed() != Speed::RIGHT {
                self.drift(host, Speed::RIGHT);
            }
        }
        self.wake_all();
    }

    /// Ends all cuts.
    pub fn heal(&mut self) {
        self.net.heal(self.now);
        self.note(None, "HEAL", format_args!("all cuts"));
    }
}
