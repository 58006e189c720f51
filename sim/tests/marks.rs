//! Marks of the core: the catalogue and a few drawn worlds reach all of them.

use anyhow::{Result, ensure};
use sim::marks::Marks;
use sim::scenario::Scenario;
use std::collections::BTreeSet;
use std::path::Path;
use weft_core::mark::Mark;

/// Drawn worlds, beside the catalogue.
const SEEDS: u64 = 300;

/// Marks that are not reached: what is missing in the catalogue, and the marks that wait for it.
const NOT_YET: &[(&str, &[Mark])] = &[
    (
        "no step stops a node in good order",
        &[Mark::CommandStop, Mark::CommandAfterStop, Mark::RefusedStopping, Mark::ConnAfterStop],
    ),
    (
        "no step leaves the mesh, or waits for the founding",
        &[
            Mark::RefusedLeft,
            Mark::DonateLeft,
            Mark::LeaveToOwner,
            Mark::LeaveToPeer,
            Mark::LeaveNobody,
            Mark::LeaveGateClosed,
            Mark::LeaveHolding,
            Mark::LeaveTwice,
            Mark::CommandPrime,
        ],
    ),
    (
        "no step forgets or replaces targets, or resumes those of an earlier run",
        &[
            Mark::DialReplaced,
            Mark::DialForgotten,
            Mark::DialMeanwhile,
            Mark::StartResumed,
            Mark::UnicastNoWay,
        ],
    ),
    (
        "no disk is damaged, put back, or copied to another host",
        &[
            Mark::StartDamaged,
            Mark::StartOtherUniverse,
            Mark::HandshakeClone,
            Mark::GossipGhost,
            Mark::GossipOwnNames,
            Mark::FoundingRecalled,
            Mark::GrantConflict,
            Mark::GrantOutdated,
            Mark::LinkOtherLineage,
            Mark::GossipOtherLineage,
            Mark::GateGiven,
        ],
    ),
    (
        "claims and subnets are drawn from what is in order",
        &[
            Mark::AllocateOutOfRange,
            Mark::ClaimOutside,
            Mark::ClaimAgain,
            Mark::ClaimOvertaken,
            Mark::DonateNotOwner,
        ],
    ),
    (
        "addresses seldom go to and fro between owners",
        &[
            Mark::GrantSuperseded,
            Mark::GrantSelf,
            Mark::GrantEarly,
            Mark::GrantEarlyTaken,
            Mark::DonateGateClosed,
            Mark::DonateUnfounded,
            Mark::DonateUnreachable,
            Mark::FoundingValueTakenOver,
        ],
    ),
    (
        "containers do not move between hosts, and only ping",
        &[
            Mark::SwitchMoved,
            Mark::SwitchAged,
            Mark::ForwardLocal,
            Mark::ForwardLinkLocal,
            Mark::ForwardFlooded,
            Mark::ForwardNoRoute,
            Mark::ForwardCameBack,
            Mark::ForwardCircle,
        ],
    ),
];

/// What all scenarios in `folder` reach, in order of nothing.
fn reached_in(folder: &Path) -> Result<Marks> {
    let mut marks = Marks::NONE;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            marks = marks.and(reached_in(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            let scenario = Scenario::from_text(&std::fs::read_to_string(&path)?);
            let scenario = scenario.map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
            if scenario.waits.is_none() {
                marks = marks.and(scenario.run().marks);
            }
        }
    }
    Ok(marks)
}

#[test]
fn the_catalogue_and_some_drawn_worlds_reach_every_mark() -> Result<()> {
    let mut marks = reached_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios"))?;
    for seed in 0..SEEDS {
        let hosts = usize::try_from(seed % 5)? + 1;
        marks = marks.and(Scenario::swarm(seed, hosts, 40).run().marks);
    }
    let excused: BTreeSet<Mark> =
        NOT_YET.iter().flat_map(|(_, marks)| marks.iter().copied()).collect();
    let missing: Vec<_> = marks.missing().filter(|mark| !excused.contains(mark)).collect();
    let names: Vec<String> =
        missing.iter().map(|mark| format!("{mark}: {}", mark.meaning())).collect();
    ensure!(
        missing.is_empty(),
        "{} marks were never reached:\n{}",
        missing.len(),
        names.join("\n")
    );
    Ok(())
}
