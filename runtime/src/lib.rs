//! The shell around the core: sockets, disk, clock, names on port 53, HTTP, and the commands.
#![warn(missing_docs)]

pub mod api;
pub mod attachments;
pub mod cli;
pub mod clock;
mod conn_io;
pub mod daemon;
mod dial;
pub mod dns;
pub mod driver;
mod event_log;
pub mod handle;
pub mod host;
pub mod logging;
pub mod names;
pub mod namespace;
pub mod net;
pub mod probe;
pub mod recorder;
pub mod resident;
pub mod run;
mod run_files;
pub mod secret;
pub mod store;
#[cfg(test)]
mod testing;
