//! How well a way from host to host works.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How often something happens: 0 to 100 percent, in millionths. Written as `2.5%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Share(u32);

impl Share {
    /// Never.
    pub const NONE: Self = Self(0);

    /// Always.
    pub const ALL: Self = Self(1_000_000);

    /// `count` of a thousand, at most all.
    pub const fn per_thousand(count: u32) -> Self {
        let millionths = count.saturating_mul(1_000);
        Self(if millionths > Self::ALL.0 { Self::ALL.0 } else { millionths })
    }

    /// In millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

/// A share that is not a number from 0% to 100%.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a share: write for example `2.5%`, from 0% to 100%")]
pub struct BadShare(String);

impl FromStr for Share {
    type Err = BadShare;

    fn from_str(text: &str) -> Result<Self, BadShare> {
        let bad = || BadShare(text.to_owned());
        let digits = text.strip_suffix('%').ok_or_else(bad)?;
        let percent: f64 = digits.trim().parse().map_err(|_| bad())?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(bad());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most a million, as was checked above"
        )]
        Ok(Self((percent * 10_000.0).round() as u32))
    }
}

impl TryFrom<String> for Share {
    type Error = BadShare;

    fn try_from(text: String) -> Result<Self, BadShare> {
        text.parse()
    }
}

/// How well a way from host to host works, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Conditions {
    /// Least time from host to host.
    #[serde(with = "crate::duration")]
    pub latency: Duration,
    /// Most that is added to it; datagrams overtake each other within it.
    #[serde(with = "crate::duration")]
    pub jitter: Duration,
    /// Datagrams lost.
    pub loss: Share,
    /// Datagrams delivered twice.
    pub duplication: Share,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(500),
            jitter: Duration::from_micros(500),
            loss: Share::NONE,
            duplication: Share::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_reads_back_as_it_is_written() {
        for text in ["0%", "0.1%", "2.5%", "33.3333%", "100%"] {
            assert_eq!(text.parse::<Share>().map(|share| share.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_not_a_share_is_refused() {
        for text in ["", "%", "5", "-1%", "101%", "NaN%", "five%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
