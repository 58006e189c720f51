//! Lies about evictions: one who knows the password keeps nobody from taking over what the dead owned.

use super::evictions::{evict, founded};
use super::*;
use crate::ipam::freeze::{Eviction, Phase, Stance};

/// As far as one record gets.
const LEAP: u64 = 1 << 20;

/// Peer 7, whom nobody can reach, has said of peer `victim` that it pursues this round of its eviction.
fn lie_about(cluster: &mut Cluster, victim: u8, round: u64) {
    let liar = peer(7);
    let eviction = Eviction { round, proposer: liar, nonce: 1 };
    let stance = Stance { eviction, phase: Phase::Gathering, view: Fingerprint::default() };
    let said = Freeze { stances: [(peer(victim), stance)].into(), ..Freeze::default() };
    let mut record = record(liar, Key::Freeze(liar), &codec::encode(&said));
    record.version.sequence = 1;
    all_hear(cluster, &record);
}

fn all_hear(cluster: &mut Cluster, record: &Record) {
    for n in cluster.living() {
        cluster.pool.push((n, Parcel::Record(record.clone())));
    }
    cluster.settle(1);
}

/// `writer` gives `range` to `owner`, in a record that all hear.
fn give(cluster: &mut Cluster, writer: u8, grant: Grant) {
    let body = codec::encode(&grant);
    let key = Key::Grant(Fingerprint::by(&peer(writer), &body));
    all_hear(cluster, &record(peer(writer), key, &body));
}

/// The first range of peer `n`.
fn first_of(cluster: &Cluster, n: u8) -> (Fingerprint, Range) {
    let ipam = &cluster.hosts[0].ipam;
    (ipam.lineage().unwrap(), ipam.ledger().unwrap().owned_by(peer(n))[0])
}

fn is_taken_over(cluster: &mut Cluster, victims: &[u8]) {
    let request = cluster.command(0, evict(victims, false));
    cluster.settle(3);
    let answer = cluster.answer(0, request);
    assert!(matches!(answer, Some(Ok(Reply::TakenOver(8..)))), "{answer:?}");
    for n in cluster.living() {
        let ledger = cluster.hosts[n].ipam.ledger();
        assert!(victims.iter().all(|victim| !ledger.unwrap().owns_any(peer(*victim))));
        assert_eq!(ledger, cluster.hosts[0].ipam.ledger());
    }
}

#[test]
fn a_round_that_somebody_made_up_ends_no_eviction() {
    for victim in [2, 9] {
        let mut cluster = founded(3);
        cluster.kill(2);
        lie_about(&mut cluster, victim, LEAP);
        is_taken_over(&mut cluster, &[2]);
    }
}

#[test]
fn an_epoch_far_above_all_others_ends_no_eviction() {
    let mut cluster = founded(4);
    let (lineage, range) = first_of(&cluster, 3);
    let (epoch, victim) = (LEAP, Some(peer(3)));
    let stolen = Grant { lineage, range, epoch, version: 1, owner: peer(7), victim };
    give(&mut cluster, 7, stolen.clone());
    cluster.kill(2);
    is_taken_over(&mut cluster, &[2, 7]);
    // What was given away again is the victim's in two epochs.
    let mut cluster = founded(4);
    give(&mut cluster, 7, stolen.clone());
    give(&mut cluster, 7, Grant { version: 2, owner: peer(2), victim: None, ..stolen });
    cluster.kill(2);
    is_taken_over(&mut cluster, &[2]);
}

#[test]
fn who_comes_to_the_last_round_of_a_peer_is_told_so_and_evicts_others() {
    let mut cluster = founded(4);
    (2..4).for_each(|n| cluster.kill(n));
    lie_about(&mut cluster, 2, freeze::ROUND_MAX);
    let used_up = Err(CommandError::RoundsUsedUp { peer: PeerLabel::unheard(peer(2)) });
    for _ in 0..2 {
        let request = cluster.command(0, evict(&[2, 3], false));
        assert_eq!(cluster.answer(0, request), Some(&used_up));
    }
    assert!(!cluster.hosts[0].ipam.freeze().is_some_and(|own| own.holds(peer(3))));
    // The other one has to agree, or to be gone as well.
    let request = cluster.command(0, evict(&[3], false));
    cluster.settle(3);
    let away = Err(CommandError::OwnersAway { peers: std::vec![PeerLabel::unheard(peer(2))] });
    assert_eq!(cluster.answer(0, request), Some(&away));
    let request = cluster.command(0, evict(&[3], true));
    cluster.settle(1);
    assert!(matches!(cluster.answer(0, request), Some(Ok(Reply::TakenOver(8)))));
}

#[test]
fn epochs_and_versions_end_and_do_not_begin_anew() {
    let founding = founding_of(2, "10.0.0.0/27");
    let lineage = Fingerprint::default();
    let ledger = |epoch, version| {
        let mut ledger = Ledger::found(&founding).unwrap();
        let range = ledger.universe().range();
        let owner = peer(2);
        ledger.apply(&Grant { lineage, range, epoch, version, owner, victim: None });
        ledger
    };
    let take = |ledger: &Ledger, round| {
        let range = ledger.universe().range();
        let grant = ledger.takeover(lineage, range, peer(2), (round, peer(1)))?;
        Some((grant.epoch, grant.version))
    };
    assert_eq!(take(&ledger(3, 4), 5), Some((8, 5)));
    assert_eq!(take(&ledger(u64::MAX - 5, 4), 5), Some((u64::MAX, 5)));
    assert_eq!(take(&ledger(u64::MAX - 4, 4), 5), None);
    assert_eq!(take(&ledger(3, u64::MAX), 5), None);
    assert_eq!(take(&ledger(3, 4), 0), None);
}

#[test]
fn a_peer_that_missed_many_rounds_catches_up_and_a_liar_leaps_once() {
    let mut ipam = start(&config("10.0.0.0/27", 3), peer(0), &Saved::default());
    let said = |victim: u8, round| {
        let eviction = Eviction { round, proposer: peer(7), nonce: 1 };
        let stance = Stance { eviction, phase: Phase::Gathering, view: Fingerprint::default() };
        Freeze { stances: [(peer(victim), stance)].into(), ..Freeze::default() }
    };
    assert!(ipam.admits_rounds(&said(2, LEAP)));
    assert!(!ipam.admits_rounds(&said(2, 3 * LEAP)));
    assert!(!ipam.admits_rounds(&said(2, 3 * LEAP)));
    assert!(ipam.admits_rounds(&said(2, 3 * LEAP)));
    assert!(!ipam.admits_rounds(&said(2, freeze::ROUND_MAX)));
    // What was said of one counts for it alone.
    ipam.take_freeze(peer(7), said(2, 9 * LEAP));
    assert!(ipam.admits_rounds(&said(2, 10 * LEAP)));
    assert!(!ipam.admits_rounds(&said(3, 10 * LEAP)));
    assert!([0, freeze::ROUND_MAX + 1].iter().all(|round| !said(2, *round).is_sound(peer(7))));
}
