//! Two hosts, each with a bridge, a TAP device and an engine, joined by a cable.

use crate::bed::{BRIDGE, Bed, MAC, MTU, Net, attachment, owner};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;
use weft_core::forward::{Forwarder, ForwardingChange, Routes};
use weft_core::id::{Identity, PeerName};
use weft_core::io::Input;
use weft_core::sleeve::{SessionIndex, SessionKeys};
use weft_datapath::engine::Engine;
use weft_datapath::tap::Tap;
use weft_datapath::{bridge, container, udp};

const TAP: &str = "weft-tap";

#[test]
fn containers_of_two_hosts_reach_each_other_and_a_stopped_engine_leaves_nothing() {
    let bed = Bed::new();
    let hosts = [bed.net(), bed.net()];
    let inside = [bed.net(), bed.net()];
    join(&hosts);
    let sockets = [0, 1].map(|at| hosts[at].fd.run(|| udp::bind(0)).unwrap().unwrap());
    let ports = [0, 1].map(|at| sockets[at].local_addr().unwrap().port());
    let mut engines = Vec::new();
    for (at, socket) in sockets.into_iter().enumerate() {
        let tap = hosts[at].fd.run(|| Tap::open(TAP)).unwrap().unwrap();
        bed.runtime.block_on(async {
            let host = &hosts[at].handle;
            bridge::ensure(host, BRIDGE, MAC, MTU, &owner()).await.unwrap();
            bridge::attach_port(host, BRIDGE, TAP, MTU, &owner()).await.unwrap();
            let spec = attachment(["c", "d"][at], ["10.32.0.1/12", "10.32.0.2/12"][at]);
            container::attach(host, &inside[at].fd, &inside[at].handle, &spec).await.unwrap();
        });
        let engine = Engine::start(tap, socket, Forwarder::new(peer(at), 4), |_| {}).unwrap();
        let to = SocketAddr::new(address(1 - at).parse().unwrap(), ports[1 - at]);
        for change in neighbour(at, to) {
            engine.apply(change);
        }
        engines.push(engine);
    }
    inside[0].ping("10.32.0.2");
    inside[1].ping("10.32.0.1");
    // More than one datagram's worth, so a frame of full size crosses too.
    inside[0].run(&["ping", "-c", "1", "-W", "5", "-s", "1372", "-M", "do", "10.32.0.2"]);
    for engine in engines {
        assert!(engine.counters().frames_out > 0, "{:?}", engine.counters());
        engine.stop();
    }
    // A program that another test starts has all our files open until it has begun.
    let start = std::time::Instant::now();
    let is_there = |host: &Net| host.links().iter().any(|name| name == TAP);
    while hosts.iter().any(is_there) && start.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    for host in &hosts {
        assert!(!is_there(host), "{:?}", host.links());
    }
    assert_eq!(engine_threads(), 0);
}

#[test]
fn a_tap_device_of_somebody_else_is_named_and_left_alone() {
    let bed = Bed::new();
    let host = bed.net();
    for kind in [&["tuntap", "add", TAP, "mode", "tap"][..], &["link", "add", TAP, "type", "veth"]]
    {
        host.run(&[&["ip"], kind].concat());
        let why = host.fd.run(|| Tap::open(TAP)).unwrap().unwrap_err().to_string();
        assert!(why.contains("exists already") && why.contains("ip link del weft-tap"), "{why}");
        assert!(host.links().iter().any(|name| name == TAP));
        host.run(&["ip", "link", "del", TAP]);
    }
}

#[test]
fn an_engine_goes_on_with_another_tap_device_when_its_own_has_been_removed() {
    let bed = Bed::new();
    let (host, one) = (bed.net(), bed.net());
    let open = || host.fd.run(|| Tap::open(TAP)).unwrap().unwrap();
    let socket = host.fd.run(|| udp::bind(0)).unwrap().unwrap();
    let engine = Engine::start(open(), socket, Forwarder::new(peer(0), 4), |_| {}).unwrap();
    host.run(&["ip", "link", "del", TAP]);
    engine.replace_tap(open());
    bed.runtime.block_on(async {
        let handle = &host.handle;
        bridge::ensure(handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        bridge::attach_port(handle, BRIDGE, TAP, MTU, &owner()).await.unwrap();
        let spec = attachment("c", "10.32.0.1/12");
        container::attach(handle, &one.fd, &one.handle, &spec).await.unwrap();
    });
    // The container's announcements reach the mesh.
    let start = std::time::Instant::now();
    while engine.counters().frames_in == 0 && start.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    assert!(engine.counters().frames_in > 0 && !engine.has_ended());
}

#[test]
fn a_probe_reaches_the_node_and_one_that_goes_nowhere_does_no_harm() {
    let bed = Bed::new();
    let host = bed.net();
    host.run(&["ip", "link", "set", "lo", "up"]);
    let tap = host.fd.run(|| Tap::open(TAP)).unwrap().unwrap();
    let socket = host.fd.run(|| udp::bind(0)).unwrap().unwrap();
    let port = socket.local_addr().unwrap().port();
    let (seen, probes) = mpsc::channel();
    let engine = Engine::start(tap, socket, Forwarder::new(peer(0), 4), move |input| {
        let _ = seen.send(input);
    })
    .unwrap();
    // A probe's kind, the index of our session, and what only the node can open.
    let probe = [&[0x11, 0, 0, 0, 10][..], &[0; 40]].concat();
    for change in neighbour(0, SocketAddr::from(([192, 0, 2, 1], 1))) {
        engine.apply(change);
    }
    // Nobody listens there; there is no route to there; and this one arrives.
    engine.send(SocketAddr::from(([127, 0, 0, 1], 1)), probe.clone());
    engine.send(SocketAddr::from(([192, 0, 2, 1], 1)), probe.clone());
    let own = SocketAddr::from(([127, 0, 0, 1], port));
    engine.send(own, probe.clone());
    let arrived = Input::Datagram { from: own, bytes: probe };
    assert_eq!(probes.recv_timeout(Duration::from_secs(5)), Ok(arrived));
    assert!(engine.losses().datagrams >= 1, "{:?}", engine.losses());
    engine.stop();
}

/// A cable between the hosts.
fn join(hosts: &[Net; 2]) {
    hosts[0].run(&[
        "ip",
        "link",
        "add",
        "cable",
        "type",
        "veth",
        "peer",
        "name",
        "cable",
        "netns",
        &hosts[1].name,
    ]);
    for (at, host) in hosts.iter().enumerate() {
        host.run(&["ip", "address", "add", &format!("{}/24", address(at)), "dev", "cable"]);
        host.run(&["ip", "link", "set", "cable", "up"]);
    }
}

fn address(at: usize) -> &'static str {
    ["192.0.2.1", "192.0.2.2"][at]
}

fn peer(at: usize) -> PeerName {
    [PeerName([2, 0, 0, 0, 0, 1]), PeerName([2, 0, 0, 0, 0, 2])][at]
}

fn neighbour(at: usize, to: SocketAddr) -> [ForwardingChange; 2] {
    let sessions = [SessionIndex(10), SessionIndex(20)];
    let identities = [[1; 32], [2; 32]].map(Identity::from_seed);
    let keys = SessionKeys {
        ours: identities[at].exchange_secret(),
        theirs: identities[1 - at].id().exchange_key().unwrap(),
        dialed: at == 0,
        sealed: true,
    };
    let (session, other) = (sessions[at], peer(1 - at));
    let routes = Routes {
        unicast: BTreeMap::from([(other, session)]),
        broadcast: BTreeMap::from([(peer(at), vec![session]), (other, vec![])]),
    };
    [
        ForwardingChange::SessionUp {
            session,
            remote: sessions[1 - at],
            peer: other,
            is_link: true,
            keys,
            to: Some(to),
        },
        ForwardingChange::Routes(routes),
    ]
}

/// Threads of this process that forward, other tests' included: those of the same process run in
/// parallel, so this waits until none is left.
fn engine_threads() -> usize {
    let count = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.trim() == "weft-engine")
            .count()
    };
    let start = std::time::Instant::now();
    while count() > 0 && start.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    count()
}
