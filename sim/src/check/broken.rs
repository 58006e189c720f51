//! For each rule of the oracle an example that breaks it: a rule without one fails a test here.
//!
//! The tests of each module say more about its rules. What is judged here are the rules of [`all`]
//! themselves, each under its name and at its time, and those of [`ELSEWHERE`] where they are judged, as
//! far as that can be reached from here.

use super::made_up::{
    LINEAGE, changed, founding, grant, hello, id, last, owned, pair, secs, version, vote,
};
use super::{
    AUTHENTIC, Answers, Deaths, ELSEWHERE, Glimpse, Greeting, Hello, NO_DOWNGRADE, NO_FALSE_DEATH,
    NO_MIXING, PERSIST_BEFORE_REPLY, PERSIST_BEFORE_SEND, SERVED_IN_TIME, View, Waiting, When,
    addresses, all, authentic, belong_together, evictions, given_is_noted, mesh, names,
    newest_of_both, said_in_order, wire,
};
use crate::logs::{Errors, NO_ERROR};
use crate::peer::Peer;
use crate::scenario::{Deed, Scenario, Step};
use crate::world::{Act, Own, Refusal, Setup, World};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weft_core::contract::Contract;
use weft_core::gossip::{Prefix, Print, Records};
use weft_core::id::{ContainerId, Identity};
use weft_core::io::{Command, Input, Output, Reply, RequestId};
use weft_core::record::{Fingerprint, Key, Record};
use weft_core::time::Instant;

/// What a rule of [`all`] is judged on, one view after the other: it holds on all but the last.
type Story = (&'static str, When, Vec<View>);

/// Breaks a rule of [`ELSEWHERE`], and says which it was.
pub(super) type Breach = (&'static str, fn() -> Option<&'static str>);

#[test]
fn every_rule_over_views_finds_fault_with_its_example() {
    let (mut stories, mut hold) = (stories(), Vec::new());
    for mut rule in all() {
        let key = (rule.name(), rule.when());
        let at = stories.iter().position(|(name, when, _)| (*name, *when) == key);
        let at = at.unwrap_or_else(|| panic!("{key:?}: no view in {} breaks it", file!()));
        let (.., views) = stories.swap_remove(at);
        if last(&mut *rule, &views).is_ok() {
            hold.push(key);
        }
    }
    assert!(hold.is_empty(), "these hold on what is to break them: {hold:?}");
    let left: Vec<_> = stories.iter().map(|(name, when, _)| (name, when)).collect();
    assert!(left.is_empty(), "examples without a rule: {left:?}");
}

#[test]
fn every_rule_that_is_judged_elsewhere_was_broken_there() {
    let mut breaches = breaches();
    for (rule, _) in ELSEWHERE {
        let at = breaches.iter().position(|(name, _)| *name == rule);
        let at = at.unwrap_or_else(|| panic!("{rule}: nothing in {} breaks it", file!()));
        let (_, breach) = breaches.swap_remove(at);
        assert_eq!(breach(), Some(rule));
    }
    let left: Vec<_> = breaches.iter().map(|(name, _)| name).collect();
    assert!(left.is_empty(), "examples without a rule: {left:?}");
}

fn stories() -> Vec<Story> {
    let rules = [about_addresses(), about_ownership(), about_records(), about_the_mesh()];
    rules.into_iter().flatten().chain(about_names()).collect()
}

fn about_addresses() -> Vec<Story> {
    use addresses::tests::{broken, evicted, good};
    let hung = Waiting {
        since: secs(50),
        command: Command::Allocate { id: ContainerId::dns(), subnet: None },
    };
    vec![
        (
            "ipam.one-holder",
            When::Always,
            vec![broken(|view| view.peers[1].held = view.peers[0].held.clone())],
        ),
        (
            "ipam.one-owner",
            When::Always,
            vec![broken(|view| view.peers[1].ledger = Some(vec![owned(0, 16, 0, 2)]))],
        ),
        (
            "ipam.tiles",
            When::Always,
            vec![broken(|view| view.peers[0].ledger = Some(vec![owned(0, 8, 0, 1)]))],
        ),
        ("ipam.conserved", When::Always, vec![broken(|view| view.peers[0].free = Some(99))]),
        ("ipam.reserved", When::Always, vec![broken(|view| view.peers[0].noted.clear())]),
        (
            "ipam.evicted-are-fenced",
            When::Always,
            vec![
                good(),
                broken(|view| view.peers[0].strays = ["10.0.0.1".parse().unwrap()].into()),
            ],
        ),
        ("ipam.strays-return", When::Settled, vec![good(), evicted(true, |_| ())]),
        (
            "ipam.no-stuck-request",
            When::Always,
            vec![broken(|view| view.peers[0].waiting = vec![hung])],
        ),
        (
            "ipam.same-ledger",
            When::Settled,
            vec![good(), broken(|view| view.peers[1].ledger = None)],
        ),
        (
            "ipam.gate",
            When::Always,
            vec![started(|_| {}), started(|view| view.peers[0].noted = noted("10.0.0.1/28"))],
        ),
        ("ipam.true-refusal", When::Always, super::refusals::tests::lie()),
    ]
}

fn about_ownership() -> Vec<Story> {
    let paper = |paper| changed(|view| view.peers[1].papers.extend([paper]));
    let voted = |round: u64| {
        changed(|view| {
            view.peers[0].lineage = None;
            view.peers[0].papers = [vote(1, round, &[1, 2])].into();
            view.peers[0].stored = Some([vote(1, round, &[1, 2])].into());
        })
    };
    let waits = |at: u64| {
        changed(|view| {
            (view.at, view.peers[0].asked_founding) = (secs(at), true);
            view.peers[0].quorum = Some((2, 2));
        })
    };
    let unlike = || {
        let ledger = Some(vec![owned(0, 4, 0, 1), owned(4, 16, 0, 2)]);
        changed(|view| view.peers[0].ledger = ledger)
    };
    let raised = changed(|view| {
        let ledger = Some(vec![owned(0, 8, 1, 1), owned(8, 16, 0, 2)]);
        (view.peers[0].ledger, view.peers[0].sure_ledger) = (ledger.clone(), ledger);
    });
    let ungiven = changed(|view| {
        let ledger = vec![owned(0, 4, 0, 1), owned(4, 8, 1, 2), owned(8, 16, 0, 2)];
        view.peers[0].ledger = Some(ledger);
    });
    let other = Some(Fingerprint([9; 16]));
    let (_, theirs) = founding(&[1]);
    vec![
        (
            "ipam.one-founding",
            When::Always,
            vec![pair(), changed(|view| view.peers[1].lineage = other)],
        ),
        (
            "ipam.founding-valid",
            When::Always,
            vec![changed(|view| {
                (view.peers[0].papers, view.peers[0].stored) = ([founding(&[])].into(), None);
            })],
        ),
        ("ipam.promise-kept", When::Always, vec![voted(4), voted(3)]),
        ("ipam.founded-in-time", When::Regularly, vec![waits(100), waits(111)]),
        (PERSIST_BEFORE_SEND, When::Always, vec![pair(), paper(grant(1, 2, (0, 4), 1))]),
        ("ipam.owner-changes-by-grant", When::Always, vec![pair(), paper(grant(2, 1, (0, 4), 1))]),
        ("ipam.rests-on-records", When::Always, vec![pair(), ungiven]),
        ("ipam.same-records-same-ledger", When::Always, vec![pair(), unlike()]),
        ("ipam.never-back", When::Always, vec![raised, pair()]),
        (
            "ipam.ledger-in-time",
            When::Steady,
            vec![pair(), changed(|view| (view.steady, view.peers[1].ledger) = (part(), None))],
        ),
        (NO_MIXING, When::Always, vec![pair(), paper((Key::Founding(LINEAGE_OF_OTHERS), theirs))]),
    ]
    .into_iter()
    .chain(about_evictions())
    .collect()
}

fn about_evictions() -> Vec<Story> {
    use evictions::tests::{frozen, left_at, taken};
    let left = || vec![pair(), taken(|view| left_at(view, 0))];
    vec![
        ("ipam.left-to-somebody", When::Always, vec![changed(|view| view.peers[0].left = true)]),
        ("ipam.taken-over-in-time", When::Always, left()),
        ("ipam.taken-over-in-time", When::Steady, left()),
        ("ipam.eviction-ends", When::Regularly, vec![frozen(100, |_| {}), frozen(131, |_| {})]),
    ]
}

fn about_records() -> Vec<Story> {
    let key = Key::Names(id(1), 0);
    let holds = |sequence: u64| {
        changed(|view| {
            view.peers[1].records = [(key, version(1, sequence))].into();
            view.peers[1].reads = sequence;
        })
    };
    let summed = |sequence: u64| {
        changed(|view| {
            let glimpse = Glimpse { key, version: version(1, sequence), sign: 0 };
            view.peers[0].seen = vec![glimpse];
            (view.peers[0].reads, view.peers[0].print) = (sequence, Some(sum()));
        })
    };
    let full =
        |at: u64| changed(|view| (view.at, view.peers[0].sizes.ipam.waiting) = (secs(at), 17));
    vec![
        ("gossip.own-version-only", When::Always, vec![pair(), holds(10)]),
        ("gossip.true-sum", When::Always, vec![summed(1), summed(2)]),
        ("gossip.new-life", When::Always, vec![pair(), started(|_| {})]),
        ("dns.never-back", When::Always, vec![holds(3), holds(2)]),
        (
            "gossip.same-records",
            When::Quiet,
            vec![pair(), changed(|view| view.peers[1].records.clear())],
        ),
        ("bounds.tables", When::Always, vec![pair(), full(100)]),
        ("bounds.tables", When::Regularly, vec![pair(), full(100)]),
        (
            "bounds.tables",
            When::Quiet,
            vec![pair(), changed(|view| view.peers[0].sizes.ipam.asks = 1)],
        ),
        (
            "bounds.records",
            When::Regularly,
            vec![pair(), changed(|view| view.peers[0].sizes.records = 67)],
        ),
    ]
}

fn about_the_mesh() -> Vec<Story> {
    use mesh::tests::{broken, good};
    let apart = |at: u64| {
        changed(|view| {
            view.at = secs(at);
            view.peers.iter_mut().for_each(|peer| peer.linked.clear());
        })
    };
    let spent =
        |at: u64, spent: u64| changed(|view| (view.at, view.peers[0].spent) = (secs(at), spent));
    vec![
        (
            "mesh.dead-noticed",
            When::Regularly,
            vec![pair(), changed(|view| view.peers[0].mono = secs(115))],
        ),
        ("mesh.healed-link", When::Regularly, vec![pair(), apart(101), apart(115)]),
        (
            "mesh.view-in-time",
            When::Steady,
            vec![
                pair(),
                changed(|view| (view.steady, view.peers[0].up) = (part(), BTreeMap::new())),
            ],
        ),
        (
            "mesh.same-view",
            When::Settled,
            vec![good(), broken(|view| view.peers[0].reachable.clear())],
        ),
        (
            "mesh.one-conn",
            When::Settled,
            vec![
                good(),
                broken(|view| view.peers[0].conns.values_mut().for_each(|count| *count = 2)),
            ],
        ),
        (
            "mesh.unicast-arrives",
            When::Settled,
            vec![good(), broken(|view| view.peers[1].unicast.clear())],
        ),
        (
            "mesh.broadcast-once",
            When::Settled,
            vec![good(), broken(|view| view.peers[1].broadcast.clear())],
        ),
        ("mesh.quiet", When::Quiet, vec![spent(100, 0), spent(120, 9_000)]),
    ]
}

fn about_names() -> Vec<Story> {
    use names::tests::{broken, good};
    let unanswered = || vec![good(), broken(|view| view.peers[1].names.clear())];
    let taken_back = || vec![good(), broken(|view| view.peers[0].names_possible.clear())];
    vec![
        ("dns.same-answer", When::Settled, unanswered()),
        ("dns.seen-everywhere", When::Told, unanswered()),
        ("dns.gone-everywhere", When::Told, taken_back()),
        ("dns.no-ghosts", When::Settled, taken_back()),
        ("dns.no-ghosts", When::Always, taken_back()),
    ]
}

/// The founding of a mesh that is not that of made-up views.
const LINEAGE_OF_OTHERS: Fingerprint = Fingerprint([8; 16]);

/// Both hosts of the pair, as those that must know the same.
fn part() -> Vec<BTreeSet<usize>> {
    vec![[0, 1].into()]
}

/// `n1` has started again.
fn started(change: impl FnOnce(&mut View)) -> View {
    changed(|view| {
        view.peers[0].boots = 2;
        change(view);
    })
}

fn noted(address: &str) -> BTreeMap<ContainerId, BTreeSet<ipnet::IpNet>> {
    [(ContainerId::dns(), [address.parse().unwrap()].into())].into()
}

/// Some sum of some record.
fn sum() -> Print {
    let identity = Identity::from_seed([1; 32]);
    let mut records = Records::new(1, 1_000);
    records.put(Record::sign(&identity, Key::Space(identity.id()), version(1, 1), Vec::new()));
    records.sum(Prefix::ROOT).1
}

fn breaches() -> Vec<Breach> {
    let mut breaches: Vec<Breach> = vec![
        ("contract", answers_what_was_never_asked),
        (PERSIST_BEFORE_REPLY, || {
            let given = ["10.0.0.1/28".parse().unwrap()];
            given_is_noted(&[], &given).err().map(|_| PERSIST_BEFORE_REPLY)
        }),
        (PERSIST_BEFORE_SEND, || {
            let reply = Output::Reply { request: RequestId(1), result: Ok(Reply::Done) };
            let outputs = [reply, Output::Persist(Vec::new())];
            said_in_order(outputs.iter()).err().map(|_| PERSIST_BEFORE_SEND)
        }),
        (AUTHENTIC, || authentic(&pair(), 0, id(3), &hello()).err().map(|_| AUTHENTIC)),
        (NO_DOWNGRADE, || {
            let twice = Greeting::Chooses(1);
            newest_of_both(&pair(), (0, twice), (1, twice)).err().map(|_| NO_DOWNGRADE)
        }),
        (NO_MIXING, || {
            let theirs = Hello { lineage: Some(LINEAGE_OF_OTHERS), ..hello() };
            let verdict = belong_together(&pair(), (0, Some(LINEAGE)), &theirs);
            verdict.err().map(|_| NO_MIXING)
        }),
        (NO_FALSE_DEATH, || {
            let mut deaths = Deaths::default();
            deaths.count = 9;
            deaths.verdict().err().map(|_| NO_FALSE_DEATH)
        }),
        ("ipam.serves", never_founded),
        (SERVED_IN_TIME, || {
            let mut answers = Answers::default();
            (0..1_000).for_each(|_| answers.unmet());
            answers.verdict().err().map(|_| SERVED_IN_TIME)
        }),
        ("sim.panic", starts_nobody),
        (NO_ERROR, || {
            let errors = Errors::listen();
            tracing::error!(target: "weft", "broken");
            errors.judge(Instant::ZERO).err().map(|violation| violation.rule)
        }),
        ("sim.same-run", || {
            // Two runs that differ have two digests, which is what is compared.
            let digest = |seed| Scenario::swarm(seed, 2, 3).run().digest;
            (digest(1) == digest(1) && digest(1) != digest(2)).then_some("sim.same-run")
        }),
        ("sim.pending", || {
            let mut world = without_a_quorum().start();
            world.ask(0, Command::Prime);
            world.settle(Duration::ZERO).err().map(|violation| violation.rule)
        }),
        ("sim.starts", || {
            let mut world = World::new(&Setup::new(1, 1));
            let refuses = Some(Refusal::Damaged);
            world.act(&Act::Start { peer: Peer(0), refuses });
            next_breach(&mut world)
        }),
        ("sim.contract", asks_under_a_used_number),
        ("sim.answer", || {
            let mut world = World::new(&Setup::new(1, 1));
            world.answer(0, Command::Prime).err().map(|violation| violation.rule)
        }),
        ("sim.attach", || {
            let mut world = without_a_quorum().start();
            world.attach(0, "c").err().map(|violation| violation.rule)
        }),
    ];
    breaches.extend(wire::tests::BREACHES);
    breaches
}

fn next_breach(world: &mut World) -> Option<&'static str> {
    world.run_for(Duration::from_secs(5)).err().map(|violation| violation.rule)
}

/// Two hosts, of which the second never runs.
fn without_a_quorum() -> Setup {
    let mut setup = Setup::new(1, 2);
    setup.own.insert(Peer(1), Own { late: true, ..Own::default() });
    setup
}

/// A node answers, after a while, what nobody seems to have asked.
fn answers_what_was_never_asked() -> Option<&'static str> {
    let mut setup = Setup::new(1, 1);
    setup.voters = 3;
    let mut world = setup.start();
    world.run_for(Duration::from_secs(1)).ok()?;
    world.ask(0, Command::Allocate { id: ContainerId::dns(), subnet: None });
    world.hosts[0].running.as_mut()?.contract = Contract::default();
    next_breach(&mut world)
}

/// A node is given a command under a number that was used before.
fn asks_under_a_used_number() -> Option<&'static str> {
    let mut world = Setup::new(1, 1).start();
    let RequestId(before) = world.ask(0, Command::Prime);
    let input = Input::Command { request: RequestId(before + 1), command: Command::Prime };
    world.hosts[0].running.as_mut()?.contract.input(&input).ok()?;
    world.ask(0, Command::Prime);
    next_breach(&mut world)
}

/// A mesh that can never be founded has nobody who hands out addresses.
fn never_founded() -> Option<&'static str> {
    let mut scenario = Scenario::swarm(1, 1, 0);
    scenario.setup.voters = 3;
    scenario.run().violation.map(|violation| violation.rule)
}

/// A step starts a host that is not there: the world itself panics.
fn starts_nobody() -> Option<&'static str> {
    let mut scenario = Scenario::swarm(1, 1, 0);
    let act = Act::Start { peer: Peer(9), refuses: None };
    scenario.steps = vec![Step { at: Instant::ZERO, deed: Deed::Act { act, expect: None } }];
    scenario.run().violation.map(|violation| violation.rule)
}
