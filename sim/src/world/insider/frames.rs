//! Datagrams that an insider sends in its data session, or says that it does.

use super::facts::Facts;
use super::lie::Lie;
use weft_core::id::PeerName;
use weft_core::sleeve::{Kind, Session, SessionIndex};

/// Bytes of frames in one datagram, at most.
const PAYLOAD_LEN: usize = 32 * 1024;

/// The datagrams that `lie` is about, for the session that the host knows as `index`; `name` is the
/// liar's own, and `data` seals in it.
pub(super) fn of(
    lie: Lie,
    facts: &Facts,
    name: PeerName,
    index: SessionIndex,
    data: &mut Session,
    count: u32,
) -> Vec<Vec<u8>> {
    if lie == Lie::ForgedDatagrams || lie == Lie::OneBreath {
        return forged(index, count);
    }
    let payloads = if lie == Lie::BadFrames {
        bad_payloads(facts, name)
    } else if lie == Lie::ManyMacs {
        many_macs(name, count)
    } else {
        Vec::new()
    };
    payloads.iter().filter_map(|payload| data.seal(payload).ok()).collect()
}

/// Datagrams that nobody sealed.
fn forged(SessionIndex(index): SessionIndex, count: u32) -> Vec<Vec<u8>> {
    let kinds = [Kind::Data as u8, Kind::Probe as u8];
    let datagram = |kind: u8, index: u32, counter: u64, body: &[u8]| {
        [&[kind][..], &index.to_be_bytes(), &counter.to_be_bytes(), body].concat()
    };
    let of_kind = |kind| {
        (0..u64::from(count)).flat_map(move |n| {
            [
                // In its own session, as if sealed, and with no room for a seal.
                datagram(kind, index, 1 << 20 | n, &[0x5a; 48]),
                datagram(kind, index, 1 << 21 | n, &[0x5a; 3]),
                // In a session that nobody has.
                datagram(kind, !index, n, &[0x5a; 48]),
            ]
        })
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

/// Payloads that are well sealed and no frames that any host would send.
fn bad_payloads(facts: &Facts, name: PeerName) -> Vec<Vec<u8>> {
    let (nobody, other) = (PeerName([2, 9, 9, 9, 9, 9]), facts.another_name());
    let all = PeerName::default();
    let frame = frame([0x0a, 9, 9, 9, 9, 9]);
    vec![
        vec![0x5a; 40],
        parcel(all, all, 16, &frame),
        parcel(name, all, 16, &frame[..9]),
        parcel(name, other, 0, &frame),
        parcel(name, nobody, 255, &frame),
        parcel(facts.name, all, 16, &frame),
        [parcel(name, all, 1, &frame), vec![1, 2, 3]].concat(),
    ]
}

/// Broadcasts from `count` addresses.
fn many_macs(name: PeerName, count: u32) -> Vec<Vec<u8>> {
    let parcels = (0..count).map(|n| {
        let [a, b, c, d] = n.to_be_bytes();
        parcel(name, PeerName::default(), 1, &frame([0x0a, 0xee, a, b, c, d]))
    });
    let mut payloads = vec![Vec::new()];
    for parcel in parcels {
        match payloads.last_mut() {
            Some(last) if last.len() < PAYLOAD_LEN => last.extend(parcel),
            Some(_) | None => payloads.push(parcel),
        }
    }
    payloads
}

/// A frame for all from the MAC address `from`, of a protocol that nobody speaks.
fn frame(from: [u8; 6]) -> Vec<u8> {
    [&[0xff; 6][..], &from, &[0x88, 0xb6]].concat()
}

/// As [`weft_core::sleeve`] draws it.
fn parcel(source: PeerName, destination: PeerName, hops: u8, frame: &[u8]) -> Vec<u8> {
    let len = u16::try_from(frame.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&source.0[..], &destination.0, &[hops], &len, frame].concat()
}
