//! The one shape of every error: whatever is wrong with a request, the client gets an [`ErrorBody`] with a
//! sentence, under a status that Weave Net's clients know.

use super::types::ErrorBody;
use crate::attachments::{AttachError, TurnError};
use crate::daemon::LeaveError;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weft_core::id::ParseContainerIdError;
use weft_core::io::CommandError;

/// An error on its way to the client.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
    may_pass: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl ToString) -> Self {
        Self { status, error: error.to_string(), may_pass: false }
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    #[cfg(test)]
    pub(super) fn error(&self) -> &str {
        &self.error
    }

    /// The same, of what may be met later.
    pub(super) fn passing(self, may_pass: bool) -> Self {
        Self { may_pass, ..self }
    }

    /// The same in other words.
    pub(super) fn saying(self, error: String) -> Self {
        Self { error, ..self }
    }

    pub(super) fn bad(error: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.error, may_pass: self.may_pass }))
            .into_response()
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        let status = match error {
            // The latter is `IN_REACH` to who removes a peer.
            CommandError::Stranded { .. } | CommandError::StillInReach { .. } => {
                StatusCode::CONFLICT
            }
            CommandError::Stopping
            | CommandError::TooManyWaiting(_)
            | CommandError::EvictionUnderWay { .. }
            | CommandError::NotTakenOver { .. }
            | CommandError::AllLeave
            | CommandError::TooManyEvictions(_)
            | CommandError::Broken { .. } => StatusCode::SERVICE_UNAVAILABLE,
            CommandError::AddressTaken { .. }
            | CommandError::OwnerSilent { .. }
            | CommandError::OwnersSilent { .. }
            | CommandError::Settling { .. }
            | CommandError::OutOfRange { .. }
            | CommandError::TooWide { .. }
            | CommandError::Edge { .. }
            | CommandError::HeldOtherwise { .. }
            | CommandError::NoQuorum { .. }
            | CommandError::Observing { .. }
            | CommandError::NotMerged { .. }
            | CommandError::Copied
            | CommandError::Doubted
            | CommandError::Exhausted { .. }
            | CommandError::NotHeld(_)
            | CommandError::OwnersAway { .. }
            | CommandError::EvictsItself
            | CommandError::TooManyVictims(_)
            | CommandError::TooManyProposers(_)
            | CommandError::RoundsUsedUp { .. }
            | CommandError::TooManyNames(_)
            | CommandError::Trust(_)
            | CommandError::Left => StatusCode::BAD_REQUEST,
        };
        let may_pass = error.may_pass();
        Self::new(status, error).passing(may_pass)
    }
}

impl From<AttachError> for Refusal {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Command(error) => error.into(),
            AttachError::NotAttached(_)
            | AttachError::NotInDefault { .. }
            | AttachError::ExposedAlone(_)
            | AttachError::NotExposed
            | AttachError::NotExposedWith(_)
            | AttachError::NoSuchAddress(_)
            | AttachError::HeldByAnother { .. }
            | AttachError::Reserved(_)
            | AttachError::OtherInterface { .. }
            | AttachError::AttachedAs(_)
            | AttachError::OnInterface(_)
            | AttachError::InUse(_) => Self::bad(error),
            AttachError::NoDnsAddress(ref why) => {
                let (status, may_pass) = (Self::from(why.clone()).status(), why.may_pass());
                Self::new(status, error).passing(may_pass)
            }
            AttachError::Turn(why) => why.into(),
            AttachError::Host(why) if why.is_askers() => Self::bad(why),
            AttachError::Host(_) | AttachError::Places { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
            }
        }
    }
}

impl From<TurnError> for Refusal {
    fn from(error: TurnError) -> Self {
        let (status, may_pass) = match &error {
            TurnError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, true),
            TurnError::Late => (StatusCode::GATEWAY_TIMEOUT, true),
            TurnError::Ended(_) => (StatusCode::INTERNAL_SERVER_ERROR, false),
        };
        Self::new(status, error).passing(may_pass)
    }
}

impl From<LeaveError> for Refusal {
    fn from(error: LeaveError) -> Self {
        match error {
            LeaveError::Command(error) => error.into(),
            LeaveError::Attached(error) => error.into(),
        }
    }
}

impl From<ParseContainerIdError> for Refusal {
    fn from(error: ParseContainerIdError) -> Self {
        Self::bad(error)
    }
}
