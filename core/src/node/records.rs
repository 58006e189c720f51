//! Records in and out, and what follows from them.

use super::Node;
use crate::addr::Universe;
use crate::codec;
use crate::event::Event;
use crate::id::PeerId;
use crate::io::{ConnId, Outbox, Output};
use crate::ipam::founding::are_sound;
use crate::ipam::{Founding, Freeze, Grant, Space, Voter};
use crate::mark::{Mark, mark};
use crate::mesh::{Conn, ConnFault, Link};
use crate::names::{NamesRecord, PAGE_LEN_MAX};
use crate::record::{Fingerprint, Key, Record, RecordFault, Version};
use crate::saved::{Change, Slot};
use crate::time::Instant;
use crate::topology::PeerRecord;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Least time between two records of ourselves. A peer that joins gets its links one by one, and one
/// that flaps loses and regains them: it is told in few records, each of which every peer checks.
const DESCRIBE_WAIT: Duration = Duration::from_millis(100);

/// What each peer of the mesh adds to [`crate::config::Config::routes_wait`]: a calculation takes
/// longer the more there are, and must stay a small part of all that a peer does.
const ROUTES_WAIT_PER_PEER: Duration = Duration::from_micros(100);

/// A body that was read.
enum Body {
    Peer(PeerRecord),
    Names(u8, NamesRecord),
    /// IPAM reads it itself; so it does the others of ownership.
    Vote(Voter),
    Freeze(Freeze),
    Grant(Grant),
    Ownership,
}

impl Node {
    /// Takes in records from a neighbour, until that ends the link. Returns whether there was room
    /// for all of those about ownership.
    pub(super) fn accept_all(
        &mut self,
        at: Instant,
        (conn, peer): (ConnId, PeerId),
        records: Vec<Record>,
        out: &mut Outbox,
    ) -> bool {
        let mut had_room = true;
        for record in records {
            self.recall(at, &record, out);
            self.look_for_twin(at, &record, out);
            if let Some(stranger) = owner(&record.key).filter(|owner| !self.allows(*owner)) {
                mark(Mark::GossipNotAllowed);
                self.records_refused += 1;
                let why = RecordFault::NotAllowed(stranger);
                out.push(Output::Event(Event::RecordRefused { from: peer, why }));
                continue;
            }
            let held = self.records.get(&record.key);
            let (is_held, is_known) = (held == Some(&record), held.is_some());
            if !self.records.is_news(&record) {
                if is_held && let Some(link) = self.conns.get_mut(&conn).and_then(Conn::link_mut) {
                    link.news.knows(&record.key);
                }
                mark(if is_held { Mark::GossipDuplicate } else { Mark::GossipOlder });
                continue;
            }
            if self.is_founded_apart(&record) {
                mark(Mark::GossipOtherLineage);
                self.end_link(at, conn, ConnFault::Lineage, out);
                return had_room;
            }
            let accepted = self.accept(at, conn, record, out);
            mark(match &accepted {
                Ok(()) if is_known => Mark::GossipNewer,
                Ok(()) => Mark::GossipFirst,
                Err(RecordFault::ForeignKey(..)) => Mark::GossipRefusedKey,
                Err(RecordFault::BadSignature(_)) => Mark::GossipRefusedSignature,
                Err(RecordFault::BodyTooLong(_) | RecordFault::Malformed(_)) => {
                    Mark::GossipRefusedBody
                }
                Err(RecordFault::Leap(_)) => Mark::FoundingLeap,
                Err(RecordFault::Full(_)) => Mark::GossipFull,
                Err(RecordFault::NotAllowed(_) | RecordFault::Frozen(_)) => Mark::GossipNotAllowed,
            });
            if let Err(why) = accepted {
                self.records_refused += 1;
                if let RecordFault::Full(key) = &why {
                    had_room &= !is_kept(key);
                }
                out.push(Output::Event(Event::RecordRefused { from: peer, why }));
            }
        }
        had_room
    }

    /// A record came. After a disk was put back it may be one of ours that we forgot, and whatever others
    /// took us at our word for binds us.
    ///
    /// A vote may be of a version above or below those we have written since: what it promised stays
    /// promised, or a quorum that counted it would be none. Of evictions we say other things as time goes
    /// by, and only a later version than ours is one that we do not know: it holds in place of what the disk
    /// says, and beside what we have said since.
    fn recall(&mut self, at: Instant, record: &Record, out: &mut Outbox) {
        let ours = self.records.get(&record.key);
        let mut acts = Vec::new();
        if record.key == Key::Voter(self.me)
            && ours != Some(record)
            && let Ok(vote) = record.decode::<Voter>()
            && record.check().is_ok()
        {
            self.ipam.recall(at, vote, &mut acts);
        } else if record.key == Key::Freeze(self.me)
            && self.records.is_news(record)
            && let Ok(freeze) = record.decode::<Freeze>()
            && record.check().is_ok()
        {
            let is_since = |ours: &Record| ours.version.incarnation == self.incarnation;
            let has_said = ours.is_some_and(is_since);
            self.ipam.recall_freeze(at, &freeze, has_said, &mut acts);
        }
        self.act(acts, out);
    }

    /// Whether `record` is a valid founding of another mesh than ours.
    fn is_founded_apart(&self, record: &Record) -> bool {
        match (record.key, self.ipam.lineage()) {
            (Key::Founding(theirs), Some(ours)) => theirs != ours && record.check().is_ok(),
            (Key::Founding(_), None)
            | (
                Key::Grant(_)
                | Key::Voter(_)
                | Key::Freeze(_)
                | Key::Peer(_)
                | Key::Names(..)
                | Key::Space(_),
                _,
            ) => false,
        }
    }

    fn accept(
        &mut self,
        at: Instant,
        from: ConnId,
        record: Record,
        out: &mut Outbox,
    ) -> Result<(), RecordFault> {
        let body = read(&record, self.config.universe)?;
        let (key, version) = (record.key, record.version);
        if owner(&key) == Some(self.me) && version.incarnation >= self.incarnation {
            record.check()?;
            let last = Version { incarnation: self.incarnation, sequence: self.sequence };
            // Our vote is dropped once there is a founding, and comes back from peers that are
            // behind: what we may have written in this life, and hold no other version of, is no
            // ghost.
            if version > last || self.records.get(&key).is_some() {
                self.meet_ghost(at, version.incarnation);
            } else {
                mark(Mark::GossipVoteBack);
            }
            return Ok(());
        }
        if let Body::Vote(vote) = &body {
            record.check()?;
            if !self.ipam.admits(vote) {
                return Err(RecordFault::Leap(key));
            }
        }
        if let Body::Freeze(freeze) = &body {
            record.check()?;
            if !self.ipam.admits_rounds(freeze) {
                return Err(RecordFault::Leap(key));
            }
        }
        if let Body::Grant(grant) = &body {
            if self.ipam.has_frozen(grant, record.writer) {
                return Err(RecordFault::Frozen(key));
            }
            if !self.ipam.has_room(grant, record.writer) {
                return Err(RecordFault::Full(key));
            }
        }
        let writer = record.writer;
        let is_neighbours = self.neighbours.contains_key(&writer);
        self.records.accept(record, is_neighbours)?;
        self.spread(key, Some((at, from)));
        match body {
            Body::Peer(peer) => {
                self.topology.put(writer, peer);
                self.plan_routes(at);
            }
            // Ours are newer than what comes: they are published at each start. Or our disk was put back and knows
            // nothing of that page, which is of an earlier life, and says nothing any more.
            Body::Names(..) if writer == self.me => {}
            Body::Names(page, names) => {
                self.names.put((writer, page), version.incarnation, names);
            }
            Body::Vote(_) | Body::Freeze(_) | Body::Grant(_) | Body::Ownership => {
                let Some(record) = self.records.get(&key) else { return Ok(()) };
                if is_kept(&key) {
                    self.turn.changes.push(Change::put(Slot::Record(key), record));
                }
                let mut acts = Vec::new();
                self.ipam.record(at, record, &mut acts);
                self.act(acts, out);
            }
        }
        Ok(())
    }

    /// Signs and spreads a record of our own.
    pub(super) fn publish(&mut self, key: Key, body: Vec<u8>) {
        let version = if owner(&key).is_some() {
            self.sequence += 1;
            Version { incarnation: self.incarnation, sequence: self.sequence }
        } else {
            Version::default()
        };
        let record = Record::sign(&self.identity, key, version, body);
        if self.is_saved(&key) {
            self.turn.changes.push(Change::put(Slot::Record(key), &record));
        }
        self.records.put(record);
        self.spread(key, None);
    }

    /// Whether a record under `key` has a place on our disk.
    fn is_saved(&self, key: &Key) -> bool {
        is_kept(key) || [Key::Voter(self.me), Key::Freeze(self.me)].contains(key)
    }

    pub(super) fn publish_names(&mut self) {
        let pages: Vec<u8> = self.names.pages().collect();
        pages.into_iter().for_each(|page| self.publish_page(page));
    }

    fn publish_page(&mut self, page: u8) {
        let body = codec::encode(&self.names.page(page));
        self.publish(Key::Names(self.me, page), body);
    }

    /// One page of our own names is another from here on.
    pub(super) fn page_changed(&mut self, page: u8) {
        self.turn.changes.push(Change::put(Slot::Names(page), &self.names.page(page)));
        self.publish_page(page);
    }

    /// The record of `key` is news to all neighbours: our own, or what came at this time from one.
    fn spread(&mut self, key: Key, from: Option<(Instant, ConnId)>) {
        for (id, conn) in &mut self.conns {
            let Some(link) = conn.link_mut() else { continue };
            match from {
                None => link.news.tell(key),
                Some((_, from)) if from == *id => link.news.knows(&key),
                Some((at, _)) => link.news.relay(at, key),
            }
        }
    }

    /// Tells all neighbours but `peer`, with which we are linked now, what it says since it is back. Who
    /// hears of the link must know that: by what it said before, peers could be reached that are long gone.
    fn tell_of(&mut self, peer: PeerId) {
        let key = Key::Peer(peer);
        let links = self.conns.values_mut().filter_map(Conn::link_mut);
        links.filter(|link| link.hello.id != peer).for_each(|link| link.news.tell(key));
    }

    /// Draws the conclusions of what this call changed.
    pub(super) fn conclude(&mut self, at: Instant, out: &mut Outbox) {
        if self.is_stopped {
            return;
        }
        if core::mem::take(&mut self.turn.links_changed) {
            // Also when our record stays the same: another session may carry the link.
            self.plan_routes(at);
            let next = self.describes_at(at);
            self.describe_at = Some(self.describe_at.map_or(next, |due| due.min(next)));
        }
        let own = self.topology.get(self.me);
        if own.is_some_and(|own| own.part != self.ipam.part()) {
            // Who leaves is nobody's heir from here on.
            self.describe_at = Some(at);
        }
        if self.describe_at.is_some_and(|due| due <= at) {
            self.describe_at = None;
            let own = self.describe();
            self.described_at = (!own.links.is_empty()).then_some(at);
            let before = self.topology.get(self.me);
            if before != Some(&own) {
                let is_new = |peer: &&PeerId| !before.is_some_and(|it| it.has_link(**peer));
                let gained: Vec<PeerId> = own.links.iter().filter(is_new).copied().collect();
                gained.into_iter().for_each(|peer| self.tell_of(peer));
                self.publish(Key::Peer(self.me), codec::encode(&own));
                self.topology.put(self.me, own);
                self.plan_routes(at);
            }
            self.survey(at, out);
        }
        // Whatever brought this call about: a vote of a peer that has not heard of the founding may
        // come at any time, and kept, it would go to and fro between neighbours for ever.
        for key in self.ipam.superseded() {
            if self.records.get(&key).is_some() {
                mark(Mark::GossipDropped);
                self.records.remove(&key);
                if self.is_saved(&key) {
                    self.turn.changes.push(Change::remove(Slot::Record(key)));
                }
            }
        }
    }

    /// When to say what has changed with us. The first link is told of at once, and so is a life
    /// that nobody knows of; addresses alone wait for the link that they are about to bring.
    fn describes_at(&self, at: Instant) -> Instant {
        let own = self.topology.get(self.me);
        let is_known = own.is_some_and(|own| own.incarnation == self.incarnation);
        let mut links = self.conns.values().filter_map(Conn::link);
        let next = match self.described_at {
            Some(last) => last + DESCRIBE_WAIT,
            None if is_known && !links.any(Link::counts) => at + DESCRIBE_WAIT,
            None => at,
        };
        next.max(at)
    }

    /// Has routes calculated soon: what changes in the meantime costs nothing more.
    fn plan_routes(&mut self, at: Instant) {
        let peers = u32::try_from(self.topology.len()).unwrap_or(u32::MAX);
        let wait = self.config.routes_wait + ROUTES_WAIT_PER_PEER.saturating_mul(peers);
        self.routes_at.get_or_insert(at + wait);
    }

    /// Finds out who can be reached, and acts upon what has changed.
    pub(super) fn survey(&mut self, at: Instant, out: &mut Outbox) {
        let (came, went) = self.topology.update();
        let is_changed = !(came.is_empty() && went.is_empty());
        if !came.is_empty() {
            mark(Mark::PeerCame);
        }
        if !went.is_empty() {
            mark(Mark::PeerWent);
        }
        for peer in &went {
            self.dialer.dial_again(at, *peer);
        }
        out.push_all(came.iter().map(|peer| Output::Event(Event::PeerUp { peer: *peer })));
        out.push_all(went.into_iter().map(|peer| Output::Event(Event::PeerDown { peer })));
        if is_changed {
            self.dialer.reach_changed(at, (self.me, &came), self.topology.hops());
        }
        let part = |peer: &PeerId| Some((*peer, self.topology.get(*peer)?.part));
        let parts = self.topology.hops().keys().filter_map(part).collect();
        let mut acts = Vec::new();
        self.ipam.reachable(at, parts, &mut acts);
        self.act(acts, out);
        self.discover(at);
    }

    /// What we say of ourselves.
    fn describe(&self) -> PeerRecord {
        let links = || self.conns.values().filter_map(Conn::link);
        let mut locals: BTreeSet<_> = links()
            .map(|link| link.ends.local.ip().to_canonical())
            .filter(|ip| !ip.is_unspecified())
            .collect();
        // A loopback address leads others to themselves; it is told only where there is no other.
        if locals.iter().any(|ip| !ip.is_loopback()) {
            locals.retain(|ip| !ip.is_loopback());
        }
        let addresses = locals.into_iter().map(|ip| SocketAddr::new(ip, self.config.port));
        let counted = links().filter(|link| link.counts()).map(|link| link.hello.id);
        let counted: BTreeSet<PeerId> = counted.collect();
        PeerRecord {
            name: self.name,
            nickname: self.config.nickname.clone(),
            incarnation: self.incarnation,
            links: counted.into_iter().take(PeerRecord::LINKS_MAX).collect(),
            addresses: addresses.take(PeerRecord::ADDRESSES_MAX).collect(),
            part: self.ipam.part(),
            run: self.run.id,
            rival: self.run.rival,
        }
    }
}

/// Reads the body of `record` and holds it to its limits. A founding that could not be ours is
/// refused here: kept and passed on, it would end the links with all who are founded.
fn read(record: &Record, universe: Universe) -> Result<Body, RecordFault> {
    if record.body.len() > Record::BODY_LEN_MAX {
        return Err(RecordFault::BodyTooLong(record.body.len()));
    }
    let sound = |is_sound| if is_sound { Ok(()) } else { Err(RecordFault::Malformed(record.key)) };
    match record.key {
        Key::Peer(_) => {
            let peer: PeerRecord = record.decode()?;
            sound(peer.is_sound() && peer.incarnation == record.version.incarnation)?;
            Ok(Body::Peer(peer))
        }
        Key::Names(_, page) => {
            let names: NamesRecord = record.decode()?;
            sound(names.entries.len() <= PAGE_LEN_MAX)?;
            Ok(Body::Names(page, names))
        }
        Key::Founding(_) => {
            let founding: Founding = record.decode()?;
            let seeds = are_sound(&founding.seeds, founding.ballot.proposer);
            sound(founding.universe == universe && seeds)?;
            Ok(Body::Ownership)
        }
        Key::Grant(_) => record.decode::<Grant>().map(Body::Grant),
        Key::Voter(_) => record.decode::<Voter>().map(Body::Vote),
        Key::Freeze(writer) => {
            let freeze: Freeze = record.decode()?;
            sound(freeze.is_sound(writer))?;
            Ok(Body::Freeze(freeze))
        }
        Key::Space(_) => record.decode::<Space>().map(|_| Body::Ownership),
    }
}

/// Whose record it is, where only one peer may write it.
pub(super) const fn owner(key: &Key) -> Option<PeerId> {
    match key {
        Key::Founding(Fingerprint(_)) | Key::Grant(Fingerprint(_)) => None,
        Key::Voter(peer)
        | Key::Freeze(peer)
        | Key::Peer(peer)
        | Key::Names(peer, _)
        | Key::Space(peer) => Some(*peer),
    }
}

/// Whether it must survive whoever wrote it.
const fn is_kept(key: &Key) -> bool {
    match key {
        Key::Founding(_) | Key::Grant(_) => true,
        Key::Voter(_) | Key::Freeze(_) | Key::Peer(_) | Key::Names(..) | Key::Space(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, FoundingMode};
    use crate::id::{ContainerId, Identity, Incarnation};
    use crate::io::{Command, Input, RequestId};
    use crate::ipam::Ballot;
    use crate::ipam::founding::ROUND_LEAP_MAX;
    use crate::node::Seed;
    use crate::saved::Saved;
    use crate::time::Now;
    use alloc::string::ToString;

    #[test]
    fn a_dropped_vote_that_comes_back_begins_no_other_life_and_a_later_one_does() {
        let (mut node, mut out) = (started(1), Outbox::default());
        let (key, conn, life) = (Key::Voter(node.me), ConnId::dialed(0), node.incarnation);
        node.publish(key, codec::encode(&Voter::default()));
        let vote = node.records.get(&key).unwrap().clone();
        node.records.remove(&key);
        assert_eq!(node.accept(Instant::ZERO, conn, vote.clone(), &mut out), Ok(()));
        assert_eq!(node.incarnation, life);
        let version = Version { sequence: vote.version.sequence + 9, ..vote.version };
        let ghost = Record::sign(&node.identity, key, version, vote.body);
        assert_eq!(node.accept(Instant::ZERO, conn, ghost, &mut out), Ok(()));
        assert!(node.incarnation > life);
    }

    fn started(seed: u8) -> Node {
        let config = Config { nickname: "a".to_string(), ..Config::default() };
        let (saved, now, mut out) = (Saved::default(), Now::default(), Outbox::default());
        Node::new(config, saved, Seed([seed; 32]), now, &mut out).unwrap()
    }

    #[test]
    fn a_forgotten_vote_of_ours_binds_us_whatever_its_version() {
        let round = |node: &Node| {
            let vote = node.records.get(&Key::Voter(node.me)).unwrap();
            vote.decode::<Voter>().unwrap().promised.unwrap().round
        };
        for sequence in [0, 1_000] {
            let mut node = started(1);
            node.sequence = 9;
            let other = Identity::from_seed([2; 32]).id();
            let promise = |round| {
                let promised = Some(Ballot { round, proposer: other });
                codec::encode(&Voter { promised, accepted: None, lacks: false })
            };
            node.publish(Key::Voter(node.me), promise(3));
            let version = Version { incarnation: node.incarnation, sequence };
            let key = Key::Voter(node.me);
            let ghost = Record::sign(&node.identity, key, version, promise(7));
            let from = (ConnId::dialed(0), other);
            node.accept_all(Instant::ZERO, from, std::vec![ghost], &mut Outbox::default());
            assert_eq!(round(&node), 7);
            let ours = node.records.get(&key).unwrap();
            assert!(ours.version > version);
            let kept = node.turn.changes.contains(&Change::put(Slot::Record(key), ours));
            assert!(kept, "a promise must be durable");
        }
    }

    #[test]
    fn a_vote_that_comes_after_the_founding_is_not_kept() {
        let founding = FoundingMode::Consensus { peers: Some(1) };
        let config = Config { nickname: "a".to_string(), founding, ..Config::default() };
        let (mut out, now, at) = (Outbox::default(), Now::default(), Instant::ZERO);
        let mut node = Node::new(config, Saved::default(), Seed([1; 32]), now, &mut out).unwrap();
        let command = Command::Allocate { id: ContainerId::external(), subnet: None };
        node.handle(now, Input::Command { request: RequestId(1), command }, &mut out);
        assert!(node.ipam.lineage().is_some());
        let before: Vec<Record> = node.records.iter().cloned().collect();
        let late = Identity::from_seed([2; 32]);
        let (key, version) = (Key::Voter(late.id()), Version::default());
        let vote = Record::sign(&late, key, version, codec::encode(&Voter::default()));
        node.accept_all(at, (ConnId::dialed(0), late.id()), std::vec![vote], &mut out);
        node.conclude(at, &mut out);
        assert!(node.records.iter().eq(&before));
    }

    #[test]
    fn a_vote_with_the_last_round_of_all_does_not_freeze_the_founding() {
        let mut node = started(1);
        let liar = Identity::from_seed([2; 32]);
        let mut vote = |sequence, round| {
            let promised = Some(Ballot { round, proposer: liar.id() });
            let body = codec::encode(&Voter { promised, accepted: None, lacks: false });
            let version = Version { incarnation: Incarnation(1), sequence };
            let record = Record::sign(&liar, Key::Voter(liar.id()), version, body);
            node.accept(Instant::ZERO, ConnId::dialed(0), record, &mut Outbox::default())
        };
        let leap = Err(RecordFault::Leap(Key::Voter(liar.id())));
        assert_eq!(vote(1, u64::MAX), leap);
        assert_eq!(vote(2, u64::MAX), leap);
        // A peer that missed a lot catches up.
        assert_eq!(vote(3, ROUND_LEAP_MAX * 3), Ok(()));
        assert_eq!(vote(4, ROUND_LEAP_MAX * 9), leap);
        assert!(node.records.get(&Key::Voter(liar.id())).is_some());
    }

    #[test]
    fn it_is_said_when_there_was_no_room_for_a_grant() {
        let config = Config { nickname: "a".to_string(), records_max: 32, ..Config::default() };
        let mut out = Outbox::default();
        let start = (Saved::default(), Seed([1; 32]), Now::default());
        let mut node = Node::new(config, start.0, start.1, start.2, &mut out).unwrap();
        let peer = Identity::from_seed([2; 32]);
        let grant = |version| {
            let range = Universe::DEFAULT.range();
            let lineage = Fingerprint::default();
            let grant = Grant { lineage, range, epoch: 0, version, owner: peer.id(), victim: None };
            let body = codec::encode(&grant);
            let key = Key::Grant(Fingerprint::by(&peer.id(), &body));
            Record::sign(&peer, key, Version::default(), body)
        };
        let mut accept = |versions: core::ops::Range<u64>| {
            let records = versions.map(grant).collect();
            let from = (ConnId::dialed(0), peer.id());
            node.accept_all(Instant::ZERO, from, records, &mut Outbox::default())
        };
        assert!(accept(1..5));
        assert!(!accept(5..20));
    }

    #[test]
    fn a_founding_of_another_range_or_without_owners_is_refused() {
        let identity = Identity::from_seed([1; 32]);
        let ours = Universe::DEFAULT;
        let theirs = Universe::new("10.2.0.0/16".parse().unwrap()).unwrap();
        let record = |universe, seeds: &[PeerId]| {
            let ballot = Ballot { round: 1, proposer: identity.id() };
            let seeds = seeds.iter().copied().collect();
            let body = codec::encode(&Founding { universe, seeds, ballot, lacks: false });
            let key = Key::Founding(Fingerprint::of(&body));
            Record::sign(&identity, key, Version::default(), body)
        };
        assert!(read(&record(ours, &[identity.id()]), ours).is_ok());
        for bad in [record(theirs, &[identity.id()]), record(ours, &[])] {
            assert_eq!(read(&bad, ours).err(), Some(RecordFault::Malformed(bad.key)));
        }
    }
}
