//! What an insider says.

use serde::{Deserialize, Serialize};

/// A way in which somebody who knows the password breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lie {
    /// It speaks only versions of the protocol that nobody here knows.
    OtherVersion,
    /// Its first message ends in the middle, and nothing follows.
    CutGreeting,
    /// One bit of its first message is wrong.
    ChangedGreeting,
    /// The versions that it speaks, in its first message, are changed on the way: more of them.
    ChangedVersions,
    /// One bit of its last message of the handshake is wrong.
    ChangedProof,
    /// Its first message has a key of low order, with which anybody could know the secret.
    LowOrderGreeting,
    /// It sends back what it hears.
    Mirror,
    /// It says that its name is zeros.
    Nameless,
    /// The key of its data session is of low order.
    LowOrderSession,
    /// It says that its name is that of another host.
    BorrowedName,
    /// Behind the handshake it gossips that its name is that of another peer.
    StolenName,
    /// Behind the handshake it says what is sealed by nobody.
    Babble,
    /// It announces a message that is longer than any may be.
    TooLong,
    /// It says a message that is none.
    NoMessage,
    /// It asks for more ranges of records than one question may.
    BoundlessQuestion,
    /// It asks more questions than wait.
    ManyQuestions,
    /// It announces more records than one message may.
    BoundlessPromise,
    /// It announces so many records that nobody holds, and asks to be pushed as many.
    FalsePromises,
    /// It answers a question twice.
    UnaskedAnswer,
    /// Its answer does not fit the question.
    BrokenAnswer,
    /// It says messages in the name of the host itself and of others that are linked with it.
    WrongName,
    /// It denies, in the names of all owners, the addresses that they own, so many times.
    OthersDenials,
    /// It says messages for others that have gone too far, or may go further than any.
    FarMessages,
    /// It says so many messages for another host at once.
    ManyMessages,
    /// It denies addresses that nobody asked it for, and asks what nobody could confirm.
    LateDenial,
    /// Records about other peers, signed by itself.
    ForeignRecord,
    /// Records in the names of other peers, which those did not sign.
    ForgedRecord,
    /// Records of each kind whose bodies say what they may not.
    BadRecords,
    /// A record that is longer than any may be.
    LongRecord,
    /// A vote that no voter would write.
    BadVote,
    /// A vote of the last round of all.
    LeapingVote,
    /// That it evicts all owners, in the last round that one record gets to, and then in one far above.
    LeapingFreeze,
    /// It gives itself all addresses of others.
    StolenAddresses,
    /// Grants of another founding, of a later epoch, and of addresses that there are not.
    MisfitGrant,
    /// Records of so many peers that it made up.
    ManyRecords,
    /// Records of so many peers that it made up, each linked with it and found where nobody is.
    ManyPeers,
    /// So many grants that nobody can judge yet.
    ManyGrants,
    /// So many records, each almost as long as any may be.
    LongRecords,
    /// It tells each host something else under one version.
    Equivocation,
    /// It asks for addresses, and gives them back 2^32 versions later.
    LeapingGrant,
    /// It asks for addresses, and gives them to two hosts under one version.
    DoubleGrant,
    /// It asks for addresses, and gives them back by way of a peer that it made up, last grant first.
    PatchworkGrant,
    /// In one breath, a grant, which must be durable, and what ends the link; and datagrams after it.
    OneBreath,
    /// Datagrams of its own session and of others that nobody sealed, and that are cut short.
    ForgedDatagrams,
    /// Offers of sessions by way of a link that it has already, by nobody, and by a peer that it made up: with a
    /// key that anybody could know the secret of, twice the same, and with a key that nobody has; and
    /// answers to what nobody asked.
    SessionOffers,
    /// Fresh keys for its data session, and others before anything came by those.
    StrayKeys,
    /// Frames that are none, that have gone too far, and in the name of the host itself.
    BadFrames,
    /// Frames from so many addresses.
    ManyMacs,
    /// It comes back so many times, each time as a later life, and reads nothing of all that it asks
    /// for.
    Revenant,
    /// Nothing: so many of them call, and each says that it listens at a port of its own.
    ManyNeighbours,
}

impl Lie {
    /// Those after which all rules hold, whenever they are told. The others are for worlds made for
    /// them. One that is given addresses keeps them when its host dies in between, so that they are
    /// lost until somebody can evict it; while it gives them to two, `ipam.one-owner` does not hold.
    /// A revenant takes all places for streams for as long as it calls, and with many peers or neighbours a
    /// mesh is a large one, in which not everybody is linked with everybody. Long records and many
    /// addresses only take long.
    pub const BOUNDED: [Self; 41] = [
        Self::OtherVersion,
        Self::CutGreeting,
        Self::ChangedGreeting,
        Self::ChangedVersions,
        Self::ChangedProof,
        Self::LowOrderGreeting,
        Self::Mirror,
        Self::Nameless,
        Self::LowOrderSession,
        Self::BorrowedName,
        Self::StolenName,
        Self::Babble,
        Self::TooLong,
        Self::NoMessage,
        Self::BoundlessQuestion,
        Self::ManyQuestions,
        Self::BoundlessPromise,
        Self::FalsePromises,
        Self::UnaskedAnswer,
        Self::BrokenAnswer,
        Self::WrongName,
        Self::OthersDenials,
        Self::FarMessages,
        Self::ManyMessages,
        Self::LateDenial,
        Self::ForeignRecord,
        Self::ForgedRecord,
        Self::BadRecords,
        Self::LongRecord,
        Self::BadVote,
        Self::LeapingVote,
        Self::StolenAddresses,
        Self::MisfitGrant,
        Self::ManyRecords,
        Self::ManyGrants,
        Self::Equivocation,
        Self::OneBreath,
        Self::ForgedDatagrams,
        Self::SessionOffers,
        Self::StrayKeys,
        Self::BadFrames,
    ];

    /// Whether it must be given addresses first.
    pub(super) const fn wants_addresses(self) -> bool {
        matches!(self, Self::LeapingGrant | Self::DoubleGrant | Self::PatchworkGrant)
    }

    /// Whether all who say this are one and the same.
    pub(in crate::world) const fn is_by_one(self) -> bool {
        matches!(self, Self::Equivocation | Self::Revenant)
    }
}
