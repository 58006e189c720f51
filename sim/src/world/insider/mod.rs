//! Somebody who knows the password of a mesh and has an identity of its own, but keeps no rules.
//!
//! It dials a host, shakes hands as any peer does, and then says what it likes ([`Lie`]). Apart from
//! that it is a good neighbour: it answers heartbeats, probes and questions, so that its link stands
//! for as long as the host wants it.

mod facts;
mod frames;
mod lie;
mod records;

pub(super) use facts::Facts;
pub use lie::Lie;

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use std::collections::BTreeSet;
use weft_core::addr::{Offset, Range, Universe};
use weft_core::codec;
use weft_core::config::{NetworkSecret, Versions};
use weft_core::gossip::{Answer, Have, KeyHash, Prefix, Question, TreeMessage};
use weft_core::handshake::{Channel, Handshake, Hello, Local, Step};
use weft_core::id::{Identity, Incarnation, PeerId, PeerName};
use weft_core::ipam::{Grant, IpamMessage, Witnessed};
use weft_core::mesh::{
    Decline, FreshHalf, Half, Message, Renewal, SessionMessage, Unicast, UnicastBody,
};
use weft_core::record::{Fingerprint, Key, Record, Version};
use weft_core::sleeve::{Kind, Probe, Session, SessionIndex, SessionKeys};
use weft_core::topology::PeerRecord;

/// Records in one message.
const BATCH: usize = 4;
/// Bytes of the frame's header and of the greeting up to the versions, and to the SPAKE2 element.
/// Source: `weft_core::handshake`.
const VERSIONS_AT: usize = 8;
const ELEMENT_AT: usize = 11;
/// Of each interval that somebody owns, so many addresses are denied one by one.
const DENIED_MAX: u128 = 4;
/// What no message begins with.
const NO_MESSAGE: [u8; 1] = [0x7f];
/// Bytes of a key, and of a SPAKE2 element.
const KEY_LEN: usize = 32;

/// One call of an insider.
#[derive(Debug)]
pub(super) struct Insider {
    pub(super) host: usize,
    pub(super) lie: Lie,
    pub(super) count: u32,
    liar: Identity,
    secret: Option<NetworkSecret>,
    versions: Versions,
    hello: Hello,
    session_secret: [u8; 32],
    stage: Stage,
    rng: ChaCha20Rng,
}

#[derive(Debug)]
enum Stage {
    Dialing,
    Shaking(Box<Handshake>),
    Linked(Box<Linked>),
    /// It says nothing more.
    Over,
}

#[derive(Debug)]
struct Linked {
    channel: Channel,
    /// The host's index of the data session.
    index: SessionIndex,
    probes: Session,
    data: Session,
    /// Last sequence sent.
    sent: u64,
    /// Highest sequence that came.
    heard: Option<u64>,
    has_met: bool,
    has_asked: bool,
    /// Heartbeats that came.
    beats: u64,
    /// Questions of its own that were answered.
    answers: u32,
}

/// What an insider wants done, in order.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) writes: Vec<Vec<u8>>,
    pub(super) datagrams: Vec<Vec<u8>>,
    /// What the host told it before it hung up.
    pub(super) refused: Option<String>,
    /// The link came to stand with this.
    pub(super) linked: bool,
    /// The handshake came to its end although what it said was changed on the way.
    pub(super) deceived: bool,
}

/// Who calls, and how often it has lived.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) liar: Identity,
    pub(super) incarnation: Incarnation,
    pub(super) secret: Option<NetworkSecret>,
    pub(super) universe: Universe,
    pub(super) versions: Versions,
    /// Where it says that it listens.
    pub(super) port: u16,
}

impl Insider {
    /// One that is going to dial `host` in order to tell it `lie`, of the size `count`.
    pub(super) fn new(
        (host, lie, count): (usize, Lie, u32),
        caller: Caller,
        facts: Option<&Facts>,
        mut rng: ChaCha20Rng,
    ) -> Self {
        let Caller { liar, incarnation, secret, universe, versions, port } = caller;
        let mut session_secret = [0; 32];
        rng.fill_bytes(&mut session_secret);
        // The key of the session, as any X25519 key, is that of an identity.
        let key = Identity::from_seed(session_secret);
        let session_secret = key.exchange_secret();
        let own = liar.id().default_name();
        let hello = Hello {
            id: liar.id(),
            name: if lie == Lie::Nameless {
                PeerName::default()
            } else if lie == Lie::BorrowedName {
                facts.map_or(own, Facts::another_name)
            } else {
                own
            },
            nickname: "insider".to_owned(),
            incarnation,
            universe,
            lineage: facts.and_then(|facts| facts.lineage),
            sleeve_port: port,
            session: SessionIndex(rng.next_u32()),
            session_key: if lie == Lie::LowOrderSession {
                [0; KEY_LEN]
            } else {
                key.id().exchange_key().unwrap_or_default()
            },
            seals: secret.is_some(),
        };
        let stage = Stage::Dialing;
        Self { host, lie, count, liar, secret, versions, hello, session_secret, stage, rng }
    }

    /// What it says that it is called.
    pub(super) const fn name(&self) -> PeerName {
        self.hello.name
    }

    /// Its own index of the data session.
    pub(super) const fn session(&self) -> SessionIndex {
        self.hello.session
    }

    /// The stream is open.
    pub(super) fn opened(&mut self) -> Words {
        let local = Local {
            identity: &self.liar,
            secrets: self.secret.as_slice(),
            versions: self.versions,
            hello: self.hello.clone(),
        };
        let (handshake, mut first) = Handshake::initiate(local, &mut self.rng);
        self.stage = Stage::Shaking(Box::new(handshake));
        if self.lie == Lie::OtherVersion {
            first.iter_mut().skip(VERSIONS_AT).take(2).for_each(|version| *version = 9);
        } else if self.lie == Lie::CutGreeting {
            first.truncate(1 + self.draw(first.len() - 1));
            self.stage = Stage::Over;
        } else if self.lie == Lie::ChangedGreeting {
            self.damage(&mut first, 0);
        } else if self.lie == Lie::ChangedVersions {
            first
                .iter_mut()
                .skip(VERSIONS_AT)
                .take(1)
                .for_each(|oldest| *oldest = oldest.saturating_sub(1));
            first.iter_mut().skip(VERSIONS_AT + 1).take(1).for_each(|newest| *newest += 1);
        } else if self.lie == Lie::LowOrderGreeting {
            let at = ELEMENT_AT + self.secret.as_ref().map_or(0, |_| KEY_LEN);
            first.iter_mut().skip(at).take(KEY_LEN).for_each(|byte| *byte = 0);
        }
        Words { writes: vec![first], ..Words::default() }
    }

    /// Bytes came over the stream; `facts` are there while the host runs.
    pub(super) fn received(&mut self, bytes: &[u8], facts: Option<&Facts>) -> Words {
        let mut words = Words::default();
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Shaking(_) if self.lie == Lie::Mirror => words.writes.push(bytes.to_vec()),
            Stage::Shaking(handshake) => match handshake.receive(bytes) {
                Ok((Some(handshake), Step::More { send })) => {
                    self.stage = Stage::Shaking(Box::new(handshake));
                    words.writes.push(send);
                }
                Ok((_, Step::Done { send, channel, hello })) => {
                    self.shaken(send, channel, &hello, facts, &mut words);
                }
                Ok((None, Step::More { .. })) => {}
                Err((fault, _)) => words.refused = Some(fault.to_string()),
            },
            Stage::Linked(mut link) => {
                if let Ok(received) = link.channel.receive(bytes) {
                    words.writes.push(received.send);
                    for message in
                        received.messages.iter().filter_map(|bytes| Message::decode(bytes).ok())
                    {
                        self.hear(&mut link, message, facts, &mut words);
                    }
                    self.stage = Stage::Linked(link);
                }
            }
            Stage::Dialing | Stage::Over => {}
        }
        words.writes.retain(|bytes| !bytes.is_empty());
        words
    }

    /// A datagram came that was sent to its index.
    pub(super) fn datagram(&mut self, bytes: &[u8]) -> Words {
        let mut words = Words::default();
        let Stage::Linked(link) = &mut self.stage else { return words };
        let Ok(Ok(probe)) = link.probes.open(bytes).map(|payload| Probe::decode(&payload)) else {
            return words;
        };
        link.heard = link.heard.max(Some(probe.sequence));
        if probe.sequence.is_multiple_of(2) {
            words.datagrams.extend(link.probe());
        }
        words
    }

    /// Something that any neighbour may say, on a link that is perhaps over.
    pub(super) fn beat(&mut self) -> Vec<u8> {
        match &mut self.stage {
            Stage::Linked(link) => link.say(&Message::Heartbeat).unwrap_or_default(),
            Stage::Dialing | Stage::Shaking(_) | Stage::Over => Vec::new(),
        }
    }

    /// The host has proven itself, and `send` is to prove who this is.
    fn shaken(
        &mut self,
        mut send: Vec<u8>,
        channel: Channel,
        hello: &Hello,
        facts: Option<&Facts>,
        words: &mut Words,
    ) {
        if self.lie == Lie::ChangedProof {
            // Behind the header of the frame.
            self.damage(&mut send, 3);
            words.writes.push(send);
            return;
        }
        words.writes.push(send);
        words.deceived = matches!(self.lie, Lie::ChangedGreeting | Lie::ChangedVersions);
        let keys = SessionKeys {
            ours: self.session_secret,
            theirs: hello.session_key,
            dialed: true,
            sealed: self.hello.seals,
        };
        let session = |kind| Session::new(kind, &keys, hello.session);
        let (Ok(probes), Ok(data), Some(facts)) =
            (session(Kind::Probe), session(Kind::Data), facts)
        else {
            return;
        };
        let mut link = Linked {
            channel,
            index: hello.session,
            probes,
            data,
            sent: 0,
            heard: None,
            has_met: false,
            has_asked: false,
            beats: 0,
            answers: 0,
        };
        words.linked = true;
        let own = self.liar.id().default_name();
        let name = if self.lie == Lie::StolenName { facts.another_name() } else { own };
        let presence = records::presence(&self.liar, name, facts, self.hello.incarnation);
        words.writes.extend(link.say(&Message::Records(vec![presence])));
        if self.lie != Lie::OneBreath {
            let records = records::of(self.lie, &self.liar, facts, self.count);
            words.writes.extend(link.tell(&records));
        }
        let messages = self.messages(facts);
        // What is said at once is heard at once.
        let said: Vec<u8> = messages.iter().filter_map(|it| link.say(it)).flatten().collect();
        words.writes.push(said);
        if self.lie == Lie::Babble {
            let mut noise = vec![0; 64];
            self.rng.fill_bytes(&mut noise);
            words.writes.push(noise);
        } else if self.lie == Lie::TooLong {
            let len = u32::try_from(Channel::MESSAGE_LEN_MAX).unwrap_or(u32::MAX) + 1;
            words.writes.extend(link.channel.seal_records(&len.to_be_bytes()).ok());
        } else if self.lie == Lie::NoMessage {
            words.writes.extend(link.channel.seal(&NO_MESSAGE).ok());
        }
        self.stage = Stage::Linked(Box::new(link));
    }

    /// Messages other than records that the lie is about.
    fn messages(&self, facts: &Facts) -> Vec<Message> {
        let (me, host) = (self.liar.id(), facts.host);
        // Signed by the liar, whoever it is said to be from.
        let unicast = |from, to, hops, body| {
            let signed = Unicast::sign(&self.liar, to, hops, UnicastBody::Ipam(body));
            Message::Unicast(Unicast { from, ..signed })
        };
        let range = facts.universe.range();
        let (request, denied) = (IpamMessage::Request { range }, IpamMessage::Denied { range });
        if self.lie == Lie::BoundlessQuestion {
            let ranges = vec![Prefix::ROOT; Question::RANGES_MAX + 1];
            vec![Message::Ask(Question::Expand(ranges))]
        } else if self.lie == Lie::ManyQuestions {
            vec![Message::Ask(Question::Expand(vec![Prefix::ROOT])); 40]
        } else if self.lie == Lie::BoundlessPromise {
            let all = (0..=Question::KEYS_MAX as u64).map(promise).collect();
            vec![Message::Tree(TreeMessage::Have(all))]
        } else if self.lie == Lie::FalsePromises {
            let all: Vec<Have> = (0..u64::from(self.count)).map(promise).collect();
            let each = all.chunks(Question::KEYS_MAX).flat_map(|part| {
                let keys = part.iter().map(|have| have.key).collect();
                [TreeMessage::Have(part.to_vec()), TreeMessage::Graft(keys)]
            });
            each.map(Message::Tree).collect()
        } else if self.lie == Lie::WrongName {
            let others = facts.neighbours.iter().copied().chain([host]);
            let both = |from| [&request, &denied].map(|body| unicast(from, host, 9, body.clone()));
            others.flat_map(both).collect()
        } else if self.lie == Lie::OthersDenials {
            self.denials(facts)
        } else if self.lie == Lie::FarMessages {
            let far = |hops| unicast(me, facts.another(), hops, denied.clone());
            vec![far(0), far(u8::MAX)]
        } else if self.lie == Lie::ManyMessages {
            let times = usize::try_from(self.count).unwrap_or(usize::MAX);
            vec![unicast(me, facts.another(), 9, denied); times]
        } else if self.lie == Lie::LateDenial {
            let owned = Fingerprint::of(b"anything");
            let asked = IpamMessage::Confirm(Witnessed { nonce: 1, owned });
            [denied, asked].map(|body| unicast(me, host, 9, body)).into()
        } else if self.lie == Lie::StrayKeys {
            let fresh = FreshHalf { session: self.hello.session, key: [9; KEY_LEN] };
            vec![Message::Renewal(Renewal::Offer(fresh)); 2]
        } else if self.lie == Lie::Revenant {
            let all = facts.keys.iter().take(Question::KEYS_MAX).map(hash_of).collect();
            vec![Message::Ask(Question::Want(all)); 2]
        } else {
            Vec::new()
        }
    }

    /// The host says something.
    fn hear(
        &mut self,
        link: &mut Linked,
        message: Message,
        facts: Option<&Facts>,
        words: &mut Words,
    ) {
        let Some(facts) = facts else { return };
        match message {
            Message::Heartbeat => {
                words.writes.extend(link.say(&Message::Heartbeat));
                if self.lie == Lie::SessionOffers {
                    link.beats += 1;
                    for message in self.offers(facts, link.beats) {
                        words.writes.extend(link.say(&message));
                    }
                }
            }
            Message::Ask(_) => {
                let answers = if self.lie == Lie::UnaskedAnswer {
                    vec![Answer::Same, Answer::Same]
                } else if self.lie == Lie::BrokenAnswer {
                    vec![Answer::Ranges(Vec::new())]
                } else {
                    vec![Answer::Same]
                };
                let said = answers.into_iter().filter_map(|it| link.say(&Message::Answer(it)));
                words.writes.push(said.flatten().collect());
                if self.lie == Lie::OneBreath {
                    // At once, so that the host hears both in one call.
                    let mut breath = link.tell(&records::of(self.lie, &self.liar, facts, 1));
                    breath.extend(link.channel.seal(&NO_MESSAGE).ok());
                    words.writes.push(breath.concat());
                }
                // From here on the host knows the data session.
                if !std::mem::replace(&mut link.has_met, true) {
                    words.datagrams.extend(link.probe());
                    let name = self.liar.id().default_name();
                    let (index, data) = (link.index, &mut link.data);
                    words
                        .datagrams
                        .extend(frames::of(self.lie, facts, name, index, data, self.count));
                }
            }
            Message::Records(records) => {
                let me = self.liar.id();
                let mut peers = records.iter().filter(|it| it.key == Key::Peer(facts.host));
                let says_so = |record: &Record| {
                    record.decode::<PeerRecord>().is_ok_and(|peer| peer.links.contains(&me))
                };
                // Nobody is given addresses who cannot be reached.
                if self.lie.wants_addresses() && !link.has_asked && peers.any(says_so) {
                    link.has_asked = true;
                    let body = IpamMessage::Request { range: facts.universe.range() };
                    let body = UnicastBody::Ipam(body);
                    let request = Unicast::sign(&self.liar, facts.host, 9, body);
                    words.writes.extend(link.say(&Message::Unicast(request)));
                }
                let grants = records.iter().filter(|it| matches!(it.key, Key::Grant(_)));
                let mut given = grants.filter_map(|record| record.decode::<Grant>().ok());
                if let Some(given) = given.find(|it| it.owner == me && self.lie.wants_addresses()) {
                    let records = records::of_given(self.lie, &self.liar, facts, &given);
                    words.writes.extend(link.tell(&records));
                }
            }
            Message::Goodbye(goodbye) => words.refused = Some(format!("{goodbye:?}")),
            Message::Answer(_) if self.lie == Lie::OthersDenials && link.answers < self.count => {
                link.answers += 1;
                let denials = self.denials(facts);
                let said: Vec<u8> =
                    denials.iter().filter_map(|it| link.say(it)).flatten().collect();
                words.writes.push(said);
            }
            Message::Answer(_) | Message::Unicast(_) | Message::Tree(_) | Message::Renewal(_) => {}
        }
    }

    /// That others have none of the addresses that they own, as if they said so; and a question, whose
    /// answer is when to say it again.
    fn denials(&self, facts: &Facts) -> Vec<Message> {
        let whole = facts.universe.range();
        let usable = Range { start: Offset(whole.start.0 + 1), end: Offset(whole.end.0 - 1) };
        let denied = |from, range| {
            let body = UnicastBody::Ipam(IpamMessage::Denied { range });
            let signed = Unicast::sign(&self.liar, facts.host, 9, body);
            Message::Unicast(Unicast { from, ..signed })
        };
        let others = || facts.owned.iter().filter(|owned| owned.owner != facts.host);
        let owners: BTreeSet<PeerId> = others().map(|owned| owned.owner).collect();
        let all = owners.into_iter().flat_map(|owner| [whole, usable].map(|it| denied(owner, it)));
        let single = others().flat_map(|owned| {
            let end = owned.range.end.0.min(owned.range.start.0 + DENIED_MAX);
            let one = |at| Range { start: Offset(at), end: Offset(at + 1) };
            (owned.range.start.0..end).map(move |at| denied(owned.owner, one(at)))
        });
        let question = Message::Ask(Question::Expand(vec![Prefix::ROOT]));
        all.chain(single).chain([question]).collect()
    }

    /// What is said about data sessions after so many heartbeats.
    fn offers(&self, facts: &Facts, beats: u64) -> Vec<Message> {
        let other = records::made_up(&self.liar, 0);
        let nobody = records::made_up(&self.liar, 1);
        let say = |by: &Identity, message| {
            let body = UnicastBody::Session(message);
            Message::Unicast(Unicast::sign(by, facts.host, 9, body))
        };
        let key = if beats.is_multiple_of(2) { [0; KEY_LEN] } else { [9; KEY_LEN] };
        let half = Half {
            session: SessionIndex(u32::try_from(beats).unwrap_or(0)),
            key,
            seals: self.hello.seals,
            number: beats,
        };
        let life = self.hello.incarnation;
        let offer = |to| SessionMessage::Offer { half, life, to };
        let (to, session) = (facts.incarnation, half.session);
        vec![
            say(&other, offer(to)),
            // The same again, and to an earlier life.
            say(&other, offer(to)),
            say(&other, offer(Incarnation(0))),
            say(&nobody, offer(to)),
            say(&self.liar, offer(to)),
            say(&other, SessionMessage::Accept { offer: session, half }),
            say(&other, SessionMessage::Decline { offer: session, why: Decline::Full }),
            say(&other, SessionMessage::End { session }),
        ]
    }

    fn draw(&mut self, below: usize) -> usize {
        let below = u64::try_from(below).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.rng.next_u64() % below).unwrap_or(0)
    }

    /// Gives one byte from `from` on a wrong bit.
    fn damage(&mut self, bytes: &mut [u8], from: usize) {
        let at = from + self.draw(bytes.len().saturating_sub(from));
        let bit = 1 << self.draw(8);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= bit;
        }
    }
}

impl Linked {
    fn say(&mut self, message: &Message) -> Option<Vec<u8>> {
        self.channel.seal(&message.encode()).ok()
    }

    /// The writes that tell `records`.
    fn tell(&mut self, records: &[Record]) -> Vec<Vec<u8>> {
        let batches = records.chunks(BATCH);
        batches.filter_map(|batch| self.say(&Message::Records(batch.to_vec()))).collect()
    }

    /// A question while nothing was heard, and else an answer.
    fn probe(&mut self) -> Option<Vec<u8>> {
        self.sent = if self.heard.is_some() { (self.sent + 1) | 1 } else { (self.sent + 2) & !1 };
        self.probes.seal(&Probe { sequence: self.sent, heard: self.heard }.encode()).ok()
    }
}

/// Announces a record that there is not.
fn promise(number: u64) -> Have {
    let version = Version { incarnation: Incarnation(1), sequence: number };
    Have { key: number.wrapping_mul(0x9e37_79b9_7f4a_7c15), version }
}

/// What records of `key` are asked for by: the first half of a fingerprint.
fn hash_of(key: &Key) -> KeyHash {
    let [a, b, c, d, e, f, g, h, ..] = Fingerprint::of(&codec::encode(key)).0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
