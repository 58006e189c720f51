//! Drawn worlds.
//!
//! A swarm first draws *which* kinds of faults a run has at all: many runs with few kinds each
//! find more than runs that have them all. Then come the faults and commands, then healing, and
//! then the mesh must settle within a bound. Some worlds have, besides, what faults that come one
//! after the other hardly ever bring about: small limits, a founding that is fought over, and
//! meshes that were founded apart.

use super::down::Down;
use super::random::{Class, act, conditions, step, versions, ways};
use super::removal::removal;
use super::step::Step;
use super::trust::procedure;
use super::{End, Scenario};
use crate::choices::Choices;
use crate::net::Conditions;
use crate::peer::Peer;
use crate::world::{Act, Limits, Own, Setup};
use std::collections::BTreeSet;
use std::time::Duration;
use weft_core::addr::Universe;
use weft_core::time::Instant;

/// Most time between two steps of a drawn world, in seconds; each world has one of these. In a hurry
/// faults meet what other faults have begun; at leisure they meet what only time brings about:
/// back-off, ageing, comparisons of records.
const PACES: [u64; 6] = [2, 6, 20, 60, 60, 180];

/// A founding is fought over from here on, on the world's clock: all hosts have started, and most
/// have their links.
const CONTEST_AT: Duration = Duration::from_secs(3);

/// Most time between two changes of who hears whom meanwhile, in milliseconds: about what a message,
/// a ballot and a rival's wait take there; each contest has one of these.
const CONTEST_PACES: [u64; 3] = [150, 500, 2_000];

/// Meshes that were founded apart meet for so long: longer than hosts wait for a dial at first.
const MEETING: Duration = Duration::from_secs(60);

impl Scenario {
    /// Draws a scenario of about `len` steps.
    pub fn swarm(seed: u64, hosts: usize, len: usize) -> Self {
        Self::drawn(&mut Choices::seeded(seed), seed, hosts, len)
    }

    /// As `choices` will have it; what is left to chance during the run follows from `seed`.
    pub fn drawn(choices: &mut Choices, seed: u64, hosts: usize, len: usize) -> Self {
        let mut setup = Setup::new(seed, hosts);
        // Small universes run full; large ones rarely clash.
        let block = choices.pick(&["10.32.0.0/24", "10.32.0.0/28", "10.32.0.0/26"]);
        if let Some(Ok(block)) = block.map(|block| block.parse())
            && let Ok(universe) = Universe::new(block)
        {
            setup.universe = universe;
        }
        let mut faults = BTreeSet::new();
        // Changes of trust are drawn after all else, so that a world that has none is the same as before
        // there were any.
        for class in Class::ALL.into_iter().filter(|class| *class != Class::Secrets) {
            if choices.coin() {
                faults.insert(class);
            }
        }
        if faults.contains(&Class::Network) {
            setup.conditions = conditions(choices);
        }
        if faults.contains(&Class::Upgrades) {
            let own = |choices: &mut Choices| Own { versions: versions(choices), ..Own::default() };
            setup.own = (0..hosts).map(|host| (Peer(host), own(choices))).collect();
        }
        if hosts > 2 && choices.below(4) == 3 {
            setup.walls.push((Peer(0), Peer(hosts - 1)));
        }
        let mut steps = Vec::new();
        let mut down = Down::default();
        let mut at = Instant::ZERO;
        let pace = choices.pick(&PACES).copied().unwrap_or(1);
        for _ in 0..len {
            at += Duration::from_millis(choices.below(pace * 1_000));
            steps.extend(down.see_to(choices, at));
            let mut drawn = vec![step(at, act(choices, &setup, &faults))];
            drawn.extend(ways(choices, hosts, at, &faults));
            down.follow(&drawn);
            steps.extend(drawn);
        }
        let title = format!("seed {seed}, {hosts} hosts, {len} steps");
        let mut end = End { serve: true, ..End::default() };
        if choices.below(4) == 3 {
            setup.limits = limits(choices, hosts);
        }
        if hosts > 1 && choices.below(16) == 15 {
            steps.extend(meeting(choices, hosts, at));
            setup.voters = 1;
            // What must be so in one mesh is not asked of the hosts of several.
            let except = ["ipam.one-founding", "ipam.one-owner", "ipam.one-holder"];
            let except = except.map(str::to_owned).into();
            end = End { settle: false, serve: false, except, ..end };
        } else if hosts > 2 && choices.below(4) == 3 {
            steps.extend(contest(choices, &setup, &faults));
        }
        if choices.coin() {
            steps.extend(trust(choices, hosts, at));
        }
        // As with trust: a world that has none is the same as before there were any. Of three hosts, between
        // two of whom there is a wall, the third cannot be spared.
        let spares = hosts > 3 || hosts == 3 && setup.walls.is_empty();
        if spares && end.settle && choices.below(4) == 3 {
            removal(choices, hosts, at, &mut steps, &mut end);
        }
        if choices.below(4) == 3 {
            setup.universe = with_both_families(setup.universe);
        }
        steps.sort_by_key(|step| step.at);
        let blocks = Vec::new();
        Self { title, waits: None, takes: None, setup, steps, blocks, end }.without_void_steps()
    }
}

/// `universe` and a few IPv6 addresses, fewer or more than it has itself.
fn with_both_families(universe: Universe) -> Universe {
    let v6 = "fd00::/123".parse();
    let blocks: Vec<_> = universe.blocks().chain(v6).collect();
    Universe::of(&blocks).unwrap_or(universe)
}

/// Limits of nodes that small worlds reach, with room for all that a mesh of so many hosts needs.
fn limits(choices: &mut Choices, hosts: usize) -> Limits {
    let mut few = |from: usize| choices.coin().then(|| from + choices.index(4));
    Limits {
        conns: few(hosts),
        names: few(1),
        names_page: few(1),
        waiting: few(1),
        ..Limits::default()
    }
}

/// Operators change whom hosts trust, a few times until `last`.
fn trust(choices: &mut Choices, hosts: usize, last: Instant) -> Vec<Step> {
    let most = u64::try_from(last.since(Instant::ZERO).as_millis()).unwrap_or(u64::MAX);
    let mut steps = Vec::new();
    for _ in 0..=choices.below(3) {
        let at = Instant::ZERO + Duration::from_millis(choices.below(most));
        steps.extend(procedure(choices, hosts, at));
    }
    steps
}

/// Some hosts are apart from the start, until at latest after `last` they meet for a while.
fn meeting(choices: &mut Choices, hosts: usize, last: Instant) -> Vec<Step> {
    let steps = [
        (Instant::ZERO, Act::Partition { side: some(choices, hosts) }),
        (last, Act::Heal),
        (last + MEETING, Act::Heal),
    ];
    steps.map(|(at, act)| step(at, act)).into()
}

/// Several hosts open ballots at the same moment, over slow ways, and who hears whom changes before
/// any of them is over; where nodes crash at all, they do so meanwhile.
fn contest(choices: &mut Choices, setup: &Setup, faults: &BTreeSet<Class>) -> Vec<Step> {
    let hosts = setup.hosts;
    let millis = |choices: &mut Choices, most| Duration::from_millis(choices.below(most));
    let slow = Conditions {
        latency: Duration::from_millis(10) + millis(choices, 60),
        jitter: millis(choices, 60),
        ..setup.conditions
    };
    let mut steps = vec![step(Instant::ZERO, Act::Network { conditions: slow })];
    let mut at = Instant::ZERO + CONTEST_AT;
    let pace = choices.pick(&CONTEST_PACES).copied().unwrap_or(1);
    for peer in some(choices, hosts) {
        steps.push(step(at + millis(choices, 300), Act::Prime { peer, force: false }));
    }
    for _ in 0..4 + choices.index(28) {
        at += millis(choices, pace);
        let peer = Peer(choices.index(hosts));
        if faults.contains(&Class::Crashes) && choices.below(6) == 5 {
            steps.push(step(at, Act::Crash { peer, after: Some(choices.index(6)), power: true }));
            let again = at + millis(choices, 1_000);
            steps.push(step(again, Act::Start { peer, refuses: None }));
        }
        steps.push(step(at, Act::Heal));
        // A majority goes on without the one that may know more than it.
        let side = if choices.coin() { some(choices, hosts) } else { [peer].into() };
        steps.push(step(at, Act::Partition { side }));
        let peer = Peer(choices.index(hosts));
        steps.push(step(at, Act::Prime { peer, force: false }));
    }
    steps.push(step(at, Act::Heal));
    steps.push(step(at, Act::Network { conditions: setup.conditions }));
    steps
}

/// Half of all hosts, by chance.
fn some(choices: &mut Choices, hosts: usize) -> BTreeSet<Peer> {
    (0..hosts).filter(|_| choices.coin()).map(Peer).collect()
}
