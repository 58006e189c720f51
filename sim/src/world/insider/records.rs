//! Records that an insider signs, or says that others did.

use super::facts::Facts;
use super::lie::Lie;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use weft_core::addr::{Offset, Range, Universe};
use weft_core::codec;
use weft_core::id::{ContainerId, Identity, Incarnation, PeerId, PeerName};
use weft_core::ipam::freeze::{Eviction, Phase, Stance};
use weft_core::ipam::{Ballot, Founding, Freeze, Grant, Part, Space, Voter};
use weft_core::names::{NameEntry, NameValue, NamesRecord, PAGE_LEN_MAX, Text};
use weft_core::record::{Fingerprint, Key, Record, Version};
use weft_core::topology::PeerRecord;

/// Whose titles lie so far apart that one alone proves nothing about the other's versions.
const FAR: u64 = 1 << 40;
/// Versions after which a grant needs another title.
const LEAP: u64 = 1 << 32;

/// What `liar` says of itself: that it is called `name`, and linked with the host.
pub(super) fn presence(
    liar: &Identity,
    name: PeerName,
    facts: &Facts,
    incarnation: Incarnation,
) -> Record {
    let version = Version { incarnation, sequence: 1 };
    says(liar, name, [facts.host].into(), BTreeSet::new(), version)
}

/// What `by` says of itself, under the name that follows from its id: that it is where nobody is.
fn peer(by: &Identity, links: BTreeSet<PeerId>, version: Version) -> Record {
    let nowhere = [251, 252].map(|last| SocketAddr::from(([192, 0, 2, last], 9)));
    says(by, by.id().default_name(), links, nowhere.into(), version)
}

fn says(
    by: &Identity,
    name: PeerName,
    links: BTreeSet<PeerId>,
    addresses: BTreeSet<SocketAddr>,
    version: Version,
) -> Record {
    let body = PeerRecord {
        name,
        nickname: "insider".to_owned(),
        incarnation: version.incarnation,
        links: links.into_iter().collect(),
        addresses: addresses.into_iter().collect(),
        part: Part::FULL,
        run: NonZeroU32::MIN,
        rival: None,
    };
    Record::sign(by, Key::Peer(by.id()), version, codec::encode(&body))
}

/// The records that `lie` is about; none when it is about something else.
pub(super) fn of(lie: Lie, liar: &Identity, facts: &Facts, count: u32) -> Vec<Record> {
    let me = liar.id();
    let space = codec::encode(&Space { free_log2: [7; 2] });
    match lie {
        Lie::ForeignRecord => {
            let whose = [facts.host, facts.another()];
            let keys = whose.into_iter().map(Key::Space);
            keys.map(|key| Record::sign(liar, key, version(1_000), space.clone())).collect()
        }
        Lie::ForgedRecord => {
            let forged = |writer: PeerId, key, body| Record {
                writer,
                ..Record::sign(liar, key, version(1_000), body)
            };
            let names = codec::encode(&NamesRecord::default());
            [facts.host, facts.another()]
                .into_iter()
                .flat_map(|writer| {
                    [
                        forged(writer, Key::Space(writer), space.clone()),
                        forged(writer, Key::Names(writer, 0), names.clone()),
                    ]
                })
                .collect()
        }
        Lie::BadRecords => bad_bodies(me)
            .into_iter()
            .zip(1..)
            .map(|((key, body), sequence)| match key {
                Key::Founding(_) => by_content(liar, Key::Founding(Fingerprint::of(&body)), body),
                Key::Grant(_) => by_content(liar, Key::Grant(Fingerprint::by(&me, &body)), body),
                Key::Voter(_) | Key::Freeze(_) | Key::Peer(_) | Key::Names(..) | Key::Space(_) => {
                    Record::sign(liar, key, version(sequence), body)
                }
            })
            .collect(),
        Lie::LongRecord => {
            let body = vec![0; Record::BODY_LEN_MAX + 1];
            vec![Record::sign(liar, Key::Names(me, 0), version(1), body)]
        }
        Lie::BadVote => {
            let body = codec::encode(&Voter::default());
            vec![Record::sign(liar, Key::Voter(me), version(1), body)]
        }
        Lie::LeapingVote => {
            let promised = Some(Ballot { round: u64::MAX, proposer: me });
            let body = codec::encode(&Voter { promised, accepted: None, lacks: false });
            vec![Record::sign(liar, Key::Voter(me), version(1), body)]
        }
        Lie::LeapingFreeze => [1 << 20, 1 << 41]
            .into_iter()
            .zip(1..)
            .map(|(round, sequence)| {
                let eviction = Eviction { round, proposer: me, nonce: 1 };
                let view = Fingerprint::default();
                let stance = Stance { eviction, phase: Phase::Gathering, view };
                let stances = facts.owned.iter().map(|owned| (owned.owner, stance)).collect();
                let body = codec::encode(&Freeze { stances, ..Freeze::default() });
                Record::sign(liar, Key::Freeze(me), version(sequence), body)
            })
            .collect(),
        Lie::StolenAddresses => facts
            .owned
            .iter()
            .flat_map(|owned| [1, 5].map(|more| (owned.range, owned.version + more)))
            .map(|(range, version)| grant(liar, facts.lineage, range, 0, version, me))
            .collect(),
        Lie::MisfitGrant => {
            let range = facts.universe.range();
            let beyond = Range { start: range.end, end: Offset(range.end.0 + 4) };
            let other = Some(Fingerprint::of(b"another founding"));
            vec![
                grant(liar, other, range, 0, 1, me),
                grant(liar, facts.lineage, range, 1, 1, me),
                grant(liar, facts.lineage, beyond, 0, 1, me),
                grant(liar, facts.lineage, range, 0, 0, me),
            ]
        }
        Lie::ManyRecords => (0..count)
            .map(|n| made_up(liar, n))
            .map(|by| Record::sign(&by, Key::Space(by.id()), version(1), space.clone()))
            .collect(),
        Lie::ManyPeers => {
            let made_up: Vec<Identity> = (0..count).map(|n| made_up(liar, n)).collect();
            let links = made_up.iter().map(Identity::id).chain([facts.host]).collect();
            let others = made_up.iter().map(|by| peer(by, [me].into(), version(1)));
            others.chain([peer(liar, links, version(2))]).collect()
        }
        Lie::ManyGrants | Lie::OneBreath => (0..u64::from(count))
            .map(|n| grant(liar, facts.lineage, facts.universe.range(), 0, FAR + n, me))
            .collect(),
        Lie::LongRecords => {
            let body = codec::encode(&long_page());
            (0..count)
                .map(|n| made_up(liar, n))
                .map(|by| Record::sign(&by, Key::Names(by.id(), 0), version(1), body.clone()))
                .collect()
        }
        Lie::Equivocation => {
            // Each host hears of another address under the same name and version.
            let [.., last] = facts.host.0;
            let address = IpAddr::from([10, 32, 0, last]);
            let body = codec::encode(&[("liar.weft.local", address, "liar")][..]);
            vec![Record::sign(liar, Key::Names(me, 0), version(1), body)]
        }
        Lie::SessionOffers => {
            let other = made_up(liar, 0);
            vec![
                peer(liar, [facts.host, other.id()].into(), version(2)),
                peer(&other, [me].into(), version(1)),
            ]
        }
        Lie::OtherVersion
        | Lie::CutGreeting
        | Lie::ChangedGreeting
        | Lie::ChangedVersions
        | Lie::ChangedProof
        | Lie::LowOrderGreeting
        | Lie::Mirror
        | Lie::Nameless
        | Lie::LowOrderSession
        | Lie::BorrowedName
        | Lie::StolenName
        | Lie::Babble
        | Lie::TooLong
        | Lie::NoMessage
        | Lie::BoundlessQuestion
        | Lie::ManyQuestions
        | Lie::BoundlessPromise
        | Lie::FalsePromises
        | Lie::UnaskedAnswer
        | Lie::BrokenAnswer
        | Lie::WrongName
        | Lie::OthersDenials
        | Lie::FarMessages
        | Lie::ManyMessages
        | Lie::LateDenial
        | Lie::LeapingGrant
        | Lie::DoubleGrant
        | Lie::PatchworkGrant
        | Lie::ForgedDatagrams
        | Lie::BadFrames
        | Lie::ManyMacs
        | Lie::Revenant
        | Lie::ManyNeighbours
        | Lie::StrayKeys => Vec::new(),
    }
}

/// What becomes of addresses that `liar` was given: in the end they are a host's again.
pub(super) fn of_given(lie: Lie, liar: &Identity, facts: &Facts, given: &Grant) -> Vec<Record> {
    let (range, version) = (given.range, given.version);
    let give =
        |by: &Identity, range, version, to| grant(by, Some(given.lineage), range, 0, version, to);
    if lie == Lie::LeapingGrant {
        return vec![give(liar, range, LEAP + version, facts.host)];
    }
    if lie == Lie::DoubleGrant {
        let owners = [facts.host, facts.another()];
        return owners.map(|owner| give(liar, range, version + 1, owner)).into();
    }
    let second = made_up(liar, 0);
    let middle = Offset(range.start.0 + range.size() / 2);
    let (low, high) = (Range { end: middle, ..range }, Range { start: middle, ..range });
    vec![
        give(&second, range, version + 2, facts.host),
        give(liar, low, version + 1, second.id()),
        give(liar, high, version + 1, second.id()),
    ]
}

/// Bodies that no peer writes, each for a key of its kind.
fn bad_bodies(me: PeerId) -> Vec<(Key, Vec<u8>)> {
    let address = IpAddr::from([10, 32, 0, 1]);
    let name = |name: &str| codec::encode(&[(name, address, "c")][..]);
    let peer = PeerRecord {
        name: me.default_name(),
        nickname: "insider".to_owned(),
        incarnation: Incarnation(1),
        links: Vec::new(),
        addresses: Vec::new(),
        part: Part::FULL,
        run: NonZeroU32::MIN,
        rival: None,
    };
    let elsewhere = Founding {
        universe: Universe::DEFAULT,
        seeds: BTreeSet::new(),
        ballot: Ballot { round: 1, proposer: me },
        lacks: false,
    };
    let print = Fingerprint::default();
    let long = "a".repeat(300);
    vec![
        (Key::Names(me, 0), name("UPPER.weft.local")),
        (Key::Names(me, 0), name("a..weft.local")),
        (Key::Names(me, 0), name(&long)),
        (Key::Names(me, 0), many_names(PAGE_LEN_MAX + 1)),
        (Key::Names(me, 0), vec![0xff; 40]),
        (Key::Peer(me), codec::encode(&PeerRecord { nickname: String::new(), ..peer.clone() })),
        (Key::Peer(me), codec::encode(&PeerRecord { links: vec![me, me], ..peer.clone() })),
        (Key::Peer(me), codec::encode(&PeerRecord { incarnation: Incarnation(9), ..peer })),
        (Key::Space(me), Vec::new()),
        (Key::Voter(me), vec![7]),
        (Key::Freeze(me), vec![7]),
        (Key::Grant(print), vec![1, 2, 3]),
        (Key::Founding(print), codec::encode(&elsewhere)),
    ]
}

/// As long as a page of names may be.
fn long_page() -> NamesRecord {
    let whole = Text::STRING_LEN_MAX;
    let strings = [whole, whole, Text::LEN_MAX - 2 * (whole + 1) - 1].map(|len| "x".repeat(len));
    let entry = |n: usize| {
        let name = format!("n{n:05}.weft.local").parse().ok()?;
        let value = NameValue::Text(strings.to_vec().try_into().ok()?);
        Some(NameEntry { name, value, id: ContainerId::external() })
    };
    NamesRecord { entries: (0..PAGE_LEN_MAX).filter_map(entry).collect() }
}

/// The body of a record of `count` names.
fn many_names(count: usize) -> Vec<u8> {
    let address = IpAddr::from([10, 32, 0, 1]);
    let names: Vec<(String, IpAddr, &str)> =
        (0..count).map(|n| (format!("n{n:05}.weft.local"), address, "c")).collect();
    codec::encode(&names)
}

/// A peer that `liar` made up.
pub(super) fn made_up(liar: &Identity, number: u32) -> Identity {
    let seed = [Fingerprint::of(liar.seed()).0, Fingerprint::of(&number.to_be_bytes()).0];
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(seed.concat()) {
        *to = from;
    }
    Identity::from_seed(bytes)
}

fn grant(
    giver: &Identity,
    lineage: Option<Fingerprint>,
    range: Range,
    epoch: u64,
    version: u64,
    owner: PeerId,
) -> Record {
    let lineage = lineage.unwrap_or_default();
    let body = codec::encode(&Grant { lineage, range, epoch, version, owner, victim: None });
    by_content(giver, Key::Grant(Fingerprint::by(&giver.id(), &body)), body)
}

fn by_content(writer: &Identity, key: Key, body: Vec<u8>) -> Record {
    Record::sign(writer, key, Version::default(), body)
}

const fn version(sequence: u64) -> Version {
    Version { incarnation: Incarnation(1), sequence }
}
