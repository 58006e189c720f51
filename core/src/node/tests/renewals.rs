//! Fresh keys for the data session of a link: host 1 has dialed host 0.

use super::*;
use crate::mesh::{FreshHalf, Renewal};

#[test]
fn the_data_session_of_a_link_gets_fresh_keys_whenever_the_link_does_and_nobody_misses_it() {
    let mut world = pair();
    let mut before = world.in_use();
    let [events, ended] = [0, 1].map(|host| world.hosts[host].as_ref().unwrap().events.len());
    for _ in 0..4 {
        world.until_keys_change();
        world.run(SECOND);
        let sessions = world.in_use();
        for (host, (session, before)) in sessions.into_iter().zip(before).enumerate() {
            assert_ne!(session, before);
            // Routes follow, and what is under way by the one before is taken.
            assert_eq!(world.routed(host), [session]);
            assert_eq!(world.known(host), [before, session].into());
        }
        world.run(SECOND * 6);
        for (host, session) in sessions.into_iter().enumerate() {
            assert_eq!(world.known(host), [session].into());
            assert_eq!(world.node(host).sizes().sessions, 1);
        }
        before = sessions;
    }
    let all = [0, 1].map(|host| world.hosts[host].as_ref().unwrap().events.len());
    assert_eq!(all, [events, ended], "nothing is told of it");
}

#[test]
fn while_no_datagram_comes_through_both_sides_take_in_both_sessions_and_no_third_is_offered() {
    let mut world = pair();
    let before = world.in_use();
    world.deaf.insert((0, 1));
    world.until_keys_change();
    for _ in 0..3 {
        world.until_keys_change();
        assert_eq!(world.in_use()[0], before[0], "it was not heard by the other one");
        assert_ne!(world.in_use()[1], before[1]);
        for host in 0..2 {
            assert_eq!(world.known(host).len(), 2);
        }
    }
    let agreed = world.in_use()[1];
    world.deaf.clear();
    world.run(SECOND * 2);
    assert_eq!(world.in_use()[1], agreed);
    assert!(!world.known(0).contains(&world.in_use()[1]) && world.in_use()[0] != before[0]);
    // What was wanted meanwhile follows as soon as it may.
    world.run(SECOND * 6);
    assert_ne!(world.in_use()[1], agreed);
    assert_eq!((world.reached(0), world.reached(1)), ([1].to_vec(), [0].to_vec()));
}

#[test]
fn a_link_that_ends_in_the_middle_of_it_leaves_no_session() {
    for offered in [false, true] {
        let mut world = pair();
        // With no datagram, both sides have two sessions; with none and no answer, one is offered.
        world.deaf.insert((0, 1));
        world.until_keys_change();
        if offered {
            let conn = world.conn(1);
            world.hosts[1].as_mut().unwrap().node.offer_for_test(conn);
            assert_eq!(world.node(1).sizes().sessions, 3);
        }
        assert_eq!((world.known(0).len(), world.known(1).len()), (2, 2));
        for host in 0..2 {
            let (conn, why) = (world.conn(host), CloseReason::Ended);
            let mut out = Outbox::default();
            let now = world.now;
            let node = &mut world.hosts[host].as_mut().unwrap().node;
            node.end(now, conn, ConnFault::Closed(why), Way::Gone, &mut out);
            assert_eq!(node.sizes().sessions, 0);
            world.carry_out(host, out);
            assert!(world.known(host).is_empty());
        }
    }
}

#[test]
fn whoever_offers_or_answers_out_of_turn_or_with_a_key_of_low_order_loses_the_link() {
    let good = |session: u32| {
        let secret = x25519_dalek::StaticSecret::from([9; 32]);
        let key = x25519_dalek::PublicKey::from(&secret).to_bytes();
        FreshHalf { session: SessionIndex(session), key }
    };
    let weak = FreshHalf { key: [0; 32], ..good(1) };
    let stories: [(usize, &[Renewal], bool); 6] = [
        (0, &[Renewal::Offer(good(1))], true),
        (0, &[Renewal::Offer(good(1)), Renewal::Offer(good(2))], false),
        (0, &[Renewal::Offer(weak)], false),
        (0, &[Renewal::Answer(good(1))], false),
        (1, &[Renewal::Answer(good(1))], false),
        (1, &[Renewal::Offer(good(1))], false),
    ];
    for (host, said, stands) in stories {
        let mut world = pair();
        for renewal in said {
            world.say_renewal(host, *renewal);
        }
        let is_told = |fault: &ConnFault| matches!(fault, ConnFault::Protocol(_));
        assert_eq!(world.faults(host).iter().any(is_told), !stands, "{said:?}");
        let (labels, known) = (world.node(host).sizes().sessions, world.known(host).len());
        assert_eq!((labels, known), if stands { (2, 2) } else { (0, 0) }, "{said:?}");
    }
    let mut world = pair();
    let conn = world.conn(1);
    world.hosts[1].as_mut().unwrap().node.offer_for_test(conn);
    world.say_renewal(1, Renewal::Answer(weak));
    assert_eq!((world.node(1).sizes().sessions, world.known(1).len()), (0, 0));
}

fn pair() -> World {
    let mut world = World::new(2, |host| Config { rekey_wait: SECOND * 60, ..config(host) });
    world.run(SECOND * 3);
    world
}

impl World {
    fn conn(&self, host: usize) -> ConnId {
        *self.node(host).neighbours.first_key_value().unwrap().1
    }

    /// The session that each side sends by.
    fn in_use(&self) -> [SessionIndex; 2] {
        [0, 1].map(|host| {
            let conn = self.conn(host);
            self.node(host).conns[&conn].link().unwrap().path.index
        })
    }

    /// The sessions that frames leave by, as the forwarder of `host` was told.
    fn routed(&self, host: usize) -> Vec<SessionIndex> {
        self.hosts[host].as_ref().unwrap().routes.unicast.values().copied().collect()
    }

    /// The sessions that it takes in.
    fn known(&self, host: usize) -> BTreeSet<SessionIndex> {
        self.hosts[host].as_ref().unwrap().sessions.keys().copied().collect()
    }

    /// Lets time pass until the link has changed its keys once more.
    fn until_keys_change(&mut self) {
        let changes = |world: &Self| {
            let conn = world.conn(1);
            world.node(1).conns[&conn].link().unwrap().channel.changes()
        };
        let before = changes(self);
        while changes(self) == before {
            self.run(Duration::from_millis(100));
        }
    }

    /// `host` hears `renewal` from its neighbour, whoever says it.
    fn say_renewal(&mut self, host: usize, renewal: Renewal) {
        let (at, conn, mut out) = (self.now, self.conn(host), Outbox::default());
        let node = &mut self.hosts[host].as_mut().unwrap().node;
        node.renewal(at, conn, renewal, &mut out);
        node.finish(at, 0, &mut out);
        self.carry_out(host, out);
    }
}

impl Node {
    /// Offers fresh keys, whether it is time or not.
    fn offer_for_test(&mut self, id: ConnId) {
        let (ours, key) = self.draw_session_key(Owner::Link(id));
        let offer = Renewal::Offer(FreshHalf { session: ours.index, key });
        self.conns.get_mut(&id).and_then(Conn::link_mut).unwrap().offer(ours, offer);
    }
}
