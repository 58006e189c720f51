//! Rules about addresses: `ipam.*`.

use super::{Invariant, Owned, PeerView, View, When};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use weft_core::addr::{Offset, Range};
use weft_core::id::ContainerId;
use weft_core::io::Command;
use weft_core::record::Fingerprint;

/// An allocation is answered within [`weft_core::config::Config::allocate_max`], or so much later
/// when the clock is read late.
const ANSWER_LATE: Duration = Duration::from_secs(1);

/// No address is held by two living containers at the same moment, on whichever side of a partition. What
/// a peer has of which it was evicted while it lived does not count.
pub(super) fn one_holder(view: &View) -> Result<(), String> {
    let mut holders = BTreeMap::new();
    for (host, peer) in view.peers.iter().enumerate() {
        for (id, addresses) in &peer.held {
            for address in addresses {
                let counts = |at| !view.is_lost(peer, at);
                if !view.universe.offset(address.addr()).is_some_and(counts) {
                    continue;
                }
                if let Some((first, other)) = holders.insert(address.addr(), (host, id)) {
                    return Err(format!(
                        "{} is held by {other} on n{} and by {id} on n{}",
                        address.addr(),
                        first + 1,
                        host + 1
                    ));
                }
            }
        }
    }
    Ok(())
}

/// At most one running peer would allocate from an address: its ledger says the address is its
/// own, and its gate is open. A peer that has yet to hear that it was evicted does not count.
pub(super) fn one_owner(view: &View) -> Result<(), String> {
    let mut claims: Vec<(Range, usize)> = Vec::new();
    for (host, peer) in view.live().filter(|(_, peer)| peer.gate_open) {
        let entries = peer.ledger.iter().flatten();
        let own = entries.filter(|entry| Some(entry.owner) == peer.id);
        let own = own.filter(|entry| !view.is_lost(peer, entry.range.start));
        claims.extend(own.map(|entry| (entry.range, host)));
    }
    claims.sort_by_key(|(range, _)| range.start);
    for pair in claims.windows(2) {
        if let [(first, a), (second, b)] = pair
            && let Some(both) = first.intersection(*second)
        {
            return Err(format!(
                "n{} and n{} would both allocate from {} to {}",
                a + 1,
                b + 1,
                view.universe.address(both.start),
                view.universe.address(Offset(both.end.0 - 1)),
            ));
        }
    }
    Ok(())
}

/// Every ledger tiles the universe: in order, without gap, overlap or empty interval.
pub(super) fn tiles(view: &View) -> Result<(), String> {
    let whole = view.universe.range();
    for (host, peer) in view.live() {
        let Some(ledger) = &peer.ledger else { continue };
        let mut at = whole.start;
        for entry in ledger {
            if entry.range.start != at || entry.range.is_empty() {
                return Err(format!("n{}: {:?} where {at:?} was next", host + 1, entry.range));
            }
            at = entry.range.end;
        }
        if at != whole.end {
            return Err(format!("n{}: the ledger ends at {at:?}, not {:?}", host + 1, whole.end));
        }
    }
    Ok(())
}

/// What a running peer notes as held inside the universe lies in ranges that it owns, other than what its
/// containers had before it lost its state folder; and the rest of these is what it says is free.
pub(super) fn conserved(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        let own = |offset| {
            let owner =
                |entry: &Owned| entry.range.contains(offset) && Some(entry.owner) == peer.id;
            peer.ledger.iter().flatten().any(owner)
        };
        for (id, address) in pairs(&peer.noted) {
            if let Some(offset) = view.universe.offset(address.addr())
                && !own(offset)
                && !view.is_lost(peer, offset)
                && !peer.taken_up.contains(&address.addr())
            {
                return Err(format!("n{} holds {address} for {id} without owning it", host + 1));
            }
        }
        let held: BTreeSet<Offset> =
            pairs(&peer.noted).filter_map(|(_, net)| view.universe.offset(net.addr())).collect();
        let held = held.into_iter().filter(|offset| own(*offset)).count();
        let held = u128::try_from(held).unwrap_or(u128::MAX);
        let own = peer.ledger.iter().flatten().filter(|entry| Some(entry.owner) == peer.id);
        let owned: u128 = own.map(|entry| entry.range.size()).sum();
        if let Some(free) = peer.free
            && owned != free + held
        {
            return Err(format!(
                "n{} owns {owned} addresses, of which {held} are held and {free} free",
                host + 1
            ));
        }
    }
    Ok(())
}

/// A peer that knows of its eviction says of which addresses that its containers have: they are another
/// peer's, and it says so of no others.
pub(super) fn evicted_are_fenced(view: &View) -> Result<(), String> {
    for (host, peer) in view.changed().filter(|(_, peer)| peer.live && peer.ledger.is_some()) {
        let owner = |address: IpAddr| {
            let at = view.universe.offset(address)?;
            let entry = peer.ledger.iter().flatten().find(|entry| entry.range.contains(at));
            entry.map(|entry| entry.owner)
        };
        let of_others = |net: &IpNet| owner(net.addr()).is_some_and(|it| Some(it) != peer.id);
        let foreign: BTreeSet<IpAddr> = pairs(&peer.noted)
            .filter(|(_, net)| of_others(net))
            .map(|(_, net)| net.addr())
            .collect();
        if let Some(address) = foreign.symmetric_difference(&peer.strays).next() {
            let says = if peer.strays.contains(address) { "lists" } else { "does not list" };
            return Err(format!("n{} {says} {address} as another peer's", host + 1));
        }
    }
    Ok(())
}

/// In a mesh at rest an address that a container has, and that is another peer's since an eviction, was
/// handed out by that one too, or it is out of reach: else it would have been given back.
pub(super) fn strays_return(view: &View) -> Result<(), String> {
    for (host, peer) in view.live().filter(|(_, peer)| peer.gate_open) {
        for address in &peer.strays {
            let Some(at) = view.universe.offset(*address) else { continue };
            let owners = view.live().filter(|(other, _)| peer.island.contains(other));
            for (other, owner) in owners.filter(|(other, _)| *other != host) {
                if owner.gate_open && has_free(view, owner, at) {
                    return Err(format!(
                        "{address} on n{} is n{}'s, who has it free",
                        host + 1,
                        other + 1
                    ));
                }
            }
        }
    }
    Ok(())
}

/// What the containers of a running peer have is noted there, from the moment it starts, or it is being told
/// that: nobody else is given it.
pub(super) fn reserved(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        for (id, address) in pairs(&peer.held) {
            let is_noted = peer.noted.get(id).is_some_and(|noted| noted.contains(address));
            if !is_noted && !is_told(peer, id, *address) {
                return Err(format!("n{} forgot that {id} has {address}", host + 1));
            }
        }
    }
    Ok(())
}

/// Whether `peer` is being told that `id` has `address`.
fn is_told(peer: &PeerView, id: &ContainerId, address: IpNet) -> bool {
    let told = Command::Hold { id: id.clone(), address };
    peer.waiting.iter().any(|waiting| waiting.command == told)
}

fn pairs<'a, K, V: Copy + 'a>(
    sets: &'a BTreeMap<K, BTreeSet<V>>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    sets.iter().flat_map(|(key, set)| set.iter().map(move |value| (key, value)))
}

/// No call for an address hangs: it is answered in time, with an address or with a reason.
pub(super) fn no_stuck_request(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        for waiting in &peer.waiting {
            let answer_max = waiting.command.answer_max(peer.told.allocate_max);
            if answer_max.is_some_and(|most| view.at.since(waiting.since) > most + ANSWER_LATE) {
                return Err(format!(
                    "n{} owes an answer to {:?} since {}",
                    host + 1,
                    waiting.command,
                    waiting.since
                ));
            }
        }
    }
    Ok(())
}

/// Whoever is told at `host` that no address of `subnet` is left is told the truth: no peer that it
/// can be connected with, itself included, owns one that nobody holds and would hand it out.
///
/// # Errors
/// Who has one.
pub fn none_left(view: &View, host: usize, subnet: IpNet) -> Result<(), String> {
    let Some(here) = view.peers.get(host) else { return Ok(()) };
    for (other, peer) in view.live().filter(|(other, _)| here.island.contains(other)) {
        if let Some(free) = free_at(view, peer, subnet) {
            return Err(format!(
                "n{} is told that none is left, and n{} has {free}",
                host + 1,
                other + 1,
            ));
        }
    }
    Ok(())
}

/// Whether `peer` owns the address at `at`, and nobody holds it there.
fn has_free(view: &View, peer: &PeerView, at: Offset) -> bool {
    let owns = |entry: &Owned| entry.range.contains(at) && Some(entry.owner) == peer.id;
    let is_at = |(_, net): (&_, &IpNet)| view.universe.offset(net.addr()) == Some(at);
    peer.ledger.iter().flatten().any(owns) && !pairs(&peer.noted).any(is_at)
}

/// An address of `subnet` that `peer` owns and would hand out, and that nobody holds there.
pub(super) fn free_at(view: &View, peer: &PeerView, subnet: IpNet) -> Option<IpAddr> {
    let edges = [subnet.network(), subnet.broadcast()].map(|edge| view.universe.offset(edge));
    let asked = view.universe.subrange(subnet.trunc()).filter(|_| peer.gate_open)?;
    let held: BTreeSet<Offset> =
        pairs(&peer.noted).filter_map(|(_, net)| view.universe.offset(net.addr())).collect();
    let own = peer.ledger.iter().flatten().filter(|entry| Some(entry.owner) == peer.id);
    let own = own.filter_map(|entry| entry.range.intersection(asked));
    let mut all = own.flat_map(|range| (range.start.0..range.end.0).map(Offset));
    let free = all.find(|at| !held.contains(at) && !edges.contains(&Some(*at)))?;
    Some(view.universe.address(free))
}

/// Peers that can be connected hold the same ledger.
pub(super) fn same_ledger(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        for (other_host, other) in view.live().filter(|(other, _)| peer.island.contains(other)) {
            if peer.ledger != other.ledger {
                return Err(format!(
                    "n{} has {} intervals, n{} has {}, and they differ",
                    host + 1,
                    peer.ledger.as_ref().map_or(0, Vec::len),
                    other_host + 1,
                    other.ledger.as_ref().map_or(0, Vec::len),
                ));
            }
        }
    }
    Ok(())
}

/// The universe is founded once: peers that vote together never decide differently, and no peer
/// ever changes its mind.
#[derive(Debug, Default)]
pub(super) struct OneFounding {
    first: Option<(usize, Fingerprint)>,
}

impl Invariant for OneFounding {
    fn name(&self) -> &'static str {
        "ipam.one-founding"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.live() {
            let Some(lineage) = peer.lineage else { continue };
            let (first_host, first) = *self.first.get_or_insert((host, lineage));
            if first != lineage {
                return Err(format!(
                    "n{} decided {lineage}, n{} had decided {first}",
                    host + 1,
                    first_host + 1
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::view::{Takeover, Waiting};
    use super::*;
    use weft_core::addr::Universe;
    use weft_core::id::{ContainerId, PeerId};
    use weft_core::io::Command;
    use weft_core::time::Instant;

    fn owned(start: u128, end: u128, owner: u8) -> Owned {
        let range = Range { start: Offset(start), end: Offset(end) };
        Owned { range, epoch: 0, version: 0, owner: PeerId([owner; 32]) }
    }

    /// Two peers that share 16 addresses; each holds one of its own.
    pub(in super::super) fn good() -> View {
        let universe = Universe::new("10.0.0.0/28".parse().unwrap()).unwrap();
        let peer = |number: u8, address: &str| {
            let id: ContainerId = format!("c{number}").parse().unwrap();
            let held = BTreeMap::from([(id, [address.parse().unwrap()].into())]);
            PeerView {
                live: true,
                id: Some(PeerId([number; 32])),
                gate_open: true,
                ledger: Some(vec![owned(0, 8, 1), owned(8, 16, 2)]),
                lineage: Some(Fingerprint::default()),
                island: [0, 1].into(),
                noted: held.clone(),
                held,
                ..PeerView::default()
            }
        };
        let peers = vec![peer(1, "10.0.0.1/28"), peer(2, "10.0.0.9/28")];
        View::new(Instant::ZERO + Duration::from_secs(60), universe, peers)
    }

    pub(in super::super) fn broken(change: impl FnOnce(&mut View)) -> View {
        let mut view = good();
        change(&mut view);
        view
    }

    #[test]
    fn rules_about_addresses_hold_in_a_sound_world() {
        for rule in
            [one_holder, one_owner, tiles, conserved, reserved, no_stuck_request, same_ledger]
        {
            assert_eq!(rule(&good()), Ok(()));
        }
        assert_eq!(OneFounding::default().check(&good()), Ok(()));
    }

    #[test]
    fn one_holder_fails_when_two_containers_have_one_address() {
        let view = broken(|view| view.peers[1].held = view.peers[0].held.clone());
        assert_eq!(
            one_holder(&view),
            Err("10.0.0.1 is held by c1 on n1 and by c1 on n2".to_owned())
        );
    }

    #[test]
    fn one_owner_fails_when_two_gated_ledgers_each_say_mine() {
        let steal = |view: &mut View| {
            view.peers[1].ledger = Some(vec![owned(0, 7, 1), owned(7, 16, 2)]);
        };
        assert!(one_owner(&broken(steal)).is_err());
        let shut = broken(|view| {
            steal(view);
            view.peers[1].gate_open = false;
        });
        assert_eq!(one_owner(&shut), Ok(()));
    }

    #[test]
    fn tiles_fails_on_a_gap_an_overlap_and_a_short_end() {
        for ledger in [
            vec![owned(0, 7, 1), owned(8, 16, 2)],
            vec![owned(0, 9, 1), owned(8, 16, 2)],
            vec![owned(0, 8, 1)],
        ] {
            assert!(tiles(&broken(|view| view.peers[0].ledger = Some(ledger))).is_err());
        }
    }

    #[test]
    fn conserved_fails_when_a_held_address_is_not_owned() {
        let foreign = broken(|view| view.peers[0].ledger = Some(vec![owned(0, 16, 2)]));
        assert!(conserved(&foreign).is_err());
    }

    #[test]
    fn conserved_fails_when_an_own_address_is_neither_free_nor_held_or_both() {
        let free = |free| {
            broken(|view| {
                let owned = view.peers[0].ledger.iter().flatten();
                let owned = owned.filter(|entry| Some(entry.owner) == view.peers[0].id);
                let owned: u128 = owned.map(|entry| entry.range.size()).sum();
                view.peers[0].free = Some(owned + free - 2);
            })
        };
        // One is held.
        assert_eq!(conserved(&free(1)), Ok(()));
        assert!(conserved(&free(0)).is_err());
        assert!(conserved(&free(2)).is_err());
    }

    #[test]
    fn reserved_fails_when_a_peer_forgets_what_a_container_has() {
        assert!(reserved(&broken(|view| view.peers[0].noted.clear())).is_err());
    }

    /// The second peer was evicted, and hears of it or does not; what it had is the first one's.
    pub(in super::super) fn evicted(is_heard: bool, change: impl FnOnce(&mut View)) -> View {
        broken(|view| {
            let range = Range { start: Offset(8), end: Offset(16) };
            let taken = Takeover { range, victim: PeerId([2; 32]), epoch: 1 };
            view.taken_over.insert(taken);
            let ledger = vec![owned(0, 8, 1), Owned { epoch: 1, ..owned(8, 16, 1) }];
            view.peers[0].ledger = Some(ledger.clone());
            if is_heard {
                view.peers[1].ledger = Some(ledger);
                view.peers[1].strays = ["10.0.0.9".parse().unwrap()].into();
            }
            change(view);
        })
    }

    #[test]
    fn what_a_living_peer_has_of_which_it_was_evicted_counts_for_nothing_and_is_listed() {
        let takes = |view: &mut View| {
            let held =
                BTreeMap::from([("c9".parse().unwrap(), ["10.0.0.9/28".parse().unwrap()].into())]);
            (view.peers[0].held, view.peers[0].noted) = (held.clone(), held);
        };
        for is_heard in [false, true] {
            let view = evicted(is_heard, takes);
            for rule in [one_holder, one_owner, conserved, evicted_are_fenced, strays_return] {
                assert_eq!(rule(&view), Ok(()), "{is_heard}");
            }
        }
        // It was given that address since: two have it.
        let regained = evicted(true, |view| {
            takes(view);
            view.peers[1].ledger =
                Some(vec![owned(0, 8, 1), Owned { epoch: 1, ..owned(8, 16, 2) }]);
        });
        assert!(one_holder(&regained).is_err() && one_owner(&regained).is_err());
    }

    #[test]
    fn evicted_are_fenced_fails_when_a_peer_lists_too_little_or_too_much() {
        let unlisted = evicted(true, |view| view.peers[1].strays.clear());
        assert!(evicted_are_fenced(&unlisted).is_err());
        let own = broken(|view| view.peers[0].strays = ["10.0.0.1".parse().unwrap()].into());
        assert!(evicted_are_fenced(&own).is_err());
    }

    #[test]
    fn strays_return_fails_while_the_owner_in_reach_has_the_address_free() {
        assert!(strays_return(&evicted(true, |_| ())).is_err());
        let apart = evicted(true, |view| view.peers[1].island = [1].into());
        assert_eq!(strays_return(&apart), Ok(()));
        let shut = evicted(true, |view| view.peers[0].gate_open = false);
        assert_eq!(strays_return(&shut), Ok(()));
    }

    #[test]
    fn no_stuck_request_fails_when_an_allocation_hangs() {
        let command = Command::Allocate { id: ContainerId::dns(), subnet: None };
        let waiting = |since, allocate_max| {
            broken(|view| {
                view.peers[0].told.allocate_max = Duration::from_secs(allocate_max);
                let since = Instant::ZERO + Duration::from_secs(since);
                view.peers[0].waiting = vec![Waiting { since, command: command.clone() }];
            })
        };
        assert!(no_stuck_request(&waiting(56, 2)).is_err());
        // It was told to wait longer.
        assert_eq!(no_stuck_request(&waiting(56, 5)), Ok(()));
    }

    #[test]
    fn none_left_fails_while_a_peer_that_can_be_asked_has_a_free_address() {
        let judge = |subnet: &str, change: fn(&mut View)| {
            none_left(&broken(change), 0, subnet.parse().unwrap())
        };
        assert!(judge("10.0.0.0/28", |_| ()).is_err());
        // Of these four, two are the edges, and one is held.
        assert!(judge("10.0.0.0/30", |_| ()).is_err());
        let held = |view: &mut View| {
            let nets = ["10.0.0.1/28", "10.0.0.2/28"].map(|net| net.parse().unwrap());
            view.peers[0].noted = [("c1".parse().unwrap(), nets.into())].into();
        };
        assert_eq!(judge("10.0.0.0/30", held), Ok(()));
        assert!(judge("10.0.0.0/28", held).is_err());
        let out_of_reach = |view: &mut View| {
            view.peers[0].island = [0].into();
            view.peers[0].gate_open = false;
        };
        assert_eq!(judge("10.0.0.0/28", out_of_reach), Ok(()));
    }

    #[test]
    fn same_ledger_fails_when_connected_peers_differ() {
        let differ = |view: &mut View| view.peers[1].ledger = Some(vec![owned(0, 16, 2)]);
        assert!(same_ledger(&broken(differ)).is_err());
        let apart = broken(|view| {
            differ(view);
            view.peers[0].island = [0].into();
            view.peers[1].island = [1].into();
        });
        assert_eq!(same_ledger(&apart), Ok(()));
    }

    #[test]
    fn one_founding_fails_when_a_second_decision_appears() {
        let mut rule = OneFounding::default();
        rule.check(&good()).unwrap();
        let other = Some(Fingerprint([9; 16]));
        assert!(rule.check(&broken(|view| view.peers[1].lineage = other)).is_err());
    }
}
