//! Frames between containers, and pings by name.

use super::World;
use super::operator::{container, name_of};
use crate::check::Violation;
use crate::host::Wishes;
use crate::host::frame::{BROADCAST, EtherPayload, Frame};
use crate::net::Datagram;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use weft_core::id::ContainerId;
use weft_core::io::{Command, Input, RequestId};
use weft_core::time::Instant;

/// Whom a frame is for that no container answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressee {
    /// The next bridge only, whatever that is (IEEE 802.1D table 7-10).
    Bridge,
    /// A MAC address that nobody has.
    Nobody,
    /// Everybody: it says that its address is its own.
    All,
}

impl World {
    /// Has a container send a frame, if it is there.
    pub(super) fn send(&mut self, host: usize, id: &ContainerId, to: Addressee) {
        let destination = match to {
            Addressee::Bridge => [0x01, 0x80, 0xc2, 0, 0, 0x0e],
            Addressee::Nobody => [0x0a, 0, 0, 0, 0, 0],
            Addressee::All => return self.announce(host, id),
        };
        let Some(container) = self.hosts[host].containers.get(id) else { return };
        let (source, from) = (container.mac, container.address);
        let payload = EtherPayload::Echo { from, to: from, number: 0 };
        self.send_frame(host, &Frame { source, destination, payload });
    }

    /// Moves a container with its first address to another host.
    pub(super) fn migrate(
        &mut self,
        id: &ContainerId,
        from: usize,
        to: usize,
    ) -> Option<RequestId> {
        let address = *self.hosts.get(from)?.held.get(id)?.first()?;
        if from == to || self.waits_for_address(from, id) || self.waits_for_address(to, id) {
            return None;
        }
        self.ask(from, Command::Release { id: id.clone(), address: Some(address.addr()) });
        Some(self.ask(to, Command::Claim { id: id.clone(), address }))
    }

    /// Pings from a container to a name, as a program in it would: resolves the name at its own
    /// host, then the address, then sends echoes. Returns the time until an answer.
    ///
    /// # Errors
    /// A broken rule, or no answer within `patience`.
    pub fn ping(
        &mut self,
        host: usize,
        from: &str,
        to: &str,
        patience: Duration,
    ) -> Result<Duration, Violation> {
        let (begun, number) = (self.now, self.new_ping());
        while self.now.since(begun) < patience {
            self.try_ping(host, from, to, number);
            let id = container(from);
            if self
                .run_until(Duration::from_millis(200), |world| world.answered(host, &id, number))?
            {
                return Ok(self.now.since(begun));
            }
        }
        let detail = format!("{from} on n{} got no answer from {to}", host + 1);
        Err(Violation { rule: "sim.ping", at: self.now, detail })
    }

    /// The number of a ping that is going to be tried.
    pub const fn new_ping(&mut self) -> u64 {
        self.pings += 1;
        self.pings
    }

    /// Sends what ping `number` needs next. Returns whether its answer has come already.
    pub fn try_ping(&mut self, host: usize, from: &str, to: &str, number: u64) -> bool {
        let (id, name) = (container(from), name_of(&container(to)));
        if self.answered(host, &id, number) {
            return true;
        }
        if let Some(frame) = self.next_frame(host, &id, &name, number) {
            self.send_frame(host, &frame);
        }
        false
    }

    fn answered(&self, host: usize, id: &ContainerId, number: u64) -> bool {
        let container = self.hosts.get(host).and_then(|host| host.containers.get(id));
        container.is_some_and(|container| container.answers.contains_key(&number))
    }

    /// What the container sends next in order to ping `name`.
    fn next_frame(&self, host: usize, id: &ContainerId, name: &str, number: u64) -> Option<Frame> {
        let node = &self.hosts.get(host)?.running.as_ref()?.node;
        let to = node
            .names()
            .iter()
            .filter(|known| known.entry.name.as_str() == name)
            .find_map(|known| known.entry.value.address())?;
        let container = self.hosts[host].containers.get(id)?;
        let from = container.address;
        Some(match container.neighbours.get(&to) {
            Some(mac) => Frame {
                source: container.mac,
                destination: *mac,
                payload: EtherPayload::Echo { from, to, number },
            },
            None => Frame {
                source: container.mac,
                destination: BROADCAST,
                payload: EtherPayload::WhoHas { address: to, from },
            },
        })
    }

    /// Puts a frame onto the bridge of `host`, as if one of its containers had sent it.
    pub fn send_frame(&mut self, host: usize, frame: &Frame) {
        let mono = self.hosts[host].now(self.now).map_or(Instant::ZERO, |now| now.mono);
        let mut wishes = Wishes::default();
        self.hosts[host].bridge(mono, frame, true, &mut wishes);
        self.carry_wishes(host, wishes);
    }

    /// Has a container ask for its own address, as an attached interface does (RFC 5227 section 3):
    /// whoever knew it elsewhere learns that it is here.
    pub(super) fn announce(&mut self, host: usize, id: &ContainerId) {
        let Some(container) = self.hosts[host].containers.get(id) else { return };
        let address = container.address;
        let payload = EtherPayload::WhoHas { address, from: address };
        let frame = Frame { source: container.mac, destination: BROADCAST, payload };
        self.send_frame(host, &frame);
    }

    /// Gives a datagram to the data path of the host it arrived at.
    pub(super) fn receive(&mut self, datagram: Datagram) {
        let Some(host) = self.hosts.get_mut(datagram.host) else { return };
        let mono = host.now(self.now).map_or(Instant::ZERO, |now| now.mono);
        let Some(running) = &mut host.running else { return };
        if running.desk.stopped {
            running.desk.put_datagram(datagram);
            return;
        }
        let mut wishes = Wishes::default();
        let refused = running.forwarder.counters().refused;
        running.forwarder.datagram(mono, datagram.source, &datagram.bytes, &mut wishes);
        if running.forwarder.counters().refused > refused {
            self.see_refused(datagram.host, &datagram.bytes);
        } else if wishes.probes.is_empty() {
            // A probe is for the node to take.
            self.hosts[datagram.host].taken += 1;
            self.see_taken(datagram.host, &datagram.bytes);
        }
        self.carry_wishes(datagram.host, wishes);
    }

    fn carry_wishes(&mut self, host: usize, mut wishes: Wishes) {
        let mono = self.hosts[host].now(self.now).map_or(Instant::ZERO, |now| now.mono);
        for bytes in std::mem::take(&mut wishes.delivered) {
            if let Some(frame) = Frame::from_bytes(&bytes) {
                self.hosts[host].bridge(mono, &frame, false, &mut wishes);
            }
        }
        for (to, bytes) in wishes.sent {
            self.see_sent(host, &bytes);
            self.net.datagram(self.now, host, to, &bytes);
        }
        for (from, bytes) in wishes.probes {
            self.call(host, Input::Datagram { from, bytes });
        }
        for peer in wishes.wanted {
            self.call(host, Input::Wanted { peer });
        }
    }
}
