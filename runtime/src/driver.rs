//! Drives one node: the only caller of `Node::handle`.
//!
//! One task takes inputs in order, hands each to the node with the time, and carries out what
//! comes back, in order, before it takes the next. What follows a `Persist` waits for the disk.
//!
//! Requests that wait already are taken together: the node is handed one after the other, then all
//! that they want durable is made so at once, and only then is anything else of theirs carried out.

use crate::clock::Clock;
use crate::conn_io::{ConnEvent, ConnIo};
use crate::dial::dial;
use crate::event_log::EventLog;
use crate::handle::{Answer, NodeHandle, Picture, Request};
use crate::names::{NameIndex, SharedIndex};
use crate::net::Net;
use crate::probe::Probe;
use crate::store::{Store, StoreError};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use weft_core::config::Config;
use weft_core::event::Event;
use weft_core::forward::ForwardingChange;
use weft_core::io::{Command, ConnId, DialFailure, Input, Outbox, Output, RequestId, Target};
use weft_core::node::{Node, Seed, StartError};

/// Inputs that wait at most, of each kind; whoever brings more waits too.
const INPUTS_MAX: usize = 256;

/// Requests that are taken together at most. They share one sync of the disk, which is most of what an
/// allocation costs; more at once would keep the network waiting for longer than a sync takes.
const GROUP_MAX: usize = 64;

/// Kinds of what comes from outside: from streams that are open, from the data path, further streams,
/// and requests.
const KINDS: u8 = 4;

/// A burst of changes is answered by one renewal of the names that DNS sees, this much later.
const NAMES_WAIT: Duration = Duration::from_millis(20);

/// What a node said last has this long to leave when it stops: a neighbour that reads nothing does not
/// keep it from stopping.
const FAREWELL_MAX: Duration = Duration::from_millis(250);

/// A listener that fails (out of file descriptors) is asked again after this long.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// Where the node's wishes about frames go: the sleeve, or nothing in a simulation without frames.
pub trait Frames: Send + 'static {
    /// Forward differently from here on.
    fn apply(&mut self, change: ForwardingChange);
    /// Send `datagram` from the sleeve's socket; it may get lost.
    fn send(&mut self, to: SocketAddr, datagram: &[u8]);
}

/// No data path at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFrames;

impl Frames for NoFrames {
    fn apply(&mut self, _change: ForwardingChange) {}
    fn send(&mut self, _to: SocketAddr, _datagram: &[u8]) {}
}

/// What a driver is made of.
#[derive(Debug)]
pub struct Parts<N: Net, S, F, P> {
    /// Settings of the node.
    pub config: Config,
    /// Where all its randomness comes from.
    pub seed: Seed,
    /// What it reads time from.
    pub clock: Clock,
    /// What it dials with.
    pub net: N,
    /// What it accepts from.
    pub listener: N::Listener,
    /// What it keeps state in.
    pub store: S,
    /// What forwards frames.
    pub frames: F,
    /// What the data path has to tell: probes, and with whom frames are exchanged.
    pub from_frames: mpsc::Receiver<Input>,
    /// Sees every call of the node.
    pub probe: P,
}

/// Why a driver cannot start or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The node refuses its settings or what was saved.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The state cannot be read or written. What it would have allowed was not done.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A node with everything around it that moves.
#[derive(Debug)]
pub struct Driver<N: Net, S, F, P> {
    node: Node,
    outbox: Outbox,
    clock: Clock,
    net: Arc<N>,
    store: S,
    frames: F,
    probe: P,
    conns: BTreeMap<ConnId, Conn>,
    accepted: u64,
    requested: u64,
    waiting: BTreeMap<RequestId, Answer>,
    /// What the calls since the last sync want done, in order: nothing between two turns.
    outputs: Vec<Output>,
    /// Who wants to see the node as it is after these calls: nobody between two turns.
    pictures: Vec<Picture>,
    /// Whether one of these calls was about names: whoever added one may ask for it as soon as we answer.
    names_asked: bool,
    names: SharedIndex,
    names_at: Option<Instant>,
    events: EventLog,
    requests: mpsc::Receiver<Request>,
    from_frames: mpsc::Receiver<Input>,
    conn_events: mpsc::Receiver<(ConnId, ConnEvent)>,
    conn_tell: mpsc::Sender<(ConnId, ConnEvent)>,
    streams: mpsc::Receiver<NewStream<N::Stream>>,
    stream_tell: mpsc::Sender<NewStream<N::Stream>>,
    accepting: AbortHandle,
    /// What comes from outside comes in [`KINDS`]; this one is looked at first.
    first: u8,
    broken: Arc<OnceLock<String>>,
}

#[derive(Debug)]
enum Conn {
    Dialing(AbortHandle),
    Open(ConnIo),
}

/// A stream that was opened, or the reason why not.
enum NewStream<S> {
    Accepted { stream: S, remote: SocketAddr },
    Dialed { conn: ConnId, result: Result<(S, SocketAddr), DialFailure> },
}

/// One thing to do for the loop.
enum Turn<S> {
    Shutdown,
    Request(Request),
    Conn(ConnId, ConnEvent),
    Stream(NewStream<S>),
    Frames(Input),
    Names,
    Log,
    Timeout,
}

impl<N: Net, S: Store, F: Frames, P: Probe> Driver<N, S, F, P> {
    /// Loads what was saved, makes the node, and carries out its first wishes.
    ///
    /// # Errors
    /// When the state cannot be read or written, or the node refuses it or its settings.
    pub async fn start(parts: Parts<N, S, F, P>) -> Result<(Self, NodeHandle), DriverError> {
        let Parts { config, seed, clock, net, listener, mut store, frames, from_frames, mut probe } =
            parts;
        let mut outbox = Outbox::default();
        let now = clock.now();
        let saved = store.load()?;
        probe.start(now, &config, &saved, &seed);
        let node = Node::new(config, saved, seed, now, &mut outbox)?;
        probe.after(now, &node, outbox.outputs());
        let (requests_to, requests) = mpsc::channel(INPUTS_MAX);
        let (conn_tell, conn_events) = mpsc::channel(INPUTS_MAX);
        let (stream_tell, streams) = mpsc::channel(INPUTS_MAX);
        let names = SharedIndex::new(NameIndex::new(node.id()));
        let accepting = tokio::spawn(accept::<N>(listener, stream_tell.clone())).abort_handle();
        let mut driver = Self {
            node,
            outbox,
            clock,
            net: Arc::new(net),
            store,
            frames,
            probe,
            conns: BTreeMap::new(),
            accepted: 0,
            requested: 0,
            waiting: BTreeMap::new(),
            outputs: Vec::new(),
            pictures: Vec::new(),
            names_asked: false,
            names: names.clone(),
            names_at: None,
            events: EventLog::default(),
            requests,
            from_frames,
            conn_events,
            conn_tell,
            streams,
            stream_tell,
            accepting,
            first: 0,
            broken: Arc::default(),
        };
        driver.outputs.extend(driver.outbox.drain());
        driver.carry_out().await?;
        driver.renew_names();
        let broken = Arc::clone(&driver.broken);
        Ok((driver, NodeHandle { requests: requests_to, names, broken }))
    }

    /// The node, before it runs.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Works until `shutdown` resolves or a [`Command::Stop`] was carried out.
    ///
    /// # Errors
    /// When the state cannot be written, for example on a full disk. The node has decided already
    /// what could not be kept, so going on would mean to break promises later. What followed from
    /// it was not done; whoever waits for an answer is told [`CommandError::Broken`].
    pub async fn run(
        mut self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), DriverError> {
        tokio::pin!(shutdown);
        loop {
            let turn = self.next_turn(shutdown.as_mut()).await;
            match self.take(turn).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => {
                    self.hang_up().await;
                    return Ok(());
                }
                Err(why) => {
                    // Before those who wait are let go.
                    let _ = self.broken.set(why.to_string());
                    return Err(why);
                }
            }
        }
    }

    /// Ends every stream, and waits for what was written to leave: the last word of a node is often
    /// why it goes, and the process may end as soon as we return.
    async fn hang_up(&mut self) {
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.close(conn);
        }
        // The last sender but for those of the streams themselves: the channel ends with them.
        self.conn_tell = mpsc::channel(1).0;
        let ended = async { while self.conn_events.recv().await.is_some() {} };
        let _ = timeout(FAREWELL_MAX, ended).await;
    }

    async fn next_turn(
        &mut self,
        shutdown: std::pin::Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Turn<N::Stream> {
        let timeout = timer(self.node.deadline().map(|deadline| self.clock.timer(deadline.at)));
        self.first = (self.first + 1) % KINDS;
        let outside = from_outside(
            self.first,
            &mut self.conn_events,
            &mut self.from_frames,
            &mut self.streams,
            &mut self.requests,
        );
        // Each of these ends only with the process: this side, or the handle's owner, keeps a sender.
        tokio::select! {
            biased;
            () = shutdown => Turn::Shutdown,
            () = timer(self.names_at) => Turn::Names,
            () = timer(self.events.due()) => Turn::Log,
            () = timeout => Turn::Timeout,
            turn = outside => turn,
        }
    }

    /// Does what `turn` asks for; breaks when nothing is to follow.
    async fn take(&mut self, turn: Turn<N::Stream>) -> Result<ControlFlow<()>, DriverError> {
        let mut flow = ControlFlow::Continue(());
        match turn {
            Turn::Shutdown => {
                self.command(Command::Stop, None);
                flow = ControlFlow::Break(());
            }
            Turn::Request(request) => flow = self.take_requests(request),
            Turn::Conn(conn, event) => {
                if let Some(input) = self.conn_input(conn, event) {
                    self.handle(input);
                }
            }
            Turn::Stream(stream) => {
                if let Some(input) = self.stream_input(stream) {
                    self.handle(input);
                }
            }
            Turn::Frames(input) => self.handle(input),
            Turn::Names => self.renew_names(),
            Turn::Log => self.events.tell(Instant::now()),
            Turn::Timeout => self.handle(Input::Timeout),
        }
        self.carry_out().await?;
        self.show();
        Ok(flow)
    }

    /// Takes `first` and the requests that wait already behind it; breaks when one of them stops the node.
    fn take_requests(&mut self, first: Request) -> ControlFlow<()> {
        let mut request = first;
        let mut taken = 0;
        loop {
            match request {
                Request::Commands(commands) => {
                    taken += 1;
                    for (command, answer) in commands {
                        let stops = command == Command::Stop;
                        self.command(command, Some(answer));
                        if stops {
                            return ControlFlow::Break(());
                        }
                    }
                }
                // Goes ahead of the commands that it is about, which count.
                Request::HeldSoFar(id, answer) => {
                    let _ = answer.send(self.node.ipam().held_by(&id).to_vec());
                }
                Request::Picture(picture) => {
                    taken += 1;
                    self.pictures.push(picture);
                }
            }
            if taken == GROUP_MAX {
                break;
            }
            let Ok(next) = self.requests.try_recv() else { break };
            request = next;
        }
        ControlFlow::Continue(())
    }

    /// Hands `command` to the node; what it comes to is for `answer`, if anybody wants to know.
    fn command(&mut self, command: Command, answer: Option<Answer>) {
        self.requested += 1;
        let request = RequestId(self.requested);
        if let Some(answer) = answer {
            self.waiting.insert(request, answer);
        }
        self.names_asked |= match &command {
            Command::Register { .. } | Command::Unregister { .. } | Command::Leave => true,
            Command::Connect { .. }
            | Command::Forget { .. }
            | Command::Allocate { .. }
            | Command::Claim { .. }
            | Command::Hold { .. }
            | Command::Release { .. }
            | Command::Prime
            | Command::Stop
            | Command::Trust(_)
            | Command::OpenGate
            | Command::Evict { .. } => false,
        };
        self.handle(Input::Command { request, command });
    }

    /// Hands `input` to the node. What comes back waits for [`Driver::carry_out`].
    fn handle(&mut self, input: Input) {
        let now = self.clock.now();
        self.probe.before(now, &input);
        let print = self.node.print();
        self.node.handle(now, input, &mut self.outbox);
        self.probe.after(now, &self.node, self.outbox.outputs());
        // Most inputs are heartbeats and the like, after which all is as it was.
        let names_may_change = self.node.print() != print
            || self.outbox.outputs().iter().any(|output| {
                matches!(output, Output::Event(Event::PeerUp { .. } | Event::PeerDown { .. }))
            });
        if names_may_change && self.names_at.is_none() {
            self.names_at = Some(Instant::now() + NAMES_WAIT);
        }
        self.outputs.extend(self.outbox.drain());
    }

    /// Makes durable, in one transaction, all that the calls since the last time want to be so, and then
    /// does the rest of what they want, in order. A call says what must be durable before all else, so
    /// nothing happens sooner than it may; some of it happens later than it might.
    async fn carry_out(&mut self) -> Result<(), DriverError> {
        let (mut changes, mut others) = (Vec::new(), Vec::new());
        for output in self.outputs.drain(..) {
            if let Output::Persist(more) = output {
                changes.extend(more);
            } else {
                others.push(output);
            }
        }
        if !changes.is_empty() {
            self.store.commit(changes).await?;
        }
        if std::mem::take(&mut self.names_asked) {
            self.renew_names();
        }
        for output in others {
            match output {
                Output::Persist(_) => {}
                Output::Dial { conn, target } => self.dial(conn, target),
                Output::Write { conn, bytes } => self.write(conn, bytes),
                Output::Close { conn } => self.close(conn),
                Output::Datagram { to, bytes } => self.frames.send(to, &bytes),
                Output::Forwarding(change) => self.frames.apply(change),
                Output::Reply { request, result } => {
                    if let Some(answer) = self.waiting.remove(&request) {
                        // Whoever asked may have gone away.
                        let _ = answer.send(result);
                    }
                }
                Output::Event(event) => {
                    let label = |peer| self.node.label(peer).to_string();
                    self.events.write(Instant::now(), &event, label);
                }
            }
        }
        Ok(())
    }

    /// Shows the node to who asked to see it: what they see is durable.
    fn show(&mut self) {
        for picture in self.pictures.drain(..) {
            match picture {
                Picture::Status(answer) => {
                    let _ = answer.send(Arc::new(self.node.status(self.clock.now())));
                }
                Picture::Held(answer) => {
                    let held = self.node.ipam().held();
                    let held = held.map(|(id, nets)| (id.clone(), nets.to_vec()));
                    let _ = answer.send(held.collect());
                }
                Picture::HeldBy(id, answer) => {
                    let _ = answer.send(self.node.ipam().held_by(&id).to_vec());
                }
            }
        }
    }

    fn dial(&mut self, conn: ConnId, target: Target) {
        let (net, tell) = (Arc::clone(&self.net), self.stream_tell.clone());
        let task = tokio::spawn(async move {
            let result = dial(&*net, &target).await;
            let _ = tell.send(NewStream::Dialed { conn, result }).await;
        });
        self.conns.insert(conn, Conn::Dialing(task.abort_handle()));
    }

    fn write(&mut self, conn: ConnId, bytes: Vec<u8>) {
        match self.conns.get(&conn) {
            Some(Conn::Open(io)) => {
                if !io.write(bytes) {
                    tracing::error!(%conn, "the node wrote twice without waiting");
                }
            }
            // It closed while this was being decided; the node hears of it next.
            Some(Conn::Dialing(_)) | None => {}
        }
    }

    fn close(&mut self, conn: ConnId) {
        match self.conns.remove(&conn) {
            Some(Conn::Dialing(task)) => task.abort(),
            Some(Conn::Open(io)) => drop(io),
            None => {}
        }
    }

    /// What the node is to hear of an event; nothing when it closed the stream itself.
    fn conn_input(&mut self, conn: ConnId, event: ConnEvent) -> Option<Input> {
        if !self.conns.contains_key(&conn) {
            return None;
        }
        Some(match event {
            ConnEvent::Received(bytes) => Input::Received { conn, bytes },
            ConnEvent::Written => Input::Written { conn },
            ConnEvent::Closed(why) => {
                self.conns.remove(&conn);
                Input::Closed { conn, why }
            }
        })
    }

    fn stream_input(&mut self, new: NewStream<N::Stream>) -> Option<Input> {
        let (conn, stream, remote) = match new {
            NewStream::Accepted { stream, remote } => {
                self.accepted += 1;
                (ConnId::accepted(self.accepted), stream, remote)
            }
            NewStream::Dialed { conn, result } => {
                self.conns.remove(&conn)?;
                match result {
                    Ok((stream, remote)) => (conn, stream, remote),
                    Err(why) => return Some(Input::DialFailed { conn, why }),
                }
            }
        };
        let local = match N::local_addr(&stream) {
            Ok(local) => local,
            // It was reset before we looked.
            Err(why) if conn.is_dialed() => {
                let why = DialFailure::Connect(why.to_string());
                return Some(Input::DialFailed { conn, why });
            }
            Err(_) => return None,
        };
        let io = ConnIo::start(conn, stream, self.conn_tell.clone());
        self.conns.insert(conn, Conn::Open(io));
        Some(Input::Opened { conn, local, remote })
    }

    fn renew_names(&mut self) {
        self.names_at = None;
        self.names.update(self.node.names_by_page());
    }
}

impl<N: Net, S, F, P> Drop for Driver<N, S, F, P> {
    fn drop(&mut self) {
        self.accepting.abort();
        for conn in self.conns.values() {
            match conn {
                Conn::Dialing(task) => task.abort(),
                Conn::Open(_) => {}
            }
        }
    }
}

async fn timer(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The next that comes from outside. Each kind comes first in its turn: a neighbour that never stops
/// talking must not keep others' probes and streams waiting, nor strangers who never stop coming
/// those who have links, nor callers who never stop asking any of these.
async fn from_outside<S>(
    first: u8,
    conns: &mut mpsc::Receiver<(ConnId, ConnEvent)>,
    frames: &mut mpsc::Receiver<Input>,
    streams: &mut mpsc::Receiver<NewStream<S>>,
    requests: &mut mpsc::Receiver<Request>,
) -> Turn<S> {
    poll_fn(|context| {
        for kind in 0..KINDS {
            let turn = match (first + kind) % KINDS {
                0 => conns.poll_recv(context).map(|it| it.map(|(conn, it)| Turn::Conn(conn, it))),
                1 => frames.poll_recv(context).map(|it| it.map(Turn::Frames)),
                2 => streams.poll_recv(context).map(|it| it.map(Turn::Stream)),
                3.. => requests.poll_recv(context).map(|it| it.map(Turn::Request)),
            };
            // A sender of each lives as long as this side, or the process; of requests, as the handle.
            if let Poll::Ready(Some(turn)) = turn {
                return Poll::Ready(turn);
            }
        }
        Poll::Pending
    })
    .await
}

async fn accept<N: Net>(mut listener: N::Listener, tell: mpsc::Sender<NewStream<N::Stream>>) {
    loop {
        match N::accept(&mut listener).await {
            Ok((stream, remote)) => {
                if tell.send(NewStream::Accepted { stream, remote }).await.is_err() {
                    return;
                }
            }
            Err(why) => {
                tracing::debug!(%why, "cannot accept a connection");
                sleep(ACCEPT_WAIT).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
