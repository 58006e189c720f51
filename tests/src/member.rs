//! Somebody who knows the secret of a mesh and is no daemon: it says what a test wants said.

use anyhow::{Context as _, Result, bail};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};
use weft_core::addr::Universe;
use weft_core::config::{NetworkSecret, Versions};
use weft_core::gossip::Answer;
use weft_core::handshake::{Channel, Handshake, Hello, Local, Step};
use weft_core::id::{Identity, Incarnation};
use weft_core::mesh::Message;
use weft_core::sleeve::SessionIndex;

/// What a daemon may take for its part of a handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// A link with a daemon. It has no data path: no frames go this way.
#[derive(Debug)]
pub struct Member {
    /// Its keys.
    pub identity: Identity,
    /// What seals what it says.
    pub channel: Channel,
    stream: TcpStream,
}

impl Member {
    /// A link with the daemon at `to`, as the peer that follows from `seed`.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub fn join(to: SocketAddrV4, secret: &NetworkSecret, seed: [u8; 32]) -> Result<Self> {
        let identity = Identity::from_seed(seed);
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (mut handshake, first) = greeting(&identity, secret, seed);
        stream.write_all(&first)?;
        let mut buffer = [0; 4096];
        loop {
            let len = stream.read(&mut buffer).context("no answer to the handshake")?;
            let came = buffer.get(..len).unwrap_or_default();
            if came.is_empty() {
                bail!("the daemon hung up in the handshake");
            }
            match handshake.receive(came).map_err(|(fault, _)| fault)? {
                (Some(next), Step::More { send }) => {
                    stream.write_all(&send)?;
                    handshake = next;
                }
                (_, Step::Done { send, channel, hello: _ }) => {
                    stream.write_all(&send)?;
                    return Ok(Self { identity, channel, stream });
                }
                (None, Step::More { .. }) => bail!("a handshake that neither ends nor goes on"),
            }
        }
    }

    /// Says `message`, sealed.
    ///
    /// # Errors
    /// When the daemon has hung up, or takes nothing for a long time.
    pub fn say(&mut self, message: &Message) -> Result<()> {
        let sealed = self.channel.seal(&message.encode())?;
        self.write(&sealed)
    }

    /// Writes `bytes` to the stream as they are.
    ///
    /// # Errors
    /// As [`Member::say`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.set_write_timeout(Some(PATIENCE * 3))?;
        Ok(self.stream.write_all(bytes)?)
    }

    /// Hears the daemon out for `time`, and does what keeps the link up: says that it is here, and
    /// that it lacks nothing. Returns whether the link still stands.
    ///
    /// # Errors
    /// When what comes is not of this link.
    pub fn attend(&mut self, time: Duration) -> Result<bool> {
        let until = Instant::now() + time;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // No time at all would mean for ever.
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(len) => self.hear(buffer.get(..len).unwrap_or_default())?,
                Err(why) if is_timeout(why.kind()) => {
                    if left.is_zero() {
                        return Ok(true);
                    }
                }
                Err(_) => return Ok(false),
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<()> {
        let received = self.channel.receive(bytes)?;
        self.write(&received.send)?;
        for bytes in received.messages {
            match Message::decode(&bytes)? {
                Message::Heartbeat => self.say(&Message::Heartbeat)?,
                Message::Ask(_) => self.say(&Message::Answer(Answer::Same))?,
                Message::Records(_)
                | Message::Answer(_)
                | Message::Unicast(_)
                | Message::Tree(_)
                | Message::Renewal(_)
                | Message::Goodbye(_) => {}
            }
        }
        Ok(())
    }
}

/// A handshake of `identity`, and the first bytes of it. `seed` is where its chance comes from.
pub fn greeting(
    identity: &Identity,
    secret: &NetworkSecret,
    seed: [u8; 32],
) -> (Handshake, Vec<u8>) {
    let hello = Hello {
        id: identity.id(),
        name: identity.id().default_name(),
        nickname: "member".to_owned(),
        incarnation: Incarnation(1),
        universe: Universe::DEFAULT,
        lineage: None,
        sleeve_port: 6783,
        session: SessionIndex(1),
        // Any key will do: no datagram is ever sealed with it.
        session_key: identity.id().exchange_key().unwrap_or_default(),
        seals: true,
    };
    let secrets = std::slice::from_ref(secret);
    let local = Local { identity, secrets, versions: Versions::KNOWN, hello };
    Handshake::initiate(local, &mut ChaCha20Rng::from_seed(seed))
}

/// Whether an error of a read only means that nothing came.
fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
