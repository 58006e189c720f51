//! Drawn hosts that are gone for good, and operators who remove them.
//!
//! Who is gone has lost its disk: it stays away, or comes back as another peer, which observes, since
//! nobody may vote twice for the founding. Nobody is removed by force: owners that are away may have been
//! given something.

use super::End;
use super::random::step;
use super::step::{Deed, Step};
use crate::choices::Choices;
use crate::peer::Peer;
use crate::world::{Act, Own};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weft_core::time::Instant;

/// A peer that falls silent is out of reach after so long, and can be removed.
const NOTICED: Duration = Duration::from_secs(12);

/// After the last fault somebody may still be removed for so long.
const AFTER: Duration = Duration::from_secs(60);

/// With fewer hosts than this, of whom two are gone, the others are no quorum for a founding.
const HOSTS_FOR_TWO: usize = 5;

/// Draws one or two hosts that are gone at some time until `last`, and who removes them; what `steps` have
/// befall them later does not. Whoever is gone is removed in the end.
pub(super) fn removal(
    choices: &mut Choices,
    hosts: usize,
    last: Instant,
    steps: &mut Vec<Step>,
    end: &mut End,
) {
    let mut gone = BTreeMap::new();
    let two = hosts >= HOSTS_FOR_TWO && choices.coin();
    for _ in 0..1 + u8::from(two) {
        gone.insert(Peer(choices.index(hosts)), time(choices, Instant::ZERO, last));
    }
    for (peer, at) in &gone {
        steps.retain(|step| step.at < *at || !starts(step, *peer));
        steps.push(step(*at, Act::LoseDisk { peer: *peer, alive: false }));
        if choices.coin() {
            let own = Own { observer: true, ..Own::default() };
            let again = time(choices, *at, last + AFTER);
            steps.push(step(again, Act::Settings { peer: *peer, own: Box::new(own) }));
            steps.push(step(again, Act::Start { peer: *peer, refuses: None }));
        } else {
            end.gone.insert(*peer);
        }
    }
    let others: Vec<Peer> = (0..hosts).map(Peer).filter(|peer| !gone.contains_key(peer)).collect();
    for at in gone.values() {
        for _ in 0..=choices.below(3) {
            let at = time(choices, *at + NOTICED, (*at + NOTICED).max(last + AFTER));
            let dead = gone.iter().filter(|(_, gone_at)| **gone_at < at);
            let dead: BTreeSet<Peer> = dead.map(|(peer, _)| *peer).collect();
            // Two who do so at once are rivals.
            for _ in 0..1 + u8::from(choices.coin()) {
                let Some(peer) = choices.pick(&others).copied() else { continue };
                let at = at + Duration::from_millis(choices.below(300));
                let gone = dead.iter().copied().collect();
                let wait = choices.coin();
                let evict = Act::Evict { peer, gone, alive: false, force: false, wait };
                steps.push(step(at, evict));
            }
        }
    }
    end.removes = true;
}

fn time(choices: &mut Choices, from: Instant, to: Instant) -> Instant {
    let most = u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX);
    from + Duration::from_millis(choices.below(most))
}

/// Whether it has `host` run again, or changes how.
fn starts(step: &Step, host: Peer) -> bool {
    match &step.deed {
        Deed::Act { act: Act::Start { peer, .. } | Act::Settings { peer, .. }, .. } => {
            *peer == host
        }
        Deed::Act { .. } | Deed::See { .. } => false,
    }
}
