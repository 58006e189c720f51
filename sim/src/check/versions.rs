//! Rules about versions of records and lives of peers: `gossip.own-version-only`,
//! `gossip.true-sum`, `gossip.new-life` and `dns.never-back`.

use super::{Invariant, View, When};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use weft_core::gossip::Print;
use weft_core::id::{Incarnation, PeerId};
use weft_core::names::PageKey;
use weft_core::record::{Key, Version};

/// Nobody holds a record of a peer that is newer than any that this peer has written.
#[derive(Debug, Default)]
pub(super) struct OwnVersionOnly {
    newest: BTreeMap<PeerId, Version>,
    /// What was looked through already.
    looked: BTreeMap<usize, u64>,
}

impl Invariant for OwnVersionOnly {
    fn name(&self) -> &'static str {
        "gossip.own-version-only"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (_, peer) in view.changed() {
            if let Some(id) = peer.id {
                self.wrote(id, peer.version);
            }
        }
        for (host, peer) in view.changed().filter(|(_, peer)| peer.live) {
            if self.looked.get(&host) == Some(&peer.reads) {
                continue;
            }
            for (key, version) in &peer.records {
                let Some(writer) = writer(key) else { continue };
                let newest = self.newest.get(&writer);
                if newest.is_none_or(|newest| version <= newest) {
                    continue;
                }
                // The writer may have come further without having been looked at.
                let hosts = view.peers.iter().filter(|peer| peer.id == Some(writer));
                let versions: Vec<Version> = hosts.map(|peer| peer.version).collect();
                versions.into_iter().for_each(|version| self.wrote(writer, version));
                if let Some(newest) = self.newest.get(&writer).filter(|newest| version > newest) {
                    return Err(format!(
                        "n{} holds {key:?} as {version:?}, and {} never came further than \
                         {newest:?}",
                        host + 1,
                        view.label(writer)
                    ));
                }
            }
            self.looked.insert(host, peer.reads);
        }
        Ok(())
    }
}

impl OwnVersionOnly {
    fn wrote(&mut self, writer: PeerId, version: Version) {
        let newest = self.newest.entry(writer).or_default();
        *newest = version.max(*newest);
    }
}

/// Of more records than this, no sum of our own is made: in a large mesh that costs more than all
/// the rest.
const SUMMED_MAX: usize = 256;

/// Sums of records are kept for comparison until there are so many.
const SUMS_MAX: usize = 65_536;

/// The sum that a node makes of its records follows them: by it, neighbours tell whether they hold
/// the same.
#[derive(Debug, Default)]
pub(super) struct TrueSum {
    /// By host: which life, how often its records were read, a sum of our own, and its node's.
    last: BTreeMap<usize, (u64, u64, u64, Print)>,
    /// By sums of our own: who had such records first, and the sum of its node.
    sums: BTreeMap<u64, (usize, Print)>,
}

impl Invariant for TrueSum {
    fn name(&self) -> &'static str {
        "gossip.true-sum"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.changed().filter(|(_, peer)| peer.live) {
            let Some(print) = peer.print.filter(|_| peer.seen.len() <= SUMMED_MAX) else {
                self.last.remove(&host);
                continue;
            };
            let last = self.last.get(&host).copied();
            if last.is_some_and(|(boots, reads, _, before)| {
                (boots, reads, before) == (peer.boots, peer.reads, print)
            }) {
                continue;
            }
            let mut hasher = DefaultHasher::new();
            peer.seen.hash(&mut hasher);
            let ours = hasher.finish();
            self.last.insert(host, (peer.boots, peer.reads, ours, print));
            if last.is_some_and(|(.., own, before)| own != ours && before == print) {
                return Err(format!(
                    "the sum of the records of n{} stayed as it was, and the records did not",
                    host + 1
                ));
            }
            if self.sums.len() >= SUMS_MAX {
                self.sums.clear();
            }
            let (first, sum) = *self.sums.entry(ours).or_insert((host, print));
            if sum != print {
                return Err(format!(
                    "n{} and n{} make different sums of the same {} records",
                    first + 1,
                    host + 1,
                    peer.seen.len()
                ));
            }
        }
        Ok(())
    }
}

/// Whose record it is, where only one peer may write it.
const fn writer(key: &Key) -> Option<PeerId> {
    match key {
        Key::Founding(_) | Key::Grant(_) => None,
        Key::Voter(peer)
        | Key::Freeze(peer)
        | Key::Peer(peer)
        | Key::Names(peer, _)
        | Key::Space(peer) => Some(*peer),
    }
}

/// Each start has an incarnation above those of all starts before, as long as the disk keeps what
/// it was given.
#[derive(Debug, Default)]
pub(super) struct NewLife {
    last: BTreeMap<usize, Life>,
}

/// What is known of the last life of a host.
#[derive(Clone, Copy, Debug)]
struct Life {
    id: Option<PeerId>,
    losses: u64,
    boots: u64,
    incarnation: Incarnation,
}

impl Invariant for NewLife {
    fn name(&self) -> &'static str {
        "gossip.new-life"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.changed().filter(|(_, peer)| peer.live && !peer.busy) {
            let life = Life {
                id: peer.id,
                losses: peer.losses,
                boots: peer.boots,
                incarnation: peer.version.incarnation,
            };
            if let Some(last) = self.last.insert(host, life)
                && (last.id, last.losses) == (life.id, life.losses)
                && last.boots < life.boots
                && life.incarnation <= last.incarnation
            {
                return Err(format!(
                    "n{} starts as incarnation {} after it was {}",
                    host + 1,
                    life.incarnation.0,
                    last.incarnation.0
                ));
            }
        }
        Ok(())
    }
}

/// What a peer knows of the names of another never goes back to an older version, so that a name
/// whose removal it has seen does not come back.
#[derive(Debug, Default)]
pub(super) struct NamesNeverBack {
    /// By host: which life, and the version of each page of names of each peer.
    known: BTreeMap<usize, (u64, BTreeMap<PageKey, Version>)>,
}

impl Invariant for NamesNeverBack {
    fn name(&self) -> &'static str {
        "dns.never-back"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.changed().filter(|(_, peer)| peer.live) {
            let (boots, known) = self.known.entry(host).or_default();
            if *boots != peer.boots {
                (*boots, *known) = (peer.boots, BTreeMap::new());
            }
            // Whom it is told to have nothing to do with it forgets, what it knew of its names too.
            known.retain(|(origin, _), _| Some(*origin) == peer.id || peer.told.allows(*origin));
            for (key, version) in &peer.records {
                let Key::Names(origin, page) = key else { continue };
                let before = known.insert((*origin, *page), *version).unwrap_or_default();
                if *version < before {
                    return Err(format!(
                        "n{} knew {before:?} of page {page} of the names of {} and now {version:?}",
                        host + 1,
                        view.label(*origin)
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Glimpse;
    use super::super::made_up::{changed, fails, holds, id, pair, version};
    use super::*;
    use std::collections::BTreeSet;

    fn holding(key: Key, held: Version) -> View {
        changed(|view| {
            view.peers[1].records = [(key, held)].into();
            view.peers[1].reads = held.sequence;
        })
    }

    #[test]
    fn own_version_only_fails_when_others_hold_more_than_the_writer_wrote() {
        for key in [
            Key::Names(id(1), 0),
            Key::Peer(id(1)),
            Key::Space(id(1)),
            Key::Voter(id(1)),
            Key::Freeze(id(1)),
        ] {
            holds::<OwnVersionOnly>(&[holding(key, version(1, 9))]);
            fails::<OwnVersionOnly>(&[holding(key, version(1, 10))]);
            fails::<OwnVersionOnly>(&[holding(key, version(2, 1))]);
        }
        holds::<OwnVersionOnly>(&[holding(Key::Names(id(9), 0), version(2, 1))]);
    }

    #[test]
    fn own_version_only_asks_a_writer_that_was_not_looked_at_how_far_it_came() {
        let mut view = holding(Key::Names(id(1), 0), version(1, 12));
        view.peers[0].version = version(1, 12);
        view.changed = BTreeSet::from([1]);
        holds::<OwnVersionOnly>(&[pair(), view]);
    }

    #[test]
    fn true_sum_fails_when_the_sum_stays_and_when_equal_records_have_two_sums() {
        let sum = |number: u64| {
            let identity = weft_core::id::Identity::from_seed([1; 32]);
            let key = Key::Space(identity.id());
            let mut records = weft_core::gossip::Records::new(1, 1_000);
            records.put(weft_core::record::Record::sign(
                &identity,
                key,
                version(1, number),
                Vec::new(),
            ));
            records.sum(weft_core::gossip::Prefix::ROOT).1
        };
        let with = |host: usize, sequence, print| {
            changed(|view| {
                let glimpse =
                    Glimpse { key: Key::Names(id(1), 0), version: version(1, sequence), sign: 0 };
                view.peers[host].seen = vec![glimpse];
                (view.peers[host].reads, view.peers[host].print) = (sequence, Some(print));
            })
        };
        holds::<TrueSum>(&[with(0, 1, sum(1)), with(0, 2, sum(2)), with(1, 2, sum(2))]);
        fails::<TrueSum>(&[with(0, 1, sum(1)), with(0, 2, sum(1))]);
        fails::<TrueSum>(&[with(0, 1, sum(1)), with(1, 1, sum(2))]);
    }

    #[test]
    fn new_life_fails_when_a_start_has_the_incarnation_of_one_before() {
        let again = |incarnation, losses| {
            changed(|view| {
                view.peers[0].boots = 2;
                view.peers[0].version = version(incarnation, 1);
                view.peers[0].losses = losses;
            })
        };
        holds::<NewLife>(&[pair(), again(2, 0)]);
        fails::<NewLife>(&[pair(), again(1, 0)]);
        holds::<NewLife>(&[pair(), again(1, 1)]);
    }

    #[test]
    fn names_never_back_fails_when_older_names_come_back_within_a_life() {
        let key = Key::Names(id(1), 0);
        holds::<NamesNeverBack>(&[holding(key, version(1, 3)), holding(key, version(2, 1))]);
        fails::<NamesNeverBack>(&[holding(key, version(1, 3)), holding(key, version(1, 2))]);
        let mut restarted = holding(key, version(1, 2));
        restarted.peers[1].boots = 2;
        holds::<NamesNeverBack>(&[holding(key, version(1, 3)), restarted]);
        // Whom a host has nothing to do with for a while it forgets.
        let mut without = holding(Key::Names(id(2), 0), version(1, 1));
        without.peers[1].told.allowed = Some([id(2)].into());
        let older = holding(key, version(1, 2));
        holds::<NamesNeverBack>(&[holding(key, version(1, 3)), without, older]);
    }
}
