//! Signatures that were found good, for a process in which many nodes look at the same ones.
//!
//! In a mesh of N peers each new version of a record is verified N times. A simulator has all N in one
//! process and can remember what came of the first look. That changes no result: whether a signature is
//! good follows from key, signature and message alone, only good ones are remembered, and each stands
//! under a SHA-256 of all three, so what differs in any bit is looked at itself.
//!
//! A daemon has one node, which looks at a version once, and remembers nothing.

use once_cell::race::OnceRef;
use sha2::{Digest, Sha256};

/// Names one signature over one message by one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proof(pub [u8; 32]);

impl Proof {
    /// The name of `signature` by `key` over `message`. Only the last has no fixed length, so no two
    /// signatures are written alike.
    pub(crate) fn of(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Self {
        let hash = Sha256::new().chain_update(key).chain_update(signature).chain_update(message);
        Self(hash.finalize().into())
    }
}

/// Where a process remembers good signatures.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Whether this one was kept, and is not forgotten.
    pub knows: fn(&Proof) -> bool,
    /// This one was found good.
    pub keep: fn(Proof),
}

static MEMORY: OnceRef<'static, Memory> = OnceRef::new();

/// Has `memory` asked before any signature is looked at, until the process ends. Whoever comes second
/// changes nothing.
pub fn remember(memory: &'static Memory) {
    // The first one stays.
    let _ = MEMORY.set(memory);
}

/// Whether `is_good`, or was when it was last asked about the same signature.
pub(crate) fn once(
    key: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
    is_good: impl FnOnce() -> bool,
) -> bool {
    let Some(memory) = MEMORY.get() else { return is_good() };
    let proof = Proof::of(key, message, signature);
    if (memory.knows)(&proof) {
        return true;
    }
    let is_good = is_good();
    if is_good {
        (memory.keep)(proof);
    }
    is_good
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    static KEPT: Mutex<BTreeSet<Proof>> = Mutex::new(BTreeSet::new());

    static MEMORY: Memory = Memory {
        knows: |proof| KEPT.lock().unwrap().contains(proof),
        keep: |proof| {
            KEPT.lock().unwrap().insert(proof);
        },
    };

    #[test]
    fn a_good_signature_is_looked_at_once_and_a_bad_one_each_time() {
        remember(&MEMORY);
        let (key, signature) = ([1; 32], [2; 64]);
        for is_good in [false, false, true] {
            let mut was_asked = false;
            let said = once(&key, b"x", &signature, || {
                was_asked = true;
                is_good
            });
            assert!(was_asked && said == is_good);
        }
        assert!(once(&key, b"x", &signature, || unreachable!("it is known")));
    }

    #[test]
    fn what_differs_in_anything_is_looked_at_itself() {
        remember(&MEMORY);
        let (key, signature) = ([3; 32], [4; 64]);
        assert!(once(&key, b"x", &signature, || true));
        assert!(!once(&[5; 32], b"x", &signature, || false));
        assert!(!once(&key, b"y", &signature, || false));
        assert!(!once(&key, b"", &signature, || false));
        assert!(!once(&key, b"x", &[6; 64], || false));
    }
}
