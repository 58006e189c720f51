//! Plain questions, which nearly all are, from bytes to bytes: nothing is made of them that would have to be
//! taken apart again. What is not plain, or has no short answer, is for the rest of the server.
//!
//! A question is plain when it asks for the addresses of a name, or the names of an address, and says
//! nothing beside that but what it can take (RFC 1035 section 4.1, RFC 6891 section 6.1):
//!
//! ```text
//! id:2  flags:2  1:2  0:2  0:2  0|1:2            the head; of the flags, RD, AD and CD may be set
//! (len:1 label)*  0:1  type:2  class:2           the question: letters, digits, '-' and '_'; A, AAAA or PTR; IN
//! 0:1  41:2  payload:2  0:2  DO:2  0:2           with EDNS, which has no options
//! ```
//!
//! The answer has the question as it came, so that its case is kept, and points there for names:
//!
//! ```text
//! id:2  flags:2  1:2  answers:2  authorities:2  0|1:2
//! the question
//! (0xc00c:2  type:2  class:2  ttl:4  len:2  data)*      records of the name that is asked for, or
//! 0xc0--:2  6:2  1:2  ttl:4  len:2  data                the SOA of the zone that it ends with
//! 0:1  41:2  payload:2  0:2  DO:2  0:2                  with EDNS
//! ```

use super::{CONTACT, EXPIRE, MASTER, REFRESH, RETRY, SERIAL, Zone};
use crate::dns::payload::{PAYLOAD_MAX, PAYLOAD_MIN};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use weft_core::names::{Name, NameValue};

/// Room for one question after the other.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The name that is asked for: lower case, without the final dot.
    name: String,
    answer: Vec<u8>,
}

impl Zone {
    /// The answer over UDP to the question in `message`, if it is plain, about a name of ours, and the answer is
    /// not too long for whoever asks. It is what [`Zone::answer`] says.
    pub(crate) fn answer_plain<'a>(&self, message: &[u8], room: &'a mut Room) -> Option<&'a [u8]> {
        let Room { name, answer } = room;
        let question = Question::read(message, name)?;
        answer.clear();
        answer.extend_from_slice(&[0; HEAD_LEN]);
        answer.extend_from_slice(question.written);
        let said = match question.kind {
            Kind::V4 | Kind::V6 => self.say_addresses(question.kind, name, answer),
            Kind::Name => self.say_names(name, answer),
        };
        question.finish(said?, answer)?;
        Some(answer)
    }

    /// Appends what there is to say to a question for addresses of `name`.
    fn say_addresses(&self, kind: Kind, name: &mut String, answer: &mut Vec<u8>) -> Option<Said> {
        // What is backwards is a name of ours in other ways.
        if name.ends_with("arpa") {
            return None;
        }
        let index = self.names.read();
        let domain = self.options.domain.as_str();
        let mut values = index.values(name);
        let is_short = values.is_empty() && !name.contains('.');
        if is_short {
            name.push('.');
            name.push_str(domain);
            values = index.values(name);
        }
        let mut count = 0;
        for value in self.in_order(values) {
            match (kind, value) {
                (Kind::V4, NameValue::V4(it)) => self.write_record(kind, &it.octets(), answer)?,
                (Kind::V6, NameValue::V6(it)) => self.write_record(kind, &it.octets(), answer)?,
                (
                    Kind::V4 | Kind::V6 | Kind::Name,
                    NameValue::V4(_)
                    | NameValue::V6(_)
                    | NameValue::Service(_)
                    | NameValue::Text(_),
                ) => continue,
            }
            count += 1;
        }
        if count > 0 {
            return Some(Said::Records(count));
        }
        // The zone has to be in the question, to be pointed at.
        let head = name.strip_suffix(domain).filter(|head| head.ends_with('.') && !is_short)?;
        // Where the text has a dot, the message has the length of the label behind it, and it has one more in front.
        self.write_soa(HEAD_LEN + head.len(), answer)?;
        let exists = !values.is_empty() || index.is_parent(name);
        Some(if exists { Said::OtherType } else { Said::NoName })
    }

    /// Appends what there is to say to a question for the names of the address that `name` is backwards.
    fn say_names(&self, name: &str, answer: &mut Vec<u8>) -> Option<Said> {
        let index = self.names.read();
        let names = self.in_order(index.names(address(name)?));
        let mut data = Vec::new();
        for name in &names {
            data.clear();
            for label in name.as_str().split('.') {
                write_label(label, &mut data)?;
            }
            data.push(0);
            self.write_record(Kind::Name, &data, answer)?;
        }
        let count = u16::try_from(names.len()).ok()?;
        (count > 0).then_some(Said::Records(count))
    }

    /// Appends a record of the name that is asked for.
    fn write_record(&self, kind: Kind, data: &[u8], answer: &mut Vec<u8>) -> Option<()> {
        answer.extend_from_slice(&pointer(HEAD_LEN)?);
        answer.extend_from_slice(&kind.number().to_be_bytes());
        answer.extend_from_slice(&CLASS_IN);
        answer.extend_from_slice(&self.options.ttl.to_be_bytes());
        answer.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend_from_slice(data);
        Some(())
    }

    /// Appends the SOA of the zone whose name is `at` so many bytes from the start of the answer.
    fn write_soa(&self, at: usize, answer: &mut Vec<u8>) -> Option<()> {
        let zone = pointer(at)?;
        let mut data = Vec::with_capacity(SOA_LEN);
        for label in [MASTER, CONTACT] {
            write_label(label, &mut data)?;
            data.extend_from_slice(&zone);
        }
        let ttl = self.options.ttl;
        for number in [SERIAL, REFRESH, RETRY, EXPIRE, ttl] {
            data.extend_from_slice(&number.to_be_bytes());
        }
        answer.extend_from_slice(&zone);
        answer.extend_from_slice(&TYPE_SOA);
        answer.extend_from_slice(&CLASS_IN);
        answer.extend_from_slice(&ttl.to_be_bytes());
        answer.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend_from_slice(&data);
        Some(())
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    V4,
    V6,
    Name,
}

impl Kind {
    /// As the type of a record.
    const fn number(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::Name => 12,
            Self::V6 => 28,
        }
    }
}

/// A plain question, but for its name.
#[derive(Clone, Copy, Debug)]
struct Question<'a> {
    id: [u8; 2],
    flags: [u8; 2],
    /// Name, type and class, as they came.
    written: &'a [u8],
    kind: Kind,
    edns: Option<Edns>,
}

/// What a client says of itself.
#[derive(Clone, Copy, Debug)]
struct Edns {
    payload: u16,
    flags: u8,
}

/// What there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// So many records.
    Records(u16),
    /// An SOA: there are records of other types.
    OtherType,
    /// An SOA: there is no such name.
    NoName,
}

impl<'a> Question<'a> {
    /// Reads `message`, if it is a plain question; what it asks for is written to `name`.
    fn read(message: &'a [u8], name: &mut String) -> Option<Self> {
        let (head, rest) = message.split_first_chunk::<HEAD_LEN>()?;
        let [id_1, id_2, flags_1, flags_2, 0, 1, 0, 0, 0, 0, 0, opts] = *head else { return None };
        if flags_1 & !RD != 0 || flags_2 & !(AD | CD) != 0 {
            return None;
        }
        let after = read_name(rest, name)?;
        let (what, after) = after.split_first_chunk::<4>()?;
        let (kind, class) = what.split_first_chunk::<2>()?;
        let known = [Kind::V4, Kind::V6, Kind::Name];
        let kind = known.into_iter().find(|it| it.number() == u16::from_be_bytes(*kind))?;
        let edns = match (opts, after) {
            (0, []) => None,
            (1, [0, 0, 41, payload_1, payload_2, 0, 0, flags @ (0 | DO), 0, 0, 0]) => {
                Some(Edns { payload: u16::from_be_bytes([*payload_1, *payload_2]), flags: *flags })
            }
            _ => return None,
        };
        let written = rest.get(..rest.len().checked_sub(after.len())?)?;
        let (id, flags) = ([id_1, id_2], [flags_1, flags_2]);
        (class == CLASS_IN).then_some(Self { id, flags, written, kind, edns })
    }

    /// Makes a message of `answer`, which has what there is to say behind the question; `None` when it is too
    /// long.
    fn finish(&self, said: Said, answer: &mut Vec<u8>) -> Option<()> {
        let (code, records, soas) = match said {
            Said::Records(count) => (NO_ERROR, count, 0),
            Said::OtherType => (NO_ERROR, 0, 1),
            Said::NoName => (NO_SUCH_NAME, 0, 1),
        };
        let mut payload = PAYLOAD_MIN;
        if let Some(edns) = self.edns {
            payload = edns.payload.clamp(PAYLOAD_MIN, PAYLOAD_MAX);
            let [payload_1, payload_2] = payload.to_be_bytes();
            let opt = [0, 0, 41, payload_1, payload_2, 0, 0, edns.flags, 0, 0, 0];
            answer.extend_from_slice(&opt);
        }
        let [id_1, id_2] = self.id;
        let [flags_1, flags_2] = self.flags;
        let [records_1, records_2] = records.to_be_bytes();
        let opts = u8::from(self.edns.is_some());
        *answer.first_chunk_mut::<HEAD_LEN>()? = [
            id_1,
            id_2,
            QR | AA | flags_1,
            RA | flags_2 & CD | code,
            0,
            1,
            records_1,
            records_2,
            0,
            soas,
            0,
            opts,
        ];
        (answer.len() <= usize::from(payload)).then_some(())
    }
}

/// Reads a name that is written out, as text into `name`. Returns what comes after it; `None` when it is no
/// host name.
fn read_name<'a>(mut bytes: &'a [u8], name: &mut String) -> Option<&'a [u8]> {
    name.clear();
    loop {
        let (len, rest) = bytes.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(*len))?;
        if label.is_empty() {
            return (!name.is_empty()).then_some(rest);
        }
        if !name.is_empty() {
            name.push('.');
        }
        // A length of 64 or more is none, and with it the name is too long, or no host name.
        let is_label = label.len() <= LABEL_LEN_MAX && label.iter().all(|it| is_in_host_name(*it));
        if !is_label || name.len() + label.len() > Name::LEN_MAX {
            return None;
        }
        name.extend(label.iter().map(|it| char::from(it.to_ascii_lowercase())));
        bytes = rest;
    }
}

const fn is_in_host_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The address that `name` is backwards, with each of its parts.
fn address(name: &str) -> Option<IpAddr> {
    if let Some(parts) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut parts = parts.split('.');
        for octet in octets.iter_mut().rev() {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then_some(Ipv4Addr::from(octets).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0;
    let mut count = 0;
    for digit in digits.rsplit('.') {
        let mut chars = digit.chars();
        let value = chars.next()?.to_digit(16)?;
        if chars.next().is_some() || count == 32 {
            return None;
        }
        bits = bits << 4 | u128::from(value);
        count += 1;
    }
    (count == 32).then_some(Ipv6Addr::from_bits(bits).into())
}

/// In place of a name that is `at` so many bytes from the start of the message.
fn pointer(at: usize) -> Option<[u8; 2]> {
    Some((0xc000 | u16::try_from(at).ok()?).to_be_bytes())
}

fn write_label(label: &str, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.push(u8::try_from(label.len()).ok()?);
    bytes.extend_from_slice(label.as_bytes());
    Some(())
}

const HEAD_LEN: usize = 12;
const LABEL_LEN_MAX: usize = 63;
const CLASS_IN: [u8; 2] = [0, 1];
const TYPE_SOA: [u8; 2] = [0, 6];

/// Usual length of the data of an SOA, in bytes.
const SOA_LEN: usize = 40;

/// Flags of the head, in its third and fourth byte, and in the latter what comes of it.
const QR: u8 = 0x80;
const AA: u8 = 0x04;
const RD: u8 = 0x01;
const RA: u8 = 0x80;
const AD: u8 = 0x20;
const CD: u8 = 0x10;
const NO_ERROR: u8 = 0;
const NO_SUCH_NAME: u8 = 3;

/// A flag of EDNS (RFC 3225).
const DO: u8 = 0x80;
