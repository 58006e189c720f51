//! What an observer of the whole network sees: every message sent, arrived and lost.
//!
//! Nothing in the network depends on it, and it costs nothing while nobody watches.

use serde::{Deserialize, Serialize};
use weft_core::time::Instant;

/// What carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// An attempt to open a stream.
    Dial,
    /// What a node wrote to a stream at once.
    Stream,
    /// The end of a stream.
    End,
    /// A datagram.
    Datagram,
}

/// Which message of the run, from 1; 0 while nobody watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub u64);

/// A message and its ends, as host indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// From here…
    pub from: usize,
    /// …to here.
    pub to: usize,
    /// In what.
    pub carrier: Carrier,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It set out.
    Sent {
        /// As it set out.
        bytes: Vec<u8>,
    },
    /// Its last byte arrived.
    Arrived,
    /// It will never arrive.
    Lost {
        /// Why.
        why: &'static str,
    },
}

/// One look at one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When.
    pub at: Instant,
    /// Which message.
    pub id: MessageId,
    /// Between whom.
    pub way: Way,
    /// What of it.
    pub seen: Seen,
}

/// Those of a run that were not taken yet.
#[derive(Debug, Default)]
pub struct Sightings {
    watched: bool,
    sent: u64,
    list: Vec<Sighting>,
}

impl Sightings {
    /// Nobody watches.
    pub const fn new() -> Self {
        Self { watched: false, sent: 0, list: Vec::new() }
    }

    /// Notes all messages that are sent from here on.
    pub const fn watch(&mut self) {
        self.watched = true;
    }

    /// What was seen since the last time.
    pub fn take(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.list)
    }

    /// A message sets out. Returns the name to give to [`Sightings::arrived`] or `lost`.
    pub(super) fn sent(&mut self, at: Instant, way: Way, bytes: &[u8]) -> MessageId {
        if !self.watched {
            return MessageId::default();
        }
        self.sent += 1;
        let id = MessageId(self.sent);
        self.list.push(Sighting { at, id, way, seen: Seen::Sent { bytes: bytes.to_vec() } });
        id
    }

    /// All of a message has arrived.
    pub(super) fn arrived(&mut self, at: Instant, id: MessageId, way: Way) {
        self.see(Sighting { at, id, way, seen: Seen::Arrived });
    }

    /// A message is gone.
    pub(super) fn lost(&mut self, at: Instant, id: MessageId, way: Way, why: &'static str) {
        self.see(Sighting { at, id, way, seen: Seen::Lost { why } });
    }

    fn see(&mut self, sighting: Sighting) {
        if sighting.id != MessageId::default() {
            self.list.push(sighting);
        }
    }
}
