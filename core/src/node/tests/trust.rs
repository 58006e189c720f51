//! Stories about secrets that change, keys that grow old, and lists of peers.

use super::*;
use crate::handshake::{ChannelFault, HandshakeFault};
use crate::node::records::owner;
use crate::record::RecordFault;
use crate::trust::{Trust, TrustError};

const NEW: NetworkSecret = NetworkSecret::Key([7; 32]);

fn add() -> Command {
    Command::Trust(Trust::AddSecret { secret: NEW })
}

fn retire(force: bool) -> Command {
    Command::Trust(Trust::RetireSecret { force })
}

fn refused(fault: TrustError) -> Result<Reply, CommandError> {
    Err(CommandError::Trust(fault))
}

impl World {
    fn links_on_the_old_secret(&self, host: usize) -> usize {
        let status = self.node(host).status(self.clock());
        status.conns.iter().filter(|conn| conn.old_secret).count()
    }

    /// How often the keys of each link of `host` were changed.
    fn changes_of_keys(&self, host: usize) -> Vec<u64> {
        let links = self.node(host).conns.values().filter_map(|conn| conn.link());
        links.map(|link| link.channel.changes()).collect()
    }

    fn allow(&mut self, host: usize, others: &[usize]) {
        let peers = others.iter().map(|other| self.node(*other).id()).collect();
        let command = Command::Trust(Trust::Allow { peers: Some(peers) });
        assert_eq!(self.command(host, command), Ok(Reply::Done));
    }
}

#[test]
fn a_mesh_changes_its_secret_host_by_host_and_no_link_ends() {
    let mut world = World::new(3, config);
    world.run(SECOND * 3);
    let ended: Vec<usize> = (0..3).map(|host| world.faults(host).len()).collect();
    for host in 0..3 {
        assert_eq!(world.command(host, add()), Ok(Reply::Done));
        // Links with those that do not have it yet are on the old one, at both ends.
        assert_eq!(world.links_on_the_old_secret(host), 2 - host);
    }
    assert_eq!(world.command(0, add()), refused(TrustError::SecretInUse));
    for host in 0..3 {
        assert_eq!(world.links_on_the_old_secret(host), 0, "host {host}");
        assert_eq!(world.command(host, retire(false)), Ok(Reply::Done));
    }
    assert_eq!(world.command(0, retire(false)), refused(TrustError::NoOldSecret));
    world.run(SECOND * 20);
    world.assert_same_view();
    let now_ended: Vec<usize> = (0..3).map(|host| world.faults(host).len()).collect();
    assert_eq!(now_ended, ended, "{:?}", world.faults(0));
}

#[test]
fn an_old_secret_that_somebody_needs_is_retired_by_force_only_and_then_they_are_cut_off() {
    let mut world = World::new(2, config);
    world.run(SECOND * 3);
    assert_eq!(world.command(0, add()), Ok(Reply::Done));
    let other = world.node(0).label(world.node(1).id()).to_string();
    let in_use = refused(TrustError::OldSecretInUse(std::vec![other]));
    assert_eq!(world.command(0, retire(false)), in_use);
    assert_eq!(world.reached(0), [1]);
    assert_eq!(world.command(0, retire(true)), Ok(Reply::Done));
    assert!(world.reached(0).is_empty() && world.reached(1).is_empty());
    for host in 0..2 {
        assert!(world.faults(host).contains(&ConnFault::Secret), "{:?}", world.faults(host));
    }
    // It is dialed again, and told what is wrong.
    world.run(SECOND * 90);
    let kinds =
        |fault: &ConnFault| matches!(fault, ConnFault::Handshake(HandshakeFault::Kinds { .. }));
    assert!(world.faults(1).iter().any(kinds), "{:?}", world.faults(1));
}

#[test]
fn without_a_secret_none_can_be_added() {
    let mut world = World::new(1, |host| Config { secret: None, ..config(host) });
    assert_eq!(world.command(0, add()), refused(TrustError::NoSecret));
}

#[test]
fn a_peer_launched_with_both_secrets_links_with_peers_that_have_either() {
    let mixed = |host| {
        let old = config(host).secret;
        let (secret, old_secret) = match host {
            0 => (old, None),
            1 => (Some(NEW), old),
            _ => (Some(NEW), None),
        };
        Config { secret, old_secret, ..config(host) }
    };
    let mut world = World::new(3, mixed);
    world.run(SECOND * 5);
    assert_eq!(world.node(1).neighbours.len(), 2);
    assert_eq!((world.node(0).neighbours.len(), world.node(2).neighbours.len()), (1, 1));
    assert_eq!(world.links_on_the_old_secret(1), 1);
}

#[test]
fn links_change_their_keys_as_time_goes_by() {
    let mut world = World::new(2, config);
    world.run(SECOND * 3);
    let ended = world.faults(0).len();
    world.run(SECOND * 60 * 21);
    assert_eq!(world.changes_of_keys(0), [4]);
    assert_eq!(world.changes_of_keys(1), [4]);
    assert_eq!(world.faults(0).len(), ended, "{:?}", world.faults(0));
}

#[test]
fn who_was_dialed_reminds_who_dialed_to_change_the_keys() {
    // Host 1 dials host 0.
    let slow = |host| {
        let rekey_wait = if host == 0 { SECOND * 10 } else { SECOND * 10_000 };
        Config { rekey_wait, ..config(host) }
    };
    let mut world = World::new(2, slow);
    world.run(SECOND * 55);
    assert_eq!(world.changes_of_keys(0), [2]);
}

#[test]
fn a_link_whose_keys_stay_old_ends() {
    let mut world = World::new(2, |host| Config { rekey_wait: SECOND * 10, ..config(host) });
    world.run(SECOND * 3);
    // From here on everything that host 1 is asked by the change of keys is for nothing: its own
    // clock stands still, and what it is sent gets lost.
    let due = world.now + SECOND * 10 * 3;
    let conn = *world.node(0).conns.keys().next().unwrap();
    while world.now < due + SECOND {
        let Some(deadline) = world.node(0).deadline() else { break };
        world.now = world.now.max(deadline.at);
        // It is heard of all the same, so that silence is no reason.
        let host = world.hosts[0].as_mut().unwrap();
        if let Some(link) = host.node.conns.get_mut(&conn).and_then(|conn| conn.link_mut()) {
            link.heard_at = world.now;
        }
        world.input(0, Input::Written { conn });
    }
    let worn = ConnFault::Channel(ChannelFault::UsedUp);
    assert!(world.faults(0).contains(&worn), "{:?}", world.faults(0));
}

#[test]
fn who_gets_the_secret_that_it_was_refused_for_has_its_links_at_once() {
    let mut world = World::new(2, config);
    world.run(SECOND * 3);
    assert_eq!(world.command(0, add()), Ok(Reply::Done));
    assert_eq!(world.command(0, retire(true)), Ok(Reply::Done));
    world.run(SECOND * 5);
    assert!(world.faults(1).iter().any(ConnFault::needs_operator), "{:?}", world.faults(1));
    assert!(world.reached(1).is_empty());
    assert_eq!(world.command(1, add()), Ok(Reply::Done));
    world.run(SECOND);
    assert_eq!(world.reached(1), [0]);
}

#[test]
fn a_peer_that_is_not_allowed_is_told_so_and_nothing_that_it_says_counts() {
    let mut world = World::new(3, config);
    world.run(SECOND * 3);
    for host in 0..3 {
        assert!(world.command(host, allocate("a")).is_ok());
    }
    assert_eq!(world.command(2, register("web.weft.local")), Ok(Reply::Done));
    world.run(SECOND);
    let owners = |world: &World, host: usize| {
        let owners = world.node(host).status(world.clock()).ipam.owners;
        owners.into_iter().map(|owner| (owner.owner, owner.addresses)).collect::<Vec<_>>()
    };
    let before = owners(&world, 0);
    assert_eq!(world.node(0).names().len(), 1);
    assert_eq!(world.node(0).sizes().ipam.hints, 2);

    world.allow(0, &[1]);
    assert_eq!(world.node(0).sizes().ipam.hints, 1);
    let stranger = world.node(2).id();
    assert!(world.faults(0).contains(&ConnFault::NotAllowed(stranger)));
    assert!(world.faults(2).contains(&ConnFault::NotAllowedThere), "{:?}", world.faults(2));
    // Host 1 goes on telling of it.
    assert_eq!(world.command(2, register("db.weft.local")), Ok(Reply::Done));
    world.run(SECOND * 30);
    assert_eq!(world.node(1).names().len(), 2);
    assert_eq!((world.reached(0), world.reached(1)), ([1].to_vec(), [0, 2].to_vec()));
    assert!(world.node(0).names().is_empty());
    assert!(world.node(0).peers().all(|(peer, _)| peer != stranger));
    assert!(world.node(0).records().iter().all(|record| owner(&record.key) != Some(stranger)));
    let refused = RecordFault::NotAllowed(stranger);
    let host = world.hosts[0].as_ref().unwrap();
    let is_told =
        |event: &Event| matches!(event, Event::RecordRefused { why, .. } if *why == refused);
    assert!(host.events.iter().any(is_told));
    // Who owns what is the same for all.
    assert_eq!(owners(&world, 0), before);
    assert_eq!(owners(&world, 1), before);

    let all = Command::Trust(Trust::Allow { peers: None });
    assert_eq!(world.command(0, all), Ok(Reply::Done));
    world.run(SECOND * 90);
    world.assert_same_view();
    assert_eq!(world.node(0).names().len(), 2);
}
