//! The body of the fuzz target for questions: it panics when it finds something.

use super::handler::Handler;
use super::zone::Room;
use super::{TTL, Upstreams, Zone, ZoneOptions};
use crate::names::{NameIndex, SharedIndex};
use futures_util::FutureExt as _;
use hickory_proto::op::{Message, MessageType, ResponseCode};
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
/// is no longer than it allows, and is the same in both unless it was cut. What is said without a look at the
/// whole is the same, too.
///
/// # Panics
/// When it is not so.
pub fn question(bytes: &[u8]) {
    let udp = answer(bytes, Protocol::Udp);
    let tcp = answer(bytes, Protocol::Tcp);
    assert_eq!(udp.is_some(), tcp.is_some(), "one transport answers");
    if let Some(plain) = answer_plain(bytes) {
        // It may just fit where the whole server cuts its own, which is there over TCP.
        let whole = udp.as_ref().filter(|it| !it.metadata.truncation).or(tcp.as_ref());
        assert!(whole.map(sorted) == Some(sorted(&plain)), "the short way leads to {plain}");
    }
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
    let from = SocketAddr::from(([10, 32, 0, 9], 53_000));
    let said = HANDLER.answer(bytes.to_vec(), from, protocol).now_or_never();
    assert!(said.is_some(), "it waits, and there is nobody to wait for");
    let said = said.flatten()?;
    let answer = read(&said);
    assert_eq!(answer.metadata.message_type, MessageType::Response);
    if answer.metadata.response_code == ResponseCode::FormErr && answer.queries.is_empty() {
        // It cannot be read, and all that is said of it is whose it is.
        assert_eq!(said.get(..2), bytes.get(..2));
        assert!(answer.answers.is_empty() && answer.authorities.is_empty());
        return None;
    }
    let asked = read(bytes);
    look(&asked, &answer, said.len(), protocol);
    Some(answer)
}

/// What is said to `bytes` over UDP without a look at the whole, once it has been looked at.
fn answer_plain(bytes: &[u8]) -> Option<Message> {
    let mut room = Room::default();
    let said = HANDLER.answer_plain(bytes, &mut room)?;
    let answer = read(said);
    look(&read(bytes), &answer, said.len(), Protocol::Udp);
    // Whoever asks in a case of its own choice looks for it in the answer.
    let question = bytes.len() - usize::from(answer.edns.is_some()) * OPT_LEN;
    assert_eq!(said.get(HEAD_LEN..question), bytes.get(HEAD_LEN..question));
    Some(answer)
}

fn read(bytes: &[u8]) -> Message {
    Message::from_vec(bytes).unwrap_or_else(|why| unreachable!("{why}: {bytes:?}"))
}

/// Looks at an answer of `len` bytes.
fn look(asked: &Message, answer: &Message, len: usize, protocol: Protocol) {
    let is_udp = protocol == Protocol::Udp;
    let room = if is_udp { asked.max_payload().clamp(512, UDP_MAX) } else { u16::MAX };
    assert!(len <= usize::from(room), "{len} bytes in place of {room}");
    assert_eq!(answer.metadata.message_type, MessageType::Response);
    assert_eq!(answer.metadata.id, asked.metadata.id);
    assert_eq!(answer.queries, asked.queries);
    assert_eq!(answer.edns.is_some(), asked.edns.is_some());
}

/// `message` with its answers in an order that does not change.
fn sorted(message: &Message) -> Message {
    let mut message = message.clone();
    message.answers.sort_by_key(ToString::to_string);
    message
}

/// Lengths of the head of a message, and of an OPT record without options, in bytes.
const HEAD_LEN: usize = 12;
const OPT_LEN: usize = 11;

static HANDLER: LazyLock<Handler> = LazyLock::new(handler);

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
    names.update([((me, 0), entries.into_iter().collect())]);
    let range = Universe::DEFAULT;
    let options = ZoneOptions { domain: name("weft.local"), range, ttl: TTL, prefers_here: true };
    let upstreams = Upstreams::new("/nonexistent".into(), super::address::PORT, Vec::new());
    Handler::new(Zone::new(options, names), Arc::new(upstreams))
}

fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|why| unreachable!("{why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{Edns, Query};
    use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
    use hickory_proto::rr::{DNSClass, Name, RecordType};
    use proptest::prelude::*;

    fn asked(name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    #[test]
    fn what_clients_mostly_ask_is_plain() {
        let backwards = |address: &str| {
            let name = Name::from(address.parse::<std::net::IpAddr>().unwrap());
            (name.to_ascii(), RecordType::PTR)
        };
        let names = [
            ("db.weft.local.", RecordType::A),
            ("DB.weft.LOCAL.", RecordType::AAAA),
            ("db.", RecordType::A),
            ("_x-1.weft.local.", RecordType::AAAA),
            ("b.weft.local.", RecordType::A),
            ("nobody.weft.local.", RecordType::AAAA),
        ];
        let names = names.into_iter().map(|(name, kind)| (name.to_owned(), kind));
        for (name, kind) in names.chain([backwards("10.32.0.7"), backwards("fd00::7")]) {
            for with_edns in [false, true] {
                let mut message = asked(&name, kind);
                message.edns = with_edns.then(Edns::new);
                let bytes = message.to_vec().unwrap();
                assert!(answer_plain(&bytes).is_some(), "{name} {kind}");
                question(&bytes);
            }
        }
    }

    #[test]
    fn what_is_not_ours_or_has_no_short_answer_is_not_plain() {
        for (name, kind) in [
            ("example.com.", RecordType::A),
            (".", RecordType::A),
            ("com.", RecordType::A),
            ("nobody.", RecordType::A),
            ("weft.local.", RecordType::A),
            ("xweft.local.", RecordType::A),
            ("a\\.b.weft.local.", RecordType::A),
            ("db.weft.local.", RecordType::ANY),
            ("db.weft.local.", RecordType::TXT),
            ("_http._tcp.b.weft.local.", RecordType::SRV),
            ("9.0.32.10.in-addr.arpa.", RecordType::PTR),
            ("32.10.in-addr.arpa.", RecordType::PTR),
            ("7.0.32.10.in-addr.arpa.", RecordType::A),
            // More than 512 bytes hold.
            ("many.weft.local.", RecordType::A),
        ] {
            let bytes = asked(name, kind).to_vec().unwrap();
            assert!(answer_plain(&bytes).is_none(), "{name} {kind}");
            question(&bytes);
        }
    }

    #[test]
    fn a_plain_answer_takes_all_the_room_there_is_and_no_more() {
        let mut message = asked("many.weft.local.", RecordType::A);
        // The head, the question, 200 records and the OPT record.
        let len = 12 + 21 + 200 * 16 + 11;
        for (payload, fits) in [(len, true), (len - 1, false)] {
            message.edns.get_or_insert_with(Edns::new).set_max_payload(payload);
            let bytes = message.to_vec().unwrap();
            assert_eq!(answer_plain(&bytes).is_some(), fits, "{payload}");
            question(&bytes);
        }
    }

    /// Names that are ours, and names that nearly are, with letters in any case.
    fn names() -> impl Strategy<Value = String> {
        let labels = "[a-b_x1-]{1,3}|db|many|_http|_tcp|no|weft|local|arpa|ip6|in-addr|10|32|0|7";
        let ends = prop_oneof![
            Just(".weft.local"),
            Just(".WEFT.local"),
            Just("7.0.32.10.IN-addr.arpa"),
            Just(".32.10.in-addr.arpa"),
            Just("")
        ];
        let name = (proptest::collection::vec(labels, 0..4), ends, any::<u64>());
        name.prop_map(|(labels, end, upper)| {
            let text = format!("{}{end}.", labels.join("."));
            let letters = text.chars().enumerate().map(|(at, char)| {
                if upper >> (at % 64) & 1 == 1 { char.to_ascii_uppercase() } else { char }
            });
            letters.collect()
        })
    }

    fn questions() -> impl Strategy<Value = Message> {
        let kinds = vec![
            RecordType::A,
            RecordType::AAAA,
            RecordType::PTR,
            RecordType::ANY,
            RecordType::TXT,
        ];
        let edns = (any::<u16>(), any::<bool>(), 0_u8..20);
        let edns = edns.prop_map(|(payload, dnssec_ok, option)| {
            let mut edns = Edns::new();
            edns.set_max_payload(payload).set_dnssec_ok(dnssec_ok);
            edns.set_version(u8::from(option == 1));
            if option == 0 {
                edns.options_mut().insert(EdnsOption::Unknown(EdnsCode::Cookie.into(), vec![7; 8]));
            }
            edns
        });
        let edns = proptest::option::of(edns);
        let flags = any::<[bool; 3]>();
        let what = (names(), proptest::sample::select(kinds), 0_u8..20);
        (any::<u16>(), flags, what, edns).prop_filter_map(
            "a name that is none",
            |(id, flags, (name, kind, class), edns)| {
                let mut query = Query::query(Name::from_ascii(&name).ok()?, kind);
                if class == 0 {
                    query.set_query_class(DNSClass::CH);
                }
                let mut message = Message::query();
                message.metadata.id = id;
                [
                    message.metadata.recursion_desired,
                    message.metadata.authentic_data,
                    message.metadata.checking_disabled,
                ] = flags;
                message.add_query(query);
                message.edns = edns;
                Some(message)
            },
        )
    }

    proptest! {
        /// Both ways to an answer lead to the same, whatever is asked, also where it is damaged.
        #[test]
        fn a_plain_answer_is_that_of_the_whole_server(
            message in questions(),
            damage in proptest::option::weighted(0.3, (any::<proptest::sample::Index>(), any::<u8>())),
        ) {
            let mut bytes = message.to_vec().unwrap();
            if let Some((at, byte)) = damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            question(&bytes);
        }
    }
}
