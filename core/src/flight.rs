//! Flight recordings: all that a node was told since its start, as bytes, so that the same run can
//! be had again somewhere else ([`crate`], point 9 of the contract).
//!
//! ```text
//! recording  "weft flight " ‖ format, in decimal ‖ "\n" ‖ entry ‖ entry ‖ …
//! entry      length (4) ‖ check of the length (4) ‖ Entry in postcard ‖ check of all (8)
//! ```
//! Lengths are little-endian. A check is the head of a SHA-256 over the check of the entry before
//! and what it is of, so a changed byte is found where it stands. Each input stands ahead of what
//! came of it: a call that never returned is the last one.
//!
//! Of outputs only fingerprints are kept. What must stay secret (the seed, the network's secrets,
//! the saved state with the identity) is sealed under a [`FlightKey`], which is kept elsewhere.
//! Bytes of peers are there as they came, sealed by the handshake.
//!
//! A recording ends when it is full: it must begin where the node began, since the state of a node
//! that runs cannot be written down.

use crate::codec;
use crate::config::{Config, NetworkSecret};
use crate::forward::ForwardingChange;
use crate::io::{Command, Input, Output};
use crate::node::Seed;
use crate::saved::{Saved, Slot};
use crate::time::Now;
use crate::trust::Trust;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use crypto_box::aead::AeadInPlace;
use crypto_box::{ChaChaBox, Nonce, SecretKey, Tag};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The format that is written and read. Another one whenever [`Entry`] or anything in it is encoded
/// otherwise than before, so that a recording is not taken for a damaged one.
pub const FORMAT: u32 = 5;
/// The first bytes of a recording, by which it is known as one. Its format follows.
pub const MAGIC: &[u8] = b"weft flight ";
/// Most digits of a format.
const DIGITS_MAX: usize = 10;
/// Bytes of an entry besides its body.
const FRAME_LEN: usize = 4 + 4 + 8;
/// What the last entry of a recording that is full takes.
const FULL_LEN: usize = FRAME_LEN + 1;

/// Opens what is sealed in one recording. It must not be used for a second one.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct FlightKey(pub [u8; 32]);

impl core::fmt::Debug for FlightKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("FlightKey(..)")
    }
}

impl FlightKey {
    /// A box from ourselves to ourselves: what only who has the key can make or open.
    fn cipher(&self) -> ChaChaBox {
        let secret = SecretKey::from(self.0);
        ChaChaBox::new(&secret.public_key(), &secret)
    }

    /// The nonce of the `n`th thing that is sealed: a key seals one recording only, so each is used
    /// once.
    fn nonce(n: u64) -> Nonce {
        let mut nonce = Nonce::default();
        for (to, from) in nonce.iter_mut().zip(n.to_le_bytes()) {
            *to = from;
        }
        nonce
    }

    fn seal(&self, n: u64, value: &impl Serialize) -> Vec<u8> {
        let mut plain = Zeroizing::new(codec::encode(value));
        let tag = self.cipher().encrypt_in_place_detached(&Self::nonce(n), &[], &mut plain);
        let mut sealed = plain.to_vec();
        // ChaCha20 ends at 256 GiB, where nothing that is sealed here comes to.
        sealed.extend(tag.unwrap_or_default());
        sealed
    }

    fn open<T: for<'a> Deserialize<'a>>(&self, n: u64, sealed: &[u8]) -> Result<T, FlightError> {
        let (body, tag) = sealed.split_last_chunk::<16>().ok_or(FlightError::WrongKey)?;
        let mut plain = Zeroizing::new(body.to_vec());
        self.cipher()
            .decrypt_in_place_detached(&Self::nonce(n), &[], &mut plain, Tag::from_slice(tag))
            .map_err(|_| FlightError::WrongKey)?;
        codec::decode(&plain).map_err(|_| FlightError::WrongKey)
    }
}

/// What one output was: equal for equal outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputPrint([u8; 8]);

impl OutputPrint {
    /// That of `output`.
    pub fn of(output: &Output) -> Self {
        // The kind goes first: different outputs may have equal parts.
        let bytes = Zeroizing::new(match output {
            Output::Dial { conn, target } => codec::encode(&(0u8, conn, target)),
            Output::Write { conn, bytes } => codec::encode(&(1u8, conn, bytes)),
            Output::Close { conn } => codec::encode(&(2u8, conn)),
            Output::Datagram { to, bytes } => codec::encode(&(3u8, to, bytes)),
            Output::Persist(changes) => codec::encode(&(4u8, changes)),
            Output::Forwarding(change) => match change {
                ForwardingChange::SessionUp { session, remote, peer, is_link, keys, to } => {
                    let keys = (keys.ours, keys.theirs, keys.dialed, keys.sealed);
                    codec::encode(&(5u8, session, remote, peer, is_link, keys, to))
                }
                ForwardingChange::SessionMoved { session, to } => {
                    codec::encode(&(6u8, session, to))
                }
                ForwardingChange::SessionDown { session } => codec::encode(&(7u8, session)),
                ForwardingChange::Routes(routes) => codec::encode(&(8u8, routes)),
                ForwardingChange::Direct { peer, session } => codec::encode(&(11u8, peer, session)),
            },
            Output::Reply { request, result } => codec::encode(&(9u8, request, result)),
            Output::Event(event) => codec::encode(&(10u8, event)),
        });
        Self(head(Sha256::new().chain_update(&*bytes)))
    }
}

/// One thing that is written down.
#[derive(Debug, Serialize, Deserialize)]
enum Entry {
    /// The node is made. `sealed` is [`Secrets`].
    Start { version: String, now: Now, config: Box<Config>, sealed: Vec<u8> },
    /// It is told something.
    Input { now: Now, input: Input },
    /// What came of that.
    Outputs(Vec<OutputPrint>),
    /// The rest was not recorded.
    Full,
    /// It is told something secret. `sealed` is [`Input`].
    Secret { now: Now, sealed: Vec<u8> },
}

#[derive(Serialize, Deserialize)]
struct Secrets {
    seed: [u8; 32],
    network: [Option<NetworkSecret>; 2],
    saved: BTreeMap<Slot, Vec<u8>>,
}

/// Writes a recording: each call returns the bytes to append, none once it is full.
#[derive(Debug)]
pub struct Recorder {
    key: FlightKey,
    /// How much was sealed.
    seals: u64,
    check: [u8; 8],
    left: usize,
    is_full: bool,
}

impl Recorder {
    /// A recording of at most `len_max` bytes of a node that is about to be made.
    pub fn start(
        len_max: usize,
        key: &FlightKey,
        now: Now,
        (config, saved, seed): (&Config, &Saved, &Seed),
    ) -> (Self, Vec<u8>) {
        let network = [config.secret.clone(), config.old_secret.clone()];
        let secrets = Secrets { seed: seed.0, network, saved: saved.slots.clone() };
        let sealed = key.seal(0, &secrets);
        let key = key.clone();
        let mut recorder = Self { key, seals: 1, check: [0; 8], left: len_max, is_full: false };
        let header = [MAGIC, FORMAT.to_string().as_bytes(), b"\n"].concat();
        recorder.left = recorder.left.saturating_sub(header.len());
        let (version, config) = (env!("CARGO_PKG_VERSION").to_string(), Box::new(config.clone()));
        let entry = recorder.entry(&Entry::Start { version, now, config, sealed });
        (recorder, [header, entry].concat())
    }

    /// The node is about to be told `input`.
    pub fn input(&mut self, now: Now, input: &Input) -> Vec<u8> {
        if self.is_full {
            return Vec::new();
        }
        if let Input::Command { command: Command::Trust(Trust::AddSecret { .. }), .. } = input {
            let sealed = self.key.seal(self.seals, input);
            self.seals += 1;
            return self.entry(&Entry::Secret { now, sealed });
        }
        self.entry(&Entry::Input { now, input: input.clone() })
    }

    /// It has been made, or has taken the input; these are its outputs.
    pub fn outputs(&mut self, outputs: &[Output]) -> Vec<u8> {
        if self.is_full {
            return Vec::new();
        }
        self.entry(&Entry::Outputs(outputs.iter().map(OutputPrint::of).collect()))
    }

    /// Whether nothing more is recorded.
    pub const fn is_full(&self) -> bool {
        self.is_full
    }

    fn entry(&mut self, entry: &Entry) -> Vec<u8> {
        let body = codec::encode(entry);
        if let Some(left) = self.left.checked_sub(FRAME_LEN + body.len())
            && left >= FULL_LEN
            && let Ok(len) = u32::try_from(body.len())
        {
            self.left = left;
            return self.framed(len, &body);
        }
        self.is_full = true;
        let body = codec::encode(&Entry::Full);
        self.framed(1, &body)
    }

    fn framed(&mut self, len: u32, body: &[u8]) -> Vec<u8> {
        let len = len.to_le_bytes();
        let first: [u8; 4] = length_check(self.check, len);
        self.check = body_check(self.check, len, body);
        [&len[..], &first, body, &self.check].concat()
    }
}

fn length_check(before: [u8; 8], len: [u8; 4]) -> [u8; 4] {
    head(Sha256::new().chain_update(before).chain_update(len))
}

fn body_check(before: [u8; 8], len: [u8; 4], body: &[u8]) -> [u8; 8] {
    head(
        Sha256::new()
            .chain_update(b"body")
            .chain_update(before)
            .chain_update(len)
            .chain_update(body),
    )
}

/// The first bytes of a digest.
fn head<const N: usize>(digest: Sha256) -> [u8; N] {
    let mut head = [0; N];
    for (to, from) in head.iter_mut().zip(digest.finalize()) {
        *to = from;
    }
    head
}

/// Why bytes are no recording that can be run again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlightError {
    /// They begin otherwise.
    #[error("this is no recording of weft")]
    NotARecording,
    /// Written in a way that is not read here.
    #[error(
        "this recording has format {0} and only format {FORMAT} can be read here: replay it with the `sim` of the weft that recorded it"
    )]
    OtherFormat(u32),
    /// The start is not there.
    #[error("the recording ends before the node was made")]
    NoStart,
    /// A byte was changed.
    #[error("the recording is damaged in the entry at byte {0}")]
    Damaged(usize),
    /// Each byte is as it was written, and makes no sense.
    #[error(
        "the entry at byte {0} is whole, but cannot be read here: replay it with the `sim` of the weft that recorded it"
    )]
    Unreadable(usize),
    /// An entry where it may not be.
    #[error("the entry at byte {0} is out of order")]
    OutOfOrder(usize),
    /// The key is another one's.
    #[error("this is not the key of this recording")]
    WrongKey,
}

/// How a node was made.
#[derive(Debug)]
pub struct Takeoff {
    /// The version of weft that recorded.
    pub version: String,
    /// When.
    pub now: Now,
    /// With which settings.
    pub config: Config,
    /// From what.
    pub saved: Saved,
    /// And from what.
    pub seed: Seed,
    /// What it put out; `None` when it never was made.
    pub outputs: Option<Vec<OutputPrint>>,
}

/// One call of a node.
#[derive(Debug)]
pub struct Call {
    /// When.
    pub now: Now,
    /// With what.
    pub input: Input,
    /// What came of it; `None` when it did not return, or the recording ends there.
    pub outputs: Option<Vec<OutputPrint>>,
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Behind the last entry.
    Whole,
    /// In the middle of an entry: whoever wrote it was cut off.
    Cut,
    /// It was full; the node went on.
    Full,
}

/// A recording that is read.
#[derive(Debug)]
pub struct Flight {
    /// How it begins.
    pub takeoff: Takeoff,
    /// What follows.
    pub calls: Vec<Call>,
    /// How it ends.
    pub end: End,
}

impl Flight {
    /// Reads a recording. What an end cuts off is left out.
    ///
    /// # Errors
    /// When it is none, was changed, or `key` is not its key.
    pub fn read(bytes: &[u8], key: &FlightKey) -> Result<Self, FlightError> {
        let left = behind_header(bytes)?;
        let mut entries = Entries { at: bytes.len() - left.len(), left, check: [0; 8], end: None };
        let Some((_, Entry::Start { version, now, config, sealed })) = entries.next()? else {
            return Err(FlightError::NoStart);
        };
        let Secrets { seed, network: [secret, old_secret], saved } = key.open(0, &sealed)?;
        let (saved, seed) = (Saved { slots: saved }, Seed(seed));
        let config = Config { secret, old_secret, ..*config };
        let mut seals = 1;
        let mut takeoff = Takeoff { version, now, config, saved, seed, outputs: None };
        let mut calls: Vec<Call> = Vec::new();
        while let Some((at, entry)) = entries.next()? {
            let open = calls.last_mut().map_or(&mut takeoff.outputs, |call| &mut call.outputs);
            match entry {
                Entry::Input { now, input } if open.is_some() => {
                    calls.push(Call { now, input, outputs: None });
                }
                Entry::Secret { now, sealed } if open.is_some() => {
                    let input = key.open(seals, &sealed)?;
                    seals += 1;
                    calls.push(Call { now, input, outputs: None });
                }
                Entry::Outputs(prints) if open.is_none() => *open = Some(prints),
                Entry::Full if entries.left.is_empty() => entries.end = Some(End::Full),
                Entry::Start { .. }
                | Entry::Input { .. }
                | Entry::Secret { .. }
                | Entry::Outputs(_)
                | Entry::Full => {
                    return Err(FlightError::OutOfOrder(at));
                }
            }
        }
        Ok(Self { takeoff, calls, end: entries.end.unwrap_or(End::Whole) })
    }
}

/// What follows the header, if it is one of our format.
fn behind_header(bytes: &[u8]) -> Result<&[u8], FlightError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(FlightError::NotARecording)?;
    let end = rest.iter().take(DIGITS_MAX + 1).position(|byte| *byte == b'\n');
    let (format, rest) =
        end.and_then(|end| rest.split_at_checked(end)).ok_or(FlightError::NotARecording)?;
    let format = core::str::from_utf8(format).ok().and_then(|text| text.parse().ok());
    match format.ok_or(FlightError::NotARecording)? {
        FORMAT => Ok(rest.strip_prefix(b"\n").unwrap_or(rest)),
        other => Err(FlightError::OtherFormat(other)),
    }
}

/// The entries of a recording, one after the other.
struct Entries<'a> {
    at: usize,
    left: &'a [u8],
    check: [u8; 8],
    end: Option<End>,
}

impl Entries<'_> {
    /// The next entry and where it begins, or `None` at the end.
    fn next(&mut self) -> Result<Option<(usize, Entry)>, FlightError> {
        let at = self.at;
        if self.left.is_empty() {
            return Ok(None);
        }
        let damaged = || FlightError::Damaged(at);
        let Some((head, rest)) = self.left.split_first_chunk::<8>() else { return Ok(self.cut()) };
        let (len, check) = head.split_first_chunk::<4>().ok_or_else(damaged)?;
        if length_check(self.check, *len) != *check {
            return Err(damaged());
        }
        let body_len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| damaged())?;
        let Some((body, rest)) = rest.split_at_checked(body_len) else { return Ok(self.cut()) };
        let Some((check, rest)) = rest.split_first_chunk::<8>() else { return Ok(self.cut()) };
        self.check = body_check(self.check, *len, body);
        if self.check != *check {
            return Err(damaged());
        }
        self.left = rest;
        self.at += FRAME_LEN + body.len();
        let entry = codec::decode(body).map_err(|_| FlightError::Unreadable(at))?;
        Ok(Some((at, entry)))
    }

    fn cut<T>(&mut self) -> Option<T> {
        (self.left, self.end) = (&[], Some(End::Cut));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Command, ConnId, Outbox, RequestId};
    use crate::node::Node;
    use crate::saved::Change;
    use crate::time::{Instant, UnixTime};

    const KEY: FlightKey = FlightKey([7; 32]);
    const SECRETS: [[u8; 32]; 3] = [[0xa1; 32], [0xb2; 32], [0xc3; 32]];

    fn at(seconds: u64) -> Now {
        let mono = Instant::from_nanos(seconds * 1_000_000_000);
        Now { mono, unix: UnixTime(1_700_000_000) }
    }

    /// The start of a recording.
    fn recording() -> (Recorder, Vec<u8>) {
        let started = (&Config::default(), &Saved::default(), &Seed([0; 32]));
        Recorder::start(usize::MAX, &KEY, at(0), started)
    }

    /// A recording of a few calls of a real node, of at most so many bytes.
    fn recorded(len_max: usize) -> Vec<u8> {
        let [identity, network, seed] = SECRETS;
        let secret = Some(NetworkSecret::Password(network));
        let config = Config { nickname: "a".to_string(), secret, ..Config::default() };
        let mut saved = Saved::default();
        saved.apply(Change::put(Slot::Identity, &identity));
        let seed = Seed(seed);
        let (mut recorder, mut bytes) =
            Recorder::start(len_max, &KEY, at(0), (&config, &saved, &seed));
        let mut out = Outbox::default();
        let mut node = Node::new(config, saved, seed, at(0), &mut out).unwrap();
        bytes.extend(recorder.outputs(out.outputs()));
        for second in 1..5 {
            out.drain().for_each(drop);
            let (request, command) = (RequestId(second), Command::Prime);
            let input = Input::Command { request, command };
            bytes.extend(recorder.input(at(second), &input));
            node.handle(at(second), input, &mut out);
            bytes.extend(recorder.outputs(out.outputs()));
        }
        bytes
    }

    #[test]
    fn a_recording_reads_back_with_its_secrets_and_not_with_another_key() {
        let bytes = recorded(usize::MAX);
        let flight = Flight::read(&bytes, &KEY).unwrap();
        assert_eq!((flight.calls.len(), flight.end), (4, End::Whole));
        assert_eq!(flight.takeoff.config.secret, Some(NetworkSecret::Password(SECRETS[1])));
        assert_eq!(flight.takeoff.saved.get(&Slot::Identity), Ok(Some(SECRETS[0])));
        assert_eq!(flight.takeoff.seed.0, SECRETS[2]);
        assert!(flight.calls.iter().all(|call| call.outputs.is_some()));
        let other = Flight::read(&bytes, &FlightKey([8; 32]));
        assert_eq!(other.err(), Some(FlightError::WrongKey));
    }

    #[test]
    fn no_secret_stands_in_a_recording() {
        let bytes = recorded(usize::MAX);
        for secret in SECRETS {
            // A part of it would be bad enough.
            assert!(!bytes.windows(8).any(|window| secret.starts_with(window)));
        }
    }

    #[test]
    fn a_byte_that_was_changed_is_found_wherever_it_stands() {
        let bytes = recorded(usize::MAX);
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x10;
            assert!(Flight::read(&changed, &KEY).is_err(), "byte {place}");
        }
    }

    #[test]
    fn a_recording_of_another_format_is_not_called_damaged() {
        let bytes = recording().1;
        let rest = &bytes[MAGIC.len() + 1..];
        for (digits, expected) in [
            ("0", FlightError::OtherFormat(0)),
            ("27", FlightError::OtherFormat(27)),
            ("", FlightError::NotARecording),
            ("x", FlightError::NotARecording),
            ("99999999999", FlightError::NotARecording),
        ] {
            let read = Flight::read(&[MAGIC, digits.as_bytes(), rest].concat(), &KEY);
            assert_eq!(read.err(), Some(expected), "{digits:?}");
        }
    }

    #[test]
    fn an_entry_that_another_weft_wrote_is_not_called_damaged() {
        let (mut recorder, mut bytes) = recording();
        // No entry begins with this number.
        bytes.extend(recorder.framed(1, &[9]));
        let read = Flight::read(&bytes, &KEY);
        assert!(matches!(read, Err(FlightError::Unreadable(_))), "{read:?}");
    }

    /// If this fails, recordings of before cannot be read: count [`FORMAT`] up, then note the print
    /// of the start as it is.
    #[test]
    fn a_start_is_encoded_as_its_format_says() {
        let (version, config) = ("0".to_string(), Box::default());
        let start = Entry::Start { version, now: at(0), config, sealed: Vec::new() };
        let print: [u8; 8] = head(Sha256::new().chain_update(codec::encode(&start)));
        assert_eq!((FORMAT, print), (5, [217, 52, 44, 121, 37, 200, 69, 125]));
    }

    #[test]
    fn secrets_that_are_added_are_sealed_each_for_itself_and_read_again() {
        let (mut recorder, mut bytes) = recording();
        bytes.extend(recorder.outputs(&[]));
        let secret = NetworkSecret::Key([0xd4; 32]);
        let command = Command::Trust(Trust::AddSecret { secret });
        let input = Input::Command { request: RequestId(1), command };
        let mut told = Vec::new();
        for second in 1..=2 {
            told.push(recorder.input(at(second), &input));
            bytes.extend(told.last().unwrap());
            bytes.extend(recorder.outputs(&[]));
        }
        // One secret twice, and no part of it looks alike.
        assert!(told[0].windows(16).all(|part| !told[1].windows(16).any(|other| part == other)));
        assert!(!bytes.windows(4).any(|part| part == [0xd4; 4]));
        let flight = Flight::read(&bytes, &KEY).unwrap();
        let inputs: Vec<Input> = flight.calls.into_iter().map(|call| call.input).collect();
        assert_eq!(inputs, [input.clone(), input]);
        assert_eq!(Flight::read(&bytes, &FlightKey([8; 32])).err(), Some(FlightError::WrongKey));
    }

    #[test]
    fn a_recording_that_is_cut_anywhere_is_read_up_to_there() {
        let bytes = recorded(usize::MAX);
        let whole = Flight::read(&bytes, &KEY).unwrap().calls.len();
        let mut most = 0;
        for len in 0..bytes.len() {
            match Flight::read(&bytes[..len], &KEY) {
                Ok(flight) => most = most.max(flight.calls.len()),
                Err(why) => {
                    assert!(matches!(why, FlightError::NotARecording | FlightError::NoStart));
                }
            }
        }
        assert_eq!(most, whole);
    }

    #[test]
    fn a_recording_is_never_longer_than_its_bound_and_says_that_it_is_full() {
        let whole = recorded(usize::MAX).len();
        let read = |len_max: usize| Flight::read(&recorded(len_max), &KEY);
        let bounds: Vec<usize> = (0..whole).step_by(7).collect();
        let (short, long) = bounds.split_at(bounds.partition_point(|bound| read(*bound).is_err()));
        assert!(!short.is_empty() && long.len() > 10, "{short:?} {long:?}");
        for len_max in long {
            let bytes = recorded(*len_max);
            assert!(bytes.len() <= *len_max);
            let flight = Flight::read(&bytes, &KEY).unwrap();
            assert_eq!(flight.end, End::Full);
            assert!(flight.calls.len() < 5);
        }
    }

    #[test]
    fn outputs_that_differ_in_one_byte_or_in_kind_have_other_prints() {
        let (conn, bytes) = (ConnId::dialed(0), Vec::from([1]));
        let write = OutputPrint::of(&Output::Write { conn, bytes: bytes.clone() });
        assert_eq!(write, OutputPrint::of(&Output::Write { conn, bytes }));
        assert_ne!(write, OutputPrint::of(&Output::Write { conn, bytes: Vec::from([2]) }));
        assert_ne!(write, OutputPrint::of(&Output::Close { conn }));
    }
}
