//! Ethernet II as far as a switch looks into it (IEEE 802.3 clause 3).

use core::fmt;

/// A MAC address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Mac {
    /// Whether it names a group: multicast and broadcast.
    pub const fn is_multicast(self) -> bool {
        let Self([first, ..]) = self;
        first & 1 != 0
    }

    /// Whether frames to it end at the next bridge, whatever that is (IEEE 802.1D table 7-10):
    /// spanning tree, link aggregation, LLDP and the like.
    pub const fn is_link_local(self) -> bool {
        let Self([a, b, c, d, e, last]) = self;
        matches!([a, b, c, d, e], [0x01, 0x80, 0xc2, 0, 0]) && last < 0x10
    }
}

/// A checked view of a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    destination: Mac,
    source: Mac,
    len: u16,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame must have 14 to 65535 bytes and a source that is one station's")]
pub struct FrameFault;

impl<'a> Frame<'a> {
    /// Shortest frame, in bytes: both addresses and a type. A bridge in software does not pad.
    pub const LEN_MIN: usize = 14;

    /// The frame that `bytes` are, without preamble and checksum.
    ///
    /// # Errors
    /// When it is shorter than its header, longer than a record can say, or sent by a group or by
    /// zeros.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameFault> {
        let (destination, rest) = bytes.split_first_chunk().ok_or(FrameFault)?;
        let (source, rest) = rest.split_first_chunk().ok_or(FrameFault)?;
        let len = u16::try_from(bytes.len()).map_err(|_| FrameFault)?;
        let (destination, source) = (Mac(*destination), Mac(*source));
        if rest.len() < 2 || source.is_multicast() || source == Mac([0; 6]) {
            return Err(FrameFault);
        }
        Ok(Self { bytes, destination, source, len })
    }

    /// The whole frame.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a frame has at least its header")]
    pub const fn len(&self) -> u16 {
        self.len
    }

    /// Whom it is for.
    pub const fn destination(&self) -> Mac {
        self.destination
    }

    /// Who sent it: one station's address.
    pub const fn source(&self) -> Mac {
        self.source
    }

    /// Whether it is for a group of stations, or for all.
    pub const fn is_multicast(&self) -> bool {
        self.destination.is_multicast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn a_frame_has_a_header_and_a_length_that_can_be_said() {
        let frame = [6, 0, 0, 0, 0, 2, 6, 0, 0, 0, 0, 1, 8, 0];
        let view = Frame::parse(&frame).unwrap();
        assert_eq!(view.destination(), Mac([6, 0, 0, 0, 0, 2]));
        assert_eq!(view.source(), Mac([6, 0, 0, 0, 0, 1]));
        assert!(!view.is_multicast());
        assert_eq!(Frame::parse(&frame[..13]), Err(FrameFault));
        let mut long = vec![2; 65_536];
        assert_eq!(Frame::parse(&long), Err(FrameFault));
        long.pop();
        assert_eq!(Frame::parse(&long).unwrap().len(), 65_535);
    }

    #[test]
    fn a_group_or_nobody_cannot_be_the_source() {
        for source in [[0; 6], [0xff; 6], [1, 0, 0, 0, 0, 1]] {
            let frame = [&[6, 0, 0, 0, 0, 2][..], &source, &[8, 0]].concat();
            assert_eq!(Frame::parse(&frame), Err(FrameFault));
        }
    }

    #[test]
    fn addresses_of_link_protocols_are_known() {
        assert!(Mac([1, 0x80, 0xc2, 0, 0, 0x0e]).is_link_local());
        assert!(!Mac([1, 0x80, 0xc2, 0, 0, 0x10]).is_link_local());
        assert!(!Mac([0xff; 6]).is_link_local());
    }
}
