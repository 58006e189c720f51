//! What neighbours say to each other on a sealed control link.

use super::ConnFault;
use super::offer::SessionMessage;
use crate::addr::Universe;
use crate::codec::{self, DecodeError};
use crate::config::NICKNAME_LEN_MAX;
use crate::gossip::{Answer, Question, TreeMessage};
use crate::handshake::{ChannelFault, HandshakeFault};
use crate::id::{Identity, PeerId};
use crate::ipam::IpamMessage;
use crate::record::{Record, Signature};
use crate::sleeve::SessionIndex;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One message. Its encoding is postcard; the variants are numbered in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Still here.
    Heartbeat,
    /// News, most urgent kind first.
    Records(Vec<Record>),
    /// A question about the other side's store.
    Ask(Question),
    /// The answer to the one question that is open.
    Answer(Answer),
    /// From one peer to another, over any number of links.
    Unicast(Unicast),
    /// This link ends; the last message.
    Goodbye(Goodbye),
    /// About the tree down which news flow.
    Tree(TreeMessage),
    /// About fresh keys of the data session that comes with this link.
    Renewal(Renewal),
}

/// How the data session that comes with a link gets fresh keys: another one takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Renewal {
    /// By the side that dialed, once the link itself has fresh keys, and while nothing of the session
    /// before is under way any more.
    Offer(FreshHalf),
    /// By the other side: it takes in datagrams of the session, and will use it as soon as one comes.
    Answer(FreshHalf),
}

/// What one side brings to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshHalf {
    /// Its index: what the other side addresses its datagrams to.
    pub session: SessionIndex,
    /// Its X25519 public key, drawn for that session alone.
    pub key: [u8; 32],
}

/// A message on its way from peer to peer. Who relays it can drop it or send it again, but cannot
/// change it.
///
/// Signed bytes: `"weft unicast 1" ‖ from ‖ to ‖ postcard(body)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unicast {
    /// Who says it.
    pub from: PeerId,
    /// To whom.
    pub to: PeerId,
    /// How many more peers may pass it on.
    pub hops: u8,
    /// What.
    pub body: UnicastBody,
    /// The sender's, over all but the hops.
    pub signature: Signature,
}

/// What one peer says to another. Its encoding is postcard; the variants are numbered in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnicastBody {
    /// About addresses.
    Ipam(IpamMessage),
    /// About a data session between the two.
    Session(SessionMessage),
}

impl Unicast {
    /// A message of our own, signed.
    pub fn sign(identity: &Identity, to: PeerId, hops: u8, body: UnicastBody) -> Self {
        let from = identity.id();
        let signature = Signature::from(identity.sign(&signed_bytes(from, to, &body)));
        Self { from, to, hops, body, signature }
    }

    /// Whether it is its sender's own.
    pub fn is_authentic(&self) -> bool {
        let signed = signed_bytes(self.from, self.to, &self.body);
        self.from.verify(&signed, &self.signature.to_bytes())
    }
}

fn signed_bytes(from: PeerId, to: PeerId, body: &UnicastBody) -> Vec<u8> {
    [&b"weft unicast 1"[..], &from.0, &to.0, &codec::encode(body)].concat()
}

/// Why a peer ends a link that the handshake allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goodbye {
    /// Its mesh divides this.
    Universe(Universe),
    /// Its mesh was founded apart.
    Lineage,
    /// Two peers have one name.
    NameTaken {
        /// The name.
        name: String,
        /// Who has it: a nickname.
        by: String,
    },
    /// There is another link.
    Duplicate,
    /// It has as many links as it may.
    Limit(u32),
    /// The secret of this link is valid no longer.
    Secret,
    /// The other side is not on its list.
    NotAllowed,
    /// The mesh is large, and the two reach each other over others.
    Unneeded,
}

impl Goodbye {
    /// What to tell the other side when a link ends for `fault`; nothing when that is no refusal.
    pub(crate) fn of(fault: &ConnFault) -> Option<Self> {
        match fault {
            ConnFault::Universe { ours, .. } => Some(Self::Universe(*ours)),
            ConnFault::Lineage => Some(Self::Lineage),
            ConnFault::NameTaken { name, by } => {
                Some(Self::NameTaken { name: name.clone(), by: by.clone() })
            }
            ConnFault::Duplicate => Some(Self::Duplicate),
            ConnFault::NotAllowed(_) | ConnFault::NotAllowedThere => Some(Self::NotAllowed),
            ConnFault::Secret
            | ConnFault::Channel(ChannelFault::Handshake(
                HandshakeFault::WrongPassword
                | HandshakeFault::WrongKey
                | HandshakeFault::Kinds { .. },
            )) => Some(Self::Secret),
            ConnFault::Unneeded => Some(Self::Unneeded),
            ConnFault::Limit(limit) => Some(Self::Limit(u32::try_from(*limit).unwrap_or(u32::MAX))),
            ConnFault::Dial(_)
            | ConnFault::Closed(_)
            | ConnFault::Handshake(_)
            | ConnFault::HandshakeTimeout
            | ConnFault::Crowded
            | ConnFault::Paced
            | ConnFault::Channel(_)
            | ConnFault::Protocol(_)
            | ConnFault::Silent
            | ConnFault::Clone => None,
        }
    }

    /// The fault as the side sees it that was told.
    pub(crate) fn fault(self, ours: Universe) -> ConnFault {
        match self {
            Self::Universe(theirs) => ConnFault::Universe { ours, theirs },
            Self::Lineage => ConnFault::Lineage,
            Self::NameTaken { name, by } => {
                ConnFault::NameTaken { name: plain(&name), by: plain(&by) }
            }
            Self::Duplicate => ConnFault::Duplicate,
            Self::Secret => ConnFault::Secret,
            Self::NotAllowed => ConnFault::NotAllowedThere,
            Self::Unneeded => ConnFault::Unneeded,
            Self::Limit(limit) => ConnFault::Limit(usize::try_from(limit).unwrap_or(usize::MAX)),
        }
    }
}

/// A peer's words, short and without signs that would confuse a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_control()).take(NICKNAME_LEN_MAX).collect()
}

impl Message {
    /// The bytes of this message.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The message of `bytes`.
    ///
    /// # Errors
    /// When they are not just what [`Message::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_canonical(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::offer::{Decline, Half};
    use super::*;
    use crate::gossip::{Have, Print};
    use crate::id::Incarnation;
    use crate::record::Version;

    #[test]
    fn messages_are_these_bytes_and_back() {
        let unicast = Unicast {
            from: PeerId([1; 32]),
            to: PeerId([2; 32]),
            hops: 16,
            body: UnicastBody::Ipam(IpamMessage::Denied { range: Universe::DEFAULT.range() }),
            signature: Signature([3; 32], [4; 32]),
        };
        let ends = [[1u8; 32], [2; 32]].concat();
        let signature = [[3u8; 32], [4; 32]].concat();
        let body = [16, 0, 1, 0, 0x80, 0x80, 0x40];
        let version = Version { incarnation: Incarnation(3), sequence: 4 };
        let have = Have { key: 300, version };
        let half = FreshHalf { session: SessionIndex(300), key: [7; 32] };
        let half_bytes = [&[0xac, 2][..], &[7; 32]].concat();
        let golden: [(Message, Vec<u8>); 12] = [
            (Message::Heartbeat, std::vec![0]),
            (Message::Records(Vec::new()), std::vec![1, 0]),
            (Message::Ask(Question::Compare(Print(300))), std::vec![2, 0, 0xac, 2]),
            (Message::Answer(Answer::Same), std::vec![3, 0]),
            (Message::Unicast(unicast), [&[4][..], &ends, &body, &signature].concat()),
            (Message::Goodbye(Goodbye::Duplicate), std::vec![5, 3]),
            (Message::Goodbye(Goodbye::Limit(200)), std::vec![5, 4, 0xc8, 1]),
            (Message::Tree(TreeMessage::Have(std::vec![have])), std::vec![6, 0, 1, 0xac, 2, 3, 4]),
            (Message::Tree(TreeMessage::Graft(std::vec![300])), std::vec![6, 1, 1, 0xac, 2]),
            (Message::Tree(TreeMessage::Prune), std::vec![6, 2]),
            (Message::Renewal(Renewal::Offer(half)), [&[7, 0][..], &half_bytes].concat()),
            (Message::Renewal(Renewal::Answer(half)), [&[7, 1][..], &half_bytes].concat()),
        ];
        for (message, bytes) in golden {
            assert_eq!(message.encode(), bytes);
            assert_eq!(Message::decode(&bytes), Ok(message));
        }
    }

    #[test]
    fn what_is_said_of_sessions_is_these_bytes_and_back() {
        let half = Half { session: SessionIndex(300), key: [7; 32], seals: true, number: 2 };
        let half_bytes = [&[0xac, 2][..], &[7; 32], &[1, 2]].concat();
        let offer = SessionIndex(5);
        let (life, to) = (Incarnation(8), Incarnation(9));
        let golden: [(SessionMessage, Vec<u8>); 4] = [
            (SessionMessage::Offer { half, life, to }, [&[0][..], &half_bytes, &[8, 9]].concat()),
            (SessionMessage::Accept { offer, half }, [&[1, 5][..], &half_bytes].concat()),
            (SessionMessage::Decline { offer, why: Decline::LowOrder }, std::vec![2, 5, 3]),
            (SessionMessage::End { session: offer }, std::vec![3, 5]),
        ];
        for (message, bytes) in golden {
            let (body, bytes) = (UnicastBody::Session(message), [&[1][..], &bytes].concat());
            assert_eq!(codec::encode(&body), bytes);
            assert_eq!(codec::decode_canonical(&bytes), Ok(body));
        }
    }

    #[test]
    fn a_unicast_is_its_senders_whoever_relays_it() {
        let me = Identity::from_seed([1; 32]);
        let (to, range) = (PeerId([2; 32]), Universe::DEFAULT.range());
        let good = Unicast::sign(&me, to, 9, UnicastBody::Ipam(IpamMessage::Request { range }));
        assert!(Unicast { hops: 8, ..good.clone() }.is_authentic());
        let denied = UnicastBody::Ipam(IpamMessage::Denied { range });
        for bad in [
            Unicast { from: to, ..good.clone() },
            Unicast { to: me.id(), ..good.clone() },
            Unicast { body: denied, ..good },
        ] {
            assert!(!bad.is_authentic(), "{bad:?} passes");
        }
    }

    #[test]
    fn bytes_that_no_peer_writes_are_refused() {
        for bytes in
            [&[][..], &[8], &[7, 2], &[6, 3], &[0, 0], &[1, 0x80, 0], &[5, 4, 0xc8, 0x81, 0]]
        {
            assert!(Message::decode(bytes).is_err(), "{bytes:?} was accepted");
        }
    }
}
