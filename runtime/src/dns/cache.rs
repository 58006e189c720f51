//! What other name servers said, for as long as they let it be kept.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::{LowerName, RData, RecordType};
use hickory_server::server::Request;
use moka::future::Cache;
use moka::policy::Expiry;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Room for answers, in bytes: some ten thousand of usual length.
const ROOM: u64 = 4 << 20;

/// About how long a message is without its records, and each of them, in bytes.
const MESSAGE_LEN: u32 = 300;
const RECORD_LEN: u32 = 150;

/// Longest times that an answer is kept: of records, and of there being none. Source: RFC 2308 section 5
/// for the latter; for the former a day, as unbound has it.
const KEPT_MAX: Duration = Duration::from_hours(24);
const DENIAL_KEPT_MAX: Duration = Duration::from_hours(3);

/// What an answer depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    name: LowerName,
    kind: RecordType,
    /// DO, CD, AD and RD, as the client set them.
    flags: [bool; 4],
    /// What is cut short for UDP is not what was to be said.
    over_tcp: bool,
    /// Who would be asked: others know other names.
    servers: Vec<SocketAddr>,
}

impl Question {
    /// The question in `request`, unless its answer may depend on more, such as the client's subnet.
    pub(super) fn of(
        request: &Request,
        (name, kind): (&LowerName, RecordType),
        over_tcp: bool,
        servers: Vec<SocketAddr>,
    ) -> Option<Self> {
        let edns = request.edns.as_ref();
        let mut options = edns.into_iter().flat_map(|edns| edns.options().as_ref());
        // A cookie says who asks, and not for what (RFC 7873).
        if options.any(|(code, _)| *code != EdnsCode::Cookie) {
            return None;
        }
        let asked = &request.metadata;
        let wants_proof = edns.is_some_and(|edns| edns.flags().dnssec_ok);
        let flags =
            [wants_proof, asked.checking_disabled, asked.authentic_data, asked.recursion_desired];
        Some(Self { name: name.clone(), kind, flags, over_tcp, servers })
    }
}

/// An answer, and how long it may be kept.
#[derive(Clone, Debug)]
struct Kept {
    message: Arc<Message>,
    at: Instant,
    ttl: Duration,
}

/// Each answer has its own time.
struct ByTtl;

impl Expiry<Question, Kept> for ByTtl {
    fn expire_after_create(&self, _: &Question, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.ttl)
    }

    /// What is in place of one that has had its time has its own.
    fn expire_after_update(
        &self,
        _: &Question,
        kept: &Kept,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.ttl)
    }
}

/// Answers of other name servers.
#[derive(Debug)]
pub(super) struct Answers {
    kept: Cache<Question, Kept>,
}

impl Answers {
    /// None yet.
    pub(super) fn new() -> Self {
        let len = |_: &Question, kept: &Kept| {
            let Message { answers, authorities, additionals, .. } = &*kept.message;
            let records = answers.len() + authorities.len() + additionals.len();
            u32::try_from(records).unwrap_or(u32::MAX).saturating_mul(RECORD_LEN) + MESSAGE_LEN
        };
        let kept = Cache::builder().max_capacity(ROOM).weigher(len).expire_after(ByTtl).build();
        Self { kept }
    }

    /// What was said to `question` before, if that may be said again.
    pub(super) async fn get(&self, question: &Question) -> Option<Message> {
        self.kept.get(question).await.as_ref().map(at_second_hand)
    }

    /// What there is to say to `question`: what was said before, or what comes of `ask`, for which all
    /// who have the same question meanwhile wait.
    ///
    /// # Errors
    /// That of `ask`.
    pub(super) async fn get_or(
        &self,
        question: Question,
        ask: impl Future<Output = io::Result<Message>>,
    ) -> io::Result<Message> {
        let mut is_fresh = false;
        let asked = async {
            let message = ask.await?;
            is_fresh = true;
            let (at, ttl) = (Instant::now(), kept_for(&message));
            Ok::<_, io::Error>(Kept { message: Arc::new(message), at, ttl })
        };
        let kept = self.kept.try_get_with(question, asked).await;
        let kept = kept.map_err(|why| io::Error::new(why.kind(), why.to_string()))?;
        Ok(if is_fresh { Message::clone(&kept.message) } else { at_second_hand(&kept) })
    }
}

/// How long `answer` may be kept; zero, when it may not.
fn kept_for(answer: &Message) -> Duration {
    let Message { metadata, answers, authorities, additionals, .. } = answer;
    let is_answer =
        matches!(metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
    let denial = authorities.iter().find_map(|record| {
        let RData::SOA(soa) = &record.data else { return None };
        Some(soa.minimum)
    });
    // That there is nothing may be kept for as long as the zone says (RFC 2308 section 5).
    if metadata.truncation || !is_answer || answers.is_empty() && denial.is_none() {
        return Duration::ZERO;
    }
    let records = [answers, authorities, additionals].into_iter().flatten();
    let least = records.map(|record| record.ttl).chain(denial).min().unwrap_or(0);
    let most = if denial.is_some() { DENIAL_KEPT_MAX } else { KEPT_MAX };
    Duration::from_secs(least.into()).min(most)
}

/// What is said to those for whom nobody was asked: it is older by now, and not of whose word it is.
fn at_second_hand(kept: &Kept) -> Message {
    let mut message = Message::clone(&kept.message);
    let seconds = u32::try_from(kept.at.elapsed().as_secs()).unwrap_or(u32::MAX);
    let Message { answers, authorities, additionals, .. } = &mut message;
    for record in answers.iter_mut().chain(authorities).chain(additionals) {
        record.ttl = record.ttl.saturating_sub(seconds);
    }
    message.metadata.authoritative = false;
    message.edns = None;
    message
}
