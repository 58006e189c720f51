//! What an eavesdropper heard of datagrams.

use super::parcel::Datagram;

/// Datagrams that a tape holds; what comes later is not recorded.
const TAPE_LEN: usize = 512;

/// A datagram on a tape: its sender, and as it would have arrived.
pub(super) type Recorded = (usize, Datagram);

/// What was recorded, once somebody records.
#[derive(Debug, Default)]
pub(super) struct Tape(Option<Vec<Recorded>>);

impl Tape {
    /// Nobody records.
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Somebody records from here on.
    pub(super) const fn begun() -> Self {
        Self(Some(Vec::new()))
    }

    /// All that was recorded.
    pub(super) fn heard(&self) -> Vec<Recorded> {
        self.0.clone().unwrap_or_default()
    }

    /// Keeps a datagram that sets out.
    pub(super) fn hear(&mut self, from: usize, datagram: &Datagram) {
        if let Some(tape) = &mut self.0
            && tape.len() < TAPE_LEN
        {
            tape.push((from, datagram.clone()));
        }
    }
}
