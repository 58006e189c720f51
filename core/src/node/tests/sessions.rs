//! Data sessions on demand between hosts that are linked in a line, each with the next only.

use super::*;
use crate::fault::DirectFault;
use crate::id::Incarnation;
use crate::mesh::{Decline, Half, SessionMessage};

#[test]
fn ends_of_a_line_that_exchange_frames_get_a_session_and_lose_it_when_they_no_longer_do() {
    let mut world = line(3);
    let routes = |world: &World| [0, 1, 2].map(|host| world.host(host).routes.clone());
    let before = routes(&world);
    world.talk(0, 2);
    world.run(SECOND * 5);
    assert_eq!(world.straight(), [(0, 2), (2, 0)]);
    assert_eq!(world.on_demand(), [1, 0, 1]);
    assert_eq!(world.happened(0), [up(&world, 2)]);
    for _ in 0..20 {
        world.talk(2, 0);
        world.run(SECOND * 10);
    }
    assert_eq!(world.straight(), [(0, 2), (2, 0)], "it is in use");
    assert_eq!(routes(&world), before, "what is relayed for others goes as before");
    world.run(SECOND * 131);
    assert_eq!(world.straight(), []);
    assert_eq!(world.on_demand(), [0, 0, 0]);
    let idle = Event::DirectDown { peer: world.node(2).me, why: DirectFault::Idle };
    assert_eq!(world.happened(0)[1], idle);
    assert!(world.hosts.iter().flatten().all(|host| host.node.sizes().directs == 0));
    assert_eq!(world.node(0).sizes().sessions, 1, "of the link");
}

#[test]
fn whichever_side_wants_a_session_or_both_there_is_one() {
    for talks in [&[(0, 2)][..], &[(2, 0)], &[(0, 2), (2, 0)]] {
        let mut world = line(3);
        talks.iter().for_each(|(from, to)| world.talk(*from, *to));
        world.run(SECOND * 5);
        assert_eq!(world.straight(), [(0, 2), (2, 0)]);
        assert_eq!(world.on_demand(), [1, 0, 1]);
    }
}

#[test]
fn nobody_gets_a_session_with_itself_a_neighbour_or_a_stranger() {
    let mut world = line(3);
    for peer in [world.node(0).name, world.node(1).name, PeerName([9; 6])] {
        world.input(0, Input::Wanted { peer });
    }
    world.run(SECOND * 5);
    assert_eq!(world.node(0).sizes().directs, 0);
    let theirs = world.half(1, 1);
    world.say(0, 1, SessionMessage::Offer { half: theirs, life: LIFE, to: LIFE });
    assert_eq!(world.on_demand(), [0, 0, 0]);
}

#[test]
fn where_no_datagram_comes_through_frames_stay_relayed_and_attempts_get_rare() {
    let mut world = line(3);
    world.deaf.insert((0, 2));
    let mut last = world.node(0).directs.number + world.node(2).directs.number;
    let mut attempts = Vec::new();
    for _ in 0..12 {
        for _ in 0..6 {
            world.talk(0, 2);
            world.talk(2, 0);
            world.run(SECOND * 10);
        }
        let so_far = world.node(0).directs.number + world.node(2).directs.number;
        attempts.push(so_far - last);
        last = so_far;
        assert_eq!(world.straight(), []);
    }
    assert!(attempts[0] >= 2, "{attempts:?}");
    let late: u64 = attempts[6..].iter().sum();
    assert!(late <= 6, "{attempts:?}");
    world.deaf.clear();
    for _ in 0..36 {
        world.talk(0, 2);
        world.run(SECOND * 10);
    }
    assert_eq!(world.straight(), [(0, 2), (2, 0)]);
}

#[test]
fn a_session_that_falls_silent_is_left_for_the_relay_and_comes_back_or_goes() {
    let mut world = line(3);
    world.talk(0, 2);
    world.run(SECOND * 5);
    world.deaf.insert((0, 2));
    world.run(SECOND * 5);
    assert_eq!(world.straight(), [], "relayed at once");
    assert_eq!(world.on_demand(), [1, 0, 1], "what comes by it is taken");
    world.deaf.clear();
    world.run(SECOND * 5);
    assert_eq!(world.straight(), [(0, 2), (2, 0)]);
    world.deaf.insert((0, 2));
    world.run(SECOND * 40);
    assert_eq!(world.on_demand(), [0, 0, 0]);
    let why = DirectFault::Silent;
    let lost = Event::DirectFailed { peer: world.node(2).me, why };
    assert_eq!(world.happened(0).last(), Some(&lost));
}

#[test]
fn a_link_takes_the_place_of_a_session_and_neither_is_missed() {
    let mut world = line(3);
    world.talk(0, 2);
    world.run(SECOND * 5);
    world.input(
        0,
        Input::Command {
            request: RequestId(0),
            command: Command::Connect { targets: std::vec![target(2)], replace: false },
        },
    );
    world.run(SECOND * 3);
    assert_eq!(world.straight(), []);
    let [ours, theirs] = [0, 2].map(|host| world.host(host).routes.clone());
    assert!(world.host(0).sessions[&ours.unicast[&world.node(2).name]]);
    assert!(world.host(2).sessions[&theirs.unicast[&world.node(0).name]]);
    assert_eq!(world.on_demand(), [1, 0, 1], "what is under way is taken");
    world.run(SECOND * 6);
    assert_eq!(world.on_demand(), [0, 0, 0]);
}

#[test]
fn a_session_ends_with_the_life_of_its_peer_and_the_next_life_gets_another() {
    let mut world = line(3);
    world.talk(0, 2);
    world.run(SECOND * 5);
    let saved = world.kill(2);
    world.run(SECOND * 15);
    assert_eq!((world.straight(), world.on_demand()[0]), (std::vec![], 0));
    world.start(2, saved);
    world.run(SECOND * 5);
    world.talk(0, 2);
    world.run(SECOND * 5);
    assert_eq!(world.straight(), [(0, 2), (2, 0)]);
}

#[test]
fn of_offers_that_cross_that_of_the_lower_id_goes_on() {
    let mut world = line(3);
    let lower = if world.node(0).me < world.node(2).me { 0 } else { 2 };
    let higher = 2 - lower;
    let offer_of = |world: &World, host: usize, other: usize| {
        let direct = world.node(host).directs.get(world.node(other).me).unwrap();
        (direct.offer.is_some(), direct.rising.is_some())
    };
    // Both are under way at once: nothing is delivered.
    world.talk(lower, higher);
    world.talk(higher, lower);
    world.now += SECOND;
    world.input(higher, Input::Timeout);
    assert_eq!(offer_of(&world, lower, higher), (true, false));
    assert_eq!(offer_of(&world, higher, lower), (true, false));
    let [theirs, ours] = [world.half(higher, 7), world.half(lower, 7)];
    world.say(lower, higher, SessionMessage::Offer { half: theirs, life: LIFE, to: LIFE });
    assert_eq!(offer_of(&world, lower, higher), (true, false));
    world.say(higher, lower, SessionMessage::Offer { half: ours, life: LIFE, to: LIFE });
    assert_eq!(offer_of(&world, higher, lower), (false, true));
}

#[test]
fn an_offer_that_comes_again_or_in_vain_leaves_a_good_session_alone() {
    let mut world = line(3);
    world.talk(0, 2);
    world.run(SECOND * 5);
    let used = world.host(2).direct.clone();
    let count = world.node(0).directs.number;
    let stale = [
        (count, LIFE, LIFE),
        (count + 1, Incarnation(0), LIFE),
        (count + 1, LIFE, Incarnation(0)),
        (count + 1, LIFE, Incarnation(2)),
    ];
    for (number, life, to) in stale {
        let half = world.half(0, number);
        world.say(2, 0, SessionMessage::Offer { half, life, to });
        assert_eq!(world.on_demand(), [1, 0, 1], "{number} of {life:?} to {to:?}");
    }
    // One that is new, but whose other half nobody has.
    let half = world.half(0, count + 1);
    world.say(2, 0, SessionMessage::Offer { half, life: LIFE, to: LIFE });
    assert_eq!(world.on_demand(), [1, 0, 2]);
    world.run(SECOND * 25);
    assert_eq!(world.on_demand(), [1, 0, 1]);
    assert_eq!(world.host(2).direct, used);
    assert_eq!(world.straight(), [(0, 2), (2, 0)]);
    // Answers to what nobody asked, and the end of what there is not.
    let (offer, half) = (SessionIndex(1), world.half(0, count + 9));
    world.say(2, 0, SessionMessage::Accept { offer, half });
    world.say(2, 0, SessionMessage::Decline { offer, why: Decline::Full });
    world.say(2, 0, SessionMessage::End { session: offer });
    assert_eq!((world.on_demand(), world.straight()), ([1, 0, 1], std::vec![(0, 2), (2, 0)]));
}

#[test]
fn a_side_that_has_lost_a_session_gets_another_before_the_old_one_goes() {
    let mut world = line(3);
    world.talk(0, 2);
    world.run(SECOND * 5);
    let used = world.host(2).direct.clone();
    // As if it had given way to that of another peer, and nothing told host 2.
    let (now, mut out) = (world.now, Outbox::default());
    world.hosts[0].as_mut().unwrap().node.drop_directs(&mut out);
    world.carry_out(0, out);
    assert_eq!(world.straight(), [(2, 0)]);
    world.talk(0, 2);
    world.run(SECOND * 3);
    assert!(world.now - now < SECOND * 4, "before host 2 could miss it");
    assert_eq!(world.straight(), [(0, 2), (2, 0)]);
    assert_ne!(world.host(2).direct, used);
    world.run(SECOND * 9);
    assert_eq!(world.on_demand(), [1, 0, 1]);
}

#[test]
fn a_key_that_anybody_could_know_the_secret_of_makes_no_session() {
    let mut world = line(3);
    let half = Half { key: [0; 32], ..world.half(2, 1) };
    world.say(0, 2, SessionMessage::Offer { half, life: LIFE, to: LIFE });
    assert_eq!(world.on_demand(), [0, 0, 0]);
    world.talk(0, 2);
    let now = world.now;
    while world.node(0).directs.iter().all(|(_, direct)| direct.offer.is_none()) {
        world.now += SECOND;
        world.input(0, Input::Timeout);
    }
    let (_, direct) = world.node(0).directs.iter().next().unwrap();
    let offer = direct.offer.as_ref().unwrap().session;
    world.say(0, 2, SessionMessage::Accept { offer, half });
    assert_eq!(world.on_demand(), [0, 0, 0]);
    assert!(world.now - now <= SECOND * 2);
    let why = DirectFault::LowOrder;
    assert_eq!(world.happened(0), [Event::DirectFailed { peer: world.node(2).me, why }]);
}

#[test]
fn a_session_is_in_the_clear_only_where_neither_side_has_a_secret() {
    for secret in [None, Some(NetworkSecret::Password([5; 32]))] {
        let mut world = World::new(3, if secret.is_some() { config_of_line } else { in_the_clear });
        world.run(SECOND * 3);
        world.talk(0, 2);
        world.run(SECOND * 5);
        let (_, direct) = world.node(0).directs.iter().next().unwrap();
        assert_eq!(direct.standing.as_ref().unwrap().sealed, secret.is_some());
        let mut world = World::new(3, if secret.is_some() { config_of_line } else { in_the_clear });
        world.run(SECOND * 3);
        let half = Half { seals: secret.is_none(), ..world.half(2, 1) };
        world.say(0, 2, SessionMessage::Offer { half, life: LIFE, to: LIFE });
        assert_eq!(world.on_demand(), [0, 0, 0]);
    }
}

#[test]
fn where_there_is_no_room_the_one_that_is_not_used_gives_way_and_none_that_is() {
    let mut world = World::new(5, |host| Config { sessions_max: 2, ..config_of_line(host) });
    world.run(SECOND * 5);
    world.talk(0, 2);
    world.talk(0, 3);
    world.run(SECOND * 5);
    world.talk(0, 4);
    world.run(SECOND * 5);
    assert_eq!(world.straight(), [(0, 2), (0, 3), (2, 0), (3, 0)]);
    for _ in 0..4 {
        world.talk(0, 3);
        world.run(SECOND * 10);
    }
    world.talk(0, 4);
    world.run(SECOND * 5);
    assert_eq!(world.straight(), [(0, 3), (0, 4), (3, 0), (4, 0)]);
    assert!(world.hosts.iter().flatten().all(|host| host.node.sizes().directs <= 2));
}

#[test]
fn what_is_agreed_with_the_next_life_of_a_peer_outlives_what_was_with_the_last() {
    let mut world = line(3);
    world.talk(0, 2);
    world.run(SECOND * 5);
    // It is back sooner than anybody misses it, and offers a session before it is known to be.
    let half = world.half(2, 1);
    world.say(0, 2, SessionMessage::Offer { half, life: Incarnation(2), to: LIFE });
    assert_eq!(world.on_demand(), [2, 0, 1]);
    let mut record = world.node(0).topology.get(world.node(2).me).unwrap().clone();
    record.incarnation = Incarnation(2);
    let (at, peer, mut out) = (world.now, world.node(2).me, Outbox::default());
    let node = &mut world.hosts[0].as_mut().unwrap().node;
    node.topology.put(peer, record);
    node.review_directs(at, &mut out);
    world.carry_out(0, out);
    assert_eq!(world.straight(), [(2, 0)]);
    assert_eq!(world.on_demand(), [1, 0, 1]);
}

#[test]
fn who_has_no_room_says_so() {
    let mut world = World::new(3, |host| {
        let sessions_max = if host == 2 { 0 } else { 9 };
        Config { sessions_max, ..config_of_line(host) }
    });
    world.run(SECOND * 5);
    world.talk(0, 2);
    world.run(SECOND * 5);
    let why = DirectFault::Declined(Decline::Full);
    assert_eq!(world.happened(0), [Event::DirectFailed { peer: world.node(2).me, why }]);
}

#[test]
fn a_node_that_stops_leaves_no_session() {
    let mut world = line(3);
    world.talk(0, 2);
    world.run(SECOND * 5);
    assert_eq!(world.command(0, Command::Stop), Ok(Reply::Done));
    assert_eq!(world.on_demand()[0], 0);
    world.talk(0, 2);
    assert_eq!(world.node(0).deadline(), None);
}

/// The life that all hosts are in when they were started once.
const LIFE: Incarnation = Incarnation(1);

fn config_of_line(host: usize) -> Config {
    Config { targets: host_before(host), discovery: false, ..config(host) }
}

fn in_the_clear(host: usize) -> Config {
    Config { secret: None, ..config_of_line(host) }
}

/// `count` hosts that are linked, each with the next.
fn line(count: usize) -> World {
    let mut world = World::new(count, config_of_line);
    world.run(SECOND * 3);
    world
}

fn up(world: &World, host: usize) -> Event {
    Event::DirectUp { peer: world.node(host).me }
}

impl World {
    fn host(&self, host: usize) -> &Host {
        self.hosts[host].as_ref().unwrap()
    }

    /// Frames are exchanged, as the forwarder of `host` sees it.
    fn talk(&mut self, host: usize, with: usize) {
        let peer = self.node(with).name;
        self.input(host, Input::Wanted { peer });
    }

    /// From which hosts to which frames go straight, though no link leads there.
    fn straight(&self) -> Vec<(usize, usize)> {
        let name = |host: &usize| self.hosts[*host].as_ref().map(|host| host.node.name);
        let all = 0..self.hosts.len();
        let ways = all.clone().flat_map(|from| {
            let direct = self.hosts[from].iter().flat_map(|host| host.direct.keys().copied());
            let all = all.clone();
            direct.filter_map(move |to| {
                Some((from, all.clone().find(|host| name(host) == Some(to))?))
            })
        });
        let ways: BTreeSet<(usize, usize)> = ways.collect();
        ways.into_iter().collect()
    }

    /// How many sessions the forwarders have that no link brought.
    fn on_demand(&self) -> [usize; 3] {
        [0, 1, 2].map(|host| {
            let sessions = self.hosts[host].iter().flat_map(|host| host.sessions.values());
            sessions.filter(|is_link| !**is_link).count()
        })
    }

    /// What `host` has told of such sessions.
    fn happened(&self, host: usize) -> Vec<Event> {
        let events = self.host(host).events.iter();
        let of_sessions = events.filter(|event| {
            matches!(
                event,
                Event::DirectUp { .. } | Event::DirectDown { .. } | Event::DirectFailed { .. }
            )
        });
        of_sessions.cloned().collect()
    }

    /// What `host` might bring to a session, as number `number`.
    fn half(&self, host: usize, number: u64) -> Half {
        let index = u32::try_from(number).unwrap() * 100 + u32::try_from(host).unwrap();
        let secret = x25519_dalek::StaticSecret::from([u8::try_from(host).unwrap() + 40; 32]);
        let key = x25519_dalek::PublicKey::from(&secret).to_bytes();
        let seals = !self.node(host).secrets.is_empty();
        Half { session: SessionIndex(index), key, seals, number }
    }

    /// `host` hears `message` from `from`, whoever says it.
    fn say(&mut self, host: usize, from: usize, message: SessionMessage) {
        let (at, peer, mut out) = (self.now, self.node(from).me, Outbox::default());
        let node = &mut self.hosts[host].as_mut().unwrap().node;
        node.session_message(at, peer, message, &mut out);
        node.finish(at, 0, &mut out);
        self.carry_out(host, out);
    }
}
