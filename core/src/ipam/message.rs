//! What is said between peers about addresses, other than in records.

use super::Witnessed;
use super::freeze::HELD_MAX;
use crate::addr::Range;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Most ranges in one message: as many as a [`super::Freeze`] names.
pub(super) const RANGES_MAX: usize = HELD_MAX;

/// Most addresses that may be asked for by one `Regain`: more than the containers of any host have, and less than what
/// an owner would miss.
pub(super) const REGAINED_MAX: u128 = 65_536;

/// Whether an honest peer may ask for these: no more ranges and addresses than there may be, each of the ranges behind
/// the one before.
pub(super) fn is_regain(ranges: &[Range]) -> bool {
    let in_order = ranges.windows(2).all(|pair| matches!(pair, [a, b] if a.end <= b.start));
    let size = ranges.iter().fold(0u128, |size, range| size.saturating_add(range.size()));
    let empty = ranges.iter().any(Range::is_empty);
    ranges.len() <= RANGES_MAX && size <= REGAINED_MAX && in_order && !empty
}

/// What one IPAM says to another, over any number of hops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpamMessage {
    /// Please give me addresses inside `range` (just that one, when it has size one). Answered by
    /// a [`super::Grant`] record, or by `Denied`.
    Request {
        /// Where.
        range: Range,
    },
    /// Nothing to give inside `range`.
    Denied {
        /// As asked.
        range: Range,
    },
    /// Do you know the same of what I own? Answered by the same words as `Confirmed` when so, and
    /// else not at all: then one of the two has yet to hear something.
    Confirm(Witnessed),
    /// The sender, who owns addresses itself, knows the same of what the receiver owns.
    Confirmed(Witnessed),
    /// Please give me these: containers of mine have them already. Answered by grants of what the receiver owns of it
    /// and has free, and by `Taken`.
    Regain {
        /// What they have, at most 65,536 addresses in at most 1,024 ranges, each behind the one before.
        ranges: Vec<Range>,
    },
    /// Of what was to be regained, containers of the sender have these, which it owns.
    Taken {
        /// At most 1,024.
        ranges: Vec<Range>,
    },
}
