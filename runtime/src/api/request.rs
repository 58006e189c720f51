//! What a request brings.

use super::refusal::Refusal;
use crate::daemon::Controls;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts as Head;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;
use weft_core::names::{Name, NameValue, Place};

/// Most bytes of a request's body: a thousand targets.
pub(super) const BODY_LEN_MAX: usize = 64 << 10;

/// Longest time a request may take, and the reading of its body by itself; only `GET /ring` waits longer.
pub(super) const ANSWER_MAX: Duration = crate::attachments::ALONE_MAX;

/// What a request is put to.
pub(super) type Controlled = State<Controls>;

/// The whole body, if it is not too long.
async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    let read = timeout(ANSWER_MAX, Bytes::from_request(request, state)).await.map_err(|_| {
        let why = format!("the body did not come within {ANSWER_MAX:?}");
        Refusal::new(StatusCode::REQUEST_TIMEOUT, why)
    })?;
    read.map_err(|why| {
        if why.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let limit = format!("the body is too large: at most {BODY_LEN_MAX} bytes are taken");
            Refusal::new(why.status(), limit)
        } else {
            Refusal::new(why.status(), format!("the body cannot be read: {}", why.body_text()))
        }
    })
}

/// A body of JSON.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let path = request.uri().path().to_owned();
        let body = bytes(request, state).await?;
        let refused = |why| Refusal::bad(format!("this is no body for {path}: {why}"));
        serde_json::from_slice(&body).map(Self).map_err(refused)
    }
}

/// What stands in a path in the places of names.
pub(super) struct Parts<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Parts<T> {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Head, state: &S) -> Result<Self, Self::Rejection> {
        let path = head.uri.path().to_owned();
        let parts = Path::<T>::from_request_parts(head, state).await;
        let refused = |why: String| Refusal::bad(format!("{path} is no path of the API: {why}"));
        parts.map(|Path(parts)| Self(parts)).map_err(|why| refused(why.body_text()))
    }
}

/// Fields of the query and of a form in the body, in order; scripts use either.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn name(&self) -> Result<Option<Name>, Refusal> {
        self.all("fqdn").next().map(|name| name.parse().map_err(Refusal::bad)).transpose()
    }

    /// Whether `key` is set: `key=true`, `key=1` or just `key` sets it, `key=false` or `key=0` does not, and without
    /// one of these it is not set.
    ///
    /// # Errors
    /// When it says anything else, or both: what is asked for must not be guessed.
    pub(super) fn flag(&self, key: &str) -> Result<bool, Refusal> {
        let mut is_set = None;
        for text in self.all(key) {
            let said = match text {
                "true" | "1" | "" => true,
                "false" | "0" => false,
                other => {
                    return Err(Refusal::bad(format!(
                        "{key} is true (or 1, or nothing) or false (or 0), and not '{other}'"
                    )));
                }
            };
            if is_set.is_some_and(|before| before != said) {
                return Err(Refusal::bad(format!("{key} is given as true and as false: give one")));
            }
            is_set = Some(said);
        }
        Ok(is_set.unwrap_or(false))
    }

    /// Flags of Weave Net's that say nothing here, since weft asks no container engine: scripts give them, and what
    /// is no flag is their mistake all the same.
    ///
    /// # Errors
    /// As [`Fields::flag`].
    pub(super) fn engine_flags(&self) -> Result<(), Refusal> {
        for key in ["check-alive", "noErrorOnUnknown"] {
            self.flag(key)?;
        }
        Ok(())
    }
}

impl Fields {
    /// The service or the text that they say, of which the former is on the host of the `name` if no other is
    /// given.
    pub(super) fn value(&self, name: Option<&Name>) -> Result<Option<NameValue>, Refusal> {
        let strings: Vec<String> = self.all("txt").map(str::to_owned).collect();
        let mut services = self.all("srv");
        match (services.next(), strings.is_empty()) {
            (None, true) => Ok(None),
            (None, false) => {
                strings.try_into().map(|text| Some(NameValue::Text(text))).map_err(Refusal::bad)
            }
            (Some(place), true) if services.next().is_none() => {
                let (priority, weight) = (self.number("priority")?, self.number("weight")?);
                let place: Place = place.parse().map_err(Refusal::bad)?;
                let service = place.service(name, priority, weight).map_err(Refusal::bad)?;
                Ok(Some(NameValue::Service(service)))
            }
            (Some(_), true | false) => {
                Err(Refusal::bad("give one srv=[HOST:]PORT, or one text of any number of txt=TEXT"))
            }
        }
    }

    fn number(&self, key: &str) -> Result<u16, Refusal> {
        let number = |text: &str| {
            let bad = || format!("{key} is a number from 0 to 65535, and not '{text}'");
            text.parse().map_err(|_| Refusal::bad(bad()))
        };
        self.all(key).next().map_or(Ok(0), number)
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = bytes(request, state).await?;
        let both = [query.as_bytes(), &body];
        let fields = both.into_iter().flat_map(form_urlencoded::parse);
        Ok(Self(fields.map(|(key, value)| (key.into_owned(), value.into_owned())).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(fields: &str) -> Result<bool, String> {
        let fields = form_urlencoded::parse(fields.as_bytes()).into_owned().collect();
        Fields(fields).flag("force").map_err(|refusal| refusal.error().to_owned())
    }

    #[test]
    fn a_flag_is_true_or_false_in_a_few_spellings_and_nothing_else() {
        for yes in ["force", "force=", "force=true", "force=1", "wait=no&force=1&force"] {
            assert_eq!(flag(yes), Ok(true), "{yes}");
        }
        for no in ["", "wait", "force=false", "force=0"] {
            assert_eq!(flag(no), Ok(false), "{no}");
        }
        for bad in ["force=banana", "force=yes", "force=True", "force=2", "force=true&force=x"] {
            let why = flag(bad).unwrap_err();
            assert!(why.starts_with("force is true") && why.contains("false"), "{bad}: {why}");
        }
        assert!(flag("force=1&force=0").unwrap_err().contains("give one"));
    }
}
