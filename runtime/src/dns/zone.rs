//! What the mesh's own names stand for, as DNS records.

use crate::handle::NamesView;
use hickory_proto::op::Query;
use hickory_proto::rr::rdata::{A, AAAA, PTR, SOA};
use hickory_proto::rr::{DNSClass, Name as DnsName, RData, Record, RecordType};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;
use weft_core::addr::Universe;
use weft_core::names::Name;

/// How long an answer may be kept, in seconds: containers come and go. Source: Weave Net, 1 s.
const TTL: u32 = 1;

/// What there is to say to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// These, in random order.
    Records(Vec<Record>),
    /// The name exists, with records of other types; the zone's SOA.
    OtherType(Box<Record>),
    /// The name would be ours, and there is none; the zone's SOA.
    NoName(Box<Record>),
    /// Somebody else must be asked.
    NotOurs,
}

/// The names of the mesh: a domain, and the addresses of the mesh backwards.
#[derive(Clone, Debug)]
pub struct Zone {
    domain: Name,
    range: Universe,
    names: watch::Receiver<Arc<NamesView>>,
}

impl Zone {
    /// The zone of `domain` and of the addresses in `range`.
    pub const fn new(
        domain: Name,
        range: Universe,
        names: watch::Receiver<Arc<NamesView>>,
    ) -> Self {
        Self { domain, range, names }
    }

    /// What there is to say to `query`.
    pub fn answer(&self, query: &Query) -> Answer {
        if query.query_class() != DNSClass::IN {
            return Answer::NotOurs;
        }
        let view = Arc::clone(&self.names.borrow());
        if let Some(address) = reverse_address(query.name()) {
            return self.answer_reverse(&view, query, address);
        }
        // A name that is no host name is no name of ours, but may lie in our domain all the same.
        let text = query.name().to_lowercase().to_ascii();
        let text = text.trim_end_matches('.');
        let name = text.parse::<Name>();
        let qualified = if text.contains('.') {
            name.clone()
        } else {
            format!("{text}.{}", self.domain).parse::<Name>()
        };
        let known =
            [&name, &qualified].into_iter().find_map(|name| view.by_name.get(name.as_ref().ok()?));
        if let Some(addresses) = known {
            let records = addresses.iter().filter_map(|address| forward(query, *address));
            return self.records(shuffled(records.collect()));
        }
        let tail = format!(".{text}");
        if text == self.domain.as_str() {
            let wanted = matches!(query.query_type(), RecordType::SOA | RecordType::ANY);
            self.records(if wanted { vec![self.soa()] } else { Vec::new() })
        } else if !text.ends_with(&format!(".{}", self.domain)) {
            Answer::NotOurs
        } else if view.by_name.keys().any(|name| name.as_str().ends_with(&tail)) {
            // Names lie below it, so it exists (RFC 8020), with nothing of its own.
            Answer::OtherType(Box::new(self.soa()))
        } else {
            Answer::NoName(Box::new(self.soa()))
        }
    }

    fn answer_reverse(&self, view: &NamesView, query: &Query, address: IpAddr) -> Answer {
        match view.by_address.get(&address) {
            Some(names) => {
                let wanted = matches!(query.query_type(), RecordType::PTR | RecordType::ANY);
                let names = names.iter().filter(|_| wanted).filter_map(dns_name);
                let record = |to| record(query.name(), RData::PTR(PTR(to)));
                self.records(shuffled(names.map(record).collect()))
            }
            None if self.range.block().contains(&address) => Answer::NoName(Box::new(self.soa())),
            None => Answer::NotOurs,
        }
    }

    fn records(&self, records: Vec<Record>) -> Answer {
        if records.is_empty() {
            Answer::OtherType(Box::new(self.soa()))
        } else {
            Answer::Records(records)
        }
    }

    fn soa(&self) -> Record {
        let domain = dns_name(&self.domain).unwrap_or_default();
        let master = domain.prepend_label("ns").unwrap_or_default();
        let contact = domain.prepend_label("hostmaster").unwrap_or_default();
        // Nobody transfers this zone, so its serial and its waits mean nothing; the last number
        // is how long "no such name" may be kept.
        record(&domain, RData::SOA(SOA::new(master, contact, 1, 3600, 600, 86400, TTL)))
    }
}

fn record(name: &DnsName, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}

fn forward(query: &Query, address: IpAddr) -> Option<Record> {
    let data = match (query.query_type(), address) {
        (RecordType::A | RecordType::ANY, IpAddr::V4(v4)) => RData::A(A(v4)),
        (RecordType::AAAA | RecordType::ANY, IpAddr::V6(v6)) => RData::AAAA(AAAA(v6)),
        _ => return None,
    };
    Some(record(query.name(), data))
}

fn dns_name(name: &Name) -> Option<DnsName> {
    let mut name = DnsName::from_str_relaxed(name.as_str()).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The address whose reverse name this is; names of whole networks are nobody's address.
fn reverse_address(name: &DnsName) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

/// Fisher and Yates, with the standard library's randomness: it spreads load, it hides nothing.
fn shuffled(mut records: Vec<Record>) -> Vec<Record> {
    for last in (1..records.len()).rev() {
        let draw = RandomState::new().build_hasher().finish();
        let pick = usize::try_from(draw % (last as u64 + 1)).unwrap_or(0);
        records.swap(last, pick);
    }
    records
}
