//! Who may give which addresses: who was once made their owner, by somebody who might.
//!
//! A grant is *proven* when its giver held a title to each of its addresses: by the founding, or by
//! another proven grant of a lower version. More grants only ever prove more, so what is proven
//! depends on the set of grants and not on the order in which they came. Only what is proven counts
//! in the ledger; the rest waits.
//!
//! Kept are, of each address, the grant that decides about it and, of each peer that ever owned it,
//! the first grant that made it an owner. Those prove each other down to the founding, and prove
//! all that the dropped ones could: a chain of owners can only be cut short, never broken.
//!
//! What is kept of addresses in a row changes only where a share of the founding or a grant of use
//! begins or ends, and the titles of each owner are a map of their own. So of `s` shares and `n`
//! grants of use there are at most `4s + 5n` pieces, however they overlap. To take in a grant takes
//! time linear in the pieces that it meets: of what decides, of its owner's titles, and of those of
//! its giver that may entitle it. One that waited is looked at again from where it lacked a title.

use super::freeze::ROUND_MAX;
use super::intervals::Intervals;
use super::ledger::{Conflict, Grant, Ledger};
use crate::addr::{Offset, Range};
use crate::id::PeerId;
use crate::mark::{Mark, mark};
use crate::record::Fingerprint;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// A grant and who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedGrant {
    pub(super) grant: Grant,
    /// Whose the addresses were.
    pub(super) giver: PeerId,
}

impl SignedGrant {
    /// `grant`, which `writer` signed.
    pub(super) fn by(writer: PeerId, grant: Grant) -> Self {
        let giver = grant.victim.unwrap_or(writer);
        Self { grant, giver }
    }
}

/// A grant's giver needs a title of about this many versions before: one of the same or the last
/// block of so many. Without such a bound one grant with the highest version of all would freeze
/// its addresses for ever; with it, that takes 2^32 grants. Owners who keep the rules count up by
/// one, so that once a second for a century stays within the first block.
const LEAP: u64 = 1 << 32;

/// So far one takeover may raise the epoch above a title of the evicted peer, for the same reason: to use
/// up the epochs of its addresses takes 2^22 of them. An eviction raises it by its round, so that of
/// whatever round, it counts; who lies about rounds needs as many records to use those up.
const EPOCH_LEAP: u64 = ROUND_MAX;

/// Which grants are proven, and which of those are still of use.
#[derive(Clone, Debug, Default)]
pub(super) struct Titles {
    /// What decides about each address.
    last: Intervals<Last>,
    /// By peer, epoch and number of [`LEAP`]s: its first title there to each address.
    first: BTreeMap<(PeerId, u64, u64), Intervals<Option<Title>>>,
    /// To how many addresses a grant is the last, and to how many a first one, in sum. A sum of
    /// addresses, and not of pieces, is the same however these are cut. None is zero.
    uses: BTreeMap<Fingerprint, u128>,
    /// Not proven: by giver, the first address to which it lacks a title, and fingerprint.
    waiting: BTreeMap<(PeerId, Offset, Fingerprint), SignedGrant>,
    /// Proven grants that came out of use.
    dead: Vec<Fingerprint>,
}

/// Epoch, version and owner, in the order of the ledger's marks, and the grant that has them;
/// `None` for the founding. The greatest decides: of equal marks that of the lowest print.
type Last = (u64, u64, Reverse<PeerId>, Reverse<Option<Fingerprint>>);

/// A version, and the grant that has it; `None` for the founding. The least is the first.
type Title = (u64, Option<Fingerprint>);

/// What became of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is proven, and so are perhaps some that waited: all of them, in the order of proof.
    Proven(Vec<Grant>),
    /// Its giver has no title that we know of. When by all we know the owner before was another
    /// one, that is said.
    Waits(Option<Conflict>),
    /// It can never be proven: the founding gave its addresses to another one.
    Never(Conflict),
}

impl Titles {
    /// Those of a founding, which `ledger` is fresh from.
    pub(super) fn found(ledger: &Ledger) -> Self {
        let last = ledger.entries().map(|(range, epoch, version, owner)| {
            (range.size(), (epoch, version, Reverse(owner), Reverse(None)))
        });
        let mut titles = Self { last: last.collect(), ..Self::default() };
        for (range, epoch, version, owner) in ledger.entries() {
            let first = titles.first_of(owner, epoch, version);
            first.update(range, |_, title| *title = Some((version, None)));
        }
        titles
    }

    /// Takes in a grant that fits the universe.
    pub(super) fn take(&mut self, print: Fingerprint, signed: SignedGrant) -> Taken {
        let Some(bare) = self.lacking(&signed, signed.grant.range.start) else {
            return Taken::Proven(self.prove(print, signed));
        };
        let lie = self.lie(bare, &signed);
        if is_first(&signed.grant)
            && let Some(lie) = lie
        {
            return Taken::Never(lie);
        }
        self.waiting.insert((signed.giver, bare.start, print), signed);
        Taken::Waits(lie)
    }

    /// Whether a grant of `giver` would count.
    pub(super) fn proves(&self, signed: &SignedGrant) -> bool {
        self.lacking(signed, signed.grant.range.start).is_none()
    }

    /// Whether `peer` ever owned an address.
    pub(super) fn names(&self, peer: PeerId) -> bool {
        let titles = self.first.range((peer, 0, 0)..).next();
        titles.is_some_and(|((named, ..), _)| *named == peer)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many pieces and grants in use there are, how many grants wait, and how many are of no
    /// use any more.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        let Self { last, first, uses, waiting, dead } = self;
        let pieces = last.len() + first.values().map(Intervals::len).sum::<usize>();
        (pieces + uses.len(), waiting.len(), dead.len())
    }

    /// Takes those that are of no use any more.
    pub(super) fn dead(&mut self) -> Vec<Fingerprint> {
        core::mem::take(&mut self.dead)
    }

    /// How the owner of the `bare` addresses shows that the giver was another one: it is the one of
    /// the version before, or the grant is of the first version and the founding says so.
    fn lie(&self, bare: Range, signed: &SignedGrant) -> Option<Conflict> {
        let (range, &(epoch, version, Reverse(kept), _)) = self.last.pieces(bare).next()?;
        let is_next = epoch == signed.grant.epoch
            && version.checked_add(1) == Some(signed.grant.version)
            && kept != signed.giver;
        let conflict = Conflict { range, kept, lost: signed.grant.owner };
        (is_next || is_first(&signed.grant)).then_some(conflict)
    }

    /// Adds a proven grant, and those that this proves.
    fn prove(&mut self, print: Fingerprint, signed: SignedGrant) -> Vec<Grant> {
        let mut proven = Vec::new();
        let mut open = alloc::vec![(print, signed)];
        while let Some((print, signed)) = open.pop() {
            let owner = signed.grant.owner;
            for gained in self.add(print, &signed.grant) {
                let (low, high) = (gained.start, gained.end);
                let first = Fingerprint([0; 16]);
                let keys = self.waiting.range((owner, low, first)..(owner, high, first));
                for key in keys.map(|(key, _)| *key).collect::<Vec<_>>() {
                    let Some(signed) = self.waiting.remove(&key) else { continue };
                    match self.lacking(&signed, key.1) {
                        Some(bare) => {
                            mark(Mark::GrantStillWaits);
                            self.waiting.insert((signed.giver, bare.start, key.2), signed);
                        }
                        None => open.push((key.2, signed)),
                    }
                }
            }
            proven.push(signed.grant);
        }
        proven
    }

    /// The first addresses from `from` on to which the giver has no title below the grant and not
    /// too far below, as far as none of its titles begins or ends. `None` when it has all.
    fn lacking(&self, signed: &SignedGrant, from: Offset) -> Option<Range> {
        let Grant { range: Range { end, .. }, version, .. } = signed.grant;
        // An evicted giver may have titles of many epochs. Of each only as much is looked at as the
        // others lead up to.
        let near = self.near(signed).map(|(key, titles)| ((from, key), titles));
        let mut open: BTreeMap<_, _> = near.collect();
        let mut at = from;
        while at < end
            && let Some(((next, key), titles)) = open.pop_first()
        {
            if next > at {
                return Some(Range { start: at, end: next });
            }
            let Some((piece, title)) = titles.pieces(Range { start: at, end }).next() else {
                continue;
            };
            if title.is_some_and(|(first, _)| first < version) {
                let (Reverse(leap), _) = key;
                if leap < version / LEAP {
                    mark(Mark::GrantLeap);
                }
                at = piece.end;
            }
            open.insert((piece.end, key), titles);
        }
        (at < end).then_some(Range { start: at, end })
    }

    /// The titles of the giver that may entitle it to the grant, by leap, the last one first, and
    /// epoch: of that of the grant, or when it was evicted, of those before but not too far before.
    fn near(
        &self,
        SignedGrant { grant, giver }: &SignedGrant,
    ) -> impl Iterator<Item = ((Reverse<u64>, u64), &Intervals<Option<Title>>)> {
        let Grant { epoch, version, victim, .. } = *grant;
        let epochs = match victim {
            Some(_) => epoch.checked_sub(1).map(|last| (epoch.saturating_sub(EPOCH_LEAP), last)),
            None => Some((epoch, epoch)),
        };
        let leaps = (version / LEAP).saturating_sub(1)..=version / LEAP;
        let (before, giver) = (*leaps.start(), *giver);
        let all = epochs.into_iter().flat_map(move |(least, most)| {
            self.first.range((giver, least, before)..=(giver, most, version / LEAP))
        });
        all.filter(move |((.., leap), _)| leaps.contains(leap))
            .map(|((_, epoch, leap), titles)| ((Reverse(*leap), *epoch), titles))
    }

    /// Notes a proven grant. Returns where it gives its owner a better title.
    fn add(&mut self, print: Fingerprint, grant: &Grant) -> Vec<Range> {
        let Grant { range, epoch, version, owner, .. } = *grant;
        let (mut won, mut gained) = (Vec::new(), Vec::new());
        let last = (epoch, version, Reverse(owner), Reverse(Some(print)));
        self.last.update(range, |piece, held| {
            if last > *held {
                let (.., Reverse(before)) = core::mem::replace(held, last);
                won.push((before, piece.size()));
            }
        });
        let title = (version, Some(print));
        self.first_of(owner, epoch, version).update(range, |piece, held| {
            if held.is_none_or(|held| title < held) {
                let before = held.replace(title).and_then(|(_, print)| print);
                won.push((before, piece.size()));
                gained.push(piece);
            }
        });
        for (before, addresses) in won {
            *self.uses.entry(print).or_default() += addresses;
            if let Some(before) = before {
                self.release(before, addresses);
            }
        }
        if !self.uses.contains_key(&print) {
            self.dead.push(print);
        }
        gained
    }

    /// The first titles of `peer`, in this epoch and the leap of this version.
    fn first_of(
        &mut self,
        peer: PeerId,
        epoch: u64,
        version: u64,
    ) -> &mut Intervals<Option<Title>> {
        let size = self.last.size();
        let key = (peer, epoch, version / LEAP);
        self.first.entry(key).or_insert_with(|| Intervals::new(size, None))
    }

    /// Another grant has taken the place of `print` at so many addresses. When it is needed at no
    /// others, it is dead.
    fn release(&mut self, print: Fingerprint, addresses: u128) {
        if let Some(count) = self.uses.get_mut(&print) {
            *count = count.saturating_sub(addresses);
            if *count == 0 {
                self.uses.remove(&print);
                self.dead.push(print);
            }
        }
    }
}

/// Whether it must be by whom the founding made owner.
fn is_first(grant: &Grant) -> bool {
    grant.version == 1 && grant.epoch == 0
}

#[cfg(test)]
mod tests {
    use super::super::founding::{Ballot, Founding};
    use super::*;
    use crate::addr::Universe;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use std::collections::BTreeSet;

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    /// Two peers, of 16 addresses each.
    fn founded() -> Ledger {
        let universe = Universe::new("10.0.0.0/27".parse().unwrap()).unwrap();
        let ballot = Ballot { round: 1, proposer: peer(0) };
        Ledger::found(&Founding {
            universe,
            seeds: [peer(0), peer(1)].into(),
            ballot,
            lacks: false,
        })
        .unwrap()
    }

    /// One of more peers than fit into [`peer`].
    fn numbered(n: u128) -> PeerId {
        let mut id = [0; 32];
        id[..16].copy_from_slice(&n.to_be_bytes());
        PeerId(id)
    }

    fn numbered_grant(giver: u128, owner: u128, range: (u128, u128), version: u128) -> Printed {
        let (_, SignedGrant { grant, .. }) = grant_by(0, 0, range, version.try_into().unwrap());
        let grant = Grant { owner: numbered(owner), ..grant };
        let giver = numbered(giver);
        (Fingerprint::by(&giver, &crate::codec::encode(&grant)), SignedGrant { grant, giver })
    }

    type Printed = (Fingerprint, SignedGrant);

    fn grant_by(giver: u8, owner: u8, range: (u128, u128), version: u64) -> Printed {
        grant_in(0, giver, owner, range, version)
    }

    fn grant_in(epoch: u64, giver: u8, owner: u8, range: (u128, u128), version: u64) -> Printed {
        let range = Range { start: Offset(range.0), end: Offset(range.1) };
        let lineage = Fingerprint::default();
        let grant = Grant { lineage, range, epoch, version, owner: peer(owner), victim: None };
        let print = Fingerprint::by(&peer(giver), &crate::codec::encode(&grant));
        (print, SignedGrant { grant, giver: peer(giver) })
    }

    /// `owner` takes over what was `victim`'s.
    fn takeover_by(
        owner: u8,
        victim: u8,
        range: (u128, u128),
        (epoch, version): (u64, u64),
    ) -> Printed {
        let (_, SignedGrant { grant, .. }) = grant_in(epoch, owner, owner, range, version);
        let grant = Grant { victim: Some(peer(victim)), ..grant };
        let print = Fingerprint::by(&peer(owner), &crate::codec::encode(&grant));
        (print, SignedGrant::by(peer(owner), grant))
    }

    /// A ledger with its titles and what a node would keep.
    struct Book {
        ledger: Ledger,
        titles: Titles,
        kept: BTreeMap<Fingerprint, SignedGrant>,
    }

    impl Book {
        fn of<'a>(grants: impl IntoIterator<Item = &'a (Fingerprint, SignedGrant)>) -> Self {
            let ledger = founded();
            let titles = Titles::found(&ledger);
            let mut book = Self { ledger, titles, kept: BTreeMap::new() };
            for (print, signed) in grants {
                book.take(*print, signed);
            }
            book
        }

        fn take(&mut self, print: Fingerprint, signed: &SignedGrant) {
            self.kept.insert(print, signed.clone());
            match self.titles.take(print, signed.clone()) {
                Taken::Proven(grants) => {
                    for grant in grants {
                        self.ledger.apply(&grant);
                    }
                }
                Taken::Waits(_) => {}
                Taken::Never(_) => drop(self.kept.remove(&print)),
            }
            for print in self.titles.dead() {
                self.kept.remove(&print);
            }
        }

        fn kept(&self) -> Vec<(Fingerprint, SignedGrant)> {
            self.kept.iter().map(|(print, signed)| (*print, signed.clone())).collect()
        }
    }

    /// Whether who became an owner in this epoch and version can give on by `grant`: there is neither a leap
    /// too far nor a way back.
    fn entitles((epoch, version): (u64, u64), grant: &Grant) -> bool {
        let is_near = if grant.victim.is_some() {
            epoch < grant.epoch && grant.epoch - epoch <= EPOCH_LEAP
        } else {
            epoch == grant.epoch
        };
        let (before, after) = (version / LEAP, grant.version / LEAP);
        is_near && (before == after && version < grant.version || before + 1 == after)
    }

    /// The definition, address by address: what is proven by what is proven.
    fn by_definition(grants: &[(Fingerprint, SignedGrant)]) -> Ledger {
        let start = founded();
        let mut proven: BTreeSet<Fingerprint> = BTreeSet::new();
        let is_proven = |signed: &SignedGrant, proven: &BTreeSet<Fingerprint>| {
            let (range, giver) = (signed.grant.range, signed.giver);
            (range.start.0..range.end.0).map(Offset).all(|at| {
                let by_grant = grants.iter().any(|(print, SignedGrant { grant: other, .. })| {
                    proven.contains(print)
                        && other.owner == giver
                        && other.range.contains(at)
                        && entitles((other.epoch, other.version), &signed.grant)
                });
                let is_first = start.owner(at) == Some(giver);
                by_grant || is_first && entitles((0, 0), &signed.grant)
            })
        };
        loop {
            let before = proven.len();
            for (print, signed) in grants {
                if is_proven(signed, &proven) {
                    proven.insert(*print);
                }
            }
            if proven.len() == before {
                break;
            }
        }
        let mut ledger = start;
        for (_, signed) in grants.iter().filter(|(print, _)| proven.contains(print)) {
            ledger.apply(&signed.grant);
        }
        ledger
    }

    /// To how many addresses each grant is the last or a first one, address by address.
    fn counted(titles: &Titles) -> BTreeMap<Fingerprint, u128> {
        let mut uses = BTreeMap::new();
        for at in (0..titles.last.size()).map(Offset) {
            let last = titles.last.get(at).and_then(|(.., print)| print.0);
            let first = titles.first.values().filter_map(|first| (*first.get(at)?)?.1);
            for print in first.chain(last) {
                *uses.entry(print).or_default() += 1;
            }
        }
        uses
    }

    fn grants() -> impl Strategy<Value = Vec<(Fingerprint, SignedGrant)>> {
        let bounds =
            (0u128..8, 1u128..8).prop_map(|(start, size)| (start * 4, start * 4 + size * 4));
        let peers = (0u8..4, 0u8..4, any::<bool>());
        // Mostly as they count up, and now and then about as far as they may leap, or further.
        let leaps = [0, LEAP, LEAP - 4, 2 * LEAP, 2 * LEAP - 1, u64::MAX - 6];
        let version = (1u64..6, 0usize..32).prop_map(move |(version, leap)| {
            version + leaps.get(leap).copied().unwrap_or_default()
        });
        let leaps = [0, EPOCH_LEAP - 1, EPOCH_LEAP, 2 * EPOCH_LEAP, u64::MAX - 4];
        let epoch = (0u64..4, 0usize..16)
            .prop_map(move |(epoch, leap)| epoch + leaps.get(leap).copied().unwrap_or_default());
        let one = (peers, bounds, epoch, version);
        let one = one.prop_map(|((giver, owner, is_victim), (start, end), epoch, version)| {
            let range = (start, end.min(32));
            // As no grant that fits a universe may be.
            if is_victim && giver != owner && epoch > 0 {
                takeover_by(owner, giver, range, (epoch, version))
            } else {
                grant_in(epoch, giver, owner, range, version)
            }
        });
        proptest::collection::vec(one, 0..32)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn what_is_proven_depends_on_the_set_of_grants_alone(
            grants in grants(), again in proptest::collection::vec(any::<Index>(), 0..12),
        ) {
            let once = Book::of(&grants);
            let twice = again.iter().filter(|_| !grants.is_empty()).map(|at| at.get(&grants));
            let other = Book::of(twice.chain(grants.iter().rev()));
            prop_assert_eq!(&once.ledger, &by_definition(&grants));
            prop_assert_eq!(&once.ledger, &other.ledger);
            prop_assert_eq!(once.kept(), other.kept());
            prop_assert_eq!(&once.titles.last, &other.titles.last);
            prop_assert_eq!(&once.titles.first, &other.titles.first);
            prop_assert_eq!(&once.titles.uses, &other.titles.uses);
            prop_assert_eq!(&once.titles.uses, &counted(&once.titles));
        }

        #[test]
        fn what_was_dropped_is_missed_by_no_grant_that_comes_later(
            early in grants(), late in grants(),
        ) {
            let all = Book::of(early.iter().chain(&late));
            let kept = Book::of(&early).kept();
            let fewer = Book::of(kept.iter().chain(&late));
            prop_assert_eq!(&all.ledger, &fewer.ledger);
            prop_assert_eq!(all.kept(), fewer.kept());
        }
    }

    #[test]
    fn what_is_kept_grows_with_the_grants_and_not_with_their_square() {
        const COUNT: u128 = 2_000;
        const SIZE: u128 = 4_096;
        let universe = Universe::new("10.0.0.0/20".parse().unwrap()).unwrap();
        let ballot = Ballot { round: 1, proposer: numbered(0) };
        let seeds = [numbered(0)].into();
        let ledger = Ledger::found(&Founding { universe, seeds, ballot, lacks: false }).unwrap();
        // To as many owners: single addresses, all of them in turn, and parts that overlap.
        let singles = (1..=COUNT).map(|n| numbered_grant(0, n, (2 * n, 2 * n + 1), 1));
        let (singles, others) = (singles.collect::<Vec<_>>(), COUNT + 1..=2 * COUNT);
        let all = others.clone().map(|n| numbered_grant(n - 1, n, (0, SIZE), n));
        let start = numbered_grant(0, COUNT, (0, SIZE), 2);
        let all = [start].into_iter().chain(all).collect::<Vec<_>>();
        let parts =
            others.map(|n| numbered_grant(0, n + COUNT, (n - COUNT, n), n)).collect::<Vec<_>>();
        let backwards = |grants: &[Printed]| grants.iter().rev().cloned().collect::<Vec<_>>();
        for grants in [
            [singles.clone(), all.clone()].concat(),
            [all.clone(), singles.clone()].concat(),
            // Each but the last waits.
            [singles, backwards(&all)].concat(),
            parts.clone(),
            backwards(&parts),
            [parts, all].concat(),
        ] {
            let mut titles = Titles::found(&ledger);
            for (print, signed) in &grants {
                titles.take(*print, signed.clone());
            }
            let (kept, waiting, dead) = titles.sizes();
            assert_eq!((titles.uses.len(), waiting, dead), (grants.len(), 0, 0));
            assert!(kept - grants.len() <= 4 + 5 * grants.len(), "{kept} of {}", grants.len());
        }
    }

    #[test]
    fn a_peer_that_never_owned_an_address_cannot_give_it() {
        let (print, forged) = grant_by(2, 2, (0, 4), 1);
        let mut book = Book::of([]);
        assert!(matches!(book.titles.take(print, forged), Taken::Never(_)));
        let (print, forged) = grant_by(2, 2, (0, 4), 7);
        assert_eq!(book.titles.take(print, forged), Taken::Waits(None));
        // Half of it is the giver's.
        let (print, forged) = grant_by(0, 2, (12, 20), 1);
        assert!(matches!(book.titles.take(print, forged), Taken::Never(_)));
        assert_eq!(book.ledger, founded());
    }

    #[test]
    fn a_giver_that_is_not_the_known_owner_before_is_called_out() {
        let mut book = Book::of(&[grant_by(0, 2, (0, 8), 1)]);
        let (print, forged) = grant_by(3, 3, (4, 8), 2);
        let range = Range { start: Offset(4), end: Offset(8) };
        let lie = Conflict { range, kept: peer(2), lost: peer(3) };
        assert_eq!(book.titles.take(print, forged), Taken::Waits(Some(lie)));
    }

    #[test]
    fn a_grant_waits_for_the_one_it_builds_on() {
        let late = [grant_by(3, 0, (2, 4), 3), grant_by(2, 3, (0, 8), 2)];
        let mut book = Book::of(&late);
        assert_eq!(book.ledger, founded());
        let (print, first) = grant_by(0, 2, (0, 16), 1);
        book.take(print, &first);
        assert_eq!(book.titles.waiting(), 0);
        let owner = |at| book.ledger.owner(Offset(at));
        assert_eq!([owner(1), owner(3), owner(9)], [Some(peer(3)), Some(peer(0)), Some(peer(2))]);
    }

    #[test]
    fn addresses_that_go_to_and_fro_keep_a_bounded_number_of_grants() {
        let trips =
            (1..1_000).map(|n| grant_by(u8::from(n % 2 == 0), u8::from(n % 2 == 1), (0, 1), n));
        let book = Book::of(&trips.collect::<Vec<_>>());
        assert_eq!(book.ledger.owner(Offset(0)), Some(peer(1)));
        assert_eq!(book.kept.len(), 2);
    }

    #[test]
    fn one_takeover_uses_up_neither_the_epochs_nor_the_versions_of_its_addresses() {
        let all = (0, 8);
        for (epoch, version) in [(EPOCH_LEAP + 1, 1), (u64::MAX, 1), (1, 2 * LEAP), (1, u64::MAX)] {
            let book = Book::of(&[takeover_by(2, 0, all, (epoch, version))]);
            assert_eq!(book.ledger, founded(), "{epoch} {version}");
        }
        // Whoever leaps as far as that can be evicted as any other.
        let leap = takeover_by(2, 0, all, (EPOCH_LEAP, 2 * LEAP - 1));
        let book = Book::of(&[leap, takeover_by(3, 2, all, (2 * EPOCH_LEAP, 2 * LEAP))]);
        assert_eq!(book.ledger.owner(Offset(0)), Some(peer(3)));
    }

    #[test]
    fn one_grant_does_not_use_up_the_versions_of_its_addresses() {
        let mut book =
            Book::of(&[grant_by(0, 2, (0, 8), u64::MAX), grant_by(0, 2, (0, 8), 2 * LEAP)]);
        assert_eq!(book.ledger, founded());
        // Who was given addresses after a leap can still give them.
        let leap = [grant_by(0, 1, (0, 8), 2 * LEAP - 1), grant_by(1, 3, (0, 8), 2 * LEAP)];
        for (print, signed) in &leap {
            book.take(*print, signed);
        }
        assert_eq!(book.ledger.owner(Offset(0)), Some(peer(3)));
        let kept = Book::of(&book.kept());
        assert_eq!(kept.ledger, book.ledger);
    }
}
