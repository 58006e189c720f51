//! Drivers over loopback: ports are free ones, disks are memory.

use super::*;
use crate::net::TokioNet;
use crate::probe::NoProbe;
use crate::store::MemoryStore;
use crate::testing::TestStore;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use weft_core::config::FoundingMode;
use weft_core::io::{CommandError, Reply};
use weft_core::status::TargetState;

struct Bed {
    handle: NodeHandle,
    target: Target,
    task: JoinHandle<Result<(), DriverError>>,
    _to_node: mpsc::Sender<Input>,
}

async fn node(nickname: &str, seed: u8, store: impl Store) -> Bed {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    node_on(TokioNet, listener, port, nickname, seed, store).await
}

async fn node_on<N: Net>(
    net: N,
    listener: N::Listener,
    port: u16,
    nickname: &str,
    seed: u8,
    store: impl Store,
) -> Bed {
    let config = Config {
        nickname: nickname.to_string(),
        port,
        founding: FoundingMode::Consensus { peers: Some(1) },
        ..Config::default()
    };
    let (_to_node, from_frames) = mpsc::channel(1);
    let parts = Parts {
        config,
        seed: Seed([seed; 32]),
        clock: Clock::host(),
        net,
        listener,
        store,
        frames: NoFrames,
        from_frames,
        probe: NoProbe,
    };
    let (driver, handle) = Driver::start(parts).await.unwrap();
    let task = tokio::spawn(driver.run(pending()));
    let target = Target { host: "127.0.0.1".to_string(), port };
    Bed { handle, target, task, _to_node }
}

impl Bed {
    async fn stop(self) {
        assert_eq!(self.handle.command(Command::Stop).await, Ok(Reply::Done));
        assert_eq!(self.task.await.unwrap(), Ok(()));
        assert_eq!(self.handle.command(Command::Prime).await, Err(CommandError::Stopping));
    }
}

#[tokio::test]
async fn two_nodes_link_over_tcp_and_stop_when_told() {
    let a = node("a", 1, MemoryStore::default()).await;
    let b = node("b", 2, MemoryStore::default()).await;
    let targets = vec![b.target.clone()];
    assert_eq!(
        a.handle.command(Command::Connect { targets, replace: true }).await,
        Ok(Reply::Done)
    );
    let linked = async {
        loop {
            let status = a.handle.status().await.unwrap();
            let is_linked = |state: &TargetState| matches!(state, TargetState::Linked(_));
            if status.targets.iter().any(|target| is_linked(&target.state)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), linked).await.unwrap();
    a.stop().await;
    b.stop().await;
}

/// One neighbour, whom each stream reaches through a pipe that holds two bytes.
struct Narrow(mpsc::Sender<DuplexStream>);

impl Net for Narrow {
    type Stream = DuplexStream;
    type Listener = ();

    async fn listen(&self, _at: SocketAddr) -> io::Result<()> {
        Ok(())
    }

    async fn accept(_on: &mut ()) -> io::Result<(DuplexStream, SocketAddr)> {
        pending().await
    }

    fn listens_at(_on: &()) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 1).into())
    }

    async fn dial(&self, _to: SocketAddr) -> io::Result<DuplexStream> {
        let (ours, theirs) = duplex(2);
        self.0.send(theirs).await.map_err(io::Error::other)?;
        Ok(ours)
    }

    fn local_addr(_stream: &DuplexStream) -> io::Result<SocketAddr> {
        Self::listens_at(&())
    }

    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![[127, 0, 0, 2].into()])
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_has_not_stopped_before_what_it_said_has_left_or_its_time_is_up() {
    for (reads, is_heard) in [(true, true), (false, false)] {
        let (dialed, mut streams) = mpsc::channel(1);
        let bed = node_on(Narrow(dialed), (), 1, "a", 1, MemoryStore::default()).await;
        let target = Target { host: "other".to_string(), port: 1 };
        let connect = Command::Connect { targets: vec![target], replace: true };
        assert_eq!(bed.handle.command(connect).await, Ok(Reply::Done));
        let mut stream = streams.recv().await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        let reading = tokio::spawn(async move {
            while reads && stream.read(&mut byte).await.unwrap() > 0 {}
            if !reads {
                pending::<()>().await;
            }
        });
        let asked = Instant::now();
        bed.stop().await;
        assert_eq!(reading.is_finished(), is_heard);
        assert_eq!(asked.elapsed() >= FAREWELL_MAX, !is_heard);
    }
}

#[tokio::test]
async fn addresses_and_names_are_kept_across_a_restart_and_a_name_is_answered_at_once() {
    let store = MemoryStore::default();
    let first = node("a", 1, store.clone()).await;
    let id: weft_core::id::ContainerId = "c".parse().unwrap();
    let allocate = Command::Allocate { id: id.clone(), subnet: None };
    let Ok(Reply::Addresses(addresses)) = first.handle.command(allocate.clone()).await else {
        panic!("no address");
    };
    let name: weft_core::names::Name = "db.weft.local".parse().unwrap();
    let address = addresses[0].addr();
    let register = Command::Register { id: id.clone(), name: name.clone(), value: address.into() };
    first.handle.command(register).await.unwrap();
    let named = |it: &Bed| {
        let index = it.handle.names().read();
        let found = index.addresses(name.as_str());
        (found.collect::<Vec<_>>(), index.names(address).len())
    };
    assert_eq!(named(&first), (vec![address], 1));
    assert_eq!(first.handle.held().await.unwrap()[&id], addresses);
    assert_eq!(first.handle.held_by(&id).await.unwrap(), addresses);
    assert_eq!(first.handle.held_by(&"d".parse().unwrap()).await.unwrap(), []);
    first.stop().await;

    let again = node("a", 3, store).await;
    assert_eq!(again.handle.held().await.unwrap()[&id], addresses);
    assert_eq!(named(&again), (vec![address], 1));
    assert_eq!(again.handle.command(allocate).await, Ok(Reply::Addresses(addresses)));
    again.stop().await;
}

fn allocate(n: usize) -> Command {
    Command::Allocate { id: format!("c{n}").parse().unwrap(), subnet: None }
}

/// 64 callers, of whom each asks for an address for a container of its own.
fn crowd(bed: &Bed) -> Vec<JoinHandle<Result<Reply, CommandError>>> {
    let ask = |n| {
        let handle = bed.handle.clone();
        tokio::spawn(async move { handle.command(allocate(n)).await })
    };
    (0..64).map(ask).collect()
}

#[tokio::test]
async fn callers_that_ask_together_share_a_sync_and_are_answered_after_it() {
    let store = TestStore::default();
    let bed = node("a", 1, store.clone()).await;
    bed.handle.command(Command::Prime).await.unwrap();
    let before = store.commits();
    store.is_held_up.send_replace(true);
    let calls = crowd(&bed);
    let looks = tokio::spawn({
        let handle = bed.handle.clone();
        async move { handle.held().await.unwrap().len() }
    });
    while store.commits() == before {
        tokio::task::yield_now().await;
    }
    // Ample for whatever does not wait for the disk.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(!calls.iter().any(JoinHandle::is_finished), "answered before it was durable");
    store.is_held_up.send_replace(false);
    let mut addresses = std::collections::BTreeSet::new();
    for call in calls {
        let Ok(Reply::Addresses(given)) = call.await.unwrap() else { panic!("no address") };
        addresses.extend(given);
    }
    assert_eq!(addresses.len(), 64);
    assert_eq!(looks.await.unwrap(), 64, "seen is what was asked for before");
    let commits = store.commits() - before;
    assert!(commits <= 2, "{commits} commits for 64 allocations");
    bed.stop().await;
}

#[tokio::test]
async fn a_disk_that_fails_gives_nothing_to_any_of_those_who_share_a_sync() {
    let store = TestStore::default();
    let bed = node("a", 1, store.clone()).await;
    bed.handle.command(Command::Prime).await.unwrap();
    let before = store.commits();
    store.is_held_up.send_replace(true);
    let calls = crowd(&bed);
    let looks = tokio::spawn({
        let handle = bed.handle.clone();
        async move { handle.held().await }
    });
    while store.commits() == before {
        tokio::task::yield_now().await;
    }
    store.is_full.store(true, std::sync::atomic::Ordering::Relaxed);
    store.is_held_up.send_replace(false);
    let why = "cannot keep state in weft.redb: no space".to_string();
    let broken = CommandError::Broken { why };
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(broken.clone()));
    }
    assert_eq!(looks.await.unwrap(), Err(broken));
}

#[tokio::test]
async fn commands_that_are_given_together_are_carried_out_in_order_and_up_to_a_stop() {
    let store = TestStore::default();
    let bed = node("a", 1, store.clone()).await;
    let id: weft_core::id::ContainerId = "c0".parse().unwrap();
    let release = |id| Command::Release { id, address: None };
    let other = release("c1".parse().unwrap());
    let commits = store.commits();
    let asked =
        vec![allocate(0), other, allocate(0), release(id.clone()), Command::Stop, allocate(2)];
    let outcomes = bed.handle.commands(asked).await;
    let [first, none, again, released, stopped, late] = &outcomes[..] else { panic!() };
    assert!(matches!(first, Ok(Reply::Addresses(given)) if given.len() == 1), "{first:?}");
    assert!(matches!(none, Err(CommandError::NotHeld(_))), "{none:?}");
    assert_eq!((again, released), (first, first));
    assert_eq!((stopped, late), (&Ok(Reply::Done), &Err(CommandError::Stopping)));
    assert_eq!(store.commits() - commits, 1);
    assert_eq!(bed.task.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn whoever_asks_a_node_that_cannot_keep_its_state_is_told_why_and_gets_nothing() {
    let store = TestStore::default();
    let bed = node("a", 1, store.clone()).await;
    store.is_full.store(true, std::sync::atomic::Ordering::Relaxed);
    let allocate = Command::Allocate { id: "c".parse().unwrap(), subnet: None };
    let why = "cannot keep state in weft.redb: no space".to_string();
    let broken = CommandError::Broken { why: why.clone() };
    assert_eq!(bed.handle.command(allocate).await, Err(broken.clone()));
    assert_eq!(bed.handle.command(Command::Prime).await, Err(broken.clone()));
    assert_eq!(bed.handle.held().await, Err(broken));
    assert_eq!(bed.task.await.unwrap().unwrap_err().to_string(), why);
}

#[tokio::test]
async fn who_talks_calls_or_asks_without_end_keeps_nothing_else_waiting() {
    let (conn, conns_max) = (ConnId::accepted(1), 9);
    let (talk, mut conns) = mpsc::channel(conns_max);
    let (probe, mut frames) = mpsc::channel(conns_max);
    let (call, mut streams) = mpsc::channel(conns_max);
    for _ in 0..conns_max {
        talk.try_send((conn, ConnEvent::Received(vec![0]))).unwrap();
        let result: Result<(TcpStream, SocketAddr), _> =
            Err(DialFailure::Connect("refused".to_string()));
        assert!(call.try_send(NewStream::Dialed { conn, result }).is_ok());
    }
    let from = SocketAddr::from(([192, 0, 2, 1], 7));
    probe.try_send(Input::Datagram { from, bytes: vec![0] }).unwrap();
    let (asks, mut requests) = mpsc::channel(conns_max);
    for _ in 0..conns_max {
        asks.try_send(Request::Commands(Vec::new())).unwrap();
    }
    let mut came = Vec::new();
    let mut next = async |first| {
        from_outside(first, &mut conns, &mut frames, &mut streams, &mut requests).await
    };
    for first in 0..KINDS {
        came.push(match next(first).await {
            Turn::Conn(..) => "talk",
            Turn::Frames(_) => "probe",
            Turn::Stream(_) => "call",
            Turn::Request(_) => "ask",
            Turn::Shutdown | Turn::Names | Turn::Log | Turn::Timeout => "other",
        });
    }
    assert_eq!(came, ["talk", "probe", "call", "ask"]);
    // When there is nothing of the first kind, it is the next one's turn.
    assert!(matches!(next(1).await, Turn::Stream(_)));
}
