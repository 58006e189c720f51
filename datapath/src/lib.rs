//! Moving frames: namespaces, bridge and veth plumbing, and the sleeve's TAP and UDP sockets.
//!
//! The functions over rtnetlink take a [`rtnetlink::Handle`] that the caller opened and drives. A
//! netlink socket belongs to the namespace in which it was opened, so the handle of another
//! namespace is opened inside [`netns::NamespaceFd::run`].
#![warn(missing_docs)]

pub mod address;
pub mod announce;
pub mod bridge;
pub mod container;
pub mod engine;
pub mod link;
pub mod netns;
pub mod odp;
pub mod route;
pub mod tap;
pub mod udp;
