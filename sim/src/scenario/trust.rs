//! What operators do with secrets and lists, in more than one step: another secret host by host, and a
//! host that is kept out for a while.

use super::random::step;
use super::step::Step;
use crate::choices::Choices;
use crate::peer::Peer;
use crate::world::Act;
use std::collections::BTreeSet;
use std::time::Duration;
use weft_core::time::Instant;

/// Secrets that are drawn: few, so that one that is over comes back.
const SECRETS: u64 = 3;

/// Most time between what one host is told and the next one, in milliseconds; each procedure has one
/// of these. A script is quick, people are not.
const PACES: [u64; 3] = [100, 3_000, 30_000];

/// Longest time for which two secrets are valid, or a list is in force, besides that for telling all.
const WINDOW: Duration = Duration::from_secs(120);

/// Draws a procedure that begins at `at`.
pub(super) fn procedure(choices: &mut Choices, hosts: usize, at: Instant) -> Vec<Step> {
    if choices.coin() { exclusion(choices, hosts, at) } else { rotation(choices, hosts, at) }
}

/// Each host is given another secret beside its own; later each forgets the old one.
fn rotation(choices: &mut Choices, hosts: usize, at: Instant) -> Vec<Step> {
    let password = format!("drawn-{}", choices.below(SECRETS));
    let pace = choices.pick(&PACES).copied().unwrap_or(1);
    let mut steps = Vec::new();
    let told = tell(choices, hosts, at, pace, |_, peer| {
        Some(Act::AddSecret { peer, password: password.clone() })
    });
    let mut end = told.last().map_or(at, |step| step.at);
    steps.extend(told);
    // Few do it by force; most ask once more where it was not granted, and give up.
    let force = choices.below(4) == 3;
    for _ in 0..2 {
        end += window(choices);
        steps.extend(tell(choices, hosts, end, pace, |_, peer| {
            Some(Act::RetireSecret { peer, force })
        }));
    }
    steps
}

/// Some hosts are put on no list for a while. Now and then an operator errs: one of the others is not
/// told, or has another list, or those that are kept out have one of their own.
fn exclusion(choices: &mut Choices, hosts: usize, at: Instant) -> Vec<Step> {
    let all: BTreeSet<Peer> = (0..hosts).map(Peer).collect();
    let mut out = BTreeSet::from([Peer(choices.index(hosts))]);
    if choices.below(4) == 3 {
        out.extend(all.iter().filter(|_| choices.coin()));
    }
    let list: BTreeSet<Peer> = all.difference(&out).copied().collect();
    let pace = choices.pick(&PACES).copied().unwrap_or(1);
    let errs = choices.coin();
    let mut steps = tell(choices, hosts, at, pace, |choices, peer| {
        let is_out = out.contains(&peer);
        let peers = match choices.below(8) {
            6 if errs => return None,
            7 if errs => all.iter().filter(|_| choices.coin()).copied().collect(),
            _ if !is_out => list.clone(),
            5 => out.clone(),
            _ => return None,
        };
        Some(Act::Allow { peer, peers: Some(peers) })
    });
    let end = steps.last().map_or(at, |step| step.at) + window(choices);
    steps.extend(tell(choices, hosts, end, pace, |_, peer| Some(Act::Allow { peer, peers: None })));
    steps
}

fn window(choices: &mut Choices) -> Duration {
    let most = u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(choices.below(most))
}

/// Each host is told something, or nothing, in an order that is drawn.
fn tell(
    choices: &mut Choices,
    hosts: usize,
    mut at: Instant,
    pace: u64,
    what: impl Fn(&mut Choices, Peer) -> Option<Act>,
) -> Vec<Step> {
    let mut left: Vec<Peer> = (0..hosts).map(Peer).collect();
    let mut steps = Vec::new();
    while !left.is_empty() {
        let peer = left.swap_remove(choices.index(left.len()));
        steps.extend(what(choices, peer).map(|act| step(at, act)));
        at += Duration::from_millis(choices.below(pace));
    }
    steps
}
