//! Records: the one form in which all shared state travels.
//!
//! A record has exactly one writer, who versions and signs it. The newest version of each key wins,
//! so the set of records a peer holds is a join-semilattice: whatever order and however often
//! records arrive, peers that saw the same records hold the same set.
//!
//! Signed bytes: `"weft record 1" ‖ postcard(key) ‖ postcard(version) ‖ body`.

use crate::id::{Identity, Incarnation, PeerId};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// First 16 bytes of a SHA-256: names immutable content.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// The fingerprint of `content`.
    pub fn of(content: &[u8]) -> Self {
        let mut print = [0; 16];
        for (to, from) in print.iter_mut().zip(Sha256::digest(content)) {
            *to = from;
        }
        Self(print)
    }

    /// The fingerprint of `content` as written by `writer`: nobody else can put its name to it.
    pub fn by(writer: &PeerId, content: &[u8]) -> Self {
        Self::of(&[&writer.0[..], content].concat())
    }
}

/// The first four bytes in hex.
impl core::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a record is about. Variants are in order of urgency: ownership travels first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// How the universe was first divided ([`crate::ipam::Founding`]); the key is the content's.
    Founding(Fingerprint),
    /// Addresses that changed owner ([`crate::ipam::Grant`]); the key is the writer's and the
    /// content's ([`Fingerprint::by`]), for the writer is the giver.
    Grant(Fingerprint),
    /// A peer's vote in the founding ([`crate::ipam::Voter`]).
    Voter(PeerId),
    /// What a peer says of evictions ([`crate::ipam::Freeze`]).
    Freeze(PeerId),
    /// A peer and its links ([`crate::topology::PeerRecord`]).
    Peer(PeerId),
    /// One page of a peer's names ([`crate::names::NamesRecord`]), and which.
    Names(PeerId, u8),
    /// About how much free space a peer has ([`crate::ipam::Space`]): a hint, no promise.
    Space(PeerId),
}

/// Later versions win. Content-addressed keys have only [`Version::default`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Version {
    /// Start of the writer in which it was written.
    pub incarnation: Incarnation,
    /// Counts up within an incarnation.
    pub sequence: u64,
}

/// One signed piece of shared state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it is about.
    pub key: Key,
    /// Which version of it.
    pub version: Version,
    /// Postcard of the type that the key names; at most [`Record::BODY_LEN_MAX`] bytes.
    pub body: Vec<u8>,
    /// Who wrote it; for keys that name a peer, that peer.
    pub writer: PeerId,
    /// The writer's signature.
    pub signature: Signature,
}

/// An Ed25519 signature; a type of its own because serde knows no arrays of 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signature(pub [u8; 32], pub [u8; 32]);

impl From<[u8; 64]> for Signature {
    fn from(bytes: [u8; 64]) -> Self {
        let mut halves = Self([0; 32], [0; 32]);
        let Self(head, tail) = &mut halves;
        for (to, from) in head.iter_mut().chain(tail).zip(bytes) {
            *to = from;
        }
        halves
    }
}

impl Signature {
    /// All 64 bytes of it.
    pub fn to_bytes(self) -> [u8; 64] {
        let mut bytes = [0; 64];
        let Self(head, tail) = self;
        for (to, from) in bytes.iter_mut().zip(head.into_iter().chain(tail)) {
            *to = from;
        }
        bytes
    }
}

impl core::fmt::Debug for Signature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Signature(..)")
    }
}

/// Why a record is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub enum RecordFault {
    /// Too long.
    #[error("body of {0} bytes is over the limit of {max}", max = Record::BODY_LEN_MAX)]
    BodyTooLong(usize),
    /// The key names one peer and another wrote it, or the content is not what the key says.
    #[error("{0:?} was written by {1}, whose it is not, or holds other content")]
    ForeignKey(Key, PeerId),
    /// Wrong signature.
    #[error("the signature on {0:?} is not its writer's")]
    BadSignature(Key),
    /// The body does not decode, or says what it may not.
    #[error("the body of {0:?} is malformed")]
    Malformed(Key),
    /// It counts too far ahead of all that is known.
    #[error("{0:?} counts further ahead than one step may")]
    Leap(Key),
    /// The table is full.
    #[error("no room for {0:?}: the limit of records is reached")]
    Full(Key),
    /// A grant by a peer that is being evicted.
    #[error("{0:?} is of a peer that is being evicted")]
    Frozen(Key),
    /// It speaks for a peer that is not on our list.
    #[error("it speaks for the peer {}, which is not allowed here", .0.hex())]
    NotAllowed(PeerId),
}

impl Record {
    /// Longest body, in bytes.
    pub const BODY_LEN_MAX: usize = 256 * 1024;

    /// A record of our own, signed.
    pub fn sign(identity: &Identity, key: Key, version: Version, body: Vec<u8>) -> Self {
        let signature = Signature::from(identity.sign(&signed_bytes(&key, version, &body)));
        Self { key, version, body, writer: identity.id(), signature }
    }

    /// Checks length, key and signature; what the body says is for its owner to judge.
    ///
    /// # Errors
    /// Says which of them does not hold. Nothing is changed.
    pub fn check(&self) -> Result<(), RecordFault> {
        if self.body.len() > Self::BODY_LEN_MAX {
            return Err(RecordFault::BodyTooLong(self.body.len()));
        }
        let own_key = match self.key {
            Key::Founding(print) => {
                print == Fingerprint::of(&self.body) && self.version == Version::default()
            }
            Key::Grant(print) => {
                print == Fingerprint::by(&self.writer, &self.body)
                    && self.version == Version::default()
            }
            Key::Voter(peer)
            | Key::Freeze(peer)
            | Key::Peer(peer)
            | Key::Names(peer, _)
            | Key::Space(peer) => peer == self.writer,
        };
        if !own_key {
            return Err(RecordFault::ForeignKey(self.key, self.writer));
        }
        let signed = signed_bytes(&self.key, self.version, &self.body);
        if self.writer.verify(&signed, &self.signature.to_bytes()) {
            Ok(())
        } else {
            Err(RecordFault::BadSignature(self.key))
        }
    }

    /// Whether this one replaces `other` under the same key: a total order, so every peer chooses
    /// alike even if a writer broke the rules and signed two bodies under one version.
    pub fn supersedes(&self, other: &Self) -> bool {
        (self.version, &self.body, self.signature) > (other.version, &other.body, other.signature)
    }

    /// The body as `T`.
    ///
    /// # Errors
    /// [`RecordFault::Malformed`] when it does not decode, or not to its last byte.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, RecordFault> {
        crate::codec::decode(&self.body).map_err(|_| RecordFault::Malformed(self.key))
    }
}

fn signed_bytes(key: &Key, version: Version, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"weft record 1".to_vec();
    bytes.extend(crate::codec::encode(&(key, version)));
    bytes.extend(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &[u8]) -> Record {
        let identity = Identity::from_seed([1; 32]);
        Record::sign(&identity, Key::Peer(identity.id()), Version::default(), body.to_vec())
    }

    #[test]
    fn a_record_whose_body_key_or_version_was_changed_is_not_believed() {
        let good = record(b"x");
        assert_eq!(good.check(), Ok(()));
        let mut bad = good.clone();
        bad.body = b"y".to_vec();
        assert!(bad.check().is_err());
        let mut bad = good.clone();
        bad.version.sequence = 1;
        assert!(bad.check().is_err());
        let mut bad = good;
        bad.key = Key::Names(bad.writer, 0);
        assert!(bad.check().is_err());
    }

    #[test]
    fn nobody_puts_another_name_to_a_grant() {
        let (giver, thief) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        let key = Key::Grant(Fingerprint::by(&giver.id(), b"x"));
        let sign = |by| Record::sign(by, key, Version::default(), b"x".to_vec());
        assert_eq!(sign(&giver).check(), Ok(()));
        assert_eq!(sign(&thief).check(), Err(RecordFault::ForeignKey(key, thief.id())));
    }

    #[test]
    fn nobody_writes_a_record_about_another_peer() {
        let identity = Identity::from_seed([1; 32]);
        let other = Identity::from_seed([2; 32]).id();
        let forged = Record::sign(&identity, Key::Peer(other), Version::default(), Vec::new());
        assert_eq!(forged.check(), Err(RecordFault::ForeignKey(Key::Peer(other), identity.id())));
    }
}
