//! Looks whether what a scenario expects comes true, while its world runs.

use super::sight::Sight;
use super::step::{Deed, Expected, Outcome};
use crate::check::Violation;
use crate::peer::Peer;
use crate::trace;
use crate::world::{Act, Counted, World};
use std::time::Duration;
use weft_core::io::RequestId;
use weft_core::time::Instant;

/// What people call the rule that a scenario's expectations come true.
pub const EXPECTED: &str = "scenario.expected";

/// Open expectations are looked at this often.
const LOOK_WAIT: Duration = Duration::from_millis(100);

/// Why nothing is seen where those that run are meant.
const NOBODY: &str = "nobody runs of whom it could be so";

/// Expectations of one run that are not settled yet.
#[derive(Debug, Default)]
pub(super) struct Watch {
    open: Vec<Open>,
    /// The number of the step whose expectation failed.
    failed: Option<usize>,
    /// How many steps did nothing.
    void: usize,
}

/// One of them.
#[derive(Debug)]
struct Open {
    /// The number of its step, from 1.
    step: usize,
    /// When that is, for whoever looks for it in the file: one that is repeated counts as many.
    at: Instant,
    /// It must have come true by then.
    until: Instant,
    what: Expectation,
}

#[derive(Debug)]
enum Expectation {
    Answer { request: RequestId, outcome: Outcome },
    Budget { counted: Counted, most: u64, over: Duration, before: Vec<(Peer, u64)> },
    Sight { sight: Sight, not: bool, stays: Duration, since: Option<Instant>, ping: u64 },
}

/// How an expectation stands.
enum Standing {
    Met,
    Open(String),
    Failed(String),
}

impl Watch {
    /// Carries out what step number `step` does, and remembers what is to come of it.
    ///
    /// # Errors
    /// Something is expected of a step that does nothing at this moment.
    pub(super) fn step(
        &mut self,
        world: &mut World,
        step: usize,
        deed: &Deed,
    ) -> Result<(), Violation> {
        let begun = world.now;
        match deed {
            Deed::Act { act, expect } => {
                if let Some(why) = world.void(act) {
                    self.void += 1;
                    world.note_void(step, &why);
                    // What a step that does nothing is to come to would not be judged at all.
                    if let Some(awaited) = awaited(act, expect.as_ref()) {
                        let why = format!("it does nothing: {why}; expected {awaited}");
                        return Err(self.fails(world, step, begun, &why));
                    }
                }
                let asked = world.act(act);
                let Some(Expected { outcome, within }) = expect.clone() else { return Ok(()) };
                let Some(request) = asked else {
                    let why = format!("it gave no command; expected {outcome}");
                    return Err(self.fails(world, step, begun, &why));
                };
                let what = Expectation::Answer { request, outcome };
                self.open.push(Open { step, at: begun, until: begun + within, what });
            }
            Deed::See { sight, not, within, stays } => {
                if let Some((counted, most, over)) = sight.budget() {
                    let mut peers = sight.peers();
                    if peers.is_empty() {
                        peers = world.look().live().map(|(host, _)| Peer(host)).collect();
                    }
                    if peers.is_empty() {
                        return Err(self.fails(world, step, begun, NOBODY));
                    }
                    let count = |peer: Peer| (peer, world.count(peer.0, counted));
                    let before = peers.into_iter().map(count).collect();
                    let what = Expectation::Budget { counted, most, over, before };
                    self.open.push(Open { step, at: begun, until: begun + over, what });
                    return Ok(());
                }
                let (sight, ping) = (sight.clone(), world.new_ping());
                let what =
                    Expectation::Sight { sight, not: *not, stays: *stays, since: None, ping };
                self.open.push(Open { step, at: begun, until: begun + *within, what });
            }
        }
        Ok(())
    }

    /// The number of the step whose expectation failed, if one did.
    pub(super) const fn failed(&self) -> Option<usize> {
        self.failed
    }

    /// How many steps did nothing so far.
    pub(super) const fn void(&self) -> usize {
        self.void
    }

    /// Runs the world until `at`.
    ///
    /// # Errors
    /// A broken rule, or an expectation that did not come true in its time.
    pub(super) fn run_to(&mut self, world: &mut World, at: Instant) -> Result<(), Violation> {
        loop {
            self.look(world)?;
            let left = at.since(world.now);
            if left.is_zero() {
                return Ok(());
            }
            world.run_for(if self.open.is_empty() { left } else { left.min(LOOK_WAIT) })?;
        }
    }

    /// Runs the world until nothing is expected any more.
    ///
    /// # Errors
    /// As in [`Watch::run_to`].
    pub(super) fn run_out(&mut self, world: &mut World) -> Result<(), Violation> {
        while !self.open.is_empty() {
            self.run_to(world, world.now + LOOK_WAIT)?;
        }
        Ok(())
    }

    fn look(&mut self, world: &mut World) -> Result<(), Violation> {
        let mut open = std::mem::take(&mut self.open);
        let mut failed = None;
        open.retain_mut(|expectation| match expectation.look(world) {
            Standing::Met => false,
            Standing::Open(why) if world.now >= expectation.until => {
                failed.get_or_insert((expectation.step, expectation.at, why));
                false
            }
            Standing::Open(_) => true,
            Standing::Failed(why) => {
                failed.get_or_insert((expectation.step, expectation.at, why));
                false
            }
        });
        self.open = open;
        match failed {
            None => Ok(()),
            Some((step, at, why)) => Err(self.fails(world, step, at, &why)),
        }
    }

    /// What is expected of step number `step`, whose time is `at`, has not come true.
    fn fails(&mut self, world: &World, step: usize, at: Instant, why: &str) -> Violation {
        self.failed = Some(step);
        let detail = format!("step {step}, at {at}: {why}");
        Violation { rule: EXPECTED, at: world.now, detail }
    }
}

/// What must come of `act`, in the words of a scenario file; `None` when nothing must.
fn awaited(act: &Act, expect: Option<&Expected>) -> Option<String> {
    if let Act::Start { refuses: Some(reason), .. } = act {
        return Some(format!("that it refuses to: {reason}"));
    }
    expect.map(|expected| expected.outcome.to_string())
}

impl Open {
    fn look(&mut self, world: &mut World) -> Standing {
        let (now, until) = (world.now, self.until);
        match &mut self.what {
            Expectation::Answer { request, outcome } => match world.take_reply(*request) {
                Some(answer) if outcome.fits(&answer) => Standing::Met,
                Some(Ok(reply)) => {
                    Standing::Failed(format!("answer: {}, not {outcome}", trace::reply(&reply)))
                }
                Some(Err(error)) => Standing::Failed(format!("refused ({error}), not {outcome}")),
                None if *outcome == Outcome::NoAnswer && now >= until => Standing::Met,
                None => Standing::Open(format!("no answer, expected {outcome}")),
            },
            Expectation::Budget { .. } if now < until => {
                Standing::Open("it is still counted".to_owned())
            }
            Expectation::Budget { counted, most, over, before } => {
                let allowed = u128::from(*most) * over.as_millis() / 1_000;
                let spent = before.iter().map(|(peer, before)| {
                    (*peer, world.count(peer.0, *counted).saturating_sub(*before))
                });
                match spent.max_by_key(|(_, spent)| *spent) {
                    Some((peer, spent)) if u128::from(spent) > allowed => Standing::Failed(
                        format!("{peer}: {spent} {counted} within {over:?}, more than {allowed}"),
                    ),
                    Some(_) | None => Standing::Met,
                }
            }
            Expectation::Sight { sight, not, stays, since, ping } => {
                let seen = match sight {
                    Sight::Pings { peer, container, to } => {
                        let is_answered = world.try_ping(peer.0, container, to, *ping);
                        if is_answered { Ok(()) } else { sight.judge(world.look()) }
                    }
                    Sight::Speaks { peers, with, version } => world.speak(peers, with, *version),
                    Sight::Running { .. }
                    | Sight::Linked { .. }
                    | Sight::Direct { .. }
                    | Sight::Reaches { .. }
                    | Sight::Founded { .. }
                    | Sight::Ready { .. }
                    | Sight::Owns { .. }
                    | Sight::Holds { .. }
                    | Sight::Entries { .. }
                    | Sight::Answers { .. }
                    | Sight::SameLedger { .. }
                    | Sight::Traffic { .. }
                    | Sight::Calls { .. }
                    | Sight::Updates { .. }
                    | Sight::Relays { .. }
                    | Sight::Misses { .. }
                    | Sight::Reports { .. }
                    | Sight::Keeps { .. } => sight.judge(world.look()),
                };
                // Of nobody everything is so, and nothing: whoever looks has not looked at anything.
                let is_blind = sight.peers().is_empty() && world.look().live().next().is_none();
                let right = match (seen, *not) {
                    _ if is_blind => Err(NOBODY.to_owned()),
                    (Ok(()), false) | (Err(_), true) => Ok(()),
                    (Err(why), false) => Err(why),
                    (Ok(()), true) => Err(format!("{sight} is seen")),
                };
                match (right, *since) {
                    (Ok(()), _) => {
                        let begun = *since.get_or_insert(now);
                        // From here on it only has to stay, until a last look.
                        self.until = begun + *stays + LOOK_WAIT;
                        if now.since(begun) >= *stays {
                            Standing::Met
                        } else {
                            Standing::Open("it is to stay".to_owned())
                        }
                    }
                    (Err(why), Some(begun)) => Standing::Failed(format!(
                        "{why}, {:?} after it was right",
                        now.since(begun)
                    )),
                    (Err(why), None) => Standing::Open(why),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{EXPECTED, Scenario};

    #[test]
    fn of_nobody_nothing_is_seen() {
        for see in ["'ready'", "'same-ledger', not = true", "'traffic', most = 9, over = '1s'"] {
            let text = format!(
                "title = 't'\npeers = 1\nstep = [{{ at = '3s', do = 'crash', peer = 'n1' }},\n\
                 {{ at = '4s', see = {see} }}]"
            );
            let verdict = Scenario::from_text(&text).unwrap().run();
            assert_eq!(verdict.failed_step, Some(2), "{see}");
            assert!(verdict.violation.unwrap().detail.contains("nobody runs"), "{see}");
        }
    }

    #[test]
    fn what_a_step_that_does_nothing_is_to_come_to_is_not_met() {
        for (steps, failed, why) in [
            (
                "{ at = '4s', do = 'start', peer = 'n1', refuses = 'damaged' }",
                1,
                "step 1, at 4.000s: it does nothing: n1 runs already; \
                 expected that it refuses to: damaged",
            ),
            (
                "{ at = '4s', do = 'crash', peer = 'n1' },
                { at = '5s', do = 'prime', peer = 'n1', expect = 'no-answer' }",
                2,
                "step 2, at 5.000s: it does nothing: n1 does not run; expected no-answer",
            ),
            (
                "{ at = '4s', do = 'register', peer = 'n1', container = 'a', expect = 'refused' }",
                1,
                "a has no address on n1; expected refused",
            ),
            (
                "{ at = '4s', do = 'allocate', peer = 'n1', container = 'a' },
                { at = '5s', do = 'release', peer = 'n1', container = 'a', expect = '10.99.0.1' }",
                2,
                "answer: 10.32.0.",
            ),
            (
                "{ at = '4s', do = 'migrate', from = 'n1', to = 'n2', container = 'a', \
                 expect = 'ok' }",
                1,
                "a has no address on n1; expected ok",
            ),
        ] {
            let text = format!("title = 't'\npeers = 2\nstep = [{steps}]");
            let verdict = Scenario::from_text(&text).unwrap().run();
            let violation = verdict.violation.expect(steps);
            assert_eq!((violation.rule, verdict.failed_step), (EXPECTED, Some(failed)), "{steps}");
            assert!(violation.detail.contains(why), "{violation}");
        }
    }
}
