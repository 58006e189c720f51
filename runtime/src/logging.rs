//! Where log lines go, and how the node's events become log lines.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Mutex;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use weft_core::event::Event;

/// The DNS library tells of every question at `info`.
const QUIET_DNS: &str = "hickory_server=warn";

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard error: a daemon in the foreground.
    Stderr,
    /// A file, appended to: a daemon in the background.
    File(PathBuf),
}

/// Sends all log lines of at least `level` (a filter such as `info` or `weft=debug`) to `target`.
///
/// # Errors
/// When the filter is malformed, the file cannot be opened, or logs already go somewhere.
pub fn init(target: &Target, level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level)?.add_directive(QUIET_DNS.parse()?);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    let started = match target {
        Target::Stderr => {
            let is_terminal = std::io::stderr().is_terminal();
            lines.with_ansi(is_terminal).with_writer(std::io::stderr).try_init()
        }
        Target::File(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            lines.with_ansi(false).with_writer(Mutex::new(file)).try_init()
        }
    };
    started.map_err(|why| anyhow::anyhow!("cannot set up logging: {why}"))
}

/// One line for what happened.
pub(crate) fn event(event: &Event) {
    match event {
        Event::ConnUp { conn, peer } => info!(%conn, %peer, "control link up"),
        Event::ConnDown { conn, peer, remote, why } => {
            let peer = peer.as_ref().map(tracing::field::display);
            if why.needs_operator() {
                warn!(%conn, peer, remote, %why, "control link refused");
            } else {
                info!(%conn, peer, remote, %why, "control link down");
            }
        }
        Event::LinkUp { peer } => info!(%peer, "data path up"),
        Event::LinkDown { peer } => info!(%peer, "data path down"),
        Event::PeerUp { peer } => info!(%peer, "peer reachable"),
        Event::PeerDown { peer } => info!(%peer, "peer unreachable"),
        Event::RecordRefused { from, why } => warn!(%from, %why, "record refused"),
        Event::Founded { lineage } => info!(%lineage, "addresses divided"),
        Event::Granted { range, to } => {
            info!(start = range.start.0, end = range.end.0, %to, "addresses given away");
        }
        Event::Allocated { address, id } => info!(%address, %id, "address allocated"),
        Event::Released { address, id } => info!(%address, %id, "address released"),
        Event::NameAdded { name, address } => info!(%name, %address, "name added"),
        Event::NameRemoved { name, address } => info!(%name, %address, "name removed"),
        Event::OwnershipConflict { range, kept, lost } => {
            let (start, end) = (range.start.0, range.end.0);
            warn!(start, end, %kept, %lost, "two owners of the same addresses");
        }
    }
}
