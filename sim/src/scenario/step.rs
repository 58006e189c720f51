//! What is done to a world, and what must be seen of it, at one moment.

use super::sight::Sight;
use crate::world::Act;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;
use weft_core::io::{CommandError, Reply};
use weft_core::time::Instant;
use weft_core::trust::TrustError;

/// One step of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, on the world's clock.
    pub at: Instant,
    /// What.
    pub deed: Deed,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Something befalls the world.
    Act {
        /// What.
        act: Act,
        /// What must come of the command that it is.
        expect: Option<Expected>,
    },
    /// Something must be seen.
    See {
        /// What.
        sight: Sight,
        /// It must not be seen instead.
        not: bool,
        /// Not later than so long after the step's time.
        within: Duration,
        /// And from then on for so long.
        stays: Duration,
    },
}

/// What must come of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What.
    pub outcome: Outcome,
    /// So long after the command at most.
    pub within: Duration,
}

impl Expected {
    /// Every command is answered or refused within this time, when nothing else is said.
    pub const WITHIN: Duration = Duration::from_secs(5);
}

/// What can come of a command. Written as `ok`, `refused`, `no-answer`, the name of a refusal such
/// as `no-quorum`, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is done, and this address is in the answer.
    Address(IpAddr),
    /// It is refused, for this reason if one is named.
    Refused(Option<&'static str>),
    /// There is no answer in all of the time.
    NoAnswer,
}

/// Names of refusals.
const REFUSALS: [&str; 29] = [
    "address-taken",
    "owner-silent",
    "out-of-range",
    "too-wide",
    "edge",
    "held-otherwise",
    "no-quorum",
    "not-merged",
    "doubted",
    "copied",
    "exhausted",
    "settling",
    "not-held",
    "in-reach",
    "owners-away",
    "under-way",
    "stranded",
    "not-taken-over",
    "all-leave",
    "used-up",
    "too-many-names",
    "too-many-waiting",
    "left",
    "stopping",
    "no-secret",
    "secret-in-use",
    "too-many-secrets",
    "no-old-secret",
    "old-secret-in-use",
];

/// What a refusal is called in scenario files.
const fn refusal(error: &CommandError) -> &'static str {
    match error {
        CommandError::AddressTaken { .. } => "address-taken",
        CommandError::OwnerSilent { .. } | CommandError::OwnersSilent { .. } => "owner-silent",
        CommandError::Settling { .. } => "settling",
        CommandError::OutOfRange { .. } => "out-of-range",
        CommandError::TooWide { .. } => "too-wide",
        CommandError::Edge { .. } => "edge",
        CommandError::HeldOtherwise { .. } => "held-otherwise",
        CommandError::NoQuorum { .. } | CommandError::Observing { .. } => "no-quorum",
        CommandError::NotMerged { .. } => "not-merged",
        CommandError::Doubted => "doubted",
        CommandError::Copied => "copied",
        CommandError::Exhausted { .. } => "exhausted",
        CommandError::NotHeld(_) => "not-held",
        CommandError::StillInReach { .. } => "in-reach",
        CommandError::OwnersAway { .. } => "owners-away",
        CommandError::EvictionUnderWay { .. } => "under-way",
        CommandError::Stranded { .. } => "stranded",
        CommandError::NotTakenOver { .. } => "not-taken-over",
        CommandError::AllLeave => "all-leave",
        CommandError::EvictsItself
        | CommandError::TooManyVictims(_)
        | CommandError::TooManyEvictions(_)
        | CommandError::TooManyProposers(_) => "no-eviction",
        CommandError::RoundsUsedUp { .. } => "used-up",
        CommandError::TooManyNames(_) => "too-many-names",
        CommandError::TooManyWaiting(_) => "too-many-waiting",
        CommandError::Trust(TrustError::NoSecret) => "no-secret",
        CommandError::Trust(TrustError::SecretInUse) => "secret-in-use",
        CommandError::Trust(TrustError::TooManySecrets) => "too-many-secrets",
        CommandError::Trust(TrustError::NoOldSecret) => "no-old-secret",
        CommandError::Trust(TrustError::OldSecretInUse(_)) => "old-secret-in-use",
        CommandError::Left => "left",
        CommandError::Stopping => "stopping",
        CommandError::Broken { .. } => "broken",
    }
}

impl Outcome {
    /// Whether `answer` is this.
    pub fn fits(&self, answer: &Result<Reply, CommandError>) -> bool {
        match (self, answer) {
            (Self::Done, Ok(_)) | (Self::Refused(None), Err(_)) => true,
            (Self::Address(wanted), Ok(Reply::Addresses(given))) => {
                given.iter().any(|given| given.addr() == *wanted)
            }
            (Self::Refused(Some(wanted)), Err(error)) => refusal(error) == *wanted,
            (Self::Done | Self::Address(_), Err(_))
            | (Self::Address(_), Ok(Reply::Done | Reply::Removed(_) | Reply::TakenOver(_)))
            | (Self::Refused(_), Ok(_))
            | (Self::NoAnswer, _) => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ok"),
            Self::Address(address) => address.fmt(f),
            Self::Refused(None) => f.write_str("refused"),
            Self::Refused(Some(why)) => f.write_str(why),
            Self::NoAnswer => f.write_str("no-answer"),
        }
    }
}

/// A text that says no outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is nothing that a command can come to: expected ok, refused, no-answer, an address, or one of {known}",
    known = REFUSALS.join(", ")
)]
pub struct BadOutcome(String);

impl FromStr for Outcome {
    type Err = BadOutcome;

    fn from_str(text: &str) -> Result<Self, BadOutcome> {
        Ok(match text {
            "ok" => Self::Done,
            "refused" => Self::Refused(None),
            "no-answer" => Self::NoAnswer,
            text => match (REFUSALS.iter().find(|known| **known == text), text.parse()) {
                (Some(known), _) => Self::Refused(Some(known)),
                (None, Ok(address)) => Self::Address(address),
                (None, Err(_)) => return Err(BadOutcome(text.to_owned())),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_reads_back_as_it_is_written() {
        for text in ["ok", "refused", "no-answer", "10.32.0.7", "no-quorum", "left", "stopping"] {
            assert_eq!(text.parse::<Outcome>().map(|it| it.to_string()), Ok(text.to_owned()));
        }
        assert!("done".parse::<Outcome>().is_err());
    }

    #[test]
    fn an_outcome_fits_only_its_own_answers() {
        let address = || Ok(Reply::Addresses(vec!["10.32.0.7/24".parse().unwrap()]));
        let fits = |text: &str, answer| text.parse::<Outcome>().unwrap().fits(&answer);
        assert!(fits("ok", Ok(Reply::Done)) && fits("10.32.0.7", address()));
        assert!(!fits("10.32.0.8", address()) && !fits("10.32.0.7", Ok(Reply::Done)));
        assert!(fits("left", Err(CommandError::Left)) && fits("refused", Err(CommandError::Left)));
        assert!(
            !fits("no-quorum", Err(CommandError::Left)) && !fits("ok", Err(CommandError::Left))
        );
        assert!(!fits("refused", Ok(Reply::Done)) && !fits("no-answer", Ok(Reply::Done)));
    }
}
