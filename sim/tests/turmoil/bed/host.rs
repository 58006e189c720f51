//! One simulated host: the parts of the daemon, put together as the daemon does it, on another
//! network, disk and kernel.

use super::disk::Disk;
use super::folder::Folder;
use super::frames::data_path;
use super::inside::{Inside, Work};
use super::judge::{Judge, Watcher};
use super::kernel::Kernel;
use super::net::{API_PORT, ApiListener, PORT, TurmoilNet, everywhere};
use super::plan::Plan;
use sha2::{Digest, Sha256};
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use turmoil::net::{TcpListener, UdpSocket};
use weft::api::server;
use weft::attachments::{Attachments, Places};
use weft::clock::Clock;
use weft::daemon::{Controls, Options, Running};
use weft::driver::{Driver, Parts};
use weft::net::Net;
use weft_core::config::Config;
use weft_core::forward::Forwarder;
use weft_core::io::{Command, Target};
use weft_core::node::Seed;
use weft_core::time::UnixTime;

/// What a host is, whether its daemon runs or not.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) index: usize,
    pub(super) plan: Plan,
    pub(super) disk: Disk,
    pub(super) kernel: Arc<Kernel>,
    pub(super) judge: Arc<Mutex<Judge>>,
    pub(super) inbox: RefCell<Option<mpsc::UnboundedReceiver<Work>>>,
    /// What the daemon ended with, until the bed has seen it.
    pub(super) exit: RefCell<Option<Result<(), String>>>,
    boots: Cell<u64>,
    folder: Folder,
}

impl Host {
    /// A host that never ran.
    ///
    /// # Errors
    /// When there is no folder for its files.
    pub(super) fn new(index: usize, plan: Plan, judge: Arc<Mutex<Judge>>) -> anyhow::Result<Self> {
        let disk = Disk::default();
        Ok(Self {
            index,
            plan,
            kernel: Arc::new(Kernel::new(index, disk.clone(), Arc::clone(&judge))),
            disk,
            judge,
            inbox: RefCell::default(),
            exit: RefCell::default(),
            boots: Cell::new(0),
            folder: Folder::new()?,
        })
    }

    /// Runs the daemon from its start to its stop.
    ///
    /// # Errors
    /// What the daemon would have complained of.
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let config = self.plan.config(self.index)?;
        let (hops_max, options) = (config.hops_max, self.options(&config)?);
        let clock = Clock::with_unix(|| {
            let since = turmoil::since_epoch().unwrap_or_default();
            UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
        });
        let socket = UdpSocket::bind(everywhere(PORT)).await?;
        let (frames, from_frames, path) = data_path();
        let (driver, node) = Driver::start(Parts {
            config,
            seed: self.seed(),
            clock,
            net: TurmoilNet,
            listener: TurmoilNet.listen(everywhere(PORT)).await?,
            store: self.disk.clone(),
            frames,
            from_frames,
            probe: Watcher { host: self.index, judge: Arc::clone(&self.judge) },
        })
        .await?;
        let forwarder = Forwarder::new(driver.node().name(), hops_max);
        let path = tokio::spawn(path.run(forwarder, socket, clock));
        let mut running = Running::start(driver);
        let places = Places::open(options.attached_file())?;
        let kernel = Arc::<Kernel>::clone(&self.kernel);
        let attachments = Attachments::new(node.clone(), kernel, None, places);
        let controls = Controls::of_node(node.clone(), attachments.clone(), options);
        let targets = (self.plan.targets)(self.index, self.plan.hosts);
        let target = |host: usize| Target { host: super::name_of(host), port: PORT };
        let targets = targets.into_iter().map(target).collect();
        node.command(Command::Connect { targets, replace: true }).await?;
        attachments.reserve().await?;
        attachments.begin().await?;
        let api = ApiListener(TcpListener::bind(everywhere(API_PORT)).await?);
        running.add(server::serve(controls.clone(), api));
        running.add(attachments.look_after());
        let inside = Inside {
            host: self.index,
            node,
            disk: self.disk.clone(),
            judge: Arc::clone(&self.judge),
        };
        if let Some(mut inbox) = self.inbox.take() {
            tokio::task::spawn_local(async move {
                while let Some(work) = inbox.recv().await {
                    tokio::task::spawn_local(work(inside.clone()));
                }
            });
        }
        running.run(controls.stopped()).await?;
        path.await??;
        Ok(())
    }

    /// Another one for each start.
    fn seed(&self) -> Seed {
        let boot = self.boots.get() + 1;
        self.boots.set(boot);
        let digest = Sha256::new()
            .chain_update(self.plan.seed.to_le_bytes())
            .chain_update(self.index.to_le_bytes())
            .chain_update(boot.to_le_bytes());
        Seed(digest.finalize().into())
    }

    fn options(&self, config: &Config) -> anyhow::Result<Options> {
        Ok(Options {
            name: config.name,
            nickname: config.nickname.clone(),
            port: config.port,
            secrets: weft::daemon::Secrets::default(),
            allowed: None,
            range: config.universe,
            default_subnets: config.default_subnets.clone(),
            founding: config.founding.clone(),
            targets: Vec::new(),
            resume: config.resume,
            discovery: config.discovery,
            conns_max: config.conns_max,
            state_dir: self.folder.path().into(),
            run_dir: self.folder.path().into(),
            bridge: "weft".to_owned(),
            mtu: 1_376,
            dns: true,
            dns_listen: None,
            dns_domain: "weft.local".parse()?,
            dns_ttl: weft::dns::TTL,
            dns_prefers_here: false,
            dns_forwards: Vec::new(),
            resolv_conf: PathBuf::from("/nonexistent"),
            record: None,
        })
    }
}
