//! Rules about names: `dns.*`.

use super::{Invariant, PeerView, View, When};
use std::collections::{BTreeMap, BTreeSet};
use weft_core::id::PeerId;
use weft_core::names::NameEntry;
use weft_core::record::{Key, Version};

/// Peers that can be connected answer every name alike, and know all that was registered at each.
pub(super) fn same_answer(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        for (other_host, other) in view.live().filter(|(other, _)| peer.island.contains(other)) {
            if let Some(known) = peer.names.symmetric_difference(&other.names).next() {
                return Err(format!(
                    "n{} and n{} differ about {} = {}",
                    host + 1,
                    other_host + 1,
                    known.entry.name,
                    known.entry.value
                ));
            }
            let of_other = |known: &&weft_core::names::KnownName| Some(known.origin) == other.id;
            let entries: BTreeSet<_> =
                peer.names.iter().filter(of_other).map(|known| &known.entry).collect();
            if let Some(lost) = other.names_sure.iter().find(|entry| !entries.contains(entry)) {
                return Err(format!(
                    "n{} does not know {}, registered on n{}",
                    host + 1,
                    lost.name,
                    other_host + 1
                ));
            }
        }
    }
    Ok(())
}

/// At every moment: no answer comes from a peer that is out of reach by all that the answering peer
/// has said, nor from an earlier life of it than that peer knows of; what a peer answers for itself
/// was registered with it and not taken back; and what others answer for it is what it answered
/// itself under the same version of its names. Versions do not go back, so a deletion that was seen
/// is not undone by older data.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// By peer: under the versions of all pages of its names, who was first seen to answer them, and the names.
    said: BTreeMap<PeerId, BTreeMap<Pages, (usize, BTreeSet<NameEntry>)>>,
    /// By peer: all that may ever have been registered with it.
    registered: BTreeMap<PeerId, BTreeSet<NameEntry>>,
}

/// The version of each page of one peer's names.
type Pages = BTreeMap<u8, Version>;

/// So many versions of the names of one peer are kept for comparison.
const VERSIONS_MAX: usize = 256;

impl Invariant for Answers {
    fn name(&self) -> &'static str {
        "dns.no-ghosts"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (_, peer) in view.changed() {
            if let Some(id) = peer.id {
                let registered = self.registered.entry(id).or_default();
                if !registered.is_superset(&peer.names_possible) {
                    registered.extend(peer.names_possible.iter().cloned());
                }
            }
        }
        for (host, peer) in view.changed().filter(|(_, peer)| peer.live && !peer.busy) {
            let mut answers: BTreeMap<PeerId, BTreeSet<NameEntry>> = BTreeMap::new();
            for known in &peer.names {
                answers.entry(known.origin).or_default().insert(known.entry.clone());
            }
            for (origin, names) in answers {
                let verdict = self.judge(view, (host, peer), origin, names);
                verdict.map_err(|why| format!("n{} answers {why}", host + 1))?;
            }
        }
        Ok(())
    }
}

impl Answers {
    /// Judges what `peer` answers for `origin`.
    fn judge(
        &mut self,
        view: &View,
        (host, peer): (usize, &PeerView),
        origin: PeerId,
        names: BTreeSet<NameEntry>,
    ) -> Result<(), String> {
        let label = view.label(origin);
        let version = |key| peer.records.get(&key).copied();
        if Some(origin) == peer.id {
            if let Some(ghost) = names.iter().find(|name| !peer.names_possible.contains(name)) {
                return Err(format!("{} = {}, which it took back", ghost.name, ghost.value));
            }
        } else if !peer.up.contains_key(&origin) {
            return Err(format!("for {label}, which it has said to be out of reach"));
        }
        let held =
            (0..=u8::MAX).filter_map(|page| Some((page, version(Key::Names(origin, page))?)));
        let mut named: Pages = held.collect();
        if named.is_empty() {
            return Err(format!("for {label}, whose names it does not hold"));
        }
        // What a peer says of itself comes a moment after its names. Pages of earlier lives may lie about: they
        // say nothing.
        if let Some(life) = version(Key::Peer(origin)).map(|version| version.incarnation)
            && Some(origin) != peer.id
        {
            named.retain(|_, version| version.incarnation == life);
            if named.is_empty() {
                return Err(format!("for an earlier life of {label} than {}", life.0));
            }
        }
        // Of strangers nobody knows what they registered, and whose disk was put back or copied may
        // say two things under one version.
        let mut hosts = view.peers.iter().filter(|peer| peer.id == Some(origin));
        let (Some(there), None) = (hosts.next(), hosts.next()) else { return Ok(()) };
        if there.losses > 0 {
            return Ok(());
        }
        let registered = self.registered.entry(origin).or_default();
        if let Some(ghost) = names.iter().find(|name| !registered.contains(name)) {
            let (name, value) = (&ghost.name, &ghost.value);
            return Err(format!("{name} = {value}, which was never registered with {label}"));
        }
        let said = self.said.entry(origin).or_default();
        let (first, before) = said.entry(named.clone()).or_insert_with(|| (host, names.clone()));
        if *before != names {
            return Err(format!(
                "{} names of {label} as versions {named:?}, of which n{} has answered {}",
                names.len(),
                *first + 1,
                before.len()
            ));
        }
        if said.len() > VERSIONS_MAX {
            said.pop_first();
        }
        Ok(())
    }
}

/// No answer comes from a peer that is out of reach, and none that its peer has taken back.
pub(super) fn no_ghosts(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        for known in &peer.names {
            let origin = peer
                .island
                .iter()
                .filter_map(|other| view.peers.get(*other))
                .find(|other| other.live && other.id == Some(known.origin));
            let name = &known.entry.name;
            match origin {
                None => {
                    return Err(format!(
                        "n{} answers {name} for {}, which it cannot reach",
                        host + 1,
                        view.label(known.origin)
                    ));
                }
                Some(origin) if !origin.names_possible.contains(&known.entry) => {
                    return Err(format!(
                        "n{} answers {name} = {}, which {} took back",
                        host + 1,
                        known.entry.value,
                        view.label(known.origin)
                    ));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// A name that was registered in a mesh at rest is answered everywhere within the time after which
/// this is judged.
pub(super) fn seen_everywhere(view: &View) -> Result<(), String> {
    for (origin_host, origin) in view.live() {
        for (host, peer) in view.live().filter(|(host, _)| origin.island.contains(host)) {
            let knows = |entry: &NameEntry| {
                let mut known = peer.names.iter();
                known.any(|known| Some(known.origin) == origin.id && known.entry == *entry)
            };
            if let Some(entry) = origin.names_sure.iter().find(|entry| !knows(entry)) {
                let name = &entry.name;
                return Err(format!(
                    "{name} was registered on n{} and n{} does not answer it",
                    origin_host + 1,
                    host + 1
                ));
            }
        }
    }
    Ok(())
}

/// A name that was taken back in a mesh at rest is answered nowhere after the same time.
pub(super) fn gone_everywhere(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        for known in &peer.names {
            let mut origins = view.live().filter(|(_, origin)| origin.id == Some(known.origin));
            if let Some((origin_host, _)) =
                origins.find(|(_, origin)| !origin.names_possible.contains(&known.entry))
            {
                let name = &known.entry.name;
                return Err(format!(
                    "{name} was taken back on n{} and n{} still answers it",
                    origin_host + 1,
                    host + 1
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::made_up::{fails, holds};
    use super::*;
    use weft_core::addr::Universe;
    use weft_core::id::{ContainerId, Incarnation};
    use weft_core::names::{KnownName, NameValue};
    use weft_core::time::Instant;

    /// Two peers; a name lives on the first.
    pub(in super::super) fn good() -> View {
        let names = Version { incarnation: Incarnation(1), sequence: 3 };
        let entry = NameEntry {
            name: "db.weft.local".parse().unwrap(),
            value: NameValue::V4([10, 32, 0, 1].into()),
            id: ContainerId::external(),
        };
        let known = KnownName { entry: entry.clone(), origin: PeerId([1; 32]) };
        let peer = |number: u8, own: BTreeSet<NameEntry>| PeerView {
            live: true,
            id: Some(PeerId([number; 32])),
            island: [0, 1].into(),
            up: [(PeerId([3 - number; 32]), Instant::ZERO)].into(),
            records: [
                (Key::Names(PeerId([1; 32]), 0), names),
                (Key::Peer(PeerId([1; 32])), Version { sequence: 2, ..names }),
            ]
            .into(),
            names: [known.clone()].into(),
            names_sure: own.clone(),
            names_possible: own,
            ..PeerView::default()
        };
        let peers = vec![peer(1, [entry].into()), peer(2, BTreeSet::new())];
        View::new(Instant::ZERO, Universe::DEFAULT, peers)
    }

    pub(in super::super) fn broken(change: impl FnOnce(&mut View)) -> View {
        let mut view = good();
        change(&mut view);
        view
    }

    #[test]
    fn rules_about_names_hold_in_a_sound_world() {
        assert_eq!(same_answer(&good()), Ok(()));
        assert_eq!(no_ghosts(&good()), Ok(()));
    }

    #[test]
    fn same_answer_fails_when_one_peer_lacks_a_name() {
        assert!(same_answer(&broken(|view| view.peers[1].names.clear())).is_err());
        let nowhere = |view: &mut View| view.peers.iter_mut().for_each(|peer| peer.names.clear());
        assert!(same_answer(&broken(nowhere)).is_err());
    }

    #[test]
    fn seen_everywhere_fails_when_a_peer_in_reach_does_not_answer() {
        assert_eq!(seen_everywhere(&good()), Ok(()));
        assert!(seen_everywhere(&broken(|view| view.peers[1].names.clear())).is_err());
        let apart = broken(|view| {
            view.peers[1].names.clear();
            view.peers[0].island = [0].into();
        });
        assert_eq!(seen_everywhere(&apart), Ok(()));
    }

    #[test]
    fn gone_everywhere_fails_when_a_name_is_answered_that_was_taken_back() {
        assert_eq!(gone_everywhere(&good()), Ok(()));
        assert!(gone_everywhere(&broken(|view| view.peers[0].names_possible.clear())).is_err());
    }

    /// The view a moment later, after `change`.
    fn next(change: impl FnOnce(&mut View)) -> View {
        broken(change)
    }

    #[test]
    fn answers_fail_for_a_peer_that_was_said_to_be_out_of_reach_and_for_an_earlier_life() {
        holds::<Answers>(&[good(), good()]);
        fails::<Answers>(&[broken(|view| view.peers[1].up.clear())]);
        let reborn = Version { incarnation: Incarnation(2), sequence: 1 };
        let key = Key::Peer(PeerId([1; 32]));
        fails::<Answers>(&[broken(|view| {
            view.peers[1].records.insert(key, reborn);
        })]);
        fails::<Answers>(&[broken(|view| view.peers[1].records.clear())]);
    }

    #[test]
    fn answers_fail_when_a_peer_answers_what_it_took_back_or_never_had() {
        fails::<Answers>(&[broken(|view| view.peers[0].names_possible.clear())]);
        let other = |view: &mut View| {
            let mut made_up = view.peers[1].names.first().unwrap().clone();
            made_up.entry.value = NameValue::V4([10, 32, 0, 9].into());
            view.peers[1].names.insert(made_up);
        };
        fails::<Answers>(&[good(), next(other)]);
    }

    #[test]
    fn answers_fail_when_a_deletion_is_undone_by_older_data() {
        let key = Key::Names(PeerId([1; 32]), 0);
        let later = Version { incarnation: Incarnation(1), sequence: 4 };
        let mut second = good().peers[0].names.first().unwrap().clone();
        second.entry.value = NameValue::V4([10, 32, 0, 2].into());
        // Two names, of which the first is deleted with the next version.
        let both = broken(|view| {
            for peer in &mut view.peers {
                peer.names.insert(second.clone());
            }
            view.peers[0].names_possible.insert(second.entry.clone());
        });
        let mut deleted = both.clone();
        for peer in &mut deleted.peers {
            peer.names = [second.clone()].into();
            peer.records.insert(key, later);
        }
        deleted.peers[0].names_possible = [second.entry.clone()].into();
        let mut undone = deleted.clone();
        undone.peers[1].names.clone_from(&both.peers[1].names);
        holds::<Answers>(&[both.clone(), deleted.clone(), deleted.clone()]);
        fails::<Answers>(&[both, deleted, undone]);
    }

    #[test]
    fn no_ghosts_fails_when_the_origin_is_dead_or_took_the_name_back() {
        assert!(no_ghosts(&broken(|view| view.peers[0].live = false)).is_err());
        assert!(no_ghosts(&broken(|view| view.peers[0].names_possible.clear())).is_err());
    }
}
