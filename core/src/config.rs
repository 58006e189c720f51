//! Every knob of a node, with its unit, its default and its reason.

use crate::addr::Universe;
use crate::conn::Target;
use crate::id::{PeerId, PeerName};
use crate::ipam::founding::SEEDS_MAX;
use crate::names::{NAMES_MAX, PAGE_LEN_MAX};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How a node is set up. Checked once, in [`crate::node::Node::new`]. Written down without its
/// secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The 48-bit name, when the operator chose one; else it follows from the identity.
    pub name: Option<PeerName>,
    /// A label for people, at most 63 bytes; the host's name by default.
    pub nickname: String,
    /// Control port (TCP) and sleeve port (UDP) of this node; also what a target without a port
    /// means. Source: Weave Net, 6783.
    pub port: u16,
    /// What all peers of the mesh share, from a password or a key file; `None` leaves links
    /// unauthenticated and frames in the clear.
    #[serde(skip)]
    pub secret: Option<NetworkSecret>,
    /// A second secret, for peers that do not have `secret` yet: both are valid while a mesh changes
    /// from this one to that.
    #[serde(skip)]
    pub old_secret: Option<NetworkSecret>,
    /// The peers that this one has to do with; everybody who has the secret when `None`. The same on
    /// all peers.
    pub allowed: Option<BTreeSet<PeerId>>,
    /// The addresses that the mesh divides.
    pub universe: Universe,
    /// Where an allocation without a subnet comes from: at most one part of each block of the
    /// universe. A block of which none is given is taken as a whole.
    pub default_subnets: Vec<IpNet>,
    /// How ownership of the universe is first decided.
    pub founding: FoundingMode,
    /// Peers to dial from the start.
    pub targets: Vec<Target>,
    /// Whether to dial also the targets that were saved.
    pub resume: bool,
    /// Whether to dial peers that were only heard of, and neighbours of the run before. Off:
    /// configured targets only.
    pub discovery: bool,
    /// Most control links at once; more are refused. Weave Net: 200.
    pub conns_max: usize,
    /// Time between two heartbeats on an idle control link. Shorter than a third of `silence_max`,
    /// so that one lost beat does not kill a link.
    pub heartbeat_wait: Duration,
    /// A control link that brought nothing for this long is closed. Weave Net: 60 s; here short
    /// enough for a dead peer to be noticed within 15 s.
    pub silence_max: Duration,
    /// A handshake that takes longer is given up. Weave Net: 10 s.
    pub handshake_max: Duration,
    /// A link changes its keys and those of its data session this often, so that who takes over a peer
    /// can read of what it recorded before no more than about this; one that does not change its own is
    /// closed after three times as long. A data session on demand that is in use is followed by another one after it.
    pub rekey_wait: Duration,
    /// First wait after a failed dial; doubles up to `dial_wait_max`, and each wait drawn is 0.5 to
    /// 1.5 times that, but no longer than the longest. Weave Net: 2 s.
    pub dial_wait_min: Duration,
    /// Largest wait between two dials of one target, in however large a mesh; it is 4 s for
    /// each peer in reach, if that is less. Weave Net: 6 min, which users felt as
    /// "never"; 60 s keeps a fleet quiet all the same.
    pub dial_wait_max: Duration,
    /// Two neighbours compare all their records this often, and when a link comes up.
    pub reconcile_wait: Duration,
    /// Time between two probes of a data path that is not proven, and of one that is.
    pub probe_wait: ProbeWait,
    /// A data path that answered no probe for this long is down.
    pub probe_silence_max: Duration,
    /// Most peers with which there are data sessions besides those of links; those that were not wanted
    /// for longest give way. A session takes about 4 KiB, and a few probes a second while it is used.
    pub sessions_max: usize,
    /// A data session that no link brings is dropped when no frame went either way for this long. Longer
    /// than what programs leave between two packets of one connection, mostly.
    pub session_idle_max: Duration,
    /// A burst of topology changes is answered by one calculation of routes, this much later.
    pub routes_wait: Duration,
    /// An allocation that cannot be met within this time is answered with the reason.
    pub allocate_max: Duration,
    /// Largest message on a control link, in bytes, before it is decoded.
    pub message_len_max: usize,
    /// Most records kept, own and others'. Beyond it, new keys are refused and counted. A quarter of
    /// this and of `records_len_max` is kept for records about ownership.
    pub records_max: usize,
    /// Most bytes of records kept, as they are sent. Bounds memory where single records are long: one may
    /// take 256 KiB, so that `records_max` alone would allow for 25 GB.
    pub records_len_max: usize,
    /// Most commands that wait at once; more are answered at once with what they would wait for.
    /// Bounds memory and the work of each call, which looks at all of them.
    pub waiting_max: usize,
    /// Most names registered here, at most [`NAMES_MAX`](crate::names::NAMES_MAX).
    pub names_max: usize,
    /// Most of them on one page, at most [`PAGE_LEN_MAX`](crate::names::PAGE_LEN_MAX), which others hold us to.
    pub names_page_max: usize,
    /// Times that a frame may be relayed from peer to peer.
    pub hops_max: u8,
    /// Versions of the protocol that it speaks: all that its code knows. No operator chooses them, so
    /// they are not written down.
    #[serde(skip)]
    pub versions: Versions,
}

/// Versions of the protocol between peers, from an oldest to a newest; never none.
///
/// Two peers speak the highest that both know. Version 1 is the only one that there is; see
/// [`Versions::as_if`] for how meshes of several are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    oldest: u8,
    newest: u8,
}

impl Versions {
    /// Those that this code knows.
    pub const KNOWN: Self = Self { oldest: 1, newest: 1 };

    /// Those of a peer whose code is older or newer than this one, so that tests can have several
    /// generations in one mesh. Whatever version such a peer agrees on, it does as this code does.
    /// The lints keep whoever is no test from calling this.
    ///
    /// # Errors
    /// When the oldest is above the newest.
    pub const fn as_if(oldest: u8, newest: u8) -> Result<Self, ConfigError> {
        if oldest > newest {
            return Err(ConfigError::Versions { oldest, newest });
        }
        Ok(Self { oldest, newest })
    }

    /// The first that is spoken.
    pub const fn oldest(self) -> u8 {
        self.oldest
    }

    /// The last that is spoken.
    pub const fn newest(self) -> u8 {
        self.newest
    }

    /// Whether `version` is one of them.
    pub const fn contains(self, version: u8) -> bool {
        self.oldest <= version && version <= self.newest
    }

    /// The highest that both know; `None` when there is none.
    pub fn common(self, other: Self) -> Option<u8> {
        let highest = self.newest.min(other.newest);
        (highest >= self.oldest.max(other.oldest)).then_some(highest)
    }
}

impl Default for Versions {
    fn default() -> Self {
        Self::KNOWN
    }
}

/// Waits between probes of a data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeWait {
    /// The longest while the path is not proven; the first ones are shorter. Weave Net's fast
    /// heartbeat: 500 ms; shorter here, since it bounds how soon traffic flows after a peer returns.
    pub unproven: Duration,
    /// Once it is. Weave Net's slow heartbeat: 10 s; shorter here, to notice a dead path in time.
    pub proven: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            nickname: String::new(),
            port: 6783,
            secret: None,
            old_secret: None,
            allowed: None,
            universe: Universe::DEFAULT,
            default_subnets: Vec::new(),
            founding: FoundingMode::Consensus { peers: None },
            targets: Vec::new(),
            resume: false,
            discovery: true,
            conns_max: 200,
            heartbeat_wait: Duration::from_secs(3),
            silence_max: Duration::from_secs(10),
            handshake_max: Duration::from_secs(5),
            rekey_wait: Duration::from_secs(5 * 60),
            dial_wait_min: Duration::from_millis(500),
            dial_wait_max: Duration::from_secs(60),
            reconcile_wait: Duration::from_secs(10),
            probe_wait: ProbeWait {
                unproven: Duration::from_millis(250),
                proven: Duration::from_secs(3),
            },
            probe_silence_max: Duration::from_secs(10),
            sessions_max: 1_024,
            session_idle_max: Duration::from_secs(2 * 60),
            routes_wait: Duration::from_millis(20),
            allocate_max: Duration::from_secs(2),
            message_len_max: 1 << 20,
            records_max: 100_000,
            records_len_max: 64 << 20,
            waiting_max: 1024,
            names_max: NAMES_MAX,
            names_page_max: PAGE_LEN_MAX,
            hops_max: 16,
            versions: Versions::KNOWN,
        }
    }
}

/// How ownership of the universe is first decided, when no peer in reach knows of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FoundingMode {
    /// A majority of `peers` must agree; without a count, of the targets given and this node.
    Consensus {
        /// Number of peers that start together.
        peers: Option<usize>,
    },
    /// It is divided among these, as all of them were told; nobody needs to be asked.
    Seeds(BTreeSet<PeerId>),
    /// Never propose and never vote: wait for others to decide. What a peer that lost its disk needs
    /// to be: its old vote may still count, and with another one under its new identity the mesh
    /// could be founded twice.
    Observer,
}

/// 32 bytes that all peers of a mesh share, and where they come from.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub enum NetworkSecret {
    /// What a password was stretched to ([`crate::handshake::stretch`]).
    Password([u8; 32]),
    /// What is in a key file: random, so that nobody can guess it.
    Key([u8; 32]),
}

impl NetworkSecret {
    /// The secret itself.
    pub const fn bytes(&self) -> &[u8; 32] {
        match self {
            Self::Password(bytes) | Self::Key(bytes) => bytes,
        }
    }

    /// Where it comes from.
    pub const fn kind(&self) -> SecretKind {
        match self {
            Self::Password(_) => SecretKind::Password,
            Self::Key(_) => SecretKind::Key,
        }
    }
}

impl core::fmt::Debug for NetworkSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("NetworkSecret(..)")
    }
}

/// Where a [`NetworkSecret`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum SecretKind {
    /// A password.
    Password,
    /// A key file.
    Key,
}

impl SecretKind {
    /// The option of `weft launch` that gives one.
    pub const fn option(self) -> &'static str {
        match self {
            Self::Password => "--password",
            Self::Key => "--key-file",
        }
    }
}

impl core::fmt::Display for SecretKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Password => "password",
            Self::Key => "key file",
        })
    }
}

/// Longest nickname, in bytes: that of a label in DNS, which host names are made of.
pub const NICKNAME_LEN_MAX: usize = 63;

/// Whether `text` can be a peer's label for people: not empty, not too long, and harmless to a
/// terminal.
pub fn is_nickname(text: &str) -> bool {
    (1..=NICKNAME_LEN_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// What is wrong with a [`Config`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Too few beats fit into the silence.
    #[error("heartbeat {beat:?} must be shorter than a third of the longest silence {silence:?}")]
    Heartbeat {
        /// `heartbeat_wait`.
        beat: Duration,
        /// `silence_max`.
        silence: Duration,
    },
    /// The nickname is empty, too long, or has control characters.
    #[error("nickname {0:?} must be 1 to 63 bytes without control characters")]
    Nickname(String),
    /// The default subnet lies outside.
    #[error(
        "default subnet {subnet} is not inside the range {universe}: give a part of that as --ipalloc-default-subnet, or another --ipalloc-range"
    )]
    DefaultSubnet {
        /// One of `default_subnets`.
        subnet: IpNet,
        /// `universe`.
        universe: Universe,
    },
    /// Two default subnets of one family.
    #[error("{one} and {other} cannot both be the default subnet: give one of each family at most")]
    DefaultSubnets {
        /// One of `default_subnets`.
        one: IpNet,
        /// Another one.
        other: IpNet,
    },
    /// A wait of no length would be due for ever.
    #[error("{0} must be longer than zero")]
    NoWait(&'static str),
    /// An old secret without a new one.
    #[error("an old secret is given without a new one: give the old one as the only one")]
    OldSecretAlone,
    /// A founding for nobody.
    #[error("a first division needs at least one peer to divide among")]
    Seeds,
    /// A founding for more than it may name.
    #[error(
        "a first division is among {SEEDS_MAX} peers at most, not {0}: leave some out, they are given addresses when they ask"
    )]
    TooManySeeds(usize),
    /// A founding with zero peers.
    #[error("consensus needs at least one peer, not {0}")]
    Peers(usize),
    /// A founding that waits for more peers than may vote.
    #[error(
        "consensus is among {SEEDS_MAX} peers at most, not {0}: say how many there are at first, all others are given addresses when they ask"
    )]
    TooManyPeers(usize),
    /// No range of versions.
    #[error("protocol versions {oldest} to {newest} are none: expected the oldest first")]
    Versions {
        /// The first.
        oldest: u8,
        /// The last.
        newest: u8,
    },
}

impl Config {
    /// Checks what the types do not: ranges, and relations between fields.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), ConfigError> {
        let waits = [
            ("heartbeat", self.heartbeat_wait),
            ("longest handshake", self.handshake_max),
            ("wait between changes of keys", self.rekey_wait),
            ("shortest wait between dials", self.dial_wait_min),
            ("longest wait between dials", self.dial_wait_max),
            ("wait between comparisons of records", self.reconcile_wait),
            ("wait between probes of an unproven path", self.probe_wait.unproven),
            ("wait between probes of a proven path", self.probe_wait.proven),
            ("longest silence of a path", self.probe_silence_max),
            ("longest time in which a session is not used", self.session_idle_max),
            ("wait before routes are calculated", self.routes_wait),
            ("longest allocation", self.allocate_max),
        ];
        if let Some((name, _)) = waits.iter().find(|(_, wait)| wait.is_zero()) {
            return Err(ConfigError::NoWait(name));
        }
        if self.heartbeat_wait.saturating_mul(3) >= self.silence_max {
            return Err(ConfigError::Heartbeat {
                beat: self.heartbeat_wait,
                silence: self.silence_max,
            });
        }
        if !is_nickname(&self.nickname) {
            return Err(ConfigError::Nickname(self.nickname.clone()));
        }
        self.check_subnets()?;
        if self.secret.is_none() && self.old_secret.is_some() {
            return Err(ConfigError::OldSecretAlone);
        }
        match self.founding {
            FoundingMode::Consensus { peers: Some(0) } => Err(ConfigError::Peers(0)),
            FoundingMode::Consensus { peers: Some(peers) } if peers > SEEDS_MAX => {
                Err(ConfigError::TooManyPeers(peers))
            }
            FoundingMode::Seeds(ref seeds) if seeds.is_empty() => Err(ConfigError::Seeds),
            FoundingMode::Seeds(ref seeds) if seeds.len() > SEEDS_MAX => {
                Err(ConfigError::TooManySeeds(seeds.len()))
            }
            FoundingMode::Consensus { .. } | FoundingMode::Seeds(_) | FoundingMode::Observer => {
                Ok(())
            }
        }
    }

    fn check_subnets(&self) -> Result<(), ConfigError> {
        for (n, &subnet) in self.default_subnets.iter().enumerate() {
            if self.universe.subrange(subnet).is_none() {
                return Err(ConfigError::DefaultSubnet { subnet, universe: self.universe });
            }
            let is_alike = |one: &&IpNet| one.addr().is_ipv4() == subnet.addr().is_ipv4();
            if let Some(&one) = self.default_subnets.iter().take(n).find(is_alike) {
                return Err(ConfigError::DefaultSubnets { one, other: subnet });
            }
        }
        Ok(())
    }

    /// Where an allocation without a subnet comes from: of each of these one address.
    pub fn subnets(&self) -> Vec<IpNet> {
        let given = |block: IpNet| {
            self.default_subnets.iter().copied().find(|subnet| block.contains(subnet))
        };
        self.universe.blocks().map(|block| given(block).unwrap_or(block)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_ranges_the_highest_common_version_is_spoken_and_maybe_none() {
        let range = |oldest, newest| Versions::as_if(oldest, newest).unwrap();
        for (ours, theirs, common) in [
            (range(1, 1), range(1, 1), Some(1)),
            (range(1, 2), range(1, 1), Some(1)),
            (range(1, 3), range(2, 5), Some(3)),
            (range(2, 2), range(1, 255), Some(2)),
            (range(1, 1), range(2, 2), None),
            (range(1, 4), range(5, 255), None),
        ] {
            assert_eq!(ours.common(theirs), common);
            assert_eq!(theirs.common(ours), common);
        }
    }

    #[test]
    fn consensus_is_among_no_more_peers_than_a_founding_can_name() {
        let checked = |peers| {
            let founding = FoundingMode::Consensus { peers: Some(peers) };
            Config { nickname: String::from("a"), founding, ..Config::default() }.check()
        };
        assert_eq!(checked(SEEDS_MAX), Ok(()));
        assert_eq!(checked(SEEDS_MAX + 1), Err(ConfigError::TooManyPeers(SEEDS_MAX + 1)));
    }

    #[test]
    fn a_range_without_a_version_is_none() {
        let refused = Err(ConfigError::Versions { oldest: 2, newest: 1 });
        assert_eq!(Versions::as_if(2, 1), refused);
    }
}
