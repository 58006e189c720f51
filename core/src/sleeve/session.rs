//! One data session with a neighbour: seals and opens its datagrams.

use super::Window;
use crate::mark::{Mark, mark};
use alloc::vec::Vec;
use crypto_box::aead::AeadInPlace;
use crypto_box::{ChaChaBox, Nonce, PublicKey, SecretKey, Tag};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A receiver's random label for one data session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionIndex(pub u32);

/// What a datagram carries. Also its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Frames.
    Data = 0x10,
    /// A probe of the path, for [`crate::node::Node`].
    Probe = 0x11,
}

/// What both ends of a session know after the handshake.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SessionKeys {
    /// Our X25519 secret for this session.
    pub ours: [u8; 32],
    /// Their X25519 public key for it.
    pub theirs: [u8; 32],
    /// Whether we dialed: settles the direction bit of nonces.
    pub dialed: bool,
    /// Whether payloads are sealed at all (both ends have a network secret).
    pub sealed: bool,
}

impl core::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SessionKeys").field("sealed", &self.sealed).finish_non_exhaustive()
    }
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SleeveFault {
    /// Too short, or of no known kind.
    #[error("not a sleeve datagram")]
    Malformed,
    /// No such session here.
    #[error("no such session")]
    NoSession,
    /// Does not open.
    #[error("not authentic")]
    NotAuthentic,
    /// Seen before, or too old to tell.
    #[error("replayed")]
    Replayed,
    /// The other key is of low order, so anybody could know the secret.
    #[error("the session key of the other peer is of low order")]
    LowOrderKey,
    /// The counter has reached its end.
    #[error("the keys of this session are used up")]
    UsedUp,
}

/// Counters end here, far from where arithmetic would. Source: WireGuard, `REJECT_AFTER_MESSAGES`.
const COUNTER_MAX: u64 = 1 << 60;

/// One direction pair of boxes, with its counters and replay window, for one [`Kind`].
///
/// A node seals probes and a forwarder seals frames, each with a `Session` of its own made from
/// the same keys: the kind is part of the nonce, so their counters never meet.
pub struct Session {
    kind: Kind,
    remote: SessionIndex,
    dialed: bool,
    /// `None` leaves payloads in the clear.
    cipher: Option<ChaChaBox>,
    /// Of the next datagram.
    counter: u64,
    window: Window,
}

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Session")
            .field("kind", &self.kind)
            .field("remote", &self.remote)
            .field("sealed", &self.cipher.is_some())
            .field("counter", &self.counter)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Bytes in front of the payload.
    pub const HEADER_LEN: usize = 13;
    /// Bytes that sealing adds behind it; none in a session that does not seal.
    pub const TAG_LEN: usize = 16;

    /// A session for datagrams of `kind`, addressed to the other side's `remote` index.
    ///
    /// # Errors
    /// [`SleeveFault::LowOrderKey`], whether it seals or not.
    pub fn new(kind: Kind, keys: &SessionKeys, remote: SessionIndex) -> Result<Self, SleeveFault> {
        // crypto_box takes any key, so ask X25519 itself first (RFC 7748 section 6.1).
        let secret = x25519_dalek::StaticSecret::from(keys.ours);
        let theirs = x25519_dalek::PublicKey::from(keys.theirs);
        if !secret.diffie_hellman(&theirs).was_contributory() {
            return Err(SleeveFault::LowOrderKey);
        }
        let cipher = keys
            .sealed
            .then(|| ChaChaBox::new(&PublicKey::from(keys.theirs), &SecretKey::from(keys.ours)));
        Ok(Self { kind, remote, dialed: keys.dialed, cipher, counter: 0, window: Window::new() })
    }

    /// The datagram that carries `payload`.
    ///
    /// # Errors
    /// [`SleeveFault::UsedUp`].
    pub fn seal(&mut self, payload: &[u8]) -> Result<Vec<u8>, SleeveFault> {
        let mut datagram = Vec::with_capacity(Self::HEADER_LEN + payload.len() + Self::TAG_LEN);
        self.seal_into(&[payload], &mut datagram)?;
        Ok(datagram)
    }

    /// As [`Session::seal`], of a payload in `parts`, in place of what was in `datagram`.
    ///
    /// # Errors
    /// [`SleeveFault::UsedUp`].
    pub fn seal_into(
        &mut self,
        parts: &[&[u8]],
        datagram: &mut Vec<u8>,
    ) -> Result<(), SleeveFault> {
        let counter = self.counter;
        if counter >= COUNTER_MAX {
            return Err(SleeveFault::UsedUp);
        }
        self.counter += 1;
        datagram.clear();
        datagram.push(self.kind as u8);
        datagram.extend(self.remote.0.to_be_bytes());
        datagram.extend(counter.to_be_bytes());
        parts.iter().for_each(|part| datagram.extend_from_slice(part));
        if let Some(cipher) = &self.cipher {
            let nonce = self.nonce(self.dialed, counter);
            let (_, payload) = datagram.split_at_mut(Self::HEADER_LEN);
            // ChaCha20 ends at 256 GiB; a datagram that long never gets here.
            let tag = cipher.encrypt_in_place_detached(&nonce, &[], payload);
            datagram.extend(tag.map_err(|_| SleeveFault::UsedUp)?);
        }
        Ok(())
    }

    /// The payload of `datagram`, whose kind and index were read with [`Session::peek`].
    ///
    /// # Errors
    /// The window is only moved by datagrams that open.
    pub fn open(&mut self, datagram: &[u8]) -> Result<Vec<u8>, SleeveFault> {
        let mut payload = Vec::new();
        self.open_into(datagram, &mut payload)?;
        Ok(payload)
    }

    /// As [`Session::open`], in place of what was in `payload`; after an error that means nothing.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open_into(&mut self, datagram: &[u8], payload: &mut Vec<u8>) -> Result<(), SleeveFault> {
        let opened = self.open_checked(datagram, payload);
        match opened {
            Ok(()) if self.cipher.is_none() => mark(Mark::SleeveClear),
            Ok(()) | Err(SleeveFault::NoSession | SleeveFault::UsedUp) => {}
            Err(SleeveFault::Malformed | SleeveFault::LowOrderKey) => mark(Mark::SleeveMalformed),
            Err(SleeveFault::NotAuthentic) => mark(Mark::SleeveNotAuthentic),
            Err(SleeveFault::Replayed) => mark(Mark::SleeveReplayed),
        }
        opened
    }

    fn open_checked(&mut self, datagram: &[u8], payload: &mut Vec<u8>) -> Result<(), SleeveFault> {
        let (header, body) = Header::read(datagram)?;
        if header.kind != self.kind {
            return Err(SleeveFault::Malformed);
        }
        if header.counter >= COUNTER_MAX || !self.window.is_fresh(header.counter) {
            return Err(SleeveFault::Replayed);
        }
        payload.clear();
        match &self.cipher {
            None => payload.extend_from_slice(body),
            Some(cipher) => {
                let (body, tag) = body.split_last_chunk().ok_or(SleeveFault::Malformed)?;
                let tag: &[u8; Self::TAG_LEN] = tag;
                payload.extend_from_slice(body);
                let nonce = self.nonce(!self.dialed, header.counter);
                cipher
                    .decrypt_in_place_detached(&nonce, &[], payload, Tag::from_slice(tag))
                    .map_err(|_| SleeveFault::NotAuthentic)?;
            }
        }
        self.window.commit(header.counter);
        Ok(())
    }

    /// Kind and receiver's index of a datagram, before any key is used.
    ///
    /// # Errors
    /// [`SleeveFault::Malformed`].
    pub fn peek(datagram: &[u8]) -> Result<(Kind, SessionIndex), SleeveFault> {
        Header::read(datagram).map(|(header, _)| (header.kind, header.session))
    }

    fn nonce(&self, from_dialer: bool, counter: u64) -> Nonce {
        let mut nonce = [0; 24];
        let head = [u8::from(from_dialer), self.kind as u8];
        let bytes = head.into_iter().chain([0; 14]).chain(counter.to_be_bytes());
        for (to, from) in nonce.iter_mut().zip(bytes) {
            *to = from;
        }
        nonce.into()
    }
}

struct Header {
    kind: Kind,
    session: SessionIndex,
    counter: u64,
}

impl Header {
    fn read(datagram: &[u8]) -> Result<(Self, &[u8]), SleeveFault> {
        let (&[kind], rest) = datagram.split_first_chunk().ok_or(SleeveFault::Malformed)?;
        let kind = match kind {
            0x10 => Kind::Data,
            0x11 => Kind::Probe,
            _ => return Err(SleeveFault::Malformed),
        };
        let (session, rest) = rest.split_first_chunk().ok_or(SleeveFault::Malformed)?;
        let (counter, body) = rest.split_first_chunk().ok_or(SleeveFault::Malformed)?;
        let session = SessionIndex(u32::from_be_bytes(*session));
        Ok((Self { kind, session, counter: u64::from_be_bytes(*counter) }, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use x25519_dalek::StaticSecret;

    #[test]
    fn a_sealed_datagram_opens_to_its_payload_and_does_not_show_it() {
        let (mut dialer, mut listener) = pair(Kind::Data, true);
        let payload = b"attack at dawn, attack at dawn";
        let datagram = dialer.seal(payload).unwrap();
        assert_eq!(datagram.len(), Session::HEADER_LEN + payload.len() + Session::TAG_LEN);
        assert!(!datagram.windows(6).any(|window| window == b"attack"));
        assert_eq!(listener.open(&datagram).unwrap(), payload);
        let answer = listener.seal(b"").unwrap();
        assert_eq!(dialer.open(&answer).unwrap(), b"");
    }

    #[test]
    fn a_plain_session_has_these_bytes() {
        let (mut dialer, mut listener) = pair(Kind::Data, false);
        dialer.seal(b"").unwrap();
        let datagram = dialer.seal(b"hi").unwrap();
        assert_eq!(datagram, [0x10, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, b'h', b'i']);
        assert_eq!(listener.open(&datagram).unwrap(), b"hi");
        assert_eq!(listener.open(&datagram), Err(SleeveFault::Replayed));
    }

    #[test]
    fn a_sealed_session_has_these_bytes() {
        let (mut dialer, _) = pair(Kind::Probe, true);
        let datagram = dialer.seal(b"hi").unwrap();
        assert_eq!(datagram, GOLDEN);
    }

    #[test]
    fn a_datagram_opens_once() {
        let (mut dialer, mut listener) = pair(Kind::Data, true);
        let first = dialer.seal(b"1").unwrap();
        let second = dialer.seal(b"2").unwrap();
        assert!(listener.open(&second).is_ok());
        assert!(listener.open(&first).is_ok());
        assert_eq!(listener.open(&first), Err(SleeveFault::Replayed));
        assert_eq!(listener.open(&second), Err(SleeveFault::Replayed));
    }

    #[test]
    fn a_datagram_does_not_open_at_its_sender_or_as_another_kind() {
        let (mut dialer, mut listener) = pair(Kind::Data, true);
        let (_, mut probes) = pair(Kind::Probe, true);
        let mut datagram = dialer.seal(b"frame").unwrap();
        assert_eq!(dialer.open(&datagram), Err(SleeveFault::NotAuthentic));
        assert_eq!(probes.open(&datagram), Err(SleeveFault::Malformed));
        assert!(listener.open(&datagram).is_ok());
        datagram[0] = Kind::Probe as u8;
        assert_eq!(probes.open(&datagram), Err(SleeveFault::NotAuthentic));
    }

    #[test]
    fn both_directions_and_both_kinds_have_nonces_of_their_own() {
        let (dialer, listener) = pair(Kind::Data, true);
        let (probes, _) = pair(Kind::Probe, true);
        let nonce = dialer.nonce(dialer.dialed, 7);
        assert_ne!(nonce, listener.nonce(listener.dialed, 7));
        assert_ne!(nonce, probes.nonce(probes.dialed, 7));
        assert_eq!(nonce, listener.nonce(!listener.dialed, 7));
        let mut golden = [0; 24];
        (golden[0], golden[1], golden[23]) = (1, 0x10, 7);
        assert_eq!(nonce.as_slice(), golden);
    }

    #[test]
    fn a_changed_or_cut_datagram_does_not_open_and_moves_nothing() {
        let (mut dialer, mut listener) = pair(Kind::Data, true);
        let datagram = dialer.seal(b"frame").unwrap();
        for at in 0..datagram.len() {
            // The index only says which session is meant; the caller has looked it up.
            if (1..5).contains(&at) {
                continue;
            }
            let mut bad = datagram.clone();
            bad[at] ^= 0x40;
            assert!(listener.open(&bad).is_err(), "byte {at}");
            assert!(listener.open(&datagram[..at]).is_err(), "cut at {at}");
        }
        assert!(listener.open(&datagram).is_ok());
    }

    #[test]
    fn a_forged_high_counter_does_not_lock_the_sender_out() {
        let (mut dialer, mut listener) = pair(Kind::Data, true);
        let datagram = dialer.seal(b"frame").unwrap();
        for counter in [1 << 20, COUNTER_MAX - 1, COUNTER_MAX, u64::MAX] {
            let mut forged = datagram.clone();
            forged[5..13].copy_from_slice(&counter.to_be_bytes());
            assert!(listener.open(&forged).is_err());
        }
        assert!(listener.open(&datagram).is_ok());
    }

    #[test]
    fn keys_that_are_used_up_seal_nothing_more() {
        let (mut dialer, mut listener) = pair(Kind::Data, true);
        dialer.counter = COUNTER_MAX - 1;
        let last = dialer.seal(b"last").unwrap();
        assert_eq!(dialer.seal(b"more"), Err(SleeveFault::UsedUp));
        assert!(listener.open(&last).is_ok());
    }

    #[test]
    fn keys_of_low_order_make_no_session() {
        let mut one = [0; 32];
        one[0] = 1;
        // p - 1, little-endian. Source: RFC 7748 section 7 refers to the list at cr.yp.to/ecdh.html.
        let mut minus_one = [0xff; 32];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        for theirs in [[0; 32], one, minus_one] {
            for sealed in [true, false] {
                let keys = SessionKeys { ours: [1; 32], theirs, dialed: true, sealed };
                let session = Session::new(Kind::Data, &keys, SessionIndex(1));
                assert_eq!(session.err(), Some(SleeveFault::LowOrderKey));
            }
        }
    }

    #[test]
    fn what_is_no_datagram_is_refused_before_any_key_is_used() {
        let header = vec![0x10, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(Session::peek(&header), Ok((Kind::Data, SessionIndex(9))));
        for len in 0..header.len() {
            assert_eq!(Session::peek(&header[..len]), Err(SleeveFault::Malformed));
        }
        assert_eq!(Session::peek(&[0x12; 20]), Err(SleeveFault::Malformed));
    }

    const GOLDEN: [u8; 31] = [
        17, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 24, 170, 162, 103, 147, 84, 175, 249, 15, 15, 220,
        180, 98, 230, 58, 247, 124, 80,
    ];

    fn pair(kind: Kind, sealed: bool) -> (Session, Session) {
        let public = |secret| x25519_dalek::PublicKey::from(&StaticSecret::from(secret)).to_bytes();
        let (a, b) = ([1; 32], [2; 32]);
        let dialer = SessionKeys { ours: a, theirs: public(b), dialed: true, sealed };
        let listener = SessionKeys { ours: b, theirs: public(a), dialed: false, sealed };
        (
            Session::new(kind, &dialer, SessionIndex(9)).unwrap(),
            Session::new(kind, &listener, SessionIndex(8)).unwrap(),
        )
    }
}
