//! An estate: what a peer gave away in leaving, and who knows that it did. What is done with it is
//! [`super::leaving`].

use crate::addr::Range;
use crate::id::PeerId;
use crate::time::Instant;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Of this peer; empty before it leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Estate {
    /// What others were given; all there is, when it may have been in an earlier life.
    pub(super) given: Vec<Range>,
    /// Who has said since the last gift that nothing is ours.
    pub(super) confirmed: BTreeSet<PeerId>,
    /// Until then others in reach may not have heard that we leave, and take us for an heir.
    pub(super) unheard_until: Option<Instant>,
    /// When what came to be ours since goes on to an heir.
    pub(super) hand_on_at: Option<Instant>,
}
