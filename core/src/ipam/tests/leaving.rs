//! Peers that leave, and those who are to have their addresses.

use super::*;

/// Peers that have founded a mesh, each of which owns addresses.
fn founded(count: u8) -> Cluster {
    let mut cluster = Cluster::new(count, "10.0.0.0/24");
    for n in 0..count.into() {
        cluster.command(n, Command::Prime);
    }
    cluster.settle(8);
    for n in 0..count {
        let request = cluster.command(n.into(), allocate(&std::format!("c{n}")));
        cluster.settle(2);
        address(cluster.answer(n.into(), request));
    }
    cluster
}

fn leave(cluster: &mut Cluster, n: usize) -> RequestId {
    cluster.command(n, Command::Leave)
}

/// What is on the disk of `from` is told to `to`, as when a link is made.
fn tell(cluster: &mut Cluster, from: usize, to: usize) {
    let saved = cluster.hosts[from].saved.clone();
    for slot in saved.slots.keys() {
        if let Slot::Record(Key::Founding(_) | Key::Grant(_)) = slot {
            cluster.pool.push((to, Parcel::Record(saved.get(slot).unwrap().unwrap())));
        }
    }
}

fn owns(cluster: &Cluster, n: usize, who: u8) -> bool {
    cluster.hosts[n].ipam.ledger().unwrap().owns_any(peer(who))
}

/// What status says would come of leaving.
fn no_leave(cluster: &Cluster, n: usize) -> Option<CommandError> {
    cluster.hosts[n].ipam.status().no_leave
}

#[test]
fn who_leaves_may_go_once_the_heir_has_said_that_it_has_the_addresses() {
    let mut cluster = founded(2);
    let request = leave(&mut cluster, 1);
    assert_eq!(cluster.answer(1, request), None, "nobody knows of it yet");
    cluster.settle(1);
    assert_eq!(cluster.answer(1, request), Some(&Ok(Reply::Done)));
    assert!(!owns(&cluster, 0, 1));
    let again = leave(&mut cluster, 1);
    assert_eq!(cluster.answer(1, again), Some(&Ok(Reply::Done)));
}

#[test]
fn an_heir_that_died_unnoticed_keeps_who_leaves_until_it_is_back() {
    let mut cluster = founded(2);
    cluster.dead.insert(0);
    let request = leave(&mut cluster, 1);
    cluster.settle(1);
    assert_eq!(cluster.answer(1, request), None);
    cluster.settle(2);
    let heir = Some(PeerLabel::unheard(peer(0)));
    assert_eq!(cluster.answer(1, request), Some(&Err(CommandError::NotTakenOver { heir })));
    let again = leave(&mut cluster, 1);
    cluster.settle(1);
    assert_eq!(cluster.answer(1, again), None);
    cluster.dead.clear();
    cluster.restart(0);
    tell(&mut cluster, 1, 0);
    cluster.settle(1);
    assert_eq!(cluster.answer(1, again), Some(&Ok(Reply::Done)));
    assert!(!owns(&cluster, 0, 1));
}

#[test]
fn who_starts_again_before_its_heir_was_heard_still_waits_for_somebody_who_knows() {
    let mut cluster = founded(2);
    cluster.dead.insert(0);
    leave(&mut cluster, 1);
    cluster.settle(3);
    cluster.restart(1);
    cluster.call(1, |ipam, now, acts| ipam.reachable(now, BTreeMap::new(), acts));
    assert!(!owns(&cluster, 1, 1));
    let alone = leave(&mut cluster, 1);
    let is_stranded = |cluster: &Cluster, request| {
        let answer = cluster.answer(1, request);
        matches!(answer, Some(Err(CommandError::Stranded { addresses: 0, .. })))
    };
    assert!(is_stranded(&cluster, alone), "{:?}", cluster.answer(1, alone));
    cluster.dead.clear();
    cluster.restart(0);
    cluster.link(1);
    cluster.settle(1);
    let unheard = leave(&mut cluster, 1);
    assert!(is_stranded(&cluster, unheard), "its gate is closed");
    tell(&mut cluster, 1, 0);
    cluster.settle(6);
    let late = leave(&mut cluster, 1);
    cluster.settle(1);
    assert_eq!(cluster.answer(1, late), Some(&Ok(Reply::Done)));
}

#[test]
fn of_an_heir_that_was_evicted_whoever_took_over_says_that_it_has_the_addresses() {
    let mut cluster = founded(3);
    cluster.dead.insert(0);
    let early = leave(&mut cluster, 2);
    cluster.settle(3);
    assert!(matches!(cluster.answer(2, early), Some(Err(CommandError::NotTakenOver { .. }))));
    cluster.link(1);
    cluster.link(2);
    let evict = Command::Evict { peers: [peer(0)].into(), force: false, wait: false };
    let evicted = cluster.command(1, evict);
    cluster.settle(2);
    assert!(matches!(cluster.answer(1, evicted), Some(Ok(Reply::TakenOver(_)))));
    let late = leave(&mut cluster, 2);
    cluster.settle(1);
    assert_eq!(cluster.answer(2, late), Some(&Ok(Reply::Done)));
    assert_eq!(cluster.hosts[1].ipam.ledger().unwrap().owners(), [peer(1)].into());
}

#[test]
fn of_those_that_all_leave_none_inherits_and_a_newcomer_has_everything() {
    let mut cluster = founded(4);
    cluster.dead.insert(3);
    let all = [0, 1, 2];
    let link = |cluster: &mut Cluster| all.iter().for_each(|n| cluster.link(*n));
    link(&mut cluster);
    let requests = all.map(|n| leave(&mut cluster, n));
    link(&mut cluster);
    cluster.settle(3);
    let told = all.map(|n| cluster.answer(n, requests[n]).cloned());
    assert_eq!(told, all.map(|_| Some(Err(CommandError::AllLeave))));
    assert_eq!(all.map(|n| no_leave(&cluster, n)), all.map(|_| Some(CommandError::AllLeave)));
    let owners = |cluster: &Cluster| cluster.hosts[0].ipam.ledger().unwrap().owners();
    let before = owners(&cluster);
    let again = all.map(|n| leave(&mut cluster, n));
    cluster.settle(3);
    let told = all.map(|n| cluster.answer(n, again[n]).cloned());
    assert_eq!(told, all.map(|_| Some(Err(CommandError::AllLeave))));
    assert_eq!(owners(&cluster), before, "nothing goes to and fro");
    cluster.dead.clear();
    link(&mut cluster);
    cluster.link(3);
    all.iter().for_each(|n| tell(&mut cluster, *n, 3));
    let last = all.map(|n| leave(&mut cluster, n));
    cluster.settle(3);
    assert_eq!(
        all.map(|n| cluster.answer(n, last[n]).cloned()),
        all.map(|_| Some(Ok(Reply::Done)))
    );
    assert_eq!(owners(&cluster), [peer(3)].into());
}

#[test]
fn who_would_leave_while_all_others_do_stays_as_it_is() {
    let mut cluster = founded(2);
    leave(&mut cluster, 0);
    cluster.link(1);
    let late = leave(&mut cluster, 1);
    let answer = cluster.answer(1, late);
    assert!(matches!(answer, Some(Err(CommandError::Stranded { .. }))), "{answer:?}");
    assert!(!cluster.hosts[1].ipam.has_left());
}

#[test]
fn peers_that_have_no_vote_are_not_counted_as_if_they_had_one() {
    let mut cluster = Cluster::new(1, "10.0.0.0/24");
    cluster.hosts[0].ipam = start(&config("10.0.0.0/24", 3), peer(0), &Saved::default());
    let part = |votes| Part { votes, ..Part::FULL };
    let parts = |votes| [(peer(1), part(votes)), (peer(2), part(votes))].into();
    cluster.call(0, |ipam, now, acts| ipam.reachable(now, parts(false), acts));
    let request = cluster.command(0, allocate("a"));
    cluster.pass(2_000);
    let told = |heard| {
        let universe = universe("10.0.0.0/24");
        Some(Err(CommandError::NoQuorum { heard, needed: 2, universe }))
    };
    assert_eq!(cluster.answer(0, request).cloned(), told(1));
    cluster.call(0, |ipam, now, acts| ipam.reachable(now, parts(true), acts));
    let request = cluster.command(0, allocate("b"));
    cluster.pass(2_000);
    assert_eq!(cluster.answer(0, request).cloned(), told(3));
}

#[test]
fn who_can_leave_its_addresses_to_nobody_stays_as_it_is() {
    let mut cluster = founded(2);
    cluster.call(1, |ipam, now, acts| ipam.reachable(now, BTreeMap::new(), acts));
    let request = leave(&mut cluster, 1);
    let answer = cluster.answer(1, request);
    assert!(matches!(answer, Some(Err(CommandError::Stranded { addresses: 1.., .. }))));
    assert_eq!(no_leave(&cluster, 1).map(Err).as_ref(), answer, "status says the same");
    assert!(!cluster.hosts[1].ipam.has_left());
    assert_eq!(cluster.hosts[1].ipam.held().count(), 1);
    let other = cluster.command(1, allocate("other"));
    address(cluster.answer(1, other));
}

#[test]
fn who_never_owned_anything_may_go_at_once() {
    let mut cluster = Cluster::new(1, "10.0.0.0/24");
    let early = leave(&mut cluster, 0);
    assert_eq!(cluster.answer(0, early), Some(&Ok(Reply::Done)), "nothing is founded");
    let mut ipam = start(&config("10.0.0.0/24", 2), peer(7), &Saved::default());
    let body = codec::encode(&founding_of(2, "10.0.0.0/24"));
    let founding = record(peer(0), Key::Founding(Fingerprint::of(&body)), &body);
    let mut acts = Vec::new();
    ipam.record(at(1), &founding, &mut acts);
    ipam.command(at(2), RequestId(1), Command::Leave, &mut acts);
    let done = Act::Reply { request: RequestId(1), result: Ok(Reply::Done) };
    assert!(acts.contains(&done));
}

#[test]
fn what_is_given_to_who_has_left_already_goes_on_to_its_heir() {
    let mut cluster = founded(2);
    let request = leave(&mut cluster, 1);
    let range = universe("10.0.0.0/24").range();
    // It had asked for some, and nobody has heard that it leaves.
    let ask = IpamMessage::Request { range };
    cluster.call(0, |ipam, now, acts| ipam.message(now, peer(1), &ask, acts));
    cluster.settle(1);
    assert_eq!(cluster.answer(1, request), Some(&Ok(Reply::Done)));
    assert!(!owns(&cluster, 0, 1) && !owns(&cluster, 1, 1));
}

#[test]
fn who_has_left_speaks_for_nobody_else() {
    let mut cluster = founded(2);
    leave(&mut cluster, 0);
    leave(&mut cluster, 1);
    cluster.settle(1);
    let both = [0, 1].map(|n| owns(&cluster, n, 0) || owns(&cluster, n, 1));
    assert_eq!(both, [true; 2], "each would be the other's heir");
    for host in &cluster.hosts {
        let is_done = |(_, result): &(RequestId, _)| *result == Ok(Reply::Done);
        assert_eq!(
            host.replies.iter().filter(|reply| is_done(reply)).count(),
            1,
            "of the founding"
        );
    }
}
