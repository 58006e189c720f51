//! Records under way between the peers of a model, each of which is the core's own [`Ipam`].

use super::peer;
use super::shared::{Shared, ordered_by};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Formatter};
use weft_core::addr::{Offset, Universe};
use weft_core::codec;
use weft_core::config::{Config, FoundingMode};
use weft_core::id::{Incarnation, PeerId};
use weft_core::ipam::freeze::Stance;
use weft_core::ipam::{Act, Ballot, Founding, Freeze, Grant, Ipam, IpamMessage, Part};
use weft_core::record::{Fingerprint, Key, Record, Signature, Version};
use weft_core::time::Instant;

/// A record under way.
pub(crate) struct Letter(pub(crate) Record);

/// Some letters of a world, a bit for the number of each.
pub(crate) type Letters = u128;

/// When all of it happens but what comes too late.
pub(crate) const NOW: Instant = Instant::ZERO;

/// When a gate that another owner has confirmed stands open: a copy of the disk would have been heard by then.
pub(crate) const OPEN: Instant = Instant::from_nanos(1_000_000_000);

/// The settings of every peer of a model whose universe is this `block`.
pub(crate) fn config(block: &str) -> Config {
    Config {
        universe: Universe::new(block.parse().unwrap()).unwrap(),
        founding: FoundingMode::Consensus { peers: Some(1) },
        ..Config::default()
    }
}

/// Nobody here checks signatures: that is done before a record gets to IPAM.
pub(crate) fn record(writer: PeerId, key: Key, sequence: u64, body: Vec<u8>) -> Record {
    let signature = Signature([0; 32], [0; 32]);
    let version = Version { incarnation: Incarnation(0), sequence };
    Record { key, version, body, writer, signature }
}

/// The division of a universe among the first `seeds` peers.
pub(crate) fn founding(universe: Universe, seeds: usize) -> Record {
    let ballot = Ballot { round: 1, proposer: peer(0) };
    let seeds = (0..seeds).map(peer).collect();
    let body = codec::encode(&Founding { universe, seeds, ballot, lacks: false });
    record(peer(0), Key::Founding(Fingerprint::of(&body)), 0, body)
}

pub(crate) fn bit(letter: &Shared<Letter>) -> Letters {
    1_u128.checked_shl(Shared::id(letter)).unwrap()
}

/// The numbers of these letters.
pub(crate) fn numbers(letters: Letters) -> impl Iterator<Item = u32> {
    (0..Letters::BITS).filter(move |id| letters >> id & 1 == 1)
}

/// That all of `peers` vote, and that none of them leaves.
pub(crate) fn staying(peers: &BTreeSet<PeerId>) -> BTreeMap<PeerId, Part> {
    peers.iter().map(|peer| (*peer, Part::FULL)).collect()
}

/// What a peer with this `ipam` that has started again asks of any of `others`.
pub(crate) fn question(ipam: &Ipam, others: BTreeSet<PeerId>) -> Option<IpamMessage> {
    let mut ipam = ipam.clone();
    let mut acts = Vec::new();
    for others in [BTreeSet::new(), others] {
        ipam.reachable(NOW, staying(&others), &mut acts);
    }
    told(acts)
}

/// What a peer with this `ipam` answers to `question` of `by`, if anything.
pub(crate) fn answer(ipam: &Ipam, by: PeerId, question: &IpamMessage) -> Option<IpamMessage> {
    let mut acts = Vec::new();
    ipam.clone().message(NOW, by, question, &mut acts);
    told(acts)
}

/// The addresses that a peer with this `ipam` would hand out, one bit each.
pub(crate) fn owned(ipam: &Ipam, universe: Universe) -> u32 {
    let owned = (0..universe.size()).filter(|at| ipam.acts_as_owner(Offset(*at)));
    owned.map(|at| 1 << at).sum()
}

/// Whether nothing is in two of `owned`.
pub(crate) fn is_disjoint(mut owned: impl Iterator<Item = u32>) -> bool {
    owned.try_fold(0, |sum, owns| (sum & owns == 0).then_some(sum | owns)).is_some()
}

/// What is said in `acts` to another peer.
fn told(acts: Vec<Act>) -> Option<IpamMessage> {
    acts.into_iter().find_map(|act| match act {
        Act::Tell { message, .. } => Some(message),
        Act::Publish { .. } | Act::Persist(_) | Act::Reply { .. } | Act::Event(_) => None,
    })
}

ordered_by!(Letter, |letter| (letter.0.key, letter.0.version, &letter.0.body));

impl Debug for Letter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let writer = self.0.writer.0[0];
        if matches!(self.0.key, Key::Freeze(_))
            && let Ok(Freeze { stances, .. }) = self.0.decode()
        {
            let said = stances.values().map(|Stance { eviction, phase, view }| {
                let (round, by) = (eviction.round, eviction.proposer.0[0]);
                format!("{phase:?} for {by} in round {round} with {:02x}", view.0[0])
            });
            return write!(f, "{writer} says {:?}", said.collect::<Vec<_>>());
        }
        let Ok(grant) = self.0.decode::<Grant>() else { return write!(f, "founding") };
        let (to, range, number) = (grant.owner.0[0], grant.range, (grant.epoch, grant.version));
        write!(f, "{writer} gave {}..{} to {to}, {number:?}", range.start.0, range.end.0)
    }
}
