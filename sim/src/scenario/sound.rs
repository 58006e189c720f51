//! What of a set-up or of an end cannot work or has no effect: a mistake of whoever wrote it.

use super::End;
use crate::check;
use crate::net::{Conditions, Share};
use crate::world::{Limits, Setup};
use std::collections::BTreeSet;
use std::time::Duration;
use toml::{Table, Value};

/// Whether two hosts with nodes of these limits can be a mesh at all. Of names, sessions and the time
/// of an allocation nodes look after themselves.
///
/// # Errors
/// Which limit leaves no room for it.
pub(super) fn limits(limits: &Limits) -> Result<(), String> {
    let leasts = [
        ("conns", limits.conns, 1),
        ("records", limits.records, 8),
        ("records-len", limits.records_len, 2_048),
        ("message-len", limits.message_len, 1_024),
        ("hops", limits.hops.map(usize::from), 1),
        ("waiting", limits.waiting, 1),
    ];
    let too_low = leasts.iter().find_map(|(key, given, least)| {
        given.filter(|given| given < least).map(|given| (key, given, least))
    });
    match too_low {
        Some((key, given, least)) => Err(format!(
            "`{key} = {given}`: expected {least} at least, else no mesh can come of it"
        )),
        None => Ok(()),
    }
}

/// Whether all that is said of a way has an effect: some keys need another.
///
/// # Errors
/// Which key has none, and what to give besides.
pub(super) fn conditions(conditions: &Conditions) -> Result<(), String> {
    let Conditions { duplication, echo, bursts, burst, held_up, hold_up, rate, queue, .. } =
        *conditions;
    let (never, no_time) = (Share::NONE, Duration::ZERO);
    let halves = [
        ("echo", echo != no_time, "duplication", duplication != never),
        ("bursts", bursts != never, "burst", burst != no_time),
        ("burst", burst != no_time, "bursts", bursts != never),
        ("held-up", held_up != never, "hold-up", hold_up != no_time),
        ("hold-up", hold_up != no_time, "held-up", held_up != never),
        ("queue", queue != Conditions::default().queue, "rate", rate.is_some()),
    ];
    let half = halves.into_iter().find(|(_, is_given, _, is_other)| *is_given && !is_other);
    match half {
        Some((key, _, other, _)) => {
            Err(format!("`{key}` without `{other}` has no effect: give both, or neither"))
        }
        None => Ok(()),
    }
}

/// Whether the list `key` of `table` names everything once.
///
/// # Errors
/// What it names twice.
pub(super) fn once(key: &str, table: &Table) -> Result<(), String> {
    let listed = table.get(key).and_then(Value::as_array).into_iter().flatten();
    let mut found = BTreeSet::new();
    match listed.filter_map(Value::as_str).find(|name| !found.insert(*name)) {
        Some(name) => Err(format!("`{key}` names `{name}` twice")),
        None => Ok(()),
    }
}

/// Whether a scenario can end so.
///
/// # Errors
/// What to write instead.
pub(super) fn end(end: &End, setup: &Setup) -> Result<(), String> {
    let written = |time: Duration| humantime::format_duration(time);
    let most = setup.settle_max();
    match end.within {
        Some(Duration::ZERO) => return Err("`within = \"0s\"`: expected a longer time".to_owned()),
        Some(within) if within > most => {
            return Err(format!(
                "`within = \"{}\"`: expected {} at most, for so long a healthy mesh may take; a longer \
                 time would ask for less",
                written(within),
                written(most)
            ));
        }
        Some(_) | None => {}
    }
    let rules: BTreeSet<&str> = check::all().iter().map(|rule| rule.name()).collect();
    let Some(rule) = end.except.iter().find(|it| !rules.contains(it.as_str())) else {
        return Ok(());
    };
    let names = |judged: &[&str]| judged.contains(&rule.as_str());
    let is_known = check::CATALOGUE.iter().any(|property| names(property.rules))
        || check::OTHERS.iter().any(|(name, _)| names(&[name]));
    if is_known {
        return Err(format!(
            "`{rule}` cannot be excepted: it is judged apart from those that a scenario can do without"
        ));
    }
    let rules: Vec<&str> = rules.into_iter().collect();
    Err(format!("no rule is called `{rule}`: there are {}", rules.join(", ")))
}
