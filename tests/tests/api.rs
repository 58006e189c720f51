//! The HTTP API: whatever is wrong with a request, the answer is JSON with a sentence.

use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use weft_tests::host::Host;
use weft_tests::lab::{Lab, ip};
use weft_tests::wait_until;

/// Sends `request` as it is, and gives the status and the body of the answer.
fn ask(host: &Host, request: &[u8]) -> Result<(u16, String)> {
    let mut stream = UnixStream::connect(host.run_dir.join("weft.sock"))?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    // The daemon may answer, and close, before it has read all.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("{read:?}"))?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

fn request(method: &str, path: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: weft\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[test]
fn a_namespace_that_is_not_there_is_the_callers_mistake() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&["--no-dns"])?;
    for namespace in ["/nonexistent", "no-such-name", "/etc/hostname", "4194304"] {
        let body = format!(r#"{{"id":"x","namespace":"{namespace}"}}"#);
        let (status, body) = ask(host, &request("POST", "/attach", "application/json", &body))?;
        ensure!(status == 400 && body.contains(namespace), "{namespace}: {status} {body}");
    }
    lab.finish()
}

#[test]
fn a_host_without_a_free_address_for_its_dns_server_says_that_it_is_for_that() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&["--ipalloc-range", "10.32.0.0/30"])?;
    ask(host, &request("POST", "/ip/x", "text/plain", ""))?;
    let refused = host.weft(&["attach", &lab.container()?.namespace])?;
    let why = &refused.stderr;
    ensure!(why.contains("DNS server") && why.contains("--no-dns"), "{refused:?}");
    ensure!(host.weft(&["ps"])?.ok()?.lines().count() == 1, "something is left");
    lab.finish()
}

#[test]
fn a_peer_that_leaves_takes_its_containers_off_before_others_get_their_addresses() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&[])?;
    let container = lab.container()?;
    one.attach(&container, &[])?;
    two.launch(&[&one.address()])?;
    two.wait_linked(1)?;
    one.weft(&["expose"])?.ok()?;
    // The first half of `weft reset`, which may be all of it that is done.
    let leave = || request("DELETE", "/peer", "application/json", "");
    let (status, answer) = ask(one, &leave())?;
    ensure!(status == 204, "{status} {answer}");
    wait_until("the daemon has stopped", Duration::from_secs(10), || !one.is_running())?;
    let links = ip(&format!("-n {} -brief link", container.namespace))?;
    ensure!(!links.contains("ethwe"), "it still answers: {links}");
    ensure!(one.links()?.iter().eq(["eth0", "lo"]), "the host still answers: {:?}", one.links()?);
    lab.finish()
}

#[test]
fn a_container_whose_addresses_were_forgotten_is_cut_off() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    let container = lab.container()?;
    host.attach(&container, &[])?;
    host.weft(&["stop"])?.ok()?;
    std::fs::remove_file(host.state_dir.join("weft.redb"))?;
    // Of what is written on its interface only whose it is, as where there was no room for more.
    let links = host.links()?;
    let port = links.iter().find(|name| name.starts_with("vethwe")).context("no interface")?;
    let alias = format!("weft {}", host.state_dir.display());
    let port = ["-n", &host.namespace, "link", "set", port, "alias", &alias];
    ensure!(std::process::Command::new("ip").args(port).status()?.success());
    host.launch(&[])?;
    wait_until("it is cut off", Duration::from_secs(10), || {
        ip(&format!("-n {} -brief link", container.namespace))
            .is_ok_and(|all| !all.contains("ethwe"))
    })?;
    ensure!(host.log().contains("holds no address"), "{}", host.log());
    host.attach(&container, &[])?;
    lab.finish()
}

#[test]
fn every_error_of_the_api_is_json_with_a_sentence() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let large = "x".repeat(100_000);
    let long_path = format!("/lookup/{}", "a".repeat(300));
    for (method, path, kind, body, status, part) in [
        ("POST", "/attach", json, "{}", 400, "namespace"),
        ("POST", "/attach", json, "{\"namespace\": 7}", 400, "expected a string"),
        ("POST", "/attach", json, "{", 400, "EOF"),
        ("POST", "/attach", json, "", 400, "EOF"),
        ("POST", "/attach", form, "namespace=web", 400, "/attach"),
        ("POST", "/detach", json, "{\"id\": \"a b\"}", 400, "a b"),
        ("POST", "/expose", json, "{\"loom\": 1}", 400, "loom"),
        ("POST", "/attach", json, &large, 413, "65536"),
        ("POST", "/connect", form, &large, 413, "65536"),
        ("POST", "/connect", form, "peer=bad_host!", 400, "bad_host!"),
        ("GET", "/loom", json, "", 404, "/loom"),
        ("GET", "/status/loom", json, "", 404, "loom"),
        ("GET", "/attach", json, "", 405, "GET"),
        ("PATCH", "/status", json, "", 405, "PATCH"),
        ("DELETE", "/ip/c1/loom", json, "", 400, "loom"),
        ("PUT", "/ip/c1/10.32.0.9/99", json, "", 400, "99"),
        ("PUT", "/ip/c1/10.32.0.9/999", json, "", 400, "999"),
        ("GET", "/ip/%ff", json, "", 400, "%ff"),
        ("POST", "/ip/c1?check-alive=banana", json, "", 400, "not 'banana'"),
        ("POST", "/ip/c1/10.32.0.0/24?check-alive=yes", json, "", 400, "not 'yes'"),
        ("PUT", "/ip/c1/10.32.0.9/12?noErrorOnUnknown=2", json, "", 400, "not '2'"),
        (
            "PUT",
            "/name/c1/10.32.0.9?check-alive=TRUE",
            form,
            "fqdn=a.weft.local",
            400,
            "not 'TRUE'",
        ),
        ("POST", "/connect", form, "peer=host2&replace=on", 400, "replace is true"),
        ("POST", "/evict?force=maybe", form, "peer=host2", 400, "force is true"),
        ("POST", "/evict", form, "peer=host2&wait=0&wait", 400, "give one"),
        ("DELETE", "/secret?force=ja", form, "", 400, "force is true"),
        ("GET", &long_path, json, "", 400, "aaa"),
    ] {
        let (got, answer) = ask(host, &request(method, path, kind, body))?;
        let what = format!("{method} {path:.40} {body:.40}: {got} {answer:.400}");
        ensure!(got == status, "expected {status}: {what}");
        let answer: serde_json::Value = serde_json::from_str(&answer).context(what.clone())?;
        let fields = answer.as_object().context("no object")?;
        let error = fields.get("error").and_then(serde_json::Value::as_str);
        ensure!(error.is_some_and(|e| e.contains(part)), "{part}? {what}");
        // It will be as wrong later.
        let passes = fields.get("mayPass").and_then(serde_json::Value::as_bool);
        ensure!(fields.len() == 2 && passes == Some(false), "{what}");
    }
    host.weft(&["status"])?.ok()?;
    ensure!(host.weft(&["ps"])?.ok()?.is_empty(), "what was refused holds an address");
    for flag in ["check-alive=true", "check-alive=0", "check-alive&noErrorOnUnknown=1"] {
        let (status, answer) = ask(host, &request("POST", &format!("/ip/c1?{flag}"), form, ""))?;
        ensure!(status == 200 && answer.ends_with("/12"), "{flag}: {status} {answer}");
    }
    lab.finish()
}

#[test]
fn what_put_gives_delete_takes_and_what_is_attached_is_given_nothing_by_either() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    let container = lab.container()?;
    let id = format!("netns:{}", container.namespace);
    let call = |method: &str, path: &str| {
        ask(host, &request(method, &format!("/ip/{id}{path}"), "text/plain", ""))
    };
    // As scripts do it: first an address, then the interface that has it.
    ensure!(call("PUT", "/10.33.0.1/16")?.0 == 204 && call("DELETE", "/10.33.0.1")?.0 == 204);
    ensure!(call("PUT", "/10.34.0.1/16")?.0 == 204);
    host.attach(&container, &[])?;
    let held = host.weft(&["ps"])?.ok()?;
    ensure!(held.contains("10.34.0.1/16"), "{held}");
    for (method, path) in [
        ("PUT", "/10.35.0.1/16"),
        ("POST", "/10.35.0.0/16"),
        ("DELETE", "/10.34.0.1"),
        ("DELETE", ""),
    ] {
        let (status, answer) = call(method, path)?;
        let says_what_to_do = answer.contains("is attached") && answer.contains("weft detach");
        ensure!(status == 400 && says_what_to_do, "{method} {path}: {status} {answer}");
    }
    ensure!(call("PUT", "/10.34.0.1/16")?.0 == 204, "what it has can be claimed again");
    let told = call("POST", "/10.34.0.0/16")?;
    ensure!(told == (200, "10.34.0.1/16".to_owned()), "{told:?}");
    ensure!(host.weft(&["ps"])?.ok()? == held);
    lab.finish()
}
