//! Whole-system tests: hosts and containers are network namespaces, `weft` is the real binary.
//!
//! * [`lab`]: hosts with wires between them, and containers; all of it goes when it is dropped.
//! * [`host`]: one host's `weft`, started and asked as a person would.
//! * [`container`]: a namespace that is put on the network.
//! * [`disk`]: a small disk, to be filled.
//! * [`client`]: a stream to a daemon's API.
//! * [`tools`]: `ip`, and the programs that were built with the tests.
//! * [`command`]: programs with a deadline, and programs in the background.
//! * [`trace`]: what is left on the machine, to show that nothing is.
//! * [`process`]: what a process takes of the machine.
//! * [`figures`]: what was measured, as a table shows it.
//! * [`dnsperf`]: what a DNS server is asked, and how fast it answers.
//! * [`rivals`]: other DNS servers, which are told the same names.
//! * [`talk`]: two containers that must not lose a word.
//! * [`crowd`]: many peers on one machine.
//! * [`siege`]: two hosts that somebody on their wire attacks: a [`stranger`], a [`member`] that keeps no
//!   rules, packets that are [`raw`] or come from a [`capture`].
//! * [`soak`]: real daemons whose clients and hosts do what they like, judged by their [`history`].
//! * [`tidy`] and [`circles`]: the repository's own rules, as functions over its text.
//!
//! A test makes a lab, acts, and ends with [`lab::Lab::finish`], which fails on anything left over.

pub mod capture;
pub mod circles;
pub mod client;
pub mod command;
pub mod container;
pub mod crowd;
pub mod disk;
pub mod dnsperf;
pub mod figures;
pub mod history;
pub mod host;
pub mod lab;
pub mod member;
pub mod play;
pub mod process;
pub mod raw;
pub mod reaper;
pub mod rivals;
pub mod siege;
pub mod soak;
pub mod stranger;
pub mod talk;
pub mod tidy;
pub mod tools;
pub mod trace;

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// What a thread of the test came to.
///
/// # Errors
/// Its own, and when it panicked.
pub fn outcome<T>(ended: std::thread::Result<Result<T>>) -> Result<T> {
    ended.unwrap_or_else(|_| bail!("a thread of the test panicked"))
}

/// Asks `condition` again and again until it holds.
///
/// # Errors
/// When it does not hold within `within`; `what` says what was awaited.
pub fn wait_until(what: &str, within: Duration, condition: impl FnMut() -> bool) -> Result<()> {
    if holds_within(within, condition) {
        return Ok(());
    }
    bail!("waited {within:?} in vain until {what}")
}

/// Whether `condition` comes to hold within `within`; it is asked every 10 ms.
pub fn holds_within(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + within;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
