//! The boot gate: `ipam.gate`.

use super::ledgers::knows_all;
use super::papers;
use super::{Invariant, Owned, PeerView, View, When};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use weft_core::id::PeerId;
use weft_core::record::Key;

/// After a start on a disk with a founding, a peer hands out and gives away nothing before it has
/// met another owner and knows all that this one knew when they met; or it owns everything, or its
/// operator said so.
///
/// What the node itself says of its gate is not asked.
#[derive(Debug, Default)]
pub(super) struct Gate {
    lives: BTreeMap<usize, Life>,
    /// Grants that were seen anywhere.
    seen: BTreeSet<Key>,
}

/// One life of a node.
#[derive(Debug, Default)]
struct Life {
    boots: u64,
    open: bool,
    /// Addresses that it noted as held.
    noted: BTreeSet<IpAddr>,
    /// What others knew when it met them, and how often they had lost their disks by then.
    met: BTreeMap<PeerId, (u64, Vec<Owned>)>,
    /// Whether it owned everything when it was last looked at.
    was_sole: bool,
}

impl Invariant for Gate {
    fn name(&self) -> &'static str {
        "ipam.gate"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.changed() {
            let Self { lives, seen } = self;
            let held = Some(&peer.papers).filter(|_| peer.live).into_iter();
            let grants = held.chain(&peer.stored).flat_map(papers::grants);
            let fresh = grants.filter(|(key, ..)| seen.insert(*key));
            let gives = fresh.filter(|(_, writer, _)| Some(*writer) == peer.id).count() > 0;
            if !peer.live {
                continue;
            }
            let noted: BTreeSet<IpAddr> =
                peer.noted.values().flatten().map(ipnet::IpNet::addr).collect();
            let life = lives.entry(host).or_default();
            if life.boots != peer.boots {
                // Of a life that has gone on for a while nothing can be told.
                let open = peer.lineage.is_none() || !peer.met.is_empty();
                *life = Life { boots: peer.boots, open, noted, ..Life::default() };
                continue;
            }
            if life.open {
                continue;
            }
            life.look(view, peer);
            life.open |= peer.vouched;
            let is_inside = |address: &&IpAddr| view.universe.offset(**address).is_some();
            let more = noted.difference(&life.noted).find(is_inside).copied();
            let is_sole = owns_all(peer);
            if !(life.open || is_sole || life.was_sole) {
                if let Some(address) = more {
                    return Err(format!(
                        "n{} hands out {address} and has not heard since its start what \
                         any other owner knows",
                        host + 1
                    ));
                }
                if gives {
                    return Err(format!(
                        "n{} gives addresses away and has not heard since its start what any \
                         other owner knows",
                        host + 1
                    ));
                }
            }
            // Who gives what is all its own needs nobody to tell it what it gave.
            life.open |= gives;
            (life.noted, life.was_sole) = (noted, is_sole);
        }
        Ok(())
    }
}

impl Life {
    /// Notes whom the peer has met, and whether it knows what one of them knew then.
    fn look(&mut self, view: &View, peer: &PeerView) {
        for id in &peer.met {
            let Some(other) = view.host_of(*id).and_then(|host| view.peers.get(host)) else {
                continue;
            };
            let known = || (other.losses, other.sure_ledger.clone().unwrap_or_default());
            self.met.entry(*id).or_insert_with(known);
        }
        let Some(ledger) = &peer.ledger else { return };
        self.open = self.met.iter().any(|(id, (losses, known))| {
            let same_disk = || {
                let host = view.host_of(*id).and_then(|host| view.peers.get(host));
                host.is_some_and(|host| host.losses == *losses)
            };
            let owns = ledger.iter().any(|owned| owned.owner == *id);
            owns && (knows_all(ledger, known) || !same_disk())
        });
    }
}

fn owns_all(peer: &PeerView) -> bool {
    let mut ledger = peer.ledger.iter().flatten();
    ledger.all(|owned| Some(owned.owner) == peer.id) && peer.ledger.is_some()
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, fails, grant, holds, id, owned};
    use super::*;

    /// `n1` starts again, and nothing has come up yet.
    fn started(change: impl FnOnce(&mut View)) -> View {
        changed(|view| {
            view.peers[0].boots = 2;
            change(view);
        })
    }

    fn hands_out(view: &mut View) {
        let address = "10.0.0.1/28".parse().unwrap();
        view.peers[0].noted.insert(weft_core::id::ContainerId::dns(), [address].into());
    }

    #[test]
    fn gate_fails_when_an_address_is_handed_out_or_given_before_anybody_was_met() {
        holds::<Gate>(&[started(|_| {}), started(|_| {})]);
        fails::<Gate>(&[started(|_| {}), started(hands_out)]);
        let gives = started(|view| view.peers[0].papers.extend([grant(1, 2, (0, 4), 1)]));
        fails::<Gate>(&[started(|_| {}), gives]);
    }

    #[test]
    fn gate_holds_once_the_peer_knows_what_an_owner_knew_when_they_met() {
        let meets = |view: &mut View| {
            view.peers[0].met = [id(2)].into();
        };
        let met = started(|view| {
            meets(view);
            hands_out(view);
        });
        holds::<Gate>(&[started(|_| {}), started(meets), met.clone()]);
        let behind = |view: &mut View| {
            meets(view);
            view.peers[1].sure_ledger = Some(vec![owned(0, 8, 1, 2), owned(8, 16, 0, 2)]);
        };
        fails::<Gate>(&[started(|_| {}), started(behind), met]);
    }

    #[test]
    fn gate_lets_through_who_owns_everything_and_who_began_without_a_founding() {
        let sole = |view: &mut View| view.peers[0].ledger = Some(vec![owned(0, 16, 0, 1)]);
        let hands_out_all = started(|view| {
            sole(view);
            hands_out(view);
        });
        holds::<Gate>(&[started(sole), hands_out_all]);
        let fresh = started(|view| view.peers[0].lineage = None);
        holds::<Gate>(&[fresh, started(hands_out)]);
    }
}
