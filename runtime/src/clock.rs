//! The one place that reads clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant as TokioInstant;
use weft_core::time::{Instant, Now, UnixTime};

/// Both clocks of a node. The monotonic one is tokio's, so it is virtual where tokio's is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: TokioInstant,
    unix: fn() -> UnixTime,
}

impl Clock {
    /// The host's clocks; the monotonic one starts here.
    pub fn host() -> Self {
        Self::with_unix(host_unix)
    }

    /// As [`Clock::host`], with another wall clock.
    pub fn with_unix(unix: fn() -> UnixTime) -> Self {
        Self { start: TokioInstant::now(), unix }
    }

    /// Both, read once.
    pub fn now(&self) -> Now {
        let mono = Instant::ZERO + self.start.elapsed();
        Now { mono, unix: (self.unix)() }
    }

    /// When `at` is, for a timer. Never earlier than `at`: a timer that is early would spin.
    pub fn timer(&self, at: Instant) -> TokioInstant {
        self.start + Duration::from_nanos(at.as_nanos())
    }
}

fn host_unix() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
