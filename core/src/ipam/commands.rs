//! Commands: handing out addresses, noting claims, taking addresses back.

use super::asks::Asked;
use super::wants::{Pool, Waiting, Want};
use super::{Act, Ipam, IpamMessage};
use crate::addr::{Offset, Range};
use crate::config::FoundingMode;
use crate::event::Event;
use crate::id::{ContainerId, PeerId, PeerLabel};
use crate::io::{CommandError, Reply, RequestId};
use crate::mark::{Mark, mark};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use ipnet::IpNet;

/// What a command comes to, or why it comes to nothing.
pub(super) type Outcome = Result<Reply, CommandError>;

/// The same for one that may have to wait: then it comes to nothing yet.
type Progress = Result<Option<Reply>, CommandError>;

impl Ipam {
    /// What `Allocate` wants, unless no address of `subnet` could ever be given.
    pub(super) fn want_any(
        &self,
        id: ContainerId,
        subnet: Option<IpNet>,
    ) -> Result<Want, CommandError> {
        self.serves()?;
        let subnets = subnet.map_or_else(|| self.default_subnets.clone(), |it| alloc::vec![it]);
        let pools = subnets.into_iter().map(|subnet| self.pool(subnet));
        Ok(Want::Any { id, pools: pools.collect::<Result<_, _>>()? })
    }

    /// What may be given of the subnet of `asked`.
    fn pool(&self, asked: IpNet) -> Result<Pool, CommandError> {
        let subnet = asked.trunc();
        let Some(range) = self.universe.subrange(subnet) else {
            mark(Mark::AllocateOutOfRange);
            return Err(self.beyond(asked));
        };
        let edged = |at| self.edged_by(self.universe.address(at), subnet);
        let (first, last) = (edged(range.start), edged(Offset(range.end.0 - 1)));
        let usable = Range {
            start: Offset(range.start.0 + u128::from(first.is_some())),
            end: Offset(range.end.0 - u128::from(last.is_some())),
        };
        match first.or(last) {
            // A single address, counted twice.
            Some(subnet) if usable.is_empty() => {
                mark(Mark::AllocateOutOfRange);
                Err(CommandError::Edge { address: asked.addr(), subnet })
            }
            Some(_) | None => Ok(Pool { subnet, usable }),
        }
    }

    /// Why nothing is given for `asked`, which does not lie in one block of the universe.
    fn beyond(&self, asked: IpNet) -> CommandError {
        match self.universe.blocks().find(|block| asked.contains(block)) {
            Some(block) => CommandError::TooWide { address: asked, block },
            None => self.out_of_range(asked.to_string()),
        }
    }

    /// What `Claim` wants, unless `id` could never have `address`.
    pub(super) fn want_this(&self, id: ContainerId, address: IpNet) -> Result<Want, CommandError> {
        let offset = self.place_of(&id, address)?;
        Ok(Want::This { id, address, offset })
    }

    /// Where `address` lies in the universe, which is `id`'s if it is anybody's here.
    ///
    /// # Errors
    /// Why `id` could never have it.
    pub(super) fn place_of(
        &self,
        id: &ContainerId,
        address: IpNet,
    ) -> Result<Offset, CommandError> {
        self.serves()?;
        if let Some(holder) = self.holdings.holder(address.addr()).filter(|it| *it != id) {
            mark(Mark::ClaimTaken);
            return Err(taken(address, Some(holder.clone())));
        }
        let Some(offset) = self.universe.offset(address.addr()) else {
            // Nobody owns it, so nobody could keep another peer from giving it a second time.
            mark(Mark::ClaimOutside);
            return Err(self.beyond(address));
        };
        // The containers' route to its network would else take what lies beyond the mesh, or all there is.
        if self.universe.subrange(address.trunc()).is_none() {
            mark(Mark::ClaimWide);
            return Err(self.beyond(address));
        }
        if let Some(subnet) = self.edged_by(address.addr(), address.trunc()) {
            mark(Mark::ClaimEdge);
            return Err(CommandError::Edge { address: address.addr(), subnet });
        }
        Ok(offset)
    }

    /// Of which subnet `address` is the first or the last one, and so stands for itself or for all in it: of
    /// `subnet`, or of all of this mesh. One of one or two addresses has none to spare for that (RFC 3021, RFC 6164).
    fn edged_by(&self, address: IpAddr, subnet: IpNet) -> Option<IpNet> {
        let has_edges = |it: &IpNet| it.max_prefix_len() - it.prefix_len() > 1;
        let wide = [Some(subnet), self.universe.block_of(address)].into_iter().flatten();
        wide.filter(has_edges).find(|it| [it.network(), it.broadcast()].contains(&address))
    }

    /// What `id` is told that claims an address of its own.
    pub(super) fn held_already(&self, id: &ContainerId, address: IpNet) -> Outcome {
        match self.holdings.held_as(id, address.addr()) {
            Some(held) if held != address => {
                mark(Mark::ClaimOtherwise);
                Err(CommandError::HeldOtherwise { address, held })
            }
            Some(_) | None => {
                mark(Mark::ClaimAgain);
                Ok(Reply::Addresses(alloc::vec![address]))
            }
        }
    }

    /// Whether commands that give or take addresses are taken at all.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn serves(&self) -> Result<(), CommandError> {
        if self.is_stopping {
            return Err(stopping());
        }
        if self.has_left {
            mark(Mark::RefusedLeft);
            return Err(CommandError::Left);
        }
        Ok(())
    }

    fn out_of_range(&self, what: String) -> CommandError {
        CommandError::OutOfRange { what, universe: self.universe }
    }

    /// Answers a command, or lets it wait.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        request: RequestId,
        want: Result<Want, CommandError>,
        acts: &mut Vec<Act>,
    ) {
        let begun = want.and_then(|want| match self.attempt(now, &want, acts)? {
            Some(reply) => Ok(Some(reply)),
            None => self.wait(now, request, want),
        });
        if let Some(result) = begun.transpose() {
            acts.push(Act::Reply { request, result });
        }
        self.conclude(now, acts);
    }

    /// Lets a command wait, if there is room for it.
    fn wait(&mut self, now: Instant, request: RequestId, want: Want) -> Progress {
        if self.waiting.len() >= self.waiting_max {
            mark(Mark::CommandTooManyWaiting);
            return Err(CommandError::TooManyWaiting(self.waiting.len()));
        }
        let give_up_at = now + want.patience(self.allocate_max);
        self.waiting.push(Waiting { request, want, give_up_at });
        Ok(None)
    }

    /// Answers `request` once there is a founding. Those who wait for that are no burden but for their number,
    /// and some of them have long since hung up: so they keep nobody else from waiting, and the one that has
    /// waited for longest makes room for the next.
    pub(super) fn prime(&mut self, now: Instant, request: RequestId, acts: &mut Vec<Act>) {
        if self.primes.len() >= self.waiting_max && !self.primes.is_empty() {
            mark(Mark::CommandPrimeOutlasted);
            let result = Err(CommandError::TooManyWaiting(self.primes.len()));
            acts.push(Act::Reply { request: self.primes.remove(0), result });
        }
        self.primes.push(request);
        self.conclude(now, acts);
    }

    /// Answers those who wait for the founding, if they can be.
    fn answer_primes(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if self.primes.is_empty() {
            return;
        }
        if let Some(result) = self.divided(now, acts).transpose() {
            let primes = core::mem::take(&mut self.primes).into_iter();
            acts.extend(primes.map(|request| Act::Reply { request, result: result.clone() }));
        }
    }

    /// Has the universe divided.
    fn divided(&mut self, now: Instant, acts: &mut Vec<Act>) -> Progress {
        self.serves()?;
        self.start(now, acts);
        Ok(self.founded.is_some().then(|| {
            mark(Mark::CommandPrime);
            Reply::Done
        }))
    }

    /// Draws the conclusions of what this call changed; above all, answers all waiting commands that can be
    /// answered, first come first.
    pub(super) fn conclude(&mut self, now: Instant, acts: &mut Vec<Act>) {
        self.holdings.wake(now);
        self.look_at_gate(now);
        self.plan_handing_on(now);
        self.follow_evictions(acts);
        self.answer_primes(now, acts);
        for waiting in core::mem::take(&mut self.waiting) {
            let is_late = waiting.give_up_at <= now;
            let outcome = self.attempt(now, &waiting.want, acts).transpose();
            if outcome.is_none() && is_late {
                mark(Mark::CommandLate);
            }
            match outcome.or_else(|| is_late.then(|| Err(self.reason(&waiting.want)))) {
                Some(result) => acts.push(Act::Reply { request: waiting.request, result }),
                None => self.waiting.push(waiting),
            }
        }
        self.asks.keep(&self.waiting);
        self.call_off(acts);
        self.ask_for_strays(now, acts);
        self.ask_witness(now, acts);
    }

    /// Tries to meet `want`.
    fn attempt(&mut self, now: Instant, want: &Want, acts: &mut Vec<Act>) -> Progress {
        if self.is_stopping {
            return Err(stopping());
        }
        match want {
            Want::Leave => self.left().transpose(),
            Want::Eviction { victims, addresses, is_forced, .. } => {
                self.serves()?;
                self.evict(now, (victims, *addresses), *is_forced, acts).transpose()
            }
            Want::Any { id, pools } => {
                let held = pools.iter().map(|pool| self.holdings.held_in(id, pool.usable));
                if let Some(held) = held.collect::<Option<Vec<IpNet>>>() {
                    mark(Mark::AllocateAgain);
                    return Ok(Some(Reply::Addresses(held)));
                }
                if !self.gives(now, acts)? {
                    return Ok(None);
                }
                self.allocate(now, id, pools, acts).transpose()
            }
            Want::This { id, address, offset } => {
                match self.holdings.holder(address.addr()) {
                    Some(holder) if holder == id => {
                        return self.held_already(id, *address).map(Some);
                    }
                    Some(holder) => {
                        // Another claim was first while this one waited.
                        mark(Mark::ClaimOvertaken);
                        return Err(taken(*address, Some(holder.clone())));
                    }
                    None => {}
                }
                if !self.gives(now, acts)? {
                    return Ok(None);
                }
                self.claim(now, id, *address, *offset, acts).transpose()
            }
        }
    }

    /// Whether addresses are given here just now, or else may be soon.
    ///
    /// # Errors
    /// Why they are not, however long one waits.
    fn gives(&mut self, now: Instant, acts: &mut Vec<Act>) -> Result<bool, CommandError> {
        self.serves()?;
        self.start(now, acts);
        if self.founded.is_none() {
            return Ok(false);
        }
        if self.has_twin() {
            mark(Mark::RefusedCopied);
            return Err(CommandError::Copied);
        }
        Ok(self.has_opened())
    }

    /// An address of each of `pools`, all of them or none.
    fn allocate(
        &mut self,
        now: Instant,
        id: &ContainerId,
        pools: &[Pool],
        acts: &mut Vec<Act>,
    ) -> Option<Outcome> {
        let (_, ledger) = self.founded.as_ref()?;
        let mut given = Vec::new();
        for Pool { subnet, usable } in pools {
            if let Some(held) = self.holdings.held_in(id, *usable) {
                given.push(held);
            } else if let Some(offset) =
                self.holdings.next_free(now, ledger, self.me, *usable, &self.settling)
            {
                let address = self.universe.address(offset);
                let net = IpNet::new(address, subnet.prefix_len());
                given.push(net.unwrap_or_else(|_| address.into()));
            } else {
                return self.look_elsewhere(now, *subnet, *usable, acts);
            }
        }
        mark(Mark::AllocateOwn);
        for &address in &given {
            self.hold(id, address, acts);
        }
        self.schedule(now);
        Some(Ok(Reply::Addresses(given)))
    }

    /// Nothing of ours is free in `usable`: asks others for some.
    fn look_elsewhere(
        &mut self,
        now: Instant,
        subnet: IpNet,
        usable: Range,
        acts: &mut Vec<Act>,
    ) -> Option<Outcome> {
        match self.ask(now, usable, acts) {
            Asked::Tell(_) | Asked::Waiting => None,
            Asked::Denied | Asked::Nobody if self.settles_free(usable) => {
                mark(Mark::AllocateSettling);
                None
            }
            // Owners out of reach may yet come back.
            Asked::Denied | Asked::Nobody if self.out_of_reach(usable) > 0 => {
                mark(Mark::AllocateWaitsForOwner);
                None
            }
            Asked::Denied | Asked::Nobody => {
                mark(Mark::AllocateExhausted);
                Some(Err(self.exhausted(subnet, usable)))
            }
        }
    }

    fn claim(
        &mut self,
        now: Instant,
        id: &ContainerId,
        address: IpNet,
        offset: Offset,
        acts: &mut Vec<Act>,
    ) -> Option<Outcome> {
        let range = Range { start: offset, end: Offset(offset.0 + 1) };
        if self.owner_of(offset) == Some(self.me) {
            if self.settling.meets(range) {
                mark(Mark::ClaimSettling);
                return None;
            }
            mark(Mark::ClaimOwn);
            self.hold(id, address, acts);
            self.schedule(now);
            return Some(Ok(Reply::Addresses(alloc::vec![address])));
        }
        match self.ask(now, range, acts) {
            Asked::Tell(_) | Asked::Waiting | Asked::Nobody => None,
            Asked::Denied => {
                mark(Mark::ClaimDenied);
                Some(Err(taken(address, None)))
            }
        }
    }

    /// Asks another owner for addresses inside `range`, unless one is being asked.
    fn ask(&mut self, now: Instant, range: Range, acts: &mut Vec<Act>) -> Asked {
        let owned = self.owned_in_reach(range);
        let space = |(peer, owned)| (peer, self.space_of(peer, range, owned));
        let donors: BTreeMap<PeerId, u8> = owned.into_iter().map(space).collect();
        let asked = self.asks.ask(now, range, &donors, &mut self.rng);
        if let Asked::Tell(peer) = asked {
            mark(Mark::AllocateAsked);
            acts.push(Act::Tell { peer, message: IpamMessage::Request { range } });
        }
        asked
    }

    /// Which peers in reach own how many addresses inside `range`.
    fn owned_in_reach(&self, range: Range) -> BTreeMap<PeerId, u128> {
        let mut owned: BTreeMap<PeerId, u128> = BTreeMap::new();
        for (part, owner) in self.ledger().into_iter().flat_map(|ledger| ledger.owners_in(range)) {
            if self.reachable.contains_key(&owner) {
                *owned.entry(owner).or_default() += part.size();
            }
        }
        owned
    }

    /// Notes that `id` holds `address`.
    pub(super) fn hold(&mut self, id: &ContainerId, address: IpNet, acts: &mut Vec<Act>) {
        acts.push(Act::Persist(self.holdings.hold(id, address)));
        acts.push(Act::Event(Event::Allocated { address, id: id.clone() }));
    }

    /// Takes back one address of `id`, or all.
    pub(super) fn release(
        &mut self,
        now: Instant,
        id: &ContainerId,
        address: Option<IpAddr>,
        acts: &mut Vec<Act>,
    ) -> Outcome {
        let released = self.holdings.release(now, id, address);
        let (nets, change) = released.ok_or_else(|| {
            mark(Mark::CommandNotHeld);
            if self.has_left { CommandError::Left } else { CommandError::NotHeld(id.clone()) }
        })?;
        mark(Mark::CommandReleased);
        acts.push(Act::Persist(self.holdings.given_back()));
        acts.push(Act::Persist(change));
        let events = nets.iter().map(|&address| Event::Released { address, id: id.clone() });
        acts.extend(events.map(Act::Event));
        self.schedule(now);
        Ok(Reply::Addresses(nets))
    }

    /// Why `want` is not met.
    fn reason(&self, want: &Want) -> CommandError {
        let shut = || self.shut_reason();
        match want {
            Want::Leave => self.leaving_reason(),
            Want::Any { id, pools } => shut().unwrap_or_else(|| self.unmet_reason(id, pools)),
            Want::This { address, offset, .. } => {
                shut().unwrap_or_else(|| self.owner_reason(*address, *offset))
            }
            Want::Eviction { victims, is_forced, .. } => {
                shut().unwrap_or_else(|| self.eviction_reason(victims, *is_forced))
            }
        }
    }

    /// Why nothing at all is given here, if so.
    fn shut_reason(&self) -> Option<CommandError> {
        if self.founded.is_none() {
            Some(self.unfounded())
        } else if self.has_twin() {
            mark(Mark::RefusedCopied);
            Some(CommandError::Copied)
        } else if self.gate.is_in_doubt() {
            mark(Mark::RefusedDoubted);
            Some(CommandError::Doubted)
        } else if self.is_open() {
            None
        } else {
            mark(Mark::RefusedNotMerged);
            Some(self.unmerged())
        }
    }

    /// Why there is no founding.
    pub(super) fn unfounded(&self) -> CommandError {
        mark(Mark::RefusedNoQuorum);
        let universe = self.universe;
        if self.mode == FoundingMode::Observer {
            return CommandError::Observing { universe };
        }
        CommandError::NoQuorum { heard: self.heard(), needed: self.quorum(), universe }
    }

    /// Why the owner of `address`, which lies at `offset`, has not said whether it is free.
    fn owner_reason(&self, address: IpNet, offset: Offset) -> CommandError {
        let owner = self.owner_of(offset).unwrap_or(self.me);
        if owner == self.me {
            mark(Mark::RefusedSettling);
            return CommandError::Settling { subnet: address.addr().into() };
        }
        let why = if self.reachable.contains_key(&owner) {
            mark(Mark::RefusedOwnerSilent);
            alloc::format!("did not answer within {:?}: try again", self.allocate_max)
        } else {
            mark(Mark::RefusedOwnerAway);
            "is not reachable: start that peer".to_string()
        };
        let owner = PeerLabel::unheard(owner);
        CommandError::OwnerSilent { address: address.addr(), owner, why }
    }

    /// Why there is no address of the first of `pools` of which there is none.
    fn unmet_reason(&self, id: &ContainerId, pools: &[Pool]) -> CommandError {
        let is_unmet = |pool: &&Pool| {
            self.holdings.held_in(id, pool.usable).is_none() && self.free_in(pool.usable) == 0
        };
        let unmet = pools.iter().find(is_unmet).or_else(|| pools.first());
        let Some(Pool { subnet, usable }) = unmet.copied() else {
            return self.out_of_range(self.universe.to_string());
        };
        if self.settles_free(usable) {
            mark(Mark::RefusedSettling);
            return CommandError::Settling { subnet };
        }
        let owners = self.owned_in_reach(usable).into_keys();
        match owners.filter(|owner| !self.asks.has_denied(usable, *owner)).count() {
            0 => self.exhausted(subnet, usable),
            silent => {
                mark(Mark::RefusedOwnersSilent);
                CommandError::OwnersSilent { subnet, silent }
            }
        }
    }

    fn exhausted(&self, subnet: IpNet, usable: Range) -> CommandError {
        let parts = self.ledger().into_iter().flat_map(|ledger| ledger.owners_in(usable));
        let own = parts.filter(|(_, owner)| *owner == self.me);
        let owned: u128 = own.map(|(range, _)| range.size()).sum();
        let unreachable = self.out_of_reach(usable);
        let elsewhere = usable.size() - owned - unreachable;
        CommandError::Exhausted { subnet, owned, elsewhere, unreachable }
    }
}

pub(super) fn stopping() -> CommandError {
    mark(Mark::RefusedStopping);
    CommandError::Stopping
}

fn taken(address: IpNet, held_by: Option<ContainerId>) -> CommandError {
    CommandError::AddressTaken { address: address.addr(), held_by }
}
