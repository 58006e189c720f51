//! The identity of a run: a hash over every input and every output of a node, and every state change.
//!
//! Two runs with one digest were the same, whatever was kept of them, and in whichever profile
//! they were built.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// FNV-1a, 64 bit (Fowler, Noll, Vo): fast, and stable over releases of Rust.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Which run it was. Written as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(u64);

impl Digest {
    /// Of a run in which nothing happened.
    pub const EMPTY: Self = Self(FNV_BASIS);

    /// Takes `bytes` in, and where they end.
    pub fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.0 = (self.0 ^ len).wrapping_mul(FNV_PRIME);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Something that is not 16 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the digest of a run: expected 16 hex digits")]
pub struct BadDigest(String);

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let digits = Some(text).filter(|text| text.len() == 16 && !text.starts_with('+'));
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or_else(|| BadDigest(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = BadDigest;

    fn try_from(text: String) -> Result<Self, BadDigest> {
        text.parse()
    }
}
