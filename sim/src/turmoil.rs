//! The other bed: the driver that runs in production, on turmoil's simulated network.
//!
//! Finds what the event-driven world cannot: lost wake-ups, wrong `select!`s, streams that are
//! half closed. Judged by the same rules. turmoil's TCP never recovers what is sent across a
//! `partition`, so links end there by silence and are dialed again.

use crate::check::{self, Invariant, PeerView, View, Violation, When};
use crate::net::PORT;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::mpsc;
use turmoil::net::{TcpListener, TcpStream, UdpSocket};
use weft::clock::Clock;
use weft::driver::{Driver, Frames, Parts};
use weft::net::Net;
use weft::store::MemoryStore;
use weft_core::addr::Universe;
use weft_core::config::{Config, FoundingMode, NetworkSecret};
use weft_core::forward::{Forwarder, ForwardingChange, Sink};
use weft_core::io::{Command, Target};
use weft_core::names::NameEntry;
use weft_core::node::{Node, Seed};
use weft_core::time::{Instant, Now, UnixTime};

/// What the simulated wall clocks say at first, in seconds since 1970.
const EPOCH: u64 = 1_700_000_000;

/// Datagrams and wishes that wait for a task, at most.
const QUEUE_MAX: usize = 256;

/// turmoil's TCP as the driver wants it.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurmoilNet;

impl Net for TurmoilNet {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(at).await
    }

    async fn accept(on: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        on.accept().await
    }

    fn listens_at(on: &TcpListener) -> io::Result<SocketAddr> {
        on.local_addr()
    }

    async fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(to).await
    }

    fn local_addr(stream: &TcpStream) -> io::Result<SocketAddr> {
        stream.local_addr()
    }

    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![host.parse().unwrap_or_else(|_| turmoil::lookup(host))])
    }
}

/// What the driver wants of the data path.
#[derive(Debug)]
enum Wish {
    Apply(ForwardingChange),
    Send(SocketAddr, Vec<u8>),
}

/// Hands wishes to the task that has forwarder and socket.
#[derive(Debug)]
struct TaskFrames(mpsc::UnboundedSender<Wish>);

impl Frames for TaskFrames {
    fn apply(&mut self, change: ForwardingChange) {
        // The task ends only with the host.
        let _ = self.0.send(Wish::Apply(change));
    }
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        let _ = self.0.send(Wish::Send(to, datagram.to_vec()));
    }
}

/// Collects what a forwarder wants, for a task that can wait for the socket.
#[derive(Debug, Default)]
struct Collected {
    sent: Vec<(SocketAddr, Vec<u8>)>,
    probes: Vec<(SocketAddr, Vec<u8>)>,
}

impl Sink for Collected {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.sent.push((to, datagram.to_vec()));
    }
    fn deliver(&mut self, _frame: &[u8]) {}
    fn probe(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.probes.push((from, datagram.to_vec()));
    }
}

/// Runs the data path of one host, until its driver is gone.
async fn data_path(
    mut forwarder: Forwarder,
    socket: UdpSocket,
    clock: Clock,
    mut wishes: mpsc::UnboundedReceiver<Wish>,
    probes: mpsc::Sender<(SocketAddr, Vec<u8>)>,
) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        let mut collected = Collected::default();
        tokio::select! {
            biased;
            wish = wishes.recv() => match wish {
                Some(Wish::Apply(change)) => forwarder.apply(change),
                Some(Wish::Send(to, bytes)) => collected.sent.push((to, bytes)),
                None => return Ok(()),
            },
            received = socket.recv_from(&mut buffer) => {
                let (len, from) = received?;
                let bytes = buffer.get(..len).unwrap_or_default();
                forwarder.datagram(clock.now().mono, from, bytes, &mut collected);
            }
        }
        for (to, bytes) in collected.sent {
            socket.send_to(&bytes, to).await?;
        }
        for probe in collected.probes {
            // A full queue loses datagrams, as a socket's does.
            let _ = probes.try_send(probe);
        }
    }
}

/// Hosts `n1`, `n2`, … with drivers on one simulated network, and the judge.
pub struct Bed {
    sim: turmoil::Sim<'static>,
    view: Arc<Mutex<View>>,
    rules: Vec<Box<dyn Invariant>>,
    hosts: usize,
}

impl std::fmt::Debug for Bed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bed").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// What one host is started with, each time.
#[derive(Clone)]
struct Start {
    index: usize,
    hosts: usize,
    seed: u64,
    universe: Universe,
    store: MemoryStore,
    boots: Arc<Mutex<u64>>,
    view: Arc<Mutex<View>>,
    own: NameEntry,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name that host `host` registers for itself.
///
/// # Errors
/// Never for numbers of hosts that a universe holds.
fn own_name(host: usize) -> anyhow::Result<NameEntry> {
    Ok(NameEntry {
        name: format!("c{host}.weft.local").parse()?,
        address: IpAddr::V4(Ipv4Addr::new(10, 32, 0, u8::try_from(host + 1)?)),
        id: crate::world::container(&format!("c{host}")),
    })
}

impl Start {
    async fn run(self) -> anyhow::Result<()> {
        let boot = {
            let mut boots = lock(&self.boots);
            *boots += 1;
            *boots
        };
        let mut seed = [0; 32];
        let purpose = u64::try_from(self.index)? << 32 | boot;
        rand_core::RngCore::fill_bytes(&mut crate::choices::rng_for(self.seed, purpose), &mut seed);
        let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
        let socket = UdpSocket::bind(everywhere).await?;
        let clock = Clock::with_unix(|| {
            let since = turmoil::since_epoch().unwrap_or_default();
            UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
        });
        let (wish, wishes) = mpsc::unbounded_channel();
        let (probe_tell, datagrams) = mpsc::channel(QUEUE_MAX);
        let (view, index) = (Arc::clone(&self.view), self.index);
        let probe = move |node: &Node, now: Now| {
            if let Some(peer) = lock(&view).peers.get_mut(index) {
                peer.live = true;
                peer.read_ipam(node);
                peer.read_mesh(node, now);
            }
        };
        let config = Config {
            nickname: format!("n{}", self.index + 1),
            port: PORT,
            secret: Some(NetworkSecret([7; 32])),
            universe: self.universe,
            founding: FoundingMode::Consensus { peers: Some(self.hosts) },
            ..Config::default()
        };
        let hops_max = config.hops_max;
        let (driver, handle) = Driver::start(Parts {
            config,
            seed: Seed(seed),
            clock,
            net: TurmoilNet,
            listener: TurmoilNet.listen(everywhere).await?,
            store: self.store,
            frames: TaskFrames(wish),
            datagrams,
            probe,
        })
        .await?;
        let forwarder = Forwarder::new(driver.node().name(), hops_max);
        let path = tokio::spawn(data_path(forwarder, socket, clock, wishes, probe_tell));
        let running = tokio::spawn(driver.run(std::future::pending()));
        let targets = (0..self.hosts)
            .filter(|other| *other != self.index)
            .map(|other| Target { host: format!("n{}", other + 1), port: PORT })
            .collect();
        handle.command(Command::Connect { targets, replace: false }).await?;
        let NameEntry { name, address, id } = self.own.clone();
        handle.command(Command::Register { id, name, address }).await?;
        if let Some(peer) = lock(&self.view).peers.get_mut(self.index) {
            peer.names_sure.insert(self.own);
        }
        running.await??;
        path.await??;
        Ok(())
    }
}

impl Bed {
    /// `hosts` hosts that run and know each other's names.
    ///
    /// # Errors
    /// When there are more hosts than names for them.
    pub fn new(seed: u64, hosts: usize) -> anyhow::Result<Self> {
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .epoch(UNIX_EPOCH + Duration::from_secs(EPOCH))
            .simulation_duration(Duration::from_secs(3_600))
            .build();
        let universe = Universe::new("10.32.0.0/24".parse()?)?;
        let island: std::collections::BTreeSet<usize> = (0..hosts).collect();
        let mut peers = Vec::new();
        for host in 0..hosts {
            let names_possible = [own_name(host)?].into();
            let island = island.clone();
            peers.push(PeerView { island, names_possible, ..PeerView::default() });
        }
        let view = Arc::new(Mutex::new(View { at: Instant::ZERO, universe, peers }));
        for index in 0..hosts {
            let start = Start {
                index,
                hosts,
                seed,
                universe,
                store: MemoryStore::default(),
                boots: Arc::default(),
                view: Arc::clone(&view),
                own: own_name(index)?,
            };
            sim.host(format!("n{}", index + 1), move || {
                let start = start.clone();
                async move { Ok(start.run().await?) }
            });
        }
        Ok(Self { sim, view, rules: check::all(), hosts })
    }

    /// Lets time pass; the rules for every moment are judged all along.
    ///
    /// # Errors
    /// A broken rule, or a driver that gave up.
    pub fn run_for(&mut self, wait: Duration) -> Result<(), Violation> {
        let end = self.sim.elapsed() + wait;
        while self.sim.elapsed() < end {
            let step = self.sim.step();
            let view = self.now();
            step.map_err(|why| Violation {
                rule: "turmoil.driver",
                at: view.at,
                detail: why.to_string(),
            })?;
            check::judge(&mut self.rules, When::Always, &view)?;
        }
        Ok(())
    }

    /// Runs until all rules of a settled mesh hold for two seconds.
    ///
    /// # Errors
    /// A broken rule, or the one that does not come to hold within `bound`.
    pub fn settle(&mut self, bound: Duration) -> Result<(), Violation> {
        let (end, mut calm) = (self.sim.elapsed() + bound, 0);
        while calm < 2 {
            self.run_for(Duration::from_secs(1))?;
            let view = self.now();
            match check::judge(&mut self.rules, When::Settled, &view) {
                Ok(()) => calm += 1,
                Err(violation) if self.sim.elapsed() >= end => return Err(violation),
                Err(_) => calm = 0,
            }
        }
        Ok(())
    }

    /// Cuts `host` off from all others, or heals that.
    pub fn isolate(&mut self, host: usize, cut: bool) {
        let name = |host: usize| format!("n{}", host + 1);
        let rest: std::collections::BTreeSet<usize> =
            (0..self.hosts).filter(|other| *other != host).collect();
        for other in &rest {
            if cut {
                self.sim.partition(name(host), name(*other));
            } else {
                self.sim.repair(name(host), name(*other));
            }
        }
        let all: std::collections::BTreeSet<usize> = (0..self.hosts).collect();
        for (index, peer) in lock(&self.view).peers.iter_mut().enumerate() {
            peer.island = match (cut, index == host) {
                (false, _) => all.clone(),
                (true, true) => [host].into(),
                (true, false) => rest.clone(),
            };
        }
    }

    /// Kills the machine of `host`.
    pub fn crash(&mut self, host: usize) {
        self.sim.crash(format!("n{}", host + 1));
        if let Some(peer) = lock(&self.view).peers.get_mut(host) {
            peer.live = false;
        }
    }

    /// Starts it again, with what it had saved.
    pub fn bounce(&mut self, host: usize) {
        self.sim.bounce(format!("n{}", host + 1));
    }

    /// A picture of all hosts.
    pub fn now(&self) -> View {
        let mut view = lock(&self.view).clone();
        view.at = Instant::ZERO + self.sim.elapsed();
        view
    }
}
