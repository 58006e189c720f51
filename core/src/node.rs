//! The node: owns the machines of the core and routes each input to one of them.

mod commands;
mod conns;
mod foreign;
mod ghosts;
mod links;
mod membership;
mod neighbours;
mod paces;
mod records;
mod renewals;
mod run;
mod sessions;
mod sizes;
mod snapshot;
mod strangers;
#[cfg(test)]
mod tests;
mod tree;
mod trust;

use self::foreign::Foreign;
use self::paces::Paces;
use self::run::Run;
use crate::config::{Config, ConfigError, NetworkSecret};
use crate::forward::{ForwardingChange, Routes};
use crate::gossip::{Lacking, Prefix, Print, Records};
use crate::id::{Identity, Incarnation, PeerId, PeerName};
use crate::io::{CommandError, ConnId, Deadline, Input, Outbox, Output, Target, Timer};
use crate::ipam::{Act, Ipam};
use crate::mark::{Mark, mark};
use crate::mesh::{Acquaintances, Conn, ConnFault, Dialer, Directs, Unicast, UnicastBody, Way};
use crate::names::{KnownName, Names, NamesLimits, NamesPage, PageKey};
use crate::record::{Key, Record, Version};
use crate::saved::{Change, Damaged, Network, Saved, Slot};
use crate::sleeve::SessionIndex;
use crate::status::Status;
use crate::time::{Instant, Now};
use crate::topology::{PeerRecord, Topology};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::num::NonZeroU32;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 bytes that all randomness of one run comes from; one child generator per purpose.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed(pub [u8; 32]);

impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

impl Seed {
    /// The generator for `purpose`: what one purpose draws does not change what another gets.
    fn child(&self, purpose: &str) -> ChaCha20Rng {
        let digest = Sha256::new().chain_update(self.0).chain_update(purpose).finalize();
        ChaCha20Rng::from_seed(digest.into())
    }
}

/// Why a node cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was saved cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// What was saved belongs to another range.
    #[error(
        "the saved addresses lie in {saved}, but the range is now {given}: launch with --ipalloc-range {saved}, or `weft reset --force` to start afresh"
    )]
    OtherUniverse {
        /// In which the saved state lies.
        saved: crate::addr::Universe,
        /// As configured.
        given: crate::addr::Universe,
    },
}

/// One running weft.
#[derive(Debug)]
pub struct Node {
    config: Config,
    /// What is proven to other peers: none, or one, or the new one and the one before.
    secrets: Vec<NetworkSecret>,
    /// Whom we have to do with, besides ourselves; everybody when `None`.
    allowed: Option<BTreeSet<PeerId>>,
    identity: Identity,
    me: PeerId,
    name: PeerName,
    incarnation: Incarnation,
    /// Of the last record of our own.
    sequence: u64,
    run: Run,
    records: Records,
    lacking: Lacking,
    topology: Topology,
    names: Names,
    ipam: Ipam,
    dialer: Dialer,
    conns: BTreeMap<ConnId, Conn>,
    /// Dialed after the next start too.
    acquaintances: Acquaintances,
    /// The one link with each neighbour.
    neighbours: BTreeMap<PeerId, ConnId>,
    /// Whose each label of a data session is, that we chose.
    labels: BTreeMap<SessionIndex, Owner>,
    /// Data sessions that no link brings.
    directs: Directs,
    /// How often strangers may begin handshakes.
    paces: Paces,
    /// Conns dialed so far.
    dialed: u64,
    session_rng: ChaCha20Rng,
    handshake_rng: ChaCha20Rng,
    referral_rng: ChaCha20Rng,
    /// As last told to the forwarder.
    routes: Routes,
    /// Whom frames for each name in it go to.
    holders: BTreeMap<PeerName, PeerId>,
    routes_at: Option<Instant>,
    /// When our own record is next to be looked at.
    describe_at: Option<Instant>,
    /// When it was last.
    described_at: Option<Instant>,
    /// What the call in progress has found out, to be acted upon before it returns.
    turn: Turn,
    /// The last one that dialed us from a mesh that was founded apart: its side tells why it retries, and ours would say
    /// nothing.
    foreign: Option<Foreign>,
    conns_ended: u64,
    records_refused: u64,
    probes_taken: u64,
    is_stopped: bool,
}

/// Whose a data session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// It came with the link on this conn.
    Link(ConnId),
    /// It was made on demand, with this peer.
    Direct(PeerId),
}

/// What one call has to finish before it returns.
#[derive(Debug, Default)]
struct Turn {
    /// To be made durable before all else.
    changes: Vec<Change>,
    /// Our links or addresses may differ from our record.
    links_changed: bool,
}

/// Who a node is that starts with what was `saved`, or draws from `seed` who it is; and how to keep that.
///
/// # Errors
/// When what was saved of it cannot be read.
pub fn identity(saved: &Saved, seed: &Seed) -> Result<(Identity, Change), Damaged> {
    let seed = saved.get(&Slot::Identity)?.unwrap_or_else(|| {
        let mut bytes = [0; 32];
        seed.child("identity").fill_bytes(&mut bytes);
        bytes
    });
    Ok((Identity::from_seed(seed), Change::put(Slot::Identity, &seed)))
}

impl Node {
    /// A node from its settings and what it saved. Puts its first wishes into `out`: what must be
    /// durable before all else (its identity at the first start, its incarnation), and first dials.
    ///
    /// # Errors
    /// When a setting is wrong or the saved state cannot be used; nothing was changed.
    pub fn new(
        config: Config,
        saved: Saved,
        seed: Seed,
        now: Now,
        out: &mut Outbox,
    ) -> Result<Self, StartError> {
        config.check()?;
        saved.check_places()?;
        let network = Network { universe: config.universe };
        if let Some(before) = saved.get::<Network>(&Slot::Network)?
            && before != network
        {
            mark(Mark::StartOtherUniverse);
            let (saved, given) = (before.universe, config.universe);
            return Err(StartError::OtherUniverse { saved, given });
        }
        let (identity, identity_kept) = identity(&saved, &seed)?;
        let me = identity.id();
        let before = saved.get::<Incarnation>(&Slot::Incarnation)?.unwrap_or_default();
        let incarnation = Incarnation(before.0.saturating_add(1));
        if saved.slots.is_empty() {
            mark(Mark::StartFirst);
        } else {
            mark(Mark::StartAgain);
        }
        let mut targets: BTreeSet<Target> = config.targets.iter().cloned().collect();
        if config.resume {
            mark(Mark::StartResumed);
            targets.extend(saved.get::<Vec<Target>>(&Slot::Targets)?.unwrap_or_default());
        }
        let targets: Vec<Target> = targets.into_iter().collect();
        let mut records = Vec::new();
        for slot in saved.slots.keys() {
            if let Slot::Record(key) = slot {
                let record = saved.get::<Record>(slot).ok().flatten();
                let record = record.filter(|record| record.key == *key);
                let sound = record.filter(|record| record.check().is_ok());
                if sound.is_none() {
                    mark(Mark::StartDamaged);
                }
                records.push(sound.ok_or_else(|| Damaged(slot.clone()))?);
            }
        }

        let secrets = config.secret.iter().chain(&config.old_secret).cloned().collect();
        let names_limits = NamesLimits { names: config.names_max, page: config.names_page_max };
        let mut node = Self {
            secrets,
            allowed: config.allowed.clone(),
            me,
            name: config.name.unwrap_or_else(|| me.default_name()),
            identity,
            incarnation,
            sequence: 0,
            run: Run::new(NonZeroU32::MIN | seed.child("run").next_u32()),
            records: Records::new(config.records_max, config.records_len_max),
            lacking: Lacking::default(),
            topology: Topology::new(me),
            names: Names::load(&saved, names_limits)?,
            ipam: Ipam::new(&config, me, &saved, seed.child("ipam"))?,
            dialer: Dialer::new(&config, seed.child("dial")),
            acquaintances: Acquaintances::load(&saved)?,
            conns: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            labels: BTreeMap::new(),
            directs: Directs::default(),
            paces: Paces::default(),
            dialed: 0,
            session_rng: seed.child("session"),
            handshake_rng: seed.child("handshake"),
            referral_rng: seed.child("referral"),
            routes: Routes::default(),
            holders: BTreeMap::new(),
            routes_at: None,
            describe_at: None,
            described_at: None,
            turn: Turn { links_changed: true, ..Turn::default() },
            foreign: None,
            conns_ended: 0,
            records_refused: 0,
            probes_taken: 0,
            is_stopped: false,
            config,
        };
        let first = out.outputs().len();
        node.turn.changes = alloc::vec![
            identity_kept,
            Change::put(Slot::Incarnation, &incarnation),
            Change::put(Slot::Network, &network),
            Change::put(Slot::Targets, &targets),
        ];
        // Only what differs is written.
        node.turn.changes.retain(|change| saved.slots.get(&change.slot) != change.value.as_ref());
        let at = now.mono;
        node.dialer.connect(at, &targets, false);
        node.dialer.recall(at, &node.acquaintances);
        node.count_targets(at, out);
        if !saved.slots.is_empty() {
            node.ipam.await_neighbours(at);
        }
        for record in records {
            if matches!(record.key, Key::Founding(_)) {
                mark(Mark::StartFounded);
            }
            let mut acts = Vec::new();
            node.ipam.record(at, &record, &mut acts);
            node.records.put(record);
            node.act(acts, out);
        }
        let mut acts = Vec::new();
        node.ipam.restored(at, &mut acts);
        node.act(acts, out);
        node.publish_names();
        node.finish(at, first, out);
        Ok(node)
    }

    /// Takes in what happened; what is to be done comes out in order.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outbox) {
        let (at, first) = (now.mono, out.outputs().len());
        match input {
            Input::Timeout => {}
            Input::Opened { conn, local, remote } => self.opened(at, conn, local, remote, out),
            Input::DialFailed { conn, why } => {
                self.end(at, conn, ConnFault::Dial(why), Way::Gone, out);
            }
            Input::Received { conn, bytes } => self.received(at, conn, &bytes, out),
            Input::Written { conn } => {
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.writing_since = None;
                }
            }
            Input::Closed { conn, why } => {
                self.end(at, conn, ConnFault::Closed(why), Way::Gone, out);
            }
            Input::Datagram { from, bytes } => self.datagram(at, from, &bytes, out),
            Input::Wanted { peer } => self.wanted(at, peer, out),
            Input::Command { request, command } => self.command(at, request, command, out),
        }
        self.finish(at, first, out);
    }

    /// Does all that is due and all that this call brought about; what must be durable goes before
    /// the outputs of this call, which begin at `first`.
    fn finish(&mut self, at: Instant, first: usize, out: &mut Outbox) {
        // What one part does may make another due, which ends after a few rounds: every wait that
        // is drawn is longer than zero.
        for _ in 0..ROUNDS_MAX {
            self.timeouts(at, out);
            self.conclude(at, out);
            self.dial(at, out);
            self.flush(at, out);
            if self.deadline().is_none_or(|deadline| deadline.at > at) {
                break;
            }
        }
        let changes = core::mem::take(&mut self.turn.changes);
        if !changes.is_empty() {
            out.insert(first, Output::Persist(changes));
        }
    }

    fn timeouts(&mut self, at: Instant, out: &mut Outbox) {
        self.conn_timeouts(at, out);
        if self.ipam.deadline().is_some_and(|due| due <= at) && !self.is_stopped {
            let mut acts = Vec::new();
            self.ipam.timeout(at, &mut acts);
            self.act(acts, out);
        }
        if self.routes_at.is_some_and(|due| due <= at) {
            self.routes_at = None;
            self.survey(at, out);
            let (routes, holders) = self.current_routes();
            self.holders = holders;
            if routes == self.routes {
                mark(Mark::RoutesSame);
            } else {
                mark(Mark::RoutesChanged);
                self.routes = routes.clone();
                out.push(Output::Forwarding(ForwardingChange::Routes(routes)));
            }
            self.review_directs(at, out);
        }
        self.session_timeouts(at, out);
        self.mend_tree(at);
    }

    /// Next hops of the topology, as sessions of the links that stand, and who has each name.
    fn current_routes(&self) -> (Routes, BTreeMap<PeerName, PeerId>) {
        let hops = self.topology.graph().next_hops();
        let name = |peer: &PeerId| {
            if *peer == self.me {
                return Some(self.name);
            }
            // A peer that took our name by gossip alone gets none of what is ours: frames for us
            // would leave again, and our broadcasts go its way.
            self.topology.get(*peer).map(|record| record.name).filter(|name| *name != self.name)
        };
        let session = |peer: &PeerId| {
            let conn = self.neighbours.get(peer).and_then(|conn| self.conns.get(conn));
            conn.and_then(|conn| conn.link()).map(|link| link.path.index)
        };
        // Should two peers have one name, the one is served from whose id it follows, for anybody can
        // choose any other; and else the one with the lower id.
        let mut holders: BTreeMap<PeerName, PeerId> = BTreeMap::new();
        for peer in hops.unicast.keys().chain(hops.broadcast.keys()) {
            let Some(name) = name(peer) else { continue };
            let holder = holders.entry(name).or_insert(*peer);
            let rank = |peer: &PeerId| (peer.default_name() != name, *peer);
            if holder != peer && rank(peer) < rank(holder) {
                *holder = *peer;
            }
        }
        let mut routes = Routes::default();
        for (name, peer) in &holders {
            if let Some(session) = hops.unicast.get(peer).and_then(&session) {
                routes.unicast.insert(*name, session);
            }
            if let Some(next) = hops.broadcast.get(peer) {
                routes.broadcast.insert(*name, next.iter().filter_map(&session).collect());
            }
        }
        (routes, holders)
    }

    /// When it next wants [`Input::Timeout`], and on whose behalf.
    pub fn deadline(&self) -> Option<Deadline> {
        if self.is_stopped {
            return self.conn_deadlines().min();
        }
        let others = [
            self.dialer.deadline().map(|at| Deadline { at, timer: Timer::Dial }),
            self.ipam.deadline().map(|at| Deadline { at, timer: Timer::Ipam }),
            self.routes_at.map(|at| Deadline { at, timer: Timer::Routes }),
            self.describe_at.map(|at| Deadline { at, timer: Timer::Describe }),
            self.directs.deadline().map(|at| Deadline { at, timer: Timer::Session }),
            self.lacking.due_at().map(|at| Deadline { at, timer: Timer::Tree }),
        ];
        others.into_iter().flatten().chain(self.conn_deadlines()).min()
    }

    fn conn_deadlines(&self) -> impl Iterator<Item = Deadline> {
        let all = self.conns.values().flat_map(|conn| conn.deadlines(&self.config));
        all.flatten().map(|(at, timer)| Deadline { at, timer })
    }

    /// Carries out what IPAM wants, in order.
    fn act(&mut self, acts: Vec<Act>, out: &mut Outbox) {
        for act in acts {
            match act {
                Act::Publish { key, body } => self.publish(key, body),
                Act::Tell { peer, message } => {
                    let hops = self.config.hops_max;
                    let body = UnicastBody::Ipam(message);
                    self.pass_on(Unicast::sign(&self.identity, peer, hops, body));
                }
                Act::Persist(change) => self.turn.changes.push(change),
                Act::Reply { request, mut result } => {
                    let named = result.as_mut().err().map(CommandError::peers_mut);
                    for peer in named.into_iter().flatten() {
                        *peer = self.label(peer.id);
                    }
                    out.push(Output::Reply { request, result });
                }
                Act::Event(event) => out.push(Output::Event(event)),
            }
        }
    }

    /// Who we are.
    pub const fn id(&self) -> PeerId {
        self.me
    }

    /// Our 48-bit name.
    pub const fn name(&self) -> PeerName {
        self.name
    }

    /// Our addresses, for judges.
    pub const fn ipam(&self) -> &Ipam {
        &self.ipam
    }

    /// All records that we hold, for judges.
    pub const fn records(&self) -> &Records {
        &self.records
    }

    /// The version of the last record of our own, for judges.
    pub const fn last_version(&self) -> Version {
        Version { incarnation: self.incarnation, sequence: self.sequence }
    }

    /// Probes of data paths that were taken in since the start, for judges.
    pub const fn probes_taken(&self) -> u64 {
        self.probes_taken
    }

    /// What each known peer says of itself, for judges.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, &PeerRecord)> {
        self.topology.peers()
    }

    /// All names that are answered: those of reachable peers and our own, by name.
    pub fn names(&self) -> Vec<KnownName> {
        self.names.known(self.me, |peer, start| lives(&self.topology, peer, start))
    }

    /// The same, by the page that they stand on.
    pub fn names_by_page(&self) -> Vec<(PageKey, NamesPage)> {
        self.names.by_page(self.me, |peer, start| lives(&self.topology, peer, start))
    }

    /// Of all records that it holds: another one as soon as any of them changes.
    pub fn print(&self) -> Print {
        self.records.sum(Prefix::ROOT).1
    }

    /// A snapshot for people.
    pub fn status(&self, now: Now) -> Status {
        self.snapshot(now.mono)
    }
}

/// Whether `peer` can be reached, and is still in its start `incarnation`.
fn lives(topology: &Topology, peer: PeerId, incarnation: Incarnation) -> bool {
    topology.is_reachable(peer)
        && topology.get(peer).is_some_and(|record| record.incarnation == incarnation)
}

/// A call looks again for what is due at most so often.
const ROUNDS_MAX: usize = 8;
