//! Plays what a document says that people type on several hosts, and compares what is printed.
//!
//! Of a block of `console` each line with a prompt, `host1# COMMAND`, is a command, and what follows up to the
//! next one is what it prints. `…` stands for anything in a line, and alone for any lines; `{name}` is the
//! text that stood there first.

use crate::container::Container;
use crate::lab::Lab;
use crate::wait_until;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is only looked at is looked at again until it is as written, for so long: a peer that was denied an
/// address asks for it again after half a minute.
const PATIENCE: Duration = Duration::from_secs(45);

/// One command and what it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// On which host, counted from 1.
    pub host: usize,
    /// What.
    pub command: String,
    /// What it prints, on stdout and stderr.
    pub printed: Vec<String>,
}

/// What a document says is typed before its first section, and in each of those, under its title.
///
/// # Errors
/// When something is printed that nobody asked for.
pub fn stories(document: &str) -> Result<(Vec<Typed>, Vec<Story>)> {
    let mut parts: Vec<Story> = vec![(String::new(), Vec::new())];
    let mut is_console = false;
    for line in document.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            parts.push((title.to_owned(), Vec::new()));
        } else if let Some(language) = line.strip_prefix("```") {
            is_console = language == "console";
        } else if is_console {
            let (_, typed) = parts.last_mut().context("no part")?;
            match prompt(line) {
                Some((host, command)) => {
                    typed.push(Typed { host, command: command.to_owned(), printed: Vec::new() });
                }
                None => {
                    let last =
                        typed.last_mut().with_context(|| format!("nobody prints: {line}"))?;
                    last.printed.push(line.to_owned());
                }
            }
        }
    }
    let (_, begin) = parts.remove(0);
    Ok((begin, parts))
}

fn prompt(line: &str) -> Option<(usize, &str)> {
    let (host, command) = line.strip_prefix("host")?.split_once("# ")?;
    Some((host.parse().ok()?, command))
}

/// A title, and what is typed under it.
pub type Story = (String, Vec<Typed>);

/// Hosts on which something is typed.
#[derive(Debug)]
pub struct Stage {
    lab: Lab,
    containers: BTreeMap<String, Container>,
    known: BTreeMap<String, String>,
}

impl Stage {
    /// So many hosts, on which nothing was typed yet.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(hosts: u8) -> Result<Self> {
        let (containers, known) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { lab: Lab::full(hosts)?, containers, known })
    }

    /// Types it, and compares.
    ///
    /// # Errors
    /// When it prints something else.
    pub fn play(&mut self, typed: &Typed) -> Result<()> {
        let Typed { host, command, printed } = typed;
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["kill", "-9", "weft"] => return self.lab.host(*host).kill_daemon(),
            ["ip", "link", "set", "eth0", "down"] => return self.lab.unplug(*host),
            ["ip", "link", "set", "eth0", "up"] => return self.lab.plug(*host),
            ["weft", ..] => {}
            _ => bail!("nobody knows how to type `{command}` here"),
        }
        let args = self.args(&words[1..])?;
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let is_look =
            matches!(words[1..], ["status" | "ps", ..] | ["ipam", "reclaim", "--dry-run"]);
        let mut last = String::new();
        let mut found = None;
        let mut look = || -> bool {
            let Ok(done) = self.lab.host(*host).weft(&args) else { return false };
            last = format!("{}{}", done.stdout, done.stderr);
            found = matched(printed, &last, &self.known);
            found.is_some()
        };
        if is_look {
            let _ = wait_until("it is as written", PATIENCE, &mut look);
        } else {
            look();
        }
        let wanted = || printed.join("\n");
        let found = found.with_context(|| {
            format!("host{host}# {command}\nwanted:\n{}\nprinted:\n{last}", wanted())
        })?;
        self.known.extend(found);
        Ok(())
    }

    /// Ends all, and leaves nothing behind.
    ///
    /// # Errors
    /// What is left.
    pub fn finish(self) -> Result<()> {
        self.lab.finish()
    }

    /// What really stands for the words of a command: addresses of hosts, and namespaces of containers.
    fn args(&mut self, words: &[&str]) -> Result<Vec<String>> {
        let mut args: Vec<String> = Vec::new();
        for (n, word) in words.iter().enumerate() {
            let mut word = (*word).to_owned();
            for (name, text) in &self.known {
                word = word.replace(&format!("{{{name}}}"), text);
            }
            let is_dialed = words[0] == "launch" && n > 0 && words[n - 1] != "--nickname";
            if let Some(host) = word.strip_prefix("host").and_then(|n| n.parse().ok())
                && is_dialed
            {
                word = self.lab.host(host).address();
            }
            if matches!(words[0], "attach" | "detach") && n + 1 == words.len() {
                let container = match self.containers.get(&word) {
                    Some(container) => container,
                    None => {
                        let container = self.lab.container()?;
                        self.containers.entry(word.clone()).or_insert(container)
                    }
                };
                word.clone_from(&container.namespace);
            }
            args.push(word);
        }
        Ok(args)
    }
}

/// What `{name}`s stand for when `printed` is as `wanted`.
fn matched(
    wanted: &[String],
    printed: &str,
    known: &BTreeMap<String, String>,
) -> Option<BTreeMap<String, String>> {
    let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
    all(wanted, &lines, known)
}

fn all(
    wanted: &[String],
    lines: &[&str],
    known: &BTreeMap<String, String>,
) -> Option<BTreeMap<String, String>> {
    match (wanted, lines) {
        ([], []) => Some(known.clone()),
        ([any, rest @ ..], _) if any == "…" => {
            (0..=lines.len()).find_map(|skipped| all(rest, &lines[skipped..], known))
        }
        ([pattern, wanted @ ..], [line, lines @ ..]) => {
            let known = one(pattern, line, known)?;
            all(wanted, lines, &known)
        }
        ([], [_, ..]) | ([_, ..], []) => None,
    }
}

/// The same for one line.
fn one(
    pattern: &str,
    line: &str,
    known: &BTreeMap<String, String>,
) -> Option<BTreeMap<String, String>> {
    if let Some(rest) = pattern.strip_prefix('…') {
        return line
            .char_indices()
            .map(|(at, _)| at)
            .chain([line.len()])
            .find_map(|at| one(rest, &line[at..], known));
    }
    if let Some((name, rest)) = pattern.strip_prefix('{').and_then(|text| text.split_once('}')) {
        if let Some(text) = known.get(name) {
            return one(rest, line.strip_prefix(text.as_str())?, known);
        }
        let end = line.find([' ', '/']).unwrap_or(line.len());
        let mut known = known.clone();
        known.insert(name.to_owned(), line[..end].to_owned());
        return one(rest, &line[end..], &known);
    }
    match (pattern.chars().next(), line.chars().next()) {
        (None, None) => Some(known.clone()),
        (Some(wanted), Some(found)) if wanted == found => {
            one(&pattern[wanted.len_utf8()..], &line[found.len_utf8()..], known)
        }
        (Some(_) | None, Some(_) | None) => None,
    }
}

/// Asserts that there is anything to play.
///
/// # Errors
/// When there is not.
pub fn some(stories: &[Story]) -> Result<()> {
    ensure!(stories.iter().all(|(_, typed)| !typed.is_empty()), "a section without commands");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_as(wanted: &[&str], printed: &str) -> Option<String> {
        let wanted: Vec<String> = wanted.iter().map(|line| (*line).to_owned()).collect();
        let known = [("x".to_owned(), "10.0.0.7".to_owned())].into();
        let found = matched(&wanted, printed, &known)?;
        Some(found.get("y").cloned().unwrap_or_default())
    }

    #[test]
    fn what_is_printed_is_compared_line_by_line_with_what_is_written() {
        assert!(is_as(&[], "").is_some() && is_as(&["a"], "a\n").is_some());
        assert!(is_as(&["a"], "b").is_none() && is_as(&["a"], "a\nb").is_none());
        assert!(is_as(&["a", "b"], "a").is_none());
        assert!(is_as(&["a… c"], "a b b c").is_some() && is_as(&["a…c"], "a b").is_none());
        assert!(is_as(&["…", "c"], "a\nb\nc").is_some() && is_as(&["…", "c"], "a\nb").is_none());
        assert!(is_as(&["{x} is"], "10.0.0.7 is").is_some());
        assert!(is_as(&["{x} is"], "10.0.0.8 is").is_none());
        assert_eq!(is_as(&["it is {y}/28"], "it is 10.0.0.9/28").as_deref(), Some("10.0.0.9"));
    }

    #[test]
    fn a_document_says_what_is_typed_where() {
        let text =
            "```console\nhost1# a b\n```\n## One\n```\nno\n```\n```console\nhost2# c\nd\n```\n";
        let (begin, stories) = stories(text).unwrap();
        let typed = |host, command: &str, printed: &[&str]| Typed {
            host,
            command: command.to_owned(),
            printed: printed.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(begin, [typed(1, "a b", &[])]);
        assert_eq!(stories, [("One".to_owned(), vec![typed(2, "c", &["d"])])]);
    }
}
