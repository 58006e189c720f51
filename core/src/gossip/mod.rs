//! Records and their way to every peer: one mechanism for all kinds.
//!
//! A record that is news is pushed to every neighbour but the one it came from. What pushing
//! missed (a link was down, a record was refused for want of room) is found by comparing whole
//! stores by ranges of hashes, when a link comes up and at intervals.

mod prefix;
mod reconcile;
mod store;

pub use prefix::{Item, KeyHash, Prefix, Print};
pub(crate) use reconcile::answer;
pub use reconcile::{Answer, Content, Progress, Pull, Question, RangeAnswer};
pub use store::Records;
