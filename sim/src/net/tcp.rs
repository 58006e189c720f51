//! How streams are carried: cut anywhere, stalled, reset and half open, as TCP's are.
//!
//! A partition stops delivery. What a stream carries then waits, and is delivered when the
//! partition heals in time; after a while the sender gives up and its end is reset, while the
//! other end notices only when it sends something itself, or not at all.

use super::paths::time_for;
use super::stream::{End, EndIndex, Item, Stream, StreamId};
use super::{Arrival, Carrier, Delivery, Listener, Mishap, NOBODY, Net, PORT, Share, Way};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use weft_core::io::{CloseReason, ConnId, DialFailure, Input, Target};
use weft_core::time::Instant;

/// What fits into a stream before its writer has to wait, in bytes. Source: a usual `SO_SNDBUF`.
const BUFFER_LEN: usize = 64 * 1024;

/// How long a stream that delivers nothing is kept up by its sender: drawn between these.
/// Source: Linux gives up after about 15 s with `TCP_USER_TIMEOUT` as a driver would set it.
const STALL_MAX: [Duration; 2] = [Duration::from_secs(8), Duration::from_secs(20)];

/// A dial that nobody answers is tried again this often, and given up after `SYN_MAX`.
const SYN_WAIT: Duration = Duration::from_secs(1);
const SYN_MAX: Duration = Duration::from_secs(6);

/// How often what was written at once is read in two pieces.
const RECUT: Share = Share::per_thousand(250);

impl Net {
    /// Starts to open a stream; answered by `Opened` or `DialFailed`.
    pub fn dial(&mut self, now: Instant, host: usize, boot: u64, conn: ConnId, target: &Target) {
        let remote = match target.host.strip_prefix('n').map(str::parse::<usize>) {
            Some(Ok(number)) if number > 0 => Some(self.address(number - 1)),
            Some(_) | None => target.host.parse().ok(),
        };
        let Some(remote) = remote else {
            let why =
                DialFailure::Resolve { host: target.host.clone(), why: "no such host".to_owned() };
            let wait = self.paths.trip(host, host) * 2;
            self.arrivals.push(
                now + wait,
                Arrival::Input { host, boot, input: Input::DialFailed { conn, why } },
            );
            // Known as a conn all the same, so that the answer is delivered once and not after a close.
            self.insert(now, host, boot, conn, NOBODY, SocketAddr::new(self.address(host), 0));
            return;
        };
        let to = self.host_at(remote).unwrap_or(NOBODY);
        let stream = self.insert(now, host, boot, conn, to, SocketAddr::new(remote, target.port));
        let wait = self.paths.trip(host, to);
        let id = self.sightings.sent(now, Way { from: host, to, carrier: Carrier::Dial }, &[]);
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.dial = Some(id);
        }
        self.arrivals.push(now + wait, Arrival::Syn { stream });
    }

    fn insert(
        &mut self,
        now: Instant,
        host: usize,
        boot: u64,
        conn: ConnId,
        to: usize,
        remote: SocketAddr,
    ) -> StreamId {
        let id = StreamId(self.streams_made);
        self.streams_made += 1;
        let port = 32_768 + u16::try_from(id.0 % 28_000).unwrap_or(0);
        let end = |host, boot, conn, address| End::new(now, host, boot, conn, address);
        let local = SocketAddr::new(self.address(host), port);
        let ends = [end(host, boot, Some(conn), local), end(to, 0, None, remote)];
        self.streams.insert(id, Stream { ends, dialed_at: now, dial: None });
        self.conns.insert((host, conn), (id, 0));
        id
    }

    /// A dial reached the other host, or did not.
    pub(super) fn syn(&mut self, now: Instant, id: StreamId) -> Option<Delivery> {
        // Who is there now: since the last try, a host may have left the address or come to it.
        let remote = self.streams.get(&id)?.ends[1].address;
        let to = self.host_at(remote.ip()).unwrap_or(NOBODY);
        let from = self.streams.get(&id)?.ends[0].host;
        let hidden = self.hides(from, to);
        let stream = self.streams.get_mut(&id)?;
        stream.ends[1].host = to;
        let (boot, conn) = (stream.ends[0].boot, stream.ends[0].conn?);
        let wait = self.paths.trip(to, from);
        let way = Way { from, to, carrier: Carrier::Dial };
        let dial = stream.dial.take().unwrap_or_else(|| self.sightings.sent(now, way, &[]));
        if !stream.ends[0].live {
            self.sightings.lost(now, dial, way, "given up by the dialing host");
            self.streams.remove(&id);
            return None;
        }
        let fail = |why: &str| Arrival::Input {
            host: from,
            boot,
            input: Input::DialFailed { conn, why: DialFailure::Connect(why.to_owned()) },
        };
        if self.listeners.contains_key(&to) {
            hidden.into_iter().for_each(|why| self.tally.count(why));
        }
        if to == NOBODY
            || hidden.is_some()
            || self.paths.blocked(from, to)
            || self.paths.blocked(to, from)
        {
            let why = if to == NOBODY { "nobody has this address" } else { "the way is cut" };
            self.sightings.lost(now, dial, way, why);
            if now.since(stream.dialed_at) < SYN_MAX {
                self.arrivals.push(now + SYN_WAIT, Arrival::Syn { stream: id });
            } else {
                self.arrivals.push(now, fail("timed out"));
            }
            return None;
        }
        let listener = self.listeners.get_mut(&to).filter(|_| remote.port() == PORT);
        let Some(Listener { boot: their_boot, accepted }) = listener else {
            self.sightings.lost(now, dial, way, "refused: nobody runs there");
            self.arrivals.push(now + wait, fail("connection refused"));
            return None;
        };
        self.sightings.arrived(now, dial, way);
        *accepted += 1;
        let (their_boot, theirs) = (*their_boot, ConnId::accepted(*accepted));
        let stream = self.streams.get_mut(&id)?;
        let local = stream.ends[0].address;
        stream.ends[1].boot = their_boot;
        stream.ends[1].conn = Some(theirs);
        stream.ends[1].live = true;
        stream.ends[0].last_arrival = now + wait;
        self.conns.insert((to, theirs), (id, 1));
        self.arrivals.push(
            now + wait,
            Arrival::Input { host: from, boot, input: Input::Opened { conn, local, remote } },
        );
        let input = Input::Opened { conn: theirs, local: remote, remote: local };
        Some(Delivery::Input { host: to, boot: their_boot, input })
    }

    /// The node of `host` was told that `conn` is over.
    pub fn forget(&mut self, host: usize, conn: ConnId) {
        let Some((id, end)) = self.conns.remove(&(host, conn)) else { return };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.ends[end].live = false;
        if !stream.ends[1 - end].live {
            self.streams.remove(&id);
        }
    }

    /// Takes bytes that `host` writes to `conn`.
    pub fn write(&mut self, now: Instant, host: usize, conn: ConnId, bytes: Vec<u8>) {
        let local = Duration::from_micros(5 + self.paths.draw(20));
        let Some(&(id, end)) = self.conns.get(&(host, conn)) else { return };
        // A kernel that has forgotten the stream sends nothing on it; the node is about to hear.
        if self.streams.get(&id).is_some_and(|stream| !stream.ends[end].live) {
            return;
        }
        let len = bytes.len();
        self.send(now, id, 1 - end, Item::Bytes(bytes));
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let boot = stream.ends[end].boot;
        let there = &mut stream.ends[1 - end];
        there.inbound_len += len;
        if there.inbound_len > BUFFER_LEN {
            there.writer_waits = true;
        } else {
            let input = Input::Written { conn };
            self.arrivals.push(now + local, Arrival::Input { host, boot, input });
        }
    }

    /// Ends `conn` after what was written before.
    pub fn close(&mut self, now: Instant, host: usize, conn: ConnId) {
        let Some((id, end)) = self.conns.remove(&(host, conn)) else { return };
        self.leave(now, id, end, Item::Fin);
    }

    fn leave(&mut self, now: Instant, id: StreamId, end: EndIndex, last: Item) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.ends[end].live = false;
        let from = stream.ends[1 - end].host;
        stream.ends[end].lose(now, from, "nobody reads this stream any more", &mut self.sightings);
        if stream.ends[1 - end].live {
            self.send(now, id, 1 - end, last);
        } else {
            self.streams.remove(&id);
        }
    }

    fn send(&mut self, now: Instant, id: StreamId, end: EndIndex, item: Item) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let from = stream.ends[1 - end].host;
        let host = stream.ends[end].host;
        let mut trip = self.paths.trip(from, host);
        trip += self.paths.occupy(now, from, host, item.bytes().len());
        let to = &mut stream.ends[end];
        let way = Way { from, to: to.host, carrier: item.carrier() };
        let message = self.sightings.sent(now, way, item.bytes());
        let arrival = to.last_arrival.max(now + trip);
        to.last_arrival = arrival;
        to.inbound.push_back((arrival, message, item));
        if !to.pumping && to.stalled.is_none() {
            to.pumping = true;
            let at = arrival.max(to.reads_at);
            self.arrivals.push(at, Arrival::Pump { stream: id, end });
        }
    }

    /// Delivers the next piece that is due towards `end`, and sees to the one after it.
    pub(super) fn pump(&mut self, now: Instant, id: StreamId, end: EndIndex) -> Option<Delivery> {
        let stream = self.streams.get_mut(&id)?;
        let (from, to) = (stream.ends[1 - end].host, stream.ends[end].host);
        let stands = self.paths.stands(from, to);
        let blocked = stands || self.paths.blocked(from, to);
        let reads = self.paths.reads(to);
        let (cut_in_two, cut_at) = (self.paths.chance(RECUT), self.paths.draw(u64::MAX));
        let stall = self.paths.between(STALL_MAX[0], STALL_MAX[1]);
        let [trip, back] = [self.paths.trip(from, to), self.paths.trip(to, from)];
        let [near, far] = match &mut stream.ends {
            [a, b] if end == 0 => [a, b],
            [a, b] => [b, a],
        };
        near.pumping = false;
        if near.deaf && near.live {
            return None;
        }
        if blocked {
            if stands {
                self.tally.count(Mishap::Stalled);
            }
            near.stalled = Some(now);
            self.arrivals.push(now + stall, Arrival::Abandon { stream: id, end, since: now });
            return None;
        }
        if !near.live {
            // Nobody there: the answer is a reset, if the sender still cares.
            near.lose(now, from, "nobody reads this stream any more", &mut self.sightings);
            if far.live {
                self.send(now, id, 1 - end, Item::Reset);
            } else {
                self.streams.remove(&id);
            }
            return None;
        }
        let (host, boot, conn) = (near.host, near.boot, near.conn?);
        let (_, message, item) = near.inbound.pop_front()?;
        let way = Way { from, to, carrier: item.carrier() };
        let mut whole = true;
        near.reads_at = now;
        let input = match item {
            Item::Bytes(mut bytes) => {
                // Who reads slowly takes no more than a second's worth at once.
                let most = reads
                    .map_or(usize::MAX, |rate| usize::try_from(rate.max(1)).unwrap_or(usize::MAX));
                let cut = if cut_in_two && bytes.len() > 1 {
                    let len = u64::try_from(bytes.len() - 1).unwrap_or(1);
                    1 + usize::try_from(cut_at % len).unwrap_or(0)
                } else {
                    bytes.len()
                };
                if cut.min(most) < bytes.len() {
                    let rest = bytes.split_off(cut.min(most));
                    near.inbound.push_front((now + trip / 4, message, Item::Bytes(rest)));
                    whole = false;
                }
                near.inbound_len -= bytes.len();
                if let Some(rate) = reads {
                    self.tally.count(Mishap::ReadSlowly);
                    near.reads_at = now + time_for(bytes.len(), rate);
                }
                if near.writer_waits && near.inbound_len <= BUFFER_LEN {
                    near.writer_waits = false;
                    if let Some(theirs) = far.conn
                        && far.live
                    {
                        let input = Input::Written { conn: theirs };
                        let arrival = Arrival::Input { host: far.host, boot: far.boot, input };
                        self.arrivals.push(now + back, arrival);
                    }
                }
                Input::Received { conn, bytes }
            }
            Item::Fin => Input::Closed { conn, why: CloseReason::Ended },
            Item::Reset => {
                Input::Closed { conn, why: CloseReason::Lost("connection reset".to_owned()) }
            }
        };
        if whole {
            self.sightings.arrived(now, message, way);
        }
        if let Some((arrival, ..)) = near.inbound.front() {
            near.pumping = true;
            let at = (*arrival).max(near.reads_at);
            self.arrivals.push(at, Arrival::Pump { stream: id, end });
        }
        Some(Delivery::Input { host, boot, input })
    }

    /// The sender of what is stalled towards `end` since `since` gives up.
    pub(super) fn abandon(
        &mut self,
        now: Instant,
        id: StreamId,
        end: EndIndex,
        since: Instant,
    ) -> Option<Delivery> {
        let stream = self.streams.get_mut(&id)?;
        if stream.ends[end].stalled != Some(since) {
            return None;
        }
        stream.ends[end].stalled = None;
        let from = stream.ends[1 - end].host;
        stream.ends[end].lose(now, from, "the sender gave up", &mut self.sightings);
        let far = &stream.ends[1 - end];
        if !far.live {
            return None;
        }
        let why = CloseReason::Lost("connection timed out".to_owned());
        let input = Input::Closed { conn: far.conn?, why };
        Some(Delivery::Input { host: far.host, boot: far.boot, input })
    }

    /// The machine of one end has lost its power: the other end hears nothing. Without `power`, the
    /// kernel resets what its process leaves behind.
    pub(super) fn desert(&mut self, now: Instant, id: StreamId, end: EndIndex, power: bool) {
        if !power {
            return self.leave(now, id, end, Item::Reset);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.ends[end].live = false;
        let from = stream.ends[1 - end].host;
        stream.ends[end].lose(now, from, "nobody reads this stream any more", &mut self.sightings);
        if !stream.ends[1 - end].live {
            self.streams.remove(&id);
        }
    }

    /// What is stalled tries again.
    pub(super) fn resume(&mut self, now: Instant) {
        let stalled: Vec<_> = self
            .streams
            .iter()
            .flat_map(|(id, stream)| [0, 1].map(|end| (*id, end, stream.ends[end].stalled)))
            .filter(|(.., stalled)| stalled.is_some())
            .collect();
        for (id, end, _) in stalled {
            // A retransmission finds the way again a little later than the heal.
            if let Some(stream) = self.streams.get_mut(&id) {
                let (from, to) = (stream.ends[1 - end].host, stream.ends[end].host);
                let wait = self.paths.trip(from, to);
                stream.ends[end].stalled = None;
                stream.ends[end].pumping = true;
                self.arrivals.push(now + wait, Arrival::Pump { stream: id, end });
            }
        }
    }

    /// Streams that both ends believe in, by the pair of hosts, lower first.
    pub fn streams_between(&self) -> BTreeMap<(usize, usize), usize> {
        let mut count = BTreeMap::new();
        for stream in self.streams.values() {
            let [a, b] = &stream.ends;
            if a.live && b.live {
                *count.entry((a.host.min(b.host), a.host.max(b.host))).or_insert(0) += 1;
            }
        }
        count
    }
}
