//! `sim list`.

use super::{pick, say};
use anyhow::{Context as _, Result, ensure};
use sim::check::{CATALOGUE, OTHERS};
use std::path::{Path, PathBuf};

/// Lists scenario files: which there are, and which wait for something that is to be built.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Lists the rules instead, and what each property waits for that is not judged in full
    #[arg(long, conflicts_with = "folder")]
    rules: bool,
    /// A file, or a folder with others in it
    #[arg(default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"))]
    folder: PathBuf,
}

impl List {
    pub(crate) fn run(self) -> Result<bool> {
        if self.rules {
            rules();
            return Ok(true);
        }
        let mut files = Vec::new();
        collect(&self.folder, &mut files)?;
        ensure!(!files.is_empty(), "no scenario in {}", self.folder.display());
        let mut waiting = 0;
        for path in &files {
            let scenario = pick::read(path)?;
            let name = path.strip_prefix(&self.folder).unwrap_or(path).display().to_string();
            let state = match (&scenario.waits, &scenario.takes) {
                (Some(_), _) => "waits",
                (None, Some(_)) => "long",
                (None, None) => "runs",
            };
            say(&format!(
                "{name:<36} {state:<6} {:>4} peers {:>4} steps  {}",
                scenario.setup.hosts,
                scenario.steps.len(),
                scenario.title
            ));
            if let Some(waits) = &scenario.waits {
                say(&format!("{:<36} for {waits}", ""));
                waiting += 1;
            } else if let Some(takes) = &scenario.takes {
                say(&format!("{:<36} takes {takes}", ""));
            }
        }
        say(&format!("{} scenarios, {waiting} of them wait", files.len()));
        Ok(true)
    }
}

/// Prints every property with the rules that judge it, and the rules beside them.
fn rules() {
    for property in CATALOGUE {
        let state = if property.rules.is_empty() { "waits" } else { "judged" };
        say(&format!("{:<4} {state:<7} {}", property.id, property.says));
        if !property.rules.is_empty() {
            say(&format!("{:<12} by {}", "", property.rules.join(", ")));
        }
        if let Some(waits) = property.waits {
            say(&format!("{:<12} waits for {waits}", ""));
        }
    }
    for (rule, why) in OTHERS {
        say(&format!("{:<4} {:<7} {rule}: {why}", "", "besides"));
    }
    let waiting = CATALOGUE.iter().filter(|property| property.waits.is_some()).count();
    say(&format!("{} properties, {waiting} of them wait in part or in whole", CATALOGUE.len()));
}

/// All scenario files below `path`, in order of their names.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
    let mut entries = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<PathBuf>>>()?;
    entries.sort();
    for entry in entries {
        // A link may lead back up.
        let is_folder = entry.is_dir() && !entry.is_symlink();
        if is_folder || entry.extension().is_some_and(|ending| ending == "toml") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
