//! Where each MAC address was last seen.

use super::ethernet::Mac;
use crate::id::PeerName;
use crate::mark::{Mark, mark};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

/// Where a MAC address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On the local bridge.
    Here,
    /// Behind a peer.
    Peer(PeerName),
}

/// The table of learned addresses. The last sighting of an address counts, wherever it was.
#[derive(Debug, Default)]
pub struct Switch {
    places: BTreeMap<Mac, (Place, Instant)>,
    /// The same, oldest first.
    by_age: BTreeSet<(Instant, Mac)>,
}

impl Switch {
    /// Most addresses kept; the oldest gives way, so that a container that invents addresses cannot
    /// use up memory.
    pub const LEN_MAX: usize = 65_536;
    /// An address not seen for this long is not known. Source: Weave Net, `macMaxAge`.
    pub const AGE_MAX: Duration = Duration::from_secs(10 * 60);
    /// Age is kept this exactly: an address that is seen again within it, at the same place, costs
    /// one look-up.
    const AGE_GRAIN: Duration = Duration::from_secs(1);

    /// How many addresses are known; of the two tables the larger counts.
    pub fn len(&self) -> usize {
        let Self { places, by_age } = self;
        places.len().max(by_age.len())
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `mac` sent a frame from `place`.
    pub fn saw(&mut self, now: Instant, mac: Mac, place: Place) {
        if let Some((known, seen)) = self.places.get_mut(&mac) {
            if *known != place {
                mark(Mark::SwitchMoved);
            }
            *known = place;
            if now.since(*seen) >= Self::AGE_GRAIN {
                self.by_age.remove(&(*seen, mac));
                self.by_age.insert((now, mac));
                *seen = now;
            }
            return;
        }
        if self.places.len() >= Self::LEN_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            mark(Mark::SwitchFull);
            self.places.remove(&oldest);
        }
        mark(Mark::SwitchLearned);
        self.places.insert(mac, (place, now));
        self.by_age.insert((now, mac));
    }

    /// Where `mac` is, unless that is too long ago.
    pub fn place(&self, now: Instant, mac: Mac) -> Option<Place> {
        let (place, seen) = self.places.get(&mac)?;
        if now.since(*seen) > Self::AGE_MAX {
            mark(Mark::SwitchAged);
            return None;
        }
        Some(*place)
    }

    /// All addresses in the table, in order, and when each was last seen (to the second).
    pub fn iter(&self) -> impl Iterator<Item = (Mac, Place, Instant)> + '_ {
        self.places.iter().map(|(mac, (place, seen))| (*mac, *place, *seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: Place = Place::Peer(PeerName([2, 0, 0, 0, 0, 1]));

    #[test]
    fn the_last_sighting_counts_in_both_directions() {
        let mut switch = Switch::default();
        for place in [Place::Here, THERE, Place::Here] {
            switch.saw(at(0), mac(1), place);
            assert_eq!(switch.place(at(0), mac(1)), Some(place));
        }
    }

    #[test]
    fn an_address_is_known_for_ten_minutes_after_it_was_seen() {
        let mut switch = Switch::default();
        switch.saw(at(0), mac(1), Place::Here);
        switch.saw(at(100), mac(1), Place::Here);
        assert_eq!(switch.place(at(700), mac(1)), Some(Place::Here));
        assert_eq!(switch.place(at(701), mac(1)), None);
    }

    #[test]
    fn a_full_table_gives_up_what_was_not_seen_for_longest() {
        let mut switch = Switch::default();
        let all = u32::try_from(Switch::LEN_MAX).unwrap();
        for n in 0..all {
            switch.saw(at(u64::from(n / 1000)), mac(n), Place::Here);
        }
        switch.saw(at(100), mac(0), THERE);
        switch.saw(at(100), mac(all), Place::Here);
        assert_eq!(switch.iter().count(), Switch::LEN_MAX);
        assert_eq!(switch.by_age.len(), Switch::LEN_MAX);
        assert_eq!(switch.place(at(100), mac(0)), Some(THERE));
        assert_eq!(switch.place(at(100), mac(1)), None);
    }

    fn mac(n: u32) -> Mac {
        let [a, b, c, d] = n.to_be_bytes();
        Mac([2, 0, a, b, c, d])
    }

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }
}
