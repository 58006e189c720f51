//! Why a handshake fails.

/// Why a handshake failed. Says whose mistake it is and what to do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
pub enum HandshakeFault {
    /// The other side's password is another one.
    #[error("wrong password: this peer and the other were launched with different passwords")]
    WrongPassword,
    /// The other side has a password and we have none.
    #[error("the other peer has a password and this one has none: launch with --password")]
    PasswordMissing,
    /// We have a password and the other side has none.
    #[error("this peer has a password and the other one has none: launch it with --password too")]
    PasswordUnexpected,
    /// No common protocol version.
    #[error(
        "the other peer speaks protocol versions {0} to {1}, this one {2} to {3}: upgrade the older one"
    )]
    Version(u8, u8, u8, u8),
    /// We dialed ourselves.
    #[error("that is this peer itself")]
    Myself,
    /// The other side is no weft peer, or breaks the rules of the handshake.
    #[error("not a weft peer, or not in order: {0}")]
    Malformed(&'static str),
}
