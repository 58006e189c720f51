//! Plants known bugs, one at a time, in a scratch copy of the sources, and has the simulator find
//! them. A bug that stays green is a bug of the checks.
//!
//! `cargo run -p sim --bin planted [NAME…]`; each bug is a file of `sim/planted`. Built without much
//! optimisation: a search mostly takes less time than a build.
#![expect(clippy::disallowed_methods, reason = "says how long real searches took")]

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use serde::Deserialize;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Plants bugs and has the simulator find them; exit status 1 when one stays hidden.
#[derive(Debug, Parser)]
struct Args {
    /// Only these, by the names of their files; else all.
    names: Vec<String>,
    /// Most seeds for each.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Most time for each, in seconds; a world that is under way then is run to its end.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Where the sources are copied to and built; a build that is there is used again.
    #[arg(long, default_value = "target/planted")]
    scratch: PathBuf,
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
}

/// How a bug was found.
#[derive(Debug)]
struct Found {
    rule: String,
    seeds: u64,
    took: Duration,
}

/// Folders of the sources that the simulator is built from.
const SOURCES: [&str; 8] =
    ["Cargo.toml", "Cargo.lock", "clippy.toml", "core", "runtime", "datapath", "sim", "tests"];

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut all = planted(Path::new("sim/planted"))?;
    if let Some(wrong) = args.names.iter().find(|name| !all.iter().any(|(known, _)| known == *name))
    {
        bail!("no planted bug is called `{wrong}`: see sim/planted");
    }
    all.retain(|(name, _)| args.names.is_empty() || args.names.contains(name));
    say(&format!("{:<22}{:<32}{:>6}{:>9}  what is wrong", "bug", "found by", "seeds", "seconds"));
    let mut hidden = 0;
    for (name, bug) in &all {
        let found = search(&args, bug).with_context(|| format!("with {name}.toml planted"))?;
        let (by, seeds, took) = match &found {
            Some(found) => (found.rule.as_str(), found.seeds, found.took),
            None => ("NOT FOUND", args.seeds, Duration::ZERO),
        };
        let is_named = bug.breaks.iter().any(|rule| rule == by);
        hidden += usize::from(!is_named);
        let remark =
            if found.is_some() && !is_named { "  (ANOTHER RULE THAN EXPECTED)" } else { "" };
        say(&format!(
            "{name:<22}{by:<32}{seeds:>6}{:>9.1}  {}{remark}",
            took.as_secs_f64(),
            bug.about
        ));
    }
    say(&format!("{} planted, {hidden} not found as expected", all.len()));
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

/// Builds the simulator with `bug` in it, and runs seeds until a rule is broken.
fn search(args: &Args, bug: &Planted) -> Result<Option<Found>> {
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
    let begun = Instant::now();
    let ran = Command::new(target.join("debug/sim"))
        .args(["explore", "--json", "--seed", "1", "--seeds", &args.seeds.to_string()])
        .args(["--for", &format!("{}s", args.seconds)])
        .output()?;
    let took = begun.elapsed();
    let lines = String::from_utf8_lossy(&ran.stdout);
    let verdicts = lines.lines().filter_map(|line| serde_json::from_str::<Verdict>(line).ok());
    let broken = verdicts.filter_map(|verdict| Some((verdict.seed, verdict.rule?))).next();
    Ok(match broken {
        Some((seed, rule)) => Some(Found { rule, seeds: seed, took }),
        None if ran.status.success() => None,
        None => {
            let text = String::from_utf8_lossy(&ran.stderr);
            let last = text.lines().last().unwrap_or("it said nothing");
            Some(Found { rule: format!("panic: {last}"), seeds: 0, took })
        }
    })
}

/// Copies what git knows of the sources, as it stands in the work tree. Files that are the same
/// keep their times, so that little is built anew.
fn copy(to: &Path) -> Result<()> {
    let listed = Command::new("git").arg("ls-files").arg("-z").args(SOURCES).output()?;
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

    #[test]
    fn every_bug_can_be_planted_in_the_sources_as_they_are() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let bugs = planted(&sources.join("sim/planted")).unwrap();
        assert!(bugs.len() >= 20, "only {} bugs", bugs.len());
        for (name, bug) in bugs {
            for edit in &bug.edit {
                edit.plant(&sources).unwrap_or_else(|why| panic!("{name}: {why}"));
            }
        }
    }
}
