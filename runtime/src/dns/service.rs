//! The DNS server on the bridge, started when the first container needs it, and the one that the operator
//! wants elsewhere.

use super::handler::Handler;
use super::{DnsServer, PORT, Sockets, Upstreams, Zone, bind};
use crate::handle::{NodeHandle, addresses_of};
use crate::host::{Host, HostError};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use weft_core::id::ContainerId;
use weft_core::io::{Command, CommandError};

/// Why names cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no address for the server.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The kernel does not take the address.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// The DNS server of this host, and its address once it has one.
#[derive(Debug)]
pub struct DnsService {
    handler: Arc<Handler>,
    upstreams: Arc<Upstreams>,
    /// Where it answers too, whoever asks.
    elsewhere: Option<(SocketAddr, DnsServer)>,
    /// Who tries to start it; and how often that was tried in vain, and why the last time.
    starting: tokio::sync::Mutex<Option<CommandError>>,
    failures: AtomicU64,
    running: Mutex<Option<(IpAddr, DnsServer)>>,
    broken: Mutex<Option<String>>,
}

impl DnsService {
    /// A service that has not started yet, but for what comes to the sockets of an address `elsewhere`.
    ///
    /// # Errors
    /// When these cannot be served.
    pub fn new(
        zone: Zone,
        upstreams: Upstreams,
        elsewhere: Option<(SocketAddr, Sockets)>,
    ) -> io::Result<Self> {
        let upstreams = Arc::new(upstreams);
        let handler = Arc::new(Handler::new(zone, Arc::clone(&upstreams)));
        let elsewhere = elsewhere.map(|(at, sockets)| {
            upstreams.exclude(at);
            let server = DnsServer::start(sockets, Arc::clone(&handler))?;
            tracing::info!(%at, "answering names");
            io::Result::Ok((at, server))
        });
        Ok(Self {
            handler,
            upstreams,
            elsewhere: elsewhere.transpose()?,
            starting: tokio::sync::Mutex::new(None),
            failures: AtomicU64::new(0),
            running: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    /// Where it answers beside the bridge, if anywhere.
    pub fn elsewhere(&self) -> Option<SocketAddr> {
        self.elsewhere.as_ref().map(|(at, _)| *at)
    }

    /// Where it answers on the bridge; `None` until it does.
    pub fn address(&self) -> Option<IpAddr> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|(address, _)| *address)
    }

    /// Why no names are answered, when that was tried in vain.
    pub fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks whether its port is free, where something that listens on all addresses has it. Returns
    /// what the operator should know.
    pub async fn foresee(&self) -> Option<String> {
        // An address of the loopback network that nobody uses stands for the one it will get.
        let why = bind(SocketAddr::from(([127, 53, 119, 53], PORT))).await.err()?;
        let is_taken = why.kind() == io::ErrorKind::AddrInUse;
        is_taken.then(|| self.note_broken(&why))
    }

    fn note_broken(&self, why: &io::Error) -> String {
        let text = format!(
            "containers get no names: port {PORT} cannot be had ({why}); see with `ss -lntup` what listens there on all addresses, or launch with --no-dns"
        );
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.clone());
        text
    }

    /// The host's name servers.
    pub fn upstreams(&self) -> Vec<IpAddr> {
        self.upstreams.servers()
    }

    /// Starts it, with an address of its own on the bridge, unless it runs. Returns where it
    /// answers, or `None` when its port is taken: containers do without it then.
    ///
    /// # Errors
    /// When there is no address, or the kernel does not take it.
    pub(crate) async fn ensure(
        &self,
        node: &NodeHandle,
        host: &dyn Host,
    ) -> Result<Option<IpAddr>, ServeError> {
        let before = self.failures.load(Ordering::SeqCst);
        let mut last = self.starting.lock().await;
        if let Some(address) = self.address() {
            return Ok(Some(address));
        }
        // Somebody has waited for an address in vain meanwhile: nobody is to do so after having waited for that.
        if self.failures.load(Ordering::SeqCst) != before
            && let Some(why) = last.clone()
        {
            return Err(why.into());
        }
        // One address is enough to ask it for names of both families.
        let subnet = node.status().await?.ipam.default_subnets.first().copied();
        let command = Command::Allocate { id: ContainerId::dns(), subnet };
        let given = node.command(command).await.inspect_err(|why| {
            *last = Some(why.clone());
            self.failures.fetch_add(1, Ordering::SeqCst);
        });
        let addresses = addresses_of(given?);
        let Some(address) = addresses.first().map(ipnet::IpNet::addr) else { return Ok(None) };
        host.add_dns(address).await?;
        let at = SocketAddr::new(address, PORT);
        self.upstreams.exclude(at);
        let handler = Arc::clone(&self.handler);
        match bind(at).await.and_then(|sockets| DnsServer::start(sockets, handler)) {
            Ok(server) => {
                let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                *running = Some((address, server));
                *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = None;
                tracing::info!(%at, "answering names");
                Ok(Some(address))
            }
            Err(why) => {
                let why = self.note_broken(&why);
                tracing::warn!(%at, "{why}");
                Ok(None)
            }
        }
    }
}
