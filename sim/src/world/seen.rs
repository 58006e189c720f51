//! What the oracle is told where inputs, outputs and datagrams pass.

use super::World;
use crate::check::{self, AUTHENTIC, Greeting, Hello, NO_DOWNGRADE, NO_MIXING, Takeover};
use crate::net::Endpoint;
use std::time::Duration;
use weft_core::event::Event;
use weft_core::fault::ConnFault;
use weft_core::forward::ForwardingChange;
use weft_core::id::PeerId;
use weft_core::io::{Command, CommandError, ConnId, Input, Reply, RequestId};

impl World {
    /// A node is about to be told `input`.
    pub(super) fn see_input(&mut self, host: usize, input: &Input) {
        let Some(now) = self.hosts[host].now(self.now) else { return };
        let Some(running) = &self.hosts[host].running else { return };
        let boot = self.hosts[host].boots;
        let peer = &mut self.view.peers[host];
        match input {
            Input::Opened { conn, .. } => {
                let lineage = running.node.ipam().lineage();
                let (universe, secrets) = (peer.told.universe, peer.told.secrets.clone());
                let hello = Hello { host, peer: running.node.id(), universe, lineage, secrets };
                self.hellos.insert(Endpoint { host, boot, conn: *conn }, hello);
            }
            Input::Received { conn, .. } => {
                if let Some(linked) = peer.linked.get_mut(conn) {
                    linked.heard_at = now.mono;
                }
            }
            Input::Command { command: Command::Allocate { .. } | Command::Prime, .. } => {
                peer.asked_founding = true;
            }
            Input::Timeout
            | Input::DialFailed { .. }
            | Input::Written { .. }
            | Input::Closed { .. }
            | Input::Datagram { .. }
            | Input::Wanted { .. }
            | Input::Command { .. } => {}
        }
    }

    /// An event of a node comes out.
    pub(super) fn see_event(&mut self, host: usize, event: &Event) {
        let Some(now) = self.hosts[host].now(self.now) else { return };
        let lineage = self.hosts[host].running.as_ref().and_then(|run| run.node.ipam().lineage());
        if let Event::PeerDown { peer }
        | Event::ConnDown { peer: Some(peer), why: ConnFault::Silent, .. } = event
            && let Some(since) = self.view.peers[host].up.get(peer)
        {
            self.see_death(host, *peer, now.mono.since(*since));
        }
        self.view.peers[host].heard(now.mono, event);
        if let Event::TakenOver { range, victim, epoch, heir } = event {
            let taken = Takeover { range: *range, victim: *victim, epoch: *epoch };
            self.view.taken_over.insert(taken);
            let unheard = self.view.unheard(*heir, taken);
            self.view
                .taken_over
                .extend(unheard.into_iter().map(|victim| Takeover { victim, ..taken }));
        }
        match event {
            Event::ConnUp { conn, peer } => {
                let Some(other) = self.net.other_end(host, *conn) else { return };
                if let Some(theirs) = self.hellos.get(&other).cloned() {
                    if let Err(why) = check::authentic(&self.view, host, *peer, &theirs) {
                        self.breach(AUTHENTIC, why);
                    }
                    let verdict = check::belong_together(&self.view, (host, lineage), &theirs);
                    if let Err(why) = verdict {
                        self.breach(NO_MIXING, why);
                    }
                }
                let ours = Endpoint { host, boot: self.hosts[host].boots, conn: *conn };
                self.see_version(ours, other);
            }
            // What was said on a conn that is over may still arrive, and is judged by then.
            Event::ConnDown { .. }
            | Event::LinkUp { .. }
            | Event::LinkDown { .. }
            | Event::DirectUp { .. }
            | Event::DirectDown { .. }
            | Event::DirectFailed { .. }
            | Event::PeerUp { .. }
            | Event::PeerDown { .. }
            | Event::RecordRefused { .. }
            | Event::Founded { .. }
            | Event::Granted { .. }
            | Event::Allocated { .. }
            | Event::Released { .. }
            | Event::NameAdded { .. }
            | Event::NameRemoved { .. }
            | Event::GateForced { .. }
            | Event::TwinMet
            | Event::TakenOver { .. }
            | Event::Stray { .. }
            | Event::EvictionForced { .. }
            | Event::OwnershipConflict { .. } => {}
        }
    }

    /// A node answers a command.
    pub(super) fn see_reply(
        &mut self,
        host: usize,
        request: RequestId,
        result: &Result<Reply, CommandError>,
    ) {
        let there = &self.hosts[host];
        let asked = there.running.as_ref().and_then(|running| running.asked.get(&request));
        let Some((asked_at, Command::Allocate { subnet, .. })) = asked else { return };
        let subnets = subnet.map_or_else(|| there.config.subnets(), |subnet| vec![subnet]);
        let could_be_met =
            |why| subnets.iter().all(|subnet| check::could_be_met(&self.view, host, *subnet, why));
        match result {
            Ok(_) => self.deaths.answered(*asked_at, Some(self.now.since(*asked_at))),
            Err(why) if could_be_met(why) => {
                self.deaths.answered(*asked_at, None);
            }
            Err(_) => {}
        }
    }

    /// A node tells its data path something.
    pub(super) fn see_forwarding(&mut self, host: usize, change: &ForwardingChange) {
        let Some(running) = &self.hosts[host].running else { return };
        if let Err((rule, why)) =
            self.wire.forwarding(self.now, (host, running.node.name()), change)
        {
            self.breach(rule, why);
        }
    }

    /// A host writes to a stream.
    pub(super) fn see_write(&mut self, host: usize, conn: ConnId, bytes: &[u8]) {
        if let Some(greeting) = Greeting::of(bytes, conn.is_dialed()) {
            let boot = self.hosts[host].boots;
            self.greetings.insert(Endpoint { host, boot, conn }, greeting);
        }
        self.spend(host, bytes.len());
    }

    fn spend(&mut self, host: usize, len: usize) {
        self.view.peers[host].spent += u64::try_from(len).unwrap_or(u64::MAX);
    }

    /// Judges the version of a link that has come up.
    fn see_version(&mut self, ours: Endpoint, theirs: Endpoint) {
        let said = |end| self.greetings.get(&end).map(|greeting| (end.host, *greeting));
        if let (Some(ours), Some(theirs)) = (said(ours), said(theirs))
            && let Err(why) = check::newest_of_both(&self.view, ours, theirs)
        {
            self.breach(NO_DOWNGRADE, why);
        }
    }

    /// `host` takes `peer` for dead, which it had in reach for so long.
    fn see_death(&mut self, host: usize, peer: PeerId, in_reach: Duration) {
        self.view.at = self.now;
        if self.deaths.down(&self.view, peer, in_reach) {
            let label = self.view.label(peer);
            self.note(Some(host), "sim", format_args!("takes {label}, which lives, for dead"));
        }
    }

    /// A host sends a datagram.
    pub(super) fn see_sent(&mut self, host: usize, bytes: &[u8]) {
        self.spend(host, bytes.len());
        let there = &self.hosts[host];
        let Some(running) = &there.running else { return };
        let name = (running.node.name(), there.config.hops_max);
        if let Err((rule, why)) = self.wire.sent(self.now, host, name, bytes) {
            self.breach(rule, why);
        }
    }

    /// A host has taken a datagram.
    pub(super) fn see_taken(&mut self, host: usize, bytes: &[u8]) {
        if let Err((rule, why)) = self.wire.taken(self.now, host, bytes) {
            self.breach(rule, why);
        }
    }

    /// A host has refused a datagram.
    pub(super) fn see_refused(&mut self, host: usize, bytes: &[u8]) {
        let Some(running) = &self.hosts[host].running else { return };
        if let Err((rule, why)) = self.wire.refused(self.now, (host, running.node.name()), bytes) {
            self.breach(rule, why);
        }
    }

    /// The node of `host` runs no more: nothing of it is asked again.
    pub(super) fn see_end(&mut self, host: usize) {
        self.wire.ended(host);
        // What it told of itself stays: its last words may still be on their way. What versions it was
        // told to speak is known of its next run only.
        self.greetings.retain(|end, _| end.host != host);
    }
}
