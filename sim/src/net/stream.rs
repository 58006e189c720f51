//! What a stream is: two ends, and what is under way towards each.

use super::sighting::{Carrier, MessageId, Sightings, Way};
use std::collections::VecDeque;
use std::net::SocketAddr;
use weft_core::io::ConnId;
use weft_core::time::Instant;

/// Which stream of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId(pub(super) u64);

/// One end of a stream: 0 dialed, 1 accepted.
pub(super) type EndIndex = usize;

/// What is written to a stream at once, or its end.
#[derive(Debug)]
pub(super) enum Item {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

impl Item {
    pub(super) const fn carrier(&self) -> Carrier {
        match self {
            Self::Bytes(_) => Carrier::Stream,
            Self::Fin | Self::Reset => Carrier::End,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Fin | Self::Reset => &[],
        }
    }
}

/// One end, and what is under way *towards* it.
#[derive(Debug)]
pub(super) struct End {
    pub(super) host: usize,
    pub(super) boot: u64,
    pub(super) conn: Option<ConnId>,
    pub(super) address: SocketAddr,
    /// Whether somebody is there who knows of the stream.
    pub(super) live: bool,
    pub(super) inbound: VecDeque<(Instant, MessageId, Item)>,
    pub(super) inbound_len: usize,
    pub(super) last_arrival: Instant,
    /// When its reader takes the next piece at the earliest.
    pub(super) reads_at: Instant,
    /// Whether its reader takes nothing more.
    pub(super) deaf: bool,
    /// Whether a `Pump` for this end is in the queue.
    pub(super) pumping: bool,
    pub(super) stalled: Option<Instant>,
    pub(super) writer_waits: bool,
}

impl End {
    /// The end at `address` of `host`; somebody is there if it has a `conn`.
    pub(super) const fn new(
        now: Instant,
        host: usize,
        boot: u64,
        conn: Option<ConnId>,
        address: SocketAddr,
    ) -> Self {
        Self {
            host,
            boot,
            conn,
            address,
            live: conn.is_some(),
            inbound: VecDeque::new(),
            inbound_len: 0,
            last_arrival: now,
            reads_at: now,
            deaf: false,
            pumping: false,
            stalled: None,
            writer_waits: false,
        }
    }

    /// What is under way from host `from` will not arrive.
    pub(super) fn lose(
        &mut self,
        now: Instant,
        from: usize,
        why: &'static str,
        sightings: &mut Sightings,
    ) {
        for (_, id, item) in self.inbound.drain(..) {
            sightings.lost(now, id, Way { from, to: self.host, carrier: item.carrier() }, why);
        }
    }
}

/// A stream, from its dial until both ends have left it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ends: [End; 2],
    pub(super) dialed_at: Instant,
    /// The dial that is under way; none while it waits to be tried again.
    pub(super) dial: Option<MessageId>,
}
