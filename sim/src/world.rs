//! The simulated world: a clock that jumps to the next event, and the only caller of the nodes.

use crate::check::{self, Invariant, PeerView, View, Violation, When};
use crate::frame::{BROADCAST, EtherPayload, Frame, MacBytes};
use crate::history::{Digest, History};
use crate::host::{Container, Host, Running, Wishes};
use crate::net::{Conditions, Net, PORT, address_of};
use crate::queue::{Happening, Queue};
use crate::scenario::Setup;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use weft_core::config::Config;
use weft_core::event::Event;
use weft_core::forward::Forwarder;
use weft_core::id::ContainerId;
use weft_core::io::{Command, CommandError, Input, Outbox, Output, Reply, RequestId, Target};
use weft_core::names::NameEntry;
use weft_core::node::{Node, Seed};
use weft_core::time::Instant;

/// Rules that look at all hosts are judged after each event that changed something they see, and
/// at least this often, for those that depend on time alone.
const JUDGE_WAIT: Duration = Duration::from_millis(500);

/// A settled world is looked at this often, and must look settled twice running.
const SETTLE_STEP: Duration = Duration::from_millis(500);

/// All hosts, the network between them, and the judge.
pub struct World {
    /// The world's clock.
    pub now: Instant,
    /// By host.
    pub hosts: Vec<Host>,
    /// Between them.
    pub net: Net,
    /// What happened so far.
    pub history: History,
    /// What each event did that was reported, by host.
    pub events: Vec<(Instant, usize, Event)>,
    pub(crate) queue: Queue,
    rng: ChaCha20Rng,
    seed: u64,
    view: View,
    rules: Vec<Box<dyn Invariant>>,
    touched: BTreeSet<usize>,
    judged_at: Instant,
    requests: u64,
    replies: BTreeMap<RequestId, Result<Reply, CommandError>>,
    pings: u64,
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

/// A child generator of `seed`, one per purpose.
pub(crate) fn rng_for(seed: u64, purpose: u64) -> ChaCha20Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&purpose.to_le_bytes());
    ChaCha20Rng::from_seed(bytes)
}

/// The name that containers are registered under.
fn name_of(id: &ContainerId) -> String {
    format!("{id}.weft.local")
}

impl World {
    /// A world in which no host runs yet.
    pub fn new(setup: &Setup) -> Self {
        let mut rng = rng_for(setup.seed, 0);
        let hosts: Vec<Host> = (0..setup.hosts)
            .map(|host| {
                let config = Config {
                    nickname: format!("n{}", host + 1),
                    port: PORT,
                    secret: setup.secret.get(host).cloned().flatten(),
                    universe: setup.universe,
                    founding: setup.founding.clone(),
                    discovery: setup.discovery,
                    ..Config::default()
                };
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
            net.wall(*a, *b);
        }
        let peers = vec![PeerView::default(); hosts.len()];
        Self {
            now: Instant::ZERO,
            hosts,
            net,
            history: History::new(setup.echo),
            events: Vec::new(),
            queue: Queue::default(),
            rng,
            seed: setup.seed,
            view: View { at: Instant::ZERO, universe: setup.universe, peers },
            rules: check::all(),
            touched: BTreeSet::new(),
            judged_at: Instant::ZERO,
            requests: 0,
            replies: BTreeMap::new(),
            pings: 0,
            breach: None,
        }
    }

    /// Judges by `rules` only; for worlds that are meant to be broken.
    pub fn judge_by(&mut self, rules: Vec<Box<dyn Invariant>>) {
        self.rules = rules;
    }

    /// The identity of the run so far.
    pub const fn digest(&self) -> Digest {
        self.history.digest()
    }

    /// How well the network works from here on.
    pub fn conditions(&mut self, conditions: Conditions) {
        self.net.conditions = conditions;
        self.note(None, "net", format_args!("{conditions:?}"));
    }

    /// Starts the node of `host`, if it does not run, and has it dial its targets.
    pub fn boot(&mut self, host: usize) {
        if self.hosts[host].running.is_some() {
            return;
        }
        self.net.light(self.now, host, &mut self.queue);
        let boots = self.hosts[host].boots + 1;
        self.hosts[host].boots = boots;
        let mut seed = [0; 32];
        let purpose = 2 + u64::try_from(host).unwrap_or(0) + (boots << 32);
        rng_for(self.seed, purpose).fill_bytes(&mut seed);
        let mut out = Outbox::default();
        let (config, saved) = (self.hosts[host].config.clone(), self.hosts[host].disk.saved());
        let now = weft_core::time::Now {
            mono: Instant::ZERO,
            unix: weft_core::time::UnixTime(self.hosts[host].wall),
        };
        let hops_max = config.hops_max;
        let node = match Node::new(config, saved, Seed(seed), now, &mut out) {
            Ok(node) => node,
            Err(error) => return self.breach("sim.starts", format!("n{}: {error}", host + 1)),
        };
        let forwarder = Forwarder::new(node.name(), hops_max);
        self.hosts[host].running = Some(Running::new(node, forwarder, self.now));
        self.note(Some(host), "sim", format_args!("start {boots}"));
        self.finish_call(host, &mut out);
        if self.hosts[host].running.is_some() {
            let targets = self.hosts[host].targets.clone();
            self.ask(host, Command::Connect { targets, replace: false });
        }
    }

    /// Kills the node of `host` at once; with `power`, the machine under it too.
    pub fn crash(&mut self, host: usize, power: bool) {
        if self.hosts[host].running.take().is_none() {
            return;
        }
        self.hosts[host].crash_after = None;
        self.net.crash(self.now, host, power, &mut self.queue);
        self.note(
            None,
            "FAULT",
            format_args!("crash n{}{}", host + 1, if power { ", power" } else { "" }),
        );
        self.touched.insert(host);
    }

    /// Kills the node of `host` once it has had `outputs` more of its outputs carried out.
    pub fn crash_soon(&mut self, host: usize, outputs: usize, power: bool) {
        self.hosts[host].crash_after = Some(outputs);
        self.hosts[host].crash_power = power;
    }

    /// Cuts all hosts in `side` off from all others.
    pub fn partition(&mut self, side: &BTreeSet<usize>) {
        for a in 0..self.hosts.len() {
            for b in 0..self.hosts.len() {
                if side.contains(&a) != side.contains(&b) {
                    self.net.cut(a, b);
                }
            }
        }
        self.note(None, "FAULT", format_args!("partition {side:?} | rest (counted from 0)"));
    }

    /// Ends all cuts.
    pub fn heal(&mut self) {
        self.net.heal(self.now, &mut self.queue);
        self.note(None, "HEAL", format_args!("all cuts"));
    }

    /// Gives a command to the node of `host`. If it does not run, the answer never comes.
    pub fn ask(&mut self, host: usize, command: Command) -> RequestId {
        let request = RequestId(self.requests);
        self.requests += 1;
        self.expect(host, &command);
        if let Some(running) = &mut self.hosts[host].running {
            running.asked.insert(request, (self.now, command.clone()));
            self.note(Some(host), "ask", format_args!("{} {}", request.0, short(&command)));
            self.call(host, Input::Command { request, command });
        }
        request
    }

    /// Gives a command and lets the world run until its answer.
    ///
    /// # Errors
    /// A broken rule, or no answer within 30 s or because the node died.
    pub fn answer(
        &mut self,
        host: usize,
        command: Command,
    ) -> Result<Result<Reply, CommandError>, Violation> {
        let request = self.ask(host, command);
        self.run_until(Duration::from_secs(30), |world| world.replies.contains_key(&request))?;
        let at = self.now;
        self.replies.remove(&request).ok_or_else(|| Violation {
            rule: "sim.answer",
            at,
            detail: format!("n{} never answered request {}", host + 1, request.0),
        })
    }

    /// Takes the answer to `request`, if it has come.
    pub fn take_reply(&mut self, request: RequestId) -> Option<Result<Reply, CommandError>> {
        self.replies.remove(&request)
    }

    /// Attaches a container: allocates an address for it and registers `ID.weft.local`.
    ///
    /// # Errors
    /// A broken rule, or a command that was refused.
    pub fn attach(&mut self, host: usize, id: &str) -> Result<IpAddr, Violation> {
        let id = container(id);
        let reply = self.answer(host, Command::Allocate { id: id.clone(), subnet: None })?;
        let Ok(Reply::Addresses(addresses)) = reply else {
            return Err(self.refused(host, &format!("{reply:?}")));
        };
        let Some(address) = addresses.first().map(ipnet::IpNet::addr) else {
            return Err(self.refused(host, "no address"));
        };
        self.register(host, &id, address)?;
        Ok(address)
    }

    /// Registers `ID.weft.local` for `address`.
    ///
    /// # Errors
    /// A broken rule, or a refusal.
    pub fn register(
        &mut self,
        host: usize,
        id: &ContainerId,
        address: IpAddr,
    ) -> Result<(), Violation> {
        let Ok(name) = name_of(id).parse() else { return Err(self.refused(host, "bad name")) };
        match self.answer(host, Command::Register { id: id.clone(), name, address })? {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refused(host, &error.to_string())),
        }
    }

    fn refused(&self, host: usize, why: &str) -> Violation {
        let detail = format!("n{}: {why}", host + 1);
        Violation { rule: "sim.attach", at: self.now, detail }
    }

    /// Pings from a container to a name, as a program in it would: resolves the name at its own
    /// host, then the address, then sends echoes once a second. Returns the time until an answer.
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
        let (begun, id, name) = (self.now, container(from), name_of(&container(to)));
        self.pings += 1;
        let number = self.pings;
        while self.now.since(begun) < patience {
            if let Some(frame) = self.next_frame(host, &id, &name, number) {
                self.send_frame(host, &frame);
            }
            let answered = |world: &Self| {
                let container = world.hosts[host].containers.get(&id);
                container.is_some_and(|container| container.answers.contains_key(&number))
            };
            if self.run_until(Duration::from_millis(200), answered)? {
                return Ok(self.now.since(begun));
            }
        }
        let detail = format!("{from} on n{} got no answer from {name}", host + 1);
        Err(Violation { rule: "sim.ping", at: self.now, detail })
    }

    /// What the container sends next in order to ping `name`.
    fn next_frame(&self, host: usize, id: &ContainerId, name: &str, number: u64) -> Option<Frame> {
        let node = &self.hosts[host].running.as_ref()?.node;
        let to = node.names().iter().find(|known| known.entry.name.as_str() == name)?.entry.address;
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
    fn announce(&mut self, host: usize, id: &ContainerId) {
        let Some(container) = self.hosts[host].containers.get(id) else { return };
        let address = container.address;
        let payload = EtherPayload::WhoHas { address, from: address };
        let frame = Frame { source: container.mac, destination: BROADCAST, payload };
        self.send_frame(host, &frame);
    }

    fn carry_wishes(&mut self, host: usize, mut wishes: Wishes) {
        let mono = self.hosts[host].now(self.now).map_or(Instant::ZERO, |now| now.mono);
        for bytes in std::mem::take(&mut wishes.delivered) {
            if let Some(frame) = Frame::from_bytes(&bytes) {
                self.hosts[host].bridge(mono, &frame, false, &mut wishes);
            }
        }
        for (to, bytes) in wishes.sent {
            self.net.datagram(self.now, host, to, &bytes, &mut self.queue);
        }
        for (from, bytes) in wishes.probes {
            self.call(host, Input::Datagram { from, bytes });
        }
    }

    /// Lets the next thing happen, wherever it does. Returns whether anything did.
    ///
    /// # Errors
    /// A broken rule.
    pub fn step(&mut self) -> Result<bool, Violation> {
        let wake = self.next_wake();
        let queued = self.queue.next_at();
        match (queued, wake) {
            (None, None) => return Ok(false),
            (at, Some((wake_at, host))) if at.is_none_or(|at| wake_at < at) => {
                self.now = self.now.max(wake_at);
                self.call(host, Input::Timeout);
            }
            (Some(_) | None, _) => {
                if let Some((at, happening)) = self.queue.pop() {
                    self.now = self.now.max(at);
                    self.happen(happening);
                }
            }
        }
        self.judge()?;
        Ok(true)
    }

    fn next_wake(&self) -> Option<(Instant, usize)> {
        let wake = |host: &Host| host.running.as_ref().and_then(|running| running.wake_at);
        let wakes = self.hosts.iter().enumerate();
        wakes.filter_map(|(index, host)| wake(host).map(|at| (at, index))).min()
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
            let next = [self.queue.next_at(), self.next_wake().map(|(at, _)| at)];
            match next.into_iter().flatten().min() {
                Some(at) if at <= end => {
                    self.step()?;
                }
                Some(_) | None => {
                    self.now = end;
                    return Ok(false);
                }
            }
        }
    }

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
        let islands: Vec<BTreeSet<usize>> =
            (0..self.hosts.len()).map(|host| self.island(host)).collect();
        for ((peer, host), island) in self.view.peers.iter_mut().zip(&self.hosts).zip(islands) {
            peer.read_addresses(host);
            peer.island = island;
            if let (Some(now), Some(running)) = (host.now(self.now), &host.running) {
                peer.read_mesh(&running.node, now);
            }
        }
    }

    /// Hosts that run and to which a way exists from `host`, over others that run if need be.
    fn island(&self, host: usize) -> BTreeSet<usize> {
        let mut island: BTreeSet<usize> = [host].into();
        let mut edge = vec![host];
        while let Some(at) = edge.pop() {
            for next in 0..self.hosts.len() {
                if self.hosts[next].running.is_some()
                    && self.net.connected(at, next)
                    && island.insert(next)
                {
                    edge.push(next);
                }
            }
        }
        island
    }

    fn judge(&mut self) -> Result<(), Violation> {
        if let Some(breach) = self.breach.take() {
            return Err(breach);
        }
        if self.touched.is_empty() && self.now.since(self.judged_at) < JUDGE_WAIT {
            return Ok(());
        }
        for host in std::mem::take(&mut self.touched) {
            self.view.peers[host].read_addresses(&self.hosts[host]);
        }
        self.judged_at = self.now;
        self.view.at = self.now;
        check::judge(&mut self.rules, When::Always, &self.view)
    }

    fn breach(&mut self, rule: &'static str, detail: String) {
        let at = self.now;
        self.breach.get_or_insert(Violation { rule, at, detail });
    }

    fn note(&mut self, host: Option<usize>, part: &str, what: fmt::Arguments<'_>) {
        let summary = |host: usize| {
            let running = self.hosts[host].running.as_ref();
            (host, running.map_or_else(Default::default, |running| running.summary))
        };
        self.history.line(self.now, host.map(summary), part, what);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Input { host, boot, input } => {
                if self.hosts[host].boots == boot && self.hosts[host].running.is_some() {
                    self.deliver(host, input);
                }
            }
            Happening::Syn { stream } => {
                let hosts = &mut self.hosts;
                let accept = |host: usize| {
                    let host = hosts.get_mut(host)?;
                    let running = host.running.as_mut()?;
                    running.accepted += 1;
                    let conn = weft_core::io::ConnId::accepted(running.accepted);
                    Some((host.boots, conn))
                };
                let delivery = self.net.syn(self.now, stream, accept, &mut self.queue);
                if let Some(delivery) = delivery {
                    self.deliver(delivery.host, delivery.input);
                }
            }
            Happening::Pump { stream, end } => {
                let delivery = self.net.pump(self.now, stream, end, &mut self.queue);
                if let Some(delivery) = delivery {
                    self.deliver(delivery.host, delivery.input);
                }
            }
            Happening::Abandon { stream, end, since } => {
                if let Some(delivery) = self.net.abandon(stream, end, since) {
                    self.deliver(delivery.host, delivery.input);
                }
            }
            Happening::Datagram { from, to, bytes } => {
                let source = std::net::SocketAddr::new(address_of(from), PORT);
                let passes = self.net.passes(from, to);
                let Some(host) = self.hosts.get_mut(to).filter(|_| passes) else { return };
                let mono = host.now(self.now).map_or(Instant::ZERO, |now| now.mono);
                let Some(running) = &mut host.running else { return };
                let mut wishes = Wishes::default();
                running.forwarder.datagram(mono, source, &bytes, &mut wishes);
                self.carry_wishes(to, wishes);
            }
            Happening::Act(act) => self.act(act),
        }
    }

    /// Tells a node about one of its conns, unless that is over already.
    fn deliver(&mut self, host: usize, input: Input) {
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
    fn call(&mut self, host: usize, input: Input) {
        let Some(now) = self.hosts[host].now(self.now) else { return };
        self.history.input(self.now, host, &input);
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
    fn finish_call(&mut self, host: usize, out: &mut Outbox) {
        let Some(now) = self.hosts[host].now(self.now) else { return };
        let Some(running) = &mut self.hosts[host].running else { return };
        let deadline = running.node.deadline();
        running.wake_at =
            deadline.map(|deadline| running.booted_at + deadline.at.since(Instant::ZERO));
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
                self.net.dial(now, host, boot, conn, &target, &mut self.queue);
            }
            Output::Write { conn, bytes } => {
                self.net.write(now, host, conn, bytes, &mut self.queue);
            }
            Output::Close { conn } => self.net.close(now, host, conn, &mut self.queue),
            Output::Datagram { to, bytes } => {
                self.net.datagram(now, host, to, &bytes, &mut self.queue);
            }
            Output::Persist(changes) => {
                self.hosts[host].disk.persist(changes);
                self.touched.insert(host);
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
                self.note(Some(host), part(&event), format_args!("{event:?}"));
                self.touched.insert(host);
                self.events.push((now, host, event));
            }
        }
    }

    /// What the outside may rely on once a command is given, before its answer.
    fn expect(&mut self, host: usize, command: &Command) {
        let host = &mut self.hosts[host];
        match command {
            Command::Release { id, address } => {
                // Whoever gives an address back has stopped using it.
                let held = host.held.entry(id.clone()).or_default();
                held.retain(|net| address.is_some_and(|address| address != net.addr()));
                if held.is_empty() {
                    host.held.remove(id);
                    host.containers.remove(id);
                }
            }
            Command::Register { id, name, address } => {
                let entry = NameEntry { name: name.clone(), address: *address, id: id.clone() };
                host.names_possible.insert(entry);
            }
            Command::Unregister { id, name, address } => {
                host.names_sure.retain(|entry| !matches(entry, id, name, address));
            }
            Command::Connect { .. }
            | Command::Forget { .. }
            | Command::Allocate { .. }
            | Command::Claim { .. }
            | Command::Prime
            | Command::Leave
            | Command::Stop => {}
        }
    }

    fn reply(&mut self, host: usize, request: RequestId, result: Result<Reply, CommandError>) {
        self.touched.insert(host);
        let asked = self.hosts[host].running.as_mut().and_then(|run| run.asked.remove(&request));
        let Some((_, command)) = asked else { return };
        let text = match &result {
            Ok(reply) => format!("{reply:?}"),
            Err(error) => error.to_string(),
        };
        self.note(Some(host), "reply", format_args!("{} {text}", request.0));
        let universe = self.view.universe;
        let there = &mut self.hosts[host];
        match (&command, &result) {
            (
                Command::Allocate { id, .. } | Command::Claim { id, .. },
                Ok(Reply::Addresses(given)),
            ) => {
                let inside = |net: &&ipnet::IpNet| universe.offset(net.addr()).is_some();
                let given: Vec<ipnet::IpNet> = given.iter().filter(inside).copied().collect();
                let durable = there.disk.holds(request, id, &given);
                for net in given {
                    there.held.entry(id.clone()).or_default().insert(net);
                    there.containers.entry(id.clone()).or_insert_with(|| Container {
                        mac: mac_of(id),
                        address: net.addr(),
                        neighbours: BTreeMap::new(),
                        echoes_in: 0,
                        answers: BTreeMap::new(),
                    });
                }
                let id = id.clone();
                if let Err(why) = durable {
                    self.breach("persist-before-reply", format!("n{}: {why}", host + 1));
                }
                self.announce(host, &id);
            }
            (Command::Register { id, name, address }, Ok(_)) => {
                let entry = NameEntry { name: name.clone(), address: *address, id: id.clone() };
                there.names_sure.insert(entry);
            }
            (Command::Unregister { id, name, address }, Ok(_)) => {
                let sure = &there.names_sure;
                there
                    .names_possible
                    .retain(|entry| sure.contains(entry) || !matches(entry, id, name, address));
            }
            (_, Ok(_) | Err(_)) => {}
        }
        self.replies.insert(request, result);
    }

    /// A number below `below` from the world's own chances.
    pub fn draw(&mut self, below: u64) -> u64 {
        if below == 0 { 0 } else { self.rng.next_u64() % below }
    }
}

fn matches(
    entry: &NameEntry,
    id: &Option<ContainerId>,
    name: &Option<weft_core::names::Name>,
    address: &Option<IpAddr>,
) -> bool {
    id.as_ref().is_none_or(|id| *id == entry.id)
        && name.as_ref().is_none_or(|name| *name == entry.name)
        && address.is_none_or(|address| address == entry.address)
}

/// The id of a simulated container: `text` without what an id may not have.
pub fn container(text: &str) -> ContainerId {
    text.parse().unwrap_or_else(|_| ContainerId::external())
}

/// A locally administered MAC that follows from the id, so that it moves with the container.
fn mac_of(id: &ContainerId) -> MacBytes {
    let print = weft_core::record::Fingerprint::of(id.as_str().as_bytes()).0;
    [0x0a, print[0], print[1], print[2], print[3], print[4]]
}

fn short(command: &Command) -> String {
    match command {
        Command::Connect { targets, replace } => format!("connect {} {replace}", targets.len()),
        Command::Forget { targets } => format!("forget {}", targets.len()),
        Command::Allocate { id, .. } => format!("allocate {id}"),
        Command::Claim { id, address } => format!("claim {address} for {id}"),
        Command::Release { id, .. } => format!("release {id}"),
        Command::Register { name, address, .. } => format!("register {name} = {address}"),
        Command::Unregister { id, .. } => format!("unregister {id:?}"),
        Command::Prime => "prime".to_owned(),
        Command::Leave => "leave".to_owned(),
        Command::Stop => "stop".to_owned(),
    }
}

const fn part(event: &Event) -> &'static str {
    match event {
        Event::ConnUp { .. } | Event::ConnDown { .. } => "conn",
        Event::LinkUp { .. } | Event::LinkDown { .. } => "link",
        Event::PeerUp { .. } | Event::PeerDown { .. } => "mesh",
        Event::RecordRefused { .. } => "gossip",
        Event::Founded { .. }
        | Event::Granted { .. }
        | Event::Allocated { .. }
        | Event::Released { .. }
        | Event::OwnershipConflict { .. } => "ipam",
        Event::NameAdded { .. } | Event::NameRemoved { .. } => "dns",
    }
}
