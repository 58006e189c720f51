//! Container engines, and the runtimes beside the nodes that follow them.
//!
//! An engine tells its runtime that something became of a container. The runtime believes none of
//! that: it looks whether the container lives, and attaches or detaches it. So it does not matter
//! what it is told twice, late or out of order; and for what it is never told, it asks the engine
//! for all containers from time to time, and at each start.

use super::operator::name_of;
use super::{Due, World};
use crate::host::engine::Telling;
use crate::net::Share;
use std::time::Duration;
use weft_core::id::ContainerId;
use weft_core::io::Command;
use weft_core::names::NameEntry;

/// A runtime asks its engine for all containers this often.
const LIST_WAIT: Duration = Duration::from_secs(30);

impl World {
    /// How the engine of `host` tells of containers from here on.
    pub(super) fn engine_tells(&mut self, host: usize, telling: Telling) {
        self.hosts[host].engine.telling = telling;
        let Telling { lost, late, twice } = telling;
        let what = format_args!("its engine tells {late:?} late, {lost} never, {twice} twice");
        self.note(Some(host), "FAULT", what);
    }

    /// Every engine tells all at once again, and every runtime asks for what it missed.
    pub(super) fn engines_tell_all(&mut self) {
        for host in 0..self.hosts.len() {
            self.hosts[host].engine.telling = Telling::default();
            self.list(host);
        }
    }

    /// A container begins.
    pub(super) fn born(&mut self, host: usize, id: ContainerId) {
        let is_first = self.hosts[host].engine.ids().next().is_none();
        if self.hosts[host].engine.set(&id, true) {
            self.note(Some(host), "engine", format_args!("{id} begins"));
            self.announce_fate(host, id);
        }
        if is_first {
            self.plan.push(self.now + LIST_WAIT, Due::List { host });
        }
    }

    /// A container ends: from here on it uses no address, whatever its node knows.
    pub(super) fn die(&mut self, host: usize, id: ContainerId) {
        if !self.hosts[host].engine.set(&id, false) {
            return;
        }
        let there = &mut self.hosts[host];
        there.held.remove(&id);
        there.containers.remove(&id);
        self.touched.insert(host);
        self.note(Some(host), "engine", format_args!("{id} ends"));
        self.announce_fate(host, id);
    }

    /// The engine tells that something became of `id`, as well as it does.
    fn announce_fate(&mut self, host: usize, id: ContainerId) {
        let Telling { lost, late, twice } = self.hosts[host].engine.telling;
        let copies = 1 + usize::from(self.happens(twice));
        for _ in 0..copies {
            if self.happens(lost) {
                continue;
            }
            let late = self.draw(u64::try_from(late.as_millis()).unwrap_or(u64::MAX));
            let at = self.now + Duration::from_millis(late);
            self.plan.push(at, Due::Told { host, id: id.clone() });
        }
    }

    /// Whether something that happens this often happens this time.
    fn happens(&mut self, share: Share) -> bool {
        let all = u64::from(Share::ALL.millionths());
        !share.is_none() && self.draw(all) < u64::from(share.millionths())
    }

    /// The runtime looks at all containers, and will do so again.
    pub(super) fn list_again(&mut self, host: usize) {
        self.list(host);
        self.plan.push(self.now + LIST_WAIT, Due::List { host });
    }

    /// The runtime looks at every container that the engine ever had.
    pub(super) fn list(&mut self, host: usize) {
        let ids: Vec<ContainerId> = self.hosts[host].engine.ids().cloned().collect();
        for id in &ids {
            self.follow(host, id);
        }
    }

    /// The runtime looks whether `id` lives, and attaches or detaches it.
    pub(super) fn follow(&mut self, host: usize, id: &ContainerId) {
        let there = &self.hosts[host];
        let Some(lives) = there.engine.lives(id) else { return };
        let Some(running) = &there.running else { return };
        if running.has_stopped || self.waits_for_address(host, id) {
            return;
        }
        let held = there.held.get(id).and_then(|nets| nets.first()).copied();
        let named = |mut names: std::collections::btree_set::Iter<'_, NameEntry>| {
            names.any(|entry| entry.id == *id)
        };
        let (sure, possible) = (named(there.names_sure.iter()), named(there.names_possible.iter()));
        let noted = running.node.ipam().held().any(|(held, _)| held == id);
        match (lives, held) {
            (true, None) => {
                self.ask(host, Command::Allocate { id: id.clone(), subnet: None });
            }
            (true, Some(net)) => {
                if let Ok(name) = name_of(id).parse()
                    && !sure
                {
                    let value = net.addr().into();
                    self.ask(host, Command::Register { id: id.clone(), name, value });
                }
            }
            (false, _) => {
                if possible {
                    let id = Some(id.clone());
                    self.ask(host, Command::Unregister { id, name: None, value: None });
                }
                if noted {
                    self.ask(host, Command::Release { id: id.clone(), address: None });
                }
            }
        }
    }

    /// A container was given an address: if it is one of the engine, the runtime looks at it again.
    pub(super) fn was_given(&mut self, host: usize, id: &ContainerId) {
        if self.hosts[host].engine.lives(id).is_some() {
            self.plan.push(self.now, Due::Told { host, id: id.clone() });
        }
    }
}
