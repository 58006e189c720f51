//! Judges all hosts after each call of each node.

use super::disk::Disk;
use ipnet::IpNet;
use sim::check::{
    self, Invariant, PERSIST_BEFORE_SEND, PeerView, Told, View, Violation, Waiting, When,
};
use sim::peer::Peer;
use sim::trace::{Trace, What};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weft::probe::Probe;
use weft_core::addr::Universe;
use weft_core::contract::Contract;
use weft_core::forward::Forwarder;
use weft_core::id::ContainerId;
use weft_core::io::{Command, CommandError, Input, Output, Reply, RequestId};
use weft_core::names::{Name, NameEntry, NameValue};
use weft_core::node::Node;
use weft_core::time::{Instant, Now};

/// Rules that depend on time are judged at least this often, when no node is called.
const JUDGE_WAIT: Duration = Duration::from_millis(500);

/// What one start of one node was told and asked for.
#[derive(Debug, Default)]
struct Called {
    contract: Contract,
    asked: BTreeMap<RequestId, (Instant, Command)>,
    /// One that is told what the data path is.
    forwarder: Option<Forwarder>,
}

/// Everything that is known of all hosts, and the rules.
#[derive(Debug)]
pub(super) struct Judge {
    view: View,
    rules: Vec<Box<dyn Invariant>>,
    called: Vec<Called>,
    trace: Trace,
    judged_at: Instant,
    breach: Option<Violation>,
}

/// Time since the simulation began, as the host that runs knows it.
fn sim_now() -> Instant {
    Instant::ZERO + turmoil::sim_elapsed().unwrap_or_default()
}

impl Judge {
    pub(super) fn new(told: &[Told], universe: Universe, echo: bool) -> Self {
        let hosts = told.len();
        let peers = told.iter().map(|told| PeerView { told: told.clone(), ..PeerView::default() });
        Self {
            view: View::new(Instant::ZERO, universe, peers.collect()),
            rules: check::all(),
            called: (0..hosts).map(|_| Called::default()).collect(),
            trace: Trace::new(hosts, universe, echo),
            judged_at: Instant::ZERO,
            breach: None,
        }
    }

    /// What is seen of all hosts.
    pub(super) const fn view(&self) -> &View {
        &self.view
    }

    pub(super) const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Notes what a script did.
    pub(super) fn note(&mut self, at: Instant, what: &str) {
        self.view.at = at;
        self.trace.tell(at, None, What::note("script", what.to_owned()), None);
    }

    /// The first rule that was broken.
    pub(super) fn breach(&self) -> Option<Violation> {
        self.breach.clone()
    }

    fn break_rule(&mut self, rule: &'static str, detail: String) {
        let at = self.view.at;
        self.breach.get_or_insert(Violation { rule, at, detail });
    }

    /// Judges what must hold at every moment.
    fn judge(&mut self) {
        let is_time = self.view.at.since(self.judged_at) >= JUDGE_WAIT;
        let mut verdict = check::judge(&mut self.rules, When::Always, &self.view);
        if is_time {
            self.judged_at = self.view.at;
            verdict =
                verdict.and_then(|()| check::judge(&mut self.rules, When::Regularly, &self.view));
        }
        self.view.changed.clear();
        if let Err(violation) = verdict {
            self.breach.get_or_insert(violation);
        }
    }

    /// Time has passed without any call.
    pub(super) fn tick(&mut self, at: Instant) {
        self.view.at = at;
        if at.since(self.judged_at) >= JUDGE_WAIT {
            self.judge();
        }
    }

    /// Judges what must hold in a settled mesh, given which hosts the network lets each reach.
    pub(super) fn judge_settled(
        &mut self,
        islands: Vec<std::collections::BTreeSet<usize>>,
    ) -> Result<(), Violation> {
        for (peer, island) in self.view.peers.iter_mut().zip(islands) {
            peer.island = island;
        }
        let view = &self.view;
        if let Some((host, _)) = view.live().find(|(_, peer)| !peer.waiting.is_empty()) {
            let detail = format!("n{} still works on a request", host + 1);
            return Err(Violation { rule: "turmoil.pending", at: view.at, detail });
        }
        check::judge(&mut self.rules, When::Settled, &self.view)
    }

    /// The node of `host` does not run any longer.
    pub(super) fn gone(&mut self, host: usize) {
        if let Some(peer) = self.view.peers.get_mut(host) {
            peer.live = false;
            peer.waiting.clear();
            peer.begin(peer.boots + 1);
        }
        if let Some(called) = self.called.get_mut(host) {
            *called = Called::default();
        }
    }

    /// What lay on the disk of `host` is lost: its containers go with it.
    pub(super) fn wiped(&mut self, host: usize) {
        if let Some(peer) = self.view.peers.get_mut(host) {
            *peer = PeerView {
                told: peer.told.clone(),
                boots: peer.boots + 1,
                losses: peer.losses + 1,
                ..PeerView::default()
            };
        }
    }

    /// A container of `host` has `addresses` from here on; they must be on its disk by then.
    pub(super) fn hold(&mut self, host: usize, id: &ContainerId, addresses: &[IpNet], disk: &Disk) {
        if let Some(lost) = disk.lacks(id, addresses) {
            let detail = format!("n{} gave {lost} to {id} before that was durable", host + 1);
            self.break_rule("persist-before-reply", detail);
        }
        if let Some(peer) = self.view.peers.get_mut(host) {
            peer.held.entry(id.clone()).or_default().extend(addresses);
        }
        self.judge();
    }

    /// A container of `host` has stopped using `address`, or all that it had.
    pub(super) fn let_go(&mut self, host: usize, id: &ContainerId, address: Option<IpNet>) {
        let Some(peer) = self.view.peers.get_mut(host) else { return };
        let Some(held) = peer.held.get_mut(id) else { return };
        held.retain(|net| address.is_some_and(|address| address != *net));
        if held.is_empty() {
            peer.held.remove(id);
        }
    }

    fn before(&mut self, host: usize, now: Now, input: &Input) {
        let at = sim_now();
        if let (Some(peer), Input::Received { conn, .. }) = (self.view.peers.get_mut(host), input)
            && let Some(linked) = peer.linked.get_mut(conn)
        {
            linked.heard_at = now.mono;
        }
        self.view.at = at;
        self.trace.input(at, host, input);
        let Some(called) = self.called.get_mut(host) else { return };
        let fits = called.contract.input(input);
        if let Input::Command { request, command } = input {
            called.asked.insert(*request, (at, command.clone()));
            self.asked(host, command);
        }
        if let Err(why) = fits {
            self.break_rule("turmoil.contract", format!("n{}, by the driver: {why}", host + 1));
        }
    }

    fn after(&mut self, host: usize, now: Now, node: &Node, outputs: &[Output]) {
        let at = sim_now();
        self.view.at = at;
        let Some(called) = self.called.get_mut(host) else { return };
        let mut fits = called.contract.rest(now.mono, node.deadline());
        let mut answered = Vec::new();
        let forwarder =
            called.forwarder.get_or_insert_with(|| Forwarder::new(node.name(), u8::MAX));
        for output in outputs {
            self.trace.output(host, output);
            let fault = called.contract.output(output);
            fits = fits.and(fault);
            match output {
                Output::Reply { request, result } => {
                    let asked = called.asked.remove(request);
                    answered.extend(asked.map(|(_, command)| (command, result.clone())));
                }
                Output::Event(event) => {
                    self.trace.names.know(node.id(), Peer(host));
                    let what = What::event(event, &self.trace.names);
                    self.trace.tell(at, Some(Peer(host)), what, None);
                    if let Some(peer) = self.view.peers.get_mut(host) {
                        peer.heard(now.mono, event);
                    }
                }
                Output::Forwarding(change) => forwarder.apply(change.clone()),
                Output::Dial { .. }
                | Output::Write { .. }
                | Output::Close { .. }
                | Output::Datagram { .. }
                | Output::Persist(_) => {}
            }
        }
        let waiting = called
            .asked
            .values()
            .map(|(since, command)| Waiting { since: *since, command: command.clone() })
            .collect();
        for (command, result) in answered {
            self.answered(host, &command, &result);
        }
        if let Some(peer) = self.view.peers.get_mut(host) {
            peer.live = true;
            peer.waiting = waiting;
            // What it is to write has yet to be written.
            peer.busy = outputs.iter().any(|output| matches!(output, Output::Persist(_)));
            peer.read_ipam(node);
            peer.read_names(node);
            peer.read_mesh(node, now);
            let called = self.called.get(host);
            if let Some(forwarder) = called.and_then(|called| called.forwarder.as_ref()) {
                peer.read_ways(forwarder);
            }
            self.view.changed.insert(host);
        }
        if let Err(why) = check::said_in_order(outputs.iter()) {
            self.break_rule(PERSIST_BEFORE_SEND, format!("n{} {why}", host + 1));
        }
        if let Err(why) = fits {
            self.break_rule("contract", format!("n{}: {why}", host + 1));
        }
        self.judge();
    }

    /// What others may rely on once a command is given, before its answer.
    fn asked(&mut self, host: usize, command: &Command) {
        let Some(peer) = self.view.peers.get_mut(host) else { return };
        match command {
            Command::Register { id, name, value } => {
                let entry = NameEntry { name: name.clone(), value: value.clone(), id: id.clone() };
                peer.names_possible.insert(entry);
            }
            Command::Unregister { id, name, value } => {
                peer.names_sure.retain(|entry| !is_meant(entry, id, name, value));
            }
            Command::Leave => peer.names_sure.clear(),
            Command::Connect { .. }
            | Command::Forget { .. }
            | Command::Allocate { .. }
            | Command::Claim { .. }
            | Command::Hold { .. }
            | Command::Release { .. }
            | Command::Prime
            | Command::OpenGate
            | Command::Evict { .. }
            | Command::Trust(_)
            | Command::Stop => {}
        }
    }

    fn answered(&mut self, host: usize, command: &Command, result: &Result<Reply, CommandError>) {
        let Some(peer) = self.view.peers.get_mut(host) else { return };
        match (command, result) {
            (Command::Register { id, name, value }, Ok(_)) => {
                let entry = NameEntry { name: name.clone(), value: value.clone(), id: id.clone() };
                peer.names_sure.insert(entry);
            }
            (Command::Unregister { id, name, value }, Ok(_)) => {
                let sure = &peer.names_sure;
                peer.names_possible
                    .retain(|entry| sure.contains(entry) || !is_meant(entry, id, name, value));
            }
            (Command::Leave, Ok(_)) => peer.names_possible.clone_from(&peer.names_sure),
            (_, Ok(_) | Err(_)) => {}
        }
    }
}

fn is_meant(
    entry: &NameEntry,
    id: &Option<ContainerId>,
    name: &Option<Name>,
    value: &Option<NameValue>,
) -> bool {
    id.as_ref().is_none_or(|id| *id == entry.id)
        && name.as_ref().is_none_or(|name| *name == entry.name)
        && value.as_ref().is_none_or(|value| *value == entry.value)
}

/// Tells the judge of every call of one node.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) host: usize,
    pub(super) judge: Arc<Mutex<Judge>>,
}

impl Probe for Watcher {
    fn before(&mut self, now: Now, input: &Input) {
        super::lock(&self.judge).before(self.host, now, input);
    }
    fn after(&mut self, now: Now, node: &Node, outputs: &[Output]) {
        super::lock(&self.judge).after(self.host, now, node, outputs);
    }
}
