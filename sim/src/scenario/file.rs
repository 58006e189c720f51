//! Scenarios as text: TOML, read with the line of every mistake, and written so that a person would
//! go on editing it. `sim/SCENARIOS.md` says what can stand in it.

use super::random::Block;
use super::sound;
use super::spread::{for_each_peer, in_keys, in_lists};
use super::step::Step;
use super::table::{inline, named, not_too_long, repeated, step, table, take_repeat};
use super::void::void;
use super::{End, Scenario};
use crate::address;
use crate::net::Conditions;
use crate::peer::Peer;
use crate::world::{Limits, Own, Setup};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use toml::{Spanned, Table, Value};
use weft_core::addr::Universe;
use weft_core::config::Versions;

/// Most hosts of a scenario: beyond it a run takes hours.
pub const PEERS_MAX: usize = 10_000;

/// The rule that whoever wants two foundings excepts.
const ONE_FOUNDING: &str = "ipam.one-founding";

/// A text that is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadScenario {
    /// From 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub why: String,
}

/// The text as it stands; steps are read further one by one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    title: Spanned<String>,
    seed: Option<Spanned<Value>>,
    waits: Option<String>,
    takes: Option<String>,
    peers: Spanned<usize>,
    universe: Option<Spanned<String>>,
    voters: Option<Spanned<usize>>,
    meets: Option<bool>,
    discovery: Option<bool>,
    password: Option<String>,
    #[serde(default, with = "crate::world::versions")]
    versions: Option<Versions>,
    network: Option<Spanned<Conditions>>,
    limits: Option<Spanned<Limits>>,
    walls: Option<Spanned<Vec<(Peer, Peer)>>>,
    dials: Option<Spanned<usize>>,
    peer: Option<Spanned<Table>>,
    #[serde(default)]
    step: Vec<Spanned<Table>>,
    #[serde(default)]
    swarm: Vec<Spanned<Block>>,
    end: Option<Spanned<Table>>,
}

/// Where in a text something stands, and what is wrong with it.
type Fault = (Range<usize>, String);

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// Says in which line what is wrong.
    pub fn from_text(text: &str) -> Result<Self, BadScenario> {
        let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        let file: File = toml::from_str(text).map_err(|error| BadScenario {
            line: line(error.span().map_or(0, |span| span.start)),
            why: one_line(&error),
        })?;
        scenario(file).map_err(|(span, why)| BadScenario { line: line(span.start), why })
    }

    /// Writes it so that [`Scenario::from_text`] reads the same again.
    pub fn to_text(&self) -> String {
        let (setup, usual) = (&self.setup, Setup::new(0, self.setup.hosts));
        let mut text = String::new();
        entry(&mut text, "title", &self.title);
        if let Some(waits) = &self.waits {
            entry(&mut text, "waits", waits);
        }
        if let Some(takes) = &self.takes {
            entry(&mut text, "takes", takes);
        }
        match i64::try_from(setup.seed) {
            Ok(seed) => entry(&mut text, "seed", &seed),
            Err(_) => entry(&mut text, "seed", &setup.seed.to_string()),
        }
        entry(&mut text, "peers", &setup.hosts);
        if setup.universe != usual.universe {
            entry(&mut text, "universe", &setup.universe.to_string());
        }
        if setup.voters != usual.voters {
            entry(&mut text, "voters", &setup.voters);
        }
        if setup.meets != usual.meets {
            entry(&mut text, "meets", &setup.meets);
        }
        if setup.discovery != usual.discovery {
            entry(&mut text, "discovery", &setup.discovery);
        }
        if setup.password != usual.password {
            entry(&mut text, "password", &setup.password);
        }
        if setup.versions != usual.versions {
            entry(&mut text, "versions", &(setup.versions.oldest(), setup.versions.newest()));
        }
        if setup.conditions != Conditions::default() {
            entry(&mut text, "network", &setup.conditions);
        }
        if setup.limits != Limits::default() {
            entry(&mut text, "limits", &setup.limits);
        }
        if !setup.walls.is_empty() {
            entry(&mut text, "walls", &setup.walls);
        }
        if let Some(dials) = setup.dials {
            entry(&mut text, "dials", &dials);
        }
        if !setup.own.is_empty() {
            entry(&mut text, "peer", &setup.own);
        }
        if !self.blocks.is_empty() {
            entry(&mut text, "swarm", &self.blocks);
        }
        if self.end != End::default() {
            entry(&mut text, "end", &self.end);
        }
        text.push_str("step = [\n");
        for step in &self.steps {
            let _ = writeln!(text, "    {},", inline(&table(step)));
        }
        text.push_str("]\n");
        text
    }
}

fn entry(text: &mut String, key: &str, value: &impl Serialize) {
    // Everything that is written here has a form in TOML, and writing to a string cannot fail.
    if let Ok(value) = Value::try_from(value) {
        let _ = writeln!(text, "{key} = {value}");
    }
}

fn scenario(file: File) -> Result<Scenario, Fault> {
    if file.title.get_ref().trim().is_empty() {
        let why = "`title` is empty: say in a sentence what the scenario shows";
        return Err((file.title.span(), why.to_owned()));
    }
    let hosts = *file.peers.get_ref();
    if !(1..=PEERS_MAX).contains(&hosts) {
        let why = format!("{hosts} peers: expected 1 to {PEERS_MAX}");
        return Err((file.peers.span(), why));
    }
    let seed = match &file.seed {
        Some(written) => seed(written.get_ref()).map_err(|why| (written.span(), why))?,
        None => 0,
    };
    let mut setup = Setup::new(seed, hosts);
    let voters_at = file.voters.as_ref().map(Spanned::span);
    let own_at = file.peer.as_ref().map(Spanned::span);
    if let Some(universe) = file.universe {
        let read = address::universe(universe.get_ref());
        setup.universe = read.map_err(|why| (universe.span(), why))?;
    }
    if let Some(voters) = file.voters {
        setup.voters = *voters.get_ref();
        setup.starts_at_all().map_err(|why| (voters.span(), why))?;
    }
    setup.meets = file.meets.unwrap_or(setup.meets);
    setup.discovery = file.discovery.unwrap_or(setup.discovery);
    setup.password = file.password.unwrap_or(setup.password);
    setup.versions = file.versions.unwrap_or(setup.versions);
    if let Some(network) = file.network {
        setup.conditions = *network.get_ref();
        sound::conditions(&setup.conditions).map_err(|why| (network.span(), why))?;
    }
    if let Some(limits) = file.limits {
        setup.limits = *limits.get_ref();
        sound::limits(&setup.limits).map_err(|why| (limits.span(), why))?;
        setup.starts_at_all().map_err(|why| (limits.span(), why))?;
    }
    if let Some(dials) = file.dials {
        let count = *dials.get_ref();
        if count > PEERS_MAX {
            return Err((dials.span(), format!("`dials = {count}`: expected {PEERS_MAX} at most")));
        }
        setup.dials = Some(count);
    }
    let known = |peers: &BTreeSet<Peer>, span: &Range<usize>| match peers
        .iter()
        .find(|peer| peer.0 >= hosts)
    {
        Some(peer) => Err((span.clone(), format!("there is no {peer}: there are {hosts} peers"))),
        None => Ok(()),
    };
    if let Some(walls) = file.walls {
        let ends = walls.get_ref().iter().flat_map(|(a, b)| [*a, *b]);
        known(&ends.collect(), &walls.span())?;
        if let Some((peer, _)) = walls.get_ref().iter().find(|(a, b)| a == b) {
            return Err((walls.span(), format!("both are {peer}: name two hosts")));
        }
        setup.walls = walls.into_inner();
    }
    if let Some(own) = file.peer {
        let span = own.span();
        let own: BTreeMap<Peer, Own> = in_keys(own.into_inner(), hosts)
            .and_then(|own| Value::Table(own).try_into().map_err(|why| one_line(&why)))
            .map_err(|why| (span.clone(), why))?;
        for (peer, own) in &own {
            known(&own.dials.iter().flatten().chain([peer]).copied().collect(), &span)?;
            sound::limits(&own.limits).map_err(|why| (span.clone(), format!("{peer}: {why}")))?;
            if let Some(block) = own.universe {
                Universe::new(block).map_err(|why| (span.clone(), why.to_string()))?;
            }
        }
        setup.own = own;
    }
    let mut steps = Vec::new();
    for spanned in file.step {
        let span = spanned.span();
        let here = |why| (span.clone(), why);
        for mut table in for_each_peer(spanned.into_inner(), hosts).map_err(here)? {
            known(&named(&Value::Table(table.clone())), &span)?;
            let repeat = take_repeat(&mut table).map_err(here)?;
            let first = step(table).map_err(here)?;
            let more = repeated(&first, repeat).map_err(here)?;
            steps.push((first, span.clone()));
            steps.extend(more.into_iter().map(|step| (step, span.clone())));
        }
    }
    // Steps may stand in any order; those of one time are taken in the order of the text.
    steps.sort_by_key(|(step, _)| step.at);
    let (steps, spans): (Vec<Step>, Vec<Range<usize>>) = steps.into_iter().unzip();
    let mut blocks = Vec::new();
    for block in file.swarm {
        let span = block.span();
        let block = block.into_inner();
        let is_sound = not_too_long("at", block.at)
            .and_then(|()| not_too_long("for", block.length))
            .and_then(|()| block.check());
        is_sound.map_err(|why| (span, why))?;
        blocks.push(block);
    }
    if let Some((number, why)) = void(&steps, hosts, &blocks).pop_first() {
        let span = spans.get(number).cloned().unwrap_or_default();
        return Err((span, format!("this step can do nothing: {why}")));
    }
    let end = match file.end {
        None => End::default(),
        Some(end) => {
            let span = end.span();
            let end = end.into_inner();
            sound::once("except", &end).map_err(|why| (span.clone(), why))?;
            let end: End = in_lists(end, hosts)
                .and_then(|end| Value::Table(end).try_into().map_err(|why| one_line(&why)))
                .map_err(|why| (span.clone(), why))?;
            known(&end.gone, &span)?;
            sound::end(&end, &setup).map_err(|why| (span, why))?;
            end
        }
    };
    if !setup.founds_once() && !end.except.contains(ONE_FOUNDING) {
        let span = voters_at.or(own_at).unwrap_or_default();
        return Err((span, twice(&setup)));
    }
    let File { title, waits, takes, .. } = file;
    let title = title.into_inner();
    Ok(Scenario { title, waits, takes, setup, steps, blocks, end })
}

/// Why hosts that can found two meshes are a mistake, and what to write instead.
fn twice(setup: &Setup) -> String {
    let (voting, majority) = setup.majority();
    format!(
        "{voting} hosts vote, and {majority} of them found a mesh: two sides of so many could found one \
         each. Make all but {most} of them an `observer = true`, or tell them of more `voters`; if that \
         is what is to be shown, say `end = {{ except = [\"{ONE_FOUNDING}\"] }}`",
        most = 2 * majority - 1
    )
}

/// A seed is a number, or, beyond TOML's integers, which are signed, the same as a text.
fn seed(written: &Value) -> Result<u64, String> {
    let seed = match written {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => text.parse().ok(),
        Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => None,
    };
    seed.ok_or_else(|| format!("`{written}` is no seed: expected 0 to {}", u64::MAX))
}

/// What is wrong, in words that need no knowledge of Rust.
pub(super) fn one_line(error: &toml::de::Error) -> String {
    let mut message = error.message().to_owned();
    for (type_name, words) in [
        ("usize", "a whole number, 0 or more"),
        ("u64", "a whole number, 0 or more"),
        ("u32", "a whole number from 0 to 4294967295"),
        ("u16", "a whole number from 0 to 65535"),
        ("u8", "a whole number from 0 to 255"),
        ("a sequence", "a list"),
        ("a map", "a table"),
        ("a tuple of size 2", "two of them in a list"),
    ] {
        message = message.replace(&format!("expected {type_name}"), &format!("expected {words}"));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
title = "Everything at once"
seed = 17
peers = 4
universe = "10.40.0.0/16"
voters = 3
discovery = false
password = "secret"
versions = [1, 2]
network = { latency = "5ms", loss = "2.5%" }
limits = { conns = 6, allocate = "3s" }
walls = [["n1", "n3"]]
step = [
    { at = "5s", do = "heal" },
    { at = "3s", do = "partition", side = ["n1", "n2"] },
    { at = "4s", do = "allocate", peer = "n1", container = "c1", expect = "no-quorum", within = "1s" },
    { at = "6s", see = "linked", not = true, peers = ["n1"], with = ["n3"], within = "2s", stays = "1m" },
]

[peer.n4]
observer = true
dials = ["n2"]
name = "02:00:00:00:00:07"
versions = [2, 3]
limits = { records = 40 }

[[swarm]]
at = "10s"
for = "10m"
faults = ["crashes", "one-way"]

[end]
gone = ["n3"]
except = ["dns.no-ghosts"]
"#;

    #[test]
    fn a_scenario_reads_back_as_it_is_written() {
        let scenario = Scenario::from_text(WHOLE).unwrap();
        let again = Scenario::from_text(&scenario.to_text());
        assert_eq!(again.as_ref(), Ok(&scenario), "{}", scenario.to_text());
        assert!(scenario.steps.is_sorted_by_key(|step| step.at));
        assert_eq!(scenario.steps.len(), 4);
    }

    #[test]
    fn drawn_scenarios_read_back_as_they_are_written() {
        for seed in (0..200).chain([u64::MAX - 1]) {
            let scenario = Scenario::swarm(seed, 1 + usize::try_from(seed % 5).unwrap(), 40);
            assert_eq!(Scenario::from_text(&scenario.to_text()), Ok(scenario));
        }
    }

    #[test]
    fn mistakes_are_told_with_their_lines() {
        for (from, to, line, why) in [
            ("peers = 4", "peers = 0", 4, "0 peers: expected 1 to 10000"),
            ("peers = 4", "peers = 3", 20, "there is no n4: there are 3 peers"),
            ("seed = 17", "seed = -1", 3, "`-1` is no seed: expected 0 to 18446744073709551615"),
            ("title =", "titel =", 2, "unknown field `titel`"),
            ("do = \"heal\"", "do = \"heel\"", 14, "unknown variant `heel`"),
            ("do = \"heal\"", "do = \"heal\", peer = \"n1\"", 14, "unknown key `peer`"),
            ("side = ", "sides = ", 15, "unknown field `sides`"),
            ("at = \"5s\"", "at = \"5x\"", 14, "`at`: `5x` is no time"),
            ("at = \"5s\", ", "", 14, "this step lacks `at"),
            ("no-quorum", "no-luck", 16, "`no-luck` is nothing that a command can come to"),
            ("[\"n1\"], with", "[\"n9\"], with", 17, "there is no n9: there are 4 peers"),
            ("2.5%", "2.5", 10, "`2.5` is not a share"),
            ("[1, 2]", "[2, 1]", 9, "protocol versions 2 to 1 are none"),
            ("voters = 3", "voters = 0", 6, "consensus needs at least one peer"),
            ("voters = 3", "voters = -1", 6, "`-1`, expected a whole number"),
            ("allocate = \"3s\"", "allocate = \"0s\"", 11, "longer than zero"),
            ("voters = 3", "voters = 3\ndials = 10001", 7, "expected 10000 at most"),
            ("[\"n1\", \"n3\"]", "[\"n1\", \"n1\"]", 12, "both are n1"),
            ("latency = \"5ms\"", "latency = \"101 years\"", 10, "expected 100 years at most"),
            ("dns.no-ghosts", "dns.ghosts", 32, "no rule is called `dns.ghosts`"),
            ("dns.no-ghosts", "sim.panic", 32, "`sim.panic` cannot be excepted: it is judged"),
            (
                "[\"dns.no-ghosts\"]",
                "[\"dns.no-ghosts\", \"dns.no-ghosts\"]",
                32,
                "names `dns.no-ghosts` twice",
            ),
            (
                "gone = ",
                "within = \"0s\"\ngone = ",
                32,
                "`within = \"0s\"`: expected a longer time",
            ),
            ("gone = ", "within = \"1h\"\ngone = ", 32, "so long a healthy mesh may take"),
            ("title = \"Everything at once\"", "title = \" \"", 2, "`title` is empty"),
            ("conns = 6", "conns = 0", 11, "`conns = 0`: expected 1 at least"),
            ("records = 40", "records = 0", 20, "n4: `records = 0`: expected 8 at least"),
            ("conns = 6", "message-len = 100", 11, "`message-len = 100`: expected 1024 at least"),
            ("loss = \"2.5%\"", "burst = \"1s\"", 10, "`burst` without `bursts`"),
            ("loss = \"2.5%\"", "bursts = \"1%\"", 10, "`bursts` without `burst`"),
            ("loss = \"2.5%\"", "echo = \"1s\"", 10, "`echo` without `duplication`"),
            ("loss = \"2.5%\"", "queue = 1000", 10, "`queue` without `rate`"),
            (
                "do = \"heal\"",
                "do = \"network\", conditions = { hold-up = \"1s\" }",
                14,
                "`hold-up` without `held-up`",
            ),
            (
                "do = \"heal\"",
                "do = \"settings\", peer = \"n1\", own = { limits = { hops = 0 } }",
                14,
                "`hops = 0`: expected 1 at least",
            ),
            ("for = \"10m\"", "for = \"0s\"", 27, "`for = \"0s\"`: expected a longer time"),
            ("at = \"5s\"", "at = \"2401h\"", 14, "`at = \"2401h\"`: expected 100 days at most"),
            ("at = \"5s\"", "at = \"200 days\"", 14, "`at = \"200 days\"`: expected"),
            ("at = \"5s\"", "at = \"200 days\"", 14, "expected 100 days at most"),
            ("stays = \"1m\"", "stays = \"300 years\"", 17, "`stays = \"300 years\"`: expected"),
            (
                "for = \"10m\"",
                "for = \"10m\"\nwait = \"1ns\"",
                27,
                "`for = \"10m\"`: too many steps",
            ),
            ("for = \"10m\"", "for = \"900 days\"", 27, "expected 100 days at most"),
            ("10.40.0.0/16", "10.40.0.0/33", 5, "`10.40.0.0/33` is no range: write"),
            ("10.40.0.0/16", "10.40.0.0/31", 5, "the range 10.40.0.0/31 is too small"),
            ("observer = true", "subnet = \"10.40/16\"", 20, "`10.40/16` is no range: write"),
            (
                "do = \"heal\"",
                "do = \"settings\", peer = \"n1\", own = { universe = \"10.0.0.0/31\" }",
                14,
                "the range 10.0.0.0/31 is too small",
            ),
            (
                "do = \"heal\"",
                "do = \"claim\", peer = \"n1\", container = \"a\", address = \"10.40.0.256\"",
                14,
                "`10.40.0.256` is no address: write",
            ),
            ("[\"n1\"], with", "[\"n0\"], with", 17, "`n0` is not a peer"),
            ("conns = 6", "conns = -6", 11, "`-6`, expected a whole number, 0 or more"),
            ("conns = 6", "hops = 300", 11, "`300`, expected a whole number from 0 to 255"),
            ("[\"n1\", \"n3\"]", "\"n1\"", 12, "\"n1\", expected two of them in a list"),
            (
                "see = \"linked\", not = true, peers = [\"n1\"], with = [\"n3\"], within = \"2s\", stays = \"1m\"",
                "see = \"traffic\", most = 1, over = \"90 years\"",
                17,
                "`over = \"90years\"`: expected",
            ),
            (
                "do = \"heal\"",
                "do = \"spray\", peer = \"n1\", count = 4294967295",
                14,
                "`count = 4294967295`: expected 100000 at most",
            ),
            (
                "do = \"heal\"",
                "do = \"insider\", peer = \"n1\", says = \"long-records\", count = 4001",
                14,
                "`count = 4001`: expected 4000 at most",
            ),
            ("do = \"heal\"", "do = \"heal\", expect = \"ok\"", 14, "this is a fault"),
            (
                "see = \"linked\", not = true, peers = [\"n1\"], with = [\"n3\"], within = \"2s\", stays = \"1m\"",
                "see = \"traffic\", most = 1, over = \"0s\"",
                17,
                "`over = \"0s\"`",
            ),
            ("crashes", "crash", 30, "unknown variant `crash`"),
        ] {
            let text = WHOLE.replace(from, to);
            assert_ne!(text, WHOLE, "{from}");
            let bad = Scenario::from_text(&text).unwrap_err();
            assert!(bad.why.contains(why), "{bad}");
            assert_eq!(bad.line, line, "{bad}");
        }
    }

    #[test]
    fn hosts_that_can_found_two_meshes_are_a_mistake_unless_that_is_what_is_shown() {
        let read = |more: &str| {
            let text = format!("title = 't'\npeers = 5\n{more}");
            Scenario::from_text(&text).map_err(|why| why.to_string())
        };
        let why = "line 3: 5 hosts vote, and 2 of them found a mesh";
        let bad = read("voters = 3").unwrap_err();
        assert!(bad.starts_with(why) && bad.contains("all but 3 of them"), "{bad}");
        let bad = read("peer = { n2 = { voters = 2 } }").unwrap_err();
        assert!(bad.starts_with(why), "{bad}");
        for good in [
            "voters = 4",
            "voters = 3\npeer = { 'n4..n5' = { observer = true } }",
            "voters = 3\nend = { except = ['ipam.one-founding'] }",
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        assert!(read("voters = 3\nend = { except = ['ipam.one-owner'] }").is_err());
    }

    #[test]
    fn what_is_called_like_a_host_is_no_host() {
        let text = "title = 't'
peers = 3
step = [
    { at = '1s', do = 'snapshot', peer = 'n2', name = 'n9' },
    { at = '2s', see = 'pings', peer = 'n2', container = 'n8', to = 'n9', within = '1s' },
    { at = '3s', do = 'settings', peer = 'n2', own = { password = 'n9' } },
]";
        let scenario = Scenario::from_text(text).unwrap();
        let moved = scenario.without(Peer(0)).unwrap().to_text();
        for part in ["peer = \"n1\", name = \"n9\"", "to = \"n9\", container = \"n8\""] {
            assert!(moved.contains(part), "{part}: {moved}");
        }
        let host = text.replace("peer = 'n2', name", "peer = 'n9', name");
        assert!(Scenario::from_text(&host).unwrap_err().why.contains("there is no n9"));
    }

    #[test]
    fn without_a_peer_the_others_move_up() {
        let scenario = Scenario::from_text(WHOLE).unwrap();
        let text = scenario.without(Peer(0)).unwrap().to_text();
        for part in
            ["peers = 3", "do = \"partition\", side = [\"n1\"]", "n3 = {", "gone = [\"n2\"]"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("c1") && !text.contains("walls"), "{text}");
        assert!(Scenario::from_text(&text).is_ok());
    }
}
