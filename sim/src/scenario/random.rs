//! Drawn steps: faults of the kinds that a world has, and commands of every kind.

use super::down::Down;
use super::step::{Deed, Step};
use super::trust::procedure;
use crate::choices::Choices;
use crate::host::clock::Speed;
use crate::host::disk::{Flaw, Rot};
use crate::net::{Conditions, Share};
use crate::peer::Peer;
use crate::world::{Act, Addressee, Lie, Nat, Own, Setup};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Duration;
use weft_core::addr::Offset;
use weft_core::config::Versions;
use weft_core::time::Instant;

/// Most time between two steps that are drawn, when nothing else is said.
const WAIT_MAX: Duration = Duration::from_secs(6);

/// A kind of faults. Commands that succeed on a good day are always drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Some hosts are cut off from the rest.
    Partitions,
    /// One direction between two hosts is cut.
    OneWay,
    /// Nodes are killed in the middle of what they do, and machines lose their power.
    Crashes,
    /// Loss, delay, duplication and disorder.
    Network,
    /// Containers ask for just one address, taken or not.
    Claims,
    /// Disks are slow, cannot be written any more, or are damaged.
    Disks,
    /// Processes are stopped for a while, or starved.
    Pauses,
    /// Clocks drift and jump.
    Clocks,
    /// Streams stall, are reset, and are half open.
    Streams,
    /// Hosts are behind routers, and move.
    Places,
    /// Strangers send what they like, and hear what is sent.
    Strangers,
    /// Operators stop nodes, have them leave, and have them dial others or forget them.
    Operators,
    /// Containers go to other hosts with their addresses, and send frames.
    Moves,
    /// Engines tell late, twice, out of order or never what becomes of containers.
    Engines,
    /// One way flaps.
    Flapping,
    /// Ways are cut one after the other, and mended in another order.
    Swizzle,
    /// Somebody who knows the password keeps no rules, in ways that leave all of them in force.
    Insiders,
    /// Hosts are started with older and newer programs; all of them speak one version in common.
    Upgrades,
    /// Operators change the secret of a mesh that runs, and keep hosts out by lists for a while.
    Secrets,
    /// Disks are lost, put back, and forget what they were given. Not drawn by itself: whoever loses
    /// what it voted for can found a mesh twice, and no design is safe against that.
    Rollbacks,
}

impl Class {
    /// All that a mesh comes through whenever they happen.
    pub const ALL: [Self; 19] = [
        Self::Partitions,
        Self::OneWay,
        Self::Crashes,
        Self::Network,
        Self::Claims,
        Self::Disks,
        Self::Pauses,
        Self::Clocks,
        Self::Streams,
        Self::Places,
        Self::Strangers,
        Self::Operators,
        Self::Moves,
        Self::Engines,
        Self::Flapping,
        Self::Swizzle,
        Self::Insiders,
        Self::Upgrades,
        Self::Secrets,
    ];

    /// Draws a fault of this kind; none for those that are drawn among the commands, or are more
    /// than one step.
    fn draw(self, choices: &mut Choices, peer: Peer, hosts: usize) -> Option<Act> {
        // A host's way to itself has no faults.
        let other = (peer.0 + 1 + choices.index(hosts.saturating_sub(1))) % hosts;
        let other = Some(Peer(other)).filter(|other| *other != peer);
        let millis = |choices: &mut Choices, most| Duration::from_millis(1 + choices.below(most));
        let count = |choices: &mut Choices| 1 + u32::try_from(choices.below(40)).unwrap_or(0);
        Some(match self {
            Self::Partitions
            | Self::OneWay
            | Self::Crashes
            | Self::Network
            | Self::Claims
            | Self::Flapping
            | Self::Swizzle
            | Self::Secrets => return None,
            // Those that fail are mended besides, by whoever sees to hosts that are down.
            Self::Disks => match choices.below(4) {
                0 => Act::MendDisk { peer },
                1 => Act::SlowDisk { peer, sync: millis(choices, 10_000) },
                _ => Act::FailDisk { peer, after: choices.below(3) },
            },
            Self::Pauses => match choices.below(3) {
                0 => Act::Pause { peer, length: millis(choices, 5_000) },
                1 => Act::Pause { peer, length: millis(choices, 60_000) },
                _ => Act::Starve { peer, cost: Duration::from_micros(choices.below(20_000)) },
            },
            Self::Clocks => match choices.below(2) {
                0 => {
                    let tenths = 2 + u32::try_from(choices.below(48)).unwrap_or(0);
                    Act::Drift { peer, speed: Speed::tenths(tenths) }
                }
                _ => {
                    let by = Duration::from_secs(choices.below(315_360_000));
                    Act::Clock { peer, by, back: choices.coin() }
                }
            },
            Self::Streams => match choices.below(4) {
                0 => Act::Reset { peer, with: other? },
                1 => Act::HalfOpen { peer, with: other? },
                2 => Act::Stall { from: peer, to: other? },
                _ => Act::SlowReader { peer, rate: 50 + choices.below(5_000) },
            },
            Self::Places => {
                // One host at most is hidden: of two, neither can dial the other.
                let hidden = Peer(hosts - 1);
                let kind = if choices.coin() { Nat::Symmetric } else { Nat::Cone };
                match choices.below(5) {
                    0 => Act::Move { peer, to: None },
                    1 => Act::Rebind { peer: hidden },
                    2 | 3 => {
                        let (forwards, hairpin) = (choices.coin(), choices.coin());
                        Act::Nat { peer: hidden, kind, forwards, hairpin, behind: None }
                    }
                    // Another one may share its router, and can be dialed there.
                    _ => {
                        let peer = Peer(hosts.checked_sub(2)?);
                        let behind = Some(hidden);
                        Act::Nat { peer, kind, forwards: true, hairpin: false, behind }
                    }
                }
            }
            Self::Strangers => match choices.below(5) {
                0 => Act::Spray { peer, count: count(choices) },
                1 => Act::Mute { peer, count: count(choices) },
                2 => Act::Babble { peer, count: count(choices) },
                3 => Act::Record,
                _ => Act::Replay { reflect: choices.coin() },
            },
            Self::Operators => match choices.below(8) {
                0 => Act::Stop { peer },
                1 => Act::Leave { peer },
                2 | 3 => Act::Forget { peer, to: other? },
                4 => Act::Connect { peer, to: other?, replace: true },
                5 | 6 => Act::Prime { peer, force: false },
                _ => Act::Allocate { peer, container: "misled".to_owned(), subnet: elsewhere() },
            },
            Self::Moves => {
                let container = format!("c{}-{peer}", choices.below(12));
                match choices.below(5) {
                    0 => Act::Migrate { container, from: peer, to: other? },
                    // It comes back from where it went.
                    1 => Act::Migrate { container, from: other?, to: peer },
                    2 => Act::Send { peer, container, to: Addressee::All },
                    3 => Act::Send { peer, container, to: Addressee::Nobody },
                    _ => Act::Send { peer, container, to: Addressee::Bridge },
                }
            }
            Self::Engines => {
                let container = format!("e{}-{peer}", choices.below(4));
                match choices.below(8) {
                    0 => Act::Events {
                        peer,
                        lost: share(choices, 500),
                        late: millis(choices, 60_000),
                        twice: share(choices, 500),
                    },
                    1..5 => Act::Born { peer, container },
                    _ => Act::Die { peer, container },
                }
            }
            Self::Insiders => {
                let says = *choices.pick(&Lie::BOUNDED)?;
                Act::Insider { peer, says, count: count(choices) }
            }
            Self::Upgrades => {
                let own = Own { versions: versions(choices), ..Own::default() };
                Act::Settings { peer, own: Box::new(own) }
            }
            Self::Rollbacks => match choices.below(4) {
                0 => Act::LoseDisk { peer, alive: false },
                1 => Act::Snapshot { peer, name: "drawn".to_owned() },
                2 => Act::Restore { peer, name: "drawn".to_owned() },
                _ => Act::LyingDisk { peer },
            },
        })
    }
}

/// A time in which steps are drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Block {
    /// Its begin, on the world's clock.
    #[serde(with = "crate::duration")]
    pub at: Duration,
    /// Its length.
    #[serde(rename = "for", with = "crate::duration")]
    pub length: Duration,
    /// Which faults there are.
    #[serde(default)]
    pub faults: BTreeSet<Class>,
    /// Most time between two steps; half of it is usual.
    #[serde(default = "wait_max", with = "crate::duration")]
    pub wait: Duration,
}

const fn wait_max() -> Duration {
    WAIT_MAX
}

impl Block {
    /// Most steps of a block.
    const STEPS_MAX: u128 = 1_000_000;

    /// Whether steps can be drawn for it.
    ///
    /// # Errors
    /// Says what to write instead.
    pub fn check(&self) -> Result<(), String> {
        if self.length.is_zero() {
            return Err("`for = \"0s\"`: expected a longer time, else nothing is drawn".to_owned());
        }
        if self.wait.is_zero() || self.length.as_nanos() / self.wait.as_nanos() > Self::STEPS_MAX {
            let (length, wait) = (self.length, self.wait);
            let written = |time: Duration| humantime::format_duration(time);
            return Err(format!(
                "`for = \"{}\"`: too many steps, give a longer `wait` than {}",
                written(length),
                written(wait)
            ));
        }
        Ok(())
    }

    /// Draws its steps.
    pub(super) fn draw(&self, choices: &mut Choices, setup: &Setup) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut down = Down::default();
        let mut at = Instant::ZERO + self.at;
        let end = at + self.length;
        let wait_max = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX).max(1);
        loop {
            at += Duration::from_millis(choices.below(wait_max));
            if at >= end {
                return steps;
            }
            steps.extend(down.see_to(choices, at));
            let mut drawn = vec![step(at, act(choices, setup, &self.faults))];
            drawn.extend(ways(choices, setup.hosts, at, &self.faults));
            down.follow(&drawn);
            steps.extend(drawn);
        }
    }
}

pub(super) const fn step(at: Instant, act: Act) -> Step {
    Step { at, deed: Deed::Act { act, expect: None } }
}

/// An address in a range that no mesh of these divides.
fn outside(choices: &mut Choices) -> IpAddr {
    IpAddr::from([192, 0, 2, u8::try_from(choices.below(4)).unwrap_or(0)])
}

/// A range that no mesh of these divides.
fn elsewhere() -> Option<IpNet> {
    "192.0.2.0/24".parse().ok()
}

/// The version that every drawn host speaks, among others.
const COMMON_VERSION: u8 = 2;

/// What a host of some age speaks.
pub(super) fn versions(choices: &mut Choices) -> Option<Versions> {
    let (older, newer) = (u8::from(choices.coin()), u8::from(choices.coin()));
    Versions::as_if(COMMON_VERSION - older, COMMON_VERSION + newer).ok()
}

/// A machine loses its power and its disk has been damaged when it is back. Nobody writes to it
/// meanwhile: over what was written to a wrong place nothing must be written that hides it.
fn damage(choices: &mut Choices, hosts: usize, at: Instant) -> Vec<Step> {
    let peer = Peer(choices.index(hosts));
    let what = choices.pick(&Rot::ALL).copied().unwrap_or(Rot::Identity);
    let how = choices.pick(&Flaw::ALL).copied().unwrap_or_default();
    let again = at + Duration::from_millis(choices.below(5_000));
    vec![
        step(at, Act::Crash { peer, after: None, power: true }),
        step(at, Act::RotDisk { peer, what, how }),
        step(again, Act::Start { peer, refuses: None }),
    ]
}

fn share(choices: &mut Choices, thousandths: u64) -> Share {
    Share::per_thousand(u32::try_from(choices.below(thousandths)).unwrap_or(0))
}

/// Draws what befalls single ways and disks in more than one step: now and then, and where they may.
pub(super) fn ways(
    choices: &mut Choices,
    hosts: usize,
    at: Instant,
    faults: &BTreeSet<Class>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    if faults.contains(&Class::Disks) && choices.below(8) == 7 {
        steps.extend(damage(choices, hosts, at));
    }
    if faults.contains(&Class::Secrets) && choices.below(8) == 7 {
        steps.extend(procedure(choices, hosts, at));
    }
    if hosts < 2 {
        return steps;
    }
    let way = |choices: &mut Choices| {
        let from = choices.index(hosts);
        (Peer(from), Peer((from + 1 + choices.index(hosts - 1)) % hosts))
    };
    if faults.contains(&Class::Flapping) && choices.below(8) == 7 {
        let (from, to) = way(choices);
        let half = Duration::from_millis(50 + choices.below(5_000));
        for turn in 0..1 + u32::try_from(choices.below(10)).unwrap_or(0) {
            steps.push(step(at + half * (2 * turn), Act::Cut { from, to }));
            steps.push(step(at + half * (2 * turn + 1), Act::Mend { from, to }));
        }
    }
    if faults.contains(&Class::Swizzle) && choices.below(8) == 7 {
        let mut ways: Vec<(Peer, Peer)> =
            (0..=choices.index(hosts)).map(|_| way(choices)).collect();
        let mut at = at;
        for (from, to) in &ways {
            steps.push(step(at, Act::Cut { from: *from, to: *to }));
            at += Duration::from_millis(choices.below(10_000));
        }
        while !ways.is_empty() {
            let (from, to) = ways.swap_remove(choices.index(ways.len()));
            steps.push(step(at, Act::Mend { from, to }));
            at += Duration::from_millis(choices.below(10_000));
        }
    }
    steps
}

/// Draws what happens next.
pub(super) fn act(choices: &mut Choices, setup: &Setup, faults: &BTreeSet<Class>) -> Act {
    let hosts = setup.hosts;
    let peer = Peer(choices.index(hosts));
    // Each host has containers of its own, as if ids were drawn at random.
    let container = format!("c{}-{peer}", choices.below(12));
    let on = |class| faults.contains(&class);
    let apart: Vec<Class> = faults.range(Class::Disks..).copied().collect();
    if !apart.is_empty()
        && choices.below(4) == 3
        && let Some(act) =
            choices.pick(&apart).copied().and_then(|it| it.draw(choices, peer, hosts))
    {
        // An insider in reach may be handed all, and never return.
        let is_barred = matches!(act, Act::Leave { .. }) && on(Class::Insiders);
        return if is_barred { Act::Prime { peer, force: false } } else { act };
    }
    match choices.below(20) {
        0..2 if on(Class::Partitions) => {
            Act::Partition { side: (0..hosts).filter(|_| choices.coin()).map(Peer).collect() }
        }
        2 if on(Class::OneWay) => Act::Cut { from: peer, to: Peer(choices.index(hosts)) },
        0..4 => Act::Heal,
        4..6 if on(Class::Crashes) => {
            Act::Crash { peer, after: Some(choices.index(6)), power: choices.coin() }
        }
        4..8 => Act::Start { peer, refuses: None },
        8 if on(Class::Network) => Act::Network { conditions: conditions(choices) },
        9 if on(Class::Claims) => {
            let size = u64::try_from(setup.universe.size()).unwrap_or(u64::MAX);
            let address = if choices.below(8) == 7 {
                outside(choices)
            } else {
                setup.universe.address(Offset(choices.below(size).into()))
            };
            Act::Claim { peer, container, address, prefix: None }
        }
        8..13 => Act::Allocate { peer, container, subnet: None },
        13..15 => Act::Release { peer, container, address: None },
        15 => Act::Register { peer, container, name: None, address: None, port: None, text: None },
        16 => Act::Register {
            peer,
            container,
            name: None,
            address: None,
            port: Some(PORT),
            text: None,
        },
        17 => Act::Unregister { peer, container: Some(container), name: None, address: None },
        18 => Act::Connect { peer, to: Peer(choices.index(hosts)), replace: false },
        _ => Act::Allocate { peer, container, subnet: None },
    }
}

pub(super) fn conditions(choices: &mut Choices) -> Conditions {
    let per_thousand = |number| Share::per_thousand(u32::try_from(number).unwrap_or(0));
    let worse = worse(choices);
    Conditions {
        latency: Duration::from_micros(100 + choices.below(50_000)),
        jitter: Duration::from_micros(choices.below(100_000)),
        loss: per_thousand(choices.below(300)),
        duplication: per_thousand(1 + choices.below(200)),
        ..worse
    }
}

/// Half of all networks have one more thing that makes them worse.
fn worse(choices: &mut Choices) -> Conditions {
    let per_thousand = |number| Share::per_thousand(u32::try_from(number).unwrap_or(0));
    let usual = Conditions::default();
    let seconds = |choices: &mut Choices, most| Duration::from_secs(1 + choices.below(most));
    match choices.below(12) {
        6 => Conditions {
            bursts: per_thousand(1 + choices.below(100)),
            burst: seconds(choices, 20),
            ..usual
        },
        7 => Conditions { echo: seconds(choices, 180), ..usual },
        8 => Conditions {
            held_up: per_thousand(1 + choices.below(300)),
            hold_up: seconds(choices, 180),
            ..usual
        },
        9 => Conditions { corruption: per_thousand(choices.below(100)), ..usual },
        10 => Conditions { rate: Some(1_000 + choices.below(50_000)), ..usual },
        11 => Conditions { mtu: u16::try_from(68 + choices.below(1_400)).ok(), ..usual },
        _ => usual,
    }
}

/// Of each service that is registered.
const PORT: NonZeroU16 = NonZeroU16::MIN;
