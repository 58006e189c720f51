//! Peers out of reach that nothing was tried in vain with: after a start, or when a link has just come to stand, it takes
//! a moment until both its ends tell of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weft_core::id::PeerId;
use weft_core::status::{ConnState, ConnStatus, LinkStatus, Status, TargetState};

/// A link whose data path is not proven after this long is worth a complaint.
const PENDING_MAX: Duration = Duration::from_secs(5);

/// All of them: each that links lead to, whether their other ends tell of these yet or not; and while a target
/// is being dialed for the first time, all, since it may be any of them.
pub(super) fn awaited(status: &Status) -> BTreeSet<PeerId> {
    let away = status.peers.iter().filter(|peer| !peer.reachable).map(|peer| peer.id);
    let away: BTreeSet<PeerId> = away.collect();
    let is_first = status.targets.iter().any(|target| target.state == TargetState::Dialing);
    if away.is_empty() || is_first { away } else { &away & &led_to(status) }
}

/// Whether the data path of a link should be proven by now.
pub(super) fn is_late(conn: &ConnStatus) -> bool {
    conn.state == ConnState::Pending && conn.up_for.is_some_and(|up| up >= PENDING_MAX)
}

/// Whom links lead to from here, as far as their near ends tell.
fn led_to(status: &Status) -> BTreeSet<PeerId> {
    let in_time = status.conns.iter().filter(|conn| !is_late(conn));
    let linked = in_time.filter_map(|conn| match conn.state {
        ConnState::Pending | ConnState::Established => conn.peer,
        ConnState::Connecting | ConnState::Retrying | ConnState::Failed => None,
    });
    let links: BTreeMap<PeerId, &[LinkStatus]> =
        status.peers.iter().map(|peer| (peer.id, &peer.links[..])).collect();
    let mut led: BTreeSet<PeerId> = linked.collect();
    let mut next: Vec<PeerId> = led.iter().copied().collect();
    while let Some(near) = next.pop() {
        let told = links.get(&near).into_iter().copied().flatten();
        next.extend(told.map(|link| link.id).filter(|far| led.insert(*far)));
    }
    led
}
