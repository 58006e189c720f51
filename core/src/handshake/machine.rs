//! The handshake as a machine: bytes in, bytes out, until there is a channel.
//!
//! ```text
//! M1  dialer    -> "weft1" ‖ oldest (1) ‖ newest version (1) ‖ flags (1) ‖ [SPAKE2 (32)] ‖ Noise: e
//! M2  listener  -> version (1) ‖ flags (1) ‖ [SPAKE2 (32)] ‖ Noise: e, ee, s, es, [psk], payload
//! M3  dialer    -> Noise: s, se, payload
//! ```
//! Bit 0 of the flags says that the sender has a secret; the parts in brackets are there only then.
//! What is clear in M1 is the prologue of Noise; SPAKE2 binds both its elements; the payload of M2
//! repeats the version and flags in front of the [`Hello`]. So no byte can be changed unnoticed.
//! The payload of M3 is a [`Hello`].
//!
//! Who gives up sends a refusal: `code (1) ‖ oldest (1) ‖ newest version (1)`, in the clear. It only
//! helps operators: whoever can forge one can cut the link as well.

use super::frame::{self, Kind};
use super::noise::{self, KEY_LEN};
use super::{Channel, HandshakeFault, Hello};
use crate::codec;
use crate::config::{NetworkSecret, Versions, is_nickname};
use crate::id::{Identity, PeerId, PeerName};
use crate::mark::{Mark, mark};
use alloc::boxed::Box;
use alloc::vec::Vec;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use snow::HandshakeState;
use spake2::{Ed25519Group, Password, Spake2};
use zeroize::Zeroizing;

const MAGIC: &[u8; 5] = b"weft1";
const FLAG_SECRET: u8 = 1;
const ELEMENT_LEN: usize = 32;

/// Stretches a password to the secret that all peers of a mesh share.
///
/// Argon2id (RFC 9106), version 0x13, 19 MiB, two passes, one lane: OWASP's minimum, so that a
/// daemon is ready in 300 ms. SPAKE2 already keeps guesses off the wire; this matters only if that
/// falls.
pub fn stretch(password: &str) -> NetworkSecret {
    let mut secret = [0; 32];
    let outcome = argon2::Params::new(19 * 1024, 2, 1, Some(32)).and_then(|params| {
        argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
            .hash_password_into(password.as_bytes(), b"weft-1 network secret", &mut secret)
    });
    assert!(outcome.is_ok(), "a password must be shorter than 4 GiB");
    NetworkSecret(secret)
}

/// What this side brings to a handshake.
#[derive(Debug)]
pub struct Local<'a> {
    /// Our keys.
    pub identity: &'a Identity,
    /// The network secret, if any.
    pub secret: Option<&'a NetworkSecret>,
    /// What we speak.
    pub versions: Versions,
    /// What to tell the other side.
    pub hello: Hello,
}

/// A handshake under way.
pub struct Handshake {
    own: Own,
    stage: Stage,
    /// Bytes that are no whole frame yet.
    received: Vec<u8>,
}

impl core::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let stage = match self.stage {
            Stage::First => "First",
            Stage::Second(_) => "Second",
            Stage::Third(..) => "Third",
        };
        f.debug_struct("Handshake").field("stage", &stage).finish_non_exhaustive()
    }
}

struct Own {
    id: PeerId,
    exchange_secret: Zeroizing<[u8; 32]>,
    secret: Option<NetworkSecret>,
    versions: Versions,
    hello: Vec<u8>,
    rng: ChaCha20Rng,
}

/// Which message of the other side is due.
enum Stage {
    First,
    Second(Box<Second>),
    /// After this version was agreed on.
    Third(Box<HandshakeState>, u8),
}

struct Second {
    noise: Box<HandshakeState>,
    pake: Option<Pake>,
    ephemeral: Vec<u8>,
}

/// What is left of a handshake that came to an end.
struct Finished {
    noise: Box<HandshakeState>,
    version: u8,
    hello: Hello,
    send: Vec<u8>,
}

/// What a handshake wants after some bytes.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is taken apart at once"
)]
pub enum Step {
    /// Send these (maybe none) and wait for more.
    More {
        /// To send.
        send: Vec<u8>,
    },
    /// Send these (maybe none); the link is authenticated.
    Done {
        /// To send.
        send: Vec<u8>,
        /// Sealed messages from here on.
        channel: Channel,
        /// Who the other side is.
        hello: Hello,
    },
}

impl Handshake {
    /// Starts as the side that dialed; returns the first bytes to send.
    pub fn initiate(local: Local<'_>, rng: &mut ChaCha20Rng) -> (Self, Vec<u8>) {
        let mut own = Own::new(&local, rng);
        let pake = own.secret.as_ref().map(|secret| Pake::start(secret, true, &mut own.rng));
        let mut message = MAGIC.to_vec();
        message.extend([own.versions.oldest(), own.versions.newest(), own.flags()]);
        message.extend(pake.iter().flat_map(|pake| pake.element));
        let mut noise = own.noise(true, &message);
        // The first message has no secrets to fail on: with nothing sent, nothing will come back.
        let first = noise::write(&mut noise, &[]).unwrap_or_default();
        message.extend(&first);
        let ephemeral = first.iter().copied().take(KEY_LEN).collect();
        let stage = Stage::Second(Box::new(Second { noise, pake, ephemeral }));
        (Self { own, stage, received: Vec::new() }, framed(Kind::Handshake, &message))
    }

    /// Waits as the side that was dialed.
    pub fn respond(local: Local<'_>, rng: &mut ChaCha20Rng) -> Self {
        Self { own: Own::new(&local, rng), stage: Stage::First, received: Vec::new() }
    }

    /// Bytes that have arrived and are no whole message.
    pub const fn unread(&self) -> usize {
        self.received.len()
    }

    /// Takes in bytes of the stream, cut anywhere. Bytes that follow the handshake stay in the
    /// channel of [`Step::Done`], to be had from [`Channel::receive`] with no more bytes.
    ///
    /// # Errors
    /// When it cannot succeed any more; the second value is to be sent before closing, so that the
    /// other side can tell its operator why (may be empty). What the other side refuses with is not
    /// authentic: it may be shown and put off the next dial, but nothing else may depend on it.
    pub fn receive(self, bytes: &[u8]) -> Result<(Option<Self>, Step), (HandshakeFault, Vec<u8>)> {
        let versions = self.own.versions;
        self.take_in(bytes).map_err(|failure| match failure {
            Failure::Ours(fault) => {
                mark(match fault {
                    HandshakeFault::WrongPassword => Mark::HandshakeWrongPassword,
                    HandshakeFault::PasswordMissing => Mark::HandshakePasswordMissing,
                    HandshakeFault::PasswordUnexpected => Mark::HandshakePasswordUnexpected,
                    HandshakeFault::Version(..) => Mark::HandshakeVersion,
                    HandshakeFault::Myself => Mark::HandshakeMyself,
                    HandshakeFault::Malformed(_) => Mark::HandshakeMalformed,
                });
                let refusal = refusal(&fault, versions);
                (fault, refusal)
            }
            Failure::Theirs(fault) => {
                mark(Mark::HandshakeRefused);
                (fault, Vec::new())
            }
        })
    }

    fn take_in(mut self, bytes: &[u8]) -> Result<(Option<Self>, Step), Failure> {
        let mut stream = core::mem::take(&mut self.received);
        stream.extend(bytes);
        let mut left = stream.as_slice();
        let mut send = Vec::new();
        while let Some((kind, body, rest)) =
            frame::first(left).map_err(HandshakeFault::Malformed)?
        {
            left = rest;
            match kind {
                Kind::Handshake => {}
                Kind::Refusal => {
                    return Err(Failure::Theirs(refused(body, self.own.versions)));
                }
                Kind::Sealed => return Err(HandshakeFault::Malformed("a record too early").into()),
            }
            let finished = match self.stage {
                Stage::First => {
                    let (noise, version, reply) = self.own.answer_first(body)?;
                    send.extend(reply);
                    self.stage = Stage::Third(noise, version);
                    continue;
                }
                Stage::Second(second) => self.own.answer_second(*second, body)?,
                Stage::Third(noise, version) => self.own.check_third(noise, version, body)?,
            };
            send.extend(finished.send);
            let transport = finished.noise.into_transport_mode();
            let transport = transport.map_err(|_| HandshakeFault::Malformed("out of order"))?;
            let channel = Channel::new(transport, finished.version, left.to_vec());
            return Ok((None, Step::Done { send, channel, hello: finished.hello }));
        }
        self.received = left.to_vec();
        Ok((Some(self), Step::More { send }))
    }
}

/// Who found the fault; only ours is told to the other side.
enum Failure {
    Ours(HandshakeFault),
    Theirs(HandshakeFault),
}

impl From<HandshakeFault> for Failure {
    fn from(fault: HandshakeFault) -> Self {
        Self::Ours(fault)
    }
}

impl Own {
    fn new(local: &Local<'_>, rng: &mut ChaCha20Rng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self {
            id: local.identity.id(),
            exchange_secret: Zeroizing::new(local.identity.exchange_secret()),
            secret: local.secret.cloned(),
            versions: local.versions,
            hello: codec::encode(&local.hello),
            rng: ChaCha20Rng::from_seed(*seed),
        }
    }

    fn flags(&self) -> u8 {
        if self.secret.is_some() { FLAG_SECRET } else { 0 }
    }

    fn noise(&mut self, dialed: bool, prologue: &[u8]) -> Box<HandshakeState> {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let setup = noise::Setup {
            dialed,
            has_secret: self.secret.is_some(),
            exchange_secret: &self.exchange_secret,
            prologue,
            rng: ChaCha20Rng::from_seed(seed),
        };
        setup.start()
    }

    fn answer_first(
        &mut self,
        body: &[u8],
    ) -> Result<(Box<HandshakeState>, u8, Vec<u8>), HandshakeFault> {
        let (magic, rest) = chunk::<5>(body)?;
        if magic != MAGIC {
            return Err(HandshakeFault::Malformed("no greeting of weft"));
        }
        let (&[oldest, newest, flags], rest) = chunk(rest)?;
        let theirs = Versions::as_if(oldest, newest)
            .map_err(|_| HandshakeFault::Malformed("its oldest version is above its newest"))?;
        let version = self.versions.common(theirs);
        let version = version.ok_or_else(|| no_version(theirs, self.versions))?;
        self.check_flags(flags)?;
        let (element, first) = self.element(rest)?;
        let clear = body.strip_suffix(first).unwrap_or(body);
        let mut noise = self.noise(false, clear);
        if !noise::read(&mut noise, first)?.is_empty() {
            return Err(HandshakeFault::Malformed("bytes behind the first message"));
        }

        let mut message = alloc::vec![version, self.flags()];
        let mut payload = message.clone();
        payload.extend(&self.hello);
        if let Some((secret, element)) = self.secret.as_ref().zip(element) {
            let pake = Pake::start(secret, false, &mut self.rng);
            message.extend(pake.element);
            pake.finish(element, &mut noise)?;
        }
        message.extend(noise::write(&mut noise, &payload)?);
        Ok((noise, version, framed(Kind::Handshake, &message)))
    }

    fn answer_second(&self, second: Second, body: &[u8]) -> Result<Finished, HandshakeFault> {
        let Second { mut noise, pake, ephemeral } = second;
        let (head @ &[version, flags], rest) = chunk::<2>(body)?;
        if !self.versions.contains(version) {
            return Err(HandshakeFault::Malformed("it chose a version that was not offered"));
        }
        self.check_flags(flags)?;
        let (element, message) = self.element(rest)?;
        if message.starts_with(&ephemeral) {
            return Err(HandshakeFault::Malformed("our own key came back"));
        }
        if let Some((pake, element)) = pake.zip(element) {
            pake.finish(element, &mut noise)?;
        }
        let payload = noise::read(&mut noise, message).map_err(|fault| {
            // Its static key opens before the password comes in: if that much was in order, the
            // password is what differs.
            if self.secret.is_some()
                && noise.get_remote_static().is_some()
                && fault != noise::LOW_ORDER
            {
                HandshakeFault::WrongPassword
            } else {
                fault
            }
        })?;
        let (repeated, hello) = chunk::<2>(&payload)?;
        if repeated != head {
            return Err(HandshakeFault::Malformed("version or flags were changed on the way"));
        }
        let hello = self.check_hello(hello, &noise)?;
        let send = framed(Kind::Handshake, &noise::write(&mut noise, &self.hello)?);
        Ok(Finished { noise, version, hello, send })
    }

    fn check_third(
        &self,
        mut noise: Box<HandshakeState>,
        version: u8,
        body: &[u8],
    ) -> Result<Finished, HandshakeFault> {
        let payload = noise::read(&mut noise, body)?;
        let hello = self.check_hello(&payload, &noise)?;
        Ok(Finished { noise, version, hello, send: Vec::new() })
    }

    fn check_flags(&self, flags: u8) -> Result<(), HandshakeFault> {
        if flags & !FLAG_SECRET != 0 {
            return Err(HandshakeFault::Malformed("unknown flags"));
        }
        match (self.secret.is_some(), flags & FLAG_SECRET != 0) {
            (false, true) => Err(HandshakeFault::PasswordMissing),
            (true, false) => Err(HandshakeFault::PasswordUnexpected),
            (true, true) | (false, false) => Ok(()),
        }
    }

    /// The SPAKE2 element in front of `bytes`, which is there if we have a secret.
    fn element<'a>(
        &self,
        bytes: &'a [u8],
    ) -> Result<(Option<&'a [u8; ELEMENT_LEN]>, &'a [u8]), HandshakeFault> {
        if self.secret.is_none() {
            return Ok((None, bytes));
        }
        chunk(bytes).map(|(element, rest)| (Some(element), rest))
    }

    fn check_hello(&self, bytes: &[u8], noise: &HandshakeState) -> Result<Hello, HandshakeFault> {
        let hello: Hello = codec::decode_canonical(bytes)
            .map_err(|_| HandshakeFault::Malformed("a hello that does not decode"))?;
        let key = hello.id.exchange_key();
        if key.as_ref().map(<[u8; 32]>::as_slice) != noise.get_remote_static() {
            return Err(HandshakeFault::Malformed("its id is not that of its key"));
        }
        if hello.id == self.id {
            return Err(HandshakeFault::Myself);
        }
        // Else whoever knows the password could talk this side into frames in the clear.
        if hello.seals != self.secret.is_some() {
            return Err(HandshakeFault::Malformed("it seals frames other than its flags say"));
        }
        if hello.name == PeerName::default() {
            return Err(HandshakeFault::Malformed("a name of zeros"));
        }
        if !is_nickname(&hello.nickname) {
            return Err(HandshakeFault::Malformed(
                "a nickname must be 1 to 63 bytes without control characters",
            ));
        }
        Ok(hello)
    }
}

/// Our half of SPAKE2.
struct Pake {
    state: Spake2<Ed25519Group>,
    element: [u8; ELEMENT_LEN],
    /// How the crate marks the other side's element.
    their_mark: u8,
}

impl Pake {
    fn start(secret: &NetworkSecret, dialed: bool, rng: &mut ChaCha20Rng) -> Self {
        let password = Password::new(secret.0);
        let dialer = spake2::Identity::new(b"weft-1 dialer");
        let listener = spake2::Identity::new(b"weft-1 listener");
        let (state, marked) = if dialed {
            Spake2::start_a_with_rng(&password, &dialer, &listener, rng)
        } else {
            Spake2::start_b_with_rng(&password, &dialer, &listener, rng)
        };
        let mut element = [0; ELEMENT_LEN];
        for (to, from) in element.iter_mut().zip(marked.into_iter().skip(1)) {
            *to = from;
        }
        Self { state, element, their_mark: if dialed { b'B' } else { b'A' } }
    }

    /// Mixes the common key into `noise`.
    fn finish(
        self,
        theirs: &[u8; ELEMENT_LEN],
        noise: &mut HandshakeState,
    ) -> Result<(), HandshakeFault> {
        if *theirs == self.element {
            return Err(HandshakeFault::Malformed("our own element came back"));
        }
        let mut marked = alloc::vec![self.their_mark];
        marked.extend(theirs);
        let key = self.state.finish(&marked);
        let key = Zeroizing::new(key.map_err(|_| HandshakeFault::Malformed("no SPAKE2 element"))?);
        let label = Sha256::new().chain_update(b"weft-1 handshake key");
        let psk = Zeroizing::new(<[u8; 32]>::from(label.chain_update(&*key).finalize()));
        noise
            .set_psk(noise::PSK_PLACE, &*psk)
            .map_err(|_| HandshakeFault::Malformed("no room for the key"))
    }
}

fn chunk<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), HandshakeFault> {
    bytes.split_first_chunk().ok_or(HandshakeFault::Malformed("a message that is too short"))
}

fn framed(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frame::HEADER_LEN + body.len());
    frame::push_header(&mut bytes, kind, body.len());
    bytes.extend(body);
    bytes
}

/// What to tell the other side about `fault`: the code names the fault as *it* has to see it.
fn refusal(fault: &HandshakeFault, versions: Versions) -> Vec<u8> {
    let code = match fault {
        HandshakeFault::WrongPassword => 1,
        HandshakeFault::PasswordUnexpected => 2,
        HandshakeFault::PasswordMissing => 3,
        HandshakeFault::Version(..) => 4,
        HandshakeFault::Myself => 5,
        // Who breaks the rules is owed no answer.
        HandshakeFault::Malformed(_) => return Vec::new(),
    };
    framed(Kind::Refusal, &[code, versions.oldest(), versions.newest()])
}

/// The fault of two sides that speak nothing in common.
const fn no_version(theirs: Versions, ours: Versions) -> HandshakeFault {
    HandshakeFault::Version(theirs.oldest(), theirs.newest(), ours.oldest(), ours.newest())
}

/// The fault that the other side's refusal means here.
fn refused(body: &[u8], versions: Versions) -> HandshakeFault {
    match *body {
        [1, _, _] => HandshakeFault::WrongPassword,
        [2, _, _] => HandshakeFault::PasswordMissing,
        [3, _, _] => HandshakeFault::PasswordUnexpected,
        [4, oldest, newest] => {
            HandshakeFault::Version(oldest, newest, versions.oldest(), versions.newest())
        }
        [5, _, _] => HandshakeFault::Myself,
        _ => HandshakeFault::Malformed("it refused for a reason unknown to this version"),
    }
}
