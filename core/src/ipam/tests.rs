mod evictions;
mod families;
mod leaving;
mod rest;
mod rounds;
mod strays;
mod subnets;
mod waiting;

use super::founding::{Votes, decided, propose, step};
use super::*;
use crate::codec;
use crate::event::Event;
use crate::id::PeerLabel;
use crate::io::CommandError;
use crate::record::{Signature, Version};
use crate::saved::Change;
use crate::status::IpamState;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use proptest::prelude::*;
use rand_core::SeedableRng;

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn universe(block: &str) -> Universe {
    block.parse().unwrap()
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn record(writer: PeerId, key: Key, body: &[u8]) -> Record {
    let signature = Signature([0; 32], [0; 32]);
    Record { key, version: Version::default(), body: body.to_vec(), writer, signature }
}

fn config(block: &str, peers: usize) -> Config {
    let founding = FoundingMode::Consensus { peers: Some(peers) };
    Config { universe: universe(block), founding, ..Config::default() }
}

/// A peer with what it saved and published, as its node would keep them.
struct Host {
    config: Config,
    ipam: Ipam,
    saved: Saved,
    replies: Vec<(RequestId, Result<Reply, CommandError>)>,
}

#[derive(Clone, Debug)]
enum Parcel {
    Record(Record),
    Tell(PeerId, IpamMessage),
}

/// Peers, and what is under way between them: (to, what).
struct Cluster {
    hosts: Vec<Host>,
    pool: Vec<(usize, Parcel)>,
    now: u64,
    requests: u64,
    /// Who is gone.
    dead: BTreeSet<usize>,
    /// By receiver and writer, the number of the last [`Freeze`]: nodes take in none that is older.
    said: BTreeMap<(usize, PeerId), u64>,
    /// Grants that came from a peer that is being evicted: they come again.
    refused: Vec<(usize, Parcel)>,
}

impl Cluster {
    fn new(count: u8, block: &str) -> Self {
        let hosts = (0..count).map(|n| Host {
            config: config(block, count.into()),
            ipam: start(&config(block, count.into()), peer(n), &Saved::default()),
            saved: Saved::default(),
            replies: Vec::new(),
        });
        let mut cluster = Self {
            hosts: hosts.collect(),
            pool: Vec::new(),
            now: 1,
            requests: 0,
            dead: BTreeSet::new(),
            said: BTreeMap::new(),
            refused: Vec::new(),
        };
        for n in 0..count.into() {
            cluster.link(n);
        }
        cluster
    }

    fn link(&mut self, n: usize) {
        let all = self.living().into_iter().filter(|other| *other != n);
        let part = |n: usize| (peer(u8::try_from(n).unwrap()), self.hosts[n].ipam.part());
        let parts = all.map(part).collect();
        self.call(n, |ipam, now, acts| ipam.reachable(now, parts, acts));
    }

    fn living(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|n| !self.dead.contains(n)).collect()
    }

    fn call(&mut self, n: usize, f: impl FnOnce(&mut Ipam, Instant, &mut Vec<Act>)) {
        let mut acts = Vec::new();
        f(&mut self.hosts[n].ipam, at(self.now), &mut acts);
        let me = peer(u8::try_from(n).unwrap());
        for act in acts {
            match act {
                Act::Publish { key, body } => {
                    let mut record = record(me, key, &body);
                    if matches!(key, Key::Freeze(_)) {
                        self.requests += 1;
                        record.version.sequence = self.requests;
                    }
                    self.hosts[n].saved.apply(Change::put(Slot::Record(key), &record));
                    for to in self.living().into_iter().filter(|to| *to != n) {
                        self.pool.push((to, Parcel::Record(record.clone())));
                    }
                }
                Act::Tell { peer, message } => {
                    self.pool.push((peer.0[0].into(), Parcel::Tell(me, message)));
                }
                Act::Persist(change) => self.hosts[n].saved.apply(change),
                Act::Reply { request, result } => self.hosts[n].replies.push((request, result)),
                Act::Event(Event::OwnershipConflict { range, .. }) => panic!("conflict {range:?}"),
                Act::Event(_) => {}
            }
        }
        assert_eq!(self.hosts[n].ipam.check(), Ok(()));
    }

    fn command(&mut self, n: usize, command: Command) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.call(n, |ipam, now, acts| ipam.command(now, request, command, acts));
        request
    }

    fn deliver(&mut self, index: usize, again: bool) {
        if self.pool.is_empty() {
            return;
        }
        let index = index % self.pool.len();
        let (to, parcel) =
            if again { self.pool[index].clone() } else { self.pool.swap_remove(index) };
        if self.dead.contains(&to) {
            return;
        }
        match parcel {
            Parcel::Record(record) => {
                if let Key::Freeze(writer) = record.key {
                    let last = self.said.entry((to, writer)).or_default();
                    if *last >= record.version.sequence {
                        return;
                    }
                    *last = record.version.sequence;
                }
                if let Ok(grant) = record.decode()
                    && matches!(record.key, Key::Grant(_))
                    && self.hosts[to].ipam.has_frozen(&grant, record.writer)
                {
                    return self.refused.push((to, Parcel::Record(record)));
                }
                if !matches!(record.key, Key::Voter(_) | Key::Freeze(_) | Key::Space(_)) {
                    self.hosts[to].saved.apply(Change::put(Slot::Record(record.key), &record));
                }
                self.call(to, |ipam, now, acts| ipam.record(now, &record, acts));
            }
            Parcel::Tell(from, message) => {
                self.call(to, |ipam, now, acts| ipam.message(now, from, &message, acts));
            }
        }
    }

    fn restart(&mut self, n: usize) {
        let me = peer(u8::try_from(n).unwrap());
        let host = &mut self.hosts[n];
        host.ipam = start(&host.config, me, &host.saved);
        let saved = host.saved.clone();
        for slot in saved.slots.keys().filter(|slot| matches!(slot, Slot::Record(_))) {
            let record: Record = saved.get(slot).unwrap().unwrap();
            let mut acts = Vec::new();
            host.ipam.record(at(self.now), &record, &mut acts);
            assert!(acts.iter().all(|act| matches!(act, Act::Event(_))), "{acts:?}");
        }
        // Nobody but who wrote it keeps what is said of evictions: neighbours tell of it again.
        for other in self.living() {
            self.said.remove(&(n, peer(u8::try_from(other).unwrap())));
            let key = Key::Freeze(peer(u8::try_from(other).unwrap()));
            let said = self.hosts[other].saved.get(&Slot::Record(key)).unwrap();
            self.pool.extend(said.map(|record| (n, Parcel::Record(record))));
        }
        self.link(n);
    }

    /// The host is gone for good.
    fn kill(&mut self, n: usize) {
        self.dead.insert(n);
        for other in self.living() {
            self.link(other);
        }
    }

    /// Time goes on by `millis`; what is due is done.
    fn pass(&mut self, millis: u64) {
        self.now += millis;
        for n in self.living() {
            if self.hosts[n].ipam.deadline().is_some_and(|due| due <= at(self.now)) {
                self.call(n, |ipam, now, acts| ipam.timeout(now, acts));
                assert!(self.hosts[n].ipam.deadline().is_none_or(|due| due > at(self.now)));
            }
        }
    }

    /// Delivers everything, with time going on, for `seconds`.
    fn settle(&mut self, seconds: u64) {
        for _ in 0..seconds * 20 {
            let mut parcels = 0;
            while !self.pool.is_empty() {
                self.deliver(0, false);
                parcels += 1;
                assert!(parcels < 10_000, "there is no end to it");
            }
            self.pass(50);
            self.pool.append(&mut self.refused);
        }
    }

    fn answer(&self, n: usize, request: RequestId) -> Option<&Result<Reply, CommandError>> {
        let mut all = self.hosts[n].replies.iter().filter(|(id, _)| *id == request);
        let first = all.next().map(|(_, result)| result);
        assert!(all.next().is_none(), "two replies");
        first
    }

    fn check_no_address_is_held_twice(&self) {
        let mut seen = BTreeSet::new();
        for (_, nets) in self.living().into_iter().flat_map(|n| self.hosts[n].ipam.held()) {
            let universe = self.hosts[0].config.universe;
            for net in nets.iter().filter(|net| universe.offset(net.addr()).is_some()) {
                assert!(seen.insert(net.addr()), "{net} has two holders");
            }
        }
    }

    fn check_one_owner_acts(&self) {
        for offset in 0..self.hosts[0].config.universe.size() {
            let living = self.living().into_iter();
            let acting = living.filter(|n| self.hosts[*n].ipam.acts_as_owner(Offset(offset)));
            assert!(acting.count() <= 1, "two owners of {offset}");
        }
    }
}

fn start(config: &Config, me: PeerId, saved: &Saved) -> Ipam {
    let mut seed = [9; 32];
    seed[0] = me.0[0];
    Ipam::new(config, me, saved, ChaCha20Rng::from_seed(seed)).unwrap()
}

fn allocate(id: &str) -> Command {
    Command::Allocate { id: id.parse().unwrap(), subnet: None }
}

fn claim(id: &str, address: &str) -> Command {
    Command::Claim { id: id.parse().unwrap(), address: address.parse().unwrap() }
}

fn hold(id: &str, address: &str) -> Command {
    Command::Hold { id: id.parse().unwrap(), address: address.parse().unwrap() }
}

fn release(id: &str) -> Command {
    Command::Release { id: id.parse().unwrap(), address: None }
}

fn address(result: Option<&Result<Reply, CommandError>>) -> IpNet {
    match result {
        Some(Ok(Reply::Addresses(nets))) => nets[0],
        other => panic!("no address but {other:?}"),
    }
}

#[test]
fn what_does_not_lie_inside_the_universe_is_not_given() {
    let mut cluster = Cluster::new(1, "10.32.0.0/16");
    let subnet = |net: &str| Command::Allocate {
        id: "a".parse().unwrap(),
        subnet: Some(net.parse().unwrap()),
    };
    for command in [claim("a", "10.33.0.1/16"), subnet("10.33.0.0/24"), subnet("fd00::/64")] {
        let request = cluster.command(0, command.clone());
        cluster.settle(1);
        let answer = cluster.answer(0, request);
        assert!(matches!(answer, Some(Err(CommandError::OutOfRange { .. }))), "{command:?}");
    }
    let whole = cluster.command(0, subnet("10.32.0.0/16"));
    cluster.settle(1);
    assert_eq!(address(cluster.answer(0, whole)).to_string(), "10.32.0.1/16");
}

#[test]
fn an_address_that_is_held_with_another_prefix_is_not_given_again_as_if_it_were_that_one() {
    let mut cluster = Cluster::new(2, "10.32.0.0/16");
    // Two claims that wait for the founding, then one of what is held.
    let (held, asked) = ("10.32.5.6/16", "10.32.5.6/24");
    let [first, second] = [held, asked].map(|address| cluster.command(0, claim("a", address)));
    cluster.settle(8);
    let third = cluster.command(0, claim("a", asked));
    let again = cluster.command(0, claim("a", held));
    assert_eq!(address(cluster.answer(0, first)).to_string(), held);
    assert_eq!(address(cluster.answer(0, again)).to_string(), held);
    let (address, held) = (asked.parse().unwrap(), held.parse().unwrap());
    let refused = Err(CommandError::HeldOtherwise { address, held });
    assert_eq!(cluster.answer(0, second), Some(&refused));
    assert_eq!(cluster.answer(0, third), Some(&refused));
}

#[test]
fn nothing_is_given_to_whom_we_cannot_reach() {
    let mut cluster = Cluster::new(2, "10.0.0.0/24");
    cluster.command(0, Command::Prime);
    while !cluster.pool.is_empty() {
        cluster.deliver(0, false);
    }
    let range = universe("10.0.0.0/24").range();
    let owned = |cluster: &Cluster| cluster.hosts[0].ipam.ledger().unwrap().owned_by(peer(0));
    let before = owned(&cluster);
    let ask = |cluster: &mut Cluster, from| {
        let request = IpamMessage::Request { range };
        cluster.call(0, |ipam, now, acts| ipam.message(now, from, &request, acts));
    };
    ask(&mut cluster, peer(77));
    assert_eq!(owned(&cluster), before);
    ask(&mut cluster, peer(1));
    assert_ne!(owned(&cluster), before);
}

/// The schedule under which Weave Net decides twice: `P2` is a proposal of peer 2, in `2>1` peer 1
/// hears of all that peer 2 knows.
const WEAVE_NET: &str = "P2 2>1 1>2 P1 1>0 0>1 P0 0>2 P1 2>0 1>2 2>1 1>2";

/// All ways to name three peers: who wins a tie is a matter of ids.
const NAMINGS: [[u8; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn peers_agree_under_the_schedule_that_broke_weave_net_whoever_is_who() {
    let chosen = NAMINGS.map(|ids| play(WEAVE_NET, ids, decided));
    assert!(chosen.iter().all(|values| values.len() <= 1), "{chosen:?}");
    assert!(!chosen[0].is_empty(), "as Weave Net was run, the schedule leads to a decision");
}

#[test]
fn the_schedule_breaks_who_counts_acceptances_of_all_ballots_together() {
    let by_origin = |quorum, votes: &Votes| {
        let mut counts: BTreeMap<&Proposal, usize> = BTreeMap::new();
        for (_, value) in votes.values().filter_map(|vote| vote.accepted.as_ref()) {
            *counts.entry(value).or_default() += 1;
        }
        counts.into_iter().find(|(_, count)| *count >= quorum).map(|(value, _)| value.clone())
    };
    assert_eq!(play(WEAVE_NET, [0, 1, 2], by_origin).len(), 2);
}

/// What peers with these ids decide in the course of `script`.
fn play(
    script: &str,
    ids: [u8; 3],
    decided: fn(usize, &Votes) -> Option<Proposal>,
) -> BTreeSet<Proposal> {
    let mut known: [Votes; 3] = Default::default();
    let mut chosen = BTreeSet::new();
    for word in script.split(' ') {
        let digit = |at: usize| usize::from(word.as_bytes()[at] - b'0');
        let me = if let Some(n) = word.strip_prefix('P') {
            let n: usize = n.parse().unwrap();
            let vote = propose(peer(ids[n]), &known[n]).unwrap();
            known[n].insert(peer(ids[n]), vote);
            n
        } else {
            for (id, vote) in known[digit(0)].clone() {
                known[digit(2)].entry(id).or_default().join(vote);
            }
            digit(2)
        };
        if let Some(vote) = step(peer(ids[me]), 2, &known[me]) {
            known[me].insert(peer(ids[me]), vote);
        }
        chosen.extend(decided(2, &known[me]));
    }
    chosen
}

#[test]
fn a_lone_first_peer_has_an_address_within_the_call() {
    let mut cluster = Cluster::new(1, "10.0.0.0/29");
    let request = cluster.command(0, allocate("a"));
    assert_eq!(address(cluster.answer(0, request)).to_string(), "10.0.0.1/29");
    let again = cluster.command(0, allocate("a"));
    assert_eq!(address(cluster.answer(0, again)).to_string(), "10.0.0.1/29");
    cluster.command(0, release("a"));
    let other = cluster.command(0, allocate("b"));
    assert_eq!(address(cluster.answer(0, other)).to_string(), "10.0.0.2/29");
}

#[test]
fn without_a_quorum_the_reason_comes_in_time() {
    let mut cluster = Cluster::new(3, "10.0.0.0/24");
    let request = cluster.command(0, allocate("a"));
    cluster.pool.clear();
    cluster.pass(1999);
    assert_eq!(cluster.answer(0, request), None);
    cluster.pass(1);
    assert!(matches!(cluster.answer(0, request), Some(Err(CommandError::NoQuorum { .. }))));
}

#[test]
fn among_too_many_that_wait_a_command_is_met_if_it_can_be_and_else_told_why_not() {
    let mut cluster = Cluster::new(2, "10.0.0.0/24");
    let first = cluster.command(0, allocate("a"));
    cluster.settle(3);
    address(cluster.answer(0, first));
    // The upper half is the other one's, which says nothing any more.
    cluster.hosts[0].ipam.waiting_max = 1;
    let waits = cluster.command(0, claim("b", "10.0.0.200/24"));
    let own = cluster.command(0, allocate("c"));
    address(cluster.answer(0, own));
    let late = cluster.command(0, claim("d", "10.0.0.201/24"));
    assert!(matches!(cluster.answer(0, late), Some(Err(CommandError::TooManyWaiting(1)))));
    assert_eq!(cluster.answer(0, waits), None);
}

#[test]
fn every_address_but_the_edges_can_be_had_at_one_peer_and_then_it_says_exhausted() {
    let mut cluster = Cluster::new(3, "10.0.0.0/27");
    let ids: Vec<_> = (0..30).map(|n| std::format!("c{n}")).collect();
    for id in &ids {
        let request = cluster.command(0, allocate(id));
        cluster.settle(2);
        address(cluster.answer(0, request));
    }
    let request = cluster.command(0, allocate("late"));
    cluster.settle(2);
    assert!(matches!(cluster.answer(0, request), Some(Err(CommandError::Exhausted { .. }))));
    cluster.check_no_address_is_held_twice();
}

#[test]
fn an_owner_that_does_not_answer_is_not_taken_for_one_that_has_nothing() {
    let mut cluster = Cluster::new(2, "10.0.0.0/29");
    for id in ["a", "b", "c", "d"] {
        cluster.command(0, allocate(id));
        cluster.settle(1);
    }
    let request = (0..8).find_map(|n| {
        let request = cluster.command(0, allocate(&std::format!("e{n}")));
        cluster.pool.clear();
        cluster.answer(0, request).is_none().then_some(request)
    });
    cluster.pass(2_000);
    let answer = cluster.answer(0, request.unwrap());
    assert!(matches!(answer, Some(Err(CommandError::OwnersSilent { silent: 1, .. }))));
}

#[test]
fn an_address_moves_to_another_host_once_it_is_released() {
    let mut cluster = Cluster::new(2, "10.0.0.0/24");
    let first = cluster.command(0, allocate("a"));
    cluster.settle(3);
    let net = address(cluster.answer(0, first)).to_string();
    let early = cluster.command(1, claim("a", &net));
    cluster.settle(1);
    assert!(matches!(cluster.answer(1, early), Some(Err(CommandError::AddressTaken { .. }))));
    cluster.command(0, release("a"));
    let late = cluster.command(1, claim("a", &net));
    cluster.settle(1);
    assert_eq!(address(cluster.answer(1, late)).to_string(), net);
}

#[test]
fn after_a_restart_nothing_is_allocated_before_another_owner_confirmed_what_is_ours() {
    let mut cluster = Cluster::new(2, "10.0.0.0/24");
    let before = cluster.command(0, allocate("a"));
    cluster.settle(3);
    cluster.restart(0);
    assert_eq!(cluster.hosts[0].ipam.status().state, IpamState::AwaitingMerge);
    let held = cluster.command(0, allocate("a"));
    assert_eq!(cluster.answer(0, held), cluster.answer(0, before));
    let fresh = cluster.command(0, allocate("b"));
    assert_eq!(cluster.answer(0, fresh), None);
    cluster.call(0, |ipam, now, acts| ipam.merged(now, peer(1), acts));
    assert_eq!(cluster.answer(0, fresh), None);
    cluster.settle(1);
    address(cluster.answer(0, fresh));
}

/// Two owners, of which the first gives the second half of what it has, and then has its disk put
/// back to before.
fn put_back() -> Cluster {
    let mut cluster = Cluster::new(2, "10.0.0.0/29");
    cluster.command(0, Command::Prime);
    cluster.settle(3);
    let before = cluster.hosts[0].saved.clone();
    for n in 0..5 {
        cluster.command(1, allocate(&n.to_string()));
        cluster.settle(1);
    }
    assert!(cluster.hosts[1].ipam.ledger().unwrap().owned_by(peer(1))[0].size() > 4);
    cluster.hosts[0].saved = before;
    cluster.restart(0);
    cluster
}

#[test]
fn an_owner_that_knows_better_does_not_confirm_and_does_once_the_news_has_come() {
    let mut cluster = put_back();
    cluster.settle(10);
    assert_eq!(cluster.hosts[0].ipam.status().state, IpamState::AwaitingMerge);
    let saved = &cluster.hosts[1].saved;
    let grants = saved.slots.keys().filter(|slot| matches!(slot, Slot::Record(Key::Grant(_))));
    let grants: Vec<Record> = grants.map(|slot| saved.get(slot).unwrap().unwrap()).collect();
    for grant in grants {
        cluster.call(0, |ipam, now, acts| ipam.record(now, &grant, acts));
    }
    cluster.settle(6);
    assert_eq!(cluster.hosts[0].ipam.status().state, IpamState::Ready);
    cluster.check_one_owner_acts();
}

#[test]
fn an_answer_counts_only_from_an_owner_in_this_life_and_while_nothing_newer_was_heard() {
    let mut cluster = Cluster::new(3, "10.0.0.0/24");
    cluster.command(0, Command::Prime);
    cluster.settle(3);
    cluster.restart(0);
    // Two of three made the quorum, so the other one owns nothing.
    let asked = cluster.pool.iter().find_map(|(to, parcel)| match parcel {
        Parcel::Tell(_, IpamMessage::Confirm(asked)) if *to == 2 => Some(*asked),
        Parcel::Tell(..) | Parcel::Record(_) => None,
    });
    let asked = asked.unwrap();
    let other_life = Witnessed { nonce: asked.nonce + 1, ..asked };
    let other_view = Witnessed { owned: Fingerprint::of(b"other"), ..asked };
    let me = peer(0);
    let wrong = [(peer(2), other_life), (peer(2), other_view), (peer(1), asked), (me, asked)];
    for (from, answer) in wrong {
        let message = IpamMessage::Confirmed(answer);
        cluster.call(0, |ipam, now, acts| ipam.message(now, from, &message, acts));
        assert_eq!(cluster.hosts[0].ipam.status().state, IpamState::AwaitingMerge);
    }
    let message = IpamMessage::Confirmed(asked);
    cluster.call(0, |ipam, now, acts| ipam.message(now, peer(2), &message, acts));
    // Were it a copy, the other one would be heard first.
    assert_eq!(cluster.hosts[0].ipam.status().state, IpamState::Listening);
    cluster.pass(1_000);
    assert_eq!(cluster.hosts[0].ipam.status().state, IpamState::Ready);
}

#[test]
fn owners_are_asked_in_turn_less_and_less_often() {
    let mut cluster = Cluster::new(4, "10.0.0.0/24");
    cluster.command(0, Command::Prime);
    cluster.settle(3);
    cluster.restart(0);
    let mut asked = Vec::new();
    while cluster.now < 60_000 {
        for (to, parcel) in core::mem::take(&mut cluster.pool) {
            if matches!(parcel, Parcel::Tell(_, IpamMessage::Confirm(_))) {
                asked.push((cluster.now, to));
            }
        }
        cluster.pass(50);
    }
    assert!(asked.windows(2).all(|pair| pair[0].1 != pair[1].1), "{asked:?}");
    let longest = asked.windows(2).map(|pair| pair[1].0 - pair[0].0).max();
    assert!((14..=20).contains(&asked.len()) && longest == Some(5_000), "{asked:?}");
}

#[test]
fn a_sole_owner_that_started_again_goes_on_after_it_gave_some_away() {
    let mut cluster = Cluster::new(2, "10.0.0.0/24");
    cluster.command(0, Command::Prime);
    cluster.settle(3);
    cluster.command(1, Command::Leave);
    cluster.settle(1);
    cluster.restart(0);
    assert_eq!(cluster.hosts[0].ipam.status().state, IpamState::Ready);
    let range = universe("10.0.0.0/24").range();
    let ask = IpamMessage::Request { range };
    cluster.call(0, |ipam, now, acts| ipam.message(now, peer(1), &ask, acts));
    assert!(cluster.hosts[0].ipam.ledger().unwrap().owns_any(peer(1)));
    let fresh = cluster.command(0, allocate("a"));
    address(cluster.answer(0, fresh));
}

#[test]
fn a_sole_owner_that_started_again_hears_a_peer_it_was_told_of_before_it_goes_on() {
    let mut cluster = Cluster::new(1, "10.0.0.0/24");
    cluster.command(0, Command::Prime);
    for remedy in 0..2 {
        cluster.restart(0);
        cluster.call(0, |ipam, now, acts| ipam.targets(now, 1, 1, acts));
        assert_eq!(cluster.hosts[0].ipam.status().state, IpamState::AwaitingMerge);
        let early = cluster.command(0, allocate(&std::format!("early{remedy}")));
        cluster.pass(2_000);
        let why = Err(CommandError::NotMerged { owners: 0, leaving: 0, targets: 1 });
        assert_eq!(cluster.answer(0, early), Some(&why));
        let late = cluster.command(0, allocate(&std::format!("late{remedy}")));
        assert_eq!(cluster.answer(0, late), None);
        // Whoever it is, it knows whether we ever gave anything away; or there is nobody to ask.
        cluster.call(0, |ipam, now, acts| match remedy {
            0 => ipam.merged(now, peer(7), acts),
            _ => ipam.targets(now, 1, 0, acts),
        });
        cluster.pass(1_000);
        address(cluster.answer(0, late));
    }
}

#[test]
fn an_operator_who_vouches_for_the_disk_opens_the_gate_though_the_other_owner_is_gone() {
    let mut cluster = Cluster::new(2, "10.0.0.0/24");
    cluster.command(0, Command::Prime);
    cluster.settle(3);
    cluster.restart(0);
    cluster.call(0, |ipam, now, acts| ipam.reachable(now, BTreeMap::new(), acts));
    let early = cluster.command(0, allocate("early"));
    cluster.pass(2_000);
    let why = CommandError::NotMerged { owners: 1, leaving: 0, targets: 0 };
    assert_eq!(cluster.answer(0, early), Some(&Err(why.clone())));
    assert!(
        why.to_string().contains("the 1 other peer that owns") && why.to_string().contains("prime")
    );
    let late = cluster.command(0, allocate("late"));
    assert_eq!(cluster.answer(0, late), None);
    let opened = cluster.command(0, Command::OpenGate);
    assert_eq!(cluster.answer(0, opened), Some(&Ok(Reply::Done)));
    address(cluster.answer(0, late));
}

#[test]
fn who_has_no_founding_to_vouch_for_is_told_so_at_once() {
    for founding in [FoundingMode::Observer, FoundingMode::Consensus { peers: Some(3) }] {
        let config = Config { founding: founding.clone(), ..Config::default() };
        let mut ipam = start(&config, peer(1), &Saved::default());
        let mut acts = Vec::new();
        ipam.command(at(1), RequestId(1), Command::OpenGate, &mut acts);
        let replies: Vec<&Act> =
            acts.iter().filter(|act| matches!(act, Act::Reply { .. })).collect();
        let universe = config.universe;
        let why = match founding {
            FoundingMode::Observer => CommandError::Observing { universe },
            FoundingMode::Consensus { .. } | FoundingMode::Seeds(_) => {
                CommandError::NoQuorum { heard: 1, needed: 2, universe }
            }
        };
        let [Act::Reply { result, .. }] = replies[..] else { panic!("{replies:?}") };
        assert_eq!(*result, Err(why));
    }
    let mut alone = Cluster::new(1, "10.0.0.0/24");
    let opened = alone.command(0, Command::OpenGate);
    assert_eq!(alone.answer(0, opened), Some(&Ok(Reply::Done)), "it founds a mesh of its own");
}

#[test]
fn an_observer_is_not_told_to_found_a_mesh_of_its_own() {
    let config = Config { founding: FoundingMode::Observer, ..Config::default() };
    let rng = ChaCha20Rng::from_seed([1; 32]);
    let mut ipam = Ipam::new(&config, peer(1), &Saved::default(), rng).unwrap();
    let mut acts = Vec::new();
    ipam.command(Instant::ZERO, RequestId(1), allocate("a"), &mut acts);
    ipam.timeout(Instant::ZERO + Duration::from_secs(60), &mut acts);
    let mut told = String::new();
    for act in &acts {
        if let Act::Reply { result: Err(why), .. } = act {
            told = why.to_string();
        }
    }
    assert!(told.contains("observer") && !told.contains("consensus"), "{told}");
}

#[test]
fn who_leaves_hands_all_to_another_owner() {
    let mut cluster = Cluster::new(2, "10.0.0.0/24");
    cluster.command(0, Command::Prime);
    cluster.settle(3);
    cluster.command(1, Command::Leave);
    cluster.settle(1);
    let ledger = cluster.hosts[0].ipam.ledger().unwrap();
    assert_eq!(ledger.owners(), BTreeSet::from([peer(0)]));
    let request = cluster.command(1, allocate("a"));
    assert_eq!(cluster.answer(1, request), Some(&Err(CommandError::Left)));
}

#[test]
fn a_grant_by_a_peer_that_never_owned_the_addresses_changes_nothing_and_is_told() {
    let mut cluster = Cluster::new(2, "10.0.0.0/24");
    cluster.command(0, Command::Prime);
    cluster.settle(3);
    let ipam = &mut cluster.hosts[0].ipam;
    let (lineage, before) = (ipam.lineage().unwrap(), ipam.ledger().unwrap().clone());
    assert_eq!(before.owner(Offset(0)), Some(peer(0)));
    // The votes.
    drop(ipam.superseded());
    let range = Range { start: Offset(0), end: Offset(8) };
    let told = |ipam: &mut Ipam, writer: PeerId, version: u64| {
        let body = codec::encode(&Grant {
            lineage,
            range,
            epoch: 0,
            version,
            owner: writer,
            victim: None,
        });
        let key = Key::Grant(Fingerprint::by(&writer, &body));
        let mut acts = Vec::new();
        ipam.record(at(5_000), &record(writer, key, &body), &mut acts);
        let is_told = acts.contains(&Act::Event(Event::OwnershipConflict {
            range,
            kept: peer(0),
            lost: writer,
        }));
        (is_told, ipam.superseded() == [key])
    };
    // Of the first version it is refused for good; of a later one the owner before may be unknown.
    assert_eq!(told(ipam, peer(1), 1), (true, true));
    assert_eq!(told(ipam, peer(1), 9), (false, false));
    assert_eq!(told(ipam, peer(7), u64::MAX), (false, false));
    assert_eq!(*ipam.ledger().unwrap(), before);
    // An epoch is not for an owner to raise.
    let (owner, victim) = (peer(0), None);
    let takeover = Grant { lineage, range, epoch: 1, version: 1, owner, victim };
    let body = codec::encode(&takeover);
    let key = Key::Grant(Fingerprint::by(&peer(0), &body));
    ipam.record(at(5_000), &record(peer(0), key, &body), &mut Vec::new());
    assert_eq!(ipam.superseded(), [], "it waits for a title of that epoch");
    assert_eq!(*ipam.ledger().unwrap(), before);
}

#[test]
fn grants_that_nobody_can_judge_leave_room_for_those_that_count() {
    let config = Config { records_max: 64, ..config("10.0.0.0/24", 2) };
    let mut ipam = start(&config, peer(0), &Saved::default());
    let body = codec::encode(&founding_of(2, "10.0.0.0/24"));
    let founding = record(peer(0), Key::Founding(Fingerprint::of(&body)), &body);
    ipam.record(at(1), &founding, &mut Vec::new());
    let (lineage, range) = (ipam.lineage().unwrap(), universe("10.0.0.0/24").range());
    let grant =
        |range, version| Grant { lineage, range, epoch: 0, version, owner: peer(0), victim: None };
    let mut taken = 0;
    for version in 100..200 {
        let made_up = grant(range, version);
        if ipam.has_room(&made_up, peer(9)) {
            let body = codec::encode(&made_up);
            let key = Key::Grant(Fingerprint::by(&peer(9), &body));
            ipam.record(at(1), &record(peer(9), key, &body), &mut Vec::new());
            taken += 1;
        }
    }
    assert_eq!(taken, 8);
    let theirs = ipam.ledger().unwrap().owned_by(peer(1))[0];
    assert!(ipam.has_room(&grant(theirs, 1), peer(1)));
}

fn founding_of(seeds: u8, block: &str) -> Founding {
    let ballot = Ballot { round: 1, proposer: peer(0) };
    Founding {
        universe: universe(block),
        seeds: (0..seeds).map(peer).collect(),
        ballot,
        lacks: false,
    }
}

#[test]
fn more_seeds_than_addresses_still_tile_the_universe() {
    let ledger = Ledger::found(&founding_of(9, "10.0.0.0/30")).unwrap();
    assert_eq!(ledger.entries().map(|(range, ..)| range.size()).sum::<u128>(), 4);
    assert_eq!(ledger.owners().len(), 4);
}

proptest! {
    #[test]
    fn a_cluster_under_disorder_holds_no_address_twice_and_converges(
        count in 2u8..5,
        block in prop_oneof![Just("10.0.0.0/29"), Just("10.0.0.0/27"), Just("10.0.0.0/29,fd00::/124")],
        moves in proptest::collection::vec((0u8..10, any::<u16>(), 0u8..12), 0..250),
    ) {
        let mut cluster = Cluster::new(count, block);
        let mut open = Vec::new();
        for (kind, pick, id) in moves {
            let n = usize::from(pick) % usize::from(count);
            let name = std::format!("c{n}-{id}");
            match kind {
                0 => open.push((n, cluster.command(n, allocate(&name)))),
                1 => {
                    let address = std::format!("10.0.0.{}/29", id + 1);
                    open.push((n, cluster.command(n, claim(&name, &address))));
                }
                2 => open.push((n, cluster.command(n, release(&name)))),
                3 => cluster.pass(u64::from(pick) % 500),
                4 if pick < 6000 => {
                    open.retain(|(at, _)| *at != n);
                    cluster.restart(n);
                }
                4 | 5 => cluster.deliver(pick.into(), true),
                _ => cluster.deliver(pick.into(), false),
            }
            cluster.check_no_address_is_held_twice();
            cluster.check_one_owner_acts();
        }
        cluster.settle(4);
        for n in 0..usize::from(count) {
            for other in 0..count {
                cluster.call(n, |ipam, now, acts| ipam.merged(now, peer(other), acts));
            }
            open.push((n, cluster.command(n, Command::Prime)));
        }
        cluster.settle(8);
        cluster.check_no_address_is_held_twice();
        for (n, request) in open {
            prop_assert!(cluster.answer(n, request).is_some(), "{:?} at {} hangs", request, n);
        }
        for host in &cluster.hosts {
            prop_assert!(host.ipam.lineage().is_some());
            prop_assert_eq!(host.ipam.lineage(), cluster.hosts[0].ipam.lineage());
            prop_assert_eq!(host.ipam.ledger(), cluster.hosts[0].ipam.ledger());
        }
    }
}

#[test]
fn a_vote_that_no_voter_would_write_is_dropped_at_once() {
    let mut cluster = Cluster::new(1, "10.0.0.0/24");
    let ipam = &mut cluster.hosts[0].ipam;
    let key = Key::Voter(peer(7));
    let nothing = record(peer(7), key, &codec::encode(&Voter::default()));
    ipam.record(at(1), &nothing, &mut Vec::new());
    assert_eq!(ipam.superseded(), [key]);
}
