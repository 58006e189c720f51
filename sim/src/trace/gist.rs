//! What an observer can tell of a message without any key.
//!
//! Streams are cut into frames, `length (2) ‖ type (1) ‖ body (length)`: types 1 and 4 are a handshake,
//! 2 is a refusal, 3 a sealed record. A sealed heartbeat is the only message of its length: the kind of
//! the record (1), a length (4), one byte and a tag (16). Datagrams say in their first byte what they
//! carry.

use crate::net::Carrier;
use weft_core::sleeve::Kind;

/// Body of a frame that seals a heartbeat.
const HEARTBEAT_LEN: usize = 1 + 4 + 1 + 16;

/// Frames that are told apart in one write.
const FRAMES_MAX: usize = 32;

/// A heartbeat and nothing else.
pub(super) const HEARTBEAT: &str = "heartbeat";
/// A probe of a data path.
pub(super) const PROBE: &str = "probe";

/// What `bytes` seem to be.
pub(super) fn gist(carrier: Carrier, bytes: &[u8]) -> String {
    match carrier {
        Carrier::Dial => "dial".to_owned(),
        Carrier::End => "end".to_owned(),
        Carrier::Datagram => match bytes.first() {
            Some(first) if *first == Kind::Probe as u8 => PROBE.to_owned(),
            Some(first) if *first == Kind::Data as u8 => "frames".to_owned(),
            Some(_) | None => "unknown".to_owned(),
        },
        Carrier::Stream => stream(bytes),
    }
}

fn stream(mut bytes: &[u8]) -> String {
    // Each kind once, in order of appearance, with how often it comes.
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for _ in 0..FRAMES_MAX {
        let Some((&[high, low, kind], rest)) = bytes.split_first_chunk::<3>() else { break };
        let len = usize::from(u16::from_be_bytes([high, low]));
        let kind = match kind {
            1 | 4 => "handshake",
            2 => "refusal",
            3 if len == HEARTBEAT_LEN => HEARTBEAT,
            3 => "sealed",
            _ => "unknown",
        };
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
        bytes = rest.get(len..).unwrap_or_default();
    }
    let words = kinds.into_iter().map(|(kind, count)| match count {
        1 => kind.to_owned(),
        count => format!("{count} {kind}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, len: u8) -> Vec<u8> {
        let mut frame = vec![0, len, kind];
        frame.resize(3 + usize::from(len), 0);
        frame
    }

    #[test]
    fn a_write_is_told_by_its_frames() {
        let bytes = [frame(1, 9), frame(3, 40), frame(3, 50), frame(3, 22)].concat();
        assert_eq!(gist(Carrier::Stream, &bytes), "handshake, 2 sealed, heartbeat");
        assert_eq!(gist(Carrier::Stream, &frame(3, 22)), HEARTBEAT);
        assert_eq!(gist(Carrier::Stream, &frame(4, 9)), "handshake");
        assert_eq!(gist(Carrier::Stream, &[]), "");
        assert_eq!(gist(Carrier::Stream, &[0xff; 900]), "unknown");
    }

    #[test]
    fn a_datagram_is_told_by_its_first_byte() {
        assert_eq!(gist(Carrier::Datagram, &[0x11, 1]), PROBE);
        assert_eq!(gist(Carrier::Datagram, &[0x10]), "frames");
        assert_eq!(gist(Carrier::Datagram, &[]), "unknown");
    }
}
