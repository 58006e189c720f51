//! Ranges of key hashes, and the sums by which two stores compare them.

use crate::codec;
use crate::record::{Key, Record, Version};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Where a key lies among all keys: the first 8 bytes of its SHA-256.
pub type KeyHash = u64;

/// All key hashes that begin with the same nibbles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Prefix {
    /// How many nibbles; at most 16.
    pub(super) depth: u8,
    /// The nibbles in the highest bits; all others are zero.
    bits: u64,
}

impl Prefix {
    /// All key hashes.
    pub const ROOT: Self = Self { depth: 0, bits: 0 };
    /// Nibbles in a key hash.
    pub(super) const DEPTH_MAX: u8 = 16;

    /// The prefix of `hash` with `depth` nibbles.
    pub(super) fn of(hash: KeyHash, depth: u8) -> Self {
        let keep = u64::MAX.checked_shl(64 - 4 * u32::from(depth)).unwrap_or(0);
        Self { depth, bits: hash & keep }
    }

    /// Whether it is one that this type can make: peers may send any numbers.
    pub fn is_sound(self) -> bool {
        self.depth <= Self::DEPTH_MAX && Self::of(self.bits, self.depth) == self
    }

    /// The 16 ranges that it consists of; none when it is a single hash.
    pub fn parts(self) -> impl Iterator<Item = Self> {
        let count = if self.depth < Self::DEPTH_MAX { 16 } else { 0 };
        (0..count).map(move |nibble: u64| Self {
            depth: self.depth + 1,
            bits: self.bits | nibble << (60 - 4 * u32::from(self.depth)),
        })
    }

    /// Whether it cannot be split.
    pub const fn is_single(self) -> bool {
        self.depth == Self::DEPTH_MAX
    }

    /// Its first and last hash.
    pub(super) fn bounds(self) -> (KeyHash, KeyHash) {
        let free = u64::MAX.checked_shr(4 * u32::from(self.depth)).unwrap_or(0);
        (self.bits, self.bits | free)
    }
}

/// Sum of the hashes of all records in a range; zero when there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Print(pub u128);

/// One record, by hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// Of its key.
    pub key: KeyHash,
    /// Of its key, version and signature.
    pub version: u64,
}

impl Item {
    /// Cuts the hash of a version to the half that travels.
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    pub(super) const fn new(key: KeyHash, version: u128) -> Self {
        Self { key, version: version as u64 }
    }
}

/// A record that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Have {
    /// Of its key.
    pub key: KeyHash,
    /// Which version.
    pub version: Version,
}

/// Where `key` lies among all keys.
pub(super) fn hash_of(key: &Key) -> KeyHash {
    Sha256::digest(codec::encode(key))
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Names one version of one key: the signature covers all that it says.
pub(super) fn item_of(record: &Record) -> u128 {
    let digest = Sha256::digest(codec::encode(&(record.key, record.version, record.signature)));
    digest.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}
