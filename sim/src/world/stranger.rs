//! Who calls without being part of the mesh.

/// What a stranger does with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    /// Opens it, and never says a word.
    Mute,
    /// Says something that means nothing.
    Babbler,
}
