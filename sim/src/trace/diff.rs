//! Where two runs part.

use super::entry::Entry;
use super::recording::Recording;
use super::show::{Columns, Paint};
use std::fmt::Write as _;

/// Which entries are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// All of them.
    All,
    /// State changes.
    Changes,
}

impl Level {
    fn of(self, recording: &Recording) -> Vec<&Entry> {
        let wanted = |entry: &&Entry| self == Self::All || entry.what.is_change();
        recording.entries.iter().filter(wanted).collect()
    }
}

/// The first entry in which two runs part, between `context` entries before it and behind it.
/// When that is a message, then the first state change in which they part as well.
pub fn diff(a: &Recording, b: &Recording, context: usize) -> String {
    let mut text = format!("- {}, digest {}\n", a.head.title, a.head.digest);
    let _ = writeln!(text, "+ {}, digest {}", b.head.title, b.head.digest);
    let Some(all) = parting(a, b, Level::All) else {
        let _ = writeln!(text, "the runs are the same: {} entries", a.entries.len());
        return text;
    };
    tell(&mut text, a, b, Level::All, all, context);
    let first = [a, b].map(|run| run.entries.get(all));
    if first.into_iter().flatten().any(|entry| entry.what.is_change()) {
        return text;
    }
    match parting(a, b, Level::Changes) {
        Some(changes) => tell(&mut text, a, b, Level::Changes, changes, context),
        None => text.push_str("\ntheir state changes are the same\n"),
    }
    text
}

/// The index of the first entry that only one of the runs has.
fn parting(a: &Recording, b: &Recording, level: Level) -> Option<usize> {
    let (a, b) = (level.of(a), level.of(b));
    let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    (same < a.len().max(b.len())).then_some(same)
}

fn tell(
    text: &mut String,
    a: &Recording,
    b: &Recording,
    level: Level,
    index: usize,
    context: usize,
) {
    let entries = [a, b].map(|run| level.of(run));
    let at = entries.iter().filter_map(|run| run.get(index)).map(|entry| entry.at).min();
    let at = at.map_or_else(String::new, |at| format!(", at {at}"));
    let kind = match level {
        Level::All => "entry",
        Level::Changes => "state change",
    };
    let mut columns = Columns::new(a.head.hosts.max(b.head.hosts));
    let _ = writeln!(text, "\nthey part in {kind} {}{at}\n  {}", index + 1, columns.head());
    let begin = index.saturating_sub(context);
    let [a, b] = entries;
    for (number, entry) in a.iter().take(index).enumerate() {
        let line = columns.line(entry, Paint::Plain);
        if number >= begin {
            let _ = writeln!(text, "  {}", line.trim_end());
        }
    }
    for (sign, run) in [('-', a), ('+', b)] {
        let mut columns = columns.clone();
        if run.len() <= index {
            let _ = writeln!(text, "{sign} the run is over");
        }
        for entry in run.iter().skip(index).take(context + 1) {
            let line = columns.line(entry, Paint::Plain);
            let _ = writeln!(text, "{sign} {}", line.trim_end());
        }
    }
}
