//! Starting a daemon: each step in order, each failure one line, each step undone when a later one
//! fails.

use super::lock::PidLock;
use super::running::Running;
use super::signals::Signals;
use super::sleeve::Sleeve;
use super::upkeep::Upkeep;
use super::{Controls, Options, StartError, underlay};
use crate::attachments::{Attachments, Places};
use crate::clock::Clock;
use crate::dns::{self, DnsService, Upstreams, Zone, ZoneOptions};
use crate::driver::{Driver, Parts};
use crate::handle::NodeHandle;
use crate::host::{Kernel, tap_name};
use crate::net::TokioNet;
use crate::recorder::FlightRecorder;
use crate::run_files;
use crate::secret::Secret;
use crate::store::{RedbStore, Store as _};
use nix::sys::stat::{Mode, umask};
use std::fmt::Display;
use std::io::{self, Read};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use weft_core::config::{Config, NetworkSecret};
use weft_core::flight::FlightKey;
use weft_core::forward::Forwarder;
use weft_core::io::Command;
use weft_core::node::Seed;
use weft_core::saved::Slot;
use weft_core::status::{TargetState, TargetStatus};
use weft_datapath::engine::Engine;
use weft_datapath::tap::Tap;
use weft_datapath::{odp, udp};

/// Probes that wait for the node; more are dropped, as the network might have done.
const FROM_FRAMES_MAX: usize = 256;

/// Targets named at the launch have this long to say that something is wrong.
const VERDICT_MAX: Duration = Duration::from_secs(1);

/// Time between two looks at the verdicts.
const VERDICT_WAIT: Duration = Duration::from_millis(10);

/// A daemon that has started. Fields are dropped in order.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) running: Running,
    pub(super) controls: Controls,
    /// What the operator should know.
    pub(super) warnings: Vec<String>,
    pub(super) signals: Signals,
    pub(super) kernel: Kernel,
    _socket: RemovedFile,
    // Last: nobody may start another one before all else is undone.
    _seat: Seat,
}

/// Our place in the run folder. Fields are dropped in order.
#[derive(Debug)]
struct Seat {
    _lock: PidLock,
    _folder: RunFolder,
}

/// The run folder, which goes with this when nothing is left in it.
#[derive(Debug)]
struct RunFolder(PathBuf);

impl Drop for RunFolder {
    fn drop(&mut self) {
        // The log of a daemon in the background stays, and so do the files of a `weft run` that
        // still runs.
        run_files::clear(&self.0);
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// A file that is removed with this.
#[derive(Debug)]
struct RemovedFile(PathBuf);

impl Drop for RemovedFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(super) async fn start<A, F>(mut options: Options, api: A) -> Result<Started, StartError>
where
    A: FnOnce(Controls, UnixListener) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut signals = Signals::catch()?;
    require_root()?;
    folder(&options.run_dir, "--run-dir")?;
    let seat = Seat {
        _lock: PidLock::take(&options.folders().pid_file())?,
        _folder: RunFolder(options.run_dir.clone()),
    };
    let is_first = !options.folders().database().exists();
    folder(&options.state_dir, "--state-dir")?;
    let secrets = std::mem::take(&mut options.secrets);
    let secrets = [stretched(secrets.secret).await?, stretched(secrets.old).await?];
    let bridge = options.bridge.clone();
    let kernel = Kernel::open(bridge, options.mtu, options.range, &options.state_dir);
    let kernel = kernel.map_err(line)?;
    let (database, state_dir) = (options.folders().database(), options.state_dir.clone());
    let started = assemble(options, secrets, &kernel, api, &mut signals).await;
    if started.is_err()
        && let Err(why) = kernel.remove_idle_bridge().await
    {
        tracing::warn!(%why, "left behind by a failed start");
    }
    let started = started.map_err(|Failed { why, has_run }| {
        if !is_first {
            return why;
        }
        if has_run && has_taken_part(&database) {
            return StartError(format!(
                "{why}; others know this peer already, so {} is kept for the next launch",
                state_dir.display()
            ));
        }
        let _ = std::fs::remove_file(database);
        // Others may keep files of their own there; then it stays.
        let _ = std::fs::remove_dir(state_dir);
        why
    });
    let (running, controls, warnings, socket) = started?;
    Ok(Started { running, controls, warnings, signals, kernel, _socket: socket, _seat: seat })
}

/// A start that came to nothing.
struct Failed {
    why: StartError,
    /// Whether the node has run, so that others may know of it.
    has_run: bool,
}

impl From<StartError> for Failed {
    fn from(why: StartError) -> Self {
        Self { why, has_run: false }
    }
}

/// Whether a node has run on the store at `database` that others count on: it has voted, or been given addresses.
/// Without the store it would be another one, and its vote and its addresses nobody's; and if it voted again, two
/// foundings could both have their quorum. Where that cannot be seen any more, it may have.
fn has_taken_part(database: &Path) -> bool {
    let counts = |slot: &Slot| match slot {
        Slot::Record(_) | Slot::Holding(_) | Slot::Resting | Slot::Met | Slot::Neighbours => true,
        Slot::Identity | Slot::Incarnation | Slot::Network | Slot::Names(_) | Slot::Targets => {
            false
        }
    };
    let saved = RedbStore::open(database).and_then(|mut store| store.load());
    saved.map_or(true, |saved| saved.slots.keys().any(counts))
}

async fn assemble<A, F>(
    options: Options,
    secrets: [Option<NetworkSecret>; 2],
    kernel: &Kernel,
    api: A,
    signals: &mut Signals,
) -> Result<(Running, Controls, Vec<String>, RemovedFile), Failed>
where
    A: FnOnce(Controls, UnixListener) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let store = RedbStore::open(&options.folders().database()).map_err(line)?;
    let places = Places::open(options.attached_file()).map_err(|why| {
        let path = options.attached_file();
        StartError(format!(
            "{} is damaged ({why}): remove it, or start afresh with `weft reset --force`",
            path.display()
        ))
    })?;
    no_overlap(&options, kernel).await?;
    let (listener, socket) = ports(options.port).await?;
    let names = match options.dns_listen {
        Some(at) => Some((at, dns_sockets(at).await?)),
        None => None,
    };
    let frames = Tap::open(&tap_name(&options.bridge)).map_err(line)?;
    let (tell, from_frames) = mpsc::channel(FROM_FRAMES_MAX);
    let sleeve = Sleeve::default();
    let recorder = options.record.as_ref().map(|(path, len_max)| recorder(path, *len_max));
    let recorder = recorder.transpose()?;
    let config = config(&options, secrets);
    let hops_max = config.hops_max;
    let parts = Parts {
        config,
        seed: Seed(drawn()?),
        clock: Clock::host(),
        net: TokioNet,
        listener,
        store,
        frames: sleeve.clone(),
        from_frames,
        probe: recorder,
    };
    let (driver, node) = Driver::start(parts).await.map_err(line)?;
    let name = driver.node().name();
    let host = kernel;
    let kernel = kernel.clone().of_peer(name);
    kernel.ensure_bridge().await.map_err(line)?;
    kernel.plug_tap().await.map_err(line)?;
    let on_input = move |input| {
        let _ = tell.try_send(input);
    };
    let engine = Engine::start(frames, socket, Forwarder::new(name, hops_max), on_input);
    sleeve.run(engine.map_err(line)?);

    let dns = options.dns.then(|| {
        let zone = ZoneOptions {
            domain: options.dns_domain.clone(),
            range: options.range,
            ttl: options.dns_ttl,
            prefers_here: options.dns_prefers_here,
        };
        let zone = Zone::new(zone, node.names().clone());
        let forwards = options.dns_forwards.clone();
        let upstreams = Upstreams::new(options.resolv_conf.clone(), dns::PORT, forwards);
        DnsService::new(zone, upstreams, names).map(Arc::new)
    });
    let dns = dns.transpose().map_err(line)?;
    let mut running = Running::start(driver);
    let attachments = Attachments::new(node.clone(), Arc::new(kernel.clone()), dns.clone(), places);
    let controls = Controls {
        node,
        attachments,
        options: Arc::new(options),
        carrier: carrier().await.into(),
        stop: Arc::default(),
        sleeve,
        trouble: Arc::default(),
        dns,
        kernel: Some(host.clone()),
    };
    let upkeep = Upkeep {
        kernel,
        sleeve: controls.sleeve.clone(),
        attachments: controls.attachments.clone(),
        trouble: Arc::clone(&controls.trouble),
    };
    match finish(&controls, upkeep, api, &mut running, signals).await {
        Ok((mut warnings, socket)) => {
            warnings.extend(too_long(&controls, host).await);
            Ok((running, controls, warnings, socket))
        }
        Err(why) => {
            running.stop().await;
            controls.sleeve.stop();
            Err(Failed { why, has_run: true })
        }
    }
}

/// Whether containers may send packets that are too long for the network under ours.
async fn too_long(controls: &Controls, host: &Kernel) -> Option<String> {
    let status = controls.node.status().await.ok()?;
    let foreseen = underlay::foresee(host, controls.options.mtu, &status).await;
    // Worth no failure: what cannot be foreseen shows later.
    foreseen.inspect_err(|why| tracing::warn!(%why, "cannot see how long packets may be")).ok()?
}

/// What carries frames, and why it is that.
async fn carrier() -> String {
    let why = match tokio::task::spawn_blocking(odp::is_there).await {
        Ok(Ok(false)) => "this kernel has no Open vSwitch".to_string(),
        Ok(Ok(true)) => "this kernel has Open vSwitch, which is not made use of".to_string(),
        Ok(Err(why)) => why.to_string(),
        Err(why) => why.to_string(),
    };
    format!("sleeve ({why})")
}

/// The steps that need a node that runs. Returns what the operator should know, and the socket.
async fn finish<A, F>(
    controls: &Controls,
    upkeep: Upkeep,
    api: A,
    running: &mut Running,
    signals: &mut Signals,
) -> Result<(Vec<String>, RemovedFile), StartError>
where
    A: FnOnce(Controls, UnixListener) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let Controls { node, attachments, options, .. } = controls;
    // Before anybody else can be given it, here or, once there are links, on another host.
    attachments.reserve().await.map_err(line)?;
    let targets = options.targets.clone();
    let connect = Command::Connect { targets, replace: !options.resume };
    node.command(connect).await.map_err(line)?;
    let mut warnings = tokio::select! {
        warnings = verdict(node, options) => warnings?,
        () = signals.came() => return Err(interrupted()),
    };
    // Late, so that a start that fails leaves the containers where they are.
    upkeep.begin().await.map_err(line)?;
    if let Some(dns) = &controls.dns
        && dns.address().is_none()
    {
        warnings.extend(dns.foresee().await);
    }
    let (listener, file) = control_socket(&options.folders().socket())?;
    running.add(api(controls.clone(), listener));
    running.add(attachments.clone().look_after());
    running.add(upkeep.run());
    running.add(run_files::look_after(options.run_dir.clone()));
    if signals.has_come().await {
        return Err(interrupted());
    }
    tracing::info!(port = options.port, nickname = options.nickname, "weft is up");
    Ok((warnings, file))
}

/// Waits until each target named at the launch has linked or failed once. An error only an
/// operator can mend ends the start, unless another target is linked; others are warnings.
async fn verdict(node: &NodeHandle, options: &Options) -> Result<Vec<String>, StartError> {
    let started = Instant::now();
    let states = loop {
        let status = node.status().await.map_err(line)?;
        let states: Vec<TargetStatus> = status
            .targets
            .iter()
            .filter(|status| options.targets.contains(&status.target))
            .cloned()
            .collect();
        let waits = states.iter().any(|status| status.state == TargetState::Dialing);
        if !waits || started.elapsed() >= VERDICT_MAX {
            break states;
        }
        sleep(VERDICT_WAIT).await;
    };
    judge(&states)
}

fn judge(targets: &[TargetStatus]) -> Result<Vec<String>, StartError> {
    let is_linked = targets.iter().any(|status| matches!(status.state, TargetState::Linked(_)));
    let mut warnings = Vec::new();
    let is_itself = |status: &TargetStatus| status.state == TargetState::Itself;
    if !targets.is_empty() && targets.iter().all(is_itself) {
        warnings
            .push("of the peers that were named all are this one: name others as well".to_owned());
    }
    for TargetStatus { target, state } in targets {
        match state {
            TargetState::Linked(_) | TargetState::Itself => {}
            TargetState::Dialing => {
                warnings.push(format!("peer {target} has not answered yet; weft keeps trying"));
            }
            TargetState::Failed { why, needs_operator, is_unknown, retry_in: _ } => {
                let remedy = if *is_unknown { "; check the name, or give an address" } else { "" };
                if (*needs_operator || *is_unknown) && !is_linked {
                    return Err(StartError(format!("cannot join peer {target}: {why}{remedy}")));
                }
                warnings.push(format!(
                    "no link with peer {target} yet, weft keeps trying: {why}{remedy}"
                ));
            }
        }
    }
    Ok(warnings)
}

pub(super) fn require_root() -> Result<(), StartError> {
    if nix::unistd::geteuid().is_root() {
        Ok(())
    } else {
        Err(StartError("weft changes the network of this host: run it as root (sudo)".to_string()))
    }
}

/// Makes a folder that only root may enter; one that is there is taken as it is.
pub(super) fn folder(path: &Path, option: &str) -> Result<(), StartError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|why| {
        StartError(format!("cannot make {}: {why}; choose another {option}", path.display()))
    })
}

async fn stretched(secret: Option<Secret>) -> Result<Option<NetworkSecret>, StartError> {
    let stretched = move || secret.map(|secret| secret.stretched());
    tokio::task::spawn_blocking(stretched).await.map_err(line)
}

fn recorder(path: &Path, len_max: usize) -> Result<FlightRecorder, StartError> {
    FlightRecorder::create(path, len_max, FlightKey(drawn()?)).map_err(|why| {
        StartError(format!("cannot record in {}: {why}; choose another --record", path.display()))
    })
}

/// 32 bytes that nobody can guess.
pub(super) fn drawn() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed));
    read.map_err(|why| StartError(format!("cannot read /dev/urandom: {why}")))?;
    Ok(seed)
}

fn config(options: &Options, [secret, old_secret]: [Option<NetworkSecret>; 2]) -> Config {
    Config {
        name: options.name,
        nickname: options.nickname.clone(),
        port: options.port,
        secret,
        old_secret,
        allowed: options.allowed.clone(),
        universe: options.range,
        default_subnets: options.default_subnets.clone(),
        founding: options.founding.clone(),
        discovery: options.discovery,
        conns_max: options.conns_max,
        ..Config::default()
    }
}

async fn no_overlap(options: &Options, kernel: &Kernel) -> Result<(), StartError> {
    let routes = kernel.overlapping().await.map_err(line)?;
    let Some((route, dev)) = routes.first() else { return Ok(()) };
    Err(StartError(format!(
        "the range {} overlaps the route {route} dev {dev}: choose another with --ipalloc-range",
        options.range
    )))
}

async fn ports(port: u16) -> Result<(TcpListener, UdpSocket), StartError> {
    let in_use = |why: io::Error| {
        StartError(if why.kind() == io::ErrorKind::AddrInUse {
            format!(
                "port {port} is in use: choose another with --port, or stop what uses it (ss -lntup)"
            )
        } else {
            format!("cannot listen on port {port}: {why}")
        })
    };
    let listener = TokioNet.listen_everywhere(port).await.map_err(in_use)?;
    Ok((listener, udp::bind(port).map_err(in_use)?))
}

async fn dns_sockets(at: SocketAddr) -> Result<dns::Sockets, StartError> {
    dns::bind(at).await.map_err(|why| {
        let what = if why.kind() == io::ErrorKind::AddrInUse {
            "it is in use: stop what uses it (ss -lntup), or".to_string()
        } else if why.kind() == io::ErrorKind::AddrNotAvailable {
            format!("this host has no address {} (ip address);", at.ip())
        } else {
            format!("{why};")
        };
        StartError(format!(
            "cannot answer names at {at}: {what} choose another --dns-listen-address"
        ))
    })
}

/// The control socket, for root alone from its first moment on.
fn control_socket(path: &Path) -> Result<(UnixListener, RemovedFile), StartError> {
    let cannot = |why: io::Error| {
        StartError(format!(
            "cannot make the control socket {}: {why}; choose another --run-dir, with a path of less than 100 bytes",
            path.display()
        ))
    };
    match std::fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(cannot(why)),
        // Nobody listens there: we hold the lock.
        Ok(()) | Err(_) => {}
    }
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    let listener = bound.map_err(cannot)?;
    let file = RemovedFile(path.into());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(cannot)?;
    Ok((listener, file))
}

fn interrupted() -> StartError {
    StartError("interrupted while starting: what was done is undone".to_string())
}

fn line(why: impl Display) -> StartError {
    StartError(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_core::id::PeerId;
    use weft_core::io::{DialFailure, Target};

    fn target(host: &str, state: TargetState) -> TargetStatus {
        TargetStatus { target: Target { host: host.to_string(), port: 6783 }, state }
    }

    fn failed(why: impl Display, needs_operator: bool, is_unknown: bool) -> TargetState {
        let retry_in = Duration::from_secs(1);
        TargetState::Failed { why: why.to_string(), needs_operator, is_unknown, retry_in }
    }

    #[test]
    fn a_refusal_ends_the_start_unless_another_target_is_linked() {
        let refused = target("a", failed("wrong password", true, false));
        let linked = target("b", TargetState::Linked(PeerId([1; 32])));
        let why = judge(std::slice::from_ref(&refused)).unwrap_err().to_string();
        assert_eq!(why, "cannot join peer a:6783: wrong password");
        assert_eq!(judge(&[refused, linked]).unwrap().len(), 1);
    }

    #[test]
    fn all_may_be_launched_with_the_same_list_which_names_each_itself() {
        let itself = || target("a", TargetState::Itself);
        let away = target("b", failed("no way", false, false));
        assert_eq!(judge(&[itself(), away]).unwrap().len(), 1);
        assert_eq!(judge(&[itself()]).unwrap().len(), 1);
        assert_eq!(judge(&[]).unwrap().len(), 0);
    }

    #[test]
    fn an_unknown_host_ends_the_start_and_an_unreachable_one_is_a_warning() {
        let unknown =
            DialFailure::Resolve { host: "typo".to_string(), why: "no address".to_string() };
        let why = judge(&[target("typo", failed(&unknown, false, true))]).unwrap_err().to_string();
        assert!(why.contains("'typo'") && why.ends_with("check the name, or give an address"));
        let away = target("a", failed(DialFailure::Connect("refused".to_string()), false, false));
        assert_eq!(judge(&[away, target("b", TargetState::Dialing)]).unwrap().len(), 2);
    }
}
