//! Addresses that were given back, until they are given again.

use super::*;

/// A peer that owns all of `block`, and what it answers `command` with.
struct Alone(Ipam, u64);

impl Alone {
    fn of(block: &str) -> Self {
        Self(start(&config(block, 1), peer(1), &Saved::default()), 0)
    }

    /// The address that `id` is given at `millis`.
    fn allocate(&mut self, millis: u64, id: &str) -> String {
        let Ok(Reply::Addresses(given)) = self.command(millis, allocate(id)) else {
            panic!("{id}")
        };
        given[0].addr().to_string()
    }

    fn command(&mut self, millis: u64, command: Command) -> Result<Reply, CommandError> {
        self.1 += 1;
        let mut acts = Vec::new();
        self.0.command(at(millis), RequestId(self.1), command, &mut acts);
        let reply = |act| if let Act::Reply { result, .. } = act { Some(result) } else { None };
        acts.into_iter().find_map(reply).unwrap()
    }
}

#[test]
fn an_address_rests_after_it_was_given_back_while_there_are_others() {
    let mut alone = Alone::of("10.0.0.0/29");
    assert_eq!(alone.allocate(1, "a"), "10.0.0.1");
    alone.command(2, release("a")).unwrap();
    let all = ["b", "c", "d", "e", "f"].map(|id| alone.allocate(3, id));
    assert_eq!(all, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    for id in ["b", "c"] {
        alone.command(4, release(id)).unwrap();
    }
    // All rest: the one that was given back first is not the one that is lowest in the round.
    assert_eq!(alone.allocate(5, "g"), "10.0.0.1");
    assert_eq!(alone.allocate(5, "h"), "10.0.0.2");
}

#[test]
fn an_address_that_has_rested_is_one_as_any_other() {
    let mut alone = Alone::of("10.0.0.0/29");
    alone.allocate(1, "a");
    for id in ["b", "c", "d"] {
        alone.allocate(1, id);
    }
    alone.command(2, release("b")).unwrap();
    alone.command(10_000, release("a")).unwrap();
    for id in ["e", "f"] {
        alone.allocate(10_001, id);
    }
    let rested = 2 + u64::try_from(resting::REST.as_millis()).unwrap();
    // Of the two that are left, one rests.
    assert_eq!(alone.allocate(rested, "g"), "10.0.0.2");
}

#[test]
fn what_rests_is_given_away_only_when_there_is_nothing_else() {
    let mut alone = Alone::of("10.0.0.0/29");
    alone.0.reachable(at(1), [(peer(2), Part::FULL)].into(), &mut Vec::new());
    for (id, n) in [("a", 4), ("b", 5), ("c", 6)] {
        alone.command(1, claim(id, &std::format!("10.0.0.{n}/29"))).unwrap();
        alone.command(2, release(id)).unwrap();
    }
    let mut ask = |millis| {
        let mut acts = Vec::new();
        let message = IpamMessage::Request { range: universe("10.0.0.0/29").range() };
        alone.0.message(at(millis), peer(2), &message, &mut acts);
        let given = |act: &Act| {
            if let Act::Event(Event::Granted { range, .. }) = act { Some(*range) } else { None }
        };
        acts.iter().find_map(given).map(|range| (range.start.0, range.end.0))
    };
    assert_eq!(ask(3), Some((0, 4)));
    assert_eq!(ask(3), Some((7, 8)));
    assert_eq!(ask(3), Some((5, 6)));
}

#[test]
fn a_restart_does_not_end_the_rest_of_what_was_given_back() {
    let mut cluster = Cluster::new(1, "10.0.0.0/29");
    let given = |cluster: &mut Cluster, id| {
        let request = cluster.command(0, allocate(id));
        address(cluster.answer(0, request)).addr().to_string()
    };
    assert_eq!(given(&mut cluster, "a"), "10.0.0.1");
    assert_eq!(given(&mut cluster, "b"), "10.0.0.2");
    cluster.command(0, release("b"));
    cluster.restart(0);
    assert_eq!(given(&mut cluster, "c"), "10.0.0.3");
    for (id, net) in [("d", "10.0.0.4"), ("e", "10.0.0.5"), ("f", "10.0.0.6")] {
        assert_eq!(given(&mut cluster, id), net);
    }
    assert_eq!(given(&mut cluster, "g"), "10.0.0.2", "there is no other");
}

#[test]
fn of_what_was_given_back_the_last_ones_are_remembered_over_a_restart() {
    let mut cluster = Cluster::new(1, "10.0.0.0/24");
    for n in 0..200 {
        cluster.command(0, allocate(&n.to_string()));
    }
    for n in 0..200 {
        cluster.command(0, release(&n.to_string()));
    }
    let saved: Vec<u128> = cluster.hosts[0].saved.get(&Slot::Resting).unwrap().unwrap();
    assert_eq!(saved, (137..=200).collect::<Vec<_>>());
}
