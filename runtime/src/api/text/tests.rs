//! What `weft status` prints, of made-up pairs of peers.

use super::*;
use crate::api::report;
use crate::api::types::Dns;
use crate::testing::{named, pair};
use std::time::Duration;
use weft_core::config::SecretKind;
use weft_core::fault::DirectFault;
use weft_core::id::PeerId;
use weft_core::status::TargetState;

fn around() -> Surroundings {
    Surroundings {
        version: "0.1.0".into(),
        bridge: "weft".into(),
        datapath: "sleeve (this kernel has no Open vSwitch)".into(),
        trouble: None,
        unheld: Vec::new(),
        nameless: None,
        narrow: None,
        dns: Some(Dns {
            domain: "weft.local".parse().unwrap(),
            address: Some("10.32.0.1".parse().unwrap()),
            elsewhere: None,
            ttl: 1,
            forwards: Vec::new(),
            upstream: vec!["192.0.2.53".parse().unwrap()],
            broken: None,
        }),
    }
}

#[test]
fn the_status_is_weave_nets_under_a_verdict() {
    let expected = "\
weft: healthy, 2 peers

        Version: 0.1.0

        Service: router
       Protocol: weft 1
           Name: 0a:00:00:00:00:01(host1)
       Datapath: sleeve (this kernel has no Open vSwitch)
             Id: 0101010101010101010101010101010101010101010101010101010101010101
     Encryption: enabled
  PeerDiscovery: enabled
        Targets: 1
    Connections: 1 (1 established)
          Peers: 2 (with 2 established connections)
 TrustedSubnets: none

        Service: ipam
         Status: ready
          Range: 10.32.0.0/12
  DefaultSubnet: 10.32.0.0/12

        Service: dns
         Domain: weft.local.
       Upstream: 192.0.2.53
            TTL: 1
        Entries: 1

";
    assert_eq!(status(&pair(), &around()), expected);
}

#[test]
fn each_part_has_weave_nets_columns() {
    let text = |of| part(of, &pair(), &around());
    assert_eq!(text(Part::Targets), "host2:6783\n");
    assert_eq!(
        text(Part::Connections),
        "-> 192.0.2.2:6783        established encrypted   sleeve 0a:00:00:00:00:02(host2) rtt=0.4ms\n"
    );
    assert_eq!(
        text(Part::Peers),
        "\
0a:00:00:00:00:01(host1)
   -> 192.0.2.2:6783        0a:00:00:00:00:02(host2)              established
0a:00:00:00:00:02(host2)
   ->                       0a:00:00:00:00:01(host1)              established
"
    );
    assert_eq!(text(Part::Dns), "db           10.40.0.1       netns:db     0a:00:00:00:00:02\n");
    assert_eq!(
        text(Part::Ipam),
        "\
0a:00:00:00:00:01(host1)                524288 IPs (50.0% of total) (3 active)
0a:00:00:00:00:02(host2)                524288 IPs (50.0% of total)
"
    );
}

#[test]
fn a_peer_without_a_link_is_shown_with_the_way_that_its_frames_take() {
    let mut status = pair();
    let direct = DirectStatus {
        id: PeerId([3; 32]),
        name: named(3),
        nickname: "host3".into(),
        state: DirectState::Direct,
        datagrams_to: Some("192.0.2.3:6783".parse().unwrap()),
        encrypted: true,
        up_for: Some(Duration::from_secs(9)),
        used_ago: Duration::from_secs(1),
        round_trip: Some(Duration::from_micros(350)),
        why: None,
        retry_in: None,
    };
    status.directs.push(direct.clone());
    status.directs.push(DirectStatus {
        state: DirectState::Waiting,
        datagrams_to: None,
        encrypted: false,
        round_trip: None,
        why: Some(DirectFault::Unproven),
        retry_in: Some(Duration::from_secs(20)),
        ..direct
    });
    let shown = part(Part::Connections, &status, &around());
    let expected = "\
-> 192.0.2.2:6783        established encrypted   sleeve 0a:00:00:00:00:02(host2) rtt=0.4ms
<> 192.0.2.3:6783        direct      encrypted   sleeve 0a:00:00:00:00:03(host3) rtt=0.3ms
<>                       waiting     sleeve 0a:00:00:00:00:03(host3) relayed: no datagrams come through between us, retry: not before 20.0s
";
    assert_eq!(shown, expected);
    status.peers[1].way = Some(Carriage::Relayed(named(7)));
    let shown = part(Part::Peers, &status, &around());
    assert!(shown.contains("(host2) - relayed by 0a:00:00:00:00:07\n"), "{shown}");
    status.peers[1].way = Some(Carriage::Direct);
    assert!(part(Part::Peers, &status, &around()).contains("(host2) - direct\n"));
    let report = report::report(&status, &around());
    assert_eq!(report["Router"]["Sessions"][0]["State"], "direct");
    assert_eq!(report["Router"]["Peers"][1]["Way"], "direct");
}

#[test]
fn a_peer_that_dials_in_vain_degrades_the_verdict_of_the_one_that_it_dials() {
    let mut status = pair();
    let (conn, why) = (&mut status.conns[0], "founded apart");
    (conn.outbound, conn.state, conn.why) = (false, ConnState::Failed, Some(why.to_owned()));
    assert_eq!(
        verdict(&status, &around()),
        "weft: DEGRADED, 2 peers: no link with 192.0.2.2:6783, which dials this peer: founded apart"
    );
    let shown = part(Part::Connections, &status, &around());
    assert_eq!(shown, "<- 192.0.2.2:6783        failed      founded apart\n");
}

#[test]
fn a_failed_target_degrades_the_verdict_and_says_why() {
    let mut status = pair();
    let (why, retry_in) = ("wrong password".to_owned(), Duration::from_secs(60));
    status.targets[0].state =
        TargetState::Failed { why, needs_operator: true, is_unknown: false, retry_in };
    assert_eq!(
        verdict(&status, &around()),
        "weft: DEGRADED, 2 peers: no link with host2:6783: wrong password"
    );
}

#[test]
fn while_two_secrets_are_valid_the_status_says_who_lacks_the_new_one() {
    let mut status = pair();
    status.secrets.push(SecretKind::Key);
    assert!(super::status(&status, &around()).contains("Secrets: 2 (0 links on the old one)"));
    status.conns[0].old_secret = true;
    assert!(super::status(&status, &around()).contains("Secrets: 2 (1 link on the old one)"));
    let links = part(Part::Connections, &status, &around());
    assert!(links.contains("encrypted (old secret) sleeve"), "{links}");
    assert_eq!(report::report(&status, &around())["Router"]["SecretsInUse"], 2);
}

#[test]
fn containers_that_are_cut_off_degrade_the_verdict() {
    let around = Surroundings { trouble: Some("no bridge".into()), ..around() };
    let expected = "weft: DEGRADED, 2 peers: containers here are cut off: no bridge";
    assert_eq!(verdict(&pair(), &around), expected);
    assert_eq!(report::report(&pair(), &around)["Healthy"], false);
}

#[test]
fn a_data_path_that_stays_unproven_degrades_the_verdict() {
    let mut status = pair();
    status.conns[0].state = ConnState::Pending;
    assert_eq!(
        verdict(&status, &around()),
        "weft: DEGRADED, 2 peers: no data path to 0a:00:00:00:00:02(host2): is UDP 6783 blocked?"
    );
    status.conns[0].up_for = Some(Duration::from_secs(1));
    assert_eq!(verdict(&status, &around()), "weft: healthy, 2 peers");
}

#[test]
fn names_that_are_not_answered_degrade_the_verdict() {
    let mut around = around();
    if let Some(dns) = &mut around.dns {
        dns.broken = Some("port 53 cannot be had".to_owned());
    }
    let verdict = verdict(&pair(), &around);
    assert_eq!(verdict, "weft: DEGRADED, 2 peers: port 53 cannot be had");
}

#[test]
fn before_the_addresses_are_divided_the_status_says_what_starts_that() {
    let mut status = pair();
    (status.ipam.state, status.ipam.owners) = (IpamState::Idle, Vec::new());
    let shown = part(Part::Ipam, &status, &around());
    assert!(shown.contains("10.32.0.0/12 are not divided yet"), "{shown}");
    assert!(shown.contains("`weft prime`") && shown.lines().count() == 1, "{shown}");
}

#[test]
fn an_observer_is_not_advised_to_divide_the_addresses_itself() {
    let mut status = pair();
    (status.ipam.state, status.ipam.owners) = (IpamState::Observing, Vec::new());
    let shown = part(Part::Ipam, &status, &around());
    assert!(shown.contains("waits until others do that"), "{shown}");
    assert!(!shown.contains("weft prime") && shown.lines().count() == 1, "{shown}");
    let shown = super::status(&status, &around());
    assert!(shown.starts_with("weft: healthy, 2 peers\n"), "it may well want none: {shown}");
    assert!(shown.contains("Status: observing, others divide the addresses\n"), "{shown}");
}

#[test]
fn while_a_copy_runs_elsewhere_nobody_is_advised_to_remove_peers() {
    let mut status = pair();
    status.conns.clear();
    status.ipam.owners[0].reachable = false;
    assert!(verdict(&status, &around()).contains("or `weft rmpeer` it"));
    status.ipam.state = IpamState::Copied;
    let verdict = verdict(&status, &around());
    assert!(verdict.contains("stop the copy") && !verdict.contains("rmpeer"), "{verdict}");
    let shown = part(Part::Ipam, &status, &around());
    assert!(!shown.contains("rmpeer"), "{shown}");
    let report = report::report(&status, &around());
    assert_eq!(report["IPAM"]["OwnersMayBeGone"], false);
}

#[test]
fn nobody_is_advised_to_remove_peers_that_had_no_time_to_be_heard() {
    let mut status = pair();
    status.conns.clear();
    status.ipam.owners[0].reachable = false;
    status.ipam.state = IpamState::Listening;
    let verdict = verdict(&status, &around());
    assert!(verdict.contains("for a moment") && !verdict.contains("rmpeer"), "{verdict}");
    assert_eq!(report::report(&status, &around())["IPAM"]["OwnersMayBeGone"], false);
    status.ipam.state = IpamState::AwaitingMerge;
    assert_eq!(report::report(&status, &around())["IPAM"]["OwnersMayBeGone"], true);
}

#[test]
fn who_is_being_reached_is_not_called_unreachable_before_that_was_tried_in_vain() {
    let mut status = pair();
    status.peers[1].reachable = false;
    status.ipam.owners[0].reachable = false;
    let awaits = |status: &Status| {
        let shown = super::status(status, &around());
        let rows = part(Part::Peers, status, &around());
        let told = "1 more being reached)";
        assert_eq!(shown.contains(told), rows.contains("(host2) - being reached\n"), "{rows}");
        let owners = part(Part::Ipam, status, &around());
        assert_eq!(shown.contains(told), owners.contains("total) - being reached\n"), "{owners}");
        assert_eq!(shown.contains(told), !shown.contains("unreachable"), "{shown}");
        shown.contains(told)
    };
    // There is a link, of which the other end has yet to tell.
    assert!(awaits(&status));
    (status.conns[0].state, status.conns[0].up_for) = (ConnState::Pending, Some(Duration::ZERO));
    assert!(awaits(&status));
    status.conns[0].up_for = Some(Duration::from_secs(60));
    assert!(!awaits(&status));
    (status.conns[0].state, status.conns[0].peer) = (ConnState::Retrying, None);
    assert!(!awaits(&status));
    status.targets[0].state = TargetState::Dialing;
    assert!(awaits(&status));
}

#[test]
fn peers_out_of_reach_are_counted_apart_from_those_that_are_there() {
    let mut status = pair();
    status.conns.clear();
    status.peers[1].reachable = false;
    let shown = super::status(&status, &around());
    assert!(shown.starts_with("weft: healthy, 1 peer\n"), "{shown}");
    assert!(
        shown.contains("Peers: 1 (with 1 established connections, 1 more unreachable)"),
        "{shown}"
    );
}

#[test]
fn the_report_keeps_the_names_that_scripts_read() {
    let report = report::report(&pair(), &around());
    let at = |path: &str| report.pointer(path).map(ToString::to_string).unwrap_or_default();
    assert_eq!(at("/Router/Name"), "\"0a:00:00:00:00:01\"");
    assert_eq!(at("/Router/Peers/1/NickName"), "\"host2\"");
    assert_eq!(at("/Router/Connections/0/State"), "\"established\"");
    assert_eq!(at("/Router/Targets"), "[\"host2:6783\"]");
    assert_eq!(at("/IPAM/DefaultSubnet"), "\"10.32.0.0/12\"");
    assert_eq!(at("/DNS/Domain"), "\"weft.local.\"");
    assert_eq!(at("/DNS/Entries/0/Hostname"), "\"db.weft.local.\"");
}
