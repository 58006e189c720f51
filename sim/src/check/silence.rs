//! Who is told that others are silent, or cannot be heard, is told the truth: a part of
//! `ipam.true-refusal`.

use super::refusals::{LASTING, both_say};
use super::{Owned, PeerView, View};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use weft_core::addr::{Offset, Range};
use weft_core::id::PeerId;
use weft_core::io::{Command, CommandError};
use weft_core::time::Instant;

/// Owners are asked one after the other, and over the longest usual ways each takes 0.4 s to answer: so
/// many can be asked before a question is given up.
const ASKED_MAX: usize = 4;

/// Who gives up sooner than nodes usually do may give up on those that would have answered.
const ANSWERS_MIN: Duration = Duration::from_secs(2);

/// Owners are asked in turn to confirm what is a peer's own, one every 5 s at last: so many are sure to be
/// asked within a minute.
const WITNESSES_MAX: usize = 8;

/// With whom a host has links, and whether it was asked for the founding.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ties {
    boots: u64,
    linked: BTreeSet<PeerId>,
    asked_founding: bool,
}

impl Ties {
    fn of(peer: &PeerView) -> Self {
        let linked = peer.linked.values().map(|link| link.peer).collect();
        Self { boots: peer.boots, linked, asked_founding: peer.asked_founding }
    }
}

/// Nobody is told that an owner is silent, that nobody confirms what is its own, or that voters are too
/// few, while for a minute before the question it has had links with those who would have answered.
///
/// Of all that such answers may rest on without being wrong, each excuses them: that a link, a start, a
/// ledger or a gate of either changed since, that anything befell the world, that somebody has a list or
/// no room for records, or is there twice, or that it was told to wait for less long than usual.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// By host, how it is and since when.
    ties: BTreeMap<usize, (Ties, Instant)>,
}

/// Who was told, when it asked, and what.
pub(super) struct Answer<'a> {
    pub(super) host: usize,
    pub(super) here: &'a PeerView,
    pub(super) asked_at: Instant,
    pub(super) why: &'a CommandError,
}

/// A peer that would have answered.
struct Near<'a> {
    host: usize,
    id: PeerId,
    peer: &'a PeerView,
}

impl Silence {
    /// Takes in with whom a host has links.
    pub(super) fn look(&mut self, now: Instant, host: usize, peer: &PeerView) {
        let ties = Ties::of(peer);
        let (before, since) = self.ties.entry(host).or_default();
        if *before != ties {
            (*before, *since) = (ties, now);
        }
    }

    /// Judges an answer; `lasts` says of whom that it was sound and had what it has for so long.
    pub(super) fn judge(
        &self,
        view: &View,
        answer: &Answer<'_>,
        lasts: impl Fn(usize, &PeerView) -> bool,
    ) -> Result<(), String> {
        let Answer { host, here, asked_at, why } = *answer;
        let stays = |host: usize, peer: &PeerView| {
            let ties = self.ties.get(&host);
            ties.is_some_and(|(_, since)| *since + LASTING <= asked_at) && lasts(host, peer)
        };
        let (Some(me), true) = (here.id, view.disturbed_at + LASTING <= asked_at) else {
            return Ok(());
        };
        if here.told.allocate_max < ANSWERS_MIN {
            return Ok(());
        }
        if !(stays(host, here) && is_plain(view, here)) {
            return Ok(());
        }
        let near: Vec<Near<'_>> = view
            .live()
            .filter(|(other, peer)| *other != host && stays(*other, peer) && is_plain(view, peer))
            .filter_map(|(host, peer)| Some(Near { host, id: peer.id?, peer }))
            .filter(|near| knows(here, near.id) && knows(near.peer, me))
            .collect();
        let witness = match why {
            CommandError::OwnerSilent { address, .. } => owner_of(view, here, &near, *address),
            CommandError::OwnersSilent { subnet, .. } => {
                let range = view.universe.subrange(subnet.trunc());
                range.and_then(|range| all_owners(here, &near, range))
            }
            CommandError::NotMerged { .. } | CommandError::Doubted => {
                confirms(view, here, me, &near)
            }
            CommandError::NoQuorum { heard, needed, .. } => {
                founds(view, (host, here), &near, *heard, *needed)
            }
            CommandError::AddressTaken { .. }
            | CommandError::OutOfRange { .. }
            | CommandError::TooWide { .. }
            | CommandError::Edge { .. }
            | CommandError::HeldOtherwise { .. }
            | CommandError::Settling { .. }
            | CommandError::Observing { .. }
            | CommandError::Copied
            | CommandError::Exhausted { .. }
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
        };
        match witness {
            Some((other, does)) => {
                Err(format!("n{} is told: {why}; and n{} {does} for so long", host + 1, other + 1))
            }
            None => Ok(()),
        }
    }
}

/// Which host, and what it has done for long.
type Witness = Option<(usize, &'static str)>;

/// Whether nothing but what it is linked with decides what `peer` hears.
fn is_plain(view: &View, peer: &PeerView) -> bool {
    let alike = view.peers.iter().filter(|other| other.id == peer.id).count();
    !peer.busy && !peer.told.was_listed && !peer.lacks_room() && alike == 1
}

/// Whether `peer` has a link with `other`, and has had it in reach for long.
fn knows(peer: &PeerView, other: PeerId) -> bool {
    let is_linked = peer.linked.values().any(|link| link.peer == other);
    let since = peer.up.get(&other);
    is_linked && since.is_some_and(|since| *since + LASTING <= peer.mono)
}

/// Who hands out `address`, as both know.
fn owner_of(view: &View, here: &PeerView, near: &[Near<'_>], address: IpAddr) -> Witness {
    let at = view.universe.offset(address)?;
    let range = Range { start: at, end: Offset(at.0 + 1) };
    let owns = |near: &&Near<'_>| {
        near.peer.gate_open && both_say(here, near.peer, near.id, range).next().is_some()
    };
    Some((near.iter().find(owns)?.host, "owns it and has been linked"))
}

/// One of those who own addresses inside `range`, when all of them that are in reach hand out theirs, and
/// this is the only question that waits.
fn all_owners(here: &PeerView, near: &[Near<'_>], range: Range) -> Witness {
    let waits = here
        .waiting
        .iter()
        .any(|waiting| matches!(waiting.command, Command::Allocate { .. } | Command::Claim { .. }));
    let part = |owned: &&Owned| owned.range.intersection(range).is_some();
    let ledger = || here.ledger.iter().flatten().filter(part);
    let owners: BTreeSet<PeerId> = ledger().map(|owned| owned.owner).collect();
    let mut owners = owners.into_iter().filter(|owner| here.up.contains_key(owner)).peekable();
    owners.peek()?;
    if waits || here.refused.len() > 1 {
        return None;
    }
    let asked: Option<Vec<&Near<'_>>> = owners
        .map(|owner| near.iter().find(|near| near.id == owner && near.peer.gate_open))
        .collect();
    let asked = asked.filter(|asked| asked.len() <= ASKED_MAX)?;
    Some((asked.first()?.host, "and all other owners have been linked"))
}

/// Who has known the same of what is the own of `here`, and owns addresses itself; or anybody who knows
/// the same of all, where nobody else owns any.
fn confirms(view: &View, here: &PeerView, me: PeerId, near: &[Near<'_>]) -> Witness {
    let ledger = here.ledger.as_ref()?;
    let own = |ledger: &[Owned]| -> Vec<Owned> {
        ledger.iter().filter(|owned| owned.owner == me).copied().collect()
    };
    let owners: BTreeSet<PeerId> = ledger.iter().map(|owned| owned.owner).collect();
    let others = owners.iter().filter(|owner| **owner != me).count();
    if others == 0 {
        let same = |near: &&Near<'_>| near.peer.records == here.records;
        return Some((near.iter().find(same)?.host, "has had the same records"));
    }
    let whole = view.universe.range();
    let same = |near: &&Near<'_>| {
        let theirs = near.peer.ledger.as_deref().unwrap_or_default();
        both_say(here, near.peer, near.id, whole).next().is_some()
            && near.peer.lineage == here.lineage
            && own(theirs) == own(ledger)
    };
    let found = near.iter().find(same).filter(|_| others <= WITNESSES_MAX)?;
    Some((found.host, "has known the same of what it owns"))
}

/// Who knows of the founding, or counts peers that do not vote, or is one more voter than is counted, or of
/// a quorum that founds nothing.
fn founds(
    view: &View,
    (host, here): (usize, &PeerView),
    near: &[Near<'_>],
    heard: usize,
    needed: usize,
) -> Witness {
    let observes =
        |id: &PeerId| view.peers.iter().any(|peer| peer.id == Some(*id) && peer.told.observes);
    let voters = here.up.keys().filter(|id| !observes(id)).count();
    if heard > voters + usize::from(!here.told.observes) {
        return Some((host, "has counted some that do not vote"));
    }
    if let Some(near) = near.iter().find(|near| near.peer.ledger.is_some()) {
        return Some((near.host, "has known of the founding"));
    }
    let own = usize::from(!here.told.observes);
    let mut voters = near.iter().filter(|near| !near.peer.told.observes);
    let first = voters.next()?.host;
    let counted = 1 + voters.count() + own;
    if counted > heard {
        return Some((first, "and more than are counted have been linked"));
    }
    let is_quorum = counted >= needed;
    (is_quorum && here.asked_founding && own == 1)
        .then_some((first, "and a quorum have been linked"))
}

#[cfg(test)]
mod tests {
    use super::super::Waiting;
    use super::super::made_up::{changed, fails, holds, last, owned, secs, universe};
    use super::super::refusals::TrueRefusal;
    use super::*;
    use weft_core::id::PeerLabel;

    /// Two that hand out what they own, since a while ago, after `change`.
    fn before(change: &dyn Fn(&mut View)) -> View {
        changed(|view| {
            view.at = secs(10);
            view.peers.iter_mut().for_each(|peer| peer.gate_open = true);
            change(view);
        })
    }

    /// The same 71 s later, when `n1` is told `why`, which it asked a second before.
    fn told(why: &CommandError, change: &dyn Fn(&mut View)) -> View {
        before(&|view| {
            view.at = secs(81);
            view.peers[0].refused = vec![(secs(80), why.clone())];
            change(view);
        })
    }

    /// Whether it is a lie in a world that is always as `is`, and as `later` when it is told.
    fn is_lie(why: &CommandError, is: &dyn Fn(&mut View), later: &dyn Fn(&mut View)) -> bool {
        let after = told(why, &|view| {
            is(view);
            later(view);
        });
        let views = [before(is), after];
        let verdict = last(&mut TrueRefusal::default(), &views);
        verdict.is_err()
    }

    fn silent(last: u8) -> CommandError {
        let address = IpAddr::from([10, 0, 0, last]);
        let owner = PeerLabel::unheard(PeerId([2; 32]));
        CommandError::OwnerSilent { address, owner, why: "sleeps".to_owned() }
    }

    fn all_silent() -> CommandError {
        CommandError::OwnersSilent { subnet: "10.0.0.0/28".parse().unwrap(), silent: 1 }
    }

    const UNHEARD: CommandError = CommandError::NotMerged { owners: 1, leaving: 0, targets: 0 };

    fn no_quorum(heard: usize) -> CommandError {
        CommandError::NoQuorum { heard, needed: 2, universe: universe() }
    }

    /// The gate of `n1` is closed.
    fn shut(view: &mut View) {
        view.peers[0].gate_open = false;
    }

    /// `n1` knows of no founding, and was asked for it; nor does `n2`.
    fn unfounded(view: &mut View) {
        for peer in &mut view.peers {
            (peer.ledger, peer.lineage, peer.gate_open) = (None, None, false);
        }
        view.peers[0].asked_founding = true;
    }

    /// What makes a view another one.
    type Change = fn(&mut View);

    const SAME: Change = |_| {};

    #[test]
    fn true_refusal_fails_when_an_owner_is_said_to_be_silent_that_would_have_answered() {
        fails::<TrueRefusal>(&[before(&SAME), told(&silent(9), &SAME)]);
        fails::<TrueRefusal>(&[before(&SAME), told(&all_silent(), &SAME)]);
        // One's own address, and one of which the other end knows nothing.
        holds::<TrueRefusal>(&[before(&SAME), told(&silent(7), &SAME)]);
        let differ = |view: &mut View| view.peers[1].ledger = Some(vec![owned(0, 16, 0, 1)]);
        assert!(!is_lie(&silent(9), &differ, &SAME));
        // Nor one that gives up before an answer can be there.
        let hasty = |view: &mut View| {
            view.peers[0].told.allocate_max = ANSWERS_MIN.saturating_sub(Duration::from_millis(1));
        };
        assert!(!is_lie(&silent(9), &hasty, &SAME));
    }

    #[test]
    fn true_refusal_fails_when_the_gate_stays_closed_though_an_owner_knows_the_same() {
        assert!(is_lie(&UNHEARD, &shut, &SAME));
        let knows_better = |view: &mut View| {
            shut(view);
            view.peers[1].ledger = Some(vec![owned(0, 4, 0, 1), owned(4, 16, 1, 2)]);
        };
        assert!(!is_lie(&UNHEARD, &knows_better, &SAME));
        // Who owns nothing confirms nothing, unless all is one's own.
        let sole = |view: &mut View| {
            shut(view);
            view.peers.iter_mut().for_each(|peer| peer.ledger = Some(vec![owned(0, 16, 0, 1)]));
        };
        let why = CommandError::NotMerged { owners: 0, leaving: 0, targets: 1 };
        assert!(is_lie(&why, &sole, &SAME));
        assert!(!is_lie(&why, &sole, &|view| view.peers[1].records.clear()));
    }

    #[test]
    fn true_refusal_fails_when_a_quorum_is_missed_that_is_there_or_has_founded() {
        assert!(is_lie(&no_quorum(2), &unfounded, &SAME));
        assert!(is_lie(&no_quorum(1), &unfounded, &SAME));
        // Who does not vote is not counted.
        let observes = |view: &mut View| {
            unfounded(view);
            view.peers[1].told.observes = true;
        };
        assert!(!is_lie(&no_quorum(1), &observes, &SAME));
        assert!(is_lie(&no_quorum(2), &observes, &SAME));
        let unasked = |view: &mut View| {
            unfounded(view);
            view.peers[0].asked_founding = false;
        };
        assert!(!is_lie(&no_quorum(2), &unasked, &SAME));
        let founded = |view: &mut View| view.peers[1].ledger = Some(vec![owned(0, 16, 0, 2)]);
        let founded_long_ago = |view: &mut View| {
            observes(view);
            founded(view);
        };
        assert!(is_lie(&no_quorum(1), &founded_long_ago, &SAME));
        assert!(!is_lie(&no_quorum(2), &unfounded, &founded));
    }

    #[test]
    fn true_refusal_holds_when_anything_else_explains_that_nobody_was_heard() {
        let excuses: [Change; 12] = [
            |view| view.disturbed_at = secs(21),
            |view| view.peers[0].troubled_at = secs(21),
            |view| view.peers[1].troubled_at = secs(21),
            |view| view.peers[1].live = false,
            |view| view.peers[1].boots = 2,
            |view| view.peers[0].linked.clear(),
            |view| view.peers[1].linked.clear(),
            |view| view.peers[1].up.clear(),
            |view| *view.peers[0].up.values_mut().next().unwrap() = secs(41),
            |view| view.peers[1].told.was_listed = true,
            |view| view.peers[1].busy = true,
            |view| view.peers.push(view.peers[1].clone()),
        ];
        let answers: [(CommandError, Change); 4] = [
            (silent(9), |_| {}),
            (all_silent(), |_| {}),
            (UNHEARD, shut),
            (no_quorum(2), unfounded),
        ];
        for (why, is) in &answers {
            for excuse in excuses {
                assert!(!is_lie(why, is, &excuse), "{why}");
            }
        }
        // That a gate opens, and that others wait too, excuses silence only.
        let closed: fn(&mut View) = |view| view.peers[1].gate_open = false;
        assert!(!is_lie(&silent(9), &closed, &SAME) && !is_lie(&all_silent(), &closed, &SAME));
        let waits = |view: &mut View| {
            let command = Command::Claim {
                id: weft_core::id::ContainerId::dns(),
                address: "10.0.0.9/28".parse().unwrap(),
            };
            view.peers[0].waiting = vec![Waiting { since: secs(80), command }];
        };
        assert!(!is_lie(&all_silent(), &SAME, &waits));
    }
}
