//! The handshake as a machine: bytes in, bytes out, until there is a channel.
//!
//! ```text
//! M1  dialer    -> "weft1" ‖ oldest (1) ‖ newest version (1) ‖ flags (1) ‖ [SPAKE2 (32)] ‖ Noise: e
//! M2  listener  -> version (1) ‖ flags (1) ‖ [SPAKE2 (32)] ‖ Noise: e, ee, s, es, [psk], payload
//! M3  dialer    -> Noise: s, se, payload
//! ```
//! Bits 0 and 1 of the flags say which kind of secret the sender proves: 0 none, 1 a password, 2 the
//! key of a key file. SPAKE2 is there for a password only, the psk for both. What is clear in M1 is
//! the prologue of Noise; SPAKE2 binds both its elements; the payload of M2 repeats the version and
//! flags in front of the [`Hello`]. So no byte can be changed unnoticed. The payload of M3 is a
//! [`Hello`].
//!
//! One round proves one secret. Who has two, because its mesh changes from one to the other, says so
//! by bit 3 (more): in M1 that it has another one to offer, in M2 that there is another one of this
//! kind here. A dialer that cannot open M2 begins again on the same stream, with everything drawn
//! afresh: bit 2 (second) of M1 asks for the listener's other one. So a round lets an active attacker
//! test one guess of one secret, and a stream has [`ROUNDS_MAX`] of them.
//!
//! Who gives up sends a [refusal], in the clear. It only helps operators: whoever can forge one can
//! cut the link as well. Where more is to come, a refusal of the kind does not end the handshake.

use super::frame::{self, Kind};
use super::noise::{self, KEY_LEN};
use super::pake::{ELEMENT_LEN, Pake, mix_key};
use super::{HandshakeFault, Hello, refusal};
use crate::codec;
use crate::config::{NetworkSecret, SecretKind, Versions, is_nickname};
use crate::id::{Identity, PeerId, PeerName};
use crate::mark::{Mark, mark};
use alloc::boxed::Box;
use alloc::vec::Vec;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use snow::{HandshakeState, TransportState};
use zeroize::Zeroizing;

const MAGIC: &[u8; 5] = b"weft1";
/// Bits of the flags: the kind of secret.
const KIND: u8 = 0b11;
/// Bit of the flags: the listener's second secret of this kind is meant.
const SECOND: u8 = 1 << 2;
/// Bit of the flags: there is another secret.
const MORE: u8 = 1 << 3;
/// Most rounds on one stream: each of two secrets of the dialer against each of two of the listener.
const ROUNDS_MAX: u8 = 4;

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
    NetworkSecret::Password(secret)
}

/// What this side brings to a handshake.
#[derive(Debug)]
pub struct Local<'a> {
    /// Our keys.
    pub identity: &'a Identity,
    /// The network secrets, if any: at most two, the one to be tried first in front.
    pub secrets: &'a [NetworkSecret],
    /// What we speak.
    pub versions: Versions,
    /// What to tell the other side.
    pub hello: Hello,
}

/// A handshake under way.
pub(super) struct Machine {
    own: Own,
    stage: Stage,
    /// First messages so far.
    rounds: u8,
    /// Bytes that are no whole frame yet.
    received: Vec<u8>,
}

impl core::fmt::Debug for Machine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let stage = match self.stage {
            Stage::First => "First",
            Stage::Second(_) => "Second",
            Stage::Third(_) => "Third",
        };
        f.debug_struct("Handshake").field("stage", &stage).finish_non_exhaustive()
    }
}

/// What this side needs for a handshake. Kept by the channel, for the next one.
pub(super) struct Own {
    id: PeerId,
    exchange_secret: Zeroizing<[u8; 32]>,
    pub(super) secrets: Vec<NetworkSecret>,
    versions: Versions,
    hello: Vec<u8>,
    rng: ChaCha20Rng,
}

/// Which message of the other side is due.
enum Stage {
    First,
    Second(Box<Second>),
    Third(Box<Third>),
}

struct Second {
    noise: Box<HandshakeState>,
    pake: Option<Pake>,
    ephemeral: Vec<u8>,
    offer: Offer,
}

/// What a round of the dialer tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offer {
    /// Which of its secrets; one that is not there when it has none.
    ours: usize,
    /// The listener's second one of this kind, instead of its first.
    second: bool,
}

struct Third {
    noise: Box<HandshakeState>,
    /// What was chosen.
    version: u8,
    secret: Option<NetworkSecret>,
}

/// What the dialer makes of the second message.
enum Verdict {
    Finished(Box<Finished>),
    /// That round proved nothing; the next may.
    Again(Offer),
}

/// What is left of a handshake that came to an end.
struct Finished {
    noise: Box<HandshakeState>,
    version: u8,
    secret: Option<NetworkSecret>,
    hello: Hello,
    send: Vec<u8>,
}

/// What comes of some bytes.
pub(super) enum Turn {
    /// Send these (maybe none) and wait for more.
    More(Vec<u8>),
    /// Both sides have proven themselves.
    Done(Box<Ended>),
}

/// What a handshake leaves.
pub(super) struct Ended {
    /// To send (maybe nothing).
    pub(super) send: Vec<u8>,
    pub(super) transport: TransportState,
    /// The version that both sides speak.
    pub(super) version: u8,
    /// What followed the handshake.
    pub(super) left: Vec<u8>,
    /// For the next one.
    pub(super) own: Own,
    /// Whether this side began.
    pub(super) dialed: bool,
    /// What was proven.
    pub(super) secret: Option<NetworkSecret>,
    pub(super) hello: Hello,
}

impl Machine {
    /// First messages so far, each of which may have been a guess of a secret.
    pub(super) const fn rounds(&self) -> u8 {
        self.rounds
    }

    /// Whether nothing has come yet.
    pub(super) const fn is_untouched(&self) -> bool {
        self.rounds == 0 && self.received.is_empty()
    }

    /// Starts as the side that dialed; returns the first bytes to send.
    pub(super) fn begin(mut own: Own) -> (Self, Vec<u8>) {
        let (stage, message) = own.greet(Offer { ours: 0, second: false });
        let handshake = Self { own, stage, rounds: 1, received: Vec::new() };
        (handshake, frame::whole(Kind::Handshake, &message))
    }

    /// Waits as the side that was dialed.
    pub(super) const fn wait(own: Own) -> Self {
        Self { own, stage: Stage::First, rounds: 0, received: Vec::new() }
    }

    /// Bytes that have arrived and are no whole message.
    pub(super) const fn unread(&self) -> usize {
        let Self { own: _, stage: _, rounds: _, received } = self;
        received.len()
    }

    /// Takes in bytes of the stream, cut anywhere.
    ///
    /// # Errors
    /// When it cannot succeed any more; the second value is to be sent before closing (may be empty).
    pub(super) fn receive(
        self,
        bytes: &[u8],
    ) -> Result<(Option<Self>, Turn), (HandshakeFault, Vec<u8>)> {
        let versions = self.own.versions;
        self.take_in(bytes).map_err(|failure| match failure {
            Failure::Ours(fault) => {
                mark(match fault {
                    HandshakeFault::WrongPassword | HandshakeFault::WrongKey => {
                        Mark::HandshakeWrongPassword
                    }
                    HandshakeFault::Kinds { ours: None, .. } => Mark::HandshakePasswordMissing,
                    HandshakeFault::Kinds { .. } => Mark::HandshakePasswordUnexpected,
                    HandshakeFault::Version(..) => Mark::HandshakeVersion,
                    HandshakeFault::Myself | HandshakeFault::Clone => Mark::HandshakeMyself,
                    HandshakeFault::Malformed(_) => Mark::HandshakeMalformed,
                });
                let refusal = told(&fault, versions);
                (fault, refusal)
            }
            Failure::Theirs(fault) => {
                mark(Mark::HandshakeRefused);
                (fault, Vec::new())
            }
        })
    }

    fn take_in(mut self, bytes: &[u8]) -> Result<(Option<Self>, Turn), Failure> {
        let mut stream = core::mem::take(&mut self.received);
        stream.extend(bytes);
        let mut left = stream.as_slice();
        let mut send = Vec::new();
        while let Some((kind, body, rest)) =
            frame::first(left).map_err(HandshakeFault::Malformed)?
        {
            left = rest;
            let stage = core::mem::replace(&mut self.stage, Stage::First);
            let (finished, dialed) = match (kind, stage) {
                (Kind::Handshake, Stage::First) if self.rounds == 0 => {
                    send.extend(self.greeted(body)?);
                    continue;
                }
                (Kind::Again, Stage::First | Stage::Third(_))
                    if (1..ROUNDS_MAX).contains(&self.rounds) =>
                {
                    send.extend(self.greeted(body)?);
                    continue;
                }
                (Kind::Handshake, Stage::Second(second)) => {
                    match self.own.answer_second(*second, body)? {
                        Verdict::Finished(finished) => (*finished, true),
                        Verdict::Again(offer) => {
                            send.extend(self.again(offer)?);
                            continue;
                        }
                    }
                }
                (Kind::Handshake, Stage::Third(third)) => {
                    (self.own.check_third(*third, body)?, false)
                }
                (Kind::Refusal, Stage::Second(second)) => {
                    let kind = self.own.kind_of(second.offer.ours);
                    let fault = refusal::read(body, kind, self.own.versions);
                    let next = second.offer.with_next().filter(|next| self.own.has(*next));
                    match next {
                        Some(next) if matches!(fault, HandshakeFault::Kinds { .. }) => {
                            send.extend(self.again(next)?);
                            continue;
                        }
                        Some(_) | None => return Err(Failure::Theirs(fault)),
                    }
                }
                (Kind::Refusal, Stage::First | Stage::Third(_)) => {
                    let (kind, versions) = (self.own.kind_of(0), self.own.versions);
                    return Err(Failure::Theirs(refusal::read(body, kind, versions)));
                }
                (Kind::Sealed, _) => {
                    return Err(HandshakeFault::Malformed("a record too early").into());
                }
                (Kind::Handshake | Kind::Again, _) => {
                    return Err(HandshakeFault::Malformed("a message out of turn").into());
                }
            };
            send.extend(finished.send);
            let transport = finished.noise.into_transport_mode();
            let transport = transport.map_err(|_| HandshakeFault::Malformed("out of order"))?;
            let ended = Ended {
                send,
                transport,
                version: finished.version,
                left: left.to_vec(),
                own: self.own,
                dialed,
                secret: finished.secret,
                hello: finished.hello,
            };
            return Ok((None, Turn::Done(Box::new(ended))));
        }
        self.received = left.to_vec();
        Ok((Some(self), Turn::More(send)))
    }

    /// Begins another round; the bytes to send.
    fn again(&mut self, offer: Offer) -> Result<Vec<u8>, HandshakeFault> {
        if self.rounds >= ROUNDS_MAX {
            return Err(HandshakeFault::Malformed("it has more secrets than there may be"));
        }
        self.rounds += 1;
        let (stage, message) = self.own.greet(offer);
        self.stage = stage;
        Ok(frame::whole(Kind::Again, &message))
    }

    /// Takes in a first message; the bytes to send.
    fn greeted(&mut self, body: &[u8]) -> Result<Vec<u8>, HandshakeFault> {
        self.rounds += 1;
        let greeting = Greeting::read(body, self.own.versions)?;
        match self.own.answer_first(&greeting) {
            Ok((third, reply)) => {
                self.stage = Stage::Third(Box::new(third));
                Ok(reply)
            }
            Err(fault @ HandshakeFault::Kinds { .. })
                if greeting.flags & MORE != 0 && self.rounds < ROUNDS_MAX =>
            {
                Ok(told(&fault, self.own.versions))
            }
            Err(fault) => Err(fault),
        }
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

/// A first message, as far as it is clear.
struct Greeting<'a> {
    /// The highest version that both sides speak.
    version: u8,
    flags: u8,
    element: Option<&'a [u8; ELEMENT_LEN]>,
    /// All but the message of Noise.
    clear: &'a [u8],
    noise: &'a [u8],
}

impl<'a> Greeting<'a> {
    /// What `body` says to a speaker of `ours`.
    fn read(body: &'a [u8], ours: Versions) -> Result<Self, HandshakeFault> {
        let (magic, rest) = chunk::<5>(body)?;
        if magic != MAGIC {
            return Err(HandshakeFault::Malformed("no greeting of weft"));
        }
        let (&[oldest, newest, flags], rest) = chunk(rest)?;
        let theirs = Versions::as_if(oldest, newest)
            .map_err(|_| HandshakeFault::Malformed("its oldest version is above its newest"))?;
        let version = ours.common(theirs).ok_or_else(|| refusal::no_version(theirs, ours))?;
        if flags & !(KIND | SECOND | MORE) != 0 {
            return Err(HandshakeFault::Malformed("unknown flags"));
        }
        let (element, noise) = element(kind_in(flags)?, rest)?;
        let clear = body.strip_suffix(noise).unwrap_or(body);
        Ok(Self { version, flags, element, clear, noise })
    }
}

impl Offer {
    /// The next of our secrets.
    const fn with_next(self) -> Option<Self> {
        match self.ours.checked_add(1) {
            Some(ours) => Some(Self { ours, second: false }),
            None => None,
        }
    }
}

impl Own {
    pub(super) fn new(local: &Local<'_>, rng: &mut ChaCha20Rng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self {
            id: local.identity.id(),
            exchange_secret: Zeroizing::new(local.identity.exchange_secret()),
            secrets: local.secrets.to_vec(),
            versions: local.versions,
            hello: codec::encode(&local.hello),
            rng: ChaCha20Rng::from_seed(*seed),
        }
    }

    /// The same for another handshake, with chance of its own.
    pub(super) fn fork(&mut self) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        self.rng.fill_bytes(&mut *seed);
        Self {
            id: self.id,
            exchange_secret: self.exchange_secret.clone(),
            secrets: self.secrets.clone(),
            versions: self.versions,
            hello: self.hello.clone(),
            rng: ChaCha20Rng::from_seed(*seed),
        }
    }

    fn kind_of(&self, ours: usize) -> Option<SecretKind> {
        self.secrets.get(ours).map(NetworkSecret::kind)
    }

    /// Whether there is a secret for `offer`.
    const fn has(&self, offer: Offer) -> bool {
        offer.ours < self.secrets.len()
    }

    fn noise(&mut self, dialed: bool, has_secret: bool, prologue: &[u8]) -> Box<HandshakeState> {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let setup = noise::Setup {
            dialed,
            has_secret,
            exchange_secret: &self.exchange_secret,
            prologue,
            rng: ChaCha20Rng::from_seed(seed),
        };
        setup.start()
    }

    fn pake(&mut self, secret: Option<&NetworkSecret>, dialed: bool) -> Option<Pake> {
        match secret {
            Some(NetworkSecret::Password(password)) => {
                Some(Pake::start(password, dialed, &mut self.rng))
            }
            Some(NetworkSecret::Key(_)) | None => None,
        }
    }

    /// The first message of a round, and the stage after it.
    fn greet(&mut self, offer: Offer) -> (Stage, Vec<u8>) {
        let secret = self.secrets.get(offer.ours).cloned();
        let pake = self.pake(secret.as_ref(), true);
        let mut flags = bits_of(secret.as_ref());
        if offer.second {
            flags |= SECOND;
        }
        if offer.with_next().is_some_and(|next| self.has(next)) {
            flags |= MORE;
        }
        let mut message = MAGIC.to_vec();
        message.extend([self.versions.oldest(), self.versions.newest(), flags]);
        message.extend(pake.iter().flat_map(|pake| pake.element));
        let mut noise = self.noise(true, secret.is_some(), &message);
        // The first message has no secrets to fail on: with nothing sent, nothing will come back.
        let first = noise::write(&mut noise, &[]).unwrap_or_default();
        message.extend(&first);
        let ephemeral = first.iter().copied().take(KEY_LEN).collect();
        (Stage::Second(Box::new(Second { noise, pake, ephemeral, offer })), message)
    }

    fn answer_first(
        &mut self,
        greeting: &Greeting<'_>,
    ) -> Result<(Third, Vec<u8>), HandshakeFault> {
        let theirs = kind_in(greeting.flags)?;
        let mut fitting = self.secrets.iter().filter(|secret| Some(secret.kind()) == theirs);
        let place = usize::from(greeting.flags & SECOND != 0);
        let secret = fitting.nth(place).cloned();
        let has_more = fitting.next().is_some();
        if secret.is_none() && (theirs.is_some() || !self.secrets.is_empty()) {
            return Err(if place == 0 {
                HandshakeFault::Kinds { ours: self.kind_of(0), theirs }
            } else {
                HandshakeFault::Malformed("it asks for a secret that was not offered")
            });
        }
        let mut noise = self.noise(false, secret.is_some(), greeting.clear);
        if !noise::read(&mut noise, greeting.noise)?.is_empty() {
            return Err(HandshakeFault::Malformed("bytes behind the first message"));
        }
        let flags = bits_of(secret.as_ref()) | if has_more { MORE } else { 0 };
        let mut message = alloc::vec![greeting.version, flags];
        let mut payload = message.clone();
        payload.extend(&self.hello);
        let pake = self.pake(secret.as_ref(), false);
        message.extend(pake.iter().flat_map(|pake| pake.element));
        mix_in(secret.as_ref(), pake.zip(greeting.element), &mut noise)?;
        message.extend(noise::write(&mut noise, &payload)?);
        Ok((
            Third { noise, version: greeting.version, secret },
            frame::whole(Kind::Handshake, &message),
        ))
    }

    fn answer_second(&self, second: Second, body: &[u8]) -> Result<Verdict, HandshakeFault> {
        let Second { mut noise, pake, ephemeral, offer } = second;
        let secret = self.secrets.get(offer.ours);
        let (head @ &[version, flags], rest) = chunk::<2>(body)?;
        if !self.versions.contains(version) {
            return Err(HandshakeFault::Malformed("it chose a version that was not offered"));
        }
        if flags & !MORE != bits_of(secret) {
            return Err(HandshakeFault::Malformed("it answers for another kind of secret"));
        }
        let (element, message) = element(secret.map(NetworkSecret::kind), rest)?;
        if message.starts_with(&ephemeral) {
            return Err(HandshakeFault::Malformed("our own key came back"));
        }
        mix_in(secret, pake.zip(element), &mut noise)?;
        let payload = match (noise::read(&mut noise, message), secret) {
            (Ok(payload), _) => payload,
            // Its static key opens before the secret comes in: if that much was in order, the
            // secret is what differs.
            (Err(fault), Some(secret))
                if noise.get_remote_static().is_some() && fault != noise::LOW_ORDER =>
            {
                let theirs = Offer { second: true, ..offer };
                if flags & MORE != 0 && !offer.second {
                    return Ok(Verdict::Again(theirs));
                }
                return match offer.with_next().filter(|next| self.has(*next)) {
                    Some(next) => Ok(Verdict::Again(next)),
                    None => Err(match secret.kind() {
                        SecretKind::Password => HandshakeFault::WrongPassword,
                        SecretKind::Key => HandshakeFault::WrongKey,
                    }),
                };
            }
            (Err(fault), _) => return Err(fault),
        };
        let (repeated, hello) = chunk::<2>(&payload)?;
        if repeated != head {
            return Err(HandshakeFault::Malformed("version or flags were changed on the way"));
        }
        let hello = self.check_hello(hello, &noise)?;
        let send = frame::whole(Kind::Handshake, &noise::write(&mut noise, &self.hello)?);
        let secret = secret.cloned();
        Ok(Verdict::Finished(Box::new(Finished { noise, version, secret, hello, send })))
    }

    fn check_third(&self, third: Third, body: &[u8]) -> Result<Finished, HandshakeFault> {
        let Third { mut noise, version, secret } = third;
        let payload = noise::read(&mut noise, body)?;
        let hello = self.check_hello(&payload, &noise)?;
        Ok(Finished { noise, version, secret, hello, send: Vec::new() })
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
        if hello.seals == self.secrets.is_empty() {
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

/// What the flags say of a secret.
const fn bits_of(secret: Option<&NetworkSecret>) -> u8 {
    match secret {
        None => 0,
        Some(NetworkSecret::Password(_)) => 1,
        Some(NetworkSecret::Key(_)) => 2,
    }
}

const fn kind_in(flags: u8) -> Result<Option<SecretKind>, HandshakeFault> {
    match flags & KIND {
        0 => Ok(None),
        1 => Ok(Some(SecretKind::Password)),
        2 => Ok(Some(SecretKind::Key)),
        _ => Err(HandshakeFault::Malformed("unknown flags")),
    }
}

/// What `bytes` begin with where a password is proven: an element of SPAKE2; and the rest.
fn element(
    kind: Option<SecretKind>,
    bytes: &[u8],
) -> Result<(Option<&[u8; ELEMENT_LEN]>, &[u8]), HandshakeFault> {
    match kind {
        Some(SecretKind::Password) => chunk(bytes).map(|(element, rest)| (Some(element), rest)),
        Some(SecretKind::Key) | None => Ok((None, bytes)),
    }
}

/// Mixes what a secret came to into `noise`.
fn mix_in(
    secret: Option<&NetworkSecret>,
    pake: Option<(Pake, &[u8; ELEMENT_LEN])>,
    noise: &mut HandshakeState,
) -> Result<(), HandshakeFault> {
    match (secret, pake) {
        (Some(NetworkSecret::Key(key)), _) => mix_key(key, noise),
        (_, Some((pake, element))) => pake.finish(element, noise),
        (Some(NetworkSecret::Password(_)) | None, None) => Ok(()),
    }
}

fn chunk<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), HandshakeFault> {
    bytes.split_first_chunk().ok_or(HandshakeFault::Malformed("a message that is too short"))
}

/// The frame by which a speaker of `versions` tells the other side of `fault`; nothing when it is owed
/// no answer.
pub fn told(fault: &HandshakeFault, versions: Versions) -> Vec<u8> {
    match refusal::of(fault, versions) {
        body if body.is_empty() => Vec::new(),
        body => frame::whole(Kind::Refusal, &body),
    }
}
