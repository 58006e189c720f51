//! Bodies of the fuzz targets: bytes of an attacker in, a broken promise is a panic.

mod driven;
mod parties;

pub use driven::{node_inputs, saved};
use parties::{identity, local, rng};

use crate::addr::Universe;
use crate::codec;
use crate::config::NetworkSecret;
use crate::forward::{Forwarder, ForwardingChange, Parcel, Sink};
use crate::handshake::{Channel, Handshake, HandshakeFault, Local, Received, Step};
use crate::id::{ContainerId, PeerName};
use crate::io::Target;
use crate::ipam::{Founding, Freeze, Grant, Space, Voter};
use crate::mesh::{Goodbye, Message};
use crate::names::{Name, NamesRecord};
use crate::record::{Record, RecordFault, Version};
use crate::sleeve::{Kind, Session, SessionIndex, SessionKeys};
use crate::time::Instant;
use crate::topology::PeerRecord;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};
use serde::Serialize;
use serde::de::DeserializeOwned;

const ANYWHERE: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
const KEY: NetworkSecret = NetworkSecret::Key([6; 32]);
const SECRET: NetworkSecret = NetworkSecret::Password([5; 32]);

/// A stranger without the secret sends `bytes`: no session, and the same end however they are cut.
pub fn handshake_responder(bytes: &[u8]) {
    for secrets in [&[SECRET][..], &[KEY, SECRET]] {
        let whole = end_of(secrets, core::iter::once(bytes));
        let cut = end_of(secrets, bytes.chunks(1));
        assert_eq!(whole, cut, "the end depends on how the stream is cut");
    }
}

/// How a listener ends after `pieces`: with a fault, or still waiting.
fn end_of<'a>(
    secrets: &[NetworkSecret],
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Option<HandshakeFault> {
    let identity = identity(2);
    let local = Local { secrets, ..local(&identity, secrets.first()) };
    let mut listener = Handshake::respond(local, &mut rng(2));
    for piece in pieces {
        match listener.receive(piece) {
            Ok((Some(waiting), Step::More { .. })) => listener = waiting,
            Ok(_) => unreachable!("a session without the secret"),
            Err((fault, _)) => return Some(fault),
        }
    }
    None
}

/// `bytes` as a stream that nobody sealed, and as what an authenticated peer says in its records.
pub fn channel_receive(bytes: &[u8]) {
    let Some((mut sender, mut receiver)) = channels() else { return };
    assert!(
        receiver.receive(bytes).is_ok_and(|said| said.messages.is_empty())
            || receiver.receive(&[]).is_err()
    );

    let Some((_, mut receiver)) = channels() else { return };
    let Ok(sealed) = sender.seal_records(bytes) else { return };
    if let Ok(Received { messages, .. }) = receiver.receive(&sealed) {
        let again = messages.iter().flat_map(|message| {
            let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
            len.to_be_bytes().into_iter().chain(message.iter().copied())
        });
        let again: Vec<u8> = again.collect();
        assert!(bytes.starts_with(&again), "messages are not what was said");
    }

    // And as any kind of record, from the side that dialed and from the other one, which may have
    // asked for fresh keys.
    let Some((kind, bytes)) = bytes.split_first() else { return };
    for is_asked in [false, true] {
        let Some((mut dialer, mut listener)) = channels() else { return };
        if is_asked && dialer.rekey().is_err() {
            return;
        }
        let to_dialer = listener.seal_as(*kind, bytes);
        let to_listener = dialer.seal_as(*kind, bytes);
        for (end, record) in [(&mut dialer, to_dialer), (&mut listener, to_listener)] {
            // It may be sound, and then it may end well or not; but it proves nothing.
            let _ = end.receive(&record);
            assert_eq!(end.changes(), 0, "keys were changed by one record");
        }
    }
}

fn channels() -> Option<(Channel, Channel)> {
    let (dialer, first) = Handshake::initiate(local(&identity(1), None), &mut rng(1));
    let listener = Handshake::respond(local(&identity(2), None), &mut rng(2));
    let Ok((Some(listener), Step::More { send: second })) = listener.receive(&first) else {
        return None;
    };
    let Ok((None, Step::Done { send: third, channel, .. })) = dialer.receive(&second) else {
        return None;
    };
    match listener.receive(&third) {
        Ok((None, Step::Done { channel: other, .. })) => Some((channel, other)),
        Ok(_) | Err(_) => None,
    }
}

/// `bytes` as a datagram, and as the payload of one from a neighbour without a secret.
pub fn sleeve_datagram(bytes: &[u8]) {
    let (me, neighbour) = (PeerName([2; 6]), PeerName([4; 6]));
    let (ours, theirs) = ([1; 32], [9; 32]);
    let index = SessionIndex(0x0102_0304);
    let keys = SessionKeys { ours, theirs, dialed: true, sealed: false };
    let Ok(mut session) = Session::new(Kind::Data, &keys, index) else { return };
    let mut forwarder = Forwarder::new(me, 2);
    forwarder.apply(ForwardingChange::SessionUp {
        session: index,
        remote: index,
        peer: neighbour,
        is_link: true,
        keys,
        to: Some(ANYWHERE),
    });
    let mut sink = Counting { frames: 0 };
    let now = Instant::ZERO;
    forwarder.datagram(now, ANYWHERE, bytes, &mut sink);
    if let Ok(datagram) = session.seal(bytes) {
        forwarder.datagram(now, ANYWHERE, &datagram, &mut sink);
    }
    forwarder.frame(now, bytes, &mut sink);
    assert_eq!(forwarder.counters().received, 2);
    assert_eq!(forwarder.counters().frames_out, sink.frames);
    assert_eq!(forwarder.counters().sent, 0, "there is no route, and no way back");

    let mut left = bytes;
    while let Ok((parcel, rest)) = Parcel::read(left) {
        let again = [&parcel.header()[..], parcel.frame.bytes(), rest].concat();
        assert_eq!(again, left, "a parcel is not written as it was read");
        left = rest;
    }
}

/// `bytes` as a message: it is refused, or written again just as it came.
pub fn message(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    assert_eq!(message.encode(), bytes, "a message is not written as it was read");
    if let Message::Goodbye(goodbye) = message {
        let fault = goodbye.fault(Universe::DEFAULT);
        assert!(!fault.to_string().chars().any(char::is_control), "it could drive a terminal");
        let again = Goodbye::of(&fault).map(|goodbye| goodbye.fault(Universe::DEFAULT));
        assert!(again.is_some(), "{fault:?} is not told as a refusal");
    }
}

/// `bytes` as a record that a peer hands on, and, after a byte that picks a kind, as the body of
/// one that its writer signed.
pub fn record(bytes: &[u8]) {
    if let Ok(record) = codec::decode_canonical::<Record>(bytes) {
        if record.check().is_ok() {
            assert!(record.body.len() <= Record::BODY_LEN_MAX);
        }
        assert!(!record.supersedes(&record), "a record replaces itself");
        bodies(&record);
    }
    let Some((kind, body)) = bytes.split_first() else { return };
    let record = driven::signed(&identity(1), *kind, Version::default(), body.to_vec());
    assert_eq!(record.check(), Ok(()), "what was signed is not believed");
    assert_eq!(codec::decode_canonical(&codec::encode(&record)), Ok(record.clone()));
    bodies(&record);
}

/// Reads the body as each kind there is; what can be read can be written and read again.
fn bodies(record: &Record) {
    again::<Founding>(record.decode());
    again::<Grant>(record.decode());
    again::<Voter>(record.decode());
    again::<Freeze>(record.decode());
    again::<PeerRecord>(record.decode());
    again::<NamesRecord>(record.decode());
    again::<Space>(record.decode());
}

fn again<T>(body: Result<T, RecordFault>)
where
    T: DeserializeOwned + Serialize + PartialEq + core::fmt::Debug,
{
    if let Ok(body) = body {
        assert_eq!(codec::decode::<T>(&codec::encode(&body)), Ok(body));
    }
}

/// `bytes` as what people type: what can be parsed is printed in a form that means the same.
pub fn parse(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    if let Ok(target) = Target::parse(text, 6783) {
        assert_ne!(target.port, 0, "{text:?} has no port that could be dialed");
        assert_eq!(Target::parse(&target.to_string(), 1), Ok(target));
    }
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(Name::try_from(name.to_string()), Ok(name));
    }
    if let Ok(name) = text.parse::<PeerName>() {
        assert_eq!(name.to_string().parse(), Ok(name));
    }
    if let Ok(id) = text.parse::<ContainerId>() {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(universe) = text.parse::<Universe>() {
        assert_eq!(universe.to_string().parse(), Ok(universe));
    }
}

struct Counting {
    frames: u64,
}

impl Sink for Counting {
    fn send(&mut self, _: SocketAddr, datagram: &[u8]) {
        assert!(Session::peek(datagram).is_ok(), "we sent what is no datagram");
    }
    fn deliver(&mut self, frame: &[u8]) {
        assert!(frame.len() >= 14, "half a frame");
        self.frames += 1;
    }
    fn probe(&mut self, _: SocketAddr, datagram: &[u8]) {
        assert!(matches!(Session::peek(datagram), Ok((Kind::Probe, _))), "that is no probe");
    }
    fn wants(&mut self, peer: PeerName) {
        unreachable!("no route leads to {peer}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn random_bytes_break_no_promise(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            handshake_responder(&bytes);
            channel_receive(&bytes);
            sleeve_datagram(&bytes);
            message(&bytes);
            record(&bytes);
            saved(&bytes);
            node_inputs(&bytes);
            parse(&bytes);
        }
    }

    #[test]
    fn bytes_that_come_close_break_no_promise() {
        let (_, first) = Handshake::initiate(local(&identity(1), Some(&SECRET)), &mut rng(1));
        handshake_responder(&first);
        channel_receive(&[0, 0, 0, 2, b'h', b'i', 0, 0, 0, 0, 0, 0, 0, 9]);
        let parcel = [4, 4, 4, 4, 4, 4, 0, 0, 0, 0, 0, 0, 1, 0, 14];
        let frame = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0];
        sleeve_datagram(&[&parcel[..], &frame, &parcel[..], &frame].concat());
    }
}
