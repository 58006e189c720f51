//! Sealed messages over a stream, after the handshake.
//!
//! A message is `length (4, big-endian) ‖ bytes`, cut into records of at most 16 KiB; each record
//! travels as a frame of the stream, sealed with its place in the order.

use super::frame::{self, Kind, RECORD_LEN_MAX, TAG_LEN};
use alloc::boxed::Box;
use alloc::vec::Vec;
use snow::TransportState;

/// Most records in one direction. Source: WireGuard, `REJECT_AFTER_MESSAGES`.
const RECORDS_MAX: u64 = 1 << 60;
const LENGTH_LEN: usize = 4;

/// Both directions of an authenticated control link.
#[derive(Debug)]
pub struct Channel {
    noise: Box<TransportState>,
    version: u8,
    /// Bytes of the stream that are no whole record yet.
    sealed: Vec<u8>,
    /// Opened bytes that are no whole message yet.
    opened: Vec<u8>,
    fault: Option<ChannelFault>,
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
    /// Keys are worn out (2^60 records).
    #[error("the keys of this link are used up")]
    UsedUp,
}

impl Channel {
    /// Longest message, in bytes: a record of 256 KiB fits several times.
    pub const MESSAGE_LEN_MAX: usize = 1 << 20;

    /// A channel whose other side has sent `sealed` already.
    pub(super) fn new(noise: TransportState, version: u8, sealed: Vec<u8>) -> Self {
        Self { noise: Box::new(noise), version, sealed, opened: Vec::new(), fault: None }
    }

    /// The version of the protocol that both sides speak on it: the highest that both know.
    pub const fn version(&self) -> u8 {
        self.version
    }

    /// Bytes that have arrived and are no whole message.
    pub const fn unread(&self) -> usize {
        let Self { noise: _, version: _, sealed, opened, fault: _ } = self;
        sealed.len() + opened.len()
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

    /// Records that carry `plain`, whatever it means.
    ///
    /// # Errors
    /// [`ChannelFault::UsedUp`].
    pub fn seal_records(&mut self, plain: &[u8]) -> Result<Vec<u8>, ChannelFault> {
        let records = plain.len().div_ceil(RECORD_LEN_MAX);
        let mut out = Vec::with_capacity(plain.len() + records * (frame::HEADER_LEN + TAG_LEN));
        for chunk in plain.chunks(RECORD_LEN_MAX) {
            if self.noise.sending_nonce() >= RECORDS_MAX {
                return Err(ChannelFault::UsedUp);
            }
            frame::push_header(&mut out, Kind::Sealed, chunk.len() + TAG_LEN);
            let start = out.len();
            out.resize(start + chunk.len() + TAG_LEN, 0);
            let (_, record) = out.split_at_mut(start);
            self.noise.write_message(chunk, record).map_err(|_| ChannelFault::UsedUp)?;
        }
        Ok(out)
    }

    /// Takes in bytes of the stream, cut anywhere; returns the messages that they complete.
    ///
    /// Holds at most one message in part, and only as many bytes of it as have arrived.
    ///
    /// # Errors
    /// Any fault is final: it is returned again from then on.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ChannelFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let mut messages = Vec::new();
        match self.take_in(bytes, &mut messages) {
            Ok(()) => Ok(messages),
            Err(fault) => {
                self.fault = Some(fault.clone());
                Err(fault)
            }
        }
    }

    fn take_in(&mut self, bytes: &[u8], messages: &mut Vec<Vec<u8>>) -> Result<(), ChannelFault> {
        let mut stream = core::mem::take(&mut self.sealed);
        stream.extend(bytes);
        let mut left = stream.as_slice();
        while let Some((kind, body, rest)) =
            frame::first(left).map_err(|_| ChannelFault::NotAuthentic)?
        {
            // A record without a byte in it is none of ours.
            if kind != Kind::Sealed || body.len() <= TAG_LEN {
                return Err(ChannelFault::NotAuthentic);
            }
            if self.noise.receiving_nonce() >= RECORDS_MAX {
                return Err(ChannelFault::UsedUp);
            }
            let start = self.opened.len();
            self.opened.resize(start + body.len(), 0);
            let (_, space) = self.opened.split_at_mut(start);
            let len =
                self.noise.read_message(body, space).map_err(|_| ChannelFault::NotAuthentic)?;
            self.opened.truncate(start + len);
            take_messages(&mut self.opened, messages)?;
            left = rest;
        }
        self.sealed = left.to_vec();
        Ok(())
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
