//! What went wrong in the network, counted.

use std::collections::BTreeMap;

/// One kind of mishap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// A datagram was lost by itself.
    Lost,
    /// A datagram was lost together with all others of its time.
    LostInBurst,
    /// A datagram found the queue full.
    QueueFull,
    /// A datagram was longer than the way lets through.
    TooLong,
    /// A datagram was delivered twice.
    Doubled,
    /// A datagram was held up.
    HeldUp,
    /// A datagram was damaged.
    Corrupted,
    /// A datagram went to an address at which nobody is.
    NobodyThere,
    /// A datagram was not let in by the router of its destination.
    NotAdmitted,
    /// What a host sent to an outer address of its own router was dropped there.
    NoHairpin,
    /// A router gave other ports than before.
    Rebound,
    /// A host got another address.
    Moved,
    /// Somebody dialed a host that cannot be dialed.
    DialedHidden,
    /// A piece of a stream stood still, though its way works.
    Stalled,
    /// A piece of a stream was taken slowly.
    ReadSlowly,
    /// A stranger sent a datagram.
    Forged,
    /// One end of a stream was over, though its way works.
    Broken,
}

/// How often each mishap came to pass.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<Mishap, u64>);

impl Tally {
    /// Nothing went wrong.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// How often it came to pass.
    pub fn of(&self, mishap: Mishap) -> u64 {
        self.0.get(&mishap).copied().unwrap_or(0)
    }

    /// Once more.
    pub(super) fn count(&mut self, mishap: Mishap) {
        *self.0.entry(mishap).or_insert(0) += 1;
    }
}
