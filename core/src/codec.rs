//! Bytes and values: postcard, with nothing left over and nothing accepted that we would not write.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Why bytes are not the value they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Postcard cannot read it.
    #[error("malformed: {0}")]
    Malformed(postcard::Error),
    /// Bytes are left over.
    #[error("{0} bytes are left over")]
    Trailing(usize),
    /// It reads, but is not what we would write (a number in more bytes than it needs).
    #[error("not in canonical form")]
    NotCanonical,
}

/// `value` in postcard.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // Our types have known lengths and a vector grows: postcard has no other way to fail.
    postcard::to_allocvec(value).unwrap_or_default()
}

/// The value that `bytes` are the encoding of.
///
/// # Errors
/// When they are not exactly what [`encode`] would write for some value.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(DecodeError::Malformed)?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing(rest.len())) }
}

/// As [`decode`], and refuses what [`encode`] would have written otherwise.
///
/// # Errors
/// As [`decode`], and [`DecodeError::NotCanonical`].
pub fn decode_canonical<'a, T: Deserialize<'a> + Serialize>(
    bytes: &'a [u8],
) -> Result<T, DecodeError> {
    let value: T = decode(bytes)?;
    if encode(&value) == bytes { Ok(value) } else { Err(DecodeError::NotCanonical) }
}
