//! What a bed is made of.

use std::time::Duration;
use weft_core::config::{Config, FoundingMode, NetworkSecret};

/// Hosts, the network between them, and how their nodes are set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Where all randomness comes from.
    pub(crate) seed: u64,
    /// How many hosts, `n1`, `n2`, … (0, 1, … in scripts).
    pub(crate) hosts: usize,
    /// Step of the clocks.
    pub(crate) tick: Duration,
    /// Shortest and longest time that a message takes, in whole milliseconds.
    pub(crate) latency: (Duration, Duration),
    /// Whom of so many hosts a host dials.
    pub(crate) targets: fn(host: usize, hosts: usize) -> Vec<usize>,
    /// Changes the settings of one host.
    pub(crate) configure: fn(host: usize, config: &mut Config),
    /// Whether history is printed as it happens.
    pub(crate) echo: bool,
}

impl Plan {
    /// `hosts` hosts that dial each other and share a secret and the range 10.32.0.0/24.
    pub(crate) const fn new(seed: u64, hosts: usize) -> Self {
        Self {
            seed,
            hosts,
            tick: Duration::from_millis(2),
            latency: (Duration::from_millis(1), Duration::from_millis(20)),
            targets: everyone,
            configure: |_, _| {},
            echo: false,
        }
    }

    /// Hosts in a line: each dials the one before it, and nobody dials whom it only hears of.
    pub(crate) const fn line(seed: u64, hosts: usize) -> Self {
        let targets = |host: usize, _| host.checked_sub(1).into_iter().collect();
        let configure = |_, config: &mut Config| config.discovery = false;
        Self { targets, configure, ..Self::new(seed, hosts) }
    }

    /// Settings of `host`.
    ///
    /// # Errors
    /// Never: the range is one.
    pub(super) fn config(&self, host: usize) -> anyhow::Result<Config> {
        let mut config = Config {
            nickname: super::name_of(host),
            port: super::PORT,
            secret: Some(NetworkSecret::Password([7; 32])),
            universe: weft_core::addr::Universe::new("10.32.0.0/24".parse()?)?,
            founding: FoundingMode::Consensus { peers: Some(self.hosts) },
            ..Config::default()
        };
        (self.configure)(host, &mut config);
        Ok(config)
    }
}

fn everyone(host: usize, hosts: usize) -> Vec<usize> {
    (0..hosts).filter(|other| *other != host).collect()
}
