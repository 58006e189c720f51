//! What clients of several daemons asked for and were told, and the judge of it.
//!
//! A call is known by when it was sent and when its answer came; what it did, it did in between, and
//! one that was not answered may have done it or not, or may yet do it. So of each address two spans
//! are known: it is *surely* held from an answered success until its release is asked for, and
//! *possibly* held from when it was asked for until its release is answered. The rules blame nobody for
//! what is only possible.
//!
//! The rules expect of a client that it asks for one thing of a container at a time, and that no two
//! containers have the same id.

use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Any address; the one that it has, if it has one.
    Allocate,
    /// Just this one.
    Claim(IpNet),
    /// To have none any more.
    Release,
}

/// What it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It holds this address.
    Holds(IpAddr),
    /// It holds none any more.
    Released,
    /// Nothing has changed, with the status of HTTP and why.
    Refused(u16, String),
    /// Nothing: the stream broke, or patience ended.
    Nothing(String),
}

/// One call, with times since the beginning of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which daemon was asked.
    pub host: usize,
    /// For which container.
    pub id: String,
    /// For what.
    pub ask: Ask,
    /// Before it was sent.
    pub start: Duration,
    /// After it was answered or given up.
    pub end: Duration,
    /// What came of it.
    pub told: Told,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, id, ask, start, end, told } = self;
        let (start, end) = (start.as_secs_f64(), end.as_secs_f64());
        write!(f, "{start:.6} to {end:.6} s, host {host}, {id}: {ask:?}: {told:?}")
    }
}

/// All that is known.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In any order.
    pub calls: Vec<Call>,
    /// When which daemon was launched again: the one before was dead by then, and what it had not done
    /// it did not do.
    pub launches: Vec<(usize, Duration)>,
    /// From when to when which daemon could not answer, for reasons that are ours.
    pub outages: Vec<(usize, Duration, Duration)>,
}

/// A rule that was broken, and by which calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Its name.
    pub rule: &'static str,
    /// Those calls that show it.
    pub calls: Vec<Call>,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule)?;
        self.calls.iter().try_for_each(|call| write!(f, "\n  {call}"))
    }
}

/// No two containers hold an address at the same time.
pub const ONE_HOLDER: &str = "one-holder";
/// Who holds an address and asks again is told that address.
pub const SAME_AGAIN: &str = "same-again";
/// Who holds an address is not told that it holds none, or that somebody else does.
pub const KEPT: &str = "kept";
/// What is refused is refused for a reason that fits what was asked.
pub const REASONS: &str = "reasons";
/// Nobody waits for long, nor in vain.
pub const IN_TIME: &str = "in-time";

/// No call takes longer, and how much longer it may seem to a client on a busy machine.
/// Source: `ANSWER_MAX` of the API.
const ANSWER_MAX: Duration = Duration::from_millis(10_000 + 500);

/// An address that is surely held.
#[derive(Clone, Copy, Debug)]
struct Span<'a> {
    from: Duration,
    to: Duration,
    by: &'a Call,
}

/// Of which address it is known when somebody had it.
#[derive(Debug, Default)]
struct Seen<'a> {
    held: BTreeMap<IpAddr, Vec<Span<'a>>>,
    /// Addresses that somebody was given, and may have lost again at once.
    gifts: Vec<(IpAddr, &'a Call)>,
}

impl<'a> Seen<'a> {
    fn note(&mut self, address: IpAddr, span: Span<'a>) {
        self.held.entry(address).or_default().push(span);
    }

    fn one_holder(mut self, breaches: &mut Vec<Breach>) {
        let same = |a: &Call, b: &Call| (a.host, &a.id) == (b.host, &b.id);
        let mut blame = |a: &Call, b: &Call| {
            let calls = vec![a.clone(), b.clone()];
            breaches.push(Breach { rule: ONE_HOLDER, calls });
        };
        for spans in self.held.values_mut() {
            spans.sort_by_key(|span| (span.from, span.to));
            let mut last: Option<&Span<'_>> = None;
            for span in spans.iter() {
                if let Some(last) = last
                    && last.to > span.from
                    && !same(last.by, span.by)
                {
                    blame(last.by, span.by);
                }
                last = Some(last.filter(|last| last.to > span.to).unwrap_or(span));
            }
        }
        for (address, call) in self.gifts {
            let spans = self.held.get(&address).map_or(&[][..], Vec::as_slice);
            let after = spans.partition_point(|span| span.from < call.start);
            if let Some(span) = after.checked_sub(1).and_then(|at| spans.get(at))
                && span.to > call.end
                && !same(span.by, call)
            {
                blame(span.by, call);
            }
        }
    }
}

impl History {
    /// All breaches of all rules.
    pub fn judge(&self) -> Vec<Breach> {
        let mut breaches = Vec::new();
        let mut seen = Seen::default();
        for calls in self.by_container().into_values() {
            self.see(&calls, &mut seen, &mut breaches);
        }
        seen.one_holder(&mut breaches);
        for call in &self.calls {
            if !self.is_in_time(call) {
                breaches.push(Breach { rule: IN_TIME, calls: vec![call.clone()] });
            }
            if let Told::Refused(status, why) = &call.told
                && !fits(call.ask, *status, why)
                && !(*status == 504 && self.was_out(call))
            {
                breaches.push(Breach { rule: REASONS, calls: vec![call.clone()] });
            }
        }
        breaches
    }

    /// The calls for each container, in order.
    fn by_container(&self) -> BTreeMap<(usize, &str), Vec<&Call>> {
        let mut by_container: BTreeMap<_, Vec<&Call>> = BTreeMap::new();
        for call in &self.calls {
            by_container.entry((call.host, call.id.as_str())).or_default().push(call);
        }
        for calls in by_container.values_mut() {
            calls.sort_by_key(|call| call.start);
        }
        by_container
    }

    /// Finds out when one container surely held which address, by its `calls`.
    fn see<'a>(&self, calls: &[&'a Call], seen: &mut Seen<'a>, breaches: &mut Vec<Breach>) {
        // Until it asks for the end of it.
        let mut holds: BTreeMap<IpAddr, Span<'a>> = BTreeMap::new();
        // A release that was not answered may yet be carried out.
        let mut may_lose = None;
        for call in calls {
            if may_lose.is_some_and(|lost| self.was_launched_between(lost, call)) {
                may_lose = None;
            }
            let breach =
                |rule, by: &Span<'_>| Breach { rule, calls: vec![by.by.clone(), (*call).clone()] };
            match (&call.told, call.ask) {
                (Told::Holds(address), ask) => {
                    let first = holds.values().next();
                    if let Some(first) = first
                        && ask == Ask::Allocate
                        && !holds.contains_key(address)
                    {
                        breaches.push(breach(SAME_AGAIN, first));
                    }
                    if may_lose.is_none() {
                        let span = Span { from: call.end, to: Duration::MAX, by: call };
                        holds.entry(*address).or_insert(span);
                    } else {
                        seen.gifts.push((*address, call));
                    }
                }
                (Told::Refused(_, why), Ask::Release) if why.contains(NOT_HELD) => {
                    breaches.extend(holds.values().next().map(|first| breach(KEPT, first)));
                }
                (Told::Refused(_, why), Ask::Claim(net)) if why.contains(TAKEN) => {
                    breaches.extend(holds.get(&net.addr()).map(|first| breach(KEPT, first)));
                }
                (Told::Refused(..) | Told::Nothing(_) | Told::Released, _) => {}
            }
            if call.ask == Ask::Release {
                for (address, span) in std::mem::take(&mut holds) {
                    seen.note(address, Span { to: call.start, ..span });
                }
                // Broken daemons say so, and may yet have written it down.
                let is_open = match &call.told {
                    Told::Nothing(_) => true,
                    Told::Refused(status, _) => *status >= 500,
                    Told::Holds(_) | Told::Released => false,
                };
                if is_open {
                    may_lose = Some(*call);
                }
            }
        }
        holds.into_iter().for_each(|(address, span)| seen.note(address, span));
    }

    /// Whether the daemon that `lost` was sent to was dead before `call` was sent to the next one.
    fn was_launched_between(&self, lost: &Call, call: &Call) -> bool {
        self.launches
            .iter()
            .any(|(host, at)| *host == call.host && lost.end <= *at && *at <= call.start)
    }

    fn is_in_time(&self, call: &Call) -> bool {
        call.end - call.start <= ANSWER_MAX || self.was_out(call)
    }

    /// Whether its daemon could not answer for a part of that time.
    fn was_out(&self, call: &Call) -> bool {
        self.outages
            .iter()
            .any(|(host, from, to)| *host == call.host && *from <= call.end && call.start <= *to)
    }

    /// How many calls came to what: for people.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.calls {
            let ask = match call.ask {
                Ask::Allocate => "allocate",
                Ask::Claim(_) => "claim",
                Ask::Release => "release",
            };
            let told = match &call.told {
                Told::Holds(_) | Told::Released => "done",
                Told::Refused(_, why) => REFUSALS
                    .iter()
                    .find(|(part, _)| why.contains(part))
                    .map_or("?", |found| found.0),
                Told::Nothing(_) => "no answer",
            };
            *counts.entry(format!("{ask}: {told}")).or_default() += 1;
        }
        counts
    }

    /// All containers that were asked for anything.
    pub fn containers(&self) -> BTreeSet<(usize, String)> {
        self.calls.iter().map(|call| (call.host, call.id.clone())).collect()
    }
}

const NOT_HELD: &str = "holds no address here";
const TAKEN: &str = "is taken";

/// What a refusal says, and whether it may be said of a request for an address and of a release.
/// Source: `CommandError` of the core, `AttachError`.
const REFUSALS: [(&str, [bool; 2]); 12] = [
    ("no free address in", [true, false]),
    ("needed to divide", [true, false]),
    ("after a restart a peer hands out addresses only once", [true, false]),
    ("not answered; try again", [true, false]),
    ("commands wait for addresses already", [true, false]),
    ("another call for", [true, true]),
    (TAKEN, [true, false]),
    ("which is not reachable", [true, false]),
    ("which did not answer within", [true, false]),
    (NOT_HELD, [false, true]),
    ("weft is stopping", [true, true]),
    ("the daemon had to stop", [true, true]),
];

/// Whether what was asked for may be refused so.
fn fits(ask: Ask, status: u16, why: &str) -> bool {
    let is_one = |(part, [of_address, of_release]): &(&str, [bool; 2])| {
        let is_meant = if ask == Ask::Release { *of_release } else { *of_address };
        // Only of one address can be said that somebody has it, or whose it is.
        let of_claim = [TAKEN, "which is not reachable", "which did not answer within"];
        is_meant && why.contains(part) && (ask != Ask::Allocate || !of_claim.contains(part))
    };
    [400, 503].contains(&status) && REFUSALS.iter().any(is_one)
}

#[cfg(test)]
mod tests;
