//! Fresh keys for the data sessions that come with links: another session takes the place of the one in
//! use, by two messages on the link and the probes that follow ([`crate::mesh::Renewal`]).
//!
//! What is said of it was sealed under fresh keys of the link: so whoever had those before, and with them
//! the means to put keys of its own in place of ours, knows nothing of what is sent from here on.

use super::{Node, Owner};
use crate::forward::{ForwardingChange, Routes};
use crate::io::{ConnId, Outbox, Output};
use crate::mark::{Mark, mark};
use crate::mesh::{Conn, ConnFault, FreshHalf, Link, Renewal, SessionKey, Way};
use crate::sleeve::{Kind, Session, SessionIndex, SessionKeys};
use crate::time::Instant;
use alloc::vec::Vec;

impl Node {
    /// Offers the neighbour on `id` fresh keys, if it is time to.
    pub(super) fn offer_renewal(&mut self, id: ConnId) {
        if self.conns.get(&id).and_then(Conn::link).is_none_or(|link| !link.may_offer()) {
            return;
        }
        mark(Mark::RenewalOffered);
        let (ours, key) = self.draw_session_key(Owner::Link(id));
        let offer = Renewal::Offer(FreshHalf { session: ours.index, key });
        if let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) {
            link.offer(ours, offer);
        }
    }

    /// The neighbour on `id` says something about fresh keys.
    pub(super) fn renewal(&mut self, at: Instant, id: ConnId, renewal: Renewal, out: &mut Outbox) {
        let done = match renewal {
            Renewal::Offer(theirs) => self.renewal_offered(id, theirs, out),
            Renewal::Answer(theirs) => self.renewal_answered(at, id, theirs, out),
        };
        if let Err(fault) = done {
            mark(Mark::RenewalBroken);
            self.end(at, id, fault, Way::Ours(Vec::new()), out);
        }
    }

    /// Takes in what comes by the session that is offered, and uses it once something does.
    fn renewal_offered(
        &mut self,
        id: ConnId,
        theirs: FreshHalf,
        out: &mut Outbox,
    ) -> Result<(), ConnFault> {
        let link = self.conns.get(&id).and_then(Conn::link);
        // Whoever offers again has not used what it offered before.
        if id.is_dialed() || link.is_none_or(|link| link.path.has_next()) {
            return Err(ConnFault::Protocol("an offer of fresh keys out of turn"));
        }
        let (ours, key) = self.draw_session_key(Owner::Link(id));
        let answer = Renewal::Answer(FreshHalf { session: ours.index, key });
        let index = ours.index;
        let session = self.session_up(id, ours, theirs, out)?;
        if let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) {
            mark(Mark::RenewalAnswered);
            link.path.prepare(index, session);
            link.answer_offer(answer);
        }
        Ok(())
    }

    /// Uses the session that was offered, and takes in what still comes by the one before.
    fn renewal_answered(
        &mut self,
        at: Instant,
        id: ConnId,
        theirs: FreshHalf,
        out: &mut Outbox,
    ) -> Result<(), ConnFault> {
        let link = self.conns.get_mut(&id).and_then(Conn::link_mut);
        let Some(ours) = link.and_then(Link::take_offered) else {
            return Err(ConnFault::Protocol("fresh keys that nobody asked for"));
        };
        let index = ours.index;
        let session = self.session_up(id, ours, theirs, out)?;
        if let Some(link) = self.conns.get_mut(&id).and_then(Conn::link_mut) {
            mark(Mark::RenewalTaken);
            let before = link.path.index;
            // None ends here: an offer waits for the end of the one before.
            let ended = link.path.renew(at, index, session);
            self.reroute(before, index, out);
            ended.into_iter().for_each(|ended| self.drop_index(ended, out));
        }
        Ok(())
    }

    /// Has datagrams of a session taken that both halves of are known; returns what probes take.
    fn session_up(
        &mut self,
        id: ConnId,
        ours: SessionKey,
        theirs: FreshHalf,
        out: &mut Outbox,
    ) -> Result<Session, ConnFault> {
        let keys_with = |link: &Link| SessionKeys {
            ours: *ours.secret,
            theirs: theirs.key,
            dialed: id.is_dialed(),
            sealed: link.hello.seals && !self.secrets.is_empty(),
        };
        let link = self.conns.get(&id).and_then(Conn::link);
        let up = link.and_then(|link| {
            let keys = keys_with(link);
            let session = Session::new(Kind::Probe, &keys, theirs.session).ok()?;
            let change = ForwardingChange::SessionUp {
                session: ours.index,
                remote: theirs.session,
                peer: link.hello.name,
                is_link: true,
                keys,
                to: link.path.to,
            };
            Some((session, change))
        });
        let Some((session, change)) = up else {
            self.labels.remove(&ours.index);
            return Err(ConnFault::Protocol("its session key is of low order"));
        };
        out.push(Output::Forwarding(change));
        Ok(session)
    }

    /// What leaves by the session `before` leaves by `after` from here on. At once, and not with the next
    /// calculation of routes: the probes that follow say that nothing is sent by the one before.
    pub(super) fn reroute(&mut self, before: SessionIndex, after: SessionIndex, out: &mut Outbox) {
        let Routes { unicast, broadcast } = &mut self.routes;
        let ways = unicast.values_mut().chain(broadcast.values_mut().flatten());
        ways.filter(|way| **way == before).for_each(|way| *way = after);
        out.push(Output::Forwarding(ForwardingChange::Routes(self.routes.clone())));
    }

    /// The data sessions of `link` are over, with it.
    pub(super) fn drop_sessions(&mut self, link: &Link, out: &mut Outbox) {
        link.path.indices().for_each(|session| self.drop_index(session, out));
        link.offered_index().into_iter().for_each(|offered| _ = self.labels.remove(&offered));
    }
}
