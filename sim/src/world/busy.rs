//! Hosts that are slow: stopped processes, starved ones, slow disks, and clocks that go wrong.

use super::World;
use crate::host::Host;
use crate::host::clock::Speed;
use std::time::Duration;
use weft_core::io::Input;
use weft_core::time::Instant;

impl World {
    /// Stops the process of `host` for `length`, as `SIGSTOP` does or whoever moves its machine.
    pub fn pause(&mut self, host: usize, length: Duration) {
        let Some(running) = &mut self.hosts[host].running else { return };
        running.desk.stopped = true;
        self.keep_busy(host, self.now + length);
        self.note(Some(host), "FAULT", format_args!("is stopped for {length:?}"));
    }

    /// Has each call of the node of `host` take `cost`.
    pub fn starve(&mut self, host: usize, cost: Duration) {
        self.hosts[host].cost = cost;
        self.note(Some(host), "FAULT", format_args!("needs {cost:?} for each step"));
    }

    /// Has each write of the disk of `host` take `sync`.
    pub fn slow_disk(&mut self, host: usize, sync: Duration) {
        self.hosts[host].disk.sync = sync;
        self.note(Some(host), "FAULT", format_args!("its disk needs {sync:?} for each write"));
    }

    /// Has the wall clock of `host` jump by `by`, or back by it.
    pub fn jump_clock(&mut self, host: usize, by: Duration, back: bool) {
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        self.hosts[host].clock.jump(if back { -seconds } else { seconds });
        let way = if back { "back" } else { "ahead" };
        self.note(Some(host), "FAULT", format_args!("its wall clock jumps {by:?} {way}"));
    }

    /// Has the clocks of `host` go at `speed`.
    pub fn drift(&mut self, host: usize, speed: Speed) {
        let now = self.now;
        let there = &mut self.hosts[host];
        let lags = |there: &Host| -> Vec<Duration> {
            let asked = there.running.iter().flat_map(|running| running.asked.values());
            asked.map(|(_, command)| there.lag(command)).collect()
        };
        let before = lags(there);
        there.clock.go(now, speed);
        let after = lags(there);
        if let Some(running) = &mut there.running {
            let more =
                after.iter().zip(&before).map(|(after, before)| after.saturating_sub(*before));
            running.asked.values_mut().zip(more).for_each(|((since, _), more)| *since += more);
            self.touched.insert(host);
            let wake_at = running.deadline.map(|deadline| there.clock.world(deadline));
            let old = std::mem::replace(&mut running.wake_at, wake_at);
            // Nobody is woken while it cannot run.
            if running.desk.free_at.is_none() {
                self.wakes.extend(wake_at.map(|at| (at, host)));
                if let Some(old) = old.filter(|_| old != wake_at) {
                    self.wakes.remove(&(old, host));
                }
            }
        }
        self.note(Some(host), "FAULT", format_args!("its clocks go at {speed}"));
    }

    /// The node of `host` cannot run until `until`, or longer if that was so already.
    pub(super) fn keep_busy(&mut self, host: usize, until: Instant) {
        let now = self.now;
        let Some(running) = &mut self.hosts[host].running else { return };
        if let Some(wake_at) = running.wake_at {
            self.wakes.remove(&(wake_at, host));
        }
        let before = running.desk.free_at;
        let until = until.max(before.unwrap_or(until));
        // Whoever waits for an answer waits for a node, not for what keeps it from running.
        let more = until.since(before.unwrap_or(now));
        running.asked.values_mut().for_each(|(since, _)| *since += more);
        running.desk.free_at = Some(until);
        if let Some(before) = before {
            self.frees.remove(&(before, host));
        }
        self.frees.insert((until, host));
        self.touched.insert(host);
    }

    /// Whoever cannot run just now can, at once.
    pub(super) fn wake_all(&mut self) {
        let now = self.now;
        let all: Vec<(Instant, usize)> = std::mem::take(&mut self.frees).into_iter().collect();
        for (_, host) in all {
            if let Some(running) = &mut self.hosts[host].running {
                running.desk.free_at = Some(now);
                self.frees.insert((now, host));
            }
        }
    }

    /// The node of `host` can run again: it finishes what it was about, and then does what has come
    /// in the meantime, in the order of the driver.
    pub(super) fn go_on(&mut self, host: usize) {
        let Some(running) = &mut self.hosts[host].running else { return };
        if let Some(free_at) = running.desk.free_at.take() {
            self.frees.remove(&(free_at, host));
        }
        running.desk.stopped = false;
        let rest = std::mem::take(&mut running.desk.rest);
        self.touched.insert(host);
        self.carry_on(host, rest);
        loop {
            let now = self.now;
            let Some(running) = &mut self.hosts[host].running else { return };
            if running.desk.free_at.is_some() {
                return;
            }
            if let Some(datagram) = running.desk.take_datagram() {
                self.receive(datagram);
            } else if running.wake_at.is_some_and(|at| at <= now) {
                self.call(host, Input::Timeout);
            } else if let Some(input) = running.desk.take() {
                self.deliver(host, input);
            } else {
                self.wakes.extend(running.wake_at.map(|at| (at, host)));
                return;
            }
        }
    }
}
