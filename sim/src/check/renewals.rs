//! Which data sessions of a link took the place of which: what `sleeve.fresh-keys` and
//! `sleeve.rekey-loses-nothing` are judged by.

use std::collections::BTreeMap;
use std::time::Duration;
use weft_core::id::PeerName;
use weft_core::time::Instant;

/// A host, and the label that it chose for a session.
pub(super) type Label = (usize, u32);

/// Keys that are in use are no older. They are changed every 5 minutes, by a clock that may go at half
/// its speed, and once it may come to nothing.
const KEYS_MAX: Duration = Duration::from_secs(20 * 60);

/// Two hosts that hear each other do so more often. Source: `probe_silence_max` of a node, and a little.
const GAP_MAX: Duration = Duration::from_secs(12);

/// The sessions that links have had. Those of one link are a line, at each of its ends.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    sessions: BTreeMap<Label, Member>,
    lines: usize,
    /// Since when the host of a line hears the other one, and when it last did.
    heard: BTreeMap<usize, (Instant, Instant)>,
}

#[derive(Debug)]
struct Member {
    peer: PeerName,
    line: usize,
    since: Instant,
    /// Those that its host had with the peer when it came.
    beside: Vec<u32>,
    /// Whether its host takes in what comes by it.
    is_up: bool,
}

impl Renewals {
    /// A host has a session with `peer`. It takes the place of the one that the host has with it, if
    /// there is one: a link that takes the place of another ends that first.
    pub(super) fn up(&mut self, now: Instant, label: Label, peer: PeerName) {
        let stand = self.of(label.0).filter(|(_, it)| it.is_up && it.peer == peer);
        let stand: Vec<(u32, usize)> = stand.map(|(label, it)| (label, it.line)).collect();
        let beside = stand.iter().map(|(label, _)| *label).collect();
        let line = stand.first().map(|(_, line)| *line).unwrap_or_else(|| {
            self.lines += 1;
            self.lines
        });
        self.sessions.insert(label, Member { peer, line, since: now, beside, is_up: true });
    }

    /// It is over.
    pub(super) fn down(&mut self, label: Label) {
        self.sessions.entry(label).and_modify(|it| it.is_up = false);
    }

    /// All sessions of `host` are over, and nothing was told of it.
    pub(super) fn gone(&mut self, host: usize) {
        self.sessions.range_mut((host, 0)..=(host, u32::MAX)).for_each(|(_, it)| it.is_up = false);
    }

    fn of(&self, host: usize) -> impl Iterator<Item = (u32, &Member)> {
        self.sessions.range((host, 0)..=(host, u32::MAX)).map(|((_, label), it)| (*label, it))
    }

    /// The labels of sessions that `host` takes in.
    pub(super) fn all_up(&self, host: usize) -> impl Iterator<Item = u32> {
        self.of(host).filter(|(_, it)| it.is_up).map(|(label, _)| label)
    }

    /// Whether both are of one link, whose end there still has any. Of two links one after the other,
    /// during a session on demand, neither takes the place of the other.
    pub(super) fn are_of_one(&self, one: Label, other: Label) -> bool {
        let (Some(first), Some(second)) = (self.sessions.get(&one), self.sessions.get(&other))
        else {
            return false;
        };
        let met = first.beside.contains(&other.1) || second.beside.contains(&one.1);
        let stands = self.of(one.0).any(|(_, it)| it.is_up && it.line == first.line);
        first.line == second.line && (met || one == other) && stands
    }

    /// Something was taken at one end of a session, `there` being the other.
    ///
    /// # Errors
    /// The keys are old, although each end has heard the other one all the time.
    pub(super) fn heard(&mut self, now: Instant, here: Label, there: Label) -> Result<(), String> {
        let (Some(ours), Some(theirs)) = (self.sessions.get(&here), self.sessions.get(&there))
        else {
            return Ok(());
        };
        let (since, last) = self.heard.entry(ours.line).or_insert((now, now));
        if now.since(*last) > GAP_MAX {
            *since = now;
        }
        *last = now;
        let since = ours.since.max(*since);
        let hears_us = self.heard.get(&theirs.line).filter(|(_, at)| now.since(*at) <= GAP_MAX);
        let age = hears_us.map(|(from, _)| now.since(since.max(*from)));
        match age.filter(|age| *age > KEYS_MAX) {
            Some(age) => Err(format!(
                "n{} takes what n{} seals under keys that were in use for {} s",
                here.0 + 1,
                there.0 + 1,
                age.as_secs()
            )),
            None => Ok(()),
        }
    }
}
