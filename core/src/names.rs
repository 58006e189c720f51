//! Names: which addresses a name stands for, and whose word that is.
//!
//! Each peer writes one record with all its own names. Nothing is ever marked deleted: a name is
//! gone when its peer's newest record lacks it, or when its peer cannot be reached.

use crate::id::{ContainerId, PeerId};
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// A fully qualified host name: lower case, without the final dot (RFC 1035 section 2.3.1, with
/// underscores and digits anywhere, as container engines allow them).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Longest name, in bytes.
    pub const LEN_MAX: usize = 253;

    /// The name as text, without the final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it lies in `domain` (`weft.local`) and is not the domain itself.
    pub fn is_within(&self, domain: &Self) -> bool {
        self.0
            .strip_suffix(domain.as_str())
            .is_some_and(|head| head.len() > 1 && head.ends_with('.'))
    }
}

/// Why a text is no host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no host name: expected labels of 1 to 63 letters, digits, '-' or '_', joined by dots, 253 in all"
)]
pub struct ParseNameError(pub String);

impl FromStr for Name {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label_ok = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if name.len() <= Self::LEN_MAX && name.split('.').all(label_ok) {
            Ok(Self(name))
        } else {
            Err(ParseNameError(text.to_string()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = ParseNameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        // From the wire or the disk: only the one form that we write.
        let name: Self = text.parse()?;
        if name.0 == text { Ok(name) } else { Err(ParseNameError(text)) }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One name for one address of one container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NameEntry {
    /// The name.
    pub name: Name,
    /// What it stands for.
    pub address: IpAddr,
    /// On whose behalf.
    pub id: ContainerId,
}

/// Body of [`crate::record::Key::Names`]: all names of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesRecord {
    /// In order, each once.
    pub entries: BTreeSet<NameEntry>,
}

/// An entry and the peer whose word it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KnownName {
    /// The entry.
    pub entry: NameEntry,
    /// Its writer.
    pub origin: PeerId,
}

/// Most names that one peer may write.
pub const NAMES_MAX: usize = 2_000;
