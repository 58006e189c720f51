//! Insiders: strangers who know the password of a mesh.

use super::World;
use super::insider::{Caller, Facts, Insider, Lie, Words};
use super::stranger::Stranger;
use crate::check::AUTHENTIC;
use crate::choices::rng_for;
use crate::net::{PORT, STRANGER};
use crate::peer::Peer;
use rand_core::RngCore;
use std::net::SocketAddr;
use weft_core::id::{Identity, Incarnation};
use weft_core::io::ConnId;
use weft_core::sleeve::Session;

/// Purposes of their chances, apart from those of all others of a world.
const PURPOSE: u64 = 1 << 62;

/// Ports at which they say that they listen, when each has one of its own: so many, from this one on.
const PORTS: u16 = 10_000;
const PORTS_FROM: u16 = 20_000;

impl World {
    /// Has somebody who knows the password of `host` call there and tell it `lie`, of the size
    /// `count`.
    pub(super) fn insider(&mut self, host: usize, lie: Lie, count: u32) {
        self.note(Some(host), "FAULT", format_args!("an insider calls ({lie:?}, {count})"));
        let calls = if lie == Lie::ManyNeighbours { count } else { 1 };
        for _ in 0..calls {
            self.insider_calls(host, lie, count);
        }
    }

    fn insider_calls(&mut self, host: usize, lie: Lie, count: u32) {
        let visit = if lie.is_by_one() { u64::MAX >> 2 } else { self.visits };
        let mut seed = [0; 32];
        rng_for(self.seed, PURPOSE | visit).fill_bytes(&mut seed);
        let Some(there) = self.hosts.get(host) else { return };
        let port = if lie == Lie::ManyNeighbours {
            let number = u16::try_from(self.visits % u64::from(PORTS)).unwrap_or(0);
            PORTS_FROM + number
        } else {
            PORT
        };
        let life = if lie == Lie::Revenant { self.visits } else { 0 };
        let caller = Caller {
            liar: Identity::from_seed(seed),
            incarnation: Incarnation(1 + life),
            secret: there.config.secret.clone(),
            universe: there.config.universe,
            versions: there.config.versions,
            port,
        };
        let rng = rng_for(self.seed, PURPOSE << 1 | self.visits);
        let facts = self.facts(host);
        let insider = Insider::new((host, lie, count), caller, facts.as_ref(), rng);
        self.visit(host, Stranger::Insider(Box::new(insider)));
    }

    /// What gossip would have told an insider at `host`.
    fn facts(&self, host: usize) -> Option<Facts> {
        let there = self.hosts.get(host)?;
        let node = &there.running.as_ref()?.node;
        Some(Facts::of(node, there.config.universe))
    }

    pub(super) fn insider_begins(&mut self, conn: ConnId) {
        if let Some(Stranger::Insider(insider)) = self.strangers.get_mut(&conn) {
            let words = insider.opened();
            self.insider_says(conn, words);
        }
    }

    pub(super) fn insider_hears(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(Stranger::Insider(insider)) = self.strangers.get(&conn) else { return };
        let facts = self.facts(insider.host);
        if let Some(Stranger::Insider(insider)) = self.strangers.get_mut(&conn) {
            let words = insider.received(bytes, facts.as_ref());
            self.insider_says(conn, words);
        }
    }

    /// A datagram came to where strangers are.
    pub(super) fn insider_is_sent(&mut self, bytes: &[u8]) {
        let Ok((_, index)) = Session::peek(bytes) else { return };
        let meant = self.strangers.iter().find_map(|(conn, stranger)| match stranger {
            Stranger::Insider(insider) if insider.session() == index => Some(*conn),
            Stranger::Insider(_) | Stranger::Mute | Stranger::Babbler => None,
        });
        let Some(conn) = meant else { return };
        if let Some(Stranger::Insider(insider)) = self.strangers.get_mut(&conn) {
            let words = insider.datagram(bytes);
            self.insider_says(conn, words);
        }
    }

    fn insider_says(&mut self, conn: ConnId, words: Words) {
        let Some(Stranger::Insider(insider)) = self.strangers.get(&conn) else { return };
        let (host, lie, count) = (insider.host, insider.lie, insider.count);
        let (name, index) = (insider.name(), insider.session());
        if let Some(why) = words.refused {
            let host = Peer(host);
            self.note(None, "insider", format_args!("{host} refuses one ({lie:?}): {why}"));
        }
        if words.deceived {
            let why = format!("n{} took a first message that was changed on the way", host + 1);
            self.breach(AUTHENTIC, why);
        }
        if words.linked {
            self.wire.insider(name, index.0);
        }
        for bytes in words.writes {
            self.net.write(self.now, STRANGER, conn, bytes);
        }
        let source = SocketAddr::new(self.net.address(STRANGER), PORT);
        for bytes in words.datagrams {
            self.net.forge(self.now, host, source, bytes);
        }
        if words.linked && lie == Lie::Revenant {
            self.net.deafen(STRANGER, conn);
            self.earlier_lives_go_on(conn);
            if count > 1 {
                self.insider_calls(host, lie, count - 1);
            }
        }
    }

    /// One who came back on `conn` goes on with what it has said before.
    fn earlier_lives_go_on(&mut self, conn: ConnId) {
        for (before, stranger) in &mut self.strangers {
            if let Stranger::Insider(insider) = stranger
                && insider.lie == Lie::Revenant
                && *before != conn
            {
                let beat = insider.beat();
                self.net.write(self.now, STRANGER, *before, beat);
            }
        }
    }
}
