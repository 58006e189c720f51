//! Plays a scenario, and says what came of it.

use super::Scenario;
use super::step::{Deed, Step};
use super::watch::Watch;
use crate::check::{self, Deaths, View, Violation};
use crate::marks::Marks;
use crate::net::PORT;
use crate::peer::Peer;
use crate::trace::{Digest, Head, Recording};
use crate::world::{Act, Setup, World, container, name_of};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use weft_core::addr::Offset;
use weft_core::config::NetworkSecret;
use weft_core::id::PeerId;
use weft_core::io::{Command, CommandError, Reply};
use weft_core::time::Instant;

/// Hosts that start together do so within this time.
const START_SPREAD: Duration = Duration::from_millis(1_500);

/// From the last step to the end of all faults.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Who removes hosts from a settled mesh may have to say so once or twice more.
const REMOVALS_MAX: usize = 3;

/// What came of a scenario.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The rule that was broken, if any.
    pub violation: Option<Violation>,
    /// The number of the step, from 1, whose expectation failed, if that is what was broken: one that
    /// is repeated counts as many.
    pub failed_step: Option<usize>,
    /// How many steps did nothing: there was nothing to end, or nobody to do it.
    pub void_steps: usize,
    /// Which run it was.
    pub digest: Digest,
    /// How much time passed in the world.
    pub simulated: Duration,
    /// How often nodes were called.
    pub inputs: u64,
    /// How often peers that live were taken for dead.
    pub deaths: Deaths,
    /// Which marks of the core were reached.
    pub marks: Marks,
    /// The last state changes, below a line that names the columns.
    pub lines: Vec<String>,
}

impl Scenario {
    /// Runs it: faults and commands, then healing, then the mesh must settle and serve. A panic of
    /// the core is a broken rule.
    pub fn run(&self) -> Verdict {
        self.conclude(&mut World::new(&self.setup))
    }

    /// Runs it as [`Scenario::run`] does, and keeps everything that happens.
    pub fn run_recorded(&self) -> (Verdict, Recording) {
        let mut world = World::new(&self.setup);
        world.record();
        let verdict = self.conclude(&mut world);
        let Setup { seed, hosts, .. } = self.setup;
        let title = self.title.clone();
        let head = Head::new(title, seed, hosts, verdict.digest, verdict.simulated);
        (verdict, Recording { head, entries: world.trace.into_entries() })
    }

    fn conclude(&self, world: &mut World) -> Verdict {
        let mut watch = Watch::default();
        let play = AssertUnwindSafe(|| self.play(world, &mut watch));
        let (played, marks) = Marks::during(|| catch_unwind(play));
        let outcome = played.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let detail = text.unwrap_or("the core panicked").to_owned();
            Err(Violation { rule: "sim.panic", at: world.now, detail })
        });
        if let Err(violation) = &outcome {
            world.tell_broken(violation);
        }
        Verdict {
            violation: outcome.err(),
            failed_step: watch.failed(),
            void_steps: watch.void(),
            digest: world.digest(),
            simulated: world.now.since(Instant::ZERO),
            inputs: world.trace.inputs(),
            deaths: world.deaths,
            marks,
            lines: world.trace.last(12),
        }
    }

    fn play(&self, world: &mut World, watch: &mut Watch) -> Result<(), Violation> {
        if !self.end.except.is_empty() {
            let mut rules = check::all();
            rules.retain(|rule| !self.end.except.contains(rule.name()));
            world.judge_by(rules);
        }
        let spread = u64::try_from(START_SPREAD.as_millis()).unwrap_or(u64::MAX);
        for host in 0..self.setup.hosts {
            let wait = Duration::from_millis(world.draw(spread));
            if self.setup.starts(host) {
                let act = Act::Start { peer: Peer(host), refuses: None };
                world.plan(Instant::ZERO + wait, act);
            }
        }
        let unfolded;
        let steps = if self.blocks.is_empty() {
            &self.steps
        } else {
            unfolded = self.clone().unfolded();
            &unfolded.steps
        };
        for (number, Step { at, deed }) in (1..).zip(steps) {
            watch.run_to(world, *at)?;
            watch.step(world, number, deed)?;
        }
        watch.run_out(world)?;
        world.run_for(AFTERMATH)?;
        self.finish(world, steps)
    }

    fn finish(&self, world: &mut World, steps: &[Step]) -> Result<(), Violation> {
        world.calm();
        // What waited for nodes that could not run is taken up; some of it may be to stop.
        world.run_for(AFTERMATH)?;
        let alive = || (0..self.setup.hosts).filter(|host| !self.end.gone.contains(&Peer(*host)));
        for host in alive() {
            world.tidy_up(host);
        }
        for peer in &self.end.gone {
            world.crash(peer.0, false);
            // Of whom somebody removes no container may be left.
            if self.end.removes {
                world.lose_disk(peer.0);
            }
        }
        if steps.iter().any(changes_trust) {
            world.restore_trust(&alive().map(|host| self.began_with(host)).collect::<Vec<_>>());
        }
        let bound = self.end.within.unwrap_or_else(|| self.setup.settle_max());
        if self.end.settle {
            world.settle(bound)?;
        }
        if self.end.removes {
            self.remove(world, alive(), bound)?;
        }
        if !self.end.serve {
            return Ok(());
        }
        // Observers wait for those who vote.
        let mut asked: Vec<usize> = alive().collect();
        asked.sort_by_key(|host| world.look().peers[*host].told.observes);
        for host in asked {
            let id = container("last");
            let id = if host == 0 { id } else { container(&format!("last{host}")) };
            let command = Command::Allocate { id, subnet: None };
            let mut answer = world.answer(host, command.clone())?;
            if let Err(CommandError::NotMerged { .. }) = answer {
                // An owner that is reached only over one that owns nothing has not been heard yet.
                world.link_all(bound)?;
                answer = world.answer(host, command)?;
            }
            let served = serves(world.look(), host, &answer);
            served.map_err(|detail| Violation { rule: "ipam.serves", at: world.now, detail })?;
        }
        if !self.end.settle {
            return Ok(());
        }
        world.settle(bound)?;
        if let Some(host) = alive().next() {
            Self::tell(world, host)?;
        }
        world.rest(bound)
    }

    /// Has one of the hosts `alive` take over what those owned who are gone for good.
    fn remove(
        &self,
        world: &mut World,
        mut alive: impl Iterator<Item = usize> + Clone,
        bound: Duration,
    ) -> Result<(), Violation> {
        let is_ready = |host: &usize| world.look().peers[*host].gate_open;
        let Some(heir) = alive.clone().find(is_ready).or_else(|| alive.next()) else {
            return Ok(());
        };
        let peers: BTreeSet<PeerId> = world.all_gone();
        if peers.is_empty() {
            return Ok(());
        }
        let evict = Command::Evict { peers, force: false, wait: true };
        let mut answer = world.answer(heir, evict.clone())?;
        for _ in 0..REMOVALS_MAX {
            match answer {
                Ok(_) => return world.settle(bound).map(|_| ()),
                // Nobody is left who could confirm what is its own.
                Err(CommandError::NotMerged { .. }) => drop(world.answer(heir, Command::OpenGate)?),
                Err(_) => world.link_all(bound)?,
            }
            answer = world.answer(heir, evict.clone())?;
        }
        let Err(why) = answer else { return Ok(()) };
        let detail = format!("n{} cannot remove who is gone from a settled mesh: {why}", heir + 1);
        Err(Violation { rule: "ipam.serves", at: world.now, detail })
    }

    /// The secrets that `host` had before any step.
    fn began_with(&self, host: usize) -> (usize, Vec<NetworkSecret>) {
        (host, self.setup.config(host, PORT).secret.into_iter().collect())
    }

    /// Has `host` register a name and take it back: each is known everywhere in time.
    fn tell(world: &mut World, host: usize) -> Result<(), Violation> {
        let id = container("told");
        let address = world.universe().address(Offset(1));
        let Ok(name) = name_of(&id).parse() else { return Ok(()) };
        match world
            .answer(host, Command::Register { id: id.clone(), name, value: address.into() })?
        {
            Ok(_) => world.judge_told()?,
            Err(_) => return Ok(()),
        }
        let gone = Command::Unregister { id: Some(id), name: None, value: None };
        let _ = world.answer(host, gone)?;
        world.judge_told()
    }
}

/// A host of a settled mesh hands out an address, or says that none is left, and that is so.
fn serves(view: &View, host: usize, answer: &Result<Reply, CommandError>) -> Result<(), String> {
    match answer {
        Ok(_) => Ok(()),
        Err(CommandError::Exhausted { subnet, .. }) => check::none_left(view, host, *subnet),
        Err(error) => Err(format!("n{} does not serve a settled mesh: {error}", host + 1)),
    }
}

/// Whether a step tells a host whom to trust.
const fn changes_trust(step: &Step) -> bool {
    matches!(
        step.deed,
        Deed::Act { act: Act::AddSecret { .. } | Act::RetireSecret { .. } | Act::Allow { .. }, .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Invariant, When};

    #[derive(Debug)]
    struct Panics;

    impl Invariant for Panics {
        fn name(&self) -> &'static str {
            "test.panics"
        }
        fn when(&self) -> When {
            When::Regularly
        }
        fn check(&mut self, _: &View) -> Result<(), String> {
            panic!("as it says")
        }
    }

    #[test]
    fn serves_fails_on_any_other_answer_than_an_address_and_on_exhaustion_that_is_none() {
        let mut world = Setup::new(1, 1).start();
        world.attach(0, "c").unwrap();
        let view = world.look();
        let given = Ok(Reply::Addresses(vec!["10.32.0.9/24".parse().unwrap()]));
        assert_eq!(serves(view, 0, &given), Ok(()));
        assert!(
            serves(view, 0, &Err(CommandError::Left)).unwrap_err().contains("n1 does not serve")
        );
        let subnet = "10.32.0.0/24".parse().unwrap();
        let exhausted =
            Err(CommandError::Exhausted { subnet, owned: 256, elsewhere: 0, unreachable: 0 });
        assert!(serves(view, 0, &exhausted).unwrap_err().contains("is told that none is left"));
    }

    #[test]
    fn a_panic_ends_the_run_as_a_broken_rule() {
        let scenario = Scenario::swarm(1, 2, 0);
        let mut world = scenario.setup.start();
        world.judge_also_by(vec![Box::new(Panics)]);
        let violation = scenario.conclude(&mut world).violation.unwrap();
        assert_eq!((violation.rule, violation.detail.as_str()), ("sim.panic", "as it says"));
    }
}
