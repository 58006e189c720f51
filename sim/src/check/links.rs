//! Rules about links over time: `mesh.dead-noticed`, `mesh.healed-link`.

use super::{Invariant, PeerView, View, When, trust_each_other};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weft_core::id::PeerId;
use weft_core::time::Instant;

/// A link that brings nothing for this long is over, on the clock of its node.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Nobody keeps a link that brought nothing for longer than a dead peer may go unnoticed. All that
/// is seen of a dead peer is its silence, so that silence is what is judged. A node that cannot run
/// just now is asked when it can again.
pub(super) fn dead_noticed(view: &View) -> Result<(), String> {
    for (host, peer) in view.live().filter(|(_, peer)| !peer.busy) {
        for linked in peer.linked.values() {
            let silence = peer.mono.since(linked.heard_at);
            if silence > SILENCE_MAX {
                return Err(format!(
                    "n{} believes in a link with {} that brought nothing for {silence:?}",
                    host + 1,
                    view.label(linked.peer)
                ));
            }
        }
    }
    Ok(())
}

/// A link comes back within this time after a short outage.
const HEALED_MAX: Duration = Duration::from_secs(10);
/// Longest wait between two dials.
const DIAL_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest wait for a peer that is out of reach, by the number of those in reach.
const DIAL_WAIT_PER_PEER: Duration = Duration::from_secs(4);
/// A dial that found nobody, or a handshake that hangs, lasts so long before the wait begins.
const HANG_MAX: Duration = Duration::from_secs(6);
/// Each wait between dials is at most 1.5 times a base that doubles, and at least half of it: the
/// waits of an outage together are then at least a third of the one that is under way.
const OUTAGE_FACTOR: u32 = 3;
/// A link that stood for so long, on the clocks of both its ends, is one that lasts.
const STOOD_MIN: Duration = Duration::from_secs(10);
/// Pairs are watched in meshes of at most so many hosts; in larger ones their number would cost
/// more than all the rest.
const HOSTS_MAX: usize = 32;

/// Once faults are over, two peers that were linked before and that the network connects are linked
/// again: within three times as long as they were apart, or 4 s for each peer that one of them has in
/// reach, itself included, or the longest wait for a dial, whatever is least, and 6 s for a dial that
/// is under way; but not before 10 s.
///
/// The bound follows the outage because waits between dials do: they double, up to a cap, which is the
/// higher the more there are to dial, so that a fleet stays quiet while an address is dead. How long
/// they were apart is told by the clocks of their nodes, whichever ran faster. A link that stood for
/// less than 10 s ends no outage: waits start over after one that lasted, else one that comes and goes
/// would be dialed without pause. Whoever was refused for what an operator must mend dials again as
/// late as that may be.
#[derive(Debug, Default)]
pub(super) struct Healed {
    /// Those that were linked at some time: who never met may not know of each other.
    met: BTreeSet<[Option<PeerId>; 2]>,
    apart: BTreeMap<(usize, usize), Apart>,
}

/// Two peers without a link that lasts.
#[derive(Clone, Copy, Debug)]
struct Apart {
    /// Since when, by the life and the clock of each of them.
    since: [Moment; 2],
    /// Since when they have a link all the same.
    linked: Option<[Moment; 2]>,
    /// Since when nothing keeps them from a link, on the world's clock, and how long they had been
    /// apart by then; and most peers that either has had in reach since.
    free: Option<(Instant, Duration, usize)>,
    /// Whether operators kept them apart at some time meanwhile.
    refused: bool,
}

impl Invariant for Healed {
    fn name(&self) -> &'static str {
        "mesh.healed-link"
    }
    fn when(&self) -> When {
        When::Regularly
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        if view.peers.len() > HOSTS_MAX {
            return Ok(());
        }
        for (a, one) in view.peers.iter().enumerate() {
            for (b, two) in view.peers.iter().enumerate().skip(a + 1) {
                let now = [(one.boots, one.mono), (two.boots, two.mono)];
                let links = [is_linked(one, two), is_linked(two, one)];
                let begun = || Apart { since: now, linked: None, free: None, refused: false };
                if links == [true, true] {
                    self.met.insert([one.id, two.id]);
                    let Some(apart) = self.apart.get_mut(&(a, b)) else { continue };
                    apart.free = None;
                    let [first, second] = *apart.linked.get_or_insert(now);
                    if length(first, one).min(length(second, two)) >= STOOD_MIN {
                        self.apart.remove(&(a, b));
                    }
                    continue;
                }
                let apart = self.apart.entry((a, b)).or_insert_with(begun);
                apart.linked = None;
                apart.refused |= !trust_each_other(one, two);
                let outage = length(apart.since[0], one).max(length(apart.since[1], two));
                // Who still believes in a link has yet to notice, which is another rule's concern.
                let has_met = self.met.contains(&[one.id, two.id]);
                let is_free = links == [false, false] && has_met && may_link(view, a, b);
                if !is_free {
                    apart.free = None;
                    continue;
                }
                let in_reach = one.reachable.len().max(two.reachable.len());
                let (since, outage, most) = apart.free.get_or_insert((view.at, outage, 0));
                *most = in_reach.max(*most);
                let (since, outage) = (*since, *outage);
                let longest = match u32::try_from(*most) {
                    Ok(most) if !apart.refused => DIAL_WAIT_MAX.min(DIAL_WAIT_PER_PEER * most),
                    Ok(_) | Err(_) => DIAL_WAIT_MAX,
                };
                let wait = if apart.refused { longest } else { outage * OUTAGE_FACTOR };
                let bound = wait.min(longest) + HANG_MAX;
                let bound = bound.max(HEALED_MAX);
                if view.at.since(since) > bound {
                    return Err(format!(
                        "n{} and n{} could be linked since {since} and are not after {bound:?}; they \
                         had been apart for {outage:?}",
                        a + 1,
                        b + 1
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether all pairs of peers that look for a link with each other have one, and nobody is going to
/// dial.
pub fn all_linked(view: &View) -> bool {
    let dials = |peer: &PeerView| peer.sizes.postponed + peer.sizes.dialing > 0;
    if view.live().any(|(_, peer)| dials(peer)) {
        return false;
    }
    let hosts = || 0..view.peers.len();
    let mut pairs = hosts().flat_map(|a| hosts().skip(a + 1).map(move |b| (a, b)));
    pairs.all(|(a, b)| {
        let (one, two) = (&view.peers[a], &view.peers[b]);
        is_linked(one, two) && is_linked(two, one) || !may_link(view, a, b)
    })
}

fn is_linked(peer: &PeerView, other: &PeerView) -> bool {
    peer.live && peer.linked.values().any(|linked| Some(linked.peer) == other.id)
}

/// Which life of a node, and when on its clock.
type Moment = (u64, Instant);

/// How long ago that was for `peer`, on its own clock; what was in an earlier life is forgotten.
fn length((boots, since): Moment, peer: &PeerView) -> Duration {
    peer.mono.since(if peer.boots == boots { since } else { Instant::ZERO })
}

/// Whether nothing keeps `a` and `b` from a link, and one of them looks for it: where all link with all,
/// which takes places for all and one more.
fn may_link(view: &View, a: usize, b: usize) -> bool {
    let (one, two) = (&view.peers[a], &view.peers[b]);
    let runs = |peer: &PeerView| peer.live && !peer.busy;
    let same = one.told.universe == two.told.universe && trust_each_other(one, two);
    let founded = one.lineage.is_none() || two.lineage.is_none() || one.lineage == two.lineage;
    let has_room = |peer: &PeerView| view.peers.len() < peer.told.conns_max;
    let ids: BTreeSet<Option<PeerId>> = [one.id, two.id].into();
    view.calm_at.is_some()
        && one.near.contains(&b)
        && runs(one)
        && runs(two)
        && same
        && founded
        && has_room(one)
        && has_room(two)
        && ids.len() == 2
        && one.told.discovers
        && two.told.discovers
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, fails, holds, id, pair, secs};
    use super::*;
    use weft_core::config::NetworkSecret;
    use weft_core::id::Incarnation;

    #[test]
    fn dead_noticed_fails_when_a_silent_link_is_kept() {
        assert_eq!(dead_noticed(&pair()), Ok(()));
        let later = changed(|view| view.peers[0].mono = secs(115));
        assert!(dead_noticed(&later).is_err());
        let stopped = changed(|view| {
            view.peers[0].mono = secs(115);
            view.peers[0].busy = true;
        });
        assert_eq!(dead_noticed(&stopped), Ok(()));
    }

    /// Both peers without a link, at a time of the world and of their clocks.
    fn apart(at: u64) -> View {
        changed(|view| {
            view.at = secs(at);
            for peer in &mut view.peers {
                peer.linked.clear();
                peer.mono = secs(at);
            }
        })
    }

    /// `view`, in which one of them has so many peers in reach.
    fn with(mut view: View, in_reach: u8) -> View {
        let peer = |n| (id(n), (Incarnation(1), BTreeSet::new()));
        view.peers[0].reachable = (0..in_reach).map(peer).collect();
        view
    }

    /// Both peers with their link.
    fn linked(at: u64) -> View {
        changed(|view| {
            view.at = secs(at);
            view.peers.iter_mut().for_each(|peer| peer.mono = secs(at));
        })
    }

    #[test]
    fn healed_link_does_not_take_a_link_that_did_not_last_for_the_end_of_an_outage() {
        let cut = |at: u64| {
            let mut view = apart(at);
            view.peers[0].near.clear();
            view
        };
        let before = [linked(90), cut(100), cut(120), linked(121)];
        let many = |at| with(apart(at), 40);
        let after = |last| [before.to_vec(), vec![many(125), many(last)]].concat();
        holds::<Healed>(&after(190));
        let lasted = [before.to_vec(), vec![linked(131), many(132), many(143)]].concat();
        fails::<Healed>(&lasted);
    }

    #[test]
    fn healed_link_fails_after_ten_seconds_when_the_outage_was_short() {
        holds::<Healed>(&[pair(), apart(101), apart(110), linked(111), linked(121), apart(130)]);
        fails::<Healed>(&[pair(), apart(101), apart(111), apart(112)]);
    }

    #[test]
    fn healed_link_waits_longer_after_a_longer_outage_but_not_for_ever() {
        let cut = |at: u64| {
            let mut view = apart(at);
            view.peers[0].near.clear();
            view
        };
        let many = |at| with(apart(at), 40);
        holds::<Healed>(&[linked(90), cut(100), cut(110), many(111), many(150)]);
        fails::<Healed>(&[linked(90), cut(100), cut(110), many(111), many(151)]);
        holds::<Healed>(&[linked(90), cut(100), cut(900), many(901), many(966)]);
        fails::<Healed>(&[linked(90), cut(100), cut(900), many(901), many(968)]);
        let few = |at| with(apart(at), 2);
        holds::<Healed>(&[linked(90), cut(100), cut(900), few(901), few(914)]);
        fails::<Healed>(&[linked(90), cut(100), cut(900), few(901), few(916)]);
    }

    #[test]
    fn healed_link_waits_longest_for_those_that_an_operator_kept_apart() {
        let refused = changed(|view| {
            *view = apart(101);
            view.peers[0].told.allowed = Some([id(1)].into());
        });
        holds::<Healed>(&[pair(), refused.clone(), apart(102), apart(167)]);
        fails::<Healed>(&[pair(), refused, apart(102), apart(169)]);
    }

    #[test]
    fn healed_link_asks_for_nothing_that_cannot_be() {
        for change in [
            |view: &mut View| view.calm_at = None,
            |view: &mut View| view.peers[0].near.clear(),
            |view: &mut View| view.peers[1].live = false,
            |view: &mut View| view.peers[1].told.universe = None,
            |view: &mut View| view.peers[1].told.discovers = false,
            |view: &mut View| view.peers[0].told.allowed = Some([id(3)].into()),
            |view: &mut View| {
                view.peers[1].told.secrets = vec![NetworkSecret::Password([1; 32])];
            },
        ] {
            let with = |at| {
                let mut view = apart(at);
                change(&mut view);
                view
            };
            holds::<Healed>(&[pair(), with(100), with(300)]);
        }
    }

    #[test]
    fn all_linked_is_false_while_a_pair_lacks_its_link_or_somebody_is_going_to_dial() {
        assert!(all_linked(&pair()));
        assert!(!all_linked(&apart(100)));
        assert!(!all_linked(&changed(|view| view.peers[0].sizes.postponed = 1)));
    }
}
