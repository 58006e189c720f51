//! Drivers over loopback: ports are free ones, disks are memory.

use super::*;
use crate::net::TokioNet;
use crate::probe::NoProbe;
use crate::store::MemoryStore;
use std::future::pending;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use weft_core::config::FoundingMode;
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
        net: TokioNet,
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
    let register = Command::Register { id: id.clone(), name: name.clone(), address };
    first.handle.command(register).await.unwrap();
    assert_eq!(first.handle.names().by_name[&name], [address]);
    assert_eq!(first.handle.held().await.unwrap()[&id], addresses);
    first.stop().await;

    let again = node("a", 3, store).await;
    assert_eq!(again.handle.held().await.unwrap()[&id], addresses);
    assert_eq!(again.handle.names().by_address[&address], [name]);
    assert_eq!(again.handle.command(allocate).await, Ok(Reply::Addresses(addresses)));
    again.stop().await;
}

/// A disk that can be told to take nothing more.
#[derive(Clone, Default)]
struct FullStore {
    store: MemoryStore,
    is_full: Arc<std::sync::atomic::AtomicBool>,
}

impl Store for FullStore {
    fn load(&mut self) -> Result<weft_core::saved::Saved, StoreError> {
        self.store.load()
    }

    async fn commit(&mut self, changes: Vec<weft_core::saved::Change>) -> Result<(), StoreError> {
        if self.is_full.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(StoreError::Disk { path: "weft.redb".into(), why: "no space".to_string() });
        }
        self.store.commit(changes).await
    }
}

#[tokio::test]
async fn whoever_asks_a_node_that_cannot_keep_its_state_is_told_why_and_gets_nothing() {
    let store = FullStore::default();
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
async fn who_talks_or_calls_without_end_keeps_nothing_else_waiting() {
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
    let mut came = Vec::new();
    for first in 0..KINDS {
        let turn = from_network(first, &mut conns, &mut frames, &mut streams).await;
        came.push(match turn {
            Turn::Conn(..) => "talk",
            Turn::Frames(_) => "probe",
            Turn::Stream(_) => "call",
            Turn::Shutdown | Turn::Request(_) | Turn::Names | Turn::Log | Turn::Timeout => "other",
        });
    }
    assert_eq!(came, ["talk", "probe", "call"]);
    // When there is nothing of the first kind, it is the next one's turn.
    let turn = from_network(1, &mut conns, &mut frames, &mut streams).await;
    assert!(matches!(turn, Turn::Stream(_)));
}

#[tokio::test]
async fn a_host_name_without_an_address_is_named_in_the_failure() {
    let target = Target { host: "no-such-host.invalid".to_string(), port: 1 };
    let failure = dial(&TokioNet, &target).await.unwrap_err();
    assert!(matches!(failure, DialFailure::Resolve { host, .. } if host == target.host));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_failure_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let target = Target { host: "127.0.0.1".to_string(), port };
    let failure = dial(&TokioNet, &target).await.unwrap_err();
    assert!(matches!(failure, DialFailure::Connect(_)));
}
