//! Peers that were evicted while they lived, and what their containers have.

use super::*;
use crate::ipam::message::is_regain;
use crate::status::StrayStatus;
use core::net::IpAddr;

/// Three peers of which the last one was evicted while it was apart, with a container at its first
/// address; they are together again, and nothing has been said since.
fn evicted() -> Cluster {
    let mut cluster = Cluster::new(3, "10.0.0.0/28");
    cluster.command(0, Command::Prime);
    cluster.settle(8);
    let lost = usable(&cluster, 2);
    cluster.command(2, claim("theirs", &std::format!("{lost}/28")));
    cluster.dead.insert(2);
    cluster.pool.clear();
    (0..2).for_each(|n| cluster.link(n));
    let request =
        cluster.command(0, Command::Evict { peers: [peer(2)].into(), force: false, wait: false });
    cluster.settle(8);
    assert!(matches!(cluster.answer(0, request), Some(Ok(Reply::TakenOver(_)))));
    cluster
}

/// An address of `n` that is neither the first nor the last one of all.
fn usable(cluster: &Cluster, n: u8) -> IpAddr {
    let ledger = cluster.hosts[usize::from(n)].ipam.ledger().unwrap();
    let first = ledger.owned_by(peer(n))[0].start;
    ledger.universe().address(Offset(first.0.max(1)))
}

/// The third peer is back, and hears of all that was written meanwhile.
fn back(cluster: &mut Cluster) {
    back_to(cluster, 2);
}

/// All are back, and `n` hears of all that was written meanwhile.
fn back_to(cluster: &mut Cluster, n: usize) {
    cluster.dead.clear();
    let written: Vec<Record> = cluster.hosts[0]
        .saved
        .slots
        .keys()
        .filter_map(|slot| cluster.hosts[0].saved.get(slot).ok().flatten())
        .collect();
    for record in written {
        cluster.call(n, |ipam, now, acts| ipam.record(now, &record, acts));
    }
    (0..cluster.hosts.len()).for_each(|n| cluster.link(n));
}

fn strays(cluster: &Cluster) -> Vec<StrayStatus> {
    strays_of(cluster, 2)
}

fn strays_of(cluster: &Cluster, n: usize) -> Vec<StrayStatus> {
    cluster.hosts[n].ipam.status().strays
}

#[test]
fn who_was_evicted_alive_lists_what_its_containers_have_and_is_given_it_back() {
    let mut cluster = evicted();
    let lost = cluster.hosts[2].ipam.held().next().unwrap().1[0].addr();
    back(&mut cluster);
    let id: ContainerId = "theirs".parse().unwrap();
    let stray = StrayStatus { address: lost, id, owner: peer(0), denied: false };
    assert_eq!(strays(&cluster), [stray]);
    assert_eq!(cluster.hosts[2].ipam.free(), 0, "it would hand out what it lost");
    cluster.settle(4);
    assert_eq!(strays(&cluster), []);
    let at = universe("10.0.0.0/28").offset(lost).unwrap();
    assert_eq!(cluster.hosts[0].ipam.ledger().unwrap().owner(at), Some(peer(2)));
}

#[test]
fn an_address_that_the_heir_has_handed_out_stays_listed_until_one_of_the_two_gives_it_back() {
    for heir_gives_back in [true, false] {
        let mut cluster = evicted();
        let lost = cluster.hosts[2].ipam.held().next().unwrap().1[0].addr();
        cluster.command(0, claim("mine", &std::format!("{lost}/28")));
        back(&mut cluster);
        cluster.settle(4);
        assert!(matches!(strays(&cluster)[..], [StrayStatus { denied: true, .. }]));
        if heir_gives_back {
            cluster.command(0, release("mine"));
            cluster.pass(31_000);
            cluster.settle(8);
        } else {
            cluster.command(2, release("theirs"));
        }
        assert_eq!(strays(&cluster), [], "{heir_gives_back}");
    }
}

#[test]
fn what_was_given_away_and_came_back_is_no_stray_in_whatever_order_the_disk_has_it() {
    let mut cluster = Cluster::new(1, "10.0.0.0/24");
    cluster.command(0, claim("mine", "10.0.0.5/24"));
    let Host { config, ipam, saved, .. } = &cluster.hosts[0];
    let (lineage, mut ledger) = ipam.founded.clone().unwrap();
    let range = Range { start: Offset(0), end: Offset(16) };
    let mut gift = |giver: PeerId, to: PeerId| {
        let grant = ledger.grant(lineage, range, giver, to).unwrap();
        ledger.apply(&grant);
        let body = codec::encode(&grant);
        record(giver, Key::Grant(Fingerprint::by(&giver, &body)), &body)
    };
    let away = gift(peer(0), peer(1));
    let back = gift(peer(1), peer(0));
    let away_again = gift(peer(0), peer(1));
    let founding = saved.slots.keys().find(|slot| matches!(slot, Slot::Record(_))).unwrap();
    let founding: Record = saved.get(founding).unwrap().unwrap();
    for (gifts, strays) in
        [(&[&away, &back][..], 0), (&[&back, &away], 0), (&[&away, &back, &away_again], 1)]
    {
        let mut ipam = start(config, peer(0), saved);
        let mut acts = Vec::new();
        for record in [&founding].into_iter().chain(gifts.iter().copied()) {
            ipam.record(at(2), record, &mut acts);
        }
        ipam.restored(at(2), &mut acts);
        let is_stray = |act: &&Act| matches!(act, Act::Event(Event::Stray { .. }));
        assert_eq!(acts.iter().filter(is_stray).count(), strays);
        assert_eq!(ipam.status().strays.len(), strays);
    }
}

#[test]
fn what_a_container_has_already_is_held_at_once_whosever_it_is_and_given_once_the_owner_is_removed()
{
    let mut cluster = Cluster::new(3, "10.0.0.0/28");
    cluster.command(0, Command::Prime);
    cluster.settle(8);
    let lost = usable(&cluster, 2);
    cluster.kill(2);
    let request = cluster.command(1, hold("web", &std::format!("{lost}/28")));
    assert_eq!(cluster.answer(1, request), Some(&Ok(Reply::Done)), "nobody is asked first");
    let owners = |cluster: &Cluster| {
        let all = strays_of(cluster, 1).into_iter();
        all.map(|stray| (stray.address, stray.owner)).collect::<Vec<_>>()
    };
    assert_eq!(owners(&cluster), [(lost, peer(2))]);
    cluster.settle(3);
    let evict = Command::Evict { peers: [peer(2)].into(), force: false, wait: false };
    let evicted = cluster.command(0, evict);
    let wanted: Vec<_> =
        (0..16).map(|n| cluster.command(0, allocate(&std::format!("c{n}")))).collect();
    cluster.settle(3);
    assert!(matches!(cluster.answer(0, evicted), Some(Ok(Reply::TakenOver(_)))));
    let at = universe("10.0.0.0/28").offset(lost).unwrap();
    assert_eq!(cluster.hosts[0].ipam.ledger().unwrap().owner(at), Some(peer(1)));
    assert_eq!(owners(&cluster), []);
    let given = wanted.iter().filter(|request| matches!(cluster.answer(0, **request), Some(Ok(_))));
    assert_eq!(given.count(), 13, "all but the edges and this one");
    cluster.check_no_address_is_held_twice();
}

#[test]
fn what_a_container_has_already_is_no_reason_to_divide_the_universe() {
    let mut cluster = Cluster::new(1, "10.0.0.0/28");
    for (command, taken) in [
        (hold("web", "10.0.0.5/28"), Ok(Reply::Done)),
        (hold("web", "10.0.0.5/28"), Ok(Reply::Done)),
        (hold("db", "10.0.0.5/28"), Err("10.0.0.5 is taken")),
        (hold("db", "10.9.0.5/28"), Err("10.9.0.5/28 cannot be used")),
        (hold("db", "10.0.0.0/28"), Err("10.0.0.0")),
    ] {
        let request = cluster.command(0, command);
        let told = cluster.answer(0, request).unwrap().clone().map_err(|why| why.to_string());
        match (told, taken) {
            (Ok(told), Ok(taken)) => assert_eq!(told, taken),
            (Err(told), Err(why)) => assert!(told.contains(why), "{told}"),
            (told, taken) => panic!("{told:?}, not {taken:?}"),
        }
    }
    let state = cluster.hosts[0].ipam.status().state;
    assert_eq!(state, IpamState::Idle);
    cluster.restart(0);
    assert_eq!(cluster.hosts[0].ipam.status().state, state);
    let given = cluster.command(0, allocate("web"));
    assert_eq!(address(cluster.answer(0, given)), "10.0.0.5/28".parse().unwrap());
    assert_eq!(cluster.hosts[0].ipam.status().strays, []);
}

#[test]
fn who_hears_of_a_founding_asks_for_what_its_containers_have() {
    let mut cluster = Cluster::new(2, "10.0.0.0/28");
    cluster.dead.insert(1);
    cluster.command(1, hold("web", "10.0.0.5/28"));
    cluster.hosts[0].config.founding = FoundingMode::Consensus { peers: Some(1) };
    cluster.restart(0);
    cluster.command(0, Command::Prime);
    cluster.settle(1);
    back_to(&mut cluster, 1);
    assert_eq!(strays_of(&cluster, 1).len(), 1);
    cluster.settle(2);
    assert_eq!(strays_of(&cluster, 1), []);
    let at = universe("10.0.0.0/28").offset("10.0.0.5".parse().unwrap()).unwrap();
    assert_eq!(cluster.hosts[0].ipam.ledger().unwrap().owner(at), Some(peer(1)));
}

#[test]
fn all_that_containers_have_is_one_question_and_comes_back_but_what_others_have_too() {
    const TAKEN: core::ops::Range<u32> = 500..503;
    // A run, and more that lie apart than fit into one answer.
    let held = || (1..=1_000).chain((1_002..4_000).step_by(2));
    let mut cluster = Cluster::new(2, "10.0.0.0/20");
    let allocated = |n: u32| std::format!("10.0.{}.{}/20", n / 256, n % 256);
    cluster.dead.insert(1);
    for n in held() {
        let request = cluster.command(1, hold("web", &allocated(n)));
        assert_eq!(cluster.answer(1, request), Some(&Ok(Reply::Done)));
    }
    cluster.hosts[0].config.founding = FoundingMode::Consensus { peers: Some(1) };
    cluster.restart(0);
    cluster.command(0, Command::Prime);
    for n in TAKEN {
        cluster.command(0, claim("db", &allocated(n)));
    }
    cluster.settle(1);
    back_to(&mut cluster, 1);
    assert_eq!(strays_of(&cluster, 1).len(), held().count());
    let questions = cluster.pool.iter().filter_map(|(_, parcel)| match parcel {
        Parcel::Tell(_, IpamMessage::Regain { ranges }) => Some(ranges.clone()),
        Parcel::Record(_) | Parcel::Tell(..) => None,
    });
    let questions: Vec<_> = questions.collect();
    let [ranges] = &questions[..] else { panic!("{} questions", questions.len()) };
    assert_eq!((ranges.len(), ranges[0].size()), (1_024, 1_000));
    assert!(is_regain(ranges));
    cluster.pass(200);
    cluster.settle(4);
    let left = strays_of(&cluster, 1);
    assert_eq!(left.len(), TAKEN.len());
    assert!(left.iter().all(|stray| stray.denied), "{left:?}");
}

#[test]
fn nobody_is_given_what_no_host_can_have_by_saying_that_it_has_it() {
    let mut cluster = Cluster::new(2, "10.0.0.0/8");
    cluster.command(0, Command::Prime);
    cluster.settle(4);
    let ledger = cluster.hosts[0].ipam.ledger().unwrap();
    let whole = ledger.universe().range();
    let own = |cluster: &Cluster| cluster.hosts[0].ipam.ledger().unwrap().owned_by(peer(0));
    let before = own(&cluster);
    let range = |start: u128, end: u128| Range { start: Offset(start), end: Offset(end) };
    let first = before[0].start.0;
    for ranges in [
        alloc::vec![whole],
        alloc::vec![range(first, first + 65_537)],
        alloc::vec![range(first + 1, first + 2), range(first, first + 1)],
        alloc::vec![range(first + 9, first)],
        (0..1_025).map(|n| range(first + 2 * n, first + 2 * n + 1)).collect(),
    ] {
        let message = IpamMessage::Regain { ranges };
        cluster.call(0, |ipam, now, acts| ipam.message(now, peer(1), &message, acts));
        assert_eq!(own(&cluster), before, "{message:?}");
    }
    let message = IpamMessage::Regain { ranges: alloc::vec![range(first, first + 9)] };
    cluster.call(0, |ipam, now, acts| ipam.message(now, peer(1), &message, acts));
    assert_ne!(own(&cluster), before);
}
