//! Who is who: peers, their printed names, their incarnations, and the containers they hold.

use crate::verified;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A peer's public identity: its Ed25519 verifying key.
///
/// The id is the key, so nothing maps ids to keys and nothing can disagree about it. The X25519
/// key of the handshake is the same key in Montgomery form (RFC 7748 section 4.1, birational map).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub [u8; 32]);

impl PeerId {
    /// Whether `signature` over `message` was made with this peer's key.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        verified::once(&self.0, message, signature, || {
            let signature = Signature::from_bytes(signature);
            VerifyingKey::from_bytes(&self.0)
                .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
        })
    }

    /// The X25519 public key that belongs to this id, or `None` when the bytes are no point.
    pub fn exchange_key(&self) -> Option<[u8; 32]> {
        VerifyingKey::from_bytes(&self.0).ok().map(|key| key.to_montgomery().to_bytes())
    }

    /// The whole of it as text: 64 hex digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| alloc::format!("{byte:02x}")).collect()
    }

    /// The name a peer has when its operator gave it none: a locally administered unicast MAC.
    pub fn default_name(&self) -> PeerName {
        let digest = Sha256::new().chain_update(b"weft peer name").chain_update(self.0).finalize();
        let mut name = [0; 6];
        for (to, from) in name.iter_mut().zip(digest) {
            *to = from;
        }
        name[0] = (name[0] | 0x02) & !0x01;
        PeerName(name)
    }
}

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no id of a peer: expected 64 hex digits, as `weft status` prints them")]
pub struct ParsePeerIdError(pub String);

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParsePeerIdError(text.to_string());
        from_hex(text).map(Self).ok_or_else(bad)
    }
}

/// The 32 bytes that 64 hex digits stand for.
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit =
        |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = [0; 32];
    if pairs.len() != bytes.len() {
        return None;
    }
    for (to, [high, low]) in bytes.iter_mut().zip(pairs) {
        *to = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// The first four bytes in hex: enough for a log line.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

/// A peer's secret: the Ed25519 key, made at first start and kept as its seed. Wiped when dropped.
#[derive(Clone)]
pub struct Identity {
    /// With its public half: to calculate that costs as much as a signature.
    key: SigningKey,
}

impl Identity {
    /// The identity of `seed`, which must come from a cryptographic source.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(&Zeroizing::new(seed)) }
    }

    /// The secret itself, to be stored with mode 0600.
    pub fn seed(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// The public half.
    pub fn id(&self) -> PeerId {
        PeerId(self.key.verifying_key().to_bytes())
    }

    /// The X25519 secret that belongs to [`PeerId::exchange_key`].
    pub fn exchange_secret(&self) -> [u8; 32] {
        self.key.to_scalar_bytes()
    }

    /// Signs `message` (Ed25519, RFC 8032: deterministic).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.id())
    }
}

/// The 48-bit name of a peer, for people and for wherever the wire needs a MAC.
///
/// Text form as in Weave Net: six hex bytes with colons, where `::` stands for one run of zeros.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerName(pub [u8; 6]);

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no peer name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no peer name: expected six hex bytes like 0a:1b:2c:3d:4e:5f, where '::' may stand for one run of zeros"
)]
pub struct ParsePeerNameError(pub String);

impl FromStr for PeerName {
    type Err = ParsePeerNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParsePeerNameError(text.to_string());
        let bytes = |part: &str| -> Result<alloc::vec::Vec<u8>, ParsePeerNameError> {
            if part.is_empty() {
                return Ok(alloc::vec::Vec::new());
            }
            part.split(':')
                .map(|byte| match byte.len() {
                    1 | 2 if byte.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                        u8::from_str_radix(byte, 16).map_err(|_| bad())
                    }
                    _ => Err(bad()),
                })
                .collect()
        };
        let name: [u8; 6] = match text.split_once("::") {
            None => bytes(text)?.try_into().map_err(|_| bad())?,
            Some((head, tail)) => {
                let (head, tail) = (bytes(head)?, bytes(tail)?);
                if head.len() + tail.len() > 5 {
                    return Err(bad());
                }
                let mut name = [0; 6];
                for (to, from) in name.iter_mut().zip(&head) {
                    *to = *from;
                }
                for (to, from) in name.iter_mut().rev().zip(tail.iter().rev()) {
                    *to = *from;
                }
                name
            }
        };
        if name == [0; 6] {
            return Err(bad());
        }
        Ok(Self(name))
    }
}

/// A peer as people know it, by what was heard of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeerLabel {
    /// Who.
    pub id: PeerId,
    /// Its name; the one that follows from its id while nothing was heard.
    pub name: PeerName,
    /// What its operator calls it; empty while nothing was heard.
    pub nickname: String,
}

impl PeerLabel {
    /// Of a peer of which nothing was heard.
    pub fn unheard(id: PeerId) -> Self {
        Self { id, name: id.default_name(), nickname: String::new() }
    }

    /// Whether that is what somebody calls it: its nickname, its name, its id, or what is printed of it.
    pub fn is_called(&self, text: &str) -> bool {
        let by_name = text == self.nickname || text == self.to_string();
        // There is no empty nickname to be called by.
        !text.is_empty()
            && (by_name || text.parse() == Ok(self.name) || text.parse() == Ok(self.id))
    }
}

/// `name(nickname)`, or the name alone while nothing was heard.
impl fmt::Display for PeerLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id: _, name, nickname } = self;
        if nickname.is_empty() { write!(f, "{name}") } else { write!(f, "{name}({nickname})") }
    }
}

/// Which start of a peer: a counter kept on its disk, so a later start is a larger number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

/// What an address or a name is held for: a container, a `weft run`, or weft itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// Longest id, in bytes: a container engine's ids are 64.
    pub const LEN_MAX: usize = 128;

    /// The address that `weft expose` gives to the host. Source: Weave Net's `weave:expose`.
    pub fn expose() -> Self {
        Self("weft:expose".to_string())
    }

    /// The address that the DNS server answers on.
    pub fn dns() -> Self {
        Self("weft:dns".to_string())
    }

    /// Names added by hand that belong to no container. Source: Weave Net's `weave:extern`.
    pub fn external() -> Self {
        Self("weft:extern".to_string())
    }

    /// Whether only weft itself holds something under this id: it begins with `weft:`.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("weft:")
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

/// Why a text is no container id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("container id {0:?} must be 1 to {max} visible ASCII characters", max = ContainerId::LEN_MAX)]
pub struct ParseContainerIdError(pub String);

impl TryFrom<String> for ContainerId {
    type Error = ParseContainerIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let ok = (1..=Self::LEN_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if ok { Ok(Self(text)) } else { Err(ParseContainerIdError(text)) }
    }
}

impl FromStr for ContainerId {
    type Err = ParseContainerIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_zeros_in_a_peer_name_may_be_left_out() {
        let parse = |text: &str| text.parse::<PeerName>().map(|name| name.0);
        assert_eq!(parse("::1"), Ok([0, 0, 0, 0, 0, 1]));
        assert_eq!(parse("a::b:c"), Ok([10, 0, 0, 0, 11, 12]));
        assert_eq!(parse("01:02:03:04:05:06"), Ok([1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn what_is_no_peer_name_is_refused() {
        for bad in [
            "",
            "::",
            "1",
            "1:2:3:4:5",
            "1:2:3:4:5:6:7",
            "g::1",
            "1::2::3",
            "123::",
            "1:+2:3:4:5:6",
        ] {
            assert!(bad.parse::<PeerName>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_peer_is_called_by_all_that_is_printed_of_it_and_by_nothing_else() {
        let (id, name) = (PeerId([7; 32]), PeerName([10, 0, 0, 0, 0, 1]));
        let label = PeerLabel { id, name, nickname: "host1".to_string() };
        assert_eq!(label.to_string(), "0a:00:00:00:00:01(host1)");
        for text in ["host1", "0a:00:00:00:00:01", "a::1", &label.to_string(), &id.hex()] {
            assert!(label.is_called(text), "{text:?}");
        }
        let unheard = PeerLabel::unheard(id);
        assert_eq!(unheard.to_string(), id.default_name().to_string());
        for text in ["", "()", "(host1)", "host", "::1"] {
            assert!(!label.is_called(text) && !unheard.is_called(text), "{text:?}");
        }
        assert!(unheard.is_called(&unheard.to_string()) && !unheard.is_called("host1"));
    }

    #[test]
    fn the_whole_id_is_64_hex_digits_both_ways_and_nothing_else() {
        let id = Identity::from_seed([7; 32]).id();
        assert_eq!(id.hex().parse(), Ok(id));
        assert_eq!(id.hex().to_uppercase().parse(), Ok(id));
        let hex = id.hex();
        for bad in ["", "abc", &hex[1..], &std::format!("{hex}0"), &hex.replacen('0', "+", 1)] {
            assert!(bad.parse::<PeerId>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn both_forms_of_one_key_belong_together() {
        let identity = Identity::from_seed([7; 32]);
        let secret = x25519_dalek::StaticSecret::from(identity.exchange_secret());
        let public = x25519_dalek::PublicKey::from(&secret).to_bytes();
        assert_eq!(identity.id().exchange_key(), Some(public));
    }
}
