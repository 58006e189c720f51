//! What two peers say to each other to get a data session on demand, by signed [`super::Unicast`]s.

use crate::id::Incarnation;
use crate::sleeve::SessionIndex;
use serde::{Deserialize, Serialize};

/// One message about data sessions between two peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionMessage {
    /// Let us have a session.
    Offer {
        /// What the sender brings to it.
        half: Half,
        /// Which life of the sender: its numbers begin again with each.
        life: Incarnation,
        /// Which life of the receiver is meant: an offer to an earlier one is void.
        to: Incarnation,
    },
    /// Agreed; probes follow from both sides.
    Accept {
        /// The offer, by the index in it.
        offer: SessionIndex,
        /// What the sender brings to the session.
        half: Half,
    },
    /// No.
    Decline {
        /// The offer, by the index in it.
        offer: SessionIndex,
        /// Why.
        why: Decline,
    },
    /// A session is over. Datagrams that are under way are still taken.
    End {
        /// The receiver's index.
        session: SessionIndex,
    },
}

/// What one side brings to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Half {
    /// Its index: what the other side addresses its datagrams to.
    pub session: SessionIndex,
    /// Its X25519 public key, drawn for that session alone.
    pub key: [u8; 32],
    /// Whether it has a network secret.
    pub seals: bool,
    /// Counts up with each half that the sender brings to any session of one life, so that who
    /// hears an earlier one later knows.
    pub number: u64,
}

/// Why an offer is declined.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
pub enum Decline {
    /// As many sessions as may be are in use.
    #[error("it has as many sessions as it may")]
    Full,
    /// One side has a network secret and the other has none.
    #[error("one of us has a network secret and the other has none")]
    Seals,
    /// There is a link already, as the sender sees it.
    #[error("it has a link with us")]
    Linked,
    /// The key is of low order, so anybody could know the secret.
    #[error("our session key is of low order")]
    LowOrder,
}
