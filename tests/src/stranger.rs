//! Strangers: who opens streams to a daemon and does not know the secret of its mesh.

use anyhow::{Context as _, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket, sockopt,
};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

/// Longest wait for the other end of a stream.
const PATIENCE: Duration = Duration::from_secs(10);

/// A stream to `to` from the address `from`, which must be this host's.
///
/// # Errors
/// When nobody listens there.
pub fn open(from: Ipv4Addr, to: SocketAddrV4) -> Result<TcpStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    // The port is chosen when it is known where to, so that a host has enough of them for each of
    // its addresses.
    nix::sys::socket::setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0)))?;
    connect(socket.as_raw_fd(), &SockaddrIn::from(to)).with_context(|| format!("from {from}"))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Opens a stream, says `bytes` and that nothing follows, and gives all that comes back until the
/// other end hangs up, too.
///
/// # Errors
/// When nobody listens there, or it does not hang up.
pub fn tell(from: Ipv4Addr, to: SocketAddrV4, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = open(from, to)?;
    // It may have hung up before all is written.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    hear_out(&mut stream)
}

/// All that comes until the other end hangs up.
///
/// # Errors
/// When it does not.
pub fn hear_out(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(why) if why.kind() == ErrorKind::WouldBlock => {
            Err(why).context("the daemon does not hang up")
        }
        // It did so without reading all that we wrote.
        Ok(_) | Err(_) => Ok(heard),
    }
}

/// Nonsense of every kind that somebody may say to a port, each with what it is.
pub fn nonsense(rng: &mut ChaCha20Rng, greeting: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut noise = |len: usize| {
        let mut bytes = vec![0; len];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    let frame = |kind: u8, len: u16, body: &[u8]| {
        let [high, low] = len.to_be_bytes();
        [&[high, low, kind][..], body].concat()
    };
    let web = b"GET / HTTP/1.1\r\nhost: weft\r\n\r\n".to_vec();
    let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &noise(500)].concat();
    let [short, long] = [17, 1 << 20].map(&mut noise);
    let body = noise(600);
    vec![
        ("a question for a web server", web),
        ("a question for a TLS server", tls),
        ("some noise", short),
        ("a mebibyte of noise", long),
        ("zeros", vec![0; 5000]),
        ("a frame of an unknown type", frame(9, 600, &body)),
        ("a handshake that is too long", frame(1, u16::MAX, &body)),
        ("a refusal that is too long", frame(2, 4097, &body)),
        ("a record that is too long", frame(3, u16::MAX, &body)),
        ("a record before any handshake", frame(3, 600, &body)),
        ("a refusal of no known kind", frame(2, 3, &[0xff; 3])),
        ("another round before the first", frame(4, 600, &body)),
        ("a handshake of noise", frame(1, 600, &body)),
        ("an empty handshake", frame(1, 0, &[])),
        ("a greeting with noise behind it", [greeting, &body].concat()),
        ("nothing", Vec::new()),
    ]
}

/// Opens `count` streams to `to`, from each address of `from` in turn, and holds them.
///
/// # Errors
/// When one is refused.
pub fn hold(from: &[Ipv4Addr], to: SocketAddrV4, count: usize) -> Result<Vec<TcpStream>> {
    from.iter().cycle().take(count).map(|from| open(*from, to)).collect()
}

/// Lets this process have as many streams as the machine allows.
///
/// # Errors
/// When these are fewer than `count`.
pub fn allow_streams(count: u64) -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    anyhow::ensure!(hard >= count, "{count} open files are needed, {hard} allowed: ulimit -n");
    Ok(())
}

/// A stream on which something is said very slowly.
#[derive(Debug)]
pub struct Drip {
    stream: TcpStream,
    opened_at: Instant,
    bytes: Vec<u8>,
    said: usize,
    /// How long the other end bore it.
    pub borne: Option<Duration>,
}

impl Drip {
    /// Opens a stream, says `at_once` of `bytes`, and the rest byte for byte.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(from: Ipv4Addr, to: SocketAddrV4, bytes: Vec<u8>, at_once: usize) -> Result<Self> {
        let mut stream = open(from, to)?;
        stream.write_all(bytes.get(..at_once).context("too few bytes")?)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, opened_at: Instant::now(), bytes, said: at_once, borne: None })
    }

    /// Says one byte more, and sees whether the other end is still there.
    pub fn fall(&mut self) {
        if self.borne.is_some() {
            return;
        }
        let next = self.bytes.get(self.said..=self.said).unwrap_or_default();
        let written = self.stream.write(next);
        self.said += 1;
        let has_hung_up = loop {
            match self.stream.read(&mut [0; 4096]) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(why) => break why.kind() != ErrorKind::WouldBlock,
            }
        };
        if has_hung_up || written.is_err() {
            self.borne = Some(self.opened_at.elapsed());
        }
    }
}
