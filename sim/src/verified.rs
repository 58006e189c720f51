//! The good signatures of a thread: what one node of a world has looked at, none of the others looks at
//! again.
//!
//! A world runs on one thread, so runs side by side share nothing. What one world leaves here is as true
//! in the next.

use std::cell::RefCell;
use std::collections::BTreeSet;
use weft_core::verified::{self, Memory, Proof};

/// So many are remembered at least, and twice as many at most. While 1,000 peers find each other,
/// some 20 versions of each peer's record are under way in half a minute.
const KEPT_MIN: usize = 65_536;

/// How the core asks and tells.
static MEMORY: Memory = Memory { knows, keep };

thread_local! {
    static PROOFS: RefCell<Proofs> = const { RefCell::new(Proofs::NONE) };
}

/// Has nodes on all threads look at each signature once for all nodes of their thread.
pub(crate) fn remember() {
    verified::remember(&MEMORY);
}

fn knows(proof: &Proof) -> bool {
    PROOFS.with_borrow_mut(|proofs| proofs.knows(proof))
}

fn keep(proof: Proof) {
    PROOFS.with_borrow_mut(|proofs| proofs.keep(proof));
}

/// In two generations: what is asked for in the time of one is still there in the next.
#[derive(Debug)]
struct Proofs {
    young: BTreeSet<Proof>,
    old: BTreeSet<Proof>,
}

impl Proofs {
    const NONE: Self = Self { young: BTreeSet::new(), old: BTreeSet::new() };

    fn knows(&mut self, proof: &Proof) -> bool {
        if self.young.contains(proof) {
            return true;
        }
        let is_old = self.old.remove(proof);
        if is_old {
            self.keep(*proof);
        }
        is_old
    }

    fn keep(&mut self, proof: Proof) {
        if self.young.len() >= KEPT_MIN {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(proof);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_core::id::Identity;

    fn proof(n: usize) -> Proof {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
        Proof(bytes)
    }

    #[test]
    fn only_good_signatures_are_kept_and_nothing_passes_for_one_of_them() {
        remember();
        let [one, other] = [1, 2].map(|n| Identity::from_seed([n; 32]));
        let good = one.sign(b"x");
        for _ in 0..2 {
            assert!(one.id().verify(b"x", &good));
            assert!(!one.id().verify(b"y", &good));
            assert!(!one.id().verify(b"x", &other.sign(b"x")));
            assert!(!other.id().verify(b"x", &good));
        }
        assert_eq!(PROOFS.with_borrow(|proofs| proofs.young.len()), 1);
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten_in_time() {
        let mut proofs = Proofs::NONE;
        for n in 0..5 * KEPT_MIN {
            proofs.keep(proof(n));
            assert!(proofs.knows(&proof(0)), "forgotten after {n}");
        }
        assert!(!proofs.knows(&proof(1)));
        assert!(proofs.young.len() + proofs.old.len() <= 2 * KEPT_MIN);
    }
}
