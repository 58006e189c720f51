//! The body of the fuzz target for questions: it panics when it finds something.

use super::handler::Handler;
use super::{TTL, Upstreams, Zone, ZoneOptions};
use crate::names::{NameIndex, SharedIndex};
use futures_util::FutureExt as _;
use hickory_proto::op::{Message, MessageType};
use hickory_server::net::xfer::Protocol;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::{Arc, LazyLock};
use weft_core::addr::Universe;
use weft_core::id::{ContainerId, PeerId};
use weft_core::names::{Name, NameEntry, NameValue, Service};

/// Largest answer over UDP, whatever is asked for.
const UDP_MAX: u16 = 4096;

/// Takes `bytes` for a question, over UDP and over TCP. What is said to it can be read, is an answer to it,
/// is no longer than it allows, and is the same in both unless it was cut.
///
/// # Panics
/// When it is not so.
pub fn question(bytes: &[u8]) {
    let udp = answer(bytes, Protocol::Udp);
    let tcp = answer(bytes, Protocol::Tcp);
    assert_eq!(udp.is_some(), tcp.is_some(), "one transport answers");
    let (Some(udp), Some(tcp)) = (udp, tcp) else { return };
    assert!(!tcp.metadata.truncation, "cut over TCP");
    assert_eq!(udp.metadata.response_code, tcp.metadata.response_code);
    let said = |answer: &Message| -> BTreeSet<String> {
        answer.answers.iter().map(ToString::to_string).collect()
    };
    assert!(said(&udp).is_subset(&said(&tcp)), "{udp} and {tcp}");
    assert!(udp.metadata.truncation || said(&udp) == said(&tcp), "{udp} and {tcp}");
}

/// What is said to `bytes`, once it has been looked at.
fn answer(bytes: &[u8], protocol: Protocol) -> Option<Message> {
    static HANDLER: LazyLock<Handler> = LazyLock::new(handler);
    let from = SocketAddr::from(([10, 32, 0, 9], 53_000));
    let said = HANDLER.answer(bytes.to_vec(), from, protocol).now_or_never();
    assert!(said.is_some(), "it waits, and there is nobody to wait for");
    let said = said.flatten()?;
    let answer = Message::from_vec(&said).unwrap_or_else(|why| unreachable!("{why}: {said:?}"));
    let asked = Message::from_vec(bytes).unwrap_or_else(|why| unreachable!("{why}: {answer}"));
    let is_udp = protocol == Protocol::Udp;
    let room = if is_udp { asked.max_payload().clamp(512, UDP_MAX) } else { u16::MAX };
    assert!(said.len() <= usize::from(room), "{} bytes in place of {room}", said.len());
    assert_eq!(answer.metadata.message_type, MessageType::Response);
    assert_eq!(answer.metadata.id, asked.metadata.id);
    assert_eq!(answer.queries, asked.queries);
    assert_eq!(answer.edns.is_some(), asked.edns.is_some());
    Some(answer)
}

/// One that has names of all kinds, and nobody to ask for others.
fn handler() -> Handler {
    let me = PeerId([0; 32]);
    let names = SharedIndex::new(NameIndex::new(me));
    let many = (1..=200).map(|last| ("many.weft.local", NameValue::V4([10, 32, 1, last].into())));
    let text = |strings: &[&str]| {
        let strings: Vec<String> = strings.iter().map(ToString::to_string).collect();
        NameValue::Text(strings.try_into().unwrap_or_else(|why| unreachable!("{why}")))
    };
    let service = |priority, port, target| {
        let target = name(target);
        NameValue::Service(Service { priority, weight: 5, port, target })
    };
    let ports = (1..=40).filter_map(NonZeroU16::new);
    let services = ports.flat_map(|port| {
        let hosts = ["db.weft.local", "many.weft.local", "elsewhere.example"];
        hosts.map(|host| ("_http._tcp.b.weft.local", service(port.get() % 3, port, host)))
    });
    let others = [
        ("db.weft.local", NameValue::V4([10, 32, 0, 7].into())),
        ("db.weft.local", NameValue::V6([0xfd00, 0, 0, 0, 0, 0, 0, 7].into())),
        ("db.weft.local", text(&["a=b", "", &"x".repeat(255)])),
        ("a.b.weft.local", NameValue::V4([10, 32, 0, 8].into())),
        ("_x-1.weft.local", NameValue::V4([192, 0, 2, 1].into())),
    ];
    let entry = |(text, value)| NameEntry { name: name(text), value, id: ContainerId::external() };
    let entries: BTreeSet<NameEntry> = many.chain(others).chain(services).map(entry).collect();
    names.update([(me, entries.into_iter().collect())]);
    let range = Universe::DEFAULT;
    let options = ZoneOptions { domain: name("weft.local"), range, ttl: TTL, prefers_here: true };
    let upstreams = Upstreams::new("/nonexistent".into(), super::address::PORT, Vec::new());
    Handler::new(Zone::new(options, names), Arc::new(upstreams))
}

fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|why| unreachable!("{why}"))
}
