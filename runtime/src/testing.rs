//! What unit tests share.

use crate::store::{MemoryStore, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use weft_core::addr::Universe;
use weft_core::config::SecretKind;
use weft_core::id::{Incarnation, PeerId, PeerName};
use weft_core::io::Target;
use weft_core::names::{KnownName, NameEntry, NameValue};
use weft_core::saved::{Change, Saved};
use weft_core::status::{
    Carriage, ConnState, ConnStatus, IpamState, IpamStatus, LinkStatus, OwnerStatus, PeerStatus,
    Status, TargetState, TargetStatus,
};

/// A folder of one test's own, removed with it.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("weft-test-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl std::ops::Deref for TempDir {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A disk that counts, can be told to take nothing more, and can be held up.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestStore {
    store: MemoryStore,
    /// Takes nothing more.
    pub(crate) is_full: Arc<AtomicBool>,
    /// While it holds `true`, a commit waits.
    pub(crate) is_held_up: Arc<watch::Sender<bool>>,
    begun: Arc<AtomicU32>,
}

impl TestStore {
    /// How many commits have begun.
    pub(crate) fn commits(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }
}

impl Store for TestStore {
    fn load(&mut self) -> Result<Saved, StoreError> {
        self.store.load()
    }

    async fn commit(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.is_held_up.subscribe().wait_for(|is_held_up| !is_held_up).await.unwrap();
        if self.is_full.load(Ordering::Relaxed) {
            return Err(StoreError::Disk { path: "weft.redb".into(), why: "no space".to_string() });
        }
        self.store.commit(changes).await
    }
}

const US: PeerId = PeerId([1; 32]);
const THEM: PeerId = PeerId([2; 32]);

/// The name of the peer with this number.
pub(crate) fn named(last: u8) -> PeerName {
    PeerName([10, 0, 0, 0, 0, last])
}

fn peer(id: PeerId, last: u8, to: PeerId, to_last: u8) -> PeerStatus {
    let nickname = format!("host{last}");
    let link = LinkStatus {
        id: to,
        name: named(to_last),
        nickname: format!("host{to_last}"),
        mutual: true,
    };
    let links = vec![link];
    let incarnation = Incarnation(1);
    let way = (id != US).then_some(Carriage::Link);
    PeerStatus {
        id,
        name: named(last),
        nickname,
        incarnation,
        reachable: true,
        leaves: false,
        way,
        links,
    }
}

/// How two linked peers stand that share all addresses, as the first one sees it.
pub(crate) fn pair() -> Status {
    let owner = |owner, addresses| OwnerStatus { owner, addresses, reachable: true };
    Status {
        id: US,
        name: named(1),
        nickname: "host1".into(),
        incarnation: Incarnation(1),
        port: 6783,
        encryption: true,
        secrets: vec![SecretKind::Password],
        allowed: None,
        discovery: true,
        targets: vec![TargetStatus {
            target: Target { host: "host2".into(), port: 6783 },
            state: TargetState::Linked(THEM),
        }],
        conns: vec![ConnStatus {
            remote: "192.0.2.2:6783".into(),
            outbound: true,
            state: ConnState::Established,
            peer: Some(THEM),
            name: Some(named(2)),
            nickname: Some("host2".into()),
            datagrams_to: None,
            encrypted: true,
            old_secret: false,
            up_for: Some(Duration::from_secs(60)),
            round_trip: Some(Duration::from_micros(420)),
            why: None,
            retry_in: None,
        }],
        directs: Vec::new(),
        peers: vec![peer(US, 1, THEM, 2), peer(THEM, 2, US, 1)],
        unicast: vec![(named(2), named(2))],
        broadcast: vec![(named(1), vec![named(2)])],
        ipam: IpamStatus {
            state: IpamState::Ready,
            universe: Universe::DEFAULT,
            default_subnets: Universe::DEFAULT.blocks().collect(),
            owners: vec![owner(THEM, 1 << 19), owner(US, 1 << 19)],
            held: 3,
            strays: Vec::new(),
            waiting: 0,
            no_leave: None,
        },
        names: vec![KnownName {
            entry: NameEntry {
                name: "db.weft.local".parse().unwrap(),
                value: NameValue::V4([10, 40, 0, 1].into()),
                id: "netns:db".parse().unwrap(),
            },
            origin: THEM,
        }],
        conns_ended: 0,
        records_refused: 0,
        records: 4,
    }
}
