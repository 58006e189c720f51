//! `weft launch`: starts the daemon, in its own session, and says how that went.
//!
//! The process that was typed starts another one and waits for its word on a pipe: lines
//! `warning TEXT`, then `ready NAME` or `failed TEXT`. The secrets go the other way, on the
//! child's stdin, so that they are in no list of processes and in no environment.

use super::common::{Common, Failure, Outcome, complain, say, say_json};
use super::defaults::{BRIDGE, DOMAIN, MTU, bridge_name};
use super::trust::{OldSecretArgs, SecretArgs, listed};
use crate::api::server;
use crate::daemon::{self, Controls, Daemon, Options, Secrets};
use crate::dns::{Forward, TTL, socket_address};
use crate::logging;
use clap::Args;
use ipnet::IpNet;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getppid};
use serde_json::json;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use weft_core::addr::{Universe, UniverseError, parse_net};
use weft_core::config::{Config, FoundingMode, NICKNAME_LEN_MAX, is_nickname};
use weft_core::id::{ParsePeerNameError, PeerId, PeerName};
use weft_core::io::Target;
use weft_core::names::Name;
use zeroize::Zeroizing;

/// Longest wait for the daemon's word.
const START_MAX: Duration = Duration::from_secs(60);

/// What people and service managers send to whom they want to end.
const INTERRUPTS: [Signal; 2] = [Signal::SIGINT, Signal::SIGTERM];

/// Longest wait for the end of a daemon that was told to end while it started.
const END_MAX: Duration = Duration::from_secs(5);

/// Time between two looks whether it has ended.
const LOOK_WAIT: Duration = Duration::from_millis(5);

/// Longest time that answers may be kept, in seconds: a day, after which even what rarely moves has.
const TTL_MAX: i64 = 86_400;

/// Options whose value must not be seen in the list of processes.
const PASSWORD_OPTIONS: [&str; 2] = ["--password", "--old-password"];

/// Longest flight recording, in MiB: some hours of a small mesh.
const RECORD_MIB: u16 = 64;

/// Capabilities that the daemon cannot do without, by number: CAP_NET_ADMIN, CAP_SYS_ADMIN.
/// Source: linux/capability.h.
const CAPABILITIES: u64 = 1 << 12 | 1 << 21;

/// Start the daemon of this host and join the mesh of the peers named
///
/// Prints this peer's name once it is ready.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  \
    weft launch\n  \
    weft launch host1 host2:6783 '[fd00::3]:6783'\n  \
    WEFT_PASSWORD=secret weft launch host1\n  \
    weft launch --key-file /etc/weft.key --allow-peers /etc/weft.peers host1\n  \
    weft launch --ipalloc-range 10.2.0.0/16 --ipalloc-init consensus=3 host1 host2")]
pub(super) struct LaunchArgs {
    /// Peers to dial: HOST, HOST:PORT or [IPV6]:PORT
    #[arg(value_name = "PEER")]
    peers: Vec<String>,
    /// Stay in the foreground (for systemd and containers)
    #[arg(long)]
    foreground: bool,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    old_secret: OldSecretArgs,
    /// Peers to have to do with, and with nobody else: ids, or files with one on each line; the same
    /// on all peers
    #[arg(long, value_name = "ID|FILE", value_delimiter = ',')]
    allow_peers: Vec<String>,
    /// Control port (TCP) and data port (UDP)
    #[arg(long, default_value_t = 6783, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Addresses that the mesh divides; the same on all peers. Given twice, once for IPv4 and once for
    /// IPv6, it gives every container an address of each
    #[arg(long, value_name = "CIDR", default_value = "10.32.0.0/12", value_delimiter = ',', value_parser = block)]
    ipalloc_range: Vec<IpNet>,
    /// Where addresses come from when no subnet is asked for, at most one of each family [default: the
    /// whole range]
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = block)]
    ipalloc_default_subnet: Vec<IpNet>,
    /// How the range is first divided: consensus, consensus=PEERS, seed=ID,ID,… (of all peers that
    /// get a share; `weft id` shows it) or observer
    #[arg(long, value_name = "MODE", default_value = "consensus", value_parser = founding)]
    ipalloc_init: FoundingMode,
    /// Name of this peer, six hex bytes like 0a:1b:2c:3d:4e:5f [default: from its key]
    #[arg(long, value_parser = peer_name)]
    name: Option<PeerName>,
    /// Label of this peer for people [default: the host's name]
    #[arg(long, value_parser = nickname)]
    nickname: Option<String>,
    /// Dial only the peers named, not those heard of
    #[arg(long)]
    no_discovery: bool,
    /// Most control links at once
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    conn_limit: u16,
    /// Dial the peers that the last run was told of; its neighbours are dialed in any case
    #[arg(long, conflicts_with = "peers")]
    resume: bool,
    /// Answer no names
    #[arg(long)]
    no_dns: bool,
    /// Answer names at this address of the host too, for those who cannot ask on the bridge
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = listen_address, conflicts_with = "no_dns")]
    dns_listen_address: Option<SocketAddr>,
    /// Domain of the names of containers
    #[arg(long, value_name = "DOMAIN", default_value = DOMAIN)]
    dns_domain: Name,
    /// How long an answer about them may be kept
    #[arg(long, value_name = "SECONDS", default_value_t = TTL, value_parser = clap::value_parser!(u32).range(0..=TTL_MAX))]
    dns_ttl: u32,
    /// Where a name stands for several containers, answer with those on this host first
    #[arg(long)]
    dns_local_first: bool,
    /// Ask SERVER for names in DOMAIN, instead of the host's name servers; can be given several times
    #[arg(long, value_name = "DOMAIN=SERVER")]
    dns_forward: Vec<Forward>,
    /// Where the host's name servers are listed
    #[arg(long, value_name = "FILE", default_value = "/etc/resolv.conf", value_parser = absolute)]
    resolv_conf: PathBuf,
    /// Largest packet that containers may send, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = MTU, env = "WEFT_MTU", value_parser = clap::value_parser!(u32).range(576..=65535))]
    mtu: u32,
    /// Name of the bridge
    #[arg(long, value_name = "NAME", default_value = BRIDGE, value_parser = bridge_name)]
    bridge: String,
    /// Write down all that this peer is told, for `sim replay`; secrets are sealed under FILE.key
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    record: Option<PathBuf>,
    /// Longest recording, in MiB: it holds the first part of the run, and says when it is full
    #[arg(long, value_name = "MIB", default_value_t = RECORD_MIB, requires = "record", value_parser = clap::value_parser!(u16).range(1..))]
    record_max: u16,
    /// What to log: error, warn, info, debug, trace, or a filter such as weft=debug
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "WEFT_LOG", value_parser = logging::level)]
    log_level: String,
}

pub(super) fn launch(common: &Common, mut args: LaunchArgs) -> Outcome {
    if let Some(parent) = common.daemon_of {
        return stay(common, &args, Pid::from_raw(parent));
    }
    may_launch()?;
    let secrets = Secrets { secret: args.secret.take()?, old: args.old_secret.take()? };
    if secrets.secret.is_none() && secrets.old.is_some() {
        return Err(Failure::usage(
            "an old secret is given without a new one: give the old one as the only one",
        ));
    }
    // Before anything is started: a mistake in an option is reported by whoever was typed.
    let options = options(common, &args, secrets)?;
    if let Some(running) = daemon::lasting(&common.folders()) {
        return Err(Failure::new(running));
    }
    let mut run_dir = fs::DirBuilder::new();
    run_dir
        .recursive(true)
        .mode(0o755)
        .create(&common.run_dir)
        .map_err(|e| unwritable("make", &common.run_dir, &e))?;
    if args.foreground {
        let json = common.json;
        work(options, &logging::Target::Stderr, &args.log_level, |word| match word {
            Word::Warning(text) => {
                complain(&format!("warning: {text}"));
                Ok(())
            }
            Word::Ready(name) => ready(json, name),
        })
    } else {
        leave_behind(common, &options)
    }
}

/// What a starting daemon says.
#[derive(Debug)]
enum Word<'a> {
    Warning(&'a str),
    Ready(&'a str),
}

fn ready(json: bool, name: &str) -> Outcome {
    if json { say_json(&json!({ "Name": name })) } else { say(name) }
}

/// Starts the process that stays, and waits for its word.
fn leave_behind(common: &Common, options: &Options) -> Outcome {
    let log = options.folders().log_file();
    let log_writer = OpenOptions::new().create(true).append(true).mode(0o640).open(&log);
    let log_writer = log_writer.map_err(|e| unwritable("write", &log, &e))?;
    // Ours from here on: the daemon must not be left half started by whoever interrupts us.
    let interrupts: SigSet = INTERRUPTS.into_iter().collect();
    interrupts.thread_block().map_err(Failure::new)?;
    let program = std::env::current_exe().map_err(Failure::new)?;
    let mut child = Command::new(program)
        .args(["--daemon-of", &std::process::id().to_string()])
        .args(without_password(std::env::args_os().skip(1)))
        .env_remove("WEFT_PASSWORD")
        .env_remove("WEFT_OLD_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log_writer)
        .spawn()
        .map_err(|e| Failure::new(format!("cannot start the daemon: {e}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        let secrets = serde_json::to_vec(&options.secrets).map(Zeroizing::new);
        // If it is gone already, the pipe back to us says why.
        let _ = stdin.write_all(&secrets.map_err(Failure::new)?);
    }
    let heard = hear(child.stdout.take(), interrupts);
    let verdict = loop {
        match heard.recv_timeout(START_MAX) {
            Ok(Heard::Line(line)) => match line.split_once(' ') {
                Some(("warning", text)) => complain(&format!("warning: {text}")),
                Some(("ready", name)) => return ready(common.json, name),
                Some(("failed", text)) => break text.to_owned(),
                Some(_) | None => {}
            },
            Ok(Heard::Interrupt) => {
                break "interrupted before weft was ready: what was done is undone, but what others count on already".to_owned();
            }
            Ok(Heard::End) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                break format!("weft ended while it started: see {}", log.display());
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                break format!("weft was not ready within {START_MAX:?}: see {}", log.display());
            }
        }
    };
    end(child);
    Err(Failure::new(verdict))
}

/// What the waiting parent hears of.
enum Heard {
    /// The child said something.
    Line(String),
    /// The child has closed its stdout.
    End,
    /// Somebody wants us to end.
    Interrupt,
}

/// The lines of the child's stdout until it closes that, and the first of `signals`, which this
/// thread has blocked.
fn hear(stdout: Option<ChildStdout>, signals: SigSet) -> mpsc::Receiver<Heard> {
    let (send, receive) = mpsc::channel();
    let tell = send.clone();
    std::thread::spawn(move || {
        for line in stdout.map(BufReader::new).into_iter().flat_map(BufRead::lines).flatten() {
            if tell.send(Heard::Line(line)).is_err() {
                return;
            }
        }
        let _ = tell.send(Heard::End);
    });
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            // Whoever listened has ended too.
            let _ = send.send(Heard::Interrupt);
        }
    });
    receive
}

/// Makes sure that a daemon which did not start is gone, and gives it time to undo what it did.
fn end(mut child: Child) {
    let told = Instant::now();
    let pid = i32::try_from(child.id()).map(Pid::from_raw);
    let _ = pid.map(|pid| kill(pid, Signal::SIGTERM));
    while told.elapsed() < END_MAX {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        std::thread::sleep(LOOK_WAIT);
    }
    // It is ours and has said that it failed, or said nothing: neither call can matter to others.
    let _ = child.kill();
    let _ = child.wait();
}

/// The arguments as typed, but for the password.
fn without_password(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        if PASSWORD_OPTIONS.contains(&&*text) {
            args.next();
        } else if !PASSWORD_OPTIONS
            .iter()
            .any(|option| text.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')))
        {
            kept.push(arg);
        }
    }
    kept
}

/// The process that stays: leaves the session of `parent`, then works and reports on stdout.
fn stay(common: &Common, args: &LaunchArgs, parent: Pid) -> Outcome {
    let work = || {
        nix::unistd::setsid().map_err(Failure::new)?;
        // Until we are ready, its end is ours: there would be nobody to tell how the start went.
        set_pdeathsig(Signal::SIGTERM).map_err(Failure::new)?;
        if getppid() != parent {
            return Err(Failure::new("interrupted before weft was ready: nothing was done"));
        }
        // Blocked for the sake of the parent, and handed down.
        SigSet::from_iter(INTERRUPTS).thread_unblock().map_err(Failure::new)?;
        std::env::set_current_dir("/").map_err(Failure::new)?;
        let mut given = Zeroizing::new(Vec::new());
        std::io::stdin().read_to_end(&mut given).map_err(Failure::new)?;
        let secrets = serde_json::from_slice(&given).map_err(Failure::new)?;
        let options = options(common, args, secrets)?;
        let log = logging::Target::File(options.folders().log_file());
        work(options, &log, &args.log_level, |word| match word {
            Word::Warning(text) => report("warning", text),
            Word::Ready(name) => {
                set_pdeathsig(None).map_err(Failure::new)?;
                report("ready", name)?;
                // The parent has heard all that it waits for.
                let null =
                    OpenOptions::new().write(true).open("/dev/null").map_err(Failure::new)?;
                nix::unistd::dup2_stdout(null).map_err(Failure::new)
            }
        })
    };
    work().inspect_err(|failure| {
        // If the parent does not listen, the log has it.
        let _ = report("failed", &failure.message);
    })
}

fn report(word: &str, text: &str) -> Outcome {
    say(format_args!("{word} {}", text.trim().replace('\n', "; ")))
}

/// Runs the daemon to its end.
fn work(
    options: Options,
    target: &logging::Target,
    log_level: &str,
    mut tell: impl FnMut(Word<'_>) -> Outcome,
) -> Outcome {
    logging::init(target, log_level)
        .map_err(|e| Failure::usage(format!("--log-level {log_level}: {e}")))?;
    // Each link and each question for another name server takes one.
    if let Err(why) = more_descriptors() {
        tracing::warn!(%why, "cannot have more file descriptors");
    }
    daemon::hold_signals().map_err(Failure::new)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(Failure::new)?.block_on(async {
        let mut controls = None;
        let started = Daemon::start(options, |given: Controls, listener| {
            controls = Some(given.clone());
            server::serve(given, listener)
        })
        .await;
        let daemon = started.map_err(Failure::new)?;
        for warning in daemon.warnings() {
            tell(Word::Warning(warning))?;
        }
        let Some(controls) = controls else {
            return Err(Failure::new("the control socket was not opened"));
        };
        let status = controls.node.status().await.map_err(Failure::new)?;
        tell(Word::Ready(&status.name.to_string()))?;
        daemon.run().await.map_err(Failure::new)
    })
}

/// Raises our limit of file descriptors to what we may raise it to.
fn more_descriptors() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
}

fn options(common: &Common, args: &LaunchArgs, secrets: Secrets) -> Result<Options, Failure> {
    let targets = args.peers.iter().map(|peer| Target::parse(peer, args.port));
    let range = Universe::of(&args.ipalloc_range)
        .map_err(|why| Failure::usage(format!("--ipalloc-range: {why}")))?;
    let nickname = args.nickname.clone().unwrap_or_else(host_name);
    let division = Config {
        nickname: nickname.clone(),
        universe: range,
        default_subnets: args.ipalloc_default_subnet.clone(),
        founding: args.ipalloc_init.clone(),
        ..Config::default()
    };
    division.check().map_err(Failure::usage)?;
    if let Some(at) = args.dns_listen_address
        && range.offset(at.ip()).is_some()
    {
        return Err(Failure::usage(format!(
            "--dns-listen-address {at} is inside the range {range}, of which containers are given addresses: expected another one that this host has"
        )));
    }
    let allowed = (!args.allow_peers.is_empty()).then(|| listed(&args.allow_peers)).transpose()?;
    Ok(Options {
        name: args.name,
        nickname,
        port: args.port,
        secrets,
        allowed,
        range,
        default_subnets: args.ipalloc_default_subnet.clone(),
        founding: args.ipalloc_init.clone(),
        targets: targets.collect::<Result<_, _>>().map_err(Failure::usage)?,
        resume: args.resume,
        discovery: !args.no_discovery,
        conns_max: usize::from(args.conn_limit),
        state_dir: common.state_dir.clone(),
        run_dir: common.run_dir.clone(),
        bridge: args.bridge.clone(),
        mtu: args.mtu,
        dns: !args.no_dns,
        dns_listen: args.dns_listen_address,
        dns_domain: args.dns_domain.clone(),
        dns_ttl: args.dns_ttl,
        dns_prefers_here: args.dns_local_first,
        dns_forwards: args.dns_forward.clone(),
        resolv_conf: args.resolv_conf.clone(),
        record: args.record.clone().map(|path| (path, usize::from(args.record_max) << 20)),
    })
}

fn unwritable(doing: &str, path: &Path, why: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {doing} {}: {why}; choose another --run-dir", path.display()))
}

/// A peer's name is the MAC of its bridge, so it must be one that a single station can have.
fn peer_name(text: &str) -> Result<PeerName, String> {
    let name: PeerName = text.parse().map_err(|why: ParsePeerNameError| why.to_string())?;
    let [first, ..] = name.0;
    if name.0 == [0; 6] || first & 1 == 1 {
        return Err(format!(
            "{name} is no address of one station: expected a first byte that is even, and not only zeros"
        ));
    }
    Ok(name)
}

/// The host's name as a nickname: Linux allows 64 bytes and none at all, a nickname 1 to 63.
fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let mut name: String = name.to_string_lossy().replace(char::is_control, "");
    name.truncate(name.floor_char_boundary(NICKNAME_LEN_MAX));
    if name.is_empty() { "weft".to_owned() } else { name }
}

fn nickname(text: &str) -> Result<String, String> {
    if is_nickname(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("expected 1 to {NICKNAME_LEN_MAX} bytes without control characters"))
    }
}

/// The daemon goes to another folder.
fn absolute(text: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(text)
}

/// Where names can be answered: one address, since an answer has to come from where it was asked.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let at = socket_address(text).filter(|at| at.port() != 0);
    at.filter(|at| !at.ip().is_unspecified() && !at.ip().is_multicast()).ok_or_else(|| {
        "expected one address of this host, or one with a port as in 172.17.0.1:53 or [fd00::1]:53"
            .to_owned()
    })
}

/// One block, of the range or that of a default subnet: smaller ones have no address to give.
fn block(text: &str) -> Result<IpNet, UniverseError> {
    let block = parse_net(text).ok_or_else(|| UniverseError::NoBlock(text.to_owned()))?;
    Universe::new(block).map(|_| block)
}

fn founding(text: &str) -> Result<FoundingMode, String> {
    let bad = || {
        format!(
            "'{text}' is no mode: expected consensus, consensus=PEERS, seed=ID,ID,… or observer"
        )
    };
    match text.split_once('=') {
        None if text == "consensus" => Ok(FoundingMode::Consensus { peers: None }),
        None if text == "observer" => Ok(FoundingMode::Observer),
        Some(("consensus", peers)) => match peers.parse() {
            Ok(peers) if peers > 0 => Ok(FoundingMode::Consensus { peers: Some(peers) }),
            Ok(_) | Err(_) => Err(bad()),
        },
        Some(("seed", ids)) => {
            let id = |text: &str| {
                let id = text.trim().parse::<PeerId>();
                id.map_err(|why| format!("{why}; `weft id` shows that of a host"))
            };
            let mut named = BTreeSet::new();
            for id in ids.split(',').map(id) {
                let id = id?;
                if !named.insert(id) {
                    return Err(format!("{} is named twice: each peer has one share", id.hex()));
                }
            }
            Ok(FoundingMode::Seeds(named))
        }
        Some(_) | None => Err(bad()),
    }
}

/// Checks that we may do what the daemon does.
fn may_launch() -> Outcome {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    if effective.unwrap_or(0) & CAPABILITIES == CAPABILITIES {
        Ok(())
    } else {
        Err(Failure::new("weft launch needs root (or CAP_NET_ADMIN and CAP_SYS_ADMIN): try sudo"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_does_not_reach_the_arguments_of_the_daemon() {
        let secret = ["--password", "a", "--password=b", "--old-password", "c", "--old-password=d"];
        let open = ["--password-file", "f", "--old-password-file=g", "--key-file", "k", "host1"];
        let args = secret.iter().chain(&open);
        let kept = without_password(args.map(OsString::from));
        assert_eq!(kept, open);
    }

    #[test]
    fn nicknames_and_host_names_are_short_and_harmless() {
        assert!(nickname(&"a".repeat(63)).is_ok() && nickname("höst-名前").is_ok());
        for bad in ["", "a\nb", "a\u{1b}[31mb", &"a".repeat(64)] {
            assert!(nickname(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(nickname(&host_name()).is_ok());
    }

    #[test]
    fn names_are_answered_at_one_address_with_or_without_a_port() {
        for (text, at) in [
            ("172.17.0.1", "172.17.0.1:53"),
            ("127.0.0.1:5353", "127.0.0.1:5353"),
            ("fd00::1", "[fd00::1]:53"),
            ("[fd00::1]:54", "[fd00::1]:54"),
        ] {
            assert_eq!(listen_address(text).map(|at| at.to_string()).as_deref(), Ok(at));
        }
        for bad in [
            "",
            "docker0",
            "172.17.0",
            "172.17.0.1:",
            "10.0.0.1:0",
            "0.0.0.0",
            "[::]:53",
            "224.0.0.1",
        ] {
            assert!(listen_address(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn the_name_of_a_peer_is_one_that_a_single_station_can_have() {
        assert!(peer_name("0a:1b:2c:3d:4e:5f").is_ok());
        for bad in ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "loom"] {
            assert!(peer_name(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn the_modes_of_the_first_division_are_weave_nets() {
        assert_eq!(founding("consensus"), Ok(FoundingMode::Consensus { peers: None }));
        assert_eq!(founding("consensus=3"), Ok(FoundingMode::Consensus { peers: Some(3) }));
        assert_eq!(founding("observer"), Ok(FoundingMode::Observer));
        for bad in ["", "consensus=", "consensus=0", "seed=a", "observer=1"] {
            assert!(founding(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
