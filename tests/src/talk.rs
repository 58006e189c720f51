//! Two containers that talk to each other while something happens: do they lose words?

use crate::command::Background;
use crate::container::Container;
use crate::lab::Lab;
use anyhow::{Context as _, Result, ensure};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Longer than ping takes to start or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer that comes later than this is none.
const LATE: Duration = Duration::from_secs(1);

/// Ten pings a second.
#[derive(Debug)]
pub struct Talk(Background);

/// What came of a talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Pings that left.
    pub sent: u64,
    /// Those of them that were not answered.
    pub lost: u64,
}

impl Talk {
    /// Begins, and waits for the first answer.
    ///
    /// # Errors
    /// When there is none.
    pub fn begin(lab: &Lab, from: &Container, to: Ipv4Addr) -> Result<Self> {
        let ping = ["-n", "-i", "0.1", &to.to_string()];
        let pings = lab.background(from.command("ping").args(ping))?;
        pings.wait_for("bytes from", PATIENCE)?;
        Ok(Self(pings))
    }

    /// Waits for the answer to the `n`th ping.
    ///
    /// # Errors
    /// When it does not come.
    pub fn wait_for(&self, n: usize) -> Result<()> {
        self.0.wait_for(&format!("icmp_seq={n} "), PATIENCE)
    }

    /// Ends it, and counts.
    ///
    /// # Errors
    /// When an answer came twice.
    pub fn end(mut self) -> Result<Said> {
        // Whoever is on the way may still arrive.
        std::thread::sleep(LATE);
        self.0.signal("INT")?;
        self.0.wait(PATIENCE)?;
        let text = self.0.text();
        ensure!(!text.contains("DUP!"), "an answer came twice:\n{text}");
        let [sent, received] = counted(&text).with_context(|| text.clone())?;
        // The last one may have left just now.
        Ok(Said { sent, lost: sent.saturating_sub(received).saturating_sub(1) })
    }
}

/// How many pings were sent and how many answers came, as ping says at its end.
fn counted(text: &str) -> Option<[u64; 2]> {
    let line = text.lines().find(|line| line.contains(" packets transmitted, "))?;
    let mut numbers = line.split(", ").map(|part| part.split(' ').next()?.parse().ok());
    Some([numbers.next()??, numbers.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_ping_are_understood() {
        let text = "--- 10.32.0.1 ping statistics ---\n\
            103 packets transmitted, 101 received, +1 errors, 1.9% packet loss, time 10343ms\n";
        assert_eq!(counted(text), Some([103, 101]));
        assert_eq!(counted("PING 10.32.0.1"), None);
    }
}
