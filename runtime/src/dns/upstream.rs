//! The host's name servers: which they are, and asking them.

use super::forward::{self, Forward};
use hickory_proto::op::Message;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

/// A question is given up after this long, however many servers there are.
const ASK_MAX: Duration = Duration::from_secs(5);

/// Servers that are read from the file. Source: resolv.conf(5) has three.
const SERVERS_MAX: usize = 8;

/// The host's name servers, as its resolv.conf lists them at the moment.
#[derive(Debug)]
pub struct Upstreams {
    file: PathBuf,
    port: u16,
    forwards: Vec<Forward>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    read_at: Option<(SystemTime, u64)>,
    servers: Vec<IpAddr>,
    own: BTreeSet<SocketAddr>,
}

impl Upstreams {
    /// The servers listed in `file`, asked at `port`; those in `forwards` for names of their domains.
    pub fn new(file: PathBuf, port: u16, forwards: Vec<Forward>) -> Self {
        Self { file, port, forwards, state: Mutex::default() }
    }

    /// Who is asked for `name`, which is in lower case, without the final dot; in order.
    pub(super) fn servers_for(&self, name: &str) -> Vec<SocketAddr> {
        let theirs = forward::servers_of(&self.forwards, name);
        if theirs.is_empty() {
            self.servers().into_iter().map(|server| SocketAddr::new(server, self.port)).collect()
        } else {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            theirs.into_iter().filter(|server| !state.own.contains(server)).collect()
        }
    }

    /// Never asks `own`: that would be ourselves.
    pub fn exclude(&self, own: SocketAddr) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).own.insert(own);
    }

    /// The servers in order; the file is read again when it has changed.
    pub fn servers(&self) -> Vec<IpAddr> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp =
            std::fs::metadata(&self.file).and_then(|meta| Ok((meta.modified()?, meta.len()))).ok();
        if stamp.is_none() || state.read_at != stamp {
            let text = std::fs::read_to_string(&self.file).unwrap_or_default();
            let (servers, others) = parse(&text);
            if !others.is_empty() && stamp.is_some() {
                let file = self.file.display();
                tracing::warn!(%file, ?others, "name servers that are no address, or have a zone such as %eth0, are not asked");
            }
            state.servers = servers;
            state.read_at = stamp;
        }
        let is_own = |server: &&IpAddr| state.own.contains(&SocketAddr::new(**server, self.port));
        state.servers.iter().filter(|server| !is_own(server)).copied().collect()
    }

    /// Asks one of `servers` after the other, in the same transport as we were asked. Returns the first
    /// answer, but goes on after one that says that the server itself failed. It has another id than
    /// `question`.
    ///
    /// # Errors
    /// When there is no server, or none answered in time.
    pub async fn ask(
        servers: &[SocketAddr],
        question: &[u8],
        over_tcp: bool,
    ) -> io::Result<Message> {
        let started = Instant::now();
        let mut last = Err(io::Error::new(io::ErrorKind::NotFound, "no name server is configured"));
        for (index, server) in servers.iter().enumerate() {
            let (to, question) = (*server, &with_drawn_id(question)?);
            let left = ASK_MAX.saturating_sub(started.elapsed());
            let share = left / u32::try_from(servers.len() - index).unwrap_or(u32::MAX);
            let asked = async {
                if over_tcp { ask_tcp(to, question).await } else { ask_udp(to, question).await }
            };
            last = match timeout(share, asked).await {
                Ok(Ok(answer)) => {
                    use hickory_proto::op::ResponseCode::{NotImp, Refused, ServFail};
                    let failed =
                        matches!(answer.metadata.response_code, ServFail | Refused | NotImp);
                    if !failed {
                        return Ok(answer);
                    }
                    Ok(answer)
                }
                // An answer that says little beats none.
                Ok(Err(why)) => last.or(Err(why)),
                Err(_) => last.map_err(|_| io::ErrorKind::TimedOut.into()),
            };
        }
        last
    }
}

/// The message `question` with another id. The client's would be known to who sent the client a page with
/// many names, and wants to answer in the server's place (RFC 5452 section 4.3).
fn with_drawn_id(question: &[u8]) -> io::Result<Vec<u8>> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    Ok(id.iter().chain(question.iter().skip(id.len())).copied().collect())
}

/// The name servers, each once, and what stands in the place of one and is none.
fn parse(resolv_conf: &str) -> (Vec<IpAddr>, Vec<&str>) {
    let (mut servers, mut others) = (Vec::new(), Vec::new());
    for line in resolv_conf.lines() {
        let mut words = line.split_whitespace();
        if let (Some("nameserver"), Some(word)) = (words.next(), words.next()) {
            match word.parse() {
                Ok(server) if servers.contains(&server) => {}
                Ok(server) => servers.push(server),
                Err(_) => others.push(word),
            }
        }
    }
    servers.truncate(SERVERS_MAX);
    (servers, others)
}

async fn ask_udp(to: SocketAddr, question: &[u8]) -> io::Result<Message> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A port of its own for each question makes forged answers hard (RFC 5452).
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let len = socket.recv(&mut buffer).await?;
        if let Some(answer) = matching(question, buffer.get(..len).unwrap_or_default()) {
            return Ok(answer);
        }
    }
}

async fn ask_tcp(to: SocketAddr, question: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(to).await?;
    let len = u16::try_from(question.len()).map_err(io::Error::other)?;
    let framed: Vec<u8> = len.to_be_bytes().iter().chain(question).copied().collect();
    stream.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    matching(question, &answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an answer to the question"))
}

/// The message in `bytes`, when it answers `question`.
fn matching(question: &[u8], bytes: &[u8]) -> Option<Message> {
    let asked = Message::from_vec(question).ok()?;
    let answer = Message::from_vec(bytes).ok()?;
    let is_answer = answer.metadata.message_type == hickory_proto::op::MessageType::Response
        && answer.metadata.id == asked.metadata.id
        && (answer.queries == asked.queries || answer.queries.is_empty());
    is_answer.then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn servers_follow_the_file_and_never_include_ourselves() {
        let dir = TempDir::new();
        let file = dir.join("resolv.conf");
        let forwards = ["a=10.32.0.1", "b=10.32.0.1:54"].map(|text| text.parse().unwrap());
        let upstreams = Upstreams::new(file.clone(), 53, forwards.to_vec());
        assert_eq!(upstreams.servers(), [] as [IpAddr; 0]);
        std::fs::write(&file, "search a\nnameserver 192.0.2.1 # x\nnameserver fe80::1%e\n")
            .unwrap();
        let first: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(upstreams.servers(), [first]);
        assert_eq!(parse("nameserver fe80::1%e\nnameserver ::1\n").1, ["fe80::1%e"]);
        let own: SocketAddr = "10.32.0.1:53".parse().unwrap();
        std::fs::write(
            &file,
            "nameserver 10.32.0.1\nnameserver 2001:db8::1\nnameserver 192.0.2.1\n",
        )
        .unwrap();
        upstreams.exclude(own);
        assert_eq!(upstreams.servers(), ["2001:db8::1".parse().unwrap(), first]);
        // At another port there is somebody else.
        upstreams.exclude(SocketAddr::new(first, 5353));
        assert_eq!(upstreams.servers().len(), 2);
        assert_eq!(
            (upstreams.servers_for("x.a").len(), upstreams.servers_for("x.b").len()),
            (0, 1)
        );
    }
}
