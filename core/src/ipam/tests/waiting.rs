//! Commands that wait, and what they wait for.

use super::*;

/// Three owners of which the last one is away and the others have nothing free; the second one holds an
/// address for `theirs`.
fn used_up() -> Cluster {
    let mut cluster = Cluster::new(3, "10.0.0.0/28");
    cluster.command(0, Command::Prime);
    cluster.settle(8);
    for (n, id) in [(2, "away"), (1, "theirs")] {
        let request = cluster.command(n, allocate(id));
        cluster.settle(2);
        address(cluster.answer(n, request));
    }
    cluster.kill(2);
    for n in 0..14 {
        cluster.command(0, allocate(&std::format!("fill{n}")));
        cluster.settle(3);
    }
    cluster
}

#[test]
fn an_owner_that_had_nothing_is_asked_again_while_others_are_waited_for() {
    let mut cluster = used_up();
    let waits = [0, 1, 2, 3].map(|n| {
        let request = cluster.command(0, allocate(&std::format!("late{n}")));
        cluster.settle(1);
        request
    });
    for early in &waits[..2] {
        let answer = cluster.answer(0, *early);
        assert!(matches!(answer, Some(Err(CommandError::Exhausted { .. }))), "{answer:?}");
    }
    cluster.command(1, release("theirs"));
    cluster.settle(1);
    address(cluster.answer(0, waits[3]));
}

#[test]
fn an_owner_that_says_it_has_something_again_is_asked_at_once() {
    let mut cluster = used_up();
    let waits = cluster.command(0, allocate("late"));
    while !cluster.pool.is_empty() {
        cluster.deliver(0, false);
    }
    cluster.command(1, release("theirs"));
    let asked = |cluster: &Cluster| {
        let is_asked = |(to, parcel): &(usize, Parcel)| {
            *to == 1 && matches!(parcel, Parcel::Tell(_, IpamMessage::Request { .. }))
        };
        cluster.pool.iter().filter(|parcel| is_asked(parcel)).count()
    };
    let hint = |free| codec::encode(&Space { free_log2: [free, 0] });
    for (free, expected) in [(0, 0), (1, 1)] {
        let hint = record(peer(1), Key::Space(peer(1)), &hint(free));
        cluster.call(0, |ipam, now, acts| ipam.record(now, &hint, acts));
        assert_eq!(asked(&cluster), expected);
    }
    while !cluster.pool.is_empty() {
        cluster.deliver(0, false);
    }
    address(cluster.answer(0, waits));
}

#[test]
fn who_waits_for_the_founding_keeps_nobody_from_waiting_for_an_address() {
    let mut cluster = Cluster::new(3, "10.0.0.0/24");
    cluster.hosts[0].ipam.waiting_max = 4;
    let primes: Vec<RequestId> = (0..10).map(|_| cluster.command(0, Command::Prime)).collect();
    let waits = cluster.command(0, allocate("a"));
    assert_eq!(cluster.answer(0, waits), None);
    let (outlasted, left) = primes.split_at(6);
    for prime in outlasted {
        let answer = cluster.answer(0, *prime);
        assert_eq!(answer, Some(&Err(CommandError::TooManyWaiting(4))));
    }
    assert_eq!(cluster.hosts[0].ipam.status().waiting, 5);
    cluster.settle(8);
    for prime in left {
        assert_eq!(cluster.answer(0, *prime), Some(&Ok(Reply::Done)));
    }
}

#[test]
fn a_mesh_of_ten_thousand_voters_is_founded_among_as_many_as_there_may_be() {
    let id = |n: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        PeerId(id)
    };
    let me = id(9_999);
    let vote = propose(me, &Votes::new()).unwrap();
    let mut votes: Votes = (0..9_999).map(|n| (id(n), vote.clone())).collect();
    votes.insert(me, vote);
    let vote = step(me, 5_001, &votes).unwrap();
    assert!(vote.is_sound());
    assert!(codec::encode(&vote).len() <= Record::BODY_LEN_MAX * 5 / 8);
    let (_, value) = vote.accepted.clone().unwrap();
    assert_eq!(value.seeds.len(), founding::SEEDS_MAX);
    assert!(value.seeds.contains(&me) && value.seeds.contains(&id(4_094)));
    let mut longer = vote.clone();
    longer.accepted.as_mut().unwrap().1.seeds.insert(id(5_000));
    assert!(!longer.is_sound());
    let mut of_others = vote;
    of_others.accepted.as_mut().unwrap().1.seeds.remove(&me);
    assert!(!of_others.is_sound());
}
