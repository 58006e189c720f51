//! The real kernel, as root: bridges, containers and frames between two hosts.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside of the tests themselves")]

mod bed;
mod engine;

use bed::{BRIDGE, Bed, MAC, MTU, Net, attachment, owner};
use ipnet::IpNet;
use std::time::Duration;
use weft_core::forward::Mac;
use weft_datapath::announce::Announcer;
use weft_datapath::bridge::Standing;
use weft_datapath::link::LinkError;
use weft_datapath::{address, bridge, container, link, route};

#[test]
fn a_bridge_is_made_once_and_then_only_set_right() {
    let bed = Bed::new();
    let host = bed.net();
    bed.runtime.block_on(async {
        for mtu in [MTU, MTU, 1300] {
            if mtu == 1300 {
                host.run(&["ip", "link", "set", BRIDGE, "type", "bridge", "stp_state", "1"]);
            }
            bridge::ensure(&host.handle, BRIDGE, MAC, mtu, &owner()).await.unwrap();
        }
        let shown = host.run(&["ip", "-d", "link", "show", BRIDGE]);
        for part in ["mtu 1300", "02:00:00:00:00:01", "stp_state 0", "mcast_snooping 0", ",UP"] {
            assert!(shown.contains(part), "{part} is missing in {shown}");
        }
        let owned = link::owned(&host.handle, "bridge", &owner()).await.unwrap();
        assert_eq!(owned, [BRIDGE]);
    });
}

#[test]
fn a_link_of_that_name_which_is_no_bridge_is_left_alone() {
    let bed = Bed::new();
    let host = bed.net();
    host.run(&["ip", "link", "add", BRIDGE, "type", "veth"]);
    bed.runtime.block_on(async {
        let why = bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap_err();
        assert!(matches!(why, LinkError::Taken { .. }), "{why}");
        assert!(why.to_string().contains("is a veth, not a bridge"), "{why}");
    });
}

#[test]
fn a_bridge_that_somebody_else_made_is_left_as_it_is() {
    let bed = Bed::new();
    let host = bed.net();
    host.run(&["ip", "link", "add", BRIDGE, "mtu", "1234", "type", "bridge"]);
    let shown = || host.run(&["ip", "-d", "-o", "link", "show", BRIDGE]);
    let settings = |text: &str| text.split(" hello_timer ").next().unwrap().to_string();
    let before = shown();
    bed.runtime.block_on(async {
        let why = bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap_err();
        assert!(matches!(why, LinkError::Foreign(_)), "{why}");
        assert!(why.to_string().contains("--bridge"), "{why}");
        assert_eq!(settings(&shown()), settings(&before));
        assert!(link::owned(&host.handle, "bridge", &owner()).await.unwrap().is_empty());
        // What bears our MAC is ours: we were killed before we could put our mark on it.
        host.run(&["ip", "link", "set", BRIDGE, "address", &MAC.to_string()]);
        bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        assert_eq!(link::owned(&host.handle, "bridge", &owner()).await.unwrap(), [BRIDGE]);
        let other = link::Owner::new("/another");
        assert!(link::owned(&host.handle, "bridge", &other).await.unwrap().is_empty());
    });
}

#[test]
fn an_interface_keeps_its_mac_while_addresses_come_and_go() {
    let bed = Bed::new();
    let (host, one) = (bed.net(), bed.net());
    bed.runtime.block_on(async {
        bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        let mut spec = attachment("one", "10.32.0.1/12");
        let mac = attach(&host, &one, &spec).await.unwrap().mac;
        assert_eq!(mac, spec.mac);
        // As if the host were another peer by then.
        spec.mac = Mac([2, 0, 0, 0, 0, 9]);
        spec.addresses.insert(0, net("10.32.0.9/12"));
        assert_eq!(attach(&host, &one, &spec).await.unwrap().mac, mac);
        let shown = one.run(&["ip", "link", "show", "ethwe"]);
        assert!(shown.contains(&mac.to_string()), "{mac} is not in {shown}");
    });
}

#[test]
fn who_missed_where_an_address_is_hears_it_again_and_nobody_else_is_forgotten() {
    let bed = Bed::new();
    let (host, one, two) = (bed.net(), bed.net(), bed.net());
    bed.runtime.block_on(async {
        bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        let mut spec = attachment("one", "10.32.0.1/12");
        spec.addresses.push(net("fd00::1/64"));
        let mut other = attachment("two", "10.32.0.2/12");
        other.addresses.push(net("fd00::2/64"));
        attach(&host, &two, &other).await.unwrap();
        let there = attach(&host, &one, &spec).await.unwrap();
        let wrong = "dev ethwe nud reachable lladdr 02:00:00:00:00:77";
        let remembers = |who: &Net, address: &str| {
            let words = format!("ip neigh replace {address} {wrong}");
            who.run(&words.split(' ').collect::<Vec<_>>());
        };
        for address in ["10.32.0.1", "fd00::1"] {
            remembers(&two, address);
        }
        remembers(&one, "10.32.0.9");
        assert_eq!(there.send(&one.handle).await.unwrap(), spec.addresses);
        let start = std::time::Instant::now();
        let knows = |who: &Net| who.run(&["ip", "neigh", "show", "dev", "ethwe"]);
        while knows(&two).contains("02:00:00:00:00:77") {
            assert!(start.elapsed() < Duration::from_secs(5), "{}", knows(&two));
        }
        assert_eq!(knows(&two).matches(&there.mac.to_string()).count(), 2, "{}", knows(&two));
        assert!(knows(&one).contains("02:00:00:00:00:77"), "{}", knows(&one));
        address::remove(&one.handle, "ethwe", spec.addresses[0]).await.unwrap();
        assert_eq!(there.send(&one.handle).await.unwrap(), spec.addresses[1..]);
        one.run(&["ip", "link", "del", "ethwe"]);
        attach(&host, &one, &spec).await.unwrap();
        assert_eq!(there.send(&one.handle).await.unwrap(), [], "that of another interface");
    });
}

#[test]
fn a_port_that_was_taken_off_the_bridge_is_seen_and_put_back() {
    let bed = Bed::new();
    let (host, one) = (bed.net(), bed.net());
    bed.runtime.block_on(async {
        bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        let spec = attachment("one", "10.32.0.1/12");
        attach(&host, &one, &spec).await.unwrap();
        let standing =
            async || bridge::standing(&host.handle, BRIDGE, &spec.host_if).await.unwrap();
        assert_eq!(standing().await, Standing::Plugged);
        for undo in [&["nomaster"][..], &["down"]] {
            host.run(&[&["ip", "link", "set", &spec.host_if], undo].concat());
            assert_eq!(standing().await, Standing::Unplugged);
            let handle = &host.handle;
            bridge::attach_port(handle, BRIDGE, &spec.host_if, MTU, &owner()).await.unwrap();
            assert_eq!(standing().await, Standing::Plugged);
        }
        host.run(&["ip", "link", "del", BRIDGE]);
        assert_eq!(standing().await, Standing::Unplugged);
        assert!(!bridge::is_ready(&host.handle, BRIDGE, &owner()).await.unwrap());
        container::detach(&host.handle, &spec.host_if).await.unwrap();
        assert_eq!(standing().await, Standing::Gone);
    });
}

#[test]
fn two_containers_on_one_bridge_reach_each_other_and_detaching_leaves_nothing() {
    let bed = Bed::new();
    let (host, one, two) = (bed.net(), bed.net(), bed.net());
    bed.runtime.block_on(async {
        bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        let mut first = attachment("one", "10.32.0.1/12");
        first.dns_route = Some("192.0.2.53".parse().unwrap());
        let second = attachment("two", "10.32.0.2/12");
        attach(&host, &one, &first).await.unwrap();
        attach(&host, &two, &second).await.unwrap();
        // Attaching is idempotent, and adds what is missing.
        first.addresses.push("10.99.0.1/24".parse().unwrap());
        attach(&host, &one, &first).await.unwrap();
        assert_eq!(address::list(&one.handle, "ethwe").await.unwrap(), first.addresses);

        one.ping("10.32.0.2");
        two.ping("10.32.0.1");
        let routes = one.run(&["ip", "route"]);
        for part in ["192.0.2.53 dev ethwe", "224.0.0.0/4 dev ethwe"] {
            assert!(routes.contains(part), "{part} is missing in {routes}");
        }
        address::remove(&one.handle, "ethwe", first.addresses[1]).await.unwrap();
        address::remove(&one.handle, "ethwe", first.addresses[1]).await.unwrap();
        assert_eq!(address::list(&one.handle, "ethwe").await.unwrap(), first.addresses[..1]);

        assert_eq!(link::owned(&host.handle, "veth", &owner()).await.unwrap().len(), 2);
        for spec in [&first, &second] {
            assert!(container::detach(&host.handle, &spec.host_if).await.unwrap());
            assert!(!container::detach(&host.handle, &spec.host_if).await.unwrap());
        }
        assert_eq!(host.links(), ["lo", BRIDGE]);
        assert_eq!(one.links(), ["lo"]);
    });
}

#[test]
fn an_attachment_that_fails_half_way_leaves_nothing() {
    let bed = Bed::new();
    let (host, one) = (bed.net(), bed.net());
    let spec = attachment("one", "10.32.0.1/12");
    bed.runtime.block_on(async {
        // There is no bridge.
        let why = attach(&host, &one, &spec).await.unwrap_err();
        assert!(matches!(why, LinkError::Missing(_)), "{why}");
        assert_eq!((host.links(), one.links()), (vec!["lo".to_string()], vec!["lo".to_string()]));
        // The container has an interface of that name already.
        bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        one.run(&["ip", "link", "add", "ethwe", "type", "veth"]);
        let why = attach(&host, &one, &spec).await.unwrap_err();
        assert!(matches!(why, LinkError::Taken { .. }), "{why}");
        assert_eq!(host.links(), ["lo", BRIDGE]);
        // Or it is attached as another one.
        let other = attachment("other", "10.32.0.2/12");
        one.run(&["ip", "link", "del", "ethwe"]);
        attach(&host, &one, &other).await.unwrap();
        let why = attach(&host, &one, &spec).await.unwrap_err();
        let LinkError::Attached { host_if, .. } = why else { panic!("{why}") };
        assert_eq!(host_if, other.host_if);
    });
}

#[test]
fn a_container_that_takes_over_an_address_is_reached_with_the_first_packet() {
    let bed = Bed::new();
    let (host, watcher, old, new) = (bed.net(), bed.net(), bed.net(), bed.net());
    bed.runtime.block_on(async {
        bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        attach(&host, &watcher, &attachment("watcher", "10.32.0.1/12")).await.unwrap();
        let spec = attachment("old", "10.32.0.2/12");
        attach(&host, &old, &spec).await.unwrap();
        watcher.ping("10.32.0.2");
        container::detach(&host.handle, &spec.host_if).await.unwrap();
        // Another MAC, so that what the watcher remembers is wrong until it is told.
        let mut spec = attachment("new", "10.32.0.2/12");
        spec.mac = Mac([2, 0, 0, 0, 0, 9]);
        attach(&host, &new, &spec).await.unwrap();
        watcher.ping("10.32.0.2");
    });
}

#[test]
fn only_routes_that_meet_the_block_are_in_its_way() {
    let bed = Bed::new();
    let host = bed.net();
    host.run(&["ip", "link", "add", "d0", "up", "type", "veth", "peer", "name", "d1"]);
    host.run(&["ip", "address", "add", "192.0.2.1/24", "dev", "d0"]);
    for to in ["10.0.0.0/8", "10.40.0.0/24", "10.64.0.0/16", "default"] {
        host.run(&["ip", "route", "add", to, "dev", "d0"]);
    }
    bed.runtime.block_on(async {
        bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        host.run(&["ip", "route", "add", "10.33.0.0/16", "dev", BRIDGE]);
        let ours = [BRIDGE.to_string()];
        let found = route::overlapping(&host.handle, net("10.32.0.0/12"), &ours).await.unwrap();
        let on_d0 = |block| (net(block), "d0".to_string());
        assert_eq!(found, [on_d0("10.0.0.0/8"), on_d0("10.40.0.0/24")]);
    });
}

#[test]
fn an_ipv6_address_can_be_listened_on_at_once() {
    let bed = Bed::new();
    let host = bed.net();
    bed.runtime.block_on(async {
        bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        address::add(&host.handle, BRIDGE, net("fd42::2/128")).await.unwrap();
    });
    host.fd.run(|| std::net::TcpListener::bind("[fd42::2]:53")).unwrap().unwrap();
}

#[test]
fn an_address_that_is_there_is_not_given_again_and_with_another_prefix_it_is_refused() {
    let bed = Bed::new();
    let host = bed.net();
    bed.runtime.block_on(async {
        bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        for address in ["fd42::2/64", "192.0.2.2/24"] {
            assert!(address::add(&host.handle, BRIDGE, net(address)).await.unwrap());
            assert!(!address::add(&host.handle, BRIDGE, net(address)).await.unwrap());
        }
        // Of IPv4 both may be there, of IPv6 one.
        assert!(address::add(&host.handle, BRIDGE, net("192.0.2.2/28")).await.unwrap());
        let refused = address::add(&host.handle, BRIDGE, net("fd42::2/80")).await.unwrap_err();
        assert!(refused.to_string().contains("give fd42::2/80 to"), "{refused}");
    });
}

#[test]
fn the_host_answers_from_the_dns_address_without_being_on_the_network() {
    let bed = Bed::new();
    let (host, one) = (bed.net(), bed.net());
    let (dns, universe) = ("192.0.2.53".parse().unwrap(), net("10.32.0.0/12"));
    bed.runtime.block_on(async {
        bridge::ensure(&host.handle, BRIDGE, MAC, MTU, &owner()).await.unwrap();
        address::add(&host.handle, BRIDGE, net("192.0.2.53/32")).await.unwrap();
        for _ in 0..2 {
            route::ensure_dns(&host.handle, dns, universe, BRIDGE).await.unwrap();
        }
        let mut spec = attachment("one", "10.32.0.1/12");
        spec.dns_route = Some(dns);
        attach(&host, &one, &spec).await.unwrap();
        one.ping("192.0.2.53");
        for _ in 0..2 {
            route::remove_dns(&host.handle, dns).await.unwrap();
        }
        assert!(!host.run(&["ip", "rule"]).contains("192.0.2.53"));
    });
}

async fn attach(
    host: &Net,
    inside: &Net,
    spec: &container::Attachment,
) -> Result<Announcer, LinkError> {
    container::attach(&host.handle, &inside.fd, &inside.handle, spec).await
}

fn net(block: &str) -> IpNet {
    block.parse().unwrap()
}
