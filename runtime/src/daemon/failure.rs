//! Why a daemon cannot start or go on.

/// Why the daemon did not start: one line that says what to do. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);
