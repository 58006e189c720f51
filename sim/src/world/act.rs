//! What can befall a world: faults, repairs and commands, as data.

use super::World;
use super::insider::Lie;
use super::operator::container;
use super::setup::Own;
use super::traffic::Addressee;
use super::ways::Nat;
use crate::host::clock::Speed;
use crate::host::disk::{Flaw, Rot};
use crate::host::engine::Telling;
use crate::net::{Conditions, Rules, Share};
use crate::peer::Peer;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Duration;
use weft_core::io::RequestId;

/// One thing that befalls a world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// Cut these off from the rest, in both directions.
    Partition {
        /// One side.
        side: BTreeSet<Peer>,
    },
    /// Cut one direction between two hosts.
    Cut {
        /// Nothing that leaves here…
        from: Peer,
        /// …arrives here.
        to: Peer,
    },
    /// End one cut.
    Mend {
        /// What leaves here…
        from: Peer,
        /// …arrives here again.
        to: Peer,
    },
    /// End all cuts.
    Heal,
    /// Change every way that has no conditions of its own.
    Network {
        /// To these.
        conditions: Conditions,
    },
    /// Give the way between two hosts, in one direction, conditions of its own.
    Path {
        /// From here…
        from: Peer,
        /// …to here.
        to: Peer,
        /// These.
        conditions: Conditions,
    },
    /// Kill a node.
    Crash {
        /// Whose.
        peer: Peer,
        /// In the middle of what it does: so many outputs later, 0 being before its next one. At
        /// once, if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<usize>,
        /// The machine loses its power, so the others hear nothing.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        power: bool,
    },
    /// Start a node, if it does not run.
    Start {
        /// Whose.
        peer: Peer,
        /// It must refuse to, for this reason; else it must not refuse.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refuses: Option<Refusal>,
    },
    /// Change settings of a host, for its starts from here on.
    Settings {
        /// Which.
        peer: Peer,
        /// These; what is not given stays as it was.
        own: Box<Own>,
    },
    /// A host is installed anew: its disk is empty, and its containers are gone.
    LoseDisk {
        /// Which; it stands still until it is started.
        peer: Peer,
        /// Only the state folder of its node is gone: its containers live on.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        alive: bool,
    },
    /// Remember what is on a disk.
    Snapshot {
        /// Whose.
        peer: Peer,
        /// What to call it.
        name: String,
    },
    /// Put a disk back to what it was, with its containers.
    Restore {
        /// Whose; it stands still until it is started.
        peer: Peer,
        /// As in [`Act::Snapshot`]; nothing happens when there is none.
        name: String,
    },
    /// Give one host a copy of another's disk in place of its own.
    CloneDisk {
        /// Whose.
        from: Peer,
        /// To whom; it stands still until it is started.
        to: Peer,
    },
    /// What a disk is given from here on is lost when the power goes, though it says otherwise.
    LyingDisk {
        /// Whose.
        peer: Peer,
    },
    /// A disk cannot be written any more, so that its node stops.
    FailDisk {
        /// Whose.
        peer: Peer,
        /// So many writes later.
        #[serde(default, skip_serializing_if = "is_zero")]
        after: u64,
    },
    /// A disk neither lies nor fails any more.
    MendDisk {
        /// Whose.
        peer: Peer,
    },
    /// What a disk holds cannot be read any more, in one place.
    RotDisk {
        /// Whose; its node goes on until it needs to read.
        peer: Peer,
        /// Which place.
        what: Rot,
        /// In what way.
        #[serde(default, skip_serializing_if = "Flaw::is_usual")]
        how: Flaw,
    },
    /// Have each write of a disk take long; what hangs on it waits.
    SlowDisk {
        /// Whose.
        peer: Peer,
        /// So long.
        #[serde(with = "crate::duration")]
        sync: Duration,
    },
    /// Stop a process for a time: it sees and does nothing, and its conns stand.
    Pause {
        /// Whose.
        peer: Peer,
        /// So long.
        #[serde(rename = "for", with = "crate::duration")]
        length: Duration,
    },
    /// Have each step of a node take long.
    Starve {
        /// Whose.
        peer: Peer,
        /// So long; none ends it.
        #[serde(with = "crate::duration")]
        cost: Duration,
    },
    /// A wall clock jumps.
    Clock {
        /// Whose.
        peer: Peer,
        /// So far.
        #[serde(with = "crate::duration")]
        by: Duration,
        /// Towards the past.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        back: bool,
    },
    /// All clocks of a host go fast or slow.
    Drift {
        /// Whose.
        peer: Peer,
        /// So fast; `1x` is right.
        speed: Speed,
    },
    /// Have what streams carry in one direction stand still; datagrams and dials get through.
    Stall {
        /// From here…
        from: Peer,
        /// …to here.
        to: Peer,
    },
    /// Reset all streams between two hosts.
    Reset {
        /// One.
        peer: Peer,
        /// The other.
        with: Peer,
    },
    /// Have the kernel of one host forget its streams with another, which hears nothing of it.
    HalfOpen {
        /// Who forgets.
        peer: Peer,
        /// Whose streams.
        with: Peer,
    },
    /// Have a host read its streams slowly.
    SlowReader {
        /// Which.
        peer: Peer,
        /// Bytes of each stream in a second.
        rate: u64,
    },
    /// Put a host behind a router: nobody can dial it, and a datagram reaches it only from whom it
    /// has sent one to in the last 30 s. Streams that stand go on.
    Nat {
        /// Which.
        peer: Peer,
        /// What others see of its port.
        kind: Nat,
        /// It lets in who dials the host, and any datagram to its port.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forwards: bool,
        /// What hosts behind it send to the outer address of one of them comes back to that one;
        /// else it is dropped.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hairpin: bool,
        /// The router is that of this host, hairpin or not; else it is the host's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        behind: Option<Peer>,
    },
    /// The router in front of a host forgets all it knows, and gives other ports.
    Rebind {
        /// Whose.
        peer: Peer,
    },
    /// A host gets another address. Its streams are over, and the others hear nothing of it.
    Move {
        /// Which.
        peer: Peer,
        /// That of this host, which gets its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Peer>,
    },
    /// A stranger sends datagrams that mean nothing.
    Spray {
        /// To whom.
        peer: Peer,
        /// How many.
        count: u32,
    },
    /// Strangers open streams and never say a word.
    Mute {
        /// To whom.
        peer: Peer,
        /// How many.
        count: u32,
    },
    /// Strangers open streams and say what means nothing.
    Babble {
        /// To whom.
        peer: Peer,
        /// How many.
        count: u32,
    },
    /// Somebody who knows the password dials a host, shakes hands, and says what no peer would.
    Insider {
        /// To whom.
        peer: Peer,
        /// What.
        says: Lie,
        /// How much of it, where that makes a difference.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        count: u32,
    },
    /// A stranger records datagrams from here on, 512 at most.
    Record,
    /// A stranger sends again what was recorded.
    Replay {
        /// Not to whom it was for, but back to its sender.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reflect: bool,
    },
    /// The container engine of a host tells badly what becomes of containers.
    Events {
        /// Which host.
        peer: Peer,
        /// Share of what it never tells.
        #[serde(default, skip_serializing_if = "Share::is_none")]
        lost: Share,
        /// Longest time after which it tells; so what came later may be told earlier.
        #[serde(default, with = "crate::duration", skip_serializing_if = "Duration::is_zero")]
        late: Duration,
        /// Share of what it tells twice.
        #[serde(default, skip_serializing_if = "Share::is_none")]
        twice: Share,
    },
    /// The engine starts a container, which is then to be attached: an address and a name.
    Born {
        /// On this host.
        peer: Peer,
        /// Which.
        container: String,
    },
    /// A container ends, and is then to be detached.
    Die {
        /// On this host.
        peer: Peer,
        /// Which.
        container: String,
    },
    /// A container sends a frame that no other one answers.
    Send {
        /// On this host.
        peer: Peer,
        /// Which.
        container: String,
        /// To whom.
        to: Addressee,
    },
    /// Move a container to another host: its first address is given back at one and claimed at the
    /// other, and its MAC goes with it.
    Migrate {
        /// Which.
        container: String,
        /// From here; nothing happens when it has no address here.
        from: Peer,
        /// To here.
        to: Peer,
    },
    /// Ask for an address.
    Allocate {
        /// At this peer.
        peer: Peer,
        /// For this container.
        container: String,
        /// Where from, if not the default subnet.
        #[serde(
            default,
            deserialize_with = "crate::address::optional",
            skip_serializing_if = "Option::is_none"
        )]
        subnet: Option<IpNet>,
    },
    /// Ask for just this address.
    Claim {
        /// At this peer.
        peer: Peer,
        /// For this container.
        container: String,
        /// Which.
        #[serde(deserialize_with = "crate::address::deserialize")]
        address: IpAddr,
        /// Bits of its subnet, if not those of the universe.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix: Option<u8>,
    },
    /// Give addresses of a container back.
    Release {
        /// At this peer.
        peer: Peer,
        /// Whose.
        container: String,
        /// Which; else all.
        #[serde(
            default,
            deserialize_with = "crate::address::optional",
            skip_serializing_if = "Option::is_none"
        )]
        address: Option<IpAddr>,
    },
    /// Register a name for a container.
    Register {
        /// At this peer.
        peer: Peer,
        /// Whose.
        container: String,
        /// Which; else `CONTAINER.weft.local`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What it stands for; else the first address that the container holds.
        #[serde(
            default,
            deserialize_with = "crate::address::optional",
            skip_serializing_if = "Option::is_none"
        )]
        address: Option<IpAddr>,
        /// The port of a service on the container: a service is registered, and no address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<NonZeroU16>,
        /// A text: that is registered, and no address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// Remove names that fit all that is given.
    Unregister {
        /// At this peer.
        peer: Peer,
        /// Whose; else anybody's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        container: Option<String>,
        /// Which; else all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// For which address; else for any.
        #[serde(
            default,
            deserialize_with = "crate::address::optional",
            skip_serializing_if = "Option::is_none"
        )]
        address: Option<IpAddr>,
    },
    /// Dial another peer from here on.
    Connect {
        /// At this peer.
        peer: Peer,
        /// Whom.
        to: Peer,
        /// And forget all others.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        replace: bool,
    },
    /// Stop dialing another peer.
    Forget {
        /// At this peer.
        peer: Peer,
        /// Whom.
        to: Peer,
    },
    /// Ask to be told when addresses can be given out.
    Prime {
        /// At this peer.
        peer: Peer,
        /// And open the gate, although other owners cannot be heard.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// Take over what other hosts owned: by who they were before their disks were lost, and by who they
    /// are when they do not run.
    Evict {
        /// At this peer.
        peer: Peer,
        /// Who is gone.
        gone: Vec<Peer>,
        /// By who they are also when they run: the operator is wrong.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        alive: bool,
        /// Without other owners that cannot be reached.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
        /// However long it takes.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        wait: bool,
    },
    /// Prove another secret from here on; the one before stays valid.
    AddSecret {
        /// At this peer.
        peer: Peer,
        /// Which.
        password: String,
    },
    /// End the secret before the one that was added.
    RetireSecret {
        /// At this peer.
        peer: Peer,
        /// Also when links still run on it, which end.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// Have to do with some peers alone from here on, and with itself.
    Allow {
        /// At this peer.
        peer: Peer,
        /// With these; with all, if none are given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peers: Option<BTreeSet<Peer>>,
    },
    /// Hand all addresses to another peer.
    Leave {
        /// At this peer.
        peer: Peer,
    },
    /// Stop in order; the process ends soon after.
    Stop {
        /// At this peer.
        peer: Peer,
    },
}

/// Why a node refuses to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// What was saved cannot be believed.
    Damaged,
    /// What was saved lies in another range.
    OtherUniverse,
    /// A setting is wrong.
    BadSetting,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "damaged",
            Self::OtherUniverse => "other-universe",
            Self::BadSetting => "bad-setting",
        })
    }
}

const fn one() -> u32 {
    1
}

const fn is_one(number: &u32) -> bool {
    *number == 1
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Act {
    /// Whether it gives a node a command, which is answered; of those of a migration the claim.
    pub const fn is_command(&self) -> bool {
        matches!(
            self,
            Self::Allocate { .. }
                | Self::Claim { .. }
                | Self::Release { .. }
                | Self::Register { .. }
                | Self::Unregister { .. }
                | Self::Connect { .. }
                | Self::Forget { .. }
                | Self::Prime { .. }
                | Self::Evict { .. }
                | Self::AddSecret { .. }
                | Self::RetireSecret { .. }
                | Self::Allow { .. }
                | Self::Leave { .. }
                | Self::Stop { .. }
                | Self::Migrate { .. }
        )
    }
}

impl World {
    /// Carries out one step of a plan. Returns the request when it is a command that was given.
    pub fn act(&mut self, act: &Act) -> Option<RequestId> {
        self.befalls(act);
        match act {
            Act::Partition { side } => self.partition(&side.iter().map(|peer| peer.0).collect()),
            Act::Cut { from, to } => {
                self.net.paths.cut(from.0, to.0);
                self.note(None, "FAULT", format_args!("cut {from} to {to}"));
            }
            Act::Mend { from, to } => self.mend(from.0, to.0),
            Act::Heal => self.heal(),
            Act::Network { conditions } => self.conditions(*conditions),
            Act::Path { from, to, conditions } => {
                self.net.paths.set(from.0, to.0, *conditions);
                self.note(None, "net", format_args!("{from} to {to}: {conditions:?}"));
            }
            Act::Crash { peer, after: None, power } => self.crash(peer.0, *power),
            Act::Crash { peer, after: Some(after), power } => {
                self.crash_soon(peer.0, *after, *power);
            }
            Act::Start { peer, refuses } => self.start(peer.0, *refuses),
            Act::Settings { peer, own } => self.settings(peer.0, own),
            Act::LoseDisk { peer, alive: false } => self.lose_disk(peer.0),
            Act::LoseDisk { peer, alive: true } => self.lose_state(peer.0),
            Act::Snapshot { peer, name } => self.snapshot(peer.0, name),
            Act::Restore { peer, name } => self.restore(peer.0, name),
            Act::CloneDisk { from, to } => self.clone_disk(from.0, to.0),
            Act::LyingDisk { peer } => self.lying_disk(peer.0),
            Act::FailDisk { peer, after } => self.fail_disk(peer.0, *after),
            Act::MendDisk { peer } => self.mend_disk(peer.0),
            Act::RotDisk { peer, what, how } => self.rot_disk(peer.0, *what, *how),
            Act::Events { peer, lost, late, twice } => {
                self.engine_tells(peer.0, Telling { lost: *lost, late: *late, twice: *twice });
            }
            Act::Born { peer, container: id } => self.born(peer.0, container(id)),
            Act::Die { peer, container: id } => self.die(peer.0, container(id)),
            Act::Send { peer, container: id, to } => self.send(peer.0, &container(id), *to),
            Act::Migrate { container: id, from, to } => {
                return self.migrate(&container(id), from.0, to.0);
            }
            Act::Spray { peer, count } => self.spray(peer.0, *count),
            Act::Mute { peer, count } => self.mute(peer.0, *count),
            Act::Babble { peer, count } => self.babble(peer.0, *count),
            Act::Insider { peer, says, count } => self.insider(peer.0, *says, *count),
            Act::Record => self.net.record_tape(),
            Act::Replay { reflect } => self.replay(*reflect),
            Act::Stall { from, to } => self.stall(from.0, to.0),
            Act::Reset { peer, with } => self.reset(peer.0, with.0),
            Act::HalfOpen { peer, with } => self.half_open(peer.0, with.0),
            Act::SlowReader { peer, rate } => self.slow_reader(peer.0, *rate),
            Act::Nat { peer, kind, forwards, hairpin, behind } => {
                let shared = behind.map(|other| other.0);
                self.hide(peer.0, *kind, Rules { forwards: *forwards, hairpin: *hairpin, shared });
            }
            Act::Rebind { peer } => self.rebind(peer.0),
            Act::Move { peer, to } => self.change_address(peer.0, to.map(|to| to.0)),
            Act::SlowDisk { peer, sync } => self.slow_disk(peer.0, *sync),
            Act::Pause { peer, length } => self.pause(peer.0, *length),
            Act::Starve { peer, cost } => self.starve(peer.0, *cost),
            Act::Clock { peer, by, back } => self.jump_clock(peer.0, *by, *back),
            Act::Drift { peer, speed } => self.drift(peer.0, *speed),
            Act::Allocate { peer, .. }
            | Act::Claim { peer, .. }
            | Act::Release { peer, .. }
            | Act::Register { peer, .. }
            | Act::Unregister { peer, .. }
            | Act::Connect { peer, .. }
            | Act::Forget { peer, .. }
            | Act::Prime { peer, .. }
            | Act::Evict { peer, .. }
            | Act::AddSecret { peer, .. }
            | Act::RetireSecret { peer, .. }
            | Act::Allow { peer, .. }
            | Act::Leave { peer }
            | Act::Stop { peer } => {
                let command = self.command(act)?;
                return Some(self.ask(peer.0, command));
            }
        }
        None
    }
}
