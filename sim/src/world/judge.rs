//! When the rules are judged, and on what.

use super::operator::short;
use super::{Act, World};
use crate::check::{self, NO_FALSE_DEATH, View, Violation, When};
use crate::host::Host;
use crate::host::clock::Speed;
use std::collections::BTreeSet;
use std::time::Duration;
use weft_core::config::Config;
use weft_core::time::Instant;
use weft_core::topology::Overlay;

/// Rules that look at all hosts are judged after each event that changed something they see, and
/// at least this often, for those that depend on time alone.
const JUDGE_WAIT: Duration = Duration::from_millis(500);

/// While nothing happens at all, rules that depend on time alone are judged this often.
pub(super) const IDLE_WAIT: Duration = Duration::from_secs(5);

/// In worlds with more hosts than this, the records of so many are looked through at each look, in
/// turn; of the others, news are what their nodes tell.
const LOOKED_THROUGH: usize = 32;

/// Longest stop of a process after which nobody may take its peer for dead.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A settled world is looked at this often, and must look settled twice running.
const SETTLE_STEP: Duration = Duration::from_millis(500);

/// In a healthy mesh a name is known everywhere, or nowhere any more, within this time.
const TOLD_MAX: Duration = Duration::from_secs(2);

/// The longest until links that nobody needs are given up in a mesh of more hosts than one keeps links
/// with: a target that was not answered yet may be dialed 90 s later, and the link then stands for 20 s
/// and to the next comparison of records.
const PRUNED_MAX: Duration = Duration::from_secs(90 + 20 + 10);

/// How often it is waited for a while in which no command is given.
const UNASKED_MAX: usize = 8;

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
                peer.read_ways(&running.forwarder);
                peer.read_names(&running.node);
            }
        }
    }

    /// Runs until no command was given for `wait`. A host that finds a container that it was not told of gives
    /// commands of its own, after which all takes as long again; one that is refused gives them for ever, and
    /// is not waited for.
    fn run_unasked(&mut self, wait: Duration) -> Result<(), Violation> {
        let mut asked = None;
        for _ in 0..UNASKED_MAX {
            if asked.replace(self.requests) == Some(self.requests) {
                break;
            }
            self.run_for(wait)?;
        }
        Ok(())
    }

    /// Judges what must be so 2 s after a command in a settled mesh.
    ///
    /// # Errors
    /// A broken rule.
    pub fn judge_told(&mut self) -> Result<(), Violation> {
        self.run_unasked(TOLD_MAX)?;
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
        self.run_unasked(if self.has_spare_links() { PRUNED_MAX } else { TOLD_MAX })?;
        self.read_all();
        check::judge(&mut self.rules, When::Quiet, &self.view)?;
        self.run_for(QUIET)?;
        self.read_all();
        check::judge(&mut self.rules, When::Quiet, &self.view)
    }

    /// Whether there are more hosts than one of them keeps links with.
    fn has_spare_links(&self) -> bool {
        let most = Overlay::FULL_MAX + 1;
        self.hosts.iter().any(|host| self.hosts.len() >= most.min(host.config.conns_max))
    }

    /// For each host, those that run and to which a way exists from it, over others that run if need
    /// be, and itself. Between hosts that do not trust each other there is none.
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
                let peers = &self.view.peers;
                let links = |next: &usize| {
                    self.net.connected(at, *next)
                        && check::trust_each_other(&peers[at], &peers[*next])
                };
                let near: Vec<usize> = left.iter().copied().filter(links).collect();
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
            self.view.peers[*host].refused.clear();
            self.view.peers[*host].left = false;
        }
        if is_time {
            self.judged_at = self.now;
            check::judge(&mut self.rules, When::Regularly, &self.view)?;
            self.judge_deaths()?;
            self.judge_steady()?;
        }
        Ok(())
    }

    /// When all hosts are looked at again, whatever happens.
    pub(super) fn look_at(&self) -> Instant {
        self.judged_at + IDLE_WAIT
    }

    /// Judges hosts that must know the same by this time.
    fn judge_steady(&mut self) -> Result<(), Violation> {
        self.view.steady = self.steady.look(&self.view);
        if self.view.steady.is_empty() {
            return Ok(());
        }
        for host in self.view.steady.iter().flatten() {
            if let Some(running) = &self.hosts[*host].running {
                self.view.peers[*host].read_peers(&running.node);
            }
        }
        check::judge(&mut self.rules, When::Steady, &self.view)
    }

    fn judge_deaths(&mut self) -> Result<(), Violation> {
        self.deaths.look(&self.view);
        let at = self.now;
        let verdict = self.deaths.verdict();
        verdict.map_err(|detail| Violation { rule: NO_FALSE_DEATH, at, detail })
    }

    /// Whether nothing is wrong but what no peer may be taken for dead for: little loss, and short
    /// stops.
    fn is_gentle(&self) -> bool {
        self.net.paths.are_sound() && self.hosts.iter().all(is_quick)
    }

    /// `act` is about to befall the world.
    pub(super) fn befalls(&mut self, act: &Act) {
        // A long stop is over only when the process goes on.
        let length = if let Act::Pause { length, .. } = act { *length } else { Duration::ZERO };
        if !is_gentle(act) {
            self.deaths.worse(self.now + length);
        }
        if !is_gentle(act) || !length.is_zero() {
            self.disturbed_until(self.now + length);
        }
    }

    fn disturbed_until(&mut self, end: Instant) {
        self.view.disturbed_at = self.view.disturbed_at.max(end);
    }

    /// Reads what depends on time of all hosts, and has those read whose records have changed
    /// without anything that told of it.
    fn look_at_all(&mut self) {
        let count = self.hosts.len();
        self.looks = self.looks.wrapping_add(LOOKED_THROUGH);
        if !self.is_gentle() {
            self.deaths.worse(self.now);
            self.disturbed_until(self.now);
        }
        self.view.is_sound = self.net.paths.are_sound();
        if !self.view.is_sound {
            self.view.troubled_at = self.now;
        }
        for (host, there) in self.hosts.iter().enumerate() {
            let peer = &mut self.view.peers[host];
            let (Some(now), Some(running)) = (there.now(self.now), &there.running) else {
                (peer.is_sound, peer.troubled_at) = (false, self.now);
                continue;
            };
            peer.mono = now.mono;
            peer.is_sound = is_quick(there) && running.desk.free_at.is_none();
            if !peer.is_sound {
                peer.troubled_at = self.now;
            }
            if self.view.calm_at.is_some() {
                let others = (0..self.hosts.len()).filter(|other| *other != host);
                peer.near = others.filter(|other| self.net.connected(host, *other)).collect();
            }
            peer.sizes = running.node.sizes();
            peer.forwarder = running.forwarder.sizes();
            let is_its_turn = count <= LOOKED_THROUGH
                || (host + count - self.looks % count) % count < LOOKED_THROUGH;
            // Without a call nothing has changed.
            if is_its_turn && peer.calls_read != there.calls && running.desk.rest.is_empty() {
                peer.calls_read = there.calls;
                if peer.has_news(&running.node) {
                    peer.forget_records();
                    self.touched.insert(host);
                }
            }
        }
    }

    pub(super) fn breach(&mut self, rule: &'static str, detail: String) {
        let at = self.now;
        self.breach.get_or_insert(Violation { rule, at, detail });
    }
}

/// Whether the clocks of `host` go right, and nothing makes its steps or its disk slow.
fn is_quick(host: &Host) -> bool {
    host.clock.speed() == Speed::RIGHT && host.cost.is_zero() && host.disk.sync.is_zero()
}

/// Whether a peer that lives may not be taken for dead for this.
fn is_gentle(act: &Act) -> bool {
    match act {
        Act::Network { conditions } | Act::Path { conditions, .. } => conditions.are_usual(),
        Act::Pause { length, .. } => *length <= PAUSE_MAX,
        Act::Snapshot { .. }
        | Act::MendDisk { .. }
        | Act::Events { .. }
        | Act::Born { .. }
        | Act::Die { .. }
        | Act::Send { .. }
        | Act::Migrate { .. }
        | Act::Spray { .. }
        | Act::Mute { .. }
        | Act::Babble { .. }
        | Act::Record
        | Act::Replay { .. }
        | Act::Clock { .. }
        | Act::Allocate { .. }
        | Act::Claim { .. }
        | Act::Release { .. }
        | Act::Register { .. }
        | Act::Unregister { .. }
        | Act::AddSecret { .. }
        | Act::Prime { .. } => true,
        // Also what ends a fault: peers that were apart may find out only then.
        Act::Partition { .. }
        | Act::Cut { .. }
        | Act::Mend { .. }
        | Act::Heal
        | Act::Crash { .. }
        | Act::Start { .. }
        | Act::Settings { .. }
        | Act::LoseDisk { .. }
        | Act::Restore { .. }
        | Act::CloneDisk { .. }
        | Act::LyingDisk { .. }
        | Act::FailDisk { .. }
        | Act::RotDisk { .. }
        | Act::SlowDisk { .. }
        | Act::Starve { .. }
        | Act::Drift { .. }
        | Act::Stall { .. }
        | Act::Reset { .. }
        | Act::HalfOpen { .. }
        | Act::SlowReader { .. }
        | Act::Nat { .. }
        | Act::Rebind { .. }
        | Act::Move { .. }
        | Act::Insider { .. }
        | Act::Connect { .. }
        | Act::Forget { .. }
        | Act::Evict { .. }
        | Act::RetireSecret { .. }
        | Act::Allow { .. }
        | Act::Leave { .. }
        | Act::Stop { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Invariant;
    use crate::peer::Peer;
    use crate::world::Setup;

    /// A rule that never holds.
    #[derive(Debug)]
    struct Never(When);

    impl Invariant for Never {
        fn name(&self) -> &'static str {
            "test.never"
        }
        fn when(&self) -> When {
            self.0
        }
        fn check(&mut self, _: &View) -> Result<(), String> {
            Err("as it says".to_owned())
        }
    }

    /// When the first judgement of this kind comes in a world of so many hosts.
    fn first(hosts: usize, start: bool, when: When) -> Option<Instant> {
        let setup = Setup::new(1, hosts);
        let mut world = if start { setup.start() } else { World::new(&setup) };
        world.judge_by(vec![Box::new(Never(when))]);
        world.run_for(Duration::from_secs(30)).err().map(|violation| violation.at)
    }

    #[test]
    fn a_world_in_which_nothing_happens_is_judged_all_the_same() {
        let at = first(1, false, When::Regularly);
        assert_eq!(at, Some(Instant::ZERO + IDLE_WAIT));
        assert!(first(1, true, When::Regularly).is_some());
    }

    #[test]
    fn hosts_that_must_know_the_same_are_judged_before_the_mesh_is_said_to_be_at_rest() {
        let at = first(3, true, When::Steady).unwrap();
        assert!(at <= Instant::ZERO + Duration::from_secs(15), "{at}");
    }

    #[test]
    fn a_peer_that_is_taken_for_dead_because_of_a_short_stop_is_counted() {
        let mut world = Setup::new(1, 2).start();
        world.run_for(Duration::from_secs(30)).unwrap();
        let length = Duration::from_secs(2);
        world.act(&Act::Pause { peer: Peer(0), length });
        let peer = world.view.peers[0].id.unwrap();
        world.view.at = world.now;
        assert!(world.deaths.down(&world.view, peer, length));
        world.act(&Act::Pause { peer: Peer(0), length: length * 2 });
        world.run_for(Duration::from_secs(20)).unwrap();
        assert!(!world.deaths.down(&world.view, peer, length));
    }

    #[test]
    fn a_settled_mesh_in_which_somebody_has_no_link_is_told_of() {
        let mut world = Setup::new(1, 2).start();
        assert!(world.settled().is_err());
        world.settle(Duration::from_secs(30)).unwrap();
        assert_eq!(world.settled(), Ok(()));
    }
}
