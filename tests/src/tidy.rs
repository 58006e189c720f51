//! The rules of the house, each a function that says what breaks it. They take text, so that each
//! can be shown to fail; `tests/tidy.rs` runs them over the repository.

use std::collections::BTreeSet;

/// A source file: its path from the top of the repository, and its text.
#[derive(Clone, Debug)]
pub struct Source {
    /// With `/` between folders.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// Most lines of a file: beyond it there are two nouns inside.
pub const LINES_MAX: usize = 900;

/// Most files with `unsafe` in them: a reader must be able to check them all.
pub const UNSAFE_FILES_MAX: usize = 2;

/// Our packages, and which of them each may import.
pub const IMPORTS: [(&str, &[&str]); 5] = [
    ("weft-core", &[]),
    ("weft-datapath", &["weft-core"]),
    ("weft", &["weft-core", "weft-datapath"]),
    ("sim", &["weft", "weft-core", "weft-datapath"]),
    ("weft-tests", &["sim", "weft", "weft-core", "weft-datapath"]),
];

/// Imports between our packages that the house does not allow, given each one's dependencies.
pub fn foreign_imports<'a>(
    packages: impl IntoIterator<Item = (&'a str, &'a BTreeSet<String>)>,
) -> Vec<String> {
    let ours: BTreeSet<_> = IMPORTS.iter().map(|(name, _)| *name).chain(["weft-fuzz"]).collect();
    let mut faults = Vec::new();
    for (package, imports) in packages {
        let rule = IMPORTS.iter().find(|(name, _)| *name == package);
        let Some((_, allowed)) = rule else {
            faults.push(format!("no rule says what {package} may import"));
            continue;
        };
        let imports = imports.iter().map(String::as_str).filter(|name| ours.contains(name));
        let foreign = imports.filter(|name| !allowed.contains(name));
        faults.extend(foreign.map(|name| format!("{package} may not import {name}")));
    }
    faults
}

/// `source` without what only its tests are built from, if it is a `Cargo.toml`.
pub fn without_dev_dependencies(source: Source) -> Source {
    if !source.path.ends_with("Cargo.toml") {
        return source;
    }
    let mut is_dev = false;
    let kept = source.text.lines().map(|line| {
        if line.starts_with('[') {
            is_dev = line.starts_with("[dev-dependencies");
        }
        // Empty lines in their place keep the numbers of the others.
        if is_dev { "" } else { line }
    });
    let text = kept.collect::<Vec<_>>().join("\n");
    Source { text, ..source }
}

/// Files outside `folders` whose code names `word`.
pub fn named_outside(word: &str, folders: &[&str], sources: &[Source]) -> Vec<String> {
    let inside = |path: &str| folders.iter().any(|folder| path.starts_with(folder));
    let outside = sources.iter().filter(|source| !inside(&source.path));
    outside.flat_map(|source| hits(source, |line| has_word(line, word))).collect()
}

/// Files with `unsafe` code.
pub fn unsafe_files(sources: &[Source]) -> BTreeSet<&str> {
    let is_unsafe = |line: &str| has_word(line, "unsafe") && !line.contains("#![forbid(");
    let with = sources.iter().filter(|source| !hits(source, is_unsafe).is_empty());
    with.map(|source| source.path.as_str()).collect()
}

/// Attributes that `root` (the text of a crate's `lib.rs`) lacks.
pub fn missing_attributes<'a>(root: &str, wanted: &[&'a str]) -> Vec<&'a str> {
    wanted.iter().copied().filter(|wanted| !root.lines().any(|line| line == *wanted)).collect()
}

/// Places where work was left for later, or a test is skipped.
pub fn unfinished(sources: &[Source]) -> Vec<String> {
    // In two parts, so that this file does not find itself.
    let marks =
        [["#[ign", "ore"], ["tod", "o!("], ["unimpl", "emented!("], ["FIX", "ME"], ["TO", "DO"]]
            .map(|parts| parts.concat());
    let is_mark = |line: &str| marks.iter().any(|mark| line.contains(mark));
    let all = |source: &Source| numbered(source, source.text.lines().enumerate(), is_mark);
    sources.iter().flat_map(all).collect()
}

/// Files of more than [`LINES_MAX`] lines.
pub fn too_long(sources: &[Source]) -> Vec<String> {
    let long = sources.iter().filter(|source| source.text.lines().count() > LINES_MAX);
    long.map(|source| format!("{}: over {LINES_MAX} lines", source.path)).collect()
}

/// `path:line: text` of the lines of code, not of comments, that `is_hit`.
fn hits(source: &Source, is_hit: impl Fn(&str) -> bool) -> Vec<String> {
    let code = source.text.lines().enumerate();
    let is_code = |line: &str| !line.trim_start().starts_with("//");
    numbered(source, code.filter(|(_, line)| is_code(line)), is_hit)
}

fn numbered<'a>(
    source: &Source,
    lines: impl Iterator<Item = (usize, &'a str)>,
    is_hit: impl Fn(&str) -> bool,
) -> Vec<String> {
    lines
        .filter(|(_, line)| is_hit(line))
        .map(|(n, line)| format!("{}:{}: {}", source.path, n + 1, line.trim()))
        .collect()
}

/// Whether `word` stands in `line` on its own, not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        !part(before.chars().next_back()) && !part(rest.chars().nth(word.chars().count()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    fn imports(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_import_against_the_grain_is_found() {
        for (package, import) in [
            ("weft-core", "weft-datapath"),
            ("weft-datapath", "weft"),
            ("weft", "sim"),
            ("weft", "weft-tests"),
            ("sim", "weft-fuzz"),
            ("weft-new", "serde"),
        ] {
            let found = foreign_imports([(package, &imports(&[import, "serde"]))]);
            assert_eq!(found.len(), 1, "{package} -> {import}: {found:?}");
        }
        assert!(foreign_imports([("weft", &imports(&["weft-core", "tokio"]))]).is_empty());
    }

    #[test]
    fn a_word_is_found_in_code_outside_its_folders_only() {
        let found = |path: &str, text: &str| {
            named_outside("tokio", &["runtime/", "sim/"], &[source(path, text)]).len()
        };
        assert_eq!(found("core/src/a.rs", "use tokio::net;"), 1);
        assert_eq!(found("core/Cargo.toml", "tokio.workspace = true"), 1);
        assert_eq!(found("runtime/src/a.rs", "use tokio::net;"), 0);
        assert_eq!(found("core/src/a.rs", "/// as tokio does\nlet tokiofied = 1;"), 0);
    }

    #[test]
    fn what_only_tests_are_built_from_is_left_out_of_a_manifest_and_of_nothing_else() {
        let text = "[dependencies]\na = 1\n[dev-dependencies]\ntokio = 1\n[dependencies.b]\nc = 1";
        let kept = |path| without_dev_dependencies(source(path, text)).text;
        assert_eq!(kept("a/Cargo.toml"), "[dependencies]\na = 1\n\n\n[dependencies.b]\nc = 1");
        assert_eq!(kept("a/src/a.rs"), text);
        let named = |text| {
            let source = without_dev_dependencies(source("a/Cargo.toml", text));
            named_outside("tokio", &["runtime/"], &[source]).len()
        };
        assert_eq!(named("[dependencies]\ntokio = 1\n[dev-dependencies]\n"), 1);
        assert_eq!(named("[dependencies]\n[dev-dependencies]\ntokio = 1\n"), 0);
    }

    #[test]
    fn unsafe_code_is_found_and_talk_of_it_is_not() {
        let is_found = |text: &str| !unsafe_files(&[source("a.rs", text)]).is_empty();
        assert!(is_found("    unsafe { libc::open() }"));
        assert!(is_found("unsafe extern \"C\" fn f() {}"));
        assert!(!is_found("#![forbid(unsafe_code)]\n// unsafe is not needed\n"));
    }

    #[test]
    fn a_lacking_attribute_is_found_even_if_it_is_mentioned() {
        let root = "//! as `#![no_std]` has it\n#![forbid(unsafe_code)]\n";
        let wanted = ["#![no_std]", "#![forbid(unsafe_code)]"];
        assert_eq!(missing_attributes(root, &wanted), ["#![no_std]"]);
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_comments() {
        let bad = [["#[ign", "ore]"], ["tod", "o!()"], ["unimpl", "emented!()"], ["// FIX", "ME"]];
        for line in bad.map(|parts| parts.concat()) {
            assert_eq!(unfinished(&[source("a.rs", &line)]).len(), 1, "{line}");
        }
        assert!(unfinished(&[source("a.rs", "fn ignored() {} // to do so")]).is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(too_long(&[source("a.rs", &"\n".repeat(LINES_MAX + 1))]).len(), 1);
        assert!(too_long(&[source("a.rs", &"\n".repeat(LINES_MAX))]).is_empty());
    }
}
