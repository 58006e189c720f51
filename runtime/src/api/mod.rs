//! The HTTP API that the command line and scripts talk to, over a unix socket.
//!
//! Paths, parameters and texts are Weave Net's wherever it had them; what it did by reading
//! namespaces itself (attach, detach, ps, …) is JSON here. There is no authentication: whoever may
//! open the socket (mode 0660) may do everything.

pub mod client;
pub mod report;
pub mod server;
pub mod text;
pub mod types;

/// Name of the socket in the run folder.
pub const SOCKET: &str = "weft.sock";
