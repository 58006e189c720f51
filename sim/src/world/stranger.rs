//! Who calls without being part of the mesh.

use super::insider::Insider;

/// What a stranger does with a stream.
#[derive(Debug)]
pub(super) enum Stranger {
    /// Opens it, and never says a word.
    Mute,
    /// Says something that means nothing.
    Babbler,
    /// Knows the password, and keeps no rules.
    Insider(Box<Insider>),
}
