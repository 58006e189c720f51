//! A read-only picture of a node, for `weft status`, the report, and judges.

use crate::addr::Universe;
use crate::config::SecretKind;
use crate::fault::DirectFault;
use crate::id::{ContainerId, Incarnation, PeerId, PeerName};
use crate::io::{CommandError, Target};
use crate::names::KnownName;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use ipnet::IpNet;
use serde::Serialize;

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Our identity.
    pub id: PeerId,
    /// Our 48-bit name.
    pub name: PeerName,
    /// Our label.
    pub nickname: String,
    /// Which start.
    pub incarnation: Incarnation,
    /// Control port.
    pub port: u16,
    /// Whether there is a network secret.
    pub encryption: bool,
    /// Where the network secrets come from, the one that is preferred first.
    pub secrets: Vec<SecretKind>,
    /// How many peers are on the list of those that this one has to do with, if there is one.
    pub allowed: Option<usize>,
    /// Whether peers that were only heard of are dialed.
    pub discovery: bool,
    /// Configured targets.
    pub targets: Vec<TargetStatus>,
    /// Links and attempts at links.
    pub conns: Vec<ConnStatus>,
    /// Peers without a link with which there is a data session, or was one of late, or an attempt.
    pub directs: Vec<DirectStatus>,
    /// All known peers, ourselves first, then by name.
    pub peers: Vec<PeerStatus>,
    /// Next hop to each reachable peer: (destination, neighbour).
    pub unicast: Vec<(PeerName, PeerName)>,
    /// Next hops of broadcasts by source: (source, neighbours).
    pub broadcast: Vec<(PeerName, Vec<PeerName>)>,
    /// Addresses.
    pub ipam: IpamStatus,
    /// All names that are answered, by name.
    pub names: Vec<KnownName>,
    /// Control links that ended since start.
    pub conns_ended: u64,
    /// Records that were not believed since start.
    pub records_refused: u64,
    /// Records kept.
    pub records: usize,
}

/// How full the tables and queues of a node are: numbers of entries, unless something else is said.
///
/// Whoever owns a table takes itself apart, field by field, to measure it: one that is added does not
/// compile before somebody has decided what it is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Control streams in every phase.
    pub conns: usize,
    /// Those of them that are being opened.
    pub dialing: usize,
    /// Those of these that lead to peers which were only heard of.
    pub discovering: usize,
    /// Links that stand.
    pub links: usize,
    /// Labels of data sessions that are taken.
    pub sessions: usize,
    /// Peers without a link with which there is a data session, or was one of late, or an attempt.
    pub directs: usize,
    /// Offers of sessions and sessions that are not proven, with such peers.
    pub sessions_under_way: usize,
    /// Addresses from which handshakes came that still count against them, or did until lately.
    pub sources: usize,
    /// Targets, and peers that were only heard of.
    pub attempts: usize,
    /// Those of them that wait for their next dial.
    pub postponed: usize,
    /// Peers whose link was lost since it was last looked at whom to dial.
    pub lost: usize,
    /// Neighbours that are remembered for the next start.
    pub acquaintances: usize,
    /// Records, our own included.
    pub records: usize,
    /// Bytes of all records, as they are sent.
    pub records_len: usize,
    /// Records that neighbours have announced and that have not come.
    pub lacking: usize,
    /// Peers of which is known what they say of themselves.
    pub peers: usize,
    /// Ways to peers, of frames for one and of broadcasts, as last told to the forwarder.
    pub routes: usize,
    /// Names that frames go to.
    pub holders: usize,
    /// Own names.
    pub names: usize,
    /// Other peers with names.
    pub name_pages: usize,
    /// What a call has left to be done, which is nothing.
    pub unfinished: usize,
    /// Of addresses.
    pub ipam: IpamSizes,
    /// Comparisons of records that are under way.
    pub pulls: usize,
    /// What waits for the neighbour for which most does.
    pub queues: Queues,
}

/// How full the tables about addresses are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IpamSizes {
    /// Commands that wait for something.
    pub waiting: usize,
    /// Commands that wait for the founding.
    pub primes: usize,
    /// Ranges that other owners are asked for.
    pub asks: usize,
    /// Peers in reach.
    pub reachable: usize,
    /// Voters that were met before the founding.
    pub met: usize,
    /// Peers that have voted.
    pub votes: usize,
    /// Peers that say something of evictions.
    pub freezes: usize,
    /// Grants that came before the founding.
    pub early: usize,
    /// Grants whose giver is not known to have been the owner.
    pub unproven: usize,
    /// Intervals of the ledger.
    pub ledger: usize,
    /// Intervals of each known owner, past and present, and the grants that these follow from.
    pub titles: usize,
    /// Records that matter no more, and were not yet dropped.
    pub dead: usize,
    /// Peers that have said how much is free with them.
    pub hints: usize,
    /// Addresses held.
    pub held: usize,
    /// Addresses held that are another peer's.
    pub strays: usize,
    /// Ranges taken over just now.
    pub settling: usize,
    /// Ranges of which is known where to look for a free address first.
    pub cursors: usize,
}

/// What waits for one neighbour, or for several of them the most of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Queues {
    /// Messages for it or for others by way of it.
    pub unicasts: usize,
    /// Its questions without an answer.
    pub questions: usize,
    /// Records that are news to it.
    pub news: usize,
    /// Bytes of a handshake, or last words, that are not written yet.
    pub unsent: usize,
    /// Bytes that have arrived and are no whole message.
    pub unread: usize,
    /// Ranges and records that are still to be asked for in a comparison.
    pub pull: usize,
}

impl Queues {
    /// Of each the longer one.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            unicasts: self.unicasts.max(other.unicasts),
            questions: self.questions.max(other.questions),
            news: self.news.max(other.news),
            unsent: self.unsent.max(other.unsent),
            unread: self.unread.max(other.unread),
            pull: self.pull.max(other.pull),
        }
    }
}

/// One configured target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetStatus {
    /// Whom.
    pub target: Target,
    /// How it stands.
    pub state: TargetState,
}

/// How a target stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum TargetState {
    /// Being dialed for the first time.
    Dialing,
    /// A link with it stands, with this peer.
    Linked(PeerId),
    /// It is this peer itself, as where all are launched with the same list. It is dialed now and then all the
    /// same: the address may come to be another's.
    Itself,
    /// The last attempt failed.
    Failed {
        /// Why, for people.
        why: String,
        /// Whether only an operator can help (wrong password, name taken, …).
        needs_operator: bool,
        /// Whether its name has no address: an operator may have mistyped it.
        is_unknown: bool,
        /// Time to the next attempt.
        retry_in: Duration,
    },
}

/// State of a link. Words as in Weave Net's `status connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnState {
    /// The stream is being opened, or the handshake is under way.
    Connecting,
    /// Authenticated; the data path is not proven yet.
    Pending,
    /// The data path works.
    Established,
    /// The last attempt failed and will be repeated.
    Retrying,
    /// The last attempt failed for a reason that only an operator can mend; repeated seldom.
    Failed,
}

/// One link, or attempt at one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnStatus {
    /// The other end: an address, or a target as given.
    pub remote: String,
    /// Whether we dialed.
    pub outbound: bool,
    /// How it stands.
    pub state: ConnState,
    /// Who, once that is known.
    pub peer: Option<PeerId>,
    /// Name of the peer, once known.
    pub name: Option<PeerName>,
    /// Label of the peer, once known.
    pub nickname: Option<String>,
    /// Where its datagrams go.
    pub datagrams_to: Option<SocketAddr>,
    /// Whether frames are sealed.
    pub encrypted: bool,
    /// Whether the link proves the old one of two secrets: the peer does not have the new one.
    pub old_secret: bool,
    /// How long the control link has stood, once it does.
    pub up_for: Option<Duration>,
    /// Round trip of the last probe.
    pub round_trip: Option<Duration>,
    /// Why the last attempt failed.
    pub why: Option<String>,
    /// Time to the next attempt.
    pub retry_in: Option<Duration>,
}

/// How a data session with a peer without a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DirectState {
    /// Offered, or agreed and not proven yet: frames are relayed.
    Pending,
    /// Proven: frames go straight.
    Direct,
    /// It worked and is silent: frames are relayed.
    Silent,
    /// The last attempt failed, and a next one waits: frames are relayed.
    Waiting,
    /// It is over, or nothing was tried yet: frames are relayed, if there are any.
    Idle,
}

/// A peer without a link that frames are exchanged with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DirectStatus {
    /// Identity.
    pub id: PeerId,
    /// 48-bit name.
    pub name: PeerName,
    /// Label.
    pub nickname: String,
    /// How it stands.
    pub state: DirectState,
    /// Where its datagrams go, or are tried.
    pub datagrams_to: Option<SocketAddr>,
    /// Whether frames are sealed.
    pub encrypted: bool,
    /// How long the session has stood, once it does.
    pub up_for: Option<Duration>,
    /// How long ago frames were last known to be exchanged; good to ten seconds.
    pub used_ago: Duration,
    /// Round trip of the last probe.
    pub round_trip: Option<Duration>,
    /// Why frames are relayed, or were before.
    pub why: Option<DirectFault>,
    /// Time before which nothing is tried.
    pub retry_in: Option<Duration>,
}

/// One known peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerStatus {
    /// Identity.
    pub id: PeerId,
    /// 48-bit name.
    pub name: PeerName,
    /// Label.
    pub nickname: String,
    /// Which start.
    pub incarnation: Incarnation,
    /// Whether it can be reached, directly or not (true for ourselves).
    pub reachable: bool,
    /// Whether it says that it leaves the mesh.
    pub leaves: bool,
    /// Which way our frames for it take; `None` for ourselves, and where it cannot be reached.
    pub way: Option<Carriage>,
    /// Its neighbours: (id, name, label, whether the neighbour reports the link too).
    pub links: Vec<LinkStatus>,
}

/// Which way frames for a peer take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Carriage {
    /// The session of a link with it.
    Link,
    /// A session on demand.
    Direct,
    /// Over this neighbour, which passes them on.
    Relayed(PeerName),
}

/// One link that a peer reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkStatus {
    /// The neighbour.
    pub id: PeerId,
    /// Its name.
    pub name: PeerName,
    /// Its label.
    pub nickname: String,
    /// Whether the neighbour reports the link too.
    pub mutual: bool,
}

/// How IPAM stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IpamStatus {
    /// In one word.
    pub state: IpamState,
    /// The universe.
    pub universe: Universe,
    /// Where allocations without a subnet come from: one address of each.
    pub default_subnets: Vec<IpNet>,
    /// What each owner owns, by owner; empty before the founding.
    pub owners: Vec<OwnerStatus>,
    /// Addresses of the universe held here.
    pub held: usize,
    /// Addresses that containers have here and that are another peer's: this one was evicted while they
    /// ran.
    pub strays: Vec<StrayStatus>,
    /// Requests that wait.
    pub waiting: usize,
    /// Why a command to leave would come to nothing just now, or, once one was given, why that is not over.
    pub no_leave: Option<CommandError>,
}

/// An address that a container has here and that is another peer's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StrayStatus {
    /// Which.
    pub address: IpAddr,
    /// Who has it here.
    pub id: ContainerId,
    /// Whose it is.
    pub owner: PeerId,
    /// Whether that peer has said that it handed it out too; else it is asked to give it.
    pub denied: bool,
}

/// In one word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum IpamState {
    /// Nothing was asked for yet.
    Idle,
    /// Nothing is divided, and this peer has no part in that: others do it.
    Observing,
    /// Voting: so many of the quorum are reachable.
    AwaitingConsensus {
        /// Quorum.
        needed: usize,
        /// Reachable voters, ourselves included.
        heard: usize,
    },
    /// Decided, but after a restart others have a moment to say what this peer's disk does not know.
    Listening,
    /// Decided, but after a restart no other owner has confirmed it yet.
    AwaitingMerge,
    /// Another daemon runs from a copy of the state folder.
    Copied,
    /// Ready.
    Ready,
    /// We left.
    Left,
}

/// What one peer owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnerStatus {
    /// Who.
    pub owner: PeerId,
    /// How many addresses.
    pub addresses: u128,
    /// Whether it can be reached (true for ourselves).
    pub reachable: bool,
}
