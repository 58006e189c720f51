//! The HTTP API that the command line and scripts talk to, over a unix socket.
//!
//! Paths, parameters and texts are Weave Net's wherever it had them; what it did by reading
//! namespaces itself (attach, detach, ps, …) is JSON here. There is no authentication: whoever may
//! open the socket (mode 0600: root) may do everything. Every error is an [`types::ErrorBody`].

mod answer;
mod awaited;
mod called;
pub mod client;
mod names;
mod refusal;
pub mod report;
mod request;
pub mod server;
pub mod text;
pub mod types;
mod verdict;
mod words;
