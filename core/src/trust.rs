//! Whom a node trusts, as operators change it while the node runs.

use crate::config::NetworkSecret;
use crate::id::PeerId;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Proves `secret` to other peers from here on, and the one before only to those that do not have
    /// it. Links that stand change over as soon as both ends can.
    AddSecret {
        /// The new one.
        secret: NetworkSecret,
    },
    /// The secret before the last [`Trust::AddSecret`] is valid no longer.
    RetireSecret {
        /// Also when links still run on it, which end.
        force: bool,
    },
    /// Has to do with these peers alone, and with itself; with everybody when `None`. Links with
    /// others end.
    Allow {
        /// Who they are.
        peers: Option<BTreeSet<PeerId>>,
    },
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum TrustError {
    /// There is no secret to add another one to.
    #[error("this peer was launched without a secret: launch all peers of the mesh with one")]
    NoSecret,
    /// It is in use.
    #[error("that secret is in use already: choose another one")]
    SecretInUse,
    /// There are two already.
    #[error("two secrets are in use already: `weft secret retire` ends the old one")]
    TooManySecrets,
    /// There is one only.
    #[error("only one secret is in use: there is no old one to retire")]
    NoOldSecret,
    /// Somebody still needs the old secret.
    #[error(
        "the links with {} still run on the old secret: `weft secret add` the new one there first, or cut them off with --force", .0.join(", ")
    )]
    OldSecretInUse(Vec<String>),
}
