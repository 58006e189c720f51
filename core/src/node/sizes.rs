//! How full the tables and queues of a node are.

use super::{Node, Turn};
use crate::mesh::{Conn, Link, Phase, Whom};
use crate::status::{Queues, Sizes};

impl Node {
    /// How full its tables and queues are, for judges.
    pub fn sizes(&self) -> Sizes {
        let Self {
            records,
            lacking,
            topology,
            names,
            ipam,
            dialer,
            conns,
            acquaintances,
            neighbours,
            labels,
            directs,
            paces,
            routes,
            holders,
            turn: Turn { changes, links_changed: _ },
            config: _,
            secrets: _,
            allowed: _,
            identity: _,
            me: _,
            name: _,
            incarnation: _,
            run: _,
            sequence: _,
            dialed: _,
            session_rng: _,
            handshake_rng: _,
            referral_rng: _,
            routes_at: _,
            describe_at: _,
            described_at: _,
            foreign: _,
            conns_ended: _,
            records_refused: _,
            probes_taken: _,
            is_stopped: _,
        } = self;
        let is_dialing = |conn: &&Conn| matches!(conn.phase, Phase::Dialing);
        let is_heard_of = |conn: &&Conn| matches!(conn.whom, Some(Whom::Peer(_)));
        let is_pulling = |link: &&Link| link.pull.is_some();
        let (attempts, postponed, lost) = dialer.sizes();
        let (own_names, name_pages) = names.sizes();
        Sizes {
            conns: conns.len(),
            dialing: conns.values().filter(is_dialing).count(),
            discovering: conns.values().filter(is_dialing).filter(is_heard_of).count(),
            links: neighbours.len(),
            sessions: labels.len(),
            directs: directs.len(),
            sessions_under_way: directs.under_way(),
            sources: paces.len(),
            attempts,
            postponed,
            lost,
            acquaintances: acquaintances.iter().count(),
            records: records.len(),
            records_len: records.len_bytes(),
            lacking: lacking.len(),
            peers: topology.len(),
            routes: routes.len(),
            holders: holders.len(),
            names: own_names,
            name_pages,
            unfinished: changes.len(),
            ipam: ipam.sizes(),
            pulls: conns.values().filter_map(Conn::link).filter(is_pulling).count(),
            queues: conns.values().map(Conn::queues).fold(Queues::default(), Queues::max),
        }
    }
}
