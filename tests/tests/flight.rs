//! What a real daemon recorded between real hosts is done again by the simulator.

use anyhow::{Context as _, Result, ensure};
use sim::replay::replay;
use std::fs;
use weft_core::flight::{End, Flight, FlightKey};
use weft_core::handshake::stretch;
use weft_tests::lab::Lab;

const PASSWORD: &str = "tight weave of secrets";

#[test]
fn a_daemon_with_traffic_is_recorded_without_its_password_and_run_again() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let file = lab.dir().join("flight");
    let text = file.to_string_lossy();
    one.launch(&["--password", PASSWORD, "--record", &text])?;
    two.launch(&["--password", PASSWORD, &one.address()])?;
    let [from, to] = [lab.container()?, lab.container()?];
    one.attach(&from, &[])?;
    let target = two.named(&to, "pingme")?;
    one.wait_name("pingme")?;
    from.wait_pings(target)?;
    one.weft(&["stop"])?.ok()?;
    two.weft(&["stop"])?.ok()?;

    let recording = fs::read(&file)?;
    let key = fs::read(lab.dir().join("flight.key"))?;
    let key = FlightKey(key.try_into().ok().context("a key has 32 bytes")?);
    let flight = Flight::read(&recording, &key)?;
    let seed = flight.takeoff.seed.0;
    for secret in [PASSWORD.as_bytes(), stretch(PASSWORD).bytes(), &seed, &key.0] {
        let is_in = recording.windows(8).any(|part| secret.windows(8).any(|other| other == part));
        ensure!(!is_in, "a secret stands in the recording");
    }
    let same = replay(flight).map_err(|difference| anyhow::anyhow!("{difference}"))?;
    ensure!(same.end == End::Whole && same.last.is_none() && same.calls > 20, "{same:?}");
    lab.finish()
}
