//! Rules about ledgers over time: `ipam.same-records-same-ledger`, `ipam.never-back`,
//! `ipam.owner-changes-by-grant` and `ipam.rests-on-records`.

use super::papers;
use super::{Invariant, Owned, Takeover, View, When};
use std::collections::{BTreeMap, BTreeSet};
use weft_core::addr::Range;
use weft_core::codec;
use weft_core::id::PeerId;
use weft_core::ipam::Grant;
use weft_core::record::{Fingerprint, Key};

/// Peers that hold the same founding and grants have the same ledger, whenever that was and in
/// whatever order they came.
#[derive(Debug, Default)]
pub(super) struct SameLedger {
    /// Of each set of records: at which host it was first seen, and what its ledger said.
    seen: BTreeMap<Fingerprint, (usize, Fingerprint)>,
}

impl Invariant for SameLedger {
    fn name(&self) -> &'static str {
        "ipam.same-records-same-ledger"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.changed() {
            let Some(ledger) = peer.ledger.as_ref().filter(|_| peer.live) else { continue };
            let is_voter = |key: &&Key| matches!(key, Key::Voter(_));
            let keys: Vec<&Key> = peer.papers.keys().filter(|key| !is_voter(key)).collect();
            let set = Fingerprint::of(&codec::encode(&keys));
            let lines: Vec<_> =
                ledger.iter().map(|one| (one.range, one.epoch, one.version, one.owner)).collect();
            let says = Fingerprint::of(&codec::encode(&lines));
            let (first, said) = *self.seen.entry(set).or_insert((host, says));
            if said != says {
                return Err(format!(
                    "of the same {} records about ownership n{} made another ledger than n{}",
                    keys.len(),
                    host + 1,
                    first + 1
                ));
            }
        }
        Ok(())
    }
}

/// What a peer knows of an address never goes back to a lower (epoch, version), nor does a restart
/// take it back, as long as its disk keeps what it was given.
#[derive(Debug, Default)]
pub(super) struct NeverBack {
    last: BTreeMap<usize, Last>,
}

/// What was last seen of a host.
#[derive(Debug)]
struct Last {
    boots: u64,
    losses: u64,
    lineage: Option<Fingerprint>,
    ledger: Vec<Owned>,
    /// What a restart must find again.
    kept: Option<Vec<Owned>>,
}

impl Invariant for NeverBack {
    fn name(&self) -> &'static str {
        "ipam.never-back"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.changed().filter(|(_, peer)| peer.live) {
            if let Some(last) = self.last.get(&host).filter(|last| last.losses == peer.losses) {
                let is_same_life = last.boots == peer.boots;
                let before = if is_same_life { Some(&last.ledger) } else { last.kept.as_ref() };
                match (before, &peer.ledger) {
                    (Some(_), None) => {
                        return Err(format!("n{} forgot the founding", host + 1));
                    }
                    (Some(before), Some(ledger)) if last.lineage == peer.lineage => {
                        if let Some((range, was, is)) = fallen(before, ledger) {
                            return Err(format!(
                                "n{} knew version {was} of {} and now {is}",
                                host + 1,
                                view.universe.address(range.start)
                            ));
                        }
                    }
                    (_, _) => {}
                }
            }
            if let Some(ledger) = &peer.ledger {
                let last = Last {
                    boots: peer.boots,
                    losses: peer.losses,
                    lineage: peer.lineage,
                    ledger: ledger.clone(),
                    kept: peer.sure_ledger.clone(),
                };
                self.last.insert(host, last);
            } else {
                self.last.remove(&host);
            }
        }
        Ok(())
    }
}

/// The first interval of which `now` says a lower version than `before`, and both versions.
fn fallen(before: &[Owned], now: &[Owned]) -> Option<(Range, u64, u64)> {
    let mut rest = now.iter().peekable();
    for old in before {
        while let Some(new) = rest.peek() {
            if let Some(both) = new.range.intersection(old.range)
                && (new.epoch, new.version) < (old.epoch, old.version)
            {
                return Some((both, old.version, new.version));
            }
            if new.range.end > old.range.end {
                break;
            }
            rest.next();
        }
    }
    None
}

/// Whether `now` says of each address at least the version that `before` says.
pub(super) fn knows_all(now: &[Owned], before: &[Owned]) -> bool {
    fallen(before, now).is_none()
}

/// Addresses change owner by a grant of the owner before, once for each version. Who takes over from an
/// evicted peer need not know of gifts that were written down at that peer and heard of by nobody.
///
/// Who wrote a grant is asked of peers that keep the rules: those that are hosts here, and whose
/// disks were never put back or lost. Grants of others count for nothing here.
#[derive(Debug, Default)]
pub(super) struct ByGrant {
    /// Foundings of which a ledger was seen.
    lineages: BTreeSet<Fingerprint>,
    facts: Vec<Fact>,
    seen: BTreeSet<Key>,
    /// Grants that were at another host than that of their writer.
    heard: BTreeSet<Key>,
}

/// Who owned which addresses from which version on.
#[derive(Clone, Debug)]
struct Fact {
    lineage: Fingerprint,
    owned: Owned,
    /// By which grant; none for the founding.
    by: Option<Key>,
}

impl Invariant for ByGrant {
    fn name(&self) -> &'static str {
        "ipam.owner-changes-by-grant"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        let mut fresh: BTreeMap<Key, (PeerId, Grant)> = BTreeMap::new();
        for (_, peer) in view.changed() {
            if let (true, Some(lineage), Some(ledger)) = (peer.live, peer.lineage, &peer.ledger)
                && self.lineages.insert(lineage)
            {
                let first = ledger.iter().filter(|owned| owned.version == 0);
                self.facts.extend(first.map(|owned| Fact { lineage, owned: *owned, by: None }));
            }
            let stored = peer.stored.iter().flat_map(papers::grants);
            let held = Some(&peer.papers).filter(|_| peer.live).into_iter();
            for (key, writer, grant) in stored.chain(held.flat_map(papers::grants)) {
                if peer.id != Some(writer) {
                    self.heard.insert(key);
                }
                if !self.seen.contains(&key) {
                    fresh.insert(key, (writer, grant.clone()));
                }
            }
        }
        let mut fresh: Vec<_> = fresh.into_iter().collect();
        fresh.sort_by_key(|(_, (_, grant))| (grant.epoch, grant.version));
        for (key, (writer, grant)) in fresh {
            self.seen.insert(key);
            // Whoever is no host here may write what it likes.
            if !is_host(view, writer) {
                continue;
            }
            let mut hosts = view.peers.iter().filter(|peer| peer.id == Some(writer));
            if hosts.all(|peer| peer.losses == 0) {
                self.judge(view, writer, &grant)?;
            }
            let Grant { lineage, range, epoch, version, owner, .. } = grant;
            let owned = Owned { range, epoch, version, owner };
            self.facts.push(Fact { lineage, owned, by: Some(key) });
        }
        Ok(())
    }
}

fn is_host(view: &View, peer: PeerId) -> bool {
    view.peers.iter().any(|host| host.id == Some(peer))
}

impl ByGrant {
    fn judge(&self, view: &View, writer: PeerId, grant: &Grant) -> Result<(), String> {
        let number = (grant.epoch, grant.version);
        let is_heard = |fact: &Fact| fact.by.is_none_or(|key| self.heard.contains(&key));
        let ours = self.facts.iter().filter(|fact| fact.lineage == grant.lineage);
        let ours = ours.filter(|fact| grant.victim.is_none() || is_heard(fact));
        let facts: Vec<(Range, &Owned)> = ours
            .filter_map(|fact| Some((fact.owned.range.intersection(grant.range)?, &fact.owned)))
            .collect();
        let name = |at| view.universe.address(at);
        if let Some((both, _)) =
            facts.iter().find(|(_, owned)| (owned.epoch, owned.version) == number)
        {
            return Err(format!(
                "{} gave {} a second time as version {}",
                view.label(writer),
                name(both.start),
                grant.version
            ));
        }
        // Between two neighbouring bounds of facts nothing changes.
        let bounds = facts.iter().flat_map(|(both, _)| [both.start, both.end]);
        for at in bounds.filter(|at| grant.range.contains(*at)) {
            let here = facts.iter().filter(|(both, _)| both.contains(at)).map(|(_, owned)| owned);
            let below = here.filter(|owned| (owned.epoch, owned.version) < number);
            let before = below.max_by_key(|owned| (owned.epoch, owned.version));
            let before = before.filter(|before| is_host(view, before.owner));
            // Nobody who had to agree to the takeover knew that it had been given any.
            let is_unheard = |owner| {
                let is_it = |taken: &&Takeover| (taken.victim, taken.epoch) == (owner, grant.epoch);
                view.taken_over.iter().filter(is_it).any(|taken| taken.range.contains(at))
            };
            let before = before.filter(|before| !is_unheard(before.owner));
            // Whoever takes over what an evicted peer owned writes that itself.
            let giver = grant.victim.unwrap_or(writer);
            if let Some(before) = before.filter(|before| before.owner != giver) {
                return Err(format!(
                    "{} gave {} as version {}, which {} owned before",
                    view.label(writer),
                    name(at),
                    grant.version,
                    view.label(before.owner)
                ));
            }
        }
        Ok(())
    }
}

/// Who owns an address by a ledger is who a grant of just that version names, or, before any grant, one
/// among whom the founding divided.
#[derive(Debug, Default)]
pub(super) struct RestsOnRecords {
    seen: BTreeSet<Key>,
    /// What was granted, by founding, epoch, version and new owner.
    granted: BTreeMap<(Fingerprint, u64, u64, PeerId), Vec<Range>>,
    /// The ledgers that were looked through last.
    looked: BTreeMap<usize, Vec<Owned>>,
}

impl Invariant for RestsOnRecords {
    fn name(&self) -> &'static str {
        "ipam.rests-on-records"
    }
    fn when(&self) -> When {
        When::Always
    }
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (host, peer) in view.changed().filter(|(_, peer)| peer.live) {
            let (Some(lineage), Some(ledger)) = (peer.lineage, &peer.ledger) else { continue };
            if self.looked.get(&host) == Some(ledger) {
                continue;
            }
            for (key, _, grant) in papers::grants(&peer.papers) {
                if self.seen.insert(key) {
                    let name = (grant.lineage, grant.epoch, grant.version, grant.owner);
                    self.granted.entry(name).or_default().push(grant.range);
                }
            }
            let mut foundings = papers::foundings(&peer.papers);
            let founding = foundings.find(|(key, _)| *key == Key::Founding(lineage));
            for owned in ledger {
                let rests = if owned.version == 0 {
                    founding.is_none_or(|(_, founding)| founding.seeds.contains(&owned.owner))
                } else {
                    let name = (lineage, owned.epoch, owned.version, owned.owner);
                    self.granted.get(&name).is_some_and(|ranges| covers(ranges, owned.range))
                };
                if !rests {
                    return Err(format!(
                        "n{} says that {} owns {} as version {}, and no record does",
                        host + 1,
                        view.label(owned.owner),
                        view.universe.address(owned.range.start),
                        owned.version
                    ));
                }
            }
            self.looked.insert(host, ledger.clone());
        }
        Ok(())
    }
}

/// Whether `ranges` together have all of `whole`.
fn covers(ranges: &[Range], whole: Range) -> bool {
    let mut at = whole.start;
    while at < whole.end {
        let Some(range) = ranges.iter().find(|range| range.contains(at)) else { return false };
        at = range.end;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, fails, grant, holds, id, owned, pair};
    use super::*;

    #[test]
    fn same_records_make_the_same_ledger_or_the_rule_fails() {
        holds::<SameLedger>(&[pair(), pair()]);
        let other = || Some(vec![owned(0, 4, 0, 1), owned(4, 16, 0, 2)]);
        fails::<SameLedger>(&[changed(|view| view.peers[1].ledger = other())]);
        // Also when the other ledger comes later.
        fails::<SameLedger>(&[pair(), changed(|view| view.peers[0].ledger = other())]);
        let with_grant = changed(|view| {
            view.peers[1].ledger = other();
            view.peers[1].papers.extend([grant(1, 2, (4, 8), 1)]);
        });
        holds::<SameLedger>(&[with_grant]);
    }

    #[test]
    fn never_back_fails_when_a_version_falls_or_a_restart_forgets() {
        let raised = || {
            changed(|view| {
                let ledger = Some(vec![owned(0, 4, 0, 1), owned(4, 8, 1, 2), owned(8, 16, 0, 2)]);
                view.peers[0].ledger.clone_from(&ledger);
                view.peers[0].sure_ledger = ledger;
            })
        };
        holds::<NeverBack>(&[pair(), raised()]);
        fails::<NeverBack>(&[raised(), pair()]);
        fails::<NeverBack>(&[raised(), changed(|view| view.peers[0].boots = 2)]);
        fails::<NeverBack>(&[raised(), changed(|view| view.peers[0].ledger = None)]);
        let disk_back = changed(|view| (view.peers[0].boots, view.peers[0].losses) = (2, 1));
        holds::<NeverBack>(&[raised(), disk_back]);
    }

    #[test]
    fn never_back_forgives_a_restart_what_was_not_durable() {
        let unsure = changed(|view| {
            view.peers[0].ledger = Some(vec![owned(0, 8, 1, 2), owned(8, 16, 0, 2)]);
            view.peers[0].busy = true;
        });
        holds::<NeverBack>(&[unsure, changed(|view| view.peers[0].boots = 2)]);
    }

    #[test]
    fn an_owner_changes_by_a_grant_of_the_owner_before_or_the_rule_fails() {
        let granted = |papers: Vec<(Key, super::super::Paper)>| {
            changed(|view| view.peers[1].papers.extend(papers))
        };
        let (good, next) = (grant(1, 2, (0, 4), 1), grant(2, 1, (2, 4), 2));
        holds::<ByGrant>(&[pair(), granted(vec![good.clone()]), granted(vec![good.clone(), next])]);
        // By who never owned it, by who gave it away already, and twice under one version.
        fails::<ByGrant>(&[pair(), granted(vec![grant(2, 1, (0, 4), 1)])]);
        fails::<ByGrant>(&[
            pair(),
            granted(vec![good.clone()]),
            granted(vec![grant(1, 2, (2, 6), 2)]),
        ]);
        fails::<ByGrant>(&[
            pair(),
            granted(vec![good.clone()]),
            granted(vec![grant(1, 1, (2, 6), 1)]),
        ]);
        let put_back = changed(|view| {
            view.peers[1].papers.extend([grant(1, 1, (2, 6), 1)]);
            view.peers[0].losses = 1;
        });
        holds::<ByGrant>(&[pair(), granted(vec![good]), put_back]);
    }

    #[test]
    fn who_takes_over_knows_of_all_gifts_that_anybody_has_heard_of_or_the_rule_fails() {
        let takeover = |view: &mut View| {
            let (_, mut paper) = grant(2, 2, (0, 8), 1);
            if let super::super::Says::Grant(grant) = &mut paper.says {
                (grant.victim, grant.epoch) = (Some(id(1)), 1);
            }
            view.peers[1].papers.extend([(Key::Grant(Fingerprint([5; 16])), paper)]);
        };
        let gift = |view: &mut View, host: usize| {
            view.peers[host].stored.as_mut().unwrap().extend([grant(1, 3, (0, 4), 1)]);
        };
        let three = |view: &mut View| {
            let third = super::super::PeerView { id: Some(id(3)), ..<_>::default() };
            view.peers.push(third);
        };
        let told = |host: usize| {
            changed(|view| {
                three(view);
                gift(view, host);
            })
        };
        holds::<ByGrant>(&[
            told(0),
            changed(|view| {
                three(view);
                takeover(view);
            }),
        ]);
        fails::<ByGrant>(&[
            told(1),
            changed(|view| {
                three(view);
                takeover(view);
            }),
        ]);
    }

    #[test]
    fn a_grant_over_several_owners_is_judged_piece_by_piece() {
        let whole = changed(|view| view.peers[1].papers.extend([grant(1, 2, (4, 12), 1)]));
        fails::<ByGrant>(&[pair(), whole]);
    }

    #[test]
    fn a_ledger_rests_on_records_or_the_rule_fails() {
        let with = |papers: Vec<(Key, super::super::Paper)>, ledger: &[Owned]| {
            changed(|view| {
                view.peers[0].ledger = Some(ledger.to_vec());
                view.peers[0].papers.extend(papers);
            })
        };
        let given = [owned(0, 4, 0, 1), owned(4, 8, 1, 2), owned(8, 16, 0, 2)];
        let pieces = vec![grant(1, 2, (4, 6), 1), grant(1, 2, (6, 8), 1)];
        holds::<RestsOnRecords>(&[pair(), with(pieces.clone(), &given)]);
        // Nobody gave it, only a part was given, it was given to another, or under another version.
        fails::<RestsOnRecords>(&[with(Vec::new(), &given)]);
        fails::<RestsOnRecords>(&[with(pieces[..1].to_vec(), &given)]);
        fails::<RestsOnRecords>(&[with(vec![grant(1, 3, (4, 8), 1)], &given)]);
        fails::<RestsOnRecords>(&[with(vec![grant(1, 2, (4, 8), 2)], &given)]);
        // The founding does not name the owner.
        fails::<RestsOnRecords>(&[with(Vec::new(), &[owned(0, 8, 0, 1), owned(8, 16, 0, 3)])]);
    }
}
