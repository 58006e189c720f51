//! A host's clocks: a steady one that may go fast or slow, and a wall clock that may jump.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use weft_core::time::{Instant, UnixTime};

/// How fast a clock goes, in millionths of the right speed. Written as `0.5x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Speed(u32);

impl Speed {
    /// As fast as the world.
    pub const RIGHT: Self = Self(1_000_000);

    /// A hundredth, below which a host would as well stand still.
    const MIN: f64 = 0.01;
    const MAX: f64 = 100.0;

    /// `tenths` tenths of the right speed, at least a tenth.
    pub const fn tenths(tenths: u32) -> Self {
        let tenths = if tenths == 0 { 1 } else { tenths };
        Self(if tenths > 1_000 { 100_000_000 } else { tenths * 100_000 })
    }

    /// How much of the world's time a clock of this speed needs for `wait`, rounded up.
    pub fn stretch(self, wait: Duration) -> Duration {
        nanos((wait.as_nanos() * u128::from(Self::RIGHT.0)).div_ceil(u128::from(self.0.max(1))))
    }

    /// What a clock of this speed shows after `wait` of the world's time, rounded down.
    pub fn shrink(self, wait: Duration) -> Duration {
        nanos(wait.as_nanos() * u128::from(self.0) / u128::from(Self::RIGHT.0))
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x", f64::from(self.0) / 1_000_000.0)
    }
}

impl From<Speed> for String {
    fn from(speed: Speed) -> Self {
        speed.to_string()
    }
}

/// A speed that is not a number from 0.01x to 100x.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no speed of a clock: write for example `1.5x`, from 0.01x to 100x")]
pub struct BadSpeed(String);

impl FromStr for Speed {
    type Err = BadSpeed;

    fn from_str(text: &str) -> Result<Self, BadSpeed> {
        let bad = || BadSpeed(text.to_owned());
        let digits = text.strip_suffix('x').ok_or_else(bad)?;
        let speed: f64 = digits.trim().parse().map_err(|_| bad())?;
        if !(Self::MIN..=Self::MAX).contains(&speed) {
            return Err(bad());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most a hundred million, as was checked above"
        )]
        Ok(Self((speed * 1_000_000.0).round() as u32))
    }
}

impl TryFrom<String> for Speed {
    type Error = BadSpeed;

    fn try_from(text: String) -> Result<Self, BadSpeed> {
        text.parse()
    }
}

/// Both clocks of one host.
#[derive(Clone, Debug)]
pub struct Clock {
    /// What the wall clock said when the world began, with all jumps since.
    wall: i64,
    speed: Speed,
    /// When the speed was last changed, on the world's clock and on this one.
    changed: (Instant, Instant),
}

impl Clock {
    /// A clock that goes right, and whose wall clock says `wall` when the world begins.
    pub const fn new(wall: i64) -> Self {
        Self { wall, speed: Speed::RIGHT, changed: (Instant::ZERO, Instant::ZERO) }
    }

    /// What the steady clock shows at `at` of the world's.
    pub fn steady(&self, at: Instant) -> Instant {
        let (world, own) = self.changed;
        own + self.speed.shrink(at.since(world))
    }

    /// When the steady clock will show `own`, on the world's clock.
    pub fn world(&self, own: Instant) -> Instant {
        let (world, changed) = self.changed;
        world + self.speed.stretch(own.since(changed))
    }

    /// What the wall clock says at `at` of the world's.
    pub fn wall(&self, at: Instant) -> UnixTime {
        let seconds = self.steady(at).since(Instant::ZERO).as_secs();
        UnixTime(self.wall.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)))
    }

    /// What the wall clock said when the world began.
    pub const fn first_wall(&self) -> UnixTime {
        UnixTime(self.wall)
    }

    /// How fast it goes.
    pub const fn speed(&self) -> Speed {
        self.speed
    }

    /// Goes at `speed` from `at` on.
    pub fn go(&mut self, at: Instant, speed: Speed) {
        self.changed = (at, self.steady(at));
        self.speed = speed;
    }

    /// The wall clock jumps by `seconds`.
    pub const fn jump(&mut self, seconds: i64) {
        self.wall = self.wall.saturating_add(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn a_speed_reads_back_as_it_is_written() {
        for text in ["0.01x", "0.5x", "1x", "1.25x", "100x"] {
            assert_eq!(text.parse::<Speed>().map(|speed| speed.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "1", "0x", "-1x", "101x", "NaNx"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_clock_that_changes_its_speed_never_goes_back_and_meets_its_deadlines() {
        let mut clock = Clock::new(1_000);
        clock.go(secs(10), Speed::tenths(5));
        assert_eq!(clock.steady(secs(20)), secs(15));
        assert_eq!(clock.world(secs(15)), secs(20));
        clock.go(secs(20), Speed::tenths(50));
        assert_eq!(clock.steady(secs(22)), secs(25));
        assert_eq!(clock.wall(secs(22)), UnixTime(1_025));
        clock.jump(-500);
        assert_eq!(clock.wall(secs(22)), UnixTime(525));
        for own in 16..40 {
            assert!(clock.steady(clock.world(secs(own))) >= secs(own));
        }
    }
}
