//! Rules about the founding: `ipam.founding-valid`, `ipam.promise-kept`, `ipam.founded-in-time`.

use super::papers::{foundings, votes};
use super::{Invariant, View, When};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weft_core::id::PeerId;
use weft_core::ipam::{Ballot, Founding, Proposal, Voter};
use weft_core::record::Key;
use weft_core::time::Instant;

/// A founding divides the universe among peers that take part, its proposer among them; and under
/// one ballot one value is accepted.
#[derive(Debug, Default)]
pub(super) struct Valid {
    /// Ids that hosts had or that votes were cast under, and whether they may vote.
    parties: BTreeMap<PeerId, bool>,
    seen: BTreeSet<Key>,
    accepted: BTreeMap<Ballot, Proposal>,
}

impl Invariant for Valid {
    fn name(&self) -> &'static str {
        "ipam.founding-valid"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (_, peer) in view.changed() {
            if let Some(id) = peer.id {
                // Who voted once took part, whatever its operator says later.
                *self.parties.entry(id).or_default() |= !peer.told.observes;
            }
            // It may have been started, and have lost its disk, at this very moment.
            for id in &peer.former {
                self.parties.entry(*id).or_insert(!peer.told.observes);
            }
        }
        for (host, peer) in view.changed() {
            for (writer, vote) in votes(&peer.papers) {
                self.parties.entry(writer).or_insert(true);
                // Whoever forgot what it proposed may propose something else under that number.
                if let Some((ballot, value)) = &vote.accepted
                    && view
                        .host_of(ballot.proposer)
                        .is_some_and(|host| view.peers[host].losses == 0)
                {
                    let first = self.accepted.entry(*ballot).or_insert_with(|| value.clone());
                    if first != value {
                        let label = view.label(writer);
                        return Err(format!("{label} accepted another value under one ballot"));
                    }
                }
            }
            for (key, founding) in peer.stored.iter().chain([&peer.papers]).flat_map(foundings) {
                if self.seen.insert(key)
                    && let Some(fault) = self.fault(view, founding)
                {
                    return Err(format!("n{} has a founding {fault}", host + 1));
                }
            }
        }
        Ok(())
    }
}

impl Valid {
    fn fault(&self, view: &View, founding: &Founding) -> Option<String> {
        let Founding { universe, seeds, ballot, lacks: _ } = founding;
        let stranger = seeds.iter().find(|seed| self.parties.get(*seed) != Some(&true));
        let universes = || view.peers.iter().filter_map(|peer| peer.told.universe);
        if seeds.is_empty() {
            Some("without owners".to_owned())
        } else if let Some(stranger) = stranger {
            Some(format!("with {}, who took no part", view.label(*stranger)))
        } else if !seeds.contains(&ballot.proposer) {
            Some(format!("that {} proposed without being in it", view.label(ballot.proposer)))
        } else if universes().next().is_some() && !universes().any(|told| told == *universe) {
            Some("of a universe that nobody was told of".to_owned())
        } else {
            None
        }
    }
}

/// What a peer has promised, accepted and decided stays so on its disk and across its starts, and
/// nobody ever sees more of it than has been on its disk. Only a disk that is lost, put back or
/// forgetful takes it away.
#[derive(Debug, Default)]
pub(super) struct PromiseKept {
    disks: BTreeMap<usize, Kept>,
    /// The most that was on the disk of each voter.
    most: BTreeMap<PeerId, Vote>,
}

/// The ballots that a vote promised and accepted.
type Vote = (Option<Ballot>, Option<Ballot>);

/// What was on a disk.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    losses: u64,
    vote: Option<Vote>,
    founded: bool,
}

impl Invariant for PromiseKept {
    fn name(&self) -> &'static str {
        "ipam.promise-kept"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.changed() {
            let (Some(stored), Some(id)) = (&peer.stored, peer.id) else { continue };
            let own =
                |papers| votes(papers).find(|(voter, _)| *voter == id).map(|(_, vote)| of(vote));
            let (vote, founded) = (own(stored), foundings(stored).next().is_some());
            let before = self.disks.get(&host).filter(|kept| kept.losses == peer.losses);
            let before = before.copied().unwrap_or_default();
            if before.founded && !founded {
                return Err(format!("the founding is gone from the disk of n{}", host + 1));
            }
            let is_kept = match (before.vote, vote) {
                (Some(before), Some(vote)) => is_at_least(vote, before),
                (Some(_), None) => founded,
                (None, _) => true,
            };
            if !is_kept {
                return Err(format!("a vote of n{} went back on its disk", host + 1));
            }
            if let Some(vote) = vote {
                let most = self.most.entry(id).or_default();
                *most = (most.0.max(vote.0), most.1.max(vote.1));
            }
            let is_bound = peer.live && !peer.busy && peer.lineage.is_none() && !founded;
            if let Some(vote) = vote.filter(|_| is_bound)
                && !own(&peer.papers).is_some_and(|now| is_at_least(now, vote))
            {
                return Err(format!("n{} does not know what it voted", host + 1));
            }
            self.disks.insert(host, Kept { losses: peer.losses, vote, founded });
        }
        for (host, peer) in view.changed().filter(|(_, peer)| peer.live) {
            for (voter, vote) in votes(&peer.papers).filter(|(voter, _)| Some(*voter) != peer.id) {
                let can_tell =
                    view.host_of(voter).is_some_and(|at| view.peers[at].stored.is_some());
                let most = self.most.get(&voter).copied().unwrap_or_default();
                if can_tell && !is_at_least(most, of(vote)) {
                    return Err(format!(
                        "n{} knows of a vote of {} that was never on its disk",
                        host + 1,
                        view.label(voter)
                    ));
                }
            }
        }
        Ok(())
    }
}

fn of(vote: &Voter) -> Vote {
    (vote.promised, vote.accepted.as_ref().map(|(ballot, _)| *ballot))
}

fn is_at_least(vote: Vote, other: Vote) -> bool {
    vote.0 >= other.0 && vote.1 >= other.1
}

/// Whoever was asked for the founding and reaches a quorum of voters has it within this time, once
/// faults are over: rivals draw random waits, so that soon one has its way.
const FOUNDED_MAX: Duration = Duration::from_secs(10);

/// Once faults are over, a peer that was asked for the founding and reaches a quorum has it soon.
#[derive(Debug, Default)]
pub(super) struct InTime {
    since: BTreeMap<usize, Instant>,
}

impl Invariant for InTime {
    fn name(&self) -> &'static str {
        "ipam.founded-in-time"
    }
    fn when(&self) -> When {
        When::Regularly
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.peers.iter().enumerate() {
            let reaches = peer.quorum.is_some_and(|(needed, heard)| heard >= needed);
            let due = peer.live && peer.asked_founding && !peer.told.observes && !peer.busy;
            if !(due && reaches && view.calm_at.is_some()) {
                self.since.remove(&host);
                continue;
            }
            let since = *self.since.entry(host).or_insert(view.at);
            if view.at.since(since) > FOUNDED_MAX {
                return Err(format!(
                    "n{} reaches a quorum since {since} and has no founding",
                    host + 1
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, fails, founding, holds, pair, secs, vote};
    use super::super::{Paper, Says};
    use super::*;

    #[test]
    fn founding_valid_fails_without_owners_with_strangers_and_with_two_values_under_one_ballot() {
        holds::<Valid>(&[pair()]);
        let with = |papers: Vec<(Key, Paper)>| {
            changed(|view| {
                view.peers[0].papers = papers.into_iter().collect();
                view.peers[0].stored = None;
            })
        };
        fails::<Valid>(&[with(vec![founding(&[])])]);
        fails::<Valid>(&[with(vec![founding(&[1, 9])])]);
        fails::<Valid>(&[with(vec![founding(&[2])])]);
        let observer = changed(|view| view.peers[1].told.observes = true);
        fails::<Valid>(&[observer]);
        let votes = vec![vote(1, 3, &[1, 2]), vote(2, 3, &[2])];
        fails::<Valid>(&[with(votes)]);
        holds::<Valid>(&[with(vec![vote(1, 3, &[1, 2]), vote(2, 3, &[1, 2])])]);
    }

    fn voted(round: Option<u64>) -> View {
        changed(|view| {
            let peer = &mut view.peers[0];
            peer.lineage = None;
            let papers: BTreeMap<Key, Paper> =
                round.into_iter().map(|round| vote(1, round, &[1, 2])).collect();
            (peer.papers, peer.stored) = (papers.clone(), Some(papers));
        })
    }

    #[test]
    fn promise_kept_fails_when_a_vote_or_the_founding_goes_back_on_a_disk() {
        holds::<PromiseKept>(&[voted(Some(3)), voted(Some(4)), pair()]);
        fails::<PromiseKept>(&[voted(Some(4)), voted(Some(3))]);
        fails::<PromiseKept>(&[voted(Some(4)), voted(None)]);
        fails::<PromiseKept>(&[pair(), voted(Some(4))]);
        let mut put_back = voted(Some(3));
        put_back.peers[0].losses = 1;
        holds::<PromiseKept>(&[voted(Some(4)), put_back]);
    }

    #[test]
    fn promise_kept_fails_when_a_node_forgets_its_vote_or_others_know_more_than_its_disk() {
        let mut forgetful = voted(Some(3));
        forgetful.peers[0].papers.clear();
        fails::<PromiseKept>(&[forgetful]);
        let mut ahead = voted(Some(3));
        ahead.peers[1].papers.extend([vote(1, 4, &[1, 2])]);
        fails::<PromiseKept>(&[ahead.clone()]);
        ahead.peers[0].stored = None;
        holds::<PromiseKept>(&[ahead]);
    }

    #[test]
    fn founded_in_time_fails_when_a_quorum_has_no_founding_for_long() {
        let waits = |at: u64, heard: usize| {
            changed(|view| {
                view.at = secs(at);
                view.peers[0].asked_founding = true;
                view.peers[0].quorum = Some((2, heard));
            })
        };
        fails::<InTime>(&[waits(100, 2), waits(109, 2), waits(111, 2)]);
        holds::<InTime>(&[waits(100, 2), waits(109, 1), waits(111, 2)]);
        holds::<InTime>(&[waits(100, 2), changed(|view| view.at = secs(111))]);
    }

    #[test]
    fn a_vote_says_what_its_paper_says() {
        let (_, Paper { says, .. }) = vote(1, 3, &[1]);
        let Says::Vote(vote) = says else { panic!("a vote") };
        assert!(is_at_least(of(&vote), (None, None)));
        assert!(!is_at_least((None, None), of(&vote)));
    }
}
