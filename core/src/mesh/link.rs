//! A control stream from dial or accept to its end.

use super::attempt::Whom;
use super::message::{Message, Renewal, Unicast};
use super::path::Path;
use crate::config::Config;
use crate::gossip::{self, News, Pull, Question, Records};
use crate::handshake::{Channel, ChannelFault, Handshake, Hello, Received};
use crate::id::PeerId;
use crate::io::Timer;
use crate::mark::{Mark, mark};
use crate::sleeve::SessionIndex;
use crate::status::Queues;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use zeroize::Zeroizing;

/// One control stream.
#[derive(Debug)]
pub(crate) struct Conn {
    /// The other end, for people.
    pub(crate) remote: String,
    /// On whose account it was dialed.
    pub(crate) whom: Option<Whom>,
    pub(crate) phase: Phase,
    /// Since when a write is outstanding.
    pub(crate) writing_since: Option<Instant>,
    /// Bytes of the handshake, or a last message, that wait for the write to end.
    pub(crate) unsent: Vec<u8>,
}

/// Where in its life a conn is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The stream is being opened; the driver says how that ends.
    Dialing,
    /// The handshake is under way.
    Shaking(Box<Shaking>),
    /// Authenticated and agreed.
    Up(Box<Link>),
    /// Over, but for the last words in `unsent`.
    Ending {
        /// When they are given up.
        until: Instant,
    },
}

/// How a conn ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The driver said that it is gone.
    Gone,
    /// We end it, after these bytes.
    Ours(Vec<u8>),
}

/// A handshake and what it was begun with.
#[derive(Debug)]
pub(crate) struct Shaking {
    /// `None` only while bytes are taken in.
    pub(crate) handshake: Option<Handshake>,
    pub(crate) until: Instant,
    pub(crate) ends: Ends,
    /// Who answered, once that is known.
    pub(crate) peer: Option<PeerId>,
    /// Our half of the data session that comes with this link.
    pub(crate) session: SessionKey,
}

/// Our half of a data session that the other side does not know its half of yet.
pub(crate) struct SessionKey {
    pub(crate) index: SessionIndex,
    pub(crate) secret: Zeroizing<[u8; 32]>,
}

// By hand: `Zeroizing` would print the secret.
impl core::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("SessionKey").field(&self.index).finish()
    }
}

/// The two ends of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// A control link that stands.
#[derive(Debug)]
pub(crate) struct Link {
    /// What the neighbour said of itself.
    pub(crate) hello: Hello,
    pub(crate) ends: Ends,
    pub(crate) up_at: Instant,
    pub(crate) heard_at: Instant,
    pub(crate) beat_at: Instant,
    pub(crate) reconcile_at: Instant,
    pub(crate) channel: Channel,
    /// Since when the keys are in use.
    keys_at: Instant,
    /// Fresh keys were asked for, because these are old.
    keys_wanted: bool,
    pub(crate) path: Path,
    /// The link has fresh keys, and its data session is to get some: it is up to us to offer them.
    wants_renewal: bool,
    /// Our half of a session that we offered to take the place of the one in use.
    offered: Option<SessionKey>,
    /// To be said about that next.
    renewal: Option<Renewal>,
    /// The neighbour has told on this link with whom it is linked.
    pub(crate) is_introduced: bool,
    pub(crate) pull: Option<Pull>,
    pub(crate) news: News,
    unicasts: VecDeque<Unicast>,
    question: Option<Question>,
    /// Questions of the neighbour; answered from the store when the answer can leave.
    asked: VecDeque<Question>,
    beat: bool,
}

/// Most unicasts that wait for one neighbour; more are lost, as on any network.
const UNICASTS_MAX: usize = 256;
/// Most questions of one neighbour that wait; an honest one has one open.
const ASKED_MAX: usize = 4;
impl Link {
    /// A link that came up `now` and begins with a pull of all records.
    pub(crate) fn new(
        now: Instant,
        (hello, channel): (Hello, Channel),
        ends: Ends,
        path: Path,
        config: &Config,
        records: &Records,
    ) -> Self {
        let mut link = Self {
            hello,
            ends,
            up_at: now,
            heard_at: now,
            beat_at: now + config.heartbeat_wait,
            reconcile_at: now + config.reconcile_wait,
            channel,
            keys_at: now,
            keys_wanted: false,
            path,
            wants_renewal: false,
            offered: None,
            renewal: None,
            is_introduced: false,
            pull: None,
            news: News::new(now),
            unicasts: VecDeque::new(),
            question: None,
            asked: VecDeque::new(),
            beat: false,
        };
        link.reconcile(records);
        link
    }

    /// Takes in bytes of the stream.
    ///
    /// # Errors
    /// When the channel cannot go on.
    pub(crate) fn receive(&mut self, now: Instant, bytes: &[u8]) -> Result<Received, ChannelFault> {
        self.heard_at = now;
        let before = self.channel.changes();
        let received = self.channel.receive(bytes);
        if self.channel.changes() != before {
            (self.keys_at, self.keys_wanted) = (now, false);
            self.wants_renewal = self.channel.is_dialed();
        }
        received
    }

    /// Whether it is time to offer fresh keys for the data session.
    pub(crate) const fn may_offer(&self) -> bool {
        self.wants_renewal && self.offered.is_none() && !self.path.is_renewing()
    }

    /// Offers `ours`, which `offer` tells the neighbour of.
    pub(crate) fn offer(&mut self, ours: SessionKey, offer: Renewal) {
        self.wants_renewal = false;
        self.offered = Some(ours);
        self.renewal = Some(offer);
    }

    /// The neighbour answers the offer: our half of it, if there is one.
    pub(crate) const fn take_offered(&mut self) -> Option<SessionKey> {
        self.offered.take()
    }

    /// Tells the neighbour `answer` next.
    pub(crate) const fn answer_offer(&mut self, answer: Renewal) {
        self.renewal = Some(answer);
    }

    /// The index that we offered and that no session has yet.
    pub(crate) fn offered_index(&self) -> Option<SessionIndex> {
        self.offered.as_ref().map(|ours| ours.index)
    }

    /// When something has to be done about the age of the keys: the side that dialed has them
    /// changed, the other one reminds it, and both end the link if that does not come about.
    pub(crate) fn rekey_at(&self, config: &Config) -> Instant {
        let waits = match (self.keys_wanted, self.channel.is_dialed()) {
            (true, _) => 3,
            (false, true) => 1,
            (false, false) => 2,
        };
        self.keys_at + config.rekey_wait.saturating_mul(waits)
    }

    /// Does that, and returns the bytes to send.
    ///
    /// # Errors
    /// When the keys are too old.
    pub(crate) fn rekey(&mut self) -> Result<Vec<u8>, ChannelFault> {
        if core::mem::replace(&mut self.keys_wanted, true) {
            return Err(ChannelFault::UsedUp);
        }
        self.channel.rekey()
    }

    /// Begins to compare all records, unless that is under way.
    pub(crate) fn reconcile(&mut self, records: &Records) {
        if self.pull.is_none() {
            let (pull, question) = Pull::start(records);
            self.pull = Some(pull);
            self.question = Some(question);
        } else {
            mark(Mark::PullUnderWay);
        }
    }

    /// Asks `question` next.
    pub(crate) fn ask(&mut self, question: Question) {
        self.question = Some(question);
    }

    /// The neighbour asks `question`, which is sound.
    pub(crate) fn was_asked(&mut self, question: Question) {
        if self.asked.len() >= ASKED_MAX {
            mark(Mark::PullTooManyQuestions);
            self.asked.pop_front();
        }
        self.asked.push_back(question);
    }

    /// Passes on `unicast`, or drops it when too many wait.
    pub(crate) fn tell(&mut self, unicast: Unicast) {
        if self.unicasts.len() < UNICASTS_MAX {
            self.unicasts.push_back(unicast);
        } else {
            mark(Mark::UnicastTooMany);
            tracing::debug!(peer = %self.hello.id, "dropped a unicast: too many wait");
        }
    }

    /// Whether [`Link::outgoing`] would return anything.
    fn has_outgoing(&self, now: Instant) -> bool {
        self.beat
            || self.renewal.is_some()
            || self.question.is_some()
            || !self.asked.is_empty()
            || !self.unicasts.is_empty()
            || self.news.due_at().is_some_and(|due| due <= now)
    }

    /// All that may leave, sealed: what is about keys and unicasts, then news, then answers and our
    /// question; a heartbeat when one is due and there is nothing else.
    ///
    /// # Errors
    /// When the channel cannot go on.
    pub(crate) fn outgoing(
        &mut self,
        now: Instant,
        records: &Records,
    ) -> Result<Vec<u8>, ChannelFault> {
        let mut messages: Vec<Message> =
            self.renewal.take().map(Message::Renewal).into_iter().collect();
        messages.extend(self.unicasts.drain(..).map(Message::Unicast));
        let (pushed, said) = self.news.take(now, records);
        if !pushed.is_empty() {
            messages.push(Message::Records(pushed));
        }
        messages.extend(said.into_iter().map(Message::Tree));
        let answers = self.asked.drain(..).map(|question| gossip::answer(records, &question));
        messages.extend(answers.map(Message::Answer));
        messages.extend(self.question.take().map(Message::Ask));
        if core::mem::take(&mut self.beat) && messages.is_empty() {
            messages.push(Message::Heartbeat);
        }
        let mut bytes = Vec::new();
        for message in messages {
            bytes.extend(self.channel.seal(&message.encode())?);
        }
        if self.channel.is_worn() {
            bytes.extend(self.channel.rekey()?);
        }
        Ok(bytes)
    }

    /// How much waits for the neighbour, or came from it in part.
    fn queues(&self) -> Queues {
        let Self {
            channel,
            pull,
            news,
            unicasts,
            asked,
            hello: _,
            ends: _,
            up_at: _,
            heard_at: _,
            beat_at: _,
            reconcile_at: _,
            keys_at: _,
            keys_wanted: _,
            path: _,
            wants_renewal: _,
            offered: _,
            renewal: _,
            is_introduced: _,
            question: _,
            beat: _,
        } = self;
        Queues {
            unicasts: unicasts.len(),
            questions: asked.len(),
            news: news.len(),
            unsent: 0,
            unread: channel.unread(),
            pull: pull.as_ref().map_or(0, Pull::left),
        }
    }

    /// Whether frames may go by way of it. What we hold of a neighbour that was away says with whom it
    /// was linked before: by that, peers could be reached that are long gone.
    pub(crate) const fn counts(&self) -> bool {
        self.is_introduced && self.path.is_proven()
    }

    /// Does now what would be due within `span`: the next heartbeat, and the next probe of a path that
    /// works.
    pub(crate) fn hasten(&mut self, now: Instant, span: Duration) {
        if self.beat_at <= now + span {
            self.beat_at = now;
        }
        self.path.hasten(now, span);
    }

    /// Wants a heartbeat with the next write.
    pub(crate) const fn beat(&mut self) {
        self.beat = true;
    }

    /// Whether nothing was heard for two heartbeats: it may be dead.
    pub(crate) fn is_doubtful(&self, now: Instant, config: &Config) -> bool {
        now - self.heard_at > config.heartbeat_wait * 2
    }
}

impl Conn {
    /// A conn in its first phase.
    pub(crate) const fn new(remote: String, whom: Option<Whom>, phase: Phase) -> Self {
        Self { remote, whom, phase, writing_since: None, unsent: Vec::new() }
    }

    /// The link, when it stands.
    pub(crate) const fn link(&self) -> Option<&Link> {
        match &self.phase {
            Phase::Up(link) => Some(link),
            Phase::Dialing | Phase::Shaking(_) | Phase::Ending { .. } => None,
        }
    }

    /// The link, when it stands.
    pub(crate) const fn link_mut(&mut self) -> Option<&mut Link> {
        match &mut self.phase {
            Phase::Up(link) => Some(link),
            Phase::Dialing | Phase::Shaking(_) | Phase::Ending { .. } => None,
        }
    }

    /// How much waits for the other end, or came from it in part.
    pub(crate) fn queues(&self) -> Queues {
        let Self { remote: _, whom: _, phase, writing_since: _, unsent } = self;
        let waits = match phase {
            Phase::Dialing | Phase::Ending { .. } => Queues::default(),
            Phase::Shaking(shaking) => {
                let unread = shaking.handshake.as_ref().map_or(0, Handshake::unread);
                Queues { unread, ..Queues::default() }
            }
            Phase::Up(link) => link.queues(),
        };
        Queues { unsent: unsent.len(), ..waits }
    }

    /// Whether it can be written to, and has something to write or to end after.
    pub(crate) fn may_write(&self, now: Instant) -> bool {
        let waits = match &self.phase {
            Phase::Dialing | Phase::Shaking(_) => false,
            Phase::Up(link) => link.has_outgoing(now),
            Phase::Ending { .. } => true,
        };
        self.writing_since.is_none() && (waits || !self.unsent.is_empty())
    }

    /// What is next due, and when.
    pub(crate) fn deadlines(&self, config: &Config) -> [Option<(Instant, Timer)>; 6] {
        let only = |due, timer| [Some((due, timer)), None, None, None, None, None];
        match &self.phase {
            Phase::Dialing => [None; 6],
            Phase::Shaking(shaking) => only(shaking.until, Timer::Handshake),
            Phase::Ending { until } => only(*until, Timer::Handshake),
            Phase::Up(link) => [
                Some((self.silent_at(link, config), Timer::Silence)),
                Some((link.beat_at, Timer::Heartbeat)),
                Some((link.reconcile_at, Timer::Reconcile)),
                Some((link.path.deadline(), Timer::Probe)),
                Some((link.rekey_at(config), Timer::Rekey)),
                // While a write is outstanding, its end brings the next.
                link.news
                    .due_at()
                    .filter(|_| self.writing_since.is_none())
                    .map(|at| (at, Timer::Push)),
            ],
        }
    }

    /// When to give up a link that brings nothing, or takes nothing.
    pub(crate) fn silent_at(&self, link: &Link, config: &Config) -> Instant {
        let since = self.writing_since.map_or(link.heard_at, |since| since.min(link.heard_at));
        since + config.silence_max
    }
}
