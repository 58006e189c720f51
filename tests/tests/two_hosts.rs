//! Containers on two hosts, joined by a password, behave as if on one switch.

use anyhow::{Context as _, Error, Result, ensure};
use std::net::Ipv4Addr;
use std::time::Duration;
use weft_tests::command::{Background, Done};
use weft_tests::lab::{Container, Lab, binary, ip};
use weft_tests::wait_until;

const PATIENCE: Duration = Duration::from_secs(10);

/// Two hosts that know each other, with a container each.
struct Pair {
    lab: Lab,
    containers: [Container; 2],
    addresses: [Ipv4Addr; 2],
}

impl Pair {
    fn new() -> Result<Self> {
        let lab = Lab::two()?;
        lab.host(1).launch(&["--password", "loom and shuttle"])?;
        let first = lab.host(1).address();
        lab.host(2).launch(&["--password", "loom and shuttle", &first])?;
        let containers = [lab.container()?, lab.container()?];
        let one = lab.host(1).attach(&containers[0], &[])?;
        let two = lab.host(2).attach(&containers[1], &[])?;
        ensure!(one != two, "{one} was given out twice");
        containers[0].wait_pings(two).with_context(|| lab.host(1).log() + &lab.host(2).log())?;
        Ok(Self { lab, containers, addresses: [one, two] })
    }

    /// Starts `probe hear` in container `n`, and waits until it listens.
    fn hear(&self, n: usize, args: &[&str]) -> Result<Background> {
        let mut command = self.containers[n].command(binary("probe")?);
        let heard = self.lab.background(command.arg("hear").args(args))?;
        heard.wait_for("ready", PATIENCE)?;
        Ok(heard)
    }

    fn say(&self, n: usize, to: &str, text: &str) -> Result<()> {
        let own = self.addresses[n].to_string();
        let probe = binary("probe")?;
        let probe = probe.to_string_lossy();
        self.containers[n].run(&probe, &["say", &own, to, text])?.ok().map(drop)
    }
}

#[test]
fn containers_on_two_hosts_ping_each_other() -> Result<()> {
    let pair = Pair::new()?;
    for (from, to) in [(0, 1), (1, 0)] {
        let to = pair.addresses[to].to_string();
        let args = ["-n", "-c", "20", "-i", "0.02", "-W", "1", &to];
        let printed = pair.containers[from].run("ping", &args)?.ok()?;
        ensure!(printed.contains(" 0% packet loss"), "{printed}");
    }
    pair.lab.finish()
}

#[test]
fn a_packet_as_large_as_the_interface_allows_passes_unfragmented_and_larger_ones_in_pieces()
-> Result<()> {
    let pair = Pair::new()?;
    let links = ip(&format!("-n {} -oneline link show up", pair.containers[0].namespace))?;
    let link = links.lines().find(|line| !line.contains(" lo:")).context("no interface")?;
    let mtu = link.split(" mtu ").nth(1).and_then(|rest| rest.split(' ').next());
    let mtu: u32 = mtu.context("no mtu")?.parse()?;
    let to = pair.addresses[1].to_string();
    // 28 bytes are the headers of IPv4 and ICMP.
    for (size, pieces) in [(mtu - 28, "do"), (mtu + 500, "dont"), (20_000, "dont")] {
        let size = size.to_string();
        let args = ["-n", "-c", "3", "-i", "0.1", "-W", "1", "-M", pieces, "-s", &size, &to];
        let printed = pair.containers[0].run("ping", &args)?.ok()?;
        ensure!(printed.contains(" 0% packet loss"), "mtu {mtu}, {size} bytes: {printed}");
    }
    pair.lab.finish()
}

#[test]
fn tcp_flows_between_containers_in_both_directions() -> Result<()> {
    let pair = Pair::new()?;
    let mut server = pair.containers[1].command("iperf3");
    let server = pair.lab.background(server.args(["--server", "--forceflush"]))?;
    server.wait_for("Server listening", PATIENCE)?;
    let to = pair.addresses[1].to_string();
    for direction in [&[][..], &["--reverse"][..]] {
        let args = [&["--client", &to, "--time", "1", "--json"][..], direction].concat();
        let report = pair.containers[0].run("iperf3", &args)?.ok()?;
        let report: serde_json::Value = serde_json::from_str(&report)?;
        let rate = report.pointer("/end/sum_received/bits_per_second");
        let rate = rate.and_then(serde_json::Value::as_f64).context("no rate in the report")?;
        // Far below what any machine does: it is the flow that counts here, not the speed.
        ensure!(rate > 5e6, "{direction:?}: {rate} bits/s");
    }
    drop(server);
    pair.lab.finish()
}

#[test]
fn datagrams_broadcasts_and_multicasts_reach_containers_on_the_other_host() -> Result<()> {
    let pair = Pair::new()?;
    let [sender, receiver] = pair.addresses;
    let direct = format!("{receiver}:7001");
    let heard = pair.hear(1, &[&direct])?;
    pair.say(0, &direct, "direct")?;
    heard.wait_for(&format!("direct from {sender}"), PATIENCE)?;

    let heard = pair.hear(1, &["0.0.0.0:7002"])?;
    // The last address of the default range 10.32.0.0/12.
    pair.say(0, "10.47.255.255:7002", "subnet broadcast")?;
    heard.wait_for(&format!("subnet broadcast from {sender}"), PATIENCE)?;

    let heard = pair.hear(1, &[&format!("{receiver}:7003"), "239.1.2.3"])?;
    // Without a default route, and from no address in particular, only the route that weft gives a
    // container leads there.
    let probe = binary("probe")?;
    let words = ["say", "0.0.0.0", "239.1.2.3:7003", "multicast"];
    pair.containers[0].run(&probe.to_string_lossy(), &words)?.ok()?;
    heard.wait_for(&format!("multicast from {sender}"), PATIENCE)?;
    drop(heard);
    pair.lab.finish()
}

#[test]
fn an_exposed_host_reaches_containers_on_the_other_host_until_it_is_hidden() -> Result<()> {
    let pair = Pair::new()?;
    let host = Container { namespace: pair.lab.host(1).namespace.clone() };
    ensure!(!host.pings(pair.addresses[1])?, "a host that was not exposed is on the network");
    pair.lab.host(1).weft(&["expose"])?.ok()?;
    host.wait_pings(pair.addresses[1])?;
    pair.lab.host(1).weft(&["hide"])?.ok()?;
    ensure!(!host.pings(pair.addresses[1])?, "a hidden host is still on the network");
    pair.lab.finish()
}

#[test]
fn every_view_of_a_running_node_is_shown() -> Result<()> {
    let pair = Pair::new()?;
    let [one, two] = [pair.lab.host(1), pair.lab.host(2)];
    for view in ["peers", "connections", "ipam", "dns", "targets"] {
        let shown = two.weft(&["status", view])?.ok()?;
        ensure!(!shown.is_empty() || view == "dns", "`weft status {view}` shows nothing");
    }
    let shown = two.weft(&["status"])?.ok()?;
    ensure!(shown.contains("Datapath: sleeve ("), "{shown}");
    ensure!(two.weft(&["status", "targets"])?.ok()?.contains(&one.address()));
    serde_json::from_str::<serde_json::Value>(&two.weft(&["report"])?.ok()?)?;
    for (host, address) in [one, two].into_iter().zip(pair.addresses) {
        ensure!(host.weft(&["ps"])?.ok()?.contains(&address.to_string()));
    }
    two.weft(&["detach", &pair.containers[1].namespace])?.ok()?;
    ensure!(!two.weft(&["ps"])?.ok()?.contains(&pair.addresses[1].to_string()));
    ensure!(!pair.containers[0].pings(pair.addresses[1])?, "detached, yet reachable");
    pair.lab.finish()
}

#[test]
fn all_hosts_may_be_launched_with_the_same_list() -> Result<()> {
    let lab = Lab::two()?;
    let list = [lab.host(1).address(), lab.host(2).address()];
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    for host in lab.hosts() {
        host.launch(&list)?;
    }
    for host in lab.hosts() {
        host.wait_linked(1)?;
        // The other one's dial comes before ours is tried again.
        wait_until("nothing is wrong", PATIENCE, || {
            let status = host.weft(&["status"]).and_then(Done::ok);
            status.is_ok_and(|status| !status.contains("DEGRADED"))
        })?;
        let connections = host.weft(&["status", "connections"])?.ok()?;
        ensure!(connections.lines().count() == 1, "{connections}");
    }
    lab.finish()
}

#[test]
fn a_forgotten_peer_is_not_dialed_until_it_is_connected_again() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&["--no-discovery"])?;
    two.launch(&["--no-discovery"])?;
    // Links, and whoever is being dialed or waits for that.
    let shows = |part: &str| {
        let shown = two.weft(&["status", "connections"])?.ok()?;
        Ok::<bool, Error>(shown.contains(&one.address()) && shown.contains(part))
    };
    two.weft(&["connect", &one.address()])?.ok()?;
    two.wait_linked(1)?;
    one.weft(&["stop"])?.ok()?;
    wait_until("the lost peer is dialed", PATIENCE, || shows("retrying").unwrap_or_default())?;
    two.weft(&["forget", &one.address()])?.ok()?;
    ensure!(!two.weft(&["status", "targets"])?.ok()?.contains(&one.address()));
    ensure!(!shows("")?, "a forgotten peer is still being dialed");
    one.launch(&["--no-discovery"])?;
    ensure!(!shows("")?, "a forgotten peer was dialed");
    two.weft(&["connect", &one.address()])?.ok()?;
    two.wait_linked(1)?;
    two.weft(&["forget", &one.address()])?.ok()?;
    ensure!(shows("established")?, "forgetting a peer ended its link");
    lab.finish()
}

#[test]
fn a_reset_removes_every_link_and_the_saved_state() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let rules = || ip(&format!("-n {} rule", host.namespace));
    let (before, rules_before) = (host.links()?, rules()?);
    let range = ["--ipalloc-range", "10.99.0.0/16"];
    let first = host.launch(&range)?;
    let container = lab.container()?;
    host.attach(&container, &[])?;
    ensure!(host.links()? != before && rules()? != rules_before);
    host.weft(&["reset", "--force"])?.ok()?;
    ensure!(host.links()? == before, "left: {:?}", host.links()?);
    ensure!(rules()? == rules_before, "left: {}", rules()?);
    ensure!(!host.is_running());
    ensure!(!host.run_dir.exists() && !host.state_dir.exists(), "its folders are left");
    // Another range than before: it is not held to what it had.
    let second = host.launch(&[])?;
    ensure!(first != second, "the identity survived a reset");
    ensure!(host.weft(&["ps"])?.ok()?.is_empty());
    lab.finish()
}
