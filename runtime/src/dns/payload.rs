//! How long answers over UDP may be.

/// Largest answer over UDP to a client that does not say what it can take (RFC 1035 section 2.3.4).
pub(super) const PAYLOAD_MIN: u16 = 512;

/// Largest answer over UDP, whatever the client says it can take, and largest question that is read.
pub(super) const PAYLOAD_MAX: u16 = 4096;
