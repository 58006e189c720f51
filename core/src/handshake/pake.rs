//! How a secret of the network becomes a key that only the two ends of one handshake know.

use super::HandshakeFault;
use super::noise;
use rand_chacha::ChaCha20Rng;
use sha2::{Digest, Sha256};
use snow::HandshakeState;
use spake2::{Ed25519Group, Password, Spake2};
use zeroize::Zeroizing;

/// Bytes of an element of SPAKE2.
pub(super) const ELEMENT_LEN: usize = 32;

/// Mixes the key of a key file into `noise`: nobody guesses 32 random bytes, so it needs no SPAKE2.
pub(super) fn mix_key(key: &[u8; 32], noise: &mut HandshakeState) -> Result<(), HandshakeFault> {
    mix(b"weft-1 network key", key, noise)
}

fn mix(label: &[u8], key: &[u8], noise: &mut HandshakeState) -> Result<(), HandshakeFault> {
    let digest = Sha256::new().chain_update(label).chain_update(key).finalize();
    let psk = Zeroizing::new(<[u8; 32]>::from(digest));
    noise
        .set_psk(noise::PSK_PLACE, &*psk)
        .map_err(|_| HandshakeFault::Malformed("no room for the key"))
}

/// Our half of SPAKE2.
pub(super) struct Pake {
    state: Spake2<Ed25519Group>,
    /// What the other side is to get of it.
    pub(super) element: [u8; ELEMENT_LEN],
    /// How the crate marks the other side's element.
    their_mark: u8,
}

impl Pake {
    pub(super) fn start(password: &[u8; 32], dialed: bool, rng: &mut ChaCha20Rng) -> Self {
        let password = Password::new(password);
        let dialer = spake2::Identity::new(b"weft-1 dialer");
        let listener = spake2::Identity::new(b"weft-1 listener");
        let (state, marked) = if dialed {
            Spake2::start_a_with_rng(&password, &dialer, &listener, rng)
        } else {
            Spake2::start_b_with_rng(&password, &dialer, &listener, rng)
        };
        let mut element = [0; ELEMENT_LEN];
        for (to, from) in element.iter_mut().zip(marked.into_iter().skip(1)) {
            *to = from;
        }
        Self { state, element, their_mark: if dialed { b'B' } else { b'A' } }
    }

    /// Mixes the common key into `noise`.
    pub(super) fn finish(
        self,
        theirs: &[u8; ELEMENT_LEN],
        noise: &mut HandshakeState,
    ) -> Result<(), HandshakeFault> {
        if *theirs == self.element {
            return Err(HandshakeFault::Malformed("our own element came back"));
        }
        let mut marked = alloc::vec![self.their_mark];
        marked.extend(theirs);
        let key = self.state.finish(&marked);
        let key = Zeroizing::new(key.map_err(|_| HandshakeFault::Malformed("no SPAKE2 element"))?);
        mix(b"weft-1 handshake key", &key, noise)
    }
}
