//! Steps as text: tables of a scenario file, one for each.

use super::file::one_line;
use super::sight::Sight;
use super::step::{Deed, Expected, Step};
use crate::peer::Peer;
use crate::world::Act;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;
use toml::{Table, Value};
use weft_core::time::Instant;

/// Latest time of a scenario, and longest time that it waits for anything: a small mesh is simulated for
/// so long in about a quarter of an hour.
const TIME_MAX: Duration = Duration::from_secs(100 * 24 * 3_600);

/// Most that one step has strangers or an insider send.
const COUNT_MAX: i64 = 100_000;

/// Most records almost as long as any may be: with half of them, a node with the usual limits is full.
const LONG_MAX: i64 = 4_000;

/// Most times that one step is repeated.
const REPEATS_MAX: usize = 100_000;

/// A table in one line, with the keys that say when, what and who before all others.
pub(super) fn inline(table: &Table) -> String {
    let rank = |key: &str| {
        let first = ["at", "do", "see", "not", "peer", "from", "to", "container"];
        first.iter().position(|known| *known == key).unwrap_or(first.len())
    };
    let mut entries: Vec<(&String, &Value)> = table.iter().collect();
    entries.sort_by_key(|(key, _)| rank(key));
    let entries: Vec<String> =
        entries.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", entries.join(", "))
}

/// A step as it is written.
pub(super) fn table(step: &Step) -> Table {
    let length = |length: Duration| Value::String(humantime::format_duration(length).to_string());
    let (written, mut more) = match &step.deed {
        Deed::Act { act, expect } => {
            let mut more = Table::new();
            if let Some(Expected { outcome, within }) = expect {
                more.insert("expect".to_owned(), Value::String(outcome.to_string()));
                if *within != Expected::WITHIN {
                    more.insert("within".to_owned(), length(*within));
                }
            }
            (Table::try_from(act), more)
        }
        Deed::See { sight, not, within, stays } => {
            let mut more = Table::new();
            if *not {
                more.insert("not".to_owned(), Value::Boolean(true));
            }
            for (key, time) in [("within", within), ("stays", stays)] {
                if !time.is_zero() {
                    more.insert(key.to_owned(), length(*time));
                }
            }
            (Table::try_from(sight), more)
        }
    };
    more.insert("at".to_owned(), length(step.at.since(Instant::ZERO)));
    more.extend(written.unwrap_or_default());
    more
}

/// All hosts that stand somewhere in a step; what something else is called is no host.
pub(super) fn named(value: &Value) -> BTreeSet<Peer> {
    let mut value = value.clone();
    let mut found = BTreeSet::new();
    rename(&mut value, &mut |peer| {
        found.insert(peer);
        Some(peer)
    });
    found
}

/// The step with its hosts called otherwise; `None` when it names one that is gone, unless that is
/// only one of several.
pub(super) fn moved(from: &Step, names: impl Fn(Peer) -> Option<Peer>) -> Option<Step> {
    let mut value = Value::Table(table(from));
    let mut names = names;
    let means_something = rename(&mut value, &mut names);
    let Value::Table(table) = value else { return None };
    means_something.then(|| step(table).ok()).flatten()
}

/// Renames all hosts in `value`. Returns whether it still means something.
fn rename(value: &mut Value, names: &mut impl FnMut(Peer) -> Option<Peer>) -> bool {
    match value {
        Value::String(text) => match text.parse().map(&mut *names) {
            Err(_) => true,
            Ok(None) => false,
            Ok(Some(peer)) => {
                *text = peer.to_string();
                true
            }
        },
        Value::Array(values) => {
            let were_any = !values.is_empty();
            values.retain_mut(|value| rename(value, names));
            !(were_any && values.is_empty())
        }
        Value::Table(table) => {
            let pings = table.get("see").and_then(Value::as_str) == Some("pings");
            let is_other = |key: &str| {
                ["container", "name", "password"].contains(&key) || pings && key == "to"
            };
            let mut entries = table.iter_mut().filter(|(key, _)| !is_other(key));
            entries.all(|(_, value)| rename(value, names))
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => true,
    }
}

/// Reads a step from its table.
pub(super) fn step(mut table: Table) -> Result<Step, String> {
    let at = take_time(&mut table, "at")?.ok_or("this step lacks `at = \"3s\"`, its time")?;
    let at = Instant::ZERO + at;
    let within = take_time(&mut table, "within")?;
    let stays = take_time(&mut table, "stays")?;
    let not = match table.remove("not") {
        None => false,
        Some(Value::Boolean(not)) => not,
        Some(other) => return Err(format!("`not = {other}`: expected true or false")),
    };
    let expect = table.remove("expect");
    let is_long = table.get("says").and_then(Value::as_str) == Some("long-records");
    let most = if is_long { LONG_MAX } else { COUNT_MAX };
    if let Some(count) = table.get("count").and_then(Value::as_integer)
        && count > most
    {
        return Err(format!("`count = {count}`: expected {most} at most"));
    }
    let deed = match (table.contains_key("do"), table.contains_key("see")) {
        (true, false) => {
            if stays.is_some() || not {
                return Err("`stays` and `not` are for what is seen, not for what is done".into());
            }
            let expect = match expect {
                None if within.is_some() => {
                    return Err("`within` needs `expect`: what is to come of the command".into());
                }
                None => None,
                Some(Value::String(text)) => {
                    let outcome = text.parse().map_err(|why| format!("{why}"))?;
                    Some(Expected { outcome, within: within.unwrap_or(Expected::WITHIN) })
                }
                Some(other) => return Err(format!("`expect = {other}`: expected a text")),
            };
            let act: Act = whole(table)?;
            if expect.is_some() && !act.is_command() {
                return Err(
                    "`expect` is for commands; this is a fault, which nobody answers".into()
                );
            }
            Deed::Act { act, expect }
        }
        (false, true) => {
            if expect.is_some() {
                return Err("`expect` is for commands; say with `see` what is to be seen".into());
            }
            let is_plain = within.is_none() && stays.is_none() && !not;
            let (within, stays) = (within.unwrap_or_default(), stays.unwrap_or_default());
            let sight: Sight = whole(table)?;
            if let Some((_, _, over)) = sight.budget() {
                if !is_plain {
                    return Err(
                        "what is counted `over` a time knows no other time, and no `not`".into()
                    );
                }
                if over.is_zero() {
                    return Err("`over = \"0s\"`: in no time nothing is counted".into());
                }
                not_too_long("over", over)?;
            }
            Deed::See { sight, not, within, stays }
        }
        (true, true) => return Err("a step either does something or sees something".into()),
        (false, false) => {
            return Err("a step needs `do = …`, what happens, or `see = …`, what is seen".into());
        }
    };
    Ok(Step { at, deed })
}

/// How often a step is done again, and until when.
pub(super) fn take_repeat(table: &mut Table) -> Result<Option<(Duration, Duration)>, String> {
    match (take_time(table, "every")?, take_time(table, "until")?) {
        (None, None) => Ok(None),
        (Some(Duration::ZERO), Some(_)) => Err("`every = \"0s\"`: expected a longer time".into()),
        (Some(every), Some(until)) => Ok(Some((every, until))),
        (Some(_) | None, Some(_) | None) => {
            Err("`every` and `until` belong together: `every = \"1s\", until = \"5m\"`".into())
        }
    }
}

/// The same step again and again after its first time.
pub(super) fn repeated(
    first: &Step,
    repeat: Option<(Duration, Duration)>,
) -> Result<Vec<Step>, String> {
    let Some((every, until)) = repeat else { return Ok(Vec::new()) };
    let (mut at, end) = (first.at + every, Instant::ZERO + until);
    let written = |time: Duration| humantime::format_duration(time);
    if end <= first.at {
        return Err(format!("`until = \"{}\"`: expected a time after `at`", written(until)));
    }
    let mut steps = Vec::new();
    while at < end {
        if steps.len() >= REPEATS_MAX {
            return Err(format!(
                "`every = \"{}\", until = \"{}\"`: repeated more than {REPEATS_MAX} times",
                written(every),
                written(until)
            ));
        }
        steps.push(Step { at, deed: first.deed.clone() });
        at += every;
    }
    Ok(steps)
}

fn take_time(table: &mut Table, key: &str) -> Result<Option<Duration>, String> {
    let Some(value) = table.remove(key) else { return Ok(None) };
    let Value::String(text) = &value else {
        return Err(format!("`{key} = {value}` is no time: write for example `\"250ms\"`"));
    };
    let time = humantime::parse_duration(text)
        .map_err(|why| format!("`{key}`: `{text}` is no time ({why})"))?;
    if time > TIME_MAX {
        return Err(too_long(key, text));
    }
    Ok(Some(time))
}

/// A run has an end that somebody can wait for.
pub(super) fn not_too_long(key: &str, time: Duration) -> Result<(), String> {
    let is_too_long = time > TIME_MAX;
    let written = || humantime::format_duration(time).to_string();
    if is_too_long { Err(too_long(key, &written())) } else { Ok(()) }
}

fn too_long(key: &str, written: &str) -> String {
    let most = TIME_MAX.as_secs() / (24 * 3_600);
    format!("`{key} = \"{written}\"`: expected {most} days at most")
}

/// Reads all of `table`.
fn whole<T: for<'de> Deserialize<'de>>(table: Table) -> Result<T, String> {
    let mut more = table.clone();
    more.insert("?".to_owned(), Value::Boolean(true));
    let read = Value::Table(table.clone()).try_into().map_err(|why| one_line(&why))?;
    // Variants with fields refuse unknown ones themselves; one without lets anything pass.
    let passes = Value::Table(more).try_into::<T>().is_ok();
    match table.keys().find(|key| !["do", "see"].contains(&key.as_str())) {
        Some(stray) if passes => Err(format!("unknown key `{stray}`: this step takes none")),
        Some(_) | None => Ok(read),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn a_step_that_is_repeated_is_as_many_steps() {
        let heal =
            |more| format!("title = 't'\npeers = 2\nstep = [{{ at = '1s', do = 'heal'{more} }}]");
        let read = |more| Scenario::from_text(&heal(more));
        let times: Vec<Instant> = read(", every = '2s', until = '7s'")
            .unwrap()
            .steps
            .iter()
            .map(|step| step.at)
            .collect();
        assert_eq!(times, [1, 3, 5].map(|second| Instant::ZERO + Duration::from_secs(second)));
        assert!(read(", every = '2s'").unwrap_err().why.contains("belong together"));
        assert!(read(", every = '0s', until = '7s'").unwrap_err().why.contains("longer time"));
        let often = read(", every = '1us', until = '7s'").unwrap_err().why;
        assert!(often.contains("`every = \"1us\", until = \"7s\"`: repeated more than"), "{often}");
        assert!(read(", every = '1s', until = '1s'").unwrap_err().why.contains("after `at`"));
    }
}
