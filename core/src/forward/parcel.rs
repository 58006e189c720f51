//! A frame on its way between peers, as a data datagram carries it ([`crate::sleeve`] draws it).

use super::ethernet::{Frame, FrameFault};
use crate::id::PeerName;
use crate::sleeve::Session;

/// One frame, from which peer to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parcel<'a> {
    /// The peer on whose bridge the frame was sent.
    pub source: PeerName,
    /// The peer that it is for; `None` is a broadcast along the source's tree. Zeros on the wire.
    pub destination: Option<PeerName>,
    /// How often it may still be relayed.
    pub hops: u8,
    /// The frame.
    pub frame: Frame<'a>,
}

/// Bytes in front of the frame.
const HEADER_LEN: usize = 15;

/// Bytes that a datagram has beside the IP packet of a container in it: the headers of the frame, of
/// the parcel and of the session, and the seal.
pub const ENVELOPE_LEN: usize =
    Frame::LEN_MIN + HEADER_LEN + Session::HEADER_LEN + Session::TAG_LEN;

impl<'a> Parcel<'a> {
    /// What goes in front of the frame's bytes.
    pub fn header(&self) -> [u8; HEADER_LEN] {
        let PeerName(source) = self.source;
        let PeerName(destination) = self.destination.unwrap_or_default();
        let bytes = source.into_iter().chain(destination).chain([self.hops]);
        let mut header = [0; HEADER_LEN];
        for (to, from) in header.iter_mut().zip(bytes.chain(self.frame.len().to_be_bytes())) {
            *to = from;
        }
        header
    }

    /// The first parcel of `payload` and what follows it.
    ///
    /// # Errors
    /// When it is cut short, has no source, or its frame is not well formed.
    pub fn read(payload: &'a [u8]) -> Result<(Self, &'a [u8]), FrameFault> {
        let (source, rest) = payload.split_first_chunk().ok_or(FrameFault)?;
        let (destination, rest) = rest.split_first_chunk().ok_or(FrameFault)?;
        let (&[hops, high, low], rest) = rest.split_first_chunk().ok_or(FrameFault)?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (frame, rest) = rest.split_at_checked(len).ok_or(FrameFault)?;
        let source = PeerName(*source);
        if source == PeerName::default() {
            return Err(FrameFault);
        }
        let destination = Some(PeerName(*destination)).filter(|peer| *peer != PeerName::default());
        Ok((Self { source, destination, hops, frame: Frame::parse(frame)? }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_has_these_bytes() {
        let bytes = [&HEADER[..], &FRAME[..]].concat();
        let parcel = Parcel {
            source: PeerName([2, 0, 0, 0, 0, 1]),
            destination: Some(PeerName([2, 0, 0, 0, 0, 9])),
            hops: 16,
            frame: Frame::parse(&FRAME).unwrap(),
        };
        assert_eq!(parcel.header(), HEADER);
        assert_eq!(Parcel::read(&bytes), Ok((parcel, &[][..])));
        let all = Parcel { destination: None, ..parcel };
        assert_eq!(all.header()[6..12], [0; 6]);
        let bytes = [&all.header()[..], &FRAME[..], b"more"].concat();
        assert_eq!(Parcel::read(&bytes), Ok((all, &b"more"[..])));
    }

    #[test]
    fn a_parcel_cut_anywhere_or_without_a_source_is_refused() {
        let mut bytes = [&HEADER[..], &FRAME[..]].concat();
        for len in 0..bytes.len() {
            assert_eq!(Parcel::read(&bytes[..len]), Err(FrameFault), "cut at {len}");
        }
        bytes[0] = 0;
        bytes[5] = 0;
        assert_eq!(Parcel::read(&bytes), Err(FrameFault));
    }

    const HEADER: [u8; 15] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 16, 0, 14];
    const FRAME: [u8; 14] = [6, 0, 0, 0, 0, 2, 6, 0, 0, 0, 0, 1, 8, 0];
}
