//! Links with neighbours: dialing, accepting, authenticating, keeping alive.

mod acquaintances;
mod attempt;
mod dialer;
mod direct;
mod directs;
mod link;
mod message;
mod offer;
mod path;

pub(crate) use acquaintances::Acquaintances;
pub(crate) use attempt::{Attempt, End, State as DialState, Whom};
pub(crate) use dialer::Dialer;
pub(crate) use direct::{Direct, DirectPath, Due, OfferMade};
pub(crate) use directs::{Directs, NoRoom};
pub(crate) use link::{Conn, Ends, Link, Phase, SessionKey, Shaking, Way};
pub(crate) use path::{Pace, Path, Turn as PathTurn};

pub use crate::fault::ConnFault;
pub use message::{FreshHalf, Goodbye, Message, Renewal, Unicast, UnicastBody};
pub use offer::{Decline, Half, SessionMessage};
