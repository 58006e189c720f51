//! Addresses: who owns which part of the universe, and who holds which address.
//!
//! [`Ipam`] is a machine of its own inside the node. It sees records as they are accepted, sends
//! and receives [`IpamMessage`]s, and says what it wants in [`Act`]s, which the node carries out
//! before its own call returns.

mod act;
mod asks;
mod commands;
mod confirming;
mod estate;
mod eviction;
pub mod founding;
pub mod freeze;
mod gate;
mod giving;
mod grants;
mod hints;
mod holdings;
mod intervals;
mod leaving;
mod ledger;
mod message;
mod met;
mod opening;
mod part;
mod regain;
mod resting;
mod rounds;
mod settling;
mod snapshot;
mod strays;
#[cfg(test)]
mod tests;
mod titles;
mod voting;
mod wants;
mod witness;

pub use act::Act;
pub use founding::{Ballot, Founding, Proposal, Voter};
pub use freeze::Freeze;
pub use ledger::{Conflict, Grant, Ledger};
pub use message::IpamMessage;
pub use part::Part;

use crate::addr::{Offset, Range, Universe};
use crate::config::{Config, FoundingMode};
use crate::id::{ContainerId, PeerId};
use crate::io::{Command, Reply, RequestId};
use crate::mark::{Mark, mark};
use crate::record::{Fingerprint, Key, Record};
use crate::saved::{Damaged, Saved, Slot};
use crate::status::IpamSizes;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use asks::Asks;
use core::time::Duration;
use estate::Estate;
use gate::Gate;
pub(crate) use gate::TWIN_WAIT;
use holdings::Holdings;
use ipnet::IpNet;
use met::Met;
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use settling::Settling;
use strays::Strays;
use titles::{SignedGrant, Titles};
use wants::Waiting;
pub use witness::Witnessed;
use witness::Witnesses;

/// Body of [`Key::Space`]: a hint whom to ask for addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// For each block of the universe, the larger one first, the floor of the binary logarithm of
    /// (free addresses + 1): changes seldom. Zero where there is no second block.
    pub free_log2: [u8; 2],
}

/// The IPAM of one node.
#[derive(Clone, Debug)]
pub struct Ipam {
    me: PeerId,
    universe: Universe,
    default_subnets: Vec<IpNet>,
    mode: FoundingMode,
    allocate_max: Duration,
    waiting_max: usize,
    /// Most peers whose votes and hints are kept, and what is kept of grants that wait follows from it.
    records_max: usize,
    rng: ChaCha20Rng,
    reachable: BTreeMap<PeerId, Part>,
    targets: usize,
    /// Those that are not known to be ourselves.
    other_targets: usize,
    met: Met,
    votes: founding::Votes,
    /// The rounds by which votes may lead, beyond one leap: one leap for each refused vote.
    votes_lead: u64,
    /// Whether somebody here has asked for the founding.
    started: bool,
    propose_at: Option<Instant>,
    proposals: u32,
    founded: Option<(Fingerprint, Ledger)>,
    /// Which grants count in the ledger, and which are still of use.
    titles: Titles,
    /// Grants that came before the founding.
    early: BTreeMap<Fingerprint, SignedGrant>,
    /// Records that matter no more, until the node asks.
    dead: Vec<Key>,
    gate: Gate,
    witnesses: Witnesses,
    has_left: bool,
    estate: Estate,
    is_stopping: bool,
    hints: BTreeMap<PeerId, Space>,
    own_hint: Option<Space>,
    hint_at: Option<Instant>,
    /// No hint leaves before this.
    hint_not_before: Instant,
    absorb_at: Option<Instant>,
    holdings: Holdings,
    /// What peers say of evictions, ourselves included.
    freezes: freeze::Freezes,
    /// The rounds of evictions by which peers may lead, beyond one leap: one leap for each that was refused.
    evictions_lead: u64,
    /// What was saved is being handed in: nothing is said yet.
    is_restoring: bool,
    waiting: Vec<Waiting>,
    /// Those who wait for the founding, the first one first.
    primes: Vec<RequestId>,
    asks: Asks,
    strays: Strays,
    settling: Settling,
}

impl Ipam {
    /// From what was saved. Records of [`crate::saved::Slot::Record`] are handed in by the node
    /// afterwards, through [`Ipam::record`] with an `acts` that must stay empty of publications.
    ///
    /// # Errors
    /// When what was saved cannot be read.
    pub fn new(
        config: &Config,
        me: PeerId,
        saved: &Saved,
        mut rng: ChaCha20Rng,
    ) -> Result<Self, Damaged> {
        let began = |slot: &Slot| matches!(slot, Slot::Incarnation | Slot::Record(_));
        Ok(Self {
            me,
            universe: config.universe,
            default_subnets: config.subnets(),
            mode: config.founding.clone(),
            allocate_max: config.allocate_max,
            waiting_max: config.waiting_max,
            records_max: config.records_max,
            witnesses: Witnesses::new(rng.next_u64()),
            rng,
            reachable: BTreeMap::new(),
            targets: 0,
            other_targets: 0,
            met: Met::load(saved)?,
            votes: BTreeMap::new(),
            votes_lead: 0,
            started: false,
            propose_at: None,
            proposals: 0,
            founded: None,
            titles: Titles::default(),
            early: BTreeMap::new(),
            dead: Vec::new(),
            gate: Gate::new(!saved.slots.keys().any(began)),
            has_left: false,
            estate: Estate::default(),
            is_stopping: false,
            hints: BTreeMap::new(),
            own_hint: None,
            hint_at: None,
            hint_not_before: Instant::ZERO,
            absorb_at: None,
            holdings: Holdings::load(config.universe, saved)?,
            freezes: BTreeMap::new(),
            evictions_lead: 0,
            is_restoring: true,
            waiting: Vec::new(),
            primes: Vec::new(),
            asks: Asks::default(),
            strays: Strays::new(),
            settling: Settling::default(),
        })
    }

    /// Any of `Allocate`, `Claim`, `Hold`, `Release`, `Prime`, `OpenGate`, `Evict`, `Leave`, `Stop`; others are not for IPAM
    /// and are ignored. Answers at once or later; each exactly once.
    pub fn command(
        &mut self,
        now: Instant,
        request: RequestId,
        command: Command,
        acts: &mut Vec<Act>,
    ) {
        self.restored(now, acts);
        match command {
            Command::Allocate { id, subnet } => {
                let want = self.want_any(id, subnet);
                self.begin(now, request, want, acts);
            }
            Command::Claim { id, address } => {
                let want = self.want_this(id, address);
                self.begin(now, request, want, acts);
            }
            Command::Hold { id, address } => {
                let result = self.take_up(now, &id, address, acts);
                acts.push(Act::Reply { request, result });
                self.conclude(now, acts);
            }
            Command::Release { id, address } => {
                let result = self.release(now, &id, address, acts);
                acts.push(Act::Reply { request, result });
                self.conclude(now, acts);
            }
            Command::Prime => self.prime(now, request, acts),
            Command::Leave => {
                let want = self.want_leave(now, acts);
                self.begin(now, request, want, acts);
            }
            Command::Stop => {
                self.is_stopping = true;
                self.conclude(now, acts);
                acts.push(Act::Reply { request, result: Ok(Reply::Done) });
            }
            Command::OpenGate => {
                let result = self.force_gate(now, acts);
                acts.push(Act::Reply { request, result });
            }
            Command::Evict { peers, force, wait } => {
                let want = self.want_eviction(peers, force, wait);
                self.begin(now, request, want, acts);
            }
            Command::Connect { .. }
            | Command::Forget { .. }
            | Command::Register { .. }
            | Command::Unregister { .. }
            | Command::Trust(_) => {}
        }
    }

    /// A record of kind Founding, Grant, Voter, Freeze or Space was accepted from a peer or from disk.
    /// Bodies that make no sense are ignored.
    pub fn record(&mut self, now: Instant, record: &Record, acts: &mut Vec<Act>) {
        match record.key {
            Key::Founding(print) => {
                if let Ok(founding) = record.decode::<Founding>() {
                    if self.founded.is_none() {
                        mark(Mark::FoundingAdopted);
                    }
                    self.found(now, print, &founding, acts);
                }
            }
            Key::Grant(print) => match record.decode::<Grant>() {
                Ok(grant) => {
                    if grant.victim.is_some() && grant.owner != record.writer {
                        mark(Mark::GrantMisfit);
                        self.bury(record.key);
                    } else {
                        let signed = SignedGrant::by(record.writer, grant);
                        self.take_grant(now, print, signed, acts);
                    }
                }
                Err(_) => self.bury(record.key),
            },
            Key::Voter(peer) => {
                if let Ok(vote) = record.decode::<Voter>() {
                    self.take_vote(now, peer, vote, acts);
                }
            }
            Key::Freeze(peer) => {
                if let Ok(freeze) = record.decode::<Freeze>() {
                    self.take_freeze(peer, freeze);
                }
            }
            Key::Space(peer) => {
                let is_known = self.hints.contains_key(&peer);
                if let Ok(space) = record.decode::<Space>()
                    && peer != self.me
                    && (is_known || self.hints.len() < self.records_max)
                {
                    self.hints.insert(peer, space);
                    if space.free_log2.iter().any(|log2| *log2 > 0) {
                        self.asks.hinted(peer);
                    }
                }
            }
            Key::Peer(_) | Key::Names(..) => {}
        }
        self.conclude(now, acts);
    }

    /// All that was saved has been handed in. Called by whoever hands it in, or else by what comes first.
    pub fn restored(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if core::mem::take(&mut self.is_restoring) {
            self.look_for_strays(now, self.universe.range(), acts);
        }
    }

    /// `peer` is one to have nothing to do with: what it said of itself, its vote and its free space,
    /// does not count any more. A founding would else give it addresses that nobody could use.
    pub fn forget(&mut self, peer: PeerId) {
        self.votes.remove(&peer);
        self.freezes.remove(&peer);
        self.hints.remove(&peer);
    }

    /// A message came from `from`.
    pub fn message(
        &mut self,
        now: Instant,
        from: PeerId,
        message: &IpamMessage,
        acts: &mut Vec<Act>,
    ) {
        match message {
            IpamMessage::Request { range } => self.donate(now, from, *range, acts),
            IpamMessage::Regain { ranges } => self.give_back(now, from, ranges, acts),
            IpamMessage::Taken { ranges } => self.strays_taken(now, from, ranges),
            IpamMessage::Denied { range } => {
                self.asks.denied(now, *range, from);
                self.conclude(now, acts);
            }
            IpamMessage::Confirm(witnessed) => self.confirm(from, *witnessed, acts),
            IpamMessage::Confirmed(witnessed) => self.confirmed(now, from, *witnessed, acts),
        }
    }

    /// The peers that can be reached, and what they say of themselves; `me` is never among them.
    pub fn reachable(&mut self, now: Instant, peers: BTreeMap<PeerId, Part>, acts: &mut Vec<Act>) {
        self.restored(now, acts);
        if self.reachable == peers {
            return;
        }
        self.reachable = peers;
        self.witnesses.hurry();
        self.hurry_strays(now);
        // Where the operator gave no number, a quorum is one of all that were ever met.
        if self.founded.is_none() && matches!(self.mode, FoundingMode::Consensus { peers: None }) {
            let voters = self.reachable.iter().filter(|(_, part)| part.votes);
            acts.extend(self.met.add(voters.map(|(peer, _)| *peer)).map(Act::Persist));
        }
        self.resume_proposing(now);
        self.conclude(now, acts);
    }

    /// What we say of ourselves.
    pub fn part(&self) -> Part {
        let lacks = match &self.founded {
            None => self.holdings.len_inside() > 0,
            Some(_) => self.asks_for_strays(),
        };
        Part { votes: self.votes(), leaves: self.has_left, lacks }
    }

    /// How many targets the operator configured: with no explicit count the quorum is of no fewer. Of
    /// them `others` may be other peers: with none a sole owner need not wait.
    pub fn targets(&mut self, now: Instant, count: usize, others: usize, acts: &mut Vec<Act>) {
        if (self.targets, self.other_targets) != (count, others) {
            (self.targets, self.other_targets) = (count, others);
            self.conclude(now, acts);
        }
    }

    /// Does what is due.
    pub fn timeout(&mut self, now: Instant, acts: &mut Vec<Act>) {
        self.restored(now, acts);
        self.asks.expire(now);
        self.gate.expire(now);
        self.hand_on(now, acts);
        self.settling.expire(now);
        if self.propose_at.take_if(|at| *at <= now).is_some() {
            self.propose(now, acts);
        }
        self.conclude(now, acts);
        if self.absorb_at.take_if(|at| *at <= now).is_some() {
            self.absorb(now, acts);
        }
        if self.hint_at.take_if(|at| *at <= now).is_some() {
            self.hint(now, acts);
        }
    }

    /// When [`Ipam::timeout`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        let own = [
            self.propose_at,
            self.absorb_at,
            self.hint_at,
            self.asks.deadline(),
            self.gate.deadline(),
            self.witnesses.deadline(),
            self.strays_deadline(),
            self.settling.deadline(),
            self.estate.unheard_until,
            self.estate.hand_on_at,
        ];
        own.into_iter().flatten().chain(wants::give_up_at(&self.waiting)).min()
    }

    /// Which founding our ledger grew from, once there is one.
    pub fn lineage(&self) -> Option<Fingerprint> {
        self.founded.as_ref().map(|(lineage, _)| *lineage)
    }

    /// The ledger, for status and for judges.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.founded.as_ref().map(|(_, ledger)| ledger)
    }

    /// Addresses held here, in order of their holders.
    pub fn held(&self) -> impl Iterator<Item = (&ContainerId, &[IpNet])> {
        self.holdings.iter()
    }

    /// Addresses held for `id`.
    pub fn held_by(&self, id: &ContainerId) -> &[IpNet] {
        self.holdings.of(id)
    }

    /// Own addresses that nobody holds.
    pub fn free(&self) -> u128 {
        self.free_in(self.universe.range())
    }

    /// Whether something free of ours inside `range` settles.
    fn settles_free(&self, range: Range) -> bool {
        self.settling.parts(range).any(|part| self.free_in(part) > 0)
    }

    /// Own addresses inside `range` that nobody holds.
    fn free_in(&self, range: Range) -> u128 {
        self.ledger().map_or(0, |ledger| self.holdings.free_count(ledger, self.me, range))
    }

    /// Whether it would hand out or give away the address at `offset` just now.
    pub fn acts_as_owner(&self, offset: Offset) -> bool {
        let owner = self.ledger().and_then(|ledger| ledger.owner(offset));
        owner == Some(self.me) && self.is_open() && !self.has_left && !self.holdings.is_held(offset)
    }

    /// Whether each own address is either free or held, once.
    ///
    /// # Errors
    /// The sum that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let Some(ledger) = self.ledger() else { return Ok(()) };
        let mut owned = 0;
        let mut held = 0;
        for range in ledger.owned_by(self.me) {
            owned += range.size();
            held += self.holdings.held_count(range);
        }
        if owned != self.free() + held {
            return Err("own addresses are not those free and those held");
        }
        let ids: usize = self.held().flat_map(|(_, nets)| nets).count();
        if ids != self.holdings.len() {
            return Err("an address has two holders");
        }
        let tiled: u128 = ledger.entries().map(|(range, ..)| range.size()).sum();
        if tiled != self.universe.size() {
            return Err("the ledger does not tile the universe");
        }
        Ok(())
    }

    /// Takes the keys of records that matter no more, because everything they say is superseded:
    /// the node drops them. Each is named once for each time that it was handed in.
    pub fn superseded(&mut self) -> Vec<Key> {
        core::mem::take(&mut self.dead)
    }

    /// How full its tables are, for judges.
    pub fn sizes(&self) -> IpamSizes {
        let Self {
            reachable,
            met,
            votes,
            founded,
            titles,
            early,
            dead,
            hints,
            holdings,
            freezes,
            waiting,
            primes,
            asks,
            strays,
            settling,
            is_restoring: _,
            me: _,
            universe: _,
            default_subnets: _,
            mode: _,
            allocate_max: _,
            waiting_max: _,
            records_max: _,
            rng: _,
            targets: _,
            other_targets: _,
            votes_lead: _,
            evictions_lead: _,
            started: _,
            propose_at: _,
            proposals: _,
            gate: _,
            witnesses: _,
            has_left: _,
            estate: _,
            is_stopping: _,
            own_hint: _,
            hint_at: _,
            hint_not_before: _,
            absorb_at: _,
        } = self;
        let (titles, unproven, unburied) = titles.sizes();
        let (held, cursors) = holdings.sizes();
        IpamSizes {
            waiting: waiting.len(),
            primes: primes.len(),
            asks: asks.len(),
            reachable: reachable.len(),
            met: met.len(),
            votes: votes.len(),
            freezes: freezes.len(),
            early: early.len(),
            unproven,
            ledger: founded.as_ref().map_or(0, |(_, ledger)| ledger.entries().count()),
            titles,
            dead: dead.len() + unburied,
            hints: hints.len(),
            held,
            strays: strays.len(),
            settling: settling.len(),
            cursors,
        }
    }
}
