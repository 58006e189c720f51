//! What a probe of a data path says.

use crate::codec::{self, DecodeError};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Payload of a [`super::Kind::Probe`] datagram, in postcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Counts up with each probe of the sender in this session.
    pub sequence: u64,
    /// Highest sequence that the sender has heard from the receiver; proves the way back.
    pub heard: Option<u64>,
}

impl Probe {
    /// The payload that says this.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The probe that `payload` is.
    ///
    /// # Errors
    /// When it is not exactly what [`Probe::encode`] writes.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_canonical(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_have_these_bytes() {
        let first = Probe { sequence: 1, heard: None };
        assert_eq!(first.encode(), [1, 0]);
        let later = Probe { sequence: 300, heard: Some(2) };
        assert_eq!(later.encode(), [0xac, 0x02, 1, 2]);
        assert_eq!(Probe::decode(&later.encode()), Ok(later));
    }

    #[test]
    fn a_probe_that_we_would_write_otherwise_is_refused() {
        assert_eq!(Probe::decode(&[1, 0, 0]), Err(DecodeError::Trailing(1)));
        assert_eq!(Probe::decode(&[0x81, 0x00, 0]), Err(DecodeError::NotCanonical));
        assert!(Probe::decode(&[1]).is_err());
        assert!(Probe::decode(&[1, 2]).is_err());
    }
}
