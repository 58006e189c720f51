//! The catalogue: every scenario file, under several seeds.

use anyhow::{Result, ensure};
use sim::scenario::Scenario;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Seeds that each scenario is run with here; `sim run FILE --seeds K` runs more.
const SEEDS: u64 = 3;

/// Scenarios with more hosts than this are run with their own seed only.
const MANY: usize = 8;

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// All scenario files in a folder of the catalogue.
fn catalogue(folder: &str) -> Result<Vec<(PathBuf, Scenario)>> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(folder), &mut files)?;
    ensure!(!files.is_empty(), "no scenario in {folder}");
    let read = |path: PathBuf| {
        let scenario = Scenario::from_text(&std::fs::read_to_string(&path)?);
        let scenario = scenario.map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
        Ok((path, scenario))
    };
    files.into_iter().map(read).collect()
}

/// Runs all that neither waits for something nor takes long.
fn hold(folder: &str) -> Result<()> {
    for (path, scenario) in catalogue(folder)? {
        if !scenario.is_for_tests() {
            continue;
        }
        let first = scenario.setup.seed;
        let seeds = if scenario.setup.hosts > MANY { 1 } else { SEEDS };
        for seed in first..first + seeds {
            let verdict = scenario.clone().with_seed(seed).run();
            if let Some(violation) = verdict.violation {
                let path = path.display();
                let lines = verdict.lines.join("\n");
                anyhow::bail!("{violation}\n{path} with seed {seed}\n{lines}");
            }
        }
    }
    Ok(())
}

#[test]
fn scenarios_of_founding_hold() -> Result<()> {
    hold("founding")
}

#[test]
fn scenarios_of_addresses_hold() -> Result<()> {
    hold("addresses")
}

#[test]
fn scenarios_of_the_mesh_hold() -> Result<()> {
    hold("mesh")
}

#[test]
fn scenarios_of_names_hold() -> Result<()> {
    hold("names")
}

#[test]
fn scenarios_of_data_sessions_hold() -> Result<()> {
    hold("sleeve")
}

#[test]
fn scenarios_of_scale_hold() -> Result<()> {
    hold("scale")
}

#[test]
fn scenarios_of_insiders_and_outsiders_hold() -> Result<()> {
    hold("hostile")
}

#[test]
fn scenarios_of_limits_hold() -> Result<()> {
    hold("limits")
}

#[test]
fn every_scenario_is_in_a_folder_that_is_tested() -> Result<()> {
    let tested = ["founding", "addresses", "mesh", "names", "sleeve", "scale", "hostile", "limits"];
    let mut counted = 0;
    for folder in tested {
        counted += catalogue(folder)?.len();
    }
    ensure!(counted == catalogue(".")?.len(), "a scenario lies outside {tested:?}");
    Ok(())
}

/// The rows of the catalogue of known failures: letter, and how many.
const ROWS: &[(char, usize)] =
    &[('P', 10), ('I', 23), ('M', 15), ('D', 8), ('E', 14), ('X', 4), ('C', 5)];

#[test]
fn every_row_of_the_catalogue_is_a_scenario_or_said_to_be_checked_elsewhere() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(folder.join("SCENARIOS.md"))?;
    let elsewhere = guide.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let mut found: BTreeSet<String> = elsewhere.map(|(row, _)| row.to_owned()).collect();
    for (path, scenario) in catalogue(".")? {
        let text = std::fs::read_to_string(&path)?;
        let first = text.strip_prefix("# ").and_then(|text| text.lines().next());
        let Some(first) = first else {
            anyhow::bail!("{} does not begin with what it is about", path.display());
        };
        ensure!(scenario.title.len() > 10, "{} has no title", path.display());
        found.extend(first.split_once(". ").map(|(row, _)| row.to_owned()));
    }
    let rows =
        ROWS.iter().flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}")));
    let missing: Vec<String> = rows.filter(|row| !found.contains(row)).collect();
    ensure!(missing.is_empty(), "no scenario and no word about {missing:?}");
    Ok(())
}

/// Whether `key` has the value `name` anywhere in `value`; or is there at all, if no name is asked.
fn says(value: &toml::Value, key: &str, name: Option<&str>) -> bool {
    match value {
        toml::Value::Table(table) => {
            table.get(key).is_some_and(|is| name.is_none() || is.as_str() == name)
                || table.values().any(|inside| says(inside, key, name))
        }
        toml::Value::Array(values) => values.iter().any(|inside| says(inside, key, name)),
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => false,
    }
}

#[test]
fn every_fault_that_a_scenario_can_have_is_in_one_that_runs() -> Result<()> {
    #[derive(Debug, serde::Deserialize)]
    struct Kind {
        #[serde(rename = "kind")]
        _kind: sim::world::Nat,
    }
    #[derive(Debug, serde::Deserialize)]
    struct Says {
        #[serde(rename = "says")]
        _says: sim::world::Lie,
    }
    #[derive(Debug, serde::Deserialize)]
    struct How {
        #[serde(rename = "how")]
        _how: sim::host::disk::Flaw,
    }
    let mut running = Vec::new();
    for (path, scenario) in catalogue(".")? {
        if scenario.is_for_tests() {
            running.push(toml::from_str::<toml::Value>(&std::fs::read_to_string(path)?)?);
        }
    }
    let is_there =
        |key: &str, name: Option<&str>| running.iter().any(|scenario| says(scenario, key, name));
    let mut missing = Vec::new();
    for (key, names) in [
        ("do", names_of::<sim::world::Act>("do = '?'")),
        ("kind", names_of::<Kind>("kind = '?'")),
        ("says", names_of::<Says>("says = '?'")),
        ("how", names_of::<How>("how = '?'")),
    ] {
        ensure!(names.len() >= 2, "too few names were found: {names:?}");
        missing.extend(names.into_iter().filter(|name| !is_there(key, Some(name))));
    }
    let conditions = names_of::<sim::net::Conditions>("'?' = 0");
    missing.extend(conditions.into_iter().filter(|key| !is_there(key, None)));
    ensure!(missing.is_empty(), "no scenario that runs has {missing:?}");
    Ok(())
}

/// A few files of the catalogue that have all faults between them: always the one that has the most
/// of those that are still missing.
fn with_all_faults() -> Result<Vec<(PathBuf, Scenario)>> {
    let mut missing = names_of::<sim::world::Act>("do = '?'");
    let mut left = Vec::new();
    for (path, scenario) in catalogue(".")? {
        if scenario.waits.is_none() && scenario.setup.hosts <= MANY {
            let says = toml::from_str::<toml::Value>(&std::fs::read_to_string(&path)?)?;
            left.push((path, scenario, says));
        }
    }
    let mut chosen = Vec::new();
    while !missing.is_empty() {
        let has =
            |file: &toml::Value| missing.iter().filter(|it| says(file, "do", Some(it))).count();
        let most = left
            .iter()
            .enumerate()
            .max_by_key(|(index, (.., file))| (has(file), usize::MAX - index));
        let Some((best, _)) = most else { anyhow::bail!("no scenario has {missing:?}") };
        let (path, scenario, file) = left.swap_remove(best);
        let before = missing.len();
        missing.retain(|name| !says(&file, "do", Some(name)));
        ensure!(missing.len() < before, "no scenario of few hosts has {missing:?}");
        chosen.push((path, scenario));
    }
    Ok(chosen)
}

#[test]
fn a_scenario_with_whatever_fault_makes_the_same_run_twice() -> Result<()> {
    for (path, scenario) in with_all_faults()? {
        let (first, second) = (scenario.run(), scenario.run());
        ensure!(first.digest == second.digest, "sim.same-run: {}", path.display());
        let other = scenario.clone().with_seed(scenario.setup.seed.wrapping_add(1)).run();
        ensure!(first.digest != other.digest, "the seed means nothing to {}", path.display());
    }
    Ok(())
}

/// Names that a reader of scenario files knows: those in its complaint about one that it does not.
fn names_of<T: serde::de::DeserializeOwned>(text: &str) -> Vec<String> {
    let error = toml::from_str::<T>(text).err().map(|error| error.message().to_owned());
    let error = error.unwrap_or_default();
    let names = error.split_once("expected").map_or("", |(_, names)| names);
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_guide_to_scenarios_names_all_that_can_stand_in_one() -> Result<()> {
    #[derive(Debug, serde::Deserialize)]
    struct Faults {
        #[serde(rename = "faults")]
        _faults: sim::scenario::Class,
    }
    #[derive(Debug, serde::Deserialize)]
    struct Refuses {
        #[serde(rename = "refuses")]
        _refuses: sim::world::Refusal,
    }
    #[derive(Debug, serde::Deserialize)]
    struct Rots {
        #[serde(rename = "what")]
        _what: sim::host::disk::Rot,
    }
    #[derive(Debug, serde::Deserialize)]
    struct How {
        #[serde(rename = "how")]
        _how: sim::host::disk::Flaw,
    }
    #[derive(Debug, serde::Deserialize)]
    struct Says {
        #[serde(rename = "says")]
        _says: sim::world::Lie,
    }
    #[derive(Debug, serde::Deserialize)]
    struct What {
        #[serde(rename = "what")]
        _what: sim::host::report::Report,
    }
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("SCENARIOS.md");
    let guide = std::fs::read_to_string(guide)?;
    let known = [
        names_of::<sim::world::Act>("do = '?'"),
        names_of::<sim::scenario::Sight>("see = '?'"),
        names_of::<Faults>("faults = '?'"),
        names_of::<Refuses>("refuses = '?'"),
        names_of::<Rots>("what = '?'"),
        names_of::<How>("how = '?'"),
        names_of::<Says>("says = '?'"),
        names_of::<What>("what = '?'"),
        names_of::<sim::world::Limits>("'?' = 0"),
        names_of::<sim::net::Conditions>("'?' = 0"),
        names_of::<sim::world::Own>("'?' = 0"),
        names_of::<sim::scenario::End>("'?' = 0"),
    ];
    for names in known {
        ensure!(names.len() >= 3, "too few names were found: {names:?}");
        for name in names {
            ensure!(
                guide.contains(&format!("`{name}`")) || guide.contains(&format!("`{name} =")),
                "sim/SCENARIOS.md says nothing of `{name}`"
            );
        }
    }
    Ok(())
}
