//! How a control stream is cut: `length (2) ‖ type (1) ‖ body (length)`, length big-endian.

use alloc::vec::Vec;

/// Bytes in front of each body.
pub(super) const HEADER_LEN: usize = 3;
/// Longest record before it is sealed, in bytes. Source: TLS 1.3 (RFC 8446 section 5.1).
pub(super) const RECORD_LEN_MAX: usize = 16 * 1024;
/// Bytes that sealing adds.
pub(super) const TAG_LEN: usize = 16;

/// What a frame of the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A message of the handshake.
    Handshake = 1,
    /// Why the other side gives up, in the clear.
    Refusal = 2,
    /// A record of the channel.
    Sealed = 3,
    /// The first message of a handshake that begins again, with another secret.
    Again = 4,
}

impl Kind {
    /// Longest body, in bytes: a Hello is below 300.
    const fn body_len_max(self) -> usize {
        match self {
            Self::Handshake | Self::Refusal | Self::Again => 4096,
            Self::Sealed => RECORD_LEN_MAX + TAG_LEN,
        }
    }
}

/// Kind and body of a frame, and what follows it.
type First<'a> = Option<(Kind, &'a [u8], &'a [u8])>;

/// The first frame of `bytes` and what follows it; `None` while it is incomplete.
///
/// # Errors
/// On an unknown type or a length over its limit, as soon as the header is there.
pub(super) fn first(bytes: &[u8]) -> Result<First<'_>, &'static str> {
    let Some((&[high, low, kind], rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let kind = match kind {
        1 => Kind::Handshake,
        2 => Kind::Refusal,
        3 => Kind::Sealed,
        4 => Kind::Again,
        _ => return Err("unknown type of frame"),
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len > kind.body_len_max() {
        return Err("frame over the limit");
    }
    Ok(rest.split_at_checked(len).map(|(body, rest)| (kind, body, rest)))
}

/// A whole frame.
pub(super) fn whole(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + body.len());
    push_header(&mut bytes, kind, body.len());
    bytes.extend(body);
    bytes
}

/// Adds the header of a frame to `out`; its body is to follow. Ours are all below the limits.
pub(super) fn push_header(out: &mut Vec<u8>, kind: Kind, body_len: usize) {
    debug_assert!(body_len <= kind.body_len_max(), "a frame of {body_len} bytes");
    out.extend(u16::try_from(body_len).unwrap_or(u16::MAX).to_be_bytes());
    out.push(kind as u8);
}
