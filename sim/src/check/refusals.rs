//! Who is refused an address is told the truth: `ipam.true-refusal`.

use super::silence::{Answer, Silence};
use super::{Invariant, Owned, PeerView, View, When};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use weft_core::addr::{Offset, Range};
use weft_core::id::{ContainerId, PeerId};
use weft_core::io::CommandError;
use weft_core::time::Instant;

/// What was so for this long before a question is what answers to it rest on: what was said before
/// that is over, however long it was under way.
pub(super) const LASTING: Duration = Duration::from_secs(60);

/// Of each interval of a ledger, so many addresses are looked at.
const LOOKED_AT: u128 = 4_096;

/// What of a host answers to questions for addresses rest on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    boots: u64,
    live: bool,
    gate_open: bool,
    ledger: Option<Vec<Owned>>,
}

impl Shape {
    fn is_of(&self, peer: &PeerView) -> bool {
        let Self { boots, live, gate_open, ledger } = self;
        (*boots, *live, *gate_open) == (peer.boots, peer.live, peer.gate_open)
            && *ledger == peer.ledger
    }

    fn of(peer: &PeerView) -> Self {
        let PeerView { boots, live, gate_open, .. } = *peer;
        Self { boots, live, gate_open, ledger: peer.ledger.clone() }
    }
}

/// Nobody is told that an address is taken, or that none is left, while for a minute before the
/// question a peer in reach has owned one that nobody held, and would have handed it out. What is said of
/// those who do not answer is judged by [`Silence`].
///
/// Only what nothing else explains is found fault with: all clocks and ways are sound, and neither of
/// the two has come to own anything else.
#[derive(Debug, Default)]
pub(super) struct TrueRefusal {
    /// By host, how it is and since when.
    shapes: BTreeMap<usize, (Shape, Instant)>,
    /// By host, what its node says is held, and what its containers have.
    held: BTreeMap<usize, [Holdings; 2]>,
    /// When each address that was given back was held last.
    freed: BTreeMap<IpAddr, Instant>,
    silence: Silence,
}

type Holdings = BTreeMap<ContainerId, BTreeSet<IpNet>>;

impl Invariant for TrueRefusal {
    fn name(&self) -> &'static str {
        "ipam.true-refusal"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.changed() {
            self.look(view.at, host, peer);
            self.silence.look(view.at, host, peer);
        }
        for (host, peer) in view.changed().filter(|(_, peer)| peer.live) {
            for (asked_at, why) in &peer.refused {
                self.judge(view, (host, peer), *asked_at, why)?;
            }
        }
        Ok(())
    }
}

impl TrueRefusal {
    /// Takes in how it stands with a host.
    fn look(&mut self, now: Instant, host: usize, peer: &PeerView) {
        let (shape, since) = self.shapes.entry(host).or_default();
        if !shape.is_of(peer) {
            (*shape, *since) = (Shape::of(peer), now);
        }
        let held = self.held.entry(host).or_default();
        for (before, is) in held.iter_mut().zip([&peer.noted, &peer.held]) {
            if before != is {
                self.freed.extend(addresses(before).map(|address| (address, now)));
                before.clone_from(is);
            }
        }
    }

    fn judge(
        &self,
        view: &View,
        (host, here): (usize, &PeerView),
        asked_at: Instant,
        why: &CommandError,
    ) -> Result<(), String> {
        let lasts = |since: Instant| since + LASTING <= asked_at;
        let is_lasting = |host: &usize, peer: &PeerView| {
            lasts(peer.troubled_at) && self.shapes.get(host).is_some_and(|(_, since)| lasts(*since))
        };
        let answer = Answer { host, here, asked_at, why };
        self.silence.judge(view, &answer, |host, peer| is_lasting(&host, peer))?;
        let Some((wanted, edges)) = wanted(view, why) else { return Ok(()) };
        if !lasts(view.troubled_at) || !is_lasting(&host, here) {
            return Ok(());
        }
        let held: BTreeSet<IpAddr> = self.held.values().flatten().flat_map(addresses).collect();
        let in_reach = |peer: &PeerView| {
            let since = peer.id.and_then(|id| here.up.get(&id));
            since.is_some_and(|since| *since + LASTING <= here.mono)
        };
        for (other, peer) in view.live() {
            let counts = peer.gate_open && (other == host || in_reach(peer));
            let Some(id) = peer.id.filter(|_| counts && is_lasting(&other, peer)) else { continue };
            let is_free = |at: &Offset| {
                let address = view.universe.address(*at);
                let is_held = held.contains(&address);
                let is_fresh = self.freed.get(&address).is_some_and(|freed| !lasts(*freed));
                !is_held && !is_fresh && !edges.contains(&Some(*at))
            };
            let found = both_say(here, peer, id, wanted).find(is_free);
            if let Some(free) = found {
                return Err(format!(
                    "n{} is told: {why}; and n{} has had {} for so long",
                    host + 1,
                    other + 1,
                    view.universe.address(free)
                ));
            }
        }
        Ok(())
    }
}

/// All that somebody has.
fn addresses(held: &Holdings) -> impl Iterator<Item = IpAddr> {
    held.values().flatten().map(IpNet::addr)
}

/// Which addresses were asked for, and which two of them nobody is given, when `why` says that there are none.
fn wanted(view: &View, why: &CommandError) -> Option<(Range, [Option<Offset>; 2])> {
    match why {
        CommandError::AddressTaken { address, held_by: None } => {
            let at = view.universe.offset(*address)?;
            Some((Range { start: at, end: Offset(at.0 + 1) }, [None, None]))
        }
        CommandError::Exhausted { subnet, .. } => {
            let edges = [subnet.network(), subnet.broadcast()];
            let edges = edges.map(|edge| view.universe.offset(edge));
            Some((view.universe.subrange(subnet.trunc())?, edges))
        }
        CommandError::AddressTaken { held_by: Some(_), .. }
        | CommandError::OwnerSilent { .. }
        | CommandError::OutOfRange { .. }
        | CommandError::TooWide { .. }
        | CommandError::Edge { .. }
        | CommandError::HeldOtherwise { .. }
        | CommandError::NoQuorum { .. }
        | CommandError::Observing { .. }
        | CommandError::NotMerged { .. }
        | CommandError::Copied
        | CommandError::Doubted
        | CommandError::OwnersSilent { .. }
        | CommandError::Settling { .. }
        | CommandError::NotHeld(_)
        | CommandError::StillInReach { .. }
        | CommandError::OwnersAway { .. }
        | CommandError::EvictionUnderWay { .. }
        | CommandError::Stranded { .. }
        | CommandError::NotTakenOver { .. }
        | CommandError::AllLeave
        | CommandError::EvictsItself
        | CommandError::TooManyVictims(_)
        | CommandError::TooManyEvictions(_)
        | CommandError::TooManyProposers(_)
        | CommandError::RoundsUsedUp { .. }
        | CommandError::TooManyNames(_)
        | CommandError::TooManyWaiting(_)
        | CommandError::Trust(_)
        | CommandError::Left
        | CommandError::Stopping
        | CommandError::Broken { .. } => None,
    }
}

/// Addresses in `wanted` of which `here` and `there` both say that they are `owner`'s.
pub(super) fn both_say(
    here: &PeerView,
    there: &PeerView,
    owner: PeerId,
    wanted: Range,
) -> impl Iterator<Item = Offset> {
    let of = move |peer: &PeerView| {
        let all = peer.ledger.iter().flatten().filter(move |entry| entry.owner == owner);
        all.filter_map(|entry| entry.range.intersection(wanted)).collect::<Vec<_>>()
    };
    let theirs = of(there);
    let both: Vec<Range> = of(here)
        .into_iter()
        .flat_map(|range| theirs.iter().filter_map(move |other| range.intersection(*other)))
        .collect();
    both.into_iter().flat_map(|range| {
        let end = range.end.0.min(range.start.0.saturating_add(LOOKED_AT));
        (range.start.0..end).map(Offset)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::made_up::{changed, fails, holds, owned, secs};
    use super::*;

    /// Two that hand out what they own, of which nobody holds anything, and since a while ago.
    fn before() -> View {
        let mut view = changed(|view| view.at = secs(10));
        view.peers.iter_mut().for_each(|peer| peer.gate_open = true);
        view
    }

    /// `n1` is refused what it asked for 70 s later, after `change`.
    fn refused(why: CommandError, change: impl FnOnce(&mut View)) -> View {
        let mut view = before();
        view.at = secs(81);
        view.peers[0].refused = vec![(secs(80), why)];
        change(&mut view);
        view
    }

    fn exhausted() -> CommandError {
        let subnet = "10.0.0.0/28".parse().unwrap();
        CommandError::Exhausted { subnet, owned: 8, elsewhere: 0, unreachable: 0 }
    }

    fn taken(last: u8) -> CommandError {
        CommandError::AddressTaken { address: IpAddr::from([10, 0, 0, last]), held_by: None }
    }

    /// `n1` holds all of its own but the first, which nobody is given, and `n2` what `held` says.
    fn holding(view: &mut View, held: &[u8]) {
        let net = |last: u8| IpNet::from(IpAddr::from([10, 0, 0, last]));
        view.peers[0].noted = [("c1".parse().unwrap(), (1..8).map(net).collect())].into();
        let held = held.iter().map(|last| net(*last)).collect();
        view.peers[1].noted = [("c2".parse().unwrap(), held)].into();
    }

    /// Somebody is told that none is left while `n2` has all but one of its own.
    pub(in super::super) fn lie() -> Vec<View> {
        let mut before = before();
        holding(&mut before, &[9]);
        vec![before, refused(exhausted(), |view| holding(view, &[9]))]
    }

    #[test]
    fn true_refusal_fails_when_somebody_has_what_was_asked_for() {
        let mut before = before();
        holding(&mut before, &[9]);
        let after = |why| refused(why, |view| holding(view, &[9]));
        fails::<TrueRefusal>(&[before.clone(), after(exhausted())]);
        fails::<TrueRefusal>(&[before.clone(), after(taken(10))]);
        holds::<TrueRefusal>(&[before.clone(), after(taken(9))]);
        // One's own, too.
        holding(&mut before, &[8, 9, 10, 11, 12, 13, 14]);
        let full = |more: fn(&mut View)| {
            refused(exhausted(), |view| {
                holding(view, &[8, 9, 10, 11, 12, 13, 14]);
                more(view);
            })
        };
        holds::<TrueRefusal>(&[before.clone(), full(|_| {})]);
        before.peers[0].noted.clear();
        fails::<TrueRefusal>(&[before, full(|view| view.peers[0].noted.clear())]);
    }

    #[test]
    fn true_refusal_holds_when_what_was_asked_for_was_not_there_for_long_or_cannot_be_had() {
        let mut before = before();
        holding(&mut before, &[9]);
        let changes: [fn(&mut View); 8] = [
            |view| view.peers[1].gate_open = false,
            |view| view.peers[1].live = false,
            |view| view.peers[1].boots = 2,
            |view| view.peers[1].troubled_at = secs(21),
            |view| view.troubled_at = secs(21),
            |view| view.peers[0].up.clear(),
            |view| *view.peers[0].up.values_mut().next().unwrap() = secs(41),
            // What it has come to own it may have been asked for before.
            |view| {
                let ledger = vec![owned(0, 7, 0, 1), owned(7, 16, 1, 2)];
                view.peers[1].ledger = Some(ledger);
            },
        ];
        for change in changes {
            let after = refused(exhausted(), |view| {
                holding(view, &[9]);
                change(view);
            });
            holds::<TrueRefusal>(&[before.clone(), after]);
        }
        // It was given back a moment ago.
        let given_back = changed(|view| {
            *view = before.clone();
            view.at = secs(21);
            holding(view, &[]);
        });
        let after = refused(taken(9), |view| holding(view, &[]));
        holds::<TrueRefusal>(&[before, given_back, after]);
    }
}
