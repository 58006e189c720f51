//! Conns from dial or accept to their end, and what neighbours say on them.

use super::Node;
use crate::event::Event;
use crate::forward::ForwardingChange;
use crate::gossip::{Answer, Progress};
use crate::handshake::{Channel, ChannelFault, Handshake, HandshakeFault, Hello, Local, Step};
use crate::id::PeerId;
use crate::io::{ConnId, Outbox, Output};
use crate::mark::{Mark, mark};
use crate::mesh::{Conn, ConnFault, Ends, Goodbye, Link, Message, Path, PathTurn};
use crate::mesh::{Phase, Shaking, Unicast, Way};
use crate::sleeve::{Kind, Session, SessionIndex, SessionKeys};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::btree_map::Entry;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use rand_core::RngCore;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Two streams cross when one of them opens at most this much later than the other one is a link.
/// Long enough for both sides to see it alike, whichever opened first for them.
const CROSSING_MAX: Duration = Duration::from_secs(1);

/// Conns beyond the limit of links that may be shaking hands or ending.
const UNPROVEN_MAX: usize = 128;

impl Node {
    /// Dials all that is due.
    pub(super) fn dial(&mut self, at: Instant, out: &mut Outbox) {
        if self.is_stopped {
            return;
        }
        if self.neighbours.len() >= self.config.conns_max {
            self.dialer.postpone(at);
        }
        let neighbours = &self.neighbours;
        while let Some((whom, target)) = self.dialer.due(at, |peer| neighbours.contains_key(&peer))
        {
            let conn = ConnId::dialed(self.dialed);
            self.dialed += 1;
            self.dialer.dialing(&whom, conn);
            self.conns.insert(conn, Conn::new(target.to_string(), Some(whom), Phase::Dialing));
            out.push(Output::Dial { conn, target });
        }
    }

    pub(super) fn opened(
        &mut self,
        at: Instant,
        id: ConnId,
        local: SocketAddr,
        remote: SocketAddr,
        out: &mut Outbox,
    ) {
        if self.is_stopped {
            mark(Mark::ConnAfterStop);
            self.conns.remove(&id);
            out.push(Output::Close { conn: id });
            return;
        }
        if !id.is_dialed() {
            self.make_room(at, remote.ip(), out);
        }
        let open = self.conns.values().filter(|conn| !matches!(conn.phase, Phase::Dialing));
        if open.count() >= self.config.conns_max + UNPROVEN_MAX {
            mark(Mark::ConnLimit);
            let fault = ConnFault::Limit(self.config.conns_max);
            self.end(at, id, fault, Way::Gone, out);
            out.push(Output::Close { conn: id });
            return;
        }
        let mut secret = Zeroizing::new([0; 32]);
        self.session_rng.fill_bytes(&mut *secret);
        let session = self.draw_session(id);
        let public = PublicKey::from(&StaticSecret::from(*secret)).to_bytes();
        let local_side = Local {
            identity: &self.identity,
            secret: self.config.secret.as_ref(),
            hello: Hello {
                id: self.me,
                name: self.name,
                nickname: self.config.nickname.clone(),
                incarnation: self.incarnation,
                universe: self.config.universe,
                lineage: self.ipam.lineage(),
                sleeve_port: self.config.port,
                session,
                session_key: public,
                seals: self.config.secret.is_some(),
            },
        };
        let (handshake, first) = if id.is_dialed() {
            Handshake::initiate(local_side, &mut self.handshake_rng)
        } else {
            (Handshake::respond(local_side, &mut self.handshake_rng), Vec::new())
        };
        let shaking = Phase::Shaking(Box::new(Shaking {
            handshake: Some(handshake),
            until: at + self.config.handshake_max,
            ends: Ends { local, remote },
            peer: None,
            session,
            session_secret: secret,
        }));
        let fresh = || Conn::new(remote.to_string(), None, Phase::Dialing);
        let conn = self.conns.entry(id).or_insert_with(fresh);
        (conn.phase, conn.unsent) = (shaking, first);
    }

    /// A label that no other session has.
    fn draw_session(&mut self, conn: ConnId) -> SessionIndex {
        loop {
            let index = SessionIndex(self.session_rng.next_u32());
            if let Entry::Vacant(free) = self.sessions.entry(index) {
                free.insert(conn);
                return index;
            }
        }
    }

    pub(super) fn received(&mut self, at: Instant, id: ConnId, bytes: &[u8], out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match &mut conn.phase {
            Phase::Dialing | Phase::Ending { .. } => mark(Mark::ConnUnheard),
            Phase::Shaking(shaking) => {
                let Some(handshake) = shaking.handshake.take() else { return };
                match handshake.receive(bytes) {
                    Ok((next, Step::More { send })) => {
                        if send.is_empty() {
                            mark(Mark::HandshakePieces);
                        }
                        shaking.handshake = next;
                        conn.unsent.extend(send);
                    }
                    Ok((_, Step::Done { send, channel, hello })) => {
                        conn.unsent.extend(send);
                        self.agreed(at, id, channel, hello, out);
                    }
                    Err((fault, refusal)) => {
                        let fault = self.myself_or_copy(id, fault);
                        self.end(at, id, fault, Way::Ours(refusal), out);
                    }
                }
            }
            Phase::Up(link) => {
                link.heard_at = at;
                match link.channel.receive(bytes) {
                    Ok(messages) => self.messages(at, id, &messages, out),
                    Err(fault) => {
                        match fault {
                            ChannelFault::TooLong(_) => mark(Mark::LinkTooLong),
                            ChannelFault::NotAuthentic | ChannelFault::UsedUp => {
                                mark(Mark::LinkNotAuthentic);
                            }
                        }
                        self.end(at, id, fault.into(), Way::Ours(Vec::new()), out);
                    }
                }
            }
        }
    }

    /// Our identity answered a dial: ourselves, if the other end of the stream is here too, and
    /// else a copy.
    fn myself_or_copy(&self, id: ConnId, fault: HandshakeFault) -> ConnFault {
        let is_here = self.conns.iter().any(|(other, conn)| {
            other.is_dialed() != id.is_dialed() && matches!(conn.phase, Phase::Shaking(_))
        });
        if fault == HandshakeFault::Myself && id.is_dialed() && !is_here {
            mark(Mark::HandshakeClone);
            return ConnFault::Clone;
        }
        fault.into()
    }

    /// The handshake is over: is this link wanted?
    fn agreed(
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
        if let Some(fault) = self.refusal(at, id, &hello) {
            let mut goodbye = Goodbye::of(&fault);
            if let Some(Goodbye::NameTaken { by, .. }) = &mut goodbye
                && hello.name == self.name
            {
                // Each side is told of the other.
                by.clone_from(&self.config.nickname);
            }
            let words = goodbye.map(|goodbye| Message::Goodbye(goodbye).encode());
            let last = words.and_then(|words| channel.seal(&words).ok()).unwrap_or_default();
            return self.end(at, id, fault, Way::Ours(last), out);
        }
        if let Some(other) = self.neighbours.get(&peer).copied() {
            self.end_link(at, other, ConnFault::Duplicate, out);
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Phase::Shaking(shaking) = &conn.phase else { return };
        let keys = SessionKeys {
            ours: *shaking.session_secret,
            theirs: hello.session_key,
            dialed: id.is_dialed(),
            sealed: hello.seals && self.config.secret.is_some(),
        };
        let Ok(session) = Session::new(Kind::Probe, &keys, hello.session) else {
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
            session: shaking.session,
            remote: hello.session,
            peer: hello.name,
            keys,
            to,
        };
        let path = Path::new(at, shaking.session, session, to);
        let link = Link::new(at, (hello, channel), ends, path, &self.config, &self.records);
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
            self.dialer.ended(at, &whom, id, &fault, None, None);
        }
        // Bytes that followed the handshake.
        self.received(at, id, &[], out);
    }

    /// Why a link with `hello` is not wanted.
    fn refusal(&self, at: Instant, id: ConnId, hello: &Hello) -> Option<ConnFault> {
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
    fn holder_of_name(&self, hello: &Hello) -> Option<alloc::string::String> {
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

    /// Ends a conn in whatever phase it is.
    pub(super) fn end(
        &mut self,
        at: Instant,
        id: ConnId,
        fault: ConnFault,
        way: Way,
        out: &mut Outbox,
    ) {
        let Some(mut conn) = self.conns.remove(&id) else { return };
        let until = at + self.config.handshake_max;
        let phase = core::mem::replace(&mut conn.phase, Phase::Ending { until });
        let (session, peer, stood) = match phase {
            Phase::Dialing => {
                mark(Mark::ConnFailed);
                (None, None, None)
            }
            Phase::Shaking(shaking) => {
                if way == Way::Gone {
                    mark(Mark::ConnClosed);
                }
                (Some(shaking.session), shaking.peer, None)
            }
            Phase::Up(link) => {
                let peer = link.hello.id;
                if way == Way::Gone {
                    mark(Mark::LinkLost);
                }
                self.neighbours.remove(&peer);
                if link.path.is_proven() {
                    out.push(Output::Event(Event::LinkDown { peer }));
                }
                let session = link.path.index;
                out.push(Output::Forwarding(ForwardingChange::SessionDown { session }));
                self.turn.links_changed = true;
                self.dialer.unlinked(at, peer);
                (Some(session), Some(peer), Some(at - link.up_at))
            }
            Phase::Ending { .. } => {
                mark(Mark::ConnEndedMeanwhile);
                if way != Way::Gone {
                    out.push(Output::Close { conn: id });
                }
                return;
            }
        };
        if let Some(session) = session {
            self.sessions.remove(&session);
        }
        if let Some(whom) = &conn.whom {
            let other = peer.filter(|peer| self.neighbours.contains_key(peer));
            let by = other.filter(|_| fault == ConnFault::Duplicate);
            self.dialer.ended(at, whom, id, &fault, stood, by);
            self.count_targets(at, out);
        }
        self.conns_ended += 1;
        let remote = conn.remote.clone();
        out.push(Output::Event(Event::ConnDown { conn: id, peer, remote, why: fault }));
        match way {
            Way::Gone => {}
            Way::Ours(last) if last.is_empty() => out.push(Output::Close { conn: id }),
            Way::Ours(last) => {
                mark(Mark::ConnLastWords);
                conn.unsent.extend(last);
                self.conns.insert(id, conn);
            }
        }
    }

    fn messages(&mut self, at: Instant, id: ConnId, messages: &[Vec<u8>], out: &mut Outbox) {
        for bytes in messages {
            let Some(peer) = self.conns.get(&id).and_then(Conn::link).map(|link| link.hello.id)
            else {
                return;
            };
            let broken = |fault| (ConnFault::Protocol(fault), Way::Ours(Vec::new()));
            let is_short = bytes.len() <= self.config.message_len_max;
            let message = is_short.then(|| Message::decode(bytes).ok()).flatten();
            let Some(message) = message else {
                mark(Mark::LinkBadMessage);
                let (fault, way) = broken("a message that is too long or does not decode");
                return self.end(at, id, fault, way, out);
            };
            match message {
                Message::Heartbeat => mark(Mark::LinkHeartbeat),
                Message::Records(records) => {
                    self.accept_all(at, (id, peer), records, out);
                }
                Message::Ask(question) => {
                    if !question.is_sound() {
                        mark(Mark::LinkBadQuestion);
                        let (fault, way) = broken("a question without bounds");
                        return self.end(at, id, fault, way, out);
                    }
                    if let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) {
                        link.was_asked(question);
                    }
                }
                Message::Answer(answer) => self.answered(at, (id, peer), answer, out),
                Message::Unicast(unicast) => self.unicast(at, peer, unicast, out),
                Message::Goodbye(goodbye) => {
                    mark(Mark::LinkGoodbye);
                    let fault = goodbye.fault(self.config.universe);
                    return self.end(at, id, fault, Way::Ours(Vec::new()), out);
                }
            }
        }
    }

    fn answered(
        &mut self,
        at: Instant,
        (id, peer): (ConnId, PeerId),
        answer: Answer,
        out: &mut Outbox,
    ) {
        let had_room = match &answer {
            Answer::Found { records, .. } => self.accept_all(at, (id, peer), records.clone(), out),
            Answer::Same | Answer::Ranges(_) => true,
        };
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else { return };
        let Some(pull) = &mut link.pull else { return mark(Mark::PullUnasked) };
        if !had_room {
            pull.fell_short();
        }
        match pull.answered(&self.records, &answer) {
            Progress::Ask(question) => link.ask(question),
            Progress::Complete => {
                mark(Mark::PullComplete);
                link.pull = None;
                let mut acts = Vec::new();
                self.ipam.merged(at, peer, &mut acts);
                self.act(acts, out);
            }
            // The boot gate opens on no less than all that the neighbour knows about ownership.
            Progress::Short => {
                mark(Mark::PullShort);
                link.pull = None;
            }
            Progress::Broken => {
                mark(Mark::PullBroken);
                link.pull = None;
                tracing::debug!(%peer, "an answer does not fit the question: pull given up");
            }
        }
    }

    /// Takes in or passes on what the neighbour `by` handed over. Nobody signs `from`, so another
    /// peer is believed to be behind it only while it has no link with us of its own.
    fn unicast(&mut self, at: Instant, by: PeerId, mut unicast: Unicast, out: &mut Outbox) {
        if unicast.from == self.me
            || unicast.from != by && self.neighbours.contains_key(&unicast.from)
        {
            mark(Mark::UnicastWrongName);
            return tracing::debug!(%by, from = %unicast.from, "dropped a unicast in a wrong name");
        }
        if unicast.to == self.me {
            let mut acts = Vec::new();
            self.ipam.message(at, unicast.from, &unicast.body, &mut acts);
            self.act(acts, out);
        } else if let Some(hops) = unicast.hops.checked_sub(1) {
            mark(Mark::UnicastRelayed);
            unicast.hops = hops.min(self.config.hops_max);
            self.pass_on(unicast);
        } else {
            mark(Mark::UnicastHops);
        }
    }

    /// Sends `unicast` to the next peer on its way; it is lost when there is none.
    pub(super) fn pass_on(&mut self, unicast: Unicast) {
        let to = unicast.to;
        let direct = self.neighbours.get(&to);
        let hop = || self.topology.hops().get(&to).and_then(|hop| self.neighbours.get(hop));
        let conn = direct.or_else(hop).and_then(|conn| self.conns.get_mut(conn));
        match conn.and_then(Conn::link_mut) {
            Some(link) => link.tell(unicast),
            None => {
                mark(Mark::UnicastNoWay);
                tracing::debug!(peer = %to, "no way for a unicast");
            }
        }
    }

    pub(super) fn datagram(
        &mut self,
        at: Instant,
        from: SocketAddr,
        bytes: &[u8],
        out: &mut Outbox,
    ) {
        let Ok((Kind::Probe, index)) = Session::peek(bytes) else { return };
        let Some(id) = self.sessions.get(&index).copied() else { return mark(Mark::PathUnknown) };
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else { return };
        match link.path.receive(at, &self.config, (from, bytes), out) {
            Ok(turn) => {
                self.probes_taken += 1;
                self.path_turn(id, turn, out);
            }
            Err(fault) => tracing::debug!(%from, %fault, "dropped a probe"),
        }
    }

    fn path_turn(&mut self, id: ConnId, turn: PathTurn, out: &mut Outbox) {
        let Some(link) = self.conns.get(&id).and_then(Conn::link) else { return };
        let (peer, session) = (link.hello.id, link.path.index);
        if let Some(to) = turn.moved {
            mark(Mark::PathMoved);
            out.push(Output::Forwarding(ForwardingChange::SessionMoved { session, to }));
        }
        if let Some(is_proven) = turn.proven {
            self.turn.links_changed = true;
            let event = if is_proven { Event::LinkUp { peer } } else { Event::LinkDown { peer } };
            out.push(Output::Event(event));
        }
    }

    /// Those conns for which `there_is` something to do: in most calls that is one, or none.
    fn conns_that(&self, there_is: impl Fn(&Conn) -> bool) -> Vec<ConnId> {
        self.conns.iter().filter(|(_, conn)| there_is(conn)).map(|(id, _)| *id).collect()
    }

    /// Does what is due for each conn.
    pub(super) fn conn_timeouts(&mut self, at: Instant, out: &mut Outbox) {
        let is_due = |conn: &Conn| {
            let mut deadlines = conn.deadlines(&self.config).into_iter().flatten();
            deadlines.any(|(due, _)| due <= at)
        };
        for id in self.conns_that(is_due) {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            let (due, fault) = match &conn.phase {
                Phase::Dialing => continue,
                Phase::Shaking(shaking) => (shaking.until, ConnFault::HandshakeTimeout),
                Phase::Up(link) => (conn.silent_at(link, &self.config), ConnFault::Silent),
                Phase::Ending { until } => (*until, ConnFault::Silent),
            };
            if due <= at {
                match &conn.phase {
                    Phase::Dialing | Phase::Ending { .. } => {}
                    Phase::Shaking(_) => mark(Mark::HandshakeTimeout),
                    Phase::Up(link) if conn.writing_since.is_some_and(|at| at < link.heard_at) => {
                        mark(Mark::LinkStuck);
                    }
                    Phase::Up(_) => mark(Mark::LinkSilent),
                }
                self.end(at, id, fault, Way::Ours(Vec::new()), out);
                continue;
            }
            let Some(link) = conn.link_mut() else { continue };
            if link.beat_at <= at {
                link.beat_at = at + self.config.heartbeat_wait;
                link.beat();
            }
            if link.reconcile_at <= at {
                link.reconcile_at = at + self.config.reconcile_wait;
                link.reconcile(&self.records);
            }
            if link.path.deadline(&self.config) <= at {
                let turn = link.path.timeout(at, &self.config, out);
                self.path_turn(id, turn, out);
            }
        }
    }

    /// Writes what waits on every conn without an outstanding write.
    pub(super) fn flush(&mut self, at: Instant, out: &mut Outbox) {
        for id in self.conns_that(|conn| conn.may_write(at)) {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            let mut bytes = core::mem::take(&mut conn.unsent);
            if let Phase::Up(link) = &mut conn.phase {
                match link.outgoing(at, &self.records) {
                    Ok(more) => bytes.extend(more),
                    Err(fault) => {
                        self.end(at, id, fault.into(), Way::Ours(Vec::new()), out);
                        continue;
                    }
                }
                if !bytes.is_empty() {
                    link.beat_at = at + self.config.heartbeat_wait;
                }
            }
            let is_over = matches!(conn.phase, Phase::Ending { .. });
            if !bytes.is_empty() {
                conn.writing_since = Some(at);
                out.push(Output::Write { conn: id, bytes });
            }
            if is_over {
                self.conns.remove(&id);
                out.push(Output::Close { conn: id });
            }
        }
    }
}
