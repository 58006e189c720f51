//! Records and their way to every peer: one mechanism for all kinds.
