//! Hosts with wires between them, and containers: all are network namespaces with unique names.

use crate::command::{self, Background, run};
pub use crate::container::Container;
pub use crate::disk::Disk;
use crate::host::Host;
use crate::tools::installed;
pub use crate::tools::{binary, ip};
use crate::{holds_within, reaper, trace};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Programs that the tests run, and the Debian packages that bring them.
const TOOLS: [(&str, &str); 17] = [
    ("/usr/bin/python3", "python3-dnspython"),
    ("busybox", "busybox"),
    ("dig", "bind9-dnsutils"),
    ("drill", "ldnsutils"),
    ("gobuster", "gobuster"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("kdig", "knot-dnsutils"),
    ("kill", "procps"),
    ("mount", "mount"),
    ("musl-gcc", "musl-tools"),
    ("nsenter", "util-linux"),
    ("ping", "iputils-ping"),
    ("setpriv", "util-linux"),
    ("tcpdump", "tcpdump"),
    ("umount", "mount"),
    ("unshare", "util-linux"),
];

/// How the hosts are wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wiring {
    /// All on one wire or switch.
    Full,
    /// On two switches, with a wire between these.
    Halves,
    /// Each with the next one only; nobody forwards.
    Line,
}

/// A set of hosts and containers. Dropping it takes everything away, daemons included, and so does the end of its
/// process ([`crate::reaper`]).
#[derive(Debug)]
pub struct Lab {
    mark: String,
    dir: PathBuf,
    hosts: Vec<Host>,
    namespaces: Mutex<Vec<String>>,
    disks: Vec<PathBuf>,
    links_before: BTreeSet<String>,
    files: AtomicU32,
}

impl Lab {
    /// Two hosts joined by one veth pair.
    ///
    /// # Errors
    /// As [`Lab::full`].
    pub fn two() -> Result<Self> {
        Self::new(2, Wiring::Full)
    }

    /// `count` hosts on one switch; host 1 is 192.168.50.1, and so on.
    ///
    /// # Errors
    /// When we are not root, a program is missing, or the kernel refuses.
    pub fn full(count: u8) -> Result<Self> {
        Self::new(count, Wiring::Full)
    }

    /// `count` hosts on two switches with a wire between them, which [`Lab::split`] cuts: the first half
    /// on the one, the others on the other one. Addresses are as on one switch.
    ///
    /// # Errors
    /// As [`Lab::full`].
    pub fn halves(count: u8) -> Result<Self> {
        Self::new(count, Wiring::Halves)
    }

    /// `count` hosts in a line, so that the ends have no way to each other.
    ///
    /// # Errors
    /// As [`Lab::full`].
    pub fn line(count: u8) -> Result<Self> {
        Self::new(count, Wiring::Line)
    }

    fn new(count: u8, wiring: Wiring) -> Result<Self> {
        static LABS: AtomicU32 = AtomicU32::new(1);
        check_machine()?;
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let ours = format!("weft-{}-", std::process::id());
        reaper::start(&ours, trace::TEMP)?;
        let mark = format!("{ours}{number}-");
        let dir = Path::new(trace::TEMP).join(format!("{mark}lab"));
        // The mark ends in a dash, so that lab 1 does not take lab 12's things for its own.
        let mut lab = Self {
            dir,
            hosts: Vec::new(),
            namespaces: Mutex::default(),
            disks: Vec::new(),
            links_before: trace::links(),
            files: AtomicU32::new(0),
            mark,
        };
        fs::create_dir(&lab.dir).with_context(|| format!("cannot make {}", lab.dir.display()))?;
        for n in 1..=count {
            let name = lab.namespace(&format!("h{n}"))?;
            lab.hosts.push(Host::new(name, &lab.dir.join(format!("h{n}")))?);
        }
        match (wiring, count) {
            (Wiring::Full, 0 | 1) => {}
            (Wiring::Full, 2) => lab.wire(0, 1, 50)?,
            (Wiring::Full, 3..) => lab.switch(&["br0"])?,
            (Wiring::Halves, _) => lab.switch(&["br0", "br1"])?,
            (Wiring::Line, _) => {
                for n in 1..count {
                    lab.wire(usize::from(n - 1), usize::from(n), 49 + n)?;
                }
            }
        }
        Ok(lab)
    }

    /// A veth pair between two hosts, with addresses .1 and .2 of `192.168.subnet.0/24`.
    fn wire(&mut self, a: usize, b: usize, subnet: u8) -> Result<()> {
        let at = |n: u8| Ipv4Addr::new(192, 168, subnet, n);
        let [end_a, end_b] = [a, b].map(|n| format!("eth{}", self.hosts[n].addresses.len()));
        let (ns_a, ns_b) = (&self.hosts[a].namespace, &self.hosts[b].namespace);
        ip(&format!("link add {end_a} netns {ns_a} type veth peer name {end_b} netns {ns_b}"))?;
        for (host, end, address) in [(a, end_a, at(1)), (b, end_b, at(2))] {
            self.address(host, &end, address)?;
        }
        Ok(())
    }

    /// A namespace with one bridge, or with two and a veth pair between them, and a veth pair from each
    /// host to its bridge.
    fn switch(&mut self, bridges: &[&str]) -> Result<()> {
        let switch = self.namespace("switch")?;
        if let [_, second] = bridges {
            ip(&format!("-n {switch} link add trunk type veth peer name trunk-{second}"))?;
        }
        for (n, bridge) in bridges.iter().enumerate() {
            ip(&format!("-n {switch} link add {bridge} type bridge"))?;
            ip(&format!("-n {switch} link set {bridge} up"))?;
            if bridges.len() > 1 {
                let end = if n == 0 { "trunk".to_owned() } else { format!("trunk-{bridge}") };
                ip(&format!("-n {switch} link set {end} master {bridge} up"))?;
            }
        }
        let half = self.hosts.len().div_ceil(bridges.len());
        for n in 0..self.hosts.len() {
            let (port, bridge) = (format!("port{n}"), bridges[n / half]);
            let host = self.hosts[n].namespace.clone();
            ip(&format!("link add eth0 netns {host} type veth peer name {port} netns {switch}"))?;
            ip(&format!("-n {switch} link set {port} master {bridge} up"))?;
            let last = u8::try_from(n + 1).context("too many hosts for one /24")?;
            self.address(n, "eth0", Ipv4Addr::new(192, 168, 50, last))?;
        }
        Ok(())
    }

    fn address(&mut self, host: usize, link: &str, address: Ipv4Addr) -> Result<()> {
        let host = &mut self.hosts[host];
        let namespace = &host.namespace;
        ip(&format!("-n {namespace} address add {address}/24 dev {link}"))?;
        ip(&format!("-n {namespace} link set {link} up"))?;
        host.addresses.push(address);
        Ok(())
    }

    fn namespace(&self, suffix: &str) -> Result<String> {
        let name = format!("{}{suffix}", self.mark);
        ip(&format!("netns add {name}"))?;
        self.names().push(name.clone());
        ip(&format!("-n {name} link set lo up"))?;
        Ok(name)
    }

    fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Host `n`, counted from 1.
    ///
    /// # Panics
    /// When there is no such host.
    pub fn host(&self, n: usize) -> &Host {
        &self.hosts[n - 1]
    }

    /// All hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// An empty namespace, for `weft attach` to put on the network.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn container(&self) -> Result<Container> {
        let n = self.names().len();
        Ok(Container { namespace: self.namespace(&format!("c{n}"))? })
    }

    /// Puts the state of host `n` on a disk of its own, of 1 MiB, and gives what can fill that.
    ///
    /// # Errors
    /// When it cannot be mounted.
    ///
    /// # Panics
    /// When there is no such host.
    pub fn small_disk(&mut self, n: usize) -> Result<Disk> {
        let folder = self.dir.join(format!("disk-{n}"));
        fs::create_dir(&folder)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m,mode=0755", "weft-test"]).arg(&folder);
        run(&mut mount, PATIENCE)?.ok()?;
        self.disks.push(folder.clone());
        self.hosts[n - 1].state_dir = folder.join("state");
        Ok(Disk { folder })
    }

    /// Cuts the wire between two halves, all of it in one moment.
    ///
    /// # Errors
    /// When there are no halves.
    pub fn split(&self) -> Result<()> {
        ip(&format!("-n {}switch link set trunk down", self.mark)).map(drop)
    }

    /// Makes the halves one network again.
    ///
    /// # Errors
    /// As [`Lab::split`].
    pub fn heal(&self) -> Result<()> {
        ip(&format!("-n {}switch link set trunk up", self.mark)).map(drop)
    }

    /// Takes host `n` off the switch.
    ///
    /// # Errors
    /// When there is no switch.
    pub fn unplug(&self, n: usize) -> Result<()> {
        ip(&format!("-n {}switch link set port{} down", self.mark, n - 1)).map(drop)
    }

    /// Puts it back.
    ///
    /// # Errors
    /// As [`Lab::unplug`].
    pub fn plug(&self, n: usize) -> Result<()> {
        ip(&format!("-n {}switch link set port{} up", self.mark, n - 1)).map(drop)
    }

    /// Folder of this lab, for any files of the test.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What all names, folders and processes of this lab have in common.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Starts `command` beside the test.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn background(&self, command: &mut Command) -> Result<Background> {
        let n = self.files.fetch_add(1, Ordering::Relaxed);
        Background::start(command, &self.dir.join(format!("output-{n}")))
    }

    /// Stops all daemons as an operator would, takes everything away and checks that it is gone.
    ///
    /// # Errors
    /// When a daemon does not stop, or something is left.
    pub fn finish(self) -> Result<()> {
        for host in &self.hosts {
            if host.is_running() {
                host.weft(&["stop"])?.ok()?;
                ensure!(!host.is_running(), "`weft stop` returned, but the daemon still runs");
            }
        }
        let runs = trace::processes(&self.mark);
        let (mark, links) = (self.mark.clone(), self.links_before.clone());
        drop(self);
        ensure!(runs.is_empty(), "still running after `weft stop`: {runs:?}");
        assert_no_trace(&mark, &links)
    }

    /// Everything of this lab, in the order in which it can go. Errors mean that it is gone.
    fn remove(&self) {
        for (pid, _) in trace::processes(&self.mark) {
            let _ = command::signal(pid, "KILL");
        }
        for name in self.names().iter() {
            let mut pids = Command::new("ip");
            let pids = run(pids.args(["netns", "pids", name]), PATIENCE);
            let pids = pids.map(|done| done.stdout).unwrap_or_default();
            for pid in pids.lines().filter_map(|pid| pid.trim().parse().ok()) {
                let _ = command::signal(pid, "KILL");
            }
            let _ = ip(&format!("netns delete {name}"));
        }
        for disk in &self.disks {
            // At once: its last user may still be dying.
            let _ = run(Command::new("umount").arg("--lazy").arg(disk), PATIENCE);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.remove();
        // A daemon may have been writing its last file while its folder went.
        let _ = holds_within(Duration::from_secs(2), || {
            let _ = fs::remove_dir_all(&self.dir);
            trace::of(&self.mark).is_empty()
        });
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Checks that nothing bears `mark`, and that the machine has no links but `links_before`.
///
/// # Errors
/// Names what is left after two seconds.
pub fn assert_no_trace(mark: &str, links_before: &BTreeSet<String>) -> Result<()> {
    let mut left = BTreeSet::new();
    let gone = holds_within(Duration::from_secs(2), || {
        left = trace::of(mark);
        left.extend(trace::links().difference(links_before).cloned());
        left.is_empty()
    });
    ensure!(gone, "left behind: {left:?}");
    Ok(())
}

fn check_machine() -> Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let root = uid.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0");
    ensure!(root, "these tests make network namespaces: run them as root");
    installed(&TOOLS)
}
