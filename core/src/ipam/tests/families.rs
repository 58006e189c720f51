//! Universes of two families, and those that are divided as all were told.

use super::*;

const BOTH: &str = "10.0.0.0/29,fd00::/124";

fn nets(texts: &[&str]) -> Result<Reply, CommandError> {
    Ok(Reply::Addresses(texts.iter().map(|text| text.parse().unwrap()).collect()))
}

/// One peer that owns all of `block`.
fn alone(block: &str) -> Cluster {
    let mut cluster = Cluster::new(1, block);
    cluster.command(0, Command::Prime);
    cluster
}

#[test]
fn each_container_is_given_an_address_of_each_family_and_the_same_again() {
    let mut cluster = alone(BOTH);
    let first = cluster.command(0, allocate("a"));
    assert_eq!(cluster.answer(0, first).unwrap(), &nets(&["10.0.0.1/29", "fd00::1/124"]));
    let again = cluster.command(0, allocate("a"));
    assert_eq!(cluster.answer(0, again), cluster.answer(0, first));
    let subnet = Some("fd00::8/125".parse().unwrap());
    let other = cluster.command(0, Command::Allocate { id: "a".parse().unwrap(), subnet });
    assert_eq!(cluster.answer(0, other).unwrap(), &nets(&["fd00::9/125"]));
}

#[test]
fn who_has_an_address_of_one_family_keeps_it_and_is_given_one_of_the_other() {
    let mut cluster = alone(BOTH);
    cluster.command(0, claim("a", "fd00::7/124"));
    let both = cluster.command(0, allocate("a"));
    assert_eq!(cluster.answer(0, both).unwrap(), &nets(&["10.0.0.1/29", "fd00::7/124"]));
}

#[test]
fn where_one_family_is_used_up_nothing_of_the_other_is_given() {
    let mut cluster = alone(BOTH);
    for n in 1..7 {
        cluster.command(0, claim("all", &std::format!("10.0.0.{n}/29")));
    }
    let free = cluster.hosts[0].ipam.free();
    let late = cluster.command(0, allocate("late"));
    let refused = cluster.answer(0, late).unwrap();
    assert!(
        matches!(refused, Err(CommandError::Exhausted { subnet, .. }) if subnet.addr().is_ipv4()),
        "{refused:?}"
    );
    assert_eq!(cluster.hosts[0].ipam.free(), free);
}

#[test]
fn who_has_none_of_one_family_asks_for_that_one() {
    let mut cluster = Cluster::new(2, BOTH);
    cluster.command(0, Command::Prime);
    cluster.settle(8);
    // Four of eight IPv4 addresses are peer 0's, one of them no host's.
    let mut held = BTreeSet::new();
    for n in 0..6 {
        let asked = cluster.command(0, allocate(&std::format!("c{n}")));
        cluster.settle(8);
        let Some(Ok(Reply::Addresses(given))) = cluster.answer(0, asked) else {
            panic!("{:?}", cluster.answer(0, asked))
        };
        assert_eq!(given.len(), 2);
        held.extend(given.clone());
    }
    assert_eq!(held.len(), 12);
}

#[test]
fn each_block_is_divided_among_all_seeds() {
    let ledger = Ledger::found(&founding_of(2, BOTH)).unwrap();
    for (_, range) in universe(BOTH).shares() {
        let owners: BTreeSet<PeerId> = ledger.owners_in(range).map(|(_, owner)| owner).collect();
        assert_eq!(owners, [peer(0), peer(1)].into());
    }
    assert_eq!(Ledger::found(&founding_of(1, BOTH)).unwrap().entries().count(), 1);
}

#[test]
fn peers_that_were_told_the_same_seeds_found_the_same_mesh_without_a_word() {
    let founding = FoundingMode::Seeds([peer(1), peer(2)].into());
    let config = Config { founding, ..config("10.0.0.0/28", 9) };
    let lineages = [1, 2, 3].map(|n| {
        let mut ipam = start(&config, peer(n), &Saved::default());
        ipam.command(at(1), RequestId(1), Command::Prime, &mut Vec::new());
        let owned = ipam.ledger().unwrap().owned_by(peer(n));
        assert_eq!(owned.iter().map(Range::size).sum::<u128>(), if n < 3 { 8 } else { 0 });
        ipam.lineage().unwrap()
    });
    assert!(lineages.iter().all(|lineage| *lineage == lineages[0]));
}

#[test]
fn a_founding_among_others_than_the_operator_named_is_told_as_that() {
    let body = codec::encode(&founding_of(2, "10.0.0.0/28"));
    let key = Key::Founding(Fingerprint::of(&body));
    let told = |founding| {
        let config = Config { founding, ..config("10.0.0.0/28", 9) };
        let mut acts = Vec::new();
        let mut ipam = start(&config, peer(5), &Saved::default());
        ipam.record(at(1), &record(peer(0), key, &body), &mut acts);
        let told = acts.iter().find_map(|act| {
            if let Act::Event(Event::Founded { are_others, .. }) = act {
                Some(*are_others)
            } else {
                None
            }
        });
        told.unwrap()
    };
    assert!(!told(FoundingMode::Seeds([peer(0), peer(1)].into())));
    assert!(told(FoundingMode::Seeds([peer(0), peer(5)].into())));
    assert!(!told(FoundingMode::Observer));
}
