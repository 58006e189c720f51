//! Flight recordings of real drivers on real sockets, run again.

use anyhow::{Context as _, Result, ensure};
use sim::replay::{Same, replay};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use weft::clock::Clock;
use weft::driver::{Driver, NoFrames, Parts};
use weft::handle::NodeHandle;
use weft::net::TokioNet;
use weft::probe::Probe;
use weft::recorder::{FlightRecorder, key_file};
use weft::store::MemoryStore;
use weft_core::config::{Config, FoundingMode};
use weft_core::flight::{End, Flight, FlightError, FlightKey};
use weft_core::handshake::stretch;
use weft_core::io::{Command, Input, Output, Reply, Target};
use weft_core::node::{Node, Seed};
use weft_core::saved::{Saved, Slot};
use weft_core::status::TargetState;
use weft_core::time::Now;

const PASSWORD: &str = "correct horse battery staple";
const SEED: [u8; 32] = [0x5e; 32];
const KEY: [u8; 32] = [0x4b; 32];

/// A folder of one test's own, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("weft-flight-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Nobody looks on.
struct Nobody;

impl Probe for Nobody {
    fn before(&mut self, _now: Now, _input: &Input) {}
    fn after(&mut self, _now: Now, _node: &Node, _outputs: &[Output]) {}
}

async fn node<P: Probe>(
    nickname: &str,
    seed: [u8; 32],
    store: MemoryStore,
    probe: P,
) -> Result<(NodeHandle, Target, mpsc::Sender<Input>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let config = Config {
        nickname: nickname.to_owned(),
        port,
        secret: Some(stretch(PASSWORD)),
        founding: FoundingMode::Consensus { peers: Some(2) },
        ..Config::default()
    };
    let (told, from_frames) = mpsc::channel(8);
    let parts = Parts {
        config,
        seed: Seed(seed),
        clock: Clock::host(),
        net: TokioNet,
        listener,
        store,
        frames: NoFrames,
        from_frames,
        probe,
    };
    let (driver, handle) = Driver::start(parts).await?;
    tokio::spawn(driver.run(std::future::pending()));
    Ok((handle, Target { host: "127.0.0.1".to_owned(), port }, told))
}

async fn linked(handle: &NodeHandle) -> Result<()> {
    let is_linked = |state: &TargetState| matches!(state, TargetState::Linked(_));
    let wait = async {
        while !handle.status().await?.targets.iter().any(|to| is_linked(&to.state)) {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    };
    timeout(Duration::from_secs(10), wait).await?
}

/// Records a daemon that links with another one, is told of containers and names, loses the other
/// one and stops. Returns the recording and the identity's seed.
async fn record(path: &Path, len_max: usize) -> Result<(Vec<u8>, [u8; 32])> {
    let store = MemoryStore::default();
    let recorder = FlightRecorder::create(path, len_max, FlightKey(KEY))?;
    let (one, _, from_frames) = node("one", SEED, store.clone(), recorder).await?;
    let (two, target, _two) = node("two", [2; 32], MemoryStore::default(), Nobody).await?;
    let targets = vec![target.clone()];
    one.command(Command::Connect { targets, replace: true }).await?;
    linked(&one).await?;
    // No probe ever comes, but noise does.
    let from = SocketAddr::from(([127, 0, 0, 1], 9));
    from_frames.send(Input::Datagram { from, bytes: vec![0x11; 40] }).await?;
    // Nor is there a way to whom frames are exchanged with.
    from_frames.send(Input::Wanted { peer: weft_core::id::PeerName([2; 6]) }).await?;
    let id: weft_core::id::ContainerId = "c".parse()?;
    let name = "db.weft.local".parse()?;
    let value = weft_core::names::NameValue::V4([10, 32, 0, 1].into());
    let register = Command::Register { id: id.clone(), name, value };
    ensure!(one.command(register).await == Ok(Reply::Done));
    ensure!(one.command(Command::Allocate { id, subnet: None }).await.is_ok());
    two.command(Command::Stop).await?;
    one.command(Command::Forget { targets: vec![target] }).await?;
    one.command(Command::Stop).await?;
    let identity = weft::store::Store::load(&mut store.clone())?;
    let identity = identity.get::<[u8; 32]>(&Slot::Identity)?.context("no identity")?;
    Ok((std::fs::read(path)?, identity))
}

fn read(bytes: &[u8]) -> Result<Flight, FlightError> {
    Flight::read(bytes, &FlightKey(KEY))
}

#[tokio::test]
async fn what_a_daemon_did_is_done_again_and_its_secrets_do_not_stand_in_the_recording()
-> Result<()> {
    let folder = Folder::new("whole")?;
    let path = folder.0.join("flight");
    let (bytes, identity) = record(&path, 1 << 20).await?;
    let flight = read(&bytes)?;
    let calls = flight.calls.len() + 1;
    assert!(calls > 20, "{calls} calls");
    assert_eq!(replay(flight), Ok(Same { calls, end: End::Whole, last: None }));
    let network = *stretch(PASSWORD).bytes();
    for secret in [PASSWORD.as_bytes(), &network, &identity, &SEED, &KEY] {
        assert!(!bytes.windows(8).any(|part| secret.windows(8).any(|other| other == part)));
    }
    assert_eq!(std::fs::read(key_file(&path))?, KEY);
    Ok(())
}

#[tokio::test]
async fn a_recording_that_was_full_is_run_again_as_far_as_it_goes() -> Result<()> {
    let folder = Folder::new("full")?;
    let (bytes, _) = record(&folder.0.join("flight"), 1_500).await?;
    assert!(bytes.len() <= 1_500);
    let same = replay(read(&bytes)?).map_err(|why| anyhow::anyhow!("{why}"))?;
    assert_eq!(same.end, End::Full);
    assert!(same.calls > 2);
    Ok(())
}

#[tokio::test]
async fn a_changed_byte_is_found_and_a_changed_run_is_said_to_differ() -> Result<()> {
    let folder = Folder::new("changed")?;
    let (bytes, _) = record(&folder.0.join("flight"), 1 << 20).await?;
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    assert!(matches!(read(&changed), Err(FlightError::Damaged(_))));

    // Whoever changes an input on purpose, checks and all, is given away by what comes of it.
    let mut flight = read(&bytes)?;
    let place = flight.calls.iter().rposition(|call| matches!(call.input, Input::Received { .. }));
    let place = place.context("nothing was received")?;
    if let Input::Received { bytes, .. } = &mut flight.calls[place].input {
        bytes[0] ^= 1;
    }
    let difference = replay(flight).err().context("it did the same")?;
    assert!(difference.call > place, "{difference}");
    assert!(difference.to_string().contains("does otherwise than in the recording"));

    let mut flight = read(&bytes)?;
    flight.takeoff.saved = Saved::default();
    flight.takeoff.seed = Seed([1; 32]);
    assert_eq!(replay(flight).err().map(|difference| difference.call), Some(0));
    Ok(())
}
