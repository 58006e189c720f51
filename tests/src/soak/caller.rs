//! A client: what it does follows from its generator and from what it is told.

use crate::client::Client;
use crate::history::{Ask, Call, Told};
use crate::host::Host;
use ipnet::IpNet;
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Containers that one client has at most: all together want more than there is.
const HELD_MAX: usize = 20;

/// A call that is not answered is made again so often.
const TRIES: usize = 8;

/// Longer than any answer may take.
const PATIENT: Duration = Duration::from_secs(12);

/// Shorter than a daemon may be frozen, or wait for another one.
const HASTY: Duration = Duration::from_millis(400);

/// What clients and the one who makes the faults share.
#[derive(Debug)]
pub(super) struct Watch {
    begin: Instant,
    is_over: AtomicBool,
}

impl Watch {
    /// Begins just now.
    pub(super) fn new() -> Self {
        Self { begin: Instant::now(), is_over: AtomicBool::new(false) }
    }

    /// Since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Clients are to end.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// One client of one daemon.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    host: usize,
    number: usize,
    rng: ChaCha20Rng,
    watch: &'a Watch,
    hasty: Client,
    patient: Client,
    /// Containers that it made so far.
    made: usize,
    /// Those that hold an address, and how they got it.
    held: Vec<(String, Ask)>,
    /// All that it asked for.
    pub(super) calls: Vec<Call>,
}

impl<'a> Caller<'a> {
    /// Client `number` of the daemon of `host`, which is the `n`th.
    pub(super) fn new(
        n: usize,
        number: usize,
        host: &Host,
        rng: ChaCha20Rng,
        watch: &'a Watch,
    ) -> Self {
        let client = |patience| Client::new(host.run_dir.join("weft.sock"), patience);
        let (hasty, patient) = (client(HASTY), client(PATIENT));
        let (made, held, calls) = (0, Vec::new(), Vec::new());
        Self { host: n, number, rng, watch, hasty, patient, made, held, calls }
    }

    /// Does one thing after the other until it is over.
    pub(super) fn run(&mut self) {
        while !self.watch.is_over() {
            sleep(between(&mut self.rng, 2, 40));
            match below(&mut self.rng, 10) {
                0..5 if self.held.len() < HELD_MAX => self.obtain(),
                0..7 => self.ask_again(),
                _ => self.give_back(),
            }
        }
    }

    fn obtain(&mut self) {
        self.made += 1;
        let id = format!("c-{}-{}-{}", self.host, self.number, self.made);
        let ask = match below(&mut self.rng, 4) {
            0 => {
                let last = u8::try_from(1 + below(&mut self.rng, 254)).unwrap_or(1);
                let net = IpNet::new(IpAddr::V4(Ipv4Addr::new(10, 40, 0, last)), 24);
                net.map_or(Ask::Allocate, Ask::Claim)
            }
            _ => Ask::Allocate,
        };
        if let Told::Holds(_) = self.insist(&id, ask) {
            self.held.push((id, ask));
        }
    }

    fn ask_again(&mut self) {
        let at = below(&mut self.rng, self.held.len().max(1));
        if let Some((id, ask)) = self.held.get(at).cloned() {
            self.insist(&id, ask);
        }
    }

    /// A container that could not be told that it has no address any more is used no more.
    fn give_back(&mut self) {
        let at = below(&mut self.rng, self.held.len().max(1));
        if at < self.held.len() {
            let (id, _) = self.held.swap_remove(at);
            self.insist(&id, Ask::Release);
        }
    }

    /// Asks until there is an answer, or it is too much.
    fn insist(&mut self, id: &str, ask: Ask) -> Told {
        let mut told = self.call(id, ask);
        for _ in 1..TRIES {
            if !matches!(told, Told::Nothing(_)) || self.watch.is_over() {
                break;
            }
            sleep(between(&mut self.rng, 20, 400));
            told = self.call(id, ask);
        }
        told
    }

    /// Asks once.
    pub(super) fn call(&mut self, id: &str, ask: Ask) -> Told {
        let (method, path) = match ask {
            Ask::Allocate => ("POST", format!("/ip/{id}")),
            Ask::Claim(net) => ("PUT", format!("/ip/{id}/{}/{}", net.addr(), net.prefix_len())),
            Ask::Release => ("DELETE", format!("/ip/{id}")),
        };
        let is_hasty = below(&mut self.rng, 4) == 0;
        let client = if is_hasty { &mut self.hasty } else { &mut self.patient };
        let start = self.watch.now();
        let answer = client.ask(method, &path);
        let end = self.watch.now();
        let told = match answer {
            Err(why) => Told::Nothing(why.to_string()),
            Ok(answer) if !(200..300).contains(&answer.status) => {
                Told::Refused(answer.status, answer.body)
            }
            Ok(answer) => match ask {
                Ask::Release => Told::Released,
                Ask::Claim(net) => Told::Holds(net.addr()),
                Ask::Allocate => match answer.body.trim().parse::<IpNet>() {
                    Ok(net) => Told::Holds(net.addr()),
                    Err(_) => Told::Refused(answer.status, answer.body),
                },
            },
        };
        let call = Call { host: self.host, id: id.to_owned(), ask, start, end, told: told.clone() };
        self.calls.push(call);
        told
    }
}

/// A number below `bound`, which is small.
pub(super) fn below(rng: &mut ChaCha20Rng, bound: usize) -> usize {
    usize::try_from(rng.next_u32()).unwrap_or(0) % bound.max(1)
}

/// Between `least` and `most` milliseconds.
pub(super) fn between(rng: &mut ChaCha20Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + u64::from(rng.next_u32()) % (most - least + 1))
}
