//! Strangers who can reach the ports of a mesh, and do not know its password.

use super::World;
use super::stranger::Stranger;
use crate::net::{PORT, STRANGER};
use std::net::SocketAddr;
use weft_core::io::{ConnId, Input, Target};

/// Longest datagram and longest write of a stranger, in bytes.
const NOISE_MAX: u64 = 1_400;

impl World {
    /// Streams that strangers hold or try to open.
    pub fn strangers(&self) -> usize {
        self.strangers.len()
    }

    /// Sends `count` datagrams of nonsense to `host`.
    pub fn spray(&mut self, host: usize, count: u32) {
        self.note(Some(host), "FAULT", format_args!("{count} datagrams of a stranger"));
        let source = SocketAddr::new(self.net.address(STRANGER), PORT);
        for _ in 0..count {
            let noise = self.noise();
            self.net.forge(self.now, host, source, noise);
        }
    }

    /// Has strangers who never say a word open `count` streams to `host`.
    pub(super) fn mute(&mut self, host: usize, count: u32) {
        self.note(Some(host), "FAULT", format_args!("{count} strangers call and are silent"));
        (0..count).for_each(|_| self.visit(host, Stranger::Mute));
    }

    /// Has strangers who say what means nothing open `count` streams to `host`.
    pub(super) fn babble(&mut self, host: usize, count: u32) {
        self.note(Some(host), "FAULT", format_args!("{count} strangers call and babble"));
        (0..count).for_each(|_| self.visit(host, Stranger::Babbler));
    }

    /// Has a stranger open a stream to `host`.
    pub(super) fn visit(&mut self, host: usize, stranger: Stranger) {
        let conn = ConnId::dialed(self.visits);
        self.visits += 1;
        self.strangers.insert(conn, stranger);
        let target = Target { host: self.net.address(host).to_string(), port: PORT };
        self.net.dial(self.now, STRANGER, 0, conn, &target);
    }

    /// Sends every datagram again that was recorded, to whom it was for or back to its sender.
    pub fn replay(&mut self, reflect: bool) {
        self.net.replay(self.now, reflect);
        let what = if reflect { "sent back" } else { "sent again" };
        self.note(None, "FAULT", format_args!("recorded datagrams are {what}"));
    }

    /// A stranger hears something of a stream.
    pub(super) fn stranger_hears(&mut self, input: &Input) {
        match input {
            Input::Opened { conn, .. } => match self.strangers.get(conn) {
                Some(Stranger::Babbler) => {
                    let noise = self.noise();
                    self.net.write(self.now, STRANGER, *conn, noise);
                }
                Some(Stranger::Insider(_)) => self.insider_begins(*conn),
                Some(Stranger::Mute) | None => {}
            },
            Input::Received { conn, bytes } => self.insider_hears(*conn, bytes),
            Input::DialFailed { conn, .. } | Input::Closed { conn, .. } => {
                self.net.forget(STRANGER, *conn);
                self.strangers.remove(conn);
            }
            Input::Timeout
            | Input::Written { .. }
            | Input::Datagram { .. }
            | Input::Wanted { .. }
            | Input::Command { .. } => {}
        }
    }

    /// All strangers go away.
    pub(super) fn strangers_leave(&mut self) {
        for (conn, _) in std::mem::take(&mut self.strangers) {
            self.net.close(self.now, STRANGER, conn);
        }
        self.net.forget_tape();
    }

    fn noise(&mut self) -> Vec<u8> {
        let len = 1 + self.draw(NOISE_MAX);
        (0..len).map(|_| u8::try_from(self.draw(256)).unwrap_or(0)).collect()
    }
}
