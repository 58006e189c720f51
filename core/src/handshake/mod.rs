//! Authenticates a control link and gives it keys.
//!
//! SPAKE2 turns a shared password into a strong key that nobody can test guesses against offline;
//! the key of a key file is strong as it is. Noise `XXpsk2_25519_ChaChaPoly_SHA256` with that key
//! authenticates both peers as themselves and hides who they are. Without a secret, the same with
//! Noise `XX`. A channel repeats the handshake from time to time, inside itself, for fresh keys.

mod channel;
mod fault;
mod frame;
mod machine;
mod noise;
mod opening;
mod pake;
mod refusal;
#[cfg(test)]
mod tests;

pub use channel::{Channel, ChannelFault, Received};
pub use fault::HandshakeFault;
pub use machine::{Local, stretch, told};
pub use opening::{Handshake, Step};

use crate::addr::Universe;
use crate::id::{Incarnation, PeerId, PeerName};
use crate::record::Fingerprint;
use crate::sleeve::SessionIndex;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// What each peer tells the other about itself, sealed, in the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who (must match the Noise static key; checked by the machine).
    pub id: PeerId,
    /// 48-bit name.
    pub name: PeerName,
    /// Label for people.
    pub nickname: String,
    /// Which start.
    pub incarnation: Incarnation,
    /// The addresses its mesh divides.
    pub universe: Universe,
    /// How they were first divided, once that is decided.
    pub lineage: Option<Fingerprint>,
    /// UDP port of its sleeve.
    pub sleeve_port: u16,
    /// Where to address datagrams of the data session that comes with this link.
    pub session: SessionIndex,
    /// X25519 public key of that session's boxes, fresh for each link.
    pub session_key: [u8; 32],
    /// Whether frames are to be sealed: just when it has a network secret (checked by the machine).
    pub seals: bool,
}
