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

    /// Whether it is never.
    pub const fn is_none(&self) -> bool {
        self.0 == 0
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
///
/// Streams feel `latency`, `jitter` and `rate`; all else befalls datagrams only, since what carries
/// a stream sends again what was lost or damaged.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Most by which a second copy comes later than it would by itself.
    #[serde(with = "crate::duration", skip_serializing_if = "Duration::is_zero")]
    pub echo: Duration,
    /// Datagrams with which a time begins in which every one is lost.
    #[serde(skip_serializing_if = "Share::is_none")]
    pub bursts: Share,
    /// Longest such time.
    #[serde(with = "crate::duration", skip_serializing_if = "Duration::is_zero")]
    pub burst: Duration,
    /// Datagrams that are held up on their way.
    #[serde(skip_serializing_if = "Share::is_none")]
    pub held_up: Share,
    /// Longest time for which they are: few are held up for all of it, most for a hundredth.
    #[serde(with = "crate::duration", skip_serializing_if = "Duration::is_zero")]
    pub hold_up: Duration,
    /// Datagrams that arrive with wrong bits, or cut short.
    #[serde(skip_serializing_if = "Share::is_none")]
    pub corruption: Share,
    /// Bytes that fit through in a second; any number if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Bytes that may wait for their turn where a rate is given; a datagram that finds more is lost.
    #[serde(skip_serializing_if = "is_usual_queue")]
    pub queue: u64,
    /// Longest IP packet; a longer one is lost without a word. Any length if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
}

/// Bytes that may wait where nothing else is said: about what a home router has for one port.
const QUEUE_LEN: u64 = 64 * 1024;
const fn is_usual_queue(queue: &u64) -> bool {
    *queue == QUEUE_LEN
}

/// Datagrams that a calm network may still lose.
const CALM_LOSS: Share = Share::per_thousand(50);

/// Longest time that something takes across a usual network: to the other side of the world.
const USUAL_TRIP: Duration = Duration::from_millis(200);

impl Conditions {
    /// Whether these are no worse than what every network does: a little loss, some distance, and copies
    /// that come later.
    pub fn are_usual(&self) -> bool {
        let Self {
            latency,
            jitter,
            loss,
            duplication: _,
            echo: _,
            bursts,
            burst: _,
            held_up,
            hold_up: _,
            corruption,
            rate,
            queue: _,
            mtu,
        } = self;
        *latency + *jitter <= USUAL_TRIP
            && *loss <= CALM_LOSS
            && bursts.is_none()
            && held_up.is_none()
            && corruption.is_none()
            && rate.is_none()
            && mtu.is_none()
    }

    /// What is left of these once all that keeps peers apart is over: the distance, and a little of
    /// what every network does.
    pub fn calm(self) -> Self {
        let Self { latency, jitter, loss, duplication, .. } = self;
        Self { latency, jitter, loss: loss.min(CALM_LOSS), duplication, ..Self::default() }
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(500),
            jitter: Duration::from_micros(500),
            loss: Share::NONE,
            duplication: Share::NONE,
            echo: Duration::ZERO,
            bursts: Share::NONE,
            burst: Duration::ZERO,
            held_up: Share::NONE,
            hold_up: Duration::ZERO,
            corruption: Share::NONE,
            rate: None,
            queue: QUEUE_LEN,
            mtu: None,
        }
    }
}

/// What every way has, and of the rest what is not as usual.
impl fmt::Debug for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Conditions");
        all.field("latency", &self.latency)
            .field("jitter", &self.jitter)
            .field("loss", &self.loss)
            .field("duplication", &self.duplication);
        if !self.echo.is_zero() {
            all.field("echo", &self.echo);
        }
        if !self.bursts.is_none() {
            all.field("bursts", &self.bursts).field("burst", &self.burst);
        }
        if !self.held_up.is_none() {
            all.field("held_up", &self.held_up).field("hold_up", &self.hold_up);
        }
        if !self.corruption.is_none() {
            all.field("corruption", &self.corruption);
        }
        if let Some(rate) = self.rate {
            all.field("rate", &rate).field("queue", &self.queue);
        }
        if let Some(mtu) = self.mtu {
            all.field("mtu", &mtu);
        }
        all.finish()
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

    #[test]
    fn a_good_way_is_written_without_what_it_does_not_have() {
        let written = serde_json::to_string(&Conditions::default()).unwrap();
        assert!(!written.contains("mtu") && !written.contains("bursts"), "{written}");
        let debug = format!("{:?}", Conditions::default());
        assert!(debug.ends_with("duplication: Share(0) }"), "{debug}");
    }

    #[test]
    fn ways_are_usual_with_little_loss_and_without_whatever_makes_them_worse() {
        let usual = Conditions {
            loss: Share::per_thousand(50),
            duplication: Share::per_thousand(200),
            echo: Duration::from_secs(60),
            ..Conditions::default()
        };
        assert!(usual.are_usual());
        for worse in [
            Conditions { loss: Share::per_thousand(51), ..usual },
            Conditions { latency: Duration::from_millis(200), ..usual },
            Conditions { bursts: Share::per_thousand(1), ..usual },
            Conditions { held_up: Share::per_thousand(1), ..usual },
            Conditions { corruption: Share::per_thousand(1), ..usual },
            Conditions { rate: Some(1_000), ..usual },
            Conditions { mtu: Some(1_280), ..usual },
        ] {
            assert!(!worse.are_usual(), "{worse:?}");
        }
    }

    #[test]
    fn a_bad_way_reads_back_as_it_is_written() {
        let bad = Conditions {
            echo: Duration::from_secs(60),
            bursts: Share::per_thousand(5),
            burst: Duration::from_secs(2),
            held_up: Share::per_thousand(10),
            hold_up: Duration::from_secs(90),
            corruption: Share::per_thousand(1),
            rate: Some(8_000),
            mtu: Some(1280),
            ..Conditions::default()
        };
        let written = serde_json::to_string(&bad).unwrap();
        assert_eq!(serde_json::from_str::<Conditions>(&written).unwrap(), bad, "{written}");
        assert_eq!(bad.calm(), Conditions::default());
    }
}
