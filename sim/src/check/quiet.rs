//! A mesh at rest is quiet: `mesh.quiet`.

use super::{Invariant, View, When};
use std::collections::BTreeMap;
use weft_core::record::{Key, Version};
use weft_core::time::Instant;

/// Bytes a second that a peer may send over each of its links while nothing happens. A heartbeat
/// and a probe with its answer every 3 s and a comparison of records every 10 s come to about 40;
/// twice as much leaves room for rounds that fall into one span.
const BYTES_PER_LINK: u64 = 80;
/// Bytes in a span that do not repeat, such as a probe of a path that has just moved.
const BYTES_ONCE: u64 = 2_000;

/// From one look at a mesh at rest to the next, no record gets another version, and what each peer
/// sends stays within its budget; unless a command was given between them.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    before: Option<(Instant, u64, Vec<Seen>)>,
}

/// Peers that can be connected hold the same records, each in the same version: else they would tell
/// each other of the difference for ever.
pub(super) fn same_records(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        for (other_host, other) in view.live().filter(|(other, _)| peer.island.contains(other)) {
            let mut records = peer.records.iter();
            if let Some((key, version)) =
                records.find(|(key, version)| other.records.get(key) != Some(version))
            {
                let theirs = other.records.get(key);
                return Err(format!(
                    "n{} holds {key:?} as {version:?}, and n{} holds {theirs:?}",
                    host + 1,
                    other_host + 1
                ));
            }
        }
    }
    Ok(())
}

/// What is compared of a host.
#[derive(Debug)]
struct Seen {
    boots: u64,
    spent: u64,
    records: BTreeMap<Key, Version>,
}

impl Invariant for Quiet {
    fn name(&self) -> &'static str {
        "mesh.quiet"
    }
    fn when(&self) -> When {
        When::Quiet
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        let seen = view.peers.iter().map(|peer| Seen {
            boots: peer.boots,
            spent: peer.spent,
            records: peer.records.clone(),
        });
        let seen: Vec<Seen> = seen.collect();
        let Some((since, asked, before)) = self.before.take() else {
            self.before = Some((view.at, view.asked, seen));
            return Ok(());
        };
        if asked != view.asked {
            return Ok(());
        }
        let seconds = view.at.since(since).as_secs().max(1);
        for (host, peer) in view.live() {
            let (Some(before), Some(now)) = (before.get(host), seen.get(host)) else { continue };
            if before.boots != now.boots {
                continue;
            }
            let mut versions = now.records.iter();
            if let Some((key, version)) =
                versions.find(|(key, version)| before.records.get(key) != Some(version))
            {
                return Err(format!(
                    "n{} took in {key:?} as {version:?} while nothing happened",
                    host + 1
                ));
            }
            let sent = now.spent - before.spent;
            let links = u64::try_from(peer.linked.len()).unwrap_or(u64::MAX).max(1);
            let budget = BYTES_PER_LINK * links * seconds + BYTES_ONCE;
            if sent > budget {
                return Err(format!(
                    "n{} sent {sent} bytes in {seconds} s while nothing happened, over {links} links",
                    host + 1
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, fails, holds, id, pair, secs, version};
    use super::*;

    fn later(change: impl FnOnce(&mut View)) -> View {
        changed(|view| {
            view.at = secs(120);
            view.peers[0].spent = 1_000;
            change(view);
        })
    }

    #[test]
    fn same_records_fails_when_a_peer_lacks_one_or_has_another_version() {
        assert_eq!(same_records(&pair()), Ok(()));
        let key = Key::Names(id(1), 0);
        assert!(same_records(&changed(|view| view.peers[1].records.clear())).is_err());
        let older = |view: &mut View| view.peers[1].records.extend([(key, version(1, 2))]);
        assert!(same_records(&changed(older)).is_err());
        let apart = changed(|view| {
            older(view);
            view.peers[0].island = [0].into();
            view.peers[1].island = [1].into();
        });
        assert_eq!(same_records(&apart), Ok(()));
    }

    #[test]
    fn quiet_fails_when_a_record_changes_or_a_peer_says_too_much() {
        holds::<Quiet>(&[pair(), later(|_| {})]);
        let key = Key::Names(id(1), 0);
        fails::<Quiet>(&[
            pair(),
            later(|view| view.peers[0].records.extend([(key, version(1, 4))])),
        ]);
        fails::<Quiet>(&[pair(), later(|view| view.peers[0].spent = 4_000)]);
        let asked = later(|view| (view.asked, view.peers[0].spent) = (1, 4_000));
        holds::<Quiet>(&[pair(), asked]);
        // A second time of quiet begins anew.
        holds::<Quiet>(&[pair(), later(|_| {}), pair(), later(|_| {})]);
    }
}
