//! The other bed: the runtime as it runs in production (driver, streams, timers, API, shutdown), on
//! turmoil's simulated network.
//!
//! Finds what the event-driven world cannot: lost wake-ups, wrong `select!`s, streams that are half
//! closed. Every call of every node is judged by the same rules, and the driver by the contract.
//! turmoil's TCP never recovers what is sent across a `partition`, so links end there by silence
//! and are dialed again. Disk, kernel and the way to the API are stand-ins: [`Disk`], [`Kernel`],
//! TCP on [`API_PORT`].

mod disk;
mod faults;
mod folder;
mod frames;
mod host;
mod inside;
mod judge;
mod kernel;
mod net;
mod plan;

pub(crate) use disk::Disk;
pub(crate) use inside::{Inside, Job};
pub(crate) use kernel::Kernel;
pub(crate) use net::PORT;
pub(crate) use plan::Plan;

use faults::Way;
use host::Host;
use inside::Work;
use judge::Judge;
use sim::check::{Told, View, Violation};
use sim::logs::Errors;
use sim::trace::Digest;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::mpsc;
use weft::api::client::{Answer, Content, Method};
use weft_core::config::Config;
use weft_core::id::ContainerId;
use weft_core::io::CommandError;
use weft_core::names::Name;
use weft_core::status::Status;
use weft_core::time::Instant;

/// What the simulated wall clocks say at first, in seconds since 1970.
const EPOCH: u64 = 1_700_000_000;

/// Chance of a link that broke at random to be mended by the next message.
const REPAIR_RATE: f64 = 0.2;

/// Whatever a script asks of a host is answered within this time, or the script fails.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A mesh is looked at this often when it is to settle, and must look settled twice running.
const SETTLE_STEP: Duration = Duration::from_millis(500);

/// Lines of history that are shown with a failure.
const LINES_SHOWN: usize = 40;

/// Hosts `n1`, `n2`, … with daemons on one simulated network, and the judge.
pub(crate) struct Bed {
    sim: turmoil::Sim<'static>,
    plan: Plan,
    configs: Vec<Config>,
    hosts: Vec<Rc<Host>>,
    inboxes: Vec<Option<mpsc::UnboundedSender<Work>>>,
    /// Which daemons run.
    up: Vec<bool>,
    ways: BTreeMap<(usize, usize), Way>,
    exits: Vec<Option<Result<(), String>>>,
    judge: Arc<Mutex<Judge>>,
    errors: Errors,
}

/// A rule that was broken, and what happened before.
pub(crate) struct Failure {
    /// Which rule, and how.
    pub(crate) violation: Violation,
    seed: u64,
    history: String,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (seed {})\n{}", self.violation, self.seed, self.history)
    }
}

impl fmt::Debug for Bed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bed").field("plan", &self.plan).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the network calls a host.
fn name_of(host: usize) -> String {
    format!("n{}", host + 1)
}

/// The id of a container, from what it is called.
pub(crate) fn container(text: &str) -> ContainerId {
    text.parse().unwrap_or_else(|_| ContainerId::external())
}

/// The name of a container in the mesh.
pub(crate) fn domain_name(text: &str) -> Name {
    let name = format!("{text}.weft.local").parse();
    name.unwrap_or_else(|why| panic!("'{text}' cannot be a name: {why}"))
}

impl Bed {
    /// A bed in which all hosts are about to start.
    ///
    /// # Errors
    /// When there is no folder for the files of its hosts.
    pub(crate) fn new(plan: Plan) -> anyhow::Result<Self> {
        let errors = Errors::listen();
        let mut sim = turmoil::Builder::new()
            .rng_seed(plan.seed)
            .epoch(UNIX_EPOCH + Duration::from_secs(EPOCH))
            .simulation_duration(Duration::from_secs(3_600))
            .tick_duration(plan.tick)
            .min_message_latency(plan.latency.0)
            .max_message_latency(plan.latency.1)
            .repair_rate(REPAIR_RATE)
            .build();
        let configs: Vec<Config> =
            (0..plan.hosts).map(|host| plan.config(host)).collect::<Result<_, _>>()?;
        let universe = configs.first().map_or(weft_core::addr::Universe::DEFAULT, |c| c.universe);
        let told: Vec<Told> = configs.iter().map(Told::of).collect();
        let judge = Arc::new(Mutex::new(Judge::new(&told, universe, plan.echo)));
        let mut hosts = Vec::new();
        for index in 0..plan.hosts {
            let host = Rc::new(Host::new(index, plan, Arc::clone(&judge))?);
            hosts.push(Rc::clone(&host));
            sim.host(name_of(index), move || {
                let host = Rc::clone(&host);
                async move {
                    let result = host.run().await.map_err(|why| format!("{why:#}"));
                    host.exit.replace(Some(result));
                    // The bed ends what is left, as the kernel does with a process.
                    std::future::pending().await
                }
            });
        }
        let mut bed = Self {
            sim,
            plan,
            configs,
            hosts,
            inboxes: (0..plan.hosts).map(|_| None).collect(),
            up: vec![true; plan.hosts],
            ways: BTreeMap::new(),
            exits: vec![None; plan.hosts],
            judge,
            errors,
        };
        (0..plan.hosts).for_each(|host| bed.open_inbox(host));
        Ok(bed)
    }

    fn open_inbox(&mut self, host: usize) {
        let (send, receive) = mpsc::unbounded_channel();
        if let Some(inbox) = self.inboxes.get_mut(host) {
            *inbox = Some(send);
        }
        if let Some(host) = self.hosts.get(host) {
            host.inbox.replace(Some(receive));
        }
        if let Some(exit) = self.exits.get_mut(host) {
            *exit = None;
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.sim.elapsed()
    }

    /// What is seen of all hosts.
    pub(crate) fn view(&self) -> View {
        lock(&self.judge).view().clone()
    }

    /// The identity of the run so far.
    pub(crate) fn digest(&self) -> Digest {
        lock(&self.judge).trace().digest()
    }

    /// The disk of `host`.
    pub(crate) fn disk(&self, host: usize) -> &Disk {
        &self.hosts[host].disk
    }

    /// The kernel of `host`.
    pub(crate) fn kernel(&self, host: usize) -> &Kernel {
        &self.hosts[host].kernel
    }

    /// What the daemon of `host` ended with since it was last booted.
    pub(crate) fn exit(&self, host: usize) -> Option<&Result<(), String>> {
        self.exits[host].as_ref()
    }

    fn note(&self, what: &str) {
        lock(&self.judge).note(self.now(), what);
    }

    fn failure(&self, violation: Violation) -> Failure {
        let judge = lock(&self.judge);
        let lines = judge.trace().last(LINES_SHOWN);
        Failure { violation, seed: self.plan.seed, history: lines.join("\n") }
    }

    fn fail(&self, rule: &'static str, detail: impl fmt::Display) -> Failure {
        let detail = detail.to_string();
        self.failure(Violation { rule, at: self.now(), detail })
    }

    /// Lets one tick pass.
    fn step(&mut self) -> Result<(), Failure> {
        let step = self.sim.step();
        step.map_err(|why| self.fail("turmoil.host", why))?;
        let now = self.now();
        for index in 0..self.plan.hosts {
            let Some(result) = self.hosts[index].exit.take() else { continue };
            self.note(&format!("the daemon of n{} has ended: {result:?}", index + 1));
            self.end(index);
            if let Err(why) = &result
                && !self.disk(index).is_broken()
            {
                return Err(self.fail("turmoil.daemon", format!("n{}: {why}", index + 1)));
            }
            self.exits[index] = Some(result);
        }
        lock(&self.judge).tick(now);
        let breach = lock(&self.judge).breach().map_or(Ok(()), Err);
        breach.and_then(|()| self.errors.judge(now)).map_err(|violation| self.failure(violation))
    }

    /// Lets time pass; the rules for every moment are judged all along.
    ///
    /// # Errors
    /// A broken rule.
    pub(crate) fn run_for(&mut self, wait: Duration) -> Result<(), Failure> {
        let end = self.sim.elapsed() + wait;
        while self.sim.elapsed() < end {
            self.step()?;
        }
        Ok(())
    }

    /// Lets time pass until `done`. Returns how long that took.
    ///
    /// # Errors
    /// A broken rule, or that `what` did not come about within `bound`.
    pub(crate) fn until(
        &mut self,
        bound: Duration,
        what: &str,
        done: impl Fn(&View) -> bool,
    ) -> Result<Duration, Failure> {
        let begun = self.sim.elapsed();
        loop {
            if done(lock(&self.judge).view()) {
                return Ok(self.sim.elapsed() - begun);
            }
            if self.sim.elapsed() - begun >= bound {
                return Err(self.fail("turmoil.until", format!("not within {bound:?}: {what}")));
            }
            self.step()?;
        }
    }

    /// Runs until all rules of a settled mesh hold. Returns how long that took.
    ///
    /// # Errors
    /// A broken rule, or the one that does not come to hold within `bound`.
    pub(crate) fn settle(&mut self, bound: Duration) -> Result<Duration, Failure> {
        let (begun, mut calm) = (self.sim.elapsed(), 0);
        loop {
            self.run_for(SETTLE_STEP)?;
            let islands = self.islands();
            let verdict = lock(&self.judge).judge_settled(islands);
            match verdict {
                Ok(()) if calm == 1 => return Ok(self.sim.elapsed() - begun),
                Ok(()) => calm += 1,
                Err(violation) if self.sim.elapsed() - begun >= bound => {
                    return Err(self.failure(violation));
                }
                Err(_) => calm = 0,
            }
        }
    }

    /// Starts `work` inside `host`.
    pub(crate) fn start<T, W, F>(&mut self, host: usize, work: W) -> Job<T>
    where
        T: 'static,
        W: FnOnce(Inside) -> F + 'static,
        F: Future<Output = T> + 'static,
    {
        let done = Rc::new(RefCell::new(None));
        let job = Job { host, since: self.sim.elapsed(), done: Rc::clone(&done) };
        let boxed: Work = Box::new(move |inside| {
            Box::pin(async move {
                let result = work(inside).await;
                let at = turmoil::sim_elapsed().unwrap_or_default();
                done.replace(Some((at, result)));
            })
        });
        if let Some(inbox) = self.inboxes.get(host).and_then(Option::as_ref) {
            // A daemon that has ended drops it, and the job is lost.
            let _ = inbox.send(boxed);
        }
        job
    }

    /// Waits for a job. Returns what came of it, and how long it took from its start.
    ///
    /// # Errors
    /// A broken rule, or that it took longer than `bound` or was lost.
    pub(crate) fn finish<T>(
        &mut self,
        job: &Job<T>,
        bound: Duration,
    ) -> Result<(T, Duration), Failure> {
        let begun = self.sim.elapsed();
        loop {
            if let Some(done) = job.take() {
                return Ok(done);
            }
            if job.is_lost() {
                return Err(self.fail("turmoil.answer", format!("n{} is gone", job.host + 1)));
            }
            if self.sim.elapsed() - begun >= bound {
                let detail = format!("n{} did not answer within {bound:?}", job.host + 1);
                return Err(self.fail("turmoil.answer", detail));
            }
            self.step()?;
        }
    }

    /// Does `work` inside `host` and waits for it.
    ///
    /// # Errors
    /// A broken rule, or no answer within 15 s.
    pub(crate) fn ask<T, W, F>(&mut self, host: usize, work: W) -> Result<T, Failure>
    where
        T: 'static,
        W: FnOnce(Inside) -> F + 'static,
        F: Future<Output = T> + 'static,
    {
        let job = self.start(host, work);
        Ok(self.finish(&job, ANSWER_MAX)?.0)
    }

    /// Gets an address for a container on `host`.
    ///
    /// # Errors
    /// A broken rule; what the node says is in the answer.
    pub(crate) fn allocate(
        &mut self,
        host: usize,
        id: &str,
    ) -> Result<Result<IpAddr, CommandError>, Failure> {
        let id = container(id);
        let answer = self.ask(host, async move |inside: Inside| inside.allocate(id).await)?;
        Ok(answer.map(|net| net.addr()))
    }

    /// Gives `host` the name `NAME.weft.local`, for some address.
    ///
    /// # Errors
    /// A broken rule, or that the node refuses.
    pub(crate) fn register(&mut self, host: usize, name: &str) -> Result<(), Failure> {
        let name = name.to_owned();
        let address = IpAddr::from([192, 0, 2, u8::try_from(host + 1).unwrap_or(u8::MAX)]);
        let answer =
            self.ask(host, async move |inside: Inside| inside.register(&name, address).await)?;
        answer.map_err(|why| self.fail("turmoil.register", why))
    }

    /// Attaches a container through the API of `host`. Returns its address.
    ///
    /// # Errors
    /// A broken rule, or that the API refuses.
    pub(crate) fn attach(&mut self, host: usize, id: &str) -> Result<IpAddr, Failure> {
        let id = container(id);
        let answer = self.ask(host, async move |inside: Inside| inside.attach(id).await)?;
        let address = answer.map(|attached| attached.addresses.first().map(ipnet::IpNet::addr));
        match address {
            Ok(Some(address)) => Ok(address),
            Ok(None) => Err(self.fail("turmoil.attach", "no address")),
            Err(why) => Err(self.fail("turmoil.attach", why)),
        }
    }

    /// Asks the API of `host` from within that host.
    ///
    /// # Errors
    /// A broken rule, or no answer.
    pub(crate) fn api(
        &mut self,
        host: usize,
        method: Method,
        path: &str,
        content: Content,
    ) -> Result<Answer, Failure> {
        let path = path.to_owned();
        let answer = self.ask(host, async move |inside: Inside| {
            inside.api(inside.host, method, &path, content).await
        })?;
        answer.map_err(|why| self.fail("turmoil.api", why))
    }

    /// What the node of `host` says of itself.
    ///
    /// # Errors
    /// A broken rule, or that it has stopped.
    pub(crate) fn status(&mut self, host: usize) -> Result<Arc<Status>, Failure> {
        let answer = self.ask(host, async move |inside: Inside| inside.node.status().await)?;
        answer.map_err(|why| self.fail("turmoil.status", why))
    }
}

/// Names that `host` answers, without their domain.
pub(crate) fn names_at(view: &View, host: usize) -> Vec<String> {
    let names = view.peers[host].names.iter();
    names.map(|known| known.entry.name.as_str().replace(".weft.local", "")).collect()
}

/// Whether `host` has a control link with `other`.
pub(crate) fn linked(view: &View, host: usize, other: usize) -> bool {
    view.peers[other].id.is_some_and(|id| view.peers[host].conns.contains_key(&id))
}
