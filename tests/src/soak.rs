//! Five daemons that hand out the addresses of one small range, clients of each that allocate, claim, ask
//! again, give back and lose patience, and faults: daemons are killed, frozen and cut off, and a disk
//! runs full. What the clients were told is judged by [`crate::history`]; in the end all must be given
//! back, and all must be there to be given out.

mod caller;

use crate::command::signal;
use crate::history::{Ask, Call, History, Told};
use crate::host::Host;
use crate::lab::{Disk, Lab};
use crate::{holds_within, outcome, wait_until};
use anyhow::{Context as _, Result, bail, ensure};
use caller::{Caller, Watch};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// Daemons.
const HOSTS: u8 = 5;

/// Clients of each.
const CALLERS: usize = 3;

/// What is divided: so small that it is often used up at one daemon, and at times at all.
const RANGE: &str = "10.40.0.0/24";

/// Addresses of it that can be given out: not the first and the last one.
const USABLE: usize = 254;

/// All of it.
const SIZE: u64 = 256;

/// Breaches that are shown: those after the first often follow from it.
const BREACHES_SHOWN: usize = 10;

/// Until all daemons are together again after the last fault, and hand out addresses: dials that failed
/// are tried again after a minute at most.
const HEALED: Duration = Duration::from_secs(90);

/// What a run came to.
#[derive(Debug)]
pub struct Soaked {
    /// All that clients asked for and were told.
    pub history: History,
    /// How often which fault befell a daemon, or the network.
    pub faults: BTreeMap<&'static str, usize>,
    /// Addresses that one container after another has had.
    pub passed_on: usize,
}

/// Runs it for `length`, with what follows from `seed`: whose clients do what, and which fault comes when.
/// What the daemons do with that is up to them, so no two runs are the same.
///
/// # Errors
/// When a daemon ends by itself, or something is not as before once all is healed. What clients were told
/// is for the caller to judge.
pub fn soak(seed: u64, length: Duration) -> Result<Soaked> {
    let mut lab = Lab::halves(HOSTS)?;
    let disk = lab.small_disk(usize::from(HOSTS))?;
    for n in 1..=lab.hosts().len() {
        launch(&lab, n)?;
    }
    let watch = Watch::new();
    let mut faults = Faults {
        lab: &lab,
        disk,
        watch: &watch,
        rng: ChaCha20Rng::seed_from_u64(seed),
        history: History::default(),
        counts: BTreeMap::new(),
    };
    let made = scope(|scope| {
        let mut callers = Vec::new();
        for (n, host) in lab.hosts().iter().enumerate() {
            for caller in 0..CALLERS {
                let number = u64::try_from(n * CALLERS + caller)?;
                let rng = ChaCha20Rng::seed_from_u64(seed.wrapping_add(1 + number));
                let mut caller = Caller::new(n + 1, caller, host, rng, &watch);
                callers.push(scope.spawn(move || {
                    caller.run();
                    Ok(caller.calls)
                }));
            }
        }
        let made = faults.make(length);
        watch.end();
        for caller in callers {
            faults.history.calls.extend(outcome(caller.join())?);
        }
        made
    });
    made?;
    let Faults { mut history, counts: faults, .. } = faults;
    let passed_on = passed_on(&history);
    let callers = lab.hosts().iter().enumerate().map(|(n, host)| {
        Caller::new(n + 1, CALLERS, host, ChaCha20Rng::seed_from_u64(seed), &watch)
    });
    let mut callers: Vec<_> = callers.collect();
    let settled = settle(&lab, &history.containers(), &mut callers);
    history.calls.extend(callers.into_iter().flat_map(|caller| caller.calls));
    // What the clients were told before may be why.
    settled.with_context(|| breaches(&history))?;
    lab.finish()?;
    Ok(Soaked { history, faults, passed_on })
}

fn launch(lab: &Lab, n: usize) -> Result<()> {
    let others = lab.hosts().iter().enumerate().filter(|(other, _)| other + 1 != n);
    let others: Vec<_> = others.map(|(_, host)| host.address()).collect();
    let mut args = vec!["--password", "soaked wool", "--ipalloc-range", RANGE];
    args.extend(others.iter().map(String::as_str));
    lab.host(n).launch(&args).map(drop)
}

/// Who makes the faults.
#[derive(Debug)]
struct Faults<'a> {
    lab: &'a Lab,
    disk: Disk,
    watch: &'a Watch,
    rng: ChaCha20Rng,
    history: History,
    counts: BTreeMap<&'static str, usize>,
}

impl Faults<'_> {
    fn make(&mut self, length: Duration) -> Result<()> {
        while self.watch.now() < length {
            let rest = length.saturating_sub(self.watch.now());
            sleep(self.between(100, 1500).min(rest));
            for (n, host) in self.lab.hosts().iter().enumerate() {
                ensure!(host.is_running(), "daemon {} has ended by itself: {}", n + 1, host.log());
            }
            self.fault(length, false)?;
        }
        Ok(())
    }

    /// One fault, at times with a second one in it.
    fn fault(&mut self, length: Duration, is_inner: bool) -> Result<()> {
        let n = 1 + self.below(self.lab.hosts().len());
        let kind = if is_inner { self.below(2) } else { self.below(9) };
        // A link counts as dead after 10 s: some outages are longer than that.
        let lasts = match self.below(4) {
            0 => self.between(9_000, 14_000),
            _ => self.between(300, 5_000),
        };
        let lasts = lasts.min(length.saturating_sub(self.watch.now()));
        match kind {
            0 | 2 | 3 => self.kill(n),
            1 | 4 => self.freeze(n, lasts),
            5 => {
                self.count("a network cut in two");
                self.lab.split()?;
                self.pass(length, lasts)?;
                self.lab.heal()
            }
            6 | 7 => {
                self.count("a host cut off");
                self.lab.unplug(n)?;
                self.pass(length, lasts)?;
                self.lab.plug(n)
            }
            _ => self.fill(),
        }
    }

    /// Waits, or has something else happen meanwhile.
    fn pass(&mut self, length: Duration, lasts: Duration) -> Result<()> {
        let until = Instant::now() + lasts;
        if self.below(2) == 0 {
            sleep(lasts / 3);
            self.fault(length, true)?;
        }
        sleep(until.saturating_duration_since(Instant::now()));
        Ok(())
    }

    fn kill(&mut self, n: usize) -> Result<()> {
        self.count("a daemon killed");
        let from = self.watch.now();
        self.lab.host(n).kill_daemon()?;
        self.launch_again(n, from)
    }

    /// Daemon `n`, which could not answer since `from`, is dead.
    fn launch_again(&mut self, n: usize, from: Duration) -> Result<()> {
        // Ample for its clients to notice: what they asked of it is not for the next one.
        sleep(self.between(150, 800));
        self.history.launches.push((n, self.watch.now()));
        launch(self.lab, n)?;
        self.history.outages.push((n, from, self.watch.now()));
        Ok(())
    }

    fn freeze(&mut self, n: usize, lasts: Duration) -> Result<()> {
        self.count("a daemon frozen");
        let from = self.watch.now();
        let pid = self.lab.host(n).daemon_pid()?;
        signal(pid, "STOP")?;
        sleep(lasts);
        signal(pid, "CONT")?;
        self.history.outages.push((n, from, self.watch.now()));
        Ok(())
    }

    /// A disk without room: its daemon ends, or finds room in its own file.
    fn fill(&mut self) -> Result<()> {
        let n = usize::from(HOSTS);
        let from = self.watch.now();
        self.disk.fill(0)?;
        let host = self.lab.host(n);
        let ends = || holds_within(Duration::from_secs(2), || !host.is_running());
        let ended = ends();
        self.disk.empty()?;
        // Or it is about to: it takes its time to end in order.
        if ended || ends() {
            self.count("a disk full");
            self.launch_again(n, from)
        } else {
            self.count("a disk full, and enough");
            Ok(())
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn below(&mut self, bound: usize) -> usize {
        caller::below(&mut self.rng, bound)
    }

    fn between(&mut self, least: u64, most: u64) -> Duration {
        caller::between(&mut self.rng, least, most)
    }
}

/// Addresses that more than one container has had.
fn passed_on(history: &History) -> usize {
    let mut had: BTreeMap<IpAddr, BTreeSet<(usize, &str)>> = BTreeMap::new();
    for call in &history.calls {
        if let Told::Holds(address) = call.told {
            had.entry(address).or_default().insert((call.host, &call.id));
        }
    }
    had.values().filter(|by| by.len() > 1).count()
}

/// Once all is healed: everything can be given back, everything has one owner, and everything can be
/// given out once more.
fn settle(
    lab: &Lab,
    containers: &BTreeSet<(usize, String)>,
    callers: &mut [Caller<'_>],
) -> Result<()> {
    let all = lab.hosts().len();
    wait_until("all are in reach of all", HEALED, || {
        lab.hosts().iter().all(|host| host.peers_in_reach() == all)
    })
    .with_context(|| lab.hosts().iter().map(Host::log).collect::<String>())?;
    let mut left = containers.clone();
    wait_until("all is given back", HEALED, || {
        left.retain(|(n, id)| {
            let told = callers[n - 1].call(id, Ask::Release);
            matches!(told, Told::Nothing(_)) || matches!(told, Told::Refused(503, _))
        });
        left.is_empty()
    })?;
    for host in lab.hosts() {
        let held = host.get("/ip")?;
        ensure!(held.contains(r#""owned":[]"#), "still held on {}: {held}", host.namespace);
    }
    whole(lab)?;
    let mut given = BTreeSet::new();
    for at in 0..USABLE {
        let id = format!("last-{at}");
        let mut told = Told::Nothing(String::new());
        wait_until("an address is given", HEALED, || {
            told = callers[at % all].call(&id, Ask::Allocate);
            matches!(told, Told::Holds(_))
        })
        .with_context(|| format!("{told:?} after {} addresses", given.len()))?;
        if let Told::Holds(address) = told {
            ensure!(given.insert(address), "{address} is given twice");
        }
    }
    match callers[0].call("one-too-many", Ask::Allocate) {
        Told::Refused(_, why) if why.contains("no free address in") => {}
        told @ (Told::Holds(_) | Told::Released | Told::Refused(..) | Told::Nothing(_)) => {
            bail!("all {USABLE} addresses are given out, and one more was asked for: {told:?}")
        }
    }
    for at in 0..USABLE {
        let told = callers[at % all].call(&format!("last-{at}"), Ask::Release);
        ensure!(told == Told::Released, "not given back: {told:?}");
    }
    whole(lab)
}

/// Waits until all daemons say the same of who owns what, and that all of it is owned.
fn whole(lab: &Lab) -> Result<()> {
    let mut seen = Vec::new();
    wait_until("all say that all is owned", HEALED, || {
        let owned = lab.hosts().iter().map(|host| owned(host).unwrap_or_default());
        seen = owned.collect();
        seen.windows(2).all(|pair| pair[0] == pair[1])
            && seen.iter().all(|owned| owned.values().sum::<u64>() == SIZE)
    })
    .with_context(|| format!("they say {seen:?}"))
}

/// Whose how many addresses are, as `host` sees it.
fn owned(host: &Host) -> Result<BTreeMap<String, u64>> {
    let report: serde_json::Value = serde_json::from_str(&host.get("/report")?)?;
    let entries = report["IPAM"]["Entries"].as_array().context("no entries")?;
    let entry = |entry: &serde_json::Value| {
        Some((entry["Peer"].as_str()?.to_owned(), entry["Size"].as_u64()?))
    };
    entries.iter().map(entry).collect::<Option<_>>().context("entries without peer or size")
}

/// What a run came to, for people; a failure names the offending calls.
///
/// # Errors
/// When a rule is broken, or so little happened that nothing is shown.
pub fn judge(seed: u64, soaked: &Soaked) -> Result<String> {
    let Soaked { history, faults, passed_on } = soaked;
    ensure!(history.judge().is_empty(), "seed {seed}: {}", breaches(history));
    let slowest: Option<&Call> = history.calls.iter().max_by_key(|call| call.end - call.start);
    let mut lines = format!("seed {seed}, {} calls, no breach\n", history.calls.len());
    for (what, count) in history.counts() {
        lines += &format!("{count:>8}  {what}\n");
    }
    for (what, count) in faults {
        lines += &format!("{count:>8}  {what}\n");
    }
    lines += &format!("{passed_on:>8}  addresses passed on from one container to another\n");
    lines += &format!("slowest: {}\n", slowest.map(ToString::to_string).unwrap_or_default());
    ensure!(*passed_on > 0 && !faults.is_empty(), "nothing is shown by this: {lines}");
    Ok(lines)
}

/// What is wrong with `history`, and by which calls that is seen.
fn breaches(history: &History) -> String {
    let breaches = history.judge();
    let shown = breaches.iter().take(BREACHES_SHOWN).map(|breach| format!("\n{breach}"));
    format!(
        "{} breaches in {} calls{}",
        breaches.len(),
        history.calls.len(),
        shown.collect::<String>()
    )
}
