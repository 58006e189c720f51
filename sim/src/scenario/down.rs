//! Hosts that drawn steps have brought down: nobody would leave them so for long, and a mesh most of
//! whose hosts are down meets few faults.

use super::random::step;
use super::step::{Deed, Step};
use crate::choices::Choices;
use crate::peer::Peer;
use crate::world::Act;
use std::collections::BTreeMap;
use weft_core::time::Instant;

/// One in so many steps is the one at which somebody sees to a host that is down.
const SEEN_TO: u64 = 3;

/// Who may be down by what was drawn so far, and what must be done besides starting it.
#[derive(Debug, Default)]
pub(super) struct Down(BTreeMap<Peer, Option<Act>>);

impl Down {
    /// Takes note of what was drawn.
    pub(super) fn follow(&mut self, drawn: &[Step]) {
        for Step { deed, .. } in drawn {
            let Deed::Act { act, .. } = deed else { continue };
            if let Act::FailDisk { peer, .. } | Act::RotDisk { peer, .. } = act {
                self.0.insert(*peer, Some(Act::MendDisk { peer: *peer }));
            } else if let Act::Leave { peer } = act {
                // It runs, but takes no part any more.
                self.0.entry(*peer).or_insert(Some(Act::Stop { peer: *peer }));
            } else if let Act::Crash { peer, .. }
            | Act::Stop { peer }
            | Act::LoseDisk { peer }
            | Act::Restore { peer, .. } = act
            {
                self.0.entry(*peer).or_insert(None);
            }
        }
    }

    /// Now and then has one of them started again, before whatever happens `at` that moment.
    pub(super) fn see_to(&mut self, choices: &mut Choices, at: Instant) -> Vec<Step> {
        if self.0.is_empty() || choices.below(SEEN_TO) != 0 {
            return Vec::new();
        }
        let chosen = choices.index(self.0.len());
        let Some(peer) = self.0.keys().nth(chosen).copied() else { return Vec::new() };
        let first = self.0.remove(&peer).flatten();
        let start = Act::Start { peer, refuses: None };
        first.into_iter().chain([start]).map(|act| step(at, act)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(steps: Vec<Step>) -> Vec<Act> {
        let act = |step: Step| match step.deed {
            Deed::Act { act, .. } => act,
            Deed::See { .. } => panic!("it sees something"),
        };
        steps.into_iter().map(act).collect()
    }

    #[test]
    fn who_was_brought_down_is_started_again_once_and_what_keeps_it_down_is_ended_before() {
        let (peer, at) = (Peer(1), Instant::ZERO);
        let start = Act::Start { peer, refuses: None };
        for (fault, again) in [
            (Act::Crash { peer, after: Some(3), power: true }, vec![start.clone()]),
            (Act::FailDisk { peer, after: 2 }, vec![Act::MendDisk { peer }, start.clone()]),
            (Act::Leave { peer }, vec![Act::Stop { peer }, start.clone()]),
            (Act::Heal, vec![]),
        ] {
            let (mut down, mut choices) = (Down::default(), Choices::seeded(1));
            down.follow(&[step(at, fault)]);
            let seen_to = (0..100).flat_map(|_| down.see_to(&mut choices, at)).collect();
            assert_eq!(acts(seen_to), again);
        }
    }
}
