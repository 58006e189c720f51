//! Rules about how soon hosts agree: `mesh.view-in-time` and `ipam.ledger-in-time`.

use super::trust::{self, Known};
use super::{PeerView, View};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;
use weft_core::id::{Incarnation, PeerId};
use weft_core::time::Instant;

/// Peers whose links have stood for so long, and have nothing new to tell, know the same, in a mesh
/// of [`FEW`] or fewer.
const AGREED_MAX: Duration = Duration::from_secs(5);
/// In a larger one it takes so many rounds more than the logarithm of their number…
const ROUNDS: u32 = 3;
/// …of comparisons. Source: `reconcile_wait` of the settings.
const ROUND: Duration = Duration::from_secs(10);
const FEW: usize = 100;
/// A link that is alive brings something this often: a heartbeat every 3 s, and some distance.
const ALIVE_MAX: Duration = Duration::from_millis(4_500);

/// Finds hosts that must know the same: by ways that work in both directions they make up one part
/// of the mesh, no fault is in force, and since a given time none of them has gained or lost a link,
/// started, or written a record.
#[derive(Debug, Default)]
pub struct Steady {
    /// By host: what it has and wrote, and since when.
    since: BTreeMap<usize, (u64, Instant)>,
    /// By the first host of a part: since when it was steady when it was last named.
    named: BTreeMap<usize, Instant>,
}

impl Steady {
    /// Those parts of the mesh that have become steady, each named once. A part to which something
    /// happens can become so again.
    pub fn look(&mut self, view: &View) -> Vec<BTreeSet<usize>> {
        let mut hosts: BTreeMap<PeerId, usize> = BTreeMap::new();
        for (host, peer) in view.peers.iter().enumerate() {
            let mark = mark(peer);
            let (before, since) = self.since.entry(host).or_insert((mark, view.at));
            if *before != mark || !peer.is_sound || !view.is_sound {
                (*before, *since) = (mark, view.at);
            }
            // Of two hosts with one identity nothing is asked.
            if let Some(id) = peer.id
                && hosts.insert(id, host).is_some()
            {
                return Vec::new();
            }
        }
        if !view.is_sound {
            return Vec::new();
        }
        let wait = agreed_max(view.peers.len());
        let mut left: BTreeSet<usize> = view.live().map(|(host, _)| host).collect();
        let mut steady = Vec::new();
        while let Some(first) = left.pop_first() {
            let mut part = BTreeSet::from([first]);
            let mut edge = vec![first];
            while let Some(at) = edge.pop() {
                for other in view.peers[at].proven.iter().filter_map(|id| hosts.get(id)) {
                    if left.remove(other) {
                        part.insert(*other);
                        edge.push(*other);
                    }
                }
            }
            let since = part.iter().filter_map(|host| Some(self.since.get(host)?.1)).max();
            let Some(since) = since.filter(|since| view.at.since(*since) >= wait) else { continue };
            let is_new = self.named.get(&first) != Some(&since);
            if is_new && part.iter().all(|host| stands(view, &hosts, *host)) {
                self.named.insert(first, since);
                steady.push(part);
            }
        }
        steady
    }
}

/// How long it may take until so many hosts agree.
fn agreed_max(hosts: usize) -> Duration {
    if hosts <= FEW {
        return AGREED_MAX;
    }
    ROUND * (hosts.next_power_of_two().ilog2() + ROUNDS)
}

/// What changes when something happens to a host.
fn mark(peer: &PeerView) -> u64 {
    let mut hasher = DefaultHasher::new();
    (peer.live, peer.busy, peer.boots, peer.version, peer.id).hash(&mut hasher);
    for (conn, linked) in &peer.linked {
        (conn, linked.peer).hash(&mut hasher);
    }
    peer.proven.hash(&mut hasher);
    peer.told.allowed.hash(&mut hasher);
    // Grants have no version that counts up: there is one more of them, or one less.
    let own = peer.papers.iter().filter(|(_, paper)| Some(paper.writer) == peer.id);
    own.for_each(|(key, _)| key.hash(&mut hasher));
    hasher.finish()
}

/// Whether `host` runs, has room for all records, and all of its links are alive at both ends.
fn stands(view: &View, hosts: &BTreeMap<PeerId, usize>, host: usize) -> bool {
    let Some(peer) = view.peers.get(host) else { return false };
    let alive = |peer: &PeerView, with: PeerId| {
        let mut links = peer.linked.values();
        links.any(|link| link.peer == with && peer.mono.since(link.heard_at) <= ALIVE_MAX)
    };
    let there = |id: &PeerId| view.peers.get(*hosts.get(id)?);
    let Some(me) = peer.id else { return false };
    let with: BTreeSet<PeerId> = peer.linked.values().map(|link| link.peer).collect();
    peer.live
        && !peer.busy
        && !peer.lacks_room()
        && peer.proven.is_subset(&with)
        && with.iter().all(|id| {
            alive(peer, *id)
                && there(id).is_some_and(|other| {
                    other.live
                        && alive(other, me)
                        && peer.proven.contains(id) == other.proven.contains(&me)
                })
        })
}

/// Steady hosts believe in exactly each other, and hold the same of what each says of itself; where
/// hosts have lists, as far as these let that through.
pub(super) fn same_view(view: &View) -> Result<(), String> {
    let hosts: BTreeMap<PeerId, usize> =
        view.peers.iter().enumerate().filter_map(|(host, peer)| Some((peer.id?, host))).collect();
    for part in &view.steady {
        let known = trust::known(view, &hosts, part);
        // What each was first found to say of itself, and at whom.
        let mut said: BTreeMap<PeerId, (usize, Option<Says<'_>>)> = BTreeMap::new();
        for (host, peer) in members(view, part) {
            let Some(Known { must, may }) = known.get(&host) else { continue };
            let in_reach: BTreeSet<PeerId> = peer.up.keys().copied().chain(peer.id).collect();
            // Where lists keep back what a host says, they also keep back that a stranger left it.
            let is_judged = |id: &&PeerId| must == may || hosts.contains_key(*id);
            let too_many = in_reach.difference(may).filter(is_judged);
            let wrong = must.difference(&in_reach).chain(too_many).next();
            if let Some(id) = wrong {
                let does = if in_reach.contains(id) { "reaches" } else { "does not reach" };
                return Err(format!(
                    "n{} believes that it {does} {}, though nothing has happened for a while",
                    host + 1,
                    view.label(*id)
                ));
            }
            for id in must {
                let says = peer.reachable.get(id).map(|(life, links)| (*life, links));
                let (other_host, before) = *said.entry(*id).or_insert((host, says));
                if before != says {
                    return Err(format!(
                        "n{} and n{} describe {} differently, though nothing has happened for a while",
                        other_host + 1,
                        host + 1,
                        view.label(*id)
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Which life of a peer, and its links.
type Says<'a> = (Incarnation, &'a BTreeSet<PeerId>);

/// Steady hosts know the same founding, and have the same ledger.
pub(super) fn same_ledger(view: &View) -> Result<(), String> {
    for part in &view.steady {
        let mut all = members(view, part);
        let Some((first, one)) = all.next() else { continue };
        if let Some((host, _)) =
            all.find(|(_, peer)| (&peer.lineage, &peer.ledger) != (&one.lineage, &one.ledger))
        {
            return Err(format!(
                "n{} and n{} differ about who owns what, though nothing has happened for a while",
                first + 1,
                host + 1
            ));
        }
    }
    Ok(())
}

fn members<'a>(
    view: &'a View,
    part: &'a BTreeSet<usize>,
) -> impl Iterator<Item = (usize, &'a PeerView)> {
    part.iter().filter_map(|host| Some((*host, view.peers.get(*host)?)))
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, id, owned, secs, version};
    use super::*;

    /// The sound pair at a time of the world and of both clocks, after `change`.
    fn at(millis: u64, change: impl FnOnce(&mut View)) -> View {
        let now = secs(100) + Duration::from_millis(millis);
        changed(|view| {
            view.at = now;
            for peer in &mut view.peers {
                peer.mono = now;
                peer.linked.values_mut().for_each(|link| link.heard_at = now);
            }
            change(view);
        })
    }

    /// What is steady at the last of these.
    fn steady(views: &[View]) -> usize {
        let (mut steady, mut found) = (Steady::default(), 0);
        for view in views {
            found = steady.look(view).len();
        }
        found
    }

    #[test]
    fn hosts_are_steady_once_nothing_has_happened_for_five_seconds() {
        assert_eq!(steady(&[at(0, |_| {}), at(4_999, |_| {})]), 0);
        assert_eq!(steady(&[at(0, |_| {}), at(5_000, |_| {})]), 1);
        // Each part is named once, and again after something has happened.
        assert_eq!(steady(&[at(0, |_| {}), at(5_000, |_| {}), at(6_000, |_| {})]), 0);
        let wrote = |view: &mut View| view.peers[0].version = version(1, 10);
        let again = [at(0, |_| {}), at(5_000, |_| {}), at(6_000, wrote), at(11_000, wrote)];
        assert_eq!(steady(&again), 1);
        // Two parts that have no link are steady each for itself.
        let apart = |view: &mut View| {
            for peer in &mut view.peers {
                peer.linked.clear();
                peer.proven.clear();
            }
        };
        assert_eq!(steady(&[at(0, apart), at(5_000, apart)]), 2);
    }

    #[test]
    fn hosts_are_not_steady_while_something_is_wrong() {
        for change in [
            |view: &mut View| view.is_sound = false,
            |view: &mut View| view.peers[1].is_sound = false,
            |view: &mut View| view.peers[0].version = version(1, 10),
            |view: &mut View| {
                view.peers[1].proven.clear();
            },
            |view: &mut View| {
                let link = view.peers[1].linked.values_mut().next().unwrap();
                link.heard_at = secs(100);
            },
            |view: &mut View| view.peers[1].id = view.peers[0].id,
        ] {
            assert_eq!(steady(&[at(0, |_| {}), at(5_000, change)]), 0);
        }
    }

    #[test]
    fn many_hosts_have_more_time() {
        assert_eq!(agreed_max(100), Duration::from_secs(5));
        assert_eq!(agreed_max(101), Duration::from_secs(100));
        assert_eq!(agreed_max(1_000), Duration::from_secs(130));
    }

    /// The pair while it is judged, after `change`.
    fn judged(change: impl FnOnce(&mut View)) -> View {
        changed(|view| {
            view.steady = vec![[0, 1].into()];
            for peer in &mut view.peers {
                let says = |other| (Incarnation(1), [other].into());
                peer.reachable = [(id(1), says(id(2))), (id(2), says(id(1)))].into();
            }
            change(view);
        })
    }

    #[test]
    fn same_view_fails_when_steady_hosts_know_others_or_other_things_of_each_other() {
        assert_eq!(same_view(&judged(|_| {})), Ok(()));
        assert!(same_view(&judged(|view| view.peers[0].up.clear())).is_err());
        let more = |view: &mut View| {
            view.peers[0].up.insert(id(9), secs(0));
        };
        assert!(same_view(&judged(more)).is_err());
        let old = |view: &mut View| {
            view.peers[1].reachable.insert(id(1), (Incarnation(0), [id(2)].into()));
        };
        assert!(same_view(&judged(old)).is_err());
        let not_yet = judged(|view| {
            old(view);
            view.steady.clear();
        });
        assert_eq!(same_view(&not_yet), Ok(()));
    }

    #[test]
    fn same_view_asks_for_nothing_that_a_list_keeps_away() {
        let listed = |view: &mut View| view.peers[0].told.allowed = Some([id(1)].into());
        let not_on_it = |view: &mut View| {
            listed(view);
            view.peers[0].up.clear();
        };
        assert_eq!(same_view(&judged(not_on_it)), Ok(()));
        assert!(same_view(&judged(listed)).is_err());
        // Who is told of a list is not steady for a while.
        assert_eq!(steady(&[at(0, |_| {}), at(5_000, listed), at(9_999, listed)]), 0);
        assert_eq!(steady(&[at(0, |_| {}), at(5_000, listed), at(10_000, listed)]), 1);
    }

    #[test]
    fn same_ledger_fails_when_steady_hosts_differ_about_who_owns_what() {
        assert_eq!(same_ledger(&judged(|_| {})), Ok(()));
        let other = |view: &mut View| view.peers[1].ledger = Some(vec![owned(0, 16, 1, 2)]);
        assert!(same_ledger(&judged(other)).is_err());
        assert!(same_ledger(&judged(|view| view.peers[1].ledger = None)).is_err());
    }
}
