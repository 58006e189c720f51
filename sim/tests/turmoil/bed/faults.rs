//! What goes wrong between hosts and with them.

use super::Bed;
use std::collections::BTreeSet;
use std::time::Duration;

/// How messages from one host to another fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    #[default]
    Open,
    Cut,
    Held,
}

impl Bed {
    /// Cuts all hosts of `side` off from all others. turmoil loses what is under way.
    pub(crate) fn partition(&mut self, side: &[usize]) {
        for (a, b) in self.across(side) {
            self.cut(a, b);
        }
    }

    /// Cuts two hosts off from each other.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.sim.partition(super::name_of(a), super::name_of(b));
        self.set(a, b, Way::Cut);
        self.set(b, a, Way::Cut);
        self.note(&format!("cut n{} from n{}", a + 1, b + 1));
    }

    /// Lets two hosts reach each other.
    pub(crate) fn mend(&mut self, a: usize, b: usize) {
        self.sim.repair(super::name_of(a), super::name_of(b));
        self.set(a, b, Way::Open);
        self.set(b, a, Way::Open);
        self.note(&format!("mend n{} to n{}", a + 1, b + 1));
    }

    /// Loses what `from` sends to `to`; the other way stays open.
    pub(crate) fn cut_one_way(&mut self, from: usize, to: usize) {
        self.sim.partition_oneway(super::name_of(from), super::name_of(to));
        self.set(from, to, Way::Cut);
        self.note(&format!("cut the way from n{} to n{}", from + 1, to + 1));
    }

    /// Lets nothing reach `host`, which goes on being heard.
    pub(crate) fn deafen(&mut self, host: usize) {
        for other in self.others(host) {
            self.cut_one_way(other, host);
        }
    }

    /// Lets nobody hear `host`, which goes on hearing.
    pub(crate) fn mute(&mut self, host: usize) {
        for other in self.others(host) {
            self.cut_one_way(host, other);
        }
    }

    /// Keeps back all messages between two hosts.
    pub(crate) fn hold(&mut self, a: usize, b: usize) {
        self.sim.hold(super::name_of(a), super::name_of(b));
        self.set(a, b, Way::Held);
        self.set(b, a, Way::Held);
        self.note(&format!("hold n{} and n{}", a + 1, b + 1));
    }

    /// Keeps back all messages from and to `host`.
    pub(crate) fn hold_all(&mut self, host: usize) {
        for other in self.others(host) {
            self.hold(host, other);
        }
    }

    /// Delivers what was kept back between two hosts, at once.
    pub(crate) fn release(&mut self, a: usize, b: usize) {
        self.sim.release(super::name_of(a), super::name_of(b));
        self.set(a, b, Way::Open);
        self.set(b, a, Way::Open);
        self.note(&format!("release n{} and n{}", a + 1, b + 1));
    }

    /// Delivers what was kept back, and mends all that was cut.
    pub(crate) fn heal(&mut self) {
        for a in 0..self.plan.hosts {
            for b in a + 1..self.plan.hosts {
                match (self.way(a, b), self.way(b, a)) {
                    (Way::Open, Way::Open) => {}
                    (Way::Held, _) | (_, Way::Held) => self.release(a, b),
                    (Way::Cut, _) | (_, Way::Cut) => self.mend(a, b),
                }
            }
        }
    }

    /// Lets every message between `host` and the others take `latency`.
    pub(crate) fn slow(&mut self, host: usize, latency: Duration) {
        for other in self.others(host) {
            self.sim.set_link_latency(super::name_of(host), super::name_of(other), latency);
        }
        self.note(&format!("n{} is {latency:?} away", host + 1));
    }

    /// Lets links break at random: each message breaks its link with this chance, from 0 to 1.
    pub(crate) fn fail_rate(&mut self, rate: f64) {
        self.sim.set_fail_rate(rate);
        self.note(&format!("each message breaks its link with a chance of {rate}"));
    }

    /// Mends every pair, those that broke at random included.
    pub(crate) fn mend_all(&mut self) {
        for a in 0..self.plan.hosts {
            for b in a + 1..self.plan.hosts {
                self.mend(a, b);
            }
        }
    }

    /// Kills the daemon of `host`; its kernel ends its streams.
    pub(crate) fn crash(&mut self, host: usize) {
        self.note(&format!("crash n{}", host + 1));
        self.end(host);
    }

    /// Takes the power from `host`: nobody is told.
    pub(crate) fn power_off(&mut self, host: usize) {
        self.note(&format!("power off n{}", host + 1));
        let ways: Vec<_> = self.others(host).collect();
        for other in &ways {
            self.sim.partition(super::name_of(host), super::name_of(*other));
        }
        self.end(host);
        for other in ways {
            match (self.way(host, other), self.way(other, host)) {
                (Way::Open, Way::Open) => {
                    self.sim.repair(super::name_of(host), super::name_of(other));
                }
                (Way::Held, _) | (_, Way::Held) => self.hold(host, other),
                (Way::Cut, Way::Cut) => {}
                (Way::Open, Way::Cut) => {
                    self.sim.repair_oneway(super::name_of(host), super::name_of(other));
                }
                (Way::Cut, Way::Open) => {
                    self.sim.repair_oneway(super::name_of(other), super::name_of(host));
                }
            }
        }
    }

    /// Starts the daemon of `host` again, with what is on its disk.
    pub(crate) fn boot(&mut self, host: usize) {
        self.note(&format!("boot n{}", host + 1));
        self.open_inbox(host);
        self.sim.bounce(super::name_of(host));
        if let Some(is_up) = self.up.get_mut(host) {
            *is_up = true;
        }
    }

    /// Loses what is on the disk of `host`, whose daemon must not run, and its containers.
    pub(crate) fn wipe(&mut self, host: usize) {
        self.note(&format!("wipe n{}", host + 1));
        self.disk(host).wipe();
        super::lock(&self.judge).wiped(host);
    }

    pub(super) fn end(&mut self, host: usize) {
        self.sim.crash(super::name_of(host));
        super::lock(&self.judge).gone(host);
        if let Some(is_up) = self.up.get_mut(host) {
            *is_up = false;
        }
    }

    /// Hosts that the network lets each host reach, over others that run if need be.
    pub(super) fn islands(&self) -> Vec<BTreeSet<usize>> {
        let island = |host: usize| {
            let mut island: BTreeSet<usize> = [host].into();
            let mut edge = vec![host];
            while let Some(at) = edge.pop() {
                for next in self.others(at) {
                    let is_up = self.up.get(next).copied().unwrap_or_default();
                    if is_up && self.may_link(at, next) && island.insert(next) {
                        edge.push(next);
                    }
                }
            }
            island
        };
        (0..self.plan.hosts).map(island).collect()
    }

    /// Whether a link between two hosts can stand: one of them dials, and nothing is lost.
    fn may_link(&self, a: usize, b: usize) -> bool {
        let hosts = self.plan.hosts;
        let dials = |a, b| (self.plan.targets)(a, hosts).contains(&b);
        let discovery = self.configs.get(a).is_some_and(|config| config.discovery);
        (discovery || dials(a, b) || dials(b, a))
            && self.way(a, b) == Way::Open
            && self.way(b, a) == Way::Open
    }

    pub(super) fn others(&self, host: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.plan.hosts).filter(move |other| *other != host)
    }

    fn across(&self, side: &[usize]) -> Vec<(usize, usize)> {
        let rest = (0..self.plan.hosts).filter(|host| !side.contains(host));
        rest.flat_map(|b| side.iter().map(move |a| (*a, b))).collect()
    }

    fn way(&self, from: usize, to: usize) -> Way {
        self.ways.get(&(from, to)).copied().unwrap_or_default()
    }

    fn set(&mut self, from: usize, to: usize, way: Way) {
        self.ways.insert((from, to), way);
    }
}
