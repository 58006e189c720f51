//! Circles of imports between the modules of one crate: two files that need each other are one
//! thing in two places. A file may lean on the module above it or on those beside it, but nothing
//! that it leans on may lean on it.

use crate::tidy::Source;
use std::collections::{BTreeMap, BTreeSet};

/// A module by the names that lead to it from the root of its crate.
type Module = Vec<String>;

/// One module as its text shows it.
#[derive(Debug, Default)]
struct Facts {
    /// Modules that it declares.
    children: BTreeSet<String>,
    /// Names that it passes on from its children, and where these are.
    passed_on: BTreeMap<String, Vec<String>>,
    /// Paths that it names, from the root.
    paths: BTreeSet<Vec<String>>,
}

/// Circles in the crate whose files lie in `folder`, such as `core/src`; each as `a -> b -> a`.
///
/// What is behind `#[cfg(test)]` at the end of a file does not count, nor does what a module merely
/// passes on from its children: who imports that leans on the child.
pub fn circles(folder: &str, sources: &[Source]) -> Vec<String> {
    let mut modules = BTreeMap::new();
    for source in sources {
        let Some(module) = module_of(folder, &source.path) else { continue };
        let facts = facts(&module, &source.text);
        modules.insert(module, facts);
    }
    let mut edges: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for (module, facts) in &modules {
        let found = facts.paths.iter().filter_map(|path| resolve(&modules, path));
        edges.insert(module, found.filter(|found| *found != module).collect());
    }
    let mut circles = BTreeSet::new();
    for start in modules.keys() {
        if let Some(circle) = way(&edges, start, start) {
            // Told once, from its first module on.
            let first = circle.iter().min();
            if first == Some(&start) {
                let names = circle.iter().chain([&start]).map(|module| name(module));
                circles.insert(names.collect::<Vec<_>>().join(" -> "));
            }
        }
    }
    circles.into_iter().collect()
}

fn name(module: &Module) -> String {
    if module.is_empty() { "crate".to_owned() } else { module.join("::") }
}

/// The shortest way from `from` over at least one edge to `to`, without `to` at its end.
fn way<'a>(
    edges: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
    from: &'a Module,
    to: &'a Module,
) -> Option<Vec<&'a Module>> {
    let mut came_from: BTreeMap<&Module, &Module> = BTreeMap::new();
    let mut next = vec![from];
    while !next.is_empty() {
        let mut later = Vec::new();
        for module in next {
            for reached in edges.get(module).into_iter().flatten() {
                if *reached == to {
                    let mut way = vec![module];
                    while let Some(before) = way.last().and_then(|last| came_from.get(*last)) {
                        way.push(before);
                    }
                    way.reverse();
                    return Some(way);
                }
                if *reached != from && !came_from.contains_key(reached) {
                    came_from.insert(reached, module);
                    later.push(*reached);
                }
            }
        }
        next = later;
    }
    None
}

/// The module whose text lies in the file `path`; `None` for a file of another crate or of tests.
fn module_of(folder: &str, path: &str) -> Option<Module> {
    let path = path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs")?;
    let mut names: Module = path.split('/').map(str::to_owned).collect();
    match names.last().map(String::as_str) {
        Some("main" | "tests") => return None,
        Some("lib" | "mod") => drop(names.pop()),
        Some(_) | None => {}
    }
    // Programs of their own, beside the library.
    (names.first().map(String::as_str) != Some("bin")).then_some(names)
}

fn facts(module: &Module, text: &str) -> Facts {
    let code = code(text);
    let mut facts = Facts::default();
    let words: Vec<&str> = code.split_whitespace().collect();
    for pair in words.windows(2) {
        if let ["mod", name] = pair
            && let Some(name) = name.strip_suffix(';')
        {
            facts.children.insert(name.to_owned());
        }
    }
    let mut inline = String::new();
    let mut left = code.as_str();
    // `use` stands at the start of a line, or behind `pub` and its like.
    while let Some((before, tree, after)) = next_use(left) {
        inline.push_str(before);
        let is_passed_on = before.trim_end().ends_with("pub")
            || before.trim_end().ends_with("pub(crate)")
            || before.trim_end().ends_with("pub(super)");
        let mut paths = Vec::new();
        expand(&[], tree, &mut paths);
        for path in paths {
            let (path, alias) = alias(path);
            let Some(full) = full(module, &facts.children, &path) else { continue };
            let is_below = full.len() > module.len() && full.starts_with(module);
            if is_passed_on && is_below {
                facts.passed_on.insert(alias, full);
            } else {
                facts.paths.insert(full);
            }
        }
        left = after;
    }
    inline.push_str(left);
    for path in inline_paths(&inline) {
        // A single name may be anything; only a path tells of a module.
        if path.len() > 1
            && let Some(full) = full(module, &facts.children, &path)
        {
            facts.paths.insert(full);
        }
    }
    facts
}

/// `text` without comments, strings and what only its tests are made from.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        if line == "#[cfg(test)]" {
            code.push_str("#[cfg(test)]\n");
            continue;
        }
        // A module of tests is the last thing in its file, or a file of its own.
        if code.ends_with("#[cfg(test)]\n") {
            code.truncate(code.len() - "#[cfg(test)]\n".len());
            if line.starts_with("mod ") && line.ends_with('{') {
                break;
            }
            continue;
        }
        let line = line.trim_start();
        let line = if line.starts_with("//") { "" } else { line };
        let mut is_text = false;
        let kept = line.chars().filter(|sign| {
            is_text ^= *sign == '"';
            !is_text
        });
        code.extend(kept);
        code.push('\n');
    }
    code
}

/// What is before the next `use`, its tree, and what follows.
fn next_use(text: &str) -> Option<(&str, &str, &str)> {
    let at = text.match_indices("use ").map(|(at, _)| at).find(|at| {
        let before = text.get(..*at).unwrap_or_default();
        before.is_empty()
            || before.ends_with('\n')
            || before.ends_with(") ")
            || before.ends_with("pub ")
    })?;
    let (before, rest) = text.split_at(at);
    let (tree, after) = rest.strip_prefix("use ")?.split_once(';')?;
    Some((before, tree, after))
}

/// All paths of a `use` tree, behind `prefix`.
fn expand(prefix: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    match tree.split_once('{') {
        Some((head, rest)) => {
            let mut prefix = prefix.to_vec();
            prefix.extend(names(head));
            let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
            let (mut depth, mut part) = (0_usize, String::new());
            for sign in inner.chars().chain([',']) {
                match sign {
                    '{' => depth += 1,
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if sign == ',' && depth == 0 {
                    expand(&prefix, &std::mem::take(&mut part), paths);
                } else {
                    part.push(sign);
                }
            }
        }
        None if tree.is_empty() => {}
        None => paths.push(prefix.iter().cloned().chain(names(tree)).collect()),
    }
}

fn names(path: &str) -> impl Iterator<Item = String> {
    path.split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// A path without its `as`, and the name that it goes by.
fn alias(mut path: Vec<String>) -> (Vec<String>, String) {
    let last = path.pop().unwrap_or_default();
    let (name, alias) = last.split_once(" as ").unwrap_or((&last, &last));
    path.push(name.trim().to_owned());
    let alias = alias.trim().to_owned();
    (path, alias)
}

/// Paths in code such as `crate::a::f()` and `child::f()`.
fn inline_paths(code: &str) -> impl Iterator<Item = Vec<String>> {
    let is_part = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == ':';
    let words = code.split(move |sign| !is_part(sign)).filter(|word| word.contains("::"));
    words.map(|word| names(word).collect())
}

/// `path`, as `module` names it, from the root of the crate; `None` when it leads elsewhere.
fn full(module: &Module, children: &BTreeSet<String>, path: &[String]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    let mut full: Vec<String> = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => module.split_last()?.1.to_vec(),
        child if children.contains(child) => {
            module.iter().cloned().chain([child.to_owned()]).collect()
        }
        _ => return None,
    };
    for name in rest {
        if name == "super" {
            full.pop()?;
        } else if name != "self" {
            full.push(name.clone());
        }
    }
    Some(full)
}

/// The module in which `path` ends: the longest module on its way, or the child that this one has
/// the next name from.
fn resolve<'a>(modules: &'a BTreeMap<Module, Facts>, path: &[String]) -> Option<&'a Module> {
    let longest = (0..=path.len()).rev().find_map(|len| {
        let (module, facts) = modules.get_key_value(path.get(..len)?)?;
        Some((module, facts, path.get(len)))
    });
    let (module, facts, next) = longest?;
    let passed_on =
        next.and_then(|name| facts.passed_on.get(name).or_else(|| facts.passed_on.get("*")));
    match passed_on {
        Some(origin) if origin.len() > module.len() => resolve(modules, origin),
        Some(_) | None => Some(module),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(path, text): &(&str, &str)| Source {
            path: format!("a/src/{path}"),
            text: (*text).to_owned(),
        };
        circles("a/src", &files.iter().map(source).collect::<Vec<_>>())
    }

    #[test]
    fn two_modules_that_need_each_other_are_a_circle_however_they_say_it() {
        for (one, two) in [
            ("use crate::two::Two;", "use crate::one::One;"),
            ("use super::two::{self, Two};", "pub fn f() { crate::one::f() }"),
            ("use crate::{\n    three::Three,\n    two::Two,\n};", "use super::one::One as Other;"),
            ("fn f() -> super::two::Two { todo() }", "pub(crate) use crate::one::*;"),
        ] {
            let files = [("lib.rs", "mod one;\nmod two;"), ("one.rs", one), ("two.rs", two)];
            assert_eq!(found(&files), ["one -> two -> one"], "{one} {two}");
        }
    }

    #[test]
    fn a_longer_circle_is_told_once_and_in_full() {
        let files = [
            ("a.rs", "use crate::b::B;"),
            ("b/mod.rs", "mod c;\nuse c::C;"),
            ("b/c.rs", "use crate::a::A;"),
        ];
        assert_eq!(found(&files), ["a -> b -> b::c -> a"]);
    }

    #[test]
    fn a_parent_that_only_passes_on_its_children_is_no_part_of_a_circle() {
        let files = [
            ("a/mod.rs", "mod x;\nmod y;\npub use x::{X, Z as W};\npub use y::Y;"),
            ("a/x.rs", "use super::Y;"),
            ("a/y.rs", "use std::fmt;"),
            ("b.rs", "use crate::a::{W, X};"),
        ];
        assert!(found(&files).is_empty(), "{:?}", found(&files));
        let circle = [("a/mod.rs", "mod x;\nuse x::X;"), ("a/x.rs", "use super::Parent;")];
        assert_eq!(found(&circle), ["a -> a::x -> a"]);
    }

    #[test]
    fn tests_comments_strings_and_names_from_elsewhere_are_no_imports() {
        let files = [
            ("a.rs", "use crate::b::B;"),
            (
                "b.rs",
                "//! As crate::a::A.\nuse std::a::A;\nconst S: &str = \"crate::a::A\";\n\
                 #[cfg(test)]\nmod tests {\n    use crate::a::A;\n}",
            ),
        ];
        assert!(found(&files).is_empty(), "{:?}", found(&files));
    }
}
