//! How a world is set up.

use super::World;
use super::limits::Limits;
use crate::net::{Conditions, PORT};
use crate::peer::Peer;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weft_core::addr::Universe;
use weft_core::config::{Config, FoundingMode, NetworkSecret, Versions};
use weft_core::id::PeerName;
use weft_core::record::Fingerprint;

/// How a world is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Where all chances come from.
    pub seed: u64,
    /// How many hosts.
    pub hosts: usize,
    /// What the mesh divides.
    pub universe: Universe,
    /// How many peers are told to found the mesh together: a majority of them must agree.
    pub voters: usize,
    /// Whether nobody is told so: then a majority of those that each is told to dial or has met must agree.
    pub meets: bool,
    /// Whether peers dial those they only heard of.
    pub discovery: bool,
    /// Pairs that never reach each other.
    pub walls: Vec<(Peer, Peer)>,
    /// Of the network; empty for none.
    pub password: String,
    /// Which versions of the protocol all speak.
    pub versions: Versions,
    /// How well the network works at first.
    pub conditions: Conditions,
    /// Of every node.
    pub limits: Limits,
    /// How many others each host is told to dial, near and far in a circle; all, if not given.
    pub dials: Option<usize>,
    /// What single hosts do otherwise.
    pub own: BTreeMap<Peer, Own>,
    /// Whether history is printed as it happens.
    pub echo: bool,
}

/// What one host does otherwise than the rest; what is not given is as in [`Setup`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Own {
    /// What its operator calls it, in place of the name that follows from its identity.
    #[serde(with = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<PeerName>,
    /// What it believes that the mesh divides.
    #[serde(
        deserialize_with = "crate::address::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub universe: Option<IpNet>,
    /// What it was told, empty for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// How many peers it was told to found the mesh with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voters: Option<usize>,
    /// Which versions of the protocol it speaks.
    #[serde(with = "versions", skip_serializing_if = "Option::is_none")]
    pub versions: Option<Versions>,
    /// It neither proposes nor votes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub observer: bool,
    /// Whom it is told to dial; else all that no wall keeps it from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dials: Option<BTreeSet<Peer>>,
    /// Where its allocations come from, when they name no subnet; else all of the range.
    #[serde(
        deserialize_with = "crate::address::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub subnet: Option<IpNet>,
    /// It dials those too that it was told to dial in earlier runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
    /// It does not start with the others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// Of its node.
    #[serde(skip_serializing_if = "Limits::is_usual")]
    pub limits: Limits,
}

impl Own {
    /// `config`, changed as far as anything is given.
    pub(super) fn apply(&self, config: Config) -> Config {
        let mut config = self.limits.apply(config);
        config.name = self.name.or(config.name);
        if let Some(Ok(universe)) = self.universe.map(Universe::new) {
            config.universe = universe;
        }
        if let Some(password) = &self.password {
            (config.secret, config.old_secret) = (secret(password), None);
        }
        if self.observer {
            config.founding = FoundingMode::Observer;
        } else if let Some(voters) = self.voters {
            config.founding = FoundingMode::Consensus { peers: Some(voters) };
        }
        if let Some(subnet) = self.subnet {
            config.default_subnets = vec![subnet];
        }
        config.resume |= self.resume;
        config.versions = self.versions.unwrap_or(config.versions);
        config
    }
}

impl Setup {
    /// `hosts` hosts that all know each other and share a /24, on a good network.
    pub fn new(seed: u64, hosts: usize) -> Self {
        Self {
            seed,
            hosts,
            universe: "10.32.0.0/24"
                .parse()
                .ok()
                .and_then(|block| Universe::new(block).ok())
                .unwrap_or(Universe::DEFAULT),
            voters: hosts,
            meets: false,
            discovery: true,
            walls: Vec::new(),
            password: "weft".to_owned(),
            versions: Versions::KNOWN,
            conditions: Conditions::default(),
            limits: Limits::default(),
            dials: None,
            own: BTreeMap::new(),
            echo: false,
        }
    }

    /// Whom `host` is told to dial: all others that it can reach, if nothing else was said.
    pub fn targets(&self, host: usize) -> Vec<usize> {
        if let Some(dials) = self.own.get(&Peer(host)).and_then(|own| own.dials.as_ref()) {
            return dials.iter().map(|peer| peer.0).collect();
        }
        let others: BTreeSet<usize> = match self.dials {
            Some(dials) => (0..dials)
                .map(|dial| (host + self.stride(dial) % self.hosts) % self.hosts)
                .collect(),
            None => (0..self.hosts).collect(),
        };
        let reached = |other: &usize| *other != host && !self.is_walled(host, *other);
        others.into_iter().filter(reached).collect()
    }

    /// How far ahead dial number `dial` of each host goes: each of four reaches about as many times as
    /// far as the one before. Odd, so that strides do not coincide.
    fn stride(&self, dial: usize) -> usize {
        let root = self.hosts.isqrt().isqrt().max(2);
        root.saturating_pow(u32::try_from(dial).unwrap_or(u32::MAX)) | 1
    }

    /// Whether there is a wall between `a` and `b`.
    fn is_walled(&self, a: usize, b: usize) -> bool {
        self.walls.contains(&(Peer(a), Peer(b))) || self.walls.contains(&(Peer(b), Peer(a)))
    }

    /// Whether `a` and `b` speak a version in common.
    fn understand(&self, a: usize, b: usize) -> bool {
        let own = |host: usize| self.own.get(&Peer(host)).and_then(|own| own.versions);
        let speaks = |host| own(host).unwrap_or(self.versions);
        speaks(a).common(speaks(b)).is_some()
    }

    /// Whether all hosts come together by the dials that they are told to make, walls or not.
    pub fn is_joined(&self) -> bool {
        let dials = |a: usize, b: usize| {
            self.targets(a).contains(&b) && !self.is_walled(a, b) && self.understand(a, b)
        };
        let mut joined = BTreeSet::from([0]);
        let mut to_visit = vec![0];
        while let Some(host) = to_visit.pop() {
            for other in (0..self.hosts).filter(|other| dials(host, *other) || dials(*other, host))
            {
                if joined.insert(other) {
                    to_visit.push(other);
                }
            }
        }
        joined.len() == self.hosts
    }

    /// Whether no two sides of the hosts can each found a mesh: any two majorities of as many
    /// voters as they are told have one of them in common.
    pub fn founds_once(&self) -> bool {
        let (voting, majority) = self.majority();
        voting == 0 || 2 * majority > voting
    }

    /// How many hosts vote, and how few of them found a mesh.
    pub(crate) fn majority(&self) -> (usize, usize) {
        let own = |host: usize| self.own.get(&Peer(host));
        let voting = (0..self.hosts).filter(|host| own(*host).is_none_or(|own| !own.observer));
        let told = |host| own(host).and_then(|own| own.voters).unwrap_or(self.voters);
        let majority = voting.clone().map(|host| told(host) / 2 + 1).min();
        (voting.count(), majority.unwrap_or(usize::MAX))
    }

    /// Settings of the node of `host`.
    pub fn config(&self, host: usize, port: u16) -> Config {
        let mut config = Config {
            nickname: Peer(host).to_string(),
            port,
            secret: secret(&self.password),
            universe: self.universe,
            founding: FoundingMode::Consensus { peers: (!self.meets).then_some(self.voters) },
            discovery: self.discovery,
            versions: self.versions,
            ..Config::default()
        };
        config = self.limits.apply(config);
        match self.own.get(&Peer(host)) {
            Some(own) => own.apply(config),
            None => config,
        }
    }

    /// Whether a node can start with what all are told.
    ///
    /// # Errors
    /// Which setting no node takes.
    pub fn starts_at_all(&self) -> Result<(), String> {
        self.config(self.hosts, PORT).check().map_err(|why| why.to_string())
    }

    /// Whether `host` starts with the others.
    pub fn starts(&self, host: usize) -> bool {
        self.own.get(&Peer(host)).is_none_or(|own| !own.late)
    }

    /// A world in which all hosts have been started, one after the other.
    pub fn start(&self) -> World {
        let mut world = World::new(self);
        for host in (0..self.hosts).filter(|host| self.starts(*host)) {
            world.boot(host);
        }
        world
    }

    /// Longest time a healed mesh may take to settle: the longest wait for a dial and half of it to
    /// spare, noticing a dead link, and a comparison of records for each hop.
    pub fn settle_max(&self) -> Duration {
        let config = Config::default();
        let hops = u32::try_from(self.hosts).unwrap_or(1).min(4);
        config.dial_wait_max.mul_f64(1.5)
            + config.silence_max * 2
            + config.reconcile_wait * hops
            + Duration::from_secs(20)
    }
}

/// Names of peers as people write them: `0a:1b:2c:3d:4e:5f`.
mod name {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use weft_core::id::PeerName;

    pub(super) fn serialize<S: Serializer>(
        name: &Option<PeerName>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match name {
            None => serializer.serialize_none(),
            Some(name) => serializer.collect_str(name),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PeerName>, D::Error> {
        String::deserialize(deserializer)?.parse().map(Some).map_err(de::Error::custom)
    }
}

/// Ranges of versions as people write them: `[1, 2]`.
pub(crate) mod versions {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
    use weft_core::config::Versions;

    pub(crate) fn serialize<S: Serializer>(
        versions: &Option<Versions>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        versions.map(|it| (it.oldest(), it.newest())).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Versions>, D::Error> {
        let (oldest, newest) = Deserialize::deserialize(deserializer)?;
        Versions::as_if(oldest, newest).map(Some).map_err(de::Error::custom)
    }
}

/// What `password` comes to here. Stretching it as production does would cost more than all of a
/// run, and tests nothing that is simulated.
pub(super) fn secret(password: &str) -> Option<NetworkSecret> {
    if password.is_empty() {
        return None;
    }
    let half = Fingerprint::of(password.as_bytes()).0;
    let mut secret = [0; 32];
    for (to, from) in secret.iter_mut().zip(half.iter().cycle()) {
        *to = *from;
    }
    Some(NetworkSecret::Password(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialing(dials: &[usize]) -> Own {
        Own { dials: Some(dials.iter().copied().map(Peer).collect()), ..Own::default() }
    }

    #[test]
    fn hosts_come_together_by_dials_in_either_direction_and_not_through_walls() {
        let mut setup = Setup::new(0, 3);
        setup.own = BTreeMap::from([
            (Peer(0), dialing(&[])),
            (Peer(1), dialing(&[0])),
            (Peer(2), dialing(&[1])),
        ]);
        assert!(setup.is_joined());
        setup.walls.push((Peer(1), Peer(0)));
        assert!(!setup.is_joined());
        setup.walls.clear();
        let stranger = Own { versions: Versions::as_if(2, 3).ok(), ..dialing(&[0]) };
        setup.own.insert(Peer(1), stranger);
        assert!(!setup.is_joined());
        setup.versions = Versions::as_if(1, 2).unwrap();
        assert!(setup.is_joined());
    }

    #[test]
    fn who_dials_few_others_dials_near_and_far_ones_and_all_come_together() {
        let setup = Setup { dials: Some(4), ..Setup::new(0, 100) };
        assert_eq!(setup.targets(99), [0, 2, 8, 26]);
        assert!(setup.is_joined());
        let two = Setup { dials: Some(4), ..Setup::new(0, 2) };
        assert_eq!(two.targets(0), [1]);
    }

    #[test]
    fn a_majority_of_too_few_founds_twice() {
        let mut setup = Setup::new(0, 3);
        assert!(setup.founds_once());
        setup.voters = 1;
        assert!(!setup.founds_once());
        for peer in [Peer(1), Peer(2)] {
            setup.own.insert(peer, Own { observer: true, ..Own::default() });
        }
        assert!(setup.founds_once());
    }
}
