//! A mesh of many peers that found each other, each being told of one other.

use anyhow::{Result, bail};
use clap::builder::RangedU64ValueParser;
use sim::world::{Counted, Own, Peer, Setup, World};
use std::time::Duration;

/// Peers that found the mesh. More of them would only vote longer.
const VOTERS: usize = 3;

/// A mesh that does not know itself after this time of the world's clock never will.
const GATHER_MAX: Duration = Duration::from_secs(600);

/// How often it is looked whether all know all, on the world's clock.
const LOOK_WAIT: Duration = Duration::from_millis(100);

/// Links that came about while the mesh gathered are given up in this time, when others took their place.
const SETTLE: Duration = Duration::from_secs(90);

/// How many peers there may be: more than found the mesh, and no more than memory has room for.
pub(super) fn sizes() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(VOTERS as u64 + 1..=10_000)
}

/// A mesh whose peers all know each other, and one peer more that was not started.
pub(super) struct Mesh {
    pub(super) world: World,
    /// How many were started.
    pub(super) peers: usize,
}

impl Mesh {
    /// Starts `peers` peers, each of which is told of one that has a lower number, and waits until all know
    /// all.
    pub(super) fn gather(peers: usize, seed: u64) -> Result<Self> {
        let mut setup = Setup::new(seed, peers + 1);
        setup.voters = VOTERS;
        for host in 0..=peers {
            let dials = host.checked_sub(1).map(|before| Peer(before / 2));
            let dials = Some(dials.into_iter().collect());
            let (observer, late) = (host >= VOTERS, host == peers);
            setup.own.insert(Peer(host), Own { dials, observer, late, ..Own::default() });
        }
        let mut mesh = Self { world: setup.start(), peers };
        mesh.wait_gathered()?;
        Ok(mesh)
    }

    /// Has the mesh found itself, by a first container, and come to rest.
    pub(super) fn found(&mut self) -> Result<()> {
        self.world.attach(0, "first")?;
        self.world.run_for(SETTLE)?;
        Ok(())
    }

    /// Starts the peer that was left out, and waits until all know all.
    pub(super) fn join(&mut self) -> Result<()> {
        self.world.boot(self.peers);
        self.peers += 1;
        self.wait_gathered()
    }

    fn wait_gathered(&mut self) -> Result<()> {
        let begun = self.world.now;
        while !self.is_gathered() {
            if self.world.now.since(begun) > GATHER_MAX {
                bail!("after {GATHER_MAX:?} not all peers know all others");
            }
            self.world.run_for(LOOK_WAIT)?;
        }
        Ok(())
    }

    fn is_gathered(&self) -> bool {
        let mut running = self.world.hosts.iter().filter_map(|host| host.running.as_ref());
        running.all(|running| running.summary.peers + 1 == self.peers)
    }

    /// Of all peers together, so far.
    pub(super) fn total(&self, counted: Counted) -> u64 {
        (0..self.peers).map(|host| self.world.count(host, counted)).sum()
    }

    /// The share of each in a `total`.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(super) fn per_peer(&self, total: u64) -> f64 {
        total as f64 / self.peers as f64
    }
}
