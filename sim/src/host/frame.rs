//! Ethernet frames as simulated containers send them: address resolution and echo.
//!
//! Headers are true Ethernet II; payloads are of this simulator, since a switch does not look into
//! them: EtherType 0x0806 for who-has and is-at, 0x88b5 (IEEE local experiments) for echoes.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use weft_core::codec;

/// A MAC address.
pub type MacBytes = [u8; 6];

/// All containers.
pub const BROADCAST: MacBytes = [0xff; 6];

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EtherPayload {
    /// Whose is this address?
    WhoHas {
        /// The address.
        address: IpAddr,
        /// Who asks.
        from: IpAddr,
    },
    /// Mine.
    IsAt {
        /// The address.
        address: IpAddr,
        /// Who asked.
        to: IpAddr,
    },
    /// A ping.
    Echo {
        /// Who pings.
        from: IpAddr,
        /// Whom.
        to: IpAddr,
        /// Which of all pings of the run.
        number: u64,
    },
    /// Its answer.
    EchoReply {
        /// Who answers.
        from: IpAddr,
        /// Whom.
        to: IpAddr,
        /// As in the ping.
        number: u64,
    },
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// From.
    pub source: MacBytes,
    /// To.
    pub destination: MacBytes,
    /// What it says.
    pub payload: EtherPayload,
}

impl Frame {
    /// Least length of a frame without its checksum (IEEE 802.3 clause 3.2.8).
    const LEN_MIN: usize = 60;

    /// Whether everybody is meant.
    pub fn is_broadcast(&self) -> bool {
        self.destination == BROADCAST
    }

    /// As on the wire, without the checksum.
    pub fn to_bytes(self) -> Vec<u8> {
        let ethertype: u16 = match self.payload {
            EtherPayload::WhoHas { .. } | EtherPayload::IsAt { .. } => 0x0806,
            EtherPayload::Echo { .. } | EtherPayload::EchoReply { .. } => 0x88b5,
        };
        let mut bytes = [self.destination, self.source].concat();
        bytes.extend(ethertype.to_be_bytes());
        let payload = codec::encode(&self.payload);
        bytes.push(u8::try_from(payload.len()).unwrap_or(u8::MAX));
        bytes.extend(payload);
        bytes.resize(bytes.len().max(Self::LEN_MIN), 0);
        bytes
    }

    /// The frame in `bytes`, or `None` when no container of ours sent it.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (destination, rest) = bytes.split_first_chunk()?;
        let (source, rest) = rest.split_first_chunk()?;
        let (_, rest) = rest.split_first_chunk::<2>()?;
        let (len, rest) = rest.split_first()?;
        let payload = codec::decode(rest.get(..usize::from(*len))?).ok()?;
        Some(Self { source: *source, destination: *destination, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_as_it_was_written() {
        let address = "10.32.0.1".parse().unwrap();
        let payload = EtherPayload::Echo { from: address, to: address, number: 7 };
        let frame = Frame { source: [2; 6], destination: BROADCAST, payload };
        assert_eq!(frame.to_bytes().len(), 60);
        assert_eq!(Frame::from_bytes(&frame.to_bytes()), Some(frame));
    }
}
