//! The whole server on loopback, asked with raw messages; other servers are played by the test.

use super::*;
use crate::names::{NameIndex, SharedIndex};
use crate::testing::TempDir;
use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use weft_core::addr::Universe;
use weft_core::id::PeerId;
use weft_core::names::{NameEntry, NameValue, NamesPage, PageKey, Service, Text};

struct Bed {
    at: SocketAddr,
    upstream: UdpSocket,
    upstream_tcp: TcpListener,
    names: SharedIndex,
    _server: DnsServer,
    _dir: TempDir,
}

/// What a peer says.
fn said(names: &[(&str, &str)]) -> [(PageKey, NamesPage); 1] {
    let entry = |(name, address): &(&str, &str)| NameEntry {
        name: name.parse().unwrap(),
        value: address.parse::<IpAddr>().unwrap().into(),
        id: "c".parse().unwrap(),
    };
    let entries: std::collections::BTreeSet<_> = names.iter().map(entry).collect();
    [((PeerId([0; 32]), 0), entries.into_iter().collect())]
}

/// UDP and TCP on one free port.
async fn pair() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn bed(names: &[(&str, &str)]) -> Bed {
    bed_that(false, Vec::new(), names).await
}

async fn bed_that(prefers_here: bool, forwards: Vec<Forward>, names: &[(&str, &str)]) -> Bed {
    let dir = TempDir::new();
    let file = dir.join("resolv.conf");
    std::fs::write(&file, "nameserver 127.0.0.1\n").unwrap();
    let (upstream, upstream_tcp) = pair().await;
    let port = upstream.local_addr().unwrap().port();
    let index = SharedIndex::new(NameIndex::new(PeerId([0; 32])));
    index.update(said(names));
    let options = ZoneOptions {
        domain: "weft.local".parse().unwrap(),
        range: Universe::DEFAULT,
        ttl: TTL,
        prefers_here,
    };
    let zone = Zone::new(options, index.clone());
    let (udp, tcp) = pair().await;
    let at = udp.local_addr().unwrap();
    let udp = udp.into_std().unwrap();
    udp.set_nonblocking(false).unwrap();
    let upstreams = Arc::new(Upstreams::new(file, port, forwards));
    let _server = DnsServer::start((udp, tcp), Arc::new(Handler::new(zone, upstreams))).unwrap();
    Bed { at, upstream, upstream_tcp, names: index, _server, _dir: dir }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 77;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

impl Bed {
    async fn ask(&self, message: &Message) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.at).await.unwrap();
        socket.send(&message.to_vec().unwrap()).await.unwrap();
        let mut buffer = [0; 65535];
        let len = socket.recv(&mut buffer).await.unwrap();
        assert!(len <= usize::from(message.max_payload()));
        Message::from_vec(&buffer[..len]).unwrap()
    }

    async fn ask_tcp(&self, message: &Message) -> Message {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        let bytes = message.to_vec().unwrap();
        stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut answer).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }
}

fn addresses(message: &Message) -> Vec<IpAddr> {
    let address = |data: &RData| data.ip_addr();
    let mut found: Vec<IpAddr> =
        message.answers.iter().filter_map(|record| address(&record.data)).collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn a_name_is_answered_in_whatever_case_and_with_or_without_the_domain() {
    let bed = bed(&[("db.weft.local", "10.32.0.7"), ("db.weft.local", "10.32.0.8")]).await;
    for name in ["db.weft.local.", "DB.Weft.LOCAL.", "db."] {
        let answer = bed.ask(&question(name, RecordType::A)).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
        assert_eq!(
            addresses(&answer),
            ["10.32.0.7", "10.32.0.8"].map(|a| a.parse::<IpAddr>().unwrap())
        );
        assert_eq!(answer.queries[0].name().to_ascii(), name);
        assert_eq!(answer.answers[0].name.to_ascii(), name);
        assert_eq!(answer.answers[0].ttl, 1);
    }
}

#[tokio::test]
async fn what_is_here_is_answered_first_when_that_is_wanted() {
    let bed = bed_that(true, Vec::new(), &[("db.weft.local", "10.32.0.7")]).await;
    let there = |n: u8| NameEntry {
        name: "db.weft.local".parse().unwrap(),
        value: NameValue::V4([10, 32, 1, n].into()),
        id: "c".parse().unwrap(),
    };
    let [here] = said(&[("db.weft.local", "10.32.0.7")]);
    bed.names.update([here, ((PeerId([1; 32]), 0), (0..9).map(there).collect())]);
    let mut others = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let answer = bed.ask(&question("db.weft.local.", RecordType::A)).await;
        let address = |at: usize| answer.answers[at].data.ip_addr().unwrap();
        assert_eq!(address(0), IpAddr::from([10, 32, 0, 7]));
        others.insert(address(1));
    }
    assert!(others.len() > 1, "the others are not shuffled");
}

#[tokio::test]
async fn a_name_of_another_type_differs_from_no_name_and_both_carry_the_soa() {
    let bed = bed(&[("x.db.weft.local", "10.32.0.7")]).await;
    let cases = [
        ("x.db.weft.local.", RecordType::AAAA, ResponseCode::NoError),
        ("x.db.weft.local.", RecordType::MX, ResponseCode::NoError),
        ("db.weft.local.", RecordType::A, ResponseCode::NoError),
        ("weft.local.", RecordType::A, ResponseCode::NoError),
        ("no.weft.local.", RecordType::A, ResponseCode::NXDomain),
        ("9.0.32.10.in-addr.arpa.", RecordType::PTR, ResponseCode::NXDomain),
        ("32.10.in-addr.arpa.", RecordType::PTR, ResponseCode::NoError),
    ];
    for (name, kind, code) in cases {
        let answer = bed.ask(&question(name, kind)).await;
        assert_eq!(answer.metadata.response_code, code, "{name} {kind}");
        assert_eq!(answer.answers, []);
        let soa = &answer.authorities[0];
        assert!(matches!(&soa.data, RData::SOA(soa) if soa.minimum == 1), "{name} {kind}");
        // One that is not of the zone asked for is none (RFC 2308 section 2).
        assert!(soa.name.zone_of(&Name::from_ascii(name).unwrap()), "{name}: {}", soa.name);
    }
}

#[tokio::test]
async fn each_zone_names_its_server_and_its_soa() {
    let bed = bed(&[]).await;
    for zone in ["weft.local.", "32.10.in-addr.arpa."] {
        for kind in [RecordType::NS, RecordType::SOA] {
            let answer = bed.ask(&question(zone, kind)).await;
            let kinds: Vec<_> = answer.answers.iter().map(Record::record_type).collect();
            assert_eq!(kinds, [kind], "{zone}");
        }
    }
}

#[tokio::test]
async fn an_asker_with_too_many_streams_is_hung_up_on_and_others_go_on() {
    let bed = bed(&[("db.weft.local", "10.32.0.7")]).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(bed.at).await.unwrap());
    }
    let mut ended = 0;
    for stream in &mut silent {
        let mut byte = [0];
        let read = stream.read(&mut byte);
        let read = tokio::time::timeout(std::time::Duration::from_millis(50), read).await;
        ended += usize::from(read.is_ok());
    }
    assert_eq!(ended, 24, "an asker may have 16");
    drop(silent);
    let answer = bed.ask_tcp(&question("db.weft.local.", RecordType::A)).await;
    assert_eq!(answer.answers.len(), 1);
}

#[tokio::test]
async fn an_address_is_answered_with_its_names_in_both_families() {
    let bed = bed(&[("db.weft.local", "10.32.0.7"), ("six.weft.local", "fd00::7")]).await;
    let answer = bed.ask(&question("7.0.32.10.in-addr.arpa.", RecordType::PTR)).await;
    assert!(
        matches!(&answer.answers[0].data, RData::PTR(to) if to.0.to_ascii() == "db.weft.local.")
    );
    let answer = bed.ask(&question("six.weft.local.", RecordType::AAAA)).await;
    assert_eq!(addresses(&answer), ["fd00::7".parse::<IpAddr>().unwrap()]);
}

#[tokio::test]
async fn a_server_that_is_dropped_has_ended_and_its_address_is_free() {
    let Bed { at, _server, .. } = bed(&[]).await;
    assert!(UdpSocket::bind(at).await.is_err());
    drop(_server);
    UdpSocket::bind(at).await.unwrap();
}

/// What a peer says: names for services on port 80 of hosts, in the order of their priority.
fn services<'a>(services: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = NameEntry> + use<'a> {
    services.iter().zip(0..).map(|((name, target), priority)| {
        let port = std::num::NonZeroU16::new(80).unwrap();
        let target = target.parse().unwrap();
        let value = NameValue::Service(Service { priority, weight: 7, port, target });
        NameEntry { name: name.parse().unwrap(), value, id: "c".parse().unwrap() }
    })
}

impl Bed {
    /// Has the peer say `entries` besides what it said.
    fn also(&self, before: &[(&str, &str)], entries: impl Iterator<Item = NameEntry>) {
        let [(peer, said)] = said(before);
        let all: std::collections::BTreeSet<_> = said.iter().cloned().chain(entries).collect();
        self.names.update([(peer, all.into_iter().collect())]);
    }
}

#[tokio::test]
async fn a_service_is_answered_by_priority_with_the_addresses_of_its_hosts() {
    let bed = bed(&[]).await;
    let hosts = [("web.weft.local", "10.32.0.7"), ("web.weft.local", "fd00::7")];
    let name = "_http._tcp.weft.local";
    let all = [(name, "elsewhere.example"), (name, "web.weft.local"), (name, "gone.weft.local")];
    bed.also(&hosts, services(&all));
    for _ in 0..20 {
        let answer = bed.ask(&question("_HTTP._tcp.weft.local.", RecordType::SRV)).await;
        assert!(answer.metadata.authoritative && !answer.metadata.truncation);
        let said: Vec<_> = answer.answers.iter().map(|it| it.data.to_string()).collect();
        let expected =
            ["0 7 80 elsewhere.example.", "1 7 80 web.weft.local.", "2 7 80 gone.weft.local."];
        assert_eq!(said, expected);
        let along: Vec<_> = answer
            .additionals
            .iter()
            .map(|it| (it.name.to_string(), it.data.to_string()))
            .collect();
        let web = |address: &str| ("web.weft.local.".to_owned(), address.to_owned());
        assert_eq!(along, [web("10.32.0.7"), web("fd00::7")]);
    }
    // It exists, and is no host.
    let answer = bed.ask(&question("_http._tcp.weft.local.", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.answers.is_empty() && answer.authorities.len() == 1);
}

#[tokio::test]
async fn an_answer_without_room_for_the_addresses_of_hosts_is_whole_and_has_all_of_one_or_none() {
    let bed = bed(&[]).await;
    let text: Vec<String> = (1..=25).map(|n| format!("10.32.0.{n}")).collect();
    let small = [("a.weft.local", "10.32.1.1"), ("a.weft.local", "fd00::1")];
    let many = text.iter().map(|address| ("many.weft.local", address.as_str()));
    let hosts: Vec<_> = small.into_iter().chain(many).collect();
    let name = "_http._tcp.weft.local";
    bed.also(&hosts, services(&[(name, "a.weft.local"), (name, "many.weft.local")]));
    for room in [None, Some(512), Some(1232)] {
        let mut ask = question("_http._tcp.weft.local.", RecordType::SRV);
        if let Some(room) = room {
            ask.edns.get_or_insert_with(Edns::new).set_max_payload(room);
        }
        let answer = bed.ask(&ask).await;
        assert_eq!((answer.answers.len(), answer.metadata.truncation), (2, false), "{room:?}");
        let along = if room == Some(1232) { 27 } else { 2 };
        assert_eq!(answer.additionals.len(), along, "{room:?}: {answer}");
        assert_eq!(answer.edns.is_some(), room.is_some());
    }
    // More than anybody connects to is not sent along, over TCP either.
    let crowd: Vec<String> = (1..=65).map(|n| format!("10.32.2.{n}")).collect();
    let crowd = crowd.iter().map(|address| ("crowd.weft.local", address.as_str()));
    let hosts: Vec<_> = small.into_iter().chain(crowd).collect();
    bed.also(&hosts, services(&[(name, "crowd.weft.local"), (name, "a.weft.local")]));
    let answer = bed.ask_tcp(&question("_http._tcp.weft.local.", RecordType::SRV)).await;
    assert_eq!((answer.answers.len(), answer.additionals.len()), (2, 2));
}

#[tokio::test]
async fn a_text_is_answered_string_by_string_also_when_it_is_the_longest() {
    let bed = bed(&[]).await;
    let labels = |len| "x".repeat(len);
    let name = format!(
        "{0}.{0}.{0}.{1}.weft.local",
        labels(63),
        labels(253 - 3 * 64 - ".weft.local".len())
    );
    let strings = [labels(255), labels(255), labels(127)];
    let text: Text = strings.to_vec().try_into().unwrap();
    let value = NameValue::Text(text);
    let entry = NameEntry { name: name.parse().unwrap(), value, id: "c".parse().unwrap() };
    bed.also(&[], std::iter::once(entry));
    let mut ask = question(&format!("{name}."), RecordType::TXT);
    ask.edns.get_or_insert_with(Edns::new).set_max_payload(1232);
    let answer = bed.ask(&ask).await;
    assert!(!answer.metadata.truncation);
    let RData::TXT(said) = &answer.answers[0].data else { panic!("{answer}") };
    assert!(said.txt_data.iter().map(|it| &it[..]).eq(strings.iter().map(String::as_bytes)));
}

#[tokio::test]
async fn a_name_that_was_added_is_answered_at_once_and_no_longer_once_removed() {
    let bed = bed(&[]).await;
    let ask = question("db.weft.local.", RecordType::A);
    assert_eq!(bed.ask(&ask).await.metadata.response_code, ResponseCode::NXDomain);
    bed.names.update(said(&[("db.weft.local", "10.32.0.7")]));
    assert_eq!(bed.ask(&ask).await.answers.len(), 1);
    bed.names.update(said(&[]));
    assert_eq!(bed.ask(&ask).await.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn what_does_not_fit_is_cut_and_marked_and_comes_whole_over_tcp_or_with_edns() {
    let text: Vec<String> = (1..=60).map(|n| format!("10.32.0.{n}")).collect();
    let names: Vec<_> = text.iter().map(|address| ("db.weft.local", address.as_str())).collect();
    let bed = bed(&names).await;
    let mut ask = question("db.weft.local.", RecordType::A);
    let cut = bed.ask(&ask).await;
    assert!(cut.metadata.truncation && cut.answers.len() < 60);
    let whole = bed.ask_tcp(&ask).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 60);
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    ask.set_edns(edns);
    let whole = bed.ask(&ask).await;
    assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 60));
    assert_eq!(whole.edns.unwrap().max_payload(), 1232);
}

#[tokio::test]
async fn an_answer_that_fills_all_room_has_its_opt_record_all_the_same() {
    let text: Vec<String> = (1..=60).map(|n| format!("10.32.0.{n}")).collect();
    let names: Vec<_> = text.iter().map(|address| ("many.weft.local", address.as_str())).collect();
    let bed = bed(&names).await;
    // The records of an answer are 16 bytes each: some of these rooms are filled to the last byte.
    for room in 512..=528 {
        let mut ask = question("many.weft.local.", RecordType::A);
        ask.edns.get_or_insert_with(Edns::new).set_max_payload(room);
        let cut = bed.ask(&ask).await;
        assert!(cut.metadata.truncation && cut.answers.len() > 25, "{room}: {cut}");
        assert_eq!(cut.edns.map(|edns| edns.max_payload()), Some(room));
    }
}

#[tokio::test]
async fn answers_come_in_changing_order() {
    let bed = bed(&[("db.weft.local", "10.32.0.7"), ("db.weft.local", "10.32.0.8")]).await;
    let ask = question("db.weft.local.", RecordType::A);
    let mut firsts = std::collections::BTreeSet::new();
    // Two alike 64 times in a row: once in 2^63 runs.
    for _ in 0..64 {
        firsts.insert(bed.ask(&ask).await.answers[0].data.ip_addr());
    }
    assert_eq!(firsts.len(), 2);
}

#[tokio::test]
async fn other_names_are_asked_of_the_hosts_name_server_in_the_same_transport() {
    let bed = bed(&[]).await;
    let ask = question("example.com.", RecordType::A);
    let reply = |bytes: &[u8], address| reply(bytes, address).to_vec().unwrap();
    let serve_udp = async {
        let mut buffer = [0; 512];
        let (len, from) = bed.upstream.recv_from(&mut buffer).await.unwrap();
        bed.upstream.send_to(b"noise", from).await.unwrap();
        bed.upstream.send_to(&reply(&buffer[..len], [192, 0, 2, 1]), from).await.unwrap();
    };
    let (answer, ()) = tokio::join!(bed.ask(&ask), serve_udp);
    assert_eq!(addresses(&answer), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    assert_eq!((answer.metadata.id, answer.answers[0].ttl), (77, 300));
    assert!(answer.metadata.authentic_data && !answer.metadata.authoritative);
    let serve_tcp = async {
        let (mut stream, _) = bed.upstream_tcp.accept().await.unwrap();
        let mut bytes = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut bytes).await.unwrap();
        let reply = reply(&bytes, [192, 0, 2, 2]);
        stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&reply).await.unwrap();
    };
    let (answer, ()) = tokio::join!(bed.ask_tcp(&ask), serve_tcp);
    assert_eq!(addresses(&answer), ["192.0.2.2".parse::<IpAddr>().unwrap()]);
}

/// What a server says to the question in `bytes`.
fn reply(bytes: &[u8], address: [u8; 4]) -> Message {
    let mut message = Message::from_vec(bytes).unwrap();
    message.metadata.message_type = MessageType::Response;
    message.metadata.authentic_data = true;
    let name = message.queries[0].name().clone();
    let data = RData::A(hickory_proto::rr::rdata::A(address.into()));
    message.add_answer(Record::from_rdata(name, 300, data));
    message
}

#[tokio::test]
async fn names_of_a_domain_with_servers_of_its_own_are_asked_there() {
    let (theirs, _tcp) = pair().await;
    let forward = format!("corp.example={}", theirs.local_addr().unwrap());
    let bed = bed_that(false, vec![forward.parse().unwrap()], &[]).await;
    let serve = async |socket: &UdpSocket, address| {
        let mut buffer = [0; 512];
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        let reply = reply(&buffer[..len], address).to_vec().unwrap();
        socket.send_to(&reply, from).await.unwrap();
    };
    for (name, socket) in [("WWW.corp.example.", &theirs), ("www.example.", &bed.upstream)] {
        let address = [192, 0, 2, 7];
        let ask = question(name, RecordType::A);
        let (answer, ()) = tokio::join!(bed.ask(&ask), serve(socket, address));
        assert_eq!(addresses(&answer), [IpAddr::from(address)], "{name}");
    }
}

#[tokio::test]
async fn what_answers_another_question_is_passed_over() {
    let bed = bed(&[]).await;
    let ask = question("example.com.", RecordType::A);
    let serve = async {
        let mut buffer = [0; 512];
        let (len, from) = bed.upstream.recv_from(&mut buffer).await.unwrap();
        let asked = &buffer[..len];
        let lie = |change: fn(&mut Message)| {
            let mut message = reply(asked, [203, 0, 113, 1]);
            change(&mut message);
            message.to_vec().unwrap()
        };
        let lies = [
            lie(|it| it.metadata.id ^= 1),
            lie(|it| it.metadata.message_type = MessageType::Query),
            lie(|it| it.queries = question("example.net.", RecordType::A).queries),
            lie(|it| it.queries = question("example.com.", RecordType::AAAA).queries),
            vec![0xff; 65_000],
            Vec::new(),
        ];
        for lie in &lies {
            bed.upstream.send_to(lie, from).await.unwrap();
        }
        let forger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // It may be told that nobody listens to it.
        let _ = forger.send_to(&lie(|_| {}), from).await;
        let truth = reply(asked, [192, 0, 2, 1]).to_vec().unwrap();
        bed.upstream.send_to(&truth, from).await.unwrap();
        Message::from_vec(asked).unwrap().metadata.id
    };
    let (answer, first) = tokio::join!(bed.ask(&ask), serve);
    assert_eq!(addresses(&answer), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(answer.metadata.id, 77);
    let again = async {
        let mut buffer = [0; 512];
        let (len, from) = bed.upstream.recv_from(&mut buffer).await.unwrap();
        let truth = reply(&buffer[..len], [192, 0, 2, 1]);
        bed.upstream.send_to(&truth.to_vec().unwrap(), from).await.unwrap();
        truth.metadata.id
    };
    let ask = question("example.org.", RecordType::A);
    let (_, second) = tokio::join!(bed.ask(&ask), again);
    assert!((first, second) != (77, 77), "the client's id is passed on");
}

/// What makes another answer of one.
type Change = fn(&mut Message);

/// Serves one question: what it asks for is changed by `say`.
async fn serve(socket: &UdpSocket, say: impl FnOnce(&mut Message)) {
    let mut buffer = [0; 512];
    let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
    let mut message = reply(&buffer[..len], [192, 0, 2, 1]);
    say(&mut message);
    socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
}

#[tokio::test]
async fn an_answer_is_kept_for_as_long_as_it_may_and_shared_by_those_who_wait_for_it() {
    let bed = bed(&[]).await;
    let ask = question("example.com.", RecordType::A);
    let all = async { tokio::join!(bed.ask(&ask), bed.ask(&ask), bed.ask(&ask)) };
    let (answers, ()) = tokio::join!(all, serve(&bed.upstream, |_| {}));
    for answer in [answers.0, answers.1, answers.2] {
        assert_eq!(addresses(&answer), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    }
    // Nobody serves this one.
    let again = bed.ask(&ask).await;
    assert!(again.answers[0].ttl <= 300 && !again.metadata.authoritative);
    // With proof it is another question.
    let mut with_proof = ask.clone();
    with_proof.edns.get_or_insert_with(Edns::new).set_dnssec_ok(true);
    let (answer, ()) = tokio::join!(bed.ask(&with_proof), serve(&bed.upstream, |_| {}));
    assert_eq!(answer.answers.len(), 1);
}

#[tokio::test]
async fn what_was_kept_for_its_time_is_asked_for_again_and_kept_again() {
    let bed = bed(&[]).await;
    let ask = question("example.com.", RecordType::A);
    let ttl = std::time::Duration::from_secs(1);
    for _ in 0..2 {
        let say = |it: &mut Message| it.answers[0].ttl = 1;
        tokio::join!(bed.ask(&ask), serve(&bed.upstream, say)).0;
        // Nobody serves this one.
        assert_eq!(bed.ask(&ask).await.answers.len(), 1);
        tokio::time::sleep(ttl).await;
    }
}

#[tokio::test]
async fn what_may_not_be_kept_is_asked_for_again() {
    let bed = bed(&[]).await;
    let cases: [(&str, Change); 4] = [
        ("failed.example.", |it| it.metadata.response_code = ResponseCode::ServFail),
        ("cut.example.", |it| it.metadata.truncation = true),
        ("at-once.example.", |it| it.answers[0].ttl = 0),
        ("nothing.example.", |it| it.answers.clear()),
    ];
    for (name, say) in cases {
        let ask = question(name, RecordType::A);
        for _ in 0..2 {
            tokio::join!(bed.ask(&ask), serve(&bed.upstream, say)).0;
        }
    }
    // That there is none is kept when it comes with how long.
    let ask = question("none.example.", RecordType::A);
    let say = |it: &mut Message| {
        it.answers.clear();
        it.metadata.response_code = ResponseCode::NXDomain;
        let (ns, contact) = (Name::from_ascii("ns.example.").unwrap(), Name::root());
        let soa = hickory_proto::rr::rdata::SOA::new(ns, contact, 1, 1, 1, 1, 60);
        let record =
            Record::from_rdata(Name::from_ascii("example.").unwrap(), 300, RData::SOA(soa));
        it.authorities.push(record);
    };
    tokio::join!(bed.ask(&ask), serve(&bed.upstream, say)).0;
    let again = bed.ask(&ask).await;
    assert_eq!(again.metadata.response_code, ResponseCode::NXDomain);
    assert!(again.authorities[0].ttl <= 300);
}

#[tokio::test]
async fn a_silent_name_server_delays_no_name_of_ours_and_ties_up_no_more_than_its_share() {
    let bed = bed(&[("db.weft.local", "10.32.0.7")]).await;
    let asker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    asker.connect(bed.at).await.unwrap();
    let mut refused = 0;
    let soon = std::time::Duration::from_secs(2);
    for n in 0..600_u16 {
        let mut ask = question(&format!("n{n}.example.com."), RecordType::A);
        ask.metadata.id = n;
        asker.send(&ask.to_vec().unwrap()).await.unwrap();
        if n >= 512 {
            let mut buffer = [0; 512];
            let len = tokio::time::timeout(soon, asker.recv(&mut buffer)).await.unwrap().unwrap();
            let answer = Message::from_vec(&buffer[..len]).unwrap();
            assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
            refused += 1;
        } else {
            // So that none is lost on its way here.
            let mut buffer = [0; 512];
            bed.upstream.recv_from(&mut buffer).await.unwrap();
        }
    }
    assert_eq!(refused, 600 - 512);
    let ours = question("db.weft.local.", RecordType::A);
    let answer = tokio::time::timeout(soon, bed.ask(&ours)).await.unwrap();
    assert_eq!(addresses(&answer), ["10.32.0.7".parse::<IpAddr>().unwrap()]);
}

#[tokio::test]
async fn those_who_wait_for_one_answer_are_no_more_than_may_wait_for_many() {
    let bed = bed(&[]).await;
    let asker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    asker.connect(bed.at).await.unwrap();
    let ask = question("example.com.", RecordType::A).to_vec().unwrap();
    let refused = async {
        let mut buffer = [0; 512];
        let len = asker.recv(&mut buffer).await.unwrap();
        let answer = Message::from_vec(&buffer[..len]).unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    };
    // Nobody serves any of them: who is answered is refused for want of room. Of those that come faster than they
    // are received some are lost, so there are as many as it takes.
    let floods = async {
        while asker.send(&ask).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = refused => {}
        () = floods => panic!("cannot ask"),
        () = tokio::time::sleep(std::time::Duration::from_secs(3)) => panic!("all of them wait"),
    }
}

#[tokio::test]
async fn without_a_name_server_other_names_fail() {
    let bed = bed(&[]).await;
    std::fs::write(bed._dir.join("resolv.conf"), "# none\n").unwrap();
    let answer = bed.ask(&question("example.com.", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}
