//! The client of the API: one request per connection, over the unix socket in production.

use super::types::ErrorBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

pub use hyper::Method;

/// Longest wait for an answer. A little more than the server's own limit, so that its words arrive.
const ANSWER_MAX: Duration = Duration::from_secs(12);

/// Longest wait for a sign that the daemon runs at all: an answer that needs neither the node, the disk nor the kernel.
/// Much longer than a busy machine takes, and much sooner than [`ANSWER_MAX`] tells that its process is stopped.
const SIGN_MAX: Duration = Duration::from_secs(2);

/// What is answered at once, whatever else is under way.
const SIGN: &str = "/ipinfo/tracker";

/// Longest answer, in bytes: a report of some 10,000 peers.
const ANSWER_LEN_MAX: usize = 64 << 20;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("weft is not running here ({0}): start it with `weft launch`")]
    NotRunning(Absence),
    /// We may not open the socket.
    #[error("no permission to use {0}: try sudo")]
    Forbidden(PathBuf),
    /// The daemon said no; these are its words.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What was wrong, and what to do.
        message: String,
        /// Whether the same may be met later, though nothing is changed here.
        may_pass: bool,
    },
    /// No answer in time, or none that could be read.
    #[error("weft does not answer at {socket}: {why}; see its log in the same folder")]
    Broken {
        /// Where.
        socket: PathBuf,
        /// Why, for people.
        why: String,
    },
}

/// How it is known that nobody listens.
#[derive(Debug, thiserror::Error)]
pub enum Absence {
    /// Nobody has launched it, or it was stopped.
    #[error("no socket at {0}")]
    NoSocket(PathBuf),
    /// It did not get to remove its socket.
    #[error("nobody listens at {0}: it was killed, or broke")]
    Abandoned(PathBuf),
}

/// A way to the daemon of one run folder.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// What goes with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// No body.
    Nothing,
    /// Fields of a form, encoded.
    Form(String),
    /// A JSON text.
    Json(String),
}

/// What came back for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub text: String,
}

/// Why an exchange broke off.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ExchangeError(String);

/// Asks one thing over `stream`, which is of no use afterwards.
///
/// # Errors
/// When the stream ends early, what comes is no HTTP, or is longer than 64 MiB.
pub async fn exchange<S>(
    stream: S,
    method: Method,
    path: &str,
    content: Content,
) -> Result<Answer, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |why: &dyn std::fmt::Display| ExchangeError(why.to_string());
    let (mut sender, conn) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|why| broken(&why))?;
    let request = Request::builder().method(method).uri(path).header("host", "weft");
    let request = match content {
        Content::Nothing => request.body(Full::default()),
        Content::Form(body) => request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body))),
        Content::Json(body) => {
            request.header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)))
        }
    };
    let request = request.map_err(|why| broken(&why))?;
    // Owns the sender: when it is done, so is the connection.
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|why| broken(&why))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_LEN_MAX).collect().await;
        let body = body.map_err(|why| broken(&why))?.to_bytes();
        Ok(Answer { status, text: String::from_utf8_lossy(&body).into_owned() })
    };
    futures_util::future::join(answer, conn).await.0
}

impl Client {
    /// The client of the daemon that listens on `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The text of `GET path`.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn get(&self, path: &str) -> Result<String, ClientError> {
        self.within(Some(ANSWER_MAX), Method::GET, path, Content::Nothing).await
    }

    /// The text of `GET path`, however long that takes.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn get_patiently(&self, path: &str) -> Result<String, ClientError> {
        self.within(None, Method::GET, path, Content::Nothing).await
    }

    /// The JSON of `GET path`.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let text = self.get(path).await?;
        serde_json::from_str(&text).map_err(|e| self.broken(e))
    }

    /// Sends `body` as JSON to `path` and reads JSON.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let body = serde_json::to_string(body).map_err(|e| self.broken(e))?;
        let text = self.within(Some(ANSWER_MAX), Method::POST, path, Content::Json(body)).await?;
        serde_json::from_str(&text).map_err(|e| self.broken(e))
    }

    /// Sends `fields` as a form to `path`.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn form(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<String, ClientError> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.within(Some(ANSWER_MAX), method, path, Content::Form(form)).await
    }

    async fn within(
        &self,
        limit: Option<Duration>,
        method: Method,
        path: &str,
        content: Content,
    ) -> Result<String, ClientError> {
        self.sign_of_life().await?;
        // Who is only asked has nothing to do later.
        let later = if method == Method::GET { "" } else { "; what was asked may still be done" };
        let exchange = self.exchange(method, path, content);
        match limit {
            None => exchange.await,
            Some(limit) => tokio::time::timeout(limit, exchange)
                .await
                .unwrap_or_else(|_| Err(self.broken(format!("no answer within {limit:?}{later}")))),
        }
    }

    /// Returns once the daemon has answered something. What it is asked after that it may still do when it goes on, so
    /// one that is stopped is asked nothing.
    async fn sign_of_life(&self) -> Result<(), ClientError> {
        let sign = self.exchange(Method::GET, SIGN, Content::Nothing);
        match tokio::time::timeout(SIGN_MAX, sign).await {
            Ok(Ok(_) | Err(ClientError::Refused { .. })) => Ok(()),
            Ok(Err(why)) => Err(why),
            Err(_) => Err(self.broken(format!(
                "no sign of life within {SIGN_MAX:?}, so nothing was asked; is its process stopped?"
            ))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content: Content,
    ) -> Result<String, ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.unreachable(&e))?;
        let answer = exchange(stream, method, path, content).await.map_err(|e| self.broken(e))?;
        let is_success = (200..300).contains(&answer.status);
        if is_success { Ok(answer.text) } else { Err(refused(&answer)) }
    }

    fn unreachable(&self, error: &std::io::Error) -> ClientError {
        let socket = self.socket.clone();
        let kind = error.kind();
        if kind == ErrorKind::NotFound {
            ClientError::NotRunning(Absence::NoSocket(socket))
        } else if kind == ErrorKind::ConnectionRefused {
            ClientError::NotRunning(Absence::Abandoned(socket))
        } else if kind == ErrorKind::PermissionDenied {
            ClientError::Forbidden(socket)
        } else {
            self.broken(error)
        }
    }

    fn broken(&self, why: impl ToString) -> ClientError {
        ClientError::Broken { socket: self.socket.clone(), why: why.to_string() }
    }
}

fn refused(Answer { status, text }: &Answer) -> ClientError {
    let (message, may_pass) = match serde_json::from_str::<ErrorBody>(text) {
        Ok(body) => (body.error, body.may_pass),
        Err(_) if text.trim().is_empty() => {
            (format!("weft answered with HTTP status {status}"), false)
        }
        Err(_) => (text.trim().to_owned(), false),
    };
    ClientError::Refused { status: *status, message, may_pass }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_is_stopped_is_told_of_soon_and_asked_nothing() {
        let dir = TempDir::new();
        let socket = dir.join("weft.sock");
        // The kernel takes streams in, and nobody reads them.
        let listener = UnixListener::bind(&socket).unwrap();
        let asked_at = Instant::now();
        let why = Client::new(&socket).form(Method::POST, "/stop", &[]).await.unwrap_err();
        assert!(asked_at.elapsed() <= SIGN_MAX + Duration::from_millis(100));
        assert!(matches!(&why, ClientError::Broken { .. }), "{why:?}");
        assert!(why.to_string().contains("no sign of life within 2s"), "{why}");
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = String::new();
        stream.read_to_string(&mut asked).await.unwrap();
        assert!(asked.starts_with("GET /ipinfo/tracker "), "{asked}");
        let more = tokio::time::timeout(Duration::from_secs(1), listener.accept()).await;
        assert!(more.is_err(), "it was asked nothing else");
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_lives_has_the_whole_time_for_its_answer() {
        let dir = TempDir::new();
        let socket = dir.join("weft.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = async {
            let (mut sign, _) = listener.accept().await.unwrap();
            sign.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            let silent = listener.accept().await.unwrap();
            std::future::pending::<()>().await;
            drop(silent);
        };
        let client = Client::new(&socket);
        let asked_at = Instant::now();
        let why = tokio::select! {
            answer = client.form(Method::POST, "/stop", &[]) => answer.unwrap_err().to_string(),
            () = server => unreachable!("it never ends"),
        };
        assert!(asked_at.elapsed() >= ANSWER_MAX);
        assert!(why.contains("no answer within 12s; what was asked may still be done"), "{why}");
    }
}
