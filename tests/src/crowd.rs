//! Many peers on one machine: how they come together, fall apart and stand still.

use crate::command::signal;
use crate::container::Container;
use crate::host::Host;
use crate::lab::Lab;
use crate::talk::Talk;
use anyhow::{Result, ensure};
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than anything here may take, however slow the machine is: how long it does take is for
/// `make crowd` to say.
const PATIENCE: Duration = Duration::from_secs(60);

/// Peers that were launched at the same moment.
#[derive(Debug)]
pub struct Crowd {
    /// Their hosts.
    pub lab: Lab,
}

/// How long it took from the first launch on.
#[derive(Clone, Copy, Debug)]
pub struct Gathered {
    /// Until every `weft launch` had returned.
    pub launched: Duration,
    /// Until every peer reported all others as reachable.
    pub converged: Duration,
    /// Until every peer had a working link with each other one.
    pub linked: Duration,
}

/// How long it took others to notice, and to be as before.
#[derive(Clone, Copy, Debug)]
pub struct Mended {
    /// From the fault until everybody reported who was gone.
    pub noticed: Duration,
    /// From the end of the fault until everybody reported everybody.
    pub healed: Duration,
}

/// What a peer says of its mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// Links with a data path that works.
    links: usize,
    /// Peers in reach, itself included.
    peers: usize,
}

impl Crowd {
    /// `count` peers with a password, each of which is told of one or two others, all launched at
    /// once.
    ///
    /// # Errors
    /// When they do not all come up and find each other.
    pub fn gather(count: u8) -> Result<(Self, Gathered)> {
        let crowd = Self { lab: Lab::halves(count)? };
        let start = Instant::now();
        let mut launches = Vec::new();
        for n in 1..=usize::from(count) {
            let mut args = vec!["launch", "--password", "many hands"];
            let targets = targets(n).into_iter().map(|n| crowd.lab.host(n).address());
            let targets: Vec<_> = targets.collect();
            args.extend(targets.iter().map(String::as_str));
            let mut launch = crowd.lab.host(n).weft_command(&args)?;
            launches.push(crowd.lab.background(&mut launch)?);
        }
        for mut launch in launches {
            let code = launch.wait(PATIENCE)?;
            ensure!(code == 0, "a launch ended with {code}: {}", launch.text());
        }
        let launched = start.elapsed();
        let all = usize::from(count);
        crowd.wait_all("all are in reach", None, |_, seen| seen.peers == all)?;
        let converged = start.elapsed();
        crowd.wait_all("all are linked", None, |_, seen| seen.links == all - 1)?;
        let linked = start.elapsed();
        Ok((crowd, Gathered { launched, converged, linked }))
    }

    /// A named container on host `n`.
    ///
    /// # Errors
    /// When it cannot be attached.
    pub fn container(&self, n: usize, name: &str) -> Result<(Container, Ipv4Addr)> {
        let container = self.lab.container()?;
        let address = self.lab.host(n).named(&container, name)?;
        Ok((container, address))
    }

    /// Cuts the network in two halves until everybody has noticed, and makes it one again. In each
    /// half two containers talk, and lose no word.
    ///
    /// # Errors
    /// When anything of that is not so.
    pub fn split(&self) -> Result<Mended> {
        let hosts = self.lab.hosts().len();
        let half = hosts.div_ceil(2);
        let ends = [(1, "a1"), (half, "a2"), (half + 1, "b1"), (hosts, "b2")];
        let ends = ends.map(|(n, name)| self.container(n, name));
        let [a1, a2, b1, b2] = ends;
        let (a1, a2, b1, b2) = (a1?, a2?, b1?, b2?);
        for (from, to) in [(&a1, &a2), (&b1, &b2), (&a1, &b1)] {
            from.0.wait_pings(to.1)?;
        }
        for host in self.lab.hosts() {
            host.wait_name("a1")?;
            host.wait_name("b1")?;
        }
        let talks = [(&a1, &a2), (&b1, &b2)];
        let talks = talks.map(|(from, to)| Talk::begin(&self.lab, &from.0, to.1));
        let cut = Instant::now();
        self.lab.split()?;
        self.wait_all("each half is alone", None, |n, seen| {
            seen.peers == if n <= half { half } else { hosts - half }
        })?;
        let noticed = cut.elapsed();
        for (n, host) in (1..).zip(self.lab.hosts()) {
            let (near, far) = if n <= half { ("a1", "b1") } else { ("b1", "a1") };
            ensure!(host.knows(near) && !host.knows(far), "names on host {n} of a half");
        }
        ensure!(!a1.0.pings(b1.1)?, "the halves have a way to each other");
        let mended = Instant::now();
        self.lab.heal()?;
        self.wait_all("both halves are back", None, |_, seen| seen.peers == hosts)?;
        let healed = mended.elapsed();
        for host in self.lab.hosts() {
            host.wait_name("a1")?;
            host.wait_name("b1")?;
        }
        a1.0.wait_pings(b1.1)?;
        b2.0.wait_pings(a2.1)?;
        for talk in talks {
            unbroken(talk?)?;
        }
        Ok(Mended { noticed, healed })
    }

    /// Stops the daemon of host `n` (SIGSTOP) until all others have noticed, and lets it go on.
    /// Meanwhile two containers of others talk, and lose no word.
    ///
    /// # Errors
    /// When anything of that is not so.
    pub fn freeze(&self, n: usize) -> Result<Mended> {
        let hosts = self.lab.hosts().len();
        let [first, last] = [1, hosts].map(|n| self.container(n, &format!("f{n}")));
        let (first, last, frozen) = (first?, last?, self.container(n, "frozen")?);
        first.0.wait_pings(last.1)?;
        first.0.wait_pings(frozen.1)?;
        let talk = Talk::begin(&self.lab, &first.0, last.1)?;
        let pid = self.lab.host(n).daemon_pid()?;
        let stopped = Instant::now();
        signal(pid, "STOP")?;
        let noticed =
            self.wait_all("the others miss one", Some(n), |_, seen| seen.peers == hosts - 1);
        let noticed = noticed.map(|()| stopped.elapsed());
        let resumed = Instant::now();
        // Also when it was not noticed: the end of the lab asks it to stop.
        signal(pid, "CONT")?;
        let noticed = noticed?;
        self.wait_all("it is back", None, |_, seen| seen.peers == hosts)?;
        let healed = resumed.elapsed();
        first.0.wait_pings(frozen.1)?;
        unbroken(talk)?;
        Ok(Mended { noticed, healed })
    }

    /// Waits until `is_so` of what every peer says, all at the same time, but for one that says
    /// nothing. Hosts are counted from 1.
    fn wait_all(
        &self,
        what: &str,
        mute: Option<usize>,
        is_so: impl Fn(usize, Standing) -> bool,
    ) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let asked: Vec<_> = (1..).zip(self.lab.hosts()).filter(|(n, _)| Some(*n) != mute).collect();
        // Who is not as far is asked again before the others are: to be asked is work, too.
        let mut agreed = 0;
        for (n, host) in asked.iter().cycle() {
            let mut is_first = true;
            loop {
                let seen = Standing::of(host);
                if is_so(*n, seen) {
                    break;
                }
                ensure!(
                    Instant::now() < until,
                    "waited {PATIENCE:?} in vain until {what}: host {n} sees {seen:?}; {}",
                    host.log()
                );
                is_first = false;
                sleep(Duration::from_millis(10));
            }
            agreed = if is_first { agreed + 1 } else { 1 };
            if agreed >= asked.len() {
                break;
            }
        }
        Ok(())
    }
}

impl Standing {
    /// What `host` says; nothing when it does not answer.
    fn of(host: &Host) -> Self {
        let text = host.get("/status").unwrap_or_default();
        let line = |label| text.lines().find_map(|line| line.trim().strip_prefix(label));
        let number = |words: &str| words.split(' ').next()?.parse().ok();
        // `Connections: 29 (28 established, 1 pending)` and `Peers: 30 (with …)`.
        let links = line("Connections: ").and_then(|words| {
            number(words.split_once('(')?.1).filter(|_| words.contains(" established"))
        });
        let peers = line("Peers: ").and_then(number);
        Self { links: links.unwrap_or(0), peers: peers.unwrap_or(0) }
    }
}

/// Ends `talk`, of which nothing may be lost.
fn unbroken(talk: Talk) -> Result<()> {
    let said = talk.end()?;
    ensure!(said.lost == 0, "{said:?} between two that the fault was nothing to");
    Ok(())
}

/// Whom host `n` is told of.
fn targets(n: usize) -> Vec<usize> {
    match n {
        // It is told of one that is not there yet.
        1 => vec![2],
        2 => vec![1],
        _ => vec![n - 1, n / 2],
    }
}
