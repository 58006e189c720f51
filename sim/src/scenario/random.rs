//! Drawn scenarios.
//!
//! A swarm first draws *which* kinds of faults a run has at all: many runs with few kinds each
//! find more than runs that have them all. Then come the faults and commands, then healing, and
//! then the mesh must settle within a bound.

use super::Scenario;
use crate::choices::Choices;
use crate::net::{Conditions, Share};
use crate::world::{Act, Peer, Setup};
use std::time::Duration;
use weft_core::addr::{Offset, Universe};
use weft_core::time::Instant;

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
        let [partitions, one_way, crashes, bad_network, claims] = [0; 5].map(|_| choices.coin());
        if bad_network {
            setup.conditions = conditions(choices);
        }
        if hosts > 2 && choices.below(4) == 3 {
            setup.walls.push((Peer(0), Peer(hosts - 1)));
        }
        let mut steps = Vec::new();
        let mut at = Instant::ZERO;
        for _ in 0..len {
            at += Duration::from_millis(choices.below(6_000));
            let peer = Peer(choices.index(hosts));
            // Each host has containers of its own, as if ids were drawn at random.
            let container = format!("c{}-{peer}", choices.below(12));
            let act = match choices.below(20) {
                0..2 if partitions => {
                    let side = (0..hosts).filter(|_| choices.coin()).map(Peer).collect();
                    Act::Partition { side }
                }
                2 if one_way => Act::Cut { from: peer, to: Peer(choices.index(hosts)) },
                0..4 => Act::Heal,
                4..6 if crashes => {
                    Act::Crash { peer, after: choices.index(6), power: choices.coin() }
                }
                4..8 => Act::Start { peer },
                8 if bad_network => Act::Network { conditions: conditions(choices) },
                9 if claims => {
                    let size = u64::try_from(setup.universe.size()).unwrap_or(u64::MAX);
                    let address = setup.universe.address(Offset(choices.below(size).into()));
                    Act::Claim { peer, container, address }
                }
                8..13 => Act::Allocate { peer, container },
                13..15 => Act::Release { peer, container },
                15..17 => Act::Register { peer, container },
                17 => Act::Unregister { peer, container },
                18 => Act::Connect { peer, to: Peer(choices.index(hosts)) },
                _ => Act::Allocate { peer, container },
            };
            steps.push((at, act));
        }
        Self { setup, steps }
    }
}

fn conditions(choices: &mut Choices) -> Conditions {
    let per_thousand = |number| Share::per_thousand(u32::try_from(number).unwrap_or(0));
    Conditions {
        latency: Duration::from_micros(100 + choices.below(50_000)),
        jitter: Duration::from_micros(choices.below(100_000)),
        loss: per_thousand(choices.below(300)),
        duplication: per_thousand(choices.below(200)),
    }
}
