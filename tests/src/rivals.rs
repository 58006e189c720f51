//! Other DNS servers, on a host of a lab, which are told names of a mesh to be compared with weft.

use crate::command::Background;
use crate::lab::Lab;
use crate::tools::installed;
use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};

/// A name, without the final dot, and the address that it stands for.
pub type Named = (String, IpAddr);

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Rival {
    /// Its program.
    pub name: &'static str,
    /// Where it answers.
    pub at: SocketAddr,
    running: Background,
}

impl Rival {
    /// dnsmasq, on the first host of `lab`.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn dnsmasq(lab: &Lab, at: SocketAddr, domain: &str, names: &[Named]) -> Result<Self> {
        let mut text = String::new();
        for (name, address) in names {
            writeln!(text, "{address} {name}")?;
        }
        let hosts = lab.dir().join("dnsmasq.hosts");
        fs::write(&hosts, text)?;
        let port = format!("--port={}", at.port());
        let listen = format!("--listen-address={}", at.ip());
        let [hosts, local] =
            [format!("--addn-hosts={}", hosts.display()), format!("--local=/{domain}/")];
        let args = [
            // Nothing of the machine's own, and not in the background.
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=root",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--local-ttl=1",
            &port,
            &listen,
            &hosts,
            &local,
        ];
        Self::start(lab, "dnsmasq", at, &args)
    }

    /// unbound, on the first host of `lab`.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn unbound(lab: &Lab, at: SocketAddr, domain: &str, names: &[Named]) -> Result<Self> {
        let (ip, port) = (at.ip(), at.port());
        let mut text = format!(
            "server:\n interface: {ip}@{port}\n access-control: {ip} allow\n do-daemonize: no\n \
             username: \"\"\n chroot: \"\"\n directory: \"\"\n pidfile: \"\"\n use-syslog: no\n \
             module-config: \"iterator\"\n local-zone: \"{domain}.\" static\n"
        );
        for (name, address) in names {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            writeln!(text, " local-data: \"{name}. 1 IN {kind} {address}\"")?;
        }
        text.push_str("remote-control:\n control-enable: no\n");
        let file = lab.dir().join("unbound.conf");
        fs::write(&file, text)?;
        Self::start(lab, "unbound", at, &["-d", "-c", &file.to_string_lossy()])
    }

    fn start(lab: &Lab, name: &'static str, at: SocketAddr, args: &[&str]) -> Result<Self> {
        installed(&[("dnsmasq", "dnsmasq-base"), ("unbound", "unbound")])?;
        // `ip netns exec` becomes the program, so the process is that of the server.
        let running = lab.background(lab.host(1).command(name).args(args))?;
        Ok(Self { name, at, running })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Why it does not answer, as far as it says.
    ///
    /// # Errors
    /// Those of `answered`, with its words.
    pub fn complaint<T>(&self, answered: Result<T>) -> Result<T> {
        answered.with_context(|| format!("{} says:\n{}", self.name, self.running.text()))
    }
}
