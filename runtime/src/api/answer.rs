//! What answers are made of.

use super::refusal::Refusal;
use crate::daemon::Controls;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;
use weft_core::io::{CommandError, Reply};
use weft_core::status::Status;

/// An answer, or why there is none.
pub(super) type Answer<T> = Result<T, Refusal>;

/// How things stand.
pub(super) async fn picture(controls: &Controls) -> Answer<Arc<Status>> {
    Ok(controls.node.status().await?)
}

/// For people, and for programs.
pub(super) fn pretty(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], format!("{value:#}\n")).into_response()
}

pub(super) fn done(result: Result<Reply, CommandError>) -> Answer<()> {
    result.map(drop).map_err(Refusal::from)
}

pub(super) fn empty(result: Result<Reply, CommandError>) -> Answer<StatusCode> {
    done(result).map(|()| StatusCode::NO_CONTENT)
}

/// How many names were removed, or addresses taken over. That there was none is no error: who asks
/// sees it.
pub(super) fn count(result: Result<Reply, CommandError>) -> Answer<String> {
    match result? {
        Reply::Removed(count) => Ok(count.to_string()),
        Reply::TakenOver(count) => Ok(count.to_string()),
        Reply::Done | Reply::Addresses(_) => Ok(String::new()),
    }
}
