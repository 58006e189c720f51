//! Rules about who may be linked with whom: `mesh.authentic`, `mesh.no-mixing`.

use super::papers::{foundings, grants};
use super::{PeerView, View};
use weft_core::addr::Universe;
use weft_core::config::NetworkSecret;
use weft_core::id::PeerId;
use weft_core::record::{Fingerprint, Key};

/// The name of the rule about links between peers that belong together.
pub const NO_MIXING: &str = "mesh.no-mixing";
/// The name of the rule about who is at the other end of a link.
pub const AUTHENTIC: &str = "mesh.authentic";

/// What a node was and knew when it said hello on a conn. It may have retired a secret since then, or
/// have lost its disk and started as another peer, while its last words are still on their way.
#[derive(Clone, Debug)]
pub struct Hello {
    /// On which host it runs.
    pub host: usize,
    /// Who it was.
    pub peer: PeerId,
    /// What it believed that the mesh divides.
    pub universe: Option<Universe>,
    /// Of which founding it knew.
    pub lineage: Option<Fingerprint>,
    /// Which secrets were valid.
    pub secrets: Vec<NetworkSecret>,
}

/// A link comes up between hosts with a password in common, each has the peer at its other end that
/// it believes to have, and was told to have to do with it: `host` believes to be linked with `claimed`,
/// and is with whoever said `theirs`. Where that one has retired the secret since then, it ends the link
/// when it hears that it is up.
///
/// # Errors
/// Who is taken for whom, or was let in without the password.
pub fn authentic(view: &View, host: usize, claimed: PeerId, theirs: &Hello) -> Result<(), String> {
    let other = theirs.host;
    let (Some(here), Some(there)) = (view.peers.get(host), view.peers.get(other)) else {
        return Ok(());
    };
    let was_proven = here.told.secrets.iter().any(|secret| theirs.secrets.contains(secret));
    if !was_proven && !here.told.shares_secret(&there.told) {
        return Err(format!(
            "n{} has linked with n{}, which has another password",
            host + 1,
            other + 1
        ));
    }
    if theirs.peer != claimed {
        return Err(format!("n{} takes n{} for {}", host + 1, other + 1, view.label(claimed)));
    }
    if !here.told.allows(claimed) {
        return Err(format!(
            "n{} has linked with n{}, which is not on its list",
            host + 1,
            other + 1
        ));
    }
    Ok(())
}

/// A link comes up between hosts of one universe, and of one founding unless one of them knows of
/// none: `ours` is what `host` knows.
///
/// # Errors
/// What they do not share.
pub fn belong_together(
    view: &View,
    (host, ours): (usize, Option<Fingerprint>),
    theirs: &Hello,
) -> Result<(), String> {
    let other = theirs.host;
    let Some(here) = view.peers.get(host).filter(|_| other < view.peers.len()) else {
        return Ok(());
    };
    let what = if here.told.universe != theirs.universe {
        "another universe"
    } else if ours.is_some() && theirs.lineage.is_some() && ours != theirs.lineage {
        "another founding"
    } else {
        return Ok(());
    };
    Err(format!("n{} has linked with n{}, which has {what}", host + 1, other + 1))
}

/// Nobody who is founded holds what says who owns addresses of another founding.
pub(super) fn no_mixing(view: &View) -> Result<(), String> {
    for (host, peer) in view.changed().filter(|(_, peer)| peer.live) {
        let Some(lineage) = peer.lineage else { continue };
        if let Some(key) = foreign(peer, lineage) {
            return Err(format!("n{} holds {key:?}, which is not of its founding", host + 1));
        }
    }
    Ok(())
}

fn foreign(peer: &PeerView, lineage: Fingerprint) -> Option<Key> {
    let mut founded = foundings(&peer.papers).map(|(key, _)| key);
    let granted = grants(&peer.papers).filter(|(_, _, grant)| grant.lineage != lineage);
    founded
        .find(|key| *key != Key::Founding(lineage))
        .or_else(|| granted.map(|(key, ..)| key).next())
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{LINEAGE, changed, grant, hello, id, pair};
    use super::super::{Paper, Says};
    use super::*;

    const OTHER: Fingerprint = Fingerprint([8; 16]);

    #[test]
    fn authentic_fails_on_another_password_and_on_another_peer_than_is_claimed() {
        assert_eq!(authentic(&pair(), 0, id(2), &hello()), Ok(()));
        assert!(authentic(&pair(), 0, id(3), &hello()).is_err());
        let wrong = told([vec![], vec![1]]);
        assert!(authentic(&wrong, 0, id(2), &hello()).is_err());
    }

    #[test]
    fn authentic_judges_by_who_said_hello_and_not_by_who_runs_there_now() {
        let reborn = changed(|view| view.peers[1].id = Some(id(3)));
        assert_eq!(authentic(&reborn, 0, id(2), &hello()), Ok(()));
        assert!(authentic(&reborn, 0, id(3), &hello()).is_err());
    }

    /// The pair, where each was told these secrets.
    fn told(secrets: [Vec<u8>; 2]) -> View {
        changed(|view| {
            for (peer, secrets) in view.peers.iter_mut().zip(secrets) {
                let secrets = secrets.into_iter().map(|it| NetworkSecret::Password([it; 32]));
                peer.told.secrets = secrets.collect();
            }
        })
    }

    #[test]
    fn authentic_fails_without_a_secret_in_common_and_with_a_peer_that_is_not_on_the_list() {
        assert_eq!(authentic(&told([vec![1], vec![2, 1]]), 0, id(2), &hello()), Ok(()));
        assert!(authentic(&told([vec![1], vec![2]]), 0, id(2), &hello()).is_err());
        // What the other one has retired since its hello counts, and what it never had does not.
        let was = |of| Hello { secrets: vec![NetworkSecret::Password([of; 32])], ..hello() };
        assert_eq!(authentic(&told([vec![1], vec![2]]), 0, id(2), &was(1)), Ok(()));
        assert!(authentic(&told([vec![1], vec![2]]), 0, id(2), &was(3)).is_err());
        let listed = |of: u8| changed(|view| view.peers[0].told.allowed = Some([id(of)].into()));
        assert_eq!(authentic(&listed(2), 0, id(2), &hello()), Ok(()));
        assert!(authentic(&listed(3), 0, id(2), &hello()).is_err());
    }

    #[test]
    fn belong_together_fails_on_another_universe_and_on_another_founding() {
        let both = |view: &View, lineage| {
            belong_together(view, (0, Some(LINEAGE)), &Hello { lineage, ..hello() })
        };
        assert_eq!(both(&pair(), Some(LINEAGE)), Ok(()));
        assert_eq!(both(&pair(), None), Ok(()));
        assert!(both(&pair(), Some(OTHER)).is_err());
        let elsewhere = Hello { universe: None, ..hello() };
        assert!(belong_together(&pair(), (0, None), &elsewhere).is_err());
        // What it divides now counts for nothing: it may have started anew since.
        assert_eq!(both(&changed(|view| view.peers[1].told.universe = None), None), Ok(()));
    }

    #[test]
    fn no_mixing_fails_when_a_peer_holds_what_another_mesh_says_of_ownership() {
        assert_eq!(no_mixing(&pair()), Ok(()));
        let (key, mut paper) = grant(1, 2, (0, 4), 1);
        let good = changed(|view| view.peers[0].papers.extend([(key, paper.clone())]));
        assert_eq!(no_mixing(&good), Ok(()));
        if let Says::Grant(grant) = &mut paper.says {
            grant.lineage = OTHER;
        }
        let foreign = |held: (Key, Paper)| changed(|view| view.peers[0].papers.extend([held]));
        assert!(no_mixing(&foreign((key, paper.clone()))).is_err());
        let (_, founding) = super::super::made_up::founding(&[1]);
        assert!(no_mixing(&foreign((Key::Founding(OTHER), founding))).is_err());
    }
}
