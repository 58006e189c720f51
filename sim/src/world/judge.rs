//! When the rules are judged, and on what.

use super::World;
use super::operator::short;
use crate::check::{self, View, Violation, When};
use std::collections::BTreeSet;
use std::time::Duration;
use weft_core::config::Config;

/// Rules that look at all hosts are judged after each event that changed something they see, and
/// at least this often, for those that depend on time alone.
const JUDGE_WAIT: Duration = Duration::from_millis(500);

/// A settled world is looked at this often, and must look settled twice running.
const SETTLE_STEP: Duration = Duration::from_millis(500);

/// In a healthy mesh a name is known everywhere, or nowhere any more, within this time.
const TOLD_MAX: Duration = Duration::from_secs(2);

/// A mesh at rest is watched for so long: two comparisons of records, and some rounds of probes.
const QUIET: Duration = Duration::from_secs(20);

impl World {
    /// Runs until nothing is pending and all rules of a settled world hold.
    ///
    /// # Errors
    /// A broken rule, or what is still waited for after `bound`.
    pub fn settle(&mut self, bound: Duration) -> Result<Duration, Violation> {
        let begun = self.now;
        let mut calm = 0;
        loop {
            self.run_for(SETTLE_STEP)?;
            match self.settled() {
                Ok(()) if calm == 1 => {
                    let took = self.now.since(begun);
                    self.note(None, "sim", format_args!("settled after {took:?}"));
                    return Ok(took);
                }
                Ok(()) => calm += 1,
                Err(violation) if self.now.since(begun) >= bound => return Err(violation),
                Err(_) => calm = 0,
            }
        }
    }

    /// Why the world is not at rest: what a healthy mesh would still have to do.
    pub fn pending(&self) -> Option<String> {
        let view = &self.view;
        for (host, peer) in view.live() {
            if let Some(waiting) = peer.waiting.first() {
                return Some(format!("n{} waits for {}", host + 1, short(&waiting.command)));
            }
            if peer.conns.is_empty() && peer.island.len() > 1 {
                return Some(format!("n{} has no link", host + 1));
            }
        }
        None
    }

    fn settled(&mut self) -> Result<(), Violation> {
        self.read_all();
        if let Some(detail) = self.pending() {
            return Err(Violation { rule: "sim.pending", at: self.now, detail });
        }
        check::judge(&mut self.rules, When::Settled, &self.view)
    }

    /// A picture of all hosts as the rules see them.
    pub fn look(&mut self) -> &View {
        self.read_all();
        &self.view
    }

    fn read_all(&mut self) {
        self.view.at = self.now;
        self.view.asked = self.requests;
        self.view.changed = (0..self.hosts.len()).collect();
        self.look_at_all();
        let islands = self.islands();
        for ((peer, host), island) in self.view.peers.iter_mut().zip(&self.hosts).zip(islands) {
            peer.read_addresses(host);
            peer.island = island;
            if let (Some(now), Some(running)) = (host.now(self.now), &host.running)
                && running.desk.rest.is_empty()
            {
                peer.read_mesh(&running.node, now);
            }
        }
    }

    /// Judges what must be so 2 s after a command in a settled mesh.
    ///
    /// # Errors
    /// A broken rule.
    pub fn judge_told(&mut self) -> Result<(), Violation> {
        self.run_for(TOLD_MAX)?;
        self.read_all();
        check::judge(&mut self.rules, When::Told, &self.view)
    }

    /// Runs until all links stand that can, or `bound` is over: where this takes too long, a rule of
    /// its own says so.
    ///
    /// # Errors
    /// A broken rule.
    pub fn link_all(&mut self, bound: Duration) -> Result<(), Violation> {
        let begun = self.now;
        while !check::all_linked(&self.view) && self.now.since(begun) < bound {
            self.run_for(SETTLE_STEP)?;
        }
        Ok(())
    }

    /// Lets a settled mesh be for a while, once all its links stand or `bound` is over, and judges
    /// that it is quiet.
    ///
    /// # Errors
    /// A broken rule.
    pub fn rest(&mut self, bound: Duration) -> Result<(), Violation> {
        // A few probes lost in a row are no quiet: the path is told to be silent, as it should be.
        self.net.lose_nothing();
        self.run_for(Config::default().probe_wait.proven)?;
        self.link_all(bound)?;
        self.run_for(TOLD_MAX)?;
        self.read_all();
        check::judge(&mut self.rules, When::Quiet, &self.view)?;
        self.run_for(QUIET)?;
        self.read_all();
        check::judge(&mut self.rules, When::Quiet, &self.view)
    }

    /// For each host, those that run and to which a way exists from it, over others that run if need
    /// be, and itself.
    fn islands(&self) -> Vec<BTreeSet<usize>> {
        let mut islands: Vec<BTreeSet<usize>> =
            (0..self.hosts.len()).map(|host| BTreeSet::from([host])).collect();
        let mut left: BTreeSet<usize> =
            (0..self.hosts.len()).filter(|host| self.hosts[*host].running.is_some()).collect();
        // A way works in both directions or not at all, so an island is one for all who are on it.
        while let Some(first) = left.pop_first() {
            let mut island = BTreeSet::from([first]);
            let mut edge = vec![first];
            while let Some(at) = edge.pop() {
                let near: Vec<usize> =
                    left.iter().copied().filter(|next| self.net.connected(at, *next)).collect();
                for next in near {
                    left.remove(&next);
                    island.insert(next);
                    edge.push(next);
                }
            }
            for host in &island {
                islands[*host].clone_from(&island);
            }
        }
        islands
    }

    /// A node is about to decide something that takes time to come out: what is judged meanwhile is
    /// how it stands now.
    pub(super) fn look_ahead(&mut self, host: usize) {
        let there = &self.hosts[host];
        let is_slow = !there.cost.is_zero() || !there.disk.sync.is_zero();
        if is_slow && self.touched.contains(&host) {
            self.view.peers[host].read_addresses(there);
        }
    }

    pub(super) fn judge(&mut self) -> Result<(), Violation> {
        if let Some(breach) = self.breach.take() {
            return Err(breach);
        }
        let is_time = self.now.since(self.judged_at) >= JUDGE_WAIT;
        if self.touched.is_empty() && !is_time {
            return Ok(());
        }
        if is_time {
            self.look_at_all();
        }
        self.view.at = self.now;
        self.view.changed = std::mem::take(&mut self.touched);
        for host in &self.view.changed {
            self.view.peers[*host].read_addresses(&self.hosts[*host]);
        }
        check::judge(&mut self.rules, When::Always, &self.view)?;
        for host in &self.view.changed {
            self.view.peers[*host].written.clear();
        }
        if is_time {
            self.judged_at = self.now;
            check::judge(&mut self.rules, When::Regularly, &self.view)?;
        }
        Ok(())
    }

    /// Reads what depends on time of all hosts, and has those read whose records have changed
    /// without anything that told of it.
    fn look_at_all(&mut self) {
        for (host, there) in self.hosts.iter().enumerate() {
            let (Some(now), Some(running)) = (there.now(self.now), &there.running) else {
                continue;
            };
            let peer = &mut self.view.peers[host];
            peer.mono = now.mono;
            if self.view.calm_at.is_some() {
                let others = (0..self.hosts.len()).filter(|other| *other != host);
                peer.near = others.filter(|other| self.net.connected(host, *other)).collect();
            }
            peer.sizes = running.node.sizes();
            if peer.has_news(&running.node) {
                self.touched.insert(host);
            }
        }
    }

    pub(super) fn breach(&mut self, rule: &'static str, detail: String) {
        let at = self.now;
        self.breach.get_or_insert(Violation { rule, at, detail });
    }
}
