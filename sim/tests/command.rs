//! The command `sim`: what it comes to is in its exit code, also where nothing can be run.

use anyhow::{Context as _, Result, ensure};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

/// All rules held.
const HELD: i32 = 0;
/// A rule was broken.
const BROKEN: i32 = 1;
/// There was nothing to run.
const NOTHING: i32 = 2;
/// A search was interrupted.
const INTERRUPTED: i32 = 130;

/// Two hosts that only need a moment.
const GOOD: &str = "title = 'Two hosts'\npeers = 2\n";

fn sim(args: &[&str]) -> Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(args).output().context("sim does not start")
}

fn code(args: &[&str]) -> Result<i32> {
    let output = sim(args)?;
    let code = output.status.code();
    code.with_context(|| format!("{args:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// What `sim run` says of a file with this content.
fn run(name: &str, content: impl AsRef<[u8]>, more: &[&str]) -> Result<(Option<i32>, String)> {
    let path = std::env::temp_dir().join(format!("sim-{}-{name}.toml", std::process::id()));
    std::fs::write(&path, content)?;
    let path_text = path.display().to_string();
    let output = sim(&[&["run", &path_text], more].concat());
    std::fs::remove_file(&path)?;
    let output = output?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn a_run_in_which_all_rules_held_ends_with_0_and_one_in_which_one_was_broken_with_1() -> Result<()>
{
    let (ended, said) = run("good", GOOD, &[])?;
    ensure!(ended == Some(HELD) && said.starts_with("passed: Two hosts"), "{said}");
    // Four voters are asked for, and there are two.
    let (ended, said) = run("broken", format!("{GOOD}voters = 7\n"), &[])?;
    ensure!(ended == Some(BROKEN) && said.starts_with("FAIL ipam.serves at "), "{said}");
    Ok(())
}

#[test]
fn what_is_no_scenario_ends_with_2_and_says_why() -> Result<()> {
    let deep = format!("{GOOD}walls = {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    let step = |step: &str| format!("{GOOD}step = [{step}]\n");
    let cases: [(&str, Vec<u8>); 10] = [
        ("missing field `title`", Vec::new()),
        ("line 3: unknown field `foo`", format!("{GOOD}foo = 1\n").into()),
        ("99999999999", b"title = 't'\npeers = 99999999999\n".to_vec()),
        ("valid UTF-8", b"title = '\xff'\npeers = 2\n".to_vec()),
        ("recurse", deep.into()),
        ("no time", step("{ at = '-3s', do = 'heal' }").into()),
        ("100 days", step("{ at = '500 years', do = 'heal' }").into()),
        ("there is no n9", step("{ at = '3s', do = 'crash', peer = 'n9' }").into()),
        (
            "line 3: this step can do nothing: `from` and `to` are both n1: name two hosts",
            step("{ at = '3s', do = 'cut', from = 'n1', to = 'n1' }").into(),
        ),
        ("100000 at most", step("{ at = '3s', do = 'mute', peer = 'n1', count = 9999999 }").into()),
    ];
    for (why, content) in cases {
        let (ended, said) = run("bad", content, &[])?;
        ensure!(ended == Some(NOTHING) && said.contains(why), "{why}: {ended:?}, {said}");
    }
    Ok(())
}

#[test]
fn a_run_of_nothing_is_no_success() -> Result<()> {
    for args in [
        &["run", "no such file"][..],
        &["run", "/"],
        &["run", "1", "--seeds", "0"],
        &["run", "1", "--peers", "0"],
        &["run", "1", "--peers", "99999999"],
        &["run", "1", "--steps", "99999999"],
        &["explore", "--for", "0s"],
        &["explore", "--seeds", "0"],
        &["explore", "--seeds", "1", "--peers", "0"],
        &["show", "1", "--host", "n99"],
        &["list", "no such folder"],
        &["replay", "no such file"],
        &["explore", "--seeds", "1", "--jobs", "0"],
    ] {
        ensure!(code(args)? == NOTHING, "{args:?}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_do() -> Result<()> {
    let name = |ending: &str| {
        let name = format!("sim-{}-meant.{ending}", std::process::id());
        std::env::temp_dir().join(name).display().to_string()
    };
    let (file, recording) = (name("toml"), name("jsonl"));
    std::fs::write(&file, GOOD)?;
    let kept = sim(&["run", &file, "--record", &recording])?;
    let cases = [
        (&["run", "17", "--seed", "3"][..], "`17` is a seed already"),
        (&["diff", "17", "17", "--other-seed", "3"], "`17` is a seed already"),
        (&["run", "no such file"], "there is no file `no such file`, and it is no seed either"),
        (&["run", "18446744073709551616"], "seeds are 0 to 18446744073709551615"),
        (&["show", "/"], "/ is a folder: name a file in it"),
        (&["run", &file, "--peers", "3"], "are for drawn worlds"),
        (&["show", &file, "--steps", "3"], "are for drawn worlds"),
        (&["run", &file, "--record", "run.txt"], "let its name end in .jsonl"),
        (&["run", &recording], "is a recording, which `show`, `html` and `diff` read"),
        (&["show", &recording, "--seed", "3"], "its seed and its size are what they were"),
        (&["list", "--rules", "/"], "cannot be used with"),
    ];
    let said = cases.map(|(args, why)| (args, why, sim(args)));
    let shown = sim(&["show", &recording])?;
    std::fs::remove_file(&file)?;
    std::fs::remove_file(&recording)?;
    ensure!(kept.status.success() && shown.status.success());
    for (args, why, output) in said {
        let output = output?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(NOTHING) && said.contains(why), "{args:?}: {said}");
    }
    Ok(())
}

#[test]
fn a_search_that_nobody_listens_to_any_more_ends() -> Result<()> {
    let mut search = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["explore", "--for", "1m", "--seed", "1", "--steps", "1", "--json"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut first = String::new();
    BufReader::new(search.stdout.take().context("no output")?).read_line(&mut first)?;
    ensure!(first.starts_with('{'), "{first}");
    // Only then it ends otherwise than after its time.
    ensure!(search.wait()?.code() == Some(NOTHING));
    Ok(())
}

#[test]
fn the_last_of_all_seeds_is_run_as_any_other_and_the_first_follows_it() -> Result<()> {
    let last = u64::MAX.to_string();
    let output = sim(&["run", &last, "--seeds", "2", "--steps", "1", "--json"])?;
    let lines = String::from_utf8(output.stdout)?;
    let seeds: Vec<Option<u64>> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?.get("seed")?.as_u64())
        .collect();
    ensure!(seeds == [Some(u64::MAX), Some(0)], "{lines}");
    Ok(())
}

#[test]
fn a_filter_that_no_line_fits_names_the_parts_that_there_are() -> Result<()> {
    let output = sim(&["show", "1", "--part", "ipma"])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(said.contains("no line fits") && said.contains("ipam"), "{said}");
    Ok(())
}

#[test]
fn an_expectation_that_fails_is_told_with_the_time_of_its_step() -> Result<()> {
    let step =
        "{ at = '3s', see = 'running', not = true, peers = ['n1'], every = '1s', until = '9s' }";
    let (ended, said) = run("expected", format!("{GOOD}step = [{step}]\n"), &[])?;
    ensure!(ended == Some(BROKEN) && said.contains("step 1, at 3.000s: "), "{said}");
    Ok(())
}

/// What `sim run --json` says of a world, with no git to be found.
fn verdict(name: &str, content: &str) -> Result<serde_json::Value> {
    let path = std::env::temp_dir().join(format!("sim-{}-{name}.toml", std::process::id()));
    std::fs::write(&path, content)?;
    let sim = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["run", "--json", &path.display().to_string()])
        .env("PATH", "")
        .output();
    std::fs::remove_file(&path)?;
    Ok(serde_json::from_slice(&sim?.stdout)?)
}

#[test]
fn steps_that_did_nothing_are_counted_and_shown() -> Result<()> {
    let steps = "step = [
        { at = '3s', do = 'heal' },
        { at = '4s', do = 'crash', peer = 'n1' },
        { at = '5s', do = 'crash', peer = 'n1' },
    ]";
    let text = format!("{GOOD}{steps}\n");
    ensure!(verdict("void", &text)?["void_steps"] == 2);
    let (ended, said) = run("void", &text, &[])?;
    ensure!(ended == Some(HELD) && said.contains(", 2 steps did nothing"), "{said}");
    let (_, said) = run("void", &text, &["--echo"])?;
    for line in ["step 1 does nothing: nothing is cut", "step 3 does nothing: n1 does not run"] {
        ensure!(said.contains(line), "{said}");
    }
    Ok(())
}

#[test]
fn what_is_expected_of_a_step_that_does_nothing_fails_and_is_told_with_the_reason() -> Result<()> {
    let steps = "step = [{ at = '3s', do = 'start', peer = 'n1', refuses = 'damaged' }]";
    let (ended, said) = run("awaited", format!("{GOOD}{steps}\n"), &[])?;
    let told = "step 1, at 3.000s: it does nothing: n1 runs already; expected that it refuses to";
    ensure!(ended == Some(BROKEN) && said.contains(told), "{said}");
    Ok(())
}

#[test]
fn a_search_that_is_interrupted_says_what_it_came_to_and_ends_with_130() -> Result<()> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args([
            "explore", "--for", "10m", "--jobs", "1", "--seed", "1", "--peers", "1", "--steps", "1",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    // It listens before it says anything.
    ensure!(lines.next().context("it says nothing")??.starts_with("exploring"));
    let id = child.id().to_string();
    ensure!(Command::new("kill").args(["-INT", &id]).status()?.success());
    let said: Vec<String> = lines.collect::<Result<_, _>>()?;
    ensure!(child.wait()?.code() == Some(INTERRUPTED), "{said:?}");
    ensure!(said.is_empty() || said[0].contains("interrupted, and no rule was broken"), "{said:?}");
    Ok(())
}

#[test]
fn that_a_recording_cannot_be_written_is_said_before_the_run() -> Result<()> {
    let missing = std::env::temp_dir().join("sim-no-such-folder").join("run.jsonl");
    let (ended, said) =
        run("unwritten", GOOD, &["--echo", "--record", &missing.display().to_string()])?;
    ensure!(ended == Some(NOTHING) && said.contains("run.jsonl"), "{said}");
    ensure!(!said.contains("start"), "it ran: {said}");
    Ok(())
}

#[test]
fn the_step_whose_expectation_failed_is_in_the_verdict() -> Result<()> {
    let step =
        |see: &str| format!("{GOOD}step = [{{ at = '1s', do = 'start', peer = 'n1' }}, {see}]\n");
    let never = "{ at = '3s', see = 'holds', peer = 'n1', container = 'a' }";
    ensure!(verdict("failed", &step(never))?["failed_step"] == 2);
    ensure!(
        verdict("held", &step("{ at = '9s', see = 'running', peers = ['n1'] }"))?["failed_step"]
            .is_null()
    );
    Ok(())
}

#[test]
fn the_revision_is_the_one_that_was_built_whatever_lies_there_when_it_runs() -> Result<()> {
    let verdict = verdict("revision", GOOD)?;
    let revision = verdict["revision"].as_str().context("no revision")?;
    let commit = revision.trim_end_matches("-dirty");
    let is_commit = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let has_git = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"])
        .output()
        .is_ok_and(|git| git.status.success());
    ensure!(if has_git { is_commit } else { is_commit || revision == "unknown" }, "{revision}");
    Ok(())
}

#[test]
fn a_scenario_that_waits_is_never_said_to_have_passed() -> Result<()> {
    let waits = format!("{GOOD}waits = 'what is to be built'\n");
    let (_, said) = run("waits", &waits, &[])?;
    ensure!(!said.contains("passed"), "{said}");
    let (_, said) = run("waits-json", &waits, &["--json"])?;
    ensure!(said.contains(r#""waits":"what is to be built""#), "{said}");
    Ok(())
}

#[test]
fn the_command_that_a_failure_prints_is_one_that_cargo_can_run() {
    // There is more than one binary: cargo asks which, unless it is told here.
    let manifest = include_str!("../Cargo.toml");
    assert!(manifest.contains("default-run = \"sim\""));
}
