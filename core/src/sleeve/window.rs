//! Which counters were seen already: a sliding window (RFC 6479).

/// The newest counter and which of the 8,192 before it were seen.
#[derive(Debug)]
pub struct Window {}
