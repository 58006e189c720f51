//! What a run leaves behind: entries, and the digest that identifies it.
//!
//! Usually the last state changes are kept, for the report of a failure. A run that is recorded
//! keeps all of them and every message; it is the same run, with the same digest, because the
//! digest covers what nodes are told, what they want, and state changes only. Entries come from inputs, outputs, events, faults
//! and the network, never from logs.
//!
//! A [`Recording`] is looked at with [`show()`] (a line per state change), [`html()`] (a picture) and
//! [`diff()`] (where two runs part).

mod diff;
mod digest;
mod entry;
mod gist;
mod html;
mod recording;
mod show;
#[cfg(test)]
mod tests;
mod words;

pub use diff::diff;
pub use digest::{BadDigest, Digest};
pub use entry::{Entry, Message, Summary, What};
pub use html::html;
pub use recording::{BadRecording, Head, Recording};
pub use show::{Columns, Filter, Paint, show};
pub use words::Names;
pub(crate) use words::reply;

use crate::net::{Seen, Sighting};
use crate::peer::Peer;
use std::borrow::Cow;
use std::collections::VecDeque;
use weft_core::addr::Universe;
use weft_core::codec;
use weft_core::forward::ForwardingChange;
use weft_core::io::{Input, Output};
use weft_core::time::Instant;

/// State changes kept for the report of a failure.
const KEPT: usize = 400;

/// The record of a run while it goes on.
#[derive(Debug)]
pub struct Trace {
    /// For the words of entries.
    pub names: Names,
    kept: VecDeque<Entry>,
    /// Which hosts ran before the first entry that is kept.
    before: Columns,
    keeps_all: bool,
    /// Which ways were blocked at the last look.
    blocked: Vec<(Peer, Peer)>,
    echo: Option<Columns>,
    digest: Digest,
    inputs: u64,
}

impl Trace {
    /// The empty record of a run with so many hosts; with `echo`, state changes are also printed
    /// as they come.
    pub fn new(hosts: usize, universe: Universe, echo: bool) -> Self {
        Self {
            names: Names::new(universe),
            kept: VecDeque::new(),
            before: Columns::new(hosts),
            keeps_all: false,
            blocked: Vec::new(),
            echo: echo.then(|| Columns::new(hosts)),
            digest: Digest::EMPTY,
            inputs: 0,
        }
    }

    /// Keeps everything from here on, messages too.
    pub const fn keep_all(&mut self) {
        self.keeps_all = true;
    }

    /// Whether everything is kept.
    pub const fn keeps_all(&self) -> bool {
        self.keeps_all
    }

    /// Takes an input into the digest.
    pub fn input(&mut self, at: Instant, host: usize, input: &Input) {
        self.inputs += 1;
        self.digest.take(&codec::encode(&(at, host, input)));
    }

    /// Takes what a node wants into the digest: at the moment of the input that brought it about.
    pub fn output(&mut self, host: usize, output: &Output) {
        let (kind, said) = match output {
            Output::Dial { conn, target } => (1_u8, codec::encode(&(conn, target))),
            Output::Write { conn, bytes } => {
                self.digest.take(&codec::encode(conn));
                return self.digest.take(bytes);
            }
            Output::Close { conn } => (2, codec::encode(conn)),
            Output::Datagram { to, bytes } => {
                self.digest.take(&codec::encode(to));
                return self.digest.take(bytes);
            }
            Output::Persist(changes) => (3, codec::encode(changes)),
            Output::Forwarding(change) => (4, said(change)),
            Output::Reply { request, result } => (5, codec::encode(&(request, result))),
            // Events are told as state changes.
            Output::Event(_) => return,
        };
        self.digest.take(&[kind]);
        self.digest.take(&codec::encode(&host));
        self.digest.take(&said);
    }

    /// Notes a state change.
    pub fn tell(&mut self, at: Instant, host: Option<Peer>, what: What, summary: Option<Summary>) {
        let place = host.map_or(0, |host| u64::try_from(host.0).unwrap_or(u64::MAX) + 1);
        self.digest.take(&at.as_nanos().to_le_bytes());
        self.digest.take(&place.to_le_bytes());
        self.digest.take(what.part().as_bytes());
        self.digest.take(what.text().as_bytes());
        let entry = Entry { at, host, what, summary };
        if let Some(columns) = &mut self.echo {
            use std::io::Write as _;
            // A closed terminal is no reason to stop a run.
            let _ = writeln!(std::io::stderr(), "{}", columns.line(&entry, Paint::Plain));
        }
        self.keep(entry);
    }

    /// Keeps what was seen of a message.
    pub fn sighting(&mut self, sighting: Sighting) {
        let Sighting { at, id, way, seen } = sighting;
        let (from, to) = (Peer(way.from), Peer(way.to));
        let message = Message { id, from, to, carrier: way.carrier };
        let (host, what) = match seen {
            Seen::Sent { bytes } => {
                let gist = gist::gist(way.carrier, &bytes);
                (from, What::Sent { message, len: bytes.len(), gist })
            }
            Seen::Arrived => (to, What::Arrived { message }),
            Seen::Lost { why } => (to, What::Lost { message, why: Cow::Borrowed(why) }),
        };
        self.keep(Entry { at, host: Some(host), what, summary: None });
    }

    /// Keeps which ways let nothing through, if that is not as before.
    pub fn ways(&mut self, at: Instant, blocked: Vec<(Peer, Peer)>) {
        if blocked != self.blocked {
            self.blocked.clone_from(&blocked);
            self.keep(Entry { at, host: None, what: What::Ways { blocked }, summary: None });
        }
    }

    fn keep(&mut self, entry: Entry) {
        if !self.keeps_all
            && self.kept.len() >= KEPT
            && let Some(first) = self.kept.pop_front()
        {
            self.before.pass(&first);
        }
        self.kept.push_back(entry);
    }

    /// The identity of the run so far.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How many inputs nodes were given.
    pub const fn inputs(&self) -> u64 {
        self.inputs
    }

    /// The last `count` state changes as lines, oldest first, below a line that names the columns.
    pub fn last(&self, count: usize) -> Vec<String> {
        let mut columns = self.before.clone();
        let changes: Vec<&Entry> =
            self.kept.iter().filter(|entry| entry.what.is_change()).collect();
        let (before, last) = changes.split_at(changes.len().saturating_sub(count));
        before.iter().for_each(|entry| columns.pass(entry));
        let mut lines = vec![columns.head()];
        lines.extend(last.iter().map(|entry| columns.line(entry, Paint::Plain)));
        lines
    }

    /// What was kept, oldest first.
    pub fn into_entries(self) -> Vec<Entry> {
        self.kept.into()
    }
}

/// What tells a change of forwarding from every other one.
fn said(change: &ForwardingChange) -> Vec<u8> {
    match change {
        ForwardingChange::SessionUp { session, remote, peer, is_link, keys, to } => {
            let keys = (keys.ours, keys.theirs, keys.dialed, keys.sealed);
            codec::encode(&(1_u8, session, remote, peer, is_link, keys, to))
        }
        ForwardingChange::SessionMoved { session, to } => codec::encode(&(2_u8, session, to)),
        ForwardingChange::SessionDown { session } => codec::encode(&(3_u8, session)),
        ForwardingChange::Routes(routes) => codec::encode(&(4_u8, routes)),
        ForwardingChange::Direct { peer, session } => codec::encode(&(5_u8, peer, session)),
    }
}
