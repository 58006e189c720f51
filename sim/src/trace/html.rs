//! A run as a picture: time downwards, a line per host, messages as arrows. One file of HTML that
//! needs nothing else.

use super::entry::{Entry, What};
use super::gist::{HEARTBEAT, PROBE};
use super::recording::Recording;
use crate::net::{Carrier, MessageId, STRANGER};
use crate::peer::Peer;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use weft_core::time::Instant;

const PAGE: &str = include_str!("picture.html");
const STYLE: &str = include_str!("picture.css");
const SCRIPT: &str = include_str!("picture.js");

/// What the page is told. Times are in microseconds.
#[derive(Debug, Serialize)]
struct Picture<'a> {
    title: &'a str,
    seed: u64,
    digest: String,
    end: u64,
    hosts: Vec<String>,
    broken: Option<Broken<'a>>,
    changes: Vec<Change<'a>>,
    lives: Vec<Vec<Life>>,
    ways: Vec<Ways>,
    /// Each text of `messages` once.
    words: Vec<String>,
    messages: Vec<Drawn>,
}

#[derive(Debug, Serialize)]
struct Broken<'a> {
    at: u64,
    rule: &'a str,
    detail: &'a str,
}

#[derive(Debug, Serialize)]
struct Change<'a> {
    at: u64,
    /// None for the network and the run.
    host: Option<usize>,
    part: &'a str,
    text: String,
    /// Control links, data paths, peers, addresses, names.
    counts: Option<[usize; 5]>,
    /// Whether a command came to nothing.
    refused: bool,
}

/// A time in which a host's node runs.
#[derive(Debug, Serialize)]
struct Life {
    from: u64,
    to: u64,
    /// How it ends: "crash", "power", or "" at the end of the run.
    end: &'static str,
}

/// A time in which ways are blocked.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Ways {
    from: u64,
    to: u64,
    /// Which group each host is in, by the first host in it; none while it does not run at all.
    /// Within a group, every host has a way to every other.
    islands: Vec<Option<usize>>,
    /// Ways blocked inside a group, from and to.
    cuts: Vec<(usize, usize)>,
}

/// A message: sent, ended, from, to (one above the hosts for a stranger), carrier, length, index of its gist, index of why it was lost
/// (or -1 when it arrived, -2 when it was under way at the end), whether it only keeps a link up.
#[derive(Debug, Serialize)]
struct Drawn(u64, u64, usize, usize, u8, usize, usize, i64, u8);

/// The picture of a run as one file of HTML.
///
/// # Errors
/// None in practice: everything in it has a form in JSON.
pub fn html(recording: &Recording) -> Result<String, serde_json::Error> {
    // Nothing in the data can end the element that it stands in.
    let data = serde_json::to_string(&picture(recording))?.replace('<', "\\u003c");
    let title = escaped(&recording.head.title);
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len());
    for piece in PAGE.split("@@") {
        page.push_str(match piece {
            "title" => &title,
            "style" => STYLE,
            "script" => SCRIPT,
            "data" => &data,
            text => text,
        });
    }
    Ok(page)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const fn micros(at: Instant) -> u64 {
    at.as_nanos() / 1000
}

fn picture(recording: &Recording) -> Picture<'_> {
    let head = &recording.head;
    let last = recording.entries.iter().map(|entry| entry.at).max().unwrap_or(Instant::ZERO);
    let end = micros(last.max(Instant::ZERO + head.simulated));
    let (words, messages) = messages(recording, end);
    let lives = lives(recording, end);
    Picture {
        title: &head.title,
        seed: head.seed,
        digest: head.digest.to_string(),
        end,
        hosts: (0..head.hosts).map(|host| Peer(host).to_string()).collect(),
        broken: recording.broken().map(|(rule, detail, at)| Broken {
            at: micros(at),
            rule,
            detail,
        }),
        changes: recording.entries.iter().filter_map(change).collect(),
        ways: ways(recording, &lives, end),
        lives,
        words,
        messages,
    }
}

fn change(entry: &Entry) -> Option<Change<'_>> {
    if !entry.what.is_change() {
        return None;
    }
    let refused = matches!(&entry.what, What::Reply { refused: true, .. });
    let counts = entry.summary.map(|s| [s.conns, s.links, s.peers, s.held, s.names]);
    let host = entry.host.map(|host| host.0);
    let text = match &entry.what {
        What::Ask { .. } => format!("command {}", entry.what.text()),
        What::Reply { .. } => format!("answer {}", entry.what.text()),
        What::Heal { text } => format!("healed: {text}"),
        What::Fault { .. }
        | What::Note { .. }
        | What::Start { .. }
        | What::Crash { .. }
        | What::Event { .. }
        | What::Broken { .. }
        | What::Ways { .. }
        | What::Sent { .. }
        | What::Arrived { .. }
        | What::Lost { .. } => entry.what.text().into_owned(),
    };
    Some(Change { at: micros(entry.at), host, part: entry.what.part(), text, counts, refused })
}

fn lives(recording: &Recording, end: u64) -> Vec<Vec<Life>> {
    let mut lives: Vec<Vec<Life>> = (0..recording.head.hosts).map(|_| Vec::new()).collect();
    for entry in &recording.entries {
        let Some(of) = entry.host.and_then(|host| lives.get_mut(host.0)) else { continue };
        if let What::Start { .. } = &entry.what {
            of.push(Life { from: micros(entry.at), to: end, end: "" });
        }
        if let What::Crash { power } = &entry.what
            && let Some(life) = of.last_mut()
        {
            life.to = micros(entry.at);
            life.end = if *power { "power" } else { "crash" };
        }
    }
    lives
}

fn ways(recording: &Recording, lives: &[Vec<Life>], end: u64) -> Vec<Ways> {
    let changes = recording.entries.iter().filter_map(|entry| {
        let What::Ways { blocked } = &entry.what else { return None };
        let blocked: BTreeSet<_> = blocked.iter().map(|(from, to)| (from.0, to.0)).collect();
        Some((micros(entry.at), blocked))
    });
    let changes: Vec<_> = changes.collect();
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([end]);
    let mut all: Vec<Ways> = Vec::new();
    for ((from, blocked), to) in changes.iter().zip(ends).filter(|((from, _), to)| from < to) {
        let runs = |life: &Life| life.from < to && life.to > *from;
        let hosts: Vec<bool> = lives.iter().map(|lives| lives.iter().any(runs)).collect();
        let (islands, cuts) = islands(&hosts, blocked);
        match all.last_mut() {
            // Only hosts that do not run came to it or went.
            Some(last) if last.to == *from && last.islands == islands && last.cuts == cuts => {
                last.to = to;
            }
            Some(_) | None => all.push(Ways { from: *from, to, islands, cuts }),
        }
    }
    all.retain(|ways| {
        let groups: BTreeSet<&usize> = ways.islands.iter().flatten().collect();
        groups.len() > 1 || !ways.cuts.is_empty()
    });
    all
}

/// Which group each host that runs is in, and what is blocked inside one.
fn islands(
    runs: &[bool],
    blocked: &BTreeSet<(usize, usize)>,
) -> (Vec<Option<usize>>, Vec<(usize, usize)>) {
    let works = |a, b| !blocked.contains(&(a, b)) && !blocked.contains(&(b, a));
    let mut islands: Vec<Option<usize>> = vec![None; runs.len()];
    for first in 0..runs.len() {
        let mut edge = vec![first];
        while let Some(host) = edge.pop() {
            let Some(island @ None) = islands.get_mut(host) else { continue };
            if runs.get(host) == Some(&true) {
                *island = Some(first);
                edge.extend((0..runs.len()).filter(|other| works(host, *other)));
            }
        }
    }
    let group = |host: &usize| islands.get(*host).copied().flatten();
    let inside = |(a, b): &&(usize, usize)| group(a).is_some() && group(a) == group(b);
    let cuts = blocked.iter().filter(inside).copied().collect();
    (islands, cuts)
}

/// Words that many messages share.
#[derive(Debug, Default)]
struct Words {
    list: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl Words {
    fn place(&mut self, word: &str) -> usize {
        if let Some(place) = self.places.get(word) {
            return *place;
        }
        let place = self.list.len();
        self.list.push(word.to_owned());
        self.places.insert(word.to_owned(), place);
        place
    }
}

fn messages(recording: &Recording, end: u64) -> (Vec<String>, Vec<Drawn>) {
    let hosts = recording.head.hosts;
    // All strangers stand behind the last host.
    let place_of = |peer: Peer| if peer.0 == STRANGER { hosts } else { peer.0 };
    let mut words = Words::default();
    let mut drawn: Vec<Drawn> = Vec::new();
    let mut places: BTreeMap<MessageId, usize> = BTreeMap::new();
    for entry in &recording.entries {
        let at = micros(entry.at);
        if let What::Sent { message, len, gist } = &entry.what {
            let carrier = match message.carrier {
                Carrier::Dial => 0,
                Carrier::Stream => 1,
                Carrier::End => 2,
                Carrier::Datagram => 3,
            };
            let idle = u8::from(gist == HEARTBEAT || gist == PROBE);
            places.insert(message.id, drawn.len());
            let gist = words.place(gist);
            let (from, to) = (place_of(message.from), place_of(message.to));
            drawn.push(Drawn(at, end, from, to, carrier, *len, gist, -2, idle));
        }
        let (id, fate) = match &entry.what {
            What::Arrived { message } => (message.id, -1),
            What::Lost { message, why } => {
                (message.id, i64::try_from(words.place(why)).unwrap_or(-1))
            }
            What::Fault { .. }
            | What::Heal { .. }
            | What::Note { .. }
            | What::Start { .. }
            | What::Crash { .. }
            | What::Ask { .. }
            | What::Reply { .. }
            | What::Event { .. }
            | What::Broken { .. }
            | What::Ways { .. }
            | What::Sent { .. } => continue,
        };
        if let Some(message) = places.get(&id).and_then(|place| drawn.get_mut(*place)) {
            message.1 = at;
            message.7 = fate;
        }
    }
    // There is no line to draw to an address that nobody has.
    drawn.retain(|message| message.2 <= hosts && message.3 <= hosts);
    drawn.sort_by_key(|message| message.0);
    (words.list, drawn)
}
