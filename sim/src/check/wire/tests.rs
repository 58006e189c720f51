//! Each rule about datagrams can fail.

use super::super::broken::Breach;
use super::*;
use weft_core::sleeve::{Kind, Session, SessionIndex, SessionKeys};

const NAMES: [PeerName; 2] = [PeerName([2, 0, 0, 0, 0, 1]), PeerName([2, 0, 0, 0, 0, 2])];
const HOPS_MAX: u8 = 4;
const NOW: Instant = Instant::ZERO;

fn keys(host: usize) -> SessionKeys {
    let secrets = [[1; 32], [2; 32]];
    let theirs = SecretKey::from(secrets[1 - host]).public_key().to_bytes();
    SessionKeys { ours: secrets[host], theirs, dialed: host == 0, sealed: true }
}

fn up(
    session: SessionIndex,
    remote: SessionIndex,
    peer: PeerName,
    keys: SessionKeys,
) -> ForwardingChange {
    ForwardingChange::SessionUp { session, remote, peer, is_link: true, keys, to: None }
}

/// The label that a host chose.
fn label(host: usize) -> SessionIndex {
    SessionIndex(u32::try_from(host).unwrap() + 7)
}

/// Two hosts with a session, and what seals for each.
fn pair(kind: Kind) -> (Wire, [Session; 2]) {
    let mut wire = Wire::default();
    for host in [0, 1] {
        let (session, remote, peer) = (label(host), label(1 - host), NAMES[1 - host]);
        let change = up(session, remote, peer, keys(host));
        wire.forwarding(NOW, (host, NAMES[host]), &change).unwrap();
    }
    let session = |host: usize| Session::new(kind, &keys(host), label(1 - host)).unwrap();
    (wire, [session(0), session(1)])
}

fn rule(verdict: Result<(), Fault>) -> Option<&'static str> {
    verdict.err().map(|(rule, _)| rule)
}

fn send(wire: &mut Wire, host: usize, bytes: &[u8]) -> Option<&'static str> {
    rule(wire.sent(NOW, host, (NAMES[host], HOPS_MAX), bytes))
}

/// What breaks each of these rules.
pub(in super::super) const BREACHES: [Breach; 7] = [
    (UNIQUE_NONCE, || {
        let (mut wire, [mut session, _]) = pair(Kind::Probe);
        let datagram = session.seal(b"one").unwrap();
        send(&mut wire, 0, &datagram).or_else(|| send(&mut wire, 0, &datagram))
    }),
    (NO_REPLAY, || {
        let (mut wire, [mut session, _]) = pair(Kind::Probe);
        let datagram = session.seal(b"one").unwrap();
        send(&mut wire, 0, &datagram)
            .or_else(|| rule(wire.taken(NOW, 1, &datagram)))
            .or_else(|| rule(wire.taken(NOW, 1, &datagram)))
    }),
    (ONLY_SENT, || {
        let (mut wire, [mut session, _]) = pair(Kind::Probe);
        rule(wire.taken(NOW, 1, &session.seal(b"one").unwrap()))
    }),
    (ON_DEMAND, || {
        let (mut wire, [mut session, _]) = pair(Kind::Data);
        let to_all = session.seal(&parcel(HOPS_MAX)).unwrap();
        send(&mut wire, 0, &to_all).or_else(|| on_demand(&mut wire, 0))
    }),
    (FRESH_KEYS, || {
        let (mut wire, sessions) = pair(Kind::Probe);
        talk_for(&mut wire, sessions, 1_300)
    }),
    (REKEY_LOSES_NOTHING, || {
        let (mut wire, [mut before, _]) = pair(Kind::Data);
        renew(&mut wire);
        let datagram = before.seal(b"one").unwrap();
        send(&mut wire, 0, &datagram).or_else(|| {
            let session = label(1);
            wire.forwarding(NOW, (1, NAMES[1]), &ForwardingChange::SessionDown { session }).ok()?;
            rule(wire.refused(NOW, (1, NAMES[1]), &datagram))
        })
    }),
    (HOPS, || {
        let (mut wire, [mut session, _]) = pair(Kind::Data);
        send(&mut wire, 0, &session.seal(&parcel(HOPS_MAX + 1)).unwrap())
    }),
];

#[test]
fn what_is_sent_once_and_taken_once_breaks_no_rule() {
    let (mut wire, mut sessions) = pair(Kind::Probe);
    let datagrams: Vec<Vec<u8>> = (0..9).map(|_| sessions[0].seal(b"probe").unwrap()).collect();
    for datagram in &datagrams {
        assert_eq!(send(&mut wire, 0, datagram), None);
    }
    // In any order, and not all of them.
    for datagram in [&datagrams[8], &datagrams[2], &datagrams[5]] {
        assert_eq!(wire.taken(NOW, 1, datagram), Ok(()));
    }
    let back = sessions[1].seal(b"answer").unwrap();
    assert_eq!(send(&mut wire, 1, &back), None);
    assert_eq!(wire.taken(NOW, 0, &back), Ok(()));
}

#[test]
fn unique_nonce_fails_when_a_counter_comes_twice_or_the_nonce_is_another() {
    let (mut wire, mut sessions) = pair(Kind::Probe);
    let datagram = sessions[0].seal(b"one").unwrap();
    assert_eq!(send(&mut wire, 0, &datagram), None);
    let mut restarted = Session::new(Kind::Probe, &keys(0), label(1)).unwrap();
    let again = restarted.seal(b"two").unwrap();
    assert_eq!(send(&mut wire, 0, &again), Some(UNIQUE_NONCE));
    // Sealed as the other side would: both under one nonce.
    let (mut wire, _) = pair(Kind::Probe);
    let wrong = SessionKeys { dialed: false, ..keys(0) };
    let mut wrong = Session::new(Kind::Probe, &wrong, label(1)).unwrap();
    assert_eq!(send(&mut wire, 0, &wrong.seal(b"one").unwrap()), Some(UNIQUE_NONCE));
}

#[test]
fn two_others_may_choose_one_label() {
    let (mut wire, mut sessions) = pair(Kind::Probe);
    let third = SessionKeys {
        ours: [3; 32],
        theirs: SecretKey::from([4; 32]).public_key().to_bytes(),
        ..keys(0)
    };
    let change = up(SessionIndex(50), label(1), PeerName([2, 0, 0, 0, 0, 3]), third.clone());
    wire.forwarding(NOW, (0, NAMES[0]), &change).unwrap();
    let mut to_third = Session::new(Kind::Probe, &third, label(1)).unwrap();
    let first = sessions[0].seal(b"one").unwrap();
    assert_eq!(send(&mut wire, 0, &first), None);
    assert_eq!(send(&mut wire, 0, &to_third.seal(b"one").unwrap()), None);
    assert_eq!(wire.taken(NOW, 1, &first), Ok(()));
    assert_eq!(send(&mut wire, 0, &first), Some(UNIQUE_NONCE));
}

#[test]
fn unique_nonce_fails_when_a_session_takes_the_key_of_another() {
    let (mut wire, _) = pair(Kind::Probe);
    let mut up = |host: usize, session: u32, keys: SessionKeys| {
        let (session, remote) = (SessionIndex(session), label(1 - host));
        let peer = NAMES[1 - host];
        let change = up(session, remote, peer, keys);
        rule(wire.forwarding(NOW, (host, NAMES[host]), &change))
    };
    // The same session may be told twice.
    assert_eq!(up(0, label(0).0, keys(0)), None);
    assert_eq!(up(0, 99, keys(0)), Some(UNIQUE_NONCE));
    assert_eq!(up(1, 99, keys(0)), Some(UNIQUE_NONCE));
    // In the clear no key is used.
    assert_eq!(up(0, 99, SessionKeys { sealed: false, ..keys(0) }), None);
    assert_eq!(up(0, 99, SessionKeys { ours: [3; 32], ..keys(0) }), None);
}

/// A data path is told of a session that no link brings.
fn on_demand(wire: &mut Wire, host: usize) -> Option<&'static str> {
    let keys = SessionKeys { ours: [40 + u8::try_from(host).unwrap(); 32], ..keys(host) };
    let mut change = up(SessionIndex(50), label(1 - host), NAMES[1 - host], keys);
    if let ForwardingChange::SessionUp { is_link, .. } = &mut change {
        *is_link = false;
    }
    rule(wire.forwarding(NOW, (host, NAMES[host]), &change))
}

#[test]
fn on_demand_fails_when_there_is_a_session_with_whom_nobody_talks() {
    let to_all = [&NAMES[0].0[..], &[0; 6], &[HOPS_MAX, 0, 1], &[9]].concat();
    let to_one = [&NAMES[0].0[..], &NAMES[1].0, &[HOPS_MAX, 0, 1], &[9]].concat();
    for (payload, fault) in [(to_all, Some(ON_DEMAND)), (to_one, None)] {
        let (mut wire, mut sessions) = pair(Kind::Data);
        let frame = sessions[0].seal(&payload).unwrap();
        assert_eq!(send(&mut wire, 0, &frame), None);
        assert_eq!(on_demand(&mut wire, 0), fault);
        assert_eq!(on_demand(&mut wire, 1), fault);
    }
    // What an insider asks for is granted.
    let mut wire = Wire::default();
    assert_eq!(on_demand(&mut wire, 0), None);
}

#[test]
fn no_replay_fails_when_a_datagram_is_taken_again() {
    let (mut wire, mut sessions) = pair(Kind::Probe);
    let datagram = sessions[0].seal(b"probe").unwrap();
    assert_eq!(send(&mut wire, 0, &datagram), None);
    assert_eq!(wire.taken(NOW, 1, &datagram), Ok(()));
    assert_eq!(rule(wire.taken(NOW, 1, &datagram)), Some(NO_REPLAY));
}

#[test]
fn only_sent_fails_when_something_is_taken_that_was_not_sent_like_that() {
    let (mut wire, mut sessions) = pair(Kind::Probe);
    let datagram = sessions[0].seal(b"probe").unwrap();
    assert_eq!(rule(wire.taken(NOW, 1, &datagram)), Some(ONLY_SENT));
    assert_eq!(send(&mut wire, 0, &datagram), None);
    let mut changed = datagram;
    changed[20] ^= 1;
    assert_eq!(rule(wire.taken(NOW, 1, &changed)), Some(ONLY_SENT));
    let unsent = sessions[0].seal(b"more").unwrap();
    assert_eq!(rule(wire.taken(NOW, 1, &unsent)), Some(ONLY_SENT));
}

/// A parcel of `n1` with a frame of one byte.
fn parcel(hops: u8) -> Vec<u8> {
    [&NAMES[0].0[..], &[0; 6], &[hops, 0, 1], &[9]].concat()
}

#[test]
fn hops_fails_when_a_frame_is_sent_on_as_far_as_it_came_or_farther_than_it_may() {
    let (mut wire, mut sessions) = pair(Kind::Data);
    let first = sessions[0].seal(&parcel(HOPS_MAX)).unwrap();
    assert_eq!(send(&mut wire, 0, &first), None);
    assert_eq!(wire.taken(NOW, 1, &first), Ok(()));
    let on = sessions[1].seal(&parcel(HOPS_MAX - 1)).unwrap();
    assert_eq!(send(&mut wire, 1, &on), None);
    let as_far = sessions[1].seal(&parcel(HOPS_MAX)).unwrap();
    assert_eq!(send(&mut wire, 1, &as_far), Some(HOPS));
    let farther = sessions[0].seal(&parcel(HOPS_MAX + 1)).unwrap();
    assert_eq!(send(&mut wire, 0, &farther), Some(HOPS));
    let (mut wire, mut sessions) = pair(Kind::Data);
    let from_nowhere = sessions[1].seal(&parcel(1)).unwrap();
    assert_eq!(send(&mut wire, 1, &from_nowhere), Some(HOPS));
}

/// Both hosts get fresh keys for their session, and still take what comes by the one before.
fn renew(wire: &mut Wire) {
    let fresh = |host: usize| SessionIndex(label(host).0 + 50);
    for host in [0, 1] {
        let ours = [60 + u8::try_from(host).unwrap(); 32];
        let theirs = [60 + u8::try_from(1 - host).unwrap(); 32];
        let theirs = SecretKey::from(theirs).public_key().to_bytes();
        let keys = SessionKeys { ours, theirs, ..keys(host) };
        let change = up(fresh(host), fresh(1 - host), NAMES[1 - host], keys);
        wire.forwarding(NOW, (host, NAMES[host]), &change).unwrap();
    }
}

/// Both sides send a probe every 5 s for so many of them.
fn talk_for(wire: &mut Wire, mut sessions: [Session; 2], secs: u64) -> Option<&'static str> {
    let times = (0..=secs / 5).map(|n| NOW + Duration::from_secs(5 * n));
    let mut all = times.flat_map(|now| [(now, 0), (now, 1)]);
    all.find_map(|(now, host)| {
        let probe = sessions[host].seal(b"probe").unwrap();
        rule(wire.sent(now, host, (NAMES[host], HOPS_MAX), &probe))
            .or_else(|| rule(wire.taken(now, 1 - host, &probe)))
    })
}

#[test]
fn fresh_keys_fails_when_two_hosts_hear_each_other_under_old_ones() {
    let (mut wire, sessions) = pair(Kind::Probe);
    assert_eq!(talk_for(&mut wire, sessions, 1_200), None);
    let (mut wire, sessions) = pair(Kind::Probe);
    assert_eq!(talk_for(&mut wire, sessions, 1_205), Some(FRESH_KEYS));
    // Where only one of them is heard, no keys can be agreed that both use.
    let (mut wire, [mut one, _]) = pair(Kind::Probe);
    for now in (0..600).map(|n| NOW + Duration::from_secs(5 * n)) {
        let probe = one.seal(b"probe").unwrap();
        assert_eq!(wire.sent(now, 0, (NAMES[0], HOPS_MAX), &probe), Ok(()));
        assert_eq!(wire.taken(now, 1, &probe), Ok(()));
    }
}

#[test]
fn rekey_loses_nothing_fails_when_one_session_of_a_link_is_refused_and_another_taken() {
    // What is told of the receiver, after how long the datagram comes, and whether that is a fault.
    let down = |host: usize| (host, ForwardingChange::SessionDown { session: label(host) });
    let over = |host: usize| {
        (host, ForwardingChange::SessionDown { session: SessionIndex(label(host).0 + 50) })
    };
    let stories = [
        (vec![down(1)], 1_000, Some(REKEY_LOSES_NOTHING)),
        // The sender has ended it too, after it had sent that.
        (vec![down(1), down(0)], 1_000, Some(REKEY_LOSES_NOTHING)),
        (vec![down(1)], 2_000, None),
        (vec![], 1_000, None),
        // The link is over, at one side or the other.
        (vec![down(1), over(1)], 1_000, None),
        (vec![down(1), down(0), over(0)], 1_000, None),
    ];
    for (told, millis, fault) in stories {
        let (mut wire, [mut before, _]) = pair(Kind::Data);
        renew(&mut wire);
        let datagram = before.seal(b"one").unwrap();
        assert_eq!(send(&mut wire, 0, &datagram), None);
        for (host, change) in &told {
            wire.forwarding(NOW, (*host, NAMES[*host]), change).unwrap();
        }
        let refused = |wire: &Wire, bytes: &[u8]| {
            let now = NOW + Duration::from_millis(millis);
            rule(wire.refused(now, (1, NAMES[1]), bytes))
        };
        assert_eq!(refused(&wire, &datagram), fault, "{told:?}");
        let mut changed = datagram;
        changed[20] ^= 1;
        assert_eq!(refused(&wire, &changed), None);
        wire.ended(1);
        changed[20] ^= 1;
        assert_eq!(refused(&wire, &changed), None);
    }
}
