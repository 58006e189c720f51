//! How peers agree that what a dead peer owned passes to another one: an *eviction*.
//!
//! Whoever takes over what a peer owned must know of all that this peer gave away. So all who may have
//! been given something by it, those who own addresses and those who can be reached, first come to know
//! the same of what it owns, and then *freeze* it: they take no further grant that it wrote. Only then is
//! it known for good what is left, and the proposer of the eviction becomes its owner.
//!
//! ```text
//!   proposer   gathering ──────────► frozen ──────────► takes over
//!                  │ all know the same  │ all have frozen
//!   others     gathering ──────────► frozen ──────────► the victim owns nothing: over
//! ```
//! Each peer writes one [`Freeze`]. [`follow`] is what it writes next by what it knows, and [`stage`] how
//! far a proposer is: both are pure, so that all their orders can be tried.
//!
//! That everybody has to agree, the other proposer included, decides between rivals: a proposer follows
//! a later eviction of the same victim and takes over nothing from then on, or has taken over before it
//! follows, which is then what all have to know. An eviction raises the epochs of what it takes over by its
//! round, so that a takeover that is lost with its proposer counts below that of the eviction after it.
//!
//! Who has frozen for one proposer cannot know whether that one has taken over since. So it goes over to
//! a later eviction only once that proposer says that it gives its own up, or the later one's says that it
//! is gone for good: a gift that is taken in meanwhile would be of addresses that have another owner by then.

use crate::addr::Range;
use crate::id::PeerId;
use crate::mark::{Mark, mark};
use crate::record::Fingerprint;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Names an eviction. Of two of one victim the later one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Eviction {
    /// One above all of the same victim that its proposer knows of ([`super::rounds`]); by so much the epochs
    /// of what is taken over are raised.
    pub round: u64,
    /// Who takes over.
    pub proposer: PeerId,
    /// Drawn for each: a proposer whose disk was put back must not take answers to an earlier one for
    /// answers to this one.
    pub nonce: u64,
}

/// How far an eviction is, by one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// It says what it knows, and still takes in what the victim gave away.
    Gathering,
    /// It takes no further grant of the victim.
    Frozen,
    /// Only by its proposer: nothing is taken over.
    CalledOff,
}

/// What one peer says of the eviction of one victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stance {
    /// Of which.
    pub eviction: Eviction,
    /// How far it is.
    pub phase: Phase,
    /// Of all that the victim owns by what the writer knows ([`super::Witnessed`]).
    pub view: Fingerprint,
}

/// Body of [`crate::record::Key::Freeze`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Freeze {
    /// By victim, what the writer says of its eviction.
    pub stances: BTreeMap<PeerId, Stance>,
    /// Proposers of evictions for which somebody has frozen, and of which the writer's operator says that
    /// they are gone for good: they will not go on, and what they may have taken over is up to those who
    /// know of it.
    pub gone: BTreeSet<PeerId>,
    /// What containers on the writer's host have of what its victims own, in order: a host that lost its state
    /// folder runs on as another peer. Whoever takes over gives it that at once. More than [`HELD_MAX`] ranges
    /// are not said: they are asked for ([`super::regain`]).
    pub held: Vec<Range>,
}

/// What the peers that are known say, one's own included.
pub type Freezes = BTreeMap<PeerId, Freeze>;

/// Most victims at a time: a rack, or a fleet of machines that were short-lived. What is said of so many
/// fits one record twice ([`crate::record::Record::BODY_LEN_MAX`]).
pub const VICTIMS_MAX: usize = 1_024;

/// Most ranges of what containers have that one peer says. Of more than a host has containers, each with an
/// address of its own; it fits one record beside what is said of all victims.
pub const HELD_MAX: usize = 1_024;

/// The last round. Evictions would count so far only for the lies of somebody, see
/// [`super::rounds`].
pub const ROUND_MAX: u64 = 1 << 42;

impl Freeze {
    /// Whether `writer`, when it keeps the rules, could have written it.
    pub fn is_sound(&self, writer: PeerId) -> bool {
        let off = |stance: &Stance| stance.phase == Phase::CalledOff;
        self.stances.len() <= VICTIMS_MAX
            && self.gone.len() <= VICTIMS_MAX
            && self.held.len() <= HELD_MAX
            && self.held.iter().all(|range| !range.is_empty())
            && self.held.is_sorted_by(|before, after| before.end <= after.start)
            && !self.stances.contains_key(&writer)
            && !self.gone.contains(&writer)
            && self.stances.values().all(|it| !off(it) || it.eviction.proposer == writer)
            && self.stances.values().all(|it| (1..=ROUND_MAX).contains(&it.eviction.round))
    }

    /// Takes in what the same writer said `then`, in a time that it has forgotten. Who had frozen has, also
    /// when it followed a later eviction since: whether it may go over to that one, [`follow`] says.
    pub(super) fn recall(&mut self, then: &Self) {
        for (victim, stance) in &then.stances {
            let order = |it: &Stance| (it.phase == Phase::Frozen, it.eviction, it.phase);
            let own = self.stances.entry(*victim).or_insert(*stance);
            if order(stance) > order(own) {
                *own = *stance;
            }
        }
    }

    /// Whether no further grant of `peer` is taken.
    pub fn holds(&self, peer: PeerId) -> bool {
        self.stances.get(&peer).is_some_and(|stance| stance.phase == Phase::Frozen)
    }
}

/// What `me` writes next, given all it knows: `view` is of what a peer owns, `None` when that is nothing,
/// and `is_alive` says whether it can be reached. What containers have is left to whoever knows of them.
///
/// It follows the latest eviction of each victim that its proposer still pursues. With whom it hears
/// itself it does so only when it has begun to: nobody alive is evicted while one honest peer hears it.
pub fn follow(
    me: PeerId,
    freezes: &Freezes,
    view: impl Fn(PeerId) -> Option<Fingerprint>,
    is_alive: impl Fn(PeerId) -> bool,
) -> Freeze {
    let nothing = Freeze::default();
    let own = freezes.get(&me).unwrap_or(&nothing);
    let mut next = BTreeMap::new();
    let others: BTreeSet<PeerId> =
        freezes.values().flat_map(|it| it.stances.keys().copied()).collect();
    // With whom it hears itself it has nothing to do unless it has begun to, however many are named.
    let others = others
        .into_iter()
        .filter(|victim| *victim != me && !own.stances.contains_key(victim) && !is_alive(*victim));
    // Our own come first: what we have frozen must not give way to evictions that somebody made up.
    for victim in own.stances.keys().copied().chain(others) {
        let Some(view) = view(victim) else {
            // Taken over, or never an owner.
            continue;
        };
        let said =
            |peer: PeerId| freezes.get(&peer).and_then(|it| it.stances.get(&victim)).copied();
        let is_off = |stance: &Stance| stance.phase == Phase::CalledOff;
        // Its proposer gave it up, or goes on with another one, and will take nothing over by it.
        let is_void = |Stance { eviction, .. }: &Stance| {
            eviction.proposer != me
                && said(eviction.proposer).is_some_and(|it| it.eviction != *eviction || is_off(&it))
        };
        let given_up = own.stances.get(&victim).copied().filter(is_void);
        let before = own.stances.get(&victim).copied().filter(|stance| !is_void(stance));
        let pursued = freezes
            .keys()
            .filter(|peer| **peer != me)
            .filter_map(|peer| {
                said(*peer).filter(|it| it.eviction.proposer == *peer && !is_off(it))
            })
            .max_by_key(|stance| stance.eviction);
        // Whether it may have taken over what we froze for it.
        let may_own = |Stance { eviction, phase, .. }: &Stance, later: &Stance| {
            let is_gone = |said: &Freeze| said.gone.contains(&eviction.proposer);
            *phase == Phase::Frozen
                && eviction.proposer != me
                && !freezes.get(&later.eviction.proposer).is_some_and(is_gone)
        };
        let stance = match (before, pursued) {
            (None, Some(pursued)) if !is_alive(victim) => Some(joined(pursued, view)),
            // It stays on record: who follows one of ours that gave way to it may have missed that.
            (None, _) => given_up.map(|Stance { eviction, .. }| Stance {
                eviction: Eviction { proposer: me, ..eviction },
                phase: Phase::CalledOff,
                view,
            }),
            (Some(before), Some(pursued))
                if before.eviction < pursued.eviction && !may_own(&before, &pursued) =>
            {
                if before.eviction.proposer == me && !is_off(&before) {
                    mark(Mark::EvictionYields);
                }
                Some(joined(pursued, view))
            }
            (Some(before), Some(pursued))
                if before.eviction == pursued.eviction && before.phase == Phase::Gathering =>
            {
                Some(joined(pursued, view))
            }
            (Some(before), _) if before.phase == Phase::Gathering => {
                Some(Stance { view, ..before })
            }
            (Some(before), _) => Some(before),
        };
        if let Some(stance) = stance
            && next.len() < VICTIMS_MAX
        {
            next.insert(victim, stance);
        }
    }
    // What was said of who is gone holds as long as we pursue anything.
    let pursues =
        next.values().any(|it| it.eviction.proposer == me && it.phase != Phase::CalledOff);
    let gone = if pursues { own.gone.clone() } else { BTreeSet::new() };
    Freeze { stances: next, gone, held: Vec::new() }
}

/// Who, besides `me`, may take over what `victim` owns, or has already: for them somebody has frozen, as
/// far as is known. They have to give that up before another one can.
pub fn takers(me: PeerId, victim: PeerId, freezes: &Freezes) -> BTreeSet<PeerId> {
    let stances = freezes.iter().filter_map(|(who, said)| Some((*who, said.stances.get(&victim)?)));
    let frozen = stances.filter(|(_, stance)| stance.phase == Phase::Frozen);
    // What a proposer says of its own is not enough for it, and stays for ever when it dies.
    let others = frozen.filter(|(who, stance)| stance.eviction.proposer != *who);
    let proposers = others.map(|(_, stance)| stance.eviction.proposer);
    proposers.filter(|proposer| *proposer != me).collect()
}

/// What is said by who follows `pursued` and knows `view` of the victim.
fn joined(pursued: Stance, view: Fingerprint) -> Stance {
    let is_same = pursued.phase == Phase::Frozen && pursued.view == view;
    let phase = if is_same { Phase::Frozen } else { Phase::Gathering };
    Stance { eviction: pursued.eviction, phase, view }
}

/// How far the eviction of one victim is for who proposed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// These have not said that they follow.
    Silent(BTreeSet<PeerId>),
    /// All follow, and some know something else of the victim.
    Differ,
    /// All know the same as we: it can be frozen.
    Agreed,
    /// We have frozen, and not all others have yet.
    Freezing,
    /// Somebody came to know more before it froze: another eviction has to begin.
    Torn,
    /// All have frozen.
    Frozen,
}

impl Stage {
    /// Whether the others have yet to come to know the same.
    pub const fn is_early(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Differ)
    }
}

/// What a proposer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Others have to speak first.
    Wait,
    /// Begins an eviction.
    Propose,
    /// Freezes, for all know the same of each victim.
    Freeze,
    /// Takes over, for all have frozen.
    TakeOver,
}

/// What `me` does next in evictions of `victims` that it pursues, when all of `required` must agree: the
/// same about all of them at once.
pub fn step(
    me: PeerId,
    victims: &BTreeSet<PeerId>,
    required: &BTreeSet<PeerId>,
    freezes: &Freezes,
) -> Step {
    let stages: Vec<Stage> =
        victims.iter().map(|victim| stage(me, *victim, required, freezes)).collect();
    if stages.contains(&Stage::Torn) {
        Step::Propose
    } else if stages.is_empty() || stages.iter().any(Stage::is_early) {
        Step::Wait
    } else if stages.contains(&Stage::Agreed) {
        Step::Freeze
    } else if stages.contains(&Stage::Freezing) {
        Step::Wait
    } else {
        Step::TakeOver
    }
}

/// How far the eviction of `victim` is that `me` pursues, when all of `required` must agree.
pub fn stage(me: PeerId, victim: PeerId, required: &BTreeSet<PeerId>, freezes: &Freezes) -> Stage {
    let said = |peer: PeerId| freezes.get(&peer).and_then(|it| it.stances.get(&victim));
    let Some(own) = said(me) else { return Stage::Silent(required.clone()) };
    let follows = |peer: PeerId| said(peer).filter(|stance| stance.eviction == own.eviction);
    let silent: BTreeSet<PeerId> =
        required.iter().copied().filter(|peer| follows(*peer).is_none()).collect();
    if !silent.is_empty() {
        return Stage::Silent(silent);
    }
    let mut stances = required.iter().filter_map(|peer| follows(*peer));
    let is_frozen = own.phase == Phase::Frozen;
    if !stances.clone().all(|stance| stance.view == own.view) {
        return if is_frozen { Stage::Torn } else { Stage::Differ };
    }
    match (is_frozen, stances.all(|stance| stance.phase == Phase::Frozen)) {
        (false, _) => Stage::Agreed,
        (true, false) => Stage::Freezing,
        (true, true) => Stage::Frozen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Offset;

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    fn eviction(round: u64, proposer: u8) -> Eviction {
        Eviction { round, proposer: peer(proposer), nonce: 0 }
    }

    fn stance(round: u64, proposer: u8, phase: Phase, view: u8) -> Stance {
        let view = Fingerprint([view; 16]);
        Stance { eviction: eviction(round, proposer), phase, view }
    }

    fn saying(stances: BTreeMap<PeerId, Stance>) -> Freeze {
        Freeze { stances, ..Freeze::default() }
    }

    /// One of many peers, the last of which are above all others.
    fn many(n: usize) -> PeerId {
        let mut id = [200; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        PeerId(id)
    }

    /// What peers say of the eviction of peer 9.
    fn freezes<const N: usize>(said: [(u8, Stance); N]) -> Freezes {
        said.map(|(who, stance)| (peer(who), saying([(peer(9), stance)].into()))).into()
    }

    /// What peer 1 says of it next, to whom all victims own the same.
    fn next(freezes: &Freezes, is_alive: bool) -> Option<Stance> {
        let view = |_| Some(Fingerprint([1; 16]));
        follow(peer(1), freezes, view, |_| is_alive).stances.get(&peer(9)).copied()
    }

    use Phase::{CalledOff, Frozen, Gathering};

    #[test]
    fn the_latest_eviction_that_its_proposer_pursues_is_followed() {
        let (two, three) = ((2, stance(5, 2, Gathering, 7)), (3, stance(6, 3, Gathering, 7)));
        assert_eq!(next(&freezes([two, three]), false), Some(stance(6, 3, Gathering, 1)));
        assert_eq!(next(&freezes([two, three]), true), None, "it is heard");
        // Of a later one it is only known that somebody follows it.
        let follower = (3, stance(6, 4, Gathering, 7));
        assert_eq!(next(&freezes([two, follower]), false), Some(stance(5, 2, Gathering, 1)));
        let off = (3, stance(6, 3, CalledOff, 7));
        assert_eq!(next(&freezes([two, off]), false), Some(stance(5, 2, Gathering, 1)));
    }

    #[test]
    fn who_knows_the_same_freezes_and_stays_frozen_until_the_proposer_gives_up() {
        let frozen = (2, stance(5, 2, Frozen, 1));
        assert_eq!(next(&freezes([frozen]), false), Some(stance(5, 2, Frozen, 1)));
        let differs = (2, stance(5, 2, Frozen, 7));
        assert_eq!(next(&freezes([differs]), false), Some(stance(5, 2, Gathering, 1)));
        let own = (1, stance(5, 2, Frozen, 7));
        assert_eq!(next(&freezes([own]), true), Some(own.1), "nothing is known of the proposer");
        assert_eq!(next(&freezes([own, frozen]), true), Some(own.1));
        for (phase, round) in [(CalledOff, 5), (Gathering, 4)] {
            let given_up = (2, stance(round, 2, phase, 7));
            let off = Some(stance(5, 1, CalledOff, 1));
            assert_eq!(next(&freezes([own, given_up]), true), off, "{phase:?} {round}");
        }
    }

    #[test]
    fn a_proposer_yields_to_a_later_eviction_and_to_no_earlier_one() {
        let own = (1, stance(5, 1, Gathering, 7));
        let (earlier, later) = ((2, stance(4, 2, Gathering, 7)), (2, stance(6, 2, Gathering, 7)));
        assert_eq!(next(&freezes([own, earlier]), false), Some(stance(5, 1, Gathering, 1)));
        assert_eq!(next(&freezes([own, later]), false), Some(stance(6, 2, Gathering, 1)));
    }

    #[test]
    fn who_has_frozen_goes_over_to_a_later_eviction_when_the_proposer_cannot_have_taken_over() {
        let own = (1, stance(5, 2, Frozen, 1));
        let (before, later) = ((2, stance(5, 2, Frozen, 1)), (3, stance(6, 3, Gathering, 7)));
        let over = Some(stance(6, 3, Gathering, 1));
        assert_eq!(
            next(&freezes([own, later]), false),
            Some(own.1),
            "nothing is known of the first"
        );
        assert_eq!(next(&freezes([own, before, later]), false), Some(own.1));
        let yields = (2, stance(6, 3, Gathering, 1));
        assert_eq!(next(&freezes([own, yields, later]), false), over);
        let mut said = freezes([own, before, later]);
        assert_eq!(takers(peer(3), peer(9), &said), [peer(2)].into());
        said.get_mut(&peer(3)).unwrap().gone.insert(peer(2));
        assert_eq!(next(&said, false), over);
    }

    #[test]
    fn what_is_frozen_does_not_give_way_to_many_evictions_that_somebody_made_up() {
        let made_up: BTreeMap<PeerId, Stance> =
            (0..VICTIMS_MAX).map(|n| (many(n), stance(7, 2, Gathering, 7))).collect();
        let mine = saying([(peer(99), stance(5, 3, Frozen, 7))].into());
        let freezes = [(peer(1), mine.clone()), (peer(2), saying(made_up))].into();
        let next = follow(peer(1), &freezes, |_| Some(Fingerprint([1; 16])), |_| false);
        assert_eq!(next.stances.get(&peer(99)), mine.stances.get(&peer(99)));
        assert_eq!(next.stances.len(), VICTIMS_MAX);
    }

    #[test]
    fn what_is_said_of_as_many_victims_as_there_may_be_fits_a_record() {
        let longest = Stance {
            eviction: Eviction { round: ROUND_MAX, nonce: u64::MAX, ..eviction(1, 2) },
            ..stance(1, 2, Frozen, 7)
        };
        let stances = (0..VICTIMS_MAX).map(|n| (many(n), longest)).collect();
        let gone = (0..VICTIMS_MAX).map(many).collect();
        // As far apart as they can be where addresses are longest.
        let at = |n: u128| Offset(u128::MAX / HELD_MAX as u128 * n);
        let held =
            (0..HELD_MAX as u128).map(|n| Range { start: at(n), end: Offset(at(n + 1).0 - 1) });
        let said = Freeze { stances, gone, held: held.collect() };
        assert!(said.is_sound(peer(1)));
        assert!(crate::codec::encode(&said).len() * 3 / 2 < crate::record::Record::BODY_LEN_MAX);
    }

    #[test]
    fn what_containers_have_is_said_in_order_without_overlaps_and_not_without_end() {
        let said = |held: &[(u128, u128)]| {
            let held =
                held.iter().map(|(start, end)| Range { start: Offset(*start), end: Offset(*end) });
            Freeze { held: held.collect(), ..Freeze::default() }.is_sound(peer(1))
        };
        assert!(said(&[]) && said(&[(0, 1)]) && said(&[(0, 1), (1, 3)]));
        assert!(!said(&[(1, 1)]) && !said(&[(2, 1)]));
        assert!(!said(&[(2, 3), (0, 1)]) && !said(&[(0, 2), (1, 3)]));
        let many = |n: usize| (0..n as u128).map(|at| (at * 2, at * 2 + 1)).collect::<Vec<_>>();
        assert!(said(&many(HELD_MAX)) && !said(&many(HELD_MAX + 1)));
    }

    #[test]
    fn who_has_frozen_before_is_bound_by_it_whatever_it_has_forgotten() {
        let mut own = saying(
            [
                (peer(6), stance(5, 2, Gathering, 1)),
                (peer(7), stance(5, 2, Frozen, 1)),
                (peer(8), stance(6, 3, Gathering, 1)),
            ]
            .into(),
        );
        let then = saying(
            [
                (peer(6), stance(5, 2, Frozen, 7)),
                (peer(7), stance(5, 2, Gathering, 7)),
                (peer(8), stance(5, 2, Frozen, 7)),
                (peer(9), stance(4, 2, Frozen, 7)),
            ]
            .into(),
        );
        own.recall(&then);
        let joined = [
            (peer(6), stance(5, 2, Frozen, 7)),
            (peer(7), stance(5, 2, Frozen, 1)),
            (peer(8), stance(5, 2, Frozen, 7)),
            (peer(9), stance(4, 2, Frozen, 7)),
        ];
        assert_eq!(own, saying(joined.into()));
    }

    #[test]
    fn a_step_is_made_for_all_victims_at_once() {
        let required: BTreeSet<PeerId> = [peer(2)].into();
        let both = |eight: Phase, nine: Phase, view| {
            let said = |view| {
                let (eight, nine) = (stance(5, 1, eight, 1), stance(6, 1, nine, view));
                saying([(peer(8), eight), (peer(9), nine)].into())
            };
            let freezes = [(peer(1), said(1)), (peer(2), said(view))].into();
            step(peer(1), &[peer(8), peer(9)].into(), &required, &freezes)
        };
        assert_eq!(both(Gathering, Gathering, 1), Step::Freeze);
        assert_eq!(both(Gathering, Gathering, 7), Step::Wait);
        assert_eq!(both(Frozen, Gathering, 1), Step::Freeze);
        assert_eq!(both(Frozen, Frozen, 7), Step::Propose);
        assert_eq!(both(Frozen, Frozen, 1), Step::TakeOver);
        assert_eq!(step(peer(1), &BTreeSet::new(), &required, &Freezes::new()), Step::Wait);
    }

    #[test]
    fn it_is_over_once_all_have_frozen_the_same() {
        let required = [peer(2), peer(3)].into();
        let of = |own, two, three| {
            let said = freezes([(1, own), (2, two), (3, three)]);
            stage(peer(1), peer(9), &required, &said)
        };
        let at = |phase, view| stance(5, 1, phase, view);
        let (open, frozen) = (at(Gathering, 1), at(Frozen, 1));
        let silent = Stage::Silent([peer(3)].into());
        assert_eq!(of(open, open, stance(4, 3, Gathering, 1)), silent);
        assert_eq!(of(open, open, at(Gathering, 7)), Stage::Differ);
        assert_eq!(of(open, open, open), Stage::Agreed);
        assert_eq!(of(frozen, frozen, open), Stage::Freezing);
        assert_eq!(of(frozen, frozen, at(Gathering, 7)), Stage::Torn);
        assert_eq!(of(frozen, frozen, frozen), Stage::Frozen);
    }
}
