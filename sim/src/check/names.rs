//! Rules about names: `dns.*`.

use super::View;
use std::collections::BTreeSet;
use weft_core::names::NameEntry;

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
                    known.entry.address
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
                        known.entry.address,
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
mod tests {
    use super::super::PeerView;
    use super::*;
    use weft_core::addr::Universe;
    use weft_core::id::{ContainerId, PeerId};
    use weft_core::names::KnownName;
    use weft_core::time::Instant;

    /// Two peers; a name lives on the first.
    fn good() -> View {
        let entry = NameEntry {
            name: "db.weft.local".parse().unwrap(),
            address: "10.32.0.1".parse().unwrap(),
            id: ContainerId::external(),
        };
        let known = KnownName { entry: entry.clone(), origin: PeerId([1; 32]) };
        let peer = |number: u8, own: BTreeSet<NameEntry>| PeerView {
            live: true,
            id: Some(PeerId([number; 32])),
            island: [0, 1].into(),
            names: [known.clone()].into(),
            names_sure: own.clone(),
            names_possible: own,
            ..PeerView::default()
        };
        let peers = vec![peer(1, [entry].into()), peer(2, BTreeSet::new())];
        View::new(Instant::ZERO, Universe::DEFAULT, peers)
    }

    fn broken(change: impl FnOnce(&mut View)) -> View {
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

    #[test]
    fn no_ghosts_fails_when_the_origin_is_dead_or_took_the_name_back() {
        assert!(no_ghosts(&broken(|view| view.peers[0].live = false)).is_err());
        assert!(no_ghosts(&broken(|view| view.peers[0].names_possible.clear())).is_err());
    }
}
