//! Rules about limits: `bounds.tables`, `bounds.records`.

use super::{PeerView, View};
use weft_core::record::{Key, Record};

/// Streams beyond the limit of links that a node may have: some that shake hands or end.
/// Source: `UNPROVEN_MAX` of the node.
const UNPROVEN_MAX: usize = 128;
/// Streams that are being opened at once: 16 to targets, and 16 to others.
/// Source: `DIALS_MAX` of the dialer.
const DIALING_MAX: usize = 32;
/// Messages that wait for one neighbour. Source: `UNICASTS_MAX` of the link.
const UNICASTS_MAX: usize = 256;
/// Questions of one neighbour that wait. Source: `ASKED_MAX` of the link.
const QUESTIONS_MAX: usize = 4;
/// Neighbours that are remembered. Source: `ACQUAINTANCES_MAX` of the mesh.
const ACQUAINTANCES_MAX: usize = 64;
/// Bytes of a record besides its body. Source: `RECORD_OVERHEAD` of the store.
const OVERHEAD: usize = 144;

/// No table or queue of a node is fuller than its limit.
pub(super) fn tables(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        let (sizes, links) = (peer.sizes, peer.told.conns_max);
        let open = sizes.conns - sizes.dialing;
        let queues = sizes.queues;
        let limits = [
            ("links", sizes.links, links),
            ("streams", open, links + UNPROVEN_MAX),
            ("dials", sizes.dialing, DIALING_MAX),
            ("sessions", sizes.sessions, links + UNPROVEN_MAX),
            ("waiting commands", sizes.waiting, peer.told.waiting_max),
            ("remembered neighbours", sizes.acquaintances, ACQUAINTANCES_MAX),
            ("messages for one neighbour", queues.unicasts, UNICASTS_MAX),
            ("questions of one neighbour", queues.questions, QUESTIONS_MAX),
            ("records to tell one neighbour", queues.news, peer.told.records_max + own(peer).0),
        ];
        if let Some((what, is, max)) = limits.into_iter().find(|(_, is, max)| is > max) {
            return Err(format!("n{} has {is} {what}, and the limit is {max}", host + 1));
        }
    }
    Ok(())
}

/// Nobody holds more records than it was told to, besides its own.
pub(super) fn records(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        let own = own(peer);
        let (count, len) = (peer.sizes.records, peer.sizes.records_len);
        let (count_max, len_max) =
            (peer.told.records_max + own.0, peer.told.records_len_max + own.1);
        if count > count_max || len > len_max {
            return Err(format!(
                "n{} holds {count} records of {len} bytes, and the limit is {} and {}",
                host + 1,
                peer.told.records_max,
                peer.told.records_len_max
            ));
        }
    }
    Ok(())
}

/// Records that a peer wrote itself, and at most how many bytes they are: for those there is
/// always room.
fn own(peer: &PeerView) -> (usize, usize) {
    let papers = peer.papers.values().filter(|paper| Some(paper.writer) == peer.id).count();
    let is_own = |key: &&Key| match key {
        Key::Peer(id) | Key::Names(id) | Key::Space(id) => Some(*id) == peer.id,
        Key::Founding(_) | Key::Grant(_) | Key::Voter(_) => false,
    };
    let others = peer.records.keys().filter(is_own).count();
    // A grant or vote is short; names may take all that a body may.
    let len = papers * 4_096 + others * (Record::BODY_LEN_MAX + OVERHEAD);
    (papers + others, len)
}

/// Streams that a node at rest may have besides its links: strangers come and go.
const SPARE: usize = 8;

/// In a mesh at rest, tables are as small again as what they are for.
pub(super) fn baseline(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        let sizes = peer.sizes;
        let heard_of = peer.records.keys().filter(|key| matches!(key, Key::Peer(_))).count();
        let limits = [
            ("streams", sizes.conns - sizes.dialing, peer.near.len() + SPARE),
            ("sessions", sizes.sessions, peer.near.len() + SPARE),
            ("peers to dial", sizes.attempts, view.peers.len() + heard_of),
            ("waiting commands", sizes.waiting, 0),
            ("messages for one neighbour", sizes.queues.unicasts, 0),
            ("questions of one neighbour", sizes.queues.questions, 0),
            ("records to tell one neighbour", sizes.queues.news, 0),
        ];
        if let Some((what, is, max)) = limits.into_iter().find(|(_, is, max)| is > max) {
            return Err(format!("n{} at rest has {is} {what}, where {max} would do", host + 1));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, id, pair, version};
    use super::*;

    #[test]
    fn tables_fails_when_one_is_fuller_than_its_limit() {
        assert_eq!(tables(&pair()), Ok(()));
        for change in [
            |view: &mut View| view.peers[0].sizes.links = 9,
            |view: &mut View| view.peers[0].sizes.conns = 137,
            |view: &mut View| {
                (view.peers[0].sizes.conns, view.peers[0].sizes.dialing) = (33, 33);
            },
            |view: &mut View| view.peers[0].sizes.sessions = 137,
            |view: &mut View| view.peers[0].sizes.waiting = 17,
            |view: &mut View| view.peers[0].sizes.acquaintances = 65,
            |view: &mut View| view.peers[0].sizes.queues.unicasts = 257,
            |view: &mut View| view.peers[0].sizes.queues.questions = 5,
            // One founding and one record of names are its own.
            |view: &mut View| view.peers[0].sizes.queues.news = 67,
        ] {
            assert!(tables(&changed(change)).is_err());
        }
    }

    #[test]
    fn records_fails_when_there_are_too_many_or_too_long_ones_of_others() {
        assert_eq!(records(&pair()), Ok(()));
        // One founding and one record of names are its own.
        assert_eq!(records(&changed(|view| view.peers[0].sizes.records = 66)), Ok(()));
        assert!(records(&changed(|view| view.peers[0].sizes.records = 67)).is_err());
        assert!(records(&changed(|view| view.peers[1].sizes.records_len = (1 << 20) + 1)).is_err());
    }

    #[test]
    fn baseline_fails_when_tables_stay_full_at_rest() {
        assert_eq!(baseline(&pair()), Ok(()));
        for change in [
            |view: &mut View| view.peers[0].sizes.conns = 10,
            |view: &mut View| view.peers[0].sizes.sessions = 10,
            |view: &mut View| view.peers[0].sizes.attempts = 3,
            |view: &mut View| view.peers[0].sizes.waiting = 1,
            |view: &mut View| view.peers[0].sizes.queues.unicasts = 1,
            |view: &mut View| view.peers[0].sizes.queues.questions = 1,
            |view: &mut View| view.peers[0].sizes.queues.news = 1,
        ] {
            assert!(baseline(&changed(change)).is_err());
        }
        let heard_of = changed(|view| {
            view.peers[0].sizes.attempts = 3;
            view.peers[0].records.insert(Key::Peer(id(9)), version(1, 1));
        });
        assert_eq!(baseline(&heard_of), Ok(()));
    }
}
