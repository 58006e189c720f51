//! Who takes part: peers and chance from a small number.

use crate::addr::Universe;
use crate::config::{NetworkSecret, Versions};
use crate::handshake::{Hello, Local};
use crate::id::{Identity, Incarnation};
use crate::sleeve::SessionIndex;
use alloc::string::ToString;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

pub(super) fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

pub(super) fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

pub(super) fn local<'a>(identity: &'a Identity, secret: Option<&'a NetworkSecret>) -> Local<'a> {
    let id = identity.id();
    let hello = Hello {
        id,
        name: id.default_name(),
        nickname: "host".to_string(),
        incarnation: Incarnation(1),
        universe: Universe::DEFAULT,
        lineage: None,
        sleeve_port: 6783,
        session: SessionIndex(1),
        session_key: [9; 32],
        seals: secret.is_some(),
    };
    let secrets = secret.map_or(&[][..], core::slice::from_ref);
    Local { identity, secrets, versions: Versions::KNOWN, hello }
}
