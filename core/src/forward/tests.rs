use super::*;
use crate::sleeve::SleeveFault;
use alloc::vec;
use core::time::Duration;
use x25519_dalek::{PublicKey, StaticSecret};

const ALL: [u8; 6] = [0xff; 6];

#[test]
fn an_unknown_address_is_flooded_and_then_known() {
    let mut mesh = Mesh::line(2);
    mesh.frame(0, ALL, 1);
    assert_eq!(mesh.take_delivered(), [(1, frame(ALL, mac(1)))]);
    mesh.frame(1, mac(1), 2);
    assert_eq!(mesh.take_delivered(), [(0, frame(mac(1), mac(2)))]);
    assert_eq!(mesh.place(0, 2), Some(Place::Peer(name(1))));
    assert_eq!(mesh.place(1, 1), Some(Place::Peer(name(0))));
}

#[test]
fn a_frame_for_a_known_address_goes_to_its_peer_alone_and_is_relayed_there() {
    let mut mesh = Mesh::line(3);
    mesh.frame(2, ALL, 3);
    mesh.take_delivered();
    mesh.frame(0, mac(3), 1);
    assert_eq!(mesh.take_delivered(), [(2, frame(mac(3), mac(1)))]);
    assert_eq!(mesh.place(1, 1), None, "a relay learns nothing from what it passes on");
    assert_eq!(mesh.peers[1].counters().relayed, 2);
}

#[test]
fn a_broadcast_reaches_each_peer_once() {
    for source in 0..4 {
        let mut mesh = Mesh::line(4);
        mesh.frame(source, ALL, 1);
        let mut reached: Vec<_> = mesh.take_delivered().into_iter().map(|(at, _)| at).collect();
        reached.sort_unstable();
        let others: Vec<_> = (0..4).filter(|at| *at != source).collect();
        assert_eq!(reached, others);
    }
}

#[test]
fn a_container_that_moved_is_reachable_at_once() {
    let mut mesh = Mesh::line(3);
    mesh.frame(1, ALL, 9);
    mesh.frame(2, ALL, 9);
    mesh.take_delivered();
    mesh.frame(0, mac(9), 1);
    assert_eq!(mesh.take_delivered(), [(2, frame(mac(9), mac(1)))]);
    mesh.frame(0, ALL, 9);
    assert_eq!(mesh.place(0, 9), Some(Place::Here));
    assert_eq!(mesh.place(2, 9), Some(Place::Peer(name(0))));
}

#[test]
fn what_the_bridge_brings_itself_or_must_not_pass_stays_here() {
    let mut mesh = Mesh::line(2);
    mesh.frame(0, ALL, 1);
    mesh.take_delivered();
    mesh.frame(0, mac(1), 2);
    mesh.frame(0, [0x01, 0x80, 0xc2, 0, 0, 0x0e], 2);
    assert_eq!(mesh.take_delivered(), []);
    mesh.raw_frame(0, &[0; 13]);
    mesh.raw_frame(0, &frame(mac(1), ALL));
    assert_eq!(mesh.peers[0].counters().malformed, 2);
    assert_eq!(mesh.peers[0].counters().frames_in, 5);
}

#[test]
fn a_frame_is_relayed_no_more_often_than_allowed() {
    for (hops_max, arrives) in [(2, true), (1, false)] {
        let mut mesh = Mesh::line(4);
        mesh.frame(3, ALL, 3);
        mesh.take_delivered();
        mesh.peers[0].hops_max = hops_max;
        mesh.frame(0, mac(3), 1);
        assert_eq!(!mesh.take_delivered().is_empty(), arrives);
        assert_eq!(mesh.peers[2].counters().hops_exceeded, u64::from(!arrives));
        mesh.frame(0, ALL, 1);
        assert_eq!(mesh.take_delivered().len(), if arrives { 3 } else { 2 });
    }
}

#[test]
fn a_relay_lets_no_frame_go_further_than_its_own_limit() {
    let mut mesh = Mesh::line(4);
    mesh.frame(3, ALL, 3);
    mesh.take_delivered();
    mesh.peers[0].hops_max = 255;
    mesh.peers[1].hops_max = 1;
    mesh.frame(0, mac(3), 1);
    assert_eq!(mesh.take_delivered(), []);
    assert_eq!(mesh.peers[2].counters().hops_exceeded, 1);
}

#[test]
fn a_frame_that_comes_back_to_its_source_ends_there() {
    let mut mesh = Mesh::line(2);
    let mut sent = Sent::default();
    let bytes = frame(ALL, mac(7));
    let lie = Parcel {
        source: name(0),
        destination: None,
        hops: 9,
        frame: Frame::parse(&bytes).unwrap(),
    };
    mesh.peers[1].send_on(&Parcel { destination: Some(name(0)), ..lie }, None, &mut sent);
    let (_, datagram) = sent.sent.pop().unwrap();
    mesh.datagram(0, &datagram);
    assert_eq!(mesh.take_delivered(), []);
    assert_eq!(mesh.place(0, 7), None);
    assert_eq!(mesh.peers[0].counters().hops_exceeded, 1);
}

#[test]
fn a_frame_never_leaves_by_the_session_it_came_in_on() {
    let mut mesh = Mesh::line(2);
    // Each sends what is for a third peer to the other.
    for at in 0..2 {
        let next = SessionIndex(index(at, 1 - at));
        mesh.peers[at].routes.unicast.insert(name(5), next);
    }
    mesh.peers[0].switch.saw(now(), Mac(mac(5)), Place::Peer(name(5)));
    mesh.frame(0, mac(5), 1);
    assert_eq!(mesh.peers[0].counters().sent, 1);
    assert_eq!((mesh.peers[1].counters().sent, mesh.peers[1].counters().no_route), (0, 1));
}

#[test]
fn what_has_no_route_or_no_address_to_go_to_is_counted() {
    let mut mesh = Mesh::line(2);
    mesh.frame(1, ALL, 2);
    mesh.peers[0].routes.unicast.clear();
    mesh.frame(0, mac(2), 1);
    assert_eq!(mesh.peers[0].counters().no_route, 1);

    let mut mesh = Mesh::line(2);
    let session = SessionIndex(index(0, 1));
    mesh.peers[0].apply(ForwardingChange::SessionDown { session });
    mesh.peers[0].apply(session_up(0, 1, None));
    mesh.frame(0, ALL, 1);
    assert_eq!((mesh.peers[0].counters().no_route, mesh.take_delivered()), (1, vec![]));
    mesh.peers[0].apply(ForwardingChange::SessionMoved { session, to: at_port(1) });
    mesh.frame(0, ALL, 1);
    assert_eq!(mesh.take_delivered().len(), 1);
}

#[test]
fn probes_of_known_sessions_go_to_the_node_untouched_and_nothing_else_does() {
    let mut mesh = Mesh::line(2);
    let probe = |session: u32| [&[0x11][..], &session.to_be_bytes(), &[0; 12]].concat();
    let mut sent = Sent::default();
    let known = probe(index(0, 1));
    mesh.peers[0].datagram(now(), at_port(1), &known, &mut sent);
    assert_eq!(sent.probes, [known]);
    mesh.datagram(0, &probe(12345));
    mesh.datagram(0, b"junk");
    assert_eq!(mesh.peers[0].counters().refused, 2);
}

#[test]
fn a_datagram_that_was_changed_or_repeated_is_refused() {
    let mut mesh = Mesh::line(2);
    let mut sent = Sent::default();
    mesh.peers[0].frame(now(), &frame(ALL, mac(1)), &mut sent);
    let (_, datagram) = sent.sent.pop().unwrap();
    let mut bad = datagram.clone();
    *bad.last_mut().unwrap() ^= 1;
    mesh.datagram(1, &bad);
    mesh.datagram(1, &datagram);
    mesh.datagram(1, &datagram);
    assert_eq!(mesh.take_delivered().len(), 1);
    assert_eq!(mesh.peers[1].counters().refused, 2);
}

#[test]
fn what_comes_by_the_session_before_does_not_go_back_to_its_peer_by_the_one_in_use() {
    let mut mesh = Mesh::line(3);
    mesh.frame(2, ALL, 3);
    mesh.take_delivered();
    // Host 1 has fresh keys with host 0, and believes for a moment that host 2 is behind it.
    let lost = Routes { unicast: [(name(2), SessionIndex(999))].into(), ..Routes::default() };
    let mut change = session_up(1, 0, Some(at_port(0)));
    let ForwardingChange::SessionUp { session, keys, .. } = &mut change else { panic!() };
    (*session, keys.ours) = (SessionIndex(999), [77; 32]);
    mesh.peers[1].apply(change);
    mesh.peers[1].apply(ForwardingChange::Routes(lost));
    mesh.frame(0, mac(3), 1);
    // The broadcast was passed on, and nothing since.
    let counted =
        |at: usize| (mesh.peers[at].counters().relayed, mesh.peers[at].counters().no_route);
    assert_eq!((counted(0), counted(1)), ((0, 0), (1, 1)));
    assert_eq!(mesh.take_delivered(), []);
}

#[test]
fn a_session_with_a_key_of_low_order_stays_unknown() {
    let mut forwarder = Forwarder::new(name(0), 16);
    let keys = SessionKeys { ours: [1; 32], theirs: [0; 32], dialed: true, sealed: true };
    assert_eq!(
        Session::new(Kind::Data, &keys, SessionIndex(1)).err(),
        Some(SleeveFault::LowOrderKey)
    );
    let (session, remote, peer) = (SessionIndex(2), SessionIndex(1), name(1));
    let up = ForwardingChange::SessionUp { session, remote, peer, is_link: true, keys, to: None };
    forwarder.apply(up);
    assert!(forwarder.sessions.is_empty());
}

#[test]
fn frames_for_one_peer_want_a_session_with_it_on_both_sides_and_others_do_not() {
    let mut mesh = Mesh::line(3);
    mesh.frame(2, ALL, 3);
    mesh.frame(1, ALL, 2);
    mesh.frame(0, mac(8), 1);
    // To a neighbour.
    mesh.frame(0, mac(2), 1);
    assert_eq!(mesh.take_wanted(), []);
    mesh.frame(0, mac(3), 1);
    assert_eq!(mesh.take_wanted(), [(0, name(2)), (2, name(0))]);
    // The node is told once in ten seconds, by whichever frame.
    mesh.now += WANTED_WAIT - Duration::from_millis(1);
    mesh.frame(0, mac(3), 1);
    mesh.frame(2, mac(1), 3);
    assert_eq!(mesh.take_wanted(), []);
    mesh.now += Duration::from_millis(1);
    mesh.frame(2, mac(1), 3);
    assert_eq!(mesh.take_wanted(), [(2, name(0)), (0, name(2))]);
    assert_eq!(mesh.peers[0].sizes().wanted, 1);
    // Of whom there is no way to, nothing is remembered.
    mesh.peers[0].apply(ForwardingChange::Routes(Routes::default()));
    assert_eq!(mesh.peers[0].sizes().wanted, 0);
    mesh.frame(0, mac(3), 1);
    assert_eq!(mesh.take_wanted(), []);
}

#[test]
fn own_frames_take_a_session_on_demand_and_what_is_relayed_for_others_does_not() {
    let mut mesh = Mesh::line(4);
    for source in 0..4 {
        mesh.frame(source, ALL, u8::try_from(source).unwrap() + 1);
    }
    mesh.take_delivered();
    // From the second to the last of four.
    mesh.on_demand(1, 3);
    let relayed = |mesh: &Mesh, at: usize| mesh.peers[at].counters().relayed;
    let before = relayed(&mesh, 2);
    mesh.frame(1, mac(4), 2);
    assert_eq!(relayed(&mesh, 2), before + 1, "it is not used before that is said");
    let session = Some(SessionIndex(index(1, 3)));
    mesh.peers[1].apply(ForwardingChange::Direct { peer: name(3), session });
    mesh.frame(1, mac(4), 2);
    assert_eq!(relayed(&mesh, 2), before + 1);
    mesh.frame(0, mac(4), 1);
    assert_eq!(relayed(&mesh, 2), before + 2, "those of others keep to the routes");
    // It is still wanted, on both sides, and so it stays.
    assert!(mesh.take_wanted().contains(&(1, name(3))));
    mesh.now += WANTED_WAIT;
    mesh.frame(1, mac(4), 2);
    assert_eq!(mesh.take_wanted(), [(1, name(3)), (3, name(1))]);
    mesh.peers[1].apply(ForwardingChange::Direct { peer: name(3), session: None });
    mesh.frame(1, mac(4), 2);
    assert_eq!(relayed(&mesh, 2), before + 3);
    assert_eq!(mesh.take_delivered().len(), 5);
    assert_eq!(mesh.peers[1].sizes().direct, 0);
}

/// Peers in a line, each linked with the next; datagrams arrive at once.
struct Mesh {
    peers: Vec<Forwarder>,
    delivered: Vec<(usize, Vec<u8>)>,
    /// Who wants a session with whom.
    wanted: Vec<(usize, PeerName)>,
    now: Instant,
}

#[derive(Default)]
struct Sent {
    sent: Vec<(SocketAddr, Vec<u8>)>,
    delivered: Vec<Vec<u8>>,
    probes: Vec<Vec<u8>>,
    wanted: Vec<PeerName>,
}

impl Sink for Sent {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.sent.push((to, datagram.to_vec()));
    }
    fn deliver(&mut self, frame: &[u8]) {
        self.delivered.push(frame.to_vec());
    }
    fn probe(&mut self, _: SocketAddr, datagram: &[u8]) {
        self.probes.push(datagram.to_vec());
    }
    fn wants(&mut self, peer: PeerName) {
        self.wanted.push(peer);
    }
}

impl Mesh {
    fn line(len: usize) -> Self {
        let peers = (0..len).map(|me| {
            let mut peer = Forwarder::new(name(me), 16);
            let (left, right) = (me.checked_sub(1), Some(me + 1).filter(|next| *next < len));
            let mut routes = Routes::default();
            for other in [left, right].into_iter().flatten() {
                peer.apply(session_up(me, other, Some(at_port(other))));
            }
            for other in 0..len {
                let toward = if other < me { left } else { right };
                if let Some(next) = toward.filter(|_| other != me) {
                    routes.unicast.insert(name(other), SessionIndex(index(me, next)));
                }
                let away: Vec<_> = [left.filter(|_| other >= me), right.filter(|_| other <= me)]
                    .into_iter()
                    .flatten()
                    .map(|next| SessionIndex(index(me, next)))
                    .collect();
                routes.broadcast.insert(name(other), away);
            }
            peer.apply(ForwardingChange::Routes(routes));
            peer
        });
        Self { peers: peers.collect(), delivered: Vec::new(), wanted: Vec::new(), now: now() }
    }

    fn frame(&mut self, at: usize, destination: [u8; 6], source: u8) {
        self.raw_frame(at, &frame(destination, mac(source)));
    }

    fn raw_frame(&mut self, at: usize, frame: &[u8]) {
        let mut sent = Sent::default();
        self.peers[at].frame(self.now, frame, &mut sent);
        self.carry(at, sent);
    }

    fn datagram(&mut self, at: usize, datagram: &[u8]) {
        let mut sent = Sent::default();
        self.peers[at].datagram(self.now, at_port(99), datagram, &mut sent);
        self.carry(at, sent);
    }

    fn carry(&mut self, at: usize, sent: Sent) {
        self.delivered.extend(sent.delivered.into_iter().map(|frame| (at, frame)));
        self.wanted.extend(sent.wanted.into_iter().map(|peer| (at, peer)));
        for (to, datagram) in sent.sent {
            self.datagram(usize::from(to.port()) - 1000, &datagram);
        }
    }

    fn take_wanted(&mut self) -> Vec<(usize, PeerName)> {
        core::mem::take(&mut self.wanted)
    }

    /// Gives two peers a session on demand, without telling them to use it.
    fn on_demand(&mut self, one: usize, other: usize) {
        for (me, other) in [(one, other), (other, one)] {
            let mut change = session_up(me, other, Some(at_port(other)));
            if let ForwardingChange::SessionUp { is_link, .. } = &mut change {
                *is_link = false;
            }
            self.peers[me].apply(change);
        }
    }

    fn take_delivered(&mut self) -> Vec<(usize, Vec<u8>)> {
        core::mem::take(&mut self.delivered)
    }

    fn place(&self, at: usize, source: u8) -> Option<Place> {
        self.peers[at].switch.place(now(), Mac(mac(source)))
    }
}

fn session_up(me: usize, other: usize, to: Option<SocketAddr>) -> ForwardingChange {
    let secret = |from: usize, to: usize| [u8::try_from(10 * from + to + 1).unwrap(); 32];
    let theirs = PublicKey::from(&StaticSecret::from(secret(other, me))).to_bytes();
    ForwardingChange::SessionUp {
        session: SessionIndex(index(me, other)),
        remote: SessionIndex(index(other, me)),
        peer: name(other),
        is_link: true,
        keys: SessionKeys { ours: secret(me, other), theirs, dialed: me < other, sealed: true },
        to,
    }
}

fn now() -> Instant {
    Instant::ZERO + Duration::from_secs(5)
}

fn index(me: usize, other: usize) -> u32 {
    u32::try_from(100 * me + other).unwrap()
}

fn at_port(peer: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(1000 + peer).unwrap()))
}

fn name(peer: usize) -> PeerName {
    PeerName([2, 0, 0, 0, 0, u8::try_from(peer + 1).unwrap()])
}

fn mac(n: u8) -> [u8; 6] {
    [6, 0, 0, 0, 0, n]
}

fn frame(destination: [u8; 6], source: [u8; 6]) -> Vec<u8> {
    [&destination[..], &source, &[8, 0], b"payload"].concat()
}
