//! What waits for a node that cannot run just now: because its process is stopped, because each of
//! its steps takes long, or because it waits for its disk.

use crate::net::Datagram;
use std::collections::{BTreeSet, VecDeque};
use weft_core::io::{ConnId, Input, Output};
use weft_core::time::Instant;

/// Datagrams for the data path that wait while the process is stopped; the kernel drops more.
/// Source: Linux `rmem_default` of 208 KiB holds about this many small ones.
const DATAGRAMS_MAX: usize = 256;

/// The queue in front of one node.
#[derive(Debug, Default)]
pub struct Desk {
    /// When the node can run again; `None` while it can.
    pub free_at: Option<Instant>,
    /// Whether it is the process that is stopped, its data path too.
    pub stopped: bool,
    /// Whether the first of `rest` is a write that the disk has taken its time for.
    pub synced: bool,
    /// What is left to do of its last call.
    pub rest: VecDeque<Output>,
    inbox: VecDeque<Input>,
    datagrams: VecDeque<Datagram>,
}

impl Desk {
    /// Has `input` wait.
    pub fn put(&mut self, input: Input) {
        self.inbox.push_back(input);
    }

    /// Has a datagram for the data path wait, if there is room. Returns whether there is.
    pub fn put_datagram(&mut self, datagram: Datagram) -> bool {
        let fits = self.datagrams.len() < DATAGRAMS_MAX;
        if fits {
            self.datagrams.push_back(datagram);
        }
        fits
    }

    /// The next datagram for the data path.
    pub fn take_datagram(&mut self) -> Option<Datagram> {
        self.datagrams.pop_front()
    }

    /// What the driver would hand to the node next, of all that waits: commands before news of
    /// streams, these before probes, and streams that were opened last. Of a stream that the driver
    /// has not looked at, there is no news.
    pub fn take(&mut self) -> Option<Input> {
        let fresh: BTreeSet<ConnId> =
            self.inbox.iter().filter(|input| rank(input) == OPENED).filter_map(conn).collect();
        let rank = |input: &Input| {
            let waits = conn(input).is_some_and(|conn| fresh.contains(&conn));
            if waits { rank(input).max(OPENED) } else { rank(input) }
        };
        let waiting = self.inbox.iter().enumerate();
        let (index, _) = waiting.min_by_key(|(index, input)| (rank(input), *index))?;
        self.inbox.remove(index)
    }
}

/// Where streams that were opened stand among all that waits.
const OPENED: u8 = 4;

/// Source: `next_turn` of the runtime's driver.
const fn rank(input: &Input) -> u8 {
    match input {
        Input::Timeout => 0,
        Input::Command { .. } => 1,
        Input::Received { .. } | Input::Written { .. } | Input::Closed { .. } => 2,
        Input::Datagram { .. } | Input::Wanted { .. } => 3,
        Input::Opened { .. } | Input::DialFailed { .. } => OPENED,
    }
}

const fn conn(input: &Input) -> Option<ConnId> {
    match input {
        Input::Opened { conn, .. }
        | Input::DialFailed { conn, .. }
        | Input::Received { conn, .. }
        | Input::Written { conn }
        | Input::Closed { conn, .. } => Some(*conn),
        Input::Timeout | Input::Datagram { .. } | Input::Wanted { .. } | Input::Command { .. } => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_core::io::{Command, RequestId};

    #[test]
    fn what_waits_is_taken_in_the_order_of_the_driver() {
        let (old, new) = (ConnId::accepted(1), ConnId::accepted(2));
        let at = "192.0.2.1:1".parse().unwrap();
        let datagram = Input::Datagram { from: at, bytes: vec![1] };
        let opened = Input::Opened { conn: new, local: at, remote: at };
        let early = Input::Received { conn: new, bytes: vec![2] };
        let received = Input::Received { conn: old, bytes: vec![3] };
        let command = Input::Command { request: RequestId(1), command: Command::Prime };
        let mut desk = Desk::default();
        for input in [&datagram, &opened, &early, &received, &command] {
            desk.put(input.clone());
        }
        let order: Vec<Input> = std::iter::from_fn(|| desk.take()).collect();
        assert_eq!(order, [command, received, datagram, opened, early]);
    }
}
