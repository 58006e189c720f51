//! One host and its `weft`.

use crate::command::{Done, run};
use crate::container::Container;
use crate::tools::{binary, inside, within};
use crate::{trace, wait_until};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longer than any command may take: its own limits are far shorter.
const PATIENCE: Duration = Duration::from_secs(20);

/// A machine: a network namespace and folders of its own.
#[derive(Debug)]
pub struct Host {
    /// As `ip netns` knows it.
    pub namespace: String,
    /// On the wires, in the order in which these were made.
    pub addresses: Vec<Ipv4Addr>,
    /// Where its daemon keeps what must survive.
    pub state_dir: PathBuf,
    /// Where its daemon has its socket.
    pub run_dir: PathBuf,
}

impl Host {
    pub(crate) fn new(namespace: String, dir: &Path) -> Result<Self> {
        let [state_dir, run_dir] = ["state", "run"].map(|name| dir.join(name));
        fs::create_dir(dir)?;
        Ok(Self { namespace, addresses: Vec::new(), state_dir, run_dir })
    }

    /// Its first address on the wires, as text.
    ///
    /// # Panics
    /// When it is on no wire.
    pub fn address(&self) -> String {
        self.addresses[0].to_string()
    }

    /// Where its daemon listens, for streams and for datagrams.
    ///
    /// # Panics
    /// When it is on no wire.
    pub fn port(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.addresses[0], 6783)
    }

    /// Runs `work` on a thread that is on this host: the sockets that it opens are, too.
    ///
    /// # Errors
    /// Those of `work`, and when the kernel refuses.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        within(&self.namespace, work)
    }

    /// `program` in the host's network namespace.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = inside(&self.namespace, program.as_ref());
        self.dress(&mut command);
        command
    }

    /// `weft ARGS`, as typed on this host.
    ///
    /// # Errors
    /// When it was not built.
    pub fn weft_command(&self, args: &[&str]) -> Result<Command> {
        let mut command = match args.first() {
            // These change the host's links; all others go through the socket, so that `run` starts
            // where a shell would.
            Some(&("launch" | "reset")) => self.command(binary("weft")?),
            Some(_) | None => Command::new(binary("weft")?),
        };
        self.dress(&mut command);
        command.args(args);
        Ok(command)
    }

    fn dress(&self, command: &mut Command) {
        command.env("WEFT_STATE_DIR", &self.state_dir).env("WEFT_RUN_DIR", &self.run_dir);
    }

    /// Runs `weft ARGS` on this host.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time. Its exit code is for the caller to judge.
    pub fn weft(&self, args: &[&str]) -> Result<Done> {
        run(&mut self.weft_command(args)?, PATIENCE)
    }

    /// Runs `weft launch ARGS` and gives the peer's name.
    ///
    /// # Errors
    /// When it fails; the log is part of the message.
    pub fn launch(&self, args: &[&str]) -> Result<String> {
        let args: Vec<_> = std::iter::once("launch").chain(args.iter().copied()).collect();
        let name = self.weft(&args)?.ok().with_context(|| self.log())?;
        ensure!(
            name.len() == 17 && name.split(':').count() == 6,
            "`weft launch` must print the peer's name and nothing else, not {name:?}"
        );
        Ok(name)
    }

    /// The daemon's log, for messages.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.run_dir.join("weft.log")).unwrap_or_default();
        format!("log of {}:\n{text}", self.namespace)
    }

    /// Copies what its daemon keeps, as it is now, into the new folder `to`.
    ///
    /// # Errors
    /// When a file cannot be copied, or the folder is there.
    pub fn copy_state(&self, to: &Path) -> Result<()> {
        fs::create_dir(to)?;
        for file in fs::read_dir(&self.state_dir)? {
            let file = file?;
            fs::copy(file.path(), to.join(file.file_name()))?;
        }
        Ok(())
    }

    /// Puts `container` on the network and gives its address.
    ///
    /// # Errors
    /// When that fails or no address is printed.
    pub fn attach(&self, container: &Container, args: &[&str]) -> Result<Ipv4Addr> {
        let mut words = vec!["attach"];
        words.extend(args);
        words.push(&container.namespace);
        let printed = self.weft(&words)?.ok().with_context(|| self.log())?;
        let first = printed.split_whitespace().next().unwrap_or_default();
        let address = first.split('/').next().unwrap_or_default();
        address.parse().with_context(|| format!("`weft attach` printed {printed:?}, no address"))
    }

    /// A container with a name on the network.
    ///
    /// # Errors
    /// When `weft attach` fails.
    pub fn named(&self, container: &Container, name: &str) -> Result<Ipv4Addr> {
        self.attach(container, &["--name", name])
    }

    /// Waits until this host has `count` links whose data path works, and those at their other ends
    /// are in reach: both ends have told of the link.
    ///
    /// # Errors
    /// When that takes longer than 10 s.
    pub fn wait_linked(&self, count: usize) -> Result<()> {
        let mut seen = String::new();
        let what = format!("{} has {count} established links", self.namespace);
        wait_until(&what, Duration::from_secs(10), || {
            seen = self.weft(&["status", "connections"]).map(|d| d.stdout).unwrap_or_default();
            let links = seen.lines().filter(|line| line.contains(" established ")).count();
            links == count && self.peers_in_reach() > count
        })
        .with_context(|| format!("it shows:\n{seen}\n{}", self.log()))
    }

    /// How many peers `weft status` counts, this one included; 0 when it says nothing.
    pub(crate) fn peers_in_reach(&self) -> usize {
        let shown = self.weft(&["status"]).map(|done| done.stdout).unwrap_or_default();
        let count = shown.lines().find_map(|line| line.trim().strip_prefix("Peers: "));
        count.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or(0)
    }

    /// Waits until `name` is answered here.
    ///
    /// # Errors
    /// When that takes longer than 10 s.
    pub fn wait_name(&self, name: &str) -> Result<()> {
        let what = format!("{} knows the name {name}", self.namespace);
        wait_until(&what, Duration::from_secs(10), || self.knows(name)).with_context(|| self.log())
    }

    /// Whether `name` is answered here.
    pub fn knows(&self, name: &str) -> bool {
        self.weft(&["dns-lookup", name]).is_ok_and(|done| !done.stdout.is_empty())
    }

    /// Where containers of this host ask for names: what `weft run` writes for its command.
    ///
    /// # Errors
    /// When `weft run` fails or names no server.
    pub fn dns_server(&self) -> Result<IpAddr> {
        let file = self.weft(&["run", "--", "cat", "/etc/resolv.conf"])?.ok()?;
        let server = file.lines().find_map(|line| line.strip_prefix("nameserver "));
        let server = server.with_context(|| format!("no nameserver in resolv.conf:\n{file}"))?;
        Ok(server.trim().parse()?)
    }

    /// Process ids of the daemon: `weft` in this host's namespace with this host's folders.
    pub fn daemon_pids(&self) -> Vec<u32> {
        let namespace = |path: &str| {
            use std::os::unix::fs::MetadataExt as _;
            fs::metadata(path).map(|file| (file.dev(), file.ino())).ok()
        };
        let own = namespace(&format!("/run/netns/{}", self.namespace));
        let weft = binary("weft").and_then(|path| Ok(fs::canonicalize(path)?)).ok();
        let marked = trace::processes(&self.run_dir.to_string_lossy()).into_iter();
        marked
            .map(|(pid, _)| pid)
            .filter(|pid| namespace(&format!("/proc/{pid}/ns/net")) == own)
            .filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).ok() == weft)
            .collect()
    }

    /// The process id of its daemon.
    ///
    /// # Errors
    /// When none runs.
    pub fn daemon_pid(&self) -> Result<u32> {
        let pids = self.daemon_pids();
        pids.first().copied().with_context(|| format!("no daemon runs on {}", self.namespace))
    }

    /// What its daemon answers to `GET PATH`. Costs far less than a command does, so that a crowd can
    /// be watched without holding it up.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> Result<String> {
        let mut stream = UnixStream::connect(self.run_dir.join("weft.sock"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: weft\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
        Ok(body.to_owned())
    }

    /// Whether its daemon runs.
    pub fn is_running(&self) -> bool {
        !self.daemon_pids().is_empty()
    }

    /// Kills the daemon without giving it a chance to tidy up, and waits until it is dead.
    ///
    /// # Errors
    /// When none runs.
    pub fn kill_daemon(&self) -> Result<()> {
        let pids = self.daemon_pids();
        ensure!(!pids.is_empty(), "no daemon runs on {}", self.namespace);
        for pid in &pids {
            crate::command::signal(*pid, "KILL")?;
        }
        // It loses its memory first, and with it what `is_running` looks at; its files later.
        wait_until("the daemon is dead", Duration::from_secs(5), || {
            pids.iter().all(|pid| trace::is_dead(*pid))
        })
    }

    /// Names of the links in its namespace.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn links(&self) -> Result<Vec<String>> {
        let list = crate::tools::ip(&format!("-n {} -brief link show", self.namespace))?;
        let name = |line: &str| line.split(['@', ' ']).next().unwrap_or_default().to_owned();
        let mut links: Vec<_> = list.lines().map(name).collect();
        links.sort();
        Ok(links)
    }
}
