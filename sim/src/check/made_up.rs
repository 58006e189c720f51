//! Made-up views for the tests of rules.

use super::{Hello, Invariant, Linked, Owned, Paper, PeerView, Says, Told, View};
use std::collections::BTreeMap;
use std::time::Duration;
use weft_core::addr::{Offset, Range, Universe};
use weft_core::id::{Incarnation, PeerId, PeerName};
use weft_core::io::ConnId;
use weft_core::ipam::{Ballot, Founding, Grant, Proposal, Voter};
use weft_core::record::{Fingerprint, Key, Version};
use weft_core::time::Instant;

/// The founding of all made-up views.
pub(super) const LINEAGE: Fingerprint = Fingerprint([7; 16]);

/// The id of host `n1`, `n2`, …
pub(super) const fn id(number: u8) -> PeerId {
    PeerId([number; 32])
}

/// What the second of two hosts said.
pub(super) fn hello() -> Hello {
    let universe = pair().peers[1].told.universe;
    Hello { host: 1, peer: id(2), universe, lineage: None, secrets: Vec::new() }
}

pub(super) fn secs(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

pub(super) const fn version(incarnation: u64, sequence: u64) -> Version {
    Version { incarnation: Incarnation(incarnation), sequence }
}

pub(super) const fn range(start: u128, end: u128) -> Range {
    Range { start: Offset(start), end: Offset(end) }
}

/// An interval of a ledger.
pub(super) const fn owned(start: u128, end: u128, version: u64, owner: u8) -> Owned {
    Owned { range: range(start, end), epoch: 0, version, owner: id(owner) }
}

pub(super) fn universe() -> Universe {
    "10.0.0.0/28".parse().ok().and_then(|block| Universe::new(block).ok()).unwrap()
}

/// The founding by `n1` among `seeds`.
pub(super) fn founding(seeds: &[u8]) -> (Key, Paper) {
    let ballot = ballot(1, 1);
    let seeds = seeds.iter().map(|seed| id(*seed)).collect();
    let says = Says::Founding(Founding { universe: universe(), seeds, ballot, lacks: false });
    (Key::Founding(LINEAGE), Paper { writer: id(1), version: Version::default(), sign: 0, says })
}

/// That `writer` gives addresses to `owner`.
pub(super) fn grant(
    writer: u8,
    owner: u8,
    (start, end): (u128, u128),
    version: u64,
) -> (Key, Paper) {
    let lineage = LINEAGE;
    let grant = Grant {
        lineage,
        range: range(start, end),
        epoch: 0,
        version,
        owner: id(owner),
        victim: None,
    };
    let print = Fingerprint::by(&id(writer), &weft_core::codec::encode(&grant));
    let says = Says::Grant(grant);
    (Key::Grant(print), Paper { writer: id(writer), version: Version::default(), sign: 0, says })
}

pub(super) const fn ballot(round: u64, proposer: u8) -> Ballot {
    Ballot { round, proposer: id(proposer) }
}

/// That `voter` promised the round `promised` of `n1`, and accepted the one before among `seeds`.
pub(super) fn vote(voter: u8, promised: u64, seeds: &[u8]) -> (Key, Paper) {
    let before = ballot(promised - 1, 1);
    let proposal = Proposal {
        origin: before,
        seeds: seeds.iter().map(|seed| id(*seed)).collect(),
        lacks: false,
    };
    let vote = Voter {
        promised: Some(ballot(promised, 1)),
        accepted: Some((before, proposal)),
        lacks: false,
    };
    let says = Says::Vote(vote);
    (
        Key::Voter(id(voter)),
        Paper { writer: id(voter), version: version(1, promised), sign: 0, says },
    )
}

/// Two hosts that founded a mesh of 16 addresses, share it, and are linked.
pub(super) fn pair() -> View {
    let peer = |number: u8, other: u8| PeerView {
        live: true,
        boots: 1,
        id: Some(id(number)),
        name: PeerName([2, 0, 0, 0, 0, number]),
        told: Told {
            universe: Some(universe()),
            discovers: true,
            conns_max: 8,
            records_max: 64,
            records_len_max: 1 << 20,
            waiting_max: 16,
            allocate_max: Duration::from_secs(2),
            hops_max: 4,
            names_max: 16,
            sessions_max: 4,
            versions: (1, 1),
            ..Told::default()
        },
        version: version(1, 9),
        lineage: Some(LINEAGE),
        ledger: Some(vec![owned(0, 8, 0, 1), owned(8, 16, 0, 2)]),
        sure_ledger: Some(vec![owned(0, 8, 0, 1), owned(8, 16, 0, 2)]),
        papers: [founding(&[1, 2])].into(),
        stored: Some([founding(&[1, 2])].into()),
        near: [usize::from(other) - 1].into(),
        island: [0, 1].into(),
        mono: secs(100),
        linked: [(ConnId::dialed(1), Linked { peer: id(other), heard_at: secs(99) })].into(),
        proven: [id(other)].into(),
        up: [(id(other), secs(0))].into(),
        is_sound: true,
        records: BTreeMap::from([(Key::Names(id(1), 0), version(1, 3))]),
        ..PeerView::default()
    };
    let mut view = View::new(secs(100), universe(), vec![peer(1, 2), peer(2, 1)]);
    view.calm_at = Some(secs(50));
    view
}

/// The same after `change`.
pub(super) fn changed(change: impl FnOnce(&mut View)) -> View {
    let mut view = pair();
    change(&mut view);
    view
}

/// Has `rule` judge `views` one after the other; all but the last must be sound.
pub(super) fn last(rule: &mut dyn Invariant, views: &[View]) -> Result<(), String> {
    let (last, before) = views.split_last().unwrap();
    for view in before {
        assert_eq!(rule.check(view), Ok(()));
    }
    rule.check(last)
}

/// That `rule` of the default finds fault with the last of `views`, and with none before.
#[track_caller]
pub(super) fn fails<R: Invariant + Default>(views: &[View]) {
    assert!(last(&mut R::default(), views).is_err());
}

/// That `rule` of the default finds no fault.
#[track_caller]
pub(super) fn holds<R: Invariant + Default>(views: &[View]) {
    assert_eq!(last(&mut R::default(), views), Ok(()));
}
