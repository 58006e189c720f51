//! `sim list`.

use super::{pick, say};
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};

/// Lists scenario files: which there are, and which wait for something that is to be built.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// A file, or a folder with others in it
    #[arg(default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"))]
    folder: PathBuf,
}

impl List {
    pub(crate) fn run(self) -> Result<bool> {
        let mut files = Vec::new();
        collect(&self.folder, &mut files)?;
        ensure!(!files.is_empty(), "no scenario in {}", self.folder.display());
        let mut waiting = 0;
        for path in &files {
            let scenario = pick::read(path)?;
            let name = path.strip_prefix(&self.folder).unwrap_or(path).display().to_string();
            let state = if scenario.waits.is_some() { "waits" } else { "runs" };
            say(&format!(
                "{name:<36} {state:<6} {:>4} peers {:>4} steps  {}",
                scenario.setup.hosts,
                scenario.steps.len(),
                scenario.title
            ));
            if let Some(waits) = &scenario.waits {
                say(&format!("{:<36} for {waits}", ""));
                waiting += 1;
            }
        }
        say(&format!("{} scenarios, {waiting} of them wait", files.len()));
        Ok(true)
    }
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
        if entry.is_dir() || entry.extension().is_some_and(|ending| ending == "toml") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
