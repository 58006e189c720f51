//! The simulated network: streams that stall, break and are cut anywhere, datagrams that get lost.
//!
//! A partition stops delivery. What a stream carries then waits, and is delivered when the
//! partition heals in time; after a while the sender gives up and its end is reset, while the
//! other end notices only when it sends something itself, or not at all, as with TCP.

use crate::queue::{Happening, Queue};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use weft_core::io::{CloseReason, ConnId, DialFailure, Input, Target};
use weft_core::time::Instant;

/// Control and sleeve port of every simulated host.
pub const PORT: u16 = 6783;

/// What fits into a stream before its writer has to wait, in bytes. Source: a usual `SO_SNDBUF`.
const BUFFER_LEN: usize = 64 * 1024;

/// How long a stream that delivers nothing is kept up by its sender: drawn between these.
/// Source: Linux gives up after about 15 s with `TCP_USER_TIMEOUT` as a driver would set it.
const STALL_MAX: [Duration; 2] = [Duration::from_secs(8), Duration::from_secs(20)];

/// A dial that nobody answers is tried again this often, and given up after `SYN_MAX`.
const SYN_WAIT: Duration = Duration::from_secs(1);
const SYN_MAX: Duration = Duration::from_secs(6);

/// How well the network works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Least time from host to host.
    pub latency: Duration,
    /// Most that is added to it; datagrams overtake each other within it.
    pub jitter: Duration,
    /// Datagrams lost, of a thousand.
    pub loss: u32,
    /// Datagrams delivered twice, of a thousand.
    pub duplication: u32,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(500),
            jitter: Duration::from_micros(500),
            loss: 0,
            duplication: 0,
        }
    }
}

/// Which stream of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(u64);

/// One end of a stream: 0 dialed, 1 accepted.
pub type EndIndex = usize;

/// What a host is to be told because of the network.
#[derive(Debug)]
pub struct Delivery {
    /// Whom.
    pub host: usize,
    /// What.
    pub input: Input,
}

#[derive(Debug)]
enum Item {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// One end, and what is under way *towards* it.
#[derive(Debug)]
struct End {
    host: usize,
    boot: u64,
    conn: Option<ConnId>,
    address: SocketAddr,
    /// Whether somebody is there who knows of the stream.
    live: bool,
    inbound: VecDeque<(Instant, Item)>,
    inbound_len: usize,
    last_arrival: Instant,
    /// Whether a `Pump` for this end is in the queue.
    pumping: bool,
    stalled: Option<Instant>,
    writer_waits: bool,
}

#[derive(Debug)]
struct Stream {
    ends: [End; 2],
    dialed_at: Instant,
}

/// All of the network.
#[derive(Debug)]
pub struct Net {
    /// How well it works.
    pub conditions: Conditions,
    rng: ChaCha20Rng,
    cuts: BTreeSet<(usize, usize)>,
    walls: BTreeSet<(usize, usize)>,
    dark: BTreeSet<usize>,
    streams: BTreeMap<StreamId, Stream>,
    conns: BTreeMap<(usize, ConnId), (StreamId, EndIndex)>,
    streams_made: u64,
}

/// The underlay address of host `host`.
pub fn address_of(host: usize) -> IpAddr {
    let low = u32::try_from(host).unwrap_or(u32::MAX >> 16) + 1;
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 16, 0, 0)) + low))
}

/// The host that has the underlay address `address`.
fn host_of(address: IpAddr) -> Option<usize> {
    let IpAddr::V4(v4) = address else { return None };
    let low = u32::from(v4).checked_sub(u32::from(Ipv4Addr::new(172, 16, 0, 0)))?;
    usize::try_from(low.checked_sub(1)?).ok()
}

impl Net {
    /// A network without streams or cuts, whose chances come from `rng`.
    pub const fn new(conditions: Conditions, rng: ChaCha20Rng) -> Self {
        Self {
            conditions,
            rng,
            cuts: BTreeSet::new(),
            walls: BTreeSet::new(),
            dark: BTreeSet::new(),
            streams: BTreeMap::new(),
            conns: BTreeMap::new(),
            streams_made: 0,
        }
    }

    /// Cuts `from` off from `to`, in this direction, until [`Net::heal`].
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// Separates two hosts for the whole run.
    pub fn wall(&mut self, a: usize, b: usize) {
        self.walls.extend([(a, b), (b, a)]);
    }

    /// Ends all cuts; what waited in streams moves again.
    pub fn heal(&mut self, now: Instant, queue: &mut Queue) {
        self.cuts.clear();
        self.resume(now, queue);
    }

    /// Whether both directions between `a` and `b` work.
    pub fn connected(&self, a: usize, b: usize) -> bool {
        !self.blocked(a, b) && !self.blocked(b, a)
    }

    fn blocked(&self, from: usize, to: usize) -> bool {
        self.cuts.contains(&(from, to))
            || self.walls.contains(&(from, to))
            || self.dark.contains(&from)
            || self.dark.contains(&to)
    }

    fn resume(&mut self, now: Instant, queue: &mut Queue) {
        let stalled: Vec<_> = self
            .streams
            .iter()
            .flat_map(|(id, stream)| [0, 1].map(|end| (*id, end, stream.ends[end].stalled)))
            .filter(|(.., stalled)| stalled.is_some())
            .collect();
        for (id, end, _) in stalled {
            // A retransmission finds the way again a little later than the heal.
            let wait = self.trip();
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.ends[end].stalled = None;
                stream.ends[end].pumping = true;
                queue.push(now + wait, Happening::Pump { stream: id, end });
            }
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        if below == 0 { 0 } else { self.rng.next_u64() % below }
    }

    fn chance(&mut self, of_thousand: u32) -> bool {
        self.draw(1000) < u64::from(of_thousand)
    }

    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_nanos()).unwrap_or(u64::MAX);
        low + Duration::from_nanos(self.draw(span.saturating_add(1)))
    }

    /// One way from host to host.
    fn trip(&mut self) -> Duration {
        self.between(self.conditions.latency, self.conditions.latency + self.conditions.jitter)
    }

    /// Starts to open a stream; answered by `Opened` or `DialFailed`.
    pub fn dial(
        &mut self,
        now: Instant,
        host: usize,
        boot: u64,
        conn: ConnId,
        target: &Target,
        queue: &mut Queue,
    ) {
        let remote = match target.host.strip_prefix('n').map(str::parse::<usize>) {
            Some(Ok(number)) if number > 0 => Some(address_of(number - 1)),
            Some(_) | None => target.host.parse().ok(),
        };
        let Some(remote) = remote else {
            let why =
                DialFailure::Resolve { host: target.host.clone(), why: "no such host".to_owned() };
            let wait = self.trip() * 2;
            queue.push(
                now + wait,
                Happening::Input { host, boot, input: Input::DialFailed { conn, why } },
            );
            // Known as a conn all the same, so that the answer is delivered once and not after a close.
            self.insert(now, host, boot, conn, usize::MAX, SocketAddr::new(address_of(host), 0));
            return;
        };
        let to = host_of(remote).unwrap_or(usize::MAX);
        let stream = self.insert(now, host, boot, conn, to, SocketAddr::new(remote, target.port));
        let wait = self.trip();
        queue.push(now + wait, Happening::Syn { stream });
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
        let end = |host, boot, conn: Option<ConnId>, address| End {
            host,
            boot,
            live: conn.is_some(),
            conn,
            address,
            inbound: VecDeque::new(),
            inbound_len: 0,
            last_arrival: now,
            pumping: false,
            stalled: None,
            writer_waits: false,
        };
        let local = SocketAddr::new(address_of(host), port);
        let ends = [end(host, boot, Some(conn), local), end(to, 0, None, remote)];
        self.streams.insert(id, Stream { ends, dialed_at: now });
        self.conns.insert((host, conn), (id, 0));
        id
    }

    /// A dial reached the other host, or did not. `accept` names the conn at a host that listens
    /// (with its boot), or is `None` when nothing does.
    pub fn syn(
        &mut self,
        now: Instant,
        id: StreamId,
        accept: impl FnOnce(usize) -> Option<(u64, ConnId)>,
        queue: &mut Queue,
    ) -> Option<Delivery> {
        let wait = self.trip();
        let stream = self.streams.get(&id)?;
        let [from, to] = [0, 1].map(|end| stream.ends[end].host);
        let (boot, conn) = (stream.ends[0].boot, stream.ends[0].conn?);
        if !stream.ends[0].live {
            self.streams.remove(&id);
            return None;
        }
        let fail = |why: &str| Happening::Input {
            host: from,
            boot,
            input: Input::DialFailed { conn, why: DialFailure::Connect(why.to_owned()) },
        };
        if to == usize::MAX || self.blocked(from, to) || self.blocked(to, from) {
            if now.since(stream.dialed_at) < SYN_MAX {
                queue.push(now + SYN_WAIT, Happening::Syn { stream: id });
            } else {
                queue.push(now, fail("timed out"));
            }
            return None;
        }
        let remote = stream.ends[1].address;
        let accepted = if remote.port() == PORT { accept(to) } else { None };
        let Some((their_boot, theirs)) = accepted else {
            queue.push(now + wait, fail("connection refused"));
            return None;
        };
        let stream = self.streams.get_mut(&id)?;
        let local = stream.ends[0].address;
        stream.ends[1].boot = their_boot;
        stream.ends[1].conn = Some(theirs);
        stream.ends[1].live = true;
        stream.ends[0].last_arrival = now + wait;
        self.conns.insert((to, theirs), (id, 1));
        queue.push(
            now + wait,
            Happening::Input { host: from, boot, input: Input::Opened { conn, local, remote } },
        );
        let input = Input::Opened { conn: theirs, local: remote, remote: local };
        Some(Delivery { host: to, input })
    }

    /// Whether `conn` of `host` may still be named towards its node.
    pub fn knows(&self, host: usize, conn: ConnId) -> bool {
        self.conns.contains_key(&(host, conn))
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
    pub fn write(
        &mut self,
        now: Instant,
        host: usize,
        conn: ConnId,
        bytes: Vec<u8>,
        queue: &mut Queue,
    ) {
        let local = Duration::from_micros(5 + self.draw(20));
        let Some(&(id, end)) = self.conns.get(&(host, conn)) else { return };
        let len = bytes.len();
        self.send(now, id, 1 - end, Item::Bytes(bytes), queue);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let boot = stream.ends[end].boot;
        let there = &mut stream.ends[1 - end];
        there.inbound_len += len;
        if there.inbound_len > BUFFER_LEN {
            there.writer_waits = true;
        } else {
            let input = Input::Written { conn };
            queue.push(now + local, Happening::Input { host, boot, input });
        }
    }

    /// Ends `conn` after what was written before.
    pub fn close(&mut self, now: Instant, host: usize, conn: ConnId, queue: &mut Queue) {
        let Some((id, end)) = self.conns.remove(&(host, conn)) else { return };
        self.leave(now, id, end, Item::Fin, queue);
    }

    fn leave(&mut self, now: Instant, id: StreamId, end: EndIndex, last: Item, queue: &mut Queue) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.ends[end].live = false;
        stream.ends[end].inbound.clear();
        if stream.ends[1 - end].live {
            self.send(now, id, 1 - end, last, queue);
        } else {
            self.streams.remove(&id);
        }
    }

    fn send(&mut self, now: Instant, id: StreamId, end: EndIndex, item: Item, queue: &mut Queue) {
        let trip = self.trip();
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let to = &mut stream.ends[end];
        let arrival = to.last_arrival.max(now + trip);
        to.last_arrival = arrival;
        to.inbound.push_back((arrival, item));
        if !to.pumping && to.stalled.is_none() {
            to.pumping = true;
            queue.push(arrival, Happening::Pump { stream: id, end });
        }
    }

    /// Delivers the next piece that is due towards `end`, and sees to the one after it.
    pub fn pump(
        &mut self,
        now: Instant,
        id: StreamId,
        end: EndIndex,
        queue: &mut Queue,
    ) -> Option<Delivery> {
        let cut_in_two = self.chance(250);
        let cut_at = self.rng.next_u64();
        let [trip, stall] = [self.trip(), self.between(STALL_MAX[0], STALL_MAX[1])];
        let stream = self.streams.get(&id)?;
        let (from, to) = (stream.ends[1 - end].host, stream.ends[end].host);
        let blocked = self.blocked(from, to);
        let stream = self.streams.get_mut(&id)?;
        let [near, far] = match &mut stream.ends {
            [a, b] if end == 0 => [a, b],
            [a, b] => [b, a],
        };
        near.pumping = false;
        if blocked {
            near.stalled = Some(now);
            queue.push(now + stall, Happening::Abandon { stream: id, end, since: now });
            return None;
        }
        if !near.live {
            // Nobody there: the answer is a reset, if the sender still cares.
            near.inbound.clear();
            if far.live {
                self.send(now, id, 1 - end, Item::Reset, queue);
            } else {
                self.streams.remove(&id);
            }
            return None;
        }
        let (host, conn) = (near.host, near.conn?);
        let (_, item) = near.inbound.pop_front()?;
        let input = match item {
            Item::Bytes(mut bytes) => {
                if cut_in_two && bytes.len() > 1 {
                    let len = u64::try_from(bytes.len() - 1).unwrap_or(1);
                    let rest = bytes.split_off(1 + usize::try_from(cut_at % len).unwrap_or(0));
                    near.inbound.push_front((now + trip / 4, Item::Bytes(rest)));
                }
                near.inbound_len -= bytes.len();
                if near.writer_waits && near.inbound_len <= BUFFER_LEN {
                    near.writer_waits = false;
                    if let Some(theirs) = far.conn
                        && far.live
                    {
                        let input = Input::Written { conn: theirs };
                        let happening = Happening::Input { host: far.host, boot: far.boot, input };
                        queue.push(now + trip, happening);
                    }
                }
                Input::Received { conn, bytes }
            }
            Item::Fin => Input::Closed { conn, why: CloseReason::Ended },
            Item::Reset => {
                Input::Closed { conn, why: CloseReason::Lost("connection reset".to_owned()) }
            }
        };
        if let Some((arrival, _)) = near.inbound.front() {
            near.pumping = true;
            queue.push((*arrival).max(now), Happening::Pump { stream: id, end });
        }
        Some(Delivery { host, input })
    }

    /// The sender of what is stalled towards `end` since `since` gives up.
    pub fn abandon(&mut self, id: StreamId, end: EndIndex, since: Instant) -> Option<Delivery> {
        let stream = self.streams.get_mut(&id)?;
        if stream.ends[end].stalled != Some(since) {
            return None;
        }
        stream.ends[end].stalled = None;
        stream.ends[end].inbound.clear();
        let far = &stream.ends[1 - end];
        if !far.live {
            return None;
        }
        let why = CloseReason::Lost("connection timed out".to_owned());
        Some(Delivery { host: far.host, input: Input::Closed { conn: far.conn?, why } })
    }

    /// The node of `host` is gone. With `power`, its kernel too: the others hear nothing.
    pub fn crash(&mut self, now: Instant, host: usize, power: bool, queue: &mut Queue) {
        if power {
            self.dark.insert(host);
        }
        let all = (host, ConnId::dialed(0))..=(host, ConnId::accepted(u64::MAX >> 1));
        let gone: Vec<_> = self.conns.range(all).map(|(key, at)| (*key, *at)).collect();
        for (key, (id, end)) in gone {
            self.conns.remove(&key);
            if !power {
                self.leave(now, id, end, Item::Reset, queue);
            } else if let Some(stream) = self.streams.get_mut(&id) {
                stream.ends[end].live = false;
                stream.ends[end].inbound.clear();
                if !stream.ends[1 - end].live {
                    self.streams.remove(&id);
                }
            }
        }
    }

    /// The machine of `host` runs again.
    pub fn light(&mut self, now: Instant, host: usize, queue: &mut Queue) {
        if self.dark.remove(&host) {
            self.resume(now, queue);
        }
    }

    /// Sends a datagram: it is lost, delivered, or delivered twice.
    pub fn datagram(
        &mut self,
        now: Instant,
        from: usize,
        to: SocketAddr,
        bytes: &[u8],
        queue: &mut Queue,
    ) {
        let Some(host) = host_of(to.ip()).filter(|_| to.port() == PORT) else { return };
        let copies = 1 + usize::from(self.chance(self.conditions.duplication));
        for _ in 0..copies {
            if !self.chance(self.conditions.loss) {
                let wait = self.trip();
                let bytes = bytes.to_vec();
                queue.push(now + wait, Happening::Datagram { from, to: host, bytes });
            }
        }
    }

    /// Whether a datagram from `from` gets through to `to` at this moment.
    pub fn passes(&self, from: usize, to: usize) -> bool {
        !self.blocked(from, to)
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
