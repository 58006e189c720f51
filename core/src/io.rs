//! The boundary: everything a node is told, and everything it wants done.

pub use crate::command::{Command, CommandError, EVICTION_MAX, Reply};
pub use crate::conn::{CloseReason, ConnId, DialFailure, ParseTargetError, Target};

use crate::event::Event;
use crate::forward::ForwardingChange;
use crate::id::PeerName;
use crate::saved::Change;
use crate::time::Instant;
use alloc::vec::Vec;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

/// A question that awaits exactly one [`Output::Reply`]. The driver counts these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// What a node is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The deadline has passed; harmless when early or late.
    Timeout,
    /// A stream is open: one that we dialed, or one that was accepted.
    Opened {
        /// Which.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// A dial came to nothing.
    DialFailed {
        /// Which.
        conn: ConnId,
        /// Why, for people.
        why: DialFailure,
    },
    /// Bytes of a stream, cut anywhere.
    Received {
        /// Which.
        conn: ConnId,
        /// At least one byte.
        bytes: Vec<u8>,
    },
    /// The one outstanding write has left us; the next may follow.
    Written {
        /// Which.
        conn: ConnId,
    },
    /// The stream is gone, whichever side ended it. Not sent for conns that the core closed.
    Closed {
        /// Which.
        conn: ConnId,
        /// Why.
        why: CloseReason,
    },
    /// A probe of a data path ([`crate::sleeve::Kind::Probe`]); frames do not come this way.
    Datagram {
        /// Where it came from.
        from: SocketAddr,
        /// The whole datagram.
        bytes: Vec<u8>,
    },
    /// The forwarder exchanges frames for one peer with `peer`, to which no link leads
    /// ([`crate::forward::Sink::wants`]).
    Wanted {
        /// The name that the frames are addressed with.
        peer: PeerName,
    },
    /// An operator, a container or a plugin wants something.
    Command {
        /// Named again in the reply.
        request: RequestId,
        /// What.
        command: Command,
    },
}

/// What a node wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a stream; answered by `Opened` or `DialFailed`.
    Dial {
        /// To be named in the answer.
        conn: ConnId,
        /// To where.
        target: Target,
    },
    /// Send bytes; answered by `Written`.
    Write {
        /// Where.
        conn: ConnId,
        /// At least one byte.
        bytes: Vec<u8>,
    },
    /// End a stream, or give up a dial, after what was written before; not answered.
    Close {
        /// Which.
        conn: ConnId,
    },
    /// Send a datagram from the sleeve's socket; it may get lost.
    Datagram {
        /// To where.
        to: SocketAddr,
        /// The whole datagram.
        bytes: Vec<u8>,
    },
    /// Make all of these durable, or none; nothing after it may happen before.
    Persist(Vec<Change>),
    /// The data path is to forward differently.
    Forwarding(ForwardingChange),
    /// The answer to a command.
    Reply {
        /// To which.
        request: RequestId,
        /// What it came to.
        result: Result<Reply, CommandError>,
    },
    /// Something happened that people and tests want to know.
    Event(Event),
}

/// The outputs of calls, in order, until the driver takes them.
#[derive(Debug, Default)]
pub struct Outbox {
    outputs: Vec<Output>,
}

impl Outbox {
    /// Adds `output` behind all others.
    pub fn push(&mut self, output: Output) {
        self.outputs.push(output);
    }

    /// Adds `outputs` behind all others, in order.
    pub(crate) fn push_all(&mut self, outputs: impl Iterator<Item = Output>) {
        self.outputs.extend(outputs);
    }

    /// Adds `output` in front of all but the first `index`.
    pub(crate) fn insert(&mut self, index: usize, output: Output) {
        self.outputs.insert(index, output);
    }

    /// Takes all outputs, first to be done first.
    pub fn drain(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.outputs.drain(..)
    }

    /// What waits to be taken.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }
}

/// When a node next wants [`Input::Timeout`], and on whose behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// For what.
    pub timer: Timer,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A target is to be dialed.
    Dial,
    /// Our own record is out of date.
    Describe,
    /// A handshake has taken too long.
    Handshake,
    /// An idle control link needs a heartbeat.
    Heartbeat,
    /// IPAM waits for something.
    Ipam,
    /// A data path is to be probed, or has been silent too long.
    Probe,
    /// Records are to be pushed to a neighbour.
    Push,
    /// Records are to be compared with a neighbour.
    Reconcile,
    /// The keys of a control link have become old.
    Rekey,
    /// Routes are out of date.
    Routes,
    /// Something is due about a data session that no link brings.
    Session,
    /// A control link has been silent too long.
    Silence,
    /// What a neighbour announced has not come.
    Tree,
}
