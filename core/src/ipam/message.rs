//! What is said between peers about addresses, other than in records.

use super::Witnessed;
use crate::addr::Range;
use serde::{Deserialize, Serialize};

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
    /// Please give me `range`: containers of mine have all of it already. Answered by grants of what is
    /// free of it, and by `Denied` unless that is all, or not all of it fits into one answer.
    Regain {
        /// What they have.
        range: Range,
    },
}
