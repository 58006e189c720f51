//! Every decision of weft, with no clock, no socket, no thread and no chance of its own.
//!
//! One state machine, [`node::Node`], decides about peers, addresses, names and routes; one
//! smaller machine beside it, [`forward::Forwarder`], decides about each frame. Both are told what
//! happened and say what they want done, in plain data.
//!
//! # How to drive a node
//! 1. Make it with [`node::Node::new`] and carry out what it put into the [`io::Outbox`].
//! 2. Wait for something to happen or for [`node::Node::deadline`], whichever is first.
//! 3. Call [`node::Node::handle`] with the time and what happened.
//! 4. Carry out all outputs, in order. Go to 2.
//!
//! # The contract
//! 1. After `handle`, `deadline()` is `None` or later than `now.mono`: nothing is left due.
//! 2. [`io::Input::Timeout`] may come early or late and does only what is due.
//! 3. `now.mono` does not go back. `now.unix` may do anything.
//! 4. Outputs are carried out in order; what follows a `Persist` happens only once it is durable.
//! 5. At most one `Write` per conn is outstanding; the next follows `Written`.
//! 6. After `Close` or `Closed`, a conn is never named again, in or out.
//! 7. Every command gets exactly one reply, in some later or the same outbox.
//! 8. Bytes from peers cannot make `handle` panic, loop, or grow memory beyond the limits stated
//!    in [`config::Config`] and in constants.
//! 9. Same configuration, saved state, seed and inputs: same outputs, byte for byte.
//!
//! Points 1 and 5 to 7 in code: [`contract::Contract`].
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod addr;
pub mod codec;
pub mod command;
pub mod config;
pub mod conn;
pub mod contract;
pub mod event;
pub mod fault;
pub mod flight;
pub mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod gossip;
pub mod handshake;
pub mod id;
pub mod io;
pub mod ipam;
pub mod mark;
pub mod mesh;
pub mod names;
pub mod node;
pub mod record;
pub mod saved;
pub mod sleeve;
pub mod status;
pub mod time;
pub mod topology;
pub mod trust;
pub mod verified;
