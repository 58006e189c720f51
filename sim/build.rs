//! Tells the program which revision of its sources it is built from.
//!
//! This runs when those sources change, which is when they are compiled again, and not at each commit:
//! a commit that changes none of them, or only records changes that were built before, builds nothing
//! anew. The revision is then still one that has these sources, or had them with the changes that
//! `-dirty` stands for. To ask git when the program runs would name whatever lies there by then; to
//! watch git's own files would compile the simulator again after each commit.

use std::process::Command;

/// What the simulator is made of, as seen from its own folder.
const SOURCES: [&str; 7] = [
    "build.rs",
    "Cargo.toml",
    "src",
    "../core/Cargo.toml",
    "../core/src",
    "../Cargo.toml",
    "../Cargo.lock",
];

fn main() {
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
    }
    println!(
        "cargo::rustc-env=SIM_REVISION={}",
        revision().unwrap_or_else(|| "unknown".to_owned())
    );
}

/// The last commit, and whether the sources differ from it; `None` where there is no git, or nothing
/// of it.
fn revision() -> Option<String> {
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changes = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    let dirty = if changes.is_empty() { "" } else { "-dirty" };
    Some(format!("{commit}{dirty}"))
}

/// What git says, in the folder of this package.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim().to_owned())
}
