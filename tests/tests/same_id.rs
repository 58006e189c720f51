//! Several calls for one container at once: each changes what it holds by itself, and hears in time what came
//! of it.

use anyhow::{Context as _, Result, ensure};
use std::thread;
use std::time::{Duration, Instant};
use weft_tests::client::{Answer, Client};
use weft_tests::host::Host;
use weft_tests::lab::Lab;
use weft_tests::wait_until;

/// Longest time that a call may take: what it waits for, and some for a machine that is busy.
const ANSWER_MAX: Duration = Duration::from_millis(2_700);

fn client(host: &Host) -> Client {
    Client::new(host.run_dir.join("weft.sock"), Duration::from_secs(30))
}

fn attach(host: &Host, id: &str, namespace: &str) -> Result<Answer> {
    let body = serde_json::json!({ "id": id, "namespace": namespace }).to_string();
    Ok(client(host).ask_with("POST", "/attach", &body)?)
}

#[test]
fn an_attachment_that_fails_takes_back_nothing_that_another_call_was_given() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&["--ipalloc-range", "10.32.0.0/24", "--no-dns"])?;
    for round in 0..40 {
        let id = format!("x{round}");
        let (failed, given) = thread::scope(|scope| {
            let failing = scope.spawn(|| attach(host, &id, "/nonexistent"));
            let given = client(host).ask("POST", &format!("/ip/{id}"));
            (weft_tests::outcome(failing.join()), given)
        });
        ensure!(failed?.ok().is_err(), "{id} was attached to nothing");
        let given = given?.ok()?;
        let held = client(host).get_done("GET", &format!("/ip/{id}"))?;
        ensure!(held == given, "{id} was told {given:?}, and holds {held:?}");
    }
    lab.finish()
}

#[test]
fn calls_that_wait_for_the_same_container_are_all_refused_in_time_and_come_to_nothing_later()
-> Result<()> {
    let lab = Lab::halves(2)?;
    let [here, there] = [lab.host(1), lab.host(2)];
    let ids: Vec<String> =
        lab.hosts().iter().map(|host| host.weft(&["id"])?.ok()).collect::<Result<_>>()?;
    let seed = format!("seed={}", ids.iter().map(|id| id.trim()).collect::<Vec<_>>().join(","));
    let args = ["--ipalloc-range", "10.32.0.0/28", "--no-dns", "--ipalloc-init", &seed];
    here.launch(&args)?;
    there.launch(&[&args[..], &[&here.address()]].concat())?;
    there.wait_linked(1)?;
    let mut others = client(there);
    others.get_done("POST", "/ip/there")?;
    let mut own = client(here);
    // All that is free anywhere, but one that will be.
    for n in 0.. {
        if own.ask("POST", &format!("/ip/full{n}"))?.status != 200 {
            break;
        }
    }
    lab.split()?;
    let is_away = || here.get("/status/ipam").is_ok_and(|it| it.contains("unreachable!"));
    wait_until("the other one is missed", Duration::from_secs(15), is_away)?;
    let container = lab.container()?;
    let namespace = format!("/run/netns/{}", container.namespace);
    let timed = |ask: &dyn Fn() -> Result<Answer>| {
        let begun = Instant::now();
        ask().map(|answer| (answer, begun.elapsed()))
    };
    let detach = || Ok(client(here).ask_with("POST", "/detach", r#"{"id":"x"}"#)?);
    let answers = thread::scope(|scope| {
        let attaching: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| timed(&|| attach(here, "x", &namespace))))
            .chain([scope.spawn(|| timed(&detach))])
            .collect();
        attaching.into_iter().map(|one| weft_tests::outcome(one.join())).collect::<Vec<_>>()
    });
    lab.heal()?;
    others.get_done("DELETE", "/ip/there")?;
    for outcome in answers {
        let (answer, took) = outcome?;
        let said = answer.body.as_str();
        let is_reason = ["not answered", "no free address", "another call for x", "not attached"]
            .iter()
            .any(|reason| said.contains(reason));
        ensure!([400, 503].contains(&answer.status) && is_reason, "{answer:?}");
        ensure!(said.contains("not attached") || said.contains("\"mayPass\":true"), "{said}");
        ensure!(took < ANSWER_MAX, "{answer:?} took {took:?}");
    }
    here.wait_linked(1)?;
    // It waits for whatever is still done for `x`.
    let mut held = own.ask("DELETE", "/ip/x")?;
    while held.body.contains("another call for x") {
        held = own.ask("DELETE", "/ip/x")?;
    }
    ensure!(held.body.contains("holds no address"), "all were refused, and now {held:?}");
    let links = container.run("ip", &["-brief", "link"])?.ok().context("ip")?;
    ensure!(!links.contains("ethwe"), "all were refused, and x is attached: {links}");
    attach(here, "x", &namespace)?.ok()?;
    lab.finish()
}
