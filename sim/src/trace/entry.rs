//! One thing that happened in a run.

use super::words::{self, Names};
use crate::net::{Carrier, MessageId};
use crate::peer::Peer;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use weft_core::event::Event;
use weft_core::io::{CommandError, Reply, RequestId};
use weft_core::time::Instant;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, on the world's clock, in nanoseconds.
    pub at: Instant,
    /// At which host; none when it befell the network or the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Peer>,
    /// What.
    pub what: What,
    /// How the host's node stood just after; none when it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// How a node stands, in counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Control links that stand.
    pub conns: usize,
    /// Data paths that work.
    pub links: usize,
    /// Peers in reach.
    pub peers: usize,
    /// Addresses held.
    pub held: usize,
    /// Own names.
    pub names: usize,
}

/// A message between two hosts, as the network sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Which.
    pub id: MessageId,
    /// From here…
    pub from: Peer,
    /// …to here.
    pub to: Peer,
    /// In what.
    pub carrier: Carrier,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Something breaks.
    Fault {
        /// For people.
        text: String,
    },
    /// Something works again.
    Heal {
        /// For people.
        text: String,
    },
    /// Anything else that is worth a line.
    Note {
        /// What it is about, in at most six letters.
        part: Cow<'static, str>,
        /// For people.
        text: String,
    },
    /// The host's node starts.
    Start {
        /// For the how manieth time.
        boot: u64,
    },
    /// The host's node is killed.
    Crash {
        /// With the machine under it, so that the others hear nothing.
        power: bool,
    },
    /// The node is given a command.
    Ask {
        /// Which of the run.
        request: u64,
        /// For people.
        text: String,
    },
    /// The node answers a command.
    Reply {
        /// Which of the run.
        request: u64,
        /// Whether it came to nothing.
        refused: bool,
        /// For people.
        text: String,
    },
    /// The node says that something happened.
    Event {
        /// Which part of it.
        part: Cow<'static, str>,
        /// For people.
        text: String,
    },
    /// A rule does not hold.
    Broken {
        /// Its name.
        rule: String,
        /// Who and what.
        detail: String,
    },
    /// These ways let nothing through from here on, and all others do. Only in full recordings.
    Ways {
        /// From, to.
        blocked: Vec<(Peer, Peer)>,
    },
    /// A message sets out. Only in full recordings, as the two below.
    Sent {
        /// Which.
        #[serde(flatten)]
        message: Message,
        /// Its length in bytes.
        len: usize,
        /// What can be told from outside.
        gist: String,
    },
    /// The last byte of a message arrived.
    Arrived {
        /// Which.
        #[serde(flatten)]
        message: Message,
    },
    /// A message will never arrive.
    Lost {
        /// Which.
        #[serde(flatten)]
        message: Message,
        /// Why.
        why: Cow<'static, str>,
    },
}

impl What {
    /// Something that was put into words already. `part` is `FAULT`, `HEAL` or what it is about.
    pub fn note(part: &'static str, text: String) -> Self {
        match part {
            "FAULT" => Self::Fault { text },
            "HEAL" => Self::Heal { text },
            part => Self::Note { part: Cow::Borrowed(part), text },
        }
    }

    /// What a node said of itself.
    pub fn event(event: &Event, names: &Names) -> Self {
        let part = Cow::Borrowed(words::part(event));
        Self::Event { part, text: words::event(event, names) }
    }

    /// What a node answered.
    pub fn reply(request: RequestId, result: &Result<Reply, CommandError>) -> Self {
        let text = match result {
            Ok(reply) => words::reply(reply),
            Err(error) => error.to_string(),
        };
        Self::Reply { request: request.0, refused: result.is_err(), text }
    }

    /// Whether it changes the state of a host, of the network or of the run.
    pub const fn is_change(&self) -> bool {
        match self {
            Self::Fault { .. }
            | Self::Heal { .. }
            | Self::Note { .. }
            | Self::Start { .. }
            | Self::Crash { .. }
            | Self::Ask { .. }
            | Self::Reply { .. }
            | Self::Event { .. }
            | Self::Broken { .. } => true,
            Self::Ways { .. } | Self::Sent { .. } | Self::Arrived { .. } | Self::Lost { .. } => {
                false
            }
        }
    }

    /// What it is about, in at most six letters.
    pub fn part(&self) -> &str {
        match self {
            Self::Fault { .. } | Self::Crash { .. } => "FAULT",
            Self::Heal { .. } => "HEAL",
            Self::Note { part, .. } | Self::Event { part, .. } => part,
            Self::Start { .. } => "sim",
            Self::Ask { .. } => "ask",
            Self::Reply { .. } => "reply",
            Self::Broken { .. } => "BROKEN",
            Self::Ways { .. } => "ways",
            Self::Sent { .. } => "sent",
            Self::Arrived { .. } => "got",
            Self::Lost { .. } => "lost",
        }
    }

    /// What happened, for people.
    pub fn text(&self) -> Cow<'_, str> {
        let arrow = |way: &Message| {
            let (from, to) = (words::end(way.from), words::end(way.to));
            format!("#{} {from} -> {to} {}", way.id.0, words::carrier(way.carrier))
        };
        Cow::Owned(match self {
            Self::Fault { text }
            | Self::Heal { text }
            | Self::Note { text, .. }
            | Self::Event { text, .. } => return Cow::Borrowed(text),
            Self::Start { boot: 1 } => return Cow::Borrowed("start"),
            Self::Start { boot } => format!("start, the {boot}{}", words::nth(*boot)),
            Self::Crash { power: false } => return Cow::Borrowed("crash"),
            Self::Crash { power: true } => return Cow::Borrowed("crash, power lost"),
            Self::Ask { request, text } => format!("{request}: {text}"),
            Self::Reply { request, refused: false, text } => format!("{request}: {text}"),
            Self::Reply { request, refused: true, text } => format!("{request}: refused: {text}"),
            Self::Broken { rule, detail } => format!("{rule}: {detail}"),
            Self::Ways { blocked } if blocked.is_empty() => return Cow::Borrowed("all work"),
            Self::Ways { blocked } => {
                let ways: Vec<String> =
                    blocked.iter().map(|(from, to)| format!("{from}->{to}")).collect();
                format!("cut: {}", ways.join(" "))
            }
            Self::Sent { message, len, gist } => format!("{} {len} B {gist}", arrow(message)),
            Self::Arrived { message } => arrow(message),
            Self::Lost { message, why } => format!("{}: {why}", arrow(message)),
        })
    }
}
