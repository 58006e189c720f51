//! The rules of the house, over the repository as it stands.

use anyhow::{Context as _, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use weft_tests::circles::circles;
use weft_tests::command::run;
use weft_tests::tidy::{
    Source, UNSAFE_FILES_MAX, foreign_imports, missing_attributes, named_outside, too_long,
    unfinished, unsafe_files, without_dev_dependencies,
};

/// All that the core is built from; a newcomer needs a reason. Each is `no_std`.
const CORE_DEPENDENCIES: [&str; 16] = [
    "argon2",        // stretches the password
    "crypto_box",    // seals frames, as NaCl does
    "ed25519-dalek", // signs records
    "ipnet",         // addresses with a prefix
    "once_cell",     // a place for who watches, set once
    "postcard",      // bytes on the wire and on disk
    "rand_chacha",   // chance, from a seed
    "rand_core",     // what the crates above and below ask of chance
    "serde",         // messages are plain types
    "sha2",          // fingerprints
    "snow",          // the Noise handshake
    "spake2",        // a password that cannot be guessed offline
    "thiserror",     // errors
    "tracing",       // logs
    "x25519-dalek",  // keys of the handshake
    "zeroize",       // secrets are wiped
];

/// Where the crates have their modules. The simulator is left out until the rules no longer import
/// their list, nor streams their network.
const CRATES: [&str; 4] = ["core/src", "datapath/src", "runtime/src", "tests/src"];

/// Where the forbidden words are spelled out.
const RULES: [&str; 2] = ["tests/src/tidy.rs", "tests/tests/tidy.rs"];

/// Top of the repository.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files with the extension `kind` in the packages, by path.
fn sources(kind: &str) -> Result<Vec<Source>> {
    let mut found = BTreeMap::new();
    for package in ["core", "datapath", "runtime", "sim", "tests", "fuzz"] {
        collect(&top(), Path::new(package), kind, &mut found)?;
    }
    ensure!(!found.is_empty(), "no .{kind} file was found: the tests look in the wrong place");
    Ok(found.into_iter().map(|(path, text)| Source { path, text }).collect())
}

fn collect(
    top: &Path,
    folder: &Path,
    kind: &str,
    found: &mut BTreeMap<String, String>,
) -> Result<()> {
    let Ok(entries) = fs::read_dir(top.join(folder)) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                collect(top, &path, kind, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == kind) {
            found.insert(path.to_string_lossy().into_owned(), fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}

/// Direct dependencies of each package, by kind (`normal`, `dev`, `build`).
fn dependencies() -> Result<BTreeMap<String, BTreeMap<String, BTreeSet<String>>>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let text = run(cargo.current_dir(top()), Duration::from_secs(60))?.ok()?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let text = |value: &serde_json::Value, key: &str| value[key].as_str().map(str::to_owned);
    let mut packages = BTreeMap::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for dependency in package["dependencies"].as_array().context("no dependencies")? {
            let kind = text(dependency, "kind").unwrap_or_else(|| "normal".to_owned());
            let name = text(dependency, "name").context("a dependency without a name")?;
            kinds.entry(kind).or_default().insert(name);
        }
        packages.insert(text(package, "name").context("a package without a name")?, kinds);
    }
    Ok(packages)
}

#[test]
fn packages_import_only_what_lies_below_them() -> Result<()> {
    let mut all = BTreeMap::new();
    for (package, kinds) in dependencies()? {
        all.insert(package, kinds.into_values().flatten().collect::<BTreeSet<_>>());
    }
    let faults = foreign_imports(all.iter().map(|(name, imports)| (name.as_str(), imports)));
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn the_core_is_built_from_a_known_list() -> Result<()> {
    let packages = dependencies()?;
    let core = packages.get("weft-core").and_then(|kinds| kinds.get("normal"));
    let core: Vec<_> = core.context("no weft-core")?.iter().map(String::as_str).collect();
    ensure!(core == CORE_DEPENDENCIES, "weft-core depends on {core:?}");
    Ok(())
}

#[test]
fn tokio_is_named_only_in_the_runtime_and_the_simulator() -> Result<()> {
    let mut files = sources("rs")?;
    files.extend(sources("toml")?);
    files.retain(|file| !RULES.contains(&&*file.path));
    let files: Vec<_> = files.into_iter().map(without_dev_dependencies).collect();
    // What drives netlink when the datapath is tested is not what drives it in the product.
    let faults = named_outside("tokio", &["runtime/", "sim/", "datapath/tests/"], &files);
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn unsafe_code_lives_in_two_files_of_the_datapath() -> Result<()> {
    let mut files = sources("rs")?;
    files.retain(|file| !RULES.contains(&&*file.path));
    let found = unsafe_files(&files);
    let strays: Vec<_> = found.iter().filter(|path| !path.starts_with("datapath/src/")).collect();
    ensure!(strays.is_empty(), "unsafe code in {strays:?}");
    ensure!(found.len() <= UNSAFE_FILES_MAX, "unsafe code in more than two files: {found:?}");
    Ok(())
}

#[test]
fn the_core_has_no_standard_library_and_forbids_unsafe_code() -> Result<()> {
    let root = fs::read_to_string(top().join("core/src/lib.rs"))?;
    let wanted = ["#![no_std]", "#![forbid(unsafe_code)]", "#![warn(missing_docs)]"];
    let missing = missing_attributes(&root, &wanted);
    ensure!(missing.is_empty(), "core/src/lib.rs lacks {missing:?}");
    Ok(())
}

#[test]
fn nothing_is_left_for_later_and_no_test_is_skipped() -> Result<()> {
    let faults = unfinished(&sources("rs")?);
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn no_two_modules_of_a_crate_import_each_other() -> Result<()> {
    let sources = sources("rs")?;
    let found: Vec<_> = CRATES.iter().flat_map(|folder| circles(folder, &sources)).collect();
    ensure!(found.is_empty(), "circles of imports:\n{}", found.join("\n"));
    Ok(())
}

#[test]
fn no_file_is_too_long_to_be_read() -> Result<()> {
    let faults = too_long(&sources("rs")?);
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}
