//! Records and their way to every peer: one mechanism for all kinds.
//!
//! A record that is news is pushed to every neighbour but the one it came from. What pushing
//! missed (a link was down, a record was refused for want of room) is found by comparing whole
//! stores by ranges of hashes, when a link comes up and at intervals.

mod reconcile;
mod store;

pub(crate) use reconcile::answer;
pub use reconcile::{Answer, Content, Item, Print, Progress, Pull, Question, RangeAnswer};
pub use store::{KeyHash, Prefix, Records};
