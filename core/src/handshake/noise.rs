//! Noise as weft uses it: randomness from the caller, and no key of low order.

use super::HandshakeFault;
use alloc::boxed::Box;
use alloc::vec::Vec;
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, Error, HandshakeState};

const WITH_SECRET: &str = "Noise_XXpsk2_25519_ChaChaPoly_SHA256";
const WITHOUT_SECRET: &str = "Noise_XX_25519_ChaChaPoly_SHA256";

/// Where the key from SPAKE2 is mixed in: behind the second message's keys (psk2).
pub(super) const PSK_PLACE: usize = 2;
/// Bytes of a X25519 public key.
pub(super) const KEY_LEN: usize = 32;

/// What a handshake of Noise needs from us.
pub(super) struct Setup<'a> {
    pub(super) dialed: bool,
    pub(super) has_secret: bool,
    pub(super) exchange_secret: &'a [u8; 32],
    pub(super) prologue: &'a [u8],
    pub(super) rng: ChaCha20Rng,
}

impl Setup<'_> {
    #[expect(clippy::expect_used, reason = "depends on constants only, and every test passes here")]
    pub(super) fn start(self) -> Box<HandshakeState> {
        let pattern = if self.has_secret { WITH_SECRET } else { WITHOUT_SECRET };
        let start = || {
            let builder = Builder::with_resolver(pattern.parse()?, Box::new(Resolver(self.rng)))
                .local_private_key(self.exchange_secret)?
                .prologue(self.prologue)?;
            if self.dialed { builder.build_initiator() } else { builder.build_responder() }
        };
        Box::new(start().expect("the pattern is one that snow knows"))
    }
}

/// The next message, with `payload`.
pub(super) fn write(noise: &mut HandshakeState, payload: &[u8]) -> Result<Vec<u8>, HandshakeFault> {
    // Two keys and two tags at most.
    let mut message = alloc::vec![0; payload.len() + 2 * (KEY_LEN + 16)];
    let len = noise
        .write_message(payload, &mut message)
        .map_err(|error| fault(&error, "a message that cannot be written"))?;
    message.truncate(len);
    Ok(message)
}

/// The payload of the next message.
pub(super) fn read(noise: &mut HandshakeState, message: &[u8]) -> Result<Vec<u8>, HandshakeFault> {
    let mut payload = alloc::vec![0; message.len()];
    let len = noise
        .read_message(message, &mut payload)
        .map_err(|error| fault(&error, "a message of the handshake does not open"))?;
    payload.truncate(len);
    Ok(payload)
}

pub(super) const LOW_ORDER: HandshakeFault = HandshakeFault::Malformed("a key of low order");

fn fault(error: &Error, other: &'static str) -> HandshakeFault {
    if *error == Error::Dh { LOW_ORDER } else { HandshakeFault::Malformed(other) }
}

pub(super) struct Resolver(pub(super) ChaCha20Rng);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Seeded(self.0.clone())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice).map(|dh| Box::new(Contributory(dh)) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

struct Seeded(ChaCha20Rng);

impl Random for Seeded {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

/// X25519 that refuses results to which the other key contributed nothing (RFC 7748 section 6.1):
/// snow's own takes the all-zero secret that a key of low order leads to.
struct Contributory(Box<dyn Dh>);

impl Dh for Contributory {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn pub_len(&self) -> usize {
        self.0.pub_len()
    }

    fn priv_len(&self) -> usize {
        self.0.priv_len()
    }

    fn set(&mut self, privkey: &[u8]) {
        self.0.set(privkey);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        self.0.generate(rng)
    }

    fn pubkey(&self) -> &[u8] {
        self.0.pubkey()
    }

    fn privkey(&self) -> &[u8] {
        self.0.privkey()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        self.0.dh(pubkey, out)?;
        let all = out.iter().take(KEY_LEN).fold(0, |all, byte| all | byte);
        if all == 0 { Err(Error::Dh) } else { Ok(()) }
    }
}
