//! `sim`: runs scenarios and drawn worlds, says whether every rule held, and shows what happened.

#![expect(
    clippy::disallowed_methods,
    reason = "the time that people wait is real; worlds never see it"
)]

mod cli;

use clap::Parser;
use cli::Args;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sim: {error:#}");
            ExitCode::from(2)
        }
    }
}
