//! Durations in scenario files: `250ms`, `3s`, `10m`, `1h 30m`.

use serde::{Deserialize, Deserializer, Serializer, de};
use std::time::Duration;

/// Longest that can be told: beyond what any clock of a world shows, and sums of a few still fit.
const MAX: Duration = Duration::from_secs(100 * 366 * 24 * 3_600);

/// Writes `duration` as a person would.
///
/// # Errors
/// Those of `serializer`.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Reads what a person writes.
///
/// # Errors
/// Those of `deserializer`, and a text that is no duration, or one of more than a century.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = humantime::parse_duration(&text).map_err(|why| {
        de::Error::custom(format_args!(
            "`{text}` is no duration ({why}): write for example `250ms`"
        ))
    })?;
    if duration > MAX {
        return Err(de::Error::custom(format_args!(
            "`{text}` is too long: expected 100 years at most"
        )));
    }
    Ok(duration)
}

/// The same where there may be none.
pub mod optional {
    use serde::{Deserializer, Serializer};
    use std::time::Duration;

    /// Writes `duration` as a person would.
    ///
    /// # Errors
    /// Those of `serializer`.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            None => serializer.serialize_none(),
            Some(duration) => super::serialize(duration, serializer),
        }
    }

    /// Reads what a person writes.
    ///
    /// # Errors
    /// Those of `deserializer`, and a text that is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}
