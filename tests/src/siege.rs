//! Two hosts whose containers talk to each other while somebody on their wire attacks one of them.

use crate::capture::Capture;
use crate::command::run;
use crate::container::Container;
use crate::host::Host;
use crate::lab::{Lab, ip};
use crate::process;
use crate::talk::Talk;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// What all peers know, and strangers do not.
pub const PASSWORD: &str = "behind doors";

/// Further addresses of the attacker: what a peer grants to one address is little, so that an attack
/// from one would show little.
const ALIASES: std::ops::RangeInclusive<u8> = 100..=131;

const PATIENCE: Duration = Duration::from_secs(10);

/// Host 1 is attacked from host 3; host 2 is its neighbour, and host 4 wants to become another one.
#[derive(Debug)]
pub struct Siege {
    /// All four hosts.
    pub lab: Lab,
    far: Container,
    talk: Talk,
    /// Pings that had come to the other container before.
    arrived: u64,
    /// Of the daemon that is attacked, before that.
    resident: u64,
}

/// What an attack has cost.
#[derive(Clone, Copy, Debug)]
pub struct Toll {
    /// Pings that left the one container.
    pub sent: u64,
    /// Those of them that were not answered.
    pub lost: u64,
    /// Those that came to the other container.
    pub arrived: u64,
    /// Bytes of memory that the attacked daemon had in use at the worst moment, beyond those before.
    pub growth: u64,
}

impl Toll {
    /// Checks that no ping was lost, and no more than `memory` bytes were taken.
    ///
    /// # Errors
    /// Says what it was.
    pub fn within(self, memory: u64) -> Result<()> {
        ensure!(self.lost == 0, "pings were lost: {self:?}");
        ensure!(self.growth <= memory, "more than {memory} bytes of memory were taken: {self:?}");
        Ok(())
    }
}

impl Siege {
    /// Both peers are up, and their containers talk.
    ///
    /// # Errors
    /// When something of that does not come about.
    pub fn begin() -> Result<Self> {
        Self::prepare(Lab::full(4)?)
    }

    /// As [`Siege::begin`], and what crossed the wire until then.
    ///
    /// # Errors
    /// As [`Siege::begin`].
    pub fn captured() -> Result<(Self, Capture)> {
        let lab = Lab::full(4)?;
        let file = lab.dir().join("wire.pcap");
        let mut tcpdump = lab.host(1).command("tcpdump");
        tcpdump.args(["-i", "eth0", "-Z", "root", "--immediate-mode", "-U", "-s", "0"]);
        let mut tcpdump = lab.background(tcpdump.args(["port", "6783", "-w"]).arg(&file))?;
        tcpdump.wait_for("listening on", PATIENCE)?;
        let siege = Self::prepare(lab)?;
        // Some pings more.
        siege.talk.wait_for(20)?;
        tcpdump.signal("INT")?;
        tcpdump.wait(PATIENCE)?;
        Ok((siege, Capture::read(&fs::read(&file)?)?))
    }

    fn prepare(lab: Lab) -> Result<Self> {
        let [one, two] = [lab.host(1), lab.host(2)];
        one.launch(&["--password", PASSWORD])?;
        two.launch(&["--password", PASSWORD, &one.address()])?;
        let [near, far] = [lab.container()?, lab.container()?];
        one.attach(&near, &[])?;
        let target = two.attach(&far, &[])?;
        near.wait_pings(target)?;
        for last in ALIASES {
            ip(&format!("-n {} address add 192.168.50.{last}/24 dev eth0", lab.host(3).namespace))?;
        }
        let pid = one.daemon_pid()?;
        process::forget_peak(pid)?;
        let resident = process::resident(pid)?;
        let arrived = echoes(&far)?;
        let talk = Talk::begin(&lab, &near, target)?;
        Ok(Self { lab, far, talk, arrived, resident })
    }

    /// The host that is attacked.
    pub fn victim(&self) -> &Host {
        self.lab.host(1)
    }

    /// Its neighbour.
    pub fn friend(&self) -> &Host {
        self.lab.host(2)
    }

    /// Whence the attack comes.
    pub fn attacker(&self) -> &Host {
        self.lab.host(3)
    }

    /// All addresses of the attacker.
    pub fn attackers(&self) -> Vec<Ipv4Addr> {
        let aliases = ALIASES.map(|last| Ipv4Addr::new(192, 168, 50, last));
        self.attacker().addresses.iter().copied().chain(aliases).collect()
    }

    /// How long it takes until a host that was not there before is launched and has a link with the
    /// attacked one.
    ///
    /// # Errors
    /// When that does not come about.
    pub fn newcomer_joins(&self) -> Result<Duration> {
        let start = Instant::now();
        let target = self.victim().address();
        self.lab.host(4).launch(&["--password", PASSWORD, &target])?;
        self.victim().wait_linked(2)?;
        Ok(start.elapsed())
    }

    /// Files and sockets that the attacked daemon has open.
    ///
    /// # Errors
    /// When it is gone.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(process::descriptors(self.victim().daemon_pid()?))
    }

    /// How often the log of the attacked daemon has a line with `text`.
    pub fn logged(&self, text: &str) -> usize {
        self.victim().log().lines().filter(|line| line.contains(text)).count()
    }

    /// Ends it all, and says what it has cost.
    ///
    /// # Errors
    /// When a daemon panicked or the honest link was lost, or something is left over.
    pub fn end(self) -> Result<Toll> {
        let growth = process::peak(self.victim().daemon_pid()?)?.saturating_sub(self.resident);
        let said = self.talk.end()?;
        let arrived = echoes(&self.far)? - self.arrived;
        for host in self.lab.hosts() {
            let log = host.log();
            for bad in ["panicked", "data path down", "nothing heard"] {
                ensure!(!log.contains(bad), "{bad:?} in the {log}");
            }
        }
        self.lab.finish()?;
        Ok(Toll { sent: said.sent, lost: said.lost, arrived, growth })
    }
}

/// How many pings came to `container`, as its kernel counts them.
fn echoes(container: &Container) -> Result<u64> {
    let text = run(container.command("cat").arg("/proc/net/snmp"), PATIENCE)?.ok()?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Icmp: "));
    let [names, values] = [lines.next(), lines.next()].map(Option::unwrap_or_default);
    let mut fields = names.split(' ').zip(values.split(' '));
    let (_, count) = fields.find(|(name, _)| *name == "InEchos").context("no count of pings")?;
    Ok(count.parse()?)
}
