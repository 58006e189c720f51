//! Sealed messages over a stream, after the handshake.
//!
//! Each record travels as a frame of the stream, sealed with its place in the order:
//!
//! ```text
//! record  kind (1) ‖ bytes, at most 16 KiB in all
//!   0  part of a message: messages are `length (4, big-endian) ‖ bytes`, cut anywhere
//!   1  part of a handshake for fresh keys, as on a stream of its own
//!   2  what follows is under the fresh keys; no bytes
//!   3  fresh keys are wanted; no bytes
//! ```
//! Only the side that dialed begins a handshake for fresh keys, so two never cross; the other one
//! asks for it. All of it travels under the keys before. The side that dialed seals what follows its
//! M3 under the fresh keys, the other one what follows its record 2, and both take in accordingly: no
//! record is lost, and none has to wait.

use super::HandshakeFault;
use super::frame::{self, Kind, RECORD_LEN_MAX, TAG_LEN};
use super::machine::{Machine, Own, Turn};
use crate::config::NetworkSecret;
use crate::id::PeerId;
use alloc::boxed::Box;
use alloc::vec::Vec;
use snow::TransportState;

/// Most records in one direction under one key. Far below what ChaCha20-Poly1305 takes.
const RECORDS_MAX: u64 = 1 << 36;
/// Keys that sealed this many records are worn: fresh ones are wanted.
const RECORDS_WORN: u64 = 1 << 34;
const LENGTH_LEN: usize = 4;
/// Bytes of the kind of a record.
const KIND_LEN: usize = 1;

const MESSAGE: u8 = 0;
const HANDSHAKE: u8 = 1;
const SWITCH: u8 = 2;
const ASK: u8 = 3;

/// Both directions of an authenticated control link.
pub struct Channel {
    version: u8,
    keys: Keys,
    /// Fresh keys that we seal with already, while the other side does not.
    next: Option<Keys>,
    keeper: Keeper,
    /// A handshake for fresh keys that is under way.
    handshake: Option<Machine>,
    /// Another one is wanted after that.
    again: bool,
    /// We asked for one.
    asked: bool,
    /// Changes of keys so far.
    changes: u64,
    /// Bytes of the stream that are no whole record yet.
    sealed: Vec<u8>,
    /// Opened bytes that are no whole message yet.
    opened: Vec<u8>,
    fault: Option<ChannelFault>,
}

/// Keys of both directions, and how many records each has sealed.
struct Keys {
    noise: Box<TransportState>,
    sent: u64,
    received: u64,
}

/// What a channel keeps of its handshake, for the next one.
struct Keeper {
    own: Own,
    /// Whether we began it.
    dialed: bool,
    peer: PeerId,
    /// What it proved.
    secret: Option<NetworkSecret>,
}

// By hand: there are secrets in it.
impl core::fmt::Debug for Channel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Channel").field("changes", &self.changes).finish_non_exhaustive()
    }
}

/// What came over a channel.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// Messages that are whole.
    pub messages: Vec<Vec<u8>>,
    /// Bytes to send at once, maybe none: the channel's own affairs.
    pub send: Vec<u8>,
}

/// Why a channel cannot go on. The stream must be closed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
pub enum ChannelFault {
    /// Bytes were changed, lost or repeated.
    #[error("a sealed record did not open")]
    NotAuthentic,
    /// Longer than agreed.
    #[error("a message of {0} bytes is over the limit")]
    TooLong(u64),
    /// Keys are worn out, by records or by age, and there are no fresh ones.
    #[error("the keys of this link are used up")]
    UsedUp,
    /// No fresh keys came about.
    #[error(transparent)]
    Handshake(#[from] HandshakeFault),
}

impl Keys {
    const fn new(noise: Box<TransportState>) -> Self {
        Self { noise, sent: 0, received: 0 }
    }

    /// Adds the frame of a record to `out`.
    fn seal(&mut self, out: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> Result<(), ChannelFault> {
        if self.sent >= RECORDS_MAX {
            return Err(ChannelFault::UsedUp);
        }
        self.sent += 1;
        let mut plain = Vec::with_capacity(KIND_LEN + bytes.len());
        plain.push(kind);
        plain.extend(bytes);
        frame::push_header(out, Kind::Sealed, plain.len() + TAG_LEN);
        let start = out.len();
        out.resize(start + plain.len() + TAG_LEN, 0);
        let (_, record) = out.split_at_mut(start);
        self.noise.write_message(&plain, record).map_err(|_| ChannelFault::UsedUp)?;
        Ok(())
    }

    /// Opens a record.
    fn open(&mut self, record: &[u8]) -> Result<Vec<u8>, ChannelFault> {
        if self.received >= RECORDS_MAX {
            return Err(ChannelFault::UsedUp);
        }
        self.received += 1;
        let mut plain = alloc::vec![0; record.len()];
        let len =
            self.noise.read_message(record, &mut plain).map_err(|_| ChannelFault::NotAuthentic)?;
        plain.truncate(len);
        Ok(plain)
    }
}

impl Channel {
    /// Longest message, in bytes: a record of 256 KiB fits several times.
    pub const MESSAGE_LEN_MAX: usize = 1 << 20;

    /// A channel with `peer`, which speaks `version` and has sent `sealed` already. The handshake that
    /// led here was ours if we `dialed`, and proved `secret`.
    pub(super) fn new(
        (noise, version): (TransportState, u8),
        sealed: Vec<u8>,
        (own, dialed, secret): (Own, bool, Option<NetworkSecret>),
        peer: PeerId,
    ) -> Self {
        let keeper = Keeper { own, dialed, peer, secret };
        Self {
            version,
            keys: Keys::new(Box::new(noise)),
            next: None,
            keeper,
            handshake: None,
            again: false,
            asked: false,
            changes: 0,
            sealed,
            opened: Vec::new(),
            fault: None,
        }
    }

    /// The version of the protocol that both sides speak on it: the highest that both know.
    pub const fn version(&self) -> u8 {
        self.version
    }

    /// Bytes that have arrived and are no whole message, of a handshake for fresh keys too.
    pub fn unread(&self) -> usize {
        let Self {
            version: _,
            keys: _,
            next: _,
            keeper: _,
            handshake,
            again: _,
            asked: _,
            changes: _,
            sealed,
            opened,
            fault: _,
        } = self;
        sealed.len() + opened.len() + handshake.as_ref().map_or(0, Machine::unread)
    }

    /// The secret that the keys in use prove; `None` when there is none.
    pub const fn secret(&self) -> Option<&NetworkSecret> {
        self.keeper.secret.as_ref()
    }

    /// How often the keys were changed.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether we dialed, so that it is up to us to have keys changed in time.
    pub const fn is_dialed(&self) -> bool {
        self.keeper.dialed
    }

    /// Whether the keys have sealed so much that it is time for fresh ones, and nothing was done
    /// about it yet.
    pub fn is_worn(&self) -> bool {
        let keys = self.next.as_ref().unwrap_or(&self.keys);
        let is_worn = keys.sent.max(keys.received) >= RECORDS_WORN;
        is_worn && !self.is_changing() && !self.asked
    }

    /// Whether fresh keys are on their way.
    const fn is_changing(&self) -> bool {
        self.handshake.is_some() || self.next.is_some()
    }

    /// From here on `secrets` are what a handshake for fresh keys proves; the first is preferred.
    pub fn set_secrets(&mut self, secrets: &[NetworkSecret]) {
        self.keeper.own.secrets = secrets.to_vec();
    }

    /// Wants fresh keys: the bytes to send. Harmless while that is under way, when they are changed
    /// once more afterwards.
    ///
    /// # Errors
    /// [`ChannelFault::UsedUp`].
    pub fn rekey(&mut self) -> Result<Vec<u8>, ChannelFault> {
        if !self.keeper.dialed {
            self.asked = true;
            return self.seal_record(ASK, &[]);
        }
        if self.is_changing() {
            self.again = true;
            return Ok(Vec::new());
        }
        let (handshake, first) = Machine::begin(self.keeper.own.fork());
        self.handshake = Some(handshake);
        self.seal_record(HANDSHAKE, &first)
    }

    /// The bytes that carry `message` over the stream.
    ///
    /// # Errors
    /// [`ChannelFault::TooLong`] over [`Channel::MESSAGE_LEN_MAX`], which changes nothing;
    /// [`ChannelFault::UsedUp`].
    pub fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, ChannelFault> {
        let too_long = || ChannelFault::TooLong(message.len() as u64);
        if message.len() > Self::MESSAGE_LEN_MAX {
            return Err(too_long());
        }
        let len = u32::try_from(message.len()).map_err(|_| too_long())?;
        let mut plain = Vec::with_capacity(LENGTH_LEN + message.len());
        plain.extend(len.to_be_bytes());
        plain.extend(message);
        self.seal_records(&plain)
    }

    /// Records that carry `plain` as parts of messages, whatever it means.
    ///
    /// # Errors
    /// [`ChannelFault::UsedUp`].
    pub fn seal_records(&mut self, plain: &[u8]) -> Result<Vec<u8>, ChannelFault> {
        let part = RECORD_LEN_MAX - KIND_LEN;
        let records = plain.len().div_ceil(part);
        let mut out =
            Vec::with_capacity(plain.len() + records * (frame::HEADER_LEN + KIND_LEN + TAG_LEN));
        let keys = self.next.as_mut().unwrap_or(&mut self.keys);
        for chunk in plain.chunks(part) {
            keys.seal(&mut out, MESSAGE, chunk)?;
        }
        Ok(out)
    }

    /// One record under the keys that we seal with.
    fn seal_record(&mut self, kind: u8, bytes: &[u8]) -> Result<Vec<u8>, ChannelFault> {
        let mut out = Vec::new();
        self.next.as_mut().unwrap_or(&mut self.keys).seal(&mut out, kind, bytes)?;
        Ok(out)
    }

    /// Takes in bytes of the stream, cut anywhere; returns the messages that they complete, and what
    /// the channel has to say itself.
    ///
    /// Holds at most one message in part, and only as many bytes of it as have arrived.
    ///
    /// # Errors
    /// Any fault is final: it is returned again from then on.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Received, ChannelFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let mut received = Received { messages: Vec::new(), send: Vec::new() };
        match self.take_in(bytes, &mut received) {
            Ok(()) => Ok(received),
            Err(fault) => {
                self.fault = Some(fault.clone());
                Err(fault)
            }
        }
    }

    fn take_in(&mut self, bytes: &[u8], received: &mut Received) -> Result<(), ChannelFault> {
        let mut stream = core::mem::take(&mut self.sealed);
        stream.extend(bytes);
        let mut left = stream.as_slice();
        while let Some((kind, body, rest)) =
            frame::first(left).map_err(|_| ChannelFault::NotAuthentic)?
        {
            if kind != Kind::Sealed {
                return Err(ChannelFault::NotAuthentic);
            }
            let record = self.keys.open(body)?;
            match record.split_first() {
                // A message goes on for at least a byte.
                Some((&MESSAGE, part)) if !part.is_empty() => {
                    self.opened.extend(part);
                    take_messages(&mut self.opened, &mut received.messages)?;
                }
                Some((&HANDSHAKE, part)) => self.shake(part, &mut received.send)?,
                Some((&SWITCH, [])) => {
                    self.keys = self.next.take().ok_or(ChannelFault::NotAuthentic)?;
                    if core::mem::take(&mut self.again) {
                        received.send.extend(self.rekey()?);
                    }
                }
                Some((&ASK, [])) if self.keeper.dialed => received.send.extend(self.rekey()?),
                Some(_) | None => return Err(ChannelFault::NotAuthentic),
            }
            left = rest;
        }
        self.sealed = left.to_vec();
        if self.opened.is_empty() {
            // A comparison of records may have filled it, and a link at rest has no use for the room.
            self.opened = Vec::new();
        }
        Ok(())
    }

    /// Takes in `part` of a handshake for fresh keys.
    fn shake(&mut self, part: &[u8], send: &mut Vec<u8>) -> Result<(), ChannelFault> {
        let handshake = match self.handshake.take() {
            Some(handshake) => handshake,
            None if !self.keeper.dialed => Machine::wait(self.keeper.own.fork()),
            None => return Err(HandshakeFault::Malformed("a message out of turn").into()),
        };
        // Why it fails is told by whoever finds out, as the last words of the link.
        match handshake.receive(part).map_err(|(fault, _)| fault)? {
            (handshake, Turn::More(more)) => {
                self.handshake = handshake;
                if !more.is_empty() {
                    send.extend(self.seal_record(HANDSHAKE, &more)?);
                }
            }
            (_, Turn::Done(ended)) => {
                if ended.hello.id != self.keeper.peer || !ended.left.is_empty() {
                    return Err(HandshakeFault::Malformed("it is another peer by now").into());
                }
                if ended.version != self.version {
                    return Err(
                        HandshakeFault::Malformed("it speaks another version by now").into()
                    );
                }
                let fresh = Keys::new(Box::new(ended.transport));
                self.keeper.secret = ended.secret;
                self.changes += 1;
                self.asked = false;
                if self.keeper.dialed {
                    send.extend(self.seal_record(HANDSHAKE, &ended.send)?);
                    self.next = Some(fresh);
                } else {
                    send.extend(self.seal_record(SWITCH, &[])?);
                    self.keys = fresh;
                }
            }
        }
        Ok(())
    }

    /// A record of any kind.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn seal_as(&mut self, kind: u8, bytes: &[u8]) -> Vec<u8> {
        self.seal_record(kind, bytes).unwrap_or_default()
    }

    /// As if so many records had been sealed in both directions.
    #[cfg(test)]
    pub(super) const fn wear(&mut self, records: u64) {
        (self.keys.sent, self.keys.received) = (records, records);
    }
}

/// Moves all whole messages from `opened` to `messages`.
fn take_messages(opened: &mut Vec<u8>, messages: &mut Vec<Vec<u8>>) -> Result<(), ChannelFault> {
    let mut left = opened.as_slice();
    while let Some((len, rest)) = left.split_first_chunk::<LENGTH_LEN>() {
        let len = u32::from_be_bytes(*len);
        let fits = usize::try_from(len).ok().filter(|len| *len <= Channel::MESSAGE_LEN_MAX);
        let len = fits.ok_or_else(|| ChannelFault::TooLong(u64::from(len)))?;
        let Some((message, rest)) = rest.split_at_checked(len) else { break };
        messages.push(message.to_vec());
        left = rest;
    }
    let done = opened.len() - left.len();
    opened.drain(..done);
    Ok(())
}
