//! What is said to a question: what the node knows, or what the host's name servers say.

use super::cache::{Answers, Question};
use super::payload::{PAYLOAD_MAX, PAYLOAD_MIN};
use super::upstream::Upstreams;
use super::zone::{Answer, Room, Zone};
use futures_util::StreamExt as _;
use hickory_proto::ProtoError;
use hickory_proto::op::LowerQuery;
use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{
    BinDecodable as _, BinDecoder, BinEncodable as _, BinEncoder,
};
use hickory_server::net::NetError;
use hickory_server::net::xfer::{BufDnsStreamHandle, Protocol};
use hickory_server::server::{Request, ResponseHandle, ResponseHandler as _};
use hickory_server::zone_handler::MessageResponseBuilder;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Questions for other name servers that are under way at once; more are answered with SERVFAIL,
/// so that a dead name server and a busy container cannot fill memory.
const FORWARDS_MAX: usize = 512;

/// Answers questions, however they came.
#[derive(Debug)]
pub(super) struct Handler {
    zone: Zone,
    upstreams: Arc<Upstreams>,
    forwards: Semaphore,
    answers: Answers,
}

/// All parts of an answer.
struct Parts {
    metadata: Metadata,
    edns: Option<Edns>,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
}

impl Parts {
    /// Leaves out what has no room beside the OPT record. Whoever sends the answer fills all room with what
    /// comes before that, and it must not be the OPT record that is left out (RFC 6891 section 6.1.1). An answer that
    /// lacks only additional records is whole, but of each name and type it has all or none (RFC 2181 section 9).
    fn cut(&mut self, request: &Request) -> Result<(), ProtoError> {
        let opt_len = match &self.edns {
            Some(edns) => Record::from(edns).to_bytes()?.len(),
            None => 0,
        };
        let is_udp = request.protocol() == Protocol::Udp;
        let payload = self.edns.as_ref().map_or(PAYLOAD_MIN, Edns::max_payload);
        let room = if is_udp { payload } else { u16::MAX };
        let mut bytes = Vec::new();
        let mut encoder = BinEncoder::new(&mut bytes);
        encoder.set_max_size(room.saturating_sub(u16::try_from(opt_len).unwrap_or(u16::MAX)));
        // Other codes need EDNS, which is not there yet.
        let mut metadata = self.metadata;
        metadata.response_code = ResponseCode::NoError;
        let whole = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &self.answers,
            &self.authorities,
            [],
            &self.additionals,
        );
        let fits = whole.destructive_emit(&mut encoder)?;
        let counts = fits.counts();
        let (answers, authorities) = (counts.answers.into(), counts.authorities.into());
        self.metadata.truncation |=
            answers < self.answers.len() || authorities < self.authorities.len();
        self.answers.truncate(answers);
        self.authorities.truncate(authorities);
        let mut left_out = self.additionals.split_off(counts.additionals.into()).into_iter();
        if let Some(first) = left_out.next() {
            let is_part =
                |it: &Record| it.name == first.name && it.record_type() == first.record_type();
            while self.additionals.pop_if(|last| is_part(last)).is_some() {}
        }
        Ok(())
    }
}

impl Handler {
    /// Answers from `zone`, and for all other names by asking `upstreams`.
    pub(super) fn new(zone: Zone, upstreams: Arc<Upstreams>) -> Self {
        Self { zone, upstreams, forwards: Semaphore::new(FORWARDS_MAX), answers: Answers::new() }
    }

    /// The answer to `question` over UDP, if there is one at once and without more than a look at it
    /// ([`Zone::answer_plain`]).
    pub(super) fn answer_plain<'a>(&self, question: &[u8], room: &'a mut Room) -> Option<&'a [u8]> {
        self.zone.answer_plain(question, room)
    }

    /// The answer to `question`, which came from `from`; `None` when it is none.
    pub(super) async fn answer(
        &self,
        question: Vec<u8>,
        from: SocketAddr,
        protocol: Protocol,
    ) -> Option<Vec<u8>> {
        let head = question.first_chunk::<HEAD_LEN>().copied()?;
        let Ok(request) = Request::from_bytes(question, from, protocol) else {
            return unreadable(&head);
        };
        if request.metadata.message_type != MessageType::Query
            || !is_written_out(request.as_slice()).unwrap_or(false)
        {
            return None;
        }
        let (to, mut answers) = BufDnsStreamHandle::new(from);
        if let Err(why) = self.respond(&request, ResponseHandle::new(from, to, protocol)).await {
            tracing::debug!(%why, "cannot write a DNS answer");
        }
        answers.next().await.map(|answer| answer.into_parts().0)
    }

    /// Answers `request` to `client`.
    async fn respond(&self, request: &Request, mut client: ResponseHandle) -> Result<(), NetError> {
        let mut parts = self.parts(request).await;
        // Sizes are between us and this client, and so is whether there is EDNS at all.
        parts.edns = request.edns.as_ref().map(|theirs| {
            let mut ours = parts.edns.unwrap_or_default();
            ours.set_max_payload(theirs.max_payload().clamp(PAYLOAD_MIN, PAYLOAD_MAX));
            ours.set_dnssec_ok(theirs.flags().dnssec_ok);
            ours.set_version(0);
            ours
        });
        if let Err(why) = parts.cut(request) {
            tracing::debug!(%why, "cannot see how long a DNS answer is");
        }
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &parts.edns {
            builder.edns(edns);
        }
        let response = builder.build(
            parts.metadata,
            &parts.answers,
            &parts.authorities,
            [],
            &parts.additionals,
        );
        client.send_response(response).await.map(drop)
    }

    async fn parts(&self, request: &Request) -> Parts {
        let mut parts = Parts {
            metadata: Metadata::response_from_request(&request.metadata),
            edns: None,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        };
        parts.metadata.recursion_available = true;
        if request.metadata.op_code != OpCode::Query {
            parts.metadata.response_code = ResponseCode::NotImp;
            return parts;
        }
        if request.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
            parts.metadata.response_code = ResponseCode::BADVERS;
            return parts;
        }
        let Ok(info) = request.request_info() else {
            parts.metadata.response_code = ResponseCode::FormErr;
            return parts;
        };
        match self.zone.answer(info.query.original()) {
            Answer::Records(records, hosts) => {
                parts.metadata.authoritative = true;
                parts.answers = records;
                parts.additionals = hosts;
            }
            Answer::OtherType(soa) => {
                parts.metadata.authoritative = true;
                parts.authorities.push(*soa);
            }
            Answer::NoName(soa) => {
                parts.metadata.authoritative = true;
                parts.metadata.response_code = ResponseCode::NXDomain;
                parts.authorities.push(*soa);
            }
            Answer::NotOurs => match self.forward(request, info.query).await {
                Ok(message) => {
                    parts.metadata = message.metadata;
                    parts.metadata.id = request.metadata.id;
                    parts.edns = message.edns;
                    parts.answers = message.answers;
                    parts.authorities = message.authorities;
                    parts.additionals = message.additionals;
                }
                Err(why) => {
                    tracing::debug!(%why, "cannot forward a DNS question");
                    parts.metadata.response_code = ResponseCode::ServFail;
                }
            },
        }
        parts
    }

    /// What others say to `request`, which asks for `query`.
    async fn forward(&self, request: &Request, query: &LowerQuery) -> io::Result<Message> {
        let over_tcp = request.protocol() != Protocol::Udp;
        let name = query.name().to_string();
        let servers = self.upstreams.servers_for(name.trim_end_matches('.'));
        let question =
            Question::of(request, (query.name(), query.query_type()), over_tcp, servers.clone());
        if let Some(question) = &question
            && let Some(answer) = self.answers.get(question).await
        {
            return Ok(answer);
        }
        // Also those who wait for the same answer take a place: there may be any number of them.
        let Ok(_place) = self.forwards.try_acquire() else {
            return Err(io::Error::other("too many questions at once"));
        };
        let ask = Upstreams::ask(&servers, request.as_slice(), over_tcp);
        match question {
            Some(question) => self.answers.get_or(question, ask).await,
            None => ask.await,
        }
    }
}

/// What is said to a question that has this head and cannot be read: that it cannot.
fn unreadable(head: &[u8; HEAD_LEN]) -> Option<Vec<u8>> {
    let asked = Header::read(&mut BinDecoder::new(head)).ok()?.metadata;
    // Who is told so of an answer might say the same to us.
    if asked.message_type != MessageType::Query {
        return None;
    }
    let mut message = Message::error_msg(asked.id, asked.op_code, ResponseCode::FormErr);
    message.metadata.recursion_desired = asked.recursion_desired;
    message.to_vec().ok()
}

/// Whether the names in the question of `message` are written out; `None` when it is cut short. One that is
/// not can point to nothing but the head or another question, and the answer, which has a copy of the
/// question, has another head.
fn is_written_out(message: &[u8]) -> Option<bool> {
    let (head, mut rest) = message.split_at_checked(HEAD_LEN)?;
    let count = u16::from_be_bytes([*head.get(4)?, *head.get(5)?]);
    for _ in 0..count {
        loop {
            let (len, tail) = rest.split_first()?;
            if *len > LABEL_LEN_MAX {
                return Some(false);
            }
            rest = tail.get(usize::from(*len)..)?;
            if *len == 0 {
                break;
            }
        }
        // Type and class.
        rest = rest.get(4..)?;
    }
    Some(true)
}

/// Length of the head of a message, and of the longest label, in bytes (RFC 1035 sections 4.1.1 and 2.3.4).
const HEAD_LEN: usize = 12;
const LABEL_LEN_MAX: u8 = 63;
