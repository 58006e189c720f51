//! The devices of a host: MAC addresses, bridges and interfaces, whoever meddles with them.

use anyhow::{Context as _, Result, ensure};
use std::net::Ipv4Addr;
use std::time::Duration;
use weft_tests::command::run;
use weft_tests::host::Host;
use weft_tests::lab::{Container, Lab, ip};
use weft_tests::{trace, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);

/// The MAC of a container's interface.
fn mac(container: &Container) -> Result<String> {
    let shown = ip(&format!("-n {} -o link show ethwe", container.namespace))?;
    let mac = shown.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next());
    Ok(mac.context("no MAC")?.to_owned())
}

/// All that the kernel says about a link of `host`, but for what passes with time.
fn shown(host: &Host, link: &str) -> Result<String> {
    let text = ip(&format!("-n {} -d -o link show {link}", host.namespace))?;
    Ok(text.split(" hello_timer ").next().unwrap_or_default().to_owned())
}

/// Waits until `file` is the network namespace of `container`.
fn is_inside(container: &Container, file: &str) -> Result<()> {
    let test = format!("[ /run/netns/{} -ef {file} ]", container.namespace);
    wait_until("the process is inside", PATIENCE, || {
        run(std::process::Command::new("sh").args(["-c", &test]), PATIENCE)
            .is_ok_and(|done| done.code == 0)
    })
}

/// Two hosts that are linked, and a container on each.
fn pair() -> Result<(Lab, [Container; 2])> {
    let lab = Lab::two()?;
    lab.host(1).launch(&[])?;
    lab.host(2).launch(&[&lab.host(1).address()])?;
    lab.host(2).wait_linked(1)?;
    let containers = [lab.container()?, lab.container()?];
    Ok((lab, containers))
}

#[test]
fn no_two_containers_have_one_mac_however_their_addresses_move() -> Result<()> {
    let (lab, [a, b]) = pair()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let first = one.named(&a, "a")?;
    let before = mac(&a)?;
    one.weft(&["attach", "10.33.99.9/12", &a.namespace])?.ok()?;
    ensure!(mac(&a)? == before, "another address gave it another MAC");
    one.weft(&["detach", "10.33.99.9", &a.namespace])?.ok()?;
    two.weft(&["attach", "10.33.99.9/12", &b.namespace])?.ok()?;
    ensure!(mac(&a)? != mac(&b)?, "both have {before}");
    b.wait_pings(first)?;
    let args = ["-n", "-c", "20", "-i", "0.02", "-W", "1", "10.33.99.9"];
    let printed = a.run("ping", &args)?.ok()?;
    ensure!(printed.contains(" 0% packet loss"), "{printed}");
    lab.finish()
}

#[test]
fn what_weft_holds_for_the_host_itself_is_not_detached_as_a_container() -> Result<()> {
    let (lab, [a, _]) = pair()?;
    let host = lab.host(1);
    let exposed = host.weft(&["expose"])?.ok()?;
    for id in ["weft:expose", "weft:dns"] {
        host.weft(&["detach", id])?.complains(1, id, &["weft hide"])?;
        host.weft(&["attach", id])?.complains(1, id, &["weft hide"])?;
    }
    ensure!(host.weft(&["ps", "weft:expose"])?.ok()?.contains(&exposed));
    ensure!(host.attach(&a, &[])?.to_string() != exposed, "{exposed} was given out twice");
    host.weft(&["hide"])?.ok()?;
    lab.finish()
}

#[test]
fn a_bridge_that_weft_did_not_make_is_neither_changed_nor_removed() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let namespace = &host.namespace;
    ip(&format!("-n {namespace} link add br0 mtu 1234 type bridge"))?;
    ip(&format!("-n {namespace} link add vethwefoo type veth peer name foo"))?;
    ip(&format!("-n {namespace} link set vethwefoo master br0"))?;
    let state = || Ok::<_, anyhow::Error>((shown(host, "br0")?, shown(host, "vethwefoo")?));
    let before = state()?;
    host.weft(&["launch", "--bridge", "br0"])?.complains(1, "br0", &["--bridge"])?;
    ensure!(state()? == before, "was {before:?}, is {:?}", state()?);
    host.launch(&[])?;
    let container = lab.container()?;
    host.attach(&container, &[])?;
    // A port of somebody else's on our own bridge is not ours either.
    ip(&format!("-n {namespace} link add vethwebar type veth peer name bar"))?;
    ip(&format!("-n {namespace} link set vethwebar master weft"))?;
    host.weft(&["reset", "--force"])?.ok()?;
    ensure!(state()? == before, "was {before:?}, is {:?}", state()?);
    ensure!(host.links()?.iter().eq(["bar", "br0", "foo", "lo", "vethwebar", "vethwefoo"]));
    lab.finish()
}

#[test]
fn a_launch_with_another_bridge_takes_the_containers_along() -> Result<()> {
    let (lab, [a, b]) = pair()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let (first, far) = (one.attach(&a, &[])?, two.attach(&b, &[])?);
    one.weft(&["expose"])?.ok()?;
    b.wait_pings(first)?;
    one.weft(&["stop"])?.ok()?;
    one.launch(&["--bridge", "other"])?;
    b.wait_pings(first)?;
    a.wait_pings(far)?;
    let host = Container { namespace: one.namespace.clone() };
    host.wait_pings(far)?;
    let links = one.links()?;
    ensure!(
        links.contains(&"other".to_owned()) && !links.contains(&"weft".to_owned()),
        "{links:?}"
    );
    // Nobody has to say which bridge it was.
    one.kill_daemon()?;
    one.weft(&["reset", "--force"])?.ok()?;
    ensure!(one.links()?.iter().eq(["eth0", "lo"]), "left: {:?}", one.links()?);
    let rules = ip(&format!("-n {} rule", one.namespace))?;
    ensure!(!rules.contains("7766"), "left: {rules}");
    lab.finish()
}

#[test]
fn a_second_attachment_that_is_refused_leaves_the_first_alone() -> Result<()> {
    let (lab, [a, b]) = pair()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let (first, far) = (one.named(&a, "a")?, two.attach(&b, &[])?);
    b.wait_pings(first)?;
    let held = one.weft(&["ps"])?.ok()?;
    for (interface, code, remedy) in [
        ("x/y", 2, "expected 1 to 15"),
        ("", 2, "expected 1 to 15"),
        ("a name with spaces", 2, "expected 1 to 15"),
        ("lo", 2, "choose another"),
        ("eth1", 1, "leave --interface out"),
    ] {
        let done = one.weft(&["attach", "--interface", interface, &a.namespace])?;
        done.complains(code, if code == 1 { "ethwe" } else { interface }, &[remedy])?;
        ensure!(!done.stderr.contains("ip link del"), "{done}");
        ensure!(one.weft(&["ps"])?.ok()? == held && one.knows("a"));
        ensure!(a.pings(far)?, "{interface:?} cut it off");
    }
    one.weft(&["detach", &a.namespace])?.ok()?;
    one.weft(&["attach", "--interface", "eth1", &a.namespace])?.ok()?;
    a.wait_pings(far)?;
    lab.finish()
}

#[test]
fn a_namespace_that_is_attached_under_another_id_is_named_by_that() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    let container = lab.container()?;
    host.attach(&container, &[])?;
    let held = host.weft(&["ps"])?.ok()?;
    let inside = lab.background(container.command("sleep").arg("600"))?;
    // `ip netns exec` becomes the program it runs.
    let pid = inside.pid().to_string();
    is_inside(&container, &format!("/proc/{pid}/ns/net"))?;
    let id = format!("netns:{}", container.namespace);
    host.weft(&["attach", &pid])?.complains(1, &id, &["detach"])?;
    ensure!(host.weft(&["ps"])?.ok()? == held);
    lab.finish()
}

#[test]
fn two_files_of_one_name_are_two_containers() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    let mut addresses = Vec::new();
    let mut files = Vec::new();
    let mut sleepers = Vec::new();
    for container in [lab.container()?, lab.container()?] {
        let sleeper = lab.background(container.command("sleep").arg("600"))?;
        let file = format!("/proc/{0}/task/{0}/ns/net", sleeper.pid());
        is_inside(&container, &file)?;
        let attached = host.weft(&["attach", &file])?.ok()?;
        let (id, pings) =
            (format!("netns:{file} "), container.pings(attached.parse::<Ipv4Addr>()?)?);
        ensure!(pings && host.weft(&["ps"])?.ok()?.contains(&id), "{id} {attached}");
        addresses.push(attached);
        files.push(file);
        sleepers.push(sleeper);
    }
    ensure!(addresses[0] != addresses[1], "{addresses:?}");
    ensure!(host.weft(&["detach", &files[0]])?.ok()? == addresses[0]);
    // An id as `weft ps` prints it is as good as the file.
    let second = format!("netns:{}", files[1]);
    ensure!(host.weft(&["attach", &second])?.ok()? == addresses[1]);
    ensure!(host.weft(&["detach", &second])?.ok()? == addresses[1]);
    ensure!(host.weft(&["ps"])?.ok()?.is_empty());
    lab.finish()
}

#[test]
fn a_launch_says_when_packets_are_too_long_for_the_way_to_a_peer() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&[])?;
    // Of 1500 bytes IP and UDP take 28, and the frame's envelope 58.
    for (mtu, is_warned) in [("1414", false), ("1415", true)] {
        let done = two.weft(&["launch", "--mtu", mtu, &one.address()])?;
        ensure!(done.code == 0, "{done}");
        let words = [mtu, "1500", "'eth0'", "--mtu 1414"];
        ensure!(words.iter().all(|word| done.stderr.contains(word)) == is_warned, "{done}");
        ensure!(done.stderr.lines().count() == usize::from(is_warned), "{done}");
        two.wait_linked(1)?;
        for part in ["status", "report"] {
            let shown = two.weft(&[part])?.ok()?;
            ensure!(shown.contains("--mtu 1414") == is_warned, "{shown}");
        }
        two.weft(&["stop"])?.ok()?;
    }
    lab.finish()
}

#[test]
fn another_mtu_reaches_the_containers_that_are_attached_already() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let container = lab.container()?;
    host.launch(&[])?;
    host.attach(&container, &[])?;
    let port = host.links()?.into_iter().find(|link| link.starts_with("vethwe"));
    let port = port.context("no port")?;
    let both = |mtu: &str| {
        let inside = ip(&format!("-n {} -o link show ethwe", container.namespace))?;
        let outside = shown(host, &port)?;
        let mtu = format!(" mtu {mtu} ");
        ensure!(inside.contains(&mtu) && outside.contains(&mtu), "{inside}{outside}");
        Ok(())
    };
    both("1354")?;
    for mtu in ["1300", "1400"] {
        host.weft(&["stop"])?.ok()?;
        host.launch(&["--mtu", mtu])?;
        both(mtu)?;
    }
    // Whoever changed it by hand gets it back by attaching again.
    ip(&format!("-n {} link set ethwe mtu 1200", container.namespace))?;
    host.attach(&container, &[])?;
    both("1400")?;
    lab.finish()
}

#[test]
fn a_tap_device_of_somebody_else_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    ip(&format!("-n {} tuntap add weft-tap mode tap", host.namespace))?;
    let before = host.links()?;
    host.weft(&["launch"])?.complains(1, "weft-tap", &["ip link del", "--bridge"])?;
    ensure!(host.links()? == before, "was {before:?}, is {:?}", host.links()?);
    host.launch(&["--bridge", "other"])?;
    lab.finish()
}

#[test]
fn a_bridge_or_tap_device_that_somebody_removed_is_made_again() -> Result<()> {
    let (lab, [a, b]) = pair()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let (first, far) = (one.named(&a, "a")?, two.attach(&b, &[])?);
    let exposed = one.weft(&["expose"])?.ok()?;
    b.wait_pings(first)?;
    for meddling in [
        "link del weft-tap",
        "link del weft",
        "link set weft-tap nomaster",
        "link set weft down",
        "link set weft-tap down",
    ] {
        ip(&format!("-n {} {meddling}", one.namespace))?;
        b.wait_pings(first).context(meddling).with_context(|| one.log())?;
        a.wait_pings(far).context(meddling)?;
        b.wait_pings(exposed.parse::<std::net::IpAddr>()?).context(meddling)?;
        let asked = a.run(
            "dig",
            &["+time=1", "+short", &format!("@{}", one.dns_server()?), "a.weft.local"],
        )?;
        ensure!(asked.stdout == first.to_string(), "{meddling}: {asked}");
        let status = one.weft(&["status"])?.ok()?;
        ensure!(!status.contains("cut off"), "{meddling}: {status}");
    }
    lab.finish()
}

#[test]
fn a_way_of_frames_that_cannot_be_mended_is_a_complaint_until_it_can() -> Result<()> {
    let (lab, [a, b]) = pair()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let (first, _) = (one.attach(&a, &[])?, two.attach(&b, &[])?);
    b.wait_pings(first)?;
    // In the place of the bridge, at once, there is something else.
    let batch = lab.dir().join("batch");
    std::fs::write(&batch, "link del weft\nlink add weft type veth peer name weft-peer\n")?;
    ip(&format!("-n {} -batch {}", one.namespace, batch.display()))?;
    let status = || one.weft(&["status"]).map(|done| done.stdout).unwrap_or_default();
    wait_until("the status says so", PATIENCE, || {
        status().contains("DEGRADED") && status().contains("cut off") && status().contains("'weft'")
    })
    .with_context(status)?;
    ip(&format!("-n {} link del weft", one.namespace))?;
    b.wait_pings(first).with_context(|| one.log())?;
    wait_until("all is well", PATIENCE, || status().contains("healthy")).with_context(status)?;
    lab.finish()
}

#[test]
fn containers_are_put_on_the_bridge_that_a_launch_makes_anew() -> Result<()> {
    let (lab, [a, b]) = pair()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let (first, far) = (one.attach(&a, &[])?, two.attach(&b, &[])?);
    b.wait_pings(first)?;
    one.weft(&["stop"])?.ok()?;
    ip(&format!("-n {} link del weft", one.namespace))?;
    one.launch(&[])?;
    b.wait_pings(first)?;
    a.wait_pings(far)?;
    // What a killed daemon leaves is taken by a reset as well, bridge or no bridge.
    one.kill_daemon()?;
    ip(&format!("-n {} link del weft", one.namespace))?;
    one.weft(&["reset", "--force"])?.ok()?;
    ensure!(one.links()?.iter().eq(["eth0", "lo"]), "left: {:?}", one.links()?);
    ensure!(trace::entries(&one.run_dir).is_empty());
    lab.finish()
}
