//! Rules about evictions: `ipam.taken-over-in-time` and `ipam.eviction-ends`.

use super::{Invariant, PeerView, View, When};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weft_core::id::PeerId;
use weft_core::io::Command;
use weft_core::ipam::freeze::{Eviction, Phase, Stance};
use weft_core::time::Instant;

/// An eviction that was begun is finished or undone after so long.
const ENDS_MAX: Duration = Duration::from_secs(30);

/// A node has answered that it took over what others owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// From whom.
    pub victims: BTreeSet<PeerId>,
    /// Those of them of whom it knew, when it was asked, that they owned something. Of the others it can only
    /// say that it has heard of nothing.
    pub owners: BTreeSet<PeerId>,
    /// How often each host had started by then.
    pub boots: Vec<u64>,
    /// How often its disk had come to hold other than its node had it hold.
    pub losses: u64,
}

impl Taken {
    /// Those of `peers` that cannot have been given anything since: nobody runs under their ids, nor has since.
    fn gone<'a>(
        &'a self,
        peers: &'a BTreeSet<PeerId>,
        view: &'a View,
    ) -> impl Iterator<Item = PeerId> + 'a {
        let is_gone = |id: &PeerId| {
            view.host_of(*id).is_none_or(|host| {
                let peer = &view.peers[host];
                !peer.live && self.boots.get(host) == Some(&peer.boots)
            })
        };
        peers.iter().copied().filter(is_gone)
    }
}

/// Who is told that the addresses of evicted peers were taken over finds nothing of theirs in its ledger…
#[derive(Debug, Default)]
pub(super) struct AtOnce {
    /// By host: how many answers were judged.
    judged: BTreeMap<usize, usize>,
}

impl Invariant for AtOnce {
    fn name(&self) -> &'static str {
        "ipam.taken-over-in-time"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        // What a node decided is read once all of it has come out.
        for (host, peer) in view.changed().filter(|(_, peer)| peer.live && !peer.busy) {
            let judged = self.judged.entry(host).or_default();
            for taken in peer.taken.iter().skip(*judged) {
                owns_nothing(view, (host, peer), taken.gone(&taken.victims, view), host)?;
            }
            *judged = peer.taken.len();
        }
        Ok(())
    }
}

/// …and nor does anybody with whom it agrees by then, if it knew when it was asked that they owned something:
/// among hosts that are steady, 5 s after their last news.
pub(super) fn everywhere(view: &View) -> Result<(), String> {
    for part in &view.steady {
        let members = || part.iter().filter_map(|host| Some((*host, view.peers.get(*host)?)));
        for (asked, at) in members() {
            // What its disk has lost since, it may have to be told again.
            for taken in at.taken.iter().filter(|taken| taken.losses == at.losses) {
                for member in members().filter(|(_, peer)| peer.lineage == at.lineage) {
                    owns_nothing(view, member, taken.gone(&taken.owners, view), asked)?;
                }
            }
        }
    }
    Ok(())
}

/// By the ledger of `host`, none of `gone` owns anything, from whom the host `asked` took over.
fn owns_nothing(
    view: &View,
    (host, peer): (usize, &PeerView),
    gone: impl Iterator<Item = PeerId>,
    asked: usize,
) -> Result<(), String> {
    for victim in gone {
        let mut owned = peer.ledger.iter().flatten().filter(|owned| owned.owner == victim);
        if let Some(owned) = owned.next() {
            return Err(format!(
                "by the ledger of n{}, {} owns {}, though n{} was told that this was taken over",
                host + 1,
                view.label(victim),
                view.universe.address(owned.range.start),
                asked + 1
            ));
        }
    }
    Ok(())
}

/// Nobody goes on with an eviction, or refuses gifts of its victim, for longer than 30 s after the last
/// command that wanted it, while it can reach the proposer.
///
/// While the proposer is away there is no such bound: it may have taken over, so who has frozen for it waits
/// until it is back, or somebody evicts it too. Of hosts with lists and without room for records nothing is
/// asked: they may never hear what the proposer says.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// By host and victim: which eviction it speaks of, and since when it has had no reason to.
    since: BTreeMap<(usize, PeerId), (Eviction, Instant)>,
}

impl Invariant for Ends {
    fn name(&self) -> &'static str {
        "ipam.eviction-ends"
    }
    fn when(&self) -> When {
        When::Regularly
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        let before = std::mem::take(&mut self.since);
        for (host, peer) in view.live().filter(|(_, peer)| is_plain(peer)) {
            let busy = peer.stances.iter().filter(|(_, it)| it.phase != Phase::CalledOff);
            for (victim, Stance { eviction, phase, .. }) in busy {
                let Some(proposer) = view.host_of(eviction.proposer) else { continue };
                if !view.is_sound || !should_end(view, host, proposer) {
                    continue;
                }
                let known = before.get(&(host, *victim)).filter(|(known, _)| known == eviction);
                let since = known.map_or(view.at, |(_, since)| *since);
                if view.at.since(since) > ENDS_MAX {
                    return Err(format!(
                        "n{} is {phase:?} in the eviction of {} that n{} proposed, and nobody has waited for it \
                         for {:?}",
                        host + 1,
                        view.label(*victim),
                        proposer + 1,
                        view.at.since(since)
                    ));
                }
                self.since.insert((host, *victim), (*eviction, since));
            }
        }
        Ok(())
    }
}

/// Whether `host` must be told by `proposer` that its eviction is over.
fn should_end(view: &View, host: usize, proposer: usize) -> bool {
    let (Some(here), Some(there)) = (view.peers.get(host), view.peers.get(proposer)) else {
        return false;
    };
    let evicts = |command: &Command| matches!(command, Command::Evict { .. });
    let waits = there.waiting.iter().any(|waiting| evicts(&waiting.command));
    let reaches =
        |one: &PeerView, two: &PeerView| two.id.is_some_and(|id| one.up.contains_key(&id));
    let is_one = host == proposer;
    there.live
        && is_plain(there)
        && !waits
        && (is_one || reaches(here, there) && reaches(there, here))
}

/// Whether it hears all that is said, and is quick.
fn is_plain(peer: &PeerView) -> bool {
    peer.is_sound && !peer.told.was_listed && !peer.lacks_room()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::made_up::{changed, fails, holds, id, owned, secs};
    use super::*;
    use weft_core::record::Fingerprint;

    /// `n1` was told that it took over from peer 3, which nobody runs as.
    pub(in super::super) fn taken(change: impl FnOnce(&mut View)) -> View {
        changed(|view| {
            let victims = BTreeSet::from([id(3)]);
            let owners = victims.clone();
            view.peers[0].taken = vec![Taken { victims, owners, boots: vec![1, 1], losses: 0 }];
            view.steady = vec![[0, 1].into()];
            change(view);
        })
    }

    /// `host` says that peer 3 owns something.
    pub(in super::super) fn left_at(view: &mut View, host: usize) {
        view.peers[host].ledger = Some(vec![owned(0, 8, 0, 1), owned(8, 16, 0, 3)]);
    }

    /// `n2` has frozen what peer 3 owned for `n1`.
    pub(in super::super) fn frozen(at: u64, change: impl FnOnce(&mut View)) -> View {
        changed(|view| {
            view.at = secs(at);
            let eviction = Eviction { round: 1, proposer: id(1), nonce: 0 };
            let view_of = Fingerprint([0; 16]);
            let stance = Stance { eviction, phase: Phase::Frozen, view: view_of };
            view.peers[1].stances = [(id(3), stance)].into();
            change(view);
        })
    }

    #[test]
    fn who_took_over_has_nothing_left_of_the_victim_or_the_rule_fails() {
        holds::<AtOnce>(&[taken(|_| {}), taken(|view| left_at(view, 1))]);
        fails::<AtOnce>(&[taken(|view| left_at(view, 0))]);
        // It is judged once all has come out, and once.
        let busy = |view: &mut View| {
            left_at(view, 0);
            view.peers[0].busy = true;
        };
        holds::<AtOnce>(&[taken(busy)]);
        fails::<AtOnce>(&[taken(busy), taken(|view| left_at(view, 0))]);
        holds::<AtOnce>(&[taken(|_| {}), taken(|view| left_at(view, 0))]);
    }

    #[test]
    fn steady_hosts_have_nothing_left_of_the_victim_or_the_rule_fails() {
        assert_eq!(everywhere(&taken(|_| {})), Ok(()));
        assert!(everywhere(&taken(|view| left_at(view, 0))).is_err());
        assert!(everywhere(&taken(|view| left_at(view, 1))).is_err());
        for excuse in [
            |view: &mut View| view.steady.clear(),
            |view: &mut View| view.peers[0].losses = 1,
            // Others knew of what it was given, and could not be asked.
            |view: &mut View| view.peers[0].taken[0].owners.clear(),
            // It runs, or did since: it may have been given something.
            |view: &mut View| view.peers[1].id = Some(id(3)),
            |view: &mut View| {
                view.peers[1].id = Some(id(3));
                (view.peers[1].live, view.peers[1].boots) = (false, 2);
            },
        ] {
            let excused = taken(|view| {
                left_at(view, 0);
                excuse(view);
            });
            assert_eq!(everywhere(&excused), Ok(()));
        }
    }

    #[test]
    fn an_eviction_ends_half_a_minute_after_anybody_waits_for_it_or_the_rule_fails() {
        holds::<Ends>(&[frozen(100, |_| {}), frozen(130, |_| {})]);
        fails::<Ends>(&[frozen(100, |_| {}), frozen(131, |_| {})]);
        let another = |view: &mut View| {
            let stance = view.peers[1].stances.get_mut(&id(3)).unwrap();
            stance.eviction.round = 2;
        };
        holds::<Ends>(&[frozen(100, |_| {}), frozen(131, another)]);
        let own =
            |view: &mut View| view.peers[0].stances = std::mem::take(&mut view.peers[1].stances);
        fails::<Ends>(&[frozen(100, own), frozen(131, own)]);
        let waits = |view: &mut View| {
            let command = Command::Evict { peers: [id(3)].into(), force: false, wait: false };
            view.peers[0].waiting = vec![super::super::Waiting { since: view.at, command }];
        };
        let away = |view: &mut View| view.peers[1].up.clear();
        let stopped = |view: &mut View| view.peers[0].live = false;
        let troubled = |view: &mut View| view.is_sound = false;
        for excuse in [waits, away, stopped, troubled] {
            holds::<Ends>(&[frozen(100, |_| {}), frozen(120, excuse), frozen(149, |_| {})]);
        }
        let off = |view: &mut View| {
            own(view);
            view.peers[0].stances.get_mut(&id(3)).unwrap().phase = Phase::CalledOff;
        };
        holds::<Ends>(&[frozen(100, off), frozen(131, off)]);
    }
}
