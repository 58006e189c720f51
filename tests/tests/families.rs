//! Meshes that divide IPv6 addresses, alone or beside IPv4, and those that are divided as all were told.

use anyhow::{Context as _, Result, ensure};
use std::net::{IpAddr, Ipv6Addr};
use weft_tests::container::Container;
use weft_tests::host::Host;
use weft_tests::lab::Lab;

/// The addresses that a container is given.
fn attach(host: &Host, container: &Container, args: &[&str]) -> Result<Vec<IpAddr>> {
    let args = [&["attach"], args, &[container.namespace.as_str()]].concat();
    let printed = host.weft(&args)?.ok()?;
    let address = |text: &str| text.parse().with_context(|| printed.clone());
    printed.split_whitespace().map(address).collect()
}

/// Two hosts that divide `ranges`.
fn two(ranges: &[&str]) -> Result<Lab> {
    let lab = Lab::two()?;
    let mut args = vec!["--password", "warp and weft"];
    args.extend(ranges.iter().flat_map(|range| ["--ipalloc-range", range]));
    lab.host(1).launch(&args)?;
    let first = lab.host(1).address();
    lab.host(2).launch(&[&args[..], &[&first]].concat())?;
    Ok(lab)
}

#[test]
fn containers_of_a_mesh_with_both_families_reach_each_other_by_both_and_by_name() -> Result<()> {
    let lab = two(&["10.32.0.0/12", "fd00:7765:6674::/64"])?;
    let containers = [lab.container()?, lab.container()?];
    attach(lab.host(1), &containers[0], &[])?;
    let there = attach(lab.host(2), &containers[1], &["--name", "both"])?;
    ensure!(there.len() == 2 && there[0].is_ipv4() && there[1].is_ipv6(), "{there:?}");
    for address in &there {
        containers[0].wait_pings(*address).with_context(|| lab.host(1).log())?;
    }
    lab.host(1).wait_name("both")?;
    let server = format!("@{}", lab.host(1).dns_server()?);
    for (kind, address) in ["A", "AAAA"].iter().zip(&there) {
        let dig = ["+short", &server, kind, "both.weft.local"];
        let answered = containers[0].run("dig", &dig)?.ok()?;
        ensure!(answered.trim() == address.to_string(), "{kind}: {answered}");
        let back = containers[0].run("dig", &["+short", &server, "-x", &address.to_string()])?;
        ensure!(back.ok()?.trim() == "both.weft.local.", "{address}");
    }
    let status = lab.host(2).weft(&["status"])?.ok()?;
    ensure!(status.contains("Range: 10.32.0.0/12,fd00:7765:6674::/64"), "{status}");
    // Given back, one of them, and the other one stays.
    let v6 = there[1].to_string();
    lab.host(2).weft(&["detach", &v6, &containers[1].namespace])?.ok()?;
    ensure!(containers[0].pings(there[0])? && !containers[0].pings(there[1])?);
    lab.finish()
}

#[test]
fn containers_of_a_mesh_without_ipv4_reach_each_other() -> Result<()> {
    let lab = two(&["fd00:7765:6674::/64"])?;
    let containers = [lab.container()?, lab.container()?];
    attach(lab.host(1), &containers[0], &[])?;
    let there = attach(lab.host(2), &containers[1], &["--name", "six"])?;
    let [IpAddr::V6(there)] = there[..] else { anyhow::bail!("{there:?}") };
    containers[0].wait_pings(there)?;
    lab.host(1).wait_name("six")?;
    let server = format!("@{}", lab.host(1).dns_server()?);
    let answered = containers[0].run("dig", &["+short", &server, "AAAA", "six"])?.ok()?;
    ensure!(answered.trim().parse::<Ipv6Addr>()? == there, "{answered}");
    lab.finish()
}

#[test]
fn peers_that_are_told_the_same_seeds_give_addresses_each_for_itself() -> Result<()> {
    let lab = Lab::two()?;
    let ids: Vec<String> = lab
        .hosts()
        .iter()
        .map(|host| Ok(host.weft(&["id"])?.ok()?.trim().to_owned()))
        .collect::<Result<_>>()?;
    let seed = format!("seed={}", ids.join(","));
    let mut given = Vec::new();
    for (n, host) in lab.hosts().iter().enumerate() {
        // Neither has heard of the other one.
        host.launch(&["--password", "heddle", "--ipalloc-init", &seed])?;
        given.extend(attach(host, &lab.container()?, &[])?);
        ensure!(host.weft(&["id"])?.ok()?.trim() == ids[n], "another one once it was launched");
    }
    ensure!(given.len() == 2 && given[0] != given[1], "{given:?}");
    // The same founding: they take each other for peers of one mesh.
    lab.host(2).weft(&["connect", &lab.host(1).address()])?.ok()?;
    lab.host(2).wait_linked(1)?;
    let bad = ["launch", "--ipalloc-init", "seed=loom"];
    lab.host(1).weft(&bad)?.complains(2, "loom", &["weft id"])?;
    lab.finish()
}
