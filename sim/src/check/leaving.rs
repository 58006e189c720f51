//! The rule about leaving: `ipam.left-to-somebody`.

use super::{Invariant, PeerView, View, When};
use std::collections::BTreeSet;
use weft_core::id::PeerId;

/// Whoever is told that it has left may lose its disk in the next moment: so what it owned is somebody
/// else's by a ledger that is on the disk of another host by then.
#[derive(Debug, Default)]
pub(super) struct ToSomebody {
    /// Everybody who ever owned an address by its own ledger.
    owners: BTreeSet<PeerId>,
}

impl Invariant for ToSomebody {
    fn name(&self) -> &'static str {
        "ipam.left-to-somebody"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.changed() {
            let Some(id) = peer.id else { continue };
            let mut own = peer.ledger.iter().flatten().filter(|owned| owned.owner == id);
            if own.next().is_some() {
                self.owners.insert(id);
            }
            let others = || (0..).zip(&view.peers).filter(|(other, _)| *other != host);
            let is_known = |(_, other): (usize, &PeerView)| has_owners(other, id);
            if peer.left && self.owners.contains(&id) && !others().any(is_known) {
                return Err(format!(
                    "n{} is told that it has left, and no other host knows whose all that is by now which it owned",
                    host + 1
                ));
            }
        }
        Ok(())
    }
}

/// Whether all addresses are other peers' than `id`'s by the ledger that `peer` has on its disk.
fn has_owners(peer: &PeerView, id: PeerId) -> bool {
    peer.sure_ledger.as_ref().is_some_and(|ledger| ledger.iter().all(|owned| owned.owner != id))
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, fails, holds, id, owned, pair};
    use super::*;

    #[test]
    fn who_may_go_has_left_what_it_owned_to_somebody_or_the_rule_fails() {
        let left = |change: fn(&mut View)| {
            changed(|view| {
                view.peers[0].left = true;
                change(view);
            })
        };
        fails::<ToSomebody>(&[left(|_| {})]);
        let taken = |view: &mut View| view.peers[1].sure_ledger = Some(vec![owned(0, 16, 1, 2)]);
        holds::<ToSomebody>(&[left(taken)]);
        // It is not on the other one's disk yet.
        fails::<ToSomebody>(&[left(|view| {
            view.peers[1].ledger = Some(vec![owned(0, 16, 1, 2)]);
        })]);
        let gives = |view: &mut View| view.peers[0].ledger = Some(vec![owned(0, 16, 1, 2)]);
        fails::<ToSomebody>(&[pair(), left(gives)]);
        holds::<ToSomebody>(&[pair(), changed(gives)]);
        // Who never owned anything takes nothing along.
        holds::<ToSomebody>(&[left(|view| view.peers[0].id = Some(id(9)))]);
    }
}
