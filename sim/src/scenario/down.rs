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

/// A disk that fails some writes later keeps its host down only once it was written to: so many drawn
/// steps are waited for each write. Half of all steps make a host write, and that is one of several.
const STEPS_PER_WRITE: u64 = 10;

/// Who may be down by what was drawn so far, and what must be done besides starting it.
#[derive(Debug, Default)]
pub(super) struct Down(BTreeMap<Peer, Needs>);

/// What a host needs besides its start.
#[derive(Debug, Default)]
struct Needs {
    /// Its disk keeps it from running.
    is_mended: bool,
    /// It runs, but takes no part any more.
    is_stopped: bool,
    /// Drawn steps until it is likely not to run.
    steps_left: u64,
}

impl Down {
    /// Takes note of what was drawn.
    pub(super) fn follow(&mut self, drawn: &[Step]) {
        for needs in self.0.values_mut() {
            needs.steps_left = needs.steps_left.saturating_sub(1);
        }
        for Step { deed, .. } in drawn {
            let Deed::Act { act, .. } = deed else { continue };
            if let Act::FailDisk { peer, after } = act {
                let needs = self.0.entry(*peer).or_insert_with(|| Needs {
                    steps_left: after.saturating_add(1).saturating_mul(STEPS_PER_WRITE),
                    ..Needs::default()
                });
                needs.is_mended = true;
            } else if let Act::RotDisk { peer, .. } = act {
                let needs = self.0.entry(*peer).or_default();
                (needs.is_mended, needs.steps_left) = (true, 0);
            } else if let Act::Leave { peer } = act {
                let needs = self.0.entry(*peer).or_default();
                (needs.is_stopped, needs.steps_left) = (true, 0);
            } else if let Act::Crash { peer, .. }
            | Act::Stop { peer }
            | Act::LoseDisk { peer, .. }
            | Act::Restore { peer, .. } = act
            {
                self.0.entry(*peer).or_default().steps_left = 0;
            }
        }
    }

    /// Now and then has one of them started again, before whatever happens `at` that moment.
    pub(super) fn see_to(&mut self, choices: &mut Choices, at: Instant) -> Vec<Step> {
        let is_down = |(peer, needs): (&Peer, &Needs)| (needs.steps_left == 0).then_some(*peer);
        let down: Vec<Peer> = self.0.iter().filter_map(is_down).collect();
        if down.is_empty() || choices.below(SEEN_TO) != 0 {
            return Vec::new();
        }
        let Some(peer) = choices.pick(&down).copied() else { return Vec::new() };
        let needs = self.0.remove(&peer).unwrap_or_default();
        let acts = [
            needs.is_mended.then_some(Act::MendDisk { peer }),
            needs.is_stopped.then_some(Act::Stop { peer }),
            Some(Act::Start { peer, refuses: None }),
        ];
        acts.into_iter().flatten().map(|act| step(at, act)).collect()
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
        let fail = || Act::FailDisk { peer, after: 2 };
        let (leave, stop) = (|| Act::Leave { peer }, || Act::Stop { peer });
        let mend = || Act::MendDisk { peer };
        for (faults, again) in [
            (vec![Act::Crash { peer, after: Some(3), power: true }], vec![start.clone()]),
            (vec![fail()], vec![mend(), start.clone()]),
            (vec![leave()], vec![stop(), start.clone()]),
            (vec![leave(), fail()], vec![mend(), stop(), start.clone()]),
            (vec![fail(), stop(), leave()], vec![mend(), stop(), start.clone()]),
            (vec![Act::Heal], vec![]),
        ] {
            let (mut down, mut choices) = (Down::default(), Choices::seeded(1));
            for fault in faults {
                down.follow(&[step(at, fault)]);
            }
            let mut seen_to = Vec::new();
            for _ in 0..100 {
                seen_to.extend(down.see_to(&mut choices, at));
                down.follow(&[]);
            }
            assert_eq!(acts(seen_to), again);
        }
    }

    #[test]
    fn a_disk_that_fails_later_is_mended_only_when_it_is_likely_to_have_failed() {
        let (peer, at) = (Peer(1), Instant::ZERO);
        for after in 0..5 {
            let (mut down, mut choices) = (Down::default(), Choices::seeded(1));
            down.follow(&[step(at, Act::FailDisk { peer, after })]);
            let until = (0..1_000).find(|_| {
                let is_seen_to = !down.see_to(&mut choices, at).is_empty();
                down.follow(&[]);
                is_seen_to
            });
            assert!(until >= Some((after + 1) * STEPS_PER_WRITE), "{after}: {until:?}");
        }
    }
}
