//! Which version of the protocol two peers agree on: `mesh.no-downgrade`.
//!
//! The first words on a stream are read here by the layout alone that [`weft_core::handshake`]
//! draws: a header of three bytes, `length (2) ‖ type (1)`, and then what each side greets with. Whoever
//! dialed greets in a message of the handshake (1) and, where it has another secret to try, in another
//! round (4); the other side chooses anew in each round. The last round is the one that counts.

use super::View;

/// The name of the rule about the version of a link.
pub const NO_DOWNGRADE: &str = "mesh.no-downgrade";

/// What a side says of versions in its first words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// Whoever dialed offers all from the oldest to the newest.
    Offers(u8, u8),
    /// Whoever was dialed has chosen one.
    Chooses(u8),
}

impl Greeting {
    /// What is said by bytes that are written to a stream by who `dialed` it or not; `None` when that
    /// is no greeting.
    pub fn of(bytes: &[u8], dialed: bool) -> Option<Self> {
        let (&[_, _, kind], body) = bytes.split_first_chunk::<3>()?;
        if !matches!((kind, dialed), (1, _) | (4, true)) {
            return None;
        }
        if dialed {
            let (&[oldest, newest], _) = body.strip_prefix(b"weft1")?.split_first_chunk()?;
            Some(Self::Offers(oldest, newest))
        } else {
            Some(Self::Chooses(*body.first()?))
        }
    }
}

/// A link comes up between `host` and `other` in the newest version that both were told to speak,
/// and whoever dialed has offered just what it was told: their first words were `ours` and `theirs`.
///
/// # Errors
/// Which version they speak, or what was offered.
pub fn newest_of_both(
    view: &View,
    (host, ours): (usize, Greeting),
    (other, theirs): (usize, Greeting),
) -> Result<(), String> {
    let (Some(here), Some(there)) = (view.peers.get(host), view.peers.get(other)) else {
        return Ok(());
    };
    let (dialer, offered, chosen) = match (ours, theirs) {
        (Greeting::Offers(oldest, newest), Greeting::Chooses(chosen)) => {
            (host, (oldest, newest), chosen)
        }
        (Greeting::Chooses(chosen), Greeting::Offers(oldest, newest)) => {
            (other, (oldest, newest), chosen)
        }
        (Greeting::Offers(..), Greeting::Offers(..))
        | (Greeting::Chooses(_), Greeting::Chooses(_)) => {
            return Err(format!("n{} and n{} greeted alike", host + 1, other + 1));
        }
    };
    let told = view.peers.get(dialer).map(|peer| peer.told.versions);
    if told.is_some_and(|told| told != offered) {
        return Err(format!(
            "n{} offered versions {} to {}, and was told others",
            dialer + 1,
            offered.0,
            offered.1
        ));
    }
    let oldest = here.told.versions.0.max(there.told.versions.0);
    let newest = here.told.versions.1.min(there.told.versions.1);
    if chosen != newest || newest < oldest {
        return Err(format!(
            "n{} and n{} are linked in version {chosen}, and both speak {oldest} to {newest}",
            host + 1,
            other + 1
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{changed, pair};
    use super::*;

    #[test]
    fn a_greeting_is_read_by_its_layout() {
        let first = [&[0, 42, 1][..], b"weft1", &[1, 3, 0, 99]].concat();
        assert_eq!(Greeting::of(&first, true), Some(Greeting::Offers(1, 3)));
        assert_eq!(Greeting::of(&[0, 42, 1, 2, 0, 99], false), Some(Greeting::Chooses(2)));
        // Another round, which only who dialed begins.
        let again = [&[0, 42, 4][..], b"weft1", &[1, 3, 4, 99]].concat();
        assert_eq!(Greeting::of(&again, true), Some(Greeting::Offers(1, 3)));
        assert_eq!(Greeting::of(&[0, 42, 4, 2, 0, 99], false), None);
        // A refusal, and nothing of weft.
        assert_eq!(Greeting::of(&[0, 3, 2, 4, 1, 1], false), None);
        assert_eq!(Greeting::of(b"GET / HTTP/1.1", true), None);
    }

    #[test]
    fn no_downgrade_fails_when_a_link_runs_another_version_than_the_newest_of_both() {
        let between = |theirs, offered, chosen| {
            let view = changed(|view| {
                view.peers[0].told.versions = (1, 3);
                view.peers[1].told.versions = theirs;
            });
            let (offers, chooses) = (Greeting::Offers(1, offered), Greeting::Chooses(chosen));
            let verdict = newest_of_both(&view, (0, offers), (1, chooses));
            assert_eq!(newest_of_both(&view, (1, chooses), (0, offers)).is_ok(), verdict.is_ok());
            verdict
        };
        assert_eq!(between((2, 4), 3, 3), Ok(()));
        assert_eq!(between((1, 2), 3, 2), Ok(()));
        // Lower than both speak, higher than one, offered less than it was told, none in common.
        assert!(between((2, 4), 3, 2).is_err());
        assert!(between((1, 2), 3, 3).is_err());
        assert!(between((2, 4), 2, 2).is_err());
        assert!(between((4, 5), 3, 3).is_err());
        let twice = Greeting::Chooses(1);
        assert!(newest_of_both(&pair(), (0, twice), (1, twice)).is_err());
    }
}
