//! Data sessions on demand: which are offered, answered, used and dropped.

use super::{Node, Owner};
use crate::event::Event;
use crate::fault::DirectFault;
use crate::forward::ForwardingChange;
use crate::id::{Incarnation, PeerId, PeerName};
use crate::io::{Outbox, Output};
use crate::mark::{Mark, mark};
use crate::mesh::{
    Decline, Direct, DirectPath, Due, Half, NoRoom, OfferMade, PathTurn, SessionMessage, Unicast,
    UnicastBody,
};
use crate::sleeve::{Kind, Session, SessionIndex, SessionKeys};
use crate::time::Instant;
use alloc::vec::Vec;
use core::net::SocketAddr;
use rand_core::RngCore;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// What is found about a peer when routes have changed.
enum Review {
    /// It is out of reach, or another one has its name.
    Gone,
    /// A link leads to it.
    Linked,
    /// It lives this life, and something is agreed with one before.
    Outlived(Incarnation),
}

impl Node {
    /// The forwarder exchanges frames with the peer called `name`, and no link leads there.
    pub(super) fn wanted(&mut self, at: Instant, name: PeerName, out: &mut Outbox) {
        let Some(peer) = self.holders.get(&name).copied().filter(|peer| *peer != self.me) else {
            return mark(Mark::SessionUnknown);
        };
        if self.is_stopped || self.neighbours.contains_key(&peer) {
            return;
        }
        match self.take_direct(at, peer, name, out) {
            Ok(mut direct) => {
                direct.wanted(at, self.me < peer, self.config.rekey_wait);
                self.put_direct(at, peer, direct);
            }
            Err(NoRoom) => mark(Mark::SessionFull),
        }
    }

    /// Takes out what there is with `peer`, which may be nothing yet: then another one gives way, if
    /// there is no room.
    fn take_direct(
        &mut self,
        at: Instant,
        peer: PeerId,
        name: PeerName,
        out: &mut Outbox,
    ) -> Result<Direct, NoRoom> {
        if let Some(direct) = self.directs.take(peer, self.config.session_idle_max) {
            return Ok(direct);
        }
        if let Some(other) = self.directs.gives_way(at, self.config.sessions_max)?
            && let Some(mut direct) = self.directs.take(other, self.config.session_idle_max)
        {
            mark(Mark::SessionGaveWay);
            self.end_direct(at, other, &mut direct, DirectFault::GaveWay, out);
            self.drop_indices(&direct, out);
        }
        Ok(Direct::new(at, name))
    }

    fn put_direct(&mut self, at: Instant, peer: PeerId, direct: Direct) {
        self.directs.put(at, peer, direct, self.config.session_idle_max);
    }

    /// Does all that is due.
    pub(super) fn session_timeouts(&mut self, at: Instant, out: &mut Outbox) {
        let idle_max = self.config.session_idle_max;
        while let Some(peer) = self.directs.due(at) {
            let Some(mut direct) = self.directs.take(peer, idle_max) else { return };
            while let Some(due) = direct.timeout(at, idle_max, out) {
                self.direct_due(at, peer, &mut direct, due, out);
            }
            self.put_direct(at, peer, direct);
        }
    }

    fn direct_due(
        &mut self,
        at: Instant,
        peer: PeerId,
        direct: &mut Direct,
        due: Due,
        out: &mut Outbox,
    ) {
        match due {
            Due::Offer => self.offer(at, peer, direct),
            Due::Unanswered => {
                mark(Mark::SessionUnanswered);
                if let Some(offer) = direct.offer.take() {
                    self.labels.remove(&offer.session);
                }
                fail(at, peer, direct, DirectFault::Unanswered, out);
            }
            Due::Unproven => {
                mark(Mark::SessionUnproven);
                if let Some(rising) = direct.rising.take() {
                    self.drop_index(rising.path.index, out);
                }
                fail(at, peer, direct, DirectFault::Unproven, out);
            }
            Due::Silent => {
                mark(Mark::SessionSilent);
                relay(peer, direct, DirectFault::Silent, out);
            }
            Due::Lost => {
                mark(Mark::SessionLost);
                if let Some(lost) = direct.standing.take() {
                    self.drop_index(lost.path.index, out);
                }
                fail(at, peer, direct, DirectFault::Silent, out);
            }
            Due::Idle => {
                mark(Mark::SessionIdle);
                self.end_direct(at, peer, direct, DirectFault::Idle, out);
            }
            Due::Ended(index) => self.drop_index(index, out),
        }
    }

    /// Offers a session to a peer with which there is none, or one with old keys.
    fn offer(&mut self, at: Instant, peer: PeerId, direct: &mut Direct) {
        let record = self.topology.get(peer).filter(|_| self.topology.is_reachable(peer));
        let Some(to) = record.map(|record| record.incarnation) else {
            return direct.offer_later();
        };
        if !self.directs.may_offer() {
            tracing::debug!(%peer, "no session is offered: too many are under way");
            return direct.offer_later();
        }
        mark(Mark::SessionOffered);
        let (half, secret) = self.bring_half(peer);
        direct.offered(at, half.session, secret, to);
        self.tell_session(peer, SessionMessage::Offer { half, life: self.incarnation, to });
    }

    /// What we bring to a session with `peer`, and the secret key to it.
    fn bring_half(&mut self, peer: PeerId) -> (Half, Zeroizing<[u8; 32]>) {
        let mut secret = Zeroizing::new([0; 32]);
        self.session_rng.fill_bytes(&mut *secret);
        let half = Half {
            session: self.draw_session(Owner::Direct(peer)),
            key: PublicKey::from(&StaticSecret::from(*secret)).to_bytes(),
            seals: !self.secrets.is_empty(),
            number: self.directs.next_number(),
        };
        (half, secret)
    }

    fn tell_session(&mut self, peer: PeerId, message: SessionMessage) {
        let (hops, body) = (self.config.hops_max, UnicastBody::Session(message));
        self.pass_on(Unicast::sign(&self.identity, peer, hops, body));
    }

    /// `peer` says something about a session between us.
    pub(super) fn session_message(
        &mut self,
        at: Instant,
        peer: PeerId,
        message: SessionMessage,
        out: &mut Outbox,
    ) {
        if self.is_stopped {
            return;
        }
        match message {
            SessionMessage::Offer { half, life, to } => {
                self.offered(at, peer, (half, life, to), out)
            }
            SessionMessage::Accept { offer, half } => self.accepted(at, peer, offer, half, out),
            SessionMessage::Decline { offer, why } => {
                let idle_max = self.config.session_idle_max;
                let Some(mut direct) = self.directs.take(peer, idle_max) else {
                    return mark(Mark::SessionUnasked);
                };
                if direct.offer.take_if(|made| made.session == offer).is_some() {
                    mark(Mark::SessionDeclined);
                    self.labels.remove(&offer);
                    fail(at, peer, &mut direct, DirectFault::Declined(why), out);
                } else {
                    mark(Mark::SessionUnasked);
                }
                self.put_direct(at, peer, direct);
            }
            SessionMessage::End { session } => self.ended(at, peer, session, out),
        }
    }

    fn offered(
        &mut self,
        at: Instant,
        peer: PeerId,
        (theirs, life, to): (Half, Incarnation, Incarnation),
        out: &mut Outbox,
    ) {
        let record = self.topology.get(peer).filter(|_| self.topology.is_reachable(peer));
        let known = record.map(|record| (record.name, record.incarnation));
        // Who took the name of another by gossip gets none of its frames.
        let known = known.filter(|(name, _)| self.holders.get(name) == Some(&peer));
        let Some((name, known_life)) = known else { return mark(Mark::SessionUnknown) };
        if to != self.incarnation || life < known_life {
            return mark(Mark::SessionStale);
        }
        let decline = |why| SessionMessage::Decline { offer: theirs.session, why };
        if self.neighbours.contains_key(&peer) {
            mark(Mark::SessionRefused);
            return self.tell_session(peer, decline(Decline::Linked));
        }
        if theirs.seals == self.secrets.is_empty() {
            return self.tell_session(peer, decline(Decline::Seals));
        }
        let Ok(mut direct) = self.take_direct(at, peer, name, out) else {
            mark(Mark::SessionRefused);
            return self.tell_session(peer, decline(Decline::Full));
        };
        if !direct.is_news(at, life, &theirs) {
            mark(Mark::SessionStale);
        } else if direct.offer.is_some() && self.me < peer {
            // They cross: ours goes on, as the other side sees it too.
            mark(Mark::SessionCrossed);
        } else if !self.directs.may_answer() {
            self.tell_session(peer, decline(Decline::Full));
        } else {
            if let Some(OfferMade { session, .. }) = direct.offer.take() {
                mark(Mark::SessionGivesIn);
                self.labels.remove(&session);
            }
            direct.heard(life, &theirs);
            direct.answered(at);
            let (ours, secret) = self.bring_half(peer);
            let offer = theirs.session;
            let keys = self.session_keys(&secret, &theirs, false);
            let answer =
                match self.rise(at, (peer, &mut direct), ours.session, keys, (theirs, life), out) {
                    Ok(()) => {
                        mark(Mark::SessionAnswered);
                        SessionMessage::Accept { offer, half: ours }
                    }
                    Err(_) => decline(Decline::LowOrder),
                };
            self.tell_session(peer, answer);
        }
        self.put_direct(at, peer, direct);
    }

    fn accepted(
        &mut self,
        at: Instant,
        peer: PeerId,
        offer: SessionIndex,
        theirs: Half,
        out: &mut Outbox,
    ) {
        let Some(mut direct) = self.directs.take(peer, self.config.session_idle_max) else {
            return mark(Mark::SessionUnasked);
        };
        match direct.offer.take_if(|made| made.session == offer) {
            Some(OfferMade { session, secret, life, .. }) => {
                direct.heard(life, &theirs);
                let keys = self.session_keys(&secret, &theirs, true);
                let is_wrong = theirs.seals == self.secrets.is_empty();
                let risen = if is_wrong {
                    self.labels.remove(&session);
                    Err(DirectFault::Declined(Decline::Seals))
                } else {
                    self.rise(at, (peer, &mut direct), session, keys, (theirs, life), out)
                };
                match risen {
                    Ok(()) => mark(Mark::SessionAccepted),
                    Err(why) => fail(at, peer, &mut direct, why, out),
                }
            }
            None => mark(Mark::SessionUnasked),
        }
        self.put_direct(at, peer, direct);
    }

    fn session_keys(&self, ours: &[u8; 32], theirs: &Half, dialed: bool) -> SessionKeys {
        let sealed = theirs.seals && !self.secrets.is_empty();
        SessionKeys { ours: *ours, theirs: theirs.key, dialed, sealed }
    }

    /// A session is agreed: its path is probed from here on, at each address that may be the peer's.
    fn rise(
        &mut self,
        at: Instant,
        (peer, direct): (PeerId, &mut Direct),
        index: SessionIndex,
        keys: SessionKeys,
        (theirs, life): (Half, Incarnation),
        out: &mut Outbox,
    ) -> Result<(), DirectFault> {
        let Ok(session) = Session::new(Kind::Probe, &keys, theirs.session) else {
            mark(Mark::SessionLowOrder);
            self.labels.remove(&index);
            return Err(DirectFault::LowOrder);
        };
        if let Some(before) = direct.rising.take() {
            self.drop_index(before.path.index, out);
        }
        // The port is that of datagrams too.
        let addresses = self.topology.get(peer).map(|record| &record.addresses);
        let is_one = |to: &&SocketAddr| {
            to.port() != 0 && !to.ip().is_unspecified() && !to.ip().is_multicast()
        };
        let addresses: Vec<SocketAddr> =
            addresses.into_iter().flatten().filter(is_one).copied().collect();
        let session = (session, keys.sealed, keys.dialed);
        let there = (theirs.session, life);
        direct.rising = Some(DirectPath::new(at, index, session, there, addresses));
        out.push(Output::Forwarding(ForwardingChange::SessionUp {
            session: index,
            remote: theirs.session,
            peer: direct.name,
            is_link: false,
            keys,
            to: None,
        }));
        Ok(())
    }

    /// The other side has ended a session.
    fn ended(&mut self, at: Instant, peer: PeerId, index: SessionIndex, out: &mut Outbox) {
        let Some(mut direct) = self.directs.take(peer, self.config.session_idle_max) else {
            return mark(Mark::SessionUnasked);
        };
        if direct.rising.take_if(|rising| rising.path.index == index).is_some() {
            mark(Mark::SessionEnded);
            self.drop_index(index, out);
        } else if direct.standing.as_ref().is_some_and(|standing| standing.path.index == index) {
            mark(Mark::SessionEnded);
            relay(peer, &mut direct, DirectFault::Ended, out);
            direct.standing = None;
            self.begin_end(at, &mut direct, index, out);
        } else {
            mark(Mark::SessionUnasked);
        }
        self.put_direct(at, peer, direct);
    }

    /// Ends all that there is with `peer`, and tells it.
    fn end_direct(
        &mut self,
        at: Instant,
        peer: PeerId,
        direct: &mut Direct,
        why: DirectFault,
        out: &mut Outbox,
    ) {
        relay(peer, direct, why, out);
        direct.offer_later();
        if let Some(offer) = direct.offer.take() {
            self.labels.remove(&offer.session);
        }
        if let Some(rising) = direct.rising.take() {
            self.drop_index(rising.path.index, out);
            self.tell_session(peer, SessionMessage::End { session: rising.remote });
        }
        if let Some(standing) = direct.standing.take() {
            self.begin_end(at, direct, standing.path.index, out);
            self.tell_session(peer, SessionMessage::End { session: standing.remote });
        }
        direct.why = Some(why);
    }

    /// From here on a session only takes in what is under way.
    fn begin_end(
        &mut self,
        at: Instant,
        direct: &mut Direct,
        index: SessionIndex,
        out: &mut Outbox,
    ) {
        if let Some(before) = direct.ends(at, index) {
            self.drop_index(before, out);
        }
    }

    pub(super) fn drop_index(&mut self, session: SessionIndex, out: &mut Outbox) {
        self.labels.remove(&session);
        out.push(Output::Forwarding(ForwardingChange::SessionDown { session }));
    }

    fn drop_indices(&mut self, direct: &Direct, out: &mut Outbox) {
        if let Some(offer) = &direct.offer {
            self.labels.remove(&offer.session);
        }
        for session in direct.sessions() {
            self.drop_index(session, out);
        }
    }

    /// A probe came for the session with our `index`.
    pub(super) fn direct_datagram(
        &mut self,
        at: Instant,
        (peer, index): (PeerId, SessionIndex),
        (from, bytes): (SocketAddr, &[u8]),
        out: &mut Outbox,
    ) {
        let Some(mut direct) = self.directs.take(peer, self.config.session_idle_max) else {
            return;
        };
        if let Some(path) = direct.path_mut(index) {
            match path.path.receive(at, (index, from, bytes), out) {
                Ok(turn) => {
                    self.probes_taken += 1;
                    self.direct_turn(at, (peer, &mut direct), index, turn, out);
                }
                Err(fault) => tracing::debug!(%from, %fault, "dropped a probe"),
            }
        }
        self.put_direct(at, peer, direct);
    }

    fn direct_turn(
        &mut self,
        at: Instant,
        (peer, direct): (PeerId, &mut Direct),
        index: SessionIndex,
        turn: PathTurn,
        out: &mut Outbox,
    ) {
        let is_rising = direct.rising.as_ref().is_some_and(|rising| rising.path.index == index);
        if is_rising && turn.proven != Some(true) {
            return;
        }
        if is_rising {
            let before = direct.rise(at);
            go_direct(peer, direct, out);
            if let Some(before) = before {
                mark(Mark::SessionFollowed);
                self.begin_end(at, direct, before.path.index, out);
            }
            return;
        }
        match turn.proven {
            Some(_) => {
                mark(Mark::SessionBack);
                go_direct(peer, direct, out);
            }
            None => {
                if let Some(to) = turn.moved {
                    mark(Mark::SessionMoved);
                    let change = ForwardingChange::SessionMoved { session: index, to };
                    out.push(Output::Forwarding(change));
                }
            }
        }
    }

    /// Drops what is about peers that are gone, or that a link leads to.
    pub(super) fn review_directs(&mut self, at: Instant, out: &mut Outbox) {
        let idle_max = self.config.session_idle_max;
        let review = |(peer, direct): (PeerId, &Direct)| {
            let hop = self.topology.hops().get(&peer);
            let life = self.topology.get(peer).map(|record| record.incarnation);
            let is_known = hop.is_some() && self.holders.get(&direct.name) == Some(&peer);
            if !is_known {
                Some((peer, Review::Gone))
            } else if hop == Some(&peer) {
                Some((peer, Review::Linked))
            } else {
                life.filter(|life| direct.is_outlived(*life))
                    .map(|life| (peer, Review::Outlived(life)))
            }
        };
        let over: Vec<(PeerId, Review)> = self.directs.iter().filter_map(review).collect();
        for (peer, found) in over {
            let Some(mut direct) = self.directs.take(peer, idle_max) else { continue };
            match found {
                Review::Linked => {
                    // Both sides find that out, and not at once: what comes meanwhile is taken.
                    if direct.is_used {
                        mark(Mark::SessionLinked);
                    }
                    self.end_direct(at, peer, &mut direct, DirectFault::Linked, out);
                    self.put_direct(at, peer, direct);
                }
                Review::Gone => {
                    mark(Mark::SessionGone);
                    relay(peer, &mut direct, DirectFault::Gone, out);
                    self.drop_indices(&direct, out);
                }
                Review::Outlived(life) => {
                    mark(Mark::SessionGone);
                    self.drop_outlived(peer, &mut direct, life, out);
                    self.put_direct(at, peer, direct);
                }
            }
        }
    }

    /// Drops what was agreed with lives of `peer` before `life`. Something may have been agreed with
    /// that one already.
    fn drop_outlived(
        &mut self,
        peer: PeerId,
        direct: &mut Direct,
        life: Incarnation,
        out: &mut Outbox,
    ) {
        if let Some(offer) = direct.offer.take_if(|offer| offer.life < life) {
            self.labels.remove(&offer.session);
        }
        if let Some(rising) = direct.rising.take_if(|rising| rising.life < life) {
            self.drop_index(rising.path.index, out);
        }
        if let Some(standing) = direct.standing.take_if(|standing| standing.life < life) {
            relay(peer, direct, DirectFault::Gone, out);
            self.drop_index(standing.path.index, out);
        }
    }

    /// Drops everything.
    pub(super) fn drop_directs(&mut self, out: &mut Outbox) {
        let peers: Vec<PeerId> = self.directs.iter().map(|(peer, _)| peer).collect();
        for peer in peers {
            if let Some(direct) = self.directs.take(peer, self.config.session_idle_max) {
                let change = ForwardingChange::Direct { peer: direct.name, session: None };
                out.push_all(direct.is_used.then_some(Output::Forwarding(change)).into_iter());
                self.drop_indices(&direct, out);
            }
        }
    }
}

/// What was tried with `peer` came to nothing.
fn fail(at: Instant, peer: PeerId, direct: &mut Direct, why: DirectFault, out: &mut Outbox) {
    if direct.failed(at, why) {
        out.push(Output::Event(Event::DirectFailed { peer, why }));
    }
}

/// Frames for `peer` take the session that stands.
fn go_direct(peer: PeerId, direct: &mut Direct, out: &mut Outbox) {
    let Some(standing) = &direct.standing else { return };
    mark(Mark::SessionProven);
    let session = standing.path.index;
    let moved = standing.path.to.map(|to| ForwardingChange::SessionMoved { session, to });
    out.push_all(moved.into_iter().map(Output::Forwarding));
    let change = ForwardingChange::Direct { peer: direct.name, session: Some(session) };
    out.push(Output::Forwarding(change));
    if !core::mem::replace(&mut direct.is_used, true) {
        out.push(Output::Event(Event::DirectUp { peer }));
    }
}

/// Frames for `peer` are relayed again, if they went straight.
fn relay(peer: PeerId, direct: &mut Direct, why: DirectFault, out: &mut Outbox) {
    if core::mem::take(&mut direct.is_used) {
        direct.why = Some(why);
        let change = ForwardingChange::Direct { peer: direct.name, session: None };
        out.push(Output::Forwarding(change));
        out.push(Output::Event(Event::DirectDown { peer, why }));
    }
}
