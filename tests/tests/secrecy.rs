//! With a password, the wire shows nothing of what containers say to whom.

use anyhow::{Result, ensure};
use std::fs;
use std::time::Duration;
use weft_tests::command::run;
use weft_tests::lab::Lab;

/// Fills the pings; twelve bytes, so that it does not appear by chance.
const PAYLOAD: &[u8] = b"weft-payload";

/// A text to look for on the wire: what it is, and its bytes.
type Telltale = (&'static str, Vec<u8>);

/// What crossed the wire between two hosts while their containers met and pinged each other.
fn wire(password: &[&str]) -> Result<(Vec<u8>, Vec<Telltale>)> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let file = lab.dir().join("wire.pcap");
    let mut tcpdump = one.command("tcpdump");
    tcpdump
        .args(["-i", "eth0", "-Z", "root", "--immediate-mode", "-U", "-s", "0", "-w"])
        .arg(&file);
    let mut tcpdump = lab.background(&mut tcpdump)?;
    tcpdump.wait_for("listening on", Duration::from_secs(10))?;

    one.launch(password)?;
    two.launch(&[password, &[&one.address()]].concat())?;
    let [from, to] = [lab.container()?, lab.container()?];
    let source = one.attach(&from, &[])?;
    let target = two.named(&to, "pingme")?;
    one.wait_name("pingme")?;
    from.wait_pings(target)?;
    let pattern: String = PAYLOAD.iter().map(|byte| format!("{byte:02x}")).collect();
    let target_text = target.to_string();
    let ping = ["-n", "-c", "5", "-i", "0.1", "-s", "200", "-p", &pattern, &target_text];
    from.run("ping", &ping)?.ok()?;

    tcpdump.signal("INT")?;
    tcpdump.wait(Duration::from_secs(10))?;
    for filter in ["tcp port 6783", "udp port 6783"] {
        let mut read = one.command("tcpdump");
        let read = run(read.arg("-nr").arg(&file).arg(filter), Duration::from_secs(10))?;
        ensure!(!read.ok()?.is_empty(), "nothing of `{filter}` was captured");
    }
    let bytes = fs::read(&file)?;
    let ends = [source.octets(), target.octets()].concat();
    let telltales = vec![
        ("the payload of a ping", PAYLOAD.to_vec()),
        ("a container's name", b"pingme".to_vec()),
        ("the addresses of a packet", ends),
        ("an address as text", target_text.into_bytes()),
    ];
    lab.finish()?;
    Ok((bytes, telltales))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn with_a_password_neither_names_nor_addresses_nor_payloads_are_seen_on_the_wire() -> Result<()> {
    let (bytes, telltales) = wire(&["--password", "tight weave"])?;
    for (what, part) in telltales {
        ensure!(!contains(&bytes, &part), "{what} crossed the wire in the clear");
    }
    ensure!(!contains(&bytes, b"tight weave"), "the password crossed the wire");
    Ok(())
}

#[test]
fn without_a_password_the_same_search_finds_payloads_and_addresses() -> Result<()> {
    let (bytes, telltales) = wire(&[])?;
    for (what, part) in telltales {
        if ["the payload of a ping", "the addresses of a packet"].contains(&what) {
            ensure!(contains(&bytes, &part), "{what} was not found: the search proves nothing");
        }
    }
    Ok(())
}
