//! What a node said of evictions, and what comes back to it.

use super::*;
use crate::addr::Universe;
use crate::codec;
use crate::id::Identity;
use crate::ipam::freeze::{Eviction, Phase, ROUND_MAX, Stance};
use crate::ipam::{Ballot, Founding, Freeze};
use crate::record::{Fingerprint, Key, Record, RecordFault, Version};
use crate::saved::Slot;

const VICTIM: PeerId = PeerId([7; 32]);
const PROPOSER: PeerId = PeerId([8; 32]);

/// A node of a mesh in which the victim owns a half.
fn founded() -> Node {
    let (saved, now, mut out) = (Saved::default(), Now::default(), Outbox::default());
    let mut node = Node::new(config(0), saved, Seed([1; 32]), now, &mut out).unwrap();
    let ballot = Ballot { round: 1, proposer: node.me };
    let seeds = [node.me, VICTIM].into();
    let body =
        codec::encode(&Founding { universe: Universe::DEFAULT, seeds, ballot, lacks: false });
    let key = Key::Founding(Fingerprint::of(&body));
    let founding = Record::sign(&node.identity, key, Version::default(), body);
    assert_eq!(hear(&mut node, founding), None);
    assert!(node.ipam.ledger().unwrap().owns_any(VICTIM));
    node
}

/// Why it refuses `record`, when it does.
fn hear(node: &mut Node, record: Record) -> Option<RecordFault> {
    let (from, mut out) = ((ConnId::dialed(0), PeerId([9; 32])), Outbox::default());
    node.accept_all(Instant::ZERO, from, std::vec![record], &mut out);
    out.outputs().iter().find_map(|output| {
        let Output::Event(Event::RecordRefused { why, .. }) = output else { return None };
        Some(*why)
    })
}

/// That the victim's addresses are frozen, or whatever is said of them.
fn said(by: &Identity, version: Version, round: u64, phase: Phase) -> Record {
    let eviction = Eviction { round, proposer: PROPOSER, nonce: 1 };
    let stance = Stance { eviction, phase, view: Fingerprint::default() };
    let freeze = Freeze { stances: [(VICTIM, stance)].into(), ..Freeze::default() };
    Record::sign(by, Key::Freeze(by.id()), version, codec::encode(&freeze))
}

#[test]
fn what_we_have_frozen_and_forgotten_binds_us() {
    // In a life before this one, in one of the same number that was undone, and in one after it.
    for life in [0, 1, 2] {
        let mut node = founded();
        let incarnation = Incarnation(node.incarnation.0 + life - 1);
        let version = Version { incarnation, sequence: 1_000 };
        let ghost = said(&node.identity, version, 3, Phase::Frozen);
        assert_eq!(hear(&mut node, ghost), None);
        assert!(node.ipam.freeze().is_some_and(|own| own.holds(VICTIM)), "{life}");
        let key = Key::Freeze(node.me);
        let ours = node.records.get(&key).unwrap();
        assert!(ours.version > version, "{life}");
        assert_eq!(ours.version.incarnation, node.incarnation);
        let is_kept = node.turn.changes.contains(&Change::put(Slot::Record(key), ours));
        assert!(is_kept, "what binds us must be durable");
    }
}

#[test]
fn what_we_said_last_before_the_disk_was_put_back_holds_in_place_of_what_that_says() {
    let mut node = founded();
    let version = |life, sequence| Version { incarnation: Incarnation(life), sequence };
    let key = Key::Freeze(node.me);
    node.incarnation = Incarnation(3);
    let frozen = said(&node.identity, version(2, 1), 3, Phase::Frozen);
    assert_eq!(hear(&mut node, frozen), None);
    assert!(node.ipam.freeze().is_some_and(|own| own.holds(VICTIM)));
    // It starts again, with that on its disk.
    node.incarnation = Incarnation(5);
    let body = codec::encode(&Freeze::default());
    let last = Record::sign(&node.identity, key, version(4, 1), body);
    assert_eq!(hear(&mut node, last), None);
    assert!(!node.ipam.freeze().is_some_and(|own| own.holds(VICTIM)));
    assert_eq!(node.records.get(&key).unwrap().version.incarnation, node.incarnation);
}

#[test]
fn what_we_said_before_what_we_say_comes_back_in_vain() {
    let mut node = founded();
    let version = |sequence| Version { incarnation: node.incarnation, sequence };
    let before = said(&node.identity, version(1), 3, Phase::Frozen);
    let key = Key::Freeze(node.me);
    node.publish(key, codec::encode(&Freeze::default()));
    assert!(node.records.get(&key).unwrap().version > before.version);
    assert_eq!(hear(&mut node, before), None);
    assert!(!node.ipam.freeze().is_some_and(|own| own.holds(VICTIM)));
}

#[test]
fn a_round_that_nobody_could_have_reached_is_refused_and_one_within_a_leap_is_not() {
    let mut node = founded();
    let liar = Identity::from_seed([2; 32]);
    let mut hears = |sequence, round| {
        let version = Version { incarnation: Incarnation(1), sequence };
        hear(&mut node, said(&liar, version, round, Phase::Gathering))
    };
    let key = Key::Freeze(liar.id());
    assert_eq!(hears(1, 1 << 20), None);
    assert_eq!(hears(2, 1 << 30), Some(RecordFault::Leap(key)));
    for round in [0, ROUND_MAX + 1] {
        assert_eq!(hears(3, round), Some(RecordFault::Malformed(key)));
    }
    assert_eq!(hears(4, 1 << 21), None);
}
