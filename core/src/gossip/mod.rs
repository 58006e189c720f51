//! Records and their way to every peer: one mechanism for all kinds.
//!
//! A record that is news is pushed down a tree of links and announced along the others, by which
//! the tree mends itself. What that missed (a link was down, a record was refused for want of room)
//! is found by comparing whole stores by ranges of hashes, when a link comes up and at intervals.

mod held;
mod lacking;
mod news;
mod prefix;
mod reconcile;
mod store;

pub(crate) use lacking::Lacking;
pub use news::TreeMessage;
pub(crate) use news::{News, is_urgent};
pub use prefix::{Have, Item, KeyHash, Prefix, Print};
pub(crate) use reconcile::answer;
pub use reconcile::{Answer, Content, Progress, Pull, Question, RangeAnswer};
pub use store::Records;
