//! Which addresses are held here, and by whom.

mod free;

use super::resting::Resting;
use crate::addr::{Offset, Range, Universe};
use crate::id::ContainerId;
use crate::saved::{Change, Damaged, Saved, Slot};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipnet::IpNet;

#[derive(Clone, Debug)]
pub(super) struct Holdings {
    universe: Universe,
    by_id: BTreeMap<ContainerId, Vec<IpNet>>,
    holders: BTreeMap<IpAddr, ContainerId>,
    /// Held addresses of the universe.
    inside: BTreeMap<u128, ContainerId>,
    /// Where the search for a free address of a range goes on: not lowest first, because an
    /// address that was just given back may still live in caches of its neighbours.
    cursors: BTreeMap<Range, u128>,
    resting: Resting,
}

impl Holdings {
    pub(super) fn load(universe: Universe, saved: &Saved) -> Result<Self, Damaged> {
        let mut holdings = Self {
            universe,
            by_id: BTreeMap::new(),
            holders: BTreeMap::new(),
            inside: BTreeMap::new(),
            cursors: BTreeMap::new(),
            resting: Resting::load(saved)?,
        };
        for slot in saved.slots.keys() {
            if let Slot::Holding(id) = slot
                && let Some(nets) = saved.get::<Vec<IpNet>>(slot)?
            {
                for net in nets {
                    holdings.hold(id, net);
                }
            }
        }
        Ok(holdings)
    }

    /// Notes that `id` holds `net`, whose address nobody else holds.
    pub(super) fn hold(&mut self, id: &ContainerId, net: IpNet) -> Change {
        let nets = self.by_id.entry(id.clone()).or_default();
        if !nets.iter().any(|held| held.addr() == net.addr()) {
            nets.push(net);
        }
        let change = Change::put(Slot::Holding(id.clone()), nets);
        self.holders.insert(net.addr(), id.clone());
        if let Some(offset) = self.universe.offset(net.addr()) {
            self.inside.insert(offset.0, id.clone());
        }
        change
    }

    /// How many addresses are held, and of how many ranges it is known where to look first.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let Self { universe: _, by_id: _, holders, inside: _, cursors, resting: _ } = self;
        (holders.len(), cursors.len())
    }

    /// Gives back one address of `id`, or all; `None` when it holds none such.
    pub(super) fn release(
        &mut self,
        now: Instant,
        id: &ContainerId,
        address: Option<IpAddr>,
    ) -> Option<(Vec<IpNet>, Change)> {
        let nets = self.by_id.get_mut(id)?;
        let is_meant = |net: &IpNet| address.is_none_or(|address| net.addr() == address);
        let given: Vec<IpNet> = nets.iter().copied().filter(is_meant).collect();
        if given.is_empty() {
            return None;
        }
        nets.retain(|net| !is_meant(net));
        let slot = Slot::Holding(id.clone());
        let change = if nets.is_empty() { Change::remove(slot) } else { Change::put(slot, nets) };
        if nets.is_empty() {
            self.by_id.remove(id);
        }
        for net in &given {
            self.holders.remove(&net.addr());
            if let Some(offset) = self.universe.offset(net.addr()) {
                self.inside.remove(&offset.0);
                self.resting.add(now, offset);
            }
        }
        Some((given, change))
    }

    /// What is to be written once something was given back.
    pub(super) fn given_back(&self) -> Change {
        self.resting.saved()
    }

    /// It is `now`, the first time in this life.
    pub(super) fn wake(&mut self, now: Instant) {
        self.resting.wake(now);
    }

    pub(super) fn holder(&self, address: IpAddr) -> Option<&ContainerId> {
        self.holders.get(&address)
    }

    /// What `id` holds under `address`, with its prefix.
    pub(super) fn held_as(&self, id: &ContainerId, address: IpAddr) -> Option<IpNet> {
        self.by_id.get(id)?.iter().copied().find(|net| net.addr() == address)
    }

    /// What `id` holds inside `range`.
    pub(super) fn held_in(&self, id: &ContainerId, range: Range) -> Option<IpNet> {
        let is_in =
            |net: &IpNet| self.universe.offset(net.addr()).is_some_and(|o| range.contains(o));
        self.by_id.get(id)?.iter().copied().find(is_in)
    }

    /// What `id` holds.
    pub(super) fn of(&self, id: &ContainerId) -> &[IpNet] {
        self.by_id.get(id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ContainerId, &[IpNet])> {
        self.by_id.iter().map(|(id, nets)| (id, nets.as_slice()))
    }

    /// Held addresses.
    pub(super) fn len(&self) -> usize {
        self.holders.len()
    }

    /// Held addresses of the universe.
    pub(super) fn len_inside(&self) -> usize {
        self.inside.len()
    }

    pub(super) fn is_held(&self, offset: Offset) -> bool {
        self.inside.contains_key(&offset.0)
    }

    /// What is held in `range`, in order, and by whom.
    pub(super) fn held_inside(&self, range: Range) -> impl Iterator<Item = (Offset, &ContainerId)> {
        let (start, end) = (range.start.0, range.end.0.max(range.start.0));
        self.inside.range(start..end).map(|(at, id)| (Offset(*at), id))
    }

    /// Runs of held addresses in `range`, in order.
    pub(super) fn runs(&self, range: Range) -> Vec<Range> {
        let mut runs: Vec<Range> = Vec::new();
        for (at, _) in self.held_inside(range) {
            let end = Offset(at.0 + 1);
            match runs.last_mut() {
                Some(last) if last.end == at => last.end = end,
                Some(_) | None => runs.push(Range { start: at, end }),
            }
        }
        runs
    }
}
