//! The boot gate: `ipam.gate`.

use super::ledgers::knows_all;
use super::papers;
use super::{Invariant, PeerView, View, When};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use weft_core::id::PeerId;
use weft_core::record::Key;

/// After a start on a disk with a founding, a peer hands out and gives away nothing before it knows
/// all that some other owner knows of what it has; an owner of which it can have heard, over whichever
/// peers. Or it owns everything, or its operator said so. And what it hands out is its own by all that it
/// was told by then, in whichever order that came.
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
    /// Of whom it can have heard: those it was linked with, those who were linked with these, and so on.
    heard: BTreeSet<PeerId>,
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
        let Self { lives, seen } = self;
        // An answer may be on its way while nothing happens to the one who waits for it.
        for (host, peer) in view.live() {
            if let Some(life) = lives.get_mut(&host).filter(|life| !life.open) {
                life.look(view, peer);
            }
        }
        for (host, peer) in view.changed() {
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
            let owner = |address: &IpAddr| {
                let at = view.universe.offset(*address)?;
                let mut entries = peer.ledger.iter().flatten();
                entries.find(|entry| entry.range.contains(at)).map(|entry| entry.owner)
            };
            let is_foreign =
                |address: &&IpAddr| owner(address).is_some_and(|it| Some(it) != peer.id);
            if let Some(address) = noted.difference(&life.noted).find(is_foreign) {
                return Err(format!("n{} hands out {address}, which is another's", host + 1));
            }
            if life.open {
                life.noted = noted;
                continue;
            }
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
    /// Notes of whom the peer can have heard, and whether one of them knows no more of what it has.
    fn look(&mut self, view: &View, peer: &PeerView) {
        if peer.boots != self.boots {
            return;
        }
        self.heard.extend(&peer.met);
        let mut news: Vec<PeerId> = self.heard.iter().copied().collect();
        while let Some(id) = news.pop() {
            let host = view.host_of(id).and_then(|host| view.peers.get(host));
            let met = host.into_iter().flat_map(|host| &host.met);
            news.extend(met.filter(|other| self.heard.insert(**other)));
        }
        let Some(ledger) = &peer.ledger else { return };
        let mut own = ledger.clone();
        own.retain(|owned| Some(owned.owner) == peer.id);
        let others = view.peers.iter().filter(|other| other.id != peer.id);
        let mut heard = others.filter(|other| other.id.is_some_and(|id| self.heard.contains(&id)));
        self.open = heard.any(|other| {
            let known = other.sure_ledger.as_deref().unwrap_or_default();
            ledger.iter().any(|owned| Some(owned.owner) == other.id) && knows_all(&own, known)
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
    fn gate_fails_when_what_is_handed_out_is_found_to_be_another_peers_by_the_same_message() {
        let late = |change: fn(&mut View)| {
            changed(|view| {
                view.peers[0].lineage = None;
                change(view);
            })
        };
        let told = late(|view| {
            hands_out(view);
            view.peers[0].ledger = Some(vec![owned(0, 16, 1, 2)]);
        });
        fails::<Gate>(&[late(|_| {}), told]);
        holds::<Gate>(&[late(|_| {}), late(hands_out)]);
    }

    #[test]
    fn gate_holds_once_the_peer_can_have_heard_that_nothing_was_given_away() {
        let meets = |view: &mut View| {
            view.peers[0].met = [id(2)].into();
        };
        let met = started(|view| {
            meets(view);
            hands_out(view);
        });
        holds::<Gate>(&[started(|_| {}), started(meets), met.clone()]);
        let knows_better = |view: &mut View| {
            meets(view);
            view.peers[1].sure_ledger = Some(vec![owned(0, 4, 0, 1), owned(4, 16, 1, 2)]);
        };
        let mut late = met;
        knows_better(&mut late);
        fails::<Gate>(&[started(|_| {}), started(knows_better), late.clone()]);
        // What others gave each other is none of its business.
        let knows_others = |view: &mut View| {
            meets(view);
            view.peers[1].sure_ledger = Some(vec![owned(0, 8, 0, 1), owned(8, 16, 1, 3)]);
        };
        holds::<Gate>(&[started(|_| {}), started(knows_others), late]);
    }

    #[test]
    fn gate_lets_through_who_can_have_heard_from_an_owner_over_others() {
        let over = |met: bool| {
            let mut view = started(|view| {
                let between = PeerView { live: true, id: Some(id(3)), boots: 1, ..<_>::default() };
                view.peers.push(between);
                view.peers[0].met = [id(3)].into();
                view.peers[2].met = met.then_some(id(2)).into_iter().collect();
            });
            view.changed = [0].into();
            view
        };
        let mut late = over(true);
        hands_out(&mut late);
        holds::<Gate>(&[started(|_| {}), over(true), late]);
        let mut early = over(false);
        hands_out(&mut early);
        fails::<Gate>(&[started(|_| {}), over(false), early]);
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
