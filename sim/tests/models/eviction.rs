//! Evictions: every order in which the survivors of a dead peer can hear of its gifts and of what each
//! other says, propose to take over what it owned, give that up, lose sight of each other, stop and come
//! back.
//!
//! The survivors are the core's own [`Ipam`], with a disk as their node would keep it. Of the victim
//! there is what it gave away: at first nobody has heard of that, and anybody may hear of it at any time
//! or never. So it may be dead, with gifts under way or known to one, or live on where nobody hears it
//! and give all the time. Anybody may hear any record that was ever sent, through whomever and late, but
//! of what a peer says of evictions nothing that is older than what it heard before.
//!
//! Searched to the end, with three survivors and one gift:
//! - one who takes over, who gives up, and anybody who starts again;
//! - two who take over, with what they say coming late and in any order;
//! - two of whom one loses sight of the other before it is told to, and finds it again;
//! - one who dies, at any moment, and another who then takes over from both.
//!
//! In all but the second the last that each has said is heard, or nothing. With two gifts and late words the
//! first is not done after six minutes.

mod survivor;

use super::letter::{self, Letter, Letters, NOW, OPEN, bit, record};
use super::shared::{Memo, Pool, Shared};
use super::{peer, search, search_for};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use stateright::{Model, Property};
use std::collections::BTreeSet;
use survivor::{LATE, Peer, config};
use weft_core::addr::{Offset, Range};
use weft_core::codec;
use weft_core::id::PeerId;
use weft_core::io::{Command, RequestId};
use weft_core::ipam::{Founding, Ipam, Ledger};
use weft_core::record::{Fingerprint, Key, Record};
use weft_core::saved::{Change, Saved, Slot};

/// No address has two owners among the survivors who would both hand it out.
const ONE_OWNER: &str = "ipam.one-owner";
/// When all has been heard, nobody waits for an eviction, and nobody refuses gifts any more.
const ENDS: &str = "evictions end";

/// What can happen, and what the peers make of it.
#[derive(Clone)]
struct World {
    /// Peers 0 up to here; the victim is the one after them. All own addresses.
    survivors: usize,
    /// What the victim gives: which of its addresses, to whom.
    gifts: &'static [(u128, usize)],
    /// How often each is told to take over, the first ones first.
    told: &'static [u8],
    /// Whether what is said of evictions may come late, when something else was said since.
    is_late: bool,
    /// Whether those who wait for it give up.
    gives_up: bool,
    /// How many restarts there may be, of any peers.
    restarts: u8,
    /// Who may once lose sight of whom, and is told to take over only then.
    loss: Option<(usize, usize)>,
    /// Whether the first one may die: who does not see it any more takes over from it as well.
    dies: bool,
    rules: Rules,
}

/// What the peers do; anything but the first is a fault that must be found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    Kept,
    /// The first one sees only so many of the others and waits for nobody else.
    Hears(usize),
    /// Gifts of a victim are taken in though they are refused by what one has said.
    Thaw,
    /// What one has said of evictions is not on its disk.
    Forgotten,
}

/// A model with all that was found out about its peers.
struct Search {
    world: World,
    peers: Pool<Peer>,
    grants: Pool<Letter>,
    sayings: Pool<Letter>,
    turns: Memo<(u32, Mark), Option<Turn>>,
}

/// The world at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    peers: Vec<Shared<Peer>>,
    /// All grants sent that somebody has not heard.
    grants: Letters,
    /// All that was said of evictions and could still be news to somebody.
    said: BTreeSet<Shared<Letter>>,
    restarts: u8,
    is_lost: bool,
    /// Whether the first one is dead.
    is_dead: bool,
}

/// What a peer came to be, and what it sent.
#[derive(Clone)]
struct Turn {
    peer: Shared<Peer>,
    grants: Letters,
    said: Vec<Shared<Letter>>,
}

/// What happens to a peer.
#[derive(Clone, Copy)]
enum Event<'a> {
    Hear(&'a Shared<Letter>),
    HearSaid(&'a Shared<Letter>),
    /// Its operator has it take over what the victim owned.
    Evict,
    GiveUp,
    Lose(usize),
    Find(usize),
    /// It asks this owner what is its own, and hears the answer.
    Meet(&'a Shared<Peer>),
    Restart,
}

/// An event, by numbers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Hear(u32),
    HearSaid(u32),
    Evict,
    GiveUp,
    Lose(usize),
    Find(usize),
    Meet(u32),
    Restart,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Hear(usize, Shared<Letter>),
    HearSaid(usize, Shared<Letter>),
    Evict(usize),
    GiveUp(usize),
    /// The first loses sight of the second.
    Lose(usize, usize),
    Find(usize, usize),
    /// The first one dies.
    Die,
    Meet {
        me: usize,
        with: usize,
    },
    Restart(usize),
}

impl Search {
    fn of(world: World) -> Self {
        let (peers, turns) = (Pool::default(), Memo::default());
        Self { world, peers, grants: Pool::default(), sayings: Pool::default(), turns }
    }

    fn victim(&self) -> PeerId {
        peer(self.world.survivors)
    }

    fn others(&self, me: PeerId) -> BTreeSet<PeerId> {
        let others = (0..self.world.survivors).map(peer).filter(|id| *id != me);
        match self.world.rules {
            Rules::Hears(few) if me == peer(0) => others.take(few).collect(),
            Rules::Hears(_) | Rules::Kept | Rules::Thaw | Rules::Forgotten => others.collect(),
        }
    }

    /// The victim is one of those who founded.
    fn founding(&self) -> Record {
        letter::founding(config().universe, self.world.survivors + 1)
    }

    /// What the victim gives away, one after the other.
    fn gifts(&self) -> Vec<Shared<Letter>> {
        let founding: Founding = self.founding().decode().unwrap();
        let Key::Founding(lineage) = self.founding().key else { return Vec::new() };
        let ledger = Ledger::found(&founding).unwrap();
        let first = ledger.owned_by(self.victim())[0].start.0;
        let gifts = self.world.gifts.iter().map(|(nth, to)| {
            let range = Range { start: Offset(first + nth), end: Offset(first + nth + 1) };
            let grant = ledger.grant(lineage, range, self.victim(), peer(*to)).unwrap();
            let body = codec::encode(&grant);
            let key = Key::Grant(Fingerprint::by(&self.victim(), &body));
            self.grants.share(Letter(record(self.victim(), key, 0, body)))
        });
        gifts.collect()
    }

    /// Looks at what `event` makes of `peer`; at `None` when nothing.
    fn turn<R>(
        &self,
        peer: &Shared<Peer>,
        event: Event<'_>,
        look: impl FnOnce(&Option<Turn>) -> R,
    ) -> R {
        let mark = match event {
            Event::Hear(letter) => Mark::Hear(Shared::id(letter)),
            Event::HearSaid(letter) => Mark::HearSaid(Shared::id(letter)),
            Event::Evict => Mark::Evict,
            Event::GiveUp => Mark::GiveUp,
            Event::Lose(n) => Mark::Lose(n),
            Event::Find(n) => Mark::Find(n),
            Event::Meet(with) => Mark::Meet(Shared::id(with)),
            Event::Restart => Mark::Restart,
        };
        let me = Shared::id(peer);
        self.turns.look(me, (me, mark), || self.happen(peer, event), look)
    }

    fn happen(&self, before: &Peer, event: Event<'_>) -> Option<Turn> {
        let mut peer = before.clone();
        let sent = match event {
            Event::Hear(letter) => {
                before.is_news(self.world.rules, letter).then_some(())?;
                peer.heard |= bit(letter);
                peer.saved.apply(Change::put(Slot::Record(letter.0.key), &letter.0));
                peer.call(|ipam, acts| ipam.record(NOW, &letter.0, acts))
            }
            Event::HearSaid(letter) => {
                before.is_later(letter).then_some(())?;
                peer.last.insert(letter.0.writer, letter.0.version.sequence);
                peer.call(|ipam, acts| ipam.record(NOW, &letter.0, acts))
            }
            Event::Evict => {
                let n = usize::from(peer.me.0[0]);
                let may = self.world.told.get(n).copied().unwrap_or(0);
                (peer.told < may && !peer.waits).then_some(())?;
                peer.told += 1;
                let force = matches!(self.world.rules, Rules::Hears(_));
                let dead = Some(super::peer(0)).filter(|id| self.world.dies && *id != peer.me);
                let peers = dead.into_iter().chain([self.victim()]).collect();
                let evict = Command::Evict { peers, force, wait: false };
                peer.call(|ipam, acts| ipam.command(NOW, RequestId(1), evict, acts))
            }
            Event::GiveUp => {
                (peer.waits && self.world.gives_up).then_some(())?;
                peer.call(|ipam, acts| ipam.timeout(LATE, acts))
            }
            Event::Lose(n) => {
                peer.sight.remove(&super::peer(n)).then_some(())?;
                let sight = letter::staying(&peer.sight);
                peer.call(|ipam, acts| ipam.reachable(NOW, sight, acts))
            }
            Event::Find(n) => {
                self.others(peer.me).contains(&super::peer(n)).then_some(())?;
                peer.sight.insert(super::peer(n)).then_some(())?;
                let sight = letter::staying(&peer.sight);
                peer.call(|ipam, acts| ipam.reachable(NOW, sight, acts))
            }
            Event::Meet(with) => {
                (peer.is_closed && peer.sight.contains(&with.me)).then_some(())?;
                let question = letter::question(&peer.ipam, self.others(peer.me))?;
                let answer = letter::answer(&with.ipam, peer.me, &question)?;
                let from = with.me;
                peer.call(|ipam, acts| {
                    ipam.message(NOW, from, &answer, acts);
                    ipam.timeout(OPEN, acts);
                })
            }
            Event::Restart => {
                let (started, sent) = self.start_again(before);
                peer = started;
                sent
            }
        };
        let is_grant = |record: &&Record| matches!(record.key, Key::Grant(_));
        let grants = sent.iter().filter(is_grant);
        let grants = grants.map(|one| bit(&self.grants.share(Letter(one.clone())))).sum();
        let said = sent.iter().filter(|one| matches!(one.key, Key::Freeze(_)));
        let said = said.map(|one| self.sayings.share(Letter(one.clone()))).collect();
        peer.heard |= grants;
        Some(Turn { peer: self.peers.share(peer.judged(self.victim())), grants, said })
    }

    fn start_again(&self, before: &Peer) -> (Peer, Vec<Record>) {
        let mut saved = before.saved.clone();
        if self.world.rules == Rules::Forgotten {
            saved.apply(Change::remove(Slot::Record(Key::Freeze(before.me))));
        }
        // The number of the last that it said is on its disk.
        let last = before.last.get(&before.me).copied().unwrap_or(0);
        let (mut peer, sent) = self.start(before.me, saved, last, before.lives + 1);
        // Grants that are no more on its disk are of no use.
        peer.heard = before.heard;
        peer.told = before.told;
        (peer, sent)
    }

    /// A peer that starts with `saved`, as the node does it, and sees all others.
    fn start(&self, me: PeerId, saved: Saved, last: u64, lives: u8) -> (Peer, Vec<Record>) {
        let rng = ChaCha20Rng::from_seed([lives; 32]);
        let ipam = Ipam::new(&config(), me, &saved, rng).unwrap();
        let mut peer = Peer {
            key: String::new(),
            me,
            ipam,
            saved,
            sight: self.others(me),
            heard: 0,
            last: [(me, last)].into(),
            told: 0,
            lives,
            owns: 0,
            ledger: None,
            stance: None,
            waits: false,
            is_closed: false,
            faults: BTreeSet::new(),
        };
        let slots: Vec<Slot> = peer.saved.slots.keys().cloned().collect();
        for slot in slots.iter().filter(|slot| matches!(slot, Slot::Record(_))) {
            let record: Record = peer.saved.get(slot).unwrap().unwrap();
            let sent = peer.call(|ipam, acts| ipam.record(NOW, &record, acts));
            assert!(sent.is_empty(), "it speaks while it reads its disk");
        }
        let sight = letter::staying(&peer.sight);
        let sent = peer.call(|ipam, acts| ipam.reachable(NOW, sight, acts));
        (peer, sent)
    }

    /// Whether nothing can be heard any more that changes anything, and everybody sees all others.
    fn is_at_rest(&self, state: &State) -> bool {
        let sight =
            |me| self.others(me).into_iter().filter(|id| !(state.is_dead && *id == peer(0)));
        state.living().all(|peer| {
            let said = state.said.iter().all(|letter| !peer.is_later(letter));
            let grants = self.sent(state.grants);
            let heard = grants.iter().all(|letter| !peer.is_news(self.world.rules, letter));
            let met = |with: &Shared<Peer>| {
                with.me == peer.me || self.turn(peer, Event::Meet(with), Option::is_none)
            };
            said && heard
                && sight(peer.me).eq(peer.sight.iter().copied())
                && state.living().all(met)
        })
    }

    fn sent(&self, letters: Letters) -> Vec<Shared<Letter>> {
        self.grants.with(letter::numbers(letters))
    }
}

impl State {
    fn living(&self) -> impl Iterator<Item = &Shared<Peer>> {
        self.peers.iter().skip(usize::from(self.is_dead))
    }
}

impl Model for Search {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let founding = self.founding();
        let mut saved = Saved::default();
        saved.apply(Change::put(Slot::Record(founding.key), &founding));
        let start = |n| {
            let (mut new, _) = self.start(peer(n), Saved::default(), 0, 0);
            new.saved = saved.clone();
            new.call(|ipam, acts| ipam.record(NOW, &founding, acts));
            self.peers.share(new.judged(self.victim()))
        };
        let grants = self.gifts().iter().map(bit).sum();
        let peers = (0..self.world.survivors).map(start).collect();
        vec![State {
            peers,
            grants,
            said: BTreeSet::new(),
            restarts: 0,
            is_lost: false,
            is_dead: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let grants = self.sent(state.grants);
        if self.world.dies && !state.is_dead {
            actions.push(Action::Die);
        }
        for (n, one) in state.peers.iter().enumerate().skip(usize::from(state.is_dead)) {
            let news = grants.iter().filter(|letter| one.is_news(self.world.rules, letter));
            actions.extend(news.map(|letter| Action::Hear(n, *letter)));
            let news = state.said.iter().filter(|letter| one.is_later(letter));
            actions.extend(news.map(|letter| Action::HearSaid(n, *letter)));
            let (is_loser, sees) =
                (self.world.loss.is_some_and(|(it, _)| it == n), |n| one.sight.contains(&peer(n)));
            if (!is_loser || state.is_lost) && (!self.world.dies || n == 0 || !sees(0)) {
                actions.push(Action::Evict(n));
            }
            actions.push(Action::GiveUp(n));
            for other in (0..self.world.survivors).filter(|other| *other != n) {
                let is_dead = state.is_dead && other == 0;
                if is_dead || !state.is_lost && self.world.loss == Some((n, other)) {
                    actions.push(Action::Lose(n, other));
                }
                if !is_dead && !sees(other) {
                    actions.push(Action::Find(n, other));
                }
                if one.is_closed {
                    actions.push(Action::Meet { me: n, with: other });
                }
            }
            if state.restarts < self.world.restarts {
                actions.push(Action::Restart(n));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let restarts = last.restarts + u8::from(matches!(action, Action::Restart(_)));
        let is_lost = last.is_lost || matches!(action, Action::Lose(..));
        let is_dead = last.is_dead || action == Action::Die;
        let (n, event) = match action {
            Action::Hear(n, ref letter) => (n, Event::Hear(letter)),
            Action::HearSaid(n, ref letter) => (n, Event::HearSaid(letter)),
            Action::Evict(n) => (n, Event::Evict),
            Action::GiveUp(n) => (n, Event::GiveUp),
            Action::Lose(n, other) => (n, Event::Lose(other)),
            Action::Find(n, other) => (n, Event::Find(other)),
            Action::Die => return Some(State { is_dead, ..last.clone() }),
            Action::Meet { me, with } => (me, Event::Meet(&last.peers[with])),
            Action::Restart(n) => (n, Event::Restart),
        };
        let Turn { peer, grants, said } =
            self.turn(&last.peers[n], event, |turn| turn.as_ref().cloned())?;
        let mut state = State { restarts, is_lost, is_dead, ..last.clone() };
        state.peers[n] = peer;
        state.grants |= grants;
        state.said.extend(said);
        // States that differ only in what all have heard have the same future. Who starts again hears the
        // last that each has said, or what another one knows of it.
        let living: Vec<Shared<Peer>> = state.living().copied().collect();
        let State { grants, said, .. } = &mut state;
        *grants &= !living.iter().fold(Letters::MAX, |all, peer| all & peer.heard);
        let is_over = restarts == self.world.restarts;
        let (all, least) = (said.clone(), |writer: &PeerId| {
            let others = living.iter().filter(|peer| peer.me != *writer);
            others.map(|peer| peer.last.get(writer).copied().unwrap_or(0)).min()
        });
        said.retain(|letter| {
            let Record { writer, version, .. } = &letter.0;
            let is_last = !all.iter().any(|it| it.0.writer == *writer && it.0.version > *version);
            let least = least(writer).unwrap_or(0);
            let is_news = version.sequence > least || !is_over;
            is_news && (is_last || self.world.is_late && version.sequence >= least)
        });
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_OWNER, |_, state: &State| {
                letter::is_disjoint(state.living().map(|peer| peer.owns))
            }),
            Property::always("equal grants make equal ledgers", |_, state: &State| {
                state.peers.iter().enumerate().all(|(n, one)| {
                    let mut equal = state.peers[..n].iter().filter(|two| one.heard == two.heard);
                    equal.all(|two| one.ledger == two.ledger)
                })
            }),
            Property::always("each peer is sound", |_, state: &State| {
                state.peers.iter().all(|peer| peer.faults.is_empty())
            }),
            Property::always(ENDS, |search: &Self, state: &State| {
                // A proposer that is dead is waited for until somebody evicts it too.
                let is_owed = !state.is_dead || state.living().any(|peer| peer.told > 0);
                !is_owed || state.living().all(|peer| !peer.is_busy()) || !search.is_at_rest(state)
            }),
            Property::sometimes("all know of a takeover", |search: &Self, state: &State| {
                let none = |ledger: &Ledger| !ledger.owns_any(search.victim());
                state.living().all(|peer| peer.ledger.as_ref().is_some_and(none))
            }),
        ]
    }
}

const WORLD: World = World {
    survivors: 3,
    gifts: &[(0, 2)],
    told: &[1],
    is_late: false,
    gives_up: false,
    restarts: 0,
    loss: None,
    dies: false,
    rules: Rules::Kept,
};

#[test]
fn one_who_takes_over_takes_nothing_that_was_given() {
    let world = World { gives_up: true, restarts: 1, ..WORLD };
    search("eviction", Search::of(world));
}

#[test]
fn two_who_take_over_at_once_never_both_own_anything() {
    search("eviction, rivals", Search::of(World { told: &[1, 1], is_late: true, ..WORLD }));
}

#[test]
fn rivals_that_lose_sight_of_each_other_do_no_harm() {
    search("eviction, sight", Search::of(World { told: &[1, 1], loss: Some((1, 0)), ..WORLD }));
}

#[test]
fn what_a_dead_proposer_may_have_taken_over_has_one_owner() {
    search("eviction, dead proposer", Search::of(World { told: &[1, 1], dies: true, ..WORLD }));
}

#[test]
fn the_search_finds_what_an_heir_alone_breaks() {
    let world = World { rules: Rules::Hears(0), ..WORLD };
    search_for("eviction, alone", Search::of(world), ONE_OWNER);
}

#[test]
fn the_search_finds_what_a_majority_breaks() {
    let world = World { survivors: 4, gifts: &[(0, 3)], rules: Rules::Hears(2), ..WORLD };
    search_for("eviction, majority", Search::of(world), ONE_OWNER);
}

#[test]
fn the_search_finds_what_a_gift_after_the_freeze_breaks() {
    search_for("eviction, thaw", Search::of(World { rules: Rules::Thaw, ..WORLD }), ONE_OWNER);
}

#[test]
fn the_search_finds_what_a_forgotten_freeze_breaks() {
    let world = World { restarts: 1, rules: Rules::Forgotten, ..WORLD };
    search_for("eviction, forgotten", Search::of(world), ONE_OWNER);
}
