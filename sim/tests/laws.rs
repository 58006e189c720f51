//! The laws on which agreement rests, over the core's own functions: what peers hold follows from what
//! came, and not from the order or the number of times in which it came. Laws of what the core keeps to
//! itself (which grants are proven, comparisons of records, routes) stand beside it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::{BTreeMap, BTreeSet};
use weft_core::addr::{Offset, Range, Universe};
use weft_core::gossip::{Prefix, Records};
use weft_core::id::{Identity, Incarnation, PeerId};
use weft_core::ipam::founding::{self, Votes};
use weft_core::ipam::{Ballot, Founding, Grant, Ledger};
use weft_core::record::{Fingerprint, Key, Record, Version};

fn peer(number: u8) -> PeerId {
    PeerId([number; 32])
}

/// Three owners of 32 addresses.
fn founded() -> Option<Ledger> {
    let universe = Universe::new("10.0.0.0/27".parse().ok()?).ok()?;
    let ballot = Ballot { round: 1, proposer: peer(0) };
    Ledger::found(&Founding { universe, seeds: (0..3).map(peer).collect(), ballot, lacks: false })
}

fn grants() -> impl Strategy<Value = Vec<Grant>> {
    let grant = (0u128..40, 1u128..40, 0u64..2, 1u64..4, 0u8..4).prop_map(
        |(start, size, epoch, version, owner)| Grant {
            lineage: Fingerprint::default(),
            range: Range { start: Offset(start), end: Offset(start + size) },
            epoch,
            version,
            owner: peer(owner),
            victim: (epoch > 0).then(|| peer(9)),
        },
    );
    vec(grant, 0..12)
}

/// Epoch and version of each address.
fn marks(ledger: &Ledger) -> BTreeMap<u128, (u64, u64)> {
    let entries = ledger.entries();
    let each = entries.flat_map(|(range, epoch, version, _)| {
        (range.start.0..range.end.0).map(move |at| (at, (epoch, version)))
    });
    each.collect()
}

/// A valid record; the same numbers make the same one.
fn record((writer, kind, sequence): (u8, u8, u64)) -> Record {
    let identity = Identity::from_seed([writer; 32]);
    let version = Version { incarnation: Incarnation(1), sequence };
    let body = vec![writer, kind];
    match kind % 3 {
        0 => Record::sign(&identity, Key::Names(identity.id(), 0), version, body),
        1 => Record::sign(&identity, Key::Peer(identity.id()), version, body),
        _ => {
            let body = sequence.to_be_bytes().to_vec();
            let key = Key::Grant(Fingerprint::by(&identity.id(), &body));
            Record::sign(&identity, key, Version::default(), body)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ledger_is_the_same_in_whatever_order_and_however_often_grants_come(
        grants in grants(), order in vec(any::<Index>(), 0..20),
    ) {
        let mut once = founded().unwrap();
        for grant in &grants {
            let before = marks(&once);
            once.apply(grant);
            for (at, later) in marks(&once) {
                prop_assert!(later >= before[&at], "{at} went back");
            }
        }
        let mut other = founded().unwrap();
        for at in order.iter().filter(|_| !grants.is_empty()) {
            other.apply(at.get(&grants));
        }
        for grant in grants.iter().rev() {
            other.apply(grant);
        }
        prop_assert_eq!(&once, &other);
        // It tiles the universe.
        prop_assert!(marks(&once).into_keys().eq(0..32));
        prop_assert_eq!(once.entries().map(|entry| entry.0.size()).sum::<u128>(), 32);
    }

    #[test]
    fn votes_in_any_order_decide_one_value_and_never_two(
        moves in vec((0usize..5, 0usize..5, 0u8..4), 0..120),
    ) {
        let mut known: [Votes; 5] = Default::default();
        let mut chosen = BTreeSet::new();
        let is_opened = moves.iter().any(|(.., kind)| *kind == 0);
        // In the end all hear all that all say, and nobody opens another ballot.
        let all = (0..5).flat_map(|from| (0..5).map(move |to| (from, to, 1)));
        let rest = std::iter::repeat_n(all, 8).flatten();
        for (from, to, kind) in moves.into_iter().chain(rest) {
            let me = peer(u8::try_from(to).unwrap());
            if kind == 0 {
                let vote = founding::propose(me, &known[to]).unwrap();
                known[to].insert(me, vote);
            } else {
                for (id, vote) in known[from].clone() {
                    known[to].entry(id).or_default().join(vote);
                }
            }
            if let Some(vote) = founding::step(me, 3, &known[to]) {
                known[to].insert(me, vote);
            }
            chosen.extend(founding::decided(3, &known[to]));
            prop_assert!(chosen.len() <= 1);
        }
        prop_assert_eq!(chosen.len(), usize::from(is_opened));
    }

    #[test]
    fn votes_join_to_the_same_in_whatever_order_and_however_often_they_come(
        moves in vec((0usize..3, 0usize..3, 0u8..3), 0..40), order in vec(any::<Index>(), 0..12),
    ) {
        // What one voter said, one after the other.
        let (me, mut known) = (peer(0), [const { Votes::new() }; 3]);
        let mut said = vec![founding::Voter::default()];
        for (from, to, kind) in moves {
            let voter = peer(u8::try_from(to).unwrap());
            if kind == 0 && let Some(vote) = founding::propose(voter, &known[to]) {
                known[to].insert(voter, vote);
            }
            for (id, vote) in known[from].clone() {
                known[to].entry(id).or_default().join(vote);
            }
            if let Some(vote) = founding::step(voter, 2, &known[to]) {
                known[to].insert(voter, vote);
            }
            said.extend(known[0].get(&me).cloned());
        }
        let (mut once, mut other) = (founding::Voter::default(), founding::Voter::default());
        said.iter().for_each(|vote| once.join(vote.clone()));
        let again = order.iter().map(|at| at.get(&said));
        again.chain(said.iter().rev()).for_each(|vote| other.join(vote.clone()));
        prop_assert_eq!(&once, &other);
        prop_assert_eq!(Some(&once), said.last());
    }
}

proptest! {
    // Each record is signed, and each signature checked.
    #![proptest_config(
        ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() }
    )]

    #[test]
    fn records_are_the_same_in_whatever_order_and_however_often_they_come(
        made in vec((0u8..6, 0u8..3, 0u64..4), 1..24), again in vec(any::<Index>(), 0..24),
    ) {
        let made: Vec<Record> = made.into_iter().map(record).collect();
        let store = || Records::new(100, usize::MAX);
        let (mut one, mut two) = (store(), store());
        for record in &made {
            one.accept(record.clone(), false).unwrap();
        }
        for record in again.iter().map(|at| at.get(&made)).chain(made.iter().rev()) {
            two.accept(record.clone(), false).unwrap();
        }
        prop_assert!(one.iter().eq(two.iter()));
        prop_assert_eq!(one.sum(Prefix::ROOT), two.sum(Prefix::ROOT));
    }
}
