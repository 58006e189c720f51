//! The JSON of `weft report`: Weave Net's names for what both have.

use super::text::Part;
use super::types::Surroundings;
use super::{verdict, words};
use crate::dns::PORT;
use serde_json::{Value, json};
use std::net::SocketAddr;
use weft_core::id::PeerId;
use weft_core::names::{NameValue, Service};
use weft_core::status::{Carriage, ConnStatus, DirectStatus, PeerStatus, Status, TargetState};

/// The whole report.
pub fn report(status: &Status, around: &Surroundings) -> Value {
    let complaints = verdict::complaints(status, around);
    json!({
        "Ready": true,
        "Version": around.version,
        "Healthy": complaints.is_empty(),
        "Complaints": complaints,
        "Router": router(status, around),
        "IPAM": ipam(status),
        "DNS": dns_service(status, around),
    })
}

/// What `weft status PART --json` prints: the piece of the report that the part is about.
pub fn part(part: Part, status: &Status, around: &Surroundings) -> Value {
    match part {
        Part::Targets => targets(status),
        Part::Connections => status.conns.iter().map(|conn| connection(conn, status)).collect(),
        Part::Peers => status.peers.iter().map(peer).collect(),
        Part::Dns => dns_service(status, around),
        Part::Ipam => ipam(status),
    }
}

fn router(status: &Status, around: &Surroundings) -> Value {
    let broadcast = |(source, via): &(_, Vec<weft_core::id::PeerName>)| {
        let source: &weft_core::id::PeerName = source;
        json!({
            "Source": source.to_string(),
            "Via": via.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    json!({
        "Protocol": "weft",
        "ProtocolMinVersion": 1,
        "ProtocolMaxVersion": 1,
        "Encryption": status.encryption,
        "SecretsInUse": status.secrets.len(),
        "AllowedPeers": status.allowed,
        "PeerDiscovery": status.discovery,
        "Name": status.name.to_string(),
        "NickName": status.nickname,
        "UID": status.incarnation.0,
        "Id": status.id.hex(),
        "Port": status.port,
        "Interface": around.bridge,
        "Datapath": around.datapath,
        "Peers": part(Part::Peers, status, around),
        "UnicastRoutes": status.unicast.iter()
            .map(|(dest, via)| json!({ "Dest": dest.to_string(), "Via": via.to_string() }))
            .collect::<Vec<_>>(),
        "BroadcastRoutes": status.broadcast.iter().map(broadcast).collect::<Vec<_>>(),
        "Connections": part(Part::Connections, status, around),
        "Sessions": status.directs.iter().map(session).collect::<Vec<_>>(),
        "TerminationCount": status.conns_ended,
        "Targets": status.targets.iter().map(|t| t.target.to_string()).collect::<Vec<_>>(),
        "TargetStates": targets(status),
        "TrustedSubnets": [],
        "Records": status.records,
        "RecordsRefused": status.records_refused,
    })
}

fn targets(status: &Status) -> Value {
    let target = |target: &weft_core::status::TargetStatus| {
        let (state, detail) = match &target.state {
            TargetState::Dialing => ("dialing", Value::Null),
            TargetState::Linked(peer) => ("linked", json!(name_of(peer, status))),
            TargetState::Itself => ("itself", Value::Null),
            TargetState::Failed { why, needs_operator, retry_in, is_unknown: _ } => (
                if *needs_operator { "failed" } else { "retrying" },
                json!({ "Why": why, "RetryInSeconds": retry_in.as_secs_f64() }),
            ),
        };
        json!({ "Target": target.target.to_string(), "State": state, "Detail": detail })
    };
    status.targets.iter().map(target).collect()
}

fn connection(conn: &ConnStatus, status: &Status) -> Value {
    let info = match (&conn.why, &conn.name, &conn.nickname) {
        (Some(why), ..) => why.clone(),
        (None, Some(name), Some(nickname)) => format!("sleeve {name}({nickname})"),
        (None, Some(_) | None, Some(_) | None) => String::new(),
    };
    json!({
        "Address": conn.remote,
        "Outbound": conn.outbound,
        "State": words::state_word(conn.state),
        "Info": info,
        "Attrs": {
            "name": "sleeve",
            "peer": conn.name.map(|name| name.to_string()),
            "nickname": conn.nickname,
            "old_secret": conn.old_secret,
            "encrypted": status.encryption && conn.encrypted,
            "datagrams_to": conn.datagrams_to,
            "rtt_ms": conn.round_trip.map(|trip| trip.as_secs_f64() * 1e3),
            "retry_in_s": conn.retry_in.map(|wait| wait.as_secs_f64()),
        },
    })
}

/// A data session that no link brings.
fn session(direct: &DirectStatus) -> Value {
    json!({
        "Peer": direct.name.to_string(),
        "NickName": direct.nickname,
        "State": words::session_word(direct.state),
        "DatagramsTo": direct.datagrams_to,
        "Encrypted": direct.encrypted,
        "RttMs": direct.round_trip.map(|trip| trip.as_secs_f64() * 1e3),
        "UpForSeconds": direct.up_for.map(|up| up.as_secs_f64()),
        "UsedSecondsAgo": direct.used_ago.as_secs_f64(),
        "Why": direct.why.map(|why| why.to_string()),
        "RetryInSeconds": direct.retry_in.map(|wait| wait.as_secs_f64()),
    })
}

const fn way(way: Carriage) -> &'static str {
    match way {
        Carriage::Link => "link",
        Carriage::Direct => "direct",
        Carriage::Relayed(_) => "relayed",
    }
}

fn relay(way: Carriage) -> Option<String> {
    match way {
        Carriage::Link | Carriage::Direct => None,
        Carriage::Relayed(by) => Some(by.to_string()),
    }
}

fn peer(peer: &PeerStatus) -> Value {
    let links = peer.links.iter().map(|link| {
        json!({
            "Name": link.name.to_string(),
            "NickName": link.nickname,
            "Established": link.mutual,
        })
    });
    json!({
        "Name": peer.name.to_string(),
        "NickName": peer.nickname,
        "UID": peer.incarnation.0,
        "Id": peer.id.hex(),
        "Reachable": peer.reachable,
        "Way": peer.way.map(way),
        "RelayedBy": peer.way.and_then(relay),
        "Connections": links.collect::<Vec<_>>(),
    })
}

fn ipam(status: &Status) -> Value {
    let people = words::people(status);
    let entries = status.ipam.owners.iter().map(|owner| {
        json!({
            "Peer": name_of(&owner.owner, status),
            "Id": owner.owner.hex(),
            "Nickname": people.get(&owner.owner).map(|(_, nickname)| *nickname),
            "Size": number(owner.addresses),
            "IsKnownPeer": owner.reachable,
        })
    });
    json!({
        "Status": words::ipam_state(status),
        "Range": status.ipam.universe.to_string(),
        "RangeNumIPs": number(status.ipam.universe.size()),
        "ActiveIPs": status.ipam.held,
        "DefaultSubnet": words::listed(&status.ipam.default_subnets),
        "Entries": entries.collect::<Vec<_>>(),
        "OwnersMayBeGone": verdict::may_be_gone(&status.ipam.state),
        "PendingAllocates": status.ipam.waiting,
        "Strays": status.ipam.strays.iter().map(|stray| json!({
            "Address": stray.address,
            "ContainerID": stray.id,
            "Owner": name_of(&stray.owner, status),
            "HandedOutTwice": stray.denied,
        })).collect::<Vec<_>>(),
    })
}

fn dns_service(status: &Status, around: &Surroundings) -> Value {
    let Some(service) = &around.dns else { return Value::Null };
    json!({
        "Domain": format!("{}.", service.domain),
        "Upstream": service.upstream,
        "Forward": service.forwards,
        "Address": service.address.map(|address| SocketAddr::new(address, PORT).to_string()),
        "ListenAddress": service.elsewhere.map(|at| at.to_string()),
        "TTL": service.ttl,
        "Entries": names(status),
    })
}

/// All names that are answered, as `GET /name` lists them.
pub fn names(status: &Status) -> Value {
    let entry = |known: &weft_core::names::KnownName| {
        let mut entry = json!({
            "Hostname": format!("{}.", known.entry.name),
            "Origin": name_of(&known.origin, status),
            "ContainerID": known.entry.id.as_str(),
        });
        let (key, value) = match &known.entry.value {
            NameValue::V4(address) => ("Address", json!(address)),
            NameValue::V6(address) => ("Address", json!(address)),
            NameValue::Service(Service { priority, weight, port, target }) => (
                "Service",
                json!({
                    "Priority": priority,
                    "Weight": weight,
                    "Port": port,
                    "Target": format!("{target}."),
                }),
            ),
            NameValue::Text(text) => ("Text", json!(text.strings())),
        };
        entry[key] = value;
        entry
    };
    status.names.iter().map(entry).collect()
}

fn name_of(peer: &PeerId, status: &Status) -> String {
    let known = status.peers.iter().find(|known| known.id == *peer);
    known.map_or_else(|| peer.default_name(), |known| known.name).to_string()
}

/// JSON numbers end at 64 bits; an IPv6 range of 2^64 does not fit and is a string.
fn number(count: u128) -> Value {
    u64::try_from(count).map_or_else(|_| json!(count.to_string()), |count| json!(count))
}
