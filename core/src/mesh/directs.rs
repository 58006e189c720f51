//! Sessions on demand with all peers: how many there may be, which gives way, and what is due when.

use super::direct::Direct;
use crate::id::PeerId;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

/// Offers and sessions that are not proven yet, at once: so many that we offered, and so many that
/// others did, who thereby keep us from none. Further ones wait to be wanted again.
const UNDER_WAY_MAX: usize = 64;

/// A session that was wanted this lately is in use, and gives way to none: it is wanted again every
/// ten seconds then ([`crate::forward::WANTED_WAIT`]).
const IN_USE_MAX: Duration = Duration::from_secs(25);

/// What there is with each peer that is talked with.
#[derive(Debug, Default)]
pub(crate) struct Directs {
    peers: BTreeMap<PeerId, Direct>,
    /// When each has something to do.
    due: BTreeSet<(Instant, PeerId)>,
    /// Of offers and unproven sessions: those that we offered, and those that others did.
    under_way: [usize; 2],
    /// Of the last half that we brought to any session.
    pub(crate) number: u64,
}

impl Directs {
    /// With whom there is something.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &Direct)> {
        self.peers.iter().map(|(peer, direct)| (*peer, direct))
    }

    /// What there is with `peer`.
    pub(crate) fn get(&self, peer: PeerId) -> Option<&Direct> {
        self.peers.get(&peer)
    }

    /// With how many peers there is something.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Offers and unproven sessions.
    pub(crate) const fn under_way(&self) -> usize {
        let [ours, theirs] = self.under_way;
        ours + theirs
    }

    /// Whether we may offer one more.
    pub(crate) const fn may_offer(&self) -> bool {
        let [ours, _] = self.under_way;
        ours < UNDER_WAY_MAX
    }

    /// Whether one more of others may be answered.
    pub(crate) const fn may_answer(&self) -> bool {
        let [_, theirs] = self.under_way;
        theirs < UNDER_WAY_MAX
    }

    /// Takes out what there is with `peer`, to be changed and put back.
    pub(crate) fn take(&mut self, peer: PeerId, idle_max: Duration) -> Option<Direct> {
        let direct = self.peers.remove(&peer)?;
        self.due.remove(&(direct.deadline(idle_max), peer));
        for (all, its) in self.under_way.iter_mut().zip(direct.under_way()) {
            *all = all.saturating_sub(its);
        }
        Some(direct)
    }

    /// Puts it back, unless nothing is left.
    pub(crate) fn put(&mut self, now: Instant, peer: PeerId, direct: Direct, idle_max: Duration) {
        let deadline = direct.deadline(idle_max);
        if direct.is_over() && deadline <= now {
            return;
        }
        self.due.insert((deadline, peer));
        for (all, its) in self.under_way.iter_mut().zip(direct.under_way()) {
            *all += its;
        }
        self.peers.insert(peer, direct);
    }

    /// A peer with which something is due.
    pub(crate) fn due(&self, now: Instant) -> Option<PeerId> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, peer)| *peer)
    }

    /// When something is due next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The peer that gives way to another one, if `room` are too few: the one that our forwarder did
    /// not want a session with for longest, or never, unless all are in use.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn gives_way(&self, now: Instant, room: usize) -> Result<Option<PeerId>, NoRoom> {
        if self.peers.len() < room {
            return Ok(None);
        }
        let least = self.peers.iter().min_by_key(|(_, it)| (it.used_at, it.wanted_at));
        let is_free = |direct: &Direct| direct.used_at.is_none_or(|at| at + IN_USE_MAX <= now);
        let least = least.filter(|(_, direct)| is_free(direct));
        least.map(|(peer, _)| Some(*peer)).ok_or(NoRoom)
    }

    /// The number of the next half that we bring to a session.
    pub(crate) const fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

/// All sessions that may be are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::DirectFault;
    use crate::id::PeerName;

    const IDLE: Duration = Duration::from_secs(120);
    const NAME: PeerName = PeerName([2; 6]);

    fn secs(n: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(n)
    }

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    #[test]
    fn the_session_that_was_not_wanted_for_longest_gives_way_but_none_that_is_in_use() {
        let mut directs = Directs::default();
        for n in 1..=3 {
            let mut direct = Direct::new(secs(n), NAME);
            direct.wanted(secs(n), true, IDLE);
            directs.put(secs(n), peer(u8::try_from(n).unwrap()), direct, IDLE);
        }
        assert_eq!(directs.gives_way(secs(9), 4), Ok(None));
        assert_eq!(directs.gives_way(secs(9), 3), Err(NoRoom));
        assert_eq!(directs.gives_way(secs(26), 3), Ok(Some(peer(1))));
        // Nor are those in use that only others want.
        directs.put(secs(9), peer(4), Direct::new(secs(9), NAME), IDLE);
        assert_eq!(directs.gives_way(secs(9), 4), Ok(Some(peer(4))));
    }

    #[test]
    fn what_nobody_wants_is_forgotten_and_a_failure_not_before_it_is_over() {
        let mut directs = Directs::default();
        let mut direct = Direct::new(secs(0), NAME);
        directs.put(secs(0), peer(1), Direct::new(secs(0), NAME), IDLE);
        assert_eq!(directs.deadline(), Some(secs(120)));
        let left = directs.take(peer(1), IDLE).unwrap();
        directs.put(secs(120), peer(1), left, IDLE);
        assert_eq!((directs.len(), directs.deadline()), (0, None));
        for _ in 0..9 {
            direct.failed(secs(0), DirectFault::Unanswered);
        }
        directs.put(secs(0), peer(1), direct, IDLE);
        assert_eq!(directs.deadline(), Some(secs(300)));
    }
}
