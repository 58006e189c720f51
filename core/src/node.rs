//! The node: owns the machines of the core and routes each input to one of them.

use crate::config::{Config, ConfigError};
use crate::io::{Deadline, Input, Outbox};
use crate::names::KnownName;
use crate::saved::{Damaged, Saved};
use crate::status::Status;
use crate::time::Now;
use crate::{id, ipam, topology};
use alloc::vec::Vec;

/// 32 bytes that all randomness of one run comes from; one child generator per purpose.
#[derive(Clone, Debug)]
pub struct Seed(pub [u8; 32]);

/// Why a node cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was saved cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// What was saved belongs to another range.
    #[error(
        "the saved addresses lie in {saved}, but the range is now {given}: launch with --ipalloc-range {saved}, or `weft reset` to start afresh"
    )]
    OtherUniverse {
        /// In which the saved state lies.
        saved: crate::addr::Universe,
        /// As configured.
        given: crate::addr::Universe,
    },
}

/// One running weft.
#[derive(Debug)]
pub struct Node {}

impl Node {
    /// A node from its settings and what it saved. Puts its first wishes into `out`: what must be
    /// durable before all else (its identity at the first start, its incarnation), and first dials.
    ///
    /// # Errors
    /// When a setting is wrong or the saved state cannot be used; nothing was changed.
    pub fn new(
        config: Config,
        saved: Saved,
        seed: Seed,
        now: Now,
        out: &mut Outbox,
    ) -> Result<Self, StartError> {
        let _ = (config, saved, seed, now, out);
        todo!()
    }

    /// Takes in what happened; what is to be done comes out in order.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outbox) {
        let _ = (now, input, out);
        todo!()
    }

    /// When it next wants [`Input::Timeout`], and on whose behalf.
    pub fn deadline(&self) -> Option<Deadline> {
        todo!()
    }

    /// Who we are.
    pub fn id(&self) -> id::PeerId {
        todo!()
    }

    /// Our 48-bit name.
    pub fn name(&self) -> id::PeerName {
        todo!()
    }

    /// Our addresses, for judges.
    pub fn ipam(&self) -> &ipam::Ipam {
        todo!()
    }

    /// What each known peer says of itself, for judges.
    pub fn peers(&self) -> impl Iterator<Item = (id::PeerId, &topology::PeerRecord)> {
        core::iter::empty()
    }

    /// All names that are answered: those of reachable peers and our own, by name.
    pub fn names(&self) -> Vec<KnownName> {
        todo!()
    }

    /// A snapshot for people.
    pub fn status(&self, now: Now) -> Status {
        let _ = now;
        todo!()
    }
}
