//! The shell around the core: sockets, disk, clock, names on port 53, HTTP, and the commands.
#![warn(missing_docs)]

pub mod api;
pub mod attachments;
pub mod cli;
pub mod daemon;
pub mod handle;
pub mod run;
