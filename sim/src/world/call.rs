//! The only caller of the nodes: every input goes in here, and every output comes out here.

use super::World;
use crate::check::{self, PERSIST_BEFORE_SEND};
use crate::host::report::Report;
use crate::trace::What;
use std::collections::VecDeque;
use weft_core::io::{Input, Outbox, Output};
use weft_core::time::Instant;

impl World {
    /// Tells a node about one of its conns, unless that is over already.
    pub(super) fn deliver(&mut self, host: usize, input: Input) {
        let Some(input) = self.unless_busy(host, input) else { return };
        let (conn, last) = match &input {
            Input::Opened { conn, .. } | Input::Received { conn, .. } | Input::Written { conn } => {
                (*conn, false)
            }
            Input::DialFailed { conn, .. } | Input::Closed { conn, .. } => (*conn, true),
            Input::Timeout
            | Input::Datagram { .. }
            | Input::Wanted { .. }
            | Input::Command { .. } => {
                return self.call(host, input);
            }
        };
        if self.net.knows(host, conn) {
            if last {
                self.net.forget(host, conn);
            }
            self.call(host, input);
        }
    }

    /// The input, if the node can take it at once; else it waits.
    fn unless_busy(&mut self, host: usize, input: Input) -> Option<Input> {
        match &mut self.hosts[host].running {
            Some(running) if running.desk.free_at.is_some() => {
                running.desk.put(input);
                None
            }
            Some(_) | None => Some(input),
        }
    }

    /// The one place where a node is called.
    pub(super) fn call(&mut self, host: usize, input: Input) {
        let Some(input) = self.unless_busy(host, input) else { return };
        let Some(now) = self.hosts[host].now(self.now) else { return };
        self.trace.input(self.now, host, &input);
        self.takes(host, &input);
        self.see_input(host, &input);
        self.look_ahead(host);
        let Some(running) = &mut self.hosts[host].running else { return };
        let fits = running.contract.input(&input);
        let probe = match &input {
            Input::Datagram { bytes, .. } => Some(bytes.clone()),
            Input::Timeout
            | Input::Opened { .. }
            | Input::DialFailed { .. }
            | Input::Received { .. }
            | Input::Written { .. }
            | Input::Closed { .. }
            | Input::Wanted { .. }
            | Input::Command { .. } => None,
        };
        let taken = running.node.probes_taken();
        let mut out = Outbox::default();
        running.node.handle(now, input, &mut out);
        let is_taken = running.node.probes_taken() > taken;
        self.hosts[host].calls += 1;
        if let Some(bytes) = probe.filter(|_| is_taken) {
            self.see_taken(host, &bytes);
        }
        if let Err(why) = fits {
            self.breach("sim.contract", format!("n{}, by the simulator: {why}", host + 1));
        }
        self.finish_call(host, &mut out);
    }

    /// Judges what a call wants, and has it carried out.
    pub(super) fn finish_call(&mut self, host: usize, out: &mut Outbox) {
        let there = &mut self.hosts[host];
        let (Some(now), cost) = (there.now(self.now), there.cost) else { return };
        let Some(running) = &mut there.running else { return };
        self.view.peers[host].version = running.node.last_version();
        let said = check::said_in_order(out.outputs().iter());
        let deadline = running.node.deadline();
        running.deadline = deadline.map(|due| running.booted_at + due.at.since(Instant::ZERO));
        let wake_at = running.deadline.map(|deadline| there.clock.world(deadline));
        let before = std::mem::replace(&mut running.wake_at, wake_at);
        self.wakes.extend(wake_at.map(|at| (at, host)));
        if let Some(before) = before.filter(|_| before != wake_at) {
            self.wakes.remove(&(before, host));
        }
        if let Err(why) = running.contract.rest(now.mono, deadline) {
            self.breach("contract", format!("n{}: {why}", host + 1));
        }
        if let Err(why) = said {
            self.breach(PERSIST_BEFORE_SEND, format!("n{} {why}", host + 1));
        }
        let outputs: VecDeque<Output> = out.drain().collect();
        for output in &outputs {
            self.trace.output(host, output);
        }
        if cost.is_zero() {
            self.carry_on(host, outputs);
        } else if let Some(running) = &mut self.hosts[host].running {
            running.desk.rest = outputs;
            self.keep_busy(host, self.now + cost);
        }
    }

    /// Carries out what a call wants, in order, up to a crash that is due or a disk that is waited
    /// for.
    pub(super) fn carry_on(&mut self, host: usize, mut outputs: VecDeque<Output>) {
        while let Some(output) = outputs.pop_front() {
            let there = &mut self.hosts[host];
            let sync = there.disk.sync;
            let Some(running) = &mut there.running else { return };
            if let Output::Persist(_) = output
                && !sync.is_zero()
                && !std::mem::take(&mut running.desk.synced)
            {
                outputs.push_front(output);
                running.desk.synced = true;
                running.desk.rest = outputs;
                return self.keep_busy(host, self.now + sync);
            }
            match &mut there.crash_after {
                Some(0) => {
                    let power = there.crash_power;
                    return self.crash(host, power);
                }
                Some(left) => *left -= 1,
                None => {}
            }
            if let Err(why) = running.contract.output(&output) {
                self.breach("contract", format!("n{}: {why}", host + 1));
                return;
            }
            self.carry_out(host, output);
        }
    }

    fn carry_out(&mut self, host: usize, output: Output) {
        let (now, boot) = (self.now, self.hosts[host].boots);
        match output {
            Output::Dial { conn, target } => {
                self.net.dial(now, host, boot, conn, &target);
            }
            Output::Write { conn, bytes } => {
                self.see_write(host, conn, &bytes);
                self.net.write(now, host, conn, bytes);
            }
            Output::Close { conn } => self.net.close(now, host, conn),
            Output::Datagram { to, bytes } => {
                self.see_sent(host, &bytes);
                self.net.datagram(now, host, to, &bytes);
            }
            Output::Persist(changes) => {
                self.touched.insert(host);
                if let Err(why) = self.hosts[host].disk.persist(changes) {
                    self.stop_for(host, why);
                }
                self.view.peers[host].read_disk(&self.hosts[host]);
            }
            Output::Forwarding(change) => {
                self.see_forwarding(host, &change);
                if let Some(running) = &mut self.hosts[host].running {
                    running.forwarder.apply(change);
                }
            }
            Output::Reply { request, result } => {
                self.see_reply(host, request, &result);
                self.reply(host, request, result);
            }
            Output::Event(event) => {
                self.hosts[host].reports.extend(Report::of(&event));
                self.see_event(host, &event);
                if let Some(running) = &mut self.hosts[host].running {
                    running.count(&event);
                }
                let what = What::event(&event, &self.trace.names);
                self.tell(Some(host), what);
                self.touched.insert(host);
                if self.events.len() >= super::EVENTS_MAX {
                    self.events.drain(..super::EVENTS_MAX / 2);
                }
                self.events.push((now, host, event));
            }
        }
    }
}
