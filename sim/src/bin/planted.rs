//! Plants known bugs, one at a time, in a scratch copy of the sources, and has the simulator find
//! them. A bug that stays green is a bug of the checks.
//!
//! `cargo run -p sim --bin planted [NAME…]`; each bug is a file of `sim/planted`. Built without much
//! optimisation: a search mostly takes less time than a build. `sim/PLANTED.md` has what it printed.
#![expect(clippy::disallowed_methods, reason = "says how long real searches took")]

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Plants bugs and has the simulator find them; exit status 1 when one stays hidden.
#[derive(Debug, Parser)]
struct Args {
    /// Only these, by the names of their files; else all.
    names: Vec<String>,
    /// Most seeds for each.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Most time for each half of a search, in seconds; a world that is under way then is run to
    /// its end.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Where the sources are copied to and built; a build that is there is used again.
    #[arg(long, default_value = "target/planted")]
    scratch: PathBuf,
    /// Prints the table as `sim/PLANTED.md` has it.
    #[arg(long)]
    markdown: bool,
}

/// A file of `sim/planted`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Planted {
    /// What is wrong then, in one sentence.
    about: String,
    /// Names of rules, any of which may find it.
    breaks: Vec<String>,
    /// How it gets into the sources.
    edit: Vec<Edit>,
}

/// A text that stands once in a file, and what takes its place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    file: PathBuf,
    find: String,
    replace: String,
}

impl Edit {
    /// The file below `sources` with the edit in it.
    fn plant(&self, sources: &Path) -> Result<String> {
        let path = sources.join(&self.file);
        let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
        ensure!(
            text.matches(&self.find).count() == 1,
            "{} does not have this text once; the bug must be planted anew: {}",
            self.file.display(),
            self.find
        );
        Ok(text.replace(&self.find, &self.replace))
    }
}

/// What the simulator says of a run, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Verdict {
    seed: u64,
    rule: Option<String>,
    /// Which run it was.
    trace: String,
}

/// A rule that was broken, and in which world.
type Broken = (String, String);

/// What came of the search for a bug.
#[derive(Debug, Default)]
struct Search {
    /// The rule that was broken, and in which world.
    found: Option<Broken>,
    /// Seeds of drawn worlds that were run.
    seeds: u64,
    /// By seed, which run each of them came to first.
    traces: BTreeMap<u64, String>,
    /// Scenarios of the catalogue that were run.
    scenarios: u64,
    /// In running them.
    took: Duration,
}

/// Drawn worlds that come before the catalogue: most bugs show in the first of them.
const FIRST_SEEDS: u64 = 100;

/// That the same seed makes the same run. No single run can break it.
const SAME_RUN: &str = "sim.same-run";

/// Folders of the sources that the simulator is built from.
const SOURCES: [&str; 8] =
    ["Cargo.toml", "Cargo.lock", "clippy.toml", "core", "runtime", "datapath", "sim", "tests"];

/// Under these seeds too the committed scenarios are run, when nothing else has found a bug.
const OTHER_SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

/// The committed scenarios. Those of large meshes take longer than all others together, and show
/// nothing of a bug that those do not.
const CATALOGUE: [&str; 7] =
    ["addresses", "founding", "hostile", "limits", "mesh", "names", "sleeve"];

fn main() -> Result<ExitCode> {
    let (args, begun) = (Args::parse(), Instant::now());
    let mut all = planted(Path::new("sim/planted"))?;
    if let Some(wrong) = args.names.iter().find(|name| !all.iter().any(|(known, _)| known == *name))
    {
        bail!("no planted bug is called `{wrong}`: see sim/planted");
    }
    all.retain(|(name, _)| args.names.is_empty() || args.names.contains(name));
    let line = |cells: [&str; 7]| {
        let [bug, about, rule, world, seeds, scenarios, seconds] = cells;
        if args.markdown {
            let (rule, bug) = (format!("`{rule}`"), format!("`{bug}`"));
            let cells = [&bug, about, &rule, world, seeds, scenarios, seconds];
            return say(&format!("| {} |", cells.join(" | ")));
        }
        say(&format!(
            "{bug:<22}{rule:<32}{world:<38}{seeds:>6}{scenarios:>6}{seconds:>9}  {about}"
        ));
    };
    if args.markdown {
        say("| bug | what is wrong | found by | in | seeds | scenarios | seconds |");
        say("|---|---|---|---|---:|---:|---:|");
    } else {
        line(["bug", "what is wrong", "found by", "in", "seeds", "files", "seconds"]);
    }
    let mut hidden = 0;
    for (name, bug) in &all {
        let search = search(&args, bug).with_context(|| format!("with {name}.toml planted"))?;
        let (rule, mut world) =
            search.found.unwrap_or_else(|| ("NOT FOUND".to_owned(), "-".to_owned()));
        if !bug.breaks.contains(&rule) {
            hidden += 1;
            world.push_str(" (NOT A RULE THAT WAS NAMED)");
        }
        let (seeds, scenarios) = (search.seeds.to_string(), search.scenarios.to_string());
        let seconds = format!("{:.1}", search.took.as_secs_f64());
        line([name, &bug.about, &rule, &world, &seeds, &scenarios, &seconds]);
    }
    let minutes = begun.elapsed().as_secs() / 60;
    say(&format!(
        "{}{} planted, {hidden} not found by a rule that was named; {minutes} minutes with all builds",
        if args.markdown { "\n" } else { "" },
        all.len()
    ));
    Ok(ExitCode::from(u8::from(hidden > 0)))
}

/// All files of `folder`, by name.
fn planted(folder: &Path) -> Result<Vec<(String, Planted)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let bug = toml::from_str(&fs::read_to_string(&path)?)
                .with_context(|| format!("{} is no planted bug", path.display()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            all.push((name, bug));
        }
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(all)
}

/// Builds the simulator with `bug` in it, and runs worlds until a rule is broken: some that are
/// drawn, the catalogue, many that are drawn, and the catalogue under other seeds: in half of its runs
/// a scenario may miss a moment that chance decides about.
fn search(args: &Args, bug: &Planted) -> Result<Search> {
    let sim = build(args, bug)?;
    let (mut search, begun) = (Search::default(), Instant::now());
    let first = FIRST_SEEDS.min(args.seeds);
    explore(&sim, args, 1, first, &mut search)?;
    if search.found.is_none() && bug.breaks.iter().any(|rule| rule == SAME_RUN) {
        // In another process, where addresses in memory and orders of hash maps are others.
        explore(&sim, args, 1, first, &mut search)?;
    }
    let mut other = None;
    if search.found.is_none() {
        other = catalogue(&sim, &bug.breaks, None, &mut search)?;
    }
    if search.found.is_none() && first < args.seeds {
        explore(&sim, args, first + 1, args.seeds - first, &mut search)?;
    }
    for seed in OTHER_SEEDS {
        if search.found.is_none() {
            other = other.or(catalogue(&sim, &bug.breaks, Some(seed), &mut search)?);
        }
    }
    search.found = search.found.or(other);
    search.took = begun.elapsed();
    Ok(search)
}

/// Builds the simulator with `bug` in it, and says where it is then.
fn build(args: &Args, bug: &Planted) -> Result<PathBuf> {
    let sources = args.scratch.join("sources");
    copy(&sources)?;
    for edit in &bug.edit {
        let path = sources.join(&edit.file);
        fs::write(&path, edit.plant(&sources)?)?;
    }
    let target = fs::canonicalize(&args.scratch)?.join("target");
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--offline", "--package", "sim", "--bin", "sim"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(&sources)
        .status()?;
    ensure!(built.success(), "it does not build");
    Ok(target.join("debug/sim"))
}

/// Runs drawn worlds from the seed `from` on.
fn explore(sim: &Path, args: &Args, from: u64, seeds: u64, search: &mut Search) -> Result<()> {
    let mut running = Command::new(sim)
        .args(["explore", "--json", "--seed", &from.to_string(), "--seeds", &seeds.to_string()])
        .args(["--for", &format!("{}s", args.seconds)])
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(running.stdout.take().context("no output")?).lines();
    for line in lines {
        let Ok(verdict) = serde_json::from_str::<Verdict>(&line?) else { continue };
        search.seeds += 1;
        let first = search.traces.entry(verdict.seed).or_insert_with(|| verdict.trace.clone());
        let differs = *first != verdict.trace;
        if let Some(rule) = verdict.rule.or_else(|| differs.then(|| SAME_RUN.to_owned())) {
            search.found = Some((rule, format!("seed {}", verdict.seed)));
            // Where messages go round for ever, a world that runs beside this one takes hours.
            running.kill()?;
            break;
        }
    }
    let status = running.wait()?;
    if !status.success() && search.found.is_none() {
        search.found = Some(("panic".to_owned(), "see above".to_owned()));
    }
    Ok(())
}

/// Runs the scenarios that are committed, under `seed` or their own, as many side by side as there are
/// cores, until one breaks a rule of `breaks`. Else returns what else was broken: most often a command that came to
/// something else than expected, which tells less.
fn catalogue(
    sim: &Path,
    breaks: &[String],
    seed: Option<u64>,
    search: &mut Search,
) -> Result<Option<Broken>> {
    let mut files = Vec::new();
    for folder in CATALOGUE {
        for entry in fs::read_dir(Path::new("sim/scenarios").join(folder))? {
            files.push(entry?.path());
        }
    }
    files.sort();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (left, shared) = (Mutex::new(files.into_iter()), Mutex::new((search, None)));
    let next = || {
        let is_over = locked(&shared).0.found.is_some();
        if is_over { None } else { locked(&left).next() }
    };
    let work = || -> Result<()> {
        while let Some(path) = next() {
            let verdict = play(sim, &path, seed)?;
            let (search, other) = &mut *locked(&shared);
            search.scenarios += 1;
            if let Some(rule) = verdict {
                let found = if breaks.contains(&rule) { &mut search.found } else { other };
                let name = path.strip_prefix("sim/scenarios").unwrap_or(&path);
                let under = seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
                found.get_or_insert((rule, format!("{}{under}", name.display())));
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(done) => done,
            Err(_) => bail!("running a scenario panicked"),
        })
    })?;
    Ok(shared.into_inner().unwrap_or_else(PoisonError::into_inner).1)
}

/// Which rule is broken in the scenario of `path`, if any; none in one that waits for something or takes
/// long.
fn play(sim: &Path, path: &Path, seed: Option<u64>) -> Result<Option<String>> {
    #[derive(Debug, Deserialize)]
    struct Head {
        waits: Option<String>,
        takes: Option<String>,
    }
    let head: Head = toml::from_str(&fs::read_to_string(path)?)?;
    if head.waits.is_some() || head.takes.is_some() {
        return Ok(None);
    }
    let seed = seed.map(|seed| ["--seed".to_owned(), seed.to_string()]);
    let ran =
        Command::new(sim).args(["run", "--json"]).args(seed.iter().flatten()).arg(path).output()?;
    let lines = String::from_utf8_lossy(&ran.stdout);
    let verdict = lines.lines().find_map(|line| serde_json::from_str::<Verdict>(line).ok());
    Ok(match verdict {
        Some(verdict) => verdict.rule,
        None => Some("panic".to_owned()),
    })
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies what git knows of the sources, as it stands in the work tree. Files that are the same
/// keep their times, so that little is built anew.
fn copy(to: &Path) -> Result<()> {
    let listed = Command::new("git")
        .arg("ls-files")
        .args(["-z", "--cached", "--others", "--exclude-standard"])
        .args(SOURCES)
        .output()?;
    ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let Ok(content) = fs::read(name) else { continue };
        let path = to.join(name);
        if fs::read(&path).ok().as_ref() != Some(&content) {
            fs::create_dir_all(path.parent().unwrap_or(to))?;
            fs::write(&path, content)?;
        }
    }
    Ok(())
}

fn say(text: &str) {
    // A closed pipe is no reason to panic, and there is nobody left to tell.
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_guide_shows_what_found_every_bug() {
        let (bugs, guide) = (bugs(), guide());
        let shown: Vec<&str> = found_by(&guide).map(|(name, _)| name).collect();
        let names: Vec<&str> = bugs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(shown, names);
        for ((name, bug), (_, rule)) in bugs.iter().zip(found_by(&guide)) {
            assert!(bug.breaks.iter().any(|named| named == rule), "{name} does not name {rule}");
        }
    }

    #[test]
    fn every_rule_finds_a_bug_or_the_guide_says_why_none() {
        let guide = guide();
        let found: BTreeSet<&str> = found_by(&guide).map(|(_, rule)| rule).collect();
        let excused: BTreeSet<&str> =
            rows(&guide, 2).filter_map(|row| code(row.first()?)).collect();
        let judged: Vec<_> = sim::check::all();
        let judged = judged.iter().map(|rule| rule.name());
        let rules: BTreeSet<&str> =
            judged.chain(sim::check::ELSEWHERE.map(|(rule, _)| rule)).collect();
        let neither: Vec<_> = rules
            .iter()
            .filter(|rule| !found.contains(*rule) && !excused.contains(*rule))
            .collect();
        assert!(neither.is_empty(), "no planted bug for {neither:?}");
        let needless: Vec<_> =
            excused.iter().filter(|rule| found.contains(*rule) || !rules.contains(*rule)).collect();
        assert!(needless.is_empty(), "no reason is needed for {needless:?}");
    }

    #[test]
    fn every_bug_can_be_planted_in_the_sources_as_they_are() {
        let bugs = bugs();
        assert!(bugs.len() >= 20, "only {} bugs", bugs.len());
        for (name, bug) in bugs {
            for edit in &bug.edit {
                edit.plant(&sources()).unwrap_or_else(|why| panic!("{name}: {why}"));
            }
        }
    }

    fn sources() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn bugs() -> Vec<(String, Planted)> {
        planted(&sources().join("sim/planted")).unwrap()
    }

    fn guide() -> String {
        fs::read_to_string(sources().join("sim/PLANTED.md")).unwrap()
    }

    /// The rows of the tables with so many columns, without their heads.
    fn rows(guide: &str, columns: usize) -> impl Iterator<Item = Vec<&str>> {
        let rows = guide.lines().filter(|line| line.starts_with("| `"));
        let rows = rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect());
        rows.filter(move |row: &Vec<&str>| row.len() == columns)
    }

    /// Of each planted bug its name, and the rule that found it.
    fn found_by(guide: &str) -> impl Iterator<Item = (&str, &str)> {
        rows(guide, 7).filter_map(|row| Some((code(row.first()?)?, code(row.get(2)?)?)))
    }

    /// What stands between backquotes.
    fn code(cell: &str) -> Option<&str> {
        cell.strip_prefix('`')?.strip_suffix('`')
    }
}
