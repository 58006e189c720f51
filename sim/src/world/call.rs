//! The only caller of the nodes: every input goes in here, and every output comes out here.

use super::World;
use crate::trace::What;
use weft_core::io::{Input, Outbox, Output};
use weft_core::time::Instant;

impl World {
    /// Tells a node about one of its conns, unless that is over already.
    pub(super) fn deliver(&mut self, host: usize, input: Input) {
        let (conn, last) = match &input {
            Input::Opened { conn, .. } | Input::Received { conn, .. } | Input::Written { conn } => {
                (*conn, false)
            }
            Input::DialFailed { conn, .. } | Input::Closed { conn, .. } => (*conn, true),
            Input::Timeout | Input::Datagram { .. } | Input::Command { .. } => {
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

    /// The one place where a node is called.
    pub(super) fn call(&mut self, host: usize, input: Input) {
        let Some(now) = self.hosts[host].now(self.now) else { return };
        self.trace.input(self.now, host, &input);
        let Some(running) = &mut self.hosts[host].running else { return };
        let fits = running.contract.input(&input);
        let mut out = Outbox::default();
        running.node.handle(now, input, &mut out);
        if let Err(why) = fits {
            self.breach("sim.contract", format!("n{}, by the simulator: {why}", host + 1));
        }
        self.finish_call(host, &mut out);
    }

    /// Judges and carries out what a call wants, in order, up to a crash that is due.
    pub(super) fn finish_call(&mut self, host: usize, out: &mut Outbox) {
        let Some(now) = self.hosts[host].now(self.now) else { return };
        let Some(running) = &mut self.hosts[host].running else { return };
        let deadline = running.node.deadline();
        let wake_at = deadline.map(|deadline| running.booted_at + deadline.at.since(Instant::ZERO));
        let before = std::mem::replace(&mut running.wake_at, wake_at);
        self.wakes.extend(wake_at.map(|at| (at, host)));
        if let Some(before) = before.filter(|_| before != wake_at) {
            self.wakes.remove(&(before, host));
        }
        if let Err(why) = running.contract.rest(now.mono, deadline) {
            self.breach("contract", format!("n{}: {why}", host + 1));
        }
        for output in out.drain() {
            match &mut self.hosts[host].crash_after {
                Some(0) => {
                    let power = self.hosts[host].crash_power;
                    return self.crash(host, power);
                }
                Some(left) => *left -= 1,
                None => {}
            }
            let Some(running) = &mut self.hosts[host].running else { return };
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
                self.net.write(now, host, conn, bytes);
            }
            Output::Close { conn } => self.net.close(now, host, conn),
            Output::Datagram { to, bytes } => {
                self.net.datagram(now, host, to, &bytes);
            }
            Output::Persist(changes) => {
                self.touched.insert(host);
                if let Err(why) = self.hosts[host].disk.persist(changes) {
                    self.stop_for(host, why);
                }
            }
            Output::Forwarding(change) => {
                if let Some(running) = &mut self.hosts[host].running {
                    running.forwarder.apply(change);
                }
            }
            Output::Reply { request, result } => self.reply(host, request, result),
            Output::Event(event) => {
                if let Some(running) = &mut self.hosts[host].running {
                    running.count(&event);
                }
                let what = What::event(&event, &self.trace.names);
                self.tell(Some(host), what);
                self.touched.insert(host);
                self.events.push((now, host, event));
            }
        }
    }
}
