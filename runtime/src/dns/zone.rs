//! What the mesh's own names stand for, as DNS records.

mod plain;

pub(super) use plain::Room;

use crate::names::{Claimed, NameIndex, SharedIndex};
use hickory_proto::op::Query;
use hickory_proto::rr::rdata::{A, AAAA, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name as DnsName, RData, Record, RecordType};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use weft_core::addr::Universe;
use weft_core::names::{Name, NameValue, Service};

/// How long an answer may be kept, in seconds, unless the operator says otherwise: containers come and go.
/// Source: Weave Net, 1 s.
pub const TTL: u32 = 1;

/// How names are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneOptions {
    /// What names end with.
    pub domain: Name,
    /// Whose addresses have reverse names here.
    pub range: Universe,
    /// How long an answer may be kept, in seconds.
    pub ttl: u32,
    /// Whether what is on this host comes first, where there are several answers.
    pub prefers_here: bool,
}

/// What there is to say to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// These, in random order; and the addresses of hosts that they name, as far as they are ours.
    Records(Vec<Record>, Vec<Record>),
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
    options: ZoneOptions,
    names: SharedIndex,
}

impl Zone {
    /// The zone of `names`.
    pub const fn new(options: ZoneOptions, names: SharedIndex) -> Self {
        Self { options, names }
    }

    /// What there is to say to `query`.
    pub fn answer(&self, query: &Query) -> Answer {
        if query.query_class() != DNSClass::IN {
            return Answer::NotOurs;
        }
        let index = self.names.read();
        if let Ok(net) = query.name().parse_arpa_name() {
            return self.answer_reverse(&index, query, net);
        }
        // A name that is no host name is no name of ours, but may lie in our domain all the same.
        let text = query.name().to_lowercase().to_ascii();
        let text = text.trim_end_matches('.');
        let mut values = index.values(text);
        if values.is_empty() && !text.contains('.') {
            values = index.values(&format!("{text}.{}", self.options.domain));
        }
        if !values.is_empty() {
            return self.answer_with(&index, query, values);
        }
        let domain = self.options.domain.as_str();
        if text == domain {
            self.apex(query, &self.forward_zone())
        } else if !text.strip_suffix(domain).is_some_and(|head| head.ends_with('.')) {
            Answer::NotOurs
        } else if index.is_parent(text) {
            // Names lie below it, so it exists (RFC 8020), with nothing of its own.
            Answer::OtherType(Box::new(self.soa(&self.forward_zone())))
        } else {
            Answer::NoName(Box::new(self.soa(&self.forward_zone())))
        }
    }

    /// What there is to say to a name that stands for `values`.
    fn answer_with(
        &self,
        index: &NameIndex,
        query: &Query,
        values: &[Claimed<NameValue>],
    ) -> Answer {
        let mut values = self.in_order(values);
        values.retain(|it| is_wanted(query.query_type(), it));
        // Many clients take the first, whatever it says of itself.
        values.sort_by_key(|value| match value {
            NameValue::Service(service) => service.priority,
            NameValue::V4(_) | NameValue::V6(_) | NameValue::Text(_) => 0,
        });
        let data = values.iter().filter_map(|it| data(it));
        let records = data.map(|data| self.record(query.name(), data)).collect();
        self.records(records, self.hosts(index, &values), &self.forward_zone())
    }

    /// The addresses of the hosts that `values` name, of which clients would have to ask next. Of a host
    /// either all of a family are there or none (RFC 2181 section 9): who finds some takes them for all.
    fn hosts(&self, index: &NameIndex, values: &[&NameValue]) -> Vec<Record> {
        let mut hosts = Vec::new();
        let mut names = BTreeSet::new();
        // In the order in which clients are to try them: those for which there is room come first.
        for target in values.iter().filter_map(|it| target(it)) {
            if names.len() >= HOSTS_MAX || !names.insert(target) {
                continue;
            }
            let Some(name) = dns_name(target) else { continue };
            let addresses = self.in_order(index.values(target.as_str()));
            for kind in [RecordType::A, RecordType::AAAA] {
                let of_kind = addresses.iter().filter(|it| is_wanted(kind, it));
                let data: Vec<_> = of_kind.filter_map(|it| data(it)).collect();
                if hosts.len() + data.len() <= HOSTS_MAX {
                    hosts.extend(data.into_iter().map(|data| self.record(&name, data)));
                }
            }
        }
        hosts
    }

    /// What there is to say to a reverse name: that of an address, or of a network.
    fn answer_reverse(&self, index: &NameIndex, query: &Query, net: IpNet) -> Answer {
        let is_address = net.prefix_len() == net.max_prefix_len();
        let names = if is_address { index.names(net.addr()) } else { &[] };
        let zone = self.reverse_zone(net);
        if !names.is_empty() {
            let wanted = matches!(query.query_type(), RecordType::PTR | RecordType::ANY);
            let names = self.in_order(names).into_iter().filter(|_| wanted);
            let record = |to| self.record(query.name(), RData::PTR(PTR(to)));
            let zone = zone.unwrap_or_else(|| query.name().to_lowercase());
            let records = names.filter_map(dns_name).map(record).collect();
            return self.records(records, Vec::new(), &zone);
        }
        match zone {
            Some(zone) if is_address => Answer::NoName(Box::new(self.soa(&zone))),
            Some(zone) if zone == query.name().to_lowercase() => self.apex(query, &zone),
            // Addresses lie below it.
            Some(zone) => Answer::OtherType(Box::new(self.soa(&zone))),
            None => Answer::NotOurs,
        }
    }

    /// The zone of names.
    fn forward_zone(&self) -> DnsName {
        dns_name(&self.options.domain).unwrap_or_default()
    }

    /// The zone of ours that `net` lies in: one for each byte of IPv4, or half byte of IPv6, that
    /// the range leaves open, since that is where reverse names have their dots (RFC 1035 section
    /// 3.5, RFC 3596 section 2.5).
    fn reverse_zone(&self, net: IpNet) -> Option<DnsName> {
        let block = self.options.range.block_of(net.addr())?;
        let step = match block {
            IpNet::V4(_) => 8,
            IpNet::V6(_) => 4,
        };
        let len = block.prefix_len().div_ceil(step) * step;
        if net.prefix_len() < len || !block.contains(&net) {
            return None;
        }
        // Behind the labels of the address stand `in-addr.arpa` or `ip6.arpa`.
        Some(DnsName::from(net.addr()).trim_to(usize::from(len / step) + 2))
    }

    /// What there is to say to a question for a zone itself.
    fn apex(&self, query: &Query, zone: &DnsName) -> Answer {
        let kind = query.query_type();
        let mut records = Vec::new();
        if matches!(kind, RecordType::SOA | RecordType::ANY) {
            records.push(self.soa(zone));
        }
        if matches!(kind, RecordType::NS | RecordType::ANY) {
            records.push(self.record(zone, RData::NS(NS(self.master()))));
        }
        self.records(records, Vec::new(), zone)
    }

    fn records(&self, records: Vec<Record>, hosts: Vec<Record>, zone: &DnsName) -> Answer {
        if records.is_empty() {
            Answer::OtherType(Box::new(self.soa(zone)))
        } else {
            Answer::Records(records, hosts)
        }
    }

    /// What the name server of the zones is called. It needs no address: nobody asks it from afar.
    fn master(&self) -> DnsName {
        self.forward_zone().prepend_label(MASTER).unwrap_or_default()
    }

    fn soa(&self, zone: &DnsName) -> Record {
        let contact = self.forward_zone().prepend_label(CONTACT).unwrap_or_default();
        // The last number is how long "no such name" may be kept.
        let [refresh, retry, expire] = [REFRESH, RETRY, EXPIRE].map(u32::cast_signed);
        let soa =
            SOA::new(self.master(), contact, SERIAL, refresh, retry, expire, self.options.ttl);
        self.record(zone, RData::SOA(soa))
    }

    fn record(&self, name: &DnsName, data: RData) -> Record {
        Record::from_rdata(name.clone(), self.options.ttl, data)
    }

    /// In the order in which they are answered: most clients take the first.
    fn in_order<'a, T>(&self, claimed: &'a [Claimed<T>]) -> Vec<&'a T> {
        let mut shuffled = shuffled(claimed.iter().collect());
        if self.options.prefers_here {
            shuffled.sort_by_key(|it| !it.is_here());
        }
        shuffled.into_iter().map(|it| &it.value).collect()
    }
}

/// Labels before a zone's name that make its name server, and who is in charge of it.
const MASTER: &str = "ns";
const CONTACT: &str = "hostmaster";

/// Of the SOA, the latter in seconds. Nobody transfers these zones, so they mean nothing.
const SERIAL: u32 = 1;
const REFRESH: u32 = 3600;
const RETRY: u32 = 600;
const EXPIRE: u32 = 86400;

/// Most addresses that are sent along with services, and most hosts that are looked up for them: nobody
/// connects to more, and an answer may name any number of hosts.
const HOSTS_MAX: usize = 64;

fn is_wanted(kind: RecordType, value: &NameValue) -> bool {
    let own = match value {
        NameValue::V4(_) => RecordType::A,
        NameValue::V6(_) => RecordType::AAAA,
        NameValue::Service(_) => RecordType::SRV,
        NameValue::Text(_) => RecordType::TXT,
    };
    kind == own || kind == RecordType::ANY
}

/// The host that it names.
fn target(value: &NameValue) -> Option<&Name> {
    match value {
        NameValue::Service(service) => Some(&service.target),
        NameValue::V4(_) | NameValue::V6(_) | NameValue::Text(_) => None,
    }
}

/// `value` as DNS has it; `None` when it names a host that DNS cannot.
fn data(value: &NameValue) -> Option<RData> {
    Some(match value {
        NameValue::V4(v4) => RData::A(A(*v4)),
        NameValue::V6(v6) => RData::AAAA(AAAA(*v6)),
        NameValue::Service(Service { priority, weight, port, target }) => {
            RData::SRV(SRV::new(*priority, *weight, port.get(), dns_name(target)?))
        }
        NameValue::Text(text) => RData::TXT(TXT::new(text.strings().to_vec())),
    })
}

fn dns_name(name: &Name) -> Option<DnsName> {
    let mut name = DnsName::from_str_relaxed(name.as_str()).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// Fisher and Yates, with the standard library's randomness: it spreads load, it hides nothing.
fn shuffled<T>(mut items: Vec<T>) -> Vec<T> {
    for last in (1..items.len()).rev() {
        let draw = RandomState::new().build_hasher().finish();
        let pick = usize::try_from(draw % (last as u64 + 1)).unwrap_or(0);
        items.swap(last, pick);
    }
    items
}
