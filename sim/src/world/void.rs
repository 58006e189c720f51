//! Which acts do nothing, as the world stands: there is nothing to end, or nobody to do it.

use super::World;
use super::act::Act;
use super::operator::container;
use crate::peer::Peer;

impl World {
    /// Why `act` does nothing at this moment; `None` when it does something.
    pub(crate) fn void(&self, act: &Act) -> Option<String> {
        let host = |peer: &Peer| self.hosts.get(peer.0);
        let runs = |peer: &Peer| host(peer).is_some_and(|host| host.running.is_some());
        let silent = |peer: &Peer| (!runs(peer)).then(|| format!("{peer} does not run"));
        let lives = |peer: &Peer, id| host(peer)?.engine.lives(&container(id));
        match act {
            Act::Partition { side } => {
                let hosts = 0..self.hosts.len();
                let away = hosts.filter(|host| !side.contains(&Peer(*host)));
                let mut pairs = away.flat_map(|out| side.iter().map(move |host| (host.0, out)));
                let is_cut = |(a, b)| self.net.paths.is_cut(a, b) && self.net.paths.is_cut(b, a);
                pairs.all(is_cut).then(|| "they are cut off already".to_owned())
            }
            Act::Cut { from, to } => {
                let is_cut = from == to || self.net.paths.is_cut(from.0, to.0);
                is_cut.then(|| format!("{from} is cut from {to} already"))
            }
            Act::Mend { from, to } => {
                let is_cut = self.net.paths.is_cut(from.0, to.0);
                (!is_cut).then(|| format!("{from} is not cut from {to}"))
            }
            Act::Heal => (!self.net.paths.has_cuts()).then(|| "nothing is cut".to_owned()),
            Act::Network { conditions } => {
                let same = self.net.paths.usual() == *conditions;
                same.then(|| "the network is so already".to_owned())
            }
            Act::Start { peer, .. } => {
                let running = host(peer)?.running.as_ref()?;
                (!running.has_stopped).then(|| format!("{peer} runs already"))
            }
            Act::Restore { peer, name } => {
                let is_there = host(peer)?.snapshots.contains_key(name);
                (!is_there).then(|| format!("{peer} has no snapshot called `{name}`"))
            }
            Act::MendDisk { peer } => {
                host(peer)?.disk.is_sound().then(|| format!("the disk of {peer} is sound"))
            }
            Act::RotDisk { peer, what, how } => {
                let is_there = host(peer)?.disk.clone().rot(*what, *how);
                (!is_there).then(|| format!("the disk of {peer} has nothing whole there"))
            }
            Act::Stall { from, to } => {
                let stands = self.net.paths.stands(from.0, to.0);
                stands.then(|| format!("streams from {from} to {to} stand still already"))
            }
            Act::Reset { peer, with } => {
                let (one, two) = (peer.0, with.0);
                let is_there = self.net.has_stream(one, two) || self.net.has_stream(two, one);
                (!is_there).then(|| format!("there is no stream between {peer} and {with}"))
            }
            Act::HalfOpen { peer, with } => {
                let is_there = self.net.has_stream(peer.0, with.0);
                (!is_there).then(|| format!("{peer} has no stream with {with}"))
            }
            Act::Rebind { peer } | Act::Nat { behind: Some(peer), .. } => {
                let is_hidden = self.net.is_hidden(peer.0);
                (!is_hidden).then(|| format!("{peer} is behind no router"))
            }
            Act::Replay { .. } => {
                (!self.net.has_recorded()).then(|| "nothing was recorded".to_owned())
            }
            Act::Born { peer, container: id } => {
                (lives(peer, id) == Some(true)).then(|| format!("{id} lives on {peer} already"))
            }
            Act::Die { peer, container: id } => {
                (lives(peer, id) != Some(true)).then(|| format!("no {id} lives on {peer}"))
            }
            Act::Send { peer, container: id, .. } => {
                let is_there = host(peer)?.containers.contains_key(&container(id));
                (!is_there).then(|| format!("no {id} is on the network at {peer}"))
            }
            Act::Migrate { container: id, from, to } => {
                let holds = host(from)?.held.contains_key(&container(id));
                let waits = |host: &Peer| self.waits_for_address(host.0, &container(id));
                match [from, to].into_iter().find(|host| waits(host)) {
                    _ if !holds => Some(format!("{id} has no address on {from}")),
                    Some(host) => Some(format!("{id} waits for an address on {host}")),
                    None => None,
                }
            }
            Act::Crash { peer, after: None, .. }
            | Act::Pause { peer, .. }
            | Act::Spray { peer, .. }
            | Act::Mute { peer, .. }
            | Act::Babble { peer, .. }
            | Act::Insider { peer, .. } => silent(peer),
            Act::Allocate { peer, .. }
            | Act::Claim { peer, .. }
            | Act::Release { peer, .. }
            | Act::Register { peer, .. }
            | Act::Unregister { peer, .. }
            | Act::Connect { peer, .. }
            | Act::Forget { peer, .. }
            | Act::Prime { peer, .. }
            | Act::Evict { peer, .. }
            | Act::AddSecret { peer, .. }
            | Act::RetireSecret { peer, .. }
            | Act::Allow { peer, .. }
            | Act::Leave { peer }
            | Act::Stop { peer } => {
                silent(peer).or_else(|| self.command(act).is_none().then(|| self.not_given(act)))
            }
            Act::Path { .. }
            | Act::Crash { after: Some(_), .. }
            | Act::Settings { .. }
            | Act::LoseDisk { .. }
            | Act::Snapshot { .. }
            | Act::CloneDisk { .. }
            | Act::LyingDisk { .. }
            | Act::FailDisk { .. }
            | Act::SlowDisk { .. }
            | Act::Starve { .. }
            | Act::Clock { .. }
            | Act::Drift { .. }
            | Act::SlowReader { .. }
            | Act::Nat { behind: None, .. }
            | Act::Move { .. }
            | Act::Record
            | Act::Events { .. } => None,
        }
    }

    /// Why nobody would give the command that `act` stands for at this moment.
    fn not_given(&self, act: &Act) -> String {
        if let Act::Release { peer, container: id, .. } = act
            && self.waits_for_address(peer.0, &container(id))
        {
            return format!("{id} waits for an address on {peer}");
        }
        if let Act::Register { peer, container: id, address: None, .. } = act {
            return format!("{id} has no address on {peer}");
        }
        if let Act::Claim { peer, address, prefix: None, .. } = act
            && let Some(host) = self.hosts.get(peer.0)
        {
            let range = host.config.universe;
            return format!("{address} is of another family than {range}: give a `prefix`");
        }
        if let Act::Allow { peers: Some(peers), .. } = act {
            let nameless =
                |peer: &&Peer| self.view.peers.get(peer.0).is_none_or(|it| it.id.is_none());
            if let Some(other) = peers.iter().find(nameless) {
                return format!("{other} never ran, and has no id that could stand on a list");
            }
        }
        if let Act::Evict { gone, .. } = act {
            let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
            return format!("nobody is gone: {} run, or never did", gone.join(", "));
        }
        "nobody would give this command as it stands".to_owned()
    }

    /// Shows that a step does nothing.
    pub(crate) fn note_void(&mut self, step: usize, why: &str) {
        self.note(None, "void", format_args!("step {step} does nothing: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use crate::world::{Act, Setup};
    use std::time::Duration;

    #[test]
    fn what_is_so_already_or_has_nobody_to_do_it_is_void() {
        let mut world = Setup::new(1, 2).start();
        world.run_for(Duration::from_secs(5)).unwrap();
        let act = |line: &str| toml::from_str::<Act>(line).unwrap();
        let first = [
            "do = 'heal'",
            "do = 'mend'\nfrom = 'n1'\nto = 'n2'",
            "do = 'start'\npeer = 'n2'",
            "do = 'mend-disk'\npeer = 'n2'",
            "do = 'restore'\npeer = 'n2'\nname = 'x'",
            "do = 'rot-disk'\npeer = 'n1'\nwhat = 'holding'",
            "do = 'die'\npeer = 'n1'\ncontainer = 'a'",
            "do = 'migrate'\nfrom = 'n1'\nto = 'n2'\ncontainer = 'a'",
            "do = 'register'\npeer = 'n1'\ncontainer = 'a'",
            "do = 'replay'",
            "do = 'rebind'\npeer = 'n1'",
        ];
        for line in first {
            assert!(world.void(&act(line)).is_some(), "{line}");
        }
        let then = [
            "do = 'partition'\nside = ['n1']",
            "do = 'cut'\nfrom = 'n1'\nto = 'n2'",
            "do = 'half-open'\npeer = 'n1'\nwith = 'n2'",
            "do = 'stall'\nfrom = 'n1'\nto = 'n2'",
            "do = 'allocate'\npeer = 'n2'\ncontainer = 'a'",
            "do = 'crash'\npeer = 'n2'",
        ];
        for line in then {
            assert_eq!(world.void(&act(line)), None, "{line}");
        }
        for line in then {
            world.act(&act(line));
        }
        for line in then {
            assert!(world.void(&act(line)).is_some(), "{line}");
        }
        for line in ["do = 'heal'", "do = 'start'\npeer = 'n2'"] {
            assert_eq!(world.void(&act(line)), None, "{line}");
        }
    }
}
