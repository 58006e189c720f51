//! What can be seen of a world from outside, by whoever writes a scenario.

use crate::check::{PeerView, View};
use crate::host::report::Report;
use crate::peer::Peer;
use crate::world::{Counted, container, name_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use weft_core::names::NameValue;

/// Something that is seen, or not. Where `peers` are none, all that run are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "see", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Sight {
    /// Nodes run.
    Running {
        /// Whose.
        peers: BTreeSet<Peer>,
    },
    /// Each of `peers` has a control link with each of `with`.
    Linked {
        /// These…
        peers: BTreeSet<Peer>,
        /// …with those.
        with: BTreeSet<Peer>,
    },
    /// Frames of each of `peers` go straight to each of `with`, though no link leads there.
    Direct {
        /// These…
        peers: BTreeSet<Peer>,
        /// …to those.
        with: BTreeSet<Peer>,
    },
    /// Each of `peers` knows a way to each of `with`, over others if need be.
    Reaches {
        /// These…
        peers: BTreeSet<Peer>,
        /// …those.
        with: BTreeSet<Peer>,
    },
    /// Each of `peers` has a link with each of `with`, on which they speak this version.
    Speaks {
        /// These…
        peers: BTreeSet<Peer>,
        /// …with those.
        with: BTreeSet<Peer>,
        /// Which.
        version: u8,
    },
    /// The universe is founded.
    Founded {
        /// As these know.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        peers: BTreeSet<Peer>,
    },
    /// Addresses that a peer owns can be handed out.
    Ready {
        /// At these.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        peers: BTreeSet<Peer>,
    },
    /// A peer owns at least so many addresses.
    Owns {
        /// Each of these.
        peers: BTreeSet<Peer>,
        /// Addresses.
        least: u64,
    },
    /// A ledger has few entries.
    Entries {
        /// That of each of these.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        peers: BTreeSet<Peer>,
        /// So many at most.
        most: usize,
    },
    /// A container has an address.
    Holds {
        /// Where it is.
        peer: Peer,
        /// Which.
        container: String,
        /// Just this one; else any.
        #[serde(
            default,
            deserialize_with = "crate::address::optional",
            skip_serializing_if = "Option::is_none"
        )]
        address: Option<IpAddr>,
    },
    /// The name of a container is answered.
    Answers {
        /// By these.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        peers: BTreeSet<Peer>,
        /// Whose name.
        container: String,
        /// With just so many addresses; else with any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        addresses: Option<usize>,
        /// With just so many services and texts; else with any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        others: Option<usize>,
    },
    /// Peers have equal ledgers.
    SameLedger {
        /// These.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        peers: BTreeSet<Peer>,
    },
    /// What each sends to others, frames of containers left out, on average from here on.
    Traffic {
        /// These.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        peers: BTreeSet<Peer>,
        /// Bytes in a second, at most.
        most: u64,
        /// For so long.
        #[serde(with = "crate::duration")]
        over: Duration,
    },
    /// How often each node has something to do, on average from here on.
    Calls {
        /// These.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        peers: BTreeSet<Peer>,
        /// Times in a second, at most.
        most: u64,
        /// For so long.
        #[serde(with = "crate::duration")]
        over: Duration,
    },
    /// How often each peer says something else of itself, on average from here on.
    Updates {
        /// These.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        peers: BTreeSet<Peer>,
        /// Times in a second, at most.
        most: u64,
        /// For so long.
        #[serde(with = "crate::duration")]
        over: Duration,
    },
    /// How many frames each relays for others, on average from here on.
    Relays {
        /// These.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        peers: BTreeSet<Peer>,
        /// Frames in a second, at most.
        most: u64,
        /// For so long.
        #[serde(with = "crate::duration")]
        over: Duration,
    },
    /// How many datagrams with frames each did not take, on average from here on, of those that came
    /// through whole: one that comes twice counts once.
    Misses {
        /// These.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        peers: BTreeSet<Peer>,
        /// Datagrams in a second, at most.
        most: u64,
        /// For so long.
        #[serde(with = "crate::duration")]
        over: Duration,
    },
    /// A node has told of trouble of this kind since the world began.
    Reports {
        /// Each of these.
        peers: BTreeSet<Peer>,
        /// Which.
        what: Report,
    },
    /// A node keeps so many records at most, its own and others'.
    Keeps {
        /// Each of these.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        peers: BTreeSet<Peer>,
        /// Records.
        most: usize,
    },
    /// A container gets an answer when it pings another by name; it tries again and again.
    Pings {
        /// Where it is.
        peer: Peer,
        /// Which.
        container: String,
        /// Whom, anywhere.
        to: String,
    },
}

impl fmt::Display for Sight {
    /// As in a scenario file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        toml::Value::try_from(self).map_err(|_| fmt::Error)?.fmt(f)
    }
}

impl Sight {
    /// Whether it is seen in `view`.
    ///
    /// # Errors
    /// Says what is missing, and where.
    pub fn judge(&self, view: &View) -> Result<(), String> {
        match self {
            Self::Running { peers } => {
                each(
                    view,
                    peers,
                    |peer| {
                        if peer.live { Ok(()) } else { Err("does not run".to_owned()) }
                    },
                )
            }
            Self::Linked { peers, with } => pairs(view, peers, with, |peer, other| {
                let linked = other.id.is_some_and(|id| peer.conns.contains_key(&id));
                if linked { Ok(()) } else { Err("has no link with") }
            }),
            Self::Direct { peers, with } => pairs(view, peers, with, |peer, other| {
                let is_direct = other.id.is_some_and(|id| peer.direct.contains(&id));
                if is_direct { Ok(()) } else { Err("sends frames by way of others to") }
            }),
            Self::Reaches { peers, with } => pairs(view, peers, with, |peer, other| {
                let reached = other.id.is_some_and(|id| peer.reachable.contains_key(&id));
                if reached { Ok(()) } else { Err("knows no way to") }
            }),
            Self::Founded { peers } => each(view, peers, |peer| match peer.lineage {
                Some(_) => Ok(()),
                None => Err("knows of no founding".to_owned()),
            }),
            Self::Ready { peers } => each(view, peers, |peer| {
                if peer.gate_open { Ok(()) } else { Err("hands out no addresses".to_owned()) }
            }),
            Self::Owns { peers, least } => each(view, peers, |peer| {
                let own = peer.ledger.iter().flatten().filter(|it| Some(it.owner) == peer.id);
                let owned: u128 = own.map(|it| it.range.size()).sum();
                if owned >= u128::from(*least) { Ok(()) } else { Err(format!("owns {owned}")) }
            }),
            Self::Holds { peer, container: id, address } => {
                let held = one(view, *peer)?.held.get(&container(id));
                let mut held = held.into_iter().flatten();
                if held.any(|net| address.is_none_or(|address| address == net.addr())) {
                    return Ok(());
                }
                let what = address.map_or("no address".to_owned(), |it| format!("not {it}"));
                Err(format!("{id} on {peer} has {what}"))
            }
            Self::Answers { peers, container: id, addresses, others } => {
                let name = name_of(&container(id));
                each(view, peers, |peer| {
                    let known = peer.names.iter().map(|known| &known.entry);
                    let known: BTreeSet<&NameValue> = known
                        .filter(|entry| entry.name.as_str() == name)
                        .map(|entry| &entry.value)
                        .collect();
                    let is_any_wanted = match (addresses, others) {
                        (None, None) => true,
                        (addresses, others) => [addresses, others].iter().any(|it| **it > Some(0)),
                    };
                    if known.is_empty() && is_any_wanted {
                        return Err(format!("does not answer {name}"));
                    }
                    let found = known.iter().filter(|value| value.address().is_some()).count();
                    for (kind, wanted, found) in [
                        ("addresses", addresses, found),
                        ("services and texts", others, known.len() - found),
                    ] {
                        if let Some(wanted) = wanted
                            && found != *wanted
                        {
                            return Err(format!(
                                "answers {name} with {found} {kind}, not {wanted}"
                            ));
                        }
                    }
                    Ok(())
                })
            }
            Self::Entries { peers, most } => each(view, peers, |peer| {
                let entries = peer.ledger.as_ref().map_or(0, Vec::len);
                if entries <= *most { Ok(()) } else { Err(format!("has {entries} entries")) }
            }),
            Self::SameLedger { peers } => {
                let mut first = None;
                each(view, peers, |peer| {
                    let ledger = peer.ledger.as_ref().ok_or_else(|| "has no ledger".to_owned())?;
                    if *first.get_or_insert(ledger) == ledger {
                        Ok(())
                    } else {
                        Err("has another ledger than the first of them".to_owned())
                    }
                })
            }
            // Whoever looks has to ask the nodes.
            Self::Speaks { version, .. } => Err(format!("version {version} is not spoken")),
            // Whoever looks has to count.
            Self::Traffic { .. }
            | Self::Calls { .. }
            | Self::Updates { .. }
            | Self::Relays { .. }
            | Self::Misses { .. } => Ok(()),
            Self::Reports { peers, what } => each(view, peers, |peer| {
                let told = peer.reports.contains(what);
                if told { Ok(()) } else { Err(format!("has told of no {what}")) }
            }),
            Self::Keeps { peers, most } => each(view, peers, |peer| {
                let kept = peer.kept;
                if kept <= *most { Ok(()) } else { Err(format!("keeps {kept} records")) }
            }),
            // Whoever looks has to send something for it.
            Self::Pings { container: id, to, .. } => Err(format!("{to} does not answer {id}")),
        }
    }

    /// What is counted, how much of it there may be in a second, and for how long; `None` for what
    /// is seen at once.
    pub const fn budget(&self) -> Option<(Counted, u64, Duration)> {
        match self {
            Self::Traffic { most, over, .. } => Some((Counted::Bytes, *most, *over)),
            Self::Calls { most, over, .. } => Some((Counted::Calls, *most, *over)),
            Self::Updates { most, over, .. } => Some((Counted::Updates, *most, *over)),
            Self::Relays { most, over, .. } => Some((Counted::Relayed, *most, *over)),
            Self::Misses { most, over, .. } => Some((Counted::Missed, *most, *over)),
            Self::Running { .. }
            | Self::Linked { .. }
            | Self::Direct { .. }
            | Self::Reaches { .. }
            | Self::Speaks { .. }
            | Self::Founded { .. }
            | Self::Ready { .. }
            | Self::Owns { .. }
            | Self::Holds { .. }
            | Self::Entries { .. }
            | Self::Answers { .. }
            | Self::SameLedger { .. }
            | Self::Reports { .. }
            | Self::Keeps { .. }
            | Self::Pings { .. } => None,
        }
    }

    /// Hosts that it names.
    pub fn peers(&self) -> BTreeSet<Peer> {
        match self {
            Self::Running { peers }
            | Self::Founded { peers }
            | Self::Ready { peers }
            | Self::Owns { peers, .. }
            | Self::Entries { peers, .. }
            | Self::Answers { peers, .. }
            | Self::SameLedger { peers }
            | Self::Traffic { peers, .. }
            | Self::Calls { peers, .. }
            | Self::Updates { peers, .. }
            | Self::Relays { peers, .. }
            | Self::Misses { peers, .. }
            | Self::Reports { peers, .. }
            | Self::Keeps { peers, .. } => peers.clone(),
            Self::Linked { peers, with }
            | Self::Direct { peers, with }
            | Self::Reaches { peers, with }
            | Self::Speaks { peers, with, .. } => peers | with,
            Self::Holds { peer, .. } | Self::Pings { peer, .. } => [*peer].into(),
        }
    }
}

fn one(view: &View, peer: Peer) -> Result<&PeerView, String> {
    view.peers.get(peer.0).ok_or_else(|| format!("there is no {peer}"))
}

/// Judges each of `peers`, or each that runs when none is named.
fn each<'a>(
    view: &'a View,
    peers: &BTreeSet<Peer>,
    mut judge: impl FnMut(&'a PeerView) -> Result<(), String>,
) -> Result<(), String> {
    let all: BTreeSet<Peer> = view.live().map(|(host, _)| Peer(host)).collect();
    let meant = if peers.is_empty() { &all } else { peers };
    meant
        .iter()
        .try_for_each(|peer| judge(one(view, *peer)?).map_err(|why| format!("{peer} {why}")))
}

/// Judges each of `peers` together with each of `with`, except itself.
fn pairs(
    view: &View,
    peers: &BTreeSet<Peer>,
    with: &BTreeSet<Peer>,
    judge: impl Fn(&PeerView, &PeerView) -> Result<(), &'static str>,
) -> Result<(), String> {
    for peer in peers {
        for other in with.iter().filter(|other| *other != peer) {
            judge(one(view, *peer)?, one(view, *other)?)
                .map_err(|why| format!("{peer} {why} {other}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Setup;

    fn sight(text: &str) -> Sight {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_so_is_seen_and_what_is_not_so_is_said() {
        let mut world = Setup::new(1, 2).start();
        world.attach(0, "c1").unwrap();
        world.run_for(Duration::from_secs(5)).unwrap();
        let view = world.look();
        for seen in [
            "see = 'running'\npeers = ['n1', 'n2']",
            "see = 'linked'\npeers = ['n1']\nwith = ['n1', 'n2']",
            "see = 'reaches'\npeers = ['n2']\nwith = ['n1']",
            "see = 'founded'",
            "see = 'ready'",
            "see = 'owns'\npeers = ['n2']\nleast = 100",
            "see = 'holds'\npeer = 'n1'\ncontainer = 'c1'",
            "see = 'answers'\ncontainer = 'c1'",
            "see = 'answers'\ncontainer = 'c1'\naddresses = 1",
            "see = 'entries'\nmost = 2",
            "see = 'same-ledger'",
            "see = 'keeps'\nmost = 20",
        ] {
            assert_eq!(sight(seen).judge(view), Ok(()), "{seen}");
        }
        for (unseen, why) in [
            ("see = 'running'\npeers = ['n3']", "there is no n3"),
            ("see = 'owns'\npeers = ['n2']\nleast = 200", "n2 owns 128"),
            ("see = 'holds'\npeer = 'n2'\ncontainer = 'c1'", "c1 on n2 has no address"),
            ("see = 'entries'\nmost = 1", "n1 has 2 entries"),
            (
                "see = 'answers'\ncontainer = 'c1'\naddresses = 2",
                "n1 answers c1.weft.local with 1 addresses, not 2",
            ),
            (
                "see = 'reports'\npeers = ['n1']\nwhat = 'record-full'",
                "n1 has told of no record-full",
            ),
            ("see = 'answers'\ncontainer = 'c2'", "n1 does not answer c2.weft.local"),
        ] {
            assert_eq!(sight(unseen).judge(view), Err(why.to_owned()), "{unseen}");
        }
    }
}
