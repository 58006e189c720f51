//! The node's events as log lines. Of what strangers can cause as often as they like, a few lines a
//! minute are written, and then how many more there were.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, info, warn};
use weft_core::event::Event;
use weft_core::fault::ConnFault;
use weft_core::handshake::HandshakeFault;
use weft_core::id::PeerId;
use weft_core::io::ConnId;

/// Lines of one kind that are written within [`WINDOW`].
const LINES_MAX: u32 = 5;

/// After the first line of a kind, the rest is counted for this long.
const WINDOW: Duration = Duration::from_secs(60);

/// Writes events, and remembers what was left out.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    /// Links that stand: their end is always worth a line.
    links: BTreeSet<ConnId>,
    kinds: BTreeMap<&'static str, Kind>,
}

/// What was written of one kind of event.
#[derive(Debug)]
struct Kind {
    until: Instant,
    lines: u32,
    more: u64,
}

impl EventLog {
    /// Writes one line for `event`, or counts it. `label` is what people call a peer.
    pub(crate) fn write(&mut self, now: Instant, event: &Event, label: impl Fn(PeerId) -> String) {
        if let Event::ConnUp { conn, .. } = event {
            self.links.insert(*conn);
        }
        let kind = match event {
            Event::ConnDown { conn, why, .. } => {
                (!self.links.remove(conn) && !conn.is_dialed()).then(|| refused_for(why))
            }
            Event::RecordRefused { .. } => Some("records refused"),
            Event::DirectUp { .. } | Event::DirectDown { .. } | Event::DirectFailed { .. } => {
                Some("changes of the way that frames for a peer take")
            }
            Event::ConnUp { .. }
            | Event::LinkUp { .. }
            | Event::LinkDown { .. }
            | Event::PeerUp { .. }
            | Event::PeerDown { .. }
            | Event::Founded { .. }
            | Event::Granted { .. }
            | Event::Allocated { .. }
            | Event::Released { .. }
            | Event::NameAdded { .. }
            | Event::NameRemoved { .. }
            | Event::GateForced { .. }
            | Event::TwinMet
            | Event::TakenOver { .. }
            | Event::Stray { .. }
            | Event::EvictionForced { .. }
            | Event::OwnershipConflict { .. } => None,
        };
        if kind.is_none_or(|kind| self.has_room(now, kind)) {
            line(event, label);
        }
    }

    /// Whether one more line of `kind` may be written.
    fn has_room(&mut self, now: Instant, kind: &'static str) -> bool {
        self.tell(now);
        let fresh = || Kind { until: now + WINDOW, lines: 0, more: 0 };
        let kind = self.kinds.entry(kind).or_insert_with(fresh);
        if kind.lines < LINES_MAX {
            kind.lines += 1;
            true
        } else {
            kind.more += 1;
            false
        }
    }

    /// When [`EventLog::tell`] has something to say next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.kinds.values().filter(|kind| kind.more > 0).map(|kind| kind.until).min()
    }

    /// Writes how many lines were left out, of each kind whose time is over.
    pub(crate) fn tell(&mut self, now: Instant) {
        self.kinds.retain(|name, kind| {
            if kind.until <= now {
                kind.tell(name);
            }
            kind.until > now
        });
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.kinds.iter().for_each(|(name, kind)| kind.tell(name));
    }
}

impl Kind {
    fn tell(&self, name: &str) {
        if self.more > 0 {
            info!(more = self.more, "{name}: and more in the last minute");
        }
    }
}

/// What a stream that never became a link ended for: without numbers, names and addresses, so that
/// there are few.
const fn refused_for(why: &ConnFault) -> &'static str {
    match why {
        ConnFault::Dial(_) | ConnFault::Closed(_) => "connections closed in the handshake",
        ConnFault::Handshake(HandshakeFault::Malformed(_))
        | ConnFault::Channel(_)
        | ConnFault::Protocol(_) => "connections that are no peer's",
        ConnFault::Handshake(_)
        | ConnFault::Secret
        | ConnFault::NotAllowed(_)
        | ConnFault::NotAllowedThere
        | ConnFault::Clone => "connections refused in the handshake",
        ConnFault::HandshakeTimeout | ConnFault::Silent => "connections silent in the handshake",
        ConnFault::Crowded => "connections that gave way to newer ones",
        ConnFault::Paced => "connections from addresses with too many handshakes",
        ConnFault::Duplicate => "connections beside another link",
        ConnFault::Unneeded => "connections that a mesh of this size does not need",
        ConnFault::Limit(_) => "connections beyond --conn-limit",
        ConnFault::NameTaken { .. } => "connections of a peer with a name that is taken",
        ConnFault::Universe { .. } | ConnFault::Lineage => "connections of another mesh",
    }
}

/// One line for what happened.
fn line(event: &Event, label: impl Fn(PeerId) -> String) {
    match event {
        Event::ConnUp { conn, peer } => info!(%conn, peer = label(*peer), "control link up"),
        Event::ConnDown { conn, peer, remote, why } => {
            let peer = peer.map(label);
            if why.needs_operator() {
                warn!(%conn, peer, remote, %why, "control link refused");
            } else {
                info!(%conn, peer, remote, %why, "control link down");
            }
        }
        Event::LinkUp { peer } => info!(peer = label(*peer), "data path up"),
        Event::LinkDown { peer } => info!(peer = label(*peer), "data path down"),
        Event::DirectUp { peer } => info!(peer = label(*peer), "frames go straight"),
        Event::DirectDown { peer, why } => {
            info!(peer = label(*peer), %why, "frames are relayed");
        }
        Event::DirectFailed { peer, why } => {
            info!(peer = label(*peer), %why, "frames cannot go straight: they are relayed");
        }
        Event::PeerUp { peer } => info!(peer = label(*peer), "peer reachable"),
        Event::PeerDown { peer } => info!(peer = label(*peer), "peer unreachable"),
        Event::RecordRefused { from, why } => {
            warn!(from = label(*from), %why, "record refused");
        }
        Event::Founded { lineage, are_others: false } => info!(%lineage, "addresses divided"),
        Event::Founded { lineage, are_others: true } => warn!(
            %lineage,
            "the addresses have been divided among other peers than --ipalloc-init seed= names here: what it names \
             counts no more"
        ),
        Event::Granted { range, to } => {
            let (start, end) = (range.start.0, range.end.0);
            info!(start, end, to = label(*to), "addresses given away");
        }
        Event::Allocated { address, id } => info!(%address, %id, "address allocated"),
        Event::Released { address, id } => info!(%address, %id, "address released"),
        Event::NameAdded { name, value } => info!(%name, %value, "name added"),
        Event::NameRemoved { name, value } => info!(%name, %value, "name removed"),
        Event::GateForced { unheard } => warn!(
            unheard,
            "addresses are handed out on this host's word alone: an operator vouched for its state"
        ),
        Event::TwinMet => error!(
            "a daemon elsewhere runs from a copy of this peer's state folder: no addresses are handed out here \
             any more. Stop the copy and run `weft reset --force` there, then launch this one anew"
        ),
        Event::Stray { address, id, owner } => warn!(
            %address,
            %id,
            owner = label(*owner),
            "a container has an address of another peer's: this peer was removed while it ran, or lost its \
             state folder or has an older one"
        ),
        Event::TakenOver { range, victim, heir, epoch: _ } => {
            let (start, end) = (range.start.0, range.end.0);
            let (victim, heir) = (label(*victim), label(*heir));
            warn!(start, end, victim, heir, "addresses of a removed peer have another owner");
        }
        Event::EvictionForced { unheard } => warn!(
            unheard,
            "addresses were taken over without asking all owners: an operator forced it, and what the \
             others were given meanwhile may be given again"
        ),
        Event::OwnershipConflict { range, kept, lost } => {
            let (start, end) = (range.start.0, range.end.0);
            let (kept, lost) = (label(*kept), label(*lost));
            warn!(start, end, kept, lost, "two owners of the same addresses");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A page that log lines are written on.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().map_err(|_| std::io::ErrorKind::Other)?.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What `work` logs.
    fn logged(work: impl FnOnce()) -> Vec<String> {
        let page = Page::default();
        let writer = page.clone();
        let lines = tracing_subscriber::fmt().without_time().with_ansi(false);
        tracing::subscriber::with_default(lines.with_writer(move || writer.clone()).finish(), work);
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn label(peer: PeerId) -> String {
        format!("{}(host{})", peer.default_name(), peer.0[0])
    }

    #[test]
    fn peers_are_called_what_the_status_calls_them() {
        let event = Event::PeerUp { peer: PeerId([1; 32]) };
        let lines = logged(|| EventLog::default().write(Instant::now(), &event, label));
        assert!(lines[0].contains("(host1)"), "{lines:?}");
    }

    fn down(conn: ConnId, why: ConnFault) -> Event {
        Event::ConnDown { conn, peer: None, remote: "192.0.2.1:7".to_owned(), why }
    }

    #[test]
    fn of_a_thousand_bad_connections_five_are_told_and_the_rest_is_counted_a_minute_later() {
        let (mut log, start) = (EventLog::default(), Instant::now());
        let lines = logged(|| {
            for n in 0..1000 {
                log.write(start, &down(ConnId::accepted(n), ConnFault::Crowded), label);
            }
            log.write(start, &down(ConnId::accepted(1000), ConnFault::HandshakeTimeout), label);
        });
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert_eq!(log.due(), Some(start + WINDOW));
        let lines = logged(|| log.tell(start + WINDOW));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("more in the last minute") && lines[0].contains("more=995"));
        assert_eq!((log.due(), log.kinds.len()), (None, 0));
        let crowded = down(ConnId::accepted(0), ConnFault::Crowded);
        assert_eq!(logged(|| log.write(start + WINDOW, &crowded, label)).len(), 1);
    }

    #[test]
    fn what_was_left_out_is_told_at_the_end_too() {
        let lines = logged(|| {
            let mut log = EventLog::default();
            for n in 0..7 {
                log.write(Instant::now(), &down(ConnId::accepted(n), ConnFault::Lineage), label);
            }
        });
        assert_eq!(lines.len(), 6);
        assert!(lines[5].contains("connections of another mesh") && lines[5].contains("more=2"));
    }

    #[test]
    fn the_end_of_a_link_and_of_a_dial_is_always_told() {
        let (mut log, now) = (EventLog::default(), Instant::now());
        let lines = logged(|| {
            for n in 0..20 {
                let (conn, peer) = (ConnId::accepted(n), PeerId([1; 32]));
                log.write(now, &Event::ConnUp { conn, peer }, label);
                log.write(now, &down(conn, ConnFault::Silent), label);
                log.write(now, &down(ConnId::dialed(n), ConnFault::Silent), label);
            }
        });
        assert_eq!(lines.len(), 60);
        assert!(log.links.is_empty());
    }
}
