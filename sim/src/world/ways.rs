//! What befalls single streams, and where hosts are.

use super::World;
use crate::net::Rules;
use crate::peer::Peer;
use serde::{Deserialize, Serialize};

/// What a router in front of a host does with its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nat {
    /// Whomever it sends to, it is seen with one port.
    Cone,
    /// Each destination sees another port.
    Symmetric,
}

impl World {
    /// Has what streams carry from `from` to `to` stand still.
    pub fn stall(&mut self, from: usize, to: usize) {
        self.net.paths.stall(from, to);
        let (from, to) = (Peer(from), Peer(to));
        self.note(None, "FAULT", format_args!("streams from {from} to {to} stand still"));
    }

    /// Resets all streams between two hosts.
    pub fn reset(&mut self, a: usize, b: usize) {
        self.net.reset(self.now, a, b);
        self.note(None, "FAULT", format_args!("streams of {} and {} are reset", Peer(a), Peer(b)));
    }

    /// Has `host` forget its streams with `other`.
    pub fn half_open(&mut self, host: usize, other: usize) {
        self.net.half_open(self.now, host, other);
        self.note(Some(host), "FAULT", format_args!("forgets its streams with {}", Peer(other)));
    }

    /// Has `host` read its streams slowly.
    pub fn slow_reader(&mut self, host: usize, rate: u64) {
        self.net.paths.slow_reader(host, rate);
        self.note(Some(host), "FAULT", format_args!("reads {rate} bytes a second"));
    }

    /// Puts `host` behind a router; streams that stand go on.
    pub fn hide(&mut self, host: usize, nat: Nat, rules: Rules) {
        let symmetric = match nat {
            Nat::Cone => false,
            Nat::Symmetric => true,
        };
        self.net.hide(host, symmetric, rules);
        let whose = match rules.shared {
            None => "a router".to_owned(),
            Some(other) => format!("that of {}", Peer(other)),
        };
        self.note(Some(host), "FAULT", format_args!("is behind {whose} ({nat:?})"));
    }

    /// Has the router in front of `host` give other ports.
    pub fn rebind(&mut self, host: usize) {
        self.net.rebind(host);
        self.note(Some(host), "FAULT", format_args!("its router gives other ports"));
    }

    /// Gives `host` another address: that of `other`, which gets its own, or one of nobody.
    pub fn change_address(&mut self, host: usize, other: Option<usize>) {
        match other {
            Some(other) => self.net.swap_addresses(self.now, host, other),
            None => self.net.change_address(self.now, host),
        }
        let address = self.net.address(host);
        self.note(Some(host), "FAULT", format_args!("its address is {address}"));
    }
}
