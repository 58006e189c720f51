//! `weft attach`, `detach`, `expose`, `hide` and `ps`: who is on the bridge.

use super::common::{Common, Failure, Outcome, patiently, say, say_json};
use super::words::{address_arg, container_id, qualified};
use crate::api::types::{AttachRequest, Container, DetachRequest, ExposeRequest};
use crate::namespace::Namespace;
use clap::{ArgAction, Args};
use ipnet::IpNet;
use serde_json::json;
use weft_core::id::ContainerId;
use weft_datapath::link::InterfaceName;

/// Give a network namespace an interface with addresses on the network
///
/// Prints the addresses. Repeating it adds what is missing.
#[derive(Debug, Args)]
#[command(
    override_usage = "weft attach [OPTIONS] [ADDR]... <NAMESPACE>",
    after_long_help = "Examples:\n  \
    ip netns add web && weft attach --name web web\n  \
    weft attach net:10.32.1.0/24 $(docker inspect -f '{{.State.Pid}}' db)\n  \
    weft attach 10.32.0.9/12 /proc/4711/ns/net"
)]
pub(super) struct AttachArgs {
    #[command(flatten)]
    pub(super) place: Place,
    /// Name for the addresses; without a dot, the domain is added
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// One more address wanted
    #[arg(long, value_name = "ADDR", value_parser = address_arg)]
    ip: Vec<String>,
    /// Register no name
    #[arg(long)]
    without_dns: bool,
    /// What the interface is called inside
    #[arg(long, value_name = "IFNAME")]
    interface: Option<InterfaceName>,
    /// Wait for as long as it takes until there are addresses, and say what for
    #[arg(long)]
    wait: bool,
}

/// Take addresses off a container; with the last one goes its interface
///
/// Prints the addresses taken.
#[derive(Debug, Args)]
#[command(
    override_usage = "weft detach [OPTIONS] [ADDR]... <NAMESPACE>",
    after_long_help = "Examples:\n  \
    weft detach web\n  \
    weft detach 10.32.0.9 /proc/4711/ns/net\n  \
    weft detach pid:4711"
)]
pub(super) struct DetachArgs {
    #[command(flatten)]
    place: Place,
}

/// Addresses, then the container, in Weave Net's order.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Addresses (ADDR, ADDR/LEN, net:CIDR or net:default), and behind them the namespace:
    /// a process id, a name of `ip netns`, a path, or an id as `weft ps` prints it
    #[arg(required = true, value_name = "ADDR|NAMESPACE")]
    words: Vec<String>,
}

impl Place {
    pub(super) fn split(self) -> Result<(Vec<String>, String), Failure> {
        let mut words = self.words;
        let namespace = words.pop().unwrap_or_default();
        for word in &words {
            address_arg(word).map_err(Failure::usage)?;
        }
        if address_arg(&namespace).is_ok() || namespace.starts_with("net:") {
            return Err(Failure::usage(format!(
                "no namespace behind '{namespace}': addresses come first, then a process id, name or path"
            )));
        }
        Ok((words, namespace))
    }
}

/// Give this host addresses on the network
///
/// Prints the addresses.
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_long_help = "Examples:\n  \
    weft expose\n  \
    weft expose -h host1\n  \
    weft expose net:10.32.1.0/24 10.32.2.1/24"
)]
pub(super) struct ExposeArgs {
    /// ADDR, ADDR/LEN, net:CIDR or net:default; one of the default subnet if none is given
    #[arg(value_name = "ADDR", value_parser = address_arg)]
    addresses: Vec<String>,
    /// Name for the addresses
    #[arg(short = 'h', value_name = "FQDN")]
    pub(super) fqdn: Option<String>,
    /// Wait for as long as it takes until there are addresses, and say what for
    #[arg(long)]
    wait: bool,
    /// Print help
    #[arg(long, action = ArgAction::HelpLong)]
    help: Option<bool>,
}

/// Take addresses off this host
///
/// Prints the addresses taken.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  weft hide\n  weft hide 10.32.2.1")]
pub(super) struct HideArgs {
    /// Which addresses; all if none is given
    #[arg(value_name = "ADDR", value_parser = address_arg)]
    addresses: Vec<String>,
}

/// List what holds addresses here: id, MAC and addresses
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  weft ps\n  weft ps web pid:4711")]
pub(super) struct PsArgs {
    /// Only these
    #[arg(value_name = "ID")]
    ids: Vec<String>,
}

pub(super) async fn attach(common: &Common, args: AttachArgs) -> Outcome {
    let client = common.client();
    let (addresses, namespace) = args.place.split()?;
    let name = match args.name {
        Some(name) if !args.without_dns => Some(qualified(&client, &name).await?),
        Some(_) | None => None,
    };
    let request = AttachRequest {
        id: container_id(&namespace)?,
        namespace: plainly(namespace)?,
        addresses: addresses.into_iter().chain(args.ip).collect(),
        name,
        interface: args.interface.map(|name| name.to_string()),
    };
    let attached: Container =
        patiently(args.wait, async || client.post_json("/attach", &request).await).await?;
    if common.json { say_json(&attached) } else { say(bare(&attached.addresses)) }
}

pub(super) async fn detach(common: &Common, args: DetachArgs) -> Outcome {
    let (addresses, namespace) = args.place.split()?;
    let request = DetachRequest { id: container_id(&namespace)?, addresses };
    print_addresses(common, &common.client().post_json::<Vec<_>>("/detach", &request).await?)
}

pub(super) async fn expose(common: &Common, args: ExposeArgs) -> Outcome {
    let client = common.client();
    let name = match args.fqdn {
        Some(name) => Some(qualified(&client, &name).await?),
        None => None,
    };
    let request = ExposeRequest { addresses: args.addresses, name };
    let exposed =
        patiently(args.wait, async || client.post_json::<Vec<_>>("/expose", &request).await).await;
    print_addresses(common, &exposed?)
}

pub(super) async fn hide(common: &Common, args: HideArgs) -> Outcome {
    let request = ExposeRequest { addresses: args.addresses, name: None };
    print_addresses(common, &common.client().post_json::<Vec<_>>("/hide", &request).await?)
}

pub(super) async fn ps(common: &Common, args: &PsArgs) -> Outcome {
    let mut containers: Vec<Container> = common.client().get_json("/ps").await?;
    let wanted = args.ids.iter().map(|id| container_id(id)).collect::<Result<Vec<_>, _>>()?;
    let is_there = |id: &ContainerId| containers.iter().any(|container| container.id == *id);
    let missing: Vec<_> =
        wanted.iter().filter(|id| !is_there(id)).map(ToString::to_string).collect();
    containers.retain(|container| wanted.is_empty() || wanted.contains(&container.id));
    if common.json {
        say_json(&containers)?;
    } else {
        for Container { id, mac, addresses } in containers {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            say(format_args!("{id} {} {}", mac.as_deref().unwrap_or("-"), addresses.join(" ")))?;
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "nothing is attached here as {}: `weft ps` lists what is",
        missing.join(", ")
    )))
}

/// The namespace as the daemon needs it, which has another working directory; an id that stands for
/// none is left for it to judge.
fn plainly(text: String) -> Result<String, Failure> {
    match text.parse::<Namespace>().map_err(Failure::usage)? {
        Namespace::Path(path) if text.contains('/') => Ok(path.to_string_lossy().into_owned()),
        Namespace::Path(_) | Namespace::Pid(_) => Ok(text),
    }
}

fn print_addresses(common: &Common, addresses: &[IpNet]) -> Outcome {
    if common.json {
        return say_json(&json!({ "addresses": addresses }));
    }
    if addresses.is_empty() { Ok(()) } else { say(bare(addresses)) }
}

/// Addresses without prefix lengths, on one line, as scripts for Weave Net expect them.
fn bare(addresses: &[IpNet]) -> String {
    addresses.iter().map(|net| net.addr().to_string()).collect::<Vec<_>>().join(" ")
}
