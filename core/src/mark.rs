//! Marks: named points in the core that a good set of tests reaches, each at least sometimes.
//!
//! A mark decides nothing and is not part of any output. Without an observer it costs a load of one
//! pointer; the simulator has one, and says which marks its runs never reached.

use once_cell::race::OnceRef;

macro_rules! marks {
    ($($name:literal $mark:ident: $doc:literal)*) => {
        /// A point that was reached.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mark {
            $(#[doc = $doc] $mark,)*
        }

        impl Mark {
            /// Every mark, in the order of the variants.
            pub const ALL: &[Self] = &[$(Self::$mark),*];

            /// What people call it: `ask.silent`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$mark => $name,)* }
            }

            /// What happens there.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$mark => $doc,)* }
            }
        }
    };
}

impl core::fmt::Display for Mark {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// Who is told.
static OBSERVER: OnceRef<'static, fn(Mark)> = OnceRef::new();

/// Has `observer` called at every mark, on the thread that reached it, until the process ends.
/// Whoever comes second changes nothing.
pub fn observe(observer: &'static fn(Mark)) {
    // The first one stays.
    let _ = OBSERVER.set(observer);
}

/// This point is reached.
pub(crate) fn mark(mark: Mark) {
    if let Some(observer) = OBSERVER.get() {
        observer(mark);
    }
}

marks! {
    "start.first" StartFirst: "A node starts that never ran."
    "start.again" StartAgain: "A node starts with what it saved."
    "start.founded" StartFounded: "A node starts with a founding on its disk."
    "start.resumed" StartResumed: "Targets of an earlier run are dialed again."
    "start.other-universe" StartOtherUniverse: "The saved addresses lie in another range: it does not start."
    "start.damaged" StartDamaged: "What was saved cannot be believed: it does not start."
    "command.stop" CommandStop: "The node is told to stop."
    "command.after-stop" CommandAfterStop: "A command comes to a node that has stopped."
    "command.prime-outlasted" CommandPrimeOutlasted: "Who has waited for the founding for longest makes room for one more."
    "command.too-many-waiting" CommandTooManyWaiting: "A command that would have to wait is refused because too many do."
    "command.late" CommandLate: "A command is answered with the reason why it could not be met in time."
    "command.held" CommandHeld: "A container has an address already, and is noted as its holder."
    "command.released" CommandReleased: "Addresses are given back."
    "command.not-held" CommandNotHeld: "Somebody gives back what it does not hold."
    "command.prime" CommandPrime: "Somebody waits for the founding, and it comes."
    "allocate.again" AllocateAgain: "An address that is held already is given again to its holder."
    "allocate.settling" AllocateSettling: "What was taken over just now is not handed out yet."
    "allocate.own" AllocateOwn: "An address comes out of what we own."
    "allocate.rested" AllocateRested: "An address is given that was given back a moment ago, for there is no other."
    "allocate.wrapped" AllocateWrapped: "The search for a free address starts over from the lowest."
    "allocate.asked" AllocateAsked: "Another owner is asked for addresses."
    "allocate.waits-for-owner" AllocateWaitsForOwner: "All in reach said no, but an owner may come back."
    "allocate.exhausted" AllocateExhausted: "Nothing is free at any owner."
    "allocate.out-of-range" AllocateOutOfRange: "The subnet has no address that can be given."
    "claim.outside" ClaimOutside: "An address outside the universe is refused."
    "claim.settling" ClaimSettling: "A claim of what was taken over just now waits."
    "claim.own" ClaimOwn: "An address is claimed that we own."
    "claim.again" ClaimAgain: "A holder claims again what it holds."
    "claim.taken" ClaimTaken: "The address is held by another container of this host."
    "claim.overtaken" ClaimOvertaken: "While a claim waited, another took the address."
    "claim.wide" ClaimWide: "An address is claimed with a prefix that is shorter than that of the universe."
    "claim.otherwise" ClaimOtherwise: "A holder claims what it holds with another prefix length."
    "claim.edge" ClaimEdge: "A network or broadcast address is claimed."
    "claim.denied" ClaimDenied: "The owner says that the address is held there."
    "refused.no-quorum" RefusedNoQuorum: "An address is refused because ownership is not decided."
    "refused.copied" RefusedCopied: "An address is refused because another daemon runs from a copy of the disk."
    "refused.doubted" RefusedDoubted: "An address is refused because a copy of the disk may be in use elsewhere."
    "refused.not-merged" RefusedNotMerged: "An address is refused because the boot gate is closed."
    "refused.owner-away" RefusedOwnerAway: "A claim is refused because the owner cannot be reached."
    "refused.owner-silent" RefusedOwnerSilent: "A claim is refused because the owner did not answer."
    "refused.settling" RefusedSettling: "No address is given because all that is free settles."
    "refused.owners-silent" RefusedOwnersSilent: "No address is given because owners did not answer."
    "refused.left" RefusedLeft: "An address is refused because the peer has left."
    "refused.stopping" RefusedStopping: "A command that waits is refused because the node stops."
    "ask.silent" AskSilent: "An owner that was asked did not answer in time."
    "ask.silent-again" AskSilentAgain: "All others were asked too: those that were silent get another turn."
    "ask.donor-gone" AskDonorGone: "The owner that was asked can no longer be reached, or owns nothing there any more."
    "ask.denied" AskDenied: "An owner that was asked has nothing."
    "ask.denial-passed" AskDenialPassed: "An owner that had nothing may have something again: it is so long ago."
    "ask.late-denial" AskLateDenial: "A denial comes that nobody waits for."
    "ask.hinted" AskHinted: "An owner is chosen by what it says is free, not by what it owns."
    "founding.opened" FoundingOpened: "A first ballot is opened."
    "founding.opened-again" FoundingOpenedAgain: "Another ballot is opened, because the last one came to nothing."
    "founding.joined" FoundingJoined: "Somebody needs the founding while a ballot of another peer is under way."
    "founding.suspended" FoundingSuspended: "No further ballot is planned, because a quorum is out of reach."
    "founding.observer" FoundingObserver: "A vote is taken in by a peer that does not vote."
    "founding.promised" FoundingPromised: "A ballot of another peer is promised."
    "founding.accepted" FoundingAccepted: "A value of another peer's ballot is accepted."
    "founding.outbid" FoundingOutbid: "A value is not accepted, because a higher ballot was promised."
    "founding.value-own" FoundingValueOwn: "A quorum promised our ballot, and nobody had accepted anything."
    "founding.value-taken-over" FoundingValueTakenOver: "A quorum promised our ballot, and the value is one accepted before."
    "founding.decided" FoundingDecided: "A quorum accepted one value under one ballot."
    "founding.settles" FoundingSettles: "Somebody in reach lost what its containers have: all settles first."
    "founding.adopted" FoundingAdopted: "A founding that others decided is taken in."
    "founding.late-vote" FoundingLateVote: "A vote comes after the founding."
    "founding.bad-vote" FoundingBadVote: "A vote that no voter would write."
    "founding.recalled" FoundingRecalled: "A vote of ours that we forgot comes back, and binds us."
    "founding.leap" FoundingLeap: "A vote whose round is too far ahead is refused."
    "gate.closed" GateClosed: "An address waits because no other owner has confirmed what is ours since the start."
    "gate.copied" GateCopied: "Another daemon runs from a copy of this one's disk: nothing is handed out."
    "gate.doubted" GateDoubted: "The boot gate closes again: records of ours are about that our disk does not know."
    "gate.neighbours" GateNeighbours: "A sole owner that nobody told of others waits for neighbours that it had."
    "gate.settles" GateSettles: "Somebody in reach asks for what its containers have as the gate opens: all settles first."
    "gate.opened" GateOpened: "The boot gate opens: another owner knows the same of what is ours."
    "gate.sole" GateSole: "The boot gate is open, because all is ours by our own disk."
    "gate.given" GateGiven: "What was open because all was ours stays open behind a grant."
    "witness.agrees" WitnessAgrees: "A peer that started again asks, and we know the same of what it owns."
    "witness.silent" WitnessSilent: "A peer that started again asks, and we own nothing or know otherwise."
    "witness.ignored" WitnessIgnored: "An answer comes too late, or from one who could not know."
    "grant.early" GrantEarly: "A grant comes before the founding and is set aside."
    "grant.early-taken" GrantEarlyTaken: "Grants that were set aside are taken in."
    "grant.counts" GrantCounts: "A grant is proven and joined into the ledger."
    "grant.proves-others" GrantProvesOthers: "A grant proves others that waited for it."
    "grant.still-waits" GrantStillWaits: "A grant that waited lacks another title than before."
    "grant.waits" GrantWaits: "A grant waits for one that proves it."
    "grant.called-out" GrantCalledOut: "A grant waits whose giver was not the owner before."
    "grant.never" GrantNever: "A grant of the first version is not by whom the founding made owner."
    "grant.misfit" GrantMisfit: "A grant of another lineage, epoch or range is dropped."
    "grant.conflict" GrantConflict: "Two owners claim the same addresses at one version."
    "grant.outdated" GrantOutdated: "A grant is below what is known of its addresses."
    "grant.received" GrantReceived: "Addresses were given to us."
    "grant.superseded" GrantSuperseded: "A grant is of no use any more."
    "grant.leap" GrantLeap: "A grant is proven by a title of the leap before."
    "grant.self" GrantSelf: "Own ranges that touch are written as one."
    "grant.takeover" GrantTakeover: "What an evicted peer owned is another one's."
    "stray.found" StrayFound: "A container has an address that is another peer's from here on."
    "stray.passed-on" StrayPassedOn: "An address that a container has here is yet another peer's."
    "stray.asked" StrayAsked: "The owner of an address that a container has here is asked for it."
    "stray.regained" StrayRegained: "An address that a container has here is our own again."
    "stray.denied" StrayDenied: "An address that a container has here was handed out by its owner too."
    "eviction.proposed" EvictionProposed: "An eviction is begun."
    "eviction.agreed" EvictionAgreed: "All know the same of what the victims own."
    "eviction.settled" EvictionSettled: "All have frozen what the victims own, and it is taken over."
    "eviction.gives-back" EvictionGivesBack: "Whoever takes over gives another peer what its containers have."
    "eviction.yields" EvictionYields: "Another eviction of the same peer came after ours."
    "eviction.called-off" EvictionCalledOff: "An eviction that nobody waits for is called off."
    "eviction.recalled" EvictionRecalled: "What was said of evictions, and forgotten, is said again."
    "eviction.forced" EvictionForced: "An eviction does without owners that are away."
    "eviction.of-the-living" EvictionOfTheLiving: "A peer that can be reached is not evicted."
    "eviction.needs-others" EvictionNeedsOthers: "An eviction is given up, for owners are away."
    "eviction.late" EvictionLate: "An eviction is given up, for peers have not agreed in time."
    "donate.unfounded" DonateUnfounded: "A peer asks for addresses before the founding."
    "donate.unreachable" DonateUnreachable: "A peer asks to whom nobody could give."
    "donate.settling" DonateSettling: "A peer asks for what was taken over just now."
    "donate.left" DonateLeft: "A peer asks one that has left."
    "donate.gate-closed" DonateGateClosed: "A peer asks one whose boot gate is closed."
    "donate.not-owner" DonateNotOwner: "A peer asks for an address of which we are not the owner."
    "donate.denied" DonateDenied: "A peer asks, and nothing is free."
    "donate.back" DonateBack: "Who has lost addresses that its containers have is given what is free of them."
    "donate.taken" DonateTaken: "Who has lost addresses that its containers have is told that containers here have them too."
    "donate.half" DonateHalf: "The upper half of the largest free block is given."
    "donate.block" DonateBlock: "A whole free block is given."
    "leave.to-owner" LeaveToOwner: "What we own goes to another owner."
    "leave.to-peer" LeaveToPeer: "What we own goes to a peer that owns nothing."
    "leave.nobody" LeaveNobody: "Who would leave stays, because nobody can be reached."
    "leave.among-leaving" LeaveAmongLeaving: "Who would leave stays, because all others in reach have left."
    "leave.together" LeaveTogether: "Who has left is told that all others in reach have left too."
    "leave.copied" LeaveCopied: "Who would leave stays, because another daemon runs from a copy of its disk."
    "leave.gate-closed" LeaveGateClosed: "Who would leave stays, because the boot gate is closed."
    "leave.confirmed" LeaveConfirmed: "Who leaves is told by another owner that it knows."
    "leave.unconfirmed" LeaveUnconfirmed: "Who leaves is not told in time that another has its addresses."
    "leave.holding" LeaveHolding: "Who leaves gives up addresses that are held."
    "leave.twice" LeaveTwice: "Who has left leaves again."
    "hint.published" HintPublished: "How much is free is told."
    "hint.same" HintSame: "How much is free has not changed enough to be told."
    "gossip.first" GossipFirst: "A record of a key that was not known."
    "gossip.newer" GossipNewer: "A newer record replaces the one that is held."
    "gossip.duplicate" GossipDuplicate: "A record comes that is held."
    "gossip.known" GossipKnown: "A record that was to be pushed to a neighbour came from it."
    "gossip.older" GossipOlder: "A record comes that is older than the one that is held."
    "gossip.refused-key" GossipRefusedKey: "A record by whom it does not belong to."
    "gossip.refused-signature" GossipRefusedSignature: "A record with a wrong signature."
    "gossip.refused-body" GossipRefusedBody: "A record with a body that says what it may not."
    "gossip.full" GossipFull: "A record for which there is no room."
    "gossip.not-allowed" GossipNotAllowed: "A record of a peer that is not on the list, or a grant of one that is being evicted."
    "gossip.other-lineage" GossipOtherLineage: "The founding of another mesh comes over a link."
    "trust.added" TrustAdded: "A second secret is preferred from here on."
    "trust.needed" TrustNeeded: "The old secret cannot be retired while links run on it."
    "trust.cut-off" TrustCutOff: "The old secret is retired, and links end that run on it."
    "trust.retired" TrustRetired: "The old secret is retired, and no link runs on it."
    "trust.listed" TrustListed: "A peer has to do with some others alone."
    "gossip.ghost" GossipGhost: "A record of ours that we do not remember: a new life begins."
    "gossip.vote-back" GossipVoteBack: "A vote of ours that was dropped comes back."
    "gossip.dropped" GossipDropped: "A record that matters no more is removed."
    "gossip.split" GossipSplit: "News are more than one write takes."
    "tree.redundant" TreeRedundant: "All that a neighbour pushes came by another way before."
    "tree.pruned" TreePruned: "A neighbour wants news announced only."
    "tree.announced" TreeAnnounced: "A neighbour announces what we lack."
    "tree.lacking" TreeLacking: "What was announced does not come, and is asked for."
    "tree.grafted" TreeGrafted: "A neighbour wants news pushed."
    "pull.under-way" PullUnderWay: "It is time to compare records while a comparison is under way."
    "pull.same" PullSame: "Both sides hold the same."
    "pull.items" PullItems: "A range is compared record by record."
    "pull.parts" PullParts: "A range is compared part by part."
    "pull.lacking" PullLacking: "A record that was asked for is there no more."
    "pull.complete" PullComplete: "All that the neighbour holds is held here."
    "pull.short" PullShort: "All was asked for, but there was no room for some."
    "pull.broken" PullBroken: "An answer does not fit the question."
    "pull.unasked" PullUnasked: "An answer comes that nobody waits for."
    "pull.too-many-questions" PullTooManyQuestions: "A neighbour asks more than waits."
    "peer.came" PeerCame: "A peer can be reached."
    "peer.went" PeerWent: "A peer can no longer be reached."
    "routes.changed" RoutesChanged: "The forwarder is given other routes."
    "routes.same" RoutesSame: "Routes were calculated and are as before."
    "dial.first" DialFirst: "Who has the lower id dials a peer that was heard of at once."
    "dial.second" DialSecond: "Who has the higher id leaves the first dial to the other one."
    "dial.lost" DialLost: "Who has the higher id dials soon, because there was a link before."
    "dial.unheard" DialUnheard: "A peer that was heard of is heard of no more."
    "dial.backs-off" DialBacksOff: "A failed dial is repeated after a longer wait."
    "dial.at-once" DialAtOnce: "A link that stood for long is dialed again at once."
    "dial.operator" DialOperator: "A dial that needs the operator waits longest."
    "dial.elsewhere" DialElsewhere: "A target's peer has another link."
    "dial.sooner" DialSooner: "A failed dial is repeated sooner, for its peer came in reach, or others went."
    "dial.back" DialBack: "A target is dialed again, because that other link ended."
    "dial.postponed" DialPostponed: "Dials wait, because there are as many links as there may be."
    "dial.replaced" DialReplaced: "Targets are forgotten for others."
    "dial.forgotten" DialForgotten: "A target is forgotten."
    "dial.meanwhile" DialMeanwhile: "A dial ends whose target was forgotten or dialed otherwise."
    "conn.failed" ConnFailed: "A dial comes to nothing."
    "conn.after-stop" ConnAfterStop: "A stream opens after the stop."
    "conn.crowded" ConnCrowded: "A stranger gives way to a newer one."
    "conn.limit" ConnLimit: "A stream is refused, because there are too many."
    "conn.closed" ConnClosed: "A stream ends before it is a link."
    "conn.last-words" ConnLastWords: "A stream ends after a last message."
    "conn.ended-meanwhile" ConnEndedMeanwhile: "A stream is gone before its last words could leave."
    "conn.unheard" ConnUnheard: "Bytes come for a stream that is over."
    "handshake.wrong-password" HandshakeWrongPassword: "The other side has another password."
    "handshake.password-missing" HandshakePasswordMissing: "The other side has a password and we have none."
    "handshake.password-unexpected" HandshakePasswordUnexpected: "We have a password and the other side has none."
    "handshake.version" HandshakeVersion: "There is no common version."
    "handshake.myself" HandshakeMyself: "We dialed ourselves."
    "handshake.clone" HandshakeClone: "Our own identity answers from elsewhere."
    "handshake.malformed" HandshakeMalformed: "What comes is no handshake of weft."
    "handshake.refused" HandshakeRefused: "The other side gives up and says why."
    "handshake.pieces" HandshakePieces: "A message of the handshake comes in pieces."
    "handshake.timeout" HandshakeTimeout: "A handshake takes too long."
    "link.up" LinkUp: "A control link stands."
    "link.crossed" LinkCrossed: "Of two links that crossed, the other one is kept."
    "link.restarted" LinkRestarted: "A link with an earlier life of a peer gives way."
    "link.doubtful" LinkDoubtful: "A link that was silent gives way to a new one."
    "link.duplicate" LinkDuplicate: "A second link is refused."
    "link.other-universe" LinkOtherUniverse: "A peer with another range is refused."
    "link.other-lineage" LinkOtherLineage: "A peer of another mesh is refused."
    "link.own-name" LinkOwnName: "A peer with our name is refused."
    "link.neighbours-name" LinkNeighboursName: "A peer with the name of a neighbour is refused."
    "link.known-name" LinkKnownName: "A peer with the name of a peer in reach is refused."
    "link.limit" LinkLimit: "A peer is refused, because there are as many links as there may be."
    "link.referral" LinkReferral: "Who is refused for want of room is told whom else to ask."
    "link.gives-way" LinkGivesWay: "A link that is not needed ends, to make room for another."
    "link.unneeded" LinkUnneeded: "A link ends that neither side needs in a mesh of this size."
    "link.other-peer" LinkOtherPeer: "Another peer answers than was heard of."
    "link.low-order" LinkLowOrder: "A session key that anybody could know."
    "link.silent" LinkSilent: "A link brings nothing for too long."
    "link.stuck" LinkStuck: "A link takes nothing for too long."
    "link.lost" LinkLost: "A link's stream ends."
    "link.goodbye" LinkGoodbye: "A neighbour says why it ends the link."
    "link.bad-message" LinkBadMessage: "A message that does not decode."
    "link.bad-question" LinkBadQuestion: "A question without bounds."
    "link.bad-tree" LinkBadTree: "A list of records without bounds."
    "link.not-authentic" LinkNotAuthentic: "Bytes that the neighbour did not seal."
    "link.too-long" LinkTooLong: "A message that is longer than any may be."
    "link.heartbeat" LinkHeartbeat: "A heartbeat comes."
    "unicast.wrong-name" UnicastWrongName: "A message in our name, or for us in the name of a peer that did not sign it."
    "unicast.relayed" UnicastRelayed: "A message is passed on."
    "unicast.hops" UnicastHops: "A message has gone too far."
    "unicast.no-way" UnicastNoWay: "There is no way for a message."
    "unicast.too-many" UnicastTooMany: "A message is dropped, because too many wait."
    "path.proven" PathProven: "A data path is proven."
    "path.silent" PathSilent: "A data path answered no probe for too long."
    "path.moved" PathMoved: "A neighbour's probes come from elsewhere."
    "path.late" PathLate: "A probe comes behind a newer one."
    "path.before" PathBefore: "A probe comes by the session that another one has taken the place of."
    "path.renewed" PathRenewed: "A neighbour is heard by a session with fresh keys, and we use it too."
    "renewal.offered" RenewalOffered: "Fresh keys are offered for the data session of a link."
    "renewal.answered" RenewalAnswered: "Fresh keys are offered to us and taken in, to be used soon."
    "renewal.taken" RenewalTaken: "The data session of a link has fresh keys."
    "renewal.broken" RenewalBroken: "Fresh keys are offered or answered as nobody would."
    "path.unknown" PathUnknown: "A probe of no session."
    "session.unknown" SessionUnknown: "A session is wanted or offered where no peer in reach can have one."
    "session.full" SessionFull: "A session is wanted, and all that may be are in use."
    "session.gave-way" SessionGaveWay: "The session that was not wanted for longest gives way to another peer's."
    "session.offered" SessionOffered: "A session is offered to a peer that frames are exchanged with."
    "session.unanswered" SessionUnanswered: "An offer is not answered."
    "session.answered" SessionAnswered: "An offer is accepted."
    "session.accepted" SessionAccepted: "Our offer is accepted."
    "session.refused" SessionRefused: "An offer is declined."
    "session.declined" SessionDeclined: "Our offer is declined."
    "session.stale" SessionStale: "An offer comes again, late, or too soon after another one."
    "session.unasked" SessionUnasked: "An answer comes to no offer, or the end of no session."
    "session.crossed" SessionCrossed: "Offers cross, and ours goes on."
    "session.gives-in" SessionGivesIn: "Offers cross, and the other one goes on."
    "session.low-order" SessionLowOrder: "A session key that anybody could know."
    "session.next-address" SessionNextAddress: "A peer is probed at another of its addresses."
    "session.unproven" SessionUnproven: "A session is given up, because no probe came through."
    "session.proven" SessionProven: "Frames for a peer go straight to it."
    "session.followed" SessionFollowed: "A session takes the place of another one with the same peer."
    "session.silent" SessionSilent: "A session falls silent, and frames are relayed again."
    "session.back" SessionBack: "A session that was silent is proven again."
    "session.moved" SessionMoved: "The other end of a session is elsewhere."
    "session.lost" SessionLost: "A session that was silent for long is given up."
    "session.idle" SessionIdle: "A session is dropped, because nobody wants it."
    "session.ended" SessionEnded: "The other side says that a session is over."
    "session.linked" SessionLinked: "A session ends, because a link leads to the peer."
    "session.gone" SessionGone: "A session ends, because its peer cannot be reached or was started again."
    "sleeve.replayed" SleeveReplayed: "A datagram comes a second time, or too late to tell."
    "sleeve.reordered" SleeveReordered: "A datagram comes behind a newer one and is taken."
    "sleeve.not-authentic" SleeveNotAuthentic: "A datagram that does not open."
    "sleeve.malformed" SleeveMalformed: "What comes is no datagram of the sleeve."
    "sleeve.clear" SleeveClear: "A datagram is taken in the clear."
    "forward.local" ForwardLocal: "A frame stays on its bridge."
    "forward.link-local" ForwardLinkLocal: "A frame that no bridge passes on."
    "forward.multicast" ForwardMulticast: "A frame for all is sent to all."
    "forward.flooded" ForwardFlooded: "A frame for an address that is not known is sent to all."
    "forward.unicast" ForwardUnicast: "A frame goes to the peer where its address was seen."
    "forward.direct" ForwardDirect: "A frame goes straight to a peer without a link."
    "forward.wanted" ForwardWanted: "The node is told that frames are exchanged with a peer without a link."
    "forward.delivered" ForwardDelivered: "A frame is put on the bridge."
    "forward.relayed" ForwardRelayed: "A frame is passed on."
    "forward.hop-limit" ForwardHopLimit: "A frame has been relayed too often."
    "forward.came-back" ForwardCameBack: "A frame comes back to the peer that it started from."
    "forward.circle" ForwardCircle: "A frame would go back to where it came from."
    "forward.no-route" ForwardNoRoute: "There is no way to the peer of a frame."
    "forward.no-address" ForwardNoAddress: "The next hop has no address yet."
    "forward.malformed" ForwardMalformed: "A frame or payload that is not well formed."
    "forward.refused" ForwardRefused: "A datagram that does not open or has no session."
    "switch.learned" SwitchLearned: "An address is seen for the first time."
    "switch.moved" SwitchMoved: "An address is seen elsewhere."
    "switch.full" SwitchFull: "The address that was not seen for longest is forgotten."
    "switch.aged" SwitchAged: "An address was not seen for too long."
    "names.added" NamesAdded: "A name is added."
    "names.again" NamesAgain: "A name is added that is there."
    "names.new-page" NamesNewPage: "A name is put on a page of which it is the first."
    "names.full" NamesFull: "There is no room for another name."
    "names.removed" NamesRemoved: "Names are removed."
    "names.none" NamesNone: "Nothing matches the names to be removed."
    "names.taken-in" NamesTakenIn: "Names of another peer are taken in."
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_mark_has_a_name_of_its_own_in_two_parts() {
        let names: BTreeSet<&str> = Mark::ALL.iter().map(|mark| mark.name()).collect();
        assert_eq!(names.len(), Mark::ALL.len());
        for name in names {
            let (area, point) = name.split_once('.').unwrap();
            let is_word = |word: &str| {
                !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
            };
            assert!(is_word(area) && is_word(point), "{name}");
        }
    }

    #[test]
    fn the_place_of_a_mark_in_the_list_is_its_number() {
        for (number, mark) in Mark::ALL.iter().enumerate() {
            assert_eq!(*mark as usize, number);
        }
    }
}
