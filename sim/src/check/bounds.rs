//! Rules about limits: `bounds.tables`, `bounds.records`.

use super::{PeerView, View, Waiting};
use weft_core::forward::ForwarderSizes;
use weft_core::io::Command;
use weft_core::ipam::founding::SEEDS_MAX;
use weft_core::record::{Key, Record};
use weft_core::status::{IpamSizes, Queues, Sizes};
use weft_core::trust::Trust;

/// Streams beyond the limit of links that a node may have: some that shake hands or end.
/// Source: `UNPROVEN_MAX` of the node.
const UNPROVEN_MAX: usize = 128;
/// Streams that are being opened at once to targets, and as many to peers that were only heard of.
/// Source: `DIALS_MAX` of the dialer.
const DIALS_MAX: usize = 16;
/// Addresses of which is known how many handshakes came from them. Source: `SOURCES_MAX` of the node.
const SOURCES_MAX: usize = 1_024;
/// Records that one neighbour has announced and that do not come. Source: `KEYS_MAX` of what is lacking.
const LACKING_OF_NEIGHBOUR: usize = 1_024;
/// Offers and unproven sessions at once: our own, and those of others. Source: `UNDER_WAY_MAX` of
/// sessions on demand.
const SESSIONS_UNDER_WAY_MAX: usize = 2 * 64;
/// Data sessions of one link: the one in use, the one to come and the one that ends.
const SESSIONS_OF_LINK: usize = 3;
/// Labels of one peer without a link: of an offer, and of sessions that rise, stand and end.
const LABELS_OF_PEER: usize = 4;
/// Sessions of one peer without a link that its forwarder knows: that rise, stand and end.
const SESSIONS_OF_PEER: usize = 3;
/// Messages that wait for one neighbour. Source: `UNICASTS_MAX` of the link.
const UNICASTS_MAX: usize = 256;
/// Questions of one neighbour that wait. Source: `ASKED_MAX` of the link.
const QUESTIONS_MAX: usize = 4;
/// Neighbours that are remembered. Source: `ACQUAINTANCES_MAX` of the mesh.
const ACQUAINTANCES_MAX: usize = 64;
/// Bytes of a record besides its body. Source: `RECORD_OVERHEAD` of the store.
const OVERHEAD: usize = 144;
/// Bytes that wait to be written besides those of a link: the answers to all rounds of a handshake,
/// sealed when it is for fresh keys, and a refusal. Source: `ROUNDS_MAX` of the handshake.
const UNSENT_MAX: usize = 2_048;
/// Bytes that came and are no whole message: the longest one with its length, the longest record of
/// a stream with its header, and the longest message of a handshake for fresh keys with its own.
/// Source: `MESSAGE_LEN_MAX` and `RECORD_LEN_MAX` of the handshake, and the limit of its messages.
const UNREAD_MAX: usize = (1 << 20) + 4 + 16 * 1_024 + 64 + 4_096 + 64;
/// What is still to be asked for in a comparison. Source: `OPEN_MAX` and `KEYS_MAX` of gossip.
const PULL_MAX: usize = 16 * 16 * 64 + 1_024;
/// Of the records that may be kept, one in so many may be a grant that nobody can judge yet.
/// Source: `WAITING_PART` of the grants.
const WAITING_PART: usize = 8;
/// Records that are to be dropped. Source: `DEAD_MAX` of the grants.
const DEAD_MAX: usize = 65_536;
/// Ranges of which is known where to look first. Source: `CURSORS_MAX` of the holdings.
const CURSORS_MAX: usize = 1_024;
/// Places of hardware addresses. Source: `LEN_MAX` of the switch.
const MACS_MAX: usize = 65_536;
/// Room that is kept for one datagram each way: twice the longest, since room grows by doubling.
const ROOM_MAX: usize = 2 * 2 * 65_536;

/// A table or queue: what it holds, how much, how much at most, and how much at rest.
type Row = (&'static str, usize, usize, usize);

/// All tables and queues of a node and its forwarder. Each is taken from its sizes field by field, so
/// that one that is added needs its limits here.
fn rows(view: &View, peer: &PeerView, at_rest: bool) -> Vec<Row> {
    let told = &peer.told;
    let (links_max, records_max) = (told.conns_max, told.records_max + own(peer).0);
    let any = usize::try_from(view.universe.size()).unwrap_or(usize::MAX);
    // What only a mesh at rest is asked for is not counted at other times.
    let of_kind = |is: fn(&Key) -> bool| {
        if at_rest { peer.records.keys().filter(|key| is(key)).count() } else { 0 }
    };
    let heard_of = of_kind(|key| matches!(key, Key::Peer(_)));
    let gone = view.peers.iter().filter(|other| !other.live).count();
    let near = peer.near.len() + SPARE;
    // At rest, one session at most takes the place of another.
    let of_links = near + peer.near.len();
    let Sizes {
        conns,
        dialing,
        discovering,
        links,
        sessions,
        directs,
        sessions_under_way,
        sources,
        attempts,
        postponed: _,
        lost,
        acquaintances,
        records,
        records_len: _,
        lacking,
        peers,
        routes,
        holders,
        names,
        name_pages,
        unfinished,
        ipam,
        pulls,
        queues,
    } = peer.sizes;
    let IpamSizes {
        waiting,
        primes,
        asks,
        reachable,
        met,
        votes,
        freezes,
        early,
        unproven,
        ledger,
        titles,
        dead,
        hints,
        held,
        strays,
        settling,
        cursors,
    } = ipam;
    let Queues { unicasts, questions, news, unsent, unread, pull } = queues;
    let ForwarderSizes { sessions: data_sessions, routes: ways, direct, wanted, macs, room } =
        peer.forwarder;
    // Whom it talks with at rest, or did of late.
    let others = view.peers.len() + SPARE;
    let sessions_max = told.sessions_max;
    // To each peer a way, and of each the broadcasts over as many links as there may be.
    let routes_max = |peers: usize| peers * (2 + links_max.min(peers));
    // Who is taken off a list is forgotten at once, and the ways to it with the next calculation.
    let is_told = |waiting: &Waiting| {
        matches!(waiting.command, Command::Trust(Trust::Allow { peers: Some(_) }))
    };
    let routed =
        if told.was_listed || peer.waiting.iter().any(is_told) { records_max + 1 } else { peers };
    let waiting_max = told.records_max / WAITING_PART;
    // What the doc of `ipam::titles` comes to, and the grants themselves: each share of a founding has
    // an address, and each grant of use is held. Papers may be read later than sizes.
    let titles_max = any.saturating_mul(4).saturating_add((5 + 1) * records);
    vec![
        ("links", links, links_max, links_max),
        ("streams", conns - dialing, links_max + UNPROVEN_MAX, near),
        // Who is forgotten may be dialed again while the dial before is under way.
        ("dials", dialing, 2 * DIALS_MAX, 2 * DIALS_MAX),
        ("dials of peers that were heard of", discovering, DIALS_MAX, DIALS_MAX),
        (
            "sessions",
            sessions,
            SESSIONS_OF_LINK * links_max + UNPROVEN_MAX + LABELS_OF_PEER * sessions_max,
            of_links + others,
        ),
        ("peers with sessions", directs, sessions_max, others),
        ("sessions under way", sessions_under_way, SESSIONS_UNDER_WAY_MAX, SESSIONS_UNDER_WAY_MAX),
        ("sources of handshakes", sources, SOURCES_MAX, SOURCES_MAX),
        // Whom to dial: targets of old and new, and whoever was heard of or is remembered. Who is gone for
        // good may be both, at an address that it had before.
        (
            "peers to dial",
            attempts,
            2 * view.peers.len() + records_max + ACQUAINTANCES_MAX,
            view.peers.len() + heard_of + gone,
        ),
        ("lost links", lost, records_max + links_max, links_max),
        ("remembered neighbours", acquaintances, ACQUAINTANCES_MAX, ACQUAINTANCES_MAX),
        ("known peers", peers, records_max + 1, heard_of + 1),
        ("records that are lacking", lacking, (links_max + 1) * LACKING_OF_NEIGHBOUR, 0),
        ("routes", routes, routes_max(routed), routes_max(view.peers.len())),
        ("names with ways", holders, routed, view.peers.len() + heard_of),
        ("own names", names, told.names_max, told.names_max),
        ("pages of names", name_pages, records_max, of_kind(|key| matches!(key, Key::Names(..)))),
        ("unfinished changes", unfinished, 0, 0),
        ("waiting commands", waiting, told.waiting_max, 0),
        ("commands that wait for the founding", primes, told.waiting_max, 0),
        ("ranges asked for", asks, told.waiting_max, 0),
        ("peers in reach", reachable, routed, view.peers.len()),
        ("voters that were met before the founding", met, SEEDS_MAX, SEEDS_MAX),
        ("voters", votes, records_max + 1, view.peers.len() + heard_of),
        ("peers that speak of evictions", freezes, records_max, view.peers.len() + heard_of),
        ("early grants", early, waiting_max, waiting_max),
        ("unproven grants", unproven, waiting_max, waiting_max),
        ("intervals of the ledger", ledger, any, any),
        ("titles", titles, titles_max, titles_max),
        ("records to drop", dead, DEAD_MAX, 0),
        ("hints", hints, records_max, of_kind(|key| matches!(key, Key::Space(_)))),
        ("held addresses", held, any, any),
        ("strays", strays, held, held),
        ("ranges taken over just now", settling, any, 0),
        ("cursors", cursors, CURSORS_MAX, CURSORS_MAX),
        ("comparisons", pulls, links_max, links_max),
        ("messages for one neighbour", unicasts, UNICASTS_MAX, 0),
        ("questions of one neighbour", questions, QUESTIONS_MAX, 0),
        ("records to tell one neighbour", news, records_max, 0),
        ("unsent bytes of a handshake", unsent, UNSENT_MAX, UNSENT_MAX),
        ("unread bytes of one neighbour", unread, UNREAD_MAX, UNSENT_MAX),
        // At rest nothing differs: no more is open than the first question.
        ("parts of a comparison", pull, PULL_MAX, 1),
        (
            "data sessions",
            data_sessions,
            SESSIONS_OF_LINK * links_max + SESSIONS_OF_PEER * sessions_max,
            of_links + others,
        ),
        ("straight ways", direct, sessions_max, others),
        ("peers that are wanted", wanted, routed, view.peers.len() + heard_of),
        ("ways of frames", ways, routes_max(routed), routes_max(view.peers.len())),
        ("places of hardware addresses", macs, MACS_MAX, MACS_MAX),
        ("bytes of room for datagrams", room, ROOM_MAX, ROOM_MAX),
    ]
}

/// No table or queue of a node is fuller than its limit.
pub(super) fn tables(view: &View) -> Result<(), String> {
    view.live().try_for_each(|(host, peer)| within(view, host, peer))
}

/// The same of those that were just read.
pub(super) fn changed_tables(view: &View) -> Result<(), String> {
    let mut changed = view.changed().filter(|(_, peer)| peer.live);
    changed.try_for_each(|(host, peer)| within(view, host, peer))
}

fn within(view: &View, host: usize, peer: &PeerView) -> Result<(), String> {
    match rows(view, peer, false).into_iter().find(|(_, is, max, _)| is > max) {
        Some((what, is, max, _)) => {
            Err(format!("n{} has {is} {what}, and the limit is {max}", host + 1))
        }
        None => Ok(()),
    }
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
    let is_other = |key: &&Key| match key {
        Key::Peer(writer) | Key::Names(writer, _) | Key::Space(writer) => Some(*writer) == peer.id,
        Key::Founding(_) | Key::Grant(_) | Key::Voter(_) | Key::Freeze(_) => false,
    };
    let others = peer.records.keys().filter(is_other).count();
    // A grant or vote is short; names may take all that a body may.
    let len = papers * 4_096 + others * (Record::BODY_LEN_MAX + OVERHEAD);
    (papers + others, len)
}

/// Streams that a node at rest may have besides its links: strangers come and go.
const SPARE: usize = 8;

/// In a mesh at rest, tables are as small again as what they are for.
pub(super) fn baseline(view: &View) -> Result<(), String> {
    for (host, peer) in view.live() {
        if let Some((what, is, _, max)) =
            rows(view, peer, true).into_iter().find(|(_, is, _, max)| is > max)
        {
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
            |view: &mut View| view.peers[0].sizes.discovering = 17,
            |view: &mut View| view.peers[0].sizes.sessions = 169,
            |view: &mut View| view.peers[0].sizes.directs = 5,
            |view: &mut View| view.peers[0].sizes.sessions_under_way = 129,
            |view: &mut View| view.peers[0].sizes.holders = 1,
            |view: &mut View| view.peers[0].sizes.attempts = 200,
            |view: &mut View| view.peers[0].sizes.lost = 80,
            |view: &mut View| view.peers[0].sizes.acquaintances = 65,
            // One founding and one record of names are its own.
            |view: &mut View| view.peers[0].sizes.peers = 68,
            |view: &mut View| view.peers[0].sizes.routes = 1,
            |view: &mut View| view.peers[0].sizes.names = 17,
            |view: &mut View| view.peers[0].sizes.name_pages = 67,
            |view: &mut View| view.peers[0].sizes.unfinished = 1,
            |view: &mut View| view.peers[0].sizes.ipam.waiting = 17,
            |view: &mut View| view.peers[0].sizes.ipam.asks = 17,
            |view: &mut View| view.peers[0].sizes.ipam.reachable = 1,
            |view: &mut View| view.peers[0].sizes.ipam.votes = 68,
            |view: &mut View| view.peers[0].sizes.ipam.freezes = 67,
            |view: &mut View| view.peers[0].sizes.ipam.early = 9,
            |view: &mut View| view.peers[0].sizes.ipam.unproven = 9,
            |view: &mut View| view.peers[0].sizes.ipam.ledger = 17,
            |view: &mut View| view.peers[0].sizes.ipam.titles = 65,
            |view: &mut View| view.peers[0].sizes.ipam.dead = 65_537,
            |view: &mut View| view.peers[0].sizes.ipam.hints = 67,
            |view: &mut View| view.peers[0].sizes.ipam.held = 17,
            |view: &mut View| view.peers[0].sizes.ipam.cursors = 1_025,
            |view: &mut View| view.peers[0].sizes.pulls = 9,
            |view: &mut View| view.peers[0].sizes.queues.unicasts = 257,
            |view: &mut View| view.peers[0].sizes.queues.questions = 5,
            |view: &mut View| view.peers[0].sizes.queues.news = 67,
            |view: &mut View| view.peers[0].sizes.queues.unsent = 2_049,
            |view: &mut View| view.peers[0].sizes.queues.unread = 1_100_000,
            |view: &mut View| view.peers[0].sizes.queues.pull = 17_409,
            |view: &mut View| view.peers[0].forwarder.sessions = 37,
            |view: &mut View| view.peers[0].forwarder.direct = 5,
            |view: &mut View| view.peers[0].forwarder.wanted = 1,
            |view: &mut View| view.peers[0].forwarder.routes = 1,
            |view: &mut View| view.peers[0].forwarder.macs = 65_537,
            |view: &mut View| view.peers[0].forwarder.room = 262_145,
        ] {
            let view = changed(change);
            assert!(tables(&view).is_err());
            assert!(changed_tables(&view).is_err());
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
            |view: &mut View| view.peers[0].sizes.sessions = 21,
            |view: &mut View| view.peers[0].sizes.directs = 11,
            |view: &mut View| view.peers[0].sizes.attempts = 3,
            |view: &mut View| view.peers[0].sizes.ipam.waiting = 1,
            |view: &mut View| view.peers[0].sizes.ipam.asks = 1,
            |view: &mut View| view.peers[0].sizes.ipam.dead = 1,
            |view: &mut View| view.peers[0].sizes.queues.unicasts = 1,
            |view: &mut View| view.peers[0].sizes.queues.questions = 1,
            |view: &mut View| view.peers[0].sizes.queues.news = 1,
            |view: &mut View| view.peers[0].sizes.queues.unread = 2_049,
            |view: &mut View| view.peers[0].sizes.queues.pull = 2,
            |view: &mut View| view.peers[0].forwarder.sessions = 21,
            |view: &mut View| view.peers[0].forwarder.direct = 11,
        ] {
            assert!(baseline(&changed(change)).is_err());
        }
        let heard_of = changed(|view| {
            view.peers[0].sizes.attempts = 3;
            view.peers[0].records.insert(Key::Peer(id(9)), version(1, 1));
        });
        assert_eq!(baseline(&heard_of), Ok(()));
        let gone = changed(|view| {
            view.peers[0].sizes.attempts = 3;
            view.peers[1].live = false;
        });
        assert_eq!(baseline(&gone), Ok(()));
    }
}
