//! The handshake as a machine: bytes in, bytes out, until there is a channel.

use super::{Channel, Hello};
use crate::config::NetworkSecret;
use crate::id::{Identity, PeerId};
use alloc::vec::Vec;
use rand_chacha::ChaCha20Rng;

/// Stretches a password to the secret that all peers of a mesh share (Argon2id, RFC 9106).
pub fn stretch(password: &str) -> NetworkSecret {
    let _ = password;
    todo!()
}

/// What this side brings to a handshake.
#[derive(Debug)]
pub struct Local<'a> {
    /// Our keys.
    pub identity: &'a Identity,
    /// The network secret, if any.
    pub secret: Option<&'a NetworkSecret>,
    /// What to tell the other side.
    pub hello: Hello,
}

/// A handshake under way.
#[derive(Debug)]
pub struct Handshake {}

/// What a handshake wants after some bytes.
#[derive(Debug)]
pub enum Step {
    /// Send these (maybe none) and wait for more.
    More {
        /// To send.
        send: Vec<u8>,
    },
    /// Send these (maybe none); the link is authenticated.
    Done {
        /// To send.
        send: Vec<u8>,
        /// Sealed messages from here on.
        channel: Channel,
        /// Who the other side is.
        hello: Hello,
    },
}

/// Why a handshake failed. Says whose mistake it is and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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

impl Handshake {
    /// Starts as the side that dialed; returns the first bytes to send.
    pub fn initiate(local: Local<'_>, rng: &mut ChaCha20Rng) -> (Self, Vec<u8>) {
        let _ = (local, rng);
        todo!()
    }

    /// Waits as the side that was dialed.
    pub fn respond(local: Local<'_>, rng: &mut ChaCha20Rng) -> Self {
        let _ = (local, rng);
        todo!()
    }

    /// Takes in bytes of the stream, cut anywhere. Bytes that follow the handshake stay in the
    /// channel of [`Step::Done`], to be had from [`Channel::receive`] with no more bytes.
    ///
    /// # Errors
    /// When it cannot succeed any more; the second value is to be sent before closing, so that the
    /// other side can tell its operator why (may be empty).
    pub fn receive(self, bytes: &[u8]) -> Result<(Option<Self>, Step), (HandshakeFault, Vec<u8>)> {
        let _ = (bytes, PeerId([0; 32]));
        todo!()
    }
}
