//! Steps that can do nothing, whatever goes before them: a mistake of whoever wrote them, and nothing
//! worth keeping in what was drawn or shrunk.

use super::random::Class;
use super::sight::Sight;
use super::sound;
use super::step::{Deed, Step};
use super::{Block, Scenario};
use crate::peer::Peer;
use crate::world::{Act, Own, name_of};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weft_core::addr::Universe;
use weft_core::id::ContainerId;
use weft_core::names::{Name, Text};

/// What earlier steps have made possible.
#[derive(Debug, Default)]
struct Before<'a> {
    snapshots: BTreeSet<(Peer, &'a str)>,
    routers: BTreeSet<Peer>,
    records: bool,
}

impl Scenario {
    /// The same without the steps that can do nothing.
    #[must_use]
    pub(crate) fn without_void_steps(mut self) -> Self {
        let void = void(&self.steps, self.setup.hosts, &self.blocks);
        let mut number = 0..;
        self.steps.retain(|_| number.next().is_none_or(|number| !void.contains_key(&number)));
        self
    }
}

/// Which of `steps`, which are in the order of time, can do nothing, and why, by their places;
/// `blocks` are what is drawn besides.
pub(super) fn void(steps: &[Step], hosts: usize, blocks: &[Block]) -> BTreeMap<usize, String> {
    let drawn: BTreeSet<Class> = blocks.iter().flat_map(|block| &block.faults).copied().collect();
    let mut before = Before::default();
    let mut found = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        let why = match &step.deed {
            Deed::See { sight, .. } => blind(sight),
            Deed::Act { act, .. } => empty(act, hosts).or_else(|| before.lacks(act, &drawn)),
        };
        found.extend(why.map(|why| (number, why)));
        if let Deed::Act { act, .. } = &step.deed {
            before.pass(act);
        }
    }
    found
}

impl<'a> Before<'a> {
    /// What `act` needs and no step before it has brought about, unless such a one may be drawn.
    fn lacks(&self, act: &Act, drawn: &BTreeSet<Class>) -> Option<String> {
        if let Act::Restore { peer, name } = act
            && !self.snapshots.contains(&(*peer, name))
            && !drawn.contains(&Class::Rollbacks)
        {
            return Some(format!("no earlier step takes a `snapshot` of {peer} called `{name}`"));
        }
        if let Act::Rebind { peer } | Act::Nat { behind: Some(peer), .. } = act
            && !self.routers.contains(peer)
            && !drawn.contains(&Class::Places)
        {
            return Some(format!("no earlier step puts {peer} behind a router: `do = \"nat\"`"));
        }
        if let Act::Replay { .. } = act
            && !self.records
            && !drawn.contains(&Class::Strangers)
        {
            return Some("no earlier step has a stranger `record` anything".to_owned());
        }
        None
    }

    fn pass(&mut self, act: &'a Act) {
        if let Act::Snapshot { peer, name } = act {
            self.snapshots.insert((*peer, name));
        } else if let Act::Nat { peer, .. } = act {
            self.routers.insert(*peer);
        } else if let Act::Record = act {
            self.records = true;
        }
    }
}

/// Why `act` can do nothing by itself, and what to write instead.
fn empty(act: &Act, hosts: usize) -> Option<String> {
    match act {
        Act::Partition { side } if side.is_empty() => {
            Some("`side` names nobody: name those to cut off".to_owned())
        }
        Act::Partition { side } if side.len() >= hosts => {
            Some("`side` names all, and nobody is left on the other one".to_owned())
        }
        Act::Cut { from, to }
        | Act::Mend { from, to }
        | Act::Path { from, to, .. }
        | Act::Stall { from, to }
        | Act::CloneDisk { from, to }
        | Act::Migrate { from, to, .. }
            if from == to =>
        {
            Some(format!("`from` and `to` are both {from}: name two hosts"))
        }
        Act::Reset { peer, with } | Act::HalfOpen { peer, with } if peer == with => {
            Some(format!("`peer` and `with` are both {peer}: name two hosts"))
        }
        Act::Move { peer, to: Some(other) } if peer == other => {
            Some(format!("{other} is there already: name another host"))
        }
        Act::Nat { peer, behind: Some(other), .. } if peer == other => {
            Some(format!("{peer} is to be behind the router of itself: name another host"))
        }
        Act::Nat { behind: Some(other), hairpin: true, .. } => {
            Some(format!("`hairpin` is for a router of its own: say it of that of {other}"))
        }
        Act::AddSecret { password, .. } if password.is_empty() => {
            Some("`password` is empty, which is none".to_owned())
        }
        Act::Network { conditions } | Act::Path { conditions, .. }
            if sound::conditions(conditions).is_err() =>
        {
            sound::conditions(conditions).err()
        }
        Act::Settings { own, .. } if sound::limits(&own.limits).is_err() => {
            sound::limits(&own.limits).err()
        }
        Act::Settings { own, .. } if **own == Own::default() => {
            Some("`own` changes nothing: say what is to be other".to_owned())
        }
        // A host would be told of no other range.
        Act::Settings { own, .. } if own.universe.is_some_and(|it| Universe::new(it).is_err()) => {
            own.universe.and_then(|it| Universe::new(it).err()).map(|why| why.to_string())
        }
        Act::Pause { length: Duration::ZERO, .. } | Act::Clock { by: Duration::ZERO, .. } => {
            Some("a time of `0s` changes nothing: give a longer one".to_owned())
        }
        Act::Spray { count: 0, .. }
        | Act::Mute { count: 0, .. }
        | Act::Babble { count: 0, .. }
        | Act::Insider { count: 0, .. } => Some("`count = 0`: expected 1 at least".to_owned()),
        Act::Claim { address, prefix: Some(prefix), .. }
            if IpNet::new(*address, *prefix).is_err() =>
        {
            Some(format!("`prefix = {prefix}`: {address} has fewer bits"))
        }
        Act::Born { container, .. }
        | Act::Die { container, .. }
        | Act::Send { container, .. }
        | Act::Migrate { container, .. }
        | Act::Allocate { container, .. }
        | Act::Claim { container, .. }
        | Act::Release { container, .. } => no_container(container),
        Act::Register { container, name, address, port, text, .. } => {
            let given = [address.is_some(), port.is_some(), text.is_some()];
            if given.into_iter().filter(|is_given| *is_given).count() > 1 {
                return Some("give one of `address`, `port` and `text`".to_owned());
            }
            let is_text = |text: &String| Text::try_from(vec![text.clone()]);
            if let Some(Err(why)) = text.as_ref().map(is_text) {
                return Some(format!("`text`: {why}"));
            }
            no_container(container).or_else(|| match name {
                Some(name) => no_name(name),
                None => no_name(&name_of(&container.parse().ok()?)),
            })
        }
        Act::Unregister { container, name, .. } => container
            .as_deref()
            .and_then(no_container)
            .or_else(|| name.as_deref().and_then(no_name)),
        Act::Partition { .. }
        | Act::Cut { .. }
        | Act::Mend { .. }
        | Act::Heal
        | Act::Network { .. }
        | Act::Path { .. }
        | Act::Crash { .. }
        | Act::Start { .. }
        | Act::Settings { .. }
        | Act::LoseDisk { .. }
        | Act::Snapshot { .. }
        | Act::Restore { .. }
        | Act::CloneDisk { .. }
        | Act::LyingDisk { .. }
        | Act::FailDisk { .. }
        | Act::MendDisk { .. }
        | Act::RotDisk { .. }
        | Act::SlowDisk { .. }
        | Act::Pause { .. }
        | Act::Starve { .. }
        | Act::Clock { .. }
        | Act::Drift { .. }
        | Act::Stall { .. }
        | Act::Reset { .. }
        | Act::HalfOpen { .. }
        | Act::SlowReader { .. }
        | Act::Nat { .. }
        | Act::Rebind { .. }
        | Act::Move { .. }
        | Act::Spray { .. }
        | Act::Mute { .. }
        | Act::Babble { .. }
        | Act::Insider { .. }
        | Act::Record
        | Act::Replay { .. }
        | Act::Events { .. }
        | Act::Connect { .. }
        | Act::Forget { .. }
        | Act::Prime { .. }
        | Act::Evict { .. }
        | Act::AddSecret { .. }
        | Act::RetireSecret { .. }
        | Act::Allow { .. }
        | Act::Leave { .. }
        | Act::Stop { .. } => None,
    }
}

fn no_container(text: &str) -> Option<String> {
    text.parse::<ContainerId>().err().map(|why| format!("`{text}` is no container: {why}"))
}

fn no_name(text: &str) -> Option<String> {
    text.parse::<Name>().err().map(|why| why.to_string())
}

/// Why nothing is looked at for `sight`.
fn blind(sight: &Sight) -> Option<String> {
    match sight {
        Sight::Linked { peers, with }
        | Sight::Direct { peers, with }
        | Sight::Reaches { peers, with }
        | Sight::Speaks { peers, with, .. } => {
            let is_pair = peers.iter().any(|peer| with.iter().any(|other| other != peer));
            (!is_pair).then(|| "`peers` and `with` name no two hosts".to_owned())
        }
        Sight::Running { peers } | Sight::Owns { peers, .. } | Sight::Reports { peers, .. }
            if peers.is_empty() =>
        {
            Some("`peers` names nobody".to_owned())
        }
        Sight::Running { .. }
        | Sight::Founded { .. }
        | Sight::Ready { .. }
        | Sight::Owns { .. }
        | Sight::Entries { .. }
        | Sight::Holds { .. }
        | Sight::Answers { .. }
        | Sight::SameLedger { .. }
        | Sight::Traffic { .. }
        | Sight::Calls { .. }
        | Sight::Updates { .. }
        | Sight::Relays { .. }
        | Sight::Misses { .. }
        | Sight::Reports { .. }
        | Sight::Keeps { .. }
        | Sight::Pings { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(steps: &str) -> Result<Scenario, String> {
        let text = format!("title = 't'\npeers = 2\nstep = [\n{steps}\n]");
        Scenario::from_text(&text).map_err(|why| why.to_string())
    }

    #[test]
    fn a_step_that_can_do_nothing_is_a_mistake_and_is_told_with_its_line() {
        for (step, why) in [
            ("do = 'partition', side = []", "`side` names nobody"),
            ("do = 'partition', side = ['n1', 'n2']", "`side` names all"),
            ("do = 'cut', from = 'n1', to = 'n1'", "both n1: name two hosts"),
            ("do = 'reset', peer = 'n2', with = 'n2'", "both n2: name two hosts"),
            ("do = 'move', peer = 'n1', to = 'n1'", "n1 is there already"),
            ("do = 'restore', peer = 'n1', name = 'x'", "`snapshot` of n1 called `x`"),
            ("do = 'rebind', peer = 'n1'", "puts n1 behind a router"),
            ("do = 'nat', peer = 'n1', kind = 'cone', behind = 'n2'", "puts n2 behind a router"),
            ("do = 'replay'", "`record`"),
            ("do = 'settings', peer = 'n1', own = {}", "`own` changes nothing"),
            ("do = 'add-secret', peer = 'n1', password = ''", "`password` is empty"),
            ("do = 'pause', peer = 'n1', for = '0s'", "`0s` changes nothing"),
            ("do = 'spray', peer = 'n1', count = 0", "1 at least"),
            ("do = 'die', peer = 'n1', container = 'a b'", "`a b` is no container"),
            ("do = 'allocate', peer = 'n1', container = ''", "`` is no container"),
            ("do = 'register', peer = 'n1', container = 'a', name = 'a..b'", "a..b"),
            ("do = 'register', peer = 'n1', container = '-a'", "-a.weft.local"),
            ("do = 'unregister', peer = 'n1', name = '-'", "-"),
            (
                "do = 'claim', peer = 'n1', container = 'a', address = '10.32.0.1', prefix = 33",
                "`prefix = 33`",
            ),
            ("see = 'linked', peers = ['n1'], with = ['n1']", "no two hosts"),
            ("see = 'running', peers = []", "names nobody"),
        ] {
            let bad = read(&format!("{{ at = '1s', do = 'heal' }},\n{{ at = '3s', {step} }},"));
            let bad = bad.expect_err(step);
            assert!(bad.starts_with("line 5: ") && bad.contains(why), "{step}: {bad}");
        }
    }

    #[test]
    fn what_a_step_needs_must_come_earlier_by_the_time_not_by_the_text() {
        let restore = "{ at = '3s', do = 'restore', peer = 'n1', name = 'x' },";
        let snapshot =
            |at| format!("{{ at = '{at}', do = 'snapshot', peer = 'n1', name = 'x' }},\n");
        assert!(read(&format!("{restore}\n{}", snapshot("2s"))).is_ok());
        assert!(read(&format!("{}{restore}", snapshot("4s"))).is_err());
        let drawn = "]\nswarm = [{ at = '1s', for = '1s', faults = ['rollbacks'] }";
        assert!(read(&format!("{restore}\n{drawn}")).is_ok());
    }

    #[test]
    fn without_its_void_steps_a_scenario_can_be_written_and_read() {
        let mut scenario = read("{ at = '2s', do = 'heal' },").unwrap();
        let cut = Act::Cut { from: Peer(1), to: Peer(1) };
        let void = super::super::random::step(weft_core::time::Instant::ZERO, cut);
        scenario.steps.insert(0, void);
        assert!(Scenario::from_text(&scenario.to_text()).is_err());
        let scenario = scenario.without_void_steps();
        assert_eq!(scenario.steps.len(), 1);
        assert!(Scenario::from_text(&scenario.to_text()).is_ok());
    }
}
