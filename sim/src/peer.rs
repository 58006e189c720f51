//! What hosts of a world are called.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A host of the world, by its index; written as `n1`, `n2`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Peer(pub usize);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0 + 1)
    }
}

/// A peer that is not called `n1`, `n2`, …
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a peer: they are called n1, n2, n3 and so on")]
pub struct BadPeer(String);

impl FromStr for Peer {
    type Err = BadPeer;

    fn from_str(text: &str) -> Result<Self, BadPeer> {
        let number = text.strip_prefix('n').and_then(|digits| digits.parse::<usize>().ok());
        let index = number.and_then(|number| number.checked_sub(1));
        index.map(Self).ok_or_else(|| BadPeer(text.to_owned()))
    }
}

impl From<Peer> for String {
    fn from(peer: Peer) -> Self {
        peer.to_string()
    }
}

impl TryFrom<String> for Peer {
    type Error = BadPeer;

    fn try_from(text: String) -> Result<Self, BadPeer> {
        text.parse()
    }
}
