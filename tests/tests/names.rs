//! Names are answered to any resolver, as DNS demands.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use weft_tests::command::run;
use weft_tests::lab::{Container, Lab, binary};

const PATIENCE: Duration = Duration::from_secs(20);

/// Two hosts; `db` is a container on the second, and `asker` one on the first.
struct Names {
    lab: Lab,
    asker: Container,
    server: IpAddr,
    db: Ipv4Addr,
}

impl Names {
    fn new() -> Result<Self> {
        let lab = Lab::two()?;
        // The first host's own resolver is on that host, and down until `probe dns` is started.
        let resolv_conf = lab.dir().join("resolv.conf");
        fs::write(&resolv_conf, "nameserver 192.168.50.1\n")?;
        lab.host(1).launch(&["--resolv-conf", &resolv_conf.to_string_lossy()])?;
        lab.host(2).launch(&[&lab.host(1).address()])?;
        let [asker, db] = [lab.container()?, lab.container()?];
        lab.host(1).attach(&asker, &[])?;
        let address = lab.host(2).named(&db, "db")?;
        lab.host(1).wait_name("db")?;
        let server = lab.host(1).dns_server()?;
        Ok(Self { lab, asker, server, db: address })
    }

    fn dig(&self, args: &[&str]) -> Result<String> {
        let server = format!("@{}", self.server);
        let args = [&["+time=2", "+tries=2", &server][..], args].concat();
        self.asker.run("dig", &args)?.ok()
    }
}

#[test]
fn a_name_on_the_other_host_is_answered_over_udp_and_tcp() -> Result<()> {
    let names = Names::new()?;
    for transport in ["+notcp", "+tcp"] {
        for name in ["db.weft.local", "DB.Weft.Local."] {
            let answer = names.dig(&[transport, "+short", name, "A"])?;
            ensure!(answer == names.db.to_string(), "{transport} {name}: {answer:?}");
        }
    }
    names.lab.finish()
}

#[test]
fn an_address_is_answered_with_its_name() -> Result<()> {
    let names = Names::new()?;
    let answer = names.dig(&["+short", "-x", &names.db.to_string()])?;
    ensure!(answer == "db.weft.local.", "{answer:?}");
    names.lab.finish()
}

#[test]
fn an_unknown_name_does_not_exist_and_a_known_one_without_ipv6_has_no_data() -> Result<()> {
    let names = Names::new()?;
    for (name, kind, status) in [
        ("nobody.weft.local", "A", "NXDOMAIN"),
        ("nobody.weft.local", "AAAA", "NXDOMAIN"),
        ("db.weft.local", "AAAA", "NOERROR"),
        ("db.weft.local", "MX", "NOERROR"),
    ] {
        let answer = names.dig(&[name, kind])?;
        ensure!(answer.contains(&format!("status: {status}")), "{name} {kind}: {answer}");
        ensure!(answer.contains("ANSWER: 0"), "{name} {kind}: {answer}");
        ensure!(answer.contains("SOA"), "a negative answer needs an SOA: {answer}");
    }
    names.lab.finish()
}

#[test]
fn other_names_are_asked_of_the_hosts_own_resolver() -> Result<()> {
    let names = Names::new()?;
    let mut stub = names.lab.host(1).command(binary("probe")?);
    let stub = names.lab.background(stub.args(["dns", "192.168.50.1:53", "192.0.2.77"]))?;
    stub.wait_for("ready", Duration::from_secs(5))?;
    let answer = names.dig(&["+short", "somewhere.example.org", "A"])?;
    ensure!(answer == "192.0.2.77", "{answer:?}");
    ensure!(names.dig(&["+short", "db.weft.local"])? == names.db.to_string());
    drop(stub);
    names.lab.finish()
}

#[test]
fn a_resolver_that_is_down_costs_other_names_only() -> Result<()> {
    let names = Names::new()?;
    let server = format!("@{}", names.server);
    let args = ["+time=8", "+tries=1", &server, "somewhere.example.org", "A"];
    let answer = names.asker.run("dig", &args)?.ok()?;
    ensure!(answer.contains("status: SERVFAIL"), "{answer}");
    ensure!(names.dig(&["+short", "db.weft.local"])? == names.db.to_string());
    names.lab.finish()
}

#[test]
fn a_name_can_be_added_and_removed_by_hand() -> Result<()> {
    let names = Names::new()?;
    let [one, two] = [names.lab.host(1), names.lab.host(2)];
    let address = names.db.to_string();
    two.weft(&["dns-add", &address, "-h", "alias.weft.local"])?.ok()?;
    one.wait_name("alias")?;
    ensure!(one.weft(&["dns-lookup", "alias"])?.ok()? == address);
    ensure!(names.dig(&["+short", "alias.weft.local"])? == address);
    let remove = ["dns-remove", &address, "-h", "alias.weft.local"];
    two.weft(&remove)?.ok()?;
    two.weft(&remove)?.complains(1, "alias.weft.local", &["weft status dns"])?;
    weft_tests::wait_until("the name is gone", Duration::from_secs(5), || !one.knows("alias"))?;
    ensure!(one.knows("db"), "removing one name took another");
    names.lab.finish()
}

#[test]
fn a_containers_name_goes_with_it() -> Result<()> {
    let names = Names::new()?;
    let [one, two] = [names.lab.host(1), names.lab.host(2)];
    let container = names.lab.container()?;
    two.named(&container, "brief")?;
    one.wait_name("brief")?;
    two.weft(&["detach", &container.namespace])?.ok()?;
    weft_tests::wait_until("the name is gone", Duration::from_secs(5), || !one.knows("brief"))?;
    let answer = names.dig(&["brief.weft.local"]).context("dig")?;
    ensure!(answer.contains("status: NXDOMAIN"), "{answer}");
    names.lab.finish()
}

#[test]
fn a_container_with_a_thousand_dns_streams_keeps_neither_others_nor_the_operator_out() -> Result<()>
{
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    // As many descriptors as many hosts allow, and no way to have more.
    let mut launch = host.command("sh");
    launch.args(["-c", "ulimit -n 1024 && exec \"$0\" launch"]).arg(binary("weft")?);
    run(&mut launch, PATIENCE)?.ok()?;
    let [flooder, asker] = [lab.container()?, lab.container()?];
    host.attach(&flooder, &[])?;
    let address = host.named(&asker, "asker")?;
    let server = host.dns_server()?;
    let mut flood = flooder.command(binary("probe")?);
    let flood = lab.background(flood.args(["flood", &format!("{server}:53"), "1010"]))?;
    flood.wait_for("ready", Duration::from_secs(20))?;
    for transport in ["+notcp", "+tcp"] {
        let at = format!("@{server}");
        let args = ["+time=2", "+tries=2", &at, transport, "+short", "asker.weft.local"];
        let answer = asker.run("dig", &args)?.ok().with_context(|| host.log())?;
        ensure!(answer == address.to_string(), "{transport}: {answer:?}");
    }
    host.weft(&["status"])?.ok()?;
    host.weft(&["run", "--", "true"])?.ok()?;
    drop(flood);
    lab.finish()
}

#[test]
fn a_name_server_whose_port_is_taken_is_complained_of() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let mut hold = host.command(binary("probe")?);
    let held = lab.background(hold.args(["hold", "0.0.0.0:53"]))?;
    held.wait_for("ready", Duration::from_secs(5))?;
    let done = host.weft(&["launch"])?;
    done.complains(0, "port 53", &["--no-dns"])?;
    let verdict = host.weft(&["status"])?.ok()?;
    let first = verdict.lines().next().unwrap_or_default();
    ensure!(first.contains("DEGRADED") && first.contains("port 53"), "{first}");
    drop(held);
    lab.finish()
}

#[test]
fn names_are_answered_at_an_address_of_the_host_too_for_those_who_are_not_on_the_bridge()
-> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let own = one.address();
    // As on a host whose own programs ask weft: it must not ask itself.
    let resolv_conf = lab.dir().join("resolv.conf");
    fs::write(&resolv_conf, format!("nameserver {own}\n"))?;
    let file = resolv_conf.to_string_lossy();
    one.launch(&["--dns-listen-address", &own, "--resolv-conf", &file])?;
    one.weft(&["dns-add", "192.0.2.7", "-h", "printer"])?.ok()?;
    let dig = |args: &[&str]| {
        let mut command = two.command("dig");
        command.args(["+time=3", "+tries=1", &format!("@{own}")]).args(args);
        run(&mut command, PATIENCE)?.ok()
    };
    for transport in ["+notcp", "+tcp"] {
        let answer = dig(&[transport, "+short", "printer.weft.local"])?;
        ensure!(answer == "192.0.2.7", "{transport}: {answer:?}");
    }
    let answer = dig(&["www.example.org"])?;
    ensure!(answer.contains("status: SERVFAIL"), "{answer}");
    ensure!(one.weft(&["dns-args", "--hostname=web"])?.ok()? == format!("--dns={own}"));
    let shown = one.weft(&["status"])?.ok()?;
    ensure!(shown.contains(&format!("ListenAddress: {own}:53")), "{shown}");
    // Containers on the bridge have no way there, and ask on the bridge as ever.
    let [asker, db] = [lab.container()?, lab.container()?];
    one.attach(&asker, &[])?;
    let address = one.named(&db, "db")?.to_string();
    let server = format!("@{}", one.dns_server()?);
    let args = ["+time=3", &server, "+short", "db.weft.local"];
    ensure!(server != format!("@{own}") && asker.run("dig", &args)?.ok()? == address);
    ensure!(dig(&["+short", "db.weft.local"])? == address);
    one.weft(&["stop"])?.ok()?;
    // Another port, which nobody can be told of who is told an address alone.
    one.launch(&["--dns-listen-address", "127.0.0.1:5353", "--resolv-conf", &file])?;
    ensure!(one.get("/dns-address-port")? == "127.0.0.1:5353");
    ensure!(format!("@{}", one.get("/dns-address")?) == server);
    lab.finish()
}

#[test]
fn an_address_at_which_no_names_can_be_answered_is_named() -> Result<()> {
    let lab = Lab::two()?;
    let host = lab.host(1);
    let option = "--dns-listen-address";
    let launch = |at: &str| host.weft(&["launch", option, at]);
    for at in ["docker0", "10.0.0.1:0", "0.0.0.0:53", "::", "224.0.0.53"] {
        launch(at)?.complains(2, at, &["expected one address of this host"])?;
    }
    launch("10.32.0.53")?.complains(2, "10.32.0.53", &["expected another one"])?;
    host.weft(&["launch", option, &host.address(), "--no-dns"])?.complains(
        2,
        option,
        &["--no-dns"],
    )?;
    launch("192.0.2.9")?.complains(1, "192.0.2.9", &["choose another"])?;
    let mut hold = host.command(binary("probe")?);
    let at = format!("{}:53", host.address());
    let held = lab.background(hold.args(["hold", &at]))?;
    held.wait_for("ready", PATIENCE)?;
    launch(&at)?.complains(1, &at, &["in use"])?;
    drop(held);
    ensure!(!host.is_running() && !host.links()?.iter().any(|link| link.starts_with("weft")));
    lab.finish()
}

#[test]
fn without_dns_containers_are_reached_by_address_only() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&["--no-dns"])?;
    let [a, b] = [lab.container()?, lab.container()?];
    let address = host.attach(&a, &[])?;
    host.attach(&b, &[])?;
    b.wait_pings(address)?;
    lab.finish()
}
