//! A client of a daemon's API whose stream stays open between requests: what is measured with it is
//! what the daemon takes, without a process and a stream for each command.

use anyhow::{Context as _, Result, bail};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the daemon said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// All of it.
    pub body: String,
}

impl Answer {
    /// The body.
    ///
    /// # Errors
    /// When it is a refusal.
    pub fn ok(self) -> Result<String> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        bail!("refused with {}: {}", self.status, self.body)
    }
}

/// One stream to one daemon, opened when it is wanted and again after it broke.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    patience: Duration,
    stream: Option<BufReader<UnixStream>>,
}

impl Client {
    /// For the daemon that listens on `socket`; no answer takes longer than `patience`.
    pub fn new(socket: PathBuf, patience: Duration) -> Self {
        Self { socket, patience, stream: None }
    }

    /// Sends a request without a body, and waits for the answer.
    ///
    /// # Errors
    /// When the daemon cannot be reached, hangs up, or does not answer in time: then what was asked
    /// for may have been done, and the next request has a stream of its own.
    pub fn ask(&mut self, method: &str, path: &str) -> io::Result<Answer> {
        self.ask_with(method, path, "")
    }

    /// As [`Client::ask`], with a body.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_with(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => opened(&self.socket, self.patience)?,
        };
        let length = body.len();
        write!(
            stream.get_mut(),
            "{method} {path} HTTP/1.1\r\nhost: weft\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
        let answer = read(&mut stream)?;
        self.stream = Some(stream);
        Ok(answer)
    }

    /// As [`Client::ask`], where all must go well.
    ///
    /// # Errors
    /// When it does not.
    pub fn get_done(&mut self, method: &str, path: &str) -> Result<String> {
        let answer = self.ask(method, path).with_context(|| format!("{method} {path}"))?;
        answer.ok().with_context(|| format!("{method} {path}"))
    }
}

fn opened(socket: &Path, patience: Duration) -> io::Result<BufReader<UnixStream>> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(BufReader::new(stream))
}

/// One answer. The API says how long each of its bodies is.
fn read(stream: &mut BufReader<UnixStream>) -> io::Result<Answer> {
    let wrong = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
    let first = line(stream)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| wrong("no status"))?;
    let mut len = 0;
    loop {
        let header = line(stream)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').ok_or_else(|| wrong("no header"))?;
        if name.eq_ignore_ascii_case("content-length") {
            len = value.trim().parse().map_err(|_| wrong("no length"))?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(wrong("a body in chunks"));
        }
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    let body = String::from_utf8(body).map_err(|_| wrong("no text"))?;
    Ok(Answer { status, body })
}

fn line(stream: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A client of somebody who answers `script`, and hangs up after it.
    fn told(script: &'static str) -> (Client, std::thread::JoinHandle<()>, PathBuf) {
        let name = format!("weft-client-{}-{}", std::process::id(), script.len());
        let socket = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&socket).unwrap();
        let answers = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(script.as_bytes()).unwrap();
            let mut rest = Vec::new();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream.read_to_end(&mut rest).unwrap();
        });
        (Client::new(socket.clone(), Duration::from_secs(5)), answers, socket)
    }

    #[test]
    fn one_stream_carries_many_answers_and_its_end_is_an_error() {
        let (mut client, answers, socket) = told(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx: y\r\n\r\nabc\
             HTTP/1.1 204 No Content\r\n\r\n\
             HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno",
        );
        let answer = |status, body: &str| Answer { status, body: body.to_owned() };
        assert_eq!(client.ask("GET", "/").unwrap(), answer(200, "abc"));
        assert_eq!(client.ask("GET", "/").unwrap(), answer(204, ""));
        assert!(client.ask("GET", "/").unwrap().ok().is_err());
        assert!(client.ask("GET", "/").is_err());
        answers.join().unwrap();
        std::fs::remove_file(socket).unwrap();
    }
}
