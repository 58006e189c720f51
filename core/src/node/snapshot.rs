//! The picture of a node for people.

use super::Node;
use crate::config::NetworkSecret;
use crate::id::{PeerId, PeerLabel};
use crate::io::CommandError;
use crate::mesh::{Attempt, Conn, DialState, Direct, Phase};
use crate::status::{
    Carriage, ConnState, ConnStatus, DirectState, DirectStatus, IpamStatus, LinkStatus, PeerStatus,
    Status, TargetState, TargetStatus,
};
use crate::time::Instant;
use crate::topology::PeerRecord;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

impl Node {
    pub(super) fn snapshot(&self, now: Instant) -> Status {
        let hops = self.topology.graph().next_hops();
        let name = |peer: &PeerId| self.label(*peer).name;
        let unicast = hops.unicast.iter().map(|(to, hop)| (name(to), name(hop)));
        let broadcast = hops
            .broadcast
            .iter()
            .map(|(source, next)| (name(source), next.iter().map(name).collect()));
        Status {
            id: self.me,
            name: self.name,
            nickname: self.config.nickname.clone(),
            incarnation: self.incarnation,
            port: self.config.port,
            encryption: !self.secrets.is_empty(),
            secrets: self.secrets.iter().map(NetworkSecret::kind).collect(),
            allowed: self.allowed.as_ref().map(BTreeSet::len),
            discovery: self.config.discovery,
            targets: self.target_statuses(now),
            conns: self.conn_statuses(now),
            directs: self.directs.iter().map(|(id, it)| self.direct_status(now, id, it)).collect(),
            peers: self.peer_statuses(),
            unicast: unicast.collect(),
            broadcast: broadcast.collect(),
            ipam: self.ipam_status(),
            names: self.names(),
            conns_ended: self.conns_ended,
            records_refused: self.records_refused,
            records: self.records.len(),
        }
    }

    /// The version of the protocol that is spoken on the link with `peer`; `None` without a link.
    pub fn version_with(&self, peer: PeerId) -> Option<u8> {
        let conn = self.conns.get(self.neighbours.get(&peer)?)?;
        conn.link().map(|link| link.channel.version())
    }

    /// A peer as people know it, by what its record or its link says.
    pub fn label(&self, id: PeerId) -> PeerLabel {
        if let Some(record) = self.topology.get(id) {
            return PeerLabel { id, name: record.name, nickname: record.nickname.clone() };
        }
        let conn = self.neighbours.get(&id).and_then(|conn| self.conns.get(conn));
        conn.and_then(Conn::link).map_or_else(
            || PeerLabel::unheard(id),
            |link| PeerLabel { id, name: link.hello.name, nickname: link.hello.nickname.clone() },
        )
    }

    fn ipam_status(&self) -> IpamStatus {
        let mut status = self.ipam.status();
        for peer in status.no_leave.as_mut().map(CommandError::peers_mut).into_iter().flatten() {
            *peer = self.label(peer.id);
        }
        status
    }

    fn target_statuses(&self, now: Instant) -> Vec<TargetStatus> {
        let state = |attempt: &Attempt| match attempt.state {
            DialState::Linked(_, peer) | DialState::Elsewhere(peer) => TargetState::Linked(peer),
            DialState::Dialing(_) | DialState::Waiting { .. } if attempt.is_self => {
                TargetState::Itself
            }
            DialState::Dialing(_) | DialState::Waiting { .. } => match &attempt.last {
                None => TargetState::Dialing,
                Some(last) => TargetState::Failed {
                    why: last.why.clone(),
                    needs_operator: last.needs_operator,
                    is_unknown: last.is_unknown,
                    retry_in: attempt.dial_at().map(|at| at - now).unwrap_or_default(),
                },
            },
        };
        let targets = self.dialer.targets();
        targets
            .map(|(target, attempt)| TargetStatus { target: target.clone(), state: state(attempt) })
            .collect()
    }

    fn conn_statuses(&self, now: Instant) -> Vec<ConnStatus> {
        let conns = self.conns.iter().filter_map(|(id, conn)| {
            let mut status = ConnStatus {
                remote: conn.remote.clone(),
                outbound: id.is_dialed(),
                state: ConnState::Connecting,
                peer: None,
                name: None,
                nickname: None,
                datagrams_to: None,
                encrypted: false,
                old_secret: false,
                up_for: None,
                round_trip: None,
                why: None,
                retry_in: None,
            };
            match &conn.phase {
                Phase::Dialing | Phase::Shaking(_) => {}
                Phase::Ending { .. } => return None,
                Phase::Up(link) => {
                    let is_proven = link.path.is_proven();
                    status.state =
                        if is_proven { ConnState::Established } else { ConnState::Pending };
                    status.remote = alloc::format!("{}", link.ends.remote);
                    status.peer = Some(link.hello.id);
                    status.name = Some(link.hello.name);
                    status.nickname = Some(link.hello.nickname.clone());
                    status.datagrams_to = link.path.to;
                    status.encrypted = link.hello.seals && !self.secrets.is_empty();
                    status.old_secret = self.is_on_old_secret(link);
                    status.up_for = Some(now - link.up_at);
                    status.round_trip = link.path.round_trip;
                }
            }
            Some(status)
        });
        let others = self.dialer.attempts().filter(|(_, attempt)| !attempt.is_self);
        let waiting = others.filter_map(|(remote, attempt)| {
            let (dial_at, last) = (attempt.dial_at()?, attempt.last.as_ref()?);
            Some(ConnStatus {
                remote,
                outbound: true,
                state: if last.needs_operator { ConnState::Failed } else { ConnState::Retrying },
                peer: None,
                name: None,
                nickname: None,
                datagrams_to: None,
                encrypted: false,
                old_secret: false,
                up_for: None,
                round_trip: None,
                why: Some(last.why.clone()),
                retry_in: Some(dial_at - now),
            })
        });
        // With whom there is a link is foreign no longer.
        let is_linked = |peer: PeerId| self.neighbours.contains_key(&peer);
        let foreign = self.foreign.as_ref().filter(|it| !it.peer.is_some_and(is_linked));
        let foreign = foreign.and_then(|it| it.status(now, self.config.dial_wait_max));
        conns.chain(waiting).chain(foreign).collect()
    }

    fn peer_statuses(&self) -> Vec<PeerStatus> {
        let status = |(id, record): (PeerId, &PeerRecord)| PeerStatus {
            id,
            name: record.name,
            nickname: record.nickname.clone(),
            incarnation: record.incarnation,
            reachable: self.topology.is_reachable(id),
            leaves: record.part.leaves,
            way: self.carriage(id),
            links: record.links.iter().map(|other| self.link_status(id, *other)).collect(),
        };
        let mut peers: Vec<PeerStatus> = self.topology.peers().map(status).collect();
        peers.sort_by_key(|peer| (peer.id != self.me, peer.name, peer.id));
        peers
    }

    /// Which way our frames for `peer` take.
    fn carriage(&self, peer: PeerId) -> Option<Carriage> {
        let hop = *self.topology.hops().get(&peer)?;
        Some(if hop == peer {
            Carriage::Link
        } else if self.directs.get(peer).is_some_and(|direct| direct.is_used) {
            Carriage::Direct
        } else {
            Carriage::Relayed(self.label(hop).name)
        })
    }

    fn direct_status(&self, now: Instant, id: PeerId, direct: &Direct) -> DirectStatus {
        let waits = Some(direct.retry_at - now).filter(|wait| !wait.is_zero());
        let path = direct.standing.as_ref().or(direct.rising.as_ref());
        let state = if direct.is_used {
            DirectState::Direct
        } else if direct.offer.is_some() || direct.rising.is_some() {
            DirectState::Pending
        } else if direct.standing.is_some() {
            DirectState::Silent
        } else if waits.is_some() {
            DirectState::Waiting
        } else {
            DirectState::Idle
        };
        DirectStatus {
            id,
            name: direct.name,
            nickname: self.label(id).nickname,
            state,
            datagrams_to: path.and_then(|path| path.path.to),
            encrypted: path.is_some_and(|path| path.sealed),
            up_for: path.and_then(|path| path.up_at).map(|up_at| now - up_at),
            used_ago: now - direct.wanted_at,
            round_trip: path.and_then(|path| path.path.round_trip),
            why: direct.why,
            retry_in: waits,
        }
    }

    fn link_status(&self, of: PeerId, other: PeerId) -> LinkStatus {
        let PeerLabel { id, name, nickname } = self.label(other);
        LinkStatus { id, name, nickname, mutual: self.topology.is_mutual(of, other) }
    }
}
