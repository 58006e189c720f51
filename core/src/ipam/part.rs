//! What a peer says of its part in who owns which addresses, to all others in its own record.

use serde::{Deserialize, Serialize};

/// As it is just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Whether it has a part in the founding.
    pub votes: bool,
    /// Whether it has left, or began to: it hands out nothing any more, and is nobody's heir.
    pub leaves: bool,
    /// Whether containers on its host have addresses that are not its own, or not yet: its state folder was
    /// lost. It asks owners in reach for them, or will.
    pub lacks: bool,
}

impl Part {
    /// Of one that votes and stays, and whose containers have what is its own.
    pub const FULL: Self = Self { votes: true, leaves: false, lacks: false };
}
