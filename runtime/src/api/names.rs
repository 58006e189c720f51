//! The paths that are about names: `/name`, `/lookup`, `/domain` and where the DNS server is.

use super::answer::{Answer, count, empty, picture, pretty};
use super::refusal::Refusal;
use super::report;
use super::request::{Controlled, Fields, Parts};
use crate::daemon::Controls;
use crate::dns;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, put};
use axum::{Json, Router};
use std::net::{IpAddr, SocketAddr};
use weft_core::id::ContainerId;
use weft_core::io::{Command, CommandError, Reply};
use weft_core::names::{Name, NameValue, ParsePlaceError};

/// All of them.
pub(super) fn routes() -> Router<Controls> {
    Router::new()
        .route("/name", get(get_names).delete(unregister))
        .route("/name/{id}", put(register_value).delete(unregister_id))
        .route("/name/{id}/{ip}", put(register).delete(unregister_address))
        .route("/lookup/{wanted}", get(lookup))
        .route("/domain", get(domain))
        .route("/dns-address", get(dns_address))
        .route("/dns-address-port", get(dns_address_port))
}

async fn get_names(State(c): Controlled) -> Answer<Response> {
    Ok(pretty(&report::names(&*picture(&c).await?)))
}

async fn register(
    State(c): Controlled,
    Parts((id, address)): Parts<(String, IpAddr)>,
    fields: Fields,
) -> Answer<StatusCode> {
    fields.engine_flags()?;
    let Some(name) = named(fields.name()?, &c)? else {
        return Err(Refusal::bad("no name given: add fqdn=NAME"));
    };
    let (id, value): (ContainerId, _) = (id.parse()?, address.into());
    let whose = Some(id.clone());
    empty(changed(&c, whose, Command::Register { id, name, value }).await)
}

/// What is no address: a service (`srv`, with `priority` and `weight`), or a text (each `txt` a string of it).
async fn register_value(
    State(c): Controlled,
    Parts(id): Parts<String>,
    fields: Fields,
) -> Answer<StatusCode> {
    let Some(name) = named(fields.name()?, &c)? else {
        return Err(Refusal::bad("no name given: add fqdn=NAME"));
    };
    let Some(value) = fields.value(Some(&name))? else {
        return Err(Refusal::bad(
            "nothing given that it stands for: add srv=[HOST:]PORT or txt=TEXT",
        ));
    };
    // A service of the domain as such, of which nothing says who has it.
    if let NameValue::Service(service) = &value
        && service.target == c.options.dns_domain
    {
        return Err(Refusal::bad(ParsePlaceError::NoHost(name.to_string())));
    }
    let id: ContainerId = id.parse()?;
    let whose = Some(id.clone());
    empty(changed(&c, whose, Command::Register { id, name, value }).await)
}

async fn unregister(State(c): Controlled, fields: Fields) -> Answer<String> {
    let name = fields.name()?;
    count(changed(&c, None, Command::Unregister { id: None, name, value: None }).await)
}

async fn unregister_id(
    State(c): Controlled,
    Parts(id): Parts<String>,
    fields: Fields,
) -> Answer<String> {
    let (id, name): (ContainerId, _) = (id.parse()?, fields.name()?);
    let whose = Some(id);
    let value = fields.value(name.as_ref())?;
    count(changed(&c, whose.clone(), Command::Unregister { id: whose, name, value }).await)
}

async fn unregister_address(
    State(c): Controlled,
    Parts((id, address)): Parts<(String, IpAddr)>,
    fields: Fields,
) -> Answer<String> {
    let (id, name, value): (ContainerId, _, _) =
        (id.parse()?, fields.name()?, Some(address.into()));
    let whose = Some(id);
    count(changed(&c, whose.clone(), Command::Unregister { id: whose, name, value }).await)
}

/// Changes names of `id` (of all without one), and has that written where it outlasts the state folder.
async fn changed(
    c: &Controls,
    id: Option<ContainerId>,
    command: Command,
) -> Result<Reply, CommandError> {
    let reply = c.node.command(command).await?;
    c.attachments.named(id.as_ref()).await;
    Ok(reply)
}

fn no_dns() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "names are not served here: launch without --no-dns")
}

async fn domain(State(c): Controlled) -> String {
    // Names are registered all the same where none are answered: other peers answer them.
    format!("{}.", c.options.dns_domain)
}

/// Where names are answered: where the operator wants that, if `is_wanted`, or else on the bridge.
fn dns_socket(c: &Controls, is_wanted: fn(&SocketAddr) -> bool) -> Answer<SocketAddr> {
    if !c.options.dns {
        return Err(no_dns());
    }
    // What the operator chose is there from the start, and reached from other networks as well.
    let on_bridge = || c.dns_address().map(|address| SocketAddr::new(address, dns::PORT));
    c.dns_elsewhere().filter(is_wanted).or_else(on_bridge).ok_or_else(|| {
        let why = "names are not served yet: this peer has no address to serve them on";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why)
    })
}

/// Addresses of a name (with `type=srv` its services, with `type=txt` its texts), or names of an address, as
/// the DNS server would answer. Asked of the node and not of that server, which has no address before something
/// is attached here.
async fn lookup(
    State(c): Controlled,
    Parts(wanted): Parts<String>,
    fields: Fields,
) -> Answer<Json<Vec<String>>> {
    if !c.options.dns {
        return Err(no_dns());
    }
    if let Ok(address) = wanted.parse::<IpAddr>() {
        let index = c.node.names().read();
        return Ok(Json(index.names(address).iter().map(|it| it.value.to_string()).collect()));
    }
    let name = in_domain(wanted.parse().map_err(Refusal::bad)?, &c)?;
    let kind = fields.all("type").next();
    if kind.is_some_and(|kind| kind != "srv" && kind != "txt") {
        return Err(Refusal::bad("no such type of value: type=srv and type=txt are possible"));
    }
    let index = c.node.names().read();
    let found = index.values(name.as_str()).iter().filter_map(|it| match (&it.value, kind) {
        (NameValue::V4(address), None) => Some(address.to_string()),
        (NameValue::V6(address), None) => Some(address.to_string()),
        (NameValue::Service(service), Some("srv")) => Some(service.to_string()),
        (NameValue::Text(text), Some("txt")) => Some(text.to_string()),
        (
            NameValue::V4(_) | NameValue::V6(_) | NameValue::Service(_) | NameValue::Text(_),
            Some(_) | None,
        ) => None,
    });
    Ok(Json(found.collect()))
}

async fn dns_address(State(c): Controlled) -> Answer<String> {
    // Whoever is given an address alone asks at the usual port.
    dns_socket(&c, |at| at.port() == dns::PORT).map(|socket| socket.ip().to_string())
}

async fn dns_address_port(State(c): Controlled) -> Answer<String> {
    dns_socket(&c, |_| true).map(|socket| socket.to_string())
}

fn in_domain(name: Name, c: &Controls) -> Answer<Name> {
    let domain = &c.options.dns_domain;
    if name.is_within(domain) {
        Ok(name)
    } else {
        Err(Refusal::bad(format!(
            "'{name}' is not in the domain of this mesh: use a name that ends in .{domain}"
        )))
    }
}

/// `name`, if there is one and it is in the domain of this mesh.
pub(super) fn named(name: Option<Name>, c: &Controls) -> Answer<Option<Name>> {
    name.map(|name| in_domain(name, c)).transpose()
}
