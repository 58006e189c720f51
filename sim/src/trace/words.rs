//! What happened, in words that need no knowledge of the code.

use crate::net::{Carrier, NOBODY, PORT, STRANGER, host_of};
use crate::peer::Peer;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use weft_core::addr::{Offset, Range, Universe};
use weft_core::event::Event;
use weft_core::id::PeerId;
use weft_core::io::Reply;

/// Which host a peer's identity belongs to, and where addresses lie.
#[derive(Clone, Debug)]
pub struct Names {
    universe: Universe,
    peers: BTreeMap<PeerId, Peer>,
}

impl Names {
    /// No identity is known yet.
    pub const fn new(universe: Universe) -> Self {
        Self { universe, peers: BTreeMap::new() }
    }

    /// The node of `host` has this identity. Of two hosts with one identity, the first keeps it.
    pub fn know(&mut self, id: PeerId, host: Peer) {
        self.peers.entry(id).or_insert(host);
    }

    fn peer(&self, id: &PeerId) -> String {
        self.peers.get(id).map_or_else(|| format!("peer {id}"), Peer::to_string)
    }

    fn range(&self, range: &Range) -> String {
        let first = self.universe.address(range.start);
        let last = self.universe.address(Offset(range.end.0.saturating_sub(1)));
        if first == last { first.to_string() } else { format!("{first} to {last}") }
    }
}

/// Which part of a node an event comes from.
pub(super) const fn part(event: &Event) -> &'static str {
    match event {
        Event::ConnUp { .. } | Event::ConnDown { .. } => "conn",
        Event::LinkUp { .. } | Event::LinkDown { .. } => "link",
        Event::DirectUp { .. } | Event::DirectDown { .. } | Event::DirectFailed { .. } => "session",
        Event::PeerUp { .. } | Event::PeerDown { .. } => "mesh",
        Event::RecordRefused { .. } => "gossip",
        Event::Founded { .. }
        | Event::Granted { .. }
        | Event::Allocated { .. }
        | Event::Released { .. }
        | Event::GateForced { .. }
        | Event::TwinMet
        | Event::TakenOver { .. }
        | Event::Stray { .. }
        | Event::EvictionForced { .. }
        | Event::OwnershipConflict { .. } => "ipam",
        Event::NameAdded { .. } | Event::NameRemoved { .. } => "dns",
    }
}

pub(super) fn event(event: &Event, names: &Names) -> String {
    match event {
        Event::ConnUp { conn, peer } => format!("conn {conn} with {} is up", names.peer(peer)),
        Event::ConnDown { conn, peer: Some(peer), why, .. } => {
            format!("conn {conn} with {} is over: {why}", names.peer(peer))
        }
        Event::ConnDown { conn, peer: None, remote, why } => {
            format!("no conn {conn} with {}: {why}", host(remote))
        }
        Event::LinkUp { peer } => format!("link to {} works", names.peer(peer)),
        Event::LinkDown { peer } => format!("link to {} is lost", names.peer(peer)),
        Event::DirectUp { peer } => format!("frames go straight to {}", names.peer(peer)),
        Event::DirectDown { peer, why } => {
            format!("frames to {} are relayed: {why}", names.peer(peer))
        }
        Event::DirectFailed { peer, why } => {
            format!("frames to {} stay relayed: {why}", names.peer(peer))
        }
        Event::PeerUp { peer } => format!("{} is in reach", names.peer(peer)),
        Event::PeerDown { peer } => format!("{} is out of reach", names.peer(peer)),
        Event::RecordRefused { from, why } => {
            format!("a record from {} is not believed: {why}", names.peer(from))
        }
        Event::Founded { lineage, .. } => {
            let print: String =
                lineage.0.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            format!("the mesh is founded, decision {print}")
        }
        Event::Granted { range, to } => {
            format!("gave {} to {}", names.range(range), names.peer(to))
        }
        Event::Allocated { address, id } => format!("allocated {address} to {id}"),
        Event::Released { address, id } => format!("{id} gave {address} back"),
        Event::NameAdded { name, value } => format!("name {name} = {value}"),
        Event::NameRemoved { name, value } => format!("no name {name} = {value} any more"),
        Event::GateForced { unheard } => {
            format!("an operator opened the gate, {unheard} unheard")
        }
        Event::TwinMet => "another daemon runs from a copy of this one's disk".to_owned(),
        Event::Stray { address, id, owner } => {
            format!("{id} has {address}, which is {}'s", names.peer(owner))
        }
        Event::TakenOver { range, victim, heir, epoch: _ } => format!(
            "{} has passed from {}, which is evicted, to {}",
            names.range(range),
            names.peer(victim),
            names.peer(heir)
        ),
        Event::EvictionForced { unheard } => {
            format!("an operator forced an eviction, {unheard} owners unheard")
        }
        Event::OwnershipConflict { range, kept, lost } => format!(
            "two owners of {}: {} keeps, {} loses",
            names.range(range),
            names.peer(kept),
            names.peer(lost)
        ),
    }
}

/// The host behind what a node calls a remote: `n2:6783` or the address of a stream's other end.
fn host(remote: &str) -> String {
    let address = remote.parse::<SocketAddr>().ok();
    let host = address.and_then(|address| host_of(address.ip()));
    let named = || remote.strip_suffix(&format!(":{PORT}")).unwrap_or(remote).to_owned();
    host.map_or_else(named, |host| end(Peer(host)).into_owned())
}

/// What a node answers, as people read it.
pub(crate) fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".to_owned(),
        Reply::Addresses(addresses) if addresses.is_empty() => "no address".to_owned(),
        Reply::Addresses(addresses) => {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
        Reply::Removed(count) => format!("removed {count}"),
        Reply::TakenOver(count) => format!("took over {count} addresses"),
    }
}

/// Who is at one end of a message.
pub(super) fn end(peer: Peer) -> Cow<'static, str> {
    match peer.0 {
        STRANGER => Cow::Borrowed("stranger"),
        NOBODY => Cow::Borrowed("nobody"),
        _ => Cow::Owned(peer.to_string()),
    }
}

pub(super) const fn carrier(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Dial => "dial",
        Carrier::Stream => "stream",
        Carrier::End => "end of stream",
        Carrier::Datagram => "datagram",
    }
}

/// The ending of an ordinal.
pub(super) const fn nth(number: u64) -> &'static str {
    match (number % 10, number % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    }
}
