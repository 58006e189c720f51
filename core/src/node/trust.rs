//! Whom a node that runs has to do with: who proves a secret that is valid, and is on the list if
//! there is one.
//!
//! A new secret comes beside the one in use, links change over, and the old one goes.
//!
//! What a peer says of itself (its links, names, votes and free space) counts only if it is on the
//! list, whoever hands it on. Who owns which addresses is history, and counts whoever wrote it:
//! peers with different lists, or with another one than before, would else take one address for that
//! of different owners. It must have been given the addresses by one of us to write any.

use super::Node;
use super::records::owner;
use crate::config::NetworkSecret;
use crate::handshake::Channel;
use crate::id::PeerId;
use crate::io::{ConnId, Outbox, Target};
use crate::mark::{Mark, mark};
use crate::mesh::{Conn, ConnFault, Link};
use crate::record::Key;
use crate::time::Instant;
use crate::trust::{Trust, TrustError};
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

impl Node {
    /// Changes what `trust` says.
    pub(super) fn trust(
        &mut self,
        at: Instant,
        trust: Trust,
        out: &mut Outbox,
    ) -> Result<(), TrustError> {
        match trust {
            Trust::AddSecret { secret } => self.add_secret(at, secret, out),
            Trust::RetireSecret { force } => self.retire_secret(at, force, out),
            Trust::Allow { peers } => {
                self.allow(at, peers, out);
                Ok(())
            }
        }
    }

    /// Whether we have to do with `peer`.
    pub(super) fn allows(&self, peer: PeerId) -> bool {
        peer == self.me || self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&peer))
    }

    /// Has to do with `peers` alone from here on.
    fn allow(&mut self, at: Instant, peers: Option<BTreeSet<PeerId>>, out: &mut Outbox) {
        if peers.is_some() {
            mark(Mark::TrustListed);
        }
        self.allowed = peers;
        let links = self.neighbours.iter().filter(|(peer, _)| !self.allows(**peer));
        let links: Vec<(PeerId, ConnId)> = links.map(|(peer, id)| (*peer, *id)).collect();
        for (peer, id) in links {
            self.end_link(at, id, ConnFault::NotAllowed(peer), out);
        }
        let keys = self.records.iter().map(|record| record.key);
        let gone = keys.filter_map(|key| Some((key, owner(&key)?)));
        let gone: Vec<(Key, PeerId)> = gone.filter(|(_, peer)| !self.allows(*peer)).collect();
        for (key, peer) in gone {
            self.records.remove(&key);
            self.topology.remove(peer);
            self.names.forget(peer);
            self.ipam.forget(peer);
        }
        self.dial_targets(at);
        // Of those that came, the neighbours tell.
        for link in self.conns.values_mut().filter_map(Conn::link_mut) {
            link.reconcile(&self.records);
        }
        self.turn.links_changed = true;
    }

    /// Dials all targets at once: whoever refused us, or was refused, waits long for an operator, and one
    /// has acted.
    fn dial_targets(&mut self, at: Instant) {
        let targets: Vec<Target> =
            self.dialer.targets().map(|(target, _)| target.clone()).collect();
        self.dialer.connect(at, &targets, false);
    }

    /// Prefers `secret` to the one in use, which stays valid.
    pub(super) fn add_secret(
        &mut self,
        at: Instant,
        secret: NetworkSecret,
        out: &mut Outbox,
    ) -> Result<(), TrustError> {
        match self.secrets.as_slice() {
            [] => Err(TrustError::NoSecret),
            secrets if secrets.contains(&secret) => Err(TrustError::SecretInUse),
            [_] => {
                mark(Mark::TrustAdded);
                self.secrets.insert(0, secret);
                self.change_over(at, out);
                self.dial_targets(at);
                Ok(())
            }
            [..] => Err(TrustError::TooManySecrets),
        }
    }

    /// Only the newest secret is valid from here on.
    pub(super) fn retire_secret(
        &mut self,
        at: Instant,
        force: bool,
        out: &mut Outbox,
    ) -> Result<(), TrustError> {
        if self.secrets.len() < 2 {
            return Err(TrustError::NoOldSecret);
        }
        let links = self.conns.iter().filter_map(|(id, conn)| Some((*id, conn.link()?)));
        let (ids, peers): (Vec<ConnId>, Vec<_>) = links
            .filter(|(_, link)| self.is_on_old_secret(link))
            .map(|(id, link)| (id, self.label(link.hello.id).to_string()))
            .unzip();
        mark(match (ids.is_empty(), force) {
            (true, _) => Mark::TrustRetired,
            (false, true) => Mark::TrustCutOff,
            (false, false) => Mark::TrustNeeded,
        });
        if !ids.is_empty() && !force {
            return Err(TrustError::OldSecretInUse(peers));
        }
        self.secrets.truncate(1);
        for id in ids {
            self.end_unproven(at, id, out);
        }
        for link in self.conns.values_mut().filter_map(Conn::link_mut) {
            link.channel.set_secrets(&self.secrets);
        }
        Ok(())
    }

    /// Has every link prove the newest secret that both its ends have.
    fn change_over(&mut self, at: Instant, out: &mut Outbox) {
        let mut worn = Vec::new();
        for (id, conn) in &mut self.conns {
            let Some(link) = conn.link_mut() else { continue };
            link.channel.set_secrets(&self.secrets);
            match link.channel.rekey() {
                Ok(bytes) => conn.unsent.extend(bytes),
                Err(fault) => worn.push((*id, fault)),
            }
        }
        for (id, fault) in worn {
            self.end_link(at, id, fault.into(), out);
        }
    }

    /// Whether a link proves the old one of two secrets.
    pub(super) fn is_on_old_secret(&self, link: &Link) -> bool {
        link.channel.secret() != self.secrets.first()
    }

    /// Why `channel` is not wanted, whose handshake began before a secret was retired.
    pub(super) fn unproven(&self, channel: &Channel) -> Option<ConnFault> {
        let is_valid = channel.secret().is_none_or(|secret| self.secrets.contains(secret));
        (!is_valid).then_some(ConnFault::Secret)
    }

    /// Ends the link `id` if what it proves is valid no longer.
    pub(super) fn end_unproven(&mut self, at: Instant, id: ConnId, out: &mut Outbox) {
        let link = self.conns.get(&id).and_then(Conn::link);
        if let Some(fault) = link.and_then(|link| self.unproven(&link.channel)) {
            self.end_link(at, id, fault, out);
        }
    }
}
