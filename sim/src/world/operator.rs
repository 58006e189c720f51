//! Those who give commands: operators and container runtimes, and what they remember.

use super::setup::secret;
use super::{Act, Due, World};
use crate::check::{self, PERSIST_BEFORE_REPLY, Taken, Violation};
use crate::host::frame::MacBytes;
use crate::host::{Container, Host};
use crate::net::PORT;
use crate::peer::Peer;
use crate::trace::What;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use weft_core::id::{ContainerId, PeerId};
use weft_core::io::{Command, CommandError, Input, Reply, RequestId, Target};
use weft_core::names::{Name, NameEntry, NameValue, Service};
use weft_core::record::Fingerprint;
use weft_core::trust::Trust;

/// From the answer to `Stop` to the end of the process, in which last words are sent.
const EXIT_WAIT: Duration = Duration::from_millis(500);

impl World {
    /// Gives a command to the node of `host`. If it does not run, the answer never comes.
    pub fn ask(&mut self, host: usize, command: Command) -> RequestId {
        let request = RequestId(self.requests);
        self.requests += 1;
        self.expect(host, &command);
        let owed_from = self.hosts[host].owed_from(self.now, &command);
        if let Some(running) = &mut self.hosts[host].running {
            running.asked.insert(request, (owed_from, command.clone()));
            let what = What::Ask { request: request.0, text: short(&command) };
            self.tell(Some(host), what);
            self.call(host, Input::Command { request, command });
        }
        request
    }

    /// The command that `act` stands for; `None` when it is none, or when nobody would give it at
    /// this moment.
    pub fn command(&self, act: &Act) -> Option<Command> {
        let target = |peer: &Peer| vec![Target { host: peer.to_string(), port: PORT }];
        match act {
            Act::Partition { .. }
            | Act::Cut { .. }
            | Act::Mend { .. }
            | Act::Heal
            | Act::Network { .. }
            | Act::Path { .. }
            | Act::Crash { .. }
            | Act::Start { .. }
            | Act::Settings { .. }
            | Act::LoseDisk { .. }
            | Act::Snapshot { .. }
            | Act::Restore { .. }
            | Act::CloneDisk { .. }
            | Act::LyingDisk { .. }
            | Act::FailDisk { .. }
            | Act::MendDisk { .. }
            | Act::RotDisk { .. }
            | Act::Events { .. }
            | Act::Born { .. }
            | Act::Die { .. }
            | Act::Send { .. }
            | Act::Migrate { .. }
            | Act::SlowDisk { .. }
            | Act::Spray { .. }
            | Act::Mute { .. }
            | Act::Babble { .. }
            | Act::Insider { .. }
            | Act::Record
            | Act::Replay { .. }
            | Act::Stall { .. }
            | Act::Reset { .. }
            | Act::HalfOpen { .. }
            | Act::SlowReader { .. }
            | Act::Nat { .. }
            | Act::Rebind { .. }
            | Act::Move { .. }
            | Act::Pause { .. }
            | Act::Starve { .. }
            | Act::Clock { .. }
            | Act::Drift { .. } => None,
            Act::Allocate { container: id, subnet, .. } => {
                Some(Command::Allocate { id: container(id), subnet: *subnet })
            }
            Act::Claim { peer, container: id, address, prefix } => {
                let usual = self.hosts.get(peer.0)?.config.universe.block_of(*address);
                let prefix = prefix.or(usual.map(|block| block.prefix_len()))?;
                let address = IpNet::new(*address, prefix).ok()?;
                Some(Command::Claim { id: container(id), address })
            }
            Act::Release { peer, container: id, address } => {
                let id = container(id);
                // An engine removes a container only after its call for an address has returned.
                let waits = self.waits_for_address(peer.0, &id);
                (!waits).then_some(Command::Release { id, address: *address })
            }
            Act::Register { peer, container: id, name, address, port, text } => {
                let id = container(id);
                let own = name_of(&id);
                let held = || Some(self.hosts.get(peer.0)?.held.get(&id)?.first()?.addr());
                let value = match (port, text) {
                    (Some(port), _) => NameValue::Service(Service {
                        priority: 0,
                        weight: 0,
                        port: *port,
                        target: own.parse().ok()?,
                    }),
                    (None, Some(text)) => NameValue::Text(vec![text.clone()].try_into().ok()?),
                    (None, None) => address.or_else(held)?.into(),
                };
                let name = name.clone().unwrap_or(own).parse().ok()?;
                Some(Command::Register { id, name, value })
            }
            Act::Unregister { container: id, name, address, .. } => {
                let name = name.as_ref().map(|name| name.parse()).transpose().ok()?;
                let id = id.as_deref().map(container);
                let value = address.map(NameValue::from);
                Some(Command::Unregister { id, name, value })
            }
            Act::Connect { to, replace, .. } => {
                Some(Command::Connect { targets: target(to), replace: *replace })
            }
            Act::Forget { to, .. } => Some(Command::Forget { targets: target(to) }),
            Act::Prime { force: false, .. } => Some(Command::Prime),
            Act::Prime { force: true, .. } => Some(Command::OpenGate),
            Act::Evict { peer, gone, alive, force, wait } => {
                let gone = || gone.iter().flat_map(|peer| self.gone_from(peer.0, *alive));
                // As `weft status ipam` shows them; who owned nothing is named only when nobody did.
                let ledger = || self.view.peers.get(peer.0).and_then(|peer| peer.ledger.as_ref());
                let owns = |id: &PeerId| ledger().into_iter().flatten().any(|it| it.owner == *id);
                let mut peers: BTreeSet<PeerId> = gone().filter(owns).collect();
                if peers.is_empty() {
                    peers.extend(gone());
                }
                let (force, wait) = (*force, *wait);
                (!peers.is_empty()).then_some(Command::Evict { peers, force, wait })
            }
            Act::AddSecret { password, .. } => {
                Some(Command::Trust(Trust::AddSecret { secret: secret(password)? }))
            }
            Act::RetireSecret { force, .. } => {
                Some(Command::Trust(Trust::RetireSecret { force: *force }))
            }
            Act::Allow { peers, .. } => {
                // Who never ran has no id that could stand on a list.
                let id = |peer: &Peer| self.view.peers.get(peer.0)?.id;
                let peers = match peers {
                    Some(peers) => Some(peers.iter().map(id).collect::<Option<_>>()?),
                    None => None,
                };
                Some(Command::Trust(Trust::Allow { peers }))
            }
            Act::Leave { .. } => Some(Command::Leave),
            Act::Stop { .. } => Some(Command::Stop),
        }
    }

    /// Everybody who ran here and does not run any more.
    pub fn all_gone(&self) -> BTreeSet<PeerId> {
        (0..self.hosts.len()).flat_map(|host| self.gone_from(host, false)).collect()
    }

    /// Who ran on `host` and does not run there any more, and who runs there, if `alive`.
    fn gone_from(&self, host: usize, alive: bool) -> impl Iterator<Item = PeerId> {
        let is_meant = alive || self.hosts.get(host).is_none_or(|host| host.running.is_none());
        let peer = self.view.peers.get(host).into_iter();
        peer.flat_map(move |peer| peer.former.iter().copied().chain(peer.id.filter(|_| is_meant)))
    }

    pub(super) fn waits_for_address(&self, host: usize, id: &ContainerId) -> bool {
        let running = self.hosts.get(host).and_then(|host| host.running.as_ref());
        let mut asked = running.iter().flat_map(|running| running.asked.values());
        asked.any(|(_, command)| match command {
            Command::Allocate { id: other, .. }
            | Command::Claim { id: other, .. }
            | Command::Hold { id: other, .. } => other == id,
            Command::Connect { .. }
            | Command::Forget { .. }
            | Command::Release { .. }
            | Command::Register { .. }
            | Command::Unregister { .. }
            | Command::Prime
            | Command::OpenGate
            | Command::Evict { .. }
            | Command::Trust(_)
            | Command::Leave
            | Command::Stop => false,
        })
    }

    /// Gives a command and lets the world run until its answer.
    ///
    /// # Errors
    /// A broken rule, or no answer within 30 s or because the node died.
    pub fn answer(
        &mut self,
        host: usize,
        command: Command,
    ) -> Result<Result<Reply, CommandError>, Violation> {
        let request = self.ask(host, command);
        self.run_until(Duration::from_secs(30), |world| world.replies.contains_key(&request))?;
        let at = self.now;
        self.replies.remove(&request).ok_or_else(|| Violation {
            rule: "sim.answer",
            at,
            detail: format!("n{} never answered request {}", host + 1, request.0),
        })
    }

    /// Takes the answer to `request`, if it has come.
    pub fn take_reply(&mut self, request: RequestId) -> Option<Result<Reply, CommandError>> {
        self.replies.remove(&request)
    }

    /// Attaches a container: allocates an address for it and registers `ID.weft.local`.
    ///
    /// # Errors
    /// A broken rule, or a command that was refused.
    pub fn attach(&mut self, host: usize, id: &str) -> Result<IpAddr, Violation> {
        let id = container(id);
        let reply = self.answer(host, Command::Allocate { id: id.clone(), subnet: None })?;
        let Ok(Reply::Addresses(addresses)) = reply else {
            return Err(self.refused(host, &format!("{reply:?}")));
        };
        let Some(address) = addresses.first().map(IpNet::addr) else {
            return Err(self.refused(host, "no address"));
        };
        self.register(host, &id, address)?;
        Ok(address)
    }

    /// Registers `ID.weft.local` for `address`.
    ///
    /// # Errors
    /// A broken rule, or a refusal.
    pub fn register(
        &mut self,
        host: usize,
        id: &ContainerId,
        address: IpAddr,
    ) -> Result<(), Violation> {
        let Ok(name) = name_of(id).parse() else { return Err(self.refused(host, "bad name")) };
        match self
            .answer(host, Command::Register { id: id.clone(), name, value: address.into() })?
        {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refused(host, &error.to_string())),
        }
    }

    fn refused(&self, host: usize, why: &str) -> Violation {
        let detail = format!("n{}: {why}", host + 1);
        Violation { rule: "sim.attach", at: self.now, detail }
    }

    /// What the outside may rely on once a command is given, before its answer.
    fn expect(&mut self, host: usize, command: &Command) {
        let host = &mut self.hosts[host];
        match command {
            Command::Release { id, address } => {
                // Whoever gives an address back has stopped using it.
                let held = host.held.entry(id.clone()).or_default();
                held.retain(|net| address.is_some_and(|address| address != net.addr()));
                if held.is_empty() {
                    host.held.remove(id);
                    host.containers.remove(id);
                }
            }
            Command::Register { id, name, value } => {
                let entry = NameEntry { name: name.clone(), value: value.clone(), id: id.clone() };
                host.names_possible.insert(entry);
            }
            Command::Unregister { id, name, value } => {
                host.names_sure.retain(|entry| !matches(entry, id, name, value));
            }
            Command::Forget { .. } | Command::Connect { replace: true, .. } => {
                host.has_forgotten = true;
            }
            Command::Connect { replace: false, .. }
            | Command::Allocate { .. }
            | Command::Claim { .. }
            | Command::Hold { .. }
            | Command::Prime
            | Command::OpenGate
            | Command::Evict { .. }
            | Command::Trust(_)
            | Command::Leave
            | Command::Stop => {}
        }
    }

    /// The node of `host` takes up `input`: whoever leaves takes its containers off the network, and whoever
    /// evicts others knows of some of them that they own something.
    pub(super) fn takes(&mut self, host: usize, input: &Input) {
        let there = &mut self.hosts[host];
        if let Input::Command { request, command: Command::Evict { peers, .. } } = input
            && let Some(running) = &mut there.running
        {
            let ledger = running.node.ipam().ledger().into_iter();
            let owners: BTreeSet<PeerId> = ledger.flat_map(|ledger| ledger.owners()).collect();
            running.evicts.insert(*request, peers & &owners);
        }
        let obeys = there.running.as_ref().is_some_and(|running| !running.has_stopped);
        if let Input::Command { command: Command::Leave, .. } = input
            && obeys
        {
            there.held.clear();
            there.containers.clear();
            there.names_sure.clear();
            self.touched.insert(host);
        }
    }

    pub(super) fn reply(
        &mut self,
        host: usize,
        request: RequestId,
        result: Result<Reply, CommandError>,
    ) {
        self.touched.insert(host);
        let Some(running) = &mut self.hosts[host].running else { return };
        let owners = running.evicts.remove(&request).unwrap_or_default();
        let Some((asked_at, command)) = running.asked.remove(&request) else { return };
        self.tell(Some(host), What::reply(request, &result));
        if let Err(why) = &result {
            self.view.peers[host].refused.push((asked_at, why.clone()));
        }
        // Who has heard of no founding speaks of what it knows.
        if let (Command::Evict { peers, .. }, Ok(Reply::TakenOver(_))) = (&command, &result)
            && self.view.peers[host].lineage.is_some()
        {
            let boots = self.hosts.iter().map(|host| host.boots).collect();
            let (victims, losses) = (peers.clone(), self.hosts[host].losses);
            self.view.peers[host].taken.push(Taken { victims, owners, boots, losses });
        }
        let universe = self.view.universe;
        let there = &mut self.hosts[host];
        match (&command, &result) {
            (
                Command::Allocate { id, .. } | Command::Claim { id, .. },
                Ok(Reply::Addresses(given)),
            ) => {
                let inside = |net: &&IpNet| universe.offset(net.addr()).is_some();
                let given: Vec<IpNet> = given.iter().filter(inside).copied().collect();
                let durable = check::given_is_noted(&there.disk.held(id), &given);
                // Whom the engine has ended meanwhile uses no address.
                let uses = there.engine.lives(id) != Some(false);
                for net in given.into_iter().filter(|_| uses) {
                    there.held.entry(id.clone()).or_default().insert(net);
                    there.containers.entry(id.clone()).or_insert_with(|| Container {
                        mac: mac_of(id),
                        address: net.addr(),
                        neighbours: BTreeMap::new(),
                        echoes_in: 0,
                        answers: BTreeMap::new(),
                    });
                }
                let id = id.clone();
                if let Err(why) = durable {
                    self.breach(PERSIST_BEFORE_REPLY, format!("n{} {why} for {id}", host + 1));
                }
                self.announce(host, &id);
                self.was_given(host, &id);
            }
            (Command::Hold { id, address }, Ok(_)) => {
                if let Err(why) = check::given_is_noted(&there.disk.held(id), &[*address]) {
                    self.breach(PERSIST_BEFORE_REPLY, format!("n{} {why} for {id}", host + 1));
                }
            }
            (Command::Release { id, .. }, Ok(Reply::Addresses(given))) => {
                let durable = check::released_is_gone(&there.disk.held(id), given);
                if let Err(why) = durable {
                    self.breach(PERSIST_BEFORE_REPLY, format!("n{} {why} for {id}", host + 1));
                }
            }
            (Command::Register { id, name, value }, Ok(_)) => {
                let entry = NameEntry { name: name.clone(), value: value.clone(), id: id.clone() };
                // Whoever has asked for its removal meanwhile cannot rely on it.
                let mut asked = there.running.iter().flat_map(|running| running.asked.values());
                if !asked.any(|(_, command)| removes(command, &entry)) {
                    there.names_sure.insert(entry);
                }
            }
            (Command::Unregister { id, name, value }, Ok(_)) => {
                there.forget_names(|entry| matches(entry, id, name, value));
            }
            (Command::Leave, Ok(_)) => {
                there.forget_names(|_| true);
                self.view.peers[host].left = true;
            }
            (Command::Trust(trust), Ok(_)) => {
                there.trusts(trust);
                self.view.peers[host].told.trusts(&there.config);
            }
            (Command::Stop, Ok(_)) => {
                let boot = there.boots;
                if let Some(running) = &mut there.running {
                    running.has_stopped = true;
                }
                self.plan.push(self.now + EXIT_WAIT, Due::Exit { host, boot });
            }
            (_, Ok(_) | Err(_)) => {}
        }
        self.replies.insert(request, result);
    }
}

impl Host {
    /// Whom to trust has been changed: the next start is told so, too.
    fn trusts(&mut self, trust: &Trust) {
        match trust {
            Trust::AddSecret { secret } => {
                self.config.old_secret = self.config.secret.replace(secret.clone());
            }
            Trust::RetireSecret { .. } => self.config.old_secret = None,
            Trust::Allow { peers } => self.config.allowed.clone_from(peers),
        }
    }

    /// Names that `gone` fits are removed; but what was asked for since then may come to be, or is
    /// there already.
    fn forget_names(&mut self, gone: impl Fn(&NameEntry) -> bool) {
        let asked = self.running.iter().flat_map(|running| running.asked.values());
        let coming: BTreeSet<NameEntry> =
            asked.filter_map(|(_, command)| registered(command)).collect();
        let sure = &self.names_sure;
        self.names_possible
            .retain(|entry| sure.contains(entry) || coming.contains(entry) || !gone(entry));
    }
}

/// The name that `command` is to register.
fn registered(command: &Command) -> Option<NameEntry> {
    match command {
        Command::Register { id, name, value } => {
            Some(NameEntry { name: name.clone(), value: value.clone(), id: id.clone() })
        }
        Command::Connect { .. }
        | Command::Forget { .. }
        | Command::Allocate { .. }
        | Command::Claim { .. }
        | Command::Hold { .. }
        | Command::Release { .. }
        | Command::Unregister { .. }
        | Command::Prime
        | Command::OpenGate
        | Command::Evict { .. }
        | Command::Trust(_)
        | Command::Leave
        | Command::Stop => None,
    }
}

/// Whether `command` takes `entry` back.
fn removes(command: &Command, entry: &NameEntry) -> bool {
    match command {
        Command::Unregister { id, name, value } => matches(entry, id, name, value),
        Command::Connect { .. }
        | Command::Forget { .. }
        | Command::Allocate { .. }
        | Command::Claim { .. }
        | Command::Hold { .. }
        | Command::Release { .. }
        | Command::Register { .. }
        | Command::Prime
        | Command::OpenGate
        | Command::Evict { .. }
        | Command::Trust(_)
        | Command::Leave
        | Command::Stop => false,
    }
}

/// The name that containers are registered under.
pub fn name_of(id: &ContainerId) -> String {
    format!("{id}.weft.local")
}

fn matches(
    entry: &NameEntry,
    id: &Option<ContainerId>,
    name: &Option<Name>,
    value: &Option<NameValue>,
) -> bool {
    id.as_ref().is_none_or(|id| *id == entry.id)
        && name.as_ref().is_none_or(|name| *name == entry.name)
        && value.as_ref().is_none_or(|value| *value == entry.value)
}

/// The id of a simulated container: `text` without what an id may not have.
pub fn container(text: &str) -> ContainerId {
    text.parse().unwrap_or_else(|_| ContainerId::external())
}

/// A locally administered MAC that follows from the id, so that it moves with the container.
fn mac_of(id: &ContainerId) -> MacBytes {
    let print = Fingerprint::of(id.as_str().as_bytes()).0;
    [0x0a, print[0], print[1], print[2], print[3], print[4]]
}

pub(super) fn short(command: &Command) -> String {
    match command {
        Command::Connect { targets, replace: false } => format!("connect to {}", hosts(targets)),
        Command::Connect { targets, replace: true } => {
            format!("connect to {} only", hosts(targets))
        }
        Command::Forget { targets } => format!("forget {}", hosts(targets)),
        Command::Allocate { id, .. } => format!("allocate {id}"),
        Command::Claim { id, address } => format!("claim {address} for {id}"),
        Command::Hold { id, address } => format!("hold {address} for {id}"),
        Command::Release { id, .. } => format!("release {id}"),
        Command::Register { name, value, .. } => format!("register {name} = {value}"),
        Command::Unregister { id: Some(id), .. } => format!("unregister names of {id}"),
        Command::Unregister { id: None, .. } => "unregister names".to_owned(),
        Command::Prime => "prime".to_owned(),
        Command::OpenGate => "open the gate".to_owned(),
        Command::Evict { peers, force: false, .. } => format!("evict {} peers", peers.len()),
        Command::Evict { peers, force: true, .. } => {
            format!("evict {} peers by force", peers.len())
        }
        Command::Trust(Trust::AddSecret { .. }) => "add a secret".to_owned(),
        Command::Trust(Trust::RetireSecret { force: false }) => "retire a secret".to_owned(),
        Command::Trust(Trust::RetireSecret { force: true }) => {
            "retire a secret by force".to_owned()
        }
        Command::Trust(Trust::Allow { peers: Some(peers) }) => {
            format!("allow {} peers only", peers.len())
        }
        Command::Trust(Trust::Allow { peers: None }) => "allow all peers".to_owned(),
        Command::Leave => "leave".to_owned(),
        Command::Stop => "stop".to_owned(),
    }
}

fn hosts(targets: &[Target]) -> String {
    let hosts: Vec<&str> = targets.iter().map(|target| target.host.as_str()).collect();
    if hosts.is_empty() { "nobody".to_owned() } else { hosts.join(" ") }
}
