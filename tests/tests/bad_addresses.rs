//! What is asked for and cannot be: each is refused with what was wrong and what to do, and changes nothing.

use anyhow::{Result, ensure};
use std::time::Duration;
use weft_tests::client::Client;
use weft_tests::host::Host;
use weft_tests::lab::Lab;

/// Method, path, status, and a part of what is said.
type Row = (&'static str, &'static str, u16, &'static str);

/// Of a host that owns all of 10.32.0.0/28, where `db` has 10.32.0.1 and `web` has 10.32.0.2.
const ALONE: [Row; 38] = [
    // Malformed.
    ("POST", "/ip/c1/10.32.0.300/28", 400, "is no path of the API"),
    ("POST", "/ip/c1/10.32.0.0/x", 400, "is no path of the API"),
    ("POST", "/ip/c1/10.32.0.0/33", 400, "/33"),
    ("PUT", "/ip/c1/10.32.0.9/33", 400, "/33"),
    ("PUT", "/ip/c1/fd00::9/129", 400, "/129"),
    (
        "POST",
        "/ip/c1/10.32.0.0/256",
        400,
        "/256 is no prefix length of 10.32.0.0: expected 0 to 32",
    ),
    ("PUT", "/ip/c1/fd00::9/256", 400, "/256 is no prefix length of fd00::9: expected 0 to 128"),
    ("PUT", "/ip/c1/ten/28", 400, "is no path of the API"),
    ("DELETE", "/ip/db/ten", 400, "is no path of the API"),
    ("POST", "/ip/%00", 400, ""),
    ("POST", "/ip/a%20b", 400, ""),
    ("POST", "/ip/%ff", 400, "is no path of the API"),
    // Ids that are weft's own.
    ("POST", "/ip/weft:dns", 400, "weft:dns"),
    ("PUT", "/ip/weft:expose/10.32.0.9/28", 400, "weft:expose"),
    ("DELETE", "/ip/weft:dns", 400, "weft:dns"),
    // Out of range, of the other family, or wider than the range.
    ("POST", "/ip/c1/192.0.2.0/28", 400, "192.0.2.0/28 cannot be used"),
    ("POST", "/ip/c1/10.32.0.0/8", 400, "use a prefix length of 28 to 32"),
    ("POST", "/ip/c1/10.32.0.16/28", 400, "10.32.0.16/28 cannot be used"),
    ("POST", "/ip/c1/fd00::/64", 400, "fd00::/64 cannot be used"),
    ("POST", "/ip/c1/0.0.0.0/0", 400, "use a subnet inside 10.32.0.0/28"),
    ("PUT", "/ip/c1/192.0.2.7/28", 400, "inside 10.32.0.0/28"),
    ("PUT", "/ip/c1/fd00::7/64", 400, "inside 10.32.0.0/28"),
    ("PUT", "/ip/c1/10.32.0.16/28", 400, "inside 10.32.0.0/28"),
    // First and last of a subnet, of which nothing is left in one of a single address.
    ("PUT", "/ip/c1/10.32.0.0/28", 400, "stand for the subnet itself"),
    ("PUT", "/ip/c1/10.32.0.15/28", 400, "stand for the subnet itself"),
    ("PUT", "/ip/c1/10.32.0.8/29", 400, "stand for the subnet itself"),
    ("POST", "/ip/c1/10.32.0.0/32", 400, "stand for the subnet itself"),
    // Taken: by the same range, and by one that overlaps it.
    ("PUT", "/ip/c1/10.32.0.1/28", 400, "10.32.0.1 is taken by db: choose another, or detach"),
    ("PUT", "/ip/db/10.32.0.2/30", 400, "10.32.0.2 is taken by web"),
    // Of a subnet in which there is none left.
    ("POST", "/ip/c1/10.32.0.0/30", 400, "10.32.0.0/30"),
    // Taken over from nobody, and from whom nobody knows.
    ("POST", "/evict", 400, "no peer is named: give each as `peer`"),
    ("DELETE", "/peer/%20", 400, "no peer is named"),
    ("DELETE", "/peer/host9", 404, "no peer is called host9"),
    // Given back what is not held.
    ("DELETE", "/ip/c1", 400, "c1 holds no address here: `weft ps` lists what"),
    ("DELETE", "/ip/db/10.32.0.2", 400, "10.32.0.2 is held by web, and not by db: `weft ps web`"),
    ("DELETE", "/ip/c1/10.32.0.2", 400, "10.32.0.2 is held by web, and not by c1"),
    ("DELETE", "/ip/db/192.0.2.7", 400, "db has none of these addresses: `weft ps db` lists"),
    ("DELETE", "/ip/c1/192.0.2.7", 400, "c1 holds no address here: `weft ps` lists what"),
];

fn client(host: &Host) -> Client {
    Client::new(host.run_dir.join("weft.sock"), Duration::from_secs(15))
}

/// All that is held, and who owns what.
fn state(client: &mut Client) -> Result<[String; 2]> {
    Ok([client.get_done("GET", "/ip")?, client.get_done("GET", "/status/ipam")?])
}

fn refused(client: &mut Client, (method, path, status, part): Row) -> Result<()> {
    let before = state(client)?;
    let answer = client.ask(method, path)?;
    ensure!(answer.status == status, "{method} {path}: {answer:?}");
    let error: serde_json::Value = serde_json::from_str(&answer.body)?;
    let error = error["error"].as_str().unwrap_or_default();
    ensure!(!error.is_empty() && error.contains(part), "{method} {path}: {error}");
    ensure!(state(client)? == before, "{method} {path} changed something: {error}");
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_for_its_own_reason_and_changes_nothing() -> Result<()> {
    let lab = Lab::full(1)?;
    let range = ["--ipalloc-range", "10.32.0.0/28", "--no-dns"];
    lab.host(1).launch(&range)?;
    let mut client = client(lab.host(1));
    client.get_done("PUT", "/ip/db/10.32.0.1/28")?;
    client.get_done("PUT", "/ip/web/10.32.0.2/28")?;
    for row in ALONE {
        refused(&mut client, row)?;
    }
    // The same again by the same container is no mistake.
    client.get_done("PUT", "/ip/db/10.32.0.1/28")?;
    // Nothing is left.
    for n in 3..15 {
        client.get_done("PUT", &format!("/ip/all/10.32.0.{n}/28"))?;
    }
    refused(&mut client, ("POST", "/ip/c1", 400, "no free address in 10.32.0.0/28"))?;
    lab.finish()
}

#[test]
fn what_is_typed_wrong_is_told_before_anything_is_begun() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let id = host.weft(&["id"])?.ok()?;
    let twice = format!("--ipalloc-init=seed={id},{id}", id = id.trim());
    for (args, what) in [
        (&["--ipalloc-range=10.32.0.0/012"][..], "'10.32.0.0/012' is no range"),
        (&["--ipalloc-range=10.032.0.0/12"], "'10.032.0.0/12' is no range"),
        (&["--ipalloc-range=10.32.0.0/33"], "expected a prefix length of 32 at most"),
        (&["--ipalloc-range=10.32.0.0/256"], "expected a prefix length of 32 at most"),
        (&["--ipalloc-range=fd00::/1000"], "expected a prefix length of 128 at most"),
        (&["--ipalloc-default-subnet=10.32.0.0/256"], "expected a prefix length of 32 at most"),
        (&["--ipalloc-init=consensus=99999999"], "peers at most, not 99999999"),
        (&["--ipalloc-init=consensus=0"], "is no mode"),
        (&[&twice], "is named twice: each peer has one share"),
        (
            &["--ipalloc-default-subnet=10.32.1.0/24,10.32.2.0/24"],
            "10.32.1.0/24 and 10.32.2.0/24 cannot both be the default subnet",
        ),
    ] {
        host.weft(&[&["launch"], args].concat())?.complains(
            2,
            what,
            &["expected", "give", "say", "each"],
        )?;
    }
    host.launch(&["--no-dns"])?;
    let before = state(&mut client(host))?;
    for (address, what) in [
        ("10.32.0.010/12", "'10.32.0.010/12' is no address: expected"),
        ("10.32.0.010", "'10.32.0.010' is no address: expected"),
        ("10.32.0.10/256", "'10.32.0.10/256' is no address: expected a prefix length of 32 at"),
        ("ip:10.32.0.10/33", "'ip:10.32.0.10/33' is no address: expected a prefix length of 32"),
        ("net:fd00::/129", "'net:fd00::/129' is no address: expected a prefix length of 128"),
        ("10.32.0.10/012", "'10.32.0.10/012' is no address: expected"),
        ("net:10.32.1.0/024", "'net:10.32.1.0/024' is no address: expected"),
    ] {
        host.weft(&["expose", address])?.complains(2, what, &["expected"])?;
    }
    let alone = "with 10.32.0.10/32 the host would reach no container";
    host.weft(&["expose", "10.32.0.10/32"])?.complains(1, alone, &["as in 10.32.0.10/24"])?;
    ensure!(state(&mut client(host))? == before);
    lab.finish()
}

#[test]
fn what_belongs_to_a_peer_that_cannot_be_asked_is_refused_in_time_with_its_name() -> Result<()> {
    let lab = Lab::halves(2)?;
    let ids: Vec<String> =
        lab.hosts().iter().map(|host| host.weft(&["id"])?.ok()).collect::<Result<_>>()?;
    let seed = format!("seed={}", ids.iter().map(|id| id.trim()).collect::<Vec<_>>().join(","));
    let args = ["--ipalloc-range", "10.32.0.0/28", "--no-dns", "--ipalloc-init", &seed];
    let other = lab.host(1).launch(&args)?;
    lab.host(2).launch(&[&args[..], &[&lab.host(1).address()]].concat())?;
    lab.host(2).wait_linked(1)?;
    let mut client = client(lab.host(2));
    // Whose is the first half, and whose the second one, follows from their ids.
    let [theirs, ours] = if ids[0] < ids[1] { [3, 11] } else { [11, 3] };
    client.get_done("PUT", &format!("/ip/mine/10.32.0.{ours}/28"))?;
    lab.split()?;
    let is_away = || lab.host(2).get("/status/ipam").is_ok_and(|it| it.contains("unreachable!"));
    weft_tests::wait_until("the other one is missed", Duration::from_secs(15), is_away)?;
    let before = state(&mut client)?;
    let begun = std::time::Instant::now();
    let answer = client.ask("PUT", &format!("/ip/c1/10.32.0.{theirs}/28"))?;
    let took = begun.elapsed();
    ensure!(answer.status == 400 && answer.body.contains(other.trim()), "{answer:?}");
    ensure!(answer.body.contains("is not reachable: start that peer"), "{answer:?}");
    ensure!(took < Duration::from_secs(4), "it took {took:?}");
    ensure!(state(&mut client)? == before);
    lab.finish()
}
