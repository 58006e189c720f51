//! One data session with a neighbour: seals and opens its datagrams.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A receiver's random label for one data session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionIndex(pub u32);

/// What a datagram carries. Also its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Frames.
    Data = 0x10,
    /// A probe of the path, for [`crate::node::Node`].
    Probe = 0x11,
}

/// What both ends of a session know after the handshake.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SessionKeys {
    /// Our X25519 secret for this session.
    pub ours: [u8; 32],
    /// Their X25519 public key for it.
    pub theirs: [u8; 32],
    /// Whether we dialed: settles the direction bit of nonces.
    pub dialed: bool,
    /// Whether payloads are sealed at all (both ends have a network secret).
    pub sealed: bool,
}

impl core::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SessionKeys").field("sealed", &self.sealed).finish_non_exhaustive()
    }
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SleeveFault {
    /// Too short, or of no known kind.
    #[error("not a sleeve datagram")]
    Malformed,
    /// No such session here.
    #[error("no such session")]
    NoSession,
    /// Does not open.
    #[error("not authentic")]
    NotAuthentic,
    /// Seen before, or too old to tell.
    #[error("replayed")]
    Replayed,
    /// The other key is of low order, so anybody could know the secret.
    #[error("the session key of the other peer is of low order")]
    LowOrderKey,
    /// The counter has reached its end.
    #[error("the keys of this session are used up")]
    UsedUp,
}

/// One direction pair of boxes, with its counters and replay window, for one [`Kind`].
///
/// A node seals probes and a forwarder seals frames, each with a `Session` of its own made from
/// the same keys: the kind is part of the nonce, so their counters never meet.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// Bytes in front of the payload.
    pub const HEADER_LEN: usize = 13;
    /// Bytes that sealing adds behind it.
    pub const TAG_LEN: usize = 16;

    /// A session for datagrams of `kind`, addressed to the other side's `remote` index.
    ///
    /// # Errors
    /// [`SleeveFault::LowOrderKey`].
    pub fn new(kind: Kind, keys: &SessionKeys, remote: SessionIndex) -> Result<Self, SleeveFault> {
        let _ = (kind, keys, remote);
        todo!()
    }

    /// The datagram that carries `payload`.
    ///
    /// # Errors
    /// [`SleeveFault::UsedUp`].
    pub fn seal(&mut self, payload: &[u8]) -> Result<Vec<u8>, SleeveFault> {
        let _ = payload;
        todo!()
    }

    /// The payload of `datagram`, whose kind and index were read with [`Session::peek`].
    ///
    /// # Errors
    /// The window is only moved by datagrams that open.
    pub fn open(&mut self, datagram: &[u8]) -> Result<Vec<u8>, SleeveFault> {
        let _ = datagram;
        todo!()
    }

    /// Kind and receiver's index of a datagram, before any key is used.
    ///
    /// # Errors
    /// [`SleeveFault::Malformed`].
    pub fn peek(datagram: &[u8]) -> Result<(Kind, SessionIndex), SleeveFault> {
        let _ = datagram;
        todo!()
    }
}
