//! Ownership: every order in which peers can give each other addresses, hear of it, stop and come
//! back.
//!
//! The peers are the core's own [`Ipam`], with a disk as their node would keep it. A peer may hear
//! any record that was ever sent, through whomever, late and again, or never; anybody may ask
//! anybody for addresses at any time. A restarted peer knows what its disk holds, and may hear
//! everything again.
//!
//! Searched to the end: four peers, two addresses that each change owner twice, one restart of
//! anybody; and, with three peers, blocks that are passed on in parts, an address that changes owner
//! four times with two restarts, and peers that leave. Takeovers are the matter of the model of
//! evictions.

use super::letter::{self, Letter, Letters, NOW, OPEN, bit, record};
use super::shared::{Memo, Pool, Shared, ordered_by};
use super::{peer, search, search_for};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use stateright::{Model, Property};
use std::collections::BTreeSet;
use std::sync::OnceLock;
use weft_core::addr::{Offset, Range};
use weft_core::config::Config;
use weft_core::event::Event as Told;
use weft_core::id::PeerId;
use weft_core::io::{Command, RequestId};
use weft_core::ipam::{Act, Grant, Ipam, IpamMessage};
use weft_core::record::{Key, Record};
use weft_core::saved::{Change, Saved, Slot};
use weft_core::status::IpamState;

/// No address has two owners who would both hand it out.
const ONE_OWNER: &str = "ipam.one-owner";

/// Of a /30.
const ADDRESSES: u128 = 4;

/// What can happen, and what the peers make of it.
struct World {
    count: usize,
    /// The founding divides the universe among so many of them.
    seeds: usize,
    /// What is asked for: from address, to address.
    asked: &'static [(u128, u128)],
    /// No grant has a higher version.
    versions: u64,
    /// How many restarts there may be, of any peers.
    restarts: u8,
    /// Whether peers leave.
    leaves: bool,
    disk: Disk,
    peers: Pool<Peer>,
    letters: Pool<Letter>,
    turns: Memo<(u32, Mark), Option<Turn>>,
}

/// When a grant of our own is durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disk {
    /// Before it is sent.
    First,
    /// Only by the next turn of its giver: what the core's contract forbids.
    Lags,
}

/// The world at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    peers: Vec<Shared<Peer>>,
    /// All records sent that somebody has not heard.
    sent: Letters,
    restarts: u8,
}

/// One peer, and all that is asked of it in each state.
#[derive(Clone, Debug)]
struct Peer {
    /// Everything else in words: peers are equal when this is.
    key: String,
    me: PeerId,
    ipam: Ipam,
    saved: Saved,
    /// Not durable yet.
    lagging: Vec<Change>,
    /// What it heard and wrote since its start and what its disk held then, of use still or not.
    heard: Letters,
    /// The addresses that it would hand out, one bit each.
    owns: u32,
    /// The ledger, in words.
    ledger: String,
    /// Whether its boot gate is closed.
    awaits: bool,
    /// Who would be given what, once somebody wants to know.
    gives: OnceLock<Vec<(usize, usize)>>,
    faults: BTreeSet<&'static str>,
}

/// What a peer came to be, and what it sent.
type Turn = (Shared<Peer>, Letters);

/// What happens to a peer.
#[derive(Clone, Copy)]
enum Event<'a> {
    Hear(&'a Shared<Letter>),
    /// This peer asks for one of [`World::asked`].
    Asked(usize, usize),
    /// It asks this owner what is its own, and hears the answer.
    Meet(&'a Shared<Peer>),
    Leave,
    Restart,
}

/// An event, by numbers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Hear(u32),
    Asked(usize, usize),
    Meet(u32),
    Leave,
    Restart,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    /// The giver hears that `to` wants one of [`World::asked`].
    Ask {
        giver: usize,
        to: usize,
        what: usize,
    },
    Hear(usize, Shared<Letter>),
    Meet {
        me: usize,
        with: usize,
    },
    Leave(usize),
    Restart(usize),
}

impl World {
    fn new(count: usize, seeds: usize, asked: &'static [(u128, u128)], versions: u64) -> Self {
        Self {
            count,
            seeds,
            asked,
            versions,
            restarts: 0,
            leaves: false,
            disk: Disk::First,
            peers: Pool::default(),
            letters: Pool::default(),
            turns: Memo::default(),
        }
    }

    /// Looks at what `event` makes of `peer`; at `None` when nothing.
    fn turn<R>(&self, peer: &Shared<Peer>, event: Event<'_>, look: fn(&Option<Turn>) -> R) -> R {
        let mark = match event {
            Event::Hear(letter) => Mark::Hear(Shared::id(letter)),
            Event::Asked(by, what) => Mark::Asked(by, what),
            Event::Meet(with) => Mark::Meet(Shared::id(with)),
            Event::Leave => Mark::Leave,
            Event::Restart => Mark::Restart,
        };
        let me = Shared::id(peer);
        self.turns.look(me, (me, mark), || self.happen(peer, event), look)
    }

    /// Whom this peer would give something that it is asked for, and what was asked for.
    fn gives<'a>(&self, peer: &'a Shared<Peer>) -> &'a [(usize, usize)] {
        peer.gives.get_or_init(|| {
            let all = (0..self.count).flat_map(|to| (0..self.asked.len()).map(move |n| (to, n)));
            let others = all.filter(|(to, _)| super::peer(*to) != peer.me);
            others
                .filter(|(to, n)| self.turn(peer, Event::Asked(*to, *n), Option::is_some))
                .collect()
        })
    }

    fn happen(&self, before: &Peer, event: Event<'_>) -> Option<Turn> {
        let mut peer = before.clone();
        for change in std::mem::take(&mut peer.lagging) {
            peer.saved.apply(change);
        }
        let mut sent = Vec::new();
        match event {
            Event::Hear(letter) => {
                (before.heard & bit(letter) == 0).then_some(())?;
                peer.hear(letter);
                let mut again = peer.clone();
                again.hear(letter);
                if peer.describe() != again.describe() {
                    peer.faults.insert("a record heard again changes something");
                }
            }
            Event::Asked(by, what) => {
                let (start, end) = *self.asked.get(what)?;
                let range = Range { start: Offset(start), end: Offset(end) };
                let request = IpamMessage::Request { range };
                let by = super::peer(by);
                sent = peer.call(self.disk, |ipam, acts| ipam.message(NOW, by, &request, acts));
                (!sent.is_empty()).then_some(())?;
            }
            Event::Meet(with) => {
                peer.awaits.then_some(())?;
                let question = letter::question(&peer.ipam, self.others(peer.me))?;
                let answer = letter::answer(&with.ipam, peer.me, &question)?;
                let from = with.me;
                sent = peer.call(self.disk, |ipam, acts| {
                    ipam.message(NOW, from, &answer, acts);
                    ipam.timeout(OPEN, acts);
                });
                // What it says of its free space then is of no use here.
                sent.retain(|record| matches!(record.key, Key::Grant(_)));
            }
            Event::Leave => {
                let (request, leave) = (RequestId(1), Command::Leave);
                sent = peer.call(self.disk, |ipam, acts| ipam.command(NOW, request, leave, acts));
            }
            Event::Restart => {
                peer = self.start(before.me, before.saved.clone());
            }
        }
        let is_within =
            |record: &Record| record.decode::<Grant>().unwrap().version <= self.versions;
        sent.iter().all(is_within).then_some(())?;
        let sent = sent.into_iter().map(|record| bit(&self.letters.share(Letter(record)))).sum();
        peer.heard |= sent;
        Some((self.peers.share(peer.judged()), sent))
    }

    fn others(&self, me: PeerId) -> BTreeSet<PeerId> {
        (0..self.count).map(peer).filter(|id| *id != me).collect()
    }

    /// A peer that starts with `saved`, as the node does it, and reaches all others.
    fn start(&self, me: PeerId, saved: Saved) -> Peer {
        let ipam = Ipam::new(&config(), me, &saved, ChaCha20Rng::from_seed([0; 32])).unwrap();
        let mut peer = Peer {
            key: String::new(),
            me,
            ipam,
            saved,
            lagging: Vec::new(),
            heard: 0,
            owns: 0,
            ledger: String::new(),
            awaits: false,
            gives: OnceLock::new(),
            faults: BTreeSet::new(),
        };
        let saved: Vec<_> = peer.records().collect();
        saved.into_iter().for_each(|letter| peer.hear(&self.letters.share(letter)));
        let others = self.others(me);
        peer.call(Disk::First, |ipam, acts| ipam.reachable(NOW, letter::staying(&others), acts));
        peer
    }
}

/// Of all peers.
fn config() -> Config {
    letter::config("10.0.0.0/30")
}

impl Peer {
    /// What its node has on disk for it.
    fn records(&self) -> impl Iterator<Item = Letter> {
        self.saved.slots.keys().map(|slot| Letter(self.saved.get(slot).unwrap().unwrap()))
    }

    fn hear(&mut self, letter: &Shared<Letter>) {
        let record = &letter.0;
        self.heard |= bit(letter);
        self.saved.apply(Change::put(Slot::Record(record.key), record));
        let sent = self.call(Disk::First, |ipam, acts| ipam.record(NOW, record, acts));
        if !sent.is_empty() {
            self.faults.insert("it speaks when it hears a grant");
        }
    }

    /// Calls IPAM and does what it wants. Returns what it publishes.
    fn call(&mut self, disk: Disk, f: impl FnOnce(&mut Ipam, &mut Vec<Act>)) -> Vec<Record> {
        let mut acts = Vec::new();
        let mut sent = Vec::new();
        f(&mut self.ipam, &mut acts);
        for act in acts {
            match act {
                Act::Publish { key, body } => {
                    let record = record(self.me, key, 0, body);
                    let change = Change::put(Slot::Record(key), &record);
                    match disk {
                        Disk::First => self.saved.apply(change),
                        Disk::Lags => self.lagging.push(change),
                    }
                    sent.push(record);
                }
                Act::Persist(change) => self.saved.apply(change),
                Act::Event(Told::OwnershipConflict { .. }) => {
                    self.faults.insert("honest peers are in conflict");
                }
                Act::Event(_) | Act::Tell { .. } | Act::Reply { .. } => {}
            }
        }
        for key in self.ipam.superseded() {
            self.saved.apply(Change::remove(Slot::Record(key)));
        }
        sent
    }

    fn describe(&self) -> String {
        format!(
            "{:?} {:?} {:?} {:?} {:?}",
            self.ipam, self.saved, self.lagging, self.heard, self.faults
        )
    }

    fn judged(mut self) -> Self {
        if let Err(fault) = self.ipam.check() {
            self.faults.insert(fault);
        }
        let mut at = Offset(0);
        for (range, ..) in self.ipam.ledger().into_iter().flat_map(|ledger| ledger.entries()) {
            if range.start != at || range.is_empty() {
                self.faults.insert("the ledger does not tile the universe");
            }
            at = range.end;
        }
        self.owns = letter::owned(&self.ipam, config().universe);
        self.ledger = format!("{:?}", self.ipam.ledger());
        let state = self.ipam.status().state;
        self.awaits = matches!(state, IpamState::Listening | IpamState::AwaitingMerge);
        self.gives = OnceLock::new();
        self.key = self.describe();
        self
    }
}

ordered_by!(Peer, |peer| &peer.key);

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let founding = letter::founding(config().universe, self.seeds);
        let founding = self.letters.share(Letter(founding));
        let start = |n| {
            let mut new = self.start(peer(n), Saved::default());
            if n < self.seeds {
                new.hear(&founding);
            }
            self.peers.share(new.judged())
        };
        let peers = (0..self.count).map(start).collect();
        vec![State { peers, sent: bit(&founding), restarts: 0 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let sent = self.letters.with(letter::numbers(state.sent));
        for (n, peer) in state.peers.iter().enumerate() {
            let given = self.gives(peer).iter();
            actions.extend(given.map(|&(to, what)| Action::Ask { giver: n, to, what }));
            let news = sent.iter().filter(|letter| peer.heard & bit(letter) == 0);
            actions.extend(news.map(|letter| Action::Hear(n, *letter)));
            if peer.awaits {
                let others = (0..self.count).filter(|with| *with != n);
                actions.extend(others.map(|with| Action::Meet { me: n, with }));
            }
            if self.leaves && !peer.ipam.has_left() {
                actions.push(Action::Leave(n));
            }
            if state.restarts < self.restarts {
                actions.push(Action::Restart(n));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let restarts = last.restarts + u8::from(matches!(action, Action::Restart(_)));
        let (n, event) = match action {
            Action::Ask { giver, to, what } => (giver, Event::Asked(to, what)),
            Action::Hear(n, ref letter) => (n, Event::Hear(letter)),
            Action::Meet { me, with } => (me, Event::Meet(&last.peers[with])),
            Action::Leave(n) => (n, Event::Leave),
            Action::Restart(n) => (n, Event::Restart),
        };
        let (peer, sent) = self.turn(&last.peers[n], event, Option::clone)?;
        let mut state = State { restarts, ..last.clone() };
        state.peers[n] = peer;
        state.sent |= sent;
        // States that differ only in what all have heard have the same future. While somebody may
        // yet stop, and keep only what its disk holds, what all have heard may be heard again.
        if state.restarts == self.restarts {
            let heard_by_all = state.peers.iter().fold(Letters::MAX, |all, peer| all & peer.heard);
            state.sent &= !heard_by_all;
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_OWNER, |_, state: &State| {
                letter::is_disjoint(state.peers.iter().map(|peer| peer.owns))
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
            Property::sometimes("all have heard all", |world: &Self, state: &State| {
                let heard: BTreeSet<_> = state.peers.iter().map(|peer| peer.heard).collect();
                let most = heard.iter().map(|heard| heard.count_ones()).max();
                heard.len() == 1 && most > Some(u32::try_from(world.asked.len()).unwrap())
            }),
        ]
    }
}

/// The last address of one share and the first of the other.
const TWO_UNITS: &[(u128, u128)] = &[(1, 2), (2, 3)];

#[test]
fn two_addresses_among_four_peers_have_one_owner_each_whoever_restarts() {
    search("ledger, 4 peers", World { restarts: 1, ..World::new(4, 2, TWO_UNITS, 2) });
}

#[test]
fn what_is_given_whole_and_passed_on_in_parts_has_one_owner() {
    search("ledger, parts", World::new(3, 1, &[(0, ADDRESSES)], 2));
}

/// With four versions some grants are of no use any more, and no disk holds them after a restart.
#[test]
fn grants_that_were_dropped_and_come_again_change_nothing() {
    search("ledger, dropped", World { restarts: 2, ..World::new(3, 1, &[(1, 2)], 4) });
}

#[test]
fn who_leaves_and_comes_back_owns_what_it_is_given_anew() {
    let world = World { restarts: 1, leaves: true, ..World::new(3, 2, TWO_UNITS, 1) };
    search("ledger, leaving", world);
}

#[test]
fn the_search_finds_what_a_disk_that_lags_breaks() {
    let world = World { restarts: 1, disk: Disk::Lags, ..World::new(4, 2, TWO_UNITS, 2) };
    search_for("ledger, disk lags", world, ONE_OWNER);
}
