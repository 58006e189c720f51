//! The simulated world: a clock that jumps to the next event, and the only caller of the nodes.

mod act;
mod busy;
mod call;
mod counted;
mod disks;
mod engine;
mod insider;
mod insiders;
mod judge;
mod life;
mod limits;
mod operator;
mod outsiders;
mod seen;
mod setup;
mod stranger;
mod traffic;
mod trust;
mod void;
mod ways;

pub use crate::peer::{BadPeer, Peer};
pub use act::{Act, Refusal};
pub use counted::Counted;
pub use insider::Lie;
pub use limits::Limits;
pub use operator::{container, name_of};
pub(crate) use setup::versions;
pub use setup::{Own, Setup};
pub use traffic::Addressee;
pub use ways::Nat;

use crate::check::{
    self, Deaths, Greeting, Hello, Invariant, PeerView, Steady, View, Violation, Wire,
};
use crate::choices::rng_for;
use crate::host::Host;
use crate::net::{Delivery, Endpoint, Net, PORT, STRANGER};
use crate::queue::Queue;
use crate::trace::{Digest, Trace, What};
use crate::verified;
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use stranger::Stranger;
use weft_core::addr::Universe;
use weft_core::event::Event;
use weft_core::id::ContainerId;
use weft_core::io::{CommandError, ConnId, Input, Reply, RequestId, Target};
use weft_core::time::Instant;

/// Most events that are kept; when there are more, the older half is dropped.
const EVENTS_MAX: usize = 200_000;

/// Where the next thing happens; at one time, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Plan,
    Net,
    Wake(usize),
    Free(usize),
}

/// What will happen.
#[derive(Debug)]
enum Due {
    /// A step of a plan.
    Act(Act),
    /// The process of a node that has stopped ends, if it is that run.
    Exit { host: usize, boot: u64 },
    /// The runtime of a host is told that something became of a container.
    Told { host: usize, id: ContainerId },
    /// The runtime of a host asks its engine for all containers.
    List { host: usize },
}

/// All hosts, the network between them, and the judge.
pub struct World {
    /// The world's clock.
    pub now: Instant,
    /// By host.
    pub hosts: Vec<Host>,
    /// Between them.
    pub net: Net,
    /// What happened so far.
    pub trace: Trace,
    /// What was reported, by whom: the last of it, [`EVENTS_MAX`] at most.
    pub events: Vec<(Instant, usize, Event)>,
    /// How often peers that live were taken for dead.
    pub deaths: Deaths,
    plan: Queue<Due>,
    /// When each node wants to be called without news, as (time, host).
    wakes: BTreeSet<(Instant, usize)>,
    /// When each node that cannot run just now can again, as (time, host).
    frees: BTreeSet<(Instant, usize)>,
    rng: ChaCha20Rng,
    seed: u64,
    view: View,
    rules: Vec<Box<dyn Invariant>>,
    touched: BTreeSet<usize>,
    judged_at: Instant,
    /// Whose records are looked through next, where there are many hosts.
    looks: usize,
    steady: Steady,
    /// What passes between hosts in datagrams.
    wire: Wire,
    /// What a node knew when it said hello on a conn.
    hellos: BTreeMap<Endpoint, Hello>,
    /// What each side of a stream has last greeted with.
    greetings: BTreeMap<Endpoint, Greeting>,
    requests: u64,
    replies: BTreeMap<RequestId, Result<Reply, CommandError>>,
    pings: u64,
    /// What strangers do, by their conns.
    strangers: BTreeMap<ConnId, Stranger>,
    visits: u64,
    breach: Option<Violation>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world in which no host runs yet.
    pub fn new(setup: &Setup) -> Self {
        verified::remember();
        let mut rng = rng_for(setup.seed, 0);
        let hosts: Vec<Host> = (0..setup.hosts)
            .map(|host| {
                let config = setup.config(host, PORT);
                let targets = setup
                    .targets(host)
                    .into_iter()
                    .map(|other| Target { host: format!("n{}", other + 1), port: PORT });
                // Wall clocks are wrong by up to a year either way: nothing may depend on them.
                let wall = 1_700_000_000 + i64::from(rng.next_u32() % 63_000_000) - 31_500_000;
                Host::new(config, targets.collect(), wall)
            })
            .collect();
        let mut net = Net::new(setup.conditions, rng_for(setup.seed, 1));
        for (a, b) in &setup.walls {
            net.paths.wall(a.0, b.0);
        }
        let peers = vec![PeerView::default(); hosts.len()];
        Self {
            now: Instant::ZERO,
            hosts,
            net,
            trace: Trace::new(setup.hosts, setup.universe, setup.echo),
            events: Vec::new(),
            deaths: Deaths::default(),
            plan: Queue::new(),
            wakes: BTreeSet::new(),
            frees: BTreeSet::new(),
            rng,
            seed: setup.seed,
            view: View::new(Instant::ZERO, setup.universe, peers),
            rules: check::all(),
            touched: BTreeSet::new(),
            judged_at: Instant::ZERO,
            looks: 0,
            steady: Steady::default(),
            wire: Wire::default(),
            hellos: BTreeMap::new(),
            greetings: BTreeMap::new(),
            requests: 0,
            replies: BTreeMap::new(),
            pings: 0,
            strangers: BTreeMap::new(),
            visits: 0,
            breach: None,
        }
    }

    /// Judges by `rules` only; for worlds that are meant to be broken.
    pub fn judge_by(&mut self, rules: Vec<Box<dyn Invariant>>) {
        self.rules = rules;
        // New rules know of nobody.
        self.touched.extend(0..self.hosts.len());
    }

    /// Judges by `rules` too, besides those that it has.
    pub fn judge_also_by(&mut self, rules: Vec<Box<dyn Invariant>>) {
        self.rules.extend(rules);
        self.touched.extend(0..self.hosts.len());
    }

    /// What the mesh divides.
    pub const fn universe(&self) -> Universe {
        self.view.universe
    }

    /// The identity of the run so far.
    pub const fn digest(&self) -> Digest {
        self.trace.digest()
    }

    /// Lets the next thing happen, wherever it does. Returns whether anything did.
    ///
    /// # Errors
    /// A broken rule.
    pub fn step(&mut self) -> Result<bool, Violation> {
        let Some((at, next)) = self.next() else { return Ok(false) };
        self.now = self.now.max(at);
        match next {
            Next::Plan => {
                if let Some((_, due)) = self.plan.pop() {
                    self.due(due);
                }
            }
            Next::Net => match self.net.step() {
                Some((_, Some(Delivery::Input { host: STRANGER, input, .. }))) => {
                    self.stranger_hears(&input);
                }
                Some((_, Some(Delivery::Input { host, boot, input }))) => {
                    if self.hosts[host].boots == boot && self.hosts[host].running.is_some() {
                        self.deliver(host, input);
                    }
                }
                Some((_, Some(Delivery::Datagram(datagram)))) if datagram.host == STRANGER => {
                    self.insider_is_sent(&datagram.bytes);
                }
                Some((_, Some(Delivery::Datagram(datagram)))) => self.receive(datagram),
                Some((_, None)) | None => {}
            },
            Next::Wake(host) => self.call(host, Input::Timeout),
            Next::Free(host) => self.go_on(host),
        }
        self.watch();
        self.judge()?;
        Ok(true)
    }

    /// What happens next, and when.
    fn next(&self) -> Option<(Instant, Next)> {
        let plan = self.plan.next_at().map(|at| (at, Next::Plan));
        let net = self.net.next_at().map(|at| (at, Next::Net));
        let wake = self.wakes.first().map(|(at, host)| (*at, Next::Wake(*host)));
        let free = self.frees.first().map(|(at, host)| (*at, Next::Free(*host)));
        [plan, net, wake, free].into_iter().flatten().min()
    }

    /// Plans `act` for `at`.
    pub fn plan(&mut self, at: Instant, act: Act) {
        self.plan.push(at, Due::Act(act));
    }

    fn due(&mut self, due: Due) {
        match due {
            Due::Act(act) => {
                self.act(&act);
            }
            Due::Exit { host, boot } => self.exit(host, boot),
            Due::Told { host, id } => self.follow(host, &id),
            Due::List { host } => self.list_again(host),
        }
    }

    /// Runs for `wait` of simulated time.
    ///
    /// # Errors
    /// A broken rule.
    pub fn run_for(&mut self, wait: Duration) -> Result<(), Violation> {
        self.run_until(wait, |_| false).map(|_| ())
    }

    /// Runs until `done`, at most for `wait`. Returns whether it is done.
    ///
    /// # Errors
    /// A broken rule.
    pub fn run_until(
        &mut self,
        wait: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<bool, Violation> {
        let end = self.now + wait;
        loop {
            if let Some(breach) = self.breach.take() {
                return Err(breach);
            }
            if done(self) {
                return Ok(true);
            }
            let look_at = self.look_at();
            match self.next() {
                Some((at, _)) if at <= end.min(look_at) => {
                    self.step()?;
                }
                Some(_) | None if look_at <= end => {
                    self.now = self.now.max(look_at);
                    self.judge()?;
                }
                Some(_) | None => {
                    self.now = end;
                    return Ok(false);
                }
            }
        }
    }

    fn note(&mut self, host: Option<usize>, part: &'static str, what: fmt::Arguments<'_>) {
        self.tell(host, What::note(part, what.to_string()));
    }

    fn tell(&mut self, host: Option<usize>, what: What) {
        self.watch();
        let running = host.and_then(|host| self.hosts.get(host)?.running.as_ref());
        let summary = running.map(|running| running.summary);
        self.trace.tell(self.now, host.map(Peer), what, summary);
    }

    /// Keeps everything that happens from here on, every message too. The run stays the same.
    pub fn record(&mut self) {
        self.trace.keep_all();
        self.net.sightings.watch();
    }

    /// Hands what was seen in the network to the record, if one is kept.
    fn watch(&mut self) {
        if !self.trace.keeps_all() {
            return;
        }
        for sighting in self.net.sightings.take() {
            self.trace.sighting(sighting);
        }
        let hosts = 0..self.hosts.len();
        let pairs = hosts.clone().flat_map(|a| hosts.clone().map(move |b| (a, b)));
        let blocked = pairs.filter(|(a, b)| a != b && self.net.paths.blocked(*a, *b));
        self.trace.ways(self.now, blocked.map(|(a, b)| (Peer(a), Peer(b))).collect());
    }

    /// Says in the record that a rule was broken.
    pub fn tell_broken(&mut self, violation: &Violation) {
        let (rule, detail) = (violation.rule.to_owned(), violation.detail.clone());
        self.tell(None, What::Broken { rule, detail });
    }

    /// A number below `below` from the world's own chances.
    pub fn draw(&mut self, below: u64) -> u64 {
        if below == 0 { 0 } else { self.rng.next_u64() % below }
    }
}
