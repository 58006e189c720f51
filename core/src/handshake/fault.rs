//! Why a handshake fails.

use crate::config::SecretKind;
use alloc::string::String;

/// Why a handshake failed. Says whose mistake it is and what to do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
pub enum HandshakeFault {
    /// The other side's password is another one.
    #[error("wrong password: this peer and the other were launched with different passwords")]
    WrongPassword,
    /// The other side's key file is another one.
    #[error("wrong key: this peer and the other were launched with different key files")]
    WrongKey,
    /// One side has a password and the other one a key file, or one has none of both.
    #[error("{}", kinds(*ours, *theirs))]
    Kinds {
        /// What we have.
        ours: Option<SecretKind>,
        /// What the other side has.
        theirs: Option<SecretKind>,
    },
    /// No common protocol version.
    #[error(
        "the other peer speaks protocol versions {0} to {1}, this one {2} to {3}: upgrade the older one"
    )]
    Version(u8, u8, u8, u8),
    /// We dialed ourselves.
    #[error("that is this peer itself")]
    Myself,
    /// A copy of this peer's disk is running elsewhere.
    #[error(
        "the other peer has this peer's identity: one state folder is a copy of the other: stop the copy and run `weft reset --force` there"
    )]
    Clone,
    /// The other side is no weft peer, or breaks the rules of the handshake.
    #[error("not a weft peer, or not in order: {0}")]
    Malformed(&'static str),
}

fn kinds(ours: Option<SecretKind>, theirs: Option<SecretKind>) -> String {
    match (ours, theirs) {
        (None, Some(theirs)) => alloc::format!(
            "the other peer has a {theirs} and this one has none: launch with {}",
            theirs.option()
        ),
        (Some(ours), None) => alloc::format!(
            "this peer has a {ours} and the other one has none: launch it with {} too",
            ours.option()
        ),
        (Some(ours), Some(theirs)) => alloc::format!(
            "this peer has a {ours} and the other one a {theirs}: launch both with the same"
        ),
        (None, None) => String::from("neither peer has a secret"),
    }
}
