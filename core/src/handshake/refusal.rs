//! What the side that gives up tells the other one: `code (1) ‖ oldest (1) ‖ newest version (1)`.

use super::HandshakeFault;
use crate::config::{SecretKind, Versions};
use alloc::vec::Vec;

/// What to tell the other side about `fault`, which is ours, from a speaker of `versions`: the code
/// names the fault as *it* has to see it. Nothing for who breaks the rules, and is owed no answer.
pub(super) fn of(fault: &HandshakeFault, versions: Versions) -> Vec<u8> {
    let code = match fault {
        HandshakeFault::WrongPassword => 1,
        // What this side has; the other one knows what it has itself.
        HandshakeFault::Kinds { ours: Some(SecretKind::Password), .. } => 2,
        HandshakeFault::Kinds { ours: None, .. } => 3,
        HandshakeFault::Version(..) => 4,
        HandshakeFault::Myself => 5,
        HandshakeFault::Kinds { ours: Some(SecretKind::Key), .. } => 6,
        HandshakeFault::WrongKey => 7,
        HandshakeFault::Clone => 8,
        HandshakeFault::Malformed(_) => return Vec::new(),
    };
    alloc::vec![code, versions.oldest(), versions.newest()]
}

/// The fault of two sides that speak nothing in common.
pub(super) const fn no_version(theirs: Versions, ours: Versions) -> HandshakeFault {
    HandshakeFault::Version(theirs.oldest(), theirs.newest(), ours.oldest(), ours.newest())
}

/// The fault that the other side's refusal means here, where there is a secret of the kind `ours`.
pub(super) fn read(body: &[u8], ours: Option<SecretKind>, versions: Versions) -> HandshakeFault {
    let kinds = |theirs| HandshakeFault::Kinds { ours, theirs };
    match *body {
        [1, _, _] => HandshakeFault::WrongPassword,
        [2, _, _] => kinds(Some(SecretKind::Password)),
        [3, _, _] => kinds(None),
        [4, theirs_from, theirs_to] => {
            HandshakeFault::Version(theirs_from, theirs_to, versions.oldest(), versions.newest())
        }
        [5, _, _] => HandshakeFault::Myself,
        [6, _, _] => kinds(Some(SecretKind::Key)),
        [7, _, _] => HandshakeFault::WrongKey,
        [8, _, _] => HandshakeFault::Clone,
        _ => HandshakeFault::Malformed("it refused for a reason unknown to this version"),
    }
}
