//! Makes a failing scenario small: fewer steps, fewer peers, a simpler network, shorter times, as
//! long as the same rule is broken, and where that is what a scenario expects, by the same step and in
//! the same way. Where an expectation came true before some steps were there, what is left must cause its
//! failure, too: nothing is gained by a scenario that looks too early.
//!
//! Every candidate is run with a few seeds, since whatever is taken away changes all later chances.
//! Steps are taken away in halves, quarters and so on down to single ones (Zeller and Hildebrandt,
//! "Simplifying and Isolating Failure-Inducing Input", 2002).

use crate::check::Violation;
use crate::net::{Conditions, Share};
use crate::peer::Peer;
use crate::scenario::{Deed, Scenario, Step};
use crate::world::{Act, Setup};
use std::collections::BTreeSet;
use std::time::Duration;
use weft_core::time::Instant;

/// How much work shrinking may be.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Seeds that each candidate is tried with, its own first.
    pub seeds: u64,
    /// Runs in all.
    pub runs: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { seeds: 4, runs: 4_000 }
    }
}

/// What shrinking came to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// Breaks the same rule, with its seed.
    pub scenario: Scenario,
    /// How.
    pub violation: Violation,
    /// Runs that it took.
    pub runs: usize,
}

/// Shrinks `scenario`; `None` when it breaks no rule.
pub fn shrink(
    scenario: &Scenario,
    effort: Effort,
    progress: impl FnMut(&Scenario),
) -> Option<Shrunk> {
    let best = scenario.clone().unfolded();
    let verdict = best.run();
    let violation = verdict.violation?;
    let wanted = verdict.failed_step.and_then(|number| best.steps.get(number.checked_sub(1)?));
    let wanted = wanted.cloned();
    let mut search =
        Search { best, violation, wanted, causes: Vec::new(), runs: 1, effort, progress };
    search.find_causes();
    search.cut_off();
    loop {
        let before = search.size();
        search.drop_steps();
        search.drop_peers();
        search.simplify_setup();
        search.simplify_steps();
        search.shorten();
        if search.size() >= before || search.is_over() {
            let Search { mut best, violation, runs, .. } = search;
            best.title = format!("{} of {}, shrunk", violation.rule, scenario.title);
            return Some(Shrunk { scenario: best, violation, runs });
        }
    }
}

/// What can have caused that an expectation failed.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// A fault.
    Fault,
    /// Anything that was done, faults or commands.
    Act,
    /// How the world was set up: walls, its network, what hosts do otherwise.
    Setup,
}

impl Cause {
    const ALL: [Self; 3] = [Self::Fault, Self::Act, Self::Setup];

    /// `scenario` without all that can be this cause; `wanted` stays, if it is a command.
    fn removed(self, scenario: &Scenario, wanted: &Step) -> Scenario {
        let is_cause = |step: &Step| match (&step.deed, self) {
            (Deed::See { .. }, _) => false,
            (deed, _) if *deed == wanted.deed => false,
            (Deed::Act { act, .. }, Self::Fault) => is_fault(act),
            (Deed::Act { .. }, Self::Act) => true,
            (Deed::Act { .. }, Self::Setup) => false,
        };
        let mut without = scenario.clone();
        if let Self::Setup = self {
            let Setup { seed, hosts, universe, .. } = scenario.setup;
            // Steps name addresses of the range; all else is as nobody said anything.
            without.setup = Setup { universe, ..Setup::new(seed, hosts) };
        }
        without.steps.retain(|step| !is_cause(step));
        without
    }
}

/// Whether `act` does harm: it is no command, repairs nothing, and starts nothing.
const fn is_fault(act: &Act) -> bool {
    let is_harmless = matches!(
        act,
        Act::Start { .. }
            | Act::Settings { .. }
            | Act::Mend { .. }
            | Act::Heal
            | Act::MendDisk { .. }
            | Act::Born { .. }
            | Act::Die { .. }
            | Act::Send { .. }
    );
    !is_harmless && !act.is_command()
}

struct Search<P> {
    best: Scenario,
    violation: Violation,
    /// The step whose expectation failed, if that is what is broken. When it is does not matter.
    wanted: Option<Step>,
    /// What it takes for the expectation to fail: without it what is expected comes true.
    causes: Vec<Cause>,
    runs: usize,
    effort: Effort,
    progress: P,
}

impl<P: FnMut(&Scenario)> Search<P> {
    /// How large the best scenario is, by what matters most first.
    fn size(&self) -> (usize, usize, usize, Duration) {
        let Scenario { setup, steps, .. } = &self.best;
        let network = usize::from(setup.conditions != Conditions::default()) + setup.walls.len();
        let end = steps.last().map_or(Duration::ZERO, |step| step.at.since(Instant::ZERO));
        (steps.len(), setup.hosts, network + setup.own.len(), end)
    }

    /// Finds out what can have caused that the expectation failed.
    fn find_causes(&mut self) {
        let Some(wanted) = &self.wanted else { return };
        for cause in Cause::ALL {
            self.runs += 1;
            if cause.removed(&self.best, wanted).run().violation.is_none() {
                self.causes.push(cause);
            }
        }
    }

    /// Whether `candidate`, in which `wanted` fails, holds as the original does without what caused it.
    fn is_caused(&mut self, candidate: &Scenario, wanted: &Step) -> bool {
        let holds = |cause: &Cause| {
            self.runs += 1;
            cause.removed(candidate, wanted).run().violation.is_none()
        };
        self.causes.iter().all(holds)
    }

    const fn is_over(&self) -> bool {
        self.runs >= self.effort.runs
    }

    /// Keeps `candidate` if it breaks the same rule with some seed. Returns whether it does.
    ///
    /// One whose operators err, while those of the best do not, is none: it would break a rule for
    /// a reason of its own.
    fn try_out(&mut self, candidate: &Scenario) -> bool {
        self.try_for(candidate, self.wanted.clone())
    }

    /// The same, where the step whose expectation must fail is `wanted`.
    fn try_for(&mut self, candidate: &Scenario, wanted: Option<Step>) -> bool {
        let candidate = candidate.clone().without_void_steps();
        let (old, new) = (&self.best.setup, &candidate.setup);
        if old.is_joined() && !new.is_joined() || old.founds_once() && !new.founds_once() {
            return false;
        }
        for seed in std::iter::once(candidate.setup.seed).chain(1..self.effort.seeds) {
            if self.is_over() {
                return false;
            }
            let candidate = candidate.clone().with_seed(seed);
            self.runs += 1;
            let verdict = candidate.run();
            let failed = verdict.failed_step.and_then(|number| number.checked_sub(1));
            let failed = failed.and_then(|number| candidate.steps.get(number));
            let is_wanted = failed.map(|step| &step.deed) == wanted.as_ref().map(|step| &step.deed);
            if let Some(violation) = verdict.violation
                && violation.rule == self.violation.rule
                && is_wanted
                && wanted.as_ref().is_none_or(|wanted| {
                    words(&violation) == words(&self.violation)
                        && self.is_caused(&candidate, wanted)
                })
            {
                (self.progress)(&candidate);
                (self.best, self.violation, self.wanted) = (candidate, violation, wanted);
                return true;
            }
        }
        false
    }

    fn try_steps(&mut self, steps: Vec<Step>) -> bool {
        let candidate = Scenario { steps, ..self.best.clone() };
        self.try_out(&candidate)
    }

    /// What comes after the violation did not cause it.
    fn cut_off(&mut self) {
        let at = self.violation.at;
        let before = self.best.steps.iter().filter(|step| step.at <= at).cloned().collect();
        self.try_steps(before);
    }

    fn drop_steps(&mut self) {
        let mut len = self.best.steps.len().div_ceil(2);
        while len > 0 {
            let mut begin = 0;
            while begin < self.best.steps.len() && !self.is_over() {
                let mut steps = self.best.steps.clone();
                let end = steps.len().min(begin + len);
                steps.drain(begin..end);
                if !self.try_steps(steps) {
                    begin += len;
                }
            }
            len = if len == 1 { 0 } else { len.div_ceil(2) };
        }
    }

    fn drop_peers(&mut self) {
        let mut host = self.best.setup.hosts;
        while host > 0 && !self.is_over() {
            host -= 1;
            if self.best.setup.hosts <= 1 {
                return;
            }
            let Some(candidate) = self.best.without(Peer(host)) else { continue };
            // The step that is wanted names its peers anew, too.
            let only = |step| Scenario { steps: vec![step], ..self.best.clone() };
            match self.wanted.clone().map(only) {
                None => self.try_out(&candidate),
                Some(only) => {
                    match only.without(Peer(host)).and_then(|it| it.steps.first().cloned()) {
                        None => false,
                        wanted @ Some(_) => self.try_for(&candidate, wanted),
                    }
                }
            };
        }
    }

    fn simplify_setup(&mut self) {
        let usual = Setup::new(0, self.best.setup.hosts);
        let universe = usual.universe;
        self.try_setup(|setup| setup.conditions = Conditions::default());
        self.try_setup(|setup| {
            let Conditions { latency, jitter, .. } = Conditions::default();
            (setup.conditions.latency, setup.conditions.jitter) = (latency, jitter);
        });
        self.try_setup(|setup| setup.conditions = setup.conditions.calm());
        self.try_setup(|setup| setup.conditions.loss = Share::NONE);
        self.try_setup(|setup| {
            let conditions = &mut setup.conditions;
            (conditions.duplication, conditions.echo) = (Share::NONE, Duration::ZERO);
        });
        self.try_setup(|setup| setup.walls.clear());
        self.try_setup(|setup| setup.universe = universe);
        for peer in self.best.setup.own.clone().keys() {
            self.try_setup(|setup| {
                setup.own.remove(peer);
            });
        }
    }

    fn try_setup(&mut self, change: impl FnOnce(&mut Setup)) {
        let mut candidate = self.best.clone();
        change(&mut candidate.setup);
        if candidate.setup != self.best.setup {
            self.try_out(&candidate);
        }
    }

    fn simplify_steps(&mut self) {
        for index in 0..self.best.steps.len() {
            let Some(Step { deed: Deed::Act { act, .. }, .. }) = self.best.steps.get(index) else {
                continue;
            };
            for act in simpler(act) {
                let mut steps = self.best.steps.clone();
                if let Some(Step { deed: Deed::Act { act: old, .. }, .. }) = steps.get_mut(index) {
                    *old = act;
                }
                if self.is_over() || self.try_steps(steps) {
                    break;
                }
            }
        }
    }

    /// Moves steps nearer to the one before, and to round times.
    fn shorten(&mut self) {
        for index in 0..self.best.steps.len() {
            let Some(at) = self.best.steps.get(index).map(|step| step.at) else { break };
            let before = index.checked_sub(1).and_then(|index| self.best.steps.get(index));
            let before = before.map_or(Instant::ZERO, |step| step.at);
            let gap = at.since(before);
            for (wait, round) in [
                (Duration::ZERO, 100),
                (Duration::from_secs(1), 100),
                (Duration::from_secs(5), 1_000),
                (gap / 2, 1_000),
                (gap, 1_000),
                (gap, 100),
            ] {
                let rounder = rounded(before + wait, round).max(before);
                if rounder < at {
                    let shift = at.since(rounder);
                    let mut steps = self.best.steps.clone();
                    for step in steps.iter_mut().skip(index) {
                        step.at =
                            Instant::ZERO + step.at.since(Instant::ZERO).saturating_sub(shift);
                    }
                    if self.is_over() || self.try_steps(steps) {
                        break;
                    }
                }
            }
        }
    }
}

/// How an expectation failed, whoever it was and however often: that a name is not answered as it
/// should be is another failure than that it is not answered.
fn words(violation: &Violation) -> Vec<&str> {
    let is_number = |word: &&str| word.bytes().any(|byte| byte.is_ascii_digit());
    violation.detail.split_whitespace().filter(|word| !is_number(word)).collect()
}

/// `at`, rounded down to so many milliseconds.
fn rounded(at: Instant, millis: u64) -> Instant {
    let whole = at.as_nanos() / 1_000_000 / millis * millis;
    Instant::ZERO + Duration::from_millis(whole)
}

/// Acts that do less of the same, least first.
fn simpler(act: &Act) -> Vec<Act> {
    if let Act::Crash { peer, after, power } = act {
        let all = [(None, false), (None, *power), (*after, false)];
        let new = all.into_iter().filter(|new| *new != (*after, *power));
        return new.map(|(after, power)| Act::Crash { peer: *peer, after, power }).collect();
    }
    if let Act::Partition { side } = act
        && side.len() > 1
    {
        let one = |peer: &Peer| Act::Partition { side: BTreeSet::from([*peer]) };
        return side.iter().map(one).collect();
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n1` owns everything, and gives `n2` an address. Its disk is put back to before, and out of
    /// reach of `n2` it gives the same address to `n3`. Everything else has nothing to do with it.
    const MUCH: &str = r#"
title = "much goes on"
peers = 5
voters = 1
peer = { n1 = { dials = [] }, n2 = { observer = true, dials = ["n1"] }, n3 = { observer = true, late = true, dials = ["n1"] }, n4 = { observer = true, late = true, dials = [] }, n5 = { observer = true } }
step = [
    { at = "2s", do = "network", conditions = { latency = "20ms", jitter = "5ms" } },
    { at = "3s", do = "allocate", peer = "n1", container = "a" },
    { at = "5s", do = "snapshot", peer = "n1", name = "all mine" },
    { at = "5500ms", do = "pause", peer = "n5", for = "2s" },
    { at = "6s", do = "claim", peer = "n2", container = "b", address = "10.32.0.200" },
    { at = "7s", do = "crash", peer = "n5" },
    { at = "8s", do = "start", peer = "n5" },
    { at = "12s", do = "claim", peer = "n1", container = "a", address = "10.32.0.90" },
    { at = "15s", do = "cut", from = "n5", to = "n2" },
    { at = "20s", do = "partition", side = ["n2", "n5"] },
    { at = "21s", do = "restore", peer = "n1", name = "all mine" },
    { at = "22s", do = "start", peer = "n1" },
    { at = "23s", do = "start", peer = "n3" },
    { at = "30s", do = "allocate", peer = "n3", container = "g" },
    { at = "55s", do = "claim", peer = "n3", container = "c", address = "10.32.0.200" },
    { at = "58s", do = "release", peer = "n3", container = "g" },
    { at = "1m", do = "heal" },
    { at = "1m", do = "allocate", peer = "n5", container = "e" },
]
"#;

    #[test]
    fn what_has_nothing_to_do_with_a_failure_is_taken_away() {
        let much = Scenario::from_text(MUCH).unwrap();
        let shrunk = shrink(&much, Effort::default(), |_| {}).expect("it breaks a rule");
        assert_eq!(shrunk.violation.rule, "ipam.one-owner");
        let (text, left) = (shrunk.scenario.to_text(), shrunk.scenario);
        assert!(left.steps.len() <= 5 && left.setup.hosts == 2, "{text}");
        assert!(text.contains("restore") && text.contains("claim"), "{text}");
    }

    /// The last step but one cannot come true. Without the first, the second cannot either.
    const SEVERAL: &str = r#"
title = "several things are expected"
peers = 4
step = [
    { at = "3s", do = "allocate", peer = "n1", container = "a" },
    { at = "6s", see = "holds", peer = "n1", container = "a" },
    { at = "7s", do = "allocate", peer = "n4", container = "d", expect = "ok" },
    { at = "12s", see = "holds", peer = "n3", container = "never" },
    { at = "20s", do = "allocate", peer = "n2", container = "b", expect = "ok" },
]
"#;

    #[test]
    fn the_expectation_that_failed_is_the_one_that_is_left() {
        let several = Scenario::from_text(SEVERAL).unwrap();
        assert_eq!(several.run().failed_step, Some(4));
        let shrunk = shrink(&several, Effort::default(), |_| {}).expect("it breaks a rule");
        let text = shrunk.scenario.to_text();
        assert_eq!(shrunk.scenario.steps.len(), 1, "{text}");
        assert_eq!(shrunk.scenario.setup.hosts, 1, "{text}");
        assert!(text.contains("never"), "{text}");
    }

    #[test]
    fn what_an_expectation_failed_for_is_left_too() {
        let one = r#"
title = "one address, and two are expected"
peers = 3
step = [
    { at = "3s", do = "allocate", peer = "n1", container = "a" },
    { at = "4s", do = "allocate", peer = "n3", container = "b" },
    { at = "6s", do = "register", peer = "n1", container = "a" },
    { at = "9s", see = "answers", peers = ["n1"], container = "a", addresses = 2 },
]
"#;
        let shrunk = shrink(&Scenario::from_text(one).unwrap(), Effort::default(), |_| {});
        let shrunk = shrunk.expect("it breaks a rule");
        let text = shrunk.scenario.to_text();
        assert!(shrunk.violation.detail.contains("with 1 addresses, not 2"), "{text}");
        assert!(text.contains("register") && shrunk.scenario.steps.len() == 3, "{text}");
    }

    /// `n2` hears nothing of the name while it is cut off. Whoever looks at once sees the same, cut off
    /// or not.
    const CUT: &str = r#"
title = "a name is told to a host that is cut off"
peers = 3
step = [
    { at = "3s", do = "allocate", peer = "n1", container = "a", expect = "ok" },
    { at = "5s", do = "allocate", peer = "n3", container = "b" },
    { at = "8s", do = "pause", peer = "n3", for = "1s" },
    { at = "9s", do = "partition", side = ["n2"] },
    { at = "10s", do = "register", peer = "n1", container = "a", expect = "ok" },
    { at = "11s", do = "crash", peer = "n3" },
    { at = "13s", see = "answers", peers = ["n2"], container = "a" },
]
"#;

    #[test]
    fn the_fault_that_an_expectation_failed_for_is_left() {
        let cut = Scenario::from_text(CUT).unwrap();
        let shrunk = shrink(&cut, Effort::default(), |_| {}).expect("it breaks a rule");
        let text = shrunk.scenario.to_text();
        assert!(text.contains("partition") && text.contains("register"), "{text}");
        assert!(!text.contains("pause") && !text.contains("crash"), "{text}");
        assert!(shrunk.scenario.steps.len() == 4, "{text}");
    }

    #[test]
    fn what_of_the_set_up_an_expectation_failed_for_is_left() {
        for setup in ["walls = [['n1', 'n3']]", "peer = { n3 = { password = 'other' } }"] {
            let text = format!(
                "title = 't'\npeers = 3\ndiscovery = false\n{setup}\n\
                 step = [\n{{ at = '9s', do = 'allocate', peer = 'n1', container = 'a' }},\n\
                 {{ at = '20s', see = 'linked', peers = ['n1'], with = ['n3'] }}]"
            );
            let shrunk = shrink(&Scenario::from_text(&text).unwrap(), Effort::default(), |_| {});
            let left = shrunk.expect("it breaks a rule").scenario;
            let text = left.to_text();
            assert_eq!(left.steps.len(), 1, "{text}");
            assert!(!left.setup.walls.is_empty() || !left.setup.own.is_empty(), "{text}");
        }
    }

    #[test]
    fn the_command_that_an_expectation_failed_for_is_left() {
        let stopped = r#"
title = "a host is stopped"
peers = 2
step = [
    { at = "3s", do = "allocate", peer = "n1", container = "a" },
    { at = "8s", do = "stop", peer = "n2" },
    { at = "13s", see = "running", peers = ["n2"] },
]
"#;
        let shrunk = shrink(&Scenario::from_text(stopped).unwrap(), Effort::default(), |_| {});
        let text = shrunk.expect("it breaks a rule").scenario.to_text();
        assert!(text.contains("do = \"stop\"") && !text.contains("allocate"), "{text}");
    }
}
