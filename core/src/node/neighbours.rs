//! What neighbours say, on their links and by datagrams.

use super::{Node, Owner};
use crate::event::Event;
use crate::forward::ForwardingChange;
use crate::gossip::{Answer, Progress};
use crate::id::PeerId;
use crate::io::{ConnId, Outbox, Output};
use crate::mark::{Mark, mark};
use crate::mesh::{Conn, ConnFault, Message, PathTurn, Unicast, UnicastBody, Way};
use crate::sleeve::{Kind, Session};
use crate::time::Instant;
use alloc::vec::Vec;
use core::net::SocketAddr;

impl Node {
    pub(super) fn messages(
        &mut self,
        at: Instant,
        id: ConnId,
        messages: &[Vec<u8>],
        out: &mut Outbox,
    ) {
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
                Message::Records(records) => self.pushed(at, (id, peer), records, out),
                Message::Tree(message) => {
                    if !message.is_sound() {
                        mark(Mark::LinkBadTree);
                        let (fault, way) = broken("a list of records without bounds");
                        return self.end(at, id, fault, way, out);
                    }
                    self.tree_message(at, (id, peer), message);
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
                Message::Renewal(renewal) => self.renewal(at, id, renewal, out),
                Message::Goodbye(goodbye) => {
                    mark(Mark::LinkGoodbye);
                    let fault = goodbye.fault(self.config.universe);
                    let is_duplicate = fault == ConnFault::Duplicate;
                    self.end(at, id, fault, Way::Ours(Vec::new()), out);
                    if is_duplicate && !self.neighbours.contains_key(&peer) {
                        self.dialer.shut_out(at, peer);
                    }
                    return;
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

    /// Takes in or passes on what the neighbour `by` handed over. Only whom it is for checks who it is
    /// from.
    fn unicast(&mut self, at: Instant, by: PeerId, mut unicast: Unicast, out: &mut Outbox) {
        if !self.allows(unicast.from) {
            return tracing::debug!(%by, from = %unicast.from, "dropped a unicast of a stranger");
        }
        let is_for_us = unicast.to == self.me;
        if unicast.from == self.me || is_for_us && !unicast.is_authentic() {
            mark(Mark::UnicastWrongName);
            return tracing::debug!(%by, from = %unicast.from, "dropped a unicast in a wrong name");
        }
        if is_for_us {
            match unicast.body {
                UnicastBody::Ipam(message) => {
                    let mut acts = Vec::new();
                    self.ipam.message(at, unicast.from, &message, &mut acts);
                    self.act(acts, out);
                }
                UnicastBody::Session(message) => {
                    self.session_message(at, unicast.from, message, out);
                }
            }
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
        let id = match self.labels.get(&index) {
            Some(Owner::Link(id)) => *id,
            Some(Owner::Direct(peer)) => {
                return self.direct_datagram(at, (*peer, index), (from, bytes), out);
            }
            None => return mark(Mark::PathUnknown),
        };
        let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) else { return };
        match link.path.receive(at, (index, from, bytes), out) {
            Ok(turn) => {
                self.probes_taken += 1;
                self.path_turn(id, turn, out);
            }
            Err(fault) => tracing::debug!(%from, %fault, "dropped a probe"),
        }
    }

    pub(super) fn path_turn(&mut self, id: ConnId, turn: PathTurn, out: &mut Outbox) {
        let Some(link) = self.conns.get(&id).and_then(Conn::link) else { return };
        let (peer, session, to) = (link.hello.id, link.path.index, link.path.to);
        if turn.moved.is_some() {
            mark(Mark::PathMoved);
        }
        // The address may have changed while the session was to come.
        if let Some(to) = to.filter(|_| turn.moved.is_some() || turn.renewed.is_some()) {
            out.push(Output::Forwarding(ForwardingChange::SessionMoved { session, to }));
        }
        if let Some(is_proven) = turn.proven {
            self.turn.links_changed = true;
            let event = if is_proven { Event::LinkUp { peer } } else { Event::LinkDown { peer } };
            out.push(Output::Event(event));
        }
        if let Some(before) = turn.renewed {
            mark(Mark::PathRenewed);
            self.reroute(before, session, out);
        }
        if let Some(ended) = turn.ended {
            self.drop_index(ended, out);
            // Fresh keys may have been wanted meanwhile.
            self.offer_renewal(id);
        }
    }
}
