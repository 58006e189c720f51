//! `weft dns-add`, `dns-remove`, `dns-lookup` and `dns-args`: names.

use super::common::{Common, Failure, Outcome, print, say, say_json};
use super::words::{container_id, qualified};
use crate::api::client::ClientError;
use crate::api::types::Container;
use clap::{ArgAction, Args};
use hyper::Method;
use std::net::IpAddr;
use weft_core::id::ContainerId;

/// Add a name for addresses of a container, or for any addresses; or where a service is, or a text
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "weft dns-add [IP]... NAMESPACE -h FQDN\n       weft dns-add IP... -h FQDN\n       weft dns-add [NAMESPACE] -h FQDN --srv [HOST:]PORT [--priority N] [--weight N]\n       weft dns-add [NAMESPACE] -h FQDN --txt TEXT...",
    after_long_help = "Examples:\n  \
    weft dns-add web -h www\n  \
    weft dns-add 10.32.0.9 web -h www.weft.local\n  \
    weft dns-add 192.0.2.7 -h printer\n  \
    weft dns-add web -h _http._tcp.web.weft.local --srv 8080      # at web.weft.local\n  \
    weft dns-add -h _ldap._tcp.weft.local --srv ldap.example:389 --priority 10\n  \
    weft dns-add web -h web --txt version=3 --txt path=/"
)]
pub(super) struct DnsAddArgs {
    #[command(flatten)]
    names: NameArgs,
}

/// Remove names; takes what `dns-add` took
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "weft dns-remove [IP]... NAMESPACE [-h FQDN]\n       weft dns-remove IP... -h FQDN\n       weft dns-remove [NAMESPACE] -h FQDN [--srv [HOST:]PORT [--priority N] [--weight N]]\n       weft dns-remove [NAMESPACE] -h FQDN [--txt TEXT...]",
    after_long_help = "Examples:\n  \
    weft dns-remove web\n  \
    weft dns-remove web -h www\n  \
    weft dns-remove 192.0.2.7 -h printer\n  \
    weft dns-remove web -h _http._tcp.web.weft.local\n  \
    weft dns-remove web -h web --txt version=3 --txt path=/"
)]
pub(super) struct DnsRemoveArgs {
    #[command(flatten)]
    names: NameArgs,
}

#[derive(Debug, Args)]
struct NameArgs {
    /// Addresses, and behind them the container (all its addresses if none is given)
    #[arg(value_name = "IP|NAMESPACE")]
    what: Vec<String>,
    /// The name; without a dot, the domain is added
    #[arg(short = 'h', value_name = "FQDN")]
    fqdn: Option<String>,
    /// Where a service is; without a host, on the one whose name follows `_SERVICE._PROTOCOL`
    #[arg(long, value_name = "[HOST:]PORT", conflicts_with = "txt")]
    srv: Option<String>,
    /// The lower, the earlier clients try the service
    #[arg(long, value_name = "N", requires = "srv", default_value_t = 0)]
    priority: u16,
    /// The share of the service among those of the same priority
    #[arg(long, value_name = "N", requires = "srv", default_value_t = 0)]
    weight: u16,
    /// A string of a text; given again, the next string of the same text
    #[arg(long, value_name = "TEXT")]
    txt: Vec<String>,
    /// Print help
    #[arg(long, action = ArgAction::HelpLong)]
    help: Option<bool>,
}

/// Print the addresses of a name (or, for an address, its names), as containers here get them
///
/// Prints nothing when there are none.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  weft dns-lookup web\n  weft dns-lookup 10.32.0.9\n  weft dns-lookup --srv _http._tcp.web.weft.local"
)]
pub(super) struct DnsLookupArgs {
    /// Print where the service is: priority, weight, port and host
    #[arg(long, conflicts_with = "txt")]
    srv: bool,
    /// Print its texts, each string in quotes
    #[arg(long)]
    txt: bool,
    /// A name (without a dot, the domain is added) or an address
    name: String,
}

/// Print the options with which `docker run` uses our names
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_long_help = "Examples:\n  docker run $(weft dns-args) --rm alpine ping db"
)]
pub(super) struct DnsArgsArgs {
    /// The options that `docker run` is given: with a host name among them, no domain is searched
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "DOCKER RUN ARGS")]
    docker: Vec<String>,
}

pub(super) async fn add(common: &Common, args: &DnsAddArgs) -> Outcome {
    let client = common.client();
    let Some(fqdn) = &args.names.fqdn else {
        return Err(Failure::usage("no name given: add -h FQDN"));
    };
    let name = qualified(&client, fqdn).await?;
    let (id, mut addresses) = subject(&args.names.what)?;
    let value = args.names.value();
    if !value.is_empty() {
        no_address(&addresses)?;
        let fields: Vec<_> = [("fqdn", name.as_str())].into_iter().chain(fields(&value)).collect();
        client.form(Method::PUT, &format!("/name/{}", segment(&id)), &fields).await?;
        return Ok(());
    }
    if args.names.what.is_empty() {
        return Err(Failure::usage(
            "nothing given that it stands for: add IP, NAMESPACE, --srv or --txt",
        ));
    }
    if addresses.is_empty() {
        let containers: Vec<Container> = client.get_json("/ps").await?;
        let nets =
            containers.into_iter().filter(|held| held.id == id).flat_map(|held| held.addresses);
        addresses = nets.map(|net| net.addr()).collect();
    }
    if addresses.is_empty() {
        return Err(Failure::new(format!(
            "{id} holds no address here: `weft ps` lists what is attached"
        )));
    }
    for address in addresses {
        let path = format!("/name/{}/{address}", segment(&id));
        client.form(Method::PUT, &path, &[("fqdn", name.as_str())]).await?;
    }
    Ok(())
}

pub(super) async fn remove(common: &Common, args: &DnsRemoveArgs) -> Outcome {
    let client = common.client();
    let name = match &args.names.fqdn {
        Some(fqdn) => Some(qualified(&client, fqdn).await?),
        None => None,
    };
    if name.is_none() && args.names.what.is_empty() {
        return Err(Failure::usage("nothing given: add -h FQDN or NAMESPACE"));
    }
    let (id, addresses) = subject(&args.names.what)?;
    let value = args.names.value();
    if !value.is_empty() {
        no_address(&addresses)?;
        if name.is_none() {
            return Err(Failure::usage("no name given: add -h FQDN"));
        }
    }
    let name_field = name.iter().map(|name| ("fqdn", name.as_str()));
    let fields: Vec<_> = name_field.chain(fields(&value)).collect();
    let all = format!("/name/{}", segment(&id));
    let paths = match addresses.as_slice() {
        [] => vec![all],
        some => some.iter().map(|address| format!("{all}/{address}")).collect(),
    };
    let mut removed: usize = 0;
    for path in paths {
        let count = client.form(Method::DELETE, &path, &fields).await?;
        removed = removed.saturating_add(count.trim().parse().unwrap_or(0));
    }
    if removed == 0 {
        let what = name.map_or_else(|| args.names.what.join(" "), |name| name.to_string());
        return Err(Failure::new(format!(
            "this peer has no such name for {what}: `weft status dns` lists all, with who has them"
        )));
    }
    Ok(())
}

pub(super) async fn lookup(common: &Common, args: &DnsLookupArgs) -> Outcome {
    let client = common.client();
    let wanted = match args.name.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => qualified(&client, &args.name).await?.to_string(),
    };
    let kind = match (args.srv, args.txt) {
        (true, _) => "?type=srv",
        (false, true) => "?type=txt",
        (false, false) => "",
    };
    let found: Vec<String> = client.get_json(&format!("/lookup/{wanted}{kind}")).await?;
    if common.json {
        say_json(&found)
    } else {
        print(&found.iter().map(|line| format!("{line}\n")).collect::<String>())
    }
}

pub(super) async fn args(common: &Common, args: &DnsArgsArgs) -> Outcome {
    let client = common.client();
    let server = match client.get("/dns-address").await {
        Ok(server) => server,
        Err(ClientError::Refused { status: 404, .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let has_host = args
        .docker
        .iter()
        .any(|arg| arg == "-h" || arg == "--hostname" || arg.starts_with("--hostname="));
    let server = server.trim();
    if has_host {
        return say(format_args!("--dns={server}"));
    }
    say(format_args!("--dns={server} --dns-search={}", client.get("/domain").await?.trim()))
}

impl NameArgs {
    /// What the name stands for besides addresses, as fields of a request.
    fn value(&self) -> Vec<(&'static str, String)> {
        let texts = self.txt.iter().map(|text| ("txt", text.clone()));
        let service = self.srv.iter().flat_map(|place| {
            let (priority, weight) = (self.priority.to_string(), self.weight.to_string());
            [("srv", place.clone()), ("priority", priority), ("weight", weight)]
        });
        texts.chain(service).collect()
    }
}

/// Refuses addresses beside another kind of value.
fn no_address(addresses: &[IpAddr]) -> Result<(), Failure> {
    if addresses.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(
        "addresses go with neither --srv nor --txt: give them in a call of their own",
    ))
}

fn fields<'a>(
    value: &'a [(&'static str, String)],
) -> impl Iterator<Item = (&'static str, &'a str)> {
    value.iter().map(|(key, value)| (*key, value.as_str()))
}

/// Addresses come first; what follows them is the container, or nothing.
fn subject(what: &[String]) -> Result<(ContainerId, Vec<IpAddr>), Failure> {
    let (addresses, rest): (Vec<_>, Vec<_>) =
        what.iter().map(|text| text.parse::<IpAddr>().map_err(|_| text)).partition(Result::is_ok);
    let id = match rest.as_slice() {
        [] => ContainerId::external(),
        [Err(container)] => container_id(container)?,
        _ => return Err(Failure::usage("more than one container given: name one at a time")),
    };
    Ok((id, addresses.into_iter().flatten().collect()))
}

/// An id as one part of a path.
fn segment(id: &ContainerId) -> String {
    // Ids are visible ASCII; these would end the part, or be taken for an escape.
    id.as_str().replace('%', "%25").replace('/', "%2F").replace('?', "%3F").replace('#', "%23")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_before_the_container_and_may_come_without_one() {
        let subject = |line: &str| {
            let what: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            subject(&what).map(|(id, addresses)| (id.to_string(), addresses.len())).ok()
        };
        assert_eq!(subject("10.32.0.1 10.32.0.2 web"), Some(("netns:web".to_owned(), 2)));
        assert_eq!(subject("web"), Some(("netns:web".to_owned(), 0)));
        assert_eq!(subject("192.0.2.1"), Some(("weft:extern".to_owned(), 1)));
        assert_eq!(subject("web db"), None);
    }
}
