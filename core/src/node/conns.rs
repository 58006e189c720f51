//! Conns from dial or accept to their end.

use super::foreign::Foreign;
use super::{Node, Owner};
use crate::event::Event;
use crate::handshake::{
    ChannelFault, Handshake, HandshakeFault, Hello, Local, Received, Step, told,
};
use crate::id::PeerId;
use crate::io::{ConnId, Outbox, Output};
use crate::mark::{Mark, mark};
use crate::mesh::{Conn, ConnFault, End, Ends, Phase, SessionKey, Shaking, Way};
use crate::sleeve::SessionIndex;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::btree_map::Entry;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::SocketAddr;
use rand_core::RngCore;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Conns beyond the limit of links that may be shaking hands or ending.
const UNPROVEN_MAX: usize = 128;

/// Whenever anything is due, heartbeats and probes that are due within this part of the wait between two
/// heartbeats go with it. In a rested mesh, where wake-ups are most of what a daemon costs, all come
/// together before long; in a busy one up to half as many more are sent.
const TOGETHER_PART: u32 = 3;

impl Node {
    /// Dials all that is due.
    pub(super) fn dial(&mut self, at: Instant, out: &mut Outbox) {
        if self.is_stopped {
            return;
        }
        let is_elsewhere =
            |peer: &PeerId| self.neighbours.contains_key(peer) || self.is_spare(*peer);
        let elsewhere = self.dialer.due_peers(at).filter(is_elsewhere).collect();
        self.dialer.pass_over(at, &elsewhere);
        let is_due = self.dialer.deadline().is_some_and(|due| due <= at);
        let is_full = self.neighbours.len() >= self.config.conns_max;
        // Who is dialed may never answer: a link gives way to it once it has.
        if is_due && is_full && self.oldest_spare(true).is_none() {
            self.dialer.postpone(at, self.topology.hops());
        }
        while let Some((whom, target)) = self.dialer.due(at) {
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
        let (session, session_key) = self.draw_session_key(Owner::Link(id));
        let local_side = Local {
            identity: &self.identity,
            secrets: &self.secrets,
            versions: self.config.versions,
            hello: Hello {
                id: self.me,
                name: self.name,
                nickname: self.config.nickname.clone(),
                incarnation: self.incarnation,
                universe: self.config.universe,
                lineage: self.ipam.lineage(),
                sleeve_port: self.config.port,
                session: session.index,
                session_key,
                seals: !self.secrets.is_empty(),
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
        }));
        let fresh = || Conn::new(remote.to_string(), None, Phase::Dialing);
        let conn = self.conns.entry(id).or_insert_with(fresh);
        (conn.phase, conn.unsent) = (shaking, first);
    }

    /// A label that no other session has.
    pub(super) fn draw_session(&mut self, owner: Owner) -> SessionIndex {
        loop {
            let index = SessionIndex(self.session_rng.next_u32());
            if let Entry::Vacant(free) = self.labels.entry(index) {
                free.insert(owner);
                return index;
            }
        }
    }

    /// Our half of another session, and its public key.
    pub(super) fn draw_session_key(&mut self, owner: Owner) -> (SessionKey, [u8; 32]) {
        let mut secret = Zeroizing::new([0; 32]);
        self.session_rng.fill_bytes(&mut *secret);
        let public = PublicKey::from(&StaticSecret::from(*secret)).to_bytes();
        (SessionKey { index: self.draw_session(owner), secret }, public)
    }

    pub(super) fn received(&mut self, at: Instant, id: ConnId, bytes: &[u8], out: &mut Outbox) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match &mut conn.phase {
            Phase::Dialing | Phase::Ending { .. } => mark(Mark::ConnUnheard),
            Phase::Shaking(shaking) => {
                let Some(handshake) = shaking.handshake.take() else { return };
                let from = shaking.ends.remote.ip();
                if !id.is_dialed() && handshake.is_untouched() && !self.paces.begins(at, from) {
                    return self.end(at, id, ConnFault::Paced, Way::Ours(Vec::new()), out);
                }
                let rounds = handshake.rounds();
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
                        if !id.is_dialed() {
                            self.paces.unfinished(at, from, rounds);
                        }
                        let fault = self.myself_or_copy(id, fault);
                        let is_copy = id.is_dialed() && fault == ConnFault::Clone;
                        // A refusal of theirs proves nothing, and is answered by nothing.
                        if is_copy && !refusal.is_empty() {
                            self.meet_twin(at, out);
                        }
                        let refusal = if is_copy {
                            told(&HandshakeFault::Clone, self.config.versions)
                        } else {
                            refusal
                        };
                        self.end(at, id, fault, Way::Ours(refusal), out);
                    }
                }
            }
            Phase::Up(link) => match link.receive(at, bytes) {
                Ok(Received { messages, send }) => {
                    conn.unsent.extend(send);
                    self.messages(at, id, &messages, out);
                    self.end_unproven(at, id, out);
                    self.offer_renewal(id);
                }
                Err(fault) => {
                    match fault {
                        ChannelFault::TooLong(_) => mark(Mark::LinkTooLong),
                        ChannelFault::NotAuthentic
                        | ChannelFault::UsedUp
                        | ChannelFault::Handshake(_) => mark(Mark::LinkNotAuthentic),
                    }
                    self.end_link(at, id, fault.into(), out);
                }
            },
        }
    }

    /// Our identity answered a dial: ourselves, if the other end of the stream is here too, and
    /// else a copy.
    fn myself_or_copy(&self, id: ConnId, fault: HandshakeFault) -> ConnFault {
        let is_here = self.conns.iter().any(|(other, conn)| {
            other.is_dialed() != id.is_dialed() && matches!(conn.phase, Phase::Shaking(_))
        });
        if fault == HandshakeFault::Clone
            || fault == HandshakeFault::Myself && id.is_dialed() && !is_here
        {
            mark(Mark::HandshakeClone);
            return ConnFault::Clone;
        }
        fault.into()
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
        let (peer, stood) = match phase {
            Phase::Dialing => {
                mark(Mark::ConnFailed);
                (None, None)
            }
            Phase::Shaking(shaking) => {
                if way == Way::Gone {
                    mark(Mark::ConnClosed);
                }
                if let Some(handshake) = shaking.handshake.as_ref().filter(|_| !id.is_dialed()) {
                    self.paces.unfinished(at, shaking.ends.remote.ip(), handshake.rounds());
                }
                self.labels.remove(&shaking.session.index);
                (shaking.peer, None)
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
                self.drop_sessions(&link, out);
                self.turn.links_changed = true;
                self.dialer.unlinked(at, peer);
                (Some(peer), Some(at - link.up_at))
            }
            Phase::Ending { .. } => {
                mark(Mark::ConnEndedMeanwhile);
                if way != Way::Gone {
                    out.push(Output::Close { conn: id });
                }
                return;
            }
        };
        if let Some(whom) = &conn.whom {
            let other = peer.filter(|peer| self.neighbours.contains_key(peer));
            let by = if fault == ConnFault::Unneeded { peer } else { other };
            let is_elsewhere = matches!(fault, ConnFault::Duplicate | ConnFault::Unneeded);
            let by = by.filter(|_| is_elsewhere);
            let end = End { conn: id, fault: &fault, stood, by };
            self.dialer.ended(at, whom, end, self.topology.hops());
            self.count_targets(at, out);
        }
        self.conns_ended += 1;
        let remote = conn.remote.clone();
        if fault == ConnFault::Lineage && !id.is_dialed() {
            self.foreign = Some(Foreign { peer, remote: remote.clone(), met_at: at });
        }
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
        if !self.conns.values().any(is_due) {
            return;
        }
        // What would wake us soon is done at once, so that all links share one wake-up from then on.
        let part = self.config.heartbeat_wait / TOGETHER_PART;
        for link in self.conns.values_mut().filter_map(Conn::link_mut) {
            link.hasten(at, part);
        }
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
            let reconciles = link.reconcile_at <= at;
            if reconciles {
                link.reconcile_at = at + self.config.reconcile_wait;
                link.reconcile(&self.records);
            }
            if link.rekey_at(&self.config) <= at {
                match link.rekey() {
                    Ok(bytes) => conn.unsent.extend(bytes),
                    Err(fault) => {
                        self.end(at, id, fault.into(), Way::Ours(Vec::new()), out);
                        continue;
                    }
                }
            }
            let Some(link) = conn.link_mut() else { continue };
            if link.path.deadline() <= at {
                let turn = link.path.timeout(at, out);
                self.path_turn(id, turn, out);
            }
            if reconciles {
                self.prune(at, id, out);
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
