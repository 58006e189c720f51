//! Lies to the core about the world: a simulated network, disks and clocks around the same
//! [`weft_core::node::Node`] and [`weft_core::forward::Forwarder`] that run in production.
//!
//! A run is a function of its seed. Start with [`world::Setup`] for a hand-made test, or with
//! [`scenario::Scenario::swarm`] for a drawn one.

pub mod address;
pub mod check;
pub mod choices;
pub mod duration;
pub mod fuzzing;
pub mod host;
pub mod logs;
pub mod marks;
pub mod net;
pub mod peer;
pub mod queue;
pub mod replay;
pub mod scenario;
pub mod shrink;
pub mod trace;
pub mod verified;
pub mod world;
