//! The founding: every order in which three peers can propose, hear of each other's votes, stop
//! and come back.
//!
//! Nobody has to hear anything, so every loss and every partition is among the histories. That a
//! founding spreads as a record of its own is left out: whoever takes one over stops voting, which
//! is one more way to be silent.
//!
//! Searched to the end, of ballots up to
//! - round 3: gossip without delay, with or without a disk lost on the way, whose peer comes back as
//!   an observer;
//! - round 2: votes that come late, again and in any order; gossip without delay and a restart;
//! - round 1: late votes and two restarts, or a lost disk.
//!
//! With late votes or kept disks, one more round is not done after a minute. Who proposes, and which
//! of two ballots of one round wins, depends on the order of ids, so peers cannot stand for each other
//! and no symmetry makes it less.

use super::shared::{Memo, Pool, Shared};
use super::{peer, search, search_for};
use stateright::{Model, Property};
use std::collections::{BTreeMap, BTreeSet};
use weft_core::id::PeerId;
use weft_core::ipam::founding::{self, Proposal, Voter, Votes};

const PEERS: usize = 3;
const QUORUM: usize = 2;

/// No two peers ever decide differently.
const AGREEMENT: &str = "ipam.one-founding";

/// What can happen, and what the peers make of it.
struct World {
    gossip: Gossip,
    /// No ballot has a higher round.
    rounds: u64,
    /// How many restarts there may be, of any peers.
    restarts: u8,
    restart: Restart,
    decide: fn(usize, &Votes) -> Option<Proposal>,
    peers: Pool<Peer>,
    letters: Pool<Letter>,
    turns: Memo<(u32, Mark), Option<Turn>>,
}

/// What one peer hears of another's votes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gossip {
    /// All votes that some other peer knows at that moment.
    Prompt,
    /// Any one vote that was ever sent, through whomever, late and again as it pleases.
    Late,
}

/// What a restart leaves of a peer.
#[derive(Clone, Copy)]
enum Restart {
    /// Its own vote, as the node persists it.
    Disk,
    /// Nothing, and the operator starts it as an observer.
    Observer,
    /// Nothing, and it votes under the identity that it draws.
    Stranger,
    /// Its identity, but not its vote.
    Forgetful,
}

/// The world at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    peers: [Shared<Peer>; PEERS],
    /// All votes sent that could still be news to somebody, with late gossip.
    sent: BTreeSet<Shared<Letter>>,
    restarts: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    Voting {
        me: PeerId,
        votes: Votes,
    },
    /// Neither votes nor decides; hears of the founding as a record.
    Observing,
    /// Votes no more; with prompt gossip others still find the votes that it knew.
    Founded {
        value: Proposal,
        votes: Votes,
    },
}

/// A vote under way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Letter {
    of: PeerId,
    vote: Voter,
}

/// What a peer came to be, and what it sent.
type Turn = (Shared<Peer>, Option<Shared<Letter>>);

/// What happens to a peer.
#[derive(Clone, Copy)]
enum Event<'a> {
    Propose,
    Hear(&'a Shared<Letter>),
    Merge(&'a Shared<Peer>),
    Restart,
}

/// An event, by numbers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Propose,
    Hear(u32),
    Merge(u32),
    Restart,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Propose(usize),
    /// `to` hears this vote.
    Hear(usize, Shared<Letter>),
    /// `to` hears all that `from` knows.
    Merge {
        from: usize,
        to: usize,
    },
    Restart(usize),
}

impl World {
    fn new(gossip: Gossip, rounds: u64) -> Self {
        Self {
            gossip,
            rounds,
            restarts: 0,
            restart: Restart::Disk,
            decide: founding::decided,
            peers: Pool::default(),
            letters: Pool::default(),
            turns: Memo::default(),
        }
    }

    fn with_restarts(self, restarts: u8, restart: Restart) -> Self {
        Self { restarts, restart, ..self }
    }

    /// Looks at what `event` makes of `peer`; at `None` when nothing.
    fn turn<R>(&self, peer: &Shared<Peer>, event: Event<'_>, look: fn(&Option<Turn>) -> R) -> R {
        let mark = match event {
            Event::Propose => Mark::Propose,
            Event::Hear(letter) => Mark::Hear(Shared::id(letter)),
            Event::Merge(from) => Mark::Merge(Shared::id(from)),
            Event::Restart => Mark::Restart,
        };
        let me = Shared::id(peer);
        self.turns.look(me, (me, mark), || self.happen(peer, event), look)
    }

    fn happen(&self, peer: &Peer, event: Event<'_>) -> Option<Turn> {
        let Peer::Voting { me, votes } = peer else { return None };
        match event {
            Event::Propose => {
                let vote = founding::propose(*me, votes)?;
                (vote.promised?.round <= self.rounds).then_some(())?;
                let mut votes = votes.clone();
                votes.insert(*me, vote);
                Some(self.settle(*me, votes, true))
            }
            Event::Hear(letter) => self.hear(peer, letter.of, &letter.vote),
            Event::Restart => self.restart(*me, votes),
            Event::Merge(from) => {
                let mut turn = None;
                for (of, vote) in from.votes() {
                    let now = turn.as_ref().map_or(peer, |(now, _): &Turn| now);
                    turn = self.hear(now, *of, vote).or(turn);
                }
                turn
            }
        }
    }

    fn hear(&self, peer: &Peer, of: PeerId, vote: &Voter) -> Option<Turn> {
        let Peer::Voting { me, votes } = peer else { return None };
        let mut votes = votes.clone();
        let known = votes.insert(of, vote.clone()).unwrap_or_default();
        votes.entry(of).or_default().join(known.clone());
        (of != *me && votes.get(&of) != Some(&known)).then_some(())?;
        Some(self.settle(*me, votes, false))
    }

    /// What the core's IPAM does once the votes that it knows have changed.
    fn settle(&self, me: PeerId, mut votes: Votes, is_new: bool) -> Turn {
        let step = founding::step(me, QUORUM, &votes);
        let is_new = is_new || step.is_some();
        votes.extend(step.map(|vote| (me, vote)));
        let is_late = self.gossip == Gossip::Late;
        let own = votes.get(&me).filter(|_| is_new && is_late).cloned();
        let letter = own.map(|vote| self.letters.share(Letter { of: me, vote }));
        let peer = match (self.decide)(QUORUM, &votes) {
            Some(value) if is_late => Peer::Founded { value, votes: Votes::new() },
            Some(value) => Peer::Founded { value, votes },
            None => Peer::Voting { me, votes },
        };
        (self.peers.share(peer), letter)
    }

    fn restart(&self, me: PeerId, votes: &Votes) -> Option<Turn> {
        let is_stranger = |n: &usize| peer(*n) == me;
        let peer = match self.restart {
            Restart::Disk => {
                let own = votes.iter().filter(|(of, _)| **of == me);
                let votes = own.map(|(of, vote)| (*of, vote.clone())).collect();
                Peer::Voting { me, votes }
            }
            Restart::Observer => Peer::Observing,
            Restart::Stranger => {
                let n = (0..PEERS).find(is_stranger)?;
                Peer::Voting { me: peer(n + PEERS), votes: Votes::new() }
            }
            Restart::Forgetful => Peer::Voting { me, votes: Votes::new() },
        };
        Some((self.peers.share(peer), None))
    }

    /// Drops what is news to nobody: states that differ in nothing else have the same future. While
    /// somebody may yet forget what it heard, everything may be news again.
    fn forget(&self, state: &mut State) {
        if state.restarts == self.restarts {
            let State { peers, sent, .. } = state;
            let is_news = |letter: &Shared<Letter>| {
                peers.iter().any(|peer| self.turn(peer, Event::Hear(letter), Option::is_some))
            };
            sent.retain(is_news);
        }
    }
}

impl Peer {
    const NOTHING: &Votes = &Votes::new();

    const fn votes(&self) -> &Votes {
        match self {
            Self::Voting { votes, .. } | Self::Founded { votes, .. } => votes,
            Self::Observing => Self::NOTHING,
        }
    }

    const fn decision(&self) -> Option<&Proposal> {
        match self {
            Self::Founded { value, .. } => Some(value),
            Self::Voting { .. } | Self::Observing => None,
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let start = |n| self.peers.share(Peer::Voting { me: peer(n), votes: Votes::new() });
        vec![State { peers: std::array::from_fn(start), sent: BTreeSet::new(), restarts: 0 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for n in 0..PEERS {
            actions.push(Action::Propose(n));
            actions.extend(state.sent.iter().map(|letter| Action::Hear(n, *letter)));
            if self.gossip == Gossip::Prompt {
                let others = (0..PEERS).filter(|from| *from != n);
                actions.extend(others.map(|from| Action::Merge { from, to: n }));
            }
            if state.restarts < self.restarts {
                actions.push(Action::Restart(n));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let restarts = last.restarts + u8::from(matches!(action, Action::Restart(_)));
        let (n, event) = match action {
            Action::Propose(n) => (n, Event::Propose),
            Action::Hear(n, ref letter) => (n, Event::Hear(letter)),
            Action::Merge { from, to } => (to, Event::Merge(&last.peers[from])),
            Action::Restart(n) => (n, Event::Restart),
        };
        let (peer, letter) = self.turn(&last.peers[n], event, Option::clone)?;
        let mut state = State { restarts, ..last.clone() };
        state.peers[n] = peer;
        state.sent.extend(letter);
        self.forget(&mut state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(AGREEMENT, |_, state| {
                let first = decisions(state).next();
                decisions(state).all(|value| Some(value) == first)
            }),
            Property::always("a decision was proposed, for peers that took part", |_, state| {
                decisions(state).all(|value| {
                    let is_peer = |seed: &PeerId| (0..2 * PEERS).any(|n| peer(n) == *seed);
                    value.seeds.contains(&value.origin.proposer) && value.seeds.iter().all(is_peer)
                })
            }),
            Property::sometimes("one decides", |_, state| decisions(state).count() == 1),
            Property::sometimes("a quorum decides", |_, state| decisions(state).count() == QUORUM),
        ]
    }
}

fn decisions(state: &State) -> impl Iterator<Item = &Proposal> {
    state.peers.iter().filter_map(|peer| peer.decision())
}

/// Not a rule of weft: that of Weave Net, where acceptances of one value count together whichever
/// ballots they are of.
fn decided_by_origin(quorum: usize, votes: &Votes) -> Option<Proposal> {
    let mut counts: BTreeMap<&Proposal, usize> = BTreeMap::new();
    for (_, value) in votes.values().filter_map(|vote| vote.accepted.as_ref()) {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().find(|(_, count)| *count >= quorum).map(|(value, _)| value.clone())
}

#[test]
fn three_peers_never_decide_differently_in_three_rounds_though_one_comes_back_as_an_observer() {
    let world = World::new(Gossip::Prompt, 3).with_restarts(1, Restart::Observer);
    search("founding, 3 rounds", world);
}

#[test]
fn votes_that_come_late_and_again_do_no_harm() {
    search("founding, late votes", World::new(Gossip::Late, 2));
    let observer = World::new(Gossip::Late, 1).with_restarts(1, Restart::Observer);
    search("founding, late votes, observer", observer);
}

#[test]
fn a_restart_that_keeps_the_disk_does_no_harm() {
    search("founding, restart", World::new(Gossip::Prompt, 2).with_restarts(1, Restart::Disk));
    let late = World::new(Gossip::Late, 1).with_restarts(2, Restart::Disk);
    search("founding, late votes, two restarts", late);
}

/// Why who lost its disk has to come back as an observer. In the second majority nobody has heard of
/// the first, and to them the stranger is the third peer that has yet to come: no rule of voting
/// could tell, short of one that waits for all.
#[test]
fn who_lost_its_disk_and_votes_as_a_stranger_can_found_a_second_mesh() {
    let world = World::new(Gossip::Prompt, 1).with_restarts(1, Restart::Stranger);
    search_for("founding, stranger", world, AGREEMENT);
}

#[test]
fn the_search_finds_what_a_forgotten_promise_breaks() {
    let world = World::new(Gossip::Prompt, 2).with_restarts(1, Restart::Forgetful);
    search_for("founding, forgetful", world, AGREEMENT);
}

#[test]
fn the_search_finds_what_counting_by_origin_breaks() {
    let world = World { decide: decided_by_origin, ..World::new(Gossip::Prompt, 3) };
    search_for("founding, by origin", world, AGREEMENT);
}
