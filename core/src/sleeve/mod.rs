//! The sleeve: Ethernet frames in UDP datagrams, sealed with a box per datagram.
//!
//! ```text
//!  0      1         5                 13
//!  +------+---------+-----------------+------------------------------+
//!  | kind | session | counter         | payload, sealed (+16 bytes)  |
//!  +------+---------+-----------------+------------------------------+
//! ```
//! All numbers big-endian. `session` is the index that the *receiver* chose, at random, so that
//! datagrams of an old session never reach a new one. The box is XChaCha20-Poly1305 under the
//! X25519 secret of two keys that the authenticated handshake carried, or the link that it made, or
//! signed messages; its 24-byte nonce is
//! `direction (1) ‖ kind (1) ‖ zeros (14) ‖ counter (8)`, so kind and counter are bound to it;
//! direction is 1 in what the side that dialed sends, and 0 the other way. The tag is at the end.
//!
//! Without a network secret, payloads are in the clear and have no tag: everything else is the same.
//!
//! Payload of a data datagram, one or more times ([`crate::forward::Parcel`]):
//! ```text
//!  0            6                 12     13       15
//!  +------------+-----------------+------+--------+-------+
//!  | source     | destination     | hops | length | frame |
//!  +------------+-----------------+------+--------+-------+
//! ```
//! `source` and `destination` are peer names; destination zero is a broadcast along the source's
//! tree; `hops` counts down at each relay.

mod probe;
mod session;
mod window;

pub use probe::Probe;
pub use session::{Kind, Session, SessionIndex, SessionKeys, SleeveFault};
pub use window::Window;
