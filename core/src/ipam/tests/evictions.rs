//! Evictions: what dead peers owned passes to one of the others, and no address has two owners.

use super::*;

pub(super) fn evict(victims: &[u8], force: bool) -> Command {
    Command::Evict { peers: victims.iter().copied().map(peer).collect(), force, wait: false }
}

/// Hosts each of which owns its share of 32 addresses.
pub(super) fn founded(count: u8) -> Cluster {
    founded_in(count, "10.0.0.0/27", count)
}

/// Hosts each of which owns its share, and of whom only the first ones live.
fn founded_in(count: u8, block: &str, living: u8) -> Cluster {
    let mut cluster = Cluster::new(count, block);
    let body = codec::encode(&founding_of(count, block));
    let founding = record(peer(0), Key::Founding(Fingerprint::of(&body)), &body);
    cluster.dead.extend(usize::from(living)..usize::from(count));
    for n in 0..usize::from(living) {
        cluster.link(n);
        cluster.pool.push((n, Parcel::Record(founding.clone())));
    }
    cluster.settle(1);
    cluster
}

#[test]
fn what_a_dead_peer_owned_is_one_others_at_all_survivors() {
    let mut cluster = founded(3);
    let owned = cluster.hosts[0].ipam.ledger().unwrap().owned_by(peer(2));
    let size: u128 = owned.iter().map(Range::size).sum();
    cluster.kill(2);
    let request = cluster.command(0, evict(&[2], false));
    cluster.settle(1);
    assert_eq!(cluster.answer(0, request), Some(&Ok(Reply::TakenOver(size))));
    for n in 0..2 {
        let ledger = cluster.hosts[n].ipam.ledger().unwrap();
        assert!(owned.iter().all(|range| ledger.owner(range.start) == Some(peer(0))));
        assert!(!ledger.owns_any(peer(2)));
    }
    // Nothing is left of it, and a second time there is nothing to take.
    let again = cluster.command(1, evict(&[2], false));
    assert_eq!(cluster.answer(1, again), Some(&Ok(Reply::TakenOver(0))));
    cluster.settle(1);
    let said = |host: &Host| host.ipam.freezes.values().all(|said| said.stances.is_empty());
    assert!(cluster.living().into_iter().all(|n| said(&cluster.hosts[n])));
}

#[test]
fn two_evictions_at_once_have_one_heir() {
    for first in [0, 1] {
        let mut cluster = founded(4);
        cluster.kill(3);
        let requests = [0, 1].map(|n| cluster.command(n, evict(&[3], false)));
        // Of the two, this one hears of the other first.
        for _ in 0..200 {
            let next = cluster.pool.iter().position(|(to, _)| *to == first);
            cluster.deliver(next.unwrap_or(0), false);
        }
        cluster.settle(2);
        for (n, request) in requests.into_iter().enumerate() {
            assert!(matches!(cluster.answer(n, request), Some(Ok(Reply::TakenOver(_)))), "{n}");
        }
        assert_eq!(cluster.hosts[0].ipam.ledger(), cluster.hosts[1].ipam.ledger());
        assert!(!cluster.hosts[0].ipam.ledger().unwrap().owns_any(peer(3)));
    }
}

#[test]
fn nobody_who_can_be_reached_and_nobody_alone_is_evicted() {
    let mut cluster = founded(3);
    let request = cluster.command(0, evict(&[2], false));
    let alive = Err(CommandError::StillInReach { peer: PeerLabel::unheard(peer(2)) });
    assert_eq!(cluster.answer(0, request), Some(&alive));
    let request = cluster.command(0, evict(&[0], false));
    assert_eq!(cluster.answer(0, request), Some(&Err(CommandError::EvictsItself)));
    // The other owner is away: it may know of gifts.
    cluster.kill(2);
    cluster.kill(1);
    let request = cluster.command(0, evict(&[2], false));
    cluster.settle(3);
    let away = Err(CommandError::OwnersAway { peers: std::vec![PeerLabel::unheard(peer(1))] });
    assert_eq!(cluster.answer(0, request), Some(&away));
    assert!(cluster.hosts[0].ipam.ledger().unwrap().owns_any(peer(2)), "nothing was changed");
    for (victims, force) in [(&[2][..], true), (&[1], false)] {
        let request = cluster.command(0, evict(victims, force));
        assert!(matches!(cluster.answer(0, request), Some(Ok(Reply::TakenOver(8..)))));
    }
    assert_eq!(cluster.hosts[0].ipam.ledger().unwrap().owners(), [peer(0)].into());
}

#[test]
fn a_gift_that_only_its_receiver_knows_of_counts() {
    let mut cluster = founded(3);
    let theirs = cluster.hosts[0].ipam.ledger().unwrap().owned_by(peer(2))[0];
    let address = std::format!("10.0.0.{}/27", theirs.start.0 + 1);
    let request = cluster.command(1, claim("c", &address));
    // The question, the grant to whom asked, and nothing else of it.
    let asked = cluster.pool.iter().position(|(to, _)| *to == 2).unwrap();
    cluster.deliver(asked, false);
    let given = cluster.pool.iter().position(|(to, _)| *to == 1).unwrap();
    cluster.deliver(given, false);
    assert!(cluster.answer(1, request).is_some_and(Result::is_ok));
    cluster.kill(2);
    let late: Vec<_> = cluster.pool.drain(..).collect();
    let request = cluster.command(0, evict(&[2], false));
    cluster.settle(1);
    // The one that knows more does not freeze what the other one knows.
    assert_eq!(cluster.answer(0, request), None);
    cluster.pool.extend(late);
    cluster.settle(1);
    assert!(matches!(cluster.answer(0, request), Some(Ok(Reply::TakenOver(_)))));
    let ledger = cluster.hosts[0].ipam.ledger().unwrap();
    assert_eq!(ledger.owner(Offset(theirs.start.0 + 1)), Some(peer(1)));
    assert_eq!(cluster.hosts[1].ipam.ledger(), Some(ledger));
    cluster.check_one_owner_acts();
}

#[test]
fn more_than_a_rack_is_evicted_at_once() {
    let mut cluster = founded_in(70, "10.0.0.0/24", 3);
    let dead: Vec<u8> = (3..70).collect();
    let size: u128 = dead
        .iter()
        .flat_map(|n| cluster.hosts[0].ipam.ledger().unwrap().owned_by(peer(*n)))
        .map(|range| range.size())
        .sum();
    let request = cluster.command(0, evict(&dead, false));
    cluster.settle(1);
    assert_eq!(cluster.answer(0, request), Some(&Ok(Reply::TakenOver(size))));
    assert_eq!(cluster.hosts[1].ipam.ledger().unwrap().owners().len(), 3);
    assert_eq!(cluster.hosts[2].ipam.ledger(), cluster.hosts[0].ipam.ledger());
}

/// Peers 1 and 2 have frozen what peer 3 owned, for peer 0, which is gone before it has heard of that.
fn frozen_for_the_dead() -> Cluster {
    let mut cluster = founded(4);
    cluster.kill(3);
    cluster.command(0, evict(&[3], false));
    let holds = |cluster: &Cluster, n: usize| {
        let own = cluster.hosts[n].ipam.freezes.get(&cluster.hosts[n].ipam.me);
        own.is_some_and(|own| own.holds(peer(3)))
    };
    while !(holds(&cluster, 1) && holds(&cluster, 2)) {
        let is_open = !holds(&cluster, 0);
        let next = cluster.pool.iter().position(|(to, _)| *to != 0 || is_open);
        cluster.deliver(next.unwrap(), false);
    }
    cluster.kill(0);
    cluster
}

#[test]
fn who_has_frozen_for_a_dead_proposer_goes_on_once_that_is_named_too() {
    for (victims, force) in [(&[3, 0][..], false), (&[3], true)] {
        let mut cluster = frozen_for_the_dead();
        let request = cluster.command(1, evict(&[3], false));
        cluster.settle(3);
        let away = Err(CommandError::OwnersAway { peers: std::vec![PeerLabel::unheard(peer(0))] });
        assert_eq!(cluster.answer(1, request), Some(&away));
        for n in [1, 2] {
            let own = &cluster.hosts[n].ipam.freezes[&peer(u8::try_from(n).unwrap())];
            assert!(own.holds(peer(3)), "what peer 0 may have taken over is given to nobody");
        }
        let request = cluster.command(1, evict(victims, force));
        cluster.settle(3);
        assert!(matches!(cluster.answer(1, request), Some(Ok(Reply::TakenOver(8..)))));
        assert_eq!(cluster.hosts[1].ipam.ledger(), cluster.hosts[2].ipam.ledger());
        for n in [1, 2] {
            let own = cluster.hosts[n].ipam.freezes.get(&peer(u8::try_from(n).unwrap()));
            assert_eq!(own, Some(&Freeze::default()));
        }
    }
}

#[test]
fn who_comes_back_after_its_eviction_owns_nothing() {
    let mut cluster = founded(3);
    cluster.kill(2);
    let (restored, theirs) =
        (cluster.hosts[2].saved.clone(), cluster.command(0, evict(&[2], false)));
    cluster.settle(1);
    assert!(cluster.answer(0, theirs).is_some());
    cluster.dead.clear();
    cluster.hosts[2].saved = restored;
    cluster.restart(2);
    (0..2).for_each(|n| cluster.link(n));
    for slot in cluster.hosts[0].saved.clone().slots.keys() {
        if let Slot::Record(Key::Grant(_)) = slot {
            let record = cluster.hosts[0].saved.get(slot).unwrap().unwrap();
            cluster.pool.push((2, Parcel::Record(record)));
        }
    }
    cluster.settle(2);
    assert_eq!(cluster.hosts[2].ipam.ledger(), cluster.hosts[0].ipam.ledger());
    cluster.check_one_owner_acts();
    let request = cluster.command(2, allocate("new"));
    cluster.settle(2);
    assert!(matches!(cluster.answer(2, request), Some(Ok(_))), "{:?}", cluster.answer(2, request));
}

proptest! {
    #[test]
    fn no_address_has_two_owners_whoever_dies_and_is_evicted(
        count in 3u8..6,
        moves in proptest::collection::vec((0u8..13, any::<u16>(), 0u8..12), 0..250),
    ) {
        let mut cluster = founded(count);
        for (kind, pick, id) in moves {
            let living = cluster.living();
            let n = living[usize::from(pick) % living.len()];
            let name = std::format!("c{n}-{id}");
            match kind {
                0 => drop(cluster.command(n, allocate(&name))),
                1 => {
                    let address = std::format!("10.0.0.{}/27", id * 2 + 1);
                    cluster.command(n, claim(&name, &address));
                }
                2 => drop(cluster.command(n, release(&name))),
                3 => cluster.pass(u64::from(pick) % 500),
                4 if pick < 6000 => cluster.restart(n),
                5 if living.len() > 2 && pick < 9000 => cluster.kill(n),
                6 | 7 => {
                    let gone = cluster.dead.iter().map(|n| u8::try_from(*n).unwrap());
                    let gone: Vec<u8> = gone.filter(|n| id & (1 << n) != 0).collect();
                    cluster.command(n, evict(&gone, false));
                }
                4 | 8 => cluster.deliver(pick.into(), true),
                _ => cluster.deliver(pick.into(), false),
            }
            cluster.check_no_address_is_held_twice();
            cluster.check_one_owner_acts();
        }
        cluster.settle(4);
        let gone: Vec<u8> = cluster.dead.iter().map(|n| u8::try_from(*n).unwrap()).collect();
        let heir = cluster.living()[0];
        let request = cluster.command(heir, evict(&gone, false));
        cluster.settle(3);
        let answer = cluster.answer(heir, request);
        prop_assert!(matches!(answer, Some(Ok(Reply::TakenOver(_)))), "{:?}", answer);
        cluster.check_no_address_is_held_twice();
        cluster.check_one_owner_acts();
        for n in cluster.living() {
            let ledger = cluster.hosts[n].ipam.ledger();
            prop_assert_eq!(ledger, cluster.hosts[heir].ipam.ledger());
            prop_assert!(gone.iter().all(|n| !ledger.unwrap().owns_any(peer(*n))));
        }
    }
}

#[test]
fn what_was_taken_over_goes_first_to_those_whose_containers_have_it() {
    let mut cluster = Cluster::new(3, "10.0.0.0/24");
    (0..3).for_each(|n| _ = cluster.command(n, Command::Prime));
    cluster.settle(8);
    let theirs = cluster.hosts[0].ipam.ledger().unwrap().owned_by(peer(2))[0];
    let at = Range { start: Offset(theirs.start.0 + 1), end: Offset(theirs.start.0 + 2) };
    let wanted = claim("web", &std::format!("10.0.0.{}/24", at.start.0));
    cluster.kill(2);
    let evict = Command::Evict { peers: [peer(2)].into(), force: false, wait: false };
    let evicted = cluster.command(0, evict);
    while cluster.answer(0, evicted).is_none() {
        cluster.deliver(0, false);
    }
    assert!(matches!(cluster.answer(0, evicted), Some(Ok(Reply::TakenOver(1..)))));
    let here = cluster.command(0, wanted);
    let asked = |cluster: &mut Cluster, message: IpamMessage| {
        cluster.call(0, |ipam, now, acts| ipam.message(now, peer(1), &message, acts));
        cluster.hosts[0].ipam.owner_of(at.start)
    };
    assert_eq!(asked(&mut cluster, IpamMessage::Request { range: at }), Some(peer(0)));
    assert_eq!(cluster.answer(0, here), None, "somebody's container may have it");
    assert_eq!(asked(&mut cluster, IpamMessage::Regain { ranges: alloc::vec![at] }), Some(peer(1)));
    // Whoever has something else gives that meanwhile.
    let usual = cluster.command(0, allocate("usual"));
    while cluster.answer(0, usual).is_none() && !cluster.pool.is_empty() {
        cluster.deliver(0, false);
    }
    let usual = address(cluster.answer(0, usual)).addr();
    assert!(!theirs.contains(universe("10.0.0.0/24").offset(usual).unwrap()));
    let whole = universe("10.0.0.0/24").range();
    let given = |cluster: &Cluster| cluster.hosts[0].ipam.ledger().unwrap().owned_by(peer(1));
    let before = given(&cluster);
    assert_ne!(asked(&mut cluster, IpamMessage::Request { range: whole }), None);
    assert_ne!(given(&cluster), before);
    let other = claim("db", &std::format!("10.0.0.{}/24", at.start.0 + 1));
    let other = cluster.command(0, other);
    assert_eq!(cluster.answer(0, other), None);
    cluster.pass(1_000);
    address(cluster.answer(0, other));
}
