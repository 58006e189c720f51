//! Marks of the core: the catalogue reaches all of them.

use anyhow::{Result, ensure};
use sim::marks::Marks;
use sim::scenario::Scenario;
use std::collections::BTreeSet;
use std::path::Path;
use weft_core::mark::Mark;

/// Marks that are not reached: what is missing in the catalogue, and the marks that wait for it.
const NOT_YET: &[(&str, &[Mark])] = &[
    (
        "all hosts of a world are given one password, one range and names of their own",
        &[
            Mark::HandshakeWrongPassword,
            Mark::HandshakePasswordMissing,
            Mark::HandshakePasswordUnexpected,
            Mark::LinkOtherUniverse,
            Mark::LinkOwnName,
            Mark::LinkNeighboursName,
            Mark::LinkKnownName,
            Mark::SleeveClear,
        ],
    ),
    (
        "no neighbour breaks the protocol",
        &[
            Mark::HandshakeVersion,
            Mark::HandshakeMalformed,
            Mark::LinkLowOrder,
            Mark::LinkBadMessage,
            Mark::LinkBadQuestion,
            Mark::LinkNotAuthentic,
            Mark::LinkTooLong,
            Mark::UnicastWrongName,
            Mark::FoundingBadVote,
            Mark::FoundingLeap,
            Mark::GrantCalledOut,
            Mark::GrantNever,
            Mark::GrantMisfit,
            Mark::GrantLeap,
            Mark::GrantStillWaits,
            Mark::GossipRefusedKey,
            Mark::GossipRefusedSignature,
            Mark::GossipRefusedBody,
            Mark::PullBroken,
            Mark::PullUnasked,
            Mark::PullTooManyQuestions,
            Mark::SleeveNotAuthentic,
            Mark::SleeveMalformed,
            Mark::ForwardMalformed,
            Mark::AskLateDenial,
            Mark::ConnUnexpected,
        ],
    ),
    (
        "no outsider dials, so that streams stay few",
        &[
            Mark::ConnCrowded,
            Mark::ConnLimit,
            Mark::ConnUnheard,
            Mark::PathUnknown,
            Mark::ConnEndedMeanwhile,
        ],
    ),
    (
        "limits are those of production, which small worlds stay below",
        &[
            Mark::LinkLimit,
            Mark::DialPostponed,
            Mark::GossipFull,
            Mark::GossipSplit,
            Mark::PullShort,
            Mark::UnicastTooMany,
            Mark::UnicastHops,
            Mark::CommandTooManyWaiting,
            Mark::NamesFull,
            Mark::SwitchFull,
            Mark::ForwardHopLimit,
        ],
    ),
    (
        "no stream stalls one way for long, and nobody answers at another's address",
        &[Mark::LinkDoubtful, Mark::LinkStuck, Mark::LinkOtherPeer, Mark::DialLost],
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
fn the_catalogue_reaches_every_mark() -> Result<()> {
    let marks = reached_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios"))?;
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
