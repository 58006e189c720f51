//! Bodies of fuzz targets: they panic when they find something.

use crate::choices::Choices;
use crate::scenario::Scenario;

/// Worlds of the fuzzer are small, so that it can run many.
const HOSTS_MAX: u64 = 4;
const STEPS_MAX: usize = 16;

/// Plays the world that `bytes` choose: first its size, then its fate.
///
/// # Panics
/// When a rule is broken; the message has the scenario as text.
#[expect(clippy::panic, reason = "that is how a fuzzer is told")]
pub fn world(bytes: &[u8]) {
    let mut choices = Choices::from_bytes(bytes);
    let seed = choices.below(256);
    let hosts = usize::try_from(1 + choices.below(HOSTS_MAX)).unwrap_or(1);
    let scenario = Scenario::drawn(&mut choices, seed, hosts, STEPS_MAX);
    let verdict = scenario.run();
    if let Some(violation) = verdict.violation {
        panic!("{violation}\n{}\n{}", verdict.lines.join("\n"), scenario.to_text());
    }
}

/// Reads `bytes` as a scenario file; what can be read is written, and must read back the same.
///
/// # Panics
/// When it does not.
pub fn scenario(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(scenario) = Scenario::from_text(text)
    {
        assert_eq!(Scenario::from_text(&scenario.to_text()), Ok(scenario));
    }
}
