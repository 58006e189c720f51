//! What is counted of each host, for those who expect it to be little.

use super::World;
use std::fmt;
use weft_core::record::Key;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Bytes sent to others, frames of containers left out.
    Bytes,
    /// Calls of the node.
    Calls,
    /// Versions of what the peer says of itself.
    Updates,
    /// Frames relayed for others, since the last start.
    Relayed,
    /// Datagrams with frames that came through whole and were not taken, each counted once.
    Missed,
    /// Control links that stand.
    Links,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Calls => "calls",
            Self::Updates => "updates",
            Self::Relayed => "frames relayed",
            Self::Missed => "datagrams missed",
            Self::Links => "links",
        })
    }
}

impl World {
    /// How much there was of it at `host` so far. Versions begin anew with each start.
    pub fn count(&self, host: usize, counted: Counted) -> u64 {
        let Some(there) = self.hosts.get(host) else { return 0 };
        match counted {
            Counted::Bytes => self.view.peers.get(host).map_or(0, |peer| peer.spent),
            Counted::Calls => there.calls,
            Counted::Relayed => {
                let running = there.running.as_ref();
                running.map_or(0, |running| running.forwarder.counters().relayed)
            }
            Counted::Missed => self.net.brought(host).saturating_sub(there.taken),
            Counted::Links => {
                let links = self.view.peers.get(host).map_or(0, |peer| peer.linked.len());
                u64::try_from(links).unwrap_or(u64::MAX)
            }
            Counted::Updates => {
                let Some(running) = &there.running else { return 0 };
                let me = running.node.id();
                let own = [Key::Peer, Key::Space, Key::Voter, Key::Freeze].map(|key| key(me));
                let pages = (0..=u8::MAX).map(|page| Key::Names(me, page));
                let own = own.into_iter().chain(pages);
                let own = own.filter_map(|key| running.node.records().get(&key));
                own.map(|record| record.version.sequence).max().unwrap_or(0)
            }
        }
    }
}
