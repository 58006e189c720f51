//! The shell around the core: sockets, disk, clock, HTTP API, DNS server, and the command line.

pub mod api;
pub mod cli;
pub mod run;
