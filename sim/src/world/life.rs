//! Begin and end of what runs, and of what keeps hosts apart.

use super::World;
use super::act::Refusal;
use super::setup::Own;
use crate::check::Told;
use crate::choices::rng_for;
use crate::host::Running;
use crate::host::clock::Speed;
use crate::net::{Conditions, PORT};
use crate::peer::Peer;
use crate::trace::What;
use rand_core::RngCore;
use std::collections::BTreeSet;
use std::time::Duration;
use weft_core::forward::Forwarder;
use weft_core::io::{Command, Outbox, Target};
use weft_core::node::{Node, Seed, StartError};
use weft_core::status::IpamState;
use weft_core::time::{Instant, Now};

impl World {
    /// How well the network works from here on.
    pub fn conditions(&mut self, conditions: Conditions) {
        self.net.paths.set_usual(conditions);
        self.note(None, "net", format_args!("{conditions:?}"));
    }

    /// Starts the node of `host`, if it does not run, and has it dial its targets.
    pub fn boot(&mut self, host: usize) {
        self.start(host, None);
    }

    /// Starts the node of `host`, if it does not run; it must come to what `refuses` says.
    pub(super) fn start(&mut self, host: usize, refuses: Option<Refusal>) {
        match &self.hosts[host].running {
            Some(running) if running.has_stopped => self.crash(host, false),
            Some(_) => return,
            None => {}
        }
        let boots = self.hosts[host].boots + 1;
        self.hosts[host].boots = boots;
        self.net.boot(self.now, host, boots);
        self.net.speaks(host, self.hosts[host].config.versions);
        let mut seed = [0; 32];
        let purpose = 2 + u64::try_from(host).unwrap_or(0) + (boots << 32);
        rng_for(self.seed, purpose).fill_bytes(&mut seed);
        let mut out = Outbox::default();
        let (config, saved) = (self.hosts[host].config.clone(), self.hosts[host].disk.saved());
        let now = Now { mono: Instant::ZERO, unix: self.hosts[host].clock.first_wall() };
        let hops_max = config.hops_max;
        let told = Told::of(&config);
        let node = match Node::new(config, saved, Seed(seed), now, &mut out) {
            Ok(node) => node,
            Err(error) => return self.stays_down(host, refuses, &error),
        };
        if let Some(refuses) = refuses {
            let detail = format!("{} starts, though it is to refuse: {refuses}", Peer(host));
            self.breach("sim.starts", detail);
        }
        self.trace.names.know(node.id(), Peer(host));
        self.view.peers[host].starts_as(node.id(), told);
        let forwarder = Forwarder::new(node.name(), hops_max);
        let booted_at = self.hosts[host].clock.steady(self.now);
        self.hosts[host].running = Some(Running::new(node, forwarder, booted_at));
        self.tell(Some(host), What::Start { boot: boots });
        self.finish_call(host, &mut out);
        if self.hosts[host].running.is_some() {
            self.take_up(host);
            self.dial_targets(host);
            self.list(host);
        }
    }

    /// Has the node of `host` hold what containers have there, as daemons do ahead of all else.
    fn take_up(&mut self, host: usize) {
        for (id, address) in self.hosts[host].unnoted() {
            self.hosts[host].taken_up.insert(address.addr());
            self.ask(host, Command::Hold { id, address });
        }
    }

    /// Has the node of `host` dial whom it is told to from the start.
    pub(super) fn dial_targets(&mut self, host: usize) {
        let targets = self.hosts[host].targets.clone();
        self.ask(host, Command::Connect { targets, replace: false });
    }

    /// The node of `host` does not start.
    fn stays_down(&mut self, host: usize, refuses: Option<Refusal>, error: &StartError) {
        // What listened for it goes away.
        self.net.crash(self.now, host, false);
        let why = match error {
            StartError::Damaged(_) => Refusal::Damaged,
            StartError::OtherUniverse { .. } => Refusal::OtherUniverse,
            StartError::Config(_) => Refusal::BadSetting,
        };
        // Where a disk is damaged, to refuse is right, whether that was told or not.
        let is_damaged = why == Refusal::Damaged && self.hosts[host].disk.is_damaged();
        if refuses == Some(why) || refuses.is_none() && is_damaged {
            self.note(Some(host), "FAULT", format_args!("refuses to start: {error}"));
        } else {
            self.breach("sim.starts", format!("{}: {error}", Peer(host)));
        }
    }

    /// Changes settings of `host`, for its starts from here on.
    pub(super) fn settings(&mut self, host: usize, own: &Own) {
        // A node that was started at this very moment goes by what was said until here.
        if self.hosts[host].running.is_some() {
            self.view.peers[host].read_addresses(&self.hosts[host]);
        }
        let there = &mut self.hosts[host];
        there.config = own.apply(there.config.clone());
        if let Some(dials) = &own.dials {
            let target = |peer: &Peer| Target { host: peer.to_string(), port: PORT };
            self.hosts[host].targets = dials.iter().map(target).collect();
        }
        self.note(Some(host), "FAULT", format_args!("has other settings"));
    }

    /// Whether each of `peers` speaks `version` of the protocol with each of `with`.
    ///
    /// # Errors
    /// Says who speaks another one, or not at all.
    pub(crate) fn speak(
        &self,
        peers: &BTreeSet<Peer>,
        with: &BTreeSet<Peer>,
        version: u8,
    ) -> Result<(), String> {
        let node = |peer: &Peer| Some(&self.hosts.get(peer.0)?.running.as_ref()?.node);
        let spoken = |peer, other| node(peer)?.version_with(node(other)?.id());
        for peer in peers {
            for other in with.iter().filter(|other| *other != peer) {
                match spoken(peer, other) {
                    Some(is) if is == version => {}
                    Some(is) => return Err(format!("{peer} speaks version {is} with {other}")),
                    None => return Err(format!("{peer} has no link with {other}")),
                }
            }
        }
        Ok(())
    }

    /// The process of a node that has stopped ends, unless it was started again.
    pub(super) fn exit(&mut self, host: usize, boot: u64) {
        let there = &self.hosts[host];
        let has_stopped = there.running.as_ref().is_some_and(|running| running.has_stopped);
        if has_stopped && there.boots == boot {
            self.crash(host, false);
        }
    }

    /// Kills the node of `host` at once; with `power`, the machine under it too.
    pub fn crash(&mut self, host: usize, power: bool) {
        let Some(running) = self.hosts[host].running.take() else { return };
        // Whoever takes it for dead is right.
        self.deaths.worse(self.now);
        if let Some(wake_at) = running.wake_at {
            self.wakes.remove(&(wake_at, host));
        }
        if let Some(free_at) = running.desk.free_at {
            self.frees.remove(&(free_at, host));
        }
        self.hosts[host].crash_after = None;
        self.see_end(host);
        self.net.crash(self.now, host, power);
        if power && self.hosts[host].disk.lose_power() {
            self.hosts[host].losses += 1;
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
            host.mend_disk();
            host.cost = Duration::ZERO;
        }
        for host in 0..self.hosts.len() {
            if self.hosts[host].clock.speed() != Speed::RIGHT {
                self.drift(host, Speed::RIGHT);
            }
        }
        self.wake_all();
        self.engines_tell_all();
        self.view.calm_at = Some(self.now);
    }

    /// Ends the cut of one direction between two hosts.
    pub fn mend(&mut self, from: usize, to: usize) {
        self.net.mend(self.now, from, to);
        self.note(None, "HEAL", format_args!("{} to {}", Peer(from), Peer(to)));
    }

    /// What operators see to once all faults are over: whoever stopped or left is started again,
    /// and whoever was made to forget others is told of them.
    pub(crate) fn tidy_up(&mut self, host: usize) {
        let is_over = |running: &Running| {
            running.has_stopped || running.node.ipam().status().state == IpamState::Left
        };
        if self.hosts[host].running.as_ref().is_some_and(is_over) {
            self.crash(host, false);
        }
        let runs = self.hosts[host].running.is_some();
        if std::mem::take(&mut self.hosts[host].has_forgotten) && runs {
            self.dial_targets(host);
        }
        self.boot(host);
    }

    /// Ends all cuts.
    pub fn heal(&mut self) {
        self.net.heal(self.now);
        self.note(None, "HEAL", format_args!("all cuts"));
    }
}

#[cfg(test)]
mod tests {
    use crate::peer::Peer;
    use crate::world::{Act, Own, Setup};
    use std::time::Duration;
    use weft_core::config::Versions;

    #[test]
    fn what_is_told_in_the_moment_of_a_start_holds_from_the_next_one_on() {
        let mut world = Setup::new(1, 2).start();
        let own = Own { versions: Versions::as_if(1, 2).ok(), ..Own::default() };
        for peer in [Peer(0), Peer(1)] {
            world.act(&Act::Settings { peer, own: Box::new(own.clone()) });
        }
        world.run_for(Duration::from_secs(5)).unwrap();
    }
}
