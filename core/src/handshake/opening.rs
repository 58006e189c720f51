//! The handshake that opens a stream: it ends with a channel.

use super::machine::{Ended, Local, Machine, Own, Turn};
use super::{Channel, HandshakeFault, Hello};
use alloc::vec::Vec;
use rand_chacha::ChaCha20Rng;

/// A handshake under way.
#[derive(Debug)]
pub struct Handshake(Machine);

/// What a handshake wants after some bytes.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is taken apart at once"
)]
pub enum Step {
    /// Send these (maybe none) and wait for more.
    More {
        /// To send.
        send: Vec<u8>,
    },
    /// Send these (maybe none); the link is authenticated.
    Done {
        /// To send.
        send: Vec<u8>,
        /// Sealed messages from here on.
        channel: Channel,
        /// Who the other side is.
        hello: Hello,
    },
}

impl Handshake {
    /// Starts as the side that dialed; returns the first bytes to send.
    pub fn initiate(local: Local<'_>, rng: &mut ChaCha20Rng) -> (Self, Vec<u8>) {
        let (machine, first) = Machine::begin(Own::new(&local, rng));
        (Self(machine), first)
    }

    /// Waits as the side that was dialed.
    pub fn respond(local: Local<'_>, rng: &mut ChaCha20Rng) -> Self {
        Self(Machine::wait(Own::new(&local, rng)))
    }

    /// First messages so far, each of which may have been a guess of a secret.
    pub const fn rounds(&self) -> u8 {
        self.0.rounds()
    }

    /// Whether nothing has come yet.
    pub const fn is_untouched(&self) -> bool {
        self.0.is_untouched()
    }

    /// Bytes that have arrived and are no whole message.
    pub const fn unread(&self) -> usize {
        self.0.unread()
    }

    /// Takes in bytes of the stream, cut anywhere. Bytes that follow the handshake stay in the
    /// channel of [`Step::Done`], to be had from [`Channel::receive`] with no more bytes.
    ///
    /// # Errors
    /// When it cannot succeed any more; the second value is to be sent before closing, so that the
    /// other side can tell its operator why (may be empty). What the other side refuses with is not
    /// authentic: it may be shown and put off the next dial, but nothing else may depend on it.
    pub fn receive(self, bytes: &[u8]) -> Result<(Option<Self>, Step), (HandshakeFault, Vec<u8>)> {
        let (machine, turn) = self.0.receive(bytes)?;
        Ok(match turn {
            Turn::More(send) => (machine.map(Self), Step::More { send }),
            Turn::Done(ended) => {
                let Ended { send, transport, version, left, own, dialed, secret, hello } = *ended;
                let kept = (own, dialed, secret);
                let channel = Channel::new((transport, version), left, kept, hello.id);
                (None, Step::Done { send, channel, hello })
            }
        })
    }
}
