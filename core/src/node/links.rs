//! Conns that become links: which are wanted, and which give way.

use super::Node;
use crate::event::Event;
use crate::forward::ForwardingChange;
use crate::handshake::{Channel, Hello};
use crate::io::{ConnId, Outbox, Output};
use crate::mark::{Mark, mark};
use crate::mesh::{Conn, ConnFault, End, Goodbye, Link, Message, Pace, Path, Phase, Way};
use crate::record::Key;
use crate::sleeve::{Kind, Session, SessionKeys};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Two streams cross when one of them opens at most this much later than the other one is a link.
/// Long enough for both sides to see it alike, whichever opened first for them.
const CROSSING_MAX: Duration = Duration::from_secs(1);

impl Node {
    /// The handshake is over: is this link wanted?
    pub(super) fn agreed(
        &mut self,
        at: Instant,
        id: ConnId,
        mut channel: Channel,
        hello: Hello,
        out: &mut Outbox,
    ) {
        let peer = hello.id;
        if let Some(Conn { phase: Phase::Shaking(shaking), .. }) = self.conns.get_mut(&id) {
            shaking.peer = Some(peer);
        }
        let fault = self.unproven(&channel).or_else(|| {
            self.refusal(at, id, &hello).filter(|fault| {
                let is_full = matches!(fault, ConnFault::Limit(_));
                !(is_full && self.spare_link(at, !self.is_spare(peer), out))
            })
        });
        if let Some(fault) = fault {
            let mut goodbye = Goodbye::of(&fault);
            if let Some(Goodbye::NameTaken { by, .. }) = &mut goodbye
                && hello.name == self.name
            {
                // Each side is told of the other.
                by.clone_from(&self.config.nickname);
            }
            let referral = matches!(fault, ConnFault::Limit(_)).then(|| self.referral());
            // Who says less of itself than is known was put back, or is a copy: it hears of its other life.
            let known = self.records.get(&Key::Peer(peer)).filter(|known| {
                fault == ConnFault::Duplicate && known.version.incarnation >= hello.incarnation
            });
            let known = known.map(|known| Message::Records(alloc::vec![known.clone()]));
            let words = known.into_iter().chain(referral).chain(goodbye.map(Message::Goodbye));
            let sealed = words.filter_map(|message| channel.seal(&message.encode()).ok());
            let last = sealed.flatten().collect();
            return self.end(at, id, fault, Way::Ours(last), out);
        }
        if let Some(other) = self.neighbours.get(&peer).copied() {
            self.end_link(at, other, ConnFault::Duplicate, out);
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Phase::Shaking(shaking) = &conn.phase else { return };
        let session = shaking.session.index;
        let keys = SessionKeys {
            ours: *shaking.session.secret,
            theirs: hello.session_key,
            dialed: id.is_dialed(),
            sealed: hello.seals && !self.secrets.is_empty(),
        };
        let Ok(probes) = Session::new(Kind::Probe, &keys, hello.session) else {
            mark(Mark::LinkLowOrder);
            let fault = ConnFault::Protocol("its session key is of low order");
            return self.end(at, id, fault, Way::Ours(Vec::new()), out);
        };
        // The side that dialed knows where the other one listens; that one learns where we are
        // from our first probe.
        let ends = shaking.ends;
        let there = SocketAddr::new(ends.remote.ip(), hello.sleeve_port);
        let to = id.is_dialed().then_some(there);
        let listens = if id.is_dialed() { ends.remote } else { there };
        let change = ForwardingChange::SessionUp {
            session,
            remote: hello.session,
            peer: hello.name,
            is_link: true,
            keys,
            to,
        };
        let path = Path::new(at, session, probes, to, Pace::of_links(&self.config));
        let mut link = Link::new(at, (hello, channel), ends, path, &self.config, &self.records);
        link.news.introduce(Key::Peer(self.me));
        conn.phase = Phase::Up(Box::new(link));
        self.neighbours.insert(peer, id);
        mark(Mark::LinkUp);
        if self.config.discovery {
            let is_linked = |peer| self.neighbours.contains_key(&peer);
            self.turn.changes.extend(self.acquaintances.note(peer, listens, is_linked));
        }
        out.push(Output::Event(Event::ConnUp { conn: id, peer }));
        out.push(Output::Forwarding(change));
        self.turn.links_changed = true;
        let is_expected = conn.whom.clone().is_none_or(|whom| self.dialer.linked(&whom, id, peer));
        if !is_expected && let Some(whom) = conn.whom.take() {
            mark(Mark::LinkOtherPeer);
            let fault = ConnFault::Protocol("another peer answered than was heard of there");
            let end = End { conn: id, fault: &fault, stood: None, by: None };
            self.dialer.ended(at, &whom, end, self.topology.hops());
        }
        // Bytes that followed the handshake.
        self.received(at, id, &[], out);
    }

    /// Why a link with `hello` is not wanted.
    fn refusal(&self, at: Instant, id: ConnId, hello: &Hello) -> Option<ConnFault> {
        if !self.allows(hello.id) {
            return Some(ConnFault::NotAllowed(hello.id));
        }
        let (ours, theirs) = (self.config.universe, hello.universe);
        if ours != theirs {
            mark(Mark::LinkOtherUniverse);
            return Some(ConnFault::Universe { ours, theirs });
        }
        if let (Some(ours), Some(theirs)) = (self.ipam.lineage(), hello.lineage)
            && ours != theirs
        {
            mark(Mark::LinkOtherLineage);
            return Some(ConnFault::Lineage);
        }
        if let Some(by) = self.holder_of_name(hello) {
            return Some(ConnFault::NameTaken { name: hello.name.to_string(), by });
        }
        if let Some(other) = self.neighbours.get(&hello.id) {
            let old = self.conns.get(other).and_then(Conn::link);
            let replaces = old.is_none_or(|old| {
                // The dialer of the link that both sides keep is the peer with the lower id. A link
                // that stood when this stream opened did not cross it: frames go by it, and it stays.
                let dialer_is_lower = id.is_dialed() == (self.me < hello.id);
                let is_late = self.opened_after(id, old.up_at + CROSSING_MAX);
                let crossed = other.is_dialed() != id.is_dialed() && dialer_is_lower && !is_late;
                let why = if hello.incarnation > old.hello.incarnation {
                    Some(Mark::LinkRestarted)
                } else if old.is_doubtful(at, &self.config) {
                    Some(Mark::LinkDoubtful)
                } else {
                    crossed.then_some(Mark::LinkCrossed)
                };
                mark(why.unwrap_or(Mark::LinkDuplicate));
                why.is_some()
            });
            return (!replaces).then_some(ConnFault::Duplicate);
        }
        let limit = self.config.conns_max;
        if self.neighbours.len() < limit {
            return None;
        }
        mark(Mark::LinkLimit);
        Some(ConnFault::Limit(limit))
    }

    /// Whether the stream of a conn that shakes hands opened after `then`.
    fn opened_after(&self, id: ConnId, then: Instant) -> bool {
        self.conns.get(&id).is_some_and(|conn| match &conn.phase {
            Phase::Shaking(shaking) => shaking.until > then + self.config.handshake_max,
            Phase::Dialing | Phase::Up(_) | Phase::Ending { .. } => false,
        })
    }

    /// The nickname of the peer that has the name which `hello` has or wants: as we see it, so when
    /// that name is ours it is the other one that has it. A name that follows from the peer's id is
    /// its own, whoever else has chosen it and came first.
    fn holder_of_name(&self, hello: &Hello) -> Option<String> {
        if hello.name == self.name {
            mark(Mark::LinkOwnName);
            return Some(hello.nickname.clone());
        }
        if hello.name == hello.id.default_name() {
            return None;
        }
        let links = self.conns.values().filter_map(Conn::link).map(|link| &link.hello);
        let mut linked = links.filter(|other| other.id != hello.id && other.name == hello.name);
        if let Some(other) = linked.next() {
            mark(Mark::LinkNeighboursName);
            return Some(other.nickname.clone());
        }
        let known = self.topology.peers().find(|(peer, record)| {
            *peer != hello.id && record.name == hello.name && self.topology.is_reachable(*peer)
        });
        let (_, record) = known?;
        mark(Mark::LinkKnownName);
        Some(record.nickname.clone())
    }

    /// Ends a link that stands, and tells the other side why when that is a refusal.
    pub(super) fn end_link(&mut self, at: Instant, id: ConnId, fault: ConnFault, out: &mut Outbox) {
        let words = Goodbye::of(&fault).map(|goodbye| Message::Goodbye(goodbye).encode());
        let link = self.conns.get_mut(&id).and_then(Conn::link_mut);
        let sealed = words.zip(link).and_then(|(words, link)| link.channel.seal(&words).ok());
        self.end(at, id, fault, Way::Ours(sealed.unwrap_or_default()), out);
    }
}
