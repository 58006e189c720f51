//! Sealed messages over a stream, after the handshake.

use alloc::vec::Vec;

/// Both directions of an authenticated control link.
#[derive(Debug)]
pub struct Channel {}

/// Why a channel cannot go on. The stream must be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelFault {
    /// Bytes were changed, lost or repeated.
    #[error("a sealed record did not open")]
    NotAuthentic,
    /// Longer than agreed.
    #[error("a message of {0} bytes is over the limit")]
    TooLong(u64),
    /// Keys are worn out (2^60 records).
    #[error("the keys of this link are used up")]
    UsedUp,
}

impl Channel {
    /// The bytes that carry `message` over the stream.
    ///
    /// # Errors
    /// [`ChannelFault::TooLong`] over the limit of messages, [`ChannelFault::UsedUp`].
    pub fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, ChannelFault> {
        let _ = message;
        todo!()
    }

    /// Takes in bytes of the stream, cut anywhere; returns the messages that they complete.
    ///
    /// Holds at most one message in part, and only as many bytes of it as have arrived.
    ///
    /// # Errors
    /// Any fault is final.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ChannelFault> {
        let _ = bytes;
        todo!()
    }
}
