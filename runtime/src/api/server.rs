//! The server of the API: each path is a few lines that hand on to the daemon's [`Controls`].

use super::answer::{Answer, count, done, empty, picture, pretty};
use super::called;
use super::names::{self, named};
use super::refusal::Refusal;
use super::report;
use super::request::{ANSWER_MAX, BODY_LEN_MAX, Body, Controlled, Fields, Parts};
use super::text::{self, Part};
use super::types::{
    AllowRequest, AttachRequest, Container, DetachRequest, Dns, ExposeRequest, Surroundings,
};
use super::words;
use crate::attachments::{AddressRequest, Attach, AttachError, Attached};
use crate::daemon::{Controls, LeaveError};
use crate::secret::Secret;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Json, Router};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use weft_core::id::ContainerId;
use weft_core::io::{Command, Target};
use weft_core::status::Status;
use weft_core::trust::Trust;

/// Longest list of peers, in bytes: more than ten thousand ids.
const LIST_LEN_MAX: usize = 1 << 20;

/// Interface in a container when the request names none. Source: Weave Net.
pub const INTERFACE: &str = "ethwe";

/// Serves the API on `listener` until it is dropped. That is a unix socket in production; the
/// simulator brings one of its own.
pub async fn serve<L>(controls: Controls, listener: L)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    if let Err(why) = axum::serve(listener, router(controls)).await {
        tracing::error!(%why, "the control socket is gone");
    }
}

fn router(controls: Controls) -> Router {
    let timed = Router::new()
        .route("/status", get(get_status))
        .route("/status/{part}", get(get_part))
        .route("/report", get(get_report))
        .route("/surroundings", get(async |State(c): Controlled| Json(surroundings(&c))))
        .route("/connect", post(connect))
        .route("/forget", post(forget))
        .route("/ps", get(ps))
        .route("/ip", get(owned))
        .route("/ipinfo/defaultsubnet", get(default_subnet))
        .route("/ipinfo/tracker", get(async || ""))
        .merge(names::routes())
        .route("/peer", delete(leave))
        .route("/peer/{peer}", delete(evict_one))
        .route("/evict", post(evict))
        .route("/stop", post(stop))
        .route("/gate", post(open_gate))
        .route("/secret", post(add_secret).delete(retire_secret))
        .route("/allow", post(allow).layer(DefaultBodyLimit::max(LIST_LEN_MAX)))
        .layer(middleware::from_fn(in_time));
    // These see to the time themselves: who is told that it is over must be able to rely on that.
    let attaching = Router::new()
        .route("/attach", post(attach))
        .route("/detach", post(detach))
        .route("/expose", post(expose))
        .route("/hide", post(hide))
        .route("/ip/{id}", post(allocate).delete(release).merge(in_good_time(get(held))))
        .route("/ip/{id}/{ip}", delete(release_one))
        .route(
            "/ip/{id}/{ip}/{len}",
            post(allocate_in).put(claim).merge(in_good_time(get(held_one))),
        );
    Router::new()
        .route("/ring", get(ring))
        .merge(attaching)
        .merge(timed)
        .fallback(async |uri: Uri| {
            let why = format!("the API has no path {}", uri.path());
            Refusal::new(StatusCode::NOT_FOUND, why)
        })
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            let why = format!("{} does not take {method}: use another method", uri.path());
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, why)
        })
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .with_state(controls)
}

fn in_good_time(route: MethodRouter<Controls>) -> MethodRouter<Controls> {
    route.layer(middleware::from_fn(in_time))
}

/// Ends a request that takes too long. What changes the host runs to its end all the same
/// ([`whole`]), or is undone by itself ([`TurnError::Late`]).
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("weft could not do this within {ANSWER_MAX:?}: see its log, and try again"),
        )
        .into_response(),
    }
}

/// Runs `work` to its end even if the client goes away in the middle: a container must not stay
/// half attached.
async fn whole<T, E>(work: impl Future<Output = Result<T, E>> + Send + 'static) -> Answer<T>
where
    T: Send + 'static,
    E: Send + 'static,
    Refusal: From<E>,
{
    match tokio::spawn(work).await {
        Ok(result) => result.map_err(Refusal::from),
        Err(why) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why)),
    }
}

/// What `status` does not say, and a person who reads it should know.
async fn around(controls: &Controls, status: &Status) -> Surroundings {
    Surroundings { narrow: controls.narrow(status).await, ..surroundings(controls) }
}

fn surroundings(controls: &Controls) -> Surroundings {
    let options = &controls.options;
    Surroundings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bridge: options.bridge.clone(),
        datapath: controls.carrier.to_string(),
        trouble: controls.trouble(),
        unheld: controls.unheld(),
        nameless: controls.nameless(),
        narrow: None,
        dns: options.dns.then(|| Dns {
            domain: options.dns_domain.clone(),
            address: controls.dns_address(),
            elsewhere: controls.dns_elsewhere(),
            ttl: controls.options.dns_ttl,
            upstream: controls.dns_upstreams(),
            forwards: controls.options.dns_forwards.iter().map(ToString::to_string).collect(),
            broken: controls.dns_broken(),
        }),
    }
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|value| value.contains("application/json"))
}

async fn get_status(State(c): Controlled, headers: HeaderMap) -> Answer<Response> {
    let status = picture(&c).await?;
    let around = around(&c, &status).await;
    Ok(if wants_json(&headers) {
        pretty(&report::report(&status, &around))
    } else {
        text::status(&status, &around).into_response()
    })
}

async fn get_part(
    State(c): Controlled,
    Parts(part): Parts<String>,
    headers: HeaderMap,
    fields: Fields,
) -> Answer<Response> {
    let part = <Part as clap::ValueEnum>::from_str(&part, false).map_err(|_| {
        let known = "targets, connections, peers, dns or ipam";
        Refusal::new(StatusCode::NOT_FOUND, format!("no status of '{part}': choose {known}"))
    })?;
    let status = picture(&c).await?;
    let around = around(&c, &status).await;
    let json = wants_json(&headers) || fields.all("format").any(|format| format == "json");
    Ok(if json {
        pretty(&report::part(part, &status, &around))
    } else {
        text::part(part, &status, &around).into_response()
    })
}

async fn get_report(State(c): Controlled) -> Answer<Response> {
    let status = picture(&c).await?;
    Ok(pretty(&report::report(&status, &around(&c, &status).await)))
}

fn targets(fields: &Fields, c: &Controls) -> Answer<Vec<Target>> {
    fields
        .all("peer")
        .map(|peer| Target::parse(peer, c.options.port).map_err(Refusal::bad))
        .collect()
}

async fn connect(State(c): Controlled, fields: Fields) -> Answer<()> {
    let targets = targets(&fields, &c)?;
    let replace = fields.flag("replace")?;
    done(c.node.command(Command::Connect { targets, replace }).await)
}

async fn forget(State(c): Controlled, fields: Fields) -> Answer<()> {
    let targets = targets(&fields, &c)?;
    let known = picture(&c).await?;
    for target in &targets {
        if !known.targets.iter().any(|known| known.target == *target) {
            let why = format!("{target} is no target here: `weft status targets` lists them");
            return Err(Refusal::new(StatusCode::NOT_FOUND, why));
        }
    }
    done(c.node.command(Command::Forget { targets }).await)
}

fn addresses(texts: &[String]) -> Answer<Vec<AddressRequest>> {
    texts.iter().map(|text| text.parse().map_err(Refusal::bad)).collect()
}

async fn attach(
    State(c): Controlled,
    Body(request): Body<AttachRequest>,
) -> Answer<Json<Container>> {
    let interface = request.interface.unwrap_or_else(|| INTERFACE.to_owned());
    let attach = Attach {
        namespace: request.namespace.parse().map_err(Refusal::bad)?,
        id: request.id,
        addresses: addresses(&request.addresses)?,
        names: named(request.name, &c)?.into_iter().collect(),
        interface: interface.parse().map_err(Refusal::bad)?,
    };
    Ok(Json(container(c.attachments.attach(attach).await?)))
}

async fn detach(
    State(c): Controlled,
    Body(request): Body<DetachRequest>,
) -> Answer<Json<Vec<IpNet>>> {
    let addresses = addresses(&request.addresses)?;
    Ok(Json(c.attachments.detach(request.id, addresses).await?))
}

async fn expose(
    State(c): Controlled,
    Body(request): Body<ExposeRequest>,
) -> Answer<Json<Vec<IpNet>>> {
    let (wanted, name) = (addresses(&request.addresses)?, named(request.name, &c)?);
    Ok(Json(c.attachments.expose(wanted, name).await?))
}

async fn hide(
    State(c): Controlled,
    Body(request): Body<ExposeRequest>,
) -> Answer<Json<Vec<IpNet>>> {
    let wanted = addresses(&request.addresses)?;
    match c.attachments.hide(wanted).await {
        // Hiding twice is no error, as in Weave Net, unless something is named.
        Err(AttachError::NotExposed) => Ok(Json(Vec::new())),
        hidden => Ok(Json(hidden?)),
    }
}

fn container(attached: Attached) -> Container {
    Container { id: attached.id, mac: attached.mac, addresses: attached.addresses }
}

async fn ps(State(c): Controlled) -> Answer<Json<Vec<Container>>> {
    Ok(Json(c.attachments.list().await?.into_iter().map(container).collect()))
}

async fn owned(State(c): Controlled) -> Answer<Json<Value>> {
    let listed = c.attachments.list().await?;
    let owned = listed
        .into_iter()
        .map(|held| json!({ "containerid": held.id, "addrs": held.addresses }))
        .collect::<Vec<_>>();
    Ok(Json(json!({ "owned": owned })))
}

async fn allocate(
    State(c): Controlled,
    Parts(id): Parts<String>,
    fields: Fields,
) -> Answer<String> {
    fields.engine_flags()?;
    Ok(joined(c.attachments.allocate(id.parse()?, None).await?.iter()))
}

async fn allocate_in(
    State(c): Controlled,
    Parts((id, ip, len)): Parts<(String, IpAddr, u32)>,
    fields: Fields,
) -> Answer<String> {
    fields.engine_flags()?;
    let subnet = Some(net(ip, len)?);
    Ok(joined(c.attachments.allocate(id.parse()?, subnet).await?.iter()))
}

async fn claim(
    State(c): Controlled,
    Parts((id, ip, len)): Parts<(String, IpAddr, u32)>,
    fields: Fields,
) -> Answer<StatusCode> {
    fields.engine_flags()?;
    c.attachments.claim(id.parse()?, net(ip, len)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn held(State(c): Controlled, Parts(id): Parts<String>) -> Answer<String> {
    held_by(&c, &id.parse()?, |_| true).await
}

async fn held_one(
    State(c): Controlled,
    Parts((id, ip, len)): Parts<(String, IpAddr, u32)>,
) -> Answer<String> {
    let subnet = net(ip, len)?.trunc();
    held_by(&c, &id.parse()?, |address| subnet.contains(&address.addr())).await
}

async fn held_by(c: &Controls, id: &ContainerId, keep: impl Fn(&IpNet) -> bool) -> Answer<String> {
    // The address of the DNS server is nobody's to ask for, as in the list of all that hold any.
    let held = if *id == ContainerId::dns() { Vec::new() } else { c.node.held_by(id).await? };
    Ok(joined(held.iter().filter(|address| keep(address))))
}

async fn release(State(c): Controlled, Parts(id): Parts<String>) -> Answer<StatusCode> {
    give_back(c, id.parse()?, None).await
}

async fn release_one(
    State(c): Controlled,
    Parts((id, ip)): Parts<(String, IpAddr)>,
) -> Answer<StatusCode> {
    give_back(c, id.parse()?, Some(ip)).await
}

async fn give_back(c: Controls, id: ContainerId, ip: Option<IpAddr>) -> Answer<StatusCode> {
    c.attachments.give_back(id, ip).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn default_subnet(State(c): Controlled) -> Answer<String> {
    Ok(words::listed(&picture(&c).await?.ipam.default_subnets))
}

async fn ring(State(c): Controlled) -> Answer<()> {
    done(c.node.command(Command::Prime).await)
}

async fn open_gate(State(c): Controlled) -> Answer<StatusCode> {
    empty(c.node.command(Command::OpenGate).await)
}

/// Takes over the addresses of dead peers, each given as `peer` by its label, name or id.
async fn evict(State(c): Controlled, fields: Fields) -> Answer<String> {
    let named: Vec<&str> = fields.all("peer").collect();
    take_over(&c, &named, fields.flag("force")?, fields.flag("wait")?).await
}

async fn evict_one(State(c): Controlled, Parts(peer): Parts<String>) -> Answer<String> {
    take_over(&c, &[&peer], false, false).await
}

/// Answers with how many addresses have another owner.
async fn take_over(c: &Controls, named: &[&str], force: bool, wait: bool) -> Answer<String> {
    if named.iter().all(|peer| peer.trim().is_empty()) {
        return Err(Refusal::bad("no peer is named: give each as `peer`, by label, name or id"));
    }
    let known = picture(c).await?;
    let peers = named.iter().map(|peer| called::gone(peer, &known)).collect::<Result<_, _>>()?;
    count(c.node.command(Command::Evict { peers, force, wait }).await)
}

async fn add_secret(State(c): Controlled, Body(secret): Body<Secret>) -> Answer<Json<Value>> {
    secret.check().map_err(Refusal::bad)?;
    // Long enough work to keep everybody else waiting.
    let secret = tokio::task::spawn_blocking(move || secret.stretched()).await;
    let secret = secret.map_err(|why| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why))?;
    trust(&c, Trust::AddSecret { secret }).await?;
    tracing::info!("an operator added a secret: it is preferred, and the one before stays valid");
    Ok(Json(json!({})))
}

async fn retire_secret(State(c): Controlled, fields: Fields) -> Answer<Json<Value>> {
    let force = fields.flag("force")?;
    trust(&c, Trust::RetireSecret { force }).await?;
    tracing::info!(force, "an operator retired the old secret");
    Ok(Json(json!({})))
}

async fn allow(State(c): Controlled, Body(request): Body<AllowRequest>) -> Answer<Json<Value>> {
    let peers = |ids: Vec<String>| ids.iter().map(|id| id.parse()).collect::<Result<_, _>>();
    let peers = request.peers.map(peers).transpose().map_err(Refusal::bad)?;
    let count = peers.as_ref().map(BTreeSet::len);
    trust(&c, Trust::Allow { peers }).await?;
    match count {
        Some(peers) => tracing::info!(peers, "an operator allowed these peers alone"),
        None => tracing::info!("an operator allowed all peers that have the secret"),
    }
    Ok(Json(json!({})))
}

async fn trust(c: &Controls, trust: Trust) -> Answer<()> {
    done(c.node.command(Command::Trust(trust)).await)
}

/// Hands over our addresses and stops. With `force` it stays as it is when that cannot be, too: whoever asks goes on by
/// other means, and is told what that comes to.
async fn leave(State(c): Controlled, fields: Fields) -> Answer<StatusCode> {
    let force = fields.flag("force")?;
    let left = whole(async move {
        c.leave().await.map_err(|why| match why {
            LeaveError::Command(error) if force => {
                let words = error.when_forced();
                Refusal::from(error).saying(words)
            }
            LeaveError::Command(_) | LeaveError::Attached(_) => Refusal::from(why),
        })
    });
    left.await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stop(State(c): Controlled) -> StatusCode {
    c.stop();
    StatusCode::NO_CONTENT
}

fn net(ip: IpAddr, len: u32) -> Answer<IpNet> {
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let bad = || Refusal::bad(format!("/{len} is no prefix length of {ip}: expected 0 to {most}"));
    u8::try_from(len).ok().and_then(|len| IpNet::new(ip, len).ok()).ok_or_else(bad)
}

fn joined<'a>(addresses: impl Iterator<Item = &'a IpNet>) -> String {
    addresses.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
